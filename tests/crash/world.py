"""Three stand-alone storefronts, tellers, and one state directory in which daemon after daemon lives.

The listening socket is held here, as systemd holds it for the daemon: nobody is ever refused a connection, whoever
lives or dies behind it.
"""

from __future__ import annotations

import contextlib
import json
import random
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import trio
from attrs import define, field

from tests.acceptance.processes import (
    LOOPBACK,
    Daemon,
    Process,
    Shop,
    daemon,
    free_port,
    sandbox_channel,
    shop,
    until,
    write_config,
)
from tests.crash.accounts import Findings, astray, judge_deliveries, judge_numbers, true_stock
from tests.crash.traffic import COUNTER_STOCK, COUNTERS, TILL, Books, Shopper, Teller, counter
from tests.crash.wall import Wall
from tests.crash.zygote import Fork, Zygote

NAMES = ("north", "south", "outlet")
BUFFERS = {"north": 0, "south": 1, "outlet": 0}
SKUS = 12
STOCK = 5_000
BACKLOG = 1024
CALM_S = 90.0
"""Most that everything may take to converge once input has stopped."""
STOP_S = 10.0
"""Most that an orderly stop may take."""

BUGS = ("sku.crashed",)
"""A warning, because the daemon goes on; but what an actor crashed on is answered 2xx and becomes no event."""

Command = Callable[[Path], Sequence[str]]
"""The command of a `Fork`, from the folder with config.yaml in it."""


@define
class World:
    """The storefronts and the daemon under test. `books` are those of the tellers."""

    daemon: Daemon
    shops: dict[str, Shop]
    port: int
    seed: int
    books: Books = field(factory=Books)
    wall: Wall = field(factory=Wall)
    contradicted: set[tuple[str, str]] = field(factory=set)
    """(storefront, order) of orders about which somebody told a lie."""

    def shoppers(self, *, lot: int, pace_s: float) -> list[Shopper]:
        """One at each storefront."""
        return [
            Shopper(each, random.Random(f"{self.seed} {name}"), SKUS, lot, pace_s)
            for name, each in self.shops.items()
        ]

    def tellers(self, count: int, *, pace_s: float) -> list[Teller]:
        """So many clients that post webhooks themselves."""
        return [
            Teller(f"T{number}", self.port, self.books, random.Random(f"{self.seed} teller {number}"), SKUS, pace_s)
            for number in range(count)
        ]

    async def open_counters(self) -> None:
        """Count what the tellers sell beside the storefronts."""
        for number in range(1, COUNTERS + 1):
            await self.daemon.tell("/v1/counts", {"sku": counter(number), "quantity": COUNTER_STOCK})

    async def misbehave(self, faults: Mapping[str, object]) -> None:
        """Set the faults of every storefront; empty: none."""
        for place, each in enumerate(self.shops.values()):
            seed = {"seed": self.seed * 10 + place} if faults else {}
            status, answer = await each.post("/faults", {**faults, **seed})
            assert status == 200, answer

    async def ledgers(self) -> dict[str, Any]:
        return {name: await each.get("/ledger") for name, each in self.shops.items()}

    async def serving(self) -> None:
        """Return when webhooks are answered. The question waits in the held socket until somebody takes it."""
        while True:
            try:
                await self.daemon.http.get(f"{self.daemon.url}/healthz", timeout=60)
            except httpx.ConnectError:
                self.books.refused += 1
            except httpx.TransportError:
                await trio.sleep(0.002)  # the one that took it was killed
            else:
                self.wall.look()
                return

    async def converge(self, within_s: float = CALM_S, every_s: float = 0.1) -> float:
        """Seconds until every storefront shows what the ledgers say and nothing is left to do; raises
        `trio.TooSlowError`."""
        return await until(self._calm, within_s, every_s)

    async def _calm(self) -> bool:
        outbox = (await self.daemon.ask("/v1/status"))["outbox"]
        if any(outbox.values()):
            return False
        ledgers = await self.ledgers()
        return not astray(ledgers, true_stock(ledgers, self.books.sold()), BUFFERS)

    async def judge(self) -> Findings:
        """Compare everything: units, listings, deliveries, the log's chain, the state with the fold of the log."""
        findings = Findings()
        ledgers = await self.ledgers()
        (self.daemon.folder / "ledgers.json").write_text(json.dumps(ledgers))
        truth = true_stock(ledgers, self.books.sold())
        sold = self.books.sold()
        everywhere = truth | {each: COUNTER_STOCK - sold[each] for each in map(counter, range(1, COUNTERS + 1))}
        judge_numbers(findings, everywhere, {each: await self.daemon.ask(f"/v1/skus/{each}") for each in everywhere})
        findings.problems += astray(ledgers, truth, BUFFERS)
        await self.books.audit(self.daemon)
        events = await self.daemon.events()
        (self.daemon.folder / "events.json").write_text(json.dumps(events))
        judge_deliveries(findings, ledgers, events, self.contradicted)
        self._judge_tellers(findings)
        findings.problems += self.wall.problems()
        verified = await self.daemon.tell("/v1/rebuild", {"verify": True})
        if not verified["ok"]:
            findings.problems.append(f"the state is not the fold of the log: {verified}")
        return findings

    def _judge_tellers(self, findings: Findings) -> None:
        books = self.books
        findings.acked += len(books.acknowledged)
        findings.lost += len(books.lost)
        findings.problems += [f"{TILL}: order {order} was acknowledged, and lost" for order in sorted(books.lost)]
        strangers = sorted(set(books.logged) - set(books.acknowledged))
        findings.problems += [f"{TILL}: order {order} is in the log, and nobody told it" for order in strangers]
        findings.problems += books.failed
        if books.refused:
            findings.problems.append(f"{books.refused} connections were refused")

    async def stop(self) -> list[str]:
        """The orderly stop; what went wrong in it, or was said in any life."""
        problems = []
        process = self.daemon.process
        code = await process.terminate(STOP_S)
        if code != 0:
            problems.append(f"the orderly stop ended with {code}")
        if complaints := process.complaints():
            problems.append(f"the daemon wrote to stderr: {complaints[-2000:]}")
        said = [each for each in process.records() if each["event"] != "alarm.raised"]  # that tells of storefronts
        errors = [each for each in said if each["severity"] == "error" or each["event"] in BUGS]
        return problems + [f"the daemon logged {json.dumps(record)[:1000]}" for record in errors[:10]]


def held_socket() -> socket.socket:
    """A listening socket on loopback that outlives every daemon."""
    held = socket.socket()
    try:
        held.bind((LOOPBACK, 0))
        held.listen(BACKLOG)
    except BaseException:
        held.close()
        raise
    return held


@asynccontextmanager
async def world(
    folder: Path, seed: int, *, zygote: Zygote | None, command: Command, skus: int = SKUS, stock: int = STOCK,
    channels: Mapping[str, Mapping[str, object]] | None = None, fresh: Callable[[int], Sequence[str]] | None = None,
    **top: object,
) -> AsyncIterator[World]:  # fmt: skip
    """The storefronts run, the daemon does not yet. `command` is run by `zygote`; without one, `fresh` gives the
    command line of a process from nothing, told the number of the held socket. `top`: more of config.yaml."""
    async with contextlib.AsyncExitStack() as stack:
        held = stack.enter_context(held_socket())
        port = held.getsockname()[1]
        shops = {
            name: await stack.enter_async_context(
                shop(folder, name, f"http://{LOOPBACK}:{port}/webhooks/{name}", skus=skus, stock=stock, seed=seed)
            )
            for name in NAMES
        }
        configured: dict[str, Mapping[str, object]] = {
            name: sandbox_channel(name, shops[name].port, buffer=BUFFERS[name]) for name in NAMES
        }
        configured |= channels or {}
        configured[TILL] = sandbox_channel(TILL, free_port())  # nobody is there: what is lost here stays lost
        write_config(folder, port, configured, **top)
        out = folder / "daemon.out"
        if zygote is not None:
            process: Process = Fork(command(folder), out, pass_fds=(held.fileno(),), zygote=zygote)
        else:
            assert fresh is not None
            process = Process(fresh(held.fileno()), out, pass_fds=(held.fileno(),))
        under_test = await stack.enter_async_context(daemon(folder, port, start=False, process=process))
        yield World(under_test, shops, port, seed)

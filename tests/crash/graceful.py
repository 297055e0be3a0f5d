"""Restart the daemon gently again and again under load: nobody who posts may notice more than a wait.

    python -m tests.crash.graceful --restarts 20 [--clients 8] [--fresh]

Clients post signed webhooks all the time, some over a connection of their own for each, some over one they keep.
The daemon gets SIGTERM, drains, ends with 0 and is started again; the listening socket is held meanwhile, as systemd
holds it. Every single request must be answered 200, none refused, cut off or put off, and each must be in the log.

Whoever keeps a connection looks, like any HTTP client, whether the daemon has closed it meanwhile, before sending the
next request on it: a stop closes those that are idle for longer than a moment, and how long that is for a client on a
crowded machine, nobody knows.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import statistics
import sys
import tempfile
from functools import partial
from pathlib import Path

import trio
from attrs import asdict, define, field

from tests.acceptance.processes import (
    Daemon,
    Process,
    daemon,
    free_port,
    onhand,
    sandbox_channel,
    write_config,
)
from tests.acceptance.webhooks import order_body, read_answer, request, signed
from tests.crash.traffic import CUT_OFF, TILL, TILL_SECRET, connect, sku
from tests.crash.world import held_socket
from tests.crash.zygote import Fork, Zygote, daemon_command

SKUS = 12
PACE_S = 0.01
LIFE_S = (0.2, 0.6)
PATIENCE_S = 20.0


@define
class Result:
    """What came of it; `problems` empty means that all is well."""

    restarts: int = 0
    requests: int = 0
    refused: int = 0
    failed: int = 0
    """Requests that were not answered 200, whatever the reason."""
    parted: int = 0
    """Kept connections that a stop closed while they were idle; seen before anything was sent on them."""
    missing: int = 0
    """Acknowledged and not in the log."""
    twice: int = 0
    longest_wait_ms: float = 0.0
    away_ms: float = 0.0
    """Median time from the signal until the next daemon answers."""
    seconds: float = 0.0
    problems: list[str] = field(factory=list)


@define
class Client:
    """Posts one order after the other. `keeps`: over one connection, as long as the daemon leaves it open."""

    name: str
    port: int
    keeps: bool
    rng: random.Random
    result: Result
    acknowledged: set[str] = field(factory=set)
    told: int = 0
    stopping: bool = False
    _kept: trio.SocketStream | None = None

    async def run(self) -> None:
        try:
            while not self.stopping:
                await self._post()
                await trio.sleep(self.rng.expovariate(1 / PACE_S))
        finally:
            if self._kept is not None:
                await trio.aclose_forcefully(self._kept)

    async def _post(self) -> None:
        self.told += 1
        order = f"{self.name}-{self.told}"
        body = order_body(order, lines=[(sku(1 + self.told % SKUS), 1)])
        headers = signed(body, TILL_SECRET, delivery=order)
        began = trio.current_time()
        self.result.requests += 1
        try:
            with trio.fail_after(PATIENCE_S):
                status = await self._send(request("POST", f"/webhooks/{TILL}", body, headers))
        except CUT_OFF as error:
            self.result.refused += isinstance(error, ConnectionRefusedError)
            self._failed(order, f"{type(error).__name__}: {error}")
            return
        self.result.longest_wait_ms = max(self.result.longest_wait_ms, (trio.current_time() - began) * 1_000)
        if status == 200:
            self.acknowledged.add(order)
        else:
            self._failed(order, f"answered {status}")

    def _failed(self, order: str, why: str) -> None:
        self.result.failed += 1
        self.result.problems.append(f"{order}: {why}")

    async def _send(self, sent: bytes) -> int:
        if not self.keeps:
            async with await connect(self.port) as stream:
                await stream.send_all(sent)
                return (await read_answer(stream)).status
        kept, self._kept = self._kept, None
        if kept is not None and kept.socket.is_readable():  # its end: nothing else comes unasked
            await trio.aclose_forcefully(kept)
            kept = None
            self.result.parted += 1
        stream = kept or await connect(self.port)
        await stream.send_all(sent.replace(b"Connection: close\r\n", b""))
        head = b""
        while not head.endswith(b"\n") or b"\r\n\r\n" not in head:
            received = await stream.receive_some(65_536)
            if not received:
                await stream.aclose()
                raise trio.BrokenResourceError("the connection ended before the answer")
            head += received
        if b"connection: close" in head.lower():
            await stream.aclose()
        else:
            self._kept = stream
        return int(head.split()[1])


async def graceful(folder: Path, *, restarts: int, clients: int = 8, seed: int = 1, fresh: bool = False) -> Result:
    """Restart it in `folder` so often while clients post."""
    result = Result()
    began = trio.current_time()
    with contextlib.ExitStack() as stack:
        held = stack.enter_context(held_socket())
        port = held.getsockname()[1]
        write_config(folder, port, {TILL: sandbox_channel(TILL, free_port())})
        out = folder / "daemon.out"
        if fresh:
            run = ["--listen-fd", str(held.fileno()), "run", "--config", str(folder / "config.yaml")]
            command = [onhand()[0], "-m", "tests.crash.victim", *run]
            process: Process = Process(command, out, pass_fds=(held.fileno(),))
        else:
            zygote = stack.enter_context(Zygote())
            process = Fork(daemon_command(folder), out, pass_fds=(held.fileno(),), zygote=zygote)
        async with daemon(folder, port, start=False, process=process) as found:
            await _restart_under_load(found, result, restarts, clients, random.Random(seed))
    result.seconds = round(trio.current_time() - began, 1)
    return result


async def _restart_under_load(found: Daemon, result: Result, restarts: int, clients: int, rng: random.Random) -> None:
    process = found.process
    process.start()
    await found.wait_ready()
    people = [
        Client(f"C{number}", found.port, bool(number % 2), random.Random(rng.random()), result)
        for number in range(clients)
    ]
    away: list[float] = []
    async with trio.open_nursery() as nursery:
        for each in people:
            nursery.start_soon(each.run)
        for _ in range(restarts):
            await trio.sleep(rng.uniform(*LIFE_S))
            asked = trio.current_time()
            code = await process.terminate(10)
            if code != 0:
                result.problems.append(f"the orderly stop ended with {code}")
            process.start()
            await found.http.get(f"{found.url}/healthz", timeout=30)
            away.append(trio.current_time() - asked)
            result.restarts += 1
        for each in people:
            each.stopping = True
    result.away_ms = round(statistics.median(away) * 1_000, 1) if away else 0.0
    result.longest_wait_ms = round(result.longest_wait_ms, 1)
    await _look_up(found, result, people)


async def _look_up(found: Daemon, result: Result, people: list[Client]) -> None:
    logged = [event["cause"]["order"] for event in await found.events() if event["kind"] == "order"]
    acknowledged = set().union(*(each.acknowledged for each in people))
    missing = acknowledged - set(logged)
    result.missing, result.twice = len(missing), len(logged) - len(set(logged))
    result.problems += [f"{order} was acknowledged, and is not in the log" for order in sorted(missing)]
    if result.twice:
        result.problems.append(f"{result.twice} orders are in the log twice")
    if await found.process.terminate(10) != 0:
        result.problems.append("the last orderly stop failed")
    if complaints := found.process.complaints():
        result.problems.append(f"the daemon wrote to stderr: {complaints[-1000:]}")


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--restarts", type=int, default=20)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fresh", action="store_true", help="start each daemon from nothing, imports and all")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = partial(graceful, Path(folder), restarts=options.restarts, clients=options.clients, seed=options.seed)
        result = trio.run(partial(run, fresh=options.fresh))
    if options.json:
        print(json.dumps(asdict(result)))
    else:
        for name, value in asdict(result).items():
            if name != "problems":
                print(f"{name.replace('_', ' '):>16}  {value}")
        for problem in result.problems[:20]:
            print(f"PROBLEM: {problem}")
        print("nobody noticed" if not result.problems else f"{len(result.problems)} problems")
    return 1 if result.problems else 0


if __name__ == "__main__":
    sys.exit(main())

"""Kill the daemon again and again while three storefronts sell, and check that every unit is accounted for.

    python -m tests.acceptance.kill_loop --kills 100 --seed 1 [--json]

Three `onhand sandbox` processes lose, repeat, delay and reorder their webhooks and fail some of the daemon's calls;
shoppers buy, cancel, give back and receive goods all the time; `onhand run` is killed with SIGKILL at random moments,
some of them during its start or its orderly stop, and started again at once. Then everything calms down, and the
daemon must agree with the storefronts' own ledgers, exactly.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import trio
from attrs import asdict, define, field

from tests.acceptance.processes import Daemon, Shop, daemon, free_port, sandbox_channel, shop, until, write_config

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NAMES = ("north", "south", "outlet")
BUFFERS = {"north": 0, "south": 1, "outlet": 0}
SKUS = 12
HOT = 3
"""So many of the SKUs sell out, again and again; the others never do."""
STOCK = 5_000
PACE_S = 0.06
"""Mean pause of a shopper; there is one at each storefront."""
LATEST_WRITE_S = 9.0
"""A storefront may apply a write so long after its client gave up."""
CALM_S = 90.0
"""Most that everything may take to converge once input has stopped."""
FAULTS = {
    "webhook": {"duplicate": 0.2, "drop": 0.1, "reorder": 0.3, "delay_s": 1.0},
    "api": {"error_500": 0.04, "throttle_429": 0.01, "timeout": 0.02, "lose_answer": 0.04},
}
FIERCE = {
    "webhook": {"duplicate": 0.4, "drop": 0.4, "reorder": 0.5, "delay_s": 3.0},
    "api": {"error_500": 0.15, "throttle_429": 0.02, "timeout": 0.1, "lose_answer": 0.15, "lie_ok": 0.05},
}
"""Also tells lies: levels said to be written that were not. Only another look at the store finds those, so the run
ends with `onhand reconcile`."""


@define
class Result:
    """What came of it; `problems` empty means that all is well."""

    kills: int
    seed: int
    kills_during_start: int = 0
    kills_during_stop: int = 0
    starts: int = 0
    start_to_ready_ms: float = 0.0
    slowest_start_ms: float = 0.0
    orders: int = 0
    changes: int = 0
    acked: int = 0
    lost: int = 0
    miscounted: int = 0
    units_miscounted: int = 0
    oversold_skus: int = 0
    oversold_units: int = 0
    converged_s: float = 0.0
    events: int = 0
    seconds: float = 0.0
    problems: list[str] = field(factory=list)


@define
class Traffic:
    """Shoppers and staff of one storefront, until told to stop."""

    shop: Shop
    rng: random.Random
    kills: int
    stopping: bool = False
    orders: list[str] = field(factory=list)
    changes: int = 0

    async def run(self) -> None:
        while not self.stopping:
            await trio.sleep(self.rng.expovariate(1 / PACE_S))
            if self.orders and self.rng.random() < 0.25:
                await self._change()
            else:
                await self._buy()

    async def _buy(self) -> None:
        rng = self.rng
        if rng.random() < 0.15:
            # A hot SKU goes in large lots, and in single units when there is no lot left.
            sku = rng.randint(1, HOT)
            for units in (rng.randint(1, max(2, 6 * STOCK // (self.kills + 20))), rng.randint(1, 3)):
                if await self._order([{"sku": f"SKU-{sku:04d}", "quantity": units}]):
                    return
            return
        chosen = rng.sample(range(HOT + 1, SKUS + 1), rng.choice((1, 1, 2)))
        await self._order([{"sku": f"SKU-{sku:04d}", "quantity": rng.randint(1, 3)} for sku in chosen])

    async def _order(self, lines: list[dict[str, object]]) -> bool:
        status, answer = await self.shop.post("/orders", {"lines": lines})
        if status == 201:
            self.orders.append(answer["id"])
        return status == 201

    async def _change(self) -> None:
        rng = self.rng
        order = rng.choice(self.orders[-40:] if rng.random() < 0.8 else self.orders)
        action = rng.choice(("cancel", "refund", "fulfil", "fulfil"))
        body: dict[str, object] = {}
        if rng.random() < 0.5:
            body = {"lines": [{"id": "1", "quantity": 1}]}
        if action == "refund":
            body["restock"] = rng.random() < 0.8
        status, _ = await self.shop.post(f"/orders/{order}/{action}", body)
        self.changes += status == 200


@define
class Loop:
    """One run."""

    daemon: Daemon
    shops: dict[str, Shop]
    result: Result
    rng: random.Random
    starts_s: list[float] = field(factory=list)
    fierce: bool = False
    progress: Any = None

    async def run(self) -> None:
        began = trio.current_time()
        await self._start()
        await self.daemon.wait_ready(60)
        for place, each in enumerate(self.shops.values()):
            await each.post("/faults", {**(FIERCE if self.fierce else FAULTS), "seed": self.result.seed * 10 + place})
        traffics = [Traffic(each, random.Random(f"{self.result.seed} {each.name}"), self.result.kills)
                    for each in self.shops.values()]  # fmt: skip
        async with trio.open_nursery() as nursery:
            for traffic in traffics:
                nursery.start_soon(traffic.run)
            await self._kill_again_and_again()
            for traffic in traffics:
                traffic.stopping = True
        self.result.orders = sum(len(traffic.orders) for traffic in traffics)
        self.result.changes = sum(traffic.changes for traffic in traffics)
        for each in self.shops.values():
            await each.post("/faults", {})
        if self.fierce:
            await self._reconcile()
        await self._converge()
        await self._judge()
        self.result.seconds = round(trio.current_time() - began, 1)

    async def _start(self) -> None:
        began = trio.current_time()
        self.daemon.process.start()
        self.result.starts += 1
        await self.daemon.wait_serving(30)
        self.starts_s.append(trio.current_time() - began)

    async def _kill_again_and_again(self) -> None:
        for number in range(1, self.result.kills + 1):
            await trio.sleep(self.rng.uniform(0.05, 1.6))
            if self.rng.random() < 0.15:
                self.result.kills_during_stop += 1
                self.daemon.process.ask_to_stop()
                await trio.sleep(self.rng.uniform(0, 0.3))
            self.daemon.process.kill()
            while self.rng.random() < 0.12 and self.result.kills_during_start < self.result.kills:
                self.result.kills_during_start += 1
                self.result.starts += 1
                self.daemon.process.start()
                await trio.sleep(self.rng.uniform(0.05, statistics.median(self.starts_s) * 1.3))
                self.daemon.process.kill()
            await self._start()
            if self.progress is not None:
                self.progress(number, self.starts_s)

    async def _converge(self) -> None:
        self.result.start_to_ready_ms = round(statistics.median(self.starts_s) * 1_000, 1)
        self.result.slowest_start_ms = round(max(self.starts_s) * 1_000, 1)
        try:
            self.result.converged_s = round(await until(self._calm, CALM_S, 0.25), 2)
        except trio.TooSlowError:
            self.result.problems.append(f"not converged within {CALM_S:.0f} s")
            self.result.converged_s = CALM_S

    async def _reconcile(self) -> None:
        """Compare with the live storefronts, once no late write can come any more."""
        await trio.sleep(LATEST_WRITE_S)
        for name in NAMES:
            report = await self.daemon.tell(f"/v1/channels/{name}/reconcile")
            if report["error"]:
                self.result.problems.append(f"{name} could not be reconciled: {report['error']}")

    async def _calm(self) -> bool:
        """Does every storefront show what the ledgers say, with nothing left to do?"""
        ledgers = {name: await each.get("/ledger") for name, each in self.shops.items()}
        truth = true_stock(ledgers)
        if any(
            ledgers[name]["skus"][sku]["quantity"] != level_of(name, units)
            for sku, units in truth.items()
            for name in NAMES
        ):
            return False
        outbox = (await self.daemon.ask("/v1/status"))["outbox"]
        return not any(outbox.values())

    async def _judge(self) -> None:
        ledgers = {name: await each.get("/ledger") for name, each in self.shops.items()}
        self._judge_numbers(ledgers, {sku: await self.daemon.ask(f"/v1/skus/{sku}") for sku in true_stock(ledgers)})
        events = await self.daemon.events()
        self.result.events = len(events)
        self._judge_deliveries(ledgers, events)
        verified = await self.daemon.tell("/v1/rebuild", {"verify": True})
        if not verified["ok"]:
            self.result.problems.append(f"the state is not the fold of the log: {verified}")
        code = await self.daemon.process.terminate(10)
        if code != 0:
            self.result.problems.append(f"the orderly stop ended with {code}")
        self._judge_log()

    def _judge_numbers(self, ledgers: dict[str, Any], skus: dict[str, Any]) -> None:
        result = self.result
        for sku, units in true_stock(ledgers).items():
            known = skus[sku]
            if (known["available"], known["debt"]) != (units, max(0, -units)):
                result.miscounted += 1
                result.units_miscounted += abs((known["available"] or 0) - units)
                result.problems.append(f"{sku}: available {known['available']}, in truth {units}")
            if units < 0:
                result.oversold_skus += 1
                result.oversold_units -= units
            result.problems += [
                f"{sku}: {name} shows {ledgers[name]['skus'][sku]['quantity']}, not {level_of(name, units)}"
                for name in NAMES
                if ledgers[name]["skus"][sku]["quantity"] != level_of(name, units)
            ]

    def _judge_deliveries(self, ledgers: dict[str, Any], events: list[dict[str, Any]]) -> None:
        """Every order version whose webhook was answered 2xx is in the log, line by line, and was by then.

        What came into the log only later, from the order feed, had been lost.
        """
        known: dict[tuple[str, str, str, int], int] = {}
        for event in events:
            if event["kind"] == "order":
                key = (event["channel"], event["cause"]["order"], event["cause"]["line"], event["version"])
                known.setdefault(key, microseconds(event["at"]))
        for name, ledger in ledgers.items():
            for order, version, lines, acked_us in acknowledged(ledger):
                self.result.acked += 1
                late = [line for line in lines if known.get((name, order, line, version), acked_us + 1) > acked_us]
                if late:
                    self.result.lost += 1
                    self.result.problems.append(f"{name}: order {order} version {version} was acknowledged, and lost")

    def _judge_log(self) -> None:
        process = self.daemon.process
        if complaints := process.complaints():
            self.result.problems.append(f"the daemon wrote to stderr: {complaints[-2000:]}")
        errors = [record for record in process.records() if record["severity"] == "error"]
        self.result.problems += [f"the daemon logged {json.dumps(record)[:1000]}" for record in errors[:10]]


def true_stock(ledgers: dict[str, Any]) -> dict[str, int]:
    """What is really there: the first count, less what was sold everywhere, plus what was given back."""
    first = ledgers[NAMES[0]]["skus"]
    return {
        sku: entry["initial"]
        - sum(each["skus"][sku]["sold"] - each["skus"][sku]["given_back"] for each in ledgers.values())
        for sku, entry in first.items()
    }


def level_of(name: str, units: int) -> int:
    """What the storefront should show."""
    return max(0, units - BUFFERS[name])


def acknowledged(ledger: dict[str, Any]) -> Iterator[tuple[str, int, list[str], int]]:
    """(order, version, lines, when) of every change whose webhook was answered 2xx.

    The storefront sends one `order.updated` for each change, in the same order; each change is a version.
    """
    answered: dict[str, list[int]] = {}
    for hook in ledger["webhooks"]:
        if hook["topic"] == "order.updated":
            good = [attempt["at_us"] for attempt in hook["attempts"] if attempt["status"] in (200, 204)]
            answered.setdefault(hook["delivery"], []).extend(good)
    versions: dict[str, int] = defaultdict(int)
    lines = {order["id"]: [line["id"] for line in order["lines"]] for order in ledger["orders"]}
    for change, good in zip(ledger["order_changes"], answered.values(), strict=True):
        versions[change["order"]] += 1
        if good:
            yield change["order"], versions[change["order"]], lines[change["order"]], min(good)


def microseconds(stamp: str) -> int:
    """An RFC 3339 stamp as µs since 1970."""
    return (datetime.fromisoformat(stamp) - EPOCH) // timedelta(microseconds=1)


async def kill_loop(folder: Path, kills: int, seed: int, progress: Any = None, *, fierce: bool = False) -> Result:
    """Run it in `folder`; what is left there shows what happened."""
    port = free_port()
    async with contextlib.AsyncExitStack() as stack:
        shops = {
            name: await stack.enter_async_context(
                shop(folder, name, f"http://127.0.0.1:{port}/webhooks/{name}", skus=SKUS, stock=STOCK, seed=seed)
            )
            for name in NAMES
        }
        channels = {name: sandbox_channel(name, shops[name].port, buffer=BUFFERS[name]) for name in NAMES}
        write_config(folder, port, channels)
        under_test = await stack.enter_async_context(daemon(folder, port, start=False))
        result = Result(kills, seed)
        await Loop(under_test, shops, result, random.Random(f"{seed} kills"), fierce=fierce, progress=progress).run()
    return result


def _print_progress(number: int, starts_s: list[float]) -> None:
    if number % 10 == 0:
        median_ms = statistics.median(starts_s) * 1_000
        print(f"{number} kills, {len(starts_s)} starts, start to ready {median_ms:.0f} ms", file=sys.stderr)


def _print_table(result: Result) -> None:
    for name, value in asdict(result).items():
        if name != "problems":
            print(f"{name.replace('_', ' '):>20}  {value}")
    for problem in result.problems:
        print(f"PROBLEM: {problem}")
    print("every unit is accounted for" if not result.problems else f"{len(result.problems)} problems")


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fierce", action="store_true", help="storefronts that fail often, and lie")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--keep", type=Path, help="leave the state, the logs and the ledgers in this folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        progress = None if options.json else _print_progress
        result = trio.run(partial(kill_loop, folder, options.kills, options.seed, progress, fierce=options.fierce))
    if options.json:
        print(json.dumps(asdict(result)))
    else:
        _print_table(result)
    return 1 if result.problems else 0


if __name__ == "__main__":
    sys.exit(main())

"""How long a look back takes in a large log: `python -m tests.admin.then_bench [--events N] [--hot N] [DIRECTORY]`.

The log is written through the registry as the daemon writes it: sales, their fulfilment, and the pushes to two
channels that follow, over 60 days; one SKU has `--hot` events of its own. Then moments are asked for at random, half
of them of the hot SKU, and the figures are printed as JSON.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import trio

from daemon.actors.actor import Part
from daemon.admin.then import explain_then, sku_then
from daemon.admin.words import rfc3339
from daemon.app.main import GC_THRESHOLDS
from daemon.domain.instants import DAY_US, Span
from daemon.domain.instants import Instant as At
from daemon.domain.observations import LevelReport, OrderLine, StockCount
from daemon.domain.sku import Confirmed, ReadBack, Settle
from daemon.domain.slot import TOUCHED_MAX
from daemon.storage.codec import Cause
from tests.harness import House, housed
from tests.storage.rooms import inline

DAYS = 60
BATCH = 1_500
HOT = "HOT"


async def write(house: House, events: int, hot: int) -> None:
    """Fill the log."""
    rng, store, registry = random.Random(1), house.store, house.registry
    skus = [f"SKU-{place:05}" for place in range(max(1, (events - hot) // 100))]
    step_us = DAYS * DAY_US // max(1, events // 6)
    for sku in (HOT, *skus):
        registry.tell([Part(sku, LevelReport(each, f"L-{sku}", 50, house.now(), sku), Cause("catalogue", each))
                       for each in house.channels])  # fmt: skip
        registry.tell([Part(sku, StockCount("person", sku, 1_000_000, at=house.now()), Cause("admin"))])
    registry.drain()
    orders, settled_us = 0, house.clock.us
    while store.head.seq < events:
        for _ in range(BATCH // 6):
            orders += 1
            house.clock.us += step_us
            sku = HOT if rng.random() < hot / events else rng.choice(skus)
            _sale(house, sku, str(orders))
        if house.clock.us - settled_us > DAY_US:
            settled_us = house.clock.us
            registry.tell([Part(HOT, Settle(settled_us - 30 * DAY_US), Cause("settlement"))])
            registry.drain()
        await store.checkpoint()
        registry.checkpointed()


def _sale(house: House, sku: str, order: str) -> None:
    now, registry = At(Span(house.clock.us, house.clock.us)), house.registry
    sold = OrderLine("shop", order, "1", sku, 1, version=1, at=now, placed=now)
    sent = OrderLine("shop", order, "1", sku, 1, version=2, at=now, placed=now, fulfilled=1)
    registry.tell([Part(sku, sold, Cause("webhook", "shop", 1, order, "1"))])
    registry.tell([Part(sku, sent, Cause("webhook", "shop", 2, order, "1"))])
    registry.drain()
    for slot in registry.actor(sku).state.slots.values():
        if slot.needs_push() and not slot.in_flight:
            push = house.outbox.claim(slot)
            done = Confirmed(slot.channel, slot.listing, push.generation, push.level, house.now())
            registry.tell([Part(sku, done, Cause("push", slot.channel))])
        if len(slot.touched) > TOUCHED_MAX:  # as it is asked for then
            back = ReadBack(slot.channel, slot.listing, slot.belief, house.now())
            registry.tell([Part(sku, back, Cause("readback", slot.channel))])
    registry.drain()


async def measure(house: House, first_us: int, looks: int) -> dict[str, Any]:
    """Ask for random moments."""
    rng, inside, last_us = random.Random(2), house.inside(), house.store.head.hlc_us
    some = [sku for sku in house.registry.skus(limit=1_000) if sku != HOT]
    took: dict[str, list[float]] = {}
    for _ in range(looks):
        at = rfc3339(rng.randrange(first_us, last_us))
        for name, sku in (("hot", HOT), ("any", rng.choice(some))):
            for what, ask in (("sku", sku_then(inside, sku, at)), ("explain", explain_then(inside, sku, at, ""))):
                began, worked = time.perf_counter(), time.process_time()
                await ask
                took.setdefault(f"{what}, {name}", []).append((time.perf_counter() - began) * 1e3)
                took.setdefault(f"{what}, {name}, processor time", []).append((time.process_time() - worked) * 1e3)
    return {name: _quantiles(sorted(each)) for name, each in took.items()}


def _quantiles(took_ms: list[float]) -> dict[str, float]:
    places = {"p50_ms": len(took_ms) // 2, "p99_ms": len(took_ms) * 99 // 100}
    return {name: round(took_ms[place], 2) for name, place in places.items()}


async def bench(directory: Path, events: int, hot: int, looks: int) -> None:
    """Write, ask, print."""
    async with housed(directory, run_blocking=inline, map_bytes=8 << 30, actors_max=20_000) as house:
        await write(house, events, hot)
        first_us = house.store.records(0, 1)[0].at_us + DAY_US
        state = house.registry.peek(HOT)
        assert state is not None
        rows = house.store.env.count("marks")
        told = {"events": house.store.head.seq, "lines of the hot SKU": len(state.stock.lines), "marks": rows,
                "used_bytes": house.store.env.sizes()[1]}  # fmt: skip
        print(json.dumps(told | await measure(house, first_us, looks), indent=1))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", nargs="?", type=Path)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--hot", type=int, default=100_000)
    parser.add_argument("--looks", type=int, default=300)
    given = parser.parse_args()
    gc.set_threshold(*GC_THRESHOLDS)  # as the daemon runs
    with tempfile.TemporaryDirectory() as other:
        trio.run(bench, given.directory or Path(other), given.events, given.hot, given.looks)


if __name__ == "__main__":
    main()

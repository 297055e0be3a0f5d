"""Writes big event logs quickly, through the daemon's own normaliser, fold, registry and store, without HTTP.

    python -m tests.bench.big_log FOLDER --skus 100000 [--events 1000000] [--tail 0] [--seed 1]

FOLDER/config.yaml must name the channels (see `house.write_config`). A new store gets a catalogue first: every
channel lists every SKU, and the first channel's levels are the first counts. Then come `--events` order lines of the
first channel, in orders of one to three over uniform SKUs, spread over the last DAYS days, each order with its body;
now and then every other listing is pushed and shows what it should. All that is written down as an orderly stop
leaves it. Then `--tail` more order lines, left as a kill leaves them. One JSON line at the end says what was written.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import trio
from attrs import define, evolve, field

from adapters import PLATFORMS
from daemon.actors.actor import Part, Unit
from daemon.app.assembly import Parts, assemble
from daemon.app.main import real_ports
from daemon.config import Config, load_config
from daemon.domain.channel import LevelSeen, LineSeen, OrderSeen
from daemon.domain.instants import Span
from daemon.domain.sku import Confirmed
from daemon.ingress.catalogue import Offer, first_count
from daemon.ports import read_file
from daemon.storage.codec import Cause
from daemon.storage.idempotency import digest
from daemon.telemetry import Telemetry
from tests.bench.house import STOCK
from tests.bench.orders import LINES_MAX, sku_names

DAYS = 20
"""Less than the settlement horizon, so that every line is still in its SKU's state."""
DAY_US = 86_400_000_000
FLUSH_EVERY, CHECKPOINT_EVERY = 2_000, 50_000
"""Events between two commits, and between two checkpoints."""
BODY = 700
ROUNDS = 4
"""Times that everything is pushed and settled."""
TAIL_US = 600_000_000


@define
class Clock:
    """Our wall clock, moved by whoever writes."""

    us: int

    def __call__(self) -> int:
        return self.us


@define(eq=False)
class Writer:
    """Fills one assembled, running store."""

    parts: Parts
    clock: Clock
    rng: random.Random
    checkpoints: bool = True
    progress: list[tuple[int, float]] = field(factory=list)
    """(events, seconds of CPU of this process) now and then."""
    _flushed: int = 0
    _written_down: int = 0

    @property
    def events(self) -> int:
        """In the log by now."""
        return self.parts.store.head.seq

    async def catalogue(self, skus: Sequence[str], channels: Sequence[str]) -> None:
        """Every channel shows every SKU, and the first one's level is counted."""
        for start in range(0, len(skus), 500):
            moment = Span(self.clock.us, self.clock.us)
            page: list[Part] = []
            for channel in channels:
                seen = [LevelSeen(f"L-{sku}", STOCK, moment, sku) for sku in skus[start : start + 500]]
                page += self.parts.receiver.levels(self.parts.channels[channel].intake, seen, moment, "catalogue")
            for sku in skus[start : start + 500]:
                at = self.parts.channels[channels[0]].account.instant(moment)
                page.append(first_count(sku, Offer(channels[0], f"L-{sku}", STOCK, at)))
            self._apply(Unit(page))
            self.clock.us += 1_000_000
            await self._keep_up()

    async def orders(self, skus: Sequence[str], channel: str, events: int, spread_us: int) -> None:
        """Orders of the channel until there are so many more events."""
        first, until = self.events, self.events + events
        step_us = max(1, spread_us // max(1, events))
        intake, body = self.parts.channels[channel].intake, os.urandom(BODY // 2).hex().encode()
        for seen in self._sold(skus):
            if self.events >= until:
                break
            self.clock.us += step_us * len(seen.lines)
            stored = self.parts.store.next_delivery()
            told, unlinked = intake.normaliser.order(seen, Cause("webhook", channel, stored))
            if unlinked:
                raise RuntimeError(f"unlinked lines: {unlinked[0].why}")
            self._apply(Unit(told))
            key = digest(channel, seen.order)
            self.parts.store.keep_delivery(stored, channel, "order.updated", key, self.clock.us, body)
            self.parts.seen.add(key, stored)
            await self._keep_up()
            if (self.events - first) // 10_000 > len(self.progress) - 1:
                self.progress.append((self.events, time.process_time()))

    async def settle(self) -> None:
        """Every listing that should show another level is told it, and its channel shows it."""
        for channel in self.parts.channels:
            at = self.parts.channels[channel].account.instant
            for slot in list(self.parts.outbox.lane(channel).slots.values()):
                if not slot.needs_push():
                    continue
                sent = self.parts.outbox.claim(slot)
                self.clock.us += 1_000
                moment = Span(self.clock.us, self.clock.us)
                shown = Confirmed(channel, slot.listing, sent.generation, sent.level, at(moment))
                self._apply(Unit([Part(slot.sku, shown, Cause("push", channel))]))
                await self._keep_up()

    def _sold(self, skus: Sequence[str]) -> Iterator[OrderSeen]:
        number = 0
        while True:
            number += 1
            at = Span(self.clock.us - 500_000, self.clock.us - 500_000)
            chosen = self.rng.choices(skus, k=self.rng.randint(1, LINES_MAX))
            lines = tuple(LineSeen(str(place), f"L-{sku}", sku, 1) for place, sku in enumerate(chosen))
            yield OrderSeen(f"order-{self.events}-{number}", 1, at, lines, at, takes_at_placement=True)

    def _apply(self, unit: Unit) -> None:
        self.parts.registry._post(unit)
        self.parts.registry.drain()

    async def _keep_up(self) -> None:
        if self.events - self._flushed >= FLUSH_EVERY:
            self._flushed = self.events
            await self.parts.store.flush()
        if self.checkpoints and self.events - self._written_down >= CHECKPOINT_EVERY:
            self._written_down = self.events
            await self.checkpoint()

    async def checkpoint(self) -> None:
        """Write down what lags behind the log, as the daemon does."""
        await self.parts.store.checkpoint()
        self.parts.seen.checkpointed()
        self.parts.registry.checkpointed()


def assembled(config: Config, clock: Clock) -> Parts:
    """A whole daemon on that clock, its store open, and nothing of it running."""
    ports = evolve(real_ports(), wall_us=clock, write_line=lambda line: None, environ={})
    telemetry = Telemetry(wall_us=clock, write_line=ports.write_line, level=config.log_level, terminal=False)
    return assemble(config, PLATFORMS, ports, telemetry)


async def write(folder: Path, skus: int, events: int, tail: int, seed: int = 1) -> dict[str, object]:
    """See the module; says what is in the log now, and how long it took."""
    loaded = load_config(str(folder / "config.yaml"), environ={}, platforms=PLATFORMS, read_file=read_file)
    limits = evolve(loaded.limits, queued_max=1 << 30, mailbox_max=1 << 30)
    config = evolve(loaded, limits=limits)
    now_us = time.time_ns() // 1_000
    clock = Clock(now_us - DAYS * DAY_US)
    parts = assembled(config, clock)
    clock.us = max(clock.us, parts.store.head.hlc_us)
    names, channels = sku_names(skus), list(config.channels)
    began = time.monotonic()
    async with trio.open_nursery() as nursery:
        await nursery.start(parts.store.run)
        writer = Writer(parts, clock, random.Random(seed))
        if not writer.events:
            await writer.catalogue(names, channels)
            parts.registry.resume(lambda channel: 0, parts.policies)
        catalogued = writer.events
        spread_us = max(1_000_000, now_us - TAIL_US - clock.us)
        for part in range(ROUNDS):
            await writer.orders(names, channels[0], events * (part + 1) // ROUNDS - events * part // ROUNDS,
                                spread_us // ROUNDS)  # fmt: skip
            await writer.settle()
        await writer.checkpoint()
        if tail:
            writer.checkpoints = False
            await writer.orders(names, channels[0], tail, TAIL_US // 2)
        await parts.store.flush()
        parts.store.stop()
    for client in parts.clients:
        await client.aclose()
    used_bytes = parts.store.env.sizes()[1]
    parts.store.env.close(clean=not tail)
    return {
        "events": writer.events, "catalogue": catalogued, "deliveries": parts.store.head.delivery,
        "seconds": round(time.monotonic() - began, 2), "used_bytes": used_bytes, "progress": writer.progress,
    }  # fmt: skip


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.big_log")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--skus", type=int, required=True)
    parser.add_argument("--events", type=int, default=0)
    parser.add_argument("--tail", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    print(json.dumps(trio.run(write, chosen.folder, chosen.skus, chosen.events, chosen.tail, chosen.seed)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

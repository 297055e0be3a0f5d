"""What is durable: read from the daemon's log and tables as they grow, and never less than was promised."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from attrs import define

from daemon.domain.observations import Adjustment, LevelReport, OrderLine, StockCount
from daemon.domain.sku import Freeze, Sent, Settle
from daemon.domain.stock import Stock, dump
from daemon.storage.codec import Record, number, pack, unpack
from daemon.storage.tables import CURSORS, DELIVERIES
from tests.simulation.kits import shares

if TYPE_CHECKING:
    from daemon.app.assembly import Parts
    from tests.simulation.oracle import Oracle
    from tests.simulation.ports import Life


@define
class Told:
    """A count that somebody told: the daemon took it at some moment of `[from_us, until_us]` (the world's clock)."""

    sku: str
    quantity: int
    kind: str
    from_us: int
    until_us: int = 1 << 62


Acked = tuple[str, bytes, str, int, tuple[tuple[str, str], ...]]
"""(channel, delivery's key, order, version, (line, sku) of each line)"""
LATE_ROWS = 200
"""Deliveries become durable a little out of the order of their numbers: so many are looked at again."""


class Durable:
    """Reads what each commit adds, and keeps what the checks need of it."""

    def __init__(self, oracle: Oracle) -> None:
        self.oracle = oracle
        self.acked: list[Acked] = []
        self.acked_checked = 0
        self.counted: dict[str, Told] = {}
        """By reference."""
        self.sighted: dict[str, dict[tuple[str, str, str], set[int]]] = defaultdict(lambda: defaultdict(set))
        """The versions of order lines that are in the log, by SKU and (channel, order, line)."""
        self.counts: dict[str, dict[tuple[int, int], StockCount]] = defaultdict(dict)
        self.applied: dict[str, dict[str, Adjustment]] = defaultdict(dict)
        self.told: dict[str, list[Any]] = defaultdict(list)
        """Each SKU's observations, in the log's order."""
        self.stocks: dict[str, Stock] = defaultdict(Stock)
        """The log's fold."""
        self.versions: dict[tuple[str, str], int] = defaultdict(int)
        """The newest durable version of each (channel, order)."""
        self.sent: dict[tuple[str, str], int] = {}
        """The newest durable generation that left for each (channel, listing)."""
        self.linked: dict[tuple[str, str], str] = {}
        """(channel, listing) to its SKU, as far as that is durable."""
        self.settled_us: dict[str, int] = defaultdict(int)
        self.frozen_us: dict[str, int] = {}
        self.seq = 0
        self.delivery = 0
        self.deliveries: dict[bytes, int] = {}
        self.cursors: dict[str, int] = {}

    # -- reading --

    def look(self, life: Life) -> None:
        """Read what has become durable since the last look."""
        if life.torn or life.daemon is None:
            return  # what a power cut is about to take away was never durable
        parts = life.daemon.parts
        if parts.store.floor.seq > self.seq:
            self.oracle.fail("I10", f"event {self.seq + 1} went before anybody could have read it")
        while records := parts.store.records(self.seq):
            for record in records:
                self._read(parts, record)
            self.seq = records[-1].seq
        for sku, cause in parts.registry.quarantined.items():
            self.oracle.pushing.check_quarantine(sku, cause)
        self._look_at_cursors(parts)

    def _read(self, parts: Parts, record: Record) -> None:
        message, sku = record.message, record.sku
        delivery = record.cause.delivery
        if delivery and record.cause.by == "webhook" and parts.store.env.get(DELIVERIES, number(delivery)) is None:
            self.oracle.fail("I3", f"event {record.seq} is durable, the delivery {delivery} that told it is not")
        match message:
            case OrderLine():
                key = (message.channel, message.order)
                self.versions[key] = max(self.versions[key], message.version)
                self.sighted[sku][*key, message.line].add(message.version)
            case StockCount():
                self._counted(message)
            case Adjustment():
                if message.reference in self.applied[sku]:
                    self.oracle.fail("I2", f"{sku}: {message.reference} was applied twice")
                self.applied[sku][message.reference] = message
            case LevelReport():
                self.linked[message.channel, message.listing] = sku
            case Sent():
                self.sent[message.channel, message.listing] = message.generation
            case Freeze(frozen=True):
                self.frozen_us.setdefault(sku, record.at_us)
            case Freeze():
                self.frozen_us.pop(sku, None)
            case Settle():
                self.stocks[sku].settle(message.horizon_us, message.floors or {})
                self.settled_us[sku] = max(self.settled_us[sku], message.horizon_us)
        if isinstance(message, OrderLine | StockCount | Adjustment):
            self.told[sku].append(message)
            self.stocks[sku].apply(message)

    def _counted(self, count: StockCount) -> None:
        """A count in the log: somebody must have told it, or the right storefront must have shown it."""
        if count.sku in self.oracle.world.plan.kits:
            self.oracle.fail("I4", f"a kit is not on the shelf: {count}")
        self.counts[count.sku][count.at.at.lo, count.at.at.hi] = count
        if count.source == "person":
            told = self.counted.get(count.reference)
            if told is None or (told.sku, told.quantity, told.kind) != (count.sku, count.quantity, count.kind):
                self.oracle.fail("I4", f"nobody counted {count}")
            return
        world = self.oracle.world
        first = next(front for front in world.front_list if front.lists(count.sku, count.at.at.lo))
        if first.name != count.source:
            self.oracle.fail("I4", f"the first count of {count.sku} should come from {first.name}: {count}")
        assert count.at.own is not None
        level = self.oracle.fronts[first.name].level(count.sku, count.at.own.lo)
        if level != count.quantity:
            self.oracle.fail("I8", f"{first.name} showed {level} then, not {count}")

    def _look_at_cursors(self, parts: Parts) -> None:
        """A cursor that is durable promises that every order up to it is."""
        for name, truth in self.oracle.fronts.items():
            stored = parts.store.env.get(CURSORS, name.encode())
            position_us = unpack(stored)[0] if stored else 0
            if position_us == self.cursors.get(name, 0):
                continue
            self.cursors[name] = position_us
            for order, stamps in truth.stamps.items():
                version = sum(stamp <= position_us for stamp in stamps)
                if self.versions[name, order] < version and not self._excused(name, order):
                    self.oracle.fail(
                        "I3", f"{name}: the cursor is past order {order} v{version}, which is not durable"
                    )

    def _excused(self, channel: str, order: str) -> bool:
        """A poison, of a SKU in quarantine, or older than what is folded: then it is a letter, if anything."""
        truth = self.oracle.fronts[channel]
        skus = {line.sku for line in truth.lines.values() if line.order == order}
        skus |= {part for sku in skus for part, _ in shares(sku, self.oracle.world.plan.kits)}
        placed_us, pushing = truth.placed_us(order), self.oracle.pushing
        if pushing.is_poison(channel, order) or skus & pushing.stopped:
            return True
        return any(placed_us < self.settled_us[sku] for sku in skus)

    # -- after a start --

    def started(self, life: Life) -> None:
        """What is in memory is what the log makes, and what was acknowledged is in it."""
        assert life.daemon is not None
        parts = life.daemon.parts
        self.look(life)
        self.check_acked(parts)
        for sku, stock in self.stocks.items():
            state = parts.registry.peek(sku)
            if state is None or pack(dump(state.stock)) != pack(dump(stock)):
                have = state.stock.available if state else None
                self.oracle.fail("I10", f"{sku}: {have} available after a start, the log says {stock.available}")

    def check_acked(self, parts: Parts) -> None:
        """Each delivery acknowledged since the last time is stored, once, and what it told is known."""
        after = max(0, self.delivery - LATE_ROWS)
        while rows := parts.store.env.scan(DELIVERIES, number(after + 1), limit=1_000):
            for key, payload in rows:
                after = int.from_bytes(key, "big")
                name = unpack(payload)[2]
                if name and self.deliveries.setdefault(name, after) != after:
                    self.oracle.fail("I2", f"delivery {after} is kept, and it is delivery {self.deliveries[name]}")
        self.delivery = max(self.delivery, after)
        for acked in self.acked[self.acked_checked :]:
            if acked[1] not in self.deliveries:
                self.oracle.fail(
                    "I3", f"{acked[0]}: an acknowledged delivery is not stored (order {acked[2]} v{acked[3]})"
                )
            self.check_known(parts, acked)
        self.acked_checked = len(self.acked)

    def check_known(self, parts: Parts, acked: Acked) -> None:
        """The state knows what this delivery told."""
        channel, _, order, version, lines = acked
        if self.oracle.pushing.is_poison(channel, order):
            return
        listed = self.oracle.fronts[channel].lines
        kits = self.oracle.world.plan.kits
        skus = {name: listed[order, name].sku for name, _ in lines}
        told = {(name, each) for name, sku in skus.items() for each, _ in ((sku, 1), *shares(sku, kits))}
        for line, sku in sorted(told):
            state = parts.registry.peek(sku)
            known = state.stock.lines.get((channel, order, line)) if state else None
            excused = self._excused(channel, order)
            if excused and (known is None or sku in self.oracle.pushing.stopped):
                continue
            if known is None or not any(seen.version == version for seen in known.sightings):
                self.oracle.fail("I3", f"{channel}: acknowledged, but unknown: order {order} line {line} v{version}")

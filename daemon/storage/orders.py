"""Which lines and versions of an order are known: what turns "an order as it is now" into order lines.

A line of a kit becomes one line for each component and one for the kit. What the kit was made of when the line was
first seen is kept with it: that much left the shelf, and later versions must move the same lines, whatever the
recipe is by then.

A line that a newer version of its order no longer lists holds nothing from then on, and an older version that
arrives late must not bring it back. So for every known line and every known version that does not list it, a
line of zero units is told. The result does not depend on the order of arrival.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import define, field, frozen

from daemon.domain.instants import DRIFT_PPM, Instant, Span
from daemon.domain.kits import NO_KITS, expand, load_recipe
from daemon.domain.observations import OrderLine, Recipe
from daemon.domain.stock import LineKey, dump_instant, load_instant
from daemon.storage.behind import BehindTable
from daemon.storage.codec import EmptyOrder, pack, unpack
from daemon.storage.store import Store
from daemon.storage.tables import ORDERS, pair, unpair

VERSIONS_MAX = 64
"""Versions remembered of one order; the newest stay."""

VersionKey = tuple[int, int]
"""(version, read_us)"""


@frozen
class Known:
    """What a line is of, as it has been since it was first seen."""

    sku: str
    listing: str
    recipe: Recipe = ()


@define
class OrderEntry:
    """What is known of one order: its lines, and its versions with their moment."""

    lines: dict[str, Known] = field(factory=dict)
    versions: dict[VersionKey, Instant] = field(factory=dict)
    placed: Instant | None = None

    def moment(self, read: Instant, now_us: int) -> Instant:
        """A stamp of this order, just read on our clock: as it was read before, if that is the same moment for all we
        know of the drift of clocks. Each poll reads it a little differently, and none of that would be news.

        Where it was read quite differently before, a clock was set since, or before that: nobody knows which reading
        is right, so it may be either."""
        more_us = abs(now_us - read.at.lo) * DRIFT_PPM // 1_000_000
        wide = Span(read.at.lo - more_us, read.at.hi + more_us)
        known = [*self.versions.values(), *([self.placed] if self.placed else [])]
        same = [each for each in known if read.own and each.own == read.own]
        either = next((each for each in same if wide.meet(each.at)), read)
        for each in same:
            either = either.hull(each)
        return either

    def learn(
        self, channel: str, order: str, told: list[OrderLine], version: VersionKey, at: Instant,
        kits: Mapping[str, Recipe] = NO_KITS,
    ) -> list[OrderLine]:  # fmt: skip
        """One version of the order lists exactly `told`; returns these lines and every zero that follows, lines of
        kits with their components."""
        out = list(told)
        listed = {line.line for line in told}
        for name, known in self.lines.items():
            if name not in listed:
                out.append(_nothing(channel, order, name, known, version, at))
        for line in told:
            if line.line not in self.lines:
                known = self.lines[line.line] = Known(line.sku, line.listing, kits.get(line.sku, ()))
                # Also at this very version, if it was told before: it did not list the line then.
                out += [
                    _nothing(channel, order, line.line, known, other, when) for other, when in self.versions.items()
                ]
        self.remember(version, at, told[0].placed if told else None)
        if not any(known.recipe for known in self.lines.values()):
            return out
        return [part for line in out for part in expand(line, self.lines[line.line].recipe)]

    def remember(self, version: VersionKey, at: Instant, placed: Instant | None = None) -> None:
        """This version of the order has been seen; and, where it says so, when the order was placed."""
        if placed:
            self.placed = self.placed.hull(placed) if self.placed else placed
        self.versions[version] = self.versions[version].hull(at) if version in self.versions else at
        if len(self.versions) > VERSIONS_MAX:
            del self.versions[min(self.versions)]


def _nothing(
    channel: str, order: str, line: str, known: Known, version: VersionKey, at: Instant
) -> OrderLine:  # fmt: skip
    return OrderLine(
        channel=channel, order=order, line=line, sku=known.sku, listing=known.listing,
        version=version[0], read_us=version[1], at=at,
    )  # fmt: skip


def dump_entry(entry: OrderEntry) -> bytes:
    """The stored row of an order."""
    return pack(
        (
            [
                (line, known.sku, known.listing, *([known.recipe] if known.recipe else []))
                for line, known in sorted(entry.lines.items())
            ],
            [(*key, dump_instant(at)) for key, at in sorted(entry.versions.items())],
            *([dump_instant(entry.placed)] if entry.placed else []),
        )
    )


def load_entry(payload: bytes) -> OrderEntry:
    """The inverse of `dump_entry`."""
    lines, versions, *placed = unpack(payload)
    return OrderEntry(
        {line: Known(sku, listing, load_recipe(*recipe) if recipe else ()) for line, sku, listing, *recipe in lines},
        {(version, read_us): load_instant(at) for version, read_us, at in versions},
        load_instant(placed[0]) if placed else None,
    )


class OrderIndex:
    """The known orders, written behind the log and rebuilt from its tail. `kits`: what kits are made of now."""

    def __init__(self, store: Store, kits: Mapping[str, Recipe] = NO_KITS) -> None:
        self.kits = kits
        self.table: BehindTable[OrderEntry] = BehindTable(store, ORDERS, dump_entry, load_entry)

    def scratch(self) -> OrderIndex:
        """A copy to try things out on."""
        copy = OrderIndex(self.table.store, self.kits)
        copy.table = self.table.scratch()
        return copy

    def known(self, channel: str, order: str) -> bool:
        """Did anybody ever tell of this order?"""
        return self.table.get(pair(channel, order)) is not None

    def learn(
        self, channel: str, order: str, told: list[OrderLine], version: VersionKey, at: Instant
    ) -> list[OrderLine | EmptyOrder]:
        """See `OrderEntry.learn`; an order of which no line is known yet tells that it is empty."""
        key = pair(channel, order)
        entry = self.table.get(key) or OrderEntry()
        known = entry.versions.get(version)
        before = len(entry.lines), entry.placed
        lines = entry.learn(channel, order, told, version, at, self.kits)
        if entry.versions.get(version) != known or (len(entry.lines), entry.placed) != before:
            self.table.set(key, entry)
        if lines or known:
            return list(lines)
        return [EmptyOrder(channel, order, version[0], version[1], at)]

    def moment(self, channel: str, order: str, read: Instant) -> Instant:
        """See `OrderEntry.moment`."""
        entry = self.table.get(pair(channel, order))
        return entry.moment(read, self.table.store.wall_us()) if entry else read

    def sku_of(self, channel: str, order: str, line: str) -> str:
        """The SKU that a known line has always had; empty for an unknown line."""
        entry = self.table.get(pair(channel, order))
        known = entry.lines.get(line) if entry else None
        return known.sku if known else ""

    def prune(
        self, after: bytes, horizon_us: int, counted: Callable[[str, LineKey], bool], limit: int = 500
    ) -> bytes:
        """Forget orders whose newest version is older than `horizon_us` in the next `limit` rows behind `after`;
        returns the last key seen, or nothing behind the last row of all.

        Not those with a line that still counts in the stock of a SKU, as `counted` says: a version that does not list
        that line any more must find it, however old the order is by then."""
        rows = self.table.store.env.scan(ORDERS, after + b"\0" if after else b"", limit=limit)
        for key, payload in rows:
            entry = load_entry(payload)
            if any(at.at.hi >= horizon_us for at in entry.versions.values()):
                continue
            channel, order = unpair(key) or ("", "")
            lines = (
                (sku, (channel, order, line))
                for line, known in entry.lines.items()
                for sku in (known.sku, *(component for component, _ in known.recipe))
            )
            if not any(counted(sku, line) for sku, line in lines):
                self.table.forget(key)
        return rows[-1][0] if len(rows) == limit else b""

    def replayed(self, seen: OrderLine | EmptyOrder) -> None:
        """An event of the log's tail, at start: know again what it says."""
        key = pair(seen.channel, seen.order)
        entry = self.table.get(key) or OrderEntry()
        if isinstance(seen, OrderLine):
            entry.lines.setdefault(seen.line, Known(seen.kit or seen.sku, seen.listing, seen.recipe))
        entry.remember((seen.version, seen.read_us), seen.at, seen.placed if isinstance(seen, OrderLine) else None)
        self.table.set(key, entry)

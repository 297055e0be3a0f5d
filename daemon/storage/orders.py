"""Which lines and versions of an order are known: what turns "an order as it is now" into order lines.

A line that a newer version of its order no longer lists holds nothing from then on, and an older version that
arrives late must not bring it back. So for every known line and every known version that does not list it, a
line of zero units is told. The result does not depend on the order of arrival.
"""

from __future__ import annotations

from attrs import define, field

from daemon.domain.instants import Instant
from daemon.domain.observations import OrderLine
from daemon.domain.stock import dump_instant, load_instant
from daemon.storage.behind import BehindTable
from daemon.storage.codec import EmptyOrder, pack, unpack
from daemon.storage.store import Store
from daemon.storage.tables import ORDERS, pair

VERSIONS_MAX = 64
"""Versions remembered of one order; the newest stay."""

VersionKey = tuple[int, int]
"""(version, read_us)"""


@define
class OrderEntry:
    """What is known of one order: its lines with their SKU and listing, and its versions with their moment."""

    lines: dict[str, tuple[str, str]] = field(factory=dict)
    versions: dict[VersionKey, Instant] = field(factory=dict)

    def learn(
        self, channel: str, order: str, told: list[OrderLine], version: VersionKey, at: Instant
    ) -> list[OrderLine]:
        """One version of the order lists exactly `told`; returns these lines and every zero that follows."""
        out = list(told)
        listed = {line.line for line in told}
        for name, (sku, listing) in self.lines.items():
            if name not in listed:
                out.append(_nothing(channel, order, name, sku, listing, version, at))
        for line in told:
            if line.line not in self.lines:
                self.lines[line.line] = (line.sku, line.listing)
                # Also at this very version, if it was told before: it did not list the line then.
                out += [
                    _nothing(channel, order, line.line, line.sku, line.listing, other, when)
                    for other, when in self.versions.items()
                ]
        self.remember(version, at)
        return out

    def remember(self, version: VersionKey, at: Instant) -> None:
        """This version of the order has been seen."""
        self.versions[version] = self.versions[version].hull(at) if version in self.versions else at
        if len(self.versions) > VERSIONS_MAX:
            del self.versions[min(self.versions)]


def _nothing(
    channel: str, order: str, line: str, sku: str, listing: str, version: VersionKey, at: Instant
) -> OrderLine:
    return OrderLine(
        channel=channel, order=order, line=line, sku=sku, listing=listing,
        version=version[0], read_us=version[1], at=at,
    )  # fmt: skip


def _dump(entry: OrderEntry) -> bytes:
    return pack(
        (
            [(line, *where) for line, where in sorted(entry.lines.items())],
            [(*key, dump_instant(at)) for key, at in sorted(entry.versions.items())],
        )
    )


def _load(payload: bytes) -> OrderEntry:
    lines, versions = unpack(payload)
    return OrderEntry(
        {line: (sku, listing) for line, sku, listing in lines},
        {(version, read_us): load_instant(at) for version, read_us, at in versions},
    )


class OrderIndex:
    """The known orders, written behind the log and rebuilt from its tail."""

    def __init__(self, store: Store) -> None:
        self.table: BehindTable[OrderEntry] = BehindTable(store, ORDERS, _dump, _load)

    def learn(
        self, channel: str, order: str, told: list[OrderLine], version: VersionKey, at: Instant
    ) -> list[OrderLine | EmptyOrder]:
        """See `OrderEntry.learn`; an order of which no line is known yet tells that it is empty."""
        key = pair(channel, order)
        entry = self.table.get(key) or OrderEntry()
        known = entry.versions.get(version)
        before = len(entry.lines)
        lines = entry.learn(channel, order, told, version, at)
        if entry.versions.get(version) != known or len(entry.lines) > before:
            self.table.set(key, entry)
        if lines or known:
            return list(lines)
        return [EmptyOrder(channel, order, version[0], version[1], at)]

    def sku_of(self, channel: str, order: str, line: str) -> str:
        """The SKU that a known line has always had; empty for an unknown line."""
        entry = self.table.get(pair(channel, order))
        return entry.lines.get(line, ("", ""))[0] if entry else ""

    def prune(self, after: bytes, horizon_us: int, limit: int = 500) -> bytes:
        """Forget orders whose newest version is older than `horizon_us` in the next `limit` rows behind `after`;
        returns the last key seen, or nothing behind the last row of all."""
        rows = self.table.store.env.scan(ORDERS, after + b"\0" if after else b"", limit=limit)
        for key, payload in rows:
            if all(at.at.hi < horizon_us for at in _load(payload).versions.values()):
                self.table.forget(key)
        return rows[-1][0] if len(rows) == limit else b""

    def replayed(self, seen: OrderLine | EmptyOrder) -> None:
        """An event of the log's tail, at start: know again what it says."""
        key = pair(seen.channel, seen.order)
        entry = self.table.get(key) or OrderEntry()
        if isinstance(seen, OrderLine):
            entry.lines.setdefault(seen.line, (seen.sku, seen.listing))
        entry.remember((seen.version, seen.read_us), seen.at)
        self.table.set(key, entry)

"""Drifts that were found: the newest ones in full, and how many there were of each cause, channel by channel and day
by day."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from attrs import frozen

from daemon.domain.drift import Named
from daemon.domain.instants import SECOND_US
from daemon.storage.codec import number, pack, unpack
from daemon.storage.store import Store
from daemon.storage.tables import DRIFT_DAYS, DRIFTS, pair, unpair

DRIFTS_MAX = 10_000
"""Drifts kept in full; the newest stay."""
DAYS_MAX = 400
"""Days of which each channel's numbers are kept; the newest stay."""


@frozen
class Drift:
    """One mismatch that was seen twice, or was explained by the second look. Levels are units, `_us` our clock."""

    number: int
    at_us: int
    channel: str
    listing: str
    sku: str
    shown: int
    expected: int
    first_us: int
    first_shown: int
    done: str
    """What became of it, see `domain.sightings.Done`."""
    causes: tuple[Named, ...]
    """The likeliest first."""

    @property
    def cause(self) -> str:
        """The likeliest one."""
        return self.causes[0].cause if self.causes else "unknown"


Days = dict[str, dict[str, dict[str, int]]]
"""channel -> day (2025-06-30, UTC) -> cause -> drifts"""


class Drifts:
    """The stored drifts. They are few; each is written with the transaction of the reading that found it."""

    def __init__(self, store: Store, most: int = DRIFTS_MAX, days_most: int = DAYS_MAX) -> None:
        self.store = store
        self._most, self._days_most = most, days_most
        self._newest: dict[tuple[str, str], int] = {}
        self._days: Days = {}
        newest = store.env.scan(DRIFTS, b"\xff" * 8, limit=1, reverse=True)
        self._last = int.from_bytes(newest[0][0], "big") if newest else 0
        oldest = store.env.scan(DRIFTS, b"", limit=1)
        self._oldest = int.from_bytes(oldest[0][0], "big") if oldest else self._last + 1
        for drift in self._all():
            self._newest[drift.channel, drift.listing] = drift.number
        start = b""
        while rows := store.env.scan(DRIFT_DAYS, start, limit=1_000):
            start = rows[-1][0] + b"\0"
            for key, payload in rows:
                channel, day = unpair(key) or ("", "")
                self._days.setdefault(channel, {})[day] = dict(unpack(payload))

    def add(
        self, at_us: int, *, channel: str, listing: str, sku: str, shown: int, expected: int, first_us: int,
        first_shown: int, done: str, causes: tuple[Named, ...],
    ) -> Drift:  # fmt: skip
        """Keep a drift with the next commit; the oldest goes where there are too many."""
        self._last += 1
        drift = Drift(self._last, at_us, channel, listing, sku, shown, expected, first_us, first_shown, done, causes)
        self.store.put(DRIFTS, number(drift.number), _dump(drift))
        while drift.number - self._oldest >= self._most:
            self.store.delete(DRIFTS, number(self._oldest))
            self._oldest += 1
        self._newest.pop((channel, listing), None)
        self._newest[channel, listing] = drift.number
        if len(self._newest) > self._most:
            del self._newest[next(iter(self._newest))]
        self._count(drift)
        return drift

    def _count(self, drift: Drift) -> None:
        day = datetime.fromtimestamp(drift.at_us / SECOND_US, UTC).date().isoformat()
        days = self._days.setdefault(drift.channel, {})
        counts = days.setdefault(day, {})
        counts[drift.cause] = counts.get(drift.cause, 0) + 1
        self.store.put(DRIFT_DAYS, pair(drift.channel, day), pack(counts))
        while len(days) > self._days_most:
            oldest = min(days)
            del days[oldest]
            self.store.delete(DRIFT_DAYS, pair(drift.channel, oldest))

    def newest_of(self, channel: str, listing: str) -> Drift | None:
        """The newest durable drift of a listing; None where there was none, or long ago."""
        found = self._newest.get((channel, listing))
        return None if found is None else self.get(found)

    def get(self, found: int) -> Drift | None:
        """One durable drift."""
        payload = self.store.env.get(DRIFTS, number(found))
        return None if payload is None else _load(found, payload)

    def page(self, before: int = 0, limit: int = 100, channel: str = "") -> list[Drift]:
        """Durable drifts below this number (0: all), newest first, those of one channel if `channel`."""
        found: list[Drift] = []
        while len(found) < limit:
            start = number(before - 1) if before else b"\xff" * 8
            rows = self.store.env.scan(DRIFTS, start, limit=200, reverse=True) if before != 1 else []
            if not rows:
                break
            drifts = [_load(int.from_bytes(key, "big"), payload) for key, payload in rows]
            before = drifts[-1].number
            found += [drift for drift in drifts if not channel or drift.channel == channel]
        return found[:limit]

    def days(self, channel: str) -> dict[str, dict[str, int]]:
        """Drifts of a channel by day and cause."""
        return self._days.get(channel, {})

    def totals(self, channel: str) -> dict[str, int]:
        """Drifts of a channel by cause, over all the days that are kept."""
        sums: dict[str, int] = {}
        for counts in self.days(channel).values():
            for cause, times in counts.items():
                sums[cause] = sums.get(cause, 0) + times
        return sums

    def _all(self) -> Iterator[Drift]:
        """The durable ones, oldest first."""
        start = b""
        while rows := self.store.env.scan(DRIFTS, start, limit=500):
            start = rows[-1][0] + b"\0"
            for key, payload in rows:
                yield _load(int.from_bytes(key, "big"), payload)


def _dump(drift: Drift) -> bytes:
    causes = [(each.cause, each.score, each.because, each.order) for each in drift.causes]
    return pack(
        (
            drift.at_us, drift.channel, drift.listing, drift.sku, drift.shown, drift.expected, drift.first_us,
            drift.first_shown, drift.done, causes,
        )
    )  # fmt: skip


def _load(found: int, payload: bytes) -> Drift:
    values = unpack(payload)
    values[-1] = tuple(Named(*each) for each in values[-1])
    return Drift(found, *values)

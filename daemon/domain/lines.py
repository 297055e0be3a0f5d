"""One order line's timeline: every version we have seen of it, and what it took as of any moment.

The timeline is a join: sightings may come in any order, any number of times, and the result is the same.
"""

from __future__ import annotations

from typing import NamedTuple

from attrs import frozen

from daemon.domain.instants import Instant, Order, compare
from daemon.domain.observations import OrderLine

VERSIONS_MAX = 64
"""Versions kept of one line; the newest ones stay."""
CONTENTS_MAX = 4
"""Contradicting contents kept of one version; those that take most units stay."""


class Content(NamedTuple):
    """What one version says: all in units."""

    ordered: int
    cancelled: int
    restocked: int
    fulfilled: int
    location: str

    def taken(self) -> int:
        return self.ordered - self.cancelled - self.restocked


@frozen
class Sighting:
    """One version of the line. More than one content means that the source contradicted itself there."""

    version: int
    read_us: int
    at: Instant
    contents: tuple[Content, ...]

    def join(self, other: Sighting) -> Sighting:
        contents = sorted({*self.contents, *other.contents}, key=_most_taken)[:CONTENTS_MAX]
        return Sighting(self.version, self.read_us, self.at.hull(other.at), tuple(contents))


def _most_taken(content: Content) -> tuple[int, Content]:
    return (-content.taken(), content)


class Reading(NamedTuple):
    """The line as one version leaves it. `taken` and `fulfilled` are units, `fulfilled` at most `taken`."""

    at: Instant
    ordered: int
    taken: int
    fulfilled: int
    location: str


class AsOf(NamedTuple):
    """Units as of a moment: the lowest that the evidence allows, and whether it allows more than one."""

    units: int
    ambiguous: bool


@frozen
class Line:
    """The joined timeline of (channel, order, line). `sightings` are sorted by (version, read)."""

    sightings: tuple[Sighting, ...]
    placed: Instant | None = None
    takes_at_placement: bool = False
    listing: str = ""
    kit: str = ""
    """The kit as whose component the units were sold."""
    whole: bool = False
    """A kit's own line: it moves what the kit's listing shows, but takes no stock: its components' lines do."""

    def join(self, other: Line) -> Line:
        """Both timelines as one; commutative, associative, idempotent."""
        known = {(sighting.version, sighting.read_us): sighting for sighting in self.sightings}
        for sighting in other.sightings:
            key = (sighting.version, sighting.read_us)
            known[key] = known[key].join(sighting) if key in known else sighting
        placed = self.placed.hull(other.placed) if self.placed and other.placed else self.placed or other.placed
        return Line(
            tuple(known[key] for key in sorted(known)[-VERSIONS_MAX:]),
            placed,
            self.takes_at_placement or other.takes_at_placement,
            max(self.listing, other.listing),
            max(self.kit, other.kit),
            self.whole or other.whole,
        )

    def holds(self, seen: OrderLine) -> bool:
        """Is what `seen` says already part of this timeline (and not merely too much to keep)?"""
        content = content_of(seen)
        return any(
            content in sighting.contents
            for sighting in self.sightings
            if (sighting.version, sighting.read_us) == (seen.version, seen.read_us)
        ) or (seen.version, seen.read_us) < (self.sightings[0].version, self.sightings[0].read_us)

    def contradicted_by(self, seen: OrderLine) -> bool:
        """Does `seen` claim the newest version, yet say something else than what rules it now?"""
        newest = self.sightings[-1]
        return len(newest.contents) > 1 or (seen.version == newest.version and content_of(seen) != newest.contents[0])

    def readings(self) -> list[Reading]:
        """The line after each version. Cancelled and restocked units only grow; and so do fulfilled ones, but that
        what came back since may have been among them: a source that takes it off there is believed so far."""
        if len(self.sightings) == 1:
            return [_alone(self.sightings[0])]
        cancelled = restocked = fulfilled = 0
        readings: list[Reading] = []
        for sighting in self.sightings:
            content = sighting.contents[0]
            back = cancelled + restocked
            cancelled = max(cancelled, content.cancelled)
            restocked = max(restocked, content.restocked)
            fulfilled = max(content.fulfilled, fulfilled - (cancelled + restocked - back))
            taken = max(0, content.ordered - cancelled - restocked)
            readings.append(Reading(sighting.at, content.ordered, taken, min(fulfilled, taken), content.location))
        return readings

    def now(self) -> Reading:
        """The line as its newest version leaves it."""
        return _alone(self.sightings[0]) if len(self.sightings) == 1 else self.readings()[-1]

    def taken_as_of(self, moment: Instant, *, same_source: bool) -> AsOf:
        """Units taken at or before `moment`."""
        readings = self.readings()
        start = self._before_first_version(readings[0], moment, same_source=same_source)
        series = [(reading.at, reading.taken) for reading in readings]
        return _lowest(series, start, moment, same_source=same_source)

    def fulfilled_as_of(self, moment: Instant, *, same_source: bool) -> AsOf:
        """Units handed over at or before `moment`."""
        series = [(reading.at, reading.fulfilled) for reading in self.readings()]
        return _lowest(series, [0], moment, same_source=same_source)

    def _before_first_version(self, first: Reading, moment: Instant, *, same_source: bool) -> list[int]:
        """What the line may have taken before the first version we know: nothing, unless it was placed by then."""
        if self.placed is None:
            return [0]
        match compare(self.placed, moment, same_source=same_source):
            case Order.AFTER:
                return [0]
            case Order.BEFORE if self.takes_at_placement:
                return [first.ordered]
            case _:
                return [0, first.ordered]


def _alone(sighting: Sighting) -> Reading:
    """The line after its only version, as most lines are."""
    ordered, cancelled, restocked, fulfilled, location = sighting.contents[0]
    taken = max(0, ordered - cancelled - restocked)
    return Reading(sighting.at, ordered, taken, min(fulfilled, taken), location)


def _lowest(series: list[tuple[Instant, int]], candidates: list[int], moment: Instant, *, same_source: bool) -> AsOf:
    for at, units in series:
        order = compare(at, moment, same_source=same_source)
        if order is Order.AFTER:
            break
        candidates = [units] if order is Order.BEFORE else [*candidates, units]
    return AsOf(min(candidates), len(set(candidates)) > 1)


def content_of(seen: OrderLine) -> Content:
    """What the observation says, without when and by whom."""
    return Content(seen.ordered, seen.cancelled, seen.restocked, seen.fulfilled, seen.location)


def line_of(seen: OrderLine) -> Line:
    """The timeline that one observation alone makes."""
    sighting = Sighting(seen.version, seen.read_us, seen.at, (content_of(seen),))
    return Line(
        (sighting,),
        seen.placed,
        seen.takes_at_placement,
        seen.listing,
        seen.kit,
        bool(seen.kit) and seen.kit == seen.sku,
    )

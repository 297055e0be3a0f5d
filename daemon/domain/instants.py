"""When something happened, as an interval: on our clock, and on the clock of the source that said so.

All times are whole microseconds since 1970 (`_us`). Two stamps of one source compare on that source's own
clock, exactly as far as its resolution allows; everything else compares on ours.
"""

from __future__ import annotations

from enum import Enum
from functools import reduce

from attrs import evolve, frozen

SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US

DRIFT_PPM = 1_000
"""How fast a channel's clock may run away from ours, in millionths: a bad quartz, and ours being slewed."""


@frozen(order=True)
class Span:
    """A closed interval of microseconds: the true instant lies somewhere in `[lo, hi]`."""

    lo: int
    hi: int

    def __attrs_post_init__(self) -> None:
        if self.lo > self.hi:
            raise ValueError(f"span ends before it begins: {self.lo} > {self.hi}")

    def hull(self, other: Span) -> Span:
        """The smallest span that holds both."""
        return Span(min(self.lo, other.lo), max(self.hi, other.hi))

    def meet(self, other: Span) -> Span | None:
        """What both allow, or None where they contradict each other."""
        lo, hi = max(self.lo, other.lo), min(self.hi, other.hi)
        return Span(lo, hi) if lo <= hi else None

    def shift(self, offset: Span) -> Span:
        """This span on a clock that runs behind by `offset` (an interval itself)."""
        return Span(self.lo - offset.hi, self.hi - offset.lo)


@frozen
class Instant:
    """One moment: `at` on our clock; `own` on the clock of the source that told it, None where it gave no stamp."""

    at: Span
    own: Span | None = None

    def rank(self) -> tuple[Span, bool, Span]:
        """A total order for breaking ties; says nothing of what came first."""
        return (self.at, self.own is not None, self.own or self.at)

    def hull(self, other: Instant) -> Instant:
        """Two tellings of one moment, joined: order-free, and never narrower than either."""
        own = self.own.hull(other.own) if self.own and other.own else self.own or other.own
        return Instant(self.at.hull(other.at), own)


def true_when(moment: Span, told: Span | None) -> Span:
    """When was it true what an answer says that came within `moment`? `told`: as of when it says it is, on our clock.

    Within the moment, unless it says something older: then a lagging copy answered.
    """
    return told if told is not None and told.hi < moment.lo else moment


def exactly(us: int) -> Instant:
    """A moment of our own clock, known to the microsecond."""
    return Instant(Span(us, us))


class Order(Enum):
    """How one moment lies to another."""

    BEFORE = "before"
    AFTER = "after"
    UNCLEAR = "unclear"


def compare(movement: Instant, count: Instant, *, same_source: bool) -> Order:
    """Does `movement` lie at or before `count` (then the count holds it already) or after it?

    UNCLEAR where the intervals overlap in more than the one shared end point: nobody can tell.
    """
    one, two = movement.at, count.at
    if same_source and movement.own is not None and count.own is not None:
        one, two = movement.own, count.own
    if one.hi <= two.lo:
        return Order.BEFORE
    if one.lo > two.hi:
        return Order.AFTER
    return Order.UNCLEAR


# --- the hybrid logical clock -------------------------------------------------------------------------------


def tick(last_us: int, wall_us: int) -> int:
    """The next stamp of our hybrid logical clock: the wall clock, but never standing still and never going back."""
    return max(last_us + 1, wall_us)


FORMERS_MAX = 4
"""Offsets remembered from before clocks were set."""


@frozen
class FormerOffset:
    """What was known of a channel's clock until it was set, or ours was. On the channel's clock: no stamp before
    `first_us` was made after that, none after `last_us` before it; in between, either may be."""

    span: Span
    first_us: int
    last_us: int

    def spread(self, own_us: int) -> Span:
        """How far it may have run ahead of ours when it showed `own_us`."""
        more = abs(self.first_us - own_us) * DRIFT_PPM // 1_000_000
        return Span(self.span.lo - more, self.span.hi + more)


@frozen
class ClockOffset:
    """What we know of a channel's clock: how far it runs ahead of ours, as an interval, in microseconds.

    Each answer with a `Date` header narrows it by interval intersection; an answer that contradicts what we
    believed (the channel's clock was set, or ours was) starts it anew. Before the first answer it is as wide
    as a careless shop's clock; after the last one it widens by what clocks may drift.

    What was told before a clock was set is read as it was read then. What was told in between, when nobody can say
    on which side of that it lies, may be either.
    """

    span: Span = Span(-300 * SECOND_US, 300 * SECOND_US)
    samples: int = 0
    at_us: int = 0
    """When the newest answer came."""
    formers: tuple[FormerOffset, ...] = ()
    """The newest first."""

    def spread(self, now_us: int) -> Span:
        """How far it may run ahead of ours by now."""
        more = (abs(now_us - self.at_us) * DRIFT_PPM) // 1_000_000 if self.samples else 0
        return Span(self.span.lo - more, self.span.hi + more)

    def learn(self, channel_date: Span, sent_us: int, received_us: int) -> ClockOffset:
        """One answer: it says `channel_date` and was made somewhere between `sent_us` and `received_us`."""
        seen = Span(channel_date.lo - max(received_us, sent_us), channel_date.hi - sent_us)
        met = self.spread(received_us).meet(seen) if self.samples else None
        if met is not None or not self.samples:
            return evolve(self, span=met or seen, samples=self.samples + 1, at_us=received_us)
        # Whose clock was set is not known. If it was ours, the channel's went on between the two answers; else ours.
        first_us = self.at_us + min(self.span.lo, seen.lo)
        last_us = max(channel_date.hi, received_us + self.spread(received_us).hi)
        former = FormerOffset(self.span, first_us, max(first_us, last_us))
        return ClockOffset(seen, 1, received_us, (former, *self.formers)[:FORMERS_MAX])

    def ours(self, own: Span, now_us: int) -> Span:
        """A stamp of the channel's clock, on ours, as far as that is known now."""
        readings, offset, last_us = [], self.spread(now_us), own.lo
        for former in self.formers:
            if own.hi >= former.first_us and own.lo <= last_us:
                readings.append(own.shift(offset))
            offset, last_us = former.spread(own.lo), former.last_us
        if own.lo <= last_us:
            readings.append(own.shift(offset))
        return reduce(Span.hull, readings)

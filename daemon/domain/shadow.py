"""What is learned of a channel while it is only watched: what would have been pushed to each listing and when, and
how the tool that is live there does: levels above what there is, below what could be sold, and how late it follows.

What a listing shows is known from looks alone. So how long something lasted lies between two figures: `least`, to the
last look that still showed it, and `most`, to the first one that did not.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field, frozen

from daemon.domain.instants import SECOND_US

RECENT_MAX = 5
"""Pushes remembered of each listing, the newest."""
WAITING_MAX = 8
"""Sales of one listing that wait to be followed; of more, the oldest counts as not followed."""
LOOKS_S = (2.0, 600.0)
"""A sale that the tool has to follow is looked for after the first, then after twice as long each time, until the
last; after that the usual sweep finds it."""
FOLLOWED_US = 24 * 3_600 * SECOND_US
"""A sale that is not followed by then never is."""
LAGS_MAX = 1_000
"""Lags remembered of a channel, the newest."""


@frozen
class Decided:
    """A level that would have been pushed: when, what the listing showed then, and why."""

    at_us: int
    level: int
    showed: int | None
    cause: str


@frozen
class Sale:
    """A sale on another channel that the tool has to follow: once the listing shows `target` or less, it has."""

    sold_us: int
    target: int
    showed: int


@define
class Spell:
    """Times during which a listing showed too much, or too little. `worst`: units; `_us`: our clock or durations."""

    since_us: int = 0
    """Since when it does; 0: it does not."""
    seen_us: int = 0
    """The last look that showed it."""
    times: int = 0
    worst: int = 0
    least_us: int = 0
    most_us: int = 0
    """How long together: those that are over."""

    def step(self, now_us: int, units: int, *, looked: bool) -> None:
        """At `now_us` it is off by `units`; 0: it is not."""
        if units > 0:
            if not self.since_us:
                self.since_us = self.seen_us = now_us
                self.times += 1
            elif looked:
                self.seen_us = now_us
            self.worst = max(self.worst, units)
        elif self.since_us:
            self.least_us += self.seen_us - self.since_us
            self.most_us += now_us - self.since_us
            self.since_us = 0

    def lasted(self, now_us: int) -> tuple[int, int]:
        """At least, at most; with the one that goes on."""
        if not self.since_us:
            return self.least_us, self.most_us
        return self.least_us + self.seen_us - self.since_us, self.most_us + max(0, now_us - self.since_us)


@frozen
class Followed:
    """The tool followed a sale, `least_us` to `most_us` after it."""

    least_us: int
    most_us: int


@define
class Watched:
    """One listing. wished: what would be shown · ceiling: more than this is more than there is · shown: what it
    shows, as far as looks and its own sales tell · `None`: unknown."""

    listing: str
    sku: str
    since_us: int
    wished: int | None = None
    ceiling: int | None = None
    shown: int | None = None
    shown_us: int = 0
    """The last look."""
    pushes: int = 0
    recent: list[Decided] = field(factory=list)
    over: Spell = field(factory=Spell)
    under: Spell = field(factory=Spell)
    waiting: list[Sale] = field(factory=list)
    heard_us: int = 0
    """When the newest sale that waits was heard of."""
    lost: int = 0
    """Sales that the tool did not follow."""

    def moved(
        self, now_us: int, wished: int | None, ceiling: int | None, shown: int | None, cause: str, *, looked: bool,
        sold_us: int = 0,
    ) -> list[Followed]:  # fmt: skip
        """Everything as it is now. looked: the listing was read, or told, just now. sold_us: a sale on another
        channel moved it then, 0: none did. Returns the sales that turn out to be followed."""
        looked_us = self.shown_us
        before = self.wished
        self.wished, self.ceiling = wished, ceiling
        if wished is not None and wished != before and wished != shown:
            self.pushes += 1
            self.recent = [*self.recent, Decided(now_us, wished, shown, cause)][-RECENT_MAX:]
        if sold_us and before is not None and wished is not None and shown is not None:
            self._sold(now_us, sold_us, before - wished, wished, shown)
        self.shown = shown
        if looked:
            self.shown_us = now_us
        known = shown is not None
        self.over.step(now_us, shown - ceiling if known and ceiling is not None else 0, looked=looked)  # type: ignore[operator]  # known
        self.under.step(now_us, wished - shown if known and wished is not None else 0, looked=looked)  # type: ignore[operator]  # known
        return self._follow(now_us, looked_us)

    def _sold(self, now_us: int, sold_us: int, units: int, wished: int, shown: int) -> None:
        if units <= 0 or shown <= wished:
            return  # nothing is taken from what may be shown, or it is shown already
        self.waiting.append(Sale(min(sold_us, now_us), max(wished, shown - units), shown))
        self.heard_us = now_us
        while len(self.waiting) > WAITING_MAX:
            del self.waiting[0]
            self.lost += 1

    def _follow(self, now_us: int, looked_us: int) -> list[Followed]:
        found, left = [], []
        for sale in self.waiting:
            if self.shown is not None and self.shown <= sale.target:
                least_us = max(0, min(looked_us, now_us) - sale.sold_us)
                found.append(Followed(least_us, max(0, now_us - sale.sold_us)))
            elif self.wished is not None and self.wished >= sale.showed:
                continue  # what was sold came back: there is nothing to follow any more
            elif now_us - sale.sold_us > FOLLOWED_US:
                self.lost += 1
            else:
                left.append(sale)
        self.waiting = left
        return found

    def look_us(self, now_us: int) -> int:
        """When to look at it again for a sale that is not followed yet; 0: not at all."""
        if not self.waiting:
            return 0
        since_us = now_us - self.heard_us
        first_us, last_us = (int(each * SECOND_US) for each in LOOKS_S)
        return now_us + max(first_us, since_us) if since_us < last_us else 0


@define
class Sums:
    """What is known of a whole channel since `since_us`. Lags are microseconds, the newest `LAGS_MAX` of them."""

    since_us: int = 0
    pushes: int = 0
    sales: int = 0
    """Sales on other channels that the tool had to follow."""
    least: list[int] = field(factory=list)
    most: list[int] = field(factory=list)
    own: list[int] = field(factory=list)
    """From each sale to when our push would have left."""

    def followed(self, each: Followed) -> None:
        """One more."""
        self.least = [*self.least, each.least_us][-LAGS_MAX:]
        self.most = [*self.most, each.most_us][-LAGS_MAX:]

    def sold(self, own_us: int) -> None:
        """A sale that the tool has to follow, as we do."""
        self.sales += 1
        self.own = [*self.own, max(0, own_us)][-LAGS_MAX:]


def percentile(samples: Sequence[int], part: float) -> int | None:
    """Of samples in any order; None where there are none."""
    if not samples:
        return None
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]

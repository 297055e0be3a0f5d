"""What a sweep of a channel reads next: what could be oversold soonest, and everything within the horizon."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import define, frozen

NEARLY_GONE = 5
"""A level up to this is nearly sold out: a wrong one is oversold soonest."""

SLACK = 0.9
"""A round takes this part of its horizon, where nothing keeps it waiting."""


@frozen
class SweepRules:
    """How a channel is compared. sweep_s: every listing is read within this · share: most of the channel's call
    budget that may be spent on it · mass_change: this part of the listings differing at once is nobody's normal day
    (0: no such limit)"""

    sweep_s: float = 3_600.0
    share: float = 0.1
    mass_change: float = 0.2


@frozen
class Target:
    """A listing to read."""

    sku: str
    listing: str


@define
class Risk:
    """Why a listing should be read before its turn. level: what it should show · sold: sales since it was read last ·
    unsure: its number is ambiguous, or a push of it was in doubt"""

    target: Target
    level: int | None = None
    sold: int = 0
    unsure: bool = False

    def rank(self) -> tuple[bool, bool, int, str]:
        """The riskiest sorts first."""
        gone = self.level is None or self.level > NEARLY_GONE
        return (not self.unsure, gone, -self.sold, self.target.listing)


def choose(risky: Iterable[Risk], page: Sequence[Target], size: int) -> list[Target]:
    """The next batch of at most `size`: the riskiest first, but no more than half of it while the round that reaches
    every listing, whose next ones are `page`, still goes on."""
    round_ = list(dict.fromkeys(page))
    room = size - min(len(round_), size - size // 2)
    first = [risk.target for risk in sorted(risky, key=Risk.rank)[:room]]
    chosen = dict.fromkeys(first)
    for target in round_:
        if len(chosen) == size:
            break
        chosen.setdefault(target)
    return list(chosen)


def pause_s(rules: SweepRules, *, calls: int, rate_per_s: float, read: int, listings: int, risky: bool) -> float:
    """Seconds until the next batch, after one that took `calls` and brought the round `read` of its `listings`
    further: no sooner than the share of the budget allows, and as late as the horizon does; a minute at most where
    something is risky."""
    in_time = rules.sweep_s * SLACK * min(1.0, read / max(1, listings))
    soon = min(in_time, 60.0) if risky else in_time
    return max(1.0, calls / (rate_per_s * rules.share), soon)

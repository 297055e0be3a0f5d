"""So many levels that differ at once that it is more likely one mistake of somebody's than many small ones."""

from __future__ import annotations

from typing import Literal

from attrs import define

MASS_LEAST = 5
"""Fewer listings than these are never a mass."""

MassKind = Literal["zero", "change"]


@define
class Tally:
    """Listings of one channel: compared, differing, and of those the ones that read 0 where there should be more."""

    compared: int = 0
    differing: int = 0
    zeros: int = 0

    def add(self, level: int | None, belief: int | None, *, odd: bool) -> None:
        """One listing."""
        self.compared += 1
        self.differing += odd
        self.zeros += odd and level == 0 and (belief or 0) > 0

    def verdict(self, share: float, of: int = 0) -> MassKind | None:
        """Is that a mass? `share`: from which part of the channel's listings on (0: never); `of`: how many it has,
        where not all of them were compared."""
        least = max(float(MASS_LEAST), share * max(self.compared, of))
        if not share or self.differing < least:
            return None
        return "zero" if self.zeros >= least else "change"

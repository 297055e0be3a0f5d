"""The storefronts' clocks: off, drifting, and set now and then."""

from __future__ import annotations

from attrs import define

from adapters.storefront.shop import Clock
from daemon.domain.instants import SECOND_US, tick

OFF_MAX_S = 285.0
"""No clock of a storefront is ever further off than webhooks may be old (300 s)."""


@define
class Jump:
    """A clock was set at `at_us` by `by_us` (its sign left out); the daemon could know at `known_us` (0: not yet)."""

    at_us: int
    by_us: int
    known_us: int = 0


class ShopClock(Clock):
    """A storefront's clock. It never gives the same microsecond twice, and remembers when it gave which."""

    def __init__(self, offset_s: float, drift_ppm: float, epoch_us: int) -> None:
        super().__init__()
        self.issued: dict[int, int] = {}
        """What it read, to what the time was."""
        self.jumps: list[Jump] = []
        """When it was set (it, or ours), and when the daemon could know."""
        self._off_us = round(offset_s * SECOND_US)
        self._drift_ppm = drift_ppm
        self._epoch_us = epoch_us

    def off_us(self, now_us: int) -> int:
        """How far it is ahead; it never drifts further than `OFF_MAX_S`."""
        off_us = self._off_us + round((now_us - self._epoch_us) * self._drift_ppm / 1e6)
        return round(max(-OFF_MAX_S * SECOND_US, min(OFF_MAX_S * SECOND_US, off_us)))

    def jump(self, by_s: float, now_us: int) -> None:
        """Somebody sets it."""
        self._off_us += round(by_s * SECOND_US)
        self.unsettle(by_s, now_us)

    def unsettle(self, by_s: float, now_us: int) -> None:
        """It was set, or ours was: until the next answer the daemon takes it for what it was."""
        self.jumps.append(Jump(now_us, abs(round(by_s * SECOND_US))))

    def seen(self, now_us: int) -> None:
        """The daemon has an answer with its present reading."""
        for jump in reversed(self.jumps):
            if jump.known_us:
                return
            jump.known_us = now_us

    def misread_us(self, at_us: int) -> int:
        """How wrongly the daemon may read a stamp that was given then."""
        return sum(jump.by_us for jump in self.jumps if jump.at_us <= at_us and not 0 < jump.known_us <= at_us)

    def read(self, now_us: int) -> int:
        return self.stamp(now_us)

    def stamp(self, now_us: int) -> int:
        self._last_us = tick(self._last_us, now_us + self.off_us(now_us))
        self.issued[self._last_us] = now_us
        return self._last_us

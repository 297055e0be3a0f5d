"""Our own clock, steadied: everything that is compared with something else is told by it.

The clock on the wall is set now and then: by hand, by a time server after a start. What is compared on both sides
of such a step (a sale and a count, a poll and a wish) would swap places. So our time goes on as evenly as Trio's
clock does, and follows the wall at a pace that the knowledge of the channels' clocks allows for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio

from daemon.domain.instants import DRIFT_PPM, SECOND_US

SLEW_PPM: Final = DRIFT_PPM // 2
"""How much faster or slower than real time our clock may run; the other half is left to the channels' clocks."""
STEP_MAX_US: Final = 300 * SECOND_US
"""A wall that is further away is followed at once: then our clock was plainly wrong."""


class SteadyClock:
    """Reads like `Ports.wall_us`, µs since 1970, and never goes back by less than `STEP_MAX_US`."""

    def __init__(self, wall_us: Callable[[], int], passed_s: Callable[[], float] = trio.current_time) -> None:
        self._wall_us = wall_us
        self._passed_s = passed_s
        self._read_s = passed_s()
        self._now_us = wall_us()

    def not_before(self, us: int) -> None:
        """It has read `us` before, in an earlier life; does nothing where that is too far from the wall."""
        if 0 < us - self._now_us <= STEP_MAX_US:
            self._now_us = us

    def __call__(self) -> int:
        now_s, wall_us = self._passed_s(), self._wall_us()
        passed_us = round((now_s - self._read_s) * SECOND_US)
        if passed_us > 0:
            self._read_s = now_s
            self._now_us += passed_us
        behind_us = wall_us - self._now_us
        if abs(behind_us) > STEP_MAX_US:
            self._now_us = wall_us
        else:
            most_us = passed_us * SLEW_PPM // 1_000_000
            self._now_us += max(-most_us, min(most_us, behind_us))
        return self._now_us

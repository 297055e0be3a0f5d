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
    """Reads like `Ports.wall_us`, µs since 1970, and never goes back by less than `STEP_MAX_US`.

    It is ahead of the wall only where the wall was set back, and by no more than it was. The wall is always read
    before the time that has passed: a process that is held up between the two is behind by that long, and catches up;
    the other way round it would stamp what happens now with a moment to come.
    """

    def __init__(self, wall_us: Callable[[], int], passed_s: Callable[[], float] = trio.current_time) -> None:
        self._wall_us = wall_us
        self._passed_s = passed_s
        self._now_us = wall_us()
        self._read_s = passed_s()
        self._slew = 0
        """Millionths of a microsecond by which the clock may yet be moved: less than one microsecond."""

    def not_before(self, us: int) -> None:
        """It has read `us` before, in an earlier life; does nothing where that is too far from the wall."""
        if 0 < us - self._now_us <= STEP_MAX_US:
            self._now_us = us

    def __call__(self) -> int:
        wall_us, now_s = self._wall_us(), self._passed_s()
        passed_us = round((now_s - self._read_s) * SECOND_US)
        if passed_us > 0:
            # Not `now_s`: what is rounded off stays for the next reading. Read every few microseconds, the clock
            # would else be wrong by several in a hundred.
            self._read_s += passed_us / SECOND_US
            self._now_us += passed_us
            self._slew += passed_us * SLEW_PPM
        behind_us = wall_us - self._now_us
        if abs(behind_us) > STEP_MAX_US:
            self._now_us = wall_us
        else:
            most_us, self._slew = divmod(self._slew, 1_000_000)
            self._now_us += max(-most_us, min(most_us, behind_us))
        return self._now_us

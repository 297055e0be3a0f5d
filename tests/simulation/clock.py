"""The clock of a simulated world: it stands still while anything can run, and then jumps to the next deadline."""

from __future__ import annotations

import math

import trio

NEVER_S = 999_999_999.0
"""What Trio's own mock clock answers where nothing will ever be due."""


class JumpingClock(trio.abc.Clock):
    """Seconds since the world began.

    Trio asks `deadline_to_sleep_time` only when no task can run. In a world without real sockets nothing but a
    deadline can change that, so the jump happens right there; `trio.testing.MockClock` takes one more turn of the
    scheduler for each jump, a quarter of all turns of a simulation.
    """

    def __init__(self) -> None:
        self._now_s = 0.0

    def start_clock(self) -> None:
        """Nothing to start."""

    def current_time(self) -> float:
        return self._now_s

    def deadline_to_sleep_time(self, deadline: float) -> float:
        if deadline == math.inf:
            return NEVER_S
        self._now_s = max(self._now_s, deadline)
        return 0.0

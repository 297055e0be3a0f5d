"""Cuts off whoever overstays: one task for all connections, since a timer each costs more than the request."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Final, Protocol

import trio

RESOLUTION_S: Final = 0.05
"""The reaper wakes at most this often, so a deadline may be overstayed by as much."""
AT_ONCE: Final = 16
BREATHER_S: Final = 0.004
"""A crowd that came together is late together: after so many farewells, everybody else has a turn."""


class Expiring(Protocol):
    """Something with a deadline on Trio's clock (`math.inf`: none)."""

    deadline: float

    def expire(self) -> None:
        """The deadline has passed. Must set a later one, and must not block or raise."""
        ...


class Reaper:
    """Calls `expire` on each member whose deadline has passed.

    A member that sets an earlier deadline than `wake_at` must call `wake_by`; a later one is noticed by itself.
    """

    __slots__ = ("_members", "_scope", "_woken_at", "wake_at")

    def __init__(self, members: Collection[Expiring]) -> None:
        self._members = members
        self._scope = trio.CancelScope()
        self._woken_at = -math.inf
        self.wake_at = math.inf

    def wake_by(self, deadline: float) -> None:
        """Look again at `deadline`, or `RESOLUTION_S` after the last look."""
        self.wake_at = max(deadline, self._woken_at + RESOLUTION_S)
        self._scope.deadline = self.wake_at

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            with trio.CancelScope(deadline=self.wake_at) as self._scope:
                await trio.sleep_forever()
            now = self._woken_at = trio.current_time()
            overdue = [member for member in self._members if member.deadline <= now]
            for place, member in enumerate(overdue, 1):
                if member.deadline <= now:  # it may have moved on meanwhile
                    member.expire()
                if place % AT_ONCE == 0:
                    await trio.sleep(BREATHER_S)
            earliest = min((member.deadline for member in self._members), default=math.inf)
            self.wake_at = max(earliest, now + RESOLUTION_S)

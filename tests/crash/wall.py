"""Whether the machine's clock was set: then the moments of two processes cannot be compared any more.

A daemon goes on evenly when the clock on the wall is set back, a storefront goes by the wall: what was in the log
before its answer looks, by their stamps, as if it had come after.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from attrs import define, field

LOOKS = 5
SET_US = 500
"""Less is the time between two readings, not a clock that was set."""


@define
class Wall:
    """Look at it now and then; `moved_us` tells by how much it was away from where it was at first, at most."""

    wall_ns: Callable[[], int] = time.time_ns
    passed_ns: Callable[[], int] = time.monotonic_ns
    moved_us: int = 0
    _first_ns: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._first_ns = self._apart_ns()

    def look(self) -> None:
        moved_us = (self._apart_ns() - self._first_ns) // 1_000
        if abs(moved_us) > max(SET_US, abs(self.moved_us)):
            self.moved_us = moved_us

    def problems(self) -> list[str]:
        """As a sentence, where it was set."""
        self.look()
        if not self.moved_us:
            return []
        said = "what is said of losses by the moments of the log and of the answers may be wrong; run it again"
        return [f"the machine's clock was set by {self.moved_us} us meanwhile: {said}"]

    def _apart_ns(self) -> int:
        """Of several readings the one that was least held up: of both clocks, one after the other."""
        found = []
        for _ in range(LOOKS):
            before, wall, after = self.passed_ns(), self.wall_ns(), self.passed_ns()
            found.append((after - before, wall - before))
        return min(found)[1]

"""How fast a command goes: it waits between looks and between the things it asks for."""

from __future__ import annotations

import time

from attrs import define


def pause(seconds: float) -> None:
    """Wait before the next look."""
    time.sleep(seconds)


@define
class Pace:
    """At most `rate` turns a second, evenly."""

    rate: float
    _due: float = 0.0

    def wait(self) -> None:
        """Until it is time for the next turn."""
        now = time.monotonic()
        if self._due > now:
            time.sleep(self._due - now)
        self._due = max(now, self._due) + 1.0 / self.rate

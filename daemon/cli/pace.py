"""How fast a command goes: it waits between looks and between the things it asks for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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


@contextmanager
def meanwhile(look: Callable[[], None], *, every_s: float) -> Iterator[None]:
    """Look every so often, from another thread, while something is waited for."""
    over = threading.Event()

    def looking() -> None:
        while not over.wait(every_s):
            look()

    watcher = threading.Thread(target=looking, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join(every_s)

"""Every input under the same two bounds: it ends within a second of the processor's time, and memory stays flat."""

from __future__ import annotations

import mmap
import resource
import time
from collections.abc import Callable

from tests.fuzz.target import Target

CPU_MAX_S = 1.0
"""The processor's time, not the clock's: a busy machine makes no input slow."""
RSS_MAX_MB = 1_024


class SlowError(AssertionError):
    """An input took longer than `CPU_MAX_S`: a hang, for whoever waits behind it."""


class Tally:
    """Executions and the slowest one, in memory that a child shares with its parent and that outlives its crash."""

    def __init__(self) -> None:
        self._cells = memoryview(mmap.mmap(-1, 16)).cast("Q")

    def add(self, took_ns: int) -> None:
        cells = self._cells
        cells[0] += 1
        if took_ns > cells[1]:
            cells[1] = took_ns

    @property
    def executions(self) -> int:
        return self._cells[0]

    @property
    def slowest_s(self) -> float:
        return self._cells[1] / 1e9


def bounded(target: Target, tally: Tally, broke: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """`target.run` under the bound of time, counted; `broke` is given the input that breaks it."""
    run, add, clock = target.run, tally.add, time.thread_time_ns
    limit_ns = int(CPU_MAX_S * 1e9)

    def one(data: bytes) -> None:
        begun = clock()
        try:
            run(data)
        except Exception:
            broke(data)
            raise
        took = clock() - begun
        add(took)
        # The first input builds what all others share.
        if took > limit_ns and tally.executions > 1:
            broke(data)
            raise SlowError(f"{took / 1e9:.2f} s of processor time for {len(data)} bytes")

    return one


def rss_mb() -> int:
    """The most memory this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

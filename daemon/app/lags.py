"""Lag figures over the recent past: a bounded window of samples, percentiles when somebody asks."""

from __future__ import annotations

from collections import deque

from attrs import define, field

from daemon.admin.inside import Lag

WINDOW = 2_048
"""Samples kept of each figure."""


@define
class LagWindow:
    """The newest `WINDOW` samples, in microseconds."""

    samples: deque[int] = field(factory=lambda: deque(maxlen=WINDOW))
    count: int = 0

    def add(self, us: int) -> None:
        """One measurement; a negative one (clocks disagree by less than they know) counts as none at all."""
        self.samples.append(max(0, us))
        self.count += 1

    def lag(self) -> Lag:
        """The percentiles, in milliseconds."""
        if not self.samples:
            return Lag(None, None, None, 0)
        ordered = sorted(self.samples)
        p50, p95, p99 = (
            round(ordered[min(len(ordered) - 1, int(len(ordered) * part))] / 1_000, 3) for part in (0.5, 0.95, 0.99)
        )
        return Lag(p50, p95, p99, self.count)

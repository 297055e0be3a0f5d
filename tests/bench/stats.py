"""Medians, spreads and percentiles."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from attrs import frozen


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all do not exceed (nearest rank)."""
    if not values:
        raise ValueError("no values")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


@frozen
class Figure:
    """What several runs said: their median, the lowest and the highest."""

    median: float
    low: float
    high: float
    runs: int


def figure(values: Sequence[float]) -> Figure:
    """Of at least one run."""
    return Figure(statistics.median(values), min(values), max(values), len(values))

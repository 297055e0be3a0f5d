"""The targets: what each figure must be, and whether it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from attrs import frozen

from tests.bench.results import Results
from tests.bench.stats import Figure

Verdict = Literal["ok", "MISS", "not measured"]


@frozen
class Target:
    """A figure's bound. `scale` turns the figure into what is shown, e.g. a share into per cent."""

    about: str
    figure: str
    bound: float
    at_least: bool
    unit: str
    scale: float = 1.0

    def met(self, value: float) -> bool:
        """Does this value meet it?"""
        return value >= self.bound if self.at_least else value <= self.bound


@frozen
class Judged:
    """A target and what was measured of it; `figure` and `bound` in the target's unit."""

    target: Target
    figure: Figure | None
    verdict: Verdict


def least(about: str, figure: str, bound: float, unit: str, scale: float = 1.0) -> Target:
    """At least so much."""
    return Target(about, figure, bound, True, unit, scale)


def most(about: str, figure: str, bound: float, unit: str, scale: float = 1.0) -> Target:
    """At most so much."""
    return Target(about, figure, bound, False, unit, scale)


TARGETS: Sequence[Target] = (
    least("everything on, of our no-op listener (CPU)", "saturation.of_noop.uniform", 33, "%", 100),
    least("everything on, against hypercorn's no-op", "saturation.over_hypercorn.uniform", 8, "x"),
    least("against FastAPI + PostgreSQL, uniform", "saturation.over_plain.uniform", 8, "x"),
    least("against FastAPI + PostgreSQL, hot SKU", "saturation.over_plain.hot", 20, "x"),
    least("against the tuned service, uniform", "saturation.over_tuned.uniform", 5, "x"),
    least("against the tuned service, hot SKU", "saturation.over_tuned.hot", 8, "x"),
    least("hot SKU against uniform", "saturation.hot_over_uniform", 1, "x"),
    most("p99 of an ack at saturation, against a commit", "saturation.p99_over_commit", 4, "x"),
)


def judge(results: Results, targets: Sequence[Target] = TARGETS) -> list[Judged]:
    """Every target, met, missed or not measured, by the median."""
    judged = []
    for target in targets:
        found = results.figures.get(target.figure)
        if found is None:
            judged.append(Judged(target, None, "not measured"))
            continue
        figure = found.figure
        scaled = Figure(*(each * target.scale for each in (figure.median, figure.low, figure.high)), figure.runs)
        judged.append(Judged(target, scaled, "ok" if target.met(scaled.median) else "MISS"))
    return judged

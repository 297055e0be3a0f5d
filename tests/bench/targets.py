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
    least("with a 2 ms flush, hot SKU, 64 connections", "slow_disk.over_plain.hot_64", 20, "x"),
    least("with a 2 ms flush, hot SKU, 256 connections", "slow_disk.over_plain.hot_256", 50, "x"),
    most("p99 of an ack at saturation, against a commit", "saturation.p99_over_commit", 4, "x"),
    most("p99 of an ack beyond a commit, 2,000/s, pushing to 8", "latency.pushing_to_8.over_commit", 3, "ms"),
    most("sale to level at another storefront, p50", "propagation.steady.p50", 10, "ms"),
    most("sale to level at another storefront, p99", "propagation.steady.p99", 50, "ms"),
    most("50 orders at once, all levels everywhere", "propagation.burst.all", 0.5, "s"),
    most("levels pushed for 3,000 sales over 500 SKUs", "propagation.coalescing.pushes", 1_999, "levels"),
    most("pushes that changed nothing", "propagation.coalescing.repeated", 0, "levels"),
    least("bulk: the channel's limit used", "bulk.large.lowering.limit_used", 95, "%"),
    most("bulk: a sale waits for (recount lowers)", "bulk.large.lowering.sale_waits", 2, "calls"),
    most("bulk: a sale waits for (recount raises)", "bulk.large.raising.sale_waits", 2, "calls"),
    most("bulk: a sale waits for (few left)", "bulk.large.lowering_few_left.sale_waits", 2, "calls"),
    most("p99 of others' acks beside a hot SKU", "fairness.hot_over_alone", 2, "x"),
    most("p99 of others' acks beside a slow channel", "fairness.slow_over_alone", 2, "x"),
    most("p99 of others' way out beside a slow channel", "fairness.way_beside_slow_over_alone", 2, "x"),
    most("memory of an idle SKU", "memory.idle_sku", 200, "bytes"),
    most("memory of an active SKU, full state", "memory.active_sku", 500, "bytes"),
    most("full gc with all active SKUs", "memory.gc", 150, "ms"),
    most("memory of the process", "memory.process", 120, "MB"),
    most("start after an orderly stop, beyond an empty store's", "start.clean.beyond_empty", 2, "s"),
    most("events repeated after an orderly stop", "start.clean.repeated", 0, "events"),
    most("start after a kill, a million events of tail", "start.million_tail", 2, "s"),
    least("rebuild --verify", "rebuild.verify", 500_000, "events/s"),
    most("disk, an event beside its body", "disk.event", 100, "bytes"),
    most("query p99, a SKU", "query.sku.p99", 5, "ms"),
    most("query p99, its history", "query.history.p99", 5, "ms"),
    most("explain p99", "query.explain.p99", 50, "ms"),
    most("a SKU as of an earlier moment, p99", "query.at.p99", 50, "ms"),
    most("explain as of an earlier moment, p99", "query.explain_at.p99", 50, "ms"),
    most("cost of the ten-millionth event, against the 10,000th", "growth.last_over_first", 1.2, "x"),
    most("soak: memory at the end, against the first quarter's", "soak.memory_growth", 1.05, "x"),
    most("soak: LMDB reader slots gained", "soak.readers_gained", 0, "slots"),
    most("soak: slots of a dead channel, a listing", "soak.slots_per_listing", 1, "slots"),
)


def judge(results: Results, targets: Sequence[Target] = TARGETS) -> list[Judged]:
    """Every target, met, missed or not measured, by the median."""
    judged = []
    for target in targets:
        found = results.figures.get(target.figure)
        if found is None:
            judged.append(Judged(target, None, "not measured"))
            continue
        figure, scale = found.figure, target.scale
        scaled = Figure(figure.median * scale, figure.low * scale, figure.high * scale, figure.runs)
        judged.append(Judged(target, scaled, "ok" if target.met(scaled.median) else "MISS"))
    return judged

"""What is printed: the table of targets, and the README's table of what one host carries."""

from __future__ import annotations

from collections.abc import Sequence

from tests.bench.results import Results, shown
from tests.bench.targets import Judged, judge


def machine_line(results: Results) -> str:
    """The machine in one line."""
    machine = results.machine
    return (
        f"{machine['cores']} cores, {machine['memory_gib']:g} GiB, a flush of {machine['flush_ms']:.2g} ms, "
        f"Python {machine['python']}"
    )


def table(judged: Sequence[Judged]) -> str:
    """Targets and verdicts, as text."""
    rows = [("target", "bound", "median", "spread", "")]
    for each in judged:
        target, figure = each.target, each.figure
        bound = f"{'>=' if target.at_least else '<='} {shown(target.bound)} {target.unit}"
        if figure is None:
            rows.append((target.about, bound, "-", "", each.verdict))
            continue
        spread = f"{shown(figure.low)} to {shown(figure.high)}, {figure.runs} runs" if figure.runs > 1 else "1 run"
        rows.append((target.about, bound, shown(figure.median), spread, each.verdict))
    widths = [max(len(row[place]) for row in rows) for place in range(5)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def missed(results: Results) -> bool:
    """Does anything that was measured miss its target, or could a scenario not be measured?"""
    return bool(results.failures) or any(each.verdict == "MISS" for each in judge(results))


CARRIES = (
    ("signed webhooks acknowledged, durable, a second (64 connections)", "saturation.daemon.uniform.rate", "/s"),
    ("the same, all for one SKU", "saturation.daemon.hot.rate", "/s"),
    ("known deliveries answered, a second", "saturation.daemon.duplicates.rate", "/s"),
    ("CPU time of a webhook", "saturation.daemon.uniform.cpu", "us"),
    ("answer at 100 webhooks a second, p99", "latency.at_100.p99", "ms"),
    ("answer at 1,000 webhooks a second, p99", "latency.at_1000.p99", "ms"),
    ("sale to level at another storefront, p50", "propagation.steady.p50", "ms"),
    ("sale to level at another storefront, p99", "propagation.steady.p99", "ms"),
    ("50 orders at once, until every storefront shows it", "propagation.burst.all", "s"),
    ("levels pushed to two channels for 3,000 sales of 500 SKUs", "propagation.coalescing.pushes", ""),
    ("recount of many SKUs: of the channel's limit used", "bulk.large.lowering.limit_used", "%"),
    ("memory with an empty store", "memory.process", "MB"),
    ("memory of an active SKU", "memory.active_sku", "bytes"),
    ("disk, an event beside its webhook's body", "disk.event", "bytes"),
    ("`rebuild --verify`", "rebuild.verify", "events/s"),
)
AGAINST = (
    ("FastAPI + PostgreSQL", "over_plain"),
    ("the same, tuned to one round trip", "over_tuned"),
)


def readme(results: Results) -> str:
    """What one host carries, as Markdown, for the README, ratios first. Only what was measured."""
    rows = [
        f"Measured on {machine_line(results)}:",
        "",
        "| what | median | lowest to highest |",
        "| --- | --- | --- |",
    ]
    for about, name in AGAINST:
        for work, said in (("uniform", "uniform SKUs"), ("hot", "one hot SKU")):
            if known := results.figures.get(f"saturation.{name}.{work}"):
                figure = known.figure
                spread = f"{shown(figure.low)} to {shown(figure.high)}" if figure.runs > 1 else "one run"
                rows.append(f"| against {about}, {said} | {shown(figure.median)} x | {spread} |")
    for about, name, unit in CARRIES:
        if known := results.figures.get(name):
            figure = known.figure
            spread = f"{shown(figure.low)} to {shown(figure.high)}" if figure.runs > 1 else "one run"
            rows.append(f"| {about} | {shown(figure.median)} {unit} | {spread} |".replace("  |", " |"))
    return "\n".join(rows)

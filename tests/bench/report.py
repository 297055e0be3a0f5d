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

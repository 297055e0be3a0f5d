"""The results as a picture, a hand-written SVG: every target by how far the figure is from its bound, and what a
webhook costs each server."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from tests.bench.results import Results, shown
from tests.bench.targets import Judged, judge

WIDTH, ROW, LEFT, RIGHT, TOP = 980, 20, 400, 190, 30
DECADES = 2.0
"""A bar that is a hundred times better, or worse, than its bound is as long as any gets."""
GOOD, BAD, PLAIN = "#2a7f4f", "#b3392f", "#4a6fa5"


def plot(results: Results) -> str:
    """The SVG."""
    judged = [each for each in judge(results) if each.figure is not None]
    costs = _costs(results)
    height = TOP * 3 + ROW * (len(judged) + len(costs))
    body = _targets(judged, TOP) + _bars(costs, TOP * 2 + ROW * len(judged))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" '
        f'font-size="12"><rect width="100%" height="100%" fill="white"/>{"".join(body)}</svg>\n'
    )


def margin(each: Judged) -> float:
    """How many times better than its bound the figure is; below 1, how much worse. Within 1/100 and 100."""
    assert each.figure is not None
    value, bound = each.figure.median, each.target.bound
    if value <= 0 or bound <= 0:
        return 100.0 if each.verdict == "ok" else 0.01
    ratio = value / bound if each.target.at_least else bound / value
    return max(0.01, min(100.0, ratio))


def _targets(judged: Sequence[Judged], top: int) -> list[str]:
    middle, span = LEFT + (WIDTH - LEFT - RIGHT) / 2, (WIDTH - LEFT - RIGHT) / 2
    drawn = [
        _text(LEFT - 8, top - 10, "target", "end"),
        _text(middle, top - 10, "worse | better, powers of ten", "middle"),
    ]
    drawn.append(f'<line x1="{middle}" y1="{top}" x2="{middle}" y2="{top + ROW * len(judged)}" stroke="#888"/>')
    for place, each in enumerate(judged):
        assert each.figure is not None
        y, length = top + ROW * place, math.log10(margin(each)) / DECADES * span
        left, colour = min(middle, middle + length), GOOD if each.verdict == "ok" else BAD
        sign = "≥" if each.target.at_least else "≤"
        told = f"{shown(each.figure.median)} ({sign} {shown(each.target.bound)}) {each.target.unit}"
        drawn.append(_text(LEFT - 8, y + 14, each.target.about, "end"))
        drawn.append(
            f'<rect x="{left:.1f}" y="{y + 3}" width="{max(1.0, abs(length)):.1f}" height="14" fill="{colour}"/>'
        )
        drawn.append(_text(WIDTH - RIGHT + 8, y + 14, told, "start"))
    return drawn


def _costs(results: Results) -> list[tuple[str, float]]:
    wanted = (
        ("our listener, no work", "noop.any"), ("hypercorn, no work", "hypercorn.any"),
        ("daemon, uniform", "daemon.uniform"), ("daemon, hot SKU", "daemon.hot"),
        ("FastAPI + PostgreSQL, uniform", "plain.uniform"), ("FastAPI + PostgreSQL, hot SKU", "plain.hot"),
        ("tuned service, uniform", "tuned.uniform"), ("tuned service, hot SKU", "tuned.hot"),
    )  # fmt: skip
    found = [(about, results.figures.get(f"saturation.{name}.cpu")) for about, name in wanted]
    return [(f"{about}: CPU us a webhook", each.figure.median) for about, each in found if each]


def _bars(costs: Sequence[tuple[str, float]], top: int) -> list[str]:
    most = max((cost for _, cost in costs), default=1.0)
    drawn = []
    for place, (about, cost) in enumerate(costs):
        y = top + ROW * place
        drawn.append(_text(LEFT - 8, y + 14, about, "end"))
        length = cost / most * (WIDTH - LEFT - RIGHT)
        drawn.append(f'<rect x="{LEFT}" y="{y + 3}" width="{length:.1f}" height="14" fill="{PLAIN}"/>')
        drawn.append(_text(WIDTH - RIGHT + 8, y + 14, shown(cost), "start"))
    return drawn


def _text(x: float, y: float, said: str, anchor: str) -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{escape(said)}</text>'

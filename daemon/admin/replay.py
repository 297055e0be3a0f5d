"""Kept deliveries read once more: what would change, what did, and how far it is."""

from __future__ import annotations

from typing import Final

from attrs import frozen

from daemon.admin.answers import ApiError, Json
from daemon.admin.requests import Replay
from daemon.admin.words import when
from daemon.domain.count_sheet import counted_span

EVER_US: Final = 1 << 62


@frozen
class ReplayProgress:
    """What a replay does now ("" for nothing): up to which delivery, of how many."""

    doing: str = ""
    reached: int = 0
    newest: int = 0


@frozen
class Moved:
    """A SKU with facts that are new or different: available units now, and by then."""

    sku: str
    now: int | None
    then: int | None
    facts: int


@frozen
class Changed:
    """A delivery that reads otherwise than it did."""

    delivery: int
    channel: str
    topic: str
    received_us: int
    how: str


@frozen
class Puzzled:
    """Deliveries that are not understood yet, for one reason; `delivery` is the first of them."""

    channel: str
    reason: str
    count: int
    delivery: int


@frozen
class ReplayReport:
    """deliveries read · different: read otherwise than they were · understood: puzzles before, not now · puzzles: not
    understood · unlinked: lines of no known SKU · too_old: facts older than what has been settled, not told ·
    to_fetch: orders only named · strangers: deliveries of channels that are not configured any more · skus: with new
    facts · told: facts that were news · complete: False where more would change than can be tried at once"""

    deliveries: int
    different: int
    understood: int
    puzzles: int
    unlinked: int
    too_old: int
    to_fetch: int
    strangers: int
    skus: int
    moved: tuple[Moved, ...]
    changed: tuple[Changed, ...]
    not_understood: tuple[Puzzled, ...]
    complete: bool = True
    applied: bool = False
    told: int = 0


def span_of(asked: Replay) -> tuple[int, int]:
    """From when to before when, on our clock. Raises `ApiError` 409."""
    since_us = _moment("since", asked.since, 0)
    until_us = _moment("until", asked.until, EVER_US)
    if since_us >= until_us:
        raise ApiError(409, "bad_span", "until is not after since", "exchange the two, or leave one out")
    return since_us, until_us


def _moment(name: str, text: str, otherwise: int) -> int:
    if not text:
        return otherwise
    span = counted_span(text)
    if span is None:
        said = f"{name} is a moment that there is not: {text!r}"
        raise ApiError(409, "bad_span", said, "write it like 2026-01-31T14:05Z")
    return span.lo


def report_view(asked: Replay, report: ReplayReport) -> Json:
    """`POST /v1/replay`."""
    return {
        "channel": asked.channel or None, "since": asked.since or None, "until": asked.until or None,
        "applied": report.applied, "told": report.told, "complete": report.complete,
        "deliveries": report.deliveries, "different": report.different, "understood": report.understood,
        "puzzles": report.puzzles, "unlinked": report.unlinked, "too_old": report.too_old,
        "to_fetch": report.to_fetch, "strangers": report.strangers,
        "skus": [
            {"sku": each.sku, "now": each.now, "then": each.then, "facts": each.facts} for each in report.moved
        ],
        "skus_left_out": report.skus - len(report.moved),
        "changed": [
            {
                "delivery": each.delivery, "channel": each.channel, "topic": each.topic,
                "received": when(each.received_us), "how": each.how,
            }
            for each in report.changed
        ],
        "changed_left_out": report.different - len(report.changed),
        "not_understood": [
            {"channel": each.channel, "reason": each.reason, "count": each.count, "delivery": each.delivery}
            for each in report.not_understood
        ],
    }  # fmt: skip


def progress_view(progress: ReplayProgress) -> Json:
    """`GET /v1/replay`."""
    return {"doing": progress.doing or None, "reached": progress.reached, "of": progress.newest}

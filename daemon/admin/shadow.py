"""What a channel's time in shadow taught: what would have been pushed, and how the tool that is live there does."""

from __future__ import annotations

from daemon.admin.answers import Json
from daemon.admin.inside import ChannelControl
from daemon.admin.words import when
from daemon.domain.instants import SECOND_US
from daemon.domain.shadow import Spell, Watched, percentile


def shadow_view(control: ChannelControl, after: str, limit: int, now_us: int) -> Json:
    """`GET /v1/channels/{channel}/shadow`: the whole, and a page of its listings."""
    sums, rows = control.watched(after, limit)
    mode = control.view().mode
    watching = mode.mode == "shadow"
    until_us = now_us if watching else mode.since_us
    return {
        "channel": control.name,
        "mode": mode.mode,
        "since": when(sums.since_us),
        "would_push": sums.pushes,
        "sales": sums.sales,
        "followed": len(sums.most),
        "lag_at_least_ms": _spread(sums.least),
        "lag_at_most_ms": _spread(sums.most),
        "onhand_ms": _spread(sums.own),
        "listings": [_listing(each, until_us, watching=watching) for each in rows],
        "next": rows[-1].listing if len(rows) == limit else None,
    }


def _listing(each: Watched, until_us: int, *, watching: bool) -> Json:
    return {
        "listing": each.listing,
        "sku": each.sku,
        "would_show": each.wished,
        "there_is": each.ceiling,
        "shows": each.shown,
        "looked_at": when(each.shown_us),
        "would_push": each.pushes,
        "pushes": [
            {"at": when(push.at_us), "level": push.level, "showed": push.showed, "cause": push.cause}
            for push in each.recent
        ],
        "over": _spell(each.over, until_us, watching=watching),
        "under": _spell(each.under, until_us, watching=watching),
        "waits_for": len(each.waiting),
        "not_followed": each.lost,
    }


def _spell(spell: Spell, until_us: int, *, watching: bool) -> Json:
    """`until_us`: now, or when the watch ended."""
    least_us, most_us = spell.lasted(until_us)
    return {
        "now": watching and bool(spell.since_us),
        "times": spell.times,
        "worst": spell.worst,
        "at_least_s": round(least_us / SECOND_US, 3),
        "at_most_s": round(most_us / SECOND_US, 3),
    }


def _spread(samples: list[int]) -> Json:
    p50, p99 = (percentile(samples, part) for part in (0.5, 0.99))
    return {
        "p50": None if p50 is None else p50 / 1_000, "p99": None if p99 is None else p99 / 1_000,
        "count": len(samples),
    }  # fmt: skip

"""How the daemon and its channels are: `status` and `channels`, from the statistics that every part keeps."""

from __future__ import annotations

from attrs import asdict

from daemon.admin.answers import Json
from daemon.admin.inside import AuditReport, ChannelView, Inside, Lag, RebuildReport, ReconcileReport, TargetReport
from daemon.admin.views import counts
from daemon.admin.words import when
from daemon.domain.gaps import Capture
from daemon.storage.alarms import Alarm

COUNTED = ("acked", "duplicates", "rejected")
"""Counters that `status` always names at its top; the others follow in `counters`."""


def status_view(inside: Inside) -> Json:
    """`GET /v1/status`."""
    why_not = inside.not_ready()
    registry, outbox = inside.registry.statistics(), inside.outbox.statistics()
    store = inside.store.statistics()
    return {
        "ready": not why_not,
        "not_ready": why_not or None,
        "since": when(inside.since_us),
        "now": when(inside.store.wall_us()),
        "alarms": [alarm_view(alarm) for alarm in inside.alarms.open()],
        "alarm_targets": [target_view(report) for report in inside.targets()],
        "events": store.events,
        **counts(inside.counters, *COUNTED),
        "counters": dict(sorted(inside.counters.items())),
        "actors": registry.actors,
        "queued": registry.queued,
        "crashes": registry.crashes,
        "quarantined": dict(sorted(inside.registry.quarantined.items())),
        "audit": audit_view(inside.audit()),
        "outbox": {"pending": outbox.pending, "in_flight": outbox.in_flight, "dead": outbox.dead},
        "dead_letters": inside.dead_letters.count,
        "channels": {name: channel_view(control.view()) for name, control in inside.channels.items()},
        "storage": {
            "map_bytes": store.map_bytes,
            "used_bytes": store.used_bytes,
            "commits": store.commits,
            "pending_rows": store.pending_rows,
            "readers": store.readers,
            "history_since": when(inside.store.floor.at_us),
            "trouble": store.trouble or None,
        },
    }


def audit_view(report: AuditReport) -> Json:
    """How far the self-audit is."""
    return {
        "audited": report.audited,
        "skus": report.skus,
        "since": when(report.since_us),
        "rounds": report.rounds,
        "differing": dict(report.differing),
    }


def alarm_view(alarm: Alarm) -> Json:
    """One open alarm, with what a person should do."""
    return {
        "condition": alarm.condition,
        "channel": alarm.channel or None,
        "subject": alarm.subject or None,
        "text": alarm.text,
        "since": when(alarm.since_us),
        "last": when(alarm.last_us),
        "count": alarm.count,
        "what_to_do": alarm.runbook,
    }


def target_view(report: TargetReport) -> Json:
    """Who is told of alarms, and whether that works."""
    return {
        "target": report.target,
        "waiting": report.waiting,
        "told": report.told,
        "lost": report.lost,
        "failing_since": when(report.failing_since_us),
        "last_error": report.last_error or None,
    }


def channel_view(view: ChannelView) -> Json:
    """One channel. Lags are milliseconds, None before the first measurement."""
    return {
        "name": view.name,
        "platform": view.platform,
        "state": view.state,
        "breaker": view.breaker,
        "push_lag_ms": lag_view(view.push_lag),
        "webhook_lag_ms": lag_view(view.webhook_lag),
        "commit_lag_ms": lag_view(view.commit_lag),
        "visible_lag_ms": lag_view(view.visible_lag),
        "write_window_ms": None if view.compare_and_set else lag_view(view.write_window),
        "pending": view.pending,
        "in_flight": view.in_flight,
        "dead": view.dead,
        "orders_seen_until": when(view.watermark_us),
        "clock_offset_ms": {"at_least": view.clock_offset_ms[0], "at_most": view.clock_offset_ms[1]},
        "last_error": view.last_error or None,
        "pushes": view.pushes,
        "polls": view.polls,
        "webhooks": view.webhooks,
        "acknowledgements": view.trust,
        "acknowledgements_since": when(view.trust_since_us),
        "webhooks_silent_since": when(view.blind_since_us),
        "webhook_capture": [
            {"topic": topic, "hour": capture_view(hour), "day": capture_view(day)}
            for topic, (hour, day) in sorted(view.captures.items())
        ],
        "mode": view.mode.mode,
        "mode_by": view.mode.by or None,
        "mode_since": when(view.mode.since_us),
        "mode_in_file": view.file_mode,
        "swept": view.swept,
        "sweep_rounds": view.sweep_rounds,
    }


def capture_view(capture: Capture) -> Json:
    """What webhooks told of what they should have told; `ratio` None where that was nothing."""
    ratio = capture.ratio
    return {"told": capture.told, "missed": capture.missed, "ratio": None if ratio is None else round(ratio, 4)}


def lag_view(lag: Lag) -> Json:
    """`{"p50", "p95", "p99", "count"}`, milliseconds."""
    return {"p50": lag.p50_ms, "p95": lag.p95_ms, "p99": lag.p99_ms, "count": lag.count}


def reconcile_view(report: ReconcileReport) -> Json:
    """What a comparison with the live channel found."""
    return {
        "channel": report.channel,
        "listings": report.listings,
        "linked": report.linked,
        "mismatched": report.mismatched,
        "error": report.error or None,
    }


def rebuild_view(report: RebuildReport) -> Json:
    """What folding the log anew found; `ok` iff nothing is wrong with what is stored now."""
    sound = not report.first_broken and (report.repaired or not report.different)
    return {"ok": sound, **asdict(report)}

"""OpenMetrics text about everything that keeps statistics, rendered when asked for; no global registry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, StateSetMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from daemon.admin.inside import ChannelView, Inside, Lag, TargetReport
from daemon.ingress.http_types import HttpResponse
from daemon.storage.alarms import Alarm

OPEN_METRICS: Final[str] = CONTENT_TYPE_LATEST
STATES: Final = ("live", "shadow", "paused", "down", "throttled")
TRUST: Final = ("trusted", "doubted", "downgraded")
BREAKERS: Final = ("closed", "open", "half_open")

_LAGS: Final = {
    "push_lag": "From the wish to the acknowledged push.",
    "webhook_lag": "From the event at the channel to its receipt.",
    "commit_lag": "From receipt to durable.",
    "visible_lag": "From the acknowledged push to when a reading shows it.",
    "write_window": "From reading a listing to having written it, where the channel cannot compare.",
}


class Metrics:
    """`GET /metrics`."""

    def __init__(self, inside: Inside) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Inside(inside))

    def answer(self) -> HttpResponse:
        """The text of this moment."""
        text: bytes = generate_latest(self._registry)  # type: ignore[no-untyped-call]  # untyped upstream
        return HttpResponse(200, text, content_type=OPEN_METRICS)


class _Inside(Collector):
    def __init__(self, inside: Inside) -> None:
        self._inside = inside

    def describe(self) -> Iterator[Metric]:
        """Nothing ahead of time: registering must not read the store."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Every family."""
        inside = self._inside
        yield _gauge("ready", "1 when webhooks are answered.", not inside.not_ready())
        yield _gauge("start_time_seconds", "When the daemon started, since 1970.", inside.since_us / 1e6)
        counters = CounterMetricFamily("onhand_happenings", "How often it happened since the start.", labels=["what"])
        for name, count in sorted(inside.counters.items()):
            counters.add_metric([name], count)
        yield counters
        yield _alarms(inside.alarms.open())
        yield from _targets(inside.targets())
        yield from self._work()
        yield from self._storage()
        yield from self._drift()
        yield from _channels([control.view() for control in inside.channels.values()])

    def _work(self) -> Iterator[Metric]:
        registry, outbox = self._inside.registry.statistics(), self._inside.outbox.statistics()
        yield _gauge("actors", "SKUs in memory.", registry.actors)
        yield _gauge("queued_messages", "Observations waiting to be applied.", registry.queued)
        yield _gauge("quarantined_skus", "SKUs that wait for a person after crashes.", registry.quarantined)
        audit = self._inside.audit()
        yield _gauge("audited_skus", "SKUs that this round of the self-audit has compared.", audit.audited)
        yield _counter("audit_rounds", "Rounds of the self-audit since the start.", audit.rounds)
        yield _gauge("differing_skus", "SKUs whose books are not what the log makes of them.", len(audit.differing))
        yield _counter("actor_crashes", "Actors that raised.", registry.crashes)
        slots = GaugeMetricFamily("onhand_outbox_listings", "Listings that need work, by state.", labels=["state"])
        slots.add_metric(["pending"], outbox.pending)
        slots.add_metric(["in_flight"], outbox.in_flight)
        slots.add_metric(["dead"], outbox.dead)
        yield slots
        yield _gauge("dead_letters", "Observations and pushes put aside.", self._inside.dead_letters.count)

    def _drift(self) -> Iterator[Metric]:
        """By channel and likeliest cause, over the days that are kept: also what was found before the start."""
        drifts = GaugeMetricFamily(
            "onhand_drifts", "Listings that showed what they should not, by cause.", labels=["channel", "cause"]
        )
        for name in self._inside.channels:
            for cause, times in sorted(self._inside.drifts.totals(name).items()):
                drifts.add_metric([name, cause], times)
        yield drifts
        held = {name: float(control.mass_hold() is not None) for name, control in self._inside.channels.items()}
        yield _each_gauge("channel_mass_held", "1 while too many listings differ at once.", held)

    def _storage(self) -> Iterator[Metric]:
        store = self._inside.store.statistics()
        yield _gauge("log_events", "Events in the log.", store.events)
        yield _counter("commits", "Transactions since the start.", store.commits)
        yield _gauge("pending_rows", "Rows waiting for a commit.", store.pending_rows)
        yield _gauge("map_bytes", "Size of the memory map.", store.map_bytes)
        yield _gauge("used_bytes", "Bytes of the map that are used.", store.used_bytes)
        yield _gauge("store_readers", "Reader slots in use.", store.readers)
        yield _gauge("store_trouble", "1 while nothing new can be accepted.", bool(store.trouble))


def _gauge(name: str, help_text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"onhand_{name}", help_text, value=float(value))


def _counter(name: str, help_text: str, value: float) -> Metric:
    return CounterMetricFamily(f"onhand_{name}", help_text, value=float(value))


def _alarms(alarms: Sequence[Alarm]) -> Metric:
    family = GaugeMetricFamily(
        "onhand_alarms", "Open alarms; none of a condition where it has no sample.", labels=["condition", "channel"]
    )
    for (condition, channel), count in sorted(Counter((each.condition, each.channel) for each in alarms).items()):
        family.add_metric([condition, channel], count)
    return family


def _targets(reports: Sequence[TargetReport]) -> Iterator[Metric]:
    failing = GaugeMetricFamily("onhand_alarm_target_failing", "1 while it cannot be told.", labels=["target"])
    waiting = GaugeMetricFamily("onhand_alarm_target_waiting", "What waits to be told to it.", labels=["target"])
    told = CounterMetricFamily("onhand_alarm_target_told", "Alarms begun or over that it took.", labels=["target"])
    lost = CounterMetricFamily("onhand_alarm_target_lost", "Those it is never told.", labels=["target"])
    for each in reports:
        failing.add_metric([each.target], bool(each.failing_since_us))
        waiting.add_metric([each.target], each.waiting)
        told.add_metric([each.target], each.told)
        lost.add_metric([each.target], each.lost)
    yield from (failing, waiting, told, lost)


def _channels(views: list[ChannelView]) -> Iterator[Metric]:
    yield _states("channel_state", "What a channel is doing.", STATES, {view.name: view.state for view in views})
    breakers = {view.name: view.breaker for view in views}
    yield _states("channel_breaker", "The breaker of a channel.", BREAKERS, breakers)
    for name, help_text in _LAGS.items():
        yield from _lag(name, help_text, {view.name: getattr(view, name) for view in views})
    for name, help_text in (
        ("pending", "Listings waiting to be pushed or read back."),
        ("in_flight", "Pushes under way."),
        ("dead", "Listings stopped by a dead letter."),
    ):
        yield _each_gauge(f"channel_{name}", help_text, {view.name: getattr(view, name) for view in views})
    seen = {view.name: view.watermark_us / 1e6 for view in views if view.watermark_us}
    yield _each_gauge("channel_orders_seen_seconds", "Every order up to here (since 1970) is absorbed.", seen)
    trust = {view.name: view.trust for view in views}
    yield _states("channel_acknowledgements", "How far a channel's acknowledgements are believed.", TRUST, trust)
    silent = {view.name: float(bool(view.blind_since_us)) for view in views}
    yield _each_gauge("channel_webhooks_silent", "1 while the channel's webhooks tell nothing.", silent)
    yield from _captures(views)
    for name, help_text in (
        ("pushes", "Levels pushed."),
        ("polls", "Order feeds read."),
        ("webhooks", "Webhooks."),
        ("swept", "Listings compared."),
    ):
        family = CounterMetricFamily(f"onhand_channel_{name}", help_text, labels=["channel"])
        for view in views:
            family.add_metric([view.name], getattr(view, name))
        yield family


def _captures(views: list[ChannelView]) -> Iterator[Metric]:
    ratio = GaugeMetricFamily(
        "onhand_webhook_capture_ratio", "Of the versions of orders that webhooks should tell, the part they told.",
        labels=["channel", "topic", "window"],
    )  # fmt: skip
    missed = GaugeMetricFamily(
        "onhand_webhook_missed",
        "Versions of orders that no webhook told in time.",
        labels=["channel", "topic", "window"],
    )
    for view in views:
        for topic, captures in view.captures.items():
            for window, capture in zip(("hour", "day"), captures, strict=True):
                missed.add_metric([view.name, topic, window], capture.missed)
                if capture.ratio is not None:
                    ratio.add_metric([view.name, topic, window], capture.ratio)
    yield ratio
    yield missed


def _each_gauge(name: str, help_text: str, values: dict[str, float]) -> Metric:
    family = GaugeMetricFamily(f"onhand_{name}", help_text, labels=["channel"])
    for channel, value in values.items():
        family.add_metric([channel], value)
    return family


def _states(name: str, help_text: str, words: tuple[str, ...], states: Mapping[str, str]) -> Metric:
    family = StateSetMetricFamily(f"onhand_{name}", help_text, labels=["channel"])
    for channel, state in states.items():
        family.add_metric([channel], {word: word == state for word in words})
    return family


def _lag(name: str, help_text: str, lags: dict[str, Lag]) -> Iterator[Metric]:
    family = GaugeMetricFamily(f"onhand_{name}_seconds", help_text, labels=["channel", "quantile"])
    for channel, lag in lags.items():
        for quantile, value_ms in (("0.5", lag.p50_ms), ("0.95", lag.p95_ms), ("0.99", lag.p99_ms)):
            if value_ms is not None:
                family.add_metric([channel, quantile], value_ms / 1e3)
    yield family

"""The metrics are OpenMetrics as its own parser reads it."""

from __future__ import annotations

from prometheus_client import REGISTRY
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from daemon.admin.inside import Lag
from daemon.domain.gaps import Capture
from tests.harness import START_US, AdminSocket, House


async def test_metrics_are_openmetrics_and_name_every_part(house: House, admin: AdminSocket) -> None:
    await house.listed("A", 1)
    await house.counted("A", 5)
    house.channels["shop"].push_lag = Lag(12.0, 20.0, 250.0, 4)
    house.channels["site"].paused = True
    for channel in ("shop", "site"):
        house.alarms.raised("feed_unread", channel, "no answer")
    for sku in ("A", "B"):
        house.alarms.raised("mass_change", "shop", "many", sku)
    house.channels["shop"].captures = {"order.updated": (Capture(0, 0), Capture(3, 1))}
    house.channels["site"].blind_since_us = START_US
    answer = await admin.get("/metrics")
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    families = list(text_string_to_metric_families(answer.body.decode()))
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }
    assert samples["onhand_ready",] == 1
    assert samples["onhand_start_time_seconds",] == START_US / 1e6
    assert samples["onhand_happenings_total", ("what", "acked")] == 3
    assert samples["onhand_log_events",] == 3
    assert samples["onhand_outbox_listings", ("state", "pending")] == 2
    assert samples["onhand_push_lag_seconds", ("channel", "shop"), ("quantile", "0.99")] == 0.25
    assert ("onhand_push_lag_seconds", ("channel", "site"), ("quantile", "0.99")) not in samples
    assert samples["onhand_channel_state", ("channel", "site"), ("onhand_channel_state", "paused")] == 1
    assert samples["onhand_channel_state", ("channel", "site"), ("onhand_channel_state", "live")] == 0
    alarms = {key[1:]: value for key, value in samples.items() if key[0] == "onhand_alarms"}
    assert alarms == {
        (("channel", "shop"), ("condition", "feed_unread")): 1,
        (("channel", "site"), ("condition", "feed_unread")): 1,
        (("channel", "shop"), ("condition", "mass_change")): 2,
    }
    captured = {
        (name, dict(labels)["window"]): value for (name, *labels), value in samples.items() if "webhook_" in name
    }
    assert captured == {
        ("onhand_webhook_capture_ratio", "day"): 0.75,
        ("onhand_webhook_missed", "day"): 1,
        ("onhand_webhook_missed", "hour"): 0,
    }
    assert samples["onhand_channel_webhooks_silent", ("channel", "site")] == 1
    assert samples["onhand_channel_webhooks_silent", ("channel", "shop")] == 0
    assert samples["onhand_channel_pushes_total", ("channel", "shop")] == 3


async def test_nothing_is_registered_globally(admin: AdminSocket) -> None:
    await admin.get("/metrics")
    assert not [name for name in REGISTRY._names_to_collectors if name.startswith("onhand")]

"""What an operator is shown: every alarm and lag is a metric, and every metric on the dashboard is one of ours."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import pytest
from attrs import evolve, fields
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from daemon.admin.inside import ChannelView, Lag
from daemon.domain.drift import Named
from daemon.domain.gaps import Capture
from daemon.storage.alarms import RUNBOOK, Condition
from tests.harness import START_US, AdminSocket, House, TwinChannel

DASHBOARD = Path(__file__).resolve().parents[2] / "systemd" / "grafana-onhand.json"
LAGS = sorted(each.name for each in fields(ChannelView) if each.type in (Lag, "Lag"))


async def scraped(admin: AdminSocket) -> dict[str, set[str]]:
    """By metric: the names of its labels."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families((await admin.get("/metrics")).body.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


@pytest.fixture(autouse=True)
def _measured(monkeypatch: pytest.MonkeyPatch) -> None:
    view = TwinChannel.view
    lags = dict.fromkeys(LAGS, Lag(1.0, 2.0, 3.0, 4))
    monkeypatch.setattr(TwinChannel, "view", lambda self: evolve(view(self), **lags))


async def troubled(house: House) -> None:
    """Of everything that can be measured, some."""
    await house.listed("A", 1)
    named = (Named("foreign edit", 9, "no order makes 3 of 5"),)
    house.drifts.add(
        START_US, channel="shop", listing="L", sku="A", shown=3, expected=5, first_us=START_US, first_shown=3,
        done="corrected", causes=named,
    )  # fmt: skip
    shop = house.channels["shop"]
    shop.captures = {"order.updated": (Capture(3, 1), Capture(3, 1))}
    for condition in get_args(Condition):
        house.alarms.raised(condition, "shop", "so it is")


async def test_every_condition_is_a_metric_and_says_what_to_do(house: House, admin: AdminSocket) -> None:
    await troubled(house)
    text = (await admin.get("/metrics")).body.decode()
    alarms = (await admin.get("/v1/status")).json()["alarms"]
    assert {each["condition"] for each in alarms} == set(get_args(Condition)) == set(RUNBOOK)
    for each in alarms:
        assert f'onhand_alarms{{channel="shop",condition="{each["condition"]}"}} 1.0' in text
        assert each["what_to_do"] == RUNBOOK[each["condition"]]
        # A line of a runbook names a command, or what at the channel is to be looked at.
        assert "`onhand " in each["what_to_do"] or "check" in each["what_to_do"] or "?" in each["what_to_do"]
        assert 40 < len(each["what_to_do"]) < 400


async def test_every_lag_is_a_metric(house: House, admin: AdminSocket) -> None:
    await troubled(house)
    names = await scraped(admin)
    assert len(LAGS) >= 5
    assert {f"onhand_{name}_seconds" for name in LAGS} <= set(names)


async def test_every_metric_on_the_dashboard_is_there_with_its_labels(house: House, admin: AdminSocket) -> None:
    await troubled(house)
    names = await scraped(admin)
    panels = json.loads(DASHBOARD.read_text())["panels"]
    asked: set[str] = set()
    for panel in panels:
        for target in panel["targets"]:
            metrics = re.findall(r"onhand_\w+(?=[\[{ )]|$)", re.sub(r"\{[^}]*\}", "{}", target["expr"]))
            assert metrics, target["expr"]
            asked.update(metrics)
            labels = set().union(*(names.get(metric, set()) for metric in metrics))
            used = {
                *re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]),
                *re.findall(r'(\w+)!?="', target["expr"]),
            }
            assert used <= labels, (panel["title"], used - labels)
    assert asked <= set(names), asked - set(names)
    assert {"onhand_alarms", "onhand_dead_letters", *(f"onhand_{name}_seconds" for name in LAGS)} <= asked | {
        "onhand_write_window_seconds"
    }
    assert len({panel["id"] for panel in panels}) == len(panels)

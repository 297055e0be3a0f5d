"""What happens, as log lines that name their cause."""

from __future__ import annotations

import json
from typing import Any

from daemon.actors.actor import Part
from daemon.app.lags import WINDOW, LagWindow
from daemon.app.watching import CAUSES_MAX, CounterView, Watch
from daemon.domain.instants import exactly
from daemon.domain.observations import OrderLine
from daemon.domain.outcomes import Outcome
from daemon.domain.sku import Sent, Step
from daemon.domain.slot import Slot
from daemon.events import Severity
from daemon.storage.codec import Cause
from daemon.telemetry import Telemetry

NOW_US = 1_750_000_000_000_000


def watching() -> tuple[Watch, list[dict[str, Any]]]:
    lines: list[dict[str, Any]] = []
    telemetry = Telemetry(
        wall_us=lambda: NOW_US, write_line=lambda line: lines.append(json.loads(line)), level=Severity.DEBUG
    )
    return Watch(telemetry, lambda: NOW_US), lines


def sale(sku: str, before: int, after: int) -> tuple[Part, Step]:
    line = OrderLine("shop", "1001", "7", sku, max(0, before - after), version=1, at=exactly(NOW_US))
    return Part(sku, line, Cause("webhook", "shop", 42, "1001", "7")), Step("applied", before, after, log=True)


def test_a_sale_and_the_push_that_follows_name_delivery_order_line_sku_and_channel() -> None:
    watch, lines = watching()
    watch.applied(*sale("A", 5, 4), 9)
    slot = Slot("site", "L-A", "A", desired=4, generation=3, wanted_us=NOW_US - 7_000)
    sent = Sent("site", "L-A", 3, 4, 5)
    watch.sent(slot, sent)
    watch.answered(slot, sent, Outcome("ok"), dead_letter=0)
    applied, left, confirmed = lines
    assert (applied["event"], applied["before"], applied["after"], applied["seq"]) == ("observation.applied", 5, 4, 9)
    assert (left["event"], confirmed["event"], confirmed["lag_ms"]) == ("push.sent", "push.confirmed", 7.0)
    for line in lines:
        assert (line["delivery"], line["order"], line["line"], line["sku"]) == ("42", "1001", "7", "A")
    assert [line["channel"] for line in lines] == ["shop", "site", "site"]
    assert confirmed["because"] == "webhook of shop"


def test_a_push_that_is_only_repeated_does_not_count_for_the_lag() -> None:
    watch, lines = watching()
    slot = Slot("site", "L-A", "A", desired=4, generation=3, wanted_us=NOW_US - 7_000, settled_generation=3)
    watch.answered(slot, Sent("site", "L-A", 3, 4, 5), Outcome("ok"), dead_letter=0)
    assert "lag_ms" not in lines[0]
    assert watch.of("site").push_lag.count == 0


def test_a_sale_of_what_is_not_there_opens_a_debt_and_a_return_pays_it() -> None:
    watch, lines = watching()
    watch.applied(*sale("A", 0, -2), 1)
    watch.applied(*sale("A", -2, 1), 2)
    assert [line["event"] for line in lines if line["event"].startswith("debt")] == ["debt.opened", "debt.paid"]
    assert lines[1]["debt"] == 2


def test_a_stopped_push_names_its_letter_and_every_counter_has_its_short_name() -> None:
    watch, lines = watching()
    slot, sent = Slot("site", "L-A", "A", desired=4), Sent("site", "L-A", 1, 4, 5)
    watch.answered(slot, sent, Outcome("permanent", "no such listing"), dead_letter=11)
    assert (lines[0]["event"], lines[0]["letter"], lines[0]["reason"]) == ("push.dead", 11, "no such listing")
    view = CounterView(watch.telemetry.counters)
    assert dict(view)["dead_pushes"] == 1
    assert len(view) == len(list(view))


def test_only_so_many_causes_are_remembered() -> None:
    watch, _ = watching()
    for number in range(CAUSES_MAX + 5):
        watch.applied(*sale(f"S-{number}", 2, 1), number)
    assert len(watch._causes) == CAUSES_MAX
    assert "S-0" not in watch._causes


def test_lags_are_percentiles_of_the_newest_samples() -> None:
    window = LagWindow()
    assert window.lag().p50_ms is None
    for us in [1_000] * WINDOW + list(range(1_000, 101_000, 1_000)):
        window.add(us)
    window.add(-5)
    lag = window.lag()
    assert lag.count == WINDOW + 101
    assert (lag.p50_ms, lag.p99_ms) == (1.0, 80.0)

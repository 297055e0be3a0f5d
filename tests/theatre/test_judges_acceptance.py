"""The acceptance tests from outside: their judges see what is late, refused, lost, or wrong in the end."""

from __future__ import annotations

import pytest

from daemon.theatre.incidents.acceptance import BUSY, EIGHT, LAST, LAST_ONE, MANY, TEN
from tests.theatre.puppets import Puppets

# --- the burst -----------------------------------------------------------------------------------------------


def burst(*, after_s: float = 0.2, told: bool = True, refused: int = 0, level: int = 38) -> Puppets:
    puppets = Puppets("burst")
    puppets.note(refused=refused)
    for sku in TEN:
        puppets.sell("market", (sku, 2))
        puppets.wait(after_s)
        for store in ("boutique", "outlet"):
            if told:
                puppets.push(sku, level, store)
    return puppets


def test_a_burst_that_is_known_everywhere_soon_holds() -> None:
    puppets = burst()
    puppets.held()
    assert len(puppets.verdict().figures["exposures_ms"]) == 20


def test_a_burst_that_is_late_refused_wrong_or_never_known_fails() -> None:
    burst(after_s=1.5).failed("ms are the limit")
    burst(told=False).failed("20 sales never reached a storefront")
    burst(refused=2).failed("2 orders were refused")
    burst(level=37).failed("38 are left, but boutique shows 37")


def test_a_storefront_that_shows_less_than_is_left_offers_nothing_too_much() -> None:
    puppets = Puppets("burst")
    puppets.push("SKU-01", 10, "boutique")
    puppets.push("SKU-01", 10, "outlet")
    puppets.sell("market", ("SKU-01", 2))
    assert puppets.incident.name == "burst"
    puppets.note(refused=0)
    assert puppets.verdict().figures["exposures_ms"] == [0.0, 0.0]


# --- in the same moment --------------------------------------------------------------------------------------


def at_once(*, refused: int = 0, before: bool = True, busy: int = 117) -> Puppets:
    puppets = Puppets("at_once")
    puppets.note(refused=refused, right_before=before, oversold=2)
    for store in puppets.stores:
        puppets.sell(store, (BUSY, 1))
        puppets.sell(store, (LAST[0], 1))
    puppets.push(BUSY, busy)
    return puppets


def test_buyers_in_the_same_moment_that_end_at_the_true_count_hold() -> None:
    at_once().held()


def test_buyers_refused_or_counted_wrongly_fail() -> None:
    at_once(refused=1).failed("1 orders were refused")
    at_once(before=False).failed("a storefront offered what was owed")
    at_once(busy=119).failed(f"{BUSY}: 117 are left, but market shows 119")


# --- failures ------------------------------------------------------------------------------------------------


def failures(*, boutique: int = 29, lost: bool = True) -> Puppets:
    puppets = Puppets("failures")
    puppets.misbehave("market", webhook={"drop": 1.0} if lost else {})
    for sku in EIGHT:
        puppets.sell("market", (sku, 1))
        puppets.push(sku, boutique, "boutique")
        puppets.push(sku, 29, "outlet")
    puppets.note(right=boutique == 29, right_s=3.0)
    return puppets


def test_failures_made_good_hold() -> None:
    failures().held()


def test_failures_not_made_good_fail() -> None:
    failures(boutique=30).failed("SKU-01: 29 are left, but boutique shows 30")
    failures(boutique=30).failed("8 SKUs are wrong in all")
    failures(lost=False).failed("nothing was tried")


# --- the bulk update -----------------------------------------------------------------------------------------


def bulk(*, missing: int = 0, last_after_s: float = 0.1, undelivered: int = 0) -> Puppets:
    puppets = Puppets("bulk")
    skus = [sku for sku in MANY if sku != LAST_ONE]
    for sku in skus[undelivered:]:
        puppets.deliver(sku, 5)
    puppets.sell("market", (LAST_ONE, 1))
    puppets.wait(last_after_s)
    for store in ("boutique", "outlet"):
        puppets.push(LAST_ONE, 0, store)
    levels = dict.fromkeys(skus[undelivered : len(skus) - missing], 15)
    for store in puppets.stores:
        puppets.put(store, levels)
    puppets.note(seconds=4.0)
    return puppets


def test_a_bulk_that_drops_nothing_holds() -> None:
    bulk().held()


def test_a_bulk_that_drops_numbers_or_keeps_a_sale_waiting_fails() -> None:
    bulk(missing=2).failed("SKU-0599: 15 are left")
    bulk(last_after_s=3).failed("ms are the limit")
    bulk(undelivered=1).failed("nothing was tried")


def test_the_trail_is_never_judged_from_outside() -> None:
    Puppets("trail").failed("nothing to judge it by")


@pytest.mark.parametrize("name", ["burst", "at_once", "failures", "bulk", "trail"])
def test_each_says_how_it_is_judged(name: str) -> None:
    doc = Puppets(name).incident.play.__doc__ or ""
    assert "Trigger:" in doc
    assert "Judged:" in doc

"""T7, T8, T9, T13: their judges see orders counted wrongly, a debt clamped away, and a stranger believed."""

from __future__ import annotations

from typing import Any

import pytest

from daemon.theatre.incidents.strangers import forged
from tests.theatre.puppets import Puppets

# --- T7 ------------------------------------------------------------------------------------------------------

LEFT = {"CANCEL": 9, "PAID": 8, "REFUND": 8}


def stories(backwards: bool = True, **wrong: int) -> Puppets:
    puppets = Puppets("T7")
    for sku, (action, ordered, units) in {
        "CANCEL": ("cancel", 3, 2), "PAID": ("fulfil", 2, 2), "REFUND": ("refund", 3, 1),
    }.items():  # fmt: skip
        for twin in (sku, f"{sku}-BACKWARDS"):
            late = {"late": [{"topic": "order.updated", "delay_s": 1.2}]} if backwards and twin != sku else {}
            puppets.misbehave("market", webhook=late)
            order = puppets.sell("market", (twin, ordered))
            puppets.act("market", order, action, units)
            puppets.hear("market")
            puppets.wait(2)
            puppets.hear("market")
        puppets.push(sku, LEFT[sku], "boutique")
        puppets.push(f"{sku}-BACKWARDS", wrong.get(sku, LEFT[sku]), "boutique")
    return puppets


def test_stories_told_backwards_that_end_alike_hold() -> None:
    stories().held()


@pytest.mark.parametrize(("sku", "wrong"), [("CANCEL", 7), ("PAID", 10), ("REFUND", 9)])
def test_a_story_told_backwards_that_ends_otherwise_fails(sku: str, wrong: int) -> None:
    stories(**{sku: wrong}).failed(f"{sku} told backwards ends at")


def test_stories_told_in_order_were_not_tried() -> None:
    stories(backwards=False).failed("told backwards")


def test_books_that_differ_fail() -> None:
    puppets = stories()
    book = {"available": 9, "on_hand": 10, "held": 1, "debt": 0}
    puppets.inside = {f"{sku}{twin}": book for sku in LEFT for twin in ("", "-BACKWARDS")}
    puppets.held()
    puppets.inside["PAID-BACKWARDS"] = book | {"held": 3}
    puppets.failed("the books of PAID told backwards")


# --- T8 ------------------------------------------------------------------------------------------------------


def between(boutique: int, told: bool = False) -> Puppets:
    puppets = Puppets("T8")
    puppets.misbehave("market", webhook={} if told else {"drop": 1.0})
    puppets.act("market", puppets.sell("market", ("SHIRT", 3)), "fulfil")
    puppets.act("market", puppets.sell("market", ("SHIRT", 2)), "cancel", 1)
    puppets.hear("market")
    puppets.push("SHIRT", boutique, "boutique")
    return puppets


def test_orders_between_two_polls_that_are_counted_hold() -> None:
    between(6).held()


@pytest.mark.parametrize("boutique", [10, 9, 5])
def test_orders_between_two_polls_that_are_missed_or_counted_wrongly_fail(boutique: int) -> None:
    between(boutique).failed(f"6 are left, but boutique shows {boutique}")


def test_orders_told_by_webhook_were_not_tried() -> None:
    between(6, told=True).failed("nothing was tried")


# --- T9 ------------------------------------------------------------------------------------------------------


def flooded(boutique: int = 8, **noted: Any) -> Puppets:
    puppets = Puppets("T9")
    puppets.note(**{"answers": {401: 1_400}, "bytes_before": 1_000, "bytes_after": 1_000} | noted)
    puppets.sell("market", ("SHIRT", 2))
    puppets.wait(noted.get("late_s", 0))
    puppets.push("SHIRT", boutique, "boutique")
    return puppets


def test_a_flood_that_leaves_nothing_behind_holds() -> None:
    flooded().held()


@pytest.mark.parametrize(
    ("noted", "because"),
    [
        ({"answers": {401: 1_399, 200: 1}}, "not refused but answered {200: 1}"),
        ({"answers": {401: 1_399, 503: 1}}, "not refused but answered {503: 1}"),
        ({"answers": {401: 1_000}}, "not every request was answered"),
        ({"bytes_after": 2_000_000}, "strangers made the state grow by 1999000 bytes"),
        ({"late_s": 9}, "reaching boutique took 9.0 s"), ({"boutique": 0}, "8 are left, but boutique shows 0"),
    ],
)  # fmt: skip
def test_a_flood_that_does_harm_fails(noted: dict[str, Any], because: str) -> None:
    flooded(**noted).failed(because)


def test_strangers_must_be_counted_and_never_written() -> None:
    puppets = flooded()
    puppets.inside = {"before": {"events": 7}, "after": {"events": 7}, "status": {"rejected": 1_400}}
    puppets.held()
    puppets.inside = {"before": {"events": 7}, "after": {"events": 8}, "status": {"rejected": 1_400}}
    puppets.failed("from 7 to 8 events by strangers alone")
    puppets.inside = {"before": {"events": 7}, "after": {"events": 7}, "status": {"rejected": 1_399}}
    puppets.failed("1399 are counted as rejected")


def test_forged_requests_are_unsigned_signed_with_a_guess_or_signed_for_another_hour() -> None:
    found = [forged("http://127.0.0.1:1/webhooks/market", number, 7_200_000_000) for number in range(3)]
    stamps = [each.headers.get("x-sandbox-timestamp") for each in found]
    assert stamps == [None, "7200", "3600"]
    assert len({each.headers["x-sandbox-delivery"] for each in found}) == 3


# --- T13 -----------------------------------------------------------------------------------------------------


def sold_out(*levels: int, delivered: bool = True) -> Puppets:
    puppets = Puppets("T13")
    for store in puppets.stores:
        puppets.sell(store, ("SHIRT", 1))
    if delivered:
        puppets.deliver("SHIRT", 3)
    for level in levels:
        puppets.push("SHIRT", level)
    return puppets


def books(
    owed: int = 1, paid: int = 0, alarm: str = "debt.opened", said: str = "1 more were sold than there are"
) -> Any:
    return {
        "owed": {"debt": owed}, "paid": {"debt": paid}, "explained": {"stock": [said]},
        "log": [{"event": alarm, "sku": "SHIRT"}],
    }  # fmt: skip


def test_a_delivery_that_pays_the_debt_first_holds() -> None:
    sold_out(2).held()


def test_a_debt_clamped_away_fails() -> None:
    sold_out(3).failed("2 are left, but market shows 3, boutique shows 3")
    sold_out(3, 2).failed("3 were offered, though one of the delivery was owed")


def test_without_a_delivery_nothing_was_tried() -> None:
    sold_out(delivered=False).failed("nothing was tried")


def test_a_debt_must_be_in_the_books_and_raise_an_alarm() -> None:
    puppets = sold_out(2)
    puppets.inside = books()
    puppets.held()
    for inside, because in (
        (books(owed=0), "the books owed 0, not 1"), (books(paid=1), "did not pay the debt"),
        (books(alarm="push.failed"), "nobody was alarmed"), (books(said=""), "does not name the debt"),
    ):  # fmt: skip
        puppets.inside = inside
        puppets.failed(because)

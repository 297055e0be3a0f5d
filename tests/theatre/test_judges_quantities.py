"""T11, T14, T15: their judges see unknown taken for zero, an edit nobody noticed, and a raise over an unseen sale."""

from __future__ import annotations

from typing import Any

import pytest

from tests.theatre.puppets import Puppets

UNKNOWN = ("NULL", "ABSENT", "ERROR")

# --- T11 -----------------------------------------------------------------------------------------------------


def nothings(*, guess: tuple[str, str, int] | None = None, zero: tuple[int, ...] = (7,), end: int = 7) -> Puppets:
    puppets = Puppets("T11")
    puppets.note("garbled")
    for sku in UNKNOWN:
        puppets.edit("market", sku, 3)
    puppets.edit("market", "ZERO", 0)
    for level in zero:
        puppets.push("ZERO", level, "market")
    if guess is not None:
        store, sku, level = guess
        puppets.push(sku, level, store)
        puppets.push(sku, 7, store)
    puppets.wait(1)
    puppets.note("clear")
    puppets.wait(1)
    for sku in UNKNOWN:
        puppets.push(sku, end, "market")
    return puppets


def test_unknown_held_and_zero_put_right_holds() -> None:
    nothings().held()


@pytest.mark.parametrize("sku", UNKNOWN)
@pytest.mark.parametrize("store", ["market", "boutique"])
def test_unknown_taken_for_a_number_fails(store: str, sku: str) -> None:
    nothings(guess=(store, sku, 0)).failed(f"{sku} at {store}")


def test_zero_taken_for_unknown_or_for_the_truth_fails() -> None:
    nothings(zero=()).failed("the true 0 was not put right once: []")
    nothings(guess=("boutique", "ZERO", 0)).failed("boutique was told [0, 7] by an edit at market")


def test_a_channel_that_speaks_again_must_be_put_right() -> None:
    nothings(end=3).failed("NULL: 7 are left, but market shows 3")


def test_each_nothing_has_an_outcome_of_its_own() -> None:
    puppets = nothings()
    for causes, because in (
        (["quantity is missing", "got `str`"], ""), (["quantity is missing"], "a cause each"), ([], "is missing"),
        (["quantity is missing", "got `str`", "got null"], "a cause each"), (["one", "two"], "says that a quantity"),
    ):  # fmt: skip
        puppets.inside = {"letters": {"dead_letters": [{"cause": cause} for cause in causes]}}
        if because:
            puppets.failed(because)
        else:
            puppets.held()


# --- T14 -----------------------------------------------------------------------------------------------------


def edited(*, after_s: float = 2, back: bool = True, market: int | None = None) -> Puppets:
    puppets = Puppets("T14")
    for sku, typed in {"SHIRT": 50, "MUG": 3}.items():
        puppets.edit("boutique", sku, typed)
    puppets.wait(after_s)
    if market is not None:
        puppets.push("SHIRT", market, "market")
        puppets.push("SHIRT", 10, "market")
    for sku in ("SHIRT", "MUG"):
        if back:
            puppets.push(sku, 10, "boutique")
    return puppets


def test_an_edit_that_is_noticed_holds() -> None:
    edited().held()


def test_an_edit_that_nobody_notices_fails() -> None:
    edited(back=False).failed("SHIRT: 10 are left, but boutique shows 50")
    edited(after_s=60).failed("putting the edit of MUG right took")


def test_an_edit_taken_for_stock_or_for_sales_fails() -> None:
    edited(market=3).failed("market was told [3, 10] by an edit at boutique")


def test_the_history_must_name_what_was_read() -> None:
    puppets = edited()
    read: Any = {sku: {"history": [{"kind": "read_back", "note": f"the listing shows {typed}"}]}
                 for sku, typed in {"SHIRT": 50, "MUG": 3}.items()}  # fmt: skip
    puppets.inside = read
    puppets.held()
    puppets.inside = read | {"MUG": {"history": []}}
    puppets.failed("the history of MUG does not name the 3")


# --- T15 -----------------------------------------------------------------------------------------------------


def behind(*, over: tuple[str, str] | None = None, delivered: bool = True, end: int = 14) -> Puppets:
    puppets = Puppets("T15")
    puppets.note("sold")
    puppets.sell("boutique", ("SHIRT", 1))
    puppets.sell("outlet", ("MUG", 1))
    if delivered:
        puppets.deliver("SHIRT", 5)
        puppets.deliver("MUG", 5)
    if over is not None:
        store, sku = over
        puppets.push(sku, 15, store)
    puppets.wait(3)
    for sku in ("SHIRT", "MUG"):
        puppets.push(sku, end)
    return puppets


def test_a_raise_that_waits_for_the_feed_holds() -> None:
    behind().held()


@pytest.mark.parametrize("over", [("boutique", "SHIRT"), ("outlet", "MUG")])
def test_a_raise_over_an_unseen_sale_fails_even_if_it_is_put_right_later(over: tuple[str, str]) -> None:
    behind(over=over).failed(f"{over[0]} was raised to [15] over a sale that nobody had seen")


def test_a_raise_that_never_comes_fails() -> None:
    behind(end=9).failed("14 are left")


def test_without_a_delivery_nothing_was_tried() -> None:
    behind(delivered=False, end=9).failed("nothing was tried")

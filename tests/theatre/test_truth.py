"""The truth from the ledgers, checked on ledgers of real storefront cores with sales we know."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from adapters.storefront import Storefront
from adapters.storefront.faults import ApiFaults, Faults
from daemon.theatre.truth import Book, oversales, read_book, true_numbers

T0 = 1_795_000_000_000_000


class Shop:
    """A storefront core with a clock that moves a millisecond with every call."""

    now_us = T0

    def __init__(self, name: str, **stock: int) -> None:
        self.core = Storefront(name, list(stock), stock, "secret", 1)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        Shop.now_us += 1_000
        payload = b"" if body is None else json.dumps(body).encode()
        return json.loads(self.core.handle(method, path, payload, Shop.now_us).body or b"{}")

    def sell(self, sku: str, units: int = 1) -> str:
        return str(self.ask("POST", "/orders", {"lines": [{"sku": sku, "quantity": units}]})["id"])

    def show(self, sku: str, units: int) -> None:
        listing = self.core.shop.by_sku[sku].id
        self.ask("PUT", "/levels", {"items": [{"listing": listing, "quantity": units}]})

    def book(self) -> Book:
        return read_book(self.ask("GET", "/ledger"))


def test_what_is_left_is_the_shared_stock_less_the_sales_everywhere_and_what_came_back() -> None:
    one, two = Shop("one", TEE=10, MUG=3), Shop("two", TEE=10, MUG=3)
    order = one.sell("TEE", 4)
    two.sell("TEE", 2)
    one.ask("POST", f"/orders/{order}/cancel", {"lines": [{"id": "1", "quantity": 3}]})
    truths = true_numbers([one.book(), two.book()])
    assert {sku: truth.number for sku, truth in truths.items()} == {"TEE": 7, "MUG": 3}


def test_a_refund_gives_back_only_what_goes_on_the_shelf_again() -> None:
    shop = Shop("one", TEE=10)
    kept, back = shop.sell("TEE", 2), shop.sell("TEE", 2)
    shop.ask("POST", f"/orders/{kept}/refund", {"restock": False})
    shop.ask("POST", f"/orders/{back}/refund")
    assert true_numbers([shop.book()])["TEE"].number == 8
    assert [each.units for each in shop.book().movements] == [-2, -2, 2]


def test_handing_over_moves_nothing() -> None:
    shop = Shop("one", TEE=10)
    shop.ask("POST", f"/orders/{shop.sell('TEE')}/fulfil")
    assert [each.units for each in shop.book().movements] == [-1]


def test_only_the_units_beyond_the_stock_are_oversold_and_the_sale_that_took_them_is_named() -> None:
    one, two = Shop("one", TEE=5), Shop("two", TEE=5)
    one.sell("TEE", 4)
    order = two.sell("TEE", 3)
    books = [one.book(), two.book()]
    assert [(each.sale.store, each.sale.order, each.units) for each in oversales(books)] == [("two", order, 2)]
    truth = true_numbers(books)["TEE"]
    assert (truth.number, truth.shown, truth.debt) == (-2, 0, 2)


def test_a_cancellation_pays_the_debt_but_the_unit_was_sold_twice_all_the_same() -> None:
    one, two = Shop("one", TEE=1), Shop("two", TEE=1)
    one.sell("TEE")
    order = two.sell("TEE")
    two.ask("POST", f"/orders/{order}/cancel")
    books = [one.book(), two.book()]
    assert true_numbers(books)["TEE"].debt == 0
    assert [each.units for each in oversales(books)] == [1]


def test_what_was_on_show_at_a_moment_follows_sales_and_written_levels() -> None:
    shop = Shop("one", TEE=10)
    shop.sell("TEE", 2)
    sold_us = Shop.now_us
    shop.show("TEE", 5)
    written_us = Shop.now_us
    book = shop.book()
    moments = (T0, sold_us - 1, sold_us, written_us - 1, written_us, written_us + 1)
    assert [book.shows_at("TEE", at_us) for at_us in moments] == [10, 10, 8, 8, 5, 5]


def test_a_level_that_was_only_said_to_be_written_counts_as_none() -> None:
    shop = Shop("one", TEE=10)
    shop.core.set_faults(Faults(api=ApiFaults(lie_ok=1.0)))
    shop.show("TEE", 5)
    shop.core.set_faults(Faults(api=ApiFaults(lose_answer=1.0)))
    shop.show("TEE", 4)
    assert [(each.before, each.after) for each in shop.book().writes] == [(10, 4)]


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 3)), max_size=12), st.integers(0, 8))
def test_without_anything_given_back_the_units_sold_twice_are_the_debt(
    sales: list[tuple[bool, int]], stock: int
) -> None:
    one, two = Shop("one", TEE=stock), Shop("two", TEE=stock)
    for first, units in sales:
        shop = one if first else two
        if shop.core.shop.by_sku["TEE"].quantity >= units:
            shop.sell("TEE", units)
    books = [one.book(), two.book()]
    assert sum(each.units for each in oversales(books)) == true_numbers(books)["TEE"].debt

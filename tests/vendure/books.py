"""Vendure's own books: its orders and its shelf, timed by the witness, as the theatre's `Book`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from adapters.stamps import rfc3339_span
from daemon.theatre.truth import Book, Entry, Movement, Write
from tests.vendure.graphql import Client, Json
from tests.vendure.trade import shelf

ORDERS = """query {
  orders(options: {filter: {orderPlacedAt: {isNull: false}}, take: 500}) {
    items { id orderPlacedAt updatedAt lines { id quantity orderPlacedQuantity productVariant { sku } }
            fulfillments { state lines { orderLineId quantity } } }
  }
}"""


async def book_of(
    store: str, admin: Client, notes: Sequence[Mapping[str, Any]], initial: Mapping[str, int], ids: Mapping[str, str]
) -> Book:
    """What the shop sold, took back and was told. `ids`: the variants', by SKU."""
    orders = (await admin.do(ORDERS))["items"]
    movements = sorted(_movements(store, orders, notes), key=lambda each: each.at_us)
    shown = {sku: on_hand - allocated for sku, (on_hand, allocated) in (await shelf(admin)).items()}
    entries = {
        sku: Entry(
            units,
            -sum(each.units for each in movements if each.sku == sku and each.units < 0),
            sum(each.units for each in movements if each.sku == sku and each.units > 0),
            shown[sku],
        )
        for sku, units in initial.items()
    }
    sku_of = {number: sku for sku, number in ids.items()}
    writes = [
        Write(note["at"] * 1_000, sku_of[note["written"]], 0, note["shows"], late=False)
        for note in notes
        if note.get("written") in sku_of
    ]
    return Book(store, entries, movements, sorted(writes, key=lambda each: each.at_us))


def _movements(store: str, orders: Sequence[Json], notes: Sequence[Mapping[str, Any]]) -> list[Movement]:
    # A sale is made when the shop looks at its stock for the last time: before the buyer pays, and never after that.
    made = {note["checked"]: note["at"] * 1_000 for note in notes if "checked" in note}
    cancelled = {note["cancelled"]: note["at"] * 1_000 for note in notes if "cancelled" in note}
    found = []
    for order in orders:
        name = order["id"]
        sold_us = made.get(name, _us(order["orderPlacedAt"]))  # killed before the witness could write
        back_us = cancelled.get(name, max(sold_us, _us(order["updatedAt"])) + 1_000)
        for line in order["lines"]:
            sku, sold = line["productVariant"]["sku"], line["orderPlacedQuantity"]
            found.append(Movement(sold_us, store, name, line["id"], sku, -sold))
            if back := sold - line["quantity"]:
                found.append(Movement(back_us, store, name, line["id"], sku, back))
    return found


async def open_units(admin: Client) -> dict[str, int]:
    """Units by SKU that placed orders hold and nobody handed over yet."""
    found: dict[str, int] = {}
    for order in (await admin.do(ORDERS))["items"]:
        for line in order["lines"]:
            handed = sum(each["quantity"] for some in order["fulfillments"] or [] if some["state"] != "Cancelled"
                         for each in some["lines"] if each["orderLineId"] == line["id"])  # fmt: skip
            sku = line["productVariant"]["sku"]
            found[sku] = found.get(sku, 0) + max(0, line["quantity"] - handed)
    return found


def _us(text: str) -> int:
    span = rfc3339_span(text)
    assert span is not None, f"Vendure wrote a stamp that cannot be read: {text}"
    return span.lo

"""Reading orders: what changed since, and one of them as it is now (woocommerce.md §4)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from adapters.strict import UnreadableError, decode
from adapters.woocommerce.auth import Store
from adapters.woocommerce.lists import PER_PAGE, Rows, more_pages, rows_of
from adapters.woocommerce.payloads import ORDER_FIELDS, Order, is_idle_draft, order_seen, second
from adapters.woocommerce.refusals import failed_read, garbled, is_missing
from daemon.domain.channel import OrderPage, OrderSeen
from daemon.domain.exchange import Exchange
from daemon.domain.instants import SECOND_US
from daemon.domain.outcomes import Failure, Outcome

_LAST_S = 253_402_300_799
"""The last second that a four-digit year can name."""

_CURSOR = re.compile(r"([0-9]{1,12})\.([0-9]{1,6})")


class _Stamped(msgspec.Struct):
    id: int
    date_modified_gmt: str


class _Cursor(NamedTuple):
    """Where the order feed goes on: page `page` of what was modified after second `bound`."""

    bound: int
    page: int


def read_orders(store: Store, since_us: int, page: str) -> Exchange[OrderPage | Failure]:
    """Orders changed since, oldest change first. Trashed orders are not in `status=any` (recording 13).

    The bound is naive UTC without "Z" plus `dates_are_gmt`, exclusive and in whole seconds, so it goes back one
    (recordings 11, 15). Each page starts at the newest stamp of the one before, not at a page number: orders
    that change meanwhile move to the end, and what follows them would slip past a page border unseen.
    """
    found = _CURSOR.fullmatch(page)
    cursor = _Cursor(int(found[1]), int(found[2])) if found else _Cursor(max(0, since_us // SECOND_US - 1), 1)
    bound = datetime.fromtimestamp(min(cursor.bound, _LAST_S), UTC).strftime("%Y-%m-%dT%H:%M:%S")
    response = yield store.get(
        "/orders",
        [
            ("modified_after", bound), ("dates_are_gmt", "true"), ("orderby", "modified"), ("order", "asc"),
            ("status", "any"), ("per_page", str(PER_PAGE)), ("page", str(cursor.page)), ("_fields", ORDER_FIELDS),
        ],
        fresh=True,
    )  # fmt: skip
    rows = rows_of(response)
    if isinstance(rows, Failure):
        return rows
    orders, puzzles, high_water = _read_rows(rows)
    more = more_pages(response, cursor.page, len(rows))
    next_page = _after(cursor, high_water // SECOND_US) if more else ""
    return OrderPage(tuple(orders), next_page, high_water, tuple(puzzles))


def _read_rows(rows: Rows) -> tuple[list[OrderSeen], list[str], int]:
    orders: list[OrderSeen] = []
    puzzles: list[str] = []
    high_water = 0
    for row in rows:
        name = "an order without an id"
        try:
            stamped = decode(row, _Stamped)
            name = f"order {stamped.id}"
            high_water = max(high_water, second(stamped.date_modified_gmt).lo)
            order = decode(row, Order)
            seen = order_seen(order)
        except UnreadableError as exc:
            puzzles.append(f"{name}: {exc}")
            continue
        if not is_idle_draft(order, seen):
            orders.append(seen)
    return orders, puzzles, high_water


def _after(cursor: _Cursor, newest_s: int) -> str:
    """The next page's cursor.

    A second with more orders than a page holds has to be paged by number. One that changes meanwhile moves another
    across a border; the next poll's overlap reads it.
    """
    nearer = newest_s - 1
    ahead = _Cursor(nearer, 1) if nearer > cursor.bound else _Cursor(cursor.bound, cursor.page + 1)
    return f"{ahead.bound}.{ahead.page}"


def read_order(store: Store, order: str) -> Exchange[OrderSeen | Failure | None]:
    """One order, also a trashed one.

    None: deleted for good - which gives no stock back (recording 13), so its lines must not be zeroed by it.
    """
    if not (order.isascii() and order.isdigit()):
        return Failure(Outcome("permanent", "not an order id of WooCommerce: it is a whole number"))
    response = yield store.get(f"/orders/{order}", [("_fields", ORDER_FIELDS)], fresh=True)
    if is_missing(response):
        return None
    failure = failed_read(response)
    if failure is not None:
        return failure
    try:
        return order_seen(decode(response.body, Order))
    except UnreadableError as exc:
        ours = response.body.lstrip().startswith(b"{")
        return Failure(Outcome("permanent", f"order {order}: {exc}") if ours else garbled(response, write=False))

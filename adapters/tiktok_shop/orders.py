"""Reading orders: what changed since, and one of them as it is now (tiktok_shop.md §3, §4)."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import msgspec

from adapters.strict import UnreadableError, decode
from adapters.tiktok_shop.answers import reading
from adapters.tiktok_shop.payloads import Id, Order, known_id, order_seen, second
from adapters.tiktok_shop.shop import Shop
from daemon.domain.channel import OrderPage, OrderSeen
from daemon.domain.exchange import Exchange
from daemon.domain.instants import SECOND_US
from daemon.domain.outcomes import Failure, Outcome

PAGE_SIZE: Final = 100
"""The most that a page holds (§4)."""
TOKEN_MAX: Final = 2_000
"""Longer page tokens are none."""

_CURSOR: Final = re.compile(rf"([0-9]{{1,12}})(?:\|([\x21-\x7e]{{1,{TOKEN_MAX}}}))?")


class _Page(msgspec.Struct):
    orders: list[msgspec.Raw] | None = None
    next_page_token: str | None = None


class _Orders(msgspec.Struct):
    orders: list[msgspec.Raw] | None = None


class _Stamped(msgspec.Struct):
    id: Id
    update_time: int | None = None


class _Cursor(NamedTuple):
    """Where the order feed goes on: at second `since`, that second with it, or at TikTok's own page token there."""

    since: int
    token: str = ""

    def __str__(self) -> str:
        return f"{self.since}|{self.token}" if self.token else str(self.since)


def read_orders(shop: Shop, since_us: int, page: str) -> Exchange[OrderPage | Failure]:
    """Orders changed since, oldest change first, whatever their status and whoever fulfils them.

    `update_time_ge` holds its own second; without `update_time_lt` it is until now (§4). An order that changes while
    the feed is paged moves to its end, and what follows it might slip past a page border unseen. So the next page
    begins anew at a stamp of this one: not at its newest, because stamps can be newer than what they were found by
    (§4, "update times can lie outside the asked range"), but at where three quarters of its orders end. Only where
    all these are of one second is TikTok's page token followed.
    """
    found = _CURSOR.fullmatch(page)
    cursor = _Cursor(int(found[1]), found[2] or "") if found else _Cursor(max(0, since_us // SECOND_US))
    cipher = yield from shop.own_cipher()
    if isinstance(cipher, Failure):
        return cipher
    query = [("page_size", str(PAGE_SIZE)), ("sort_field", "update_time"), ("sort_order", "ASC")]
    if cursor.token:
        query.append(("page_token", cursor.token))
    response = yield shop.post("/order/202309/orders/search", cipher, {"update_time_ge": cursor.since}, query)
    data = reading(response, _Page)
    if isinstance(data, Failure):
        return data
    rows, token = data.orders or [], data.next_page_token or ""
    orders, puzzles, stamps = _read_rows(rows, shop.warehouse)
    high_water_us = stamps[-1] * SECOND_US if stamps else 0
    if not token:
        return OrderPage(tuple(orders), "", high_water_us, tuple(puzzles))
    following = _after(cursor, stamps, token)
    if following == cursor or not _CURSOR.fullmatch(str(following)):
        return Failure(Outcome("transient", "the order feed's page token leads nowhere"))
    return OrderPage(tuple(orders), str(following), high_water_us, tuple(puzzles))


def _read_rows(rows: list[msgspec.Raw], warehouse: str) -> tuple[list[OrderSeen], list[str], list[int]]:
    """The orders, what was not understood, and the seconds of all of them, sorted."""
    orders: list[OrderSeen] = []
    puzzles: list[str] = []
    stamps: list[int] = []
    for row in rows:
        name = "an order without an id"
        try:
            stamped = decode(row, _Stamped)
            name = f"order {known_id(stamped.id, 'its id')}"
            stamps.append(second(stamped.update_time, "update_time").lo // SECOND_US)
            orders.append(order_seen(decode(row, Order), warehouse))
        except UnreadableError as exc:
            puzzles.append(f"{name}: {exc}")
    return orders, puzzles, sorted(stamps)


def _after(cursor: _Cursor, stamps: list[int], token: str) -> _Cursor:
    nearer = stamps[(len(stamps) * 3 - 1) // 4] if stamps else 0
    return _Cursor(nearer) if nearer > cursor.since else _Cursor(cursor.since, token)


def read_order(shop: Shop, order: str) -> Exchange[OrderSeen | Failure | None]:
    """One order as it is now; None where TikTok answers without it."""
    try:
        known_id(order, "it")
    except UnreadableError:
        return Failure(Outcome("permanent", "not an order id of TikTok Shop: it is a whole number"))
    cipher = yield from shop.own_cipher()
    if isinstance(cipher, Failure):
        return cipher
    # One parameter, joined by commas where there are several (§7, trap 14).
    response = yield shop.get("/order/202507/orders", cipher, [("ids", order)])
    data = reading(response, _Orders)
    if isinstance(data, Failure):
        return data
    for row in data.orders or ():
        try:
            found = decode(row, Order)
            if str(found.id) == order:
                return order_seen(found, shop.warehouse)
        except UnreadableError as exc:
            return Failure(Outcome("permanent", f"order {order}: {exc}"))
    return None

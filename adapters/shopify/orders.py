"""Reading orders: what changed since, and one of them as it is now (shopify.md §4)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

import msgspec

from adapters.shopify import documents
from adapters.shopify.answers import failed_read, reading
from adapters.shopify.payloads import Line, Row, Text, Units, gid, is_listing, number_of, order_seen, stamp
from adapters.shopify.shop import Shop
from adapters.strict import UnreadableError, decode
from daemon.domain.channel import OrderPage, OrderSeen
from daemon.domain.exchange import Exchange
from daemon.domain.instants import SECOND_US
from daemon.domain.outcomes import Failure, Outcome

WALK_MAX: Final = 20_000
"""A list can be walked to 25,000 entries only (§4); before that the walk starts anew where it has come to."""

PAGES_MAX: Final = 60
"""Pages of lines, or of a refund's rows, read for one order: more than an order can hold."""

TRIES_MAX: Final = 3
"""An order that changes while it is read is read again so often."""

_LAST_S: Final = 253_402_300_799
_CURSOR = re.compile(r"([0-9]{1,12})\.([0-9]{1,6})\.([A-Za-z0-9+/=_-]{0,600})")


class PageInfo(msgspec.Struct):
    hasNextPage: bool  # noqa: N815  # Shopify's name
    endCursor: str | None = None  # noqa: N815


class Ref(msgspec.Struct):
    id: Text


class GqlLine(msgspec.Struct):
    id: Text
    quantity: Units
    unfulfilledQuantity: Units  # noqa: N815
    sku: Text | None = None
    isGiftCard: bool = False  # noqa: N815
    variant: Ref | None = None

    def line(self) -> Line:
        variant = number_of(self.variant.id, "ProductVariant") if self.variant else ""
        line = number_of(self.id, "LineItem")
        return Line(line, variant, self.sku or "", self.quantity, self.unfulfilledQuantity)


class GqlRow(msgspec.Struct):
    quantity: Units
    restockType: Text  # noqa: N815
    lineItem: Ref  # noqa: N815

    def row(self) -> Row:
        return Row(number_of(self.lineItem.id, "LineItem"), self.quantity, self.restockType.lower())


class Lines(msgspec.Struct):
    pageInfo: PageInfo  # noqa: N815
    nodes: list[GqlLine]

    def lines(self) -> list[Line]:
        return [line.line() for line in self.nodes if not line.isGiftCard]


class Rows(msgspec.Struct):
    pageInfo: PageInfo  # noqa: N815
    nodes: list[GqlRow]


class GqlRefund(msgspec.Struct):
    id: Text
    refundLineItems: Rows  # noqa: N815


class Summary(msgspec.Struct):
    """An order of the feed, with as many lines and refunds as a page of orders can afford."""

    id: Text
    createdAt: Text  # noqa: N815
    updatedAt: Text  # noqa: N815
    lineItems: Lines  # noqa: N815
    refunds: list[GqlRefund]

    def whole(self) -> bool:
        """Is everything of it here? The list of refunds does not say whether it goes on."""
        return (
            not self.lineItems.pageInfo.hasNextPage
            and len(self.refunds) < documents.REFUNDS_INLINE
            and not any(refund.refundLineItems.pageInfo.hasNextPage for refund in self.refunds)
        )


class Orders(msgspec.Struct):
    pageInfo: PageInfo  # noqa: N815
    nodes: list[msgspec.Raw]


class OrdersData(msgspec.Struct):
    orders: Orders


class Named(msgspec.Struct):
    id: Text
    updatedAt: Text  # noqa: N815


class Head(msgspec.Struct):
    id: Text
    createdAt: Text  # noqa: N815
    updatedAt: Text  # noqa: N815
    lineItems: Lines  # noqa: N815
    refunds: list[Ref]


class OrderData(msgspec.Struct):
    order: Head | None


class Owner(msgspec.Struct):
    updatedAt: Text  # noqa: N815


class WholeRefund(msgspec.Struct):
    id: Text
    order: Owner
    refundLineItems: Rows  # noqa: N815


class RefundsData(msgspec.Struct):
    nodes: list[WholeRefund]


class _Moved(NamedTuple):
    """The order changed while it was read."""


# --- the feed -----------------------------------------------------------------------------------------------


class _Cursor(NamedTuple):
    """Where the feed goes on: after `after` in the orders updated at or after second `since`; `walked` so far."""

    since: int
    walked: int
    after: str

    def __str__(self) -> str:
        return f"{self.since}.{self.walked}.{self.after}"


def read_orders(shop: Shop, since_us: int, page: str) -> Exchange[OrderPage | Failure]:
    """Orders updated since, oldest change first; those that a page does not hold whole are read one by one.

    The bound is inclusive and in whole seconds. The search that answers it lags behind (from memory): hence the
    overlap and the lag of the traits. Orders that change meanwhile move to a later page and are seen twice.
    """
    found = _CURSOR.fullmatch(page)
    since_s = min(max(0, since_us // SECOND_US), _LAST_S)
    cursor = _Cursor(min(int(found[1]), _LAST_S), int(found[2]), found[3]) if found else _Cursor(since_s, 0, "")
    bound = datetime.fromtimestamp(cursor.since, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    variables = {
        "first": documents.ORDERS_PER_PAGE, "after": cursor.after or None, "query": f"updated_at:>='{bound}'",
    }  # fmt: skip
    response = yield shop.ask(documents.ORDERS, variables, documents.ORDERS_COST)
    data = reading(response, OrdersData)
    if isinstance(data, Failure):
        return data
    orders: list[OrderSeen] = []
    puzzles: list[str] = []
    high_water = 0
    for row in data.orders.nodes[: documents.ORDERS_PER_PAGE]:
        name = "an order without an id"
        try:
            named = decode(row, Named)
            number = number_of(named.id, "Order")
            name, high_water = f"order {number}", max(high_water, stamp(named.updatedAt, "updatedAt").lo)
            summary = decode(row, Summary)
            if summary.whole():
                orders.append(_seen_at_once(number, summary))
                continue
        except UnreadableError as exc:
            puzzles.append(f"{name}: {exc}"[:200])
            continue
        try:
            order = yield from _read_order(shop, number)
        except UnreadableError as exc:
            puzzles.append(f"{name}: {exc}"[:200])
            continue
        if isinstance(order, Failure):
            return order  # it says something of the shop (a token that is refused), nothing of this order
        if order is not None:
            orders.append(order)
    return OrderPage(tuple(orders), _next(cursor, data.orders, high_water), high_water, tuple(puzzles))


def _seen_at_once(number: str, summary: Summary) -> OrderSeen:
    rows = [row.row() for refund in summary.refunds for row in refund.refundLineItems.nodes]
    created, updated = stamp(summary.createdAt, "createdAt"), stamp(summary.updatedAt, "updatedAt")
    return order_seen(number, created, updated, summary.lineItems.lines(), rows)


def _next(cursor: _Cursor, page: Orders, high_water: int) -> str:
    """The cursor of the next page, "" after the last; a walk that would become too long starts anew."""
    after = page.pageInfo.endCursor or ""
    walked = cursor.walked + len(page.nodes)
    if not page.pageInfo.hasNextPage or not page.nodes:
        return ""
    if walked >= WALK_MAX and high_water // SECOND_US > cursor.since:
        return str(_Cursor(high_water // SECOND_US, 0, ""))
    return str(_Cursor(cursor.since, min(walked, 999_999), after)) if _CURSOR.fullmatch(f"0.0.{after}") else ""


# --- one order ----------------------------------------------------------------------------------------------


def read_order(shop: Shop, order: str) -> Exchange[OrderSeen | Failure | None]:
    """One order, all of it, as of one stamp. None: the shop shows no such order: deleted, or older than 60 days
    without the scope for such (§1); neither gives stock back, so its lines must not be zeroed by it."""
    if not is_listing(order):
        return Failure(Outcome("permanent", "not an order id of Shopify: it is a whole number"))
    try:
        return (yield from _read_order(shop, order))
    except UnreadableError as exc:
        return Failure(Outcome("permanent", f"order {order}: {exc}"))


def _read_order(shop: Shop, order: str) -> Exchange[OrderSeen | Failure | None]:
    """As `read_order`; raises `UnreadableError` for what is wrong with this very order."""
    for _ in range(TRIES_MAX):
        found = yield from _read_whole(shop, order)
        if not isinstance(found, _Moved):
            return found
    return failed_read(f"order {order} changes faster than it can be read")


def _read_whole(shop: Shop, order: str) -> Exchange[OrderSeen | Failure | _Moved | None]:
    lines: list[Line] = []
    after: str | None = None
    head: Head | None = None
    for _ in range(PAGES_MAX):
        variables = {"id": gid("Order", order), "after": after}
        response = yield shop.ask(documents.ORDER, variables, documents.ORDER_COST)
        data = reading(response, OrderData)
        if isinstance(data, Failure):
            return data
        if data.order is None:
            return None if head is None else _Moved()
        if head is not None and data.order.updatedAt != head.updatedAt:
            return _Moved()
        head = data.order
        lines += head.lineItems.lines()
        after = head.lineItems.pageInfo.endCursor
        if not head.lineItems.pageInfo.hasNextPage or after is None:
            break
    else:
        raise UnreadableError("it has more lines than can be read")
    if len(head.refunds) >= documents.REFUNDS_MAX:
        raise UnreadableError("it has more refunds than can be read")
    rows = yield from _read_refunds(shop, [refund.id for refund in head.refunds], head.updatedAt)
    if not isinstance(rows, list):
        return rows
    created, updated = stamp(head.createdAt, "createdAt"), stamp(head.updatedAt, "updatedAt")
    return order_seen(order, created, updated, lines, rows)


def _read_refunds(shop: Shop, ids: Sequence[str], version: str) -> Exchange[list[Row] | Failure | _Moved]:
    """The rows of these refunds; several at once, and one that has more rows by itself."""
    rows: list[Row] = []
    waiting = [(list(ids[start : start + documents.REFUNDS_AT_ONCE]), "") for start in
               range(0, len(ids), documents.REFUNDS_AT_ONCE)]  # fmt: skip
    pages = 0
    while waiting:
        group, after = waiting.pop()
        pages += 1
        if pages > documents.REFUNDS_MAX + PAGES_MAX:
            raise UnreadableError("its refunds have more rows than can be read")
        response = yield shop.ask(
            documents.REFUNDS, {"ids": group, "after": after or None}, documents.REFUNDS_COST
        )  # fmt: skip
        data = reading(response, RefundsData)
        if isinstance(data, Failure):
            return data
        if sorted(refund.id for refund in data.nodes) != sorted(group):
            return failed_read("the shop left out a refund that it had named")
        if any(refund.order.updatedAt != version for refund in data.nodes):
            return _Moved()
        for refund in data.nodes:
            rows += [row.row() for row in refund.refundLineItems.nodes]
            info = refund.refundLineItems.pageInfo
            if info.hasNextPage and info.endCursor:
                waiting.append(([refund.id], info.endCursor))
    return rows

"""Reading orders, API version 2026-01-01: what changed since, and one of them as it is now (amazon.md §3, §4.1).

Asked for are FULFILLMENT and CANCELLATION alone: no buyer, no address, no restricted data (§1).
"""

from __future__ import annotations

from urllib.parse import quote

import msgspec

from adapters.amazon.account import Seller
from adapters.amazon.refusals import failed_read, garbled, is_missing
from adapters.amazon.values import ORDER_ID, Name, Units, stamp, whole_second
from adapters.stamps import rfc3339
from adapters.strict import UnreadableError, decode
from daemon.domain.channel import LineSeen, OrderPage, OrderSeen
from daemon.domain.exchange import Exchange
from daemon.domain.outcomes import Failure, Outcome

PER_PAGE = 100
TOKEN_MAX = 4_000
INCLUDED = "FULFILLMENT,CANCELLATION"

NEVER_OURS = "AMAZON"
NOT_YET = "PENDING_AVAILABILITY"
"""A pre-order: nothing is taken before it is PENDING (§3)."""
UNPAID = ("PENDING", NOT_YET)
CANCELLED = "CANCELLED"
SENT = "SHIPPED"


class _Fulfillment(msgspec.Struct, rename="camel"):
    fulfillment_status: str
    fulfilled_by: str = ""


class _ItemFulfillment(msgspec.Struct, rename="camel"):
    quantity_fulfilled: Units = 0


class _Cancellation(msgspec.Struct, rename="camel"):
    cancellation_execution: msgspec.Raw = msgspec.Raw(b"null")


class _Product(msgspec.Struct, rename="camel"):
    seller_sku: Name | None = None


class _Item(msgspec.Struct, rename="camel"):
    order_item_id: Name
    quantity_ordered: Units
    product: _Product
    cancellation: _Cancellation | None = None
    fulfillment: _ItemFulfillment | None = None

    def cancelled(self) -> bool:
        """Executed, not merely requested (§3)."""
        done = self.cancellation.cancellation_execution if self.cancellation else None
        return done is not None and bytes(done) not in (b"null", b"{}")


class _Order(msgspec.Struct, rename="camel"):
    order_id: Name
    created_time: str
    last_updated_time: str
    order_items: list[_Item]
    fulfillment: _Fulfillment


class _Stamped(msgspec.Struct, rename="camel"):
    order_id: str = "(no id)"
    last_updated_time: str = ""


class _Pagination(msgspec.Struct, rename="camel"):
    next_token: str | None = None


class _Page(msgspec.Struct):
    orders: list[msgspec.Raw]
    pagination: _Pagination | None = None


class _One(msgspec.Struct):
    order: msgspec.Raw


def read_orders(seller: Seller, since_us: int, page: str, pending_s: float) -> Exchange[OrderPage | Failure]:
    """Merchant-fulfilled orders updated at or after `since_us`. A page's token goes with all other parameters
    unchanged (§4.1). The upper bound is left to Amazon: two minutes ago, which the traits call the feed's lag."""
    query = [
        ("lastUpdatedAfter", rfc3339(since_us)[:-8] + "Z"), ("marketplaceIds", ",".join(seller.marketplaces)),
        ("fulfilledBy", "MERCHANT"), ("maxResultsPerPage", str(PER_PAGE)), ("includedData", INCLUDED),
    ]  # fmt: skip
    if page:
        query.append(("paginationToken", page))
    response = yield seller.get("/orders/2026-01-01/orders", query, "searchOrders")
    if failure := failed_read(response, "searchOrders"):
        return failure
    try:
        found = decode(response.body, _Page)
    except UnreadableError:
        return Failure(garbled(response))
    following = (found.pagination.next_token if found.pagination else None) or ""
    if len(found.orders) > 10 * PER_PAGE or len(following) > TOKEN_MAX or (following and following == page):
        return Failure(Outcome("transient", "Amazon's pages of orders make no sense"))
    orders: list[OrderSeen] = []
    puzzles: list[str] = []
    high_us = 0
    for row in found.orders:
        name = "an order without an id"
        try:
            stamped = decode(row, _Stamped)
            name = f"order {stamped.order_id[:60]}"
            high_us = max(high_us, stamp(stamped.last_updated_time, "lastUpdatedTime").lo)
            orders.append(order_seen(row, pending_s))
        except UnreadableError as exc:
            puzzles.append(f"{name}: {exc}")
    return OrderPage(tuple(orders), following, high_us, tuple(puzzles))


def read_order(seller: Seller, order: str, pending_s: float) -> Exchange[OrderSeen | Failure | None]:
    """One order as it is now: what a notification is made of (§4.1)."""
    if not ORDER_ID.fullmatch(order):
        return Failure(Outcome("permanent", "not an order id of Amazon"))
    path = f"/orders/2026-01-01/orders/{quote(order, safe='')}"
    response = yield seller.get(path, [("includedData", INCLUDED)], "getOrder")
    if is_missing(response):
        return None
    if failure := failed_read(response, "getOrder"):
        return failure
    try:
        one = decode(response.body, _One)
    except UnreadableError:
        return Failure(garbled(response))
    try:
        return order_seen(one.order, pending_s)
    except UnreadableError as exc:
        return Failure(Outcome("permanent", f"order {order}: {exc}"))


def order_seen(row: msgspec.Raw, pending_s: float) -> OrderSeen:
    """An order as an observation (§3). Raises `UnreadableError`.

    Its version is `lastUpdatedTime`, in whole seconds: what differs within one is fetched once more. What Amazon
    fulfils itself never touches our stock: no line of it is ours. An unpaid order is asked after once more when
    `pending_s` are over: it may end untold, after days.
    """
    order = decode(row, _Order)
    if not ORDER_ID.fullmatch(order.order_id):
        raise UnreadableError("orderId is no order id")
    status = order.fulfillment.fulfillment_status
    updated = whole_second(stamp(order.last_updated_time, "lastUpdatedTime"))
    ours = order.fulfillment.fulfilled_by != NEVER_OURS
    lines = tuple(_line(item, status) for item in order.order_items) if ours else ()
    if len({line.line for line in lines}) != len(lines):
        raise UnreadableError("an orderItemId is there twice")
    return OrderSeen(
        order=order.order_id,
        version=updated.lo,
        updated=updated,
        lines=lines,
        placed=whole_second(stamp(order.created_time, "createdTime")),
        takes_at_placement=status != NOT_YET,
        look_again_s=pending_s if ours and status in UNPAID else 0.0,
    )


def _line(item: _Item, status: str) -> LineSeen:
    """Units that this line takes, and how many of them are gone from the shelf.

    Amazon names no number of cancelled units: of a cancelled line, or order, what was not shipped is free, and it may
    even show 0 ordered then (§3). So a line says what it takes now; the newest version of the order is right. Of a
    shipped order nothing is open: what it says to be fulfilled was taken, and no more.
    """
    fulfilled = item.fulfillment.quantity_fulfilled if item.fulfillment else 0
    ordered = item.quantity_ordered
    if status == NOT_YET:
        taken = 0
    elif status == CANCELLED or item.cancelled():
        taken = fulfilled
    elif status == SENT:
        taken = fulfilled = fulfilled or ordered
    else:
        taken = max(ordered, fulfilled)
    sku = item.product.seller_sku
    return LineSeen(item.order_item_id, sku or "", sku, ordered=taken, fulfilled=min(fulfilled, taken))

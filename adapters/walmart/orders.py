"""Reading orders: what changed since, and one of them as it is now (walmart.md §3, §4)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec
from attrs import evolve, frozen
from msgspec import UNSET, Raw, UnsetType

from adapters.strict import UnreadableError, decode
from adapters.walmart.limits import ORDERS
from adapters.walmart.payloads import Amount, moment, name_of, rows, units_of
from adapters.walmart.refusals import failed_read, faults_in, garbled, is_missing, nothing_found, of_faults
from adapters.walmart.seller import Seller, correlated, encoded
from daemon.domain.channel import LineSeen, OrderPage, OrderSeen
from daemon.domain.exchange import Exchange, Request, Response
from daemon.domain.instants import DAY_US, SECOND_US, Span
from daemon.domain.outcomes import Failure, Outcome

PAGE = 200
ROWS_MAX = 10 * PAGE
REACH_US = 179 * DAY_US
"""A query reaches back 180 days at most (walmart.md §4); one less, for the way there."""
OURS = "SellerFulfilled"
"""What Walmart (WFSFulfilled) or a third party (3PLFulfilled) sends is not on our shelf (walmart.md §3)."""

_LAST_US = 253_402_300_799 * SECOND_US
_CURSOR = re.compile(r"\?[\x21\x24-\x7e%&]{1,4000}")
"""A whole query string. No `#`, no quote: what could end it early."""
_ORDER = re.compile(r"[0-9A-Za-z-]{1,40}")

# --- the shapes ---------------------------------------------------------------------------------------------


class _Item(msgspec.Struct):
    sku: str


class _Part(msgspec.Struct):
    status: str
    statusQuantity: Amount | UnsetType = UNSET  # noqa: N815  # Walmart's own names, here and below


class _Statuses(msgspec.Struct):
    orderLineStatus: Raw | UnsetType = UNSET  # noqa: N815


class _Line(msgspec.Struct):
    lineNumber: Any  # noqa: N815
    item: _Item
    statusDate: Any  # noqa: N815
    orderLineQuantity: Amount | UnsetType = UNSET  # noqa: N815
    orderLineStatuses: _Statuses | UnsetType = UNSET  # noqa: N815


class _Lines(msgspec.Struct):
    orderLine: Raw | UnsetType = UNSET  # noqa: N815


class _Node(msgspec.Struct):
    type: str | None = None
    id: Any = None


class _Order(msgspec.Struct):
    purchaseOrderId: Any  # noqa: N815
    orderDate: Any = None  # noqa: N815
    orderLines: _Lines | UnsetType = UNSET  # noqa: N815
    shipNode: _Node | UnsetType | None = UNSET  # noqa: N815


class _Named(msgspec.Struct):
    purchaseOrderId: Any = None  # noqa: N815


class _Meta(msgspec.Struct):
    nextCursor: str | None = None  # noqa: N815


class _Elements(msgspec.Struct):
    order: Raw | UnsetType = UNSET


class _List(msgspec.Struct):
    meta: _Meta | UnsetType | None = UNSET
    elements: _Elements | UnsetType | None = UNSET


class _Page(msgspec.Struct):
    list: _List


class _Single(msgspec.Struct):
    """The published example wraps it, the schema beside it does not (walmart.md §3)."""

    order: Raw | UnsetType = UNSET


# --- reading ------------------------------------------------------------------------------------------------


def read_orders(seller: Seller, since_us: int, page: str) -> Exchange[OrderPage | Failure]:
    """Orders modified since, of those that the seller sends himself.

    Without an explicit `createdStartDate` only orders of the last seven days would come, so it is as early as it may
    be (walmart.md §0.3, §4; a third party's report). The bound is in whole seconds. A page's cursor is a complete
    query string; a 404 may stand for an empty list.
    """
    if not page:
        request = _first(seller, since_us)
    elif _CURSOR.fullmatch(page):
        request = seller.get("/v3/orders" + page, meter=ORDERS)
    else:
        return Failure(Outcome("permanent", "not a page of Walmart's order feed"))
    response = yield request
    if nothing_found(response):
        return OrderPage((), "", 0)
    failure = failed_read(response)
    if failure is not None:
        return failure
    try:
        found = decode(response.body, _Page).list
        elements = found.elements
        orders = rows(elements.order, "the order list") if isinstance(elements, _Elements) else []
    except UnreadableError:
        faults = faults_in(response)
        return Failure(of_faults(faults, "orders") if faults else garbled(response, write=False))
    if len(orders) > ROWS_MAX:
        return Failure(Outcome("transient", f"{len(orders)} orders on one page, of which at most {PAGE} were asked"))
    cursor = (found.meta.nextCursor or "") if isinstance(found.meta, _Meta) else ""
    if cursor and (cursor == page or not _CURSOR.fullmatch(cursor)):
        return Failure(Outcome("transient", "the next page of the order feed cannot be asked for"))
    return _read(seller, orders, cursor)


def _first(seller: Seller, since_us: int) -> Request:
    query = [
        ("lastModifiedStartDate", _second(since_us)), ("limit", str(PAGE)), ("shipNodeType", OURS),
        ("replacementInfo", "true"),
    ]  # fmt: skip
    return evolve(seller.get("/v3/orders", query, meter=ORDERS), sign=partial(_dated, seller, since_us))


def _dated(seller: Seller, since_us: int, request: Request, now_us: int, nonce: str) -> Request:
    """With dates that reach as far back as they may, from now: an earlier one is refused."""
    floor_us = now_us - REACH_US
    url = request.url if since_us >= floor_us else _first(seller, floor_us).url
    return correlated(evolve(request, url=f"{url}&createdStartDate={encoded(_second(floor_us))}"), now_us, nonce)


def _second(us: int) -> str:
    """A stamp in whole seconds, rounded down."""
    moment = datetime.fromtimestamp(min(max(us, 0), _LAST_US) // SECOND_US, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _read(seller: Seller, orders: list[Raw], cursor: str) -> OrderPage:
    seen: list[OrderSeen] = []
    puzzles: list[str] = []
    high_water = 0
    for row in orders:
        try:
            one = order_seen(seller, row)
        except UnreadableError as exc:
            puzzles.append(f"{_name(row)}: {exc}")
            continue
        if one is not None:
            seen.append(one)
            high_water = max(high_water, one.updated.lo)
    return OrderPage(tuple(seen), cursor, high_water, tuple(puzzles))


def _name(row: Raw) -> str:
    try:
        return f"order {name_of(decode(row, _Named).purchaseOrderId, 'its id')}"
    except UnreadableError:
        return "an order without an id"


def read_order(seller: Seller, order: str) -> Exchange[OrderSeen | Failure | None]:
    """One order; None where it does not exist, or is sent by somebody else than the seller."""
    if not is_order_id(order):
        return Failure(Outcome("permanent", "not a purchase order id of Walmart"))
    response = yield seller.get(f"/v3/orders/{order}", [("replacementInfo", "true")], meter=ORDERS)
    if is_missing(response):
        return None
    failure = failed_read(response)
    if failure is not None:
        return failure
    try:
        wrapped = decode(response.body, _Single).order
        return order_seen(seller, wrapped if isinstance(wrapped, Raw) else Raw(response.body))
    except UnreadableError as exc:
        return Failure(_unreadable(response, order, exc))


def _unreadable(response: Response, order: str, exc: UnreadableError) -> Outcome:
    faults = faults_in(response)
    if faults:
        return of_faults(faults, f"order {order}")
    ours = response.body.lstrip().startswith(b"{")
    return Outcome("permanent", f"order {order}: {exc}") if ours else garbled(response, write=False)


def is_order_id(order: str) -> bool:
    """May this be a purchase order's id?"""
    return _ORDER.fullmatch(order) is not None


# --- one order ----------------------------------------------------------------------------------------------


@frozen
class _Quantities:
    """Units of one line. What is still `open` is what Walmart reserves; all else that was not cancelled was sent."""

    ordered: int
    cancelled: int
    open: int

    @property
    def fulfilled(self) -> int:
        return max(0, self.ordered - self.cancelled - self.open)


def order_seen(seller: Seller, row: Raw) -> OrderSeen | None:
    """One version of an order; None where somebody else sends it. Raises `UnreadableError`.

    The order has no stamp of its own last change; the newest `statusDate` of its lines stands for it (walmart.md §3).
    Where two versions share one, the daemon fetches the order again. Walmart reserves units when an order is placed.
    """
    order = decode(row, _Order)
    number = name_of(order.purchaseOrderId, "the purchase order's id")
    if not is_order_id(number):
        raise UnreadableError("the purchase order's id is not a possible one")
    node = order.shipNode if isinstance(order.shipNode, _Node) else _Node()
    if node.type is not None and node.type != OURS:
        return None
    found = rows(order.orderLines.orderLine, "orderLine") if isinstance(order.orderLines, _Lines) else []
    if not found:
        raise UnreadableError("it has no lines")
    lines = [decode(line, _Line) for line in found]
    stamps = [moment(line.statusDate, "statusDate") for line in lines]
    updated = max(stamps)
    placed: Span | None = moment(order.orderDate, "orderDate") if order.orderDate is not None else None
    return OrderSeen(
        number, updated.lo, updated, tuple(_line_seen(line, _other_node(seller, node)) for line in lines), placed,
        takes_at_placement=True,
    )  # fmt: skip


def _other_node(seller: Seller, node: _Node) -> str:
    """The order's node, where it is known to be another one than ours: its open units are reserved there."""
    text = str(node.id) if isinstance(node.id, str | int) and not isinstance(node.id, bool) else ""
    return text[:40] if seller.ship_node and text and text != seller.ship_node else ""


def _line_seen(line: _Line, other_node: str) -> LineSeen:
    if not line.item.sku:
        raise UnreadableError("a line has no SKU")
    units = _quantities(line)
    return LineSeen(
        line=name_of(line.lineNumber, "lineNumber"),
        listing=f"{line.item.sku} at node {other_node}" if other_node else line.item.sku,
        seller_sku=line.item.sku,
        ordered=units.ordered,
        cancelled=units.cancelled,
        fulfilled=units.fulfilled,
    )


def _quantities(line: _Line) -> _Quantities:
    """A line's status is spread over parts of its quantity (walmart.md §0.2, §3).

    Created and Acknowledged units are open: held by us, reserved by Walmart. Cancelled ones are free again. Shipped,
    Delivered and Refund ones are gone: a refund is money and no stock. Whether a refunded unit is still listed as
    shipped is not documented; so what was sent is what is neither open nor cancelled.
    """
    ordered = units_of(line.orderLineQuantity, "orderLineQuantity")
    statuses = line.orderLineStatuses
    parts = rows(statuses.orderLineStatus, "orderLineStatus") if isinstance(statuses, _Statuses) else []
    if not parts:
        raise UnreadableError("a line has no status")
    cancelled = open_units = 0
    for row in parts:
        part = decode(row, _Part)
        match part.status:
            case "Created" | "Acknowledged":
                open_units += units_of(part.statusQuantity, "statusQuantity")
            case "Cancelled":
                cancelled += units_of(part.statusQuantity, "statusQuantity")
            case _:
                pass
    cancelled = min(cancelled, ordered)
    return _Quantities(ordered, cancelled, min(open_units, ordered - cancelled))

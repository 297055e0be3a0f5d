"""Reading orders: what was placed or changed since, and one of them as it is now."""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple

import msgspec

from adapters.stamps import rfc3339
from adapters.strict import UnreadableError, decode
from adapters.vendure import documents
from adapters.vendure.answers import failed_read, now_us, reading
from adapters.vendure.payloads import Id, Order, Text, order_seen, stamp
from adapters.vendure.settings import is_id
from adapters.vendure.shop import Shop
from daemon.domain.channel import OrderPage, OrderSeen
from daemon.domain.exchange import Exchange
from daemon.domain.outcomes import Failure, Outcome

MILLISECOND_US: Final = 1_000
_CURSOR = re.compile(r"(placed|updated)\.([0-9]{1,15})\.([0-9]{1,7})")
_AFTER_MAX_MS: Final = 253_402_300_799_000

Walk = Literal["placed", "updated"]


class Orders(msgspec.Struct):
    items: list[msgspec.Raw]


class OrdersData(msgspec.Struct):
    orders: Orders


class Named(msgspec.Struct):
    id: Id
    updatedAt: Text | None = None  # noqa: N815  # Vendure's names
    orderPlacedAt: Text | None = None  # noqa: N815


class OrderData(msgspec.Struct):
    order: msgspec.Raw


class _Cursor(NamedTuple):
    """Where a walk goes on: behind `skip` of the orders whose stamp is later than `after_ms`."""

    walk: Walk
    after_ms: int
    skip: int = 0

    def __str__(self) -> str:
        return f"{self.walk}.{self.after_ms}.{self.skip}"


def read_orders(shop: Shop, since_us: int, page: str) -> Exchange[OrderPage | Failure]:
    """Orders since, in two walks: first those placed since, then those updated since.

    Being placed leaves `updatedAt` as it was (see `payloads.order_seen`), so that alone would miss a sale that was
    paid long after its cart was last touched. A bound is exclusive, and by the millisecond. A list has no cursor but
    how many to skip, and what changes meanwhile goes to its end and draws others forward: so each page begins at the
    last stamp of the one before, and only orders of one and the same stamp are counted off.
    """
    cursor = _cursor(page) or _Cursor("placed", _before(since_us))
    document = documents.ORDERS_PLACED if cursor.walk == "placed" else documents.ORDERS_UPDATED
    variables = {"after": _stamp(cursor.after_ms), "take": documents.ORDERS_PER_PAGE, "skip": cursor.skip}
    response = yield shop.ask(document, variables)
    data = reading(response, OrdersData)
    if isinstance(data, Failure):
        return data
    orders: list[OrderSeen] = []
    puzzles: list[str] = []
    high_water = 0
    for row in data.orders.items:
        name = "an order without an id"
        try:
            named = decode(row, Named)
            name = f"order {named.id}"
            high_water = max(high_water, _moment(named, cursor.walk))
            orders.append(order_seen(decode(row, Order), now_us(response)))
        except UnreadableError as exc:
            puzzles.append(f"{name}: {exc}"[:200])
    following = _following(cursor, len(data.orders.items), high_water, since_us)
    return OrderPage(tuple(orders), following, high_water, tuple(puzzles))


def read_order(shop: Shop, order: str) -> Exchange[OrderSeen | Failure | None]:
    """One order as it is now; None: the shop has no such order (a cart may be cleaned away, an order never is)."""
    if not is_id(order):
        return Failure(Outcome("permanent", "not an order id of Vendure"))
    response = yield shop.ask(documents.ORDER, {"id": order})
    data = reading(response, OrderData)
    if isinstance(data, Failure):
        return data
    if bytes(data.order) == b"null":
        return None
    try:
        seen = order_seen(decode(data.order, Order), now_us(response))
    except UnreadableError as exc:
        return Failure(Outcome("permanent", f"order {order}: {exc}"))
    return seen if seen.order == order else failed_read(f"order {order}: the answer is about another order")


def _cursor(page: str) -> _Cursor | None:
    found = _CURSOR.fullmatch(page)
    if found is None:
        return None
    walk: Walk = "placed" if found[1] == "placed" else "updated"
    return _Cursor(walk, min(int(found[2]), _AFTER_MAX_MS), int(found[3]))


def _before(moment_us: int) -> int:
    """The bound, in ms, that lets everything of `moment_us` through."""
    return min(max(0, moment_us // MILLISECOND_US - 1), _AFTER_MAX_MS)


def _stamp(ms: int) -> str:
    return rfc3339(ms * MILLISECOND_US)[:-4] + "Z"


def _moment(named: Named, walk: Walk) -> int:
    if walk == "updated":
        return stamp(named.updatedAt or "", "updatedAt").lo
    return stamp(named.orderPlacedAt or "", "orderPlacedAt").lo


def _following(cursor: _Cursor, found: int, high_water: int, since_us: int) -> str:
    """Where the next page begins; "" after the last one of the second walk."""
    if found < documents.ORDERS_PER_PAGE:
        return str(_Cursor("updated", _before(since_us))) if cursor.walk == "placed" else ""
    after = _before(high_water)
    if after > cursor.after_ms:
        return str(_Cursor(cursor.walk, after))
    return str(_Cursor(cursor.walk, cursor.after_ms, cursor.skip + found))

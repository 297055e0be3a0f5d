"""Reading orders: what changed since, and one of them as it is now (bigcommerce.md §3, §4)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec
from attrs import define

from adapters.bigcommerce.account import Store
from adapters.bigcommerce.lists import more_pages, v2_rows
from adapters.bigcommerce.payloads import REFUNDED, Line, Order, lines_inline, order_seen
from adapters.bigcommerce.refusals import failed_read, garbled, is_missing
from adapters.bigcommerce.settings import read_settings
from adapters.bigcommerce.values import second
from adapters.strict import UnreadableError, decode
from daemon.domain.channel import OrderPage, OrderSeen
from daemon.domain.exchange import Exchange
from daemon.domain.instants import SECOND_US
from daemon.domain.outcomes import Failure, Outcome

PER_PAGE = 50
"""The API's own default. With every line inline, a page of the most there is would weigh megabytes."""
PER_WIDE_PAGE = 250
"""The most there is (§4), for a crowd of orders in one second."""
LINES_PER_PAGE = 250
LINE_PAGES_MAX = 20
"""More pages of lines mean that the store does not page."""

_INLINE = [("include", "consignments.line_items"), ("consignment_structure", "object")]
_LAST_S = 253_402_300_799
"""The last second that a four-digit year can name."""
_CURSOR = re.compile(r"([0-9]{1,12})\.([0-9]{1,6})(w?)")


class _Stamped(msgspec.Struct):
    id: int
    date_modified: str


class _Cursor(NamedTuple):
    """Where the order feed goes on: page `page` of what was modified in second `bound` or later; `wide`: as many at
    once as there can be."""

    bound: int
    page: int = 1
    wide: bool = False

    @property
    def limit(self) -> int:
        return PER_WIDE_PAGE if self.wide else PER_PAGE

    def __str__(self) -> str:
        return f"{self.bound}.{self.page}{'w' if self.wide else ''}"


@define
class _Reading:
    """One conversation. The store's settings are read once, when the first order needs them."""

    store: Store
    restock: bool | None = None

    def seen(self, order: Order) -> Exchange[OrderSeen | Failure]:
        """The order with its lines: inline, or from their own resource where the store only links to them.

        Raises `UnreadableError` for an order that is not understood."""
        lines = lines_inline(order)
        if lines is None:
            found = yield from self._products(order)
            if isinstance(found, Failure):
                return found
            lines = found
        if order.status_id == REFUNDED and self.restock is None:
            settings = yield from read_settings(self.store)
            if isinstance(settings, Failure) and settings.outcome.kind != "permanent":
                return settings
            # A token that may not read them must not stop the feed: nothing counts as put back, the safe reading.
            self.restock = not isinstance(settings, Failure) and settings.refund_order_stock_adjustment
        return order_seen(order, lines, refunds_restock=bool(self.restock))

    def _products(self, order: Order) -> Exchange[list[Line] | Failure]:
        lines: list[Line] = []
        for page in range(1, LINE_PAGES_MAX + 1):
            query = [("limit", str(LINES_PER_PAGE)), ("page", str(page))]
            found = v2_rows((yield self.store.get(f"/v2/orders/{order.id}/products", query)))
            if isinstance(found, Failure):
                return found
            lines += [decode(row, Line) for row in found.rows]
            if not more_pages(found, page, LINES_PER_PAGE):
                return lines
        raise UnreadableError(f"it has more than {LINE_PAGES_MAX} pages of lines")


def read_orders(store: Store, since_us: int, page: str) -> Exchange[OrderPage | Failure]:
    """Orders changed since, oldest change first, archived ones among them as far as the store lists them.

    The bound is inclusive at one second, as far as is known [memory], so it goes back one. Each page starts at the
    newest stamp of the one before, not at a page number: orders that change meanwhile move to the end, and what
    follows them would slip past a page border unseen.
    """
    found = _CURSOR.fullmatch(page)
    cursor = _Cursor(max(0, since_us // SECOND_US - 1))
    if found:
        cursor = _Cursor(int(found[1]), int(found[2]), bool(found[3]))
    bound = datetime.fromtimestamp(min(cursor.bound, _LAST_S), UTC).isoformat()
    query = [
        ("min_date_modified", bound), ("sort", "date_modified:asc"), ("limit", str(cursor.limit)),
        ("page", str(cursor.page)), *_INLINE,
    ]  # fmt: skip
    listed = v2_rows((yield store.get("/v2/orders", query)))
    if isinstance(listed, Failure):
        return listed
    reading = _Reading(store)
    orders: list[OrderSeen] = []
    puzzles: list[str] = []
    stamps: list[int] = []
    for row in listed.rows:
        name = "an order without an id"
        try:
            stamped = decode(row, _Stamped)
            name = f"order {stamped.id}"
            stamps.append(second(stamped.date_modified).lo)
            seen = yield from reading.seen(decode(row, Order))
        except UnreadableError as exc:
            puzzles.append(f"{name}: {exc}")
            continue
        if isinstance(seen, Failure):
            return seen
        orders.append(seen)
    next_page = str(_after(cursor, stamps)) if more_pages(listed, cursor.page, cursor.limit) else ""
    return OrderPage(tuple(orders), next_page, max(stamps, default=0), tuple(puzzles))


def _after(cursor: _Cursor, stamps: list[int]) -> _Cursor:
    """The next page's cursor.

    A page that hardly gets on in time is read once more, wide. Where even that does not, or the store did not sort,
    pages are numbered: an order that changes meanwhile may then move another across a border, unseen until the next
    poll's overlap.
    """
    nearer = max(stamps, default=0) // SECOND_US - 1
    if stamps == sorted(stamps) and nearer > cursor.bound:
        return _Cursor(nearer)
    if not cursor.wide:
        return _Cursor(cursor.bound, wide=True)
    return _Cursor(cursor.bound, cursor.page + 1, wide=True)


def read_order(store: Store, order: str) -> Exchange[OrderSeen | Failure | None]:
    """One order by the same reading as in the feed, so that webhook and poll tell the same (§4, "Event identity")."""
    if not (order.isascii() and order.isdigit() and len(order) < 19):
        return Failure(Outcome("permanent", "not an order id of BigCommerce: it is a whole number"))
    response = yield store.get(f"/v2/orders/{order}", _INLINE)
    if is_missing(response):
        return None
    failure = failed_read(response)
    if failure is not None:
        return failure
    try:
        return (yield from _Reading(store).seen(decode(response.body, Order)))
    except UnreadableError as exc:
        ours = response.body.lstrip().startswith(b"{")
        return Failure(Outcome("permanent", f"order {order}: {exc}") if ours else garbled(response))

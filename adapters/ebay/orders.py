"""Reading orders: what changed since, and one line's as it is now (ebay.md §4)."""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec
from attrs import frozen

from adapters.ebay import trading
from adapters.ebay.api import FULFILLMENT, Api, stamp
from adapters.ebay.payloads import Order, is_line_key, is_order_id, moment, orders_seen
from adapters.ebay.refusals import FUTURE, errors_in, failed_read, garbled
from adapters.strict import UnreadableError, decode
from daemon.domain.channel import OrderPage, OrderSeen
from daemon.domain.exchange import Exchange, Response
from daemon.domain.instants import SECOND_US
from daemon.domain.outcomes import Failure, Outcome

PER_PAGE = 200
"""Orders in one answer at most (§4)."""

ROWS_MAX = 1_000
"""More rows in one answer are none that was asked for."""

TOTAL_MAX = 10_000_000
"""More orders are no seller's."""

LEAST_MS = 8_000
"""A window is not made narrower: what it holds beyond one answer is paged by offset, the last page first."""

SEAM_MS = 1_000
"""Neighbouring windows share so much: whether their ends belong to them is not said."""

_MS = SECOND_US // 1_000
_LAST_MS = 253_402_300_799_999
"""The last millisecond that a four-digit year can name."""
_TOKEN = re.compile(r"([amr])(!?)\.([0-9]{1,15})\.([0-9]{1,15})\.([0-9]{1,9})\.([0-9]{1,15})")


class _Place(NamedTuple):
    """Where the feed goes on. Times in milliseconds since 1970.

    phase: a - purchases that are unpaid now · m - what the Trading API says to have changed · r - paid orders
    again: the Trading API did not answer; it is asked once more when the paid orders are read
    start, width: the window of this answer; a width of 0: without an upper bound (for "m": its end)
    at: the page; 0 is a window's first reading
    end: no window may end behind this, or it might end in eBay's future
    """

    phase: str
    again: bool
    start: int
    width: int = 0
    at: int = 0
    end: int = 0

    def __str__(self) -> str:
        return f"{self.phase}{'!' if self.again else ''}.{self.start}.{self.width}.{self.at}.{self.end}"


def _place(page: str, since_ms: int, *, unpaid: bool) -> _Place:
    found = _TOKEN.fullmatch(page)
    if found is None:
        return _Place("a", False, since_ms, at=1) if unpaid else _Place("r", False, since_ms)
    phase, again, start, width, at, end = found.groups()
    return _Place(phase, bool(again), int(start), int(width), int(at), int(end))


def read_orders(api: Api, since_us: int, page: str, *, unpaid: bool) -> Exchange[OrderPage | Failure]:
    """A page of what changed since. First what is bought and not paid, then what is paid: so what is paid for
    meanwhile is seen by one of the two, and by its line's key it counts once.

    Where the Trading API does not answer, the paid orders are read all the same; then it has to answer, or the feed
    has not been read to its end, and nothing is raised on its word.
    """
    since_ms = min(max(0, since_us) // _MS, _LAST_MS)
    place = _place(page, since_ms, unpaid=unpaid)
    if place.phase == "r":
        return (yield from _read_paid(api, place, since_ms))
    return (yield from _read_unpaid(api, place, since_ms))


# --- unpaid -------------------------------------------------------------------------------------------------


def _read_unpaid(api: Api, place: _Place, since_ms: int) -> Exchange[OrderPage | Failure]:
    number = max(1, place.at)
    if place.phase == "a":
        response = yield trading.unpaid_now(api, number)
    else:
        response = yield trading.changed(api, since_ms * _MS, place.width * _MS, number)
    root = trading.opened(response)
    if isinstance(root, Failure):
        return root if place.again else OrderPage((), str(_Place("r", True, since_ms)), 0)
    found = trading.read_page(root, since_ms * _MS)
    if found.more:
        following = str(place._replace(at=number + 1))
    else:
        following = _behind(place, since_ms, (found.now_us - trading.MARGIN_US) // _MS)
    high_water = max((order.updated.lo for order in found.orders), default=0)
    return OrderPage(found.orders, following, high_water, found.puzzles)


def _behind(place: _Place, since_ms: int, until_ms: int) -> str:
    """What follows the last page of a Trading phase: the other one, then the paid orders unless they were read."""
    if place.phase == "a" and until_ms > since_ms:
        return str(_Place("m", place.again, since_ms, until_ms, 1))
    return "" if place.again else str(_Place("r", False, since_ms))


# --- paid ---------------------------------------------------------------------------------------------------


class _Listed(msgspec.Struct):
    orders: list[msgspec.Raw] = []
    total: int = 0
    next: str | None = None


class _Stamped(msgspec.Struct, rename="camel"):
    order_id: str
    last_modified_date: str


@frozen
class _Rows:
    orders: tuple[OrderSeen, ...]
    puzzles: tuple[str, ...]
    high_water_us: int
    count: int
    total: int


def _read_paid(api: Api, place: _Place, since_ms: int) -> Exchange[OrderPage | Failure]:
    """One window of changes. One that holds more than an answer does is halved until each is answered whole: an
    order that changes meanwhile only moves into a later window, while by offsets it would push another one over a
    page's border, unseen. The last window has no upper bound (§4, "Offset paging over a moving set can skip")."""
    bound = stamp((place.start + place.width) * _MS) if place.width else ""
    offset = max(0, place.at - 1) * PER_PAGE
    query = [
        ("filter", f"lastmodifieddate:[{stamp(place.start * _MS)}..{bound}]"),
        ("limit", str(PER_PAGE)), ("offset", str(offset)),
    ]  # fmt: skip
    response = yield api.get(f"{FULFILLMENT}/order", query)
    if response.status == 400 and any(error.error_id == FUTURE for error in errors_in(response)):
        return OrderPage((), _done(place, since_ms), 0)  # nothing has changed since a time that has not come yet
    failure = yield from failed_read(api, response, "fulfillment")
    if failure is not None:
        return failure
    rows = _rows(response, offset)
    if isinstance(rows, Failure):
        return rows
    following = _after(place, rows, since_ms)
    return OrderPage(rows.orders, following, rows.high_water_us, rows.puzzles)


def _rows(response: Response, offset: int) -> _Rows | Failure:
    try:
        listed = decode(response.body, _Listed)
    except UnreadableError:
        return Failure(garbled(response))
    if len(listed.orders) > ROWS_MAX or not 0 <= listed.total <= TOTAL_MAX:
        return Failure(
            Outcome("transient", f"{len(listed.orders)} of {listed.total} orders in an answer of {PER_PAGE}")
        )
    if not listed.orders and offset == 0 and listed.total > 0:
        return Failure(Outcome("transient", f"eBay says that there are {listed.total} orders, and shows none"))
    orders: list[OrderSeen] = []
    puzzles: list[str] = []
    high_water = 0
    for row in listed.orders:
        name = "an order without an id"
        try:
            stamped = decode(row, _Stamped)
            name = f"order {stamped.order_id[:64]}"
            high_water = max(high_water, moment(stamped.last_modified_date, "lastModifiedDate").lo)
            orders += orders_seen(decode(row, Order))
        except UnreadableError as exc:
            puzzles.append(f"{name}: {exc}")
    total = max(listed.total, offset + len(listed.orders) + bool(listed.next))
    return _Rows(tuple(orders), tuple(puzzles), high_water, len(listed.orders), total)


def _after(place: _Place, rows: _Rows, since_ms: int) -> str:
    """The page behind this answer: a narrower window, another page of it, the next one, or the end."""
    if place.at > 1:
        return str(place._replace(at=place.at - 1))
    if place.at == 0 and rows.total > rows.count:
        # The newest stamp seen is past on eBay's own clock, so a window that ends there does not end in its future.
        reach = place.width or max(1, rows.high_water_us // _MS - place.start)
        end = place.end or place.start + reach
        if reach > LEAST_MS:
            return str(place._replace(width=max(LEAST_MS, reach // 2), end=end))
        if not place.width:
            return str(place._replace(width=reach, end=end))
        # What leaves the window moves the others forward: from the last page to the first, none slips past.
        return str(place._replace(at=-(-rows.total // PER_PAGE)))
    if not place.width:
        return _done(place, since_ms)
    start = place.start + max(place.width - SEAM_MS, -(-place.width // 2))
    width = place.width * 2 if rows.total * 4 <= PER_PAGE else place.width
    if start + width >= place.end:
        return str(place._replace(start=start, width=0, at=0, end=0))
    return str(place._replace(start=start, width=width, at=0))


def _done(place: _Place, since_ms: int) -> str:
    return str(_Place("a", True, since_ms, at=1)) if place.again else ""


# --- one ----------------------------------------------------------------------------------------------------


def read_order(api: Api, key: str) -> Exchange[OrderSeen | Failure | None]:
    """One line's order (see `payloads.line_key`) as it is now; None: eBay knows no such line.

    The Trading API finds it by the line, and says its order's id; once paid, the Fulfillment API tells the rest.
    """
    if not is_line_key(key):
        return Failure(Outcome("permanent", "not a line of eBay's: it is written ITEM-LINE, two numbers"))
    response = yield trading.one_line(api, key)
    root = trading.opened(response)
    if isinstance(root, Failure):
        return root
    found = trading.orders_in(root)
    if not found:
        return None
    order = found[0]
    try:
        if not trading.is_paid(order):
            return next((each for each in trading.unpaid_lines(order) if each.order == key), None)
        return (yield from _read_paid_line(api, trading.order_id(order), key))
    except UnreadableError as exc:
        return Failure(Outcome("permanent", f"order line {key}: {exc}"))


def _read_paid_line(api: Api, order: str, key: str) -> Exchange[OrderSeen | Failure | None]:
    if not is_order_id(order):
        raise UnreadableError("its order has no id that could be asked for")
    response = yield api.get(f"{FULFILLMENT}/order/{order}")
    if response.status == 404:
        return None
    failure = yield from failed_read(api, response, "fulfillment")
    if failure is not None:
        return failure
    return next((each for each in orders_seen(decode(response.body, Order)) if each.order == key), None)

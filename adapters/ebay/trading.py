"""What only the Trading API tells: purchases that are not paid yet, and how the account treats a level of 0
(ebay.md §1, §3, §4, §5.3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.etree import ElementTree as ET

from attrs import frozen

from adapters.ebay.api import NAMESPACE, Api, stamp
from adapters.ebay.payloads import is_line_key, listing_of, moment, order_of, units
from adapters.ebay.refusals import garbled, refused
from adapters.strict import UnreadableError
from daemon.domain.channel import LineSeen, OrderSeen
from daemon.domain.exchange import Exchange, Request, Response
from daemon.domain.instants import DAY_US, SECOND_US, Span
from daemon.domain.outcomes import Failure, Outcome

ENTRIES_MAX = 100
"""Orders on a page at most (§4)."""

UNPAID_DAYS = 30
"""Purchases are unpaid for a few days; older ones are looked for as far as the filter reaches."""

WINDOW_US = 29 * DAY_US
"""Modified since, at most 30 days (§4). After a longer stop an unpaid purchase that was given up before that window
is not told of any more: until it is settled by hand, it holds its units."""

MARGIN_US = 120 * SECOND_US
"""The upper bound of a window stays so far behind now, as eBay advises (§4)."""

LIMIT_SPENT = "518"
"""The call's limit is spent: a code from memory, unsure."""

_FREED = ("Cancelled", "Inactive")


@frozen
class TradingPage:
    """A page of GetOrders: what is not paid, or was given up unpaid, and has changed since; and eBay's clock."""

    orders: tuple[OrderSeen, ...]
    puzzles: tuple[str, ...]
    now_us: int
    more: bool


# --- requests -----------------------------------------------------------------------------------------------


def unpaid_now(api: Api, page: int) -> Request:
    """Every purchase that is unpaid at this moment, whenever it changed: a window with an upper bound would miss
    those that change while it is read."""
    return api.trading(
        "GetOrders",
        [
            ("NumberOfDays", str(UNPAID_DAYS)), ("OrderRole", "Seller"), ("OrderStatus", "Active"),
            *_paging(page),
        ],
    )  # fmt: skip


def changed(api: Api, since_us: int, until_us: int, page: int) -> Request:
    """Orders of any status that changed in between: those that were given up are among them."""
    return api.trading(
        "GetOrders",
        [
            ("ModTimeFrom", stamp(max(since_us, until_us - WINDOW_US))), ("ModTimeTo", stamp(until_us)),
            ("OrderRole", "Seller"), ("OrderStatus", "All"), *_paging(page),
        ],
    )  # fmt: skip


def one_line(api: Api, key: str) -> Request:
    """The order of one line: an OrderLineItemID may stand for the order's id (GetOrders reference)."""
    return api.trading("GetOrders", [("OrderIDArray/OrderID", key)])


def _paging(page: int) -> Sequence[tuple[str, str]]:
    return (("Pagination/EntriesPerPage", str(ENTRIES_MAX)), ("Pagination/PageNumber", str(page)))


# --- answers ------------------------------------------------------------------------------------------------


def opened(response: Response) -> ET.Element | Failure:
    """The answer's root. Trading answers 200 also to what it refuses: `Ack` says so (§1).

    A spent limit of Trading calls is no throttle of the account, which would hold back everything else: it is a
    failure that may be over the next time. The calls' own meter keeps them few.
    """
    outcome = refused(response, write=False)
    if outcome is not None:
        passing = outcome.kind == "throttled"
        return Failure(Outcome("transient" if passing else outcome.kind, f"Trading: {outcome.reason}"))
    root = _parsed(response.body)
    if root is None:
        return Failure(garbled(response))
    if _text(root, "Ack") in ("Success", "Warning"):
        return root
    refusal = next((each for each in _all(root, "Errors") if _text(each, "SeverityCode") != "Warning"), None)
    if refusal is None:
        return Failure(garbled(response))
    said = _text(refusal, "LongMessage") or _text(refusal, "ShortMessage")
    reason = " ".join(f"Trading {_text(refusal, 'ErrorCode')[:12]} {said[:280]}".split())
    lasting = _text(refusal, "ErrorClassification") != "SystemError" and _text(refusal, "ErrorCode") != LIMIT_SPENT
    return Failure(Outcome("permanent" if lasting else "transient", reason))


def read_page(root: ET.Element, since_us: int) -> TradingPage:
    """What a GetOrders answer tells. Orders that are paid, or being paid for, the Fulfillment API tells of; those
    that have not changed since are known: with them, "since" would mean nothing."""
    now = _moment(root, "Timestamp")
    orders: list[OrderSeen] = []
    puzzles: list[str] = []
    for order in _all(_part(root, "OrderArray"), "Order"):
        if is_paid(order):
            continue
        for line in _all(_part(order, "TransactionArray"), "Transaction"):
            changed_at = _modified(order, line)
            if changed_at is not None and changed_at.hi < since_us:
                continue
            try:
                seen = _unpaid(order, line)
            except UnreadableError as exc:
                puzzles.append(f"unpaid line {_text(line, 'OrderLineItemID')[:60] or '(no id)'}: {exc}")
                continue
            if seen is not None:
                orders.append(seen)
    more = _text(root, "HasMoreOrders") == "true"
    return TradingPage(tuple(orders), tuple(puzzles), now.lo if now else 0, more)


def orders_in(root: ET.Element) -> list[ET.Element]:
    """The orders of a GetOrders answer."""
    return list(_all(_part(root, "OrderArray"), "Order"))


def order_id(order: ET.Element) -> str:
    """The order's id as it is now; paid, it is the Fulfillment API's."""
    return _text(order, "OrderID")


def is_paid(order: ET.Element) -> bool:
    """Is the checkout complete, so that the Fulfillment API shows the order (§0.2)?"""
    complete = _text(_part(order, "CheckoutStatus"), "Status") == "Complete"
    return complete or any(_part(order, name) is not None for name in ("PaidTime", "ShippedTime"))


def unpaid_lines(order: ET.Element) -> list[OrderSeen]:
    """Its lines, each an order of its own. Raises `UnreadableError`."""
    lines = [_unpaid(order, line) for line in _all(_part(order, "TransactionArray"), "Transaction")]
    return [line for line in lines if line is not None]


def _unpaid(order: ET.Element, line: ET.Element) -> OrderSeen | None:
    """One line of an order that is not paid: its units are gone from the listing already (§3). None: an auction's,
    which has no number that the Fulfillment API would give it again (TransactionID 0)."""
    item, number = _text(_part(line, "Item"), "ItemID"), _text(line, "TransactionID")
    if number == "0":
        return None
    if not is_line_key(f"{item}-{number}"):
        raise UnreadableError("it has no item number, or no transaction number")
    quantity = _text(line, "QuantityPurchased")
    if not (quantity.isascii() and quantity.isdigit() and len(quantity) <= 12):
        raise UnreadableError("QuantityPurchased is no whole number")
    ordered = units(int(quantity), "QuantityPurchased")
    updated = _modified(order, line)
    if updated is None:
        raise UnreadableError("it has no time of its last change")
    # The variation's SKU wins over the item's (§2.2).
    sku = _text(_part(line, "Variation"), "SKU") or _text(_part(line, "Item"), "SKU")
    seen = LineSeen(
        line=number,
        listing=listing_of(sku, item, ""),
        seller_sku=sku or None,
        ordered=ordered,
        cancelled=ordered if _text(order, "OrderStatus") in _FREED else 0,
    )
    return order_of(seen, item, updated, _moment(line, "CreatedDate") or _moment(order, "CreatedTime"))


def _modified(order: ET.Element, line: ET.Element | None = None) -> Span | None:
    """When it changed last: the newer one of what the order and its line say."""
    found = [
        _moment(_part(order, "CheckoutStatus"), "LastModifiedTime"),
        _moment(_part(line, "Status"), "LastTimeModified") if line is not None else None,
    ]
    return max((each for each in found if each is not None), key=lambda each: each.lo, default=None)


# --- a level of 0 -------------------------------------------------------------------------------------------


def may_show_zero(api: Api) -> Exchange[Failure | None]:
    """Does a listing outlive a level of 0 on this account? None: yes. Off, 0 ends it for good (§5.3)."""
    response = yield api.trading(
        "GetUserPreferences", [("ShowOutOfStockControlPreference", "true")], meter="preferences"
    )  # fmt: skip
    root = opened(response)
    if isinstance(root, Failure):
        return root
    said = _text(root, "OutOfStockControlPreference")
    if said == "true":
        return None
    if said != "false":
        return Failure(garbled(response))
    return Failure(
        Outcome(
            "permanent",
            "0 would end this listing: the account's out-of-stock control is off. Switch it on (My eBay, selling "
            "preferences) or set at_zero: push; until then the listing sells what is not there",
        )
    )


# --- XML ----------------------------------------------------------------------------------------------------


def _parsed(body: bytes) -> ET.Element | None:
    """The document's root; None where it is none, or declares entities: eBay's never do, so none is ever expanded."""
    try:
        text = body.decode("utf-8")
        if "<!" in text.replace("<![CDATA[", "").replace("<!--", ""):
            return None
        return ET.fromstring(text)  # noqa: S314  # no declarations are let in
    except (ValueError, ET.ParseError):
        return None


def _part(parent: ET.Element | None, name: str) -> ET.Element | None:
    return None if parent is None else parent.find(f"{{{NAMESPACE}}}{name}")


def _all(parent: ET.Element | None, name: str) -> Iterator[ET.Element]:
    return iter(()) if parent is None else iter(parent.findall(f"{{{NAMESPACE}}}{name}"))


def _text(parent: ET.Element | None, name: str) -> str:
    part = _part(parent, name)
    return "" if part is None or part.text is None else part.text.strip()


def _moment(parent: ET.Element | None, name: str) -> Span | None:
    try:
        return moment(_text(parent, name), name)
    except UnreadableError:
        return None

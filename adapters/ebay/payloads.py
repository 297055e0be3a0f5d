"""What the Fulfillment API says of an order, read strictly: units by line, never rounded (ebay.md §3)."""

from __future__ import annotations

import re

import msgspec

from adapters.stamps import rfc3339_span
from adapters.strict import UnreadableError
from daemon.domain.channel import LineSeen, OrderSeen
from daemon.domain.instants import Span
from daemon.domain.observations import QUANTITY_MAX

_NUMBER = re.compile(r"[1-9][0-9]{0,18}")
_LINE_KEY = re.compile(r"[1-9][0-9]{0,18}-[1-9][0-9]{0,18}")
_ORDER_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z!_-]{0,63}")
SKU_MAX = 200
BY_HAND = "item:"
"""Begins the names of listings that have no SKU, and so were not made with the Inventory API."""


class _Program(msgspec.Struct, rename="camel"):
    fulfilled_by: str | None = None


class _Programs(msgspec.Struct, rename="camel"):
    fulfillment_program: _Program | None = None


class _Cancel(msgspec.Struct, rename="camel"):
    cancel_state: str | None = None


class Line(msgspec.Struct, rename="camel"):
    line_item_id: str
    legacy_item_id: str
    quantity: int
    legacy_variation_id: str | None = None
    sku: str | None = None
    line_item_fulfillment_status: str | None = None


class Order(msgspec.Struct, rename="camel"):
    """All that is read of an order: neither its buyer, nor an address, nor a note."""

    order_id: str
    last_modified_date: str
    line_items: list[Line]
    creation_date: str | None = None
    cancel_status: _Cancel | None = None
    program: _Programs | None = None


# --- single values ------------------------------------------------------------------------------------------


def moment(text: str, what: str) -> Span:
    """The millisecond that a stamp names (UTC with "Z"). Raises `UnreadableError`."""
    span = rfc3339_span(text)
    if span is None:
        raise UnreadableError(f"{what} is not of the form 2026-08-05T12:00:00.250Z")
    return span


def units(value: int, what: str) -> int:
    """A quantity in units, from 0 to `QUANTITY_MAX`. Raises `UnreadableError`."""
    if not 0 <= value <= QUANTITY_MAX:
        raise UnreadableError(f"{what} is not between 0 and {QUANTITY_MAX}")
    return value


def is_order_id(text: str) -> bool:
    """May this go into a URL as an order's id?"""
    return _ORDER_ID.fullmatch(text) is not None


def is_line_key(text: str) -> bool:
    """Is it what `line_key` makes?"""
    return _LINE_KEY.fullmatch(text) is not None


def line_key(item: str, line: str) -> str:
    """A line's identity over all of eBay's ways to tell of it: "item-line" (§3, "Line key to use").

    The order's id is none: it changes when the buyer pays (§0.3). The line's number is the Trading API's
    TransactionID (§3; from memory and third parties: to be verified with the first live order).
    Raises `UnreadableError`.
    """
    if _NUMBER.fullmatch(item) is None or _NUMBER.fullmatch(line) is None:
        raise UnreadableError("a line has no item number, or no number of its own")
    return f"{item}-{line}"


def is_sku(text: str) -> bool:
    """Can it be the SKU of an inventory item? That is the listing's id here."""
    return 0 < len(text) <= SKU_MAX and text.isprintable()


def is_listing(listing: str) -> bool:
    """Is it an inventory item's, so that it can be read and pushed? One that was made by hand is not (§0.7)."""
    return is_sku(listing) and not listing.startswith(BY_HAND)


def listing_of(sku: str, item: str, variation: str) -> str:
    """The listing a line was sold through: the inventory item's SKU, or the item's numbers where it has none."""
    return sku or f"{BY_HAND}{item}" + (f":{variation}" if variation else "")


# --- orders -------------------------------------------------------------------------------------------------


def orders_seen(order: Order) -> tuple[OrderSeen, ...]:
    """Each line of the order as an order of its own, named by its `line_key`: so a purchase that the Trading API told
    of before it was paid meets itself when the Fulfillment API shows it under another order id (§0.3).

    Units are taken from the moment of the purchase on. Only a whole order can be cancelled; a line that was shipped
    stays taken. Refunds are money and move nothing. A payment that failed frees nothing until the order is cancelled.
    FULFILLED comes with the first unit shipped, and is taken for the whole line (§3, §7). What eBay itself fulfils is
    none of our stock: nothing is told of it.

    Raises `UnreadableError`.
    """
    updated = moment(order.last_modified_date, "lastModifiedDate")
    placed = moment(order.creation_date, "creationDate") if order.creation_date else None
    if by_ebay(order):
        return ()
    cancelled = order.cancel_status is not None and order.cancel_status.cancel_state == "CANCELED"
    return tuple(
        order_of(_line_seen(line, cancelled=cancelled), line.legacy_item_id, updated, placed)
        for line in order.line_items
    )


def by_ebay(order: Order) -> bool:
    """Does eBay ship it from stock that is not on our shelf?"""
    program = order.program.fulfillment_program if order.program else None
    return program is not None and program.fulfilled_by == "EBAY"


def order_of(line: LineSeen, item: str, updated: Span, placed: Span | None) -> OrderSeen:
    """One line, as the order that it is to us. Raises `UnreadableError`."""
    key = line_key(item, line.line)
    return OrderSeen(key, updated.lo, updated, (line,), placed, takes_at_placement=True)


def _line_seen(line: Line, *, cancelled: bool) -> LineSeen:
    ordered = units(line.quantity, "quantity")
    shipped = line.line_item_fulfillment_status == "FULFILLED"
    sku = line.sku or ""
    return LineSeen(
        line=line.line_item_id,
        listing=listing_of(sku, line.legacy_item_id, line.legacy_variation_id or ""),
        seller_sku=sku or None,
        ordered=ordered,
        cancelled=ordered if cancelled and not shipped else 0,
        fulfilled=ordered if shipped else 0,
    )

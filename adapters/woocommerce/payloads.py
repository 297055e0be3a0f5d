"""What a store's JSON says, read strictly: an order, a product, their stamps and quantities. Nothing is rounded."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from adapters.strict import UnreadableError, whole_units
from daemon.domain.channel import LevelSeen, LineSeen, OrderSeen
from daemon.domain.instants import SECOND_US, Span
from daemon.domain.observations import QUANTITY_MAX

REDUCED_STOCK = "_reduced_stock"
"""The line meta in which the store notes how many units the line holds (woocommerce.md §3)."""

ORDER_FIELDS = "id,status,date_created_gmt,date_modified_gmt,date_completed_gmt,line_items"
"""All we ask of an order: with `_fields` the buyer's name and address never even leave the store."""

PRODUCT_FIELDS = "id,type,name,sku,parent_id,manage_stock,stock_quantity,date_modified_gmt,variations"

_DRAFTS = frozenset({"checkout-draft", "auto-draft"})
_ENDED = frozenset({"refunded", "trash"})
_LISTING = re.compile(r"([1-9][0-9]{0,18})(?:/([1-9][0-9]{0,18}))?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


RowNumber = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""A row's number, 0 for none: what no row can have, could be neither pushed to nor kept."""


# --- the shapes ---------------------------------------------------------------------------------------------


class Meta(msgspec.Struct):
    key: Any = None
    value: Any = None


class Line(msgspec.Struct):
    id: int
    product_id: RowNumber = 0
    variation_id: RowNumber = 0
    sku: str | None = None
    meta_data: list[Meta] = []


class Order(msgspec.Struct):
    id: int
    date_modified_gmt: str
    line_items: list[Line]
    status: str = ""
    date_created_gmt: str | None = None
    date_completed_gmt: str | None = None


class Product(msgspec.Struct):
    """A product, or a variation: read through its parent, 7.9.0 gives it neither `type` nor `parent_id`."""

    id: int
    type: str = ""
    name: str = ""
    sku: str | None = None
    parent_id: RowNumber = 0
    manage_stock: bool | Literal["parent"] | UnsetType = UNSET
    stock_quantity: int | float | str | UnsetType | None = UNSET
    date_modified_gmt: str | None = None
    variations: list[RowNumber] = []


# --- single values ------------------------------------------------------------------------------------------


def second(text: str) -> Span:
    """The whole second that a `_gmt` stamp names: naive UTC, one second of resolution (woocommerce.md §3)."""
    try:
        moment = datetime.fromisoformat(text if "T" in text else "")
    except ValueError:
        raise UnreadableError("a date is not of the form 2026-11-20T14:15:30") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    lo = (moment - _EPOCH) // timedelta(seconds=1) * SECOND_US
    if lo < 0:
        raise UnreadableError("a date lies before 1970")
    return Span(lo, lo + SECOND_US - 1)


def known_id(number: int, what: str) -> str:
    """A row's number as text, `UnreadableError` if no row can have it."""
    if not 0 < number < 2**63:
        raise UnreadableError(f"{what} is not a possible id")
    return str(number)


class ListingId(NamedTuple):
    """A listing's two numbers; `variation` is None for simple products and for parents."""

    product: int
    variation: int | None = None

    def __str__(self) -> str:
        return f"{self.product}" if self.variation is None else f"{self.product}/{self.variation}"


def listing_id(listing: str) -> ListingId | None:
    """The inverse of `str(ListingId)`: "12" or "12/34"; None for anything else."""
    found = _LISTING.fullmatch(listing)
    if found is None:
        return None
    return ListingId(int(found[1]), int(found[2]) if found[2] else None)


# --- orders -------------------------------------------------------------------------------------------------


def held_units(line: Line) -> int:
    """Units that the line holds: its `_reduced_stock`, 0 where the store notes none.

    Of several entries the first one counts, as in the store's own code. Neither the quantity nor the status of
    the order says it (woocommerce.md §3; recordings 05, 06).
    """
    for meta in line.meta_data:
        if meta.key == REDUCED_STOCK:
            return 0 if meta.value in (None, "") else whole_units(meta.value, f"{REDUCED_STOCK} of line {line.id}")
    return 0


def is_idle_draft(order: Order, seen: OrderSeen) -> bool:
    """An open checkout that took nothing yet: noise, whichever topic reports it (woocommerce.md §7)."""
    return order.status in _DRAFTS and not any(line.ordered for line in seen.lines)


def order_seen(order: Order) -> OrderSeen:
    """One version of an order. `ordered` is what each line holds, so nothing is ever cancelled or restocked apart.

    A line of a variation is sold as "parent/variation", also where the parent holds the stock: the order does
    not say which of the two does. The catalogue does (see `catalogue.read_listings`): it links such a variation's
    listing to the SKU of its parent, and that link rules over the line's own SKU.

    Raises `UnreadableError`.
    """
    number = known_id(order.id, "the order's id")
    updated = second(order.date_modified_gmt)
    sent = order.status == "completed" or (order.status in _ENDED and bool(order.date_completed_gmt))
    return OrderSeen(
        order=number,
        version=updated.lo,
        updated=updated,
        lines=tuple(_line_seen(line, sent=sent) for line in order.line_items),
        placed=second(order.date_created_gmt) if order.date_created_gmt else None,
    )


def _line_seen(line: Line, *, sent: bool) -> LineSeen:
    held = held_units(line)
    # A product that was deleted leaves its lines behind, with product 0 and no SKU.
    listing = str(ListingId(line.product_id, line.variation_id or None)) if line.product_id > 0 else ""
    return LineSeen(
        line=known_id(line.id, "a line's id"),
        listing=listing,
        seller_sku=line.sku or None,
        ordered=held,
        fulfilled=held if sent else 0,
    )


# --- products -----------------------------------------------------------------------------------------------


def listing_of(product: Product, parent: int = 0) -> str:
    """The listing of a product or variation; `parent` where the answer may not say it. Raises `UnreadableError`."""
    known_id(product.id, "the product's id")
    parent = parent or (product.parent_id if product.type == "variation" else 0)
    if product.type == "variation":
        known_id(parent, "the parent of a variation")
    return str(ListingId(parent, product.id) if parent else ListingId(product.id))


def own_level(product: Product) -> int | None:
    """The quantity this product or variation holds itself; None: it holds none, or not in whole units.

    A variation that leaves stock to its parent repeats the parent's number, which would count it twice
    (recording 02). Negative levels are real: the store oversells itself (recordings 10, 17).
    Raises `UnreadableError` for what is no whole number, and where the answer leaves the field out.
    """
    if product.manage_stock is UNSET:
        raise UnreadableError("manage_stock is missing")
    if product.manage_stock is not True or product.stock_quantity is None:
        return None
    if product.stock_quantity is UNSET:
        raise UnreadableError("stock_quantity is missing")
    return whole_units(product.stock_quantity, "stock_quantity", least=-QUANTITY_MAX)


def level_seen(product: Product, *, parent: int = 0, owner_sku: str | None = None) -> LevelSeen:
    """What the product shows; `owner_sku` is its parent's SKU, for a variation that leaves stock to its parent.

    Raises `UnreadableError`.
    """
    return LevelSeen(
        listing=listing_of(product, parent),
        level=own_level(product),
        own=second(product.date_modified_gmt) if product.date_modified_gmt else None,
        seller_sku=owner_sku if product.manage_stock == "parent" else product.sku or None,
        title=product.name,
    )


def holds_no_stock(product: Product) -> bool:
    """A container: parents of variations and groups are sold only if they hold the stock themselves."""
    return product.manage_stock is False and (product.type in ("variable", "grouped") or bool(product.variations))

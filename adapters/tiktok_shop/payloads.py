"""What TikTok's JSON says, read strictly: ids, stamps, quantities, and orders as what their units hold (§3)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Final, NamedTuple

import msgspec

from adapters.strict import UnreadableError
from daemon.domain.channel import LineSeen, OrderSeen
from daemon.domain.instants import SECOND_US, Span
from daemon.domain.observations import QUANTITY_MAX

SENT: Final = frozenset({"IN_TRANSIT", "DELIVERED", "COMPLETED"})
CANCELLED: Final = frozenset({"CANCELLED", "CANCEL"})
"""Webhooks say it the one way, the API the other (§7, trap 1)."""
HELD: Final = frozenset(
    {"UNPAID", "ON_HOLD", "AWAITING_SHIPMENT", "PARTIALLY_SHIPPING", "AWAITING_COLLECTION"}
)  # fmt: skip
PARCEL_LEFT: Final = frozenset({"FULFILLING", "COMPLETED"})
PARCEL_HERE: Final = frozenset({"TO_FULFILL", "PROCESSING"})
"""`package_status`: collected or delivered; to be arranged or to be collected. A parcel that is "CANCELLED" is mostly
lost or damaged, so that alone does not say where it is. (Not in the sheet: from the client library of its §8, which
quotes the vendor's page of the order list.)"""
BY_TIKTOK: Final = "FULFILLMENT_BY_TIKTOK"

_ID: Final = re.compile(r"[0-9]{1,30}")
_LISTING: Final = re.compile(r"([1-9][0-9]{0,29})/([1-9][0-9]{0,29})")
_LAST_S: Final = 253_402_300_799
"""The last second of the year 9999."""


Id = str | int | None
"""Text, but whole numbers above 2^53 in one kind of webhook (§7, trap 8): read exactly, either way."""
Count = Annotated[int, msgspec.Meta(ge=0, le=QUANTITY_MAX)]


# --- single values ------------------------------------------------------------------------------------------


def known_id(value: Id, what: str) -> str:
    """An id as text. Raises `UnreadableError` for what cannot be one."""
    text = value if isinstance(value, str) else "" if value is None or isinstance(value, bool) else str(value)
    if not _ID.fullmatch(text):
        raise UnreadableError(f"{what} is not a possible id")
    return text


def second(stamp: int | None, what: str) -> Span:
    """The whole second that a stamp names: Unix seconds (§2, §3). Raises `UnreadableError`."""
    if stamp is None or not 0 < stamp <= _LAST_S:
        raise UnreadableError(f"{what} is no stamp in Unix seconds")
    return Span(stamp * SECOND_US, stamp * SECOND_US + SECOND_US - 1)


def units(value: object) -> int | None:
    """A level as TikTok shows it; None where it is none: absent, null or no whole number (which is not zero)."""
    if isinstance(value, bool) or not isinstance(value, int) or not -QUANTITY_MAX <= value <= QUANTITY_MAX:
        return None
    return value


class ListingId(NamedTuple):
    """A listing: stock is written by product, to its SKUs (§5)."""

    product: str
    sku: str

    def __str__(self) -> str:
        return f"{self.product}/{self.sku}"


def listing_id(listing: str) -> ListingId | None:
    """The inverse of `str(ListingId)`; None for anything else."""
    found = _LISTING.fullmatch(listing)
    return ListingId(found[1], found[2]) if found else None


def listing_of(product: Id, sku: Id) -> str:
    """The listing of a product's SKU; "" where one of them is not told."""
    text = f"{product}/{sku}"
    return text if _LISTING.fullmatch(text) else ""


# --- orders -------------------------------------------------------------------------------------------------


class Combined(msgspec.Struct):
    """A component of a virtual bundle, with how many of it one bundle holds."""

    sku_id: Id = None
    sku_count: Count | None = None
    product_id: Id = None
    seller_sku: str | None = None


class SubItem(msgspec.Struct):
    """A component of a virtual bundle as a unit of its own."""

    sku_id: Id = None
    product_id: Id = None
    seller_sku: str | None = None
    display_status: str | None = None
    warehouse_id: Id = None


class Unit(msgspec.Struct):
    """A line: always one unit; there is no quantity (§7, trap 2)."""

    id: Id
    sku_id: Id = None
    product_id: Id = None
    seller_sku: str | None = None
    display_status: str | None = None
    package_id: Id = None
    package_status: str | None = None
    tracking_number: str | None = None
    combined_listing_skus: list[Combined] | None = None
    sub_item_info: list[SubItem] | None = None


class Order(msgspec.Struct):
    """Of an order, all that is read: the buyer is not among it."""

    id: Id
    line_items: list[Unit] | None = None
    status: str | None = None
    create_time: int | None = None
    update_time: int | None = None
    collection_time: int | None = None
    delivery_time: int | None = None
    fulfillment_type: str | None = None
    warehouse_id: Id = None


class _Fate(NamedTuple):
    """What became of a unit."""

    cancelled: bool
    sent: bool


def order_seen(order: Order, warehouse: str = "") -> OrderSeen:
    """One version of an order, one line for each unit (and, of a virtual bundle, for each of its components).

    An order that TikTok fulfils holds nothing of ours (§3), nor does one that leaves from another warehouse than
    `warehouse`, where that is given; an order that names none is taken for ours. Returns never restock by themselves
    (§3, rule f): a unit is restocked by a person's adjustment. Units are taken off what may be sold the moment the
    order is placed, paid or not (§3, §7 trap 3).

    Raises `UnreadableError`.
    """
    number = known_id(order.id, "the order's id")
    updated = second(order.update_time, "update_time")
    lines: list[LineSeen] = []
    if order.fulfillment_type != BY_TIKTOK:
        if order.line_items is None:
            raise UnreadableError("line_items is missing")
        for unit in order.line_items:
            lines += _lines(order, unit, warehouse)
    if len({line.line for line in lines}) != len(lines):
        raise UnreadableError("two units have one id")
    placed = second(order.create_time, "create_time") if order.create_time else None
    return OrderSeen(number, updated.lo, updated, tuple(lines), placed, takes_at_placement=True)


def _lines(order: Order, unit: Unit, warehouse: str) -> Iterator[LineSeen]:
    name, fate = known_id(unit.id, "a unit's id"), _fate(order, unit)
    components = _components(unit)
    if not components:
        if _ours(order.warehouse_id, warehouse):
            listing = listing_of(unit.product_id, unit.sku_id)
            yield LineSeen(name, listing, unit.seller_sku or None, 1, int(fate.cancelled), 0, int(fate.sent))
        return
    for sku, (count, subs) in components.items():
        wares = next((sub.warehouse_id for sub in subs if isinstance(sub, SubItem) and sub.warehouse_id), None)
        if not _ours(wares or order.warehouse_id, warehouse):
            continue
        struck = [sub for sub in subs if isinstance(sub, SubItem)]
        gone = sum(sub.display_status in CANCELLED for sub in struck)
        cancelled = count if fate.cancelled or (struck and gone == len(struck)) else min(gone, count)
        if fate.sent:
            cancelled = 0
        yield LineSeen(
            f"{name}/{sku}",
            next((found for sub in subs if (found := listing_of(sub.product_id, sub.sku_id))), ""),
            next((sub.seller_sku for sub in subs if sub.seller_sku), None),
            count, cancelled, 0, count if fate.sent else 0,
        )  # fmt: skip


def _components(unit: Unit) -> dict[str, tuple[int, Sequence[Combined | SubItem]]]:
    """Of a virtual bundle: by SKU, how many units of it one bundle takes (§3, "virtual bundle").

    `sub_item_info` has one element for each unit; should both lists differ, the larger count is taken.
    """
    found: dict[str, tuple[int, list[Combined | SubItem]]] = {}
    for sub in unit.sub_item_info or ():
        sku = known_id(sub.sku_id, "a component's sku_id")
        count, members = found.get(sku, (0, []))
        found[sku] = (count + 1, [*members, sub])
    for each in unit.combined_listing_skus or ():
        sku = known_id(each.sku_id, "a component's sku_id")
        count, members = found.get(sku, (0, []))
        told = 1 if each.sku_count is None else each.sku_count
        found[sku] = (max(count, told), [*members, each])
    return dict(found)


def _ours(told: Id, warehouse: str) -> bool:
    return not warehouse or told in (None, "") or str(told) == warehouse


def _fate(order: Order, unit: Unit) -> _Fate:
    """A unit's own status rules, where it is one that we know; else the order's (§3).

    What shipped is not given back by a cancellation (rule c). Its parcel's status says whether it left; where that
    does not, a unit of a parcel counts as sent in an order that was collected or delivered. That may keep a unit that
    never left, where the other way might sell one twice.
    """
    spoken = unit.display_status
    status = spoken if spoken in SENT or spoken in CANCELLED or spoken in HELD else order.status
    if status in SENT:
        return _Fate(cancelled=False, sent=True)
    if status in CANCELLED or order.status in CANCELLED:
        left = _left(order, unit)
        return _Fate(cancelled=not left, sent=left)
    return _Fate(cancelled=False, sent=False)


def _left(order: Order, unit: Unit) -> bool:
    if unit.package_status in PARCEL_LEFT:
        return True
    collected = bool(order.collection_time or order.delivery_time)
    return unit.package_status not in PARCEL_HERE and collected and bool(unit.package_id or unit.tracking_number)

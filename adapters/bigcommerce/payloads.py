"""What a store's JSON says: an order with its lines, and an inventory item; and the units that each line holds."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from adapters.bigcommerce.values import ListingId, second
from adapters.strict import RowId, UnreadableError, decode, whole_units
from daemon.domain.channel import LevelSeen, LineSeen, OrderSeen

# --- the shapes ---------------------------------------------------------------------------------------------


class Line(msgspec.Struct):
    """An order product (§3). V2 writes its counts as integers, as "1.0000", or not at all."""

    id: RowId
    quantity: Any
    product_id: int | None = None
    variant_id: int | None = None
    sku: str | None = None
    type: str = ""
    quantity_shipped: Any = 0


class Order(msgspec.Struct):
    """An order; its buyer's name and addresses are never decoded. `consignments`: lines inline, or only a link."""

    id: RowId
    status_id: int
    date_modified: str
    date_created: str | None = None
    items_total: Any = None
    consignments: msgspec.Raw = msgspec.Raw(b"null")


class Link(msgspec.Struct):
    """Where something could be read that is not here."""

    resource: str


class Parcel(msgspec.Struct):
    line_items: msgspec.Raw = msgspec.Raw(b"[]")


class Emails(msgspec.Struct):
    gift_certificates: list[Parcel] = []


class Consignments(msgspec.Struct):
    """Every way in which lines leave: shipped, picked up, downloaded, or mailed as gift certificates."""

    shipping: list[Parcel] = []
    pickups: list[Parcel] = []
    downloads: list[Parcel] = []
    email: Emails = msgspec.field(default_factory=Emails)
    resource: str = ""


class Identity(msgspec.Struct):
    """`sku_id` is null, or missing, for the base variant of a product without options."""

    variant_id: RowId
    product_id: RowId
    sku: str | None = None
    sku_id: int | None = None


class Settings(msgspec.Struct):
    safety_stock: int = 0


class Place(msgspec.Struct):
    """An item's stock at one location. `available_to_sell` is what shoppers see of it."""

    location_id: int
    available_to_sell: Any = msgspec.UNSET
    total_inventory_onhand: Any = msgspec.UNSET
    settings: Settings = msgspec.field(default_factory=Settings)


class Item(msgspec.Struct):
    identity: Identity
    locations: list[Place] = []

    def listing(self) -> ListingId:
        return ListingId(self.identity.product_id, self.identity.variant_id)

    def at(self, location: int) -> Place | None:
        return next((place for place in self.locations if place.location_id == location), None)


# --- orders -------------------------------------------------------------------------------------------------

INCOMPLETE, SHIPPED, REFUNDED, CANCELLED, DECLINED, COMPLETED = 0, 2, 4, 5, 6, 10
STATUSES: Final = range(15)
"""Every status there is (§3): any other number is not understood."""

_HOLDING_NOTHING: Final = frozenset({INCOMPLETE, CANCELLED, DECLINED})
_SENT: Final = frozenset({SHIPPED, COMPLETED})


def lines_inline(order: Order) -> list[Line] | None:
    """The order's lines where the answer holds them, None where it only says where they are.

    Without `consignment_structure=object` the object comes in a list. Raises `UnreadableError`.
    """
    raw = bytes(order.consignments).lstrip()
    if raw.startswith(b"["):
        groups = decode(raw, list[Consignments])
    elif raw.startswith(b"{"):
        groups = [decode(raw, Consignments)]
    else:
        return None
    if not groups or any(group.resource for group in groups):
        return None
    lines: list[Line] = []
    for group in groups:
        for parcel in (*group.shipping, *group.pickups, *group.downloads, *group.email.gift_certificates):
            found = _parcel_lines(parcel)
            if found is None:
                return None
            lines += found
    return lines


def _parcel_lines(parcel: Parcel) -> list[Line] | None:
    raw = bytes(parcel.line_items).lstrip()
    rows = decode(raw, list[msgspec.Raw]) if raw.startswith(b"[") else [msgspec.Raw(raw)]
    lines: list[Line] = []
    for row in rows:
        if b'"resource"' in bytes(row) and _is_link(row):
            return None
        lines.append(decode(row, Line))
    return lines


def _is_link(row: msgspec.Raw) -> bool:
    try:
        decode(row, Link)
    except UnreadableError:
        return False
    return True


def order_seen(order: Order, lines: list[Line], *, refunds_restock: bool) -> OrderSeen:
    """One version of an order (§3, "Held units per line").

    `ordered` is what each line holds, as the newest version says it: an order may leave "cancelled" again, which
    units that only grow could not follow. Its quantity, unless its status is Incomplete, Cancelled or Declined;
    nothing once the whole order is Refunded and the store puts such units back (`refunds_restock`). A partial refund
    gives nothing back: there is no restock flag, and who restocks by hand changes the stock, not the order. An
    archived order (`is_deleted`) still holds what it took. A line that is missing was removed by an edit, and holds
    nothing.

    Raises `UnreadableError`.
    """
    if order.status_id not in STATUSES:
        raise UnreadableError(f"status {order.status_id} is none that we know")
    if len({line.id for line in lines}) != len(lines):
        raise UnreadableError("two lines have one id")
    if not lines and order.items_total is not None and whole_units(order.items_total, "items_total"):
        raise UnreadableError("its lines are missing")
    updated = second(order.date_modified)
    released = order.status_id in _HOLDING_NOTHING or (order.status_id == REFUNDED and refunds_restock)
    return OrderSeen(
        order=str(order.id),
        version=updated.lo,
        updated=updated,
        lines=tuple(
            _line_seen(line, released=released, sent=order.status_id in _SENT)
            for line in lines
            if line.type != "giftcertificate"
        ),
        placed=second(order.date_created) if order.date_created else None,
    )


def _line_seen(line: Line, *, released: bool, sent: bool) -> LineSeen:
    """One line, against the one location that is ours: an order does not say from where it is sent (§3, "location").

    Orders that were set to Shipped or Completed by hand may count no unit as shipped, and are all the same.
    """
    quantity = whole_units(line.quantity, f"the quantity of line {line.id}")
    shipped = whole_units(line.quantity_shipped or 0, f"what is shipped of line {line.id}")
    held = 0 if released else quantity
    # A product typed in by hand, or deleted since, has no numbers.
    known = bool(line.product_id and line.variant_id and line.product_id > 0 and line.variant_id > 0)
    return LineSeen(
        line=str(line.id),
        listing=str(ListingId(line.product_id or 0, line.variant_id or 0)) if known else "",
        seller_sku=line.sku or None,
        ordered=held,
        fulfilled=held if sent else min(shipped, held),
    )


# --- stock --------------------------------------------------------------------------------------------------


def level_seen(item: Item, location: int) -> LevelSeen:
    """What shoppers can buy of an item at our location; unknown where it has no stock there, or no number we trust.

    Stock bears no stamp at all (§4, "Event identity"): it is as of the moment of the read.
    """
    place = item.at(location)
    level: int | None = None
    if place is not None and place.available_to_sell is not msgspec.UNSET:
        try:
            level = whole_units(place.available_to_sell, "available_to_sell")
        except UnreadableError:
            level = None
    return LevelSeen(str(item.listing()), level, None, item.identity.sku or None)

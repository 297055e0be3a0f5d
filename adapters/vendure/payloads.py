"""What a shop says of orders, variants and stock; read strictly."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final

import msgspec

from adapters.stamps import rfc3339_span
from adapters.strict import UnreadableError
from daemon.domain.channel import LevelSeen, LineSeen, OrderSeen
from daemon.domain.instants import SECOND_US, Span
from daemon.domain.observations import QUANTITY_MAX

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+\Z")]
"""A number, a UUID, or what else the server's id strategy makes."""
Text = Annotated[str, msgspec.Meta(max_length=255)]
Units = Annotated[int, msgspec.Meta(ge=0, le=QUANTITY_MAX)]
Change = Annotated[int, msgspec.Meta(ge=-QUANTITY_MAX, le=QUANTITY_MAX)]
Stock = Annotated[int, msgspec.Meta(ge=-QUANTITY_MAX, le=QUANTITY_MAX)]
"""On hand or allocated; a merchant may write what is below zero."""
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


def stamp(text: str, what: str) -> Span:
    """The interval that a stamp names. SQLite's own stamps are whole seconds, written with three zeros like any other
    (self_hosted.md, finding 4): what ends in them may be any moment of that second. Raises `UnreadableError`."""
    span = rfc3339_span(text)
    if span is None:
        raise UnreadableError(f"{what} is no stamp with a zone")
    return span if span.lo % SECOND_US else Span(span.lo, span.lo + SECOND_US - 1)


# --- orders -------------------------------------------------------------------------------------------------

SELLERS_PART: Final = "Seller"


class Variant(msgspec.Struct):
    id: Id
    sku: Text | None = None


class Line(msgspec.Struct):
    id: Id
    quantity: Units
    orderPlacedQuantity: Units  # noqa: N815  # Vendure's names, here and below
    productVariant: Variant  # noqa: N815


class Handed(msgspec.Struct):
    orderLineId: Id  # noqa: N815
    quantity: Units


class Changed(msgspec.Struct):
    orderLineId: Id  # noqa: N815
    quantity: Change


class Fulfillment(msgspec.Struct):
    state: str
    lines: list[Handed]


class Modification(msgspec.Struct):
    lines: list[Changed]


class Entry(msgspec.Struct):
    createdAt: Text  # noqa: N815


class History(msgspec.Struct):
    """How many entries there are, and the newest of them."""

    totalItems: Count  # noqa: N815
    items: list[Entry]


class Order(msgspec.Struct):
    id: Id
    type: str
    orderPlacedAt: Text | None  # noqa: N815
    lines: list[Line]
    history: History
    fulfillments: list[Fulfillment] | None = None
    modifications: list[Modification] = []


LOOK_AGAIN_S: Final = 3_600.0
LOOK_AGAIN_PART: Final = 8
"""An order of which not everything is handed over is looked at again in an hour, later in an eighth of its age."""


def order_seen(order: Order, now_us: int) -> OrderSeen:
    """One version of an order, as it was at `now_us`.

    Its version is the length of its history without notes, which alone can be taken out again: whatever moves units
    writes an entry. `updatedAt` is none: the server writes the one that it had read back over it, so that being
    placed, sent, or cancelled without a change of price leaves it as it was (measured at 3.7.3).

    Units are taken when an order is placed: with the payment authorized or settled, which allocates them (the
    default strategies of allocation and of placement, which go together). A cart holds nothing. A part of an order
    that was split for its sellers holds nothing either: the order it was split from does.

    That something was handed over, no list shows: what a lost hint told of that is found by looking at open orders
    again, ever more rarely.

    Raises `UnreadableError`.
    """
    updated = stamp(order.history.items[0].createdAt, "createdAt") if order.history.items else None
    placed = stamp(order.orderPlacedAt, "orderPlacedAt") if order.orderPlacedAt else None
    if len({line.id for line in order.lines}) != len(order.lines):
        raise UnreadableError("two lines have one id")
    if updated is None and placed is None:
        raise UnreadableError("it says neither when it was placed nor when it changed")
    lines = [_line_seen(line, order) for line in order.lines] if placed and order.type != SELLERS_PART else []
    return OrderSeen(
        order=order.id,
        version=order.history.totalItems,
        updated=updated or placed or Span(0, 0),
        lines=tuple(lines),
        placed=placed,
        takes_at_placement=True,
        look_again_s=_look_again_s(lines, placed, now_us),
    )


def _look_again_s(lines: Iterable[LineSeen], placed: Span | None, now_us: int) -> float:
    """0 where there is nothing left to hand over."""
    if placed is None or all(line.fulfilled >= line.ordered - line.cancelled for line in lines):
        return 0.0
    return max(LOOK_AGAIN_S, (now_us - placed.lo) / LOOK_AGAIN_PART / SECOND_US)


def _line_seen(line: Line, order: Order) -> LineSeen:
    """One line. `quantity` is what is left of it: what was cancelled is missing there, and is back in stock, handed
    over or not. All that was ever ordered is what was placed and what modifications added since: those of them that
    lowered it count as cancelled, so that both numbers only grow. A refund moves no stock. Handed over is what
    fulfilments hold, whether they are on their way or not: the shelf is lower from the moment they are made."""
    added = sum(each.quantity for each in _of(line, order.modifications) if each.quantity > 0)
    ordered = max(line.quantity, min(line.orderPlacedQuantity + added, QUANTITY_MAX))
    active = [each for each in order.fulfillments or [] if each.state != "Cancelled"]
    handed = sum(each.quantity for some in active for each in some.lines if each.orderLineId == line.id)
    return LineSeen(
        line=line.id,
        listing=line.productVariant.id,
        seller_sku=line.productVariant.sku or None,
        ordered=ordered,
        cancelled=ordered - line.quantity,
        fulfilled=min(handed, line.quantity),
    )


def _of(line: Line, modifications: Iterable[Modification]) -> list[Changed]:
    return [each for some in modifications for each in some.lines if each.orderLineId == line.id]


# --- stock --------------------------------------------------------------------------------------------------


class StockLevel(msgspec.Struct):
    stockLocationId: Id  # noqa: N815
    stockOnHand: Stock  # noqa: N815
    stockAllocated: Stock  # noqa: N815

    def free(self) -> int:
        """What can be sold: on hand, less what open orders hold."""
        return self.stockOnHand - self.stockAllocated


class Stocked(msgspec.Struct):
    """A variant with its stock at every location."""

    id: Id
    stockLevels: list[StockLevel]  # noqa: N815
    trackInventory: str = "TRUE"  # noqa: N815
    sku: Text | None = None
    name: str = ""

    def at(self, location: str) -> StockLevel | None:
        return next((each for each in self.stockLevels if each.stockLocationId == location), None)

    def tracked(self, *, usually: bool) -> bool:
        """Does the shop keep count of it? `usually`: what it does where a variant does not say."""
        return self.trackInventory == "TRUE" or (self.trackInventory == "INHERIT" and usually)


def level_seen(variant: Stocked, location: str, *, tracks: bool) -> LevelSeen:
    """A variant's level: what it has on hand at our location, less what is allocated. Unknown where the shop does not
    count it, or it has no stock there.

    The shop's own threshold is not in it: what it keeps back, or sells beyond its stock, is its owner's wish.
    """
    place = variant.at(location) if variant.tracked(usually=tracks) else None
    return LevelSeen(variant.id, place.free() if place else None, None, variant.sku or None, title=variant.name[:255])

"""What a shop says of orders, lines, refunds and levels, whichever way it came; read strictly (shopify.md §3)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Final

import msgspec
from attrs import frozen

from adapters.stamps import rfc3339_span
from adapters.strict import UnreadableError
from daemon.domain.channel import LevelSeen, LineSeen, OrderSeen
from daemon.domain.instants import Span
from daemon.domain.observations import QUANTITY_MAX

Id = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
"""More than 2^53 is possible: an integer, never a float (§3, "Ids")."""
Units = Annotated[int, msgspec.Meta(ge=0, le=QUANTITY_MAX)]
Level = Annotated[int, msgspec.Meta(ge=-QUANTITY_MAX, le=QUANTITY_MAX)]
"""Available units; negative where the shop oversold itself."""
Text = Annotated[str, msgspec.Meta(max_length=255)]

CANCELLED: Final = frozenset({"cancel"})
RETURNED: Final = frozenset({"return", "legacy_restock"})
KEPT_AWAY: Final = frozenset({"no_restock"})

_GID = re.compile(r"gid://shopify/([A-Za-z]{1,40})/([1-9][0-9]{0,18})(?:\?.{0,200})?")
_LISTING = re.compile(r"[1-9][0-9]{0,18}")
_ALIAS = re.compile(r"variant/([1-9][0-9]{0,18})")


def stamp(text: str | None, what: str) -> Span:
    """The interval that a stamp names: a whole second, in the shop's zone or in UTC. Raises `UnreadableError`."""
    span = rfc3339_span(text) if text else None
    if span is None:
        raise UnreadableError(f"{what} is no stamp with a zone")
    return span


# --- ids ----------------------------------------------------------------------------------------------------


def gid(kind: str, number: str) -> str:
    """`gid://shopify/KIND/NUMBER`."""
    return f"gid://shopify/{kind}/{number}"


def number_of(text: str, kind: str) -> str:
    """The number in a gid of that kind. Raises `UnreadableError`."""
    found = _GID.fullmatch(text)
    if found is None or found[1] != kind:
        raise UnreadableError(f"an id is no {kind}")
    return found[2]


def is_listing(listing: str) -> bool:
    """A listing that can be written is an inventory item, named by its number."""
    return _LISTING.fullmatch(listing) is not None


def alias(variant: str) -> str:
    """How an order names a variant: webhooks know no inventory item (§3). It has no level of its own; the catalogue
    links it to the SKU of its item."""
    return f"variant/{variant}"


def is_alias(listing: str) -> bool:
    return _ALIAS.fullmatch(listing) is not None


# --- orders -------------------------------------------------------------------------------------------------


@frozen
class Line:
    """A line of an order. `variant` "" for custom lines, and for variants that were deleted."""

    id: str
    variant: str
    sku: str
    quantity: int
    """Ordered; refunded and removed units are still in it."""
    unfulfilled: int
    """Still to be fulfilled."""


@frozen
class Row:
    """One line of a refund: so many units of a line, and what became of them."""

    line: str
    quantity: int
    restock: str


def order_seen(order: str, created: Span, updated: Span, lines: Iterable[Line], rows: Sequence[Row]) -> OrderSeen:
    """One version of an order; the same whether a webhook or a poll told it.

    Units that went back to stock are those of refund rows `cancel`, `return` and `legacy_restock`. `no_restock`
    lowers what the order shows, yet nothing returns to the shelf, so it is still taken; and so is what an edit
    removed, or a cancellation left, before a refund row gives it back (§3, "Units an order line holds"). Payment
    moves nothing: an unpaid order has taken its units, and so has a test order (both from memory there; the lower
    number is the safer one).
    No version counter exists: the order's own stamp, one second wide, is its version (§2).

    Raises `UnreadableError`.
    """
    for row in rows:
        if row.restock not in CANCELLED | RETURNED | KEPT_AWAY:
            raise UnreadableError(f"a refund of order {order} has a restock type that we do not know")
    seen = tuple(_line_seen(line, [row for row in rows if row.line == line.id]) for line in lines if _is_stock(line))
    if len({line.line for line in seen}) != len(seen):
        raise UnreadableError(f"order {order} holds a line twice")
    return OrderSeen(order, updated.lo, updated, seen, created, takes_at_placement=True)


def _is_stock(line: Line) -> bool:
    """A custom line or a tip has neither variant nor SKU; a deleted variant leaves its SKU behind (§7)."""
    return bool(line.variant or line.sku)


def _line_seen(line: Line, rows: Sequence[Row]) -> LineSeen:
    cancelled = sum(row.quantity for row in rows if row.restock in CANCELLED)
    restocked = sum(row.quantity for row in rows if row.restock in RETURNED)
    return LineSeen(
        line=line.id,
        listing=alias(line.variant) if line.variant else "",
        seller_sku=line.sku or None,
        ordered=line.quantity,
        cancelled=min(cancelled, QUANTITY_MAX),
        restocked=min(restocked, QUANTITY_MAX),
        # What is taken and does not wait has left the shelf, shipped or thrown away; what was shipped and came back
        # lies there again. So what is held is what waits, however many parcels went and returned.
        fulfilled=max(0, line.quantity - line.unfulfilled - cancelled - restocked),
    )


# --- levels -------------------------------------------------------------------------------------------------


def unmanaged(listing: str, sku: str | None = None, title: str = "") -> LevelSeen:
    """A listing that shows no number of its own: unknown, never zero."""
    return LevelSeen(listing, None, None, sku or None, title=title)

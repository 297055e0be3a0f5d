"""The sandbox storefront's JSON, typed: what it holds beyond these fields (buyers, for one) never gets past here."""

from __future__ import annotations

from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from adapters.stamps import rfc3339_span
from daemon.domain.channel import LevelSeen, LineSeen, OrderSeen
from daemon.domain.instants import Span
from daemon.domain.observations import QUANTITY_MAX

Units = Annotated[int, Meta(ge=0, le=QUANTITY_MAX)]
Version = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
Word = Annotated[str, Meta(max_length=64)]
T = TypeVar("T")


class WireLine(Struct, frozen=True):
    """A line of an order. `listing` is an extension that another server may lack."""

    id: Name
    ordered: Units
    sku: Name | None = None
    listing: Annotated[str, Meta(max_length=200)] = ""
    cancelled: Units = 0
    restocked: Units = 0
    fulfilled: Units = 0


class WireOrder(Struct, frozen=True):
    """An order as the feed and the webhooks show it."""

    id: Name
    version: Version
    updated_at: Word
    lines: Annotated[list[WireLine], Meta(max_length=1000)]
    created_at: Word | None = None


class WireLevel(Struct, frozen=True):
    """A listing's level. `quantity` null: not managed; absent: not said. `as_of` comes in webhooks."""

    listing: Name
    sku: Name | None = None
    quantity: Units | UnsetType | None = UNSET
    version: Version = 0
    as_of: Word | None = None


class WireSubscription(Struct, frozen=True):
    """A webhook subscription. A state that we do not know is as good as off."""

    id: Name
    topic: Word
    url: Annotated[str, Meta(max_length=2000)]
    state: Word = "active"


class Message(Struct, frozen=True, omit_defaults=True):
    """A webhook's body."""

    topic: Word = ""
    order: WireOrder | None = None
    listing: WireLevel | None = None


class Page(Struct, frozen=True):
    """A list in its envelope. Each item is read by itself, so that a bad one spoils only itself."""

    items: list[Raw]
    next: str | int | None = None
    as_of: Word | None = None


class Envelope(Struct, frozen=True):
    """The envelopes that a storefront may put around a list."""

    items: list[Raw] | None = None
    orders: list[Raw] | None = None
    results: list[Raw] | None = None
    next: str | int | None = None
    as_of: Word | None = None


class PushResult(Struct, frozen=True):
    """What became of one pushed item. All but `result` are extensions that another server may lack."""

    result: Word
    listing: str | None = None
    quantity: Units | None = None
    reason: str = ""


class NamedListing(Struct, frozen=True):
    """As much of a listing as is needed to say that its quantity could not be read."""

    listing: Name


class NamedOrder(Struct, frozen=True):
    """As much of an order as is needed to say that it could not be read."""

    id: Name


class ErrorDetail(Struct, frozen=True):
    code: str = ""
    message: str = ""


class ErrorBody(Struct, frozen=True):
    """An error answer. `applied` false (an extension): the request surely changed nothing."""

    error: ErrorDetail
    applied: bool | None = None


class Unreadable(Struct, frozen=True):
    """Why something could not be read, without quoting it."""

    reason: str


def read(content: bytes | Raw, shape: type[T]) -> T | Unreadable:
    """Decode JSON as `shape`, strictly; never raises."""
    try:
        return msgspec.json.decode(content, type=shape)
    except msgspec.ValidationError as error:
        return Unreadable(str(error))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Unreadable("it is not JSON")
    except RecursionError:
        return Unreadable("it is nested too deeply")


ITEMS_MAX: Final = 10_000
"""Items of one page: what is read of it is held in memory and applied as one."""


def read_list(content: bytes) -> Page | Unreadable:
    """A list in one of its envelopes, or bare; of a bounded length."""
    page = _read_list(content)
    if isinstance(page, Page) and len(page.items) > ITEMS_MAX:
        return Unreadable(f"one page holds {len(page.items)} items; at most {ITEMS_MAX} are taken")
    return page


def _read_list(content: bytes) -> Page | Unreadable:
    found = read(content, Envelope | list[Raw])  # type: ignore[arg-type]  # a union is a shape, too
    if isinstance(found, list):
        return Page(found)
    if isinstance(found, Envelope):
        for items in (found.items, found.orders, found.results):
            if items is not None:
                return Page(items, found.next, found.as_of)
        return Unreadable("it holds no list of items")
    return found


def order_seen(order: WireOrder) -> OrderSeen | Unreadable:
    """The order in the domain's terms, or why it makes no sense."""
    updated = rfc3339_span(order.updated_at)
    placed = None if order.created_at is None else rfc3339_span(order.created_at)
    if updated is None or (placed is None and order.created_at is not None):
        return Unreadable("updated_at or created_at is no stamp with a zone")
    if len({line.id for line in order.lines}) != len(order.lines):
        return Unreadable("two lines have the same id")
    if any(line.sku is None and not line.listing for line in order.lines):
        return Unreadable("a line names neither a sku nor a listing")
    lines = tuple(
        LineSeen(line.id, line.listing, line.sku, line.ordered, line.cancelled, line.restocked, line.fulfilled)
        for line in order.lines
    )
    return OrderSeen(order.id, order.version, updated, lines, placed, takes_at_placement=True)


def level_seen(level: WireLevel, page_as_of: Span | None) -> LevelSeen | Unreadable:
    """The level in the domain's terms, as of its own stamp or that of its page; or why it makes no sense."""
    if isinstance(level.quantity, UnsetType):
        return Unreadable("the listing's quantity is missing")
    own = page_as_of if level.as_of is None else rfc3339_span(level.as_of)
    if own is None and level.as_of is not None:
        return Unreadable("as_of is no stamp with a zone")
    return LevelSeen(level.listing, level.quantity, own, level.sku, level.version)


# --- what is kept of a body that was not understood ---------------------------------------------------------

_TEXT_MAX: Final = 200
_KNOWN: Final[dict[str, object]] = {
    "topic": None,
    "order": {
        "id": None, "version": None, "updated_at": None, "created_at": None,
        "lines": [dict.fromkeys(("id", "sku", "listing", "ordered", "cancelled", "restocked", "fulfilled"))],
    },
    "listing": dict.fromkeys(("listing", "sku", "quantity", "version", "as_of")),
}  # fmt: skip


def known_parts(body: bytes, topic: str) -> bytes:
    """The body cut down to the fields we know, with `topic` where it has none; b"" where it is no JSON at all.

    It fails to be understood for the same reason as the body did.
    """
    value = read(body, object)
    if isinstance(value, Unreadable):
        return b""
    cut = _cut(value, _KNOWN)
    if isinstance(cut, dict) and topic and not cut.get("topic"):
        cut["topic"] = topic
    return msgspec.json.encode(cut)


def _cut(value: object, shape: object) -> object:
    """Keep what has a place in `shape`. What stands where something else belongs keeps its type, not its content."""
    match value, shape:
        case dict(), dict():
            return {key: _cut(part, shape[key]) for key, part in value.items() if key in shape}
        case list(), list():
            return [_cut(part, shape[0]) for part in value]
        case ((dict() | list()), _):
            return type(value)()
        case str(), None:
            return value if len(value) <= _TEXT_MAX else value[:_TEXT_MAX] + "…"
        case str(), _:
            return ""
        case bool(), _:
            return value
        case int(), _:
            return max(-1, min(value, 2**63))  # as wrong as before, and no longer than the encoder can write
        case _:
            return value

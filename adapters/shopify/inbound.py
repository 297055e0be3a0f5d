"""Webhooks: how a shop signs them, and what each topic tells (shopify.md §2, §3)."""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec
from attrs import frozen
from msgspec import UNSET, UnsetType

from adapters.kept import KeptBody, keep, reopened
from adapters.shopify.payloads import Id, Level, Line, Row, Text, Units, order_seen, stamp, unmanaged
from adapters.strict import UnreadableError, decode
from daemon.domain.channel import Delivery, Facts, LevelSeen, OrderSeen
from daemon.domain.signatures import SignatureScheme
from daemon.domain.strict_json import objection

SCHEME: Final = SignatureScheme("x-shopify-hmac-sha256")
"""Over the raw body, with the app's client secret. No header is signed and there is no stamp: a replay verifies."""

ORDER_TOPICS: Final = ("orders/create", "orders/updated", "orders/cancelled")
REREAD_TOPICS: Final = ("orders/edited", "refunds/create")
LEVEL_TOPICS: Final = ("inventory_levels/update", "inventory_levels/connect", "inventory_levels/disconnect")
TOPICS: Final = (*ORDER_TOPICS, *REREAD_TOPICS, *LEVEL_TOPICS)
"""What must be subscribed. Products are not: their numbers are sums over locations, and `products/update` comes with
every order (§2); the catalogue is read instead."""

_SILENT: Final = ("orders/delete", "products/", "inventory_items/", "locations/", "bulk_operations/", "app/")
"""Understood, and without news for the stock: a deleted order moves none as far as anybody knows (§3)."""

_TOPIC_MAX: Final = 100
_KEPT_AS: Final = "shopify/1"
_PREFIXES: Final = ("x-shopify-", "shopify-")
"""The successor of these webhooks names its headers without "x-" (§2)."""


class HookLine(msgspec.Struct):
    id: Id
    quantity: Units
    fulfillable_quantity: Units
    variant_id: Id | None = None
    sku: Text | None = None
    gift_card: bool = False


class HookRow(msgspec.Struct):
    line_item_id: Id
    quantity: Units
    restock_type: Text


class HookRefund(msgspec.Struct):
    id: Id
    refund_line_items: list[HookRow]


class HookOrder(msgspec.Struct):
    """Without `refunds` nobody could tell what went back: such a body is not understood, and the order is read."""

    id: Id
    created_at: Text
    updated_at: Text
    line_items: list[HookLine]
    refunds: list[HookRefund]


class HookLevel(msgspec.Struct):
    inventory_item_id: Id
    location_id: Id
    available: Level | UnsetType | None = UNSET
    updated_at: Text | None = None


class Edit(msgspec.Struct):
    order_id: Id


class HookEdit(msgspec.Struct):
    order_edit: Edit


class Named(msgspec.Struct):
    """As much of a body as names its order; `unread` is how we keep it."""

    id: Any = None
    unread: Any = None


@frozen
class _Message:
    """A delivery, live or kept; `puzzle` is why it was not understood when it came."""

    topic: str
    identity: str
    body: bytes
    puzzle: str = ""

    def kept(self, body: object, identity: str, puzzle: str = "") -> bytes:
        return keep(_KEPT_AS, self.topic, identity, body, puzzle)

    def tells(self, body: object, seen: OrderSeen | LevelSeen | None = None, *, identity: str | None = None) -> Facts:
        orders = (seen,) if isinstance(seen, OrderSeen) else ()
        levels = (seen,) if isinstance(seen, LevelSeen) else ()
        name = self.identity if identity is None else identity
        return Facts(self.topic, name, self.kept(body, name), orders, levels)

    def reread(self, body: object, order: int) -> Facts:
        return Facts(self.topic, self.identity, self.kept(body, self.identity), refetch=(str(order),))

    def puzzling(self, body: object, why: str) -> Facts:
        puzzle = self.puzzle or why
        return Facts(self.topic, self.identity, self.kept(body, self.identity, puzzle), puzzle=puzzle)


def parse(delivery: Delivery, domain: str, location: str) -> Facts:
    """Read a verified delivery, or a `kept` body (whose headers may be lost). Never raises.

    identity: a digest of what the topic is about and of the body, so that the two topics that report one change meet,
    and a retry (it carries the original body) meets its first try. Whether a retry keeps its Webhook-Id is unsure,
    and no header is signed, so no header is believed here (§2). Empty where a body has no stamp: the next one looks
    the same and is news.
    An order that cannot be read, but for its id, is fetched: a body may follow another version than ours (§2).
    """
    message = _opened(delivery, domain)
    if message.puzzle == _FOREIGN:
        return message.puzzling({}, _FOREIGN)
    if message.topic not in TOPICS:
        if message.topic.startswith(_SILENT):
            return message.tells({})
        return message.puzzling({}, f"topic {message.topic!r} is not one of ours")
    if why := objection(message.body):
        return message.puzzling({}, why)
    try:
        if message.topic in ORDER_TOPICS:
            return _order(message)
        if message.topic == "orders/edited":
            edit = decode(message.body, HookEdit)
            return message.reread(edit, edit.order_edit.order_id)
        if message.topic == "refunds/create":
            refund = decode(message.body, Edit)
            return message.reread(refund, refund.order_id)
        return _level(message, location)
    except UnreadableError as exc:
        number = _number(message)
        if message.topic in ORDER_TOPICS and number is not None and 0 < number < 2**63:
            return message.reread({"id": number}, number)
        return message.puzzling({} if number is None else {"unread": number}, str(exc))


def _order(message: _Message) -> Facts:
    order = decode(message.body, HookOrder)
    lines = [
        Line(str(line.id), str(line.variant_id or ""), line.sku or "", line.quantity, line.fulfillable_quantity)
        for line in order.line_items
        if not line.gift_card
    ]
    rows = [
        Row(str(row.line_item_id), row.quantity, row.restock_type)
        for refund in order.refunds
        for row in refund.refund_line_items
    ]
    created, updated = stamp(order.created_at, "created_at"), stamp(order.updated_at, "updated_at")
    return message.tells(order, order_seen(str(order.id), created, updated, lines, rows))


def _level(message: _Message, location: str) -> Facts:
    """A level at our location; other locations are none of ours, and without a configured one nobody can tell here
    which it is: then levels are read only. `available` null: the item is not tracked (§3).

    The body is read when it is put together, so that two quick changes may both show the last number (§2): it is
    evidence of a level, and nothing can be added up from it.
    """
    level = decode(message.body, HookLevel)
    if str(level.location_id) != location:
        return message.tells(level)
    listing = str(level.inventory_item_id)
    if message.topic == "inventory_levels/disconnect":
        # No longer stocked here: it shows nothing, which is not zero.
        return message.tells(level, unmanaged(listing), identity="")
    if level.available is UNSET:
        raise UnreadableError("available is missing")
    own = stamp(level.updated_at, "updated_at") if level.updated_at else None
    return message.tells(level, LevelSeen(listing, level.available, own), identity=None if own else "")


# --- what is kept -------------------------------------------------------------------------------------------

_FOREIGN: Final = "it is for another shop; give each shop's webhooks their own channel's address"


def _opened(delivery: Delivery, domain: str) -> _Message:
    if (kept := reopened(delivery.body, KeptBody, _KEPT_AS)) is not None:
        return _Message(kept.topic, kept.identity, bytes(kept.body), kept.puzzle)
    spoken = _header(delivery, "topic")
    topic = "".join(letter if letter.isprintable() else "?" for letter in spoken)[:_TOPIC_MAX]
    about = topic.partition("/")[0].encode()
    identity = hashlib.sha256(about + b"\0" + delivery.body).hexdigest()
    # Shops of one app share its secret: this header alone tells a misdirected one. It is unsigned, so it can only
    # make us refuse.
    shop = _header(delivery, "shop-domain").lower()
    return _Message(topic, identity, delivery.body, _FOREIGN if shop and shop != domain else "")


def _header(delivery: Delivery, name: str) -> str:
    return next((delivery.headers[each + name] for each in _PREFIXES if each + name in delivery.headers), "")


def _number(message: _Message) -> int | None:
    """Of a body that could not be read, all that may be kept: its id, if that much can be read."""
    try:
        named = decode(message.body, Named)
    except UnreadableError:
        return None
    found = named.id if named.unread is None else named.unread
    return found if isinstance(found, int) and not isinstance(found, bool) else None

"""Notifications: how they are proved, and what they tell. They are hints: what they name is read (walmart.md §2)."""

from __future__ import annotations

from typing import Any

import msgspec
from attrs import frozen

from adapters.kept import Kept, reopened
from adapters.strict import UnreadableError, decode
from adapters.walmart.orders import is_order_id
from adapters.walmart.payloads import name_of
from daemon.domain.channel import Delivery, Facts
from daemon.domain.signatures import SharedSecret, SignatureScheme
from daemon.domain.strict_json import objection

ORDER_UPDATES = "ORDER_UPDATES"
ORDER_EVENTS = frozenset({ORDER_UPDATES, "PO_CREATED", "PO_LINE_AUTOCANCELLED", "INTENT_TO_CANCEL"})
"""Since 11 February 2026 one event; the three old ones end on 15 December 2026 (walmart.md §2.1)."""
OUT_OF_STOCK = "INVENTORY_OOS"
IDLE_EVENTS = frozenset(
    {"RETURN_NOTIFICATIONS", "OFFER_UNPUBLISHED", "OFFER_PUBLISHED", "BUY_BOX_CHANGED", "REPORT_STATUS"}
)
HEADER = "x-onhand-signature"

_KEPT_AS = "walmart/1"
_TOPIC_MAX = 64
_PUZZLE_MAX = 300


def scheme_of(way: str, header: str) -> SignatureScheme | SharedSecret:
    """HMAC over the raw body, of which nobody says whether it is base64 or hex; or a user and password, of which
    nobody says whether the word Basic stands before them. Neither covers a time: a replay verifies, and makes us read
    an order once more (walmart.md §2.2)."""
    if way == "basic":
        return SharedSecret(header or "authorization", form="basic")
    return SignatureScheme(header=header or HEADER, encoding="either")


class _Source(msgspec.Struct):
    eventType: Any = None  # noqa: N815  # Walmart's own names, here and below
    eventId: Any = None  # noqa: N815


class _Order(msgspec.Struct):
    purchaseOrderId: Any = None  # noqa: N815


class _Payload(msgspec.Struct):
    purchaseOrderId: Any = None  # noqa: N815
    order: _Order | None = None


class _Envelope(msgspec.Struct):
    source: _Source
    payload: _Payload | None = None


class _Kept(Kept):
    """What may be stored of a delivery: nothing of the buyer's ever is in it."""

    topic: str
    identity: str = ""
    order: str = ""
    puzzle: str = ""


@frozen
class _Message:
    topic: str
    identity: str

    def facts(self, *, order: str = "", look: bool = False, puzzle: str = "") -> Facts:
        kept = msgspec.json.encode(_Kept(_KEPT_AS, self.topic, self.identity, order, puzzle))
        refetch = (order,) if order else ()
        return Facts(self.topic, self.identity, kept, refetch=refetch, look=look, puzzle=puzzle)


def parse(delivery: Delivery) -> Facts:
    """Read a verified delivery, or a `kept` body. Never raises.

    An order event names an order, which is then fetched: its fields differ from those of the order itself, a partial
    one must not pass for the whole, and there is no event for what is sent, cancelled by the seller or refunded
    (walmart.md §2.1, §2.3). INVENTORY_OOS may be the echo of our own zero: it only makes us look at the orders.
    """
    if why := objection(delivery.body):
        return _Message("", "").facts(puzzle=why)
    if (kept := reopened(delivery.body, _Kept, _KEPT_AS)) is not None:
        return _again(kept)
    try:
        envelope = decode(delivery.body, _Envelope)
    except UnreadableError as exc:
        return _Message("", "").facts(puzzle=str(exc))
    topic = _topic(envelope.source.eventType)
    message = _Message(topic, _identity(envelope.source.eventId))
    if topic not in ORDER_EVENTS:
        known = topic == OUT_OF_STOCK or topic in IDLE_EVENTS
        return message.facts(
            look=topic == OUT_OF_STOCK, puzzle="" if known else f"event type {topic!r} is not one of ours"
        )
    order = _order_of(envelope.payload)
    return message.facts(order=order, puzzle="" if order else "an order event without a purchase order's id")


def _again(kept: _Kept) -> Facts:
    message = _Message(_topic(kept.topic), _identity(kept.identity))
    if kept.puzzle:
        return message.facts(puzzle=kept.puzzle[:_PUZZLE_MAX])
    order = kept.order if message.topic in ORDER_EVENTS and is_order_id(kept.order) else ""
    return message.facts(order=order, look=message.topic == OUT_OF_STOCK)


def _topic(spoken: object) -> str:
    text = spoken if isinstance(spoken, str) else ""
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:_TOPIC_MAX]


def _identity(spoken: object) -> str:
    """The event's id is the same for each of its deliveries (walmart.md §2.3); "" where it is none."""
    try:
        return name_of(spoken, "eventId")
    except UnreadableError:
        return ""


def _order_of(payload: _Payload | None) -> str:
    """The old events name the order in the payload, the new one within `order` (walmart.md §2.3)."""
    if payload is None:
        return ""
    for spoken in (payload.order.purchaseOrderId if payload.order else None, payload.purchaseOrderId):
        text = str(spoken) if isinstance(spoken, int) and not isinstance(spoken, bool) else spoken
        if isinstance(text, str) and is_order_id(text):
            return text
    return ""

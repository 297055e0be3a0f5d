"""Webhooks: how a store signs them, its ping, and what each topic tells (woocommerce.md §2)."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import msgspec
from attrs import frozen

from adapters.kept import KeptBody, keep, reopened
from adapters.strict import UnreadableError, decode
from adapters.woocommerce.payloads import (
    REDUCED_STOCK,
    Meta,
    Order,
    Product,
    holds_no_stock,
    is_idle_draft,
    known_id,
    level_seen,
    order_seen,
)
from daemon.domain.channel import Delivery, Facts, LevelSeen, OrderSeen
from daemon.domain.signatures import SignatureScheme
from daemon.domain.strict_json import objection

TOPICS = tuple(
    f"{resource}.{event}"
    for resource in ("order", "product")
    for event in ("created", "updated", "deleted", "restored")
)

_ENTITIES = {"&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&#039;": "'"}
_ENTITY = re.compile("|".join(_ENTITIES))
_PING = re.compile(rb"webhook_id=[0-9]{1,20}")
_NUMBER_LIKE = re.compile(r"[-+0-9.eE]{0,40}")
_TOPIC_MAX = 100
_KEPT_AS = "woocommerce/1"


def secret_key(secret: str) -> bytes:
    """The key of the HMAC: the stored secret, its HTML entities decoded once (woocommerce.md §2, "Signature")."""
    return _ENTITY.sub(lambda found: _ENTITIES[found[0]], secret).encode()


SCHEME = SignatureScheme(header="x-wc-webhook-signature", secret_key=secret_key)
"""Over the raw body, without a timestamp: a replay verifies."""


def greet(delivery: Delivery) -> bool:
    """The form post `webhook_id=N` at registration: unsigned, no X-WC header (woocommerce.md §2, "Ping")."""
    if any(name.startswith("x-wc-") for name in delivery.headers):
        return False
    kind = delivery.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/x-www-form-urlencoded" and _PING.fullmatch(delivery.body.strip()) is not None


class _Hull(msgspec.Struct):
    """What every body may have: error objects are signed like everything else, and carry no id (recording 16)."""

    id: Any = None
    code: Any = None
    unread: Any = None


class _Id(msgspec.Struct):
    id: int


class _Code(msgspec.Struct):
    code: str


@frozen
class _Message:
    """A delivery, live or kept; `puzzle` is why it was not understood when it came."""

    topic: str
    identity: str
    body: bytes
    puzzle: str = ""

    def kept(self, body: object, identity: str, puzzle: str = "") -> bytes:
        return keep(_KEPT_AS, self.topic, identity, body, puzzle)

    def understood(self, body: object, seen: OrderSeen | LevelSeen | None = None, *, look: bool = False) -> Facts:
        orders = (seen,) if isinstance(seen, OrderSeen) else ()
        levels = (seen,) if isinstance(seen, LevelSeen) else ()
        return Facts(self.topic, self.identity, self.kept(body, self.identity), orders, levels, look=look)

    def versionless(self, body: object, *, refetch: tuple[str, ...] = (), look: bool = False) -> Facts:
        return Facts(self.topic, "", self.kept(body, ""), refetch=refetch, look=look)

    def puzzling(self, body: object, why: str) -> Facts:
        puzzle = self.puzzle or why
        return Facts(self.topic, self.identity, self.kept(body, self.identity, puzzle), puzzle=puzzle)


def parse(delivery: Delivery) -> Facts:
    """Read a verified delivery, or a `kept` body (whose headers may be lost). Never raises.

    identity: a digest of resource and body, so that the two topics that report one change meet (recording 04).
    Never the delivery id: it is the same for all deliveries of a webhook within a second (recordings 04, 07, 09).
    Empty for a body that names no version - a deletion, an error - because the next one looks the same and
    is news.
    """
    message = _opened(delivery)
    resource, _, event = message.topic.partition(".")
    if message.topic not in TOPICS:
        return message.puzzling({}, f"topic {message.topic!r} is not one of ours")
    if why := objection(message.body):
        return message.puzzling({}, why)
    try:
        hull = decode(message.body, _Hull)
        if hull.id is None and isinstance(hull.code, str):
            # Gone before it was sent, or hidden from the webhook's user: something happened, see for yourself.
            return message.versionless(_Code(hull.code), look=True)
        if event == "deleted":
            return _deleted(message, resource)
        if resource == "order":
            return _order(message, decode(message.body, Order))
        return _product(message, decode(message.body, Product))
    except UnreadableError as exc:
        return message.puzzling(_residue(message.body), str(exc))


def _order(message: _Message, order: Order) -> Facts:
    for line in order.line_items:
        line.meta_data = [_safe(meta) for meta in line.meta_data if meta.key == REDUCED_STOCK][:1]
    try:
        seen = order_seen(order)
    except UnreadableError as exc:
        return message.puzzling(order, f"order {order.id}: {exc}")
    return message.understood(order, None if is_idle_draft(order, seen) else seen)


def _product(message: _Message, product: Product) -> Facts:
    if holds_no_stock(product):
        return message.understood(product)
    try:
        seen = level_seen(product)
    except UnreadableError as exc:
        return message.puzzling(product, f"product {product.id}: {exc}")
    # Whose stock a variation without its own sells, only the catalogue knows: have it read.
    return message.understood(product, seen, look=product.manage_stock == "parent")


def _deleted(message: _Message, resource: str) -> Facts:
    """Trashed, which moves no stock (recording 13): the order is read again; for a product, the feeds are."""
    gone = decode(message.body, _Id)
    number = known_id(gone.id, f"the {resource}'s id")
    is_order = resource == "order"
    return message.versionless(gone, refetch=(number,) if is_order else (), look=not is_order)


# --- what is kept -------------------------------------------------------------------------------------------


def _opened(delivery: Delivery) -> _Message:
    if (kept := reopened(delivery.body, KeptBody, _KEPT_AS)) is not None:
        return _Message(kept.topic, kept.identity, bytes(kept.body), kept.puzzle)
    spoken = delivery.headers.get("x-wc-webhook-topic", "")
    topic = "".join(letter if letter.isprintable() else "?" for letter in spoken)[:_TOPIC_MAX]
    resource = topic.partition(".")[0].encode()
    return _Message(topic, hashlib.sha256(resource + b"\0" + delivery.body).hexdigest(), delivery.body)


def _residue(body: bytes) -> dict[str, int]:
    """Of a body that could not be read, all that may be kept: its id, if that much can be read."""
    try:
        hull = decode(body, _Hull)
    except UnreadableError:
        return {}
    found = hull.id if hull.unread is None else hull.unread
    return {"unread": found} if isinstance(found, int) and not isinstance(found, bool) else {}


def _safe(meta: Meta) -> Meta:
    """A quantity as it stands, or a mark that there was something else: a stranger's text is not ours to keep."""
    match meta.value:
        case str() if _NUMBER_LIKE.fullmatch(meta.value.strip()):
            return meta
        case int() | float() | None:
            return meta
        case _:
            return Meta(meta.key, "?")

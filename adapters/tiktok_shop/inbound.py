"""Webhooks: how TikTok signs them, and what each type tells (tiktok_shop.md §2)."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

import msgspec
from attrs import evolve, frozen
from msgspec import UNSET

from adapters.kept import KeptBody, keep, reopened
from adapters.stamps import rfc3339_span
from adapters.strict import UnreadableError, decode
from adapters.tiktok_shop.payloads import Id, known_id, listing_of, units
from daemon.domain.channel import Delivery, Facts, LevelSeen
from daemon.domain.signatures import SignatureScheme
from daemon.domain.strict_json import objection

ORDER_TOPIC: Final = "ORDER_STATUS_CHANGE"
NAMES: Final = {
    1: ORDER_TOPIC, 6: "SELLER_DEAUTHORIZATION", 7: "UPCOMING_AUTHORIZATION_EXPIRATION",
    11: "CANCELLATION_STATUS_CHANGE", 12: "RETURN_STATUS_CHANGE",
    27: "inventory status change", 67: "refund success", 71: "inventory changed by shop",
}  # fmt: skip
"""The types that concern us. The last three have no name to subscribe them by: they are enabled in Partner Center."""
TOPICS: Final = tuple(NAMES[kind] for kind in (1, 11, 12, 6, 7))
"""What is subscribed (§2, "topics needed")."""
IDLE: Final = frozenset({
    3, 4, 5, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 33, 35, 36, 37, 38, 39, 42, 46, 50, 51, 52, 55, 56,
    58, 59, 62, 63, 64, 65, 66,
})  # fmt: skip
"""Types that say nothing of stock; an app-wide subscription may send them all the same."""
PERSON: Final = {
    6: "the seller took the app's authorization back: let them consent again, and configure the new refresh_token",
    7: "the seller's authorization ends soon: let them consent again, and configure the new refresh_token",
}

_KEPT_AS: Final = "tiktok_shop/1"
_NOTE: Final = re.compile(r"[0-9A-Za-z_-]{1,64}")
_ORDERS_MAX: Final = 100
_UNREAD: Final = {"line_items": "?"}
"""What is kept of data that could not be read: no type can be read from it."""


def scheme(app_key: str) -> SignatureScheme:
    """Lower-case hex in `Authorization`, over the app's key and the raw body; no timestamp: a replay verifies."""
    return SignatureScheme(header="authorization", message="{app_key}{body}", encoding="hex", app_key=app_key)


class _Hull(msgspec.Struct):
    """What every webhook has around its `data`."""

    type: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
    tts_notification_id: Id = None
    shop_id: Id = None
    data: msgspec.Raw = msgspec.Raw(b"{}")


class _OrderNamed(msgspec.Struct):
    order_id: Id = None


class _RefundLine(msgspec.Struct):
    main_order_id: Id = None


class _Refund(msgspec.Struct):
    line_items: list[_RefundLine] | None = None


class _Snapshot(msgspec.Struct):
    total_available_quantity: Any = UNSET


class _Changed(msgspec.Struct):
    product_id: Id = None
    sku_id: Id = None
    occurred_at: Any = None
    quantity_snapshot_after_change: _Snapshot = msgspec.field(default_factory=_Snapshot)


@frozen
class _Message:
    """A delivery, live or kept."""

    body: bytes
    topic: str = ""
    identity: str = ""
    puzzle: str = ""

    def facts(self, hull: _Hull | None, data: object = None, **told: Any) -> Facts:
        """What it tells; `data` is what is kept of its own."""
        puzzle = told.pop("puzzle", "")
        puzzle = (self.puzzle or puzzle) if puzzle else ""
        body = {} if hull is None else {"type": hull.type, "shop_id": _id_or_blank(hull.shop_id), "data": data or {}}
        kept = keep(_KEPT_AS, self.topic, self.identity, body, puzzle)
        return Facts(self.topic, self.identity, kept, puzzle=puzzle, **told)


def parse(delivery: Delivery, shop_id: str = "", warehouse: str = "") -> Facts:
    """Read a verified delivery, or a `kept` body. Never raises.

    identity: shop, type and TikTok's own notification id, said to be equal on every retry (§2; from memory). Webhooks
    of orders carry no lines: the order is fetched. One of another shop than `shop_id` tells nothing: an app-wide
    subscription sends those of all shops to one address.
    """
    message = _opened(delivery)
    if why := objection(message.body):
        return message.facts(None, puzzle=why)
    try:
        hull = decode(message.body, _Hull)
    except UnreadableError as exc:
        return message.facts(None, puzzle=str(exc))
    if not message.topic:
        note = "" if hull.tts_notification_id is None else str(hull.tts_notification_id)
        identity = f"{_id_or_blank(hull.shop_id)}:{hull.type}:{note}" if _NOTE.fullmatch(note) else ""
        message = evolve(message, topic=NAMES.get(hull.type, f"type {hull.type}"), identity=identity)
    if hull.type in IDLE or (shop_id and _id_or_blank(hull.shop_id) not in ("", shop_id)):
        return message.facts(hull)
    try:
        return _read(message, hull, warehouse)
    except UnreadableError as exc:
        return message.facts(hull, _UNREAD, puzzle=str(exc))


def _read(message: _Message, hull: _Hull, warehouse: str) -> Facts:
    """Raises `UnreadableError`."""
    match hull.type:
        case 1 | 11 | 12:
            order = known_id(decode(hull.data, _OrderNamed).order_id, "order_id")
            return message.facts(hull, {"order_id": order}, refetch=(order,))
        case 67:
            lines = (decode(hull.data, _Refund).line_items or ())[:_ORDERS_MAX]
            named = tuple(dict.fromkeys(known_id(line.main_order_id, "main_order_id") for line in lines))
            return message.facts(
                hull, {"line_items": [{"main_order_id": order} for order in named]}, refetch=named, look=not named
            )
        case 71:
            return _changed(message, hull, decode(hull.data, _Changed), warehouse)
        case 27:
            # Whether its number counts what campaigns have locked is not said: look for ourselves.
            return message.facts(hull, look=True)
        case kind if kind in PERSON:
            return message.facts(hull, puzzle=PERSON[kind])
        case kind:
            return message.facts(hull, puzzle=f"type {kind} is none that we know")


def _changed(message: _Message, hull: _Hull, seen: _Changed, warehouse: str) -> Facts:
    """The stock of a SKU in all warehouses together: where ours is one of several, it says only that some moved.

    Raises `UnreadableError`.
    """
    listing = listing_of(seen.product_id, seen.sku_id)
    if not listing:
        raise UnreadableError("it names no product and SKU")
    total = seen.quantity_snapshot_after_change.total_available_quantity
    own = rfc3339_span(seen.occurred_at) if isinstance(seen.occurred_at, str) else None
    snapshot = {} if total is UNSET else {"total_available_quantity": "?" if total is not None else None}
    if units(total) is not None:
        snapshot = {"total_available_quantity": total}
    product, _, sku = listing.partition("/")
    kept = {
        "product_id": product, "sku_id": sku, "occurred_at": seen.occurred_at if own else "?",
        "quantity_snapshot_after_change": snapshot,
    }  # fmt: skip
    why = (
        "occurred_at is no stamp" if own is None
        else "total_available_quantity is missing" if total is UNSET
        else "total_available_quantity is no whole number" if total is not None and units(total) is None
        else ""
    )  # fmt: skip
    if why:
        return message.facts(hull, kept, puzzle=why)
    if warehouse:
        return message.facts(hull, kept, look=True)
    return message.facts(hull, kept, levels=(LevelSeen(listing, units(total), own),))


def _opened(delivery: Delivery) -> _Message:
    if (kept := reopened(delivery.body, KeptBody, _KEPT_AS)) is not None:
        return _Message(bytes(kept.body), kept.topic, kept.identity, kept.puzzle)
    return _Message(delivery.body)


def _id_or_blank(value: Id) -> str:
    try:
        return known_id(value, "it")
    except UnreadableError:
        return ""

"""Notifications: what a message of the queue tells, and what of it is kept (amazon.md §2.4, §2.5, §3).

An ORDER_CHANGE is a reason to fetch its order: only the order itself has a version (§2.4). But a sale is held at
once: the units it names are taken as the oldest version there can be, that of the moment it was placed, and whatever
the order itself says overrules it.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from attrs import frozen

from adapters.amazon.items import MERCHANT
from adapters.amazon.values import ORDER_ID, Name, Units, stamp, whole_second
from adapters.kept import Kept, reopened
from adapters.sqs import MESSAGE_ID
from adapters.strict import UnreadableError, decode
from daemon.domain.channel import Delivery, Facts, LevelSeen, LineSeen, OrderSeen
from daemon.domain.strict_json import objection

ORDER_CHANGE = "ORDER_CHANGE"
QUANTITY = "LISTINGS_ITEM_MFN_QUANTITY_CHANGE"
KNOWN = (
    ORDER_CHANGE, QUANTITY, "LISTINGS_ITEM_STATUS_CHANGE", "LISTINGS_ITEM_ISSUES_CHANGE",
    "FBA_INVENTORY_AVAILABILITY_CHANGES", "FEED_PROCESSING_FINISHED", "REPORT_PROCESSING_FINISHED",
)  # fmt: skip
"""What we may have subscribed, or a person for us; all but the first two tell nothing of stock that is ours."""
HOLDING = ("Pending", "Unshipped", "InvoiceUnconfirmed", "PartiallyShipped")
"""Of an order in these states, every unit ordered is taken (§3)."""
T = TypeVar("T")

_KEPT_AS = "amazon/1"
_NAME_MAX = 100


class _OrderItem(msgspec.Struct):
    order_item_id: Name = msgspec.field(name="orderItemId")
    seller_sku: Name = msgspec.field(name="sellerSKU")
    quantity: Units


class _Summary(msgspec.Struct, rename="camel"):
    order_status: str
    fulfillment_type: str
    purchase_date: str | None = None
    order_items: list[_OrderItem] = []  # msgspec gives each its own copy


class _OrderChange(msgspec.Struct, rename="camel"):
    notification_level: str
    seller_id: str
    amazon_order_id: Name
    summary: _Summary


class _OrderPayload(msgspec.Struct, rename="camel"):
    order_change_notification: _OrderChange


class _Quantity(msgspec.Struct, rename="camel"):
    seller_id: str
    fulfillment_channel_code: str
    sku: Name
    quantity: Units | None


class _Kept(Kept):
    """A notification without its buyer, and how it was known."""

    topic: str
    identity: str
    time: str
    payload: Any
    puzzle: str = ""


@frozen
class _Message:
    """A notification, live or kept. `puzzle`: why it was not understood when it came."""

    topic: str
    identity: str
    time: str
    payload: Any
    puzzle: str = ""

    def facts(self, payload: object, **told: Any) -> Facts:
        return Facts(self.topic, self.identity, self._kept(payload), **told)

    def puzzling(self, why: str, payload: object = None) -> Facts:
        puzzle = self.puzzle or why
        return Facts(self.topic, self.identity, self._kept(payload, puzzle), puzzle=puzzle)

    def _kept(self, payload: object, puzzle: str = "") -> bytes:
        try:
            return msgspec.json.encode(_Kept(_KEPT_AS, self.topic, self.identity, self.time, payload, puzzle))
        except OverflowError:  # an integer of more than 64 bits: refused anyway, and not worth keeping
            return msgspec.json.encode(_Kept(_KEPT_AS, self.topic, self.identity, self.time, None, puzzle))


def parse(delivery: Delivery, seller_id: str) -> Facts:
    """Read a message of the queue, or a `kept` body. Never raises.

    identity: Amazon's NotificationId, which survives a message that is put into the queue twice (§2.2); for what is
    no notification, the queue's own name of the message.
    """
    message = _opened(delivery)
    if isinstance(message, Facts):
        return message
    if message.puzzle:
        return message.puzzling(message.puzzle, message.payload)
    if message.topic not in KNOWN:
        return message.puzzling(f"{message.topic[:60]!r} is no notification that onhand reads")
    try:
        match message.topic:
            case "ORDER_CHANGE":
                return _order_change(message, seller_id)
            case "LISTINGS_ITEM_MFN_QUANTITY_CHANGE":
                return _quantity_change(message, seller_id)
            case _:
                return message.facts(None)
    except UnreadableError as exc:
        return message.puzzling(str(exc))


def _order_change(message: _Message, seller_id: str) -> Facts:
    change = _converted(message.payload, _OrderPayload).order_change_notification
    payload = {"orderChangeNotification": msgspec.to_builtins(change)}
    if not ORDER_ID.fullmatch(change.amazon_order_id):
        return message.puzzling("amazonOrderId is no order id")
    if change.seller_id != seller_id:
        return message.puzzling("it is another seller's: give each seller a queue of its own", payload)
    summary = change.summary
    if summary.fulfillment_type == "AFN":
        return message.facts(payload)  # Amazon's own stock (§0.7)
    # A message of an item's level may name one item only, and must not be read as the whole order (§2.5).
    whole = change.notification_level == "OrderLevel" and bool(summary.order_items)
    orders: tuple[OrderSeen, ...] = ()
    if whole and summary.order_status in HOLDING and summary.purchase_date and summary.fulfillment_type == "MFN":
        orders = (_placed(change, summary.purchase_date),)
    return message.facts(payload, orders=orders, refetch=(change.amazon_order_id,))


def _placed(change: _OrderChange, date: str) -> OrderSeen:
    placed = whole_second(stamp(date, "purchaseDate"))
    lines = tuple(
        LineSeen(item.order_item_id, item.seller_sku, item.seller_sku, ordered=item.quantity)
        for item in change.summary.order_items
    )
    if len({line.line for line in lines}) != len(lines):
        raise UnreadableError("an orderItemId is there twice")
    return OrderSeen(change.amazon_order_id, placed.lo, placed, lines, placed=placed, takes_at_placement=True)


def _quantity_change(message: _Message, seller_id: str) -> Facts:
    """What the listing shows, evidence only: the echo of our own push, or a sale, or somebody's hand (§7)."""
    change = _converted(message.payload, _Quantity)
    if change.seller_id != seller_id:
        return message.puzzling("it is another seller's: give each seller a queue of its own")
    payload = msgspec.to_builtins(change)
    if change.fulfillment_channel_code != MERCHANT:
        return message.facts(payload)
    own = stamp(message.time, "eventTime")
    return message.facts(payload, levels=(LevelSeen(change.sku, change.quantity, own, change.sku),))


# --- envelopes ----------------------------------------------------------------------------------------------


def _opened(delivery: Delivery) -> _Message | Facts:
    """The notification in a message: bare, in an EventBridge event's `detail` (§2.1), or kept."""
    if (kept := reopened(delivery.body, _Kept, _KEPT_AS)) is not None:
        return _Message(kept.topic, kept.identity, kept.time, kept.payload, kept.puzzle)
    nameless = _Message("", delivery.headers.get(MESSAGE_ID, "")[:_NAME_MAX], "", None)
    if why := objection(delivery.body):
        return nameless.puzzling(why)
    try:
        said = decode(delivery.body, dict[str, Any])
        if "detail-type" in said and isinstance(said.get("detail"), dict):
            said = said["detail"]
        folded = _folded(said)
    except (UnreadableError, RecursionError) as exc:
        return nameless.puzzling(str(exc) if isinstance(exc, UnreadableError) else "it is nested too deeply")
    topic, time = _text(folded.get("notificationType")), _text(folded.get("eventTime"))
    about = folded.get("notificationMetadata")
    identity = _text(about.get("notificationId")) if isinstance(about, dict) else ""
    if not topic:
        return nameless.puzzling("it is no notification")
    return _Message(topic, identity or nameless.identity, time, folded.get("payload"))


def _folded(value: Any) -> Any:
    """With every key's first letter small: some types capitalise their keys, some do not (§2.4)."""
    if isinstance(value, dict):
        found = {name[:1].lower() + name[1:]: _folded(each) for name, each in value.items()}
        if len(found) != len(value):
            raise UnreadableError("it holds a key twice")
        return found
    return [_folded(each) for each in value] if isinstance(value, list) else value


def _text(value: object) -> str:
    if not isinstance(value, str):
        return ""
    return "".join(letter if letter.isprintable() else "?" for letter in value)[:_NAME_MAX]


def _converted(value: Any, shape: type[T]) -> T:
    try:
        return msgspec.convert(value, shape)
    except (msgspec.ValidationError, ValueError, RecursionError) as exc:
        raise UnreadableError(str(exc)[:200]) from None

"""Subscriptions: a destination for the queue, and a subscription for each type (amazon.md §2.1)."""

from __future__ import annotations

import msgspec

from adapters.amazon.account import GRANTLESS, Seller
from adapters.amazon.inbound import ORDER_CHANGE
from adapters.amazon.refusals import failed_read, garbled
from adapters.strict import UnreadableError, decode
from daemon.domain.channel import Webhook
from daemon.domain.exchange import Exchange, Request
from daemon.domain.outcomes import Failure, Outcome

NAME = "onhand"
_METER = "notifications"


class _Sqs(msgspec.Struct):
    arn: str = ""


class _Resource(msgspec.Struct):
    sqs: _Sqs | None = None


class _Destination(msgspec.Struct, rename="camel"):
    destination_id: str
    resource: _Resource

    def address(self) -> str:
        return self.resource.sqs.arn if self.resource.sqs else ""


class _Destinations(msgspec.Struct):
    payload: list[_Destination] = []  # msgspec gives each its own copy


class _Made(msgspec.Struct):
    payload: _Destination


class _Subscription(msgspec.Struct, rename="camel"):
    subscription_id: str
    destination_id: str = ""


class _Subscribed(msgspec.Struct):
    payload: _Subscription | None = None


def read_webhooks(seller: Seller, topics: tuple[str, ...]) -> Exchange[tuple[Webhook, ...] | Failure]:
    """The seller's subscriptions of these types, each with the address of the queue it goes to.

    Amazon has no state of a subscription to show: one that is there is active. What it cannot tell is a queue that
    refuses it, which loses events silently (§2.4): that shows in the order feed alone.
    """
    places = yield from _destinations(seller)
    if isinstance(places, Failure):
        return places
    found = []
    for topic in topics:
        subscription = yield from _subscription(seller, topic)
        if isinstance(subscription, Failure):
            return subscription
        if subscription is not None:
            there = subscription.destination_id
            address = next((each.address() for each in places if each.destination_id == there), "")
            found.append(Webhook(topic, address or f"destination {there}", "active", subscription.subscription_id))
    return tuple(found)


def register(seller: Seller, topic: str, address: str) -> Exchange[Webhook | Failure]:
    """Subscribe `topic` to the queue at `address`, which becomes a destination first where it is none yet."""
    place = yield from _destination(seller, address)
    if isinstance(place, Failure):
        return place
    wanted: dict[str, object] = {"payloadVersion": "1.0", "destinationId": place.destination_id}
    if topic == ORDER_CHANGE:
        # Without aggregation, which would only make it late (§2.1).
        types = ["OrderStatusChange", "BuyerRequestedChange"]
        wanted["processingDirective"] = {"eventFilter": {"eventFilterType": topic, "orderChangeTypes": types}}
    response = yield seller.write("POST", _path(topic), wanted, _METER)
    if response.status == 409:
        there = yield from _subscription(seller, topic)
        if isinstance(there, Failure):
            return there
        if there is not None and there.destination_id == place.destination_id:
            return Webhook(topic, address, "active", there.subscription_id)
        return Failure(
            Outcome(
                "permanent",
                f"{topic} is subscribed to another destination of this application: delete that subscription first",
            )
        )
    if failure := failed_read(response, _METER):
        return failure
    try:
        made = decode(response.body, _Subscribed).payload
    except UnreadableError:
        return Failure(garbled(response))
    return Failure(garbled(response)) if made is None else Webhook(topic, address, "active", made.subscription_id)


def _path(topic: str) -> str:
    known = "".join(letter for letter in topic if letter.isascii() and (letter.isalnum() or letter == "_"))
    return f"/notifications/v1/subscriptions/{known or 'NONE'}"


def _destinations(seller: Seller) -> Exchange[list[_Destination] | Failure]:
    """They are the application's, not the seller's: hence the grantless token (§2.1)."""
    response = yield seller.get("/notifications/v1/destinations", (), _METER, token=GRANTLESS)
    if failure := failed_read(response, _METER):
        return failure
    try:
        return decode(response.body, _Destinations).payload
    except UnreadableError:
        return Failure(garbled(response))


def _destination(seller: Seller, address: str) -> Exchange[_Destination | Failure]:
    """The destination that is this queue; made where there is none."""
    known = yield from _destinations(seller)
    if isinstance(known, Failure):
        return known
    for each in known:
        if each.address() == address:
            return each
    response = yield _creation(seller, address)
    if failure := failed_read(response, _METER):
        return failure
    try:
        return decode(response.body, _Made).payload
    except UnreadableError:
        return Failure(garbled(response))


def _creation(seller: Seller, address: str) -> Request:
    wanted = {"name": NAME, "resourceSpecification": {"sqs": {"arn": address}}}
    return seller.write("POST", "/notifications/v1/destinations", wanted, _METER, token=GRANTLESS)


def _subscription(seller: Seller, topic: str) -> Exchange[_Subscription | Failure | None]:
    """The seller's one subscription of this type; None where there is none."""
    response = yield seller.get(_path(topic), [("payloadVersion", "1.0")], _METER)
    if response.status == 404:
        return None
    if failure := failed_read(response, _METER):
        return failure
    try:
        return decode(response.body, _Subscribed).payload
    except UnreadableError:
        return Failure(garbled(response))

"""Destinations and subscriptions of the Notification API: list, make, switch on again (ebay.md §2.1)."""

from __future__ import annotations

import re
from typing import TypeVar
from urllib.parse import parse_qs, urlsplit

import msgspec
from attrs import frozen

from adapters.ebay.api import NOTIFICATION, Api, Who
from adapters.ebay.refusals import errors_in, failed_read, garbled
from adapters.strict import UnreadableError, decode
from daemon.domain.channel import Webhook
from daemon.domain.exchange import Exchange, Response
from daemon.domain.outcomes import Failure, Outcome

PER_PAGE = 100
_PAGES_MAX = 20
EXISTS = 195012
CHALLENGE_FAILED = 195020
OTHER_DESTINATION = 195021

_ID = re.compile(r"[0-9A-Za-z_-]{1,128}")
VERIFICATION_TOKEN = re.compile(r"[0-9A-Za-z_-]{32,80}")
"""How eBay wants it; kept so that a wrong one is told at the start, not by a failing handshake."""


class _Delivery(msgspec.Struct):
    endpoint: str = ""


class _Destination(msgspec.Struct, rename="camel"):
    destination_id: str
    status: str = ""
    delivery_config: _Delivery | None = None


class _Destinations(msgspec.Struct):
    destinations: list[_Destination] = []
    next: str | None = None


class _Subscription(msgspec.Struct, rename="camel"):
    subscription_id: str
    topic_id: str = ""
    status: str = ""
    destination_id: str = ""


class _Subscriptions(msgspec.Struct):
    subscriptions: list[_Subscription] = []
    next: str | None = None


class _Config(msgspec.Struct, rename="camel"):
    alert_email: str = ""


@frozen
class Subscriber:
    """What a subscription is made with: where eBay complains to, and what proves that the endpoint is ours."""

    alert_email: str
    token: str


# --- listing ------------------------------------------------------------------------------------------------


def read_webhooks(api: Api) -> Exchange[tuple[Webhook, ...] | Failure]:
    """The seller's subscriptions, each with its destination's address. Either one that is not ENABLED, also a
    destination that eBay marked down after failures, delivers nothing and tells nobody (§2.1)."""
    destinations = yield from _destinations(api)
    if isinstance(destinations, Failure):
        return destinations
    by_id = {each.destination_id: each for each in destinations}
    found: list[Webhook] = []
    pages = _pages(api, f"{NOTIFICATION}/subscription", "user", _Subscriptions)
    listed = yield from pages
    if isinstance(listed, Failure):
        return listed
    for page in listed:
        for each in page.subscriptions:
            destination = by_id.get(each.destination_id)
            url = destination.delivery_config.endpoint if destination and destination.delivery_config else ""
            live = each.status == "ENABLED" and destination is not None and destination.status == "ENABLED"
            hook = f"{each.subscription_id}/{each.destination_id}"
            found.append(Webhook(each.topic_id, url, "active" if live else "disabled", hook))
    return tuple(found)


def _destinations(api: Api) -> Exchange[list[_Destination] | Failure]:
    listed = yield from _pages(api, f"{NOTIFICATION}/destination", "app", _Destinations)
    return listed if isinstance(listed, Failure) else [each for page in listed for each in page.destinations]


P = TypeVar("P", _Destinations, _Subscriptions)


def _pages(api: Api, path: str, who: Who, shape: type[P]) -> Exchange[list[P] | Failure]:
    """All pages; of the address of the next one only its continuation token is taken."""
    pages: list[P] = []
    token: str = ""
    for _ in range(_PAGES_MAX):
        query = [("limit", str(PER_PAGE)), *([("continuation_token", token)] if token else [])]
        response = yield api.get(path, query, who=who)
        failure = yield from failed_read(api, response, "notification")
        if failure is not None:
            return failure
        try:
            page = decode(response.body or b"{}", shape)
        except UnreadableError:
            return Failure(garbled(response))
        pages.append(page)
        token = _token_in(page.next)
        if not token:
            break
    return pages


def _token_in(address: str | None) -> str:
    try:
        found = parse_qs(urlsplit(address or "").query, max_num_fields=20).get("continuation_token", [])
    except ValueError:
        return ""
    return found[0] if len(found) == 1 and len(found[0]) <= 1_000 and found[0].isprintable() else ""


# --- making -------------------------------------------------------------------------------------------------


def register(
    api: Api, who: Subscriber, topic: str, url: str, existing: Webhook | None
) -> Exchange[Webhook | Failure]:
    """Subscribe to `topic` at `url`, in eBay's order: its alert address, the destination, the subscription; or switch
    both on again. eBay challenges the endpoint from inside the destination's call, so the listener must answer
    meanwhile (§2.1)."""
    if not who.token:
        return Failure(Outcome("permanent", "no verification token is configured: put one into webhook_secrets"))
    failure = yield from _tell_alert_address(api, who.alert_email)
    if failure is not None:
        return failure
    destination = yield from _destination(api, who.token, url)
    if isinstance(destination, Failure):
        return destination
    subscription = existing.webhook_id.partition("/")[0] if existing else ""
    if _ID.fullmatch(subscription):
        return (yield from _enable(api, topic, url, subscription, destination))
    wish = {
        "topicId": topic, "status": "ENABLED", "destinationId": destination,
        "payload": {"format": "JSON", "schemaVersion": "1.0", "deliveryProtocol": "HTTPS"},
    }  # fmt: skip
    response = yield api.write("POST", f"{NOTIFICATION}/subscription", wish)
    made = yield from _made(api, response)
    return made if isinstance(made, Failure) else Webhook(topic, url, "active", f"{made}/{destination}")


def _enable(api: Api, topic: str, url: str, subscription: str, destination: str) -> Exchange[Webhook | Failure]:
    response = yield api.write("POST", f"{NOTIFICATION}/subscription/{subscription}/enable")
    failure = yield from _refused(api, response)
    return failure or Webhook(topic, url, "active", f"{subscription}/{destination}")


def _tell_alert_address(api: Api, address: str) -> Exchange[Failure | None]:
    """Without an alert address nothing can be subscribed (409, 195003). One that a person set is left alone."""
    response = yield api.get(f"{NOTIFICATION}/config", who="app")
    if 200 <= response.status < 300:
        try:
            if decode(response.body or b"{}", _Config).alert_email:
                return None
        except UnreadableError:
            return Failure(garbled(response))
    elif response.status != 404:
        return (yield from _refused(api, response))
    if not address:
        return Failure(Outcome("permanent", "eBay wants an address for its alerts: configure alert_email"))
    response = yield api.write("PUT", f"{NOTIFICATION}/config", {"alertEmail": address}, who="app")
    return (yield from _refused(api, response))


def _destination(api: Api, token: str, url: str) -> Exchange[str | Failure]:
    """The id of the destination with this endpoint, made or switched on where needed."""
    known = yield from _destinations(api)
    if isinstance(known, Failure):
        return known
    config = {"endpoint": url, "verificationToken": token}
    wish = {"name": "onhand", "status": "ENABLED", "deliveryConfig": config}
    mine = [each for each in known if each.delivery_config is not None and each.delivery_config.endpoint == url]
    if not mine:
        response = yield api.write("POST", f"{NOTIFICATION}/destination", wish, who="app")
        return (yield from _made(api, response))
    number = mine[0].destination_id
    if _ID.fullmatch(number) is None:
        return Failure(Outcome("transient", "eBay's destination has an id that cannot be asked for"))
    if mine[0].status != "ENABLED":
        response = yield api.write("PUT", f"{NOTIFICATION}/destination/{number}", wish, who="app")
        failure = yield from _refused(api, response)
        if failure is not None:
            return failure
    return number


def _made(api: Api, response: Response) -> Exchange[str | Failure]:
    """The id of what was made: the last part of `Location`."""
    failure = yield from _refused(api, response)
    if failure is not None:
        return failure
    number = response.headers.get("location", "").rstrip("/").rpartition("/")[2]
    return number if _ID.fullmatch(number) else Failure(garbled(response, write=True))


_REMEDIES = {
    EXISTS: "this topic is subscribed already, for another destination: delete that subscription at eBay",
    CHALLENGE_FAILED: "eBay's challenge to our endpoint failed: is public_url reachable from outside, over https?",
    OTHER_DESTINATION: "another destination has this very address: delete it there, or use another channel name",
}


def _refused(api: Api, response: Response) -> Exchange[Failure | None]:
    failure = yield from failed_read(api, response, "notification")
    for error in errors_in(response) if failure is not None else ():
        if error.error_id in _REMEDIES:
            return Failure(Outcome("permanent", f"{failure.reason}: {_REMEDIES[error.error_id]}" if failure else ""))
    return failure

"""Subscriptions as Walmart keeps them: list them, make one, switch one on again (walmart.md §2.1)."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from adapters.strict import UnreadableError, decode
from adapters.walmart.inbound import HEADER, ORDER_UPDATES
from adapters.walmart.limits import HOOKS
from adapters.walmart.payloads import name_of, rows
from adapters.walmart.refusals import failed_read, faults_in, garbled, nothing_found, of_faults
from adapters.walmart.seller import Seller, encoded
from daemon.domain.channel import Webhook
from daemon.domain.exchange import Exchange, Response
from daemon.domain.outcomes import Failure, Outcome

PATH = "/v3/webhooks/subscriptions"
_HOOKS_MAX = 1_000


class _Hook(msgspec.Struct):
    eventType: str = ""  # noqa: N815  # Walmart's own names, here and below
    eventUrl: str | None = None  # noqa: N815
    status: str | None = None
    subscriptionId: Any = None  # noqa: N815
    event: Raw | UnsetType = UNSET

    def seen(self, url: str = "") -> Webhook:
        """The state of one that is neither active nor paused is not named anywhere: it does not send."""
        state = {"ACTIVE": "active", "PAUSED": "paused"}.get((self.status or "").upper(), "disabled")
        return Webhook(self.eventType, self.eventUrl or url, state, name_of(self.subscriptionId, "subscriptionId"))  # type: ignore[arg-type]  # one of the three


class _Hooks(msgspec.Struct):
    """The schema spells the list `event`, within `events` or alone, the example `events` (walmart.md §2.1)."""

    events: Raw | UnsetType = UNSET
    event: Raw | UnsetType = UNSET


def read_webhooks(seller: Seller) -> Exchange[tuple[Webhook, ...] | Failure]:
    """Every subscription of the seller, ours or not."""
    response = yield seller.get(PATH, meter=HOOKS)
    if nothing_found(response):
        return ()
    failure = failed_read(response)
    if failure is not None:
        return failure
    try:
        return tuple(hook.seen() for hook in _hooks(response))
    except UnreadableError:
        return Failure(_unread(response))


def register(
    seller: Seller, way: str, header: str, secret: str, topic: str, url: str, existing: Webhook | None
) -> Exchange[Webhook | Failure]:
    """Make the subscription, or switch `existing` on again, with the secret that is configured now."""
    if topic != ORDER_UPDATES:
        return Failure(Outcome("permanent", f"{topic[:60]!r} is no event that is subscribed here"))
    if not secret:
        return Failure(Outcome("permanent", "no webhook secret is configured for this channel; give it one"))
    wish = {
        "eventType": topic, "eventVersion": "V1", "resourceName": "ORDER", "eventUrl": url, "status": "ACTIVE",
        "authDetails": _auth(way, header, secret), "headers": {"content-type": "application/json"},
    }  # fmt: skip
    if existing is not None:
        response = yield seller.write("PATCH", f"{PATH}/{encoded(existing.webhook_id)}", wish, meter=HOOKS)
    else:
        response = yield seller.write("POST", PATH, {"events": [wish]}, meter=HOOKS)
    failure = failed_read(response)
    if failure is not None:
        return failure
    try:
        made = [hook.seen(url) for hook in _hooks(response)]
    except UnreadableError:
        return Failure(_unread(response))
    found = [hook for hook in made if hook.topic == topic]
    return found[0] if found else Failure(_unread(response))


def _auth(way: str, header: str, secret: str) -> dict[str, str]:
    if way == "basic":
        user, _, password = secret.partition(":")
        return {
            "authMethod": "BASIC_AUTH", "authHeaderName": header or "Authorization",
            "userName": user, "password": password,
        }  # fmt: skip
    return {"authMethod": "HMAC", "authHeaderName": header or HEADER, "clientSecret": secret}


def _hooks(response: Response) -> list[_Hook]:
    """Raises `UnreadableError`, also where the answer holds no list at all."""
    hull = decode(response.body, _Hooks)
    if hull.events is UNSET and hull.event is UNSET:
        raise UnreadableError("no list of subscriptions")
    found: list[_Hook] = []
    for row in [*rows(hull.events, "events"), *rows(hull.event, "event")][:_HOOKS_MAX]:
        hook = decode(row, _Hook)
        inner = [decode(each, _Hook) for each in rows(hook.event, "event")][:_HOOKS_MAX]
        found += inner if hook.event is not UNSET else [hook]
    return found


def _unread(response: Response) -> Outcome:
    faults = faults_in(response)
    return of_faults(faults, "subscriptions") if faults else garbled(response, write=False)

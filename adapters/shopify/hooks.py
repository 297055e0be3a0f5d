"""The app's webhook subscriptions as the shop keeps them: list them, create one (shopify.md §2, "Subscribing")."""

from __future__ import annotations

import re
from typing import Final

import msgspec
from attrs import evolve

from adapters.shopify import documents
from adapters.shopify.answers import failed_read, plain, reading, said
from adapters.shopify.orders import PageInfo
from adapters.shopify.payloads import Text
from adapters.shopify.shop import Shop
from daemon.domain.channel import Webhook
from daemon.domain.exchange import Exchange
from daemon.domain.outcomes import Failure, Outcome

_PAGES_MAX: Final = 50
_NAME = re.compile(r"[^A-Za-z0-9_-]")


class Hook(msgspec.Struct):
    id: Text
    topic: Text
    uri: str

    def seen(self) -> Webhook:
        """A subscription that is there is active: after 8 failures in a row it is gone, and nobody is told (§2)."""
        return Webhook(header_topic(self.topic), self.uri, "active", self.id)


class Hooks(msgspec.Struct):
    pageInfo: PageInfo  # noqa: N815  # Shopify's name
    nodes: list[Hook]


class HooksData(msgspec.Struct):
    webhookSubscriptions: Hooks  # noqa: N815


class HookError(msgspec.Struct):
    message: str = ""


class Made(msgspec.Struct):
    webhookSubscription: Hook | None = None  # noqa: N815
    userErrors: list[HookError] = []  # noqa: N815


class MadeData(msgspec.Struct):
    webhookSubscriptionCreate: Made | None = None  # noqa: N815
    webhookSubscriptionUpdate: Made | None = None  # noqa: N815


def header_topic(enum: str) -> str:
    """ORDERS_UPDATED as the header says it, orders/updated; INVENTORY_LEVELS_UPDATE is inventory_levels/update."""
    known = {enum_topic(topic): topic for topic in _KNOWN}
    return known.get(enum, enum.lower().replace("_", "/", 1))


def enum_topic(topic: str) -> str:
    """The inverse."""
    return topic.replace("/", "_").upper()


_KNOWN: Final = ("inventory_levels/update", "inventory_levels/connect", "inventory_levels/disconnect")


def read_webhooks(shop: Shop) -> Exchange[tuple[Webhook, ...] | Failure]:
    """Every subscription that this app made over the API; those of its TOML file are never listed (§2)."""
    seen: list[Webhook] = []
    after: str | None = None
    for _ in range(_PAGES_MAX):
        variables = {"first": documents.HOOKS_PER_PAGE, "after": after}
        response = yield shop.ask(documents.HOOKS, variables, documents.HOOKS_COST)
        data = reading(response, HooksData)
        if isinstance(data, Failure):
            return data
        seen += [hook.seen() for hook in data.webhookSubscriptions.nodes]
        after = data.webhookSubscriptions.pageInfo.endCursor
        if not data.webhookSubscriptions.pageInfo.hasNextPage or after is None:
            break
    return tuple(seen)


def register(shop: Shop, topic: str, url: str, existing: Webhook | None) -> Exchange[Webhook | Failure]:
    """Create the subscription, or point `existing` to `url`. There is no handshake and no ping (§2); the payload
    is signed with the app's client secret, so none is told here."""
    hook = {"uri": url, "format": "JSON", "name": _NAME.sub("-", f"onhand-{topic}")[:50]}
    if existing is None:
        document, variables = documents.SUBSCRIBE, {"topic": enum_topic(topic), "hook": hook}
    else:
        document, variables = documents.RESUBSCRIBE, {"id": existing.webhook_id, "hook": hook}
    response = yield shop.ask(document, variables, documents.WRITE_COST, write=True)
    data = said(response, MadeData, write=True)
    if isinstance(data, Outcome):
        return Failure(evolve(data, whole_call=False))
    made = data.webhookSubscriptionCreate or data.webhookSubscriptionUpdate
    if made is None or (made.webhookSubscription is None and not made.userErrors):
        return failed_read("the shop does not say whether the subscription was made")
    if made.webhookSubscription is None:
        return failed_read(f"{topic}: {plain(made.userErrors[0].message)}", "permanent")
    return made.webhookSubscription.seen()

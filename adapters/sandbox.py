"""The sandbox storefront: the channel of the demo, the simulator and the acceptance checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlencode

import msgspec
from attrs import define

from adapters.sandbox_answers import (
    as_of,
    garbled,
    levels_of,
    next_page,
    orders_of,
    outcome_of,
    read_page,
    refused,
    says_no_such_order,
    subscription_of,
    subscriptions_of,
)  # fmt: skip
from adapters.sandbox_urls import segment, url_groups
from adapters.sandbox_wire import (
    Message,
    Page,
    Unreadable,
    WireOrder,
    known_parts,
    level_seen,
    order_seen,
    read,
    read_list,
)
from adapters.stamps import rfc3339
from daemon.domain.channel import (
    Delivery,
    Facts,
    LevelSeen,
    ListingPage,
    Option,
    OrderPage,
    OrderSeen,
    Platform,
    Push,
    Rarely,
    Setup,
    Traits,
    Webhook,
)  # fmt: skip
from daemon.domain.exchange import Exchange, Method, Request
from daemon.domain.outcomes import Failure, Outcome
from daemon.domain.signatures import SignatureScheme
from daemon.domain.strict_json import TWICE, objection

SCHEME: Final = SignatureScheme(
    header="x-sandbox-signature",
    message=("{timestamp}", ".", "{body}"),
    timestamp_header="x-sandbox-timestamp",
    tolerance_s=300,
)
TRAITS: Final = Traits(
    batch_max=100,
    concurrency=2,
    rate_per_s=50.0,
    burst=50,
    compare_and_set=True,
    request_life_s=10.0,
    feed_lag_s=0.0,
    overlap_s=5.0,
    poll_interval_s=5.0,
    catalogue_interval_s=3600.0,
    registers_webhooks=False,
)
TOPICS: Final = ("order.updated", "level.changed")
"""What a storefront tells, one subscription each."""
TIMEOUT_S: Final = 5.0
"""The patience with one request. The storefront's late writes come well within `request_life_s` after it."""
PAGES_MAX: Final = 2000
"""Pages read for one question; a catalogue without an end is a fault of the storefront's."""


@define
class SandboxAdapter(Rarely):
    """See `daemon.domain.channel.Adapter`, which says what each method promises."""

    base_url: str
    traits: Traits
    scheme: SignatureScheme = SCHEME

    # -- webhooks --

    def parse(self, delivery: Delivery) -> Facts:
        identity = delivery.headers.get("x-sandbox-delivery", "")[:200]
        topic = delivery.headers.get("x-sandbox-topic", "")[:64]
        if (why := objection(delivery.body)) == TWICE:
            # Which of the two is meant nobody knows, so neither is kept.
            return Facts(topic, identity, msgspec.json.encode(Message(topic)), puzzle=why)
        message = Unreadable(why) if why else read(delivery.body, Message)
        if not isinstance(message, Unreadable):
            message = msgspec.structs.replace(message, topic=message.topic or topic)
            return _facts(message, identity, msgspec.json.encode(message))
        kept = known_parts(delivery.body, topic)
        again = read(kept, Message)
        if isinstance(again, Unreadable):
            return Facts(_topic_of(kept), identity, kept, puzzle=again.reason)
        return _facts(again, identity, msgspec.json.encode(again))

    # -- reads --

    def orders(self, since_us: int, page: str) -> Exchange[OrderPage | Failure]:
        response = yield self._get("/orders", {"updated_since": rfc3339(since_us), "cursor": page})
        got = read_page(response)
        return orders_of(got) if isinstance(got, Page) else got

    def order(self, order: str) -> Exchange[OrderSeen | Failure | None]:
        response = yield self._get(f"/orders/{segment(order)}", {})
        if response.status != 200:
            return None if says_no_such_order(response) else Failure(refused(response, writing=False))
        wire = read(response.body, WireOrder)
        seen = wire if isinstance(wire, Unreadable) else order_seen(wire)
        return garbled(seen) if isinstance(seen, Unreadable) else seen

    def listings(self, page: str) -> Exchange[ListingPage | Failure]:
        response = yield self._get("/listings", {"cursor": page})
        got = read_page(response)
        return ListingPage(levels_of(got, response), next_page(got)) if isinstance(got, Page) else got

    def levels(self, listings: Sequence[str]) -> Exchange[tuple[LevelSeen, ...] | Failure]:
        found: dict[str, LevelSeen] = {}
        for group in url_groups(listings):
            failure = yield from self._levels(group, found)
            if failure is not None:
                return failure
        return tuple(found.values())

    def _levels(self, group: Sequence[str], found: dict[str, LevelSeen]) -> Exchange[Failure | None]:
        """Add the group's levels to `found`. A server that ignores the filter sends all: the rest is left out."""
        missing, cursor = set(group), ""
        for _ in range(PAGES_MAX):
            response = yield self._get("/listings", {"listing": group, "cursor": cursor})
            got = read_page(response)
            if isinstance(got, Failure):
                return got
            seen = {level.listing: level for level in levels_of(got, response) if level.listing in missing}
            found.update(seen)
            missing -= seen.keys()
            asked, cursor = cursor, next_page(got)
            if not missing or cursor in ("", asked):
                return None
        return Failure(Outcome("unknown", "the catalogue does not end"))

    # -- pushes --

    def batches(self, pushes: Sequence[Push]) -> list[list[Push]]:
        size = max(1, self.traits.batch_max)
        return [list(pushes[at : at + size]) for at in range(0, len(pushes), size)]

    def push(self, batch: Sequence[Push], key: str) -> Exchange[Sequence[Outcome]]:
        items = [_item(push, compared=self.traits.compare_and_set) for push in batch]
        body = msgspec.json.encode({"items": items, "idempotency_key": key})
        response = yield self._request("PUT", "/levels", {}, body)
        if response.status != 200:
            return [refused(response, writing=True, items=len(batch))] * len(batch)
        page = read_list(response.body)
        if isinstance(page, Unreadable):
            return [garbled(page).outcome] * len(batch)
        if len(page.items) != len(batch):
            return [Outcome("unknown", f"{len(page.items)} results for {len(batch)} items")] * len(batch)
        own = as_of(page, response)
        return [outcome_of(push, item, own) for push, item in zip(batch, page.items, strict=True)]

    # -- subscriptions --

    def webhooks(self) -> Exchange[tuple[Webhook, ...] | Failure]:
        if not self.traits.registers_webhooks:
            return ()
        response = yield self._get("/subscriptions", {})
        got = read_page(response)
        return got if isinstance(got, Failure) else subscriptions_of(got)

    def wanted_topics(self) -> tuple[str, ...]:
        return TOPICS if self.traits.registers_webhooks else ()

    def order_topics(self) -> tuple[str, str]:
        return ("order.updated", "order.updated")

    def register(self, topic: str, url: str, existing: Webhook | None) -> Exchange[Webhook | Failure]:
        if not self.traits.registers_webhooks:
            # A storefront is told its one webhook URL when it is started, and tells that everything.
            why = "start the storefront with its webhook URL, or set subscriptions: true for this channel"
            return Failure(Outcome("permanent", why))
        if existing is None:
            body = msgspec.json.encode({"topic": topic, "url": url})
            response = yield self._request("POST", "/subscriptions", {}, body)
        else:
            path = f"/subscriptions/{segment(existing.webhook_id)}"
            response = yield self._request("PUT", path, {}, msgspec.json.encode({"state": "active"}))
        return subscription_of(response)

    # -- requests --

    def _get(self, path: str, query: Mapping[str, str | Sequence[str]]) -> Request:
        return self._request("GET", path, query)

    def _request(
        self, method: Method, path: str, query: Mapping[str, str | Sequence[str]], body: bytes = b""
    ) -> Request:
        pairs = [(name, value) for name, value in query.items() if value]
        asked = "?" + urlencode(pairs, doseq=True, errors="replace") if pairs else ""
        headers = {"accept": "application/json", "cache-control": "no-cache"}
        if body:
            headers["content-type"] = "application/json"
        return Request(method, self.base_url + path + asked, headers, body, timeout_s=TIMEOUT_S)


def _facts(message: Message, identity: str, kept: bytes) -> Facts:
    """What a well-formed message tells; `kept` reads the same again."""
    order = None if message.order is None else order_seen(message.order)
    level = None if message.listing is None else level_seen(message.listing, None)
    for part in (order, level):
        if isinstance(part, Unreadable):
            return Facts(message.topic, identity, kept, puzzle=part.reason)
    return Facts(
        message.topic,
        identity,
        kept,
        orders=(order,) if isinstance(order, OrderSeen) else (),
        levels=(level,) if isinstance(level, LevelSeen) else (),
        puzzle="" if order or level else "it names neither an order nor a listing",
    )


def _topic_of(kept: bytes) -> str:
    value = read(kept, object)
    topic = value.get("topic") if isinstance(value, dict) else None
    return topic[:64] if isinstance(topic, str) else ""


def _item(push: Push, *, compared: bool) -> dict[str, str | int]:
    item: dict[str, str | int] = {"listing": push.listing, "quantity": push.level}
    if compared and push.believed is not None:
        item["if_quantity"] = push.believed
    return item


def _build(setup: Setup) -> SandboxAdapter:
    compared = setup.options.get("compare_and_set", "true") not in ("false", "no")
    subscribes = setup.options.get("subscriptions", "false") in ("true", "yes")
    traits = setup.traits(TRAITS, compare_and_set=compared, registers_webhooks=subscribes)
    return SandboxAdapter(setup.base_url.rstrip("/"), traits)


PLAIN: Final = Option("compare_and_set", "write false where the storefront overlooks `if_quantity`")
SUBSCRIBES: Final = Option("subscriptions", "write true where webhooks are subscribed over the storefront's API")
PLATFORM: Final = Platform("sandbox", _build, options=(PLAIN, SUBSCRIBES), inline_secrets=True, local=True)

"""The Shopify adapter: one shop behind the channel port."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from attrs import define, evolve

from adapters.shopify import catalogue, hooks, inbound, orders, push
from adapters.shopify.answers import limits_of
from adapters.shopify.settings import address, domain, location_number, problems
from adapters.shopify.shop import Shop
from daemon.domain.access import Limits, TokenSource
from daemon.domain.channel import (
    Delivery,
    Facts,
    LevelSeen,
    ListingPage,
    OrderPage,
    OrderSeen,
    Push,
    Rarely,
    Setup,
    Traits,
    Webhook,
)
from daemon.domain.exchange import Exchange, Response
from daemon.domain.outcomes import Failure, Outcome
from daemon.domain.signatures import Scheme

TRAITS = Traits(
    batch_max=100,
    concurrency=2,
    rate_per_s=100.0,
    burst=1_000,
    compare_and_set=True,
    request_life_s=120.0,
    feed_lag_s=30.0,
    overlap_s=600.0,
    poll_interval_s=60.0,
    webhooks_late_s=60.0,
    registers_webhooks=True,
)
"""The rate is in points (shopify.md §6), the smallest plan's, until the shop's own answers tell better. Search, which
the order feed rests on, lags by nobody knows how much (from memory, §4): half a minute before a raise may rest on it,
and each poll reaches back ten. Webhooks have no stated delay; they may be a day late (§2)."""


@define
class Shopify(Rarely):
    """One shop. Pure: it holds nothing but its configuration."""

    shop: Shop
    traits: Traits = TRAITS
    scheme: Scheme = inbound.SCHEME
    hosts: tuple[str, ...] = ()
    tokens: tuple[TokenSource, ...] = ()
    rate_max: float | None = None
    """The most that the configuration allows of what the shop does."""
    burst_max: float | None = None

    def parse(self, delivery: Delivery) -> Facts:
        """See `inbound.parse`."""
        return inbound.parse(delivery, self.shop.domain, self.shop.location)

    def limits(self, response: Response) -> Limits | None:
        """See `answers.limits_of`; never more than the configuration allows."""
        found = limits_of(response)
        if found is None:
            return None
        return evolve(
            found, rate_per_s=_at_most(found.rate_per_s, self.rate_max),
            capacity=_at_most(found.capacity, self.burst_max),
        )  # fmt: skip

    def orders(self, since_us: int, page: str) -> Exchange[OrderPage | Failure]:
        """See `orders.read_orders`."""
        return orders.read_orders(self.shop, since_us, page)

    def order(self, order: str) -> Exchange[OrderSeen | Failure | None]:
        """See `orders.read_order`."""
        return orders.read_order(self.shop, order)

    def listings(self, page: str) -> Exchange[ListingPage | Failure]:
        """See `catalogue.read_listings`."""
        return catalogue.read_listings(self.shop, page)

    def levels(self, listings: Sequence[str]) -> Exchange[tuple[LevelSeen, ...] | Failure]:
        """See `catalogue.read_levels`."""
        return catalogue.read_levels(self.shop, listings)

    def batches(self, pushes: Sequence[Push]) -> list[list[Push]]:
        """See `push.batches`."""
        return push.batches(pushes, self.traits.batch_max)

    def push(self, batch: Sequence[Push], key: str) -> Exchange[Sequence[Outcome]]:
        """See `push.push`."""
        return push.push(self.shop, batch, key)

    def webhooks(self) -> Exchange[tuple[Webhook, ...] | Failure]:
        """See `hooks.read_webhooks`."""
        return hooks.read_webhooks(self.shop)

    def wanted_topics(self) -> tuple[str, ...]:
        """See `inbound.TOPICS`."""
        return inbound.TOPICS

    def order_topics(self) -> tuple[str, str]:
        """orders/create and orders/updated, which tell whole orders."""
        return "orders/create", "orders/updated"

    def register(self, topic: str, url: str, existing: Webhook | None) -> Exchange[Webhook | Failure]:
        """See `hooks.register`."""
        return hooks.register(self.shop, topic, url, existing)


def _at_most(told: float | None, most: float | None) -> float | None:
    return told if told is None or most is None else min(told, most)


def build(setup: Setup) -> Shopify:
    """The adapter of one configured shop. Raises `ValueError` with a sentence for what cannot work."""
    for key, sentence in problems(setup.options, set(setup.secrets)).items():
        raise ValueError(f"{key}: {sentence}")
    if "shop" not in setup.options:
        raise ValueError("a Shopify channel needs shop")
    secrets = setup.secrets
    client = None if "token" in secrets else (setup.options["client_id"], secrets["client_secret"])
    shop = Shop(
        address(setup), domain(setup), location_number(setup), secrets.get("token", ""), client,
        secrets.get("refresh_token", ""),
    )  # fmt: skip
    return Shopify(
        shop, setup.traits(TRAITS, batch_most=push.BATCH_MAX),
        hosts=(urlsplit(shop.base_url).netloc,), tokens=shop.tokens(),
        rate_max=setup.overrides.get("rate_per_s"), burst_max=setup.overrides.get("burst"),
    )  # fmt: skip

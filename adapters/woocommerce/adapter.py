"""The WooCommerce adapter: one store account behind the channel port."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field

from adapters.woocommerce import catalogue, hooks, inbound, orders, push
from adapters.woocommerce.auth import API, Store
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
from daemon.domain.exchange import Exchange
from daemon.domain.outcomes import Failure, Outcome
from daemon.domain.signatures import SignatureScheme

TRAITS = Traits(
    batch_max=50,
    concurrency=2,
    rate_per_s=5.0,
    burst=5,
    compare_and_set=False,
    request_life_s=120.0,
    feed_lag_s=2.0,
    overlap_s=180.0,
    poll_interval_s=30.0,
    registers_webhooks=True,
    webhooks_late_s=900.0,
)
"""The store itself limits nothing; shared hosts do (woocommerce.md §6). The feed's stamps are whole seconds, hence
its lag. Webhooks are 0 to 60 s late on a busy store and without bound on a quiet one (recordings 04, 17): the short
poll is the fast path, and its calls are what drives the store's queue where nobody else visits. Later than a quarter
of an hour means that they were switched off or lost. The overlap reaches behind orders that moved while the feed was
paged."""


@define
class WooCommerce(Rarely):
    """One store. Pure: it holds nothing but its configuration."""

    store: Store
    traits: Traits = TRAITS
    webhook_secret: str = field(default="", repr=False)
    scheme: SignatureScheme = inbound.SCHEME

    def greet(self, delivery: Delivery) -> bool:
        """See `inbound.greet`."""
        return inbound.greet(delivery)

    def parse(self, delivery: Delivery) -> Facts:
        """See `inbound.parse`."""
        return inbound.parse(delivery)

    def orders(self, since_us: int, page: str) -> Exchange[OrderPage | Failure]:
        """See `orders.read_orders`."""
        return orders.read_orders(self.store, since_us, page)

    def order(self, order: str) -> Exchange[OrderSeen | Failure | None]:
        """See `orders.read_order`."""
        return orders.read_order(self.store, order)

    def listings(self, page: str) -> Exchange[ListingPage | Failure]:
        """See `catalogue.read_listings`."""
        return catalogue.read_listings(self.store, page)

    def levels(self, listings: Sequence[str]) -> Exchange[tuple[LevelSeen, ...] | Failure]:
        """See `catalogue.read_levels`."""
        return catalogue.read_levels(self.store, listings)

    def batches(self, pushes: Sequence[Push]) -> list[list[Push]]:
        """See `push.batches`."""
        return push.batches(pushes, self.traits.batch_max)

    def push(self, batch: Sequence[Push], key: str) -> Exchange[Sequence[Outcome]]:
        """See `push.push`. `key` has no use: the store ignores idempotency keys (recording 16)."""
        del key
        return push.push(self.store, batch)

    def webhooks(self) -> Exchange[tuple[Webhook, ...] | Failure]:
        """See `hooks.read_webhooks`."""
        return hooks.read_webhooks(self.store)

    def wanted_topics(self) -> tuple[str, ...]:
        """Orders and products, all four events of each. There is no stock topic that says a number (recording 14)."""
        return inbound.TOPICS

    def order_topics(self) -> tuple[str, str]:
        """A new order is told as both; the two deliveries meet (recording 04)."""
        return ("order.created", "order.updated")

    def register(self, topic: str, url: str, existing: Webhook | None) -> Exchange[Webhook | Failure]:
        """See `hooks.register`."""
        return hooks.register(self.store, self.webhook_secret, topic, url, existing)


def build(setup: Setup) -> WooCommerce:
    """The adapter of one configured store. Raises `ValueError` with a sentence for what cannot work."""
    key, secret = setup.secrets.get("consumer_key", ""), setup.secrets.get("consumer_secret", "")
    if not key or not secret:
        raise ValueError("a WooCommerce channel needs consumer_key and consumer_secret")
    base_url = setup.base_url.rstrip("/").removesuffix(API)
    way = setup.options.get("auth", "basic")
    if way not in ("basic", "query"):
        raise ValueError("auth must be basic or query")
    if base_url.lower().startswith("http://"):
        # Without TLS the store ignores Basic, and everybody on the way could read the secret.
        way = "oauth"
    elif not base_url.lower().startswith("https://"):
        raise ValueError("base_url must start with https:// (or http://)")
    return WooCommerce(
        Store(base_url, key, secret, way),  # type: ignore[arg-type]  # one of the three by now
        traits=setup.traits(TRAITS, batch_most=push.BATCH_MAX),
        webhook_secret=next(iter(setup.webhook_secrets), ""),
    )

"""The TikTok Shop adapter: one shop behind the channel port."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from attrs import define

from adapters.tiktok_shop import catalogue, hooks, inbound, orders, push, settings
from adapters.tiktok_shop.shop import Shop
from daemon.domain.access import TokenSource
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
from daemon.domain.signatures import Scheme

TRAITS = Traits(
    batch_max=push.BATCH_MAX,
    concurrency=4,
    rate_per_s=40.0,
    burst=40,
    compare_and_set=False,
    request_life_s=120.0,
    feed_lag_s=60.0,
    overlap_s=900.0,
    poll_interval_s=60.0,
    registers_webhooks=True,
    webhooks_late_s=900.0,
    empty_answers=True,
    lookback_s=14 * 86_400.0,
)
"""50 calls a second are allowed for each endpoint (tiktok_shop.md §6); 40 for all together stay below that whatever
they are. The feed's lag is not documented, only that it refreshes late (§4): a minute before a raise may rest on it,
and each poll reaches back a quarter of an hour, where ten minutes are asked for. A failed webhook comes again after 2
and 30 minutes, 3 and 12 hours (§2), and is to be answered without a body. Orders may wait for weeks to be shipped,
pre-orders above all: the first poll must know them, or their shipping would look like a sale after a first count."""


@define
class TikTokShop(Rarely):
    """One shop. Pure: it holds nothing but its configuration."""

    shop: Shop
    scheme: Scheme
    traits: Traits = TRAITS
    hosts: tuple[str, ...] = ()
    tokens: tuple[TokenSource, ...] = ()

    def parse(self, delivery: Delivery) -> Facts:
        """See `inbound.parse`."""
        return inbound.parse(delivery, self.shop.shop_id, self.shop.warehouse)

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
        """See `push.push`. `key` has no use: the call takes none."""
        del key
        return push.push(self.shop, batch)

    def webhooks(self) -> Exchange[tuple[Webhook, ...] | Failure]:
        """See `hooks.read_webhooks`."""
        return hooks.read_webhooks(self.shop)

    def wanted_topics(self) -> tuple[str, ...]:
        """See `inbound.TOPICS`."""
        return inbound.TOPICS

    def order_topics(self) -> tuple[str, str]:
        """One topic tells of new orders and of changed ones."""
        return (inbound.ORDER_TOPIC, inbound.ORDER_TOPIC)

    def register(self, topic: str, url: str, existing: Webhook | None) -> Exchange[Webhook | Failure]:
        """See `hooks.register`; there is nothing to switch on again."""
        del existing
        return hooks.register(self.shop, topic, url)


def build(setup: Setup) -> TikTokShop:
    """The adapter of one configured shop. Raises `ValueError` with a sentence for what cannot work."""
    settings.check(setup)
    options = setup.options
    shop = Shop(
        base_url=(setup.base_url or settings.API).rstrip("/"),
        auth_url=settings.auth_url(setup),
        app_key=options["app_key"],
        app_secret=setup.secrets["app_secret"],
        refresh=setup.secrets["refresh_token"],
        cipher=options.get("shop_cipher", ""),
        shop_id=options.get("shop_id", ""),
        warehouse=options.get("warehouse", ""),
    )
    return TikTokShop(
        shop, inbound.scheme(shop.app_key), setup.traits(TRAITS), (urlsplit(shop.auth_url).netloc,), shop.tokens()
    )  # fmt: skip

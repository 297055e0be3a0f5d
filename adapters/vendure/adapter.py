"""The Vendure adapter: one stock location of one shop behind the channel port."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define

from adapters.vendure import catalogue, inbound, orders, push
from adapters.vendure.settings import API, problems
from adapters.vendure.shop import Shop
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
    batch_max=50,
    concurrency=3,
    rate_per_s=20.0,
    burst=40,
    compare_and_set=False,
    request_life_s=60.0,
    feed_lag_s=5.0,
    overlap_s=180.0,
    poll_interval_s=30.0,
    webhooks_late_s=120.0,
    returns_unsure=True,
    lookback_s=14 * 86_400.0,
)
"""Nothing of this is stated by Vendure, which is the owner's own server: no rate limit, so calls are few enough to
leave it to its shoppers. A few at a time: while one listing is read back, others can be told. An order shows when its
transaction is committed, its stamps are from within it: seconds before a raise may rest on the feed, and three
minutes that each poll reaches back. The plugin tries for little more than a minute to tell. Orders may wait for weeks
to be sent: the first poll must know them, or their cancellation would not be understood.

What a cancellation puts back is not always what was cancelled. Of a line of which some units are handed over and some
not, Vendure releases as many as it can and takes as many back as it can (measured at 3.7.3: of three, two handed
over, two cancelled put three back); what was sold beyond the stock was never allocated, and is not released. So the
listing is read to know."""


@define
class Vendure(Rarely):
    """One shop. Pure: it holds nothing but its configuration."""

    shop: Shop
    traits: Traits = TRAITS
    scheme: Scheme = inbound.SCHEME
    tokens: tuple[TokenSource, ...] = ()

    def parse(self, delivery: Delivery) -> Facts:
        """See `inbound.parse`."""
        return inbound.parse(delivery)

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
        """See `push.push`. `key` has no use: there are no idempotency keys, and levels are absolute."""
        del key
        return push.push(self.shop, batch)

    def webhooks(self) -> Exchange[tuple[Webhook, ...] | Failure]:
        """Nobody subscribes anything: the plugin is told by whoever runs the server."""
        yield from ()
        return ()

    def wanted_topics(self) -> tuple[str, ...]:
        """See `webhooks`."""
        return ()

    def order_topics(self) -> tuple[str, str]:
        """See `inbound`."""
        return (inbound.PLACED, inbound.CHANGED)

    def register(self, topic: str, url: str, existing: Webhook | None) -> Exchange[Webhook | Failure]:
        """See `webhooks`."""
        del topic, url, existing
        yield from ()
        return Failure(Outcome("permanent", "install onhand's plugin in the Vendure server: it tells of orders"))


def build(setup: Setup) -> Vendure:
    """The adapter of one configured shop. Raises `ValueError` with a sentence for what cannot work."""
    for key, sentence in problems(setup.options, set(setup.secrets)).items():
        raise ValueError(f"{key}: {sentence}")
    base_url = setup.base_url.rstrip("/")
    if not base_url.lower().startswith(("https://", "http://")):
        raise ValueError("base_url must start with https://")
    options, secrets = setup.options, setup.secrets
    key = secrets.get("api_key", "")
    shop = Shop(
        f"{base_url}/{options.get('admin_api', API).strip('/')}",
        location=options.get("location", ""),
        channel=options.get("channel_token", ""),
        api_key=key,
        login=None if key else (options["username"], secrets["password"]),
    )
    return Vendure(shop, setup.traits(TRAITS, batch_most=push.BATCH_MAX), tokens=shop.tokens())

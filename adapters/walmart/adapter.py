"""The Walmart adapter: one seller's account behind the channel port."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from attrs import define, field

from adapters.walmart import feeds, hooks, inbound, inventory, limits, orders, push
from adapters.walmart.seller import Seller
from daemon.domain.access import Limits, Meter, TokenSource
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
from daemon.domain.signatures import SharedSecret, SignatureScheme

TRAITS = Traits(
    batch_max=1,
    concurrency=4,
    rate_per_s=3.0,
    burst=20,
    request_life_s=120.0,
    feed_lag_s=120.0,
    overlap_s=900.0,
    poll_interval_s=20.0,
    registers_webhooks=True,
    webhooks_late_s=900.0,
    job_life_s=4 * 3_600.0,
    includes_held=True,
    read_back_s=60.0,
    lookback_s=14 * 86_400.0,
    bulk_from=2_000,
    bulk_max=5_000,
    bulk_every_s=360.0,
)
"""The pushed number includes Walmart's own open orders (walmart.md §5.1): what is sent must be noticed soon, and
nothing tells of it but polls, hence their short interval (orders allow 5000 calls a minute, §6). The feed is read up
to two minutes ago, and ten minutes and more behind its cursor (§4). 200 writes a minute (§6); a feed from 2000 on,
at most ten an hour (§5.3, §6); feeds are followed for four hours, the longest wait between checks that is advised.
A 200 may not be true: read back after a minute (§5.2, a third party's report). Unshipped lines are cancelled by
Walmart within days, so two weeks hold the open ones (§3)."""

_TOKEN = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_HEADER = re.compile(r"[A-Za-z0-9-]{1,64}")


@define
class Walmart(Rarely):
    """One seller. Pure: it holds nothing but its configuration."""

    seller: Seller
    traits: Traits = TRAITS
    webhook_secret: str = field(default="", repr=False)
    webhook_auth: str = "hmac"
    webhook_header: str = ""
    meters: Mapping[str, Meter] = limits.METERS
    tokens: tuple[TokenSource, ...] = field(init=False)

    @tokens.default
    def _tokens(self) -> tuple[TokenSource, ...]:
        return (self.seller.token_source(),)

    @property
    def scheme(self) -> SignatureScheme | SharedSecret:
        """See `inbound.scheme_of`."""
        return inbound.scheme_of(self.webhook_auth, self.webhook_header)

    def limits(self, response: Response) -> Limits | None:
        """See `limits.limits`."""
        return limits.limits(response)

    def life_s(self, batch: Sequence[Push] | None) -> float:
        """A feed may be applied long after it was handed in, also after a newer single write (walmart.md §5.3)."""
        return self.traits.request_life_s if batch is not None and len(batch) == 1 else self.traits.job_life_s

    def parse(self, delivery: Delivery) -> Facts:
        """See `inbound.parse`."""
        return inbound.parse(delivery)

    def orders(self, since_us: int, page: str) -> Exchange[OrderPage | Failure]:
        """See `orders.read_orders`."""
        return orders.read_orders(self.seller, since_us, page)

    def order(self, order: str) -> Exchange[OrderSeen | Failure | None]:
        """See `orders.read_order`."""
        return orders.read_order(self.seller, order)

    def listings(self, page: str) -> Exchange[ListingPage | Failure]:
        """See `inventory.read_listings`."""
        return inventory.read_listings(self.seller, page)

    def levels(self, listings: Sequence[str]) -> Exchange[tuple[LevelSeen, ...] | Failure]:
        """See `inventory.read_levels`."""
        return inventory.read_levels(self.seller, listings)

    def batches(self, pushes: Sequence[Push]) -> list[list[Push]]:
        """See `push.batches`."""
        return push.batches(self.seller, pushes, self.traits.bulk_from, self.traits.bulk_max)

    def push(self, batch: Sequence[Push], key: str) -> Exchange[Sequence[Outcome]]:
        """See `push.push`. `key` has no use: there are no idempotency keys, and levels are absolute."""
        del key
        return push.push(self.seller, batch)

    def follow(self, batch: Sequence[Push], job: str) -> Exchange[Sequence[Outcome]]:
        """See `feeds.follow`."""
        return feeds.follow(self.seller, batch, job)

    def webhooks(self) -> Exchange[tuple[Webhook, ...] | Failure]:
        """See `hooks.read_webhooks`."""
        return hooks.read_webhooks(self.seller)

    def wanted_topics(self) -> tuple[str, ...]:
        """Orders alone: what is out of stock is mostly the echo of our own zero (walmart.md §7)."""
        return (inbound.ORDER_UPDATES,)

    def order_topics(self) -> tuple[str, str]:
        """No event tells of what is sent or refunded (walmart.md §2.1)."""
        return (inbound.ORDER_UPDATES, "")

    def register(self, topic: str, url: str, existing: Webhook | None) -> Exchange[Webhook | Failure]:
        """See `hooks.register`."""
        return hooks.register(
            self.seller, self.webhook_auth, self.webhook_header, self.webhook_secret, topic, url, existing
        )


def build(setup: Setup) -> Walmart:
    """The adapter of one configured seller. Raises `ValueError` with a sentence for what cannot work."""
    client_id, client_secret = setup.options.get("client_id", ""), setup.secrets.get("client_secret", "")
    if not client_id or not client_secret:
        raise ValueError("a Walmart channel needs client_id and client_secret")
    base_url = setup.base_url.rstrip("/").removesuffix("/v3")
    if not base_url.lower().startswith(("https://", "http://")):
        raise ValueError("base_url must start with https://")
    node, channel_type = setup.options.get("ship_node", ""), setup.options.get("channel_type", "")
    for name, value in (("ship_node", node), ("channel_type", channel_type)):
        if value and not _TOKEN.fullmatch(value):
            raise ValueError(f"{name} holds something else than letters, digits and _.:-")
    header = setup.options.get("webhook_header", "")
    if header and not _HEADER.fullmatch(header):
        raise ValueError("webhook_header is not the name of a header: letters, digits and hyphens")
    way = setup.options.get("webhook_auth", "hmac")
    if way not in ("hmac", "basic"):
        raise ValueError("webhook_auth must be hmac or basic")
    return Walmart(
        Seller(base_url, client_id, client_secret, node, channel_type),
        traits=setup.traits(TRAITS),
        webhook_secret=next(iter(setup.webhook_secrets), ""),
        webhook_auth=way,
        webhook_header=header.lower(),
    )

"""The BigCommerce adapter: one location of one store behind the channel port."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set

from attrs import define, field

from adapters.bigcommerce import hooks, inbound, orders, push, refusals, stock
from adapters.bigcommerce.account import Store
from daemon.domain.access import Limits
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
    batch_max=250,
    concurrency=1,
    rate_per_s=4.5,
    burst=10,
    compare_and_set=False,
    request_life_s=120.0,
    feed_lag_s=5.0,
    overlap_s=180.0,
    poll_interval_s=60.0,
    registers_webhooks=True,
    webhooks_late_s=600.0,
    job_life_s=30.0,
    empty_answers=True,
    returns_unsure=True,
)
"""The smallest plan allows 150 calls in 30 s, for all apps of the store together (bigcommerce.md §6); every answer
says the true figures. One write at a time: what two at once leave is undefined (§5). 2,000 items may be written in
one call; 250 is what one read can look at before and after it. What a write left is looked at for half a minute, then
it is in doubt. Stamps are whole seconds, hence the feed's lag. Deliveries are repeated after 1, 3, 5 minutes and so
on, and a blocked domain waits three minutes more (§2). What a cancellation puts back under an item's safety stock
does not show (§4), and zero is written without reading how much that is."""

_STORE_HASH = re.compile(r"[a-z0-9]{1,40}")
_NUMBER = re.compile(r"[1-9][0-9]{0,9}")


@define
class BigCommerce(Rarely):
    """One location of one store. Pure: it holds nothing but its configuration."""

    store: Store
    scheme: Scheme
    traits: Traits = TRAITS
    signed: bool = True
    webhook_key: str = field(default="", repr=False)
    most_per_s: float | None = None
    """What the configuration allows at most, whatever the store would."""

    def limits(self, response: Response) -> Limits | None:
        """See `refusals.limits`."""
        return refusals.limits(response, self.most_per_s)

    def parse(self, delivery: Delivery) -> Facts:
        """See `inbound.parse`."""
        return inbound.parse(delivery, self.store.store_hash, signed=self.signed)

    def orders(self, since_us: int, page: str) -> Exchange[OrderPage | Failure]:
        """See `orders.read_orders`."""
        return orders.read_orders(self.store, since_us, page)

    def order(self, order: str) -> Exchange[OrderSeen | Failure | None]:
        """See `orders.read_order`."""
        return orders.read_order(self.store, order)

    def listings(self, page: str) -> Exchange[ListingPage | Failure]:
        """See `stock.read_listings`."""
        return stock.read_listings(self.store, page)

    def levels(self, listings: Sequence[str]) -> Exchange[tuple[LevelSeen, ...] | Failure]:
        """See `stock.read_levels`."""
        return stock.read_levels(self.store, listings)

    def batches(self, pushes: Sequence[Push]) -> list[list[Push]]:
        """See `push.batches`."""
        return push.batches(pushes, self.traits.batch_max)

    def push(self, batch: Sequence[Push], key: str) -> Exchange[Sequence[Outcome]]:
        """See `push.push`. `key` only names the reason of the change: there are no idempotency keys (§5)."""
        return push.push(self.store, batch, key)

    def follow(self, batch: Sequence[Push], job: str) -> Exchange[Sequence[Outcome]]:
        """See `push.follow`."""
        return push.follow(self.store, batch, job)

    def webhooks(self) -> Exchange[tuple[Webhook, ...] | Failure]:
        """See `hooks.read_webhooks`."""
        return hooks.read_webhooks(self.store)

    def wanted_topics(self) -> tuple[str, ...]:
        """Orders alone. What changes the stock without an order is found by comparing levels; its hooks would echo
        every push of ours (§7). A delivery that failed for good may only be told to another address (§2): the hourly
        look at the subscriptions finds what it would say."""
        return inbound.ORDER_SCOPES

    def order_topics(self) -> tuple[str, str]:
        """A new order is told as created, every further change as updated."""
        return ("store/order/created", "store/order/updated")

    def register(self, topic: str, url: str, existing: Webhook | None) -> Exchange[Webhook | Failure]:
        """See `hooks.register`."""
        return hooks.register(self.store, self.webhook_key, topic, url, existing)


def problems(options: Mapping[str, str], secrets: Set[str]) -> Mapping[str, str]:
    """By key, what is wrong with the options, or with which secrets are given (`secrets` are their names)."""
    found: dict[str, str] = {}
    if "store_hash" in options and not _STORE_HASH.fullmatch(options["store_hash"]):
        found["store_hash"] = "write it as in the API path, stores/abc123xyz: letters and digits only"
    location = options.get("location_id", "1")
    if not (_NUMBER.fullmatch(location) and int(location) < 2**31):
        found["location_id"] = "write the number of a location, 1 for the default one"
    if options.get("signed", "yes") == "no" and "webhook_key" in secrets:
        found["webhook_key"] = "leave it out where signed is no: the header's secret stands in webhook_secrets then"
    if options.get("signed", "yes") == "yes" and "webhook_secrets" in secrets and "webhook_key" not in secrets:
        found["webhook_key"] = "this key is missing: a secret of your own making, sent with each webhook in a header"
    return found


def build(setup: Setup) -> BigCommerce:
    """The adapter of one configured store. Raises `ValueError` with a sentence for what cannot work."""
    token, store_hash = setup.secrets.get("access_token", ""), setup.options.get("store_hash", "")
    if not token:
        raise ValueError("a BigCommerce channel needs an access_token")
    if not store_hash:
        raise ValueError("a BigCommerce channel needs a store_hash")
    for name, sentence in problems(setup.options, frozenset()).items():
        raise ValueError(f"{name}: {sentence}")
    location = setup.options.get("location_id", "1")
    signed = setup.options.get("signed", "yes")
    if signed not in ("yes", "no"):
        raise ValueError("signed must be yes or no")
    key = setup.secrets.get("webhook_key", "")
    if signed == "yes" and setup.webhook_secrets and not key:
        raise ValueError("webhook_key is missing: a BigCommerce channel with webhooks proves them by a header, too")
    if signed == "no":
        key = next(iter(setup.webhook_secrets), "")
    return BigCommerce(
        Store(store_hash, token, int(location), setup.base_url.rstrip("/")),
        inbound.scheme(signed=signed == "yes", key=key),
        traits=setup.traits(TRAITS, batch_most=push.BATCH_MAX),
        signed=signed == "yes",
        webhook_key=key,
        most_per_s=setup.overrides.get("rate_per_s"),
    )

"""The Amazon adapter: one seller's account behind the channel port."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from attrs import define, field

from adapters.amazon import catalogue, feed, hooks, inbound, orders, push, refusals
from adapters.amazon.account import HOSTS, LWA_HOST, METERS, Seller
from adapters.sigv4 import AwsKey
from adapters.sqs import sqs_queue
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
from daemon.domain.queues import Queue
from daemon.domain.signatures import Fetched

TRAITS = Traits(
    batch_max=10,
    concurrency=6,
    rate_per_s=5.0,
    burst=5,
    request_life_s=900.0,
    feed_lag_s=180.0,
    overlap_s=2_100.0,
    poll_interval_s=300.0,
    catalogue_interval_s=6 * 3_600.0,
    registers_webhooks=True,
    webhooks_late_s=900.0,
    job_life_s=4 * 3_600.0,
    bulk_from=1_500,
    bulk_max=5_000,
    bulk_every_s=1_200.0,
)
"""amazon.md §4.1, §5, §6. Orders may be searched for once in three minutes: the queue is the fast path, and the poll
every five minutes leaves some calls for raises, which wait for it. The search ends two minutes ago, and a minute is
added. That orders take up to half an hour to be found there was said of the old API: the overlap covers it, and each
write looks at its listing first. A PATCH that nobody answered may take some minutes to be applied, a feed hours.

A PATCH carries one listing, whatever the batch; but ten that are read back are read at once, because each reading
back holds its place until the search has caught up with it, three minutes later."""

BULK_LIFE_S = 4 * 3_600.0
"""Feeds take half an hour in quiet times, hours in others (§5.2)."""
PENDING_S = 24 * 3_600.0
"""An unpaid order of which nothing more was heard is fetched again after this, unless configured."""

_MARKETPLACE = re.compile(r"[A-Z0-9]{10,20}")
_SELLER = re.compile(r"[A-Z0-9]{5,30}")
_HOURS = re.compile(r"[0-9]{1,3}(\.[0-9]{1,2})?")


@define
class Amazon(Rarely):
    """One seller. Pure: it holds nothing but its configuration."""

    seller: Seller
    queue: Queue | None
    tokens: tuple[TokenSource, ...]
    traits: Traits = TRAITS
    hosts: tuple[str, ...] = (LWA_HOST, *HOSTS.values(), *feed.FILE_HOSTS)
    meters: Mapping[str, Meter] = field(factory=lambda: METERS)
    pending_s: float = PENDING_S
    scheme: Fetched = field(factory=Fetched)

    def life_s(self, batch: Sequence[Push] | None) -> float:
        """A feed may be applied for hours; whoever was interrupted may have sent one."""
        bulk = self.traits.bulk_from > 0 if batch is None else len(batch) > self.traits.batch_max
        return max(self.traits.request_life_s, BULK_LIFE_S) if bulk else self.traits.request_life_s

    def limits(self, response: Response) -> Limits | None:
        """See `refusals.limits`."""
        return refusals.limits(response)

    def parse(self, delivery: Delivery) -> Facts:
        """See `inbound.parse`."""
        return inbound.parse(delivery, self.seller.seller_id)

    def orders(self, since_us: int, page: str) -> Exchange[OrderPage | Failure]:
        """See `orders.read_orders`."""
        return orders.read_orders(self.seller, since_us, page, self.pending_s)

    def order(self, order: str) -> Exchange[OrderSeen | Failure | None]:
        """See `orders.read_order`."""
        return orders.read_order(self.seller, order, self.pending_s)

    def listings(self, page: str) -> Exchange[ListingPage | Failure]:
        """See `catalogue.read_listings`."""
        return catalogue.read_listings(self.seller, page)

    def levels(self, listings: Sequence[str]) -> Exchange[tuple[LevelSeen, ...] | Failure]:
        """See `catalogue.read_levels`."""
        return catalogue.read_levels(self.seller, listings)

    def batches(self, pushes: Sequence[Push]) -> list[list[Push]]:
        """One listing a PATCH; many together where they are enough for a feed (§5.2)."""
        bulk = self.traits.bulk_from
        if bulk and len(pushes) >= max(bulk, self.traits.batch_max + 1):
            most = max(1, min(self.traits.bulk_max, feed.MESSAGES_MAX))
            return [list(pushes[start : start + most]) for start in range(0, len(pushes), most)]
        return [[each] for each in pushes]

    def push(self, batch: Sequence[Push], key: str) -> Exchange[Sequence[Outcome]]:
        """See `push.push` and `feed.submit`. `key` has no use: Amazon takes no idempotency key (§5.1)."""
        del key
        if len(batch) > 1:
            return (yield from feed.submit(self.seller, batch))
        return [(yield from push.push(self.seller, batch[0]))]

    def follow(self, batch: Sequence[Push], job: str) -> Exchange[Sequence[Outcome]]:
        """See `feed.follow` and `push.follow_shown`."""
        return feed.follow(self.seller, batch, job)

    def webhooks(self) -> Exchange[tuple[Webhook, ...] | Failure]:
        """See `hooks.read_webhooks`."""
        return hooks.read_webhooks(self.seller, self.wanted_topics())

    def wanted_topics(self) -> tuple[str, ...]:
        """Orders alone. Whether a type of the listings may be delivered to a queue is not sure (§2.1); where a person
        has subscribed one, it is read."""
        return (inbound.ORDER_CHANGE,)

    def order_topics(self) -> tuple[str, str]:
        """One tells of both."""
        return (inbound.ORDER_CHANGE, inbound.ORDER_CHANGE)

    def register(self, topic: str, url: str, existing: Webhook | None) -> Exchange[Webhook | Failure]:
        """See `hooks.register`."""
        del existing
        return hooks.register(self.seller, topic, url)


def build(setup: Setup) -> Amazon:
    """The adapter of one configured seller. Raises `ValueError` with a sentence for what cannot work."""
    options, secrets = setup.options, setup.secrets
    region = options.get("region", "")
    if region not in HOSTS:
        raise ValueError(f"region must be one of {', '.join(HOSTS)}")
    marketplaces = tuple(each.strip() for each in options.get("marketplaces", "").split(","))
    if not 1 <= len(marketplaces) <= 25 or not all(map(_MARKETPLACE.fullmatch, marketplaces)):
        raise ValueError("marketplaces must name marketplace ids, as ATVPDKIKX0DER, with commas between them")
    seller_id = options.get("seller_id", "")
    if not _SELLER.fullmatch(seller_id):
        raise ValueError("seller_id must be the seller's (merchant) id, letters and digits as A1EXAMPLESELLER")
    names = ("client_id", "client_secret", "refresh_token", "aws_key_id", "aws_secret")
    if missing := [name for name in names if not secrets.get(name)]:
        raise ValueError(f"an Amazon channel needs {' and '.join(missing)}")
    key = AwsKey(secrets["aws_key_id"], secrets["aws_secret"], secrets.get("aws_session", ""))
    if not all(each.isascii() and each.isprintable() for each in (key.key_id, key.secret, key.session)):
        raise ValueError("the AWS key holds what no AWS key holds: check for line breaks and blanks")
    base_url = (setup.base_url or f"https://{HOSTS[region]}").rstrip("/")
    seller = Seller(
        base_url, seller_id, marketplaces,
        secrets["client_id"], secrets["client_secret"], secrets["refresh_token"],
    )  # fmt: skip
    return Amazon(
        seller, sqs_queue(options.get("queue_url", ""), key, options.get("queue_region", "")), seller.tokens(),
        traits=_traits(setup), pending_s=_pending_s(options.get("pending_hours", "")),
    )  # fmt: skip


def _pending_s(text: str) -> float:
    if not text:
        return PENDING_S
    if not _HOURS.fullmatch(text) or float(text) < 1:
        raise ValueError("pending_hours must be a number of hours, at least 1")
    return float(text) * 3_600.0


def _traits(setup: Setup) -> Traits:
    if setup.options.get("bulk", "feed") == "patch":
        return setup.traits(TRAITS, bulk_from=0)
    return setup.traits(TRAITS)

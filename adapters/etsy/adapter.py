"""The Etsy adapter: one shop behind the channel port."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set

from attrs import define

from adapters.etsy import inbound, oauth, push, receipts, refusals, stock
from adapters.etsy.account import API_URL, TOKEN_HOST, Shop
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
from daemon.domain.signatures import SignatureScheme

TRAITS = Traits(
    batch_max=100,
    concurrency=1,
    rate_per_s=0.1,
    burst=300,
    compare_and_set=False,
    request_life_s=120.0,
    feed_lag_s=10.0,
    overlap_s=900.0,
    poll_interval_s=120.0,
    catalogue_interval_s=21_600.0,
    registers_webhooks=False,
    returns_unsure=True,
)
"""A new app may make 10,000 calls a day (etsy.md §6): a poll takes two, a write three. One write at a time, so that
no two read the same listing. That a receipt is paid may show late: hence the long overlap (§4). Webhooks are set up
by hand in Etsy's portal (§2), and tell only what was paid: the poll is the way that everything comes."""

_NUMBER = re.compile(r"[1-9][0-9]{0,17}")


@define
class Etsy(Rarely):
    """One shop. Pure: it holds nothing but its configuration."""

    shop: Shop
    tokens: tuple[TokenSource, ...]
    traits: Traits = TRAITS
    hosts: tuple[str, ...] = ()
    scheme: SignatureScheme = inbound.SCHEME
    renew: bool = False
    most_per_s: float | None = None
    """What the configuration allows at most, whatever Etsy would."""

    def limits(self, response: Response) -> Limits | None:
        """See `refusals.limits`."""
        return refusals.limits(response, self.most_per_s)

    def parse(self, delivery: Delivery) -> Facts:
        """See `inbound.parse`."""
        return inbound.parse(delivery, self.shop.shop)

    def orders(self, since_us: int, page: str) -> Exchange[OrderPage | Failure]:
        """See `receipts.read_receipts`."""
        return receipts.read_receipts(self.shop, since_us, page)

    def order(self, order: str) -> Exchange[OrderSeen | Failure | None]:
        """See `receipts.read_receipt`."""
        return receipts.read_receipt(self.shop, order)

    def listings(self, page: str) -> Exchange[ListingPage | Failure]:
        """See `stock.read_listings`."""
        return stock.read_listings(self.shop, page)

    def levels(self, listings: Sequence[str]) -> Exchange[tuple[LevelSeen, ...] | Failure]:
        """See `stock.read_levels`."""
        return stock.read_levels(self.shop, listings)

    def batches(self, pushes: Sequence[Push]) -> list[list[Push]]:
        """See `push.batches`."""
        return push.batches(pushes, self.traits.batch_max)

    def push(self, batch: Sequence[Push], key: str) -> Exchange[Sequence[Outcome]]:
        """See `push.push`. `key` has no use: there are no idempotency keys (§5)."""
        del key
        return push.push(self.shop, batch, renew=self.renew)

    def webhooks(self) -> Exchange[tuple[Webhook, ...] | Failure]:
        """Nobody but the portal knows them (§2): there is no API to ask."""
        yield from ()
        return ()

    def wanted_topics(self) -> tuple[str, ...]:
        """None that we could subscribe: a person does, in the portal."""
        return ()

    def order_topics(self) -> tuple[str, str]:
        """No event tells of every new receipt, nor of every change (§2), so none can be missed."""
        return ("", "")

    def register(self, topic: str, url: str, existing: Webhook | None) -> Exchange[Webhook | Failure]:  # noqa: ARG002
        """Cannot be done."""
        yield from ()
        said = f"{topic[:40]}: Etsy's webhooks are set up by hand, in its developer portal"
        return Failure(Outcome("permanent", said))


def problems(options: Mapping[str, str], secrets: Set[str]) -> Mapping[str, str]:  # noqa: ARG001  # the port's
    """By key, what is wrong with the options."""
    if "shop_id" in options and not _NUMBER.fullmatch(options["shop_id"]):
        return {"shop_id": "write the shop's number, as 12345678, not its name"}
    return {}


def build(setup: Setup) -> Etsy:
    """The adapter of one configured shop. Raises `ValueError` with a sentence for what cannot work."""
    number = setup.options.get("shop_id", "")
    if not _NUMBER.fullmatch(number):
        raise ValueError("shop_id must be the shop's number, as 12345678")
    names = ("keystring", "shared_secret", "refresh_token")
    keystring, shared_secret, refresh = (setup.secrets.get(name, "") for name in names)
    if not (keystring and shared_secret and refresh):
        raise ValueError("an Etsy channel needs keystring, shared_secret and refresh_token")
    renew = setup.options.get("renew", "no")
    if renew not in ("yes", "no"):
        raise ValueError("renew must be yes or no")
    shop = Shop(int(number), keystring, shared_secret, setup.base_url.rstrip("/"))
    return Etsy(
        shop,
        (oauth.source(shop, refresh),),
        traits=setup.traits(TRAITS),
        hosts=(TOKEN_HOST,) if shop.base_url == API_URL else (),
        renew=renew == "yes",
        most_per_s=setup.overrides.get("rate_per_s"),
    )

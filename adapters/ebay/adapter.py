"""The eBay adapter: one seller's account behind the channel port."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import define, field

from adapters.ebay import catalogue, hooks, inbound, orders, push
from adapters.ebay.api import PRODUCTION, Api
from adapters.ebay.oauth import Keyset
from daemon.domain.access import Meter, TokenSource
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
from daemon.domain.signatures import Challenge, Notice, Scheme

TRAITS = Traits(
    batch_max=push.BATCH_MAX,
    concurrency=2,
    rate_per_s=10.0,
    burst=20,
    compare_and_set=False,
    request_life_s=120.0,
    feed_lag_s=120.0,
    overlap_s=420.0,
    poll_interval_s=90.0,
    catalogue_interval_s=21_600.0,
    registers_webhooks=True,
    webhooks_late_s=900.0,
    returns_unsure=True,
)
"""An order may be two minutes late in the feed, and pages of a moving set may skip one: hence the lag, and the
overlap (ebay.md §4). Inventory takes 2 000 000 calls a day, 23 a second, and each SKU takes one of its own for
its offers: hence the rate, and a whole catalogue but four times a day. Trading takes 5000 a day, each poll two
of them (§6). Notifications come after minutes: a median of 364 s was seen (§2.1). A
cancelled order does not by itself put its units back into the listing, but whoever cancels may have them put back
(§3; from memory): so the listing is read."""

TRADING_CALLS = 5_000
TRADING_PART = 0.9
"""Of the day's Trading calls so many are used: the seller's other tools have the rest."""
TRADING_BURST = 200
PREFERENCES_PER_S = 1.0
"""Questions before a 0 have a meter of their own: no 0 waits for the polls' one. `at_zero: push` spares them."""


@define
class Ebay(Rarely):
    """One account. Pure: it holds nothing but its configuration."""

    api: Api
    keyset: Keyset
    traits: Traits = TRAITS
    scheme: Scheme = field(kw_only=True)
    tokens: tuple[TokenSource, ...] = field(default=(), kw_only=True)
    challenge: Challenge | None = field(default=None, kw_only=True)
    meters: Mapping[str, Meter] = field(kw_only=True)
    subscriber: hooks.Subscriber = field(kw_only=True, repr=False)
    user_id: str = field(default="", kw_only=True)
    unpaid: bool = field(default=True, kw_only=True)
    push_zero: bool = field(default=False, kw_only=True)

    def parse(self, delivery: Delivery) -> Facts:
        """See `inbound.parse`."""
        return inbound.parse(delivery, self.user_id)

    def orders(self, since_us: int, page: str) -> Exchange[OrderPage | Failure]:
        """See `orders.read_orders`."""
        return orders.read_orders(self.api, since_us, page, unpaid=self.unpaid)

    def order(self, order: str) -> Exchange[OrderSeen | Failure | None]:
        """See `orders.read_order`."""
        return orders.read_order(self.api, order)

    def listings(self, page: str) -> Exchange[ListingPage | Failure]:
        """See `catalogue.read_listings`."""
        return catalogue.read_listings(self.api, page)

    def levels(self, listings: Sequence[str]) -> Exchange[tuple[LevelSeen, ...] | Failure]:
        """See `catalogue.read_levels`."""
        return catalogue.read_levels(self.api, listings)

    def batches(self, pushes: Sequence[Push]) -> list[list[Push]]:
        """See `push.batches`."""
        return push.batches(pushes, self.traits.batch_max)

    def push(self, batch: Sequence[Push], key: str) -> Exchange[Sequence[Outcome]]:
        """See `push.push`. `key` has no use: eBay knows no idempotency keys."""
        del key
        return push.push(self.api, batch, push_zero=self.push_zero)

    def webhooks(self) -> Exchange[tuple[Webhook, ...] | Failure]:
        """See `hooks.read_webhooks`."""
        return hooks.read_webhooks(self.api)

    def wanted_topics(self) -> tuple[str, ...]:
        """See `inbound.TOPICS`; none where a person sets up Platform Notifications."""
        return inbound.TOPICS if self.traits.registers_webhooks else ()

    def order_topics(self) -> tuple[str, str]:
        """None: a notification names an order but no version of it, so none can be missed. The feed tells all."""
        return ("", "")

    def register(self, topic: str, url: str, existing: Webhook | None) -> Exchange[Webhook | Failure]:
        """See `hooks.register`."""
        return hooks.register(self.api, self.subscriber, topic, url, existing)


def build(setup: Setup) -> Ebay:
    """The adapter of one configured account. Raises `ValueError` with a sentence for what cannot work."""
    options = setup.options
    client_id, scopes = options.get("client_id", ""), options.get("scopes", "")
    client_secret, refresh = setup.secrets.get("client_secret", ""), setup.secrets.get("refresh_token", "")
    if not client_id or not client_secret or not refresh:
        raise ValueError("an eBay channel needs client_id, client_secret and refresh_token")
    base_url = (setup.base_url or PRODUCTION).rstrip("/")
    signed = _choice(options, "notifications", ("signed", "platform")) == "signed"
    unpaid = _choice(options, "unpaid_orders", ("trading", "none")) == "trading"
    push_zero = _choice(options, "at_zero", ("ask", "push")) == "push"
    token = next(iter(setup.webhook_secrets), "")
    if signed and token and hooks.VERIFICATION_TOKEN.fullmatch(token) is None:
        raise ValueError(
            "the first of webhook_secrets is eBay's verification token: 32 to 80 letters, digits, - and _"
        )
    api = Api(base_url)
    keyset = Keyset(base_url, client_id, client_secret, " ".join(scopes.split()))
    return Ebay(
        api,
        keyset,
        setup.traits(TRAITS, registers_webhooks=signed),
        scheme=inbound.scheme(api) if signed else Notice(),
        tokens=keyset.sources(refresh),
        challenge=Challenge("challenge_code", "challengeResponse", token) if signed and token else None,
        meters={
            "trading": Meter(_trading_rate(options.get("trading_calls_per_day", "")), TRADING_BURST),
            "preferences": Meter(PREFERENCES_PER_S, TRADING_BURST),
        },
        subscriber=hooks.Subscriber(options.get("alert_email", ""), token),
        user_id=options.get("user_id", ""),
        unpaid=unpaid,
        push_zero=push_zero,
    )


def _choice(options: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str:
    found = options.get(name, choices[0])
    if found not in choices:
        raise ValueError(f"{name} must be {' or '.join(choices)}")
    return found


def _trading_rate(text: str) -> float:
    if text and not (text.isascii() and text.isdigit() and 100 <= int(text[:12]) <= 100_000_000):
        raise ValueError("trading_calls_per_day must be a whole number from 100 on")
    return (int(text) if text else TRADING_CALLS) * TRADING_PART / 86_400

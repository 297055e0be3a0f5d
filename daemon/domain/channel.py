"""The channel port: what an adapter promises. Bytes in, values out: no I/O, no clock, no randomness, no async.

An adapter speaks of the channel's own ids and the channel's own clock (`own`, µs since 1970 as the channel
says it); the daemon puts both into its own terms. It never raises for anything a channel sends: what cannot
be understood is said as a value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from types import MappingProxyType
from typing import Any, Literal, Protocol

from attrs import evolve, field, frozen

from daemon.domain.access import Limits, Meter, TokenSource
from daemon.domain.exchange import Exchange, Response
from daemon.domain.instants import Span
from daemon.domain.outcomes import Failure, Outcome
from daemon.domain.queues import Queue
from daemon.domain.signatures import Challenge, Scheme

# --- what comes in ------------------------------------------------------------------------------------------


@frozen
class Delivery:
    """A webhook as it arrived. Header names are lower case; `body` are the exact bytes the signature covers.

    A header that came several times keeps all its values, told apart by a line feed, which no value can hold.
    """

    headers: Mapping[str, str]
    body: bytes
    query: str = ""
    received_us: int = 0


@frozen
class LineSeen:
    """One line of an order as the channel shows it; quantities in units, absolute (see `OrderLine`).

    `seller_sku` is None where the channel names none; then `listing` decides which SKU it is.
    """

    line: str
    listing: str
    seller_sku: str | None
    ordered: int
    cancelled: int = 0
    restocked: int = 0
    fulfilled: int = 0
    location: str = ""


@frozen
class OrderSeen:
    """One version of an order with all its lines: a known line that is missing here holds nothing any more."""

    order: str
    version: int
    """The channel's own version; grows with every change that the channel counts as one."""
    updated: Span
    """When this version came to be, on the channel's clock."""
    lines: tuple[LineSeen, ...]
    placed: Span | None = None
    takes_at_placement: bool = False
    look_again_s: float = 0.0
    """So much later it is fetched again, where no newer news of it came: what becomes of it may stay untold. 0: no
    need."""


@frozen
class LevelSeen:
    """The level a listing shows. None: the channel does not manage a quantity here (unknown, never zero)."""

    listing: str
    level: int | None
    own: Span | None
    seller_sku: str | None = None
    version: int = 0
    title: str = ""
    included: int | None = 0
    """Units of the channel's own open orders within `level` (`Traits.includes_held`); None where it does not say."""

    @property
    def countable(self) -> int | None:
        """Units that may be sold, as the channel has it: what a first count may be taken from."""
        return None if self.level is None or self.included is None else self.level - self.included


@frozen
class Facts:
    """What a webhook tells.

    identity: equal for redeliveries of one message and for nothing else ("" where the channel gives none)
    kept: the body without any buyer data, fit to be stored and parsed again by the same adapter
    look: the message says only that something changed: poll the feeds now
    refetch: orders to fetch again
    puzzle: signed, but not understood: why (kept as a dead letter; a retry could not help)
    """

    topic: str
    identity: str
    kept: bytes
    orders: tuple[OrderSeen, ...] = ()
    levels: tuple[LevelSeen, ...] = ()
    refetch: tuple[str, ...] = ()
    look: bool = False
    puzzle: str = ""


# --- what is read -------------------------------------------------------------------------------------------


@frozen
class OrderPage:
    """One page of the order feed. `next_page` "" means that this was the last one."""

    orders: tuple[OrderSeen, ...]
    next_page: str
    high_water_us: int
    """The newest stamp on this page, on the channel's clock; 0 for an empty page."""
    puzzles: tuple[str, ...] = ()
    """Orders on the page that were not understood: id and why."""


@frozen
class ListingPage:
    """One page of the catalogue. `next_page` "" means that this was the last one."""

    levels: tuple[LevelSeen, ...]
    next_page: str


@frozen
class Webhook:
    """A subscription as the channel shows it."""

    topic: str
    url: str
    state: Literal["active", "paused", "disabled"]
    webhook_id: str


# --- what goes out ------------------------------------------------------------------------------------------


@frozen
class Push:
    """Show `level` at `listing`. `believed` is what we think it shows now (for compare-and-set)."""

    listing: str
    level: int
    believed: int | None
    generation: int


@frozen
class Traits:
    """What the dispatcher and the poller must know of a platform.

    request_life_s: after this no request that we gave up can still be applied by the channel
    compare_and_set: a push is refused where the channel shows something else than `believed`
    feed_lag_s: an order may take so long to appear in the order feed
    overlap_s: how far each poll reaches back behind its cursor
    webhooks_late_s: webhooks may be so late as a matter of course
    job_life_s: so long a push that was "accepted" is followed; after that its outcome is unknown
    empty_answers: the platform wants its webhooks answered without a body
    includes_held: a level is what may be sold and, with it, what was sold there and is not sent yet: the channel
      takes its open orders off by itself. So its sales do not move the level, and sending does
    returns_unsure: units that a cancellation gives back may, or may not, come back by themselves to the level that
      the channel shows: the listing is read to know
    read_back_s: a push that was acknowledged is read back so much later, because the channel does not always do what
      it acknowledges; 0: it does
    lookback_s: how far back the very first poll reaches
    bulk_from, bulk_max, bulk_every_s: where at least `bulk_from` listings wait, up to `bulk_max` of them go in one
      batch, at most one such batch every so many seconds; `batch_max` holds for everything else. 0: there is no
      such way
    """

    batch_max: int = 1
    concurrency: int = 2
    rate_per_s: float = 5.0
    burst: int = 10
    compare_and_set: bool = False
    request_life_s: float = 120.0
    feed_lag_s: float = 0.0
    overlap_s: float = 120.0
    poll_interval_s: float = 60.0
    catalogue_interval_s: float = 3600.0
    registers_webhooks: bool = False
    webhooks_late_s: float = 0.0
    job_life_s: float = 3600.0
    empty_answers: bool = False
    includes_held: bool = False
    returns_unsure: bool = False
    read_back_s: float = 0.0
    lookback_s: float = 3 * 86_400.0
    bulk_from: int = 0
    bulk_max: int = 0
    bulk_every_s: float = 0.0


class Rarely:
    """What most platforms need not say. An adapter inherits this and overrides what its platform does need.

    hosts: hosts beside the base URL's that requests go to: `host`, `host:port`, or `.domain` for every name below it
    tokens: access tokens that have to be asked for; see `TokenSource`
    challenge: how the platform makes sure that our endpoint is ours
    meters: rate limits of single operations, by the name that `Request.meter` gives; "" is the account's usual one,
      which the traits (and the configuration) set
    queue: what the platform tells waits there, instead of being sent to us (`scheme` is `Fetched` then)
    """

    traits: Traits
    hosts: tuple[str, ...] = ()
    tokens: tuple[TokenSource, ...] = ()
    challenge: Challenge | None = None
    meters: Mapping[str, Meter] = MappingProxyType({})
    queue: Queue | None = None

    def life_s(self, batch: Sequence[Push] | None) -> float:  # noqa: ARG002  # what an overriding one reads
        """So long a push of this batch may still be applied that nobody answered. None: nobody knows any more how it
        went out, because we were interrupted."""
        return self.traits.request_life_s

    def greet(self, delivery: Delivery) -> bool:  # noqa: ARG002  # what an overriding one reads
        """Is this the platform's unsigned ping or handshake? It is answered 200 and nothing is stored. Most platforms
        have none, or one that `challenge` describes."""
        return False

    def limits(self, response: Response) -> Limits | None:  # noqa: ARG002  # as above
        """What an answer, of whatever status, tells of the rate limit it counted against. Pure; never raises."""
        return None

    def follow(self, batch: Sequence[Push], job: str) -> Exchange[Sequence[Outcome]]:  # noqa: ARG002  # as above
        """What became of a push whose outcome was "accepted" with this `job`. One outcome per item, in order.

        What is not decided yet, or cannot be read now, is "accepted" again with the same `job`: it is asked again.
        """
        yield from ()
        return [Outcome("unknown", "this platform has no jobs to follow")] * len(batch)


class Adapter(Protocol):
    """One platform, one store account. Every method is pure; every generator may be dropped at any point.

    The members from `hosts` to `follow` are those of `Rarely`, which see.
    """

    traits: Traits
    hosts: tuple[str, ...]
    tokens: tuple[TokenSource, ...]
    challenge: Challenge | None
    meters: Mapping[str, Meter]
    queue: Queue | None

    @property
    def scheme(self) -> Scheme:
        """How the platform proves that a webhook is its own."""
        ...

    def life_s(self, batch: Sequence[Push] | None) -> float: ...

    def limits(self, response: Response) -> Limits | None: ...

    def follow(self, batch: Sequence[Push], job: str) -> Exchange[Sequence[Outcome]]: ...

    def greet(self, delivery: Delivery) -> bool: ...

    def parse(self, delivery: Delivery) -> Facts:
        """Read a delivery whose signature has been verified (or a stored `kept` body). Never raises."""
        ...

    def orders(self, since_us: int, page: str) -> Exchange[OrderPage | Failure]:
        """A page of orders changed since `since_us` (channel's clock), oldest change first; "" is the first page."""
        ...

    def order(self, order: str) -> Exchange[OrderSeen | Failure | None]:
        """One order as it is now; None if the channel says that it does not exist."""
        ...

    def listings(self, page: str) -> Exchange[ListingPage | Failure]:
        """A page of the catalogue with its levels."""
        ...

    def levels(self, listings: Sequence[str]) -> Exchange[tuple[LevelSeen, ...] | Failure]:
        """The levels of some listings as they are now, past every cache; listings that are gone are left out."""
        ...

    def batches(self, pushes: Sequence[Push]) -> list[list[Push]]:
        """Split into groups that one call can carry, in the given order of urgency."""
        ...

    def push(self, batch: Sequence[Push], key: str) -> Exchange[Sequence[Outcome]]:
        """Push one group. One outcome per item, in order. `key` identifies this very call for idempotency.

        Where the channel only takes a push in and decides later, the outcome is "accepted" with its `job`.
        """
        ...

    def webhooks(self) -> Exchange[tuple[Webhook, ...] | Failure]:
        """The subscriptions that exist, whatever their state."""
        ...

    def wanted_topics(self) -> tuple[str, ...]:
        """The topics that must be subscribed; empty where the platform is told elsewhere."""
        ...

    def order_topics(self) -> tuple[str, str]:
        """The topics that tell of a new order and of a changed one, as `parse` names them; "" where none does."""
        ...

    def register(self, topic: str, url: str, existing: Webhook | None) -> Exchange[Webhook | Failure]:
        """Create the subscription, or switch `existing` on again."""
        ...


# --- how an adapter is made ---------------------------------------------------------------------------------


@frozen
class Option:
    """One key that a channel of this platform takes in config.yaml, beside those every channel takes."""

    name: str
    meaning: str
    required: bool = False
    secret: bool = False
    choices: tuple[str, ...] = ()
    """The only values there are; empty where any text will do."""


@frozen
class Setup:
    """Everything an adapter is made from. Secrets are resolved and never show in `repr`."""

    channel: str
    base_url: str
    options: Mapping[str, str] = field(factory=dict)
    secrets: Mapping[str, str] = field(factory=dict, repr=False)
    webhook_secrets: tuple[str, ...] = field(default=(), repr=False)
    overrides: Mapping[str, float] = field(factory=dict)
    """Traits that the configuration overrides, e.g. rate_per_s."""

    def traits(self, standard: Traits, *, batch_most: int | None = None, **decided: Any) -> Traits:
        """The platform's `standard` traits as this channel has them. batch_most: what one call can carry at most ·
        decided: what other options say. Raises `ValueError` for an override of what no configuration may change."""
        changes: dict[str, Any] = {}
        for name, value in self.overrides.items():
            usual = getattr(standard, name, None)
            if usual is None or isinstance(usual, bool):
                raise ValueError(f"{name} cannot be set for this platform")
            changes[name] = type(usual)(value)
        found = evolve(standard, **(changes | decided))
        most = found.batch_max if batch_most is None else min(found.batch_max, batch_most)
        return evolve(found, batch_max=max(1, most))


def _no_problems(options: Mapping[str, str], secrets: Set[str]) -> Mapping[str, str]:  # noqa: ARG001  # see Platform
    return {}


@frozen
class Platform:
    """A platform that channels can name as their `adapter`."""

    name: str
    build: Callable[[Setup], Adapter]
    options: tuple[Option, ...] = ()
    needs_base_url: bool = True
    problems: Callable[[Mapping[str, str], Set[str]], Mapping[str, str]] = _no_problems
    """By key, as a sentence, what is wrong with a channel's options, or with which secrets it has: their names, among
    them "webhook_secrets" where there are any."""
    inline_secrets: bool = False
    """True for the sandbox alone: its secrets may stand in config.yaml."""
    local: bool = False
    """True for the sandbox alone: plain HTTP to loopback addresses is expected."""
    sends_webhooks: bool = True
    """False where what it tells is fetched from a queue: there is no webhook secret to configure."""
    default_base_url: str = ""
    """Where the platform is, unless the configuration says otherwise; with it, no channel need name a base URL."""
    adopts: bool = True
    """False where a channel shows old numbers so long after a push that they would be taken for facts: `drift: adopt`
    is refused there."""

"""What the admin room sees of the daemon: the seams that queries and commands go through."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, Protocol

from attrs import field, frozen

from daemon.actors.registry import Registry
from daemon.admin.replay import ReplayProgress, ReplayReport
from daemon.domain.channel import Webhook
from daemon.domain.gaps import Capture
from daemon.domain.mode import ChannelMode, FileMode
from daemon.domain.policy import Policy
from daemon.domain.shadow import Sums, Watched
from daemon.domain.trust import Trust
from daemon.ingress.catalogue import Odd
from daemon.ingress.masses import Decision, MassHold
from daemon.storage.alarms import Alarms
from daemon.storage.dead_letters import DeadLetters
from daemon.storage.drifts import Drifts
from daemon.storage.outbox import Outbox
from daemon.storage.priors import Taken
from daemon.storage.store import Store


@frozen
class Lag:
    """Milliseconds over the recent past; None before the first measurement."""

    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    count: int


@frozen
class ChannelView:
    """One channel's present state."""

    name: str
    platform: str
    state: Literal["live", "shadow", "paused", "down", "throttled"]
    breaker: Literal["closed", "open", "half_open"]
    push_lag: Lag
    """From the wish to the acknowledged push."""
    webhook_lag: Lag
    """From the event (channel's clock, put on ours) to its receipt."""
    commit_lag: Lag
    """From receipt to durable."""
    visible_lag: Lag
    """From the acknowledged push to when a reading shows it, of the sample that is read back."""
    write_window: Lag
    """From reading a listing to having written it, where the channel cannot compare: what it sells meanwhile shows in
    its order feed alone."""
    pending: int
    in_flight: int
    dead: int
    watermark_us: int
    """Every order up to here (our clock) is absorbed; 0 before the first poll."""
    clock_offset_ms: tuple[float, float]
    """How far the channel's clock runs ahead of ours: at least, at most."""
    last_error: str
    pushes: int
    polls: int
    webhooks: int
    swept: int = 0
    """Listings that the sweep has read since the start."""
    sweep_rounds: int = 0
    """How often it has reached all of them."""
    compare_and_set: bool = False
    """The channel itself refuses a push over a sale we have not heard of: raises need not wait for its feed."""
    captures: Mapping[str, tuple[Capture, Capture]] = field(factory=dict)
    """By webhook topic that tells of orders: how much of what the order feed showed it told; last hour, last day."""
    trust: Trust = "trusted"
    """How far its acknowledgements are believed."""
    trust_since_us: int = 0
    blind_since_us: int = 0
    """Its webhooks are silent since then; 0 while they are not."""
    mode: ChannelMode = field(factory=ChannelMode)
    file_mode: FileMode = "live"
    """What the configuration says; a person's word wins over it."""


@frozen
class ReconcileReport:
    """What one comparison with the live channel found."""

    channel: str
    listings: int
    linked: int
    mismatched: int
    error: str = ""


@frozen
class Restored:
    """One listing of a snapshot, beside what it shows now. Levels are units; None where unknown.

    state: same · differs · under_way · stopped (by a dead letter) · unlisted (not linked any more)"""

    listing: str
    sku: str
    prior: int
    shows: int | None
    state: Literal["same", "differs", "under_way", "stopped", "unlisted"]


class ChannelControl(Protocol):
    """One configured channel."""

    name: str

    def view(self) -> ChannelView: ...

    def policy(self) -> Policy: ...

    def pause(self) -> None:
        """Stop pushing; everything else goes on, until `resume`."""

    def resume(self) -> None: ...

    async def go_live(self, by: str) -> Taken | str:
        """Keep what every listing shows, then push there; what was kept, or why it stays as it is."""
        ...

    async def go_shadow(self, by: str) -> bool:
        """Write nothing there any more; False where a call that was under way has not ended yet."""
        ...

    def watched(self, after: str, limit: int) -> tuple[Sums, list[Watched]]:
        """What its newest time in shadow taught: of the whole, and of its listings behind `after`."""
        ...

    async def roll_back(self, by: str) -> Taken | str:
        """Begin to write back what was kept; or why that cannot be."""
        ...

    def prior_levels(self) -> Taken | None:
        """The levels kept from before it went live."""
        ...

    def restored(self, page: int) -> list[Restored]:
        """A page of them, from 0, beside what is shown now; none behind the last."""
        ...

    async def reconcile(self) -> ReconcileReport:
        """Pull the catalogue, compare, ask for correction of what differs."""
        ...

    def mass_hold(self) -> MassHold | None:
        """Why the channel is held, if too many of its listings differ at once."""
        ...

    async def decide(self, decision: Decision) -> MassHold | None:
        """What a held channel shows is a fact (adopt), or a mistake (correct); None where it is not held."""
        ...

    async def webhooks(self) -> list[Webhook] | str:
        """The subscriptions at the channel, or why they cannot be read."""
        ...

    async def register_webhooks(self) -> list[str] | str:
        """Put missing or switched-off subscriptions right; what was done, or why it failed."""
        ...

    def registration_hindrance(self) -> str:
        """Why webhooks cannot be registered at all, whatever the channel would say; empty if they can."""
        ...

    def wanted_topics(self) -> tuple[str, ...]: ...

    def odd_listings(self) -> Mapping[str, Odd]:
        """Listings that only a person can link, as the last look at the catalogue found them."""
        ...


class Maintenance(Protocol):
    """Commands that concern the whole store."""

    async def backup(self, directory: Path) -> int:
        """Copy the state, hot, into an empty directory; returns bytes. Raises `StoreError` with a sentence."""
        ...

    async def rebuild(self, *, verify_only: bool) -> RebuildReport:
        """Fold the whole log again and compare with the stored state, byte for byte."""
        ...

    async def retry_letter(self, letter: int) -> str:
        """Apply a dead letter again; what came of it, as a sentence."""
        ...

    async def replay(self, channel: str, since_us: int, until_us: int, *, apply: bool) -> ReplayReport:
        """Read kept deliveries again: what would change, and with `apply` what did."""
        ...

    def replaying(self) -> ReplayProgress:
        """How far a replay is."""
        ...


@frozen
class RebuildReport:
    """events folded, SKUs compared, SKUs that differ (at most 100 named), first broken event (0: none)."""

    events: int
    skus: int
    different: tuple[str, ...]
    first_broken: int
    repaired: bool


@frozen
class AuditReport:
    """How far the self-audit's round is, since when, how many were completed; SKUs whose books differ, with why."""

    audited: int = 0
    skus: int = 0
    since_us: int = 0
    rounds: int = 0
    differing: Mapping[str, str] = field(factory=dict)


@frozen
class TargetReport:
    """One alarm target: what waits for it, what it took and what it is never told, since the start; since when it
    fails (0: it does not), and why."""

    target: Literal["webhook", "command"]
    waiting: int
    told: int
    lost: int
    failing_since_us: int = 0
    last_error: str = ""


@frozen(repr=False)
class Inside:
    """Everything the admin room may touch."""

    store: Store
    registry: Registry
    outbox: Outbox
    dead_letters: DeadLetters
    alarms: Alarms
    drifts: Drifts
    channels: Mapping[str, ChannelControl]
    maintenance: Maintenance
    counters: Mapping[str, int]
    """Live view: acked, duplicates, rejected, overloaded, puzzles ..."""
    since_us: int
    not_ready: Callable[[], str]
    """Why the daemon is not ready; empty when it is."""
    audit: Callable[[], AuditReport] = AuditReport
    """How far the self-audit is."""
    targets: Callable[[], tuple[TargetReport, ...]] = tuple
    """Who is told of alarms."""

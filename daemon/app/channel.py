"""One configured channel, complete: account, intake, poller, catalogue, dispatcher, subscriptions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from attrs import define

from daemon.admin.inside import ChannelView, ReconcileReport, Restored
from daemon.app.modes import ModeError, ModeSwitch
from daemon.app.shadowing import ShadowWatch
from daemon.app.watching import ChannelFigures
from daemon.domain.channel import Webhook
from daemon.domain.policy import Policy
from daemon.domain.shadow import Sums, Watched
from daemon.events import Event
from daemon.ingress.catalogue import Catalogue, Odd
from daemon.ingress.filterprobe import FilterProbe
from daemon.ingress.hookwatch import HookWatch
from daemon.ingress.masses import Decision, Masses, MassHold
from daemon.ingress.poller import Poller
from daemon.ingress.queues import QueueReader
from daemon.ingress.receiver import Intake
from daemon.ingress.subscriptions import Subscriptions
from daemon.ingress.sweep import Sweeper
from daemon.outbound.account import Account
from daemon.outbound.dispatcher import Dispatcher
from daemon.outbound.promises import Promises
from daemon.storage.outbox import Lane
from daemon.storage.priors import Taken
from daemon.telemetry import Telemetry


@define(eq=False, repr=False)
class Channel:
    """Everything that runs for one channel; what a person can see and do with it (`ChannelControl`)."""

    name: str
    platform: str
    account: Account
    intake: Intake
    poller: Poller
    catalogue: Catalogue
    sweeper: Sweeper
    masses: Masses
    dispatcher: Dispatcher
    subscriptions: Subscriptions
    hooks: HookWatch
    promises: Promises
    probe: FilterProbe
    lane: Lane
    figures: ChannelFigures
    switch: ModeSwitch
    shadow: ShadowWatch
    telemetry: Telemetry
    now_us: Callable[[], int]
    queue: QueueReader | None = None
    """Of a platform that tells through one."""
    keep_paused: Callable[[], None] = lambda: None
    """Make durable which channels are paused."""

    # -- for people --

    def view(self) -> ChannelView:
        """The channel's present state."""
        slots = self.lane.slots.values()
        dead = sum(1 for slot in slots if slot.dead_letter)
        flying = sum(1 for slot in slots if slot.in_flight)
        offset = self.account.offset.span
        queue = self.queue.broken if self.queue else ""
        return ChannelView(
            name=self.name,
            platform=self.platform,
            state=self._state(),
            breaker=self.account.breaker.state(self.account.wall_us()),
            push_lag=self.figures.push_lag.lag(),
            webhook_lag=self.figures.webhook_lag.lag(),
            commit_lag=self.figures.commit_lag.lag(),
            visible_lag=self.figures.visible_lag.lag(),
            write_window=self.figures.write_window.lag(),
            pending=len(slots) - dead - flying,
            in_flight=flying,
            dead=dead,
            watermark_us=self.poller.watermark_us(),
            clock_offset_ms=(offset.lo / 1_000, offset.hi / 1_000),
            last_error=self._error() or queue,
            pushes=self.figures.pushes,
            polls=self.poller.polls,
            webhooks=self.figures.webhooks,
            captures=self.hooks.captures(),
            trust=self.promises.judge.trust,
            trust_since_us=self.promises.judge.since_us,
            blind_since_us=self.hooks.gaps.blind_since_us(),
            swept=self.sweeper.reads,
            sweep_rounds=self.sweeper.rounds,
            compare_and_set=self.account.adapter.traits.compare_and_set,
            mode=self.switch.mode,
            file_mode=self.switch.file,
        )

    def _error(self) -> str:
        return self.account.last_error or self.poller.broken or self.catalogue.broken or self.probe.ignored

    def _state(self) -> Literal["live", "shadow", "paused", "down", "throttled"]:
        if self.account.paused:
            return "paused"
        if self.account.breaker.state(self.account.wall_us()) != "closed":
            return "down"
        if self.account.budget.paused_s():
            return "throttled"
        return "live" if self.switch.mode.writes else "shadow"

    def policy(self) -> Policy:
        """The channel's rules."""
        return self.account.policy

    def pause(self) -> None:
        """Stop pushing; everything else goes on, and a restart does not change it."""
        if not self.account.paused:
            self.account.paused = True
            self.keep_paused()
            self.telemetry.event(Event.CHANNEL_PAUSED, channel=self.name)

    def resume(self) -> None:
        """Push again, at once."""
        if self.account.paused:
            self.account.paused = False
            self.keep_paused()
            self.telemetry.event(Event.CHANNEL_RESUMED, channel=self.name)
        self.dispatcher.wake()

    async def go_live(self, by: str) -> Taken | str:
        """Keep what every listing shows, then push there; what was kept, or why it stays as it is."""
        try:
            return await self.switch.go_live(by)
        except ModeError as error:
            return str(error)

    async def go_shadow(self, by: str) -> bool:
        """Write nothing there any more; False where a call that was under way has not ended yet."""
        return await self.switch.go_shadow(by)

    def watched(self, after: str, limit: int) -> tuple[Sums, list[Watched]]:
        """What its newest time in shadow taught."""
        return self.shadow.shadows.sums(self.name), self.shadow.shadows.page(self.name, after, limit)

    async def roll_back(self, by: str) -> Taken | str:
        """Begin to write back what was kept; or why that cannot be."""
        try:
            return await self.switch.roll_back(by)
        except ModeError as error:
            return str(error)

    def prior_levels(self) -> Taken | None:
        """The levels kept from before it went live."""
        return self.switch.priors.taken(self.name)

    def restored(self, page: int) -> list[Restored]:
        """A page of them beside what is shown now."""
        return self.switch.restored(page)

    async def reconcile(self) -> ReconcileReport:
        """Absorb the order feed, pull the catalogue, compare; what differs is read back and put right."""
        await self.poller.poll()
        pulled = await self.catalogue.pull()
        return ReconcileReport(self.name, pulled.listings, pulled.linked, pulled.mismatched, pulled.error)

    def mass_hold(self) -> MassHold | None:
        """Why the channel is held, if too many of its listings differ at once."""
        return self.masses.hold

    async def decide(self, decision: Decision) -> MassHold | None:
        """A person says what the numbers of a held channel are; None where it is not held."""
        return await self.masses.decide(decision)

    async def webhooks(self) -> list[Webhook] | str:
        """The subscriptions at the channel, or why they cannot be read."""
        return await self.subscriptions.listed()

    async def register_webhooks(self) -> list[str] | str:
        """Put missing or switched-off subscriptions right."""
        return await self.subscriptions.repair(asked=True)

    def registration_hindrance(self) -> str:
        """Why webhooks cannot be registered at all; empty if they can."""
        return self.subscriptions.hindrance()

    def wanted_topics(self) -> tuple[str, ...]:
        """The topics that must be subscribed."""
        return self.account.adapter.wanted_topics()

    def odd_listings(self) -> Mapping[str, Odd]:
        """Listings that only a person can link."""
        return self.catalogue.odd

    # -- for the account --

    def notice(self, event: str, **fields: Any) -> None:
        """Something happened to the account."""
        match event:
            case "breaker_opened":
                self.telemetry.event(Event.BREAKER_OPENED, channel=self.name, **fields)
            case "breaker_closed":
                self.telemetry.event(Event.BREAKER_CLOSED, channel=self.name, **fields)
                self._hurry()
            case "breaker_eased":
                self._hurry()
            case "throttled":
                self.telemetry.event(Event.CHANNEL_THROTTLED, channel=self.name, **fields)
            case "clock_jumped":
                self.telemetry.event(Event.CLOCK_OFFSET_JUMPED, channel=self.name, **fields)

    def _hurry(self) -> None:
        """The channel answers again, or calls us: what backed off while it did not answer is due now."""
        now_us = self.now_us()
        for slot in list(self.lane.slots.values()):
            if slot.due_us > now_us:
                slot.due_us = now_us
            if slot.recheck_us > now_us and slot.recheck_us != slot.alive_until_us:
                slot.recheck_us = now_us
            self.lane.refresh(slot, now_us)
        self.poller.poke()

"""One channel's mode: going live, going into shadow, and rolling back; each durable before it has any effect."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

import trio
from attrs import define, field

from daemon.actors.actor import Part
from daemon.actors.registry import Registry
from daemon.admin.inside import Restored
from daemon.domain.channel import LevelSeen
from daemon.domain.mode import ChannelMode, FileMode, Mode, at_start
from daemon.domain.sku import Restore
from daemon.domain.slot import Slot
from daemon.events import Event
from daemon.ingress.catalogue import Catalogue
from daemon.ingress.masses import Masses
from daemon.ingress.poller import Poller
from daemon.ingress.subscriptions import Subscriptions
from daemon.outbound.account import Account
from daemon.outbound.dispatcher import Dispatcher
from daemon.storage.codec import Cause
from daemon.storage.modes import Modes
from daemon.storage.outbox import Lane
from daemon.storage.priors import Prior, Priors, Taken
from daemon.telemetry import Telemetry

LOOK_S = 1.0
"""Between two looks at how far a roll back is."""
RETRY_S = 60.0
"""Before what the channel shows is read again, where the configuration says live and it could not be."""
QUIET_S = 30.0
"""So long a word for shadow waits for calls that are under way; they end by themselves later than that."""


class ModeError(Exception):
    """Refused, or not possible now: a sentence that says why."""


@define(eq=False, repr=False)
class ModeSwitch:
    """The mode of one channel. `run` is its only task."""

    account: Account
    lane: Lane
    catalogue: Catalogue
    poller: Poller
    subscriptions: Subscriptions
    dispatcher: Dispatcher
    masses: Masses
    registry: Registry
    modes: Modes
    priors: Priors
    telemetry: Telemetry
    now_us: Callable[[], int]
    file: FileMode = "live"
    """What the configuration says."""
    mode: ChannelMode = field(factory=ChannelMode)
    began: Callable[[ChannelMode], None] = lambda mode: None  # noqa: ARG005 - a silent default
    """Told when a watch in shadow begins."""
    stood: Callable[[str], None] = lambda by: None  # noqa: ARG005 - a silent default
    """Told who said so, whenever another mode begins to hold."""
    _mass_share: float = field(init=False)
    _fresh: bool = False
    """Did this start put it into shadow?"""
    _turn: trio.Lock = field(factory=trio.Lock)
    _news: trio.Event = field(factory=trio.Event)

    def __attrs_post_init__(self) -> None:
        self._mass_share = self.masses.share

    @property
    def name(self) -> str:
        """The channel's."""
        return self.account.name

    # -- starting --

    def recall(self) -> None:
        """Take the mode up again after a start, before anything is pushed."""
        kept = self.modes.get(self.name)
        self.mode = at_start(kept, self.file, self.now_us())
        if self.mode != (kept or ChannelMode()):
            self.modes.keep(self.name, self.mode)
            self._fresh = self.mode.mode == "shadow" and (kept is None or kept.mode == "live")
        self._obey()

    def _obey(self) -> None:
        """Let the mode hold from this moment on."""
        watched = not self.mode.writes
        self.account.shadow = watched
        # Another tool's bulk update is no mass change of somebody's mistake.
        self.masses.share = 0.0 if watched else self._mass_share
        self.lane.hush(self.now_us(), quiet=watched)
        self.stood(self.mode.by)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Go live where the configuration asks for it, and see a roll back to its end; for ever."""
        task_status.started()
        if self._fresh:
            self._fresh = False
            self.began(self.mode)
        while True:
            self._news = trio.Event()
            if self.mode.going_live:
                await self.catalogue.attempted.wait()
                try:
                    await self.go_live("")
                except ModeError as error:
                    self.telemetry.event(Event.CHANNEL_STAYS_SHADOW, channel=self.name, error=str(error))
                    await trio.sleep(RETRY_S)
            elif self.mode.mode == "rollback":
                await trio.sleep(LOOK_S)
                await self._finish_rollback()
            else:
                await self._news.wait()

    # -- what a person says --

    async def go_live(self, by: str) -> Taken:
        """Keep what every listing shows, then push to the channel. Raises `ModeError`."""
        async with self._turn:
            if self.mode.mode == "rollback":
                raise ModeError(f"{self.name} is being rolled back: wait until that is done, or end it by shadow")
            if self.mode.mode == "live":
                if by and by != self.mode.by:
                    await self._become("live", by)
                return self.priors.taken(self.name) or Taken(0, 0, 0)
            taken = await self._snapshot()
            await self._become("live", by)
        self.subscriptions.poke()
        self.dispatcher.wake()
        self.telemetry.event(Event.CHANNEL_LIVE, channel=self.name, by=by or "config.yaml", listings=taken.listings)
        return taken

    async def go_shadow(self, by: str) -> bool:
        """Write nothing there from now on; False where a call that was under way has not ended yet."""
        before = self.mode.mode
        # Whatever else is under way: from this moment on no request that changes anything leaves.
        self.account.shadow = True
        try:
            async with self._turn:
                before = self.mode.mode
                await self._become("shadow", by)
                if before == "rollback":
                    await self._forget_priors()
        finally:
            self._obey()
        if before != "shadow":
            self.telemetry.event(Event.CHANNEL_SHADOWED, channel=self.name, by=by)
        with trio.move_on_after(QUIET_S) as waited:
            await self.dispatcher.wait_idle()
        return not waited.cancelled_caught

    async def roll_back(self, by: str) -> Taken:
        """Write back what every listing showed before the channel went live, then stay in shadow. Raises
        `ModeError`. Returns when it has begun."""
        async with self._turn:
            taken = self.priors.taken(self.name)
            if taken is None:
                raise ModeError(f"{self.name} was never switched live from shadow, so no levels from before are kept")
            if self.mode.mode == "rollback":
                return taken
            await self._become("rollback", by)
            async for priors in self._pages(taken):
                parts = [
                    Part(self._sku(each), Restore(self.name, each.listing, each.level), Cause(by, self.name))
                    for each in priors
                    if self._slot(each) is not None
                ]
                await self.registry.deliver(parts)
        self._news.set()
        self.dispatcher.wake()
        self.telemetry.event(Event.ROLLBACK_BEGUN, channel=self.name, by=by, listings=taken.listings)
        return taken

    async def _become(self, mode: Mode, by: str) -> None:
        """Durable first, unless it forbids something: that holds at once."""
        known = self.mode
        new = ChannelMode(mode, by, known.since_us if mode == known.mode else self.now_us())
        if not new.writes:
            self.mode = new
            self._obey()
        self.modes.keep(self.name, new)
        if new.mode == "shadow" and known.mode != "shadow":
            self.began(new)
        await self.registry.store.flush()
        self.mode = new
        self._obey()
        self._news.set()

    # -- the snapshot --

    async def _snapshot(self) -> Taken:
        if not await self.poller.absorb(self.now_us()):
            raise ModeError(f"the orders of {self.name} cannot be read now, so it stays in shadow")
        seen: dict[str, Prior] = {}

        def note(levels: Sequence[LevelSeen]) -> None:
            for level in levels:
                sku = self.registry.links.sku_of(self.name, level.listing) or level.seller_sku or ""
                if sku and level.level is not None:
                    seen[level.listing] = Prior(level.listing, sku, level.level)

        pulled = await self.catalogue.pull(note)
        if pulled.error:
            raise ModeError(f"the catalogue of {self.name} cannot be read now ({pulled.error}): it stays in shadow")
        return await self.priors.keep(self.name, list(seen.values()), self.now_us())

    # -- rolling back --

    async def _pages(self, taken: Taken) -> AsyncIterator[list[Prior]]:
        for page in range(taken.pages):
            yield self.priors.page(self.name, page)
            await trio.lowlevel.checkpoint()

    def _sku(self, prior: Prior) -> str:
        return self.registry.links.sku_of(self.name, prior.listing) or prior.sku

    def _slot(self, prior: Prior) -> Slot | None:
        state = self.registry.peek(self._sku(prior))
        return state.slots.get((self.name, prior.listing)) if state else None

    def restored(self, page: int) -> list[Restored]:
        """One page of the snapshot beside what its listings show now."""
        return [self._restored(each) for each in self.priors.page(self.name, page)]

    def _restored(self, prior: Prior) -> Restored:
        slot = self._slot(prior)
        if slot is None:
            return Restored(prior.listing, prior.sku, prior.level, None, "unlisted")
        same = slot.belief == prior.level
        if slot.dead_letter and not same:
            return Restored(prior.listing, slot.sku, prior.level, slot.belief, "stopped")
        if slot.prior is not None and _under_way(slot):
            return Restored(prior.listing, slot.sku, prior.level, slot.belief, "under_way")
        return Restored(prior.listing, slot.sku, prior.level, slot.belief, "same" if same else "differs")

    def left(self) -> int:
        """Listings that do not show again yet what they showed."""
        return sum(1 for slot in self.lane.slots.values() if slot.prior is not None and _under_way(slot))

    async def _finish_rollback(self) -> None:
        if self.left():
            return
        async with self._turn:
            if self.mode.mode != "rollback" or self.left():
                return
            by = self.mode.by
            await self._become("shadow", by)
            stopped = await self._forget_priors()
        self.telemetry.event(Event.ROLLBACK_ENDED, channel=self.name, by=by, stopped=stopped)

    async def _forget_priors(self) -> int:
        """Listings follow the stock again, as far as a wish goes; returns how many could not be restored."""
        taken, stopped = self.priors.taken(self.name), 0
        if taken is None:
            return 0
        async for priors in self._pages(taken):
            slots = [slot for each in priors if (slot := self._slot(each)) and slot.prior is not None]
            stopped += sum(bool(slot.dead_letter) or slot.belief != slot.prior for slot in slots)
            cause = Cause("rollback", self.name)
            await self.registry.deliver(
                [Part(each.sku, Restore(self.name, each.listing, None), cause) for each in slots]
            )
        return stopped


def _under_way(slot: Slot) -> bool:
    return slot.open() and not slot.dead_letter

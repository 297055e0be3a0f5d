"""One channel's dispatcher: takes open slots by risk, has them pushed, and has those read that are in doubt.

What is sent is read when it is sent, and its mark is durable before it leaves.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import trio
from attrs import define, field

from daemon.domain.channel import Push
from daemon.domain.instants import SECOND_US
from daemon.domain.sku import Doubted
from daemon.domain.slot import Slot
from daemon.outbound.account import Account
from daemon.outbound.neighbours import Deliver, Feed, PushWatcher, key_of
from daemon.outbound.promises import Promises
from daemon.outbound.reader import Reader
from daemon.outbound.sender import Claim, Sender
from daemon.storage.dead_letters import DeadLetters
from daemon.storage.outbox import Outbox, SlotKey, Work, work_of
from daemon.storage.store import Store

IDLE_S = 60.0
"""A dispatcher with nothing due looks again after this, whatever it was told."""


BULK_LEVEL_MIN = 25
"""A listing whose wish is lower is told by itself, never in a bulk batch: until that is decided, nothing else can be
told of it."""


@define(eq=False, repr=False)
class Dispatcher:
    """Pushes levels to one channel. `run` is its only task; at most `concurrency` calls are under way."""

    account: Account
    outbox: Outbox
    store: Store
    dead_letters: DeadLetters
    feed: Feed
    deliver: Deliver
    watcher: PushWatcher
    rng: random.Random
    shares: Callable[[str], bool] = lambda sku: False  # noqa: ARG005 - a silent default
    """Is this SKU a kit, or a component of one?"""
    halted: Callable[[str], bool] = lambda sku: False  # noqa: ARG005 - a silent default
    """May nothing be called for this SKU, because what comes of it cannot be applied?"""
    unread: Callable[[], bool] = lambda: False
    """May some channel, any, have sold what nobody has heard of, so that nothing may be raised?"""
    promises: Promises | None = None
    """Holds the channel to its acknowledgements; None: they are believed."""
    _busy: set[SlotKey] = field(factory=set)
    _calls: trio.Semaphore = field(init=False)
    _reader: Reader = field(init=False)
    _sender: Sender = field(init=False)
    _waiting_raise: bool = False
    _bulk_at: float = 0.0
    """The next bulk batch not before that (Trio's clock)."""

    def __attrs_post_init__(self) -> None:
        self._calls = trio.Semaphore(max(1, self.account.adapter.traits.concurrency))
        self._reader = Reader(
            self.account, self.outbox, self.store, self.feed, self.deliver, self.watcher, self.rng, self.promises
        )
        self._sender = Sender(
            self.account, self.outbox, self.store, self.dead_letters, self.deliver, self.watcher, self.rng,
            self.promises, self._calls,
        )  # fmt: skip

    @property
    def holds_raises(self) -> bool:
        """Did a raise wait for the order feed when slots were looked through last?"""
        return self._waiting_raise

    # -- choosing --

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve the lane for ever."""
        lane = self.outbox.lane(self.account.name)
        self._calls = self._sender.calls = trio.Semaphore(max(1, self.account.adapter.traits.concurrency))
        await self._take_up(list(lane.slots.values()))
        async with trio.open_nursery() as calls:
            self._sender.jobs = calls
            task_status.started()
            while True:
                await self._calls.acquire()
                now_us = self.store.now_us()
                taken = [] if self._stopped_s() else self._take(now_us)
                if not taken:
                    self._calls.release()
                    await self._wait(lane.next_due(now_us), now_us)
                    continue
                # Before anything else is looked at: a half-open breaker lets one probe through, not one a call slot.
                self.account.breaker.begin(self.account.wall_us())
                rechecks = [slot for slot, work in taken if work == "recheck"]
                pushes = [slot for slot, work in taken if work == "push"]
                self._busy.update(key_of(slot) for slot, _ in taken)
                calls.start_soon(self._call, rechecks, pushes)

    async def _take_up(self, slots: Sequence[Slot]) -> None:
        """Pushes that were under way when this dispatcher was interrupted: nobody will answer them any more."""
        now_us = self.store.now_us()
        lost = [
            Doubted(slot.channel, slot.listing, slot.in_flight, "the call was interrupted", now_us,
                    now_us + int(self.account.adapter.life_s(None) * SECOND_US))
            for slot in slots if slot.in_flight
        ]  # fmt: skip
        skus = [slot.sku for slot in slots if slot.in_flight]
        if lost:
            await self.deliver(list(zip(skus, lost, strict=True)), "push")

    def _take(self, now_us: int) -> list[tuple[Slot, Work]]:
        self._waiting_raise = False
        lane = self.outbox.lane(self.account.name)
        taken = self._take_many(now_us) or lane.take(now_us, self._wanted, self.account.adapter.traits.batch_max)
        if self._waiting_raise:
            self.feed.poke()
        return taken

    def _take_many(self, now_us: int) -> list[tuple[Slot, Work]]:
        """So many that they are better told in one batch that the channel takes its time over; none where there is no
        such batch, or where it is not worth one. What is nearly gone does not wait for it."""
        traits, lane, now = self.account.adapter.traits, self.outbox.lane(self.account.name), trio.current_time()
        if not traits.bulk_from or now < self._bulk_at or lane.waiting(now_us) < traits.bulk_from:
            return []
        taken = lane.take(now_us, self._bulky, traits.bulk_max)
        if len(taken) < traits.bulk_from:
            for slot, _ in taken:
                self.outbox.refresh(slot, now_us)
            return []
        self._bulk_at = now + traits.bulk_every_s
        return taken

    def _bulky(self, slot: Slot, work: Work) -> bool:
        return work == "push" and (slot.desired or 0) >= BULK_LEVEL_MIN and self._wanted(slot, work)

    def _wanted(self, slot: Slot, work: Work) -> bool:
        if key_of(slot) in self._busy or self.halted(slot.sku):
            return False
        if work == "push" and (self._shadowed(slot) or self.raise_stuck(slot) or self.raise_blind(slot)):
            return False
        if work == "push" and self.raise_waits(slot):
            self._waiting_raise = True
            return False
        return True

    def _shadowed(self, slot: Slot) -> bool:
        """Is nothing written for it because its channel is only watched?"""
        return self.account.shadow and slot.prior is None

    def raise_waits(self, slot: Slot) -> bool:
        """Would this push raise the listing over sales that the channel may not have told us yet?

        Compare-and-set closes that hole by itself, and so does a channel that takes its own sales off what it is
        told, but not where the sale of another listing takes units of this one: of a kit, or of a component.
        """
        traits = self.account.adapter.traits
        compares = (traits.compare_and_set or traits.includes_held) and not self.shares(slot.sku)
        return slot.raises() and self.feed.watermark_us() < slot.raise_needs_us(compares=compares)

    def raise_stuck(self, slot: Slot) -> bool:
        """Would this push raise the listing, while a fact about its SKU, a sale maybe, lies in a dead letter?"""
        return slot.raises() and bool(self.dead_letters.poison(slot.sku))

    def raise_blind(self, slot: Slot) -> bool:
        """Might this push raise the listing, while sales of other channels are not known either?"""
        unknown = bool(slot.unplaced and slot.desired)  # even a wish below our belief may be more than it shows
        return self.unread() and (slot.raises() or unknown)

    def _stopped_s(self) -> float:
        """Seconds during which nothing may leave; 0 if all is well."""
        return IDLE_S if self.account.paused or self.account.ending else self.account.wait_s()

    async def _wait(self, due_us: int | None, now_us: int) -> None:
        """Until something changed, something is due, or the channel may be called again."""
        stopped_s = self._stopped_s()
        due_s = IDLE_S if due_us is None else max(0.0, (due_us - now_us) / SECOND_US)
        lane = self.outbox.lane(self.account.name)
        with trio.move_on_after(min(IDLE_S, stopped_s or due_s)):
            if stopped_s and not self.account.paused:
                await self.account.wait_released()
                return
            await lane.wait_changed()

    async def wait_idle(self) -> None:
        """Return when no call of this dispatcher is under way."""
        while self._busy:
            await self.outbox.lane(self.account.name).wait_changed()

    def feed_advanced(self) -> None:
        """The order feed was read to its end: a raise that waited for that may go."""
        if self._waiting_raise:
            self.wake()

    def wake(self) -> None:
        """Something outside the lane changed: resumed, a limit lifted."""
        self.outbox.lane(self.account.name).changed.set()

    # -- calling --

    async def _call(self, rechecks: list[Slot], pushes: list[Slot]) -> None:
        made = self.account.calls
        try:
            if rechecks:
                await self._reader.read_back(rechecks)
            if pushes:
                await self._push(pushes)
        finally:
            if self.account.calls == made:
                self.account.breaker.withdraw()
            now_us = self.store.now_us()
            for slot in [*rechecks, *pushes]:
                self._busy.discard(key_of(slot))
                current = self.outbox.lane(slot.channel).slots.get(key_of(slot))
                if current is not None:
                    self.outbox.refresh(current, now_us)
            self._calls.release()
            self.wake()

    async def _push(self, slots: list[Slot]) -> None:
        slots = [slot for slot in slots if not self._shadowed(slot)]
        wishes = {slot.listing: key_of(slot) for slot in slots}
        plan = [Push(slot.listing, slot.desired or 0, slot.belief, slot.generation) for slot in slots]
        for batch in self.account.adapter.batches(plan):
            keys = [wishes[push.listing] for push in batch]
            looked_us = self.store.now_us()
            life_us = int(self.account.adapter.life_s(batch) * SECOND_US)
            plain = self._looks_first(keys)
            looked = set(keys)
            if plain:
                await self.account.budget.spend()  # the write's, so that it follows the look at once
                looked = set(await self._reader.as_believed(keys))
            claims = [
                Claim(slot, self.outbox.claim(slot), slot.sent_us, life_us) for slot in self._present(keys)
                if self._may_leave(slot) and (key_of(slot) in looked or not slot.desired)
            ]  # fmt: skip
            if claims:
                await self.store.flush()
                for claim in claims:
                    self.watcher.sent(claim.slot, claim.sent)
                await self._sender.send(claims, paid=plain)
                if plain:
                    self.feed.poke_soon()
                    self.watcher.written_after_look(self.account.name, self.store.now_us() - looked_us)

    def _looks_first(self, keys: Sequence[SlotKey]) -> bool:
        """Must the channel be asked what it shows before these are written? Zero raises nothing. Nor does a level
        that the channel takes its own sales off from: what we have not heard of is taken off, too."""
        traits = self.account.adapter.traits
        blind = not traits.compare_and_set and not traits.includes_held
        return blind and any(slot.desired for slot in self._present(keys))

    def _present(self, keys: Sequence[SlotKey]) -> list[Slot]:
        return self.outbox.lane(self.account.name).present(keys)

    def _may_leave(self, slot: Slot) -> bool:
        """Is a push still what this listing wants first, and nothing in its way? A zero that needed no look may have
        become a level that does."""
        stopped = self._shadowed(slot) or self.halted(slot.sku)
        waits = stopped or self.raise_waits(slot) or self.raise_stuck(slot) or self.raise_blind(slot)
        return work_of(slot, self.store.now_us()) == "push" and not waits

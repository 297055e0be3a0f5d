"""One channel's dispatcher: takes open slots by risk, pushes them, reads back what is in doubt.

What is sent is read when it is sent, and its mark is durable before it leaves. The answer goes back to the
SKU's actor as a message; it settles only the generation it answers. Nobody but this module decides what an
outcome means.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Protocol

import trio
from attrs import define, evolve, field, frozen

from daemon.domain.channel import LevelSeen, Push
from daemon.domain.exchange import NoAnswer
from daemon.domain.instants import SECOND_US, Instant, Span
from daemon.domain.observations import BadSkuError, LevelReport, check_sku
from daemon.domain.outcomes import Failure, Outcome
from daemon.domain.retry import next_attempt
from daemon.domain.sku import Confirmed, Doubted, Failed, Message, ReadBack, Sent
from daemon.domain.slot import Slot
from daemon.outbound.account import Account
from daemon.outbound.jobs import followed
from daemon.outbound.promises import Promises
from daemon.storage.dead_letters import DeadLetters
from daemon.storage.outbox import Outbox, SlotKey, Work
from daemon.storage.store import Store

IDLE_S = 60.0
"""A dispatcher with nothing due looks again after this, whatever it was told."""


BULK_LEVEL_MIN = 25
"""A listing whose wish is lower is told by itself, never in a bulk batch: until that is decided, nothing else can be
told of it."""


class Feed(Protocol):
    """The channel's order feed, as the poller reads it."""

    def watermark_us(self) -> int:
        """Every order up to here (our clock) is absorbed."""
        ...

    async def absorb(self, until_us: int) -> bool:
        """Read the feed until the watermark is at `until_us` or later; False where it cannot be read now."""
        ...

    def poke(self) -> None:
        """Read the feed now."""
        ...

    def poke_soon(self) -> None:
        """Read the feed within a second or so: one reading for all that ask meanwhile."""
        ...


class PushWatcher(Protocol):
    """Is told what happens to pushes (for the log and the lag figures); must not raise."""

    def sent(self, slot: Slot, sent: Sent) -> None: ...
    def answered(self, slot: Slot, sent: Sent, outcome: Outcome, *, dead_letter: int) -> None: ...
    def split(self, channel: str, size: int, reason: str) -> None: ...
    def written_after_look(self, channel: str, window_us: int) -> None: ...
    def read_back(self, slot: Slot, seen: LevelSeen | None) -> None: ...


Deliver = Callable[[Sequence[tuple[str, Message]], str], Awaitable[None]]
"""Hand messages `(sku, message)` to their actors; returns when they are durable. The second argument: by what."""


@define(eq=False)
class Claim:
    """A slot taken for one push."""

    slot: Slot
    sent: Sent
    sent_us: int
    life_us: int = 0
    """So long it may still be applied if nobody answers."""
    read_us: int = 0
    """It was acknowledged, is of the sample that its channel is held to, and read back then; 0: it is not."""

    def push(self) -> Push:
        """What the adapter must know of it."""
        return Push(self.sent.listing, self.sent.level, self.sent.believed, self.sent.generation)


@frozen
class Look:
    """Listings were read: when it was asked and answered, and the answer."""

    asked_us: int
    received_us: int
    answer: Sequence[LevelSeen] | Failure | NoAnswer


@define(eq=False)
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
    promises: Promises | None = None
    """Holds the channel to its acknowledgements; None: they are believed."""
    _busy: set[SlotKey] = field(factory=set)
    _calls: trio.Semaphore = field(init=False)
    _jobs: trio.Nursery | None = None
    _waiting_raise: bool = False
    _bulk_at: float = 0.0
    """The next bulk batch not before that (Trio's clock)."""
    _unread: dict[SlotKey, int] = field(factory=dict)
    """How often in a row a listing could not be read back."""

    def __attrs_post_init__(self) -> None:
        self._calls = trio.Semaphore(max(1, self.account.adapter.traits.concurrency))

    @property
    def holds_raises(self) -> bool:
        """Did a raise wait for the order feed when slots were looked through last?"""
        return self._waiting_raise

    # -- choosing --

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve the lane for ever."""
        lane = self.outbox.lane(self.account.name)
        self._calls = trio.Semaphore(max(1, self.account.adapter.traits.concurrency))
        await self._take_up(list(lane.slots.values()))
        async with trio.open_nursery() as calls:
            self._jobs = calls
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
                self._busy.update(_key(slot) for slot, _ in taken)
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
        if _key(slot) in self._busy or self.halted(slot.sku):
            return False
        if work == "push" and self.raise_stuck(slot):
            return False
        if work == "push" and self.raise_waits(slot):
            self._waiting_raise = True
            return False
        return True

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
                await trio.sleep_forever()
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
                await self._read_back(rechecks)
            if pushes:
                await self._push(pushes)
        finally:
            if self.account.calls == made:
                self.account.breaker.withdraw()
            now_us = self.store.now_us()
            for slot in [*rechecks, *pushes]:
                self._busy.discard(_key(slot))
                current = self.outbox.lane(slot.channel).slots.get(_key(slot))
                if current is not None:
                    self.outbox.refresh(current, now_us)
            self._calls.release()
            self.wake()

    async def _push(self, slots: list[Slot]) -> None:
        wishes = {slot.listing: _key(slot) for slot in slots}
        plan = [Push(slot.listing, slot.desired or 0, slot.belief, slot.generation) for slot in slots]
        for batch in self.account.adapter.batches(plan):
            keys = [wishes[push.listing] for push in batch]
            looked_us = self.store.now_us()
            life_us = int(self.account.adapter.life_s(batch) * SECOND_US)
            plain = self._looks_first(batch)
            if plain:
                await self.account.budget.spend()  # the write's, so that it follows the look at once
                keys = await self._as_believed(keys)
            claims = [
                Claim(slot, self.outbox.claim(slot), slot.sent_us, life_us) for slot in self._present(keys)
                if self._may_leave(slot)
            ]  # fmt: skip
            if claims:
                await self.store.flush()
                for claim in claims:
                    self.watcher.sent(claim.slot, claim.sent)
                await self._send(claims, paid=plain)
                if plain:
                    self.feed.poke_soon()
                    self.watcher.written_after_look(self.account.name, self.store.now_us() - looked_us)

    def _looks_first(self, batch: Sequence[Push]) -> bool:
        """Must the channel be asked what it shows before this batch is written? Zero raises nothing. Nor does a level
        that the channel takes its own sales off from: what we have not heard of is taken off, too."""
        traits = self.account.adapter.traits
        blind = not traits.compare_and_set and not traits.includes_held
        return blind and any(push.level for push in batch)

    def _present(self, keys: Sequence[SlotKey]) -> list[Slot]:
        """The slots as they are now: an actor may have been loaded afresh since its slot was taken."""
        lane = self.outbox.lane(self.account.name)
        return [slot for key in keys if (slot := lane.slots.get(key))]

    async def _as_believed(self, keys: Sequence[SlotKey]) -> list[SlotKey]:
        """Of a channel that cannot compare: those that show what we believe, which it is asked first.

        Another level is a sale, or something else, that we have not heard of, and even a push that lowers by what we
        know might raise over it: such a listing is read back first. Zero raises nothing, so nobody looks before it.
        """
        slots = self._present(keys)
        before = {_key(slot): slot.belief for slot in slots if slot.desired}
        if not before:
            return list(keys)
        look = await self._look([slot for slot in slots if slot.desired])
        if isinstance(look.answer, (NoAnswer, Failure)):
            # Nobody can look: what raises waits for that, what lowers does not.
            unreadable = [slot for slot in self._present(keys) if slot.desired and slot.raises()]
            self._postpone(unreadable, look.answer)
            return [key for key in keys if key not in set(map(_key, unreadable))]
        shown = {level.listing: level for level in look.answer if level.level is not None}
        astray = [
            slot for slot in self._present(list(before))
            if slot.listing in shown and shown[slot.listing].level not in (before[_key(slot)], slot.belief)
        ]  # fmt: skip
        if astray:
            await self._suspect(astray, look, shown)
        return [key for key in keys if key not in set(map(_key, astray))]

    def _may_leave(self, slot: Slot) -> bool:
        """Is the push still wanted, and nothing in its way?"""
        free = not slot.in_flight and not slot.dead_letter and not self.halted(slot.sku)
        waits = slot.withheld() or slot.raises_blindly() or self.raise_waits(slot) or self.raise_stuck(slot)
        return free and slot.needs_push() and not waits

    async def _still_wanted(self, claims: list[Claim]) -> list[Claim]:
        """Claims that say what they would say now, after the wait for our turn; the others are given back.

        Also those that believe what is known better by now: a listing sold back to an old number would take them.
        """
        lane, wanted, messages = self.outbox.lane(self.account.name), [], []
        for claim in claims:
            sent = claim.sent
            current = lane.slots.get(_key(claim.slot), claim.slot)
            if (current.desired, current.belief) == (sent.level, sent.believed):
                wanted.append(claim)
            else:
                error = f"not sent: by its turn more was known than when {sent.level} was to be pushed"
                failed = Failed(sent.channel, sent.listing, sent.generation, error, self.store.now_us())
                messages.append((claim.slot.sku, failed))
        if messages:
            await self.deliver(messages, "push")
            return await self._still_wanted(wanted)  # that took its time, too
        return wanted

    async def _suspect(self, slots: Sequence[Slot], look: Look, shown: Mapping[str, LevelSeen]) -> None:
        """Tell that these listings show what they should not, and read them once more at once: they wait to be
        pushed."""
        messages: list[tuple[str, Message]] = []
        for slot in slots:
            seen = shown[slot.listing]
            at = self.account.true_at(Span(look.asked_us, look.received_us), seen.own)
            sku = seen.seller_sku or ""
            report = LevelReport(slot.channel, slot.listing, seen.level, at, sku, seen.version, read_us=look.asked_us)
            messages.append((slot.sku, report))
        await self.deliver(messages, "readback")
        now_us = self.store.now_us()
        for slot in self._present([_key(slot) for slot in slots]):
            slot.ask_recheck(now_us)

    async def _send(self, claims: list[Claim], *, paid: bool = False) -> None:
        """Send one batch, let its answers settle; one refused as a whole is halved until the bad row is named.

        `paid`: its place in the budget is taken already, if nobody has asked us for quiet since."""
        if not paid or self.account.budget.paused_s():
            await self.account.budget.spend()
        claims = await self._still_wanted(claims)
        if not claims:
            return
        sent_us = self.store.now_us()
        pushes = [claim.push() for claim in claims]
        answer = await self.account.converse(self.account.adapter.push(pushes, _call_key(claims)), paid=True)
        if isinstance(answer, NoAnswer):
            kind = Outcome("unknown" if answer.reached else "transient", answer.reason)
            outcomes: Sequence[Outcome] = [kind] * len(claims)
        else:
            outcomes = answer
        await self._settle(claims, outcomes, sent_us)

    async def _settle(self, claims: list[Claim], outcomes: Sequence[Outcome], sent_us: int) -> None:
        if len(claims) > 1 and all(each.kind == "permanent" and each.whole_call for each in outcomes):
            self.watcher.split(self.account.name, len(claims), outcomes[0].reason)
            middle = len(claims) // 2
            await self._send(claims[:middle])
            await self._send(claims[middle:])
            return
        received_us = self.store.now_us()
        answered = list(zip(claims, outcomes, strict=True))
        messages = [
            (claim.slot.sku, self._meaning(claim, outcome, Span(sent_us, received_us)))
            for claim, outcome in answered if outcome.kind != "accepted"
        ]  # fmt: skip
        jobs = [(claim, outcome) for claim, outcome in answered if outcome.kind == "accepted"]
        for claim, outcome in jobs:
            self.watcher.answered(claim.slot, claim.sent, outcome, dead_letter=0)
        if jobs:
            assert self._jobs is not None
            self._jobs.start_soon(self._follow, jobs, sent_us)
        if messages:
            await self.deliver(messages, "push")
        claims = [claim for claim, outcome in answered if outcome.kind != "accepted"]
        for claim, (_, message) in zip(claims, messages, strict=True):
            self._given(claim, message)

    def _given(self, claim: Claim, message: Message) -> None:
        """A push was acknowledged, and the slot knows."""
        if self.promises and isinstance(message, Confirmed) and message.level == claim.sent.level:
            sent = claim.sent
            self.promises.given(claim.slot.sku, sent.listing, sent.level, sent.believed, claim.read_us)

    async def _follow(self, jobs: list[tuple[Claim, Outcome]], sent_us: int) -> None:
        """Their listings stay in flight until the channel has decided. Where we end first, nothing is lost: the next
        start finds them in flight, and reads them back."""
        claims = [claim for claim, _ in jobs]
        pushes = [claim.push() for claim in claims]
        decided = await followed(self.account, pushes, [outcome for _, outcome in jobs], self.rng)
        async with self._calls:
            await self._settle(claims, decided, sent_us)

    def _meaning(self, claim: Claim, outcome: Outcome, at: Span) -> Message:
        """What an outcome means for its slot, as the message that says so."""
        slot, sent, now_us = claim.slot, claim.sent, at.hi
        where = (sent.channel, sent.listing, sent.generation)
        if outcome.kind == "ok":
            self.watcher.answered(slot, sent, outcome, dead_letter=0)
            self.dead_letters.pushed(sent.channel, sent.listing)
            level = sent.level if outcome.level is None else outcome.level
            read_us = self.promises.read_at_us(slot.sku, sent.listing, now_us) if self.promises else 0
            usual_us = now_us + int(self.account.adapter.traits.read_back_s * SECOND_US)
            look_us = max(read_us, usual_us) if usual_us > now_us else read_us
            claim.read_us = look_us if read_us else 0
            return Confirmed(*where, level, Instant(at, outcome.own), look_us)
        if outcome.kind == "superseded":
            self.watcher.answered(slot, sent, outcome, dead_letter=0)
            return Doubted(*where, outcome.reason, now_us, 0)
        wait_s = next_attempt(outcome, slot.attempt, self.rng.random())
        if wait_s is None:
            letter = self._bury(slot, sent, outcome, now_us)
            self.watcher.answered(slot, sent, outcome, dead_letter=letter)
            return Failed(*where, outcome.reason, now_us, letter)
        self.watcher.answered(slot, sent, outcome, dead_letter=0)
        retry_us = now_us + int(wait_s * SECOND_US)
        match outcome.kind:
            case "conflict":
                # The channel knows of something that we do not: look, absorb, and wish anew.
                return Doubted(*where, outcome.reason, retry_us, 0, outcome.level)
            case "unknown":
                return Doubted(*where, outcome.reason, retry_us, now_us + claim.life_us)
            case _:
                return Failed(*where, outcome.reason, retry_us)

    def _bury(self, slot: Slot, sent: Sent, outcome: Outcome, now_us: int) -> int:
        letter = self.dead_letters.add(
            "push", now_us, channel=sent.channel, sku=slot.sku, cause=outcome.reason,
            subject=f"listing {sent.listing}: level {sent.level}", content=sent.listing.encode(),
        )  # fmt: skip
        return letter.letter

    # -- reading back --

    async def _read_back(self, slots: list[Slot]) -> None:
        """Read listings, then every order up to that moment: only then does a level say what the channel knows."""
        look = await self._look(slots)
        if isinstance(look.answer, (NoAnswer, Failure)):
            self._postpone(slots, look.answer)
        else:
            await self._conclude(slots, look)

    async def _look(self, slots: Sequence[Slot]) -> Look:
        asked_us = self.store.now_us()
        answer = await self.account.converse(self.account.adapter.levels([slot.listing for slot in slots]))
        return Look(asked_us, self.store.now_us(), answer)

    async def _conclude(self, slots: list[Slot], look: Look) -> None:
        """Take what was read as evidence, once every order up to then is absorbed."""
        answer = look.answer
        before = {_key(slot): slot.belief for slot in self._present(list(map(_key, slots)))}
        if isinstance(answer, (NoAnswer, Failure)) or not await self._explainable(look):
            self._postpone(slots, answer)
            return
        seen = {level.listing: level for level in answer}
        # Unknown is no evidence: where a push is in doubt, a channel that does not say what it shows is asked again.
        untold = {level.listing for level in answer if level.level is None}
        silent = [slot for slot in slots if slot.listing in untold and (slot.error or slot.alive_until_us)]
        if silent:
            self._postpone(silent, NoAnswer("the channel does not say what the listing shows", reached=True))
        messages: list[tuple[str, Message]] = []
        for slot in slots:
            if slot in silent:
                continue
            self._unread.pop(_key(slot), None)
            level = seen.get(slot.listing)
            at = self.account.true_at(Span(look.asked_us, look.received_us), level.own if level else None)
            self.watcher.read_back(slot, level)
            seller_sku = _other_sku(level, slot)
            shown = level.level if level else None
            if self.promises and (current := self._present([_key(slot)])):
                self.promises.read(current[0], shown, before.get(_key(slot)), look.asked_us)
            messages.append((slot.sku, ReadBack(slot.channel, slot.listing, shown, at, seller_sku)))
        await self.deliver(messages, "readback")

    async def _explainable(self, look: Look) -> bool:
        """Are the orders known that may have moved what was read? None are needed where sales move no level."""
        return self.account.adapter.traits.includes_held or await self.feed.absorb(look.received_us)

    def _postpone(self, slots: list[Slot], answer: object) -> None:
        reason = answer.reason if isinstance(answer, (NoAnswer, Failure)) else "the order feed cannot be read"
        now_us = self.store.now_us()
        outcome = Outcome("transient", reason)
        if isinstance(answer, Failure) and answer.outcome.kind == "throttled":
            outcome = evolve(answer.outcome, kind="throttled")
        lane = self.outbox.lane(self.account.name)
        for slot in slots:
            # Counted apart from the attempts to push: an unreadable channel must not use them up.
            failures = self._unread[_key(slot)] = min(self._unread.get(_key(slot), 0) + 1, 20)
            wait_s = next_attempt(outcome, failures, self.rng.random()) or 1.0
            current = lane.slots.get(_key(slot), slot)
            current.error = reason
            current.recheck_us = now_us + int(max(wait_s, 0.05) * SECOND_US)


def _other_sku(seen: LevelSeen | None, slot: Slot) -> str:
    """The SKU that the channel says the listing sells, where that is another one than ours and can be kept."""
    if seen is None or not seen.seller_sku or seen.seller_sku == slot.sku:
        return ""
    try:
        return check_sku(seen.seller_sku)
    except BadSkuError:
        return ""


def _key(slot: Slot) -> SlotKey:
    return (slot.sku, slot.listing)


def _call_key(claims: Sequence[Claim]) -> str:
    """One key for one call, never used again: no two pushes leave at the same stamp of the log's clock.

    The same wish may have to be pushed twice, where the channel sold and took back in between: with the key of the
    first push the channel would repeat its old answer and write nothing.
    """
    digest = blake2b(digest_size=16)
    for claim in claims:
        digest.update(f"{claim.sent.listing}\0{claim.sent.generation}\0{claim.sent_us}\n".encode())
    return digest.hexdigest()

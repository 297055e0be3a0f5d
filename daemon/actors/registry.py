"""All actors: finds or wakes the one for a SKU, lets them work in turn, lets idle ones go, isolates broken ones.

Mailboxes are drained by one task, without a checkpoint in between: so the messages of one unit are applied
together, a unit never spans two transactions, and the log holds each SKU's events in the order in which they
were applied. (A task per SKU was measured at 43 µs an event; this is the run queue without the tasks.)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import trio
from attrs import define, field, frozen

from daemon.actors.actor import MARK_EVERY, Actor, Part, Unit, dump_actor, load_actor
from daemon.actors.circumstances import Circumstances
from daemon.actors.kits import KitNews
from daemon.actors.letters import content_of, sameness_of, subject_of
from daemon.actors.marks import dump_mark, mark_key
from daemon.actors.packed import PackedLines, blank
from daemon.domain.conditions import Estranged, Rules, Stuck
from daemon.domain.instants import SECOND_US
from daemon.domain.kits import NO_KITS
from daemon.domain.observations import Adjustment, LevelReport, OrderLine, Recipe, StockCount
from daemon.domain.sku import Doubted, Freeze, Hold, Link, PolicyOf, PushMessage, Reprice, Settle, Sku, Step
from daemon.domain.slot import Slot
from daemon.domain.stock import LineKey
from daemon.storage.codec import REMEDY, Aside, Cause, DamagedError, EmptyOrder, Record
from daemon.storage.cursors import Refetches
from daemon.storage.dead_letters import DeadKind, DeadLetters
from daemon.storage.files import StoreError
from daemon.storage.links import Links
from daemon.storage.orders import OrderIndex
from daemon.storage.outbox import Outbox
from daemon.storage.store import Store
from daemon.storage.tables import MARKS, META, OPEN, SKUS

CRASHES_MAX = 3
CRASH_WINDOW_US = 60 * SECOND_US
"""So many crashes of one SKU's actor within this window quarantine the SKU."""
TOLD_AGAIN = LevelReport | Settle | Reprice
"""What a SKU in quarantine need not be told: it comes again by itself."""


class Watcher(Protocol):
    """Is told what happens (for the log and the counters); must not raise."""

    def applied(self, part: Part, step: Step, seq: int) -> None: ...
    def crashed(self, part: Part, error: Exception, *, quarantined: bool) -> None: ...
    def dead(self, kind: DeadKind, part: Part, letter: int) -> None: ...


@frozen
class Bounds:
    """mailbox_max: messages waiting for one SKU · queued_max: for all · actors_max: SKUs kept in memory ·
    idle_s: how long an idle one stays"""

    mailbox_max: int = 1_000
    queued_max: int = 4_096
    actors_max: int = 100_000
    idle_s: float = 300.0


@frozen
class RegistryStatistics:
    """Actors in memory, messages waiting, SKUs in quarantine, crashes so far."""

    actors: int
    queued: int
    quarantined: int
    crashes: int


@define(repr=False)
class Registry:
    """The actors of one daemon."""

    store: Store
    outbox: Outbox
    orders: OrderIndex
    links: Links
    dead_letters: DeadLetters
    refetches: Refetches
    policy_of: PolicyOf
    watcher: Watcher
    bounds: Bounds = field(factory=Bounds)
    kits: Mapping[str, Recipe] = NO_KITS
    """What kits are made of at present."""
    actors: dict[str, Actor] = field(factory=dict)
    quarantined: dict[str, str] = field(factory=dict)
    halted: set[str] = field(factory=set)
    """SKUs whose actors crashed on what became of a push: nothing is pushed or read back for them."""
    crashes: int = 0
    sighted: Callable[[Sku, Step, int], Sequence[Adjustment | Hold]] = lambda state, step, now_us: step.follows  # noqa: ARG005 - a silent default
    """Told of a second look at a listing, in the turn in which it is applied; says what follows from it."""
    circumstances: Circumstances = field(init=False)
    """Under what the SKUs are worked on, for the log."""
    _queue: deque[Actor] = field(factory=deque)
    _queued: int = 0
    _wake: trio.Event = field(factory=trio.Event)
    _news: KitNews = field(init=False)
    _draining: bool = False

    def __attrs_post_init__(self) -> None:
        self._news = KitNews(self.kits, self.store, self.dead_letters, self.peek)
        self.circumstances = Circumstances(self.store, self.outbox)
        self.dead_letters.eased = self._eased
        self.outbox.claimed = self._claimed
        self.store.quiesce = self.drain

    # -- asking --

    def peek(self, sku: str) -> Sku | None:
        """The SKU's present state, without waking an actor; None for a SKU nobody told of."""
        actor = self.actors.get(sku) or self._stored(sku)
        return actor.state if actor else None

    def counts(self, sku: str, line: LineKey) -> bool:
        """Does this order line still count in the SKU's stock, not folded into its anchor?"""
        state = self.peek(sku)
        return state is not None and line in state.stock.lines

    def skus(self, prefix: str = "", after: str = "", limit: int = 100) -> list[str]:
        """Known SKUs in order, beginning with `prefix`, behind `after`."""
        start = max(prefix.encode(), after.encode() + b"\0" if after else b"")
        stored = [key.decode() for key, _ in self.store.env.scan(SKUS, start, limit=limit, prefix=prefix.encode())]
        fresh = [sku for sku in self.actors if sku.startswith(prefix) and sku > after and self._told(sku)]
        return sorted({*stored, *fresh})[:limit]

    def _told(self, sku: str) -> bool:
        state = self.actors[sku].state
        stock = state.stock
        return bool(state.slots or stock.anchors or stock.lines or stock.adjustments or state.kit)

    def shares(self, sku: str) -> bool:
        """Does a sale of another SKU take this one's units, or one of it another's: is it a kit or a component?"""
        return sku in self.kits or sku in self._news.holders

    def kits_of(self, component: str) -> tuple[str, ...]:
        """The kits that hold this component."""
        return self._news.holders.get(component, ())

    # -- telling --

    def refuses(self, skus: Sequence[str]) -> str:
        """Why messages for these SKUs cannot be taken now; empty if they can."""
        if self._queued + len(skus) > self.bounds.queued_max:
            return "too many observations are waiting"
        for sku in skus:
            actor = self.actors.get(sku)
            if actor is not None and actor.mailbox and len(actor.mailbox) >= self.bounds.mailbox_max:
                return f"the mailbox of {sku} is full"
        return ""

    async def deliver(self, parts: list[Part], finish: Callable[[Unit], None] | None = None) -> Unit:
        """Apply these messages as one unit; returns when they, and what `finish` adds, are durable."""
        unit = Unit(parts, finish, done=trio.Event())
        self._post(unit)
        await unit.done.wait()
        await self.store.flush()
        return unit

    def tell(self, parts: list[Part]) -> None:
        """Apply these messages soon; durable with the commit after that."""
        self._post(Unit(parts))

    def _post(self, unit: Unit) -> None:
        # Every actor is there before the first part is posted: what cannot be loaded must not split a unit.
        actors = [self.actor(part.sku) for part in unit.parts]
        for place, actor in enumerate(actors):
            if actor.post(unit, place):
                self._queue.append(actor)
            self._queued += 1
        if not unit.parts:
            self._finish(unit)
        else:
            self._wake.set()

    # -- working --

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Drain mailboxes for ever."""
        task_status.started()
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            self.drain()

    def drain(self) -> None:
        """Apply everything that waits, and what follows for the kits, in one turn: none of it is durable alone."""
        if self._draining:
            return
        self._draining = True
        try:
            while self._queue or self._news.moved:
                self._work()
                if self._news.moved:
                    self.tell(self._news.told(self.actor, self.quarantined))
        finally:
            self._draining = False

    def _work(self) -> None:
        while self._queue:
            actor = self._queue.popleft()
            while actor.mailbox:
                unit, place = actor.mailbox.popleft()
                self._queued -= 1
                actor, unit.verdicts[place] = self._apply(actor, unit.parts[place])
                unit.left -= 1
                if not unit.left:
                    self._finish(unit)
            actor.mailbox = None

    def _finish(self, unit: Unit) -> None:
        if unit.finish is not None:
            unit.finish(unit)
        if unit.done is not None:
            unit.done.set()

    def _apply(self, actor: Actor, part: Part) -> tuple[Actor, str]:
        """Apply one message; returns its actor and its verdict. A crash, also over a message that cannot be
        written down, replaces the actor by one loaded afresh, and the message becomes a letter."""
        now_us = self.store.now_us()
        # What becomes of pushes is applied also in quarantine: what was sold until then must yet reach the channels.
        # And a person may freeze it.
        if part.sku in self.quarantined and not isinstance(part.message, PushMessage | Freeze):
            if not isinstance(part.message, TOLD_AGAIN):
                self._bury("poison", part, now_us, self.quarantined[part.sku])
            self._news.mind(part.sku, part.cause)
            return actor, "poison"
        try:
            if isinstance(part.message, EmptyOrder):
                self.store.append("", part.message, part.cause, at_us=now_us)
                return actor, "applied"
            step = actor.state.step(part.message, now_us, self.policy_of)
            seq = self._logged(actor, part, step, now_us)
        except Exception as error:
            return self._crashed(actor, part, error, now_us), "poison"
        actor.last_us = now_us
        if step.log or step.slots:
            self._changed(actor)
        if isinstance(part.message, LevelReport) and step.verdict == "linked":
            self.links.link(part.message.channel, part.message.listing, part.sku)
        elif isinstance(part.message, Link):
            self._linked(part.sku, part.message)
        for slot in step.slots:
            self._offer(slot, now_us, sold=isinstance(part.message, OrderLine))
        if step.before != step.after:
            self._news.mind(part.sku, part.cause)
        if step.verdict == "late":
            self._bury("late", part, now_us, "it concerns what is older than the settlement horizon")
        elif step.verdict == "conflict" and isinstance(part.message, OrderLine):
            self.refetches.ask(part.message.channel, part.message.order, now_us)
        self.watcher.applied(part, step, seq)
        return self._follow(actor, step, now_us), step.verdict

    def _linked(self, sku: str, said: Link) -> None:
        """A person said which SKU a listing is."""
        self.links.say(said.channel, said.listing, sku if said.linked else "", said.by)
        if not said.linked and said.channel in self.outbox.lanes:
            self.outbox.lane(said.channel).forget((sku, said.listing))

    def _follow(self, actor: Actor, step: Step, now_us: int) -> Actor:
        """What a second look found is looked into, and what follows from it is applied, in the same turn."""
        if step.sighting is None:
            return actor
        sku, channel = actor.state.sku, step.sighting.channel
        for message in self.sighted(actor.state, step, now_us):
            actor, _ = self._apply(actor, Part(sku, message, Cause("drift", channel)))
        return actor

    def _logged(self, actor: Actor, part: Part, step: Step, now_us: int) -> int:
        """The event that the step makes, 0 for none."""
        if not step.log:
            return 0
        record = self.store.append(
            part.sku, part.message, part.cause, at_us=now_us, before=step.before, after=step.after,
            note="ambiguous" if step.ambiguous else step.verdict if step.verdict != "applied" else "",
        )  # fmt: skip
        actor.knows(record.seq)
        if isinstance(part.message, Settle | StockCount):
            actor.weighed_anew()
        return record.seq

    def _offer(self, slot: Slot, now_us: int, *, sold: bool = False) -> None:
        """Put a changed slot into its lane. A channel that is not configured any more has none: its listings rest."""
        if self.policy_of(slot.channel) is not None:
            self.outbox.refresh(slot, now_us, sold=sold)
            if slot.raises():
                self.circumstances.feed_read(slot.channel)

    def silenced(self, sku: str) -> bool:
        """May nothing be pushed or read back for this SKU?"""
        return sku in self.halted or bool(self.circumstances.differs(sku))

    def note_stuck(self, sku: str, by: str) -> None:
        """Write down how a SKU is stuck, or that it is not any more, where that is news."""
        now = Stuck(
            self.quarantined.get(sku, ""), sku in self.halted, self.dead_letters.poison(sku),
            self.circumstances.differs(sku),
        )  # fmt: skip
        self.circumstances.is_stuck(sku, now, by)

    def _bury(self, kind: DeadKind, part: Part, now_us: int, cause: str) -> None:
        same = sameness_of(part)
        if self.dead_letters.kept(kind, same):
            return
        letter = self.dead_letters.add(
            kind, now_us, channel=part.cause.channel, sku=part.sku, cause=cause, subject=subject_of(part),
            content=content_of(part),
            delivery=part.cause.delivery, same=same,
        )  # fmt: skip
        if kind == "poison":
            self.note_stuck(part.sku, part.cause.by)
        self.watcher.dead(kind, part, letter.letter)

    def _crashed(self, actor: Actor, part: Part, error: Exception, now_us: int) -> Actor:
        self.crashes += 1
        fresh = self._reload(part.sku)
        fresh.mailbox = actor.mailbox
        fresh.crashes = [at for at in actor.crashes if at > now_us - CRASH_WINDOW_US] + [now_us]
        cause = f"its actor crashed on it: {type(error).__name__}"
        if len(fresh.crashes) >= CRASHES_MAX:
            self.quarantined[part.sku] = (
                f"quarantined after {CRASHES_MAX} crashes, the last one: {type(error).__name__}"
            )
        if isinstance(part.message, PushMessage):
            self.halted.add(part.sku)
        self._bury("poison", part, now_us, cause)
        self.note_stuck(part.sku, part.cause.by)
        self._news.mind(part.sku, part.cause)
        self.watcher.crashed(part, error, quarantined=part.sku in self.quarantined)
        return fresh

    def _reload(self, sku: str) -> Actor:
        """The actor as the durable row and the log's tail make it."""
        self.actors.pop(sku, None)
        actor = self.actor(sku)
        self._caught_up(actor)
        now_us = self.store.now_us()
        actor.state.step(Reprice(), now_us, self.policy_of)  # rules that the log does not know of
        for slot in actor.state.slots.values():
            self._offer(slot, now_us)
        self._changed(actor)
        return actor

    def _caught_up(self, actor: Actor) -> None:
        """What came after the actor's row, as the log tells it: its own events, and what concerns every SKU."""
        policy_of = self._rules_at(self.store.complete_to)
        for record in self.store.tail:
            message = record.message
            if isinstance(message, Rules):
                policy_of = message.policies().get
                if record.seq > actor.as_of:
                    actor.state.step(Reprice(), record.at_us, policy_of)
            elif isinstance(message, Estranged) and record.seq > actor.as_of:
                message.applied(actor.state.slots.values(), record.at_us)
            elif record.sku == actor.state.sku and not isinstance(message, Aside):
                self._repeat(record, policy_of)

    def replace_books(self, folded: Sku) -> None:
        """Stock and components as the log makes them take the place of ones that differ; the listings wish anew."""
        sku = folded.sku
        actor = self.actor(sku)
        actor.state.stock, actor.state.kit = folded.stock, folded.kit
        folded.stock.lines = PackedLines(folded.stock.lines)
        for slot in actor.state.slots.values():
            slot.lines_changed()
        now_us = self.store.now_us()
        for slot in actor.state.step(Reprice(), now_us, self.policy_of).slots:
            self._offer(slot, now_us)
        self._changed(actor)
        self._news.mind(sku, Cause("rebuild"))
        self._wake.set()

    def replace_listings(self, folded: Sku) -> None:
        """Listings as the log makes them take the place of ones that differ; what may be pushed is read first."""
        actor, now_us = self.actor(folded.sku), self.store.now_us()
        for channel, listing in actor.state.slots.keys() - folded.slots.keys():
            self.outbox.lane(channel).forget((folded.sku, listing))
        actor.state.slots = folded.slots
        for slot in folded.slots.values():
            if not slot.in_flight and not slot.dead_letter:
                self.outbox.postpone(slot, slot.error, now_us, by="rebuild")
            self._offer(slot, now_us)
        self._changed(actor)
        self._wake.set()

    def offer(self, sku: str) -> None:
        """The SKU may be pushed again: its row is written anew, and its listings go on."""
        actor, now_us = self.actor(sku), self.store.now_us()
        self._changed(actor)
        for slot in actor.state.slots.values():
            self._offer(slot, now_us)

    def release(self, sku: str) -> bool:
        """A person says that the SKU may be worked on again; True if it was in quarantine."""
        self.halted.discard(sku)
        released = self.quarantined.pop(sku, None) is not None
        self.note_stuck(sku, "retry")
        if released:
            self._news.refresh(sku)
            self._wake.set()
        return released

    def _eased(self, sku: str) -> None:
        """A poison letter of the SKU is gone: its listings may be raised again, and in the same transaction its kits
        may trust its number."""
        self.note_stuck(sku, "retry")
        actor = self.actors.get(sku)
        now_us = self.store.now_us()
        for slot in actor.state.slots.values() if actor else ():
            self._offer(slot, now_us)
        self._news.mind(sku, Cause("retry"))
        self.drain()

    # -- memory and rows --

    def actor(self, sku: str) -> Actor:
        """The SKU's actor, woken if need be."""
        actor = self.actors.get(sku)
        if actor is None:
            actor = self.actors[sku] = self._stored(sku) or Actor(blank(sku))
        return actor

    def _stored(self, sku: str) -> Actor | None:
        if not sku:
            return None
        payload = self.store.env.get(SKUS, sku.encode())
        actor = None if payload is None else load_actor(sku, payload)
        known, told = actor.seq if actor else 0, self.store.newest_complete(sku)
        if known < told:
            raise DamagedError(
                f"the row of {sku} in table skus ends at event {known} but its history at {told}: a write was lost; "
                f"{REMEDY}"
            )
        return actor

    def _claimed(self, sku: str, seq: int) -> None:
        actor = self.actor(sku)
        actor.knows(seq)
        self._changed(actor)

    def _changed(self, actor: Actor) -> None:
        if not actor.dirty:
            actor.dirty = True
            sku = actor.state.sku
            self.store.behind[SKUS, sku.encode()] = lambda: self._encode(sku)
            self.store.behind[OPEN, sku.encode()] = lambda: self._encode_open(sku)

    def _encode(self, sku: str) -> bytes:
        actor = self.actors[sku]
        actor.dirty = False
        if actor.unmarked >= MARK_EVERY:
            # As of now, not as of its newest event: rules that changed since are in the state, too.
            self.store.put(MARKS, mark_key(sku, self.store.head.seq), dump_mark(actor.state))
            actor.unmarked = 0
        actor.as_of = self.store.head.seq
        return dump_actor(actor)

    def _encode_open(self, sku: str) -> bytes | None:
        return b"" if any(slot.open() for slot in self.actors[sku].state.slots.values()) else None

    def checkpointed(self) -> int:
        """A checkpoint is complete: idle actors leave memory; returns how many did."""
        self.links.checkpointed()
        self.orders.table.checkpointed()
        horizon = self.store.now_us() - int(self.bounds.idle_s * SECOND_US)
        crowded = len(self.actors) > self.bounds.actors_max
        # The check and the removal happen in one turn: nothing can be posted in between.
        leaving = [sku for sku, actor in self.actors.items() if actor.idle() and (crowded or actor.last_us < horizon)]
        for sku in leaving:
            del self.actors[sku]
        return len(leaving)

    def settle_some(self, after: str, horizon_us: int, floors: Mapping[str, int], limit: int = 200) -> str:
        """Fold what is older than `horizon_us` in the next `limit` SKUs behind `after`; returns the last one seen,
        or the empty string behind the last SKU of all. `floors`: see `Settle`.

        Nothing of a SKU is folded while a dead letter holds a fact about it: when that is told again, it must count.
        """
        page = self.skus(after=after, limit=limit)
        for sku in page:
            state = None if self.dead_letters.poison(sku) else self.peek(sku)
            if state is not None and state.stock.settles(horizon_us, floors):
                self.tell([Part(sku, Settle(horizon_us, floors), Cause("settlement"))])
        return page[-1] if len(page) == limit else ""

    # -- starting --

    def replay(self) -> int:
        """Bring the rows written behind up to the end of the log; returns the events repeated.

        Raises `StoreError` where this program cannot apply an event that another version wrote: to go on without
        it would be to count wrongly.
        """
        repeated = 0
        policy_of = self._rules_at(self.store.complete_to)
        for record in self.store.replay():
            repeated += 1
            self.store.tail.append(record)
            self.store.index(record)
            if isinstance(record.message, OrderLine | EmptyOrder):
                self.orders.replayed(record.message)
            if isinstance(record.message, Rules):
                policy_of = record.message.policies().get
                self._wish_all(record.seq, record.at_us, policy_of)
            if isinstance(record.message, Estranged):
                self._estrange(record.message, record)
            if isinstance(record.message, Aside):
                continue
            if isinstance(record.message, LevelReport):
                self.links.link(record.message.channel, record.message.listing, record.sku)
            elif isinstance(record.message, Link):
                self._linked(record.sku, record.message)
            self._repeat(record, policy_of)
        return repeated

    def _rules_at(self, seq: int) -> PolicyOf:
        rules = self.circumstances.rules_before(seq + 1)
        return self.policy_of if rules is None else rules.policies().get

    def _repeat(self, record: Record, policy_of: PolicyOf) -> None:
        actor = self.actor(record.sku)
        if record.seq <= actor.seq:
            return
        try:
            actor.state.step(record.message, record.at_us, policy_of)  # type: ignore[arg-type]  # asides are left out
        except Exception as error:
            raise StoreError(
                f"event {record.seq} of {record.sku} cannot be applied ({type(error).__name__}): start the "
                "version of onhand that wrote it, and report this with a backup - nothing was changed"
            ) from error
        actor.knows(record.seq)
        self._changed(actor)

    def resume(self, request_life_us: Callable[[str], int], policies: bytes) -> int:
        """Take up unfinished work after the start; returns the listings that need some.

        A push found in flight may have been applied, or may still be: it is read back, and once more when it
        must be dead. `policies` stands for the channels' present rules: where they changed, every listing is
        wished anew.
        """
        known = self.circumstances.rules_before(self.store.head.seq + 1)
        changed = self.circumstances.rules_changed()
        now_us = changed.at_us if changed else self.store.now_us()
        self.circumstances.at_start(self.dead_letters.poison)
        if (changed and known) or self.store.env.get(META, b"policies") != policies:
            self._wish_all(self.store.head.seq + 1, now_us, self.policy_of)
            # Written behind, after the rows: a kill before they are durable must not make the new rules look done.
            self.store.behind[META, b"policies"] = lambda: policies
        self.tell(self._news.at_start())
        self.drain()
        self._news.record()
        now_us = self.store.now_us()
        after = b""
        while rows := self.store.env.scan(OPEN, after, limit=1_000):
            for key, _ in rows:
                self.actor(key.decode())
            after = rows[-1][0] + b"\0"
        unfinished = 0
        for actor in list(self.actors.values()):
            for slot in actor.state.slots.values():
                if slot.in_flight:
                    life = now_us + request_life_us(slot.channel)
                    doubt = Doubted(slot.channel, slot.listing, slot.in_flight, "the daemon stopped", now_us, life)
                    self.tell([Part(actor.state.sku, doubt, Cause("start", slot.channel))])
                self._offer(slot, now_us)
                unfinished += slot.open()
        self.drain()
        return unfinished

    def estrange(self, now_us: int, lives_us: Mapping[str, int]) -> int:
        """Nothing is known of what any listing shows: see `Slot.estrange`; returns how many there are. `lives_us`:
        how long a push may be alive, by channel."""
        message = Estranged(tuple(sorted(lives_us.items())))
        record = self.store.append("", message, Cause("restore"), at_us=now_us)
        return self._estrange(message, record)

    def _estrange(self, message: Estranged, record: Record) -> int:
        listings = 0
        for actor in self._before(record.seq):
            for slot in message.applied(actor.state.slots.values(), record.at_us):
                self._offer(slot, record.at_us)
                listings += 1
            self._changed(actor)
        return listings

    def _before(self, seq: int) -> Iterator[Actor]:
        """Every SKU whose state is from before event `seq`, which concerns all of them."""
        after = ""
        while page := self.skus(after=after, limit=1_000):
            yield from (actor for actor in map(self.actor, page) if actor.as_of < seq)
            after = page[-1]

    def _wish_all(self, seq: int, now_us: int, policy_of: PolicyOf) -> None:
        for actor in self._before(seq):
            if actor.state.step(Reprice(), now_us, policy_of).slots:
                self._changed(actor)

    def statistics(self) -> RegistryStatistics:
        """Numbers for `status` and metrics."""
        return RegistryStatistics(len(self.actors), self._queued, len(self.quarantined), self.crashes)

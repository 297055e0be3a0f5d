"""The outbox: one slot per listing, found by when it is due and how much it matters. Where actors and
dispatchers meet: actors wish, dispatchers claim, and the answer comes back to the actor as a message.

Slots are served by risk, never in the order they came: what must show zero first, then what must show less
and is nearly gone, then what somebody bought, then everything else that lowers, and what raises last. A channel
that is down for a day costs one slot a listing, not a queue.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from typing import Literal

import trio
from attrs import define, field, frozen

from daemon.domain.sku import Postponed, Sent
from daemon.domain.slot import Slot
from daemon.storage.codec import Cause
from daemon.storage.store import Store

SlotKey = tuple[str, str]
"""(sku, listing)"""

Work = Literal["push", "recheck"]

NEARLY_GONE = 5
"""A level up to this is nearly sold out: a sale there cannot wait."""


def urgency(slot: Slot, *, sold: bool = False) -> int:
    """0 is served first. Only a handful of classes, so that a waiting slot is queued a handful of times at most.
    sold: an order lowered it, so it does not wait behind a recount of the whole shop."""
    if slot.desired is None or slot.belief is None or slot.desired >= slot.belief:
        return 4
    if slot.desired == 0:
        return 0
    if slot.desired <= NEARLY_GONE:
        return 1
    return 2 if sold else 3


def ready_at(slot: Slot, *, quiet: bool = False) -> int | None:
    """The moment (our clock, µs) from which this slot wants work; None while there is nothing to do. quiet: its
    channel is only watched, so that it is pushed to only where a person wants it to show a level again."""
    if slot.in_flight or slot.dead_letter:
        return None
    barred = slot.withheld() or slot.raises_blindly() or (quiet and slot.prior is None)
    push = max(slot.due_us, 1) if slot.needs_push() and not barred else None
    if slot.recheck_us and (push is None or slot.recheck_us < push):
        return slot.recheck_us
    return push


def work_of(slot: Slot, now_us: int, *, quiet: bool = False) -> Work | None:
    """What to do with this slot now. A reading back that is due comes before any push but that of zero, which does
    not wait for it (see `Slot.closes`)."""
    moment = ready_at(slot, quiet=quiet)
    if moment is None or moment > now_us:
        return None
    if slot.closes() and slot.due_us <= now_us and not (quiet and slot.prior is None):
        return "push"
    if slot.recheck_us and slot.recheck_us <= now_us:
        return "recheck"
    return "push"


@frozen
class OutboxStatistics:
    """Slots by what they wait for."""

    pending: int
    in_flight: int
    dead: int


Entry = tuple[int, int, SlotKey]
"""(rank, number, slot): a place in one of a lane's two queues."""

STALE_MAX = 64
"""Entries of no more use that a queue may hold, beside as many as it has of use."""


@define
class _Queue:
    """Slots by rank, lowest first, each at most once; putting a slot in again moves it."""

    heap: list[Entry] = field(factory=list)
    placed: dict[SlotKey, Entry] = field(factory=dict)
    """The one entry of each slot that counts; every other one in the heap is stale."""
    _number: Iterator[int] = field(factory=count)

    def rank(self, key: SlotKey) -> int | None:
        """Where the slot stands; None if it is not queued."""
        return self.placed[key][0] if key in self.placed else None

    def put(self, key: SlotKey, rank: int) -> None:
        self.restore((rank, next(self._number), key))

    def restore(self, entry: Entry) -> None:
        """Put an entry back in the place it had."""
        self.placed[entry[2]] = entry
        heapq.heappush(self.heap, entry)
        if len(self.heap) > 2 * len(self.placed) + STALE_MAX:
            self.heap = sorted(self.placed.values())

    def lowest(self) -> Entry | None:
        """The first entry, left where it is."""
        while self.heap and self.placed.get(self.heap[0][2]) is not self.heap[0]:
            heapq.heappop(self.heap)
        return self.heap[0] if self.heap else None

    def pop(self) -> Entry:
        """Take out the entry that `lowest` has just shown."""
        entry = heapq.heappop(self.heap)
        del self.placed[entry[2]]
        return entry


@define
class Lane:
    """The open slots of one channel."""

    slots: dict[SlotKey, Slot] = field(factory=dict)
    changed: trio.Event = field(factory=trio.Event)
    quiet: bool = False
    """The channel is only watched: see `ready_at`."""
    sold: set[SlotKey] = field(factory=set)
    """Slots that an order moved and that are not pushed yet. Only in memory: it decides what goes first, no more."""
    raise_needs_us: int = 0
    """Up to when the channel's orders must have been read for any raise that there was."""
    _ready: _Queue = field(factory=_Queue)
    """By urgency."""
    _later: _Queue = field(factory=_Queue)
    """By the moment from which they want work."""

    def present(self, keys: Iterable[SlotKey]) -> list[Slot]:
        """The slots as they are now: an actor may have been loaded afresh since its slot was taken."""
        return [slot for key in keys if (slot := self.slots.get(key))]

    def refresh(self, slot: Slot, now_us: int, *, sold: bool = False) -> None:
        """The slot changed, by an order if `sold`: put it where it belongs now."""
        key = (slot.sku, slot.listing)
        if not slot.needs_push():
            self.sold.discard(key)
        elif sold:
            self.sold.add(key)
        if not slot.open() and not slot.dead_letter:
            self.forget(key)
            return
        self.slots[key] = slot
        if slot.raises():
            self.raise_needs_us = max(self.raise_needs_us, slot.raise_needs_us(compares=False))
        moment = ready_at(slot, quiet=self.quiet)
        if moment is None:
            return
        if moment > now_us:
            scheduled = self._later.rank(key)
            if scheduled is None or scheduled > moment:
                self._later.put(key, moment)
        else:
            queued = self._ready.rank(key)
            rank = self._rank(slot)
            if queued is None or queued > rank:
                self._ready.put(key, rank)
        self.changed.set()

    def forget(self, key: SlotKey) -> None:
        """There is nothing to do for this slot, or it is a listing no more."""
        self.slots.pop(key, None)
        self.sold.discard(key)

    def _rank(self, slot: Slot) -> int:
        return urgency(slot, sold=(slot.sku, slot.listing) in self.sold)

    def hush(self, now_us: int, *, quiet: bool) -> None:
        """From now on the channel is only watched, or it is pushed to again."""
        if self.quiet != quiet:
            self.quiet = quiet
            for slot in list(self.slots.values()):
                self.refresh(slot, now_us)
            self.changed.set()

    def take(self, now_us: int, wanted: Callable[[Slot, Work], bool], limit: int) -> list[tuple[Slot, Work]]:
        """Up to `limit` slots that want work now and that `wanted` accepts, most urgent first.

        What `wanted` declines stays and is offered again.
        """
        self._ripen(now_us)
        found: list[tuple[Slot, Work]] = []
        declined: list[Entry] = []
        while len(found) < limit and self._ready.lowest():
            entry = self._ready.pop()
            slot = self.slots.get(entry[2])
            work = work_of(slot, now_us, quiet=self.quiet) if slot else None
            if slot is None:
                continue
            if work is None:
                self.refresh(slot, now_us)
            elif self._rank(slot) > entry[0]:
                self._ready.put(entry[2], self._rank(slot))  # it matters less than when it was queued
            elif wanted(slot, work):
                found.append((slot, work))
            else:
                declined.append(entry)
        for entry in declined:
            self._ready.restore(entry)
        return found

    def _ripen(self, now_us: int) -> None:
        while (entry := self._later.lowest()) and entry[0] <= now_us:
            self._later.pop()
            if entry[2] in self.slots:
                self.refresh(self.slots[entry[2]], now_us)

    def busy(self, now_us: int) -> bool:
        """Does any slot want work now?"""
        self._ripen(now_us)
        return self._ready.lowest() is not None

    def waiting(self, now_us: int) -> int:
        """How many slots want work now."""
        self._ripen(now_us)
        return len(self._ready.placed)

    def next_due(self, now_us: int) -> int | None:
        """The earliest moment at which a slot becomes ready; None if none is waiting for a moment."""
        self._ripen(now_us)
        entry = self._later.lowest()
        return entry[0] if entry else None

    async def wait_changed(self) -> None:
        """Return when a slot of this lane changed since the last time. Several may wait."""
        changed = self.changed
        await changed.wait()
        if self.changed is changed:
            self.changed = trio.Event()


@define
class Outbox:
    """All lanes. `claimed` is told the SKU and event of every push that leaves, so that its row is written."""

    store: Store
    claimed: Callable[[str, int], None] = lambda sku, seq: None  # noqa: ARG005 - set by the registry
    lanes: dict[str, Lane] = field(factory=dict)

    def lane(self, channel: str) -> Lane:
        """The lane of a channel; made on first use."""
        if channel not in self.lanes:
            self.lanes[channel] = Lane()
        return self.lanes[channel]

    def refresh(self, slot: Slot, now_us: int, *, sold: bool = False) -> None:
        """A slot changed; `sold`: by an order."""
        self.lane(slot.channel).refresh(slot, now_us, sold=sold)

    def claim(self, slot: Slot, *, by: str = "push") -> Sent:
        """Take this slot for one push: what it should show is read now. Durable with the next commit, and
        the request must not leave before."""
        now_us = self.store.now_us()
        believed = slot.belief
        sent = Sent(slot.channel, slot.listing, slot.generation, slot.send(now_us), believed)
        record = self.store.append(slot.sku, sent, Cause(by, slot.channel), at_us=now_us)
        self.claimed(slot.sku, record.seq)
        return sent

    def postpone(self, slot: Slot, error: str, recheck_us: int, *, by: str = "readback") -> None:
        """Read this listing back at `recheck_us`, because of `error`."""
        slot.error, slot.recheck_us = error, recheck_us
        message = Postponed(slot.channel, slot.listing, error, recheck_us)
        record = self.store.append(slot.sku, message, Cause(by, slot.channel), at_us=self.store.now_us())
        self.claimed(slot.sku, record.seq)

    def statistics(self) -> OutboxStatistics:
        """How many slots wait, are under way, are stopped."""
        slots = [slot for lane in self.lanes.values() for slot in lane.slots.values()]
        dead = sum(1 for slot in slots if slot.dead_letter)
        flying = sum(1 for slot in slots if slot.in_flight)
        return OutboxStatistics(len(slots) - dead - flying, flying, dead)

"""A channel's acknowledgements, held against what it shows: a sample of pushes is read back.

A push of the sample stays open until it was read back (`Confirmed.look_us`), later than the channel's reads lag.
Before that it is looked at a few times, to measure when it becomes visible. Where the reading back shows something
else, and sales do not explain it, the channel either lied or is later than we knew. It is pushed once more, and
watched for longer: seen at once, then the first one was a lie; seen later, then the channel is late; never seen, then
it lies.

The sample never takes more than a named part of the channel's budget. What is remembered here is a matter of this
process; what a SKU's state depends on is in the log.
"""

from __future__ import annotations

import random
from collections import OrderedDict, deque
from collections.abc import Callable
from math import inf
from typing import TypeVar

import trio
from attrs import define, evolve, field, frozen

from daemon.domain.exchange import NoAnswer
from daemon.domain.instants import SECOND_US, Instant
from daemon.domain.outcomes import Failure
from daemon.domain.slot import Slot
from daemon.domain.trust import Judge
from daemon.outbound.account import Account
from daemon.storage.alarms import Alarms
from daemon.storage.outbox import SlotKey

T = TypeVar("T")

LOOKS_S = (0.0, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
"""Seconds after the acknowledgement at which a listing of the sample is looked at, until it shows the level or is
read back for good."""
AT_ONCE_US = 2 * SECOND_US
"""What the first look shows by then was done at once. A first look that comes later measures nothing."""
PATIENCE_US = 120 * SECOND_US
"""No channel is later than this; what does not show by then was not done."""
READ_LAG_MIN_US = 5 * SECOND_US
"""So late any channel may show what it has written."""
LAGS_MAX = 64
BUDGET_SHARE = 0.05
"""The part of the channel's budget of calls that the sample may take."""
SAVED_MAX = 4.0
"""Calls that the sample may save up for."""
SAMPLE_CALLS = 2.0
"""A reading back, and reading the order feed for it. Looks before that are paid for by themselves."""
OPEN_MAX = 64
"""Pushes that are looked at at the same time; further ones are only read back."""
BATCH_MAX = 20
NEVER_US = 1 << 62
KNOWN_MAX = 10_000
"""Listings of which the newest acknowledgement is remembered."""
BACKOFF_MAX = 3
"""A listing of which lie after lie is told is read back up to 2 to the power of this later, for its pushes and
readings would take the whole budget."""


@frozen
class Acknowledged:
    """A push that the channel says it did. `evidence` is how its slot holds that: once it holds another, this is
    history. `shown_else`: what the listing shows, but for sales since, if it was not done; None where unknown.
    `read_us`: of the sample, and read back for good at this moment or later; 0: not of the sample."""

    sku: str
    listing: str
    level: int
    shown_else: int | None
    evidence: Instant
    read_us: int

    @property
    def key(self) -> SlotKey:
        """Where its slot is in its lane."""
        return (self.sku, self.listing)

    @property
    def at_us(self) -> int:
        """When it was acknowledged, at the latest."""
        return self.evidence.at.hi


@define(eq=False)
class Watched:
    """One that is looked at before it is read back."""

    push: Acknowledged
    next_us: int
    looks: int = 0


@define(eq=False)
class Promises:
    """The acknowledgements of one channel. `run` is its only task."""

    account: Account
    alarms: Alarms
    now_us: Callable[[], int]
    """The log's clock, as the dispatcher stamps answers with it."""
    slot_of: Callable[[str, str], Slot | None]
    """The slot of (SKU, listing) as it is now."""
    rng: random.Random
    visible: Callable[[int], None] = lambda lag_us: None  # noqa: ARG005 - a silent default
    """Told how long after its acknowledgement a push was seen, in µs."""
    lied: Callable[[Slot, int], None] = lambda slot, shown: None  # noqa: ARG005 - as above
    """Told of a slot whose push was acknowledged and not done, and what is shown instead."""
    judge: Judge = field(factory=Judge)
    _known: OrderedDict[SlotKey, Acknowledged] = field(factory=OrderedDict)
    _watched: dict[SlotKey, Watched] = field(factory=dict)
    _doubtful: OrderedDict[SlotKey, int] = field(factory=OrderedDict)
    """Listings whose newest sample did not show in time, and what was shown instead: lied about, or only late?"""
    _liars: OrderedDict[SlotKey, int] = field(factory=OrderedDict)
    """How often in a row a listing was lied about."""
    _lags: deque[int] = field(factory=lambda: deque(maxlen=LAGS_MAX))
    _saved: float = SAVED_MAX
    _saved_at: float = -inf
    _news: trio.Event = field(factory=trio.Event)

    def __attrs_post_init__(self) -> None:
        for alarm in self.alarms.open():
            if (alarm.condition, alarm.channel) == ("acknowledgements_lie", self.account.name):
                self.judge.resume(alarm.since_us)

    # -- what the dispatcher tells --

    def read_lag_us(self) -> int:
        """How late the channel shows what it has written, by what was seen: twice the 95th percentile, bounded."""
        if not self._lags:
            return READ_LAG_MIN_US
        ordered = sorted(self._lags)
        return min(PATIENCE_US, max(READ_LAG_MIN_US, 2 * ordered[int(len(ordered) * 0.95)]))

    def read_at_us(self, sku: str, listing: str, now_us: int) -> int:
        """When a push that is acknowledged now must be read back before it counts as settled; 0: it need not be."""
        key = (sku, listing)
        if self.judge.trust == "downgraded":
            return now_us + min(PATIENCE_US, self.read_lag_us() << min(self._liars.get(key, 0), BACKOFF_MAX))
        if key in self._doubtful:
            return now_us + PATIENCE_US
        if self.rng.random() < self.judge.share and self._spend(SAMPLE_CALLS):
            return now_us + self.read_lag_us()
        return 0

    def given(self, sku: str, listing: str, level: int, shown_else: int | None, read_us: int) -> None:
        """A push of `level` was acknowledged, and its slot knows. `read_us` is what `read_at_us` said of it."""
        key = (sku, listing)
        self._watched.pop(key, None)
        self._known.pop(key, None)
        slot = self.slot_of(sku, listing)
        if slot is None or slot.base_at is None or slot.in_flight:
            return
        push = Acknowledged(sku, listing, level, shown_else, slot.base_at, read_us)
        _remember(self._known, key, push)
        if read_us and self.judge.trust != "downgraded" and len(self._watched) < OPEN_MAX:
            self._watched[key] = Watched(push, max(1, push.at_us))
            self._news.set()

    def read(self, slot: Slot, shown: int | None, before: int | None, asked_us: int) -> None:
        """The dispatcher read a listing back, and absorbed every order up to then; it believed `before` when it
        asked. Tell this before the slot is told."""
        key = (slot.sku, slot.listing)
        push = self._known.get(key)
        if push is None or shown is None or slot.base_at != push.evidence:
            return
        if shown in (before, slot.belief):
            if push.read_us:
                self._seen(push, self._watched.get(key), asked_us)
        elif before != slot.belief or slot.belief is None or slot.unclear():
            return  # sales came in meanwhile, or around the push, and may be on either side: nothing is clear
        elif not push.read_us:
            if push.shown_else is not None and shown == push.shown_else + slot.belief - push.level:
                self.judge.suspected(self.now_us())  # as if nothing had been pushed: look at more of them
        elif asked_us >= push.read_us:
            self._not_done(slot, shown)
        self._known.pop(key, None)
        self._watched.pop(key, None)

    # -- looking --

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look at the sample when a look is due, for ever."""
        task_status.started()
        while True:
            self._news = trio.Event()
            wait_s = self._wait_s()
            if wait_s > 0:
                with trio.move_on_after(wait_s + 0.001):
                    await self._news.wait()
                continue
            await self._look()

    def _wait_s(self) -> float:
        due_us = min((each.next_us for each in self._watched.values()), default=None)
        if due_us is None:
            return inf
        saving_s = max(0.0, 1.0 - self._afford()) / self._income()
        return max((due_us - self.now_us()) / SECOND_US, saving_s, self.account.wait_s())

    async def _look(self) -> None:
        """Look at what is due, in one call."""
        now_us = self.now_us()
        due = [each for each in self._watched.values() if each.next_us <= now_us][:BATCH_MAX]
        before = {each.push.key: slot.belief for each in due if (slot := self._standing(each))}
        due = [each for each in due if each.push.key in before]
        if not due or not self._spend(1.0):
            return
        answer = await self.account.converse(self.account.adapter.levels([each.push.listing for each in due]))
        received_us = self.now_us()
        readable = not isinstance(answer, (NoAnswer, Failure))
        shown = {} if isinstance(answer, (NoAnswer, Failure)) else {level.listing: level.level for level in answer}
        for each in due:
            slot, level = self._standing(each), shown.get(each.push.listing)
            if slot is None:
                continue
            if level is not None and level in (before[each.push.key], slot.belief):
                self._watched.pop(each.push.key)
                self._seen(each.push, each, received_us)
                self._known[each.push.key] = evolve(each.push, read_us=0)
            else:
                self._later(each, looked=readable)

    def _standing(self, each: Watched) -> Slot | None:
        """The slot, if the acknowledgement is its newest evidence yet; else nobody looks any more."""
        push, key = each.push, each.push.key
        if self._watched.get(key) is not each:
            return None
        slot = self.slot_of(*key)
        if slot is not None and slot.base_at == push.evidence and not slot.in_flight:
            return slot
        del self._watched[key]
        return None

    def _later(self, each: Watched, *, looked: bool) -> None:
        each.looks += looked
        now_us = self.now_us()
        moments = [each.push.at_us + int(after_s * SECOND_US) for after_s in LOOKS_S]
        following = [moment for moment in moments if moment > now_us]
        each.next_us = following[0] if following else NEVER_US  # then the reading back will tell

    def _seen(self, push: Acknowledged, watched: Watched | None, seen_us: int) -> None:
        """A push of the sample shows. It was done between the last look and this one, if there was one before."""
        lag_us: int | None = max(0, seen_us - push.at_us)
        if watched is None or (not watched.looks and lag_us is not None and lag_us > AT_ONCE_US):
            lag_us = None
        if lag_us is not None:
            self._lags.append(lag_us)
            self.visible(lag_us)
        self._done(push, lag_us)

    # -- judging --

    def _done(self, push: Acknowledged, lag_us: int | None) -> None:
        """A push of the sample was done, and seen `lag_us` later (None: nobody knows when)."""
        key = (push.sku, push.listing)
        instead = self._doubtful.pop(key, None)
        if instead is not None and lag_us is not None and lag_us <= AT_ONCE_US:
            # It does at once what it does: so the one before was not late.
            slot = self.slot_of(*key)
            if slot is not None:
                self._lie(slot, instead)
        self._liars.pop(key, None)
        before = self.judge.trust
        self.judge.judged(kept=True, now_us=self.now_us())
        if self.judge.trust == "trusted" and before != "trusted":
            self.alarms.cleared("acknowledgements_lie", self.account.name)

    def _not_done(self, slot: Slot, shown: int) -> None:
        key = (slot.sku, slot.listing)
        if self.judge.trust == "downgraded" or key in self._doubtful:
            self._doubtful.pop(key, None)
            self._lie(slot, shown)
        else:
            _remember(self._doubtful, key, shown)

    def _lie(self, slot: Slot, shown: int) -> None:
        key = (slot.sku, slot.listing)
        _remember(self._liars, key, self._liars.get(key, 0) + 1)
        self.lied(slot, shown)
        if self.judge.judged(kept=False, now_us=self.now_us()) == "downgraded":
            self.alarms.raised(
                "acknowledgements_lie", self.account.name,
                f"{self.judge.lies} of {self.judge.lies + self.judge.kept} pushes that were read back were "
                f"acknowledged and not done; the newest is listing {slot.listing}",
            )  # fmt: skip

    # -- the sample's budget --

    def _income(self) -> float:
        """Calls a second that the sample may take."""
        return self.account.calls_per_s() * BUDGET_SHARE

    def _afford(self) -> float:
        now = trio.current_time()
        if self._saved_at < now:
            earned = (now - self._saved_at) * self._income() if self._saved_at > -inf else 0.0
            self._saved = min(SAVED_MAX, self._saved + earned)
            self._saved_at = now
        return self._saved

    def _spend(self, calls: float) -> bool:
        """Take these calls from what the sample may spend; False where there is not enough."""
        if self._afford() < calls - 1e-9:
            return False
        self._saved -= calls
        return True


def _remember(rows: OrderedDict[SlotKey, T], key: SlotKey, value: T) -> None:
    """As the newest; the oldest goes where there are too many."""
    rows[key] = value
    rows.move_to_end(key)
    if len(rows) > KNOWN_MAX:
        rows.popitem(last=False)

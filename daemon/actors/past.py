"""The state of a SKU as the log makes it: of any moment for whoever asks, of now for whoever checks.

It is folded from the SKU's own events and from the rules that were in force, with the very `step` that made the live
state. A fold begins at the newest mark, or, to prove something, at the first event.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio
from attrs import define, field, frozen

from daemon.actors.circumstances import RULES_MAX
from daemon.actors.marks import Base, base_of, first_mark, newest_mark
from daemon.domain.conditions import Condition, Estranged, FeedRead, Rules, Standing, Stuck
from daemon.domain.policy import Policy
from daemon.domain.sku import PolicyOf, Reprice, Sku
from daemon.storage.codec import ESTRANGED, FEED, RULES, STANDING, STUCK, Record, indexed_as
from daemon.storage.store import Store

SLICE = 100
"""Events folded in one turn of the loop: a few milliseconds."""


class GoneError(Exception):
    """What is asked for was before the floor of the log, and is not kept."""


@define(eq=False, repr=False)
class Folding:
    """One SKU's state, growing event by event up to event `until`. `go` never waits; whoever drives it does."""

    store: Store
    sku: str
    until: int
    fallback: PolicyOf
    """Rules where the log names none at all."""
    state: Sku
    seq: int = 0
    """The events up to here are in the state."""
    newest: int = 0
    """The newest of them that is the SKU's own; 0 where only a mark knows."""
    exact: bool = True
    """Were the rules always known? Else what the listings should show is not folded but assumed."""
    mark: int = 0
    """A mark on the way, whose listings are taken over where they are not exact. 0: none."""
    changes: list[Record] = field(factory=list)
    """What concerns every SKU and is still to come: changes of the rules, and restores."""
    policies: dict[str, Policy] | None = None
    floor: int = 0
    """The floor of the log that is known of."""

    @classmethod
    def begin(cls, store: Store, sku: str, until: int, fallback: PolicyOf, *, anew: bool = False) -> Folding:
        """From the newest mark on; `anew`: from the very first event, or what those that were compacted made of the
        SKU, whatever marks there are. Raises `GoneError` where `until` itself was compacted."""
        folding = cls(store, sku, until, fallback, Sku(sku), floor=store.floor.seq)
        if until < folding.floor:
            raise GoneError
        found = None if anew else newest_mark(store.env, sku, until)
        if found is not None:
            folding._from(Base(found[0], 0, found[1]))
        else:
            folding._from(base_of(store.env, sku))
        return folding

    def _from(self, base: Base | None) -> None:
        """Begin there; None: with nothing."""
        self.seq, self.newest, self.state = (base.seq, base.newest, base.state) if base else (0, 0, Sku(self.sku))
        self.policies, self.exact, self.mark = None, True, 0
        store, seq, until = self.store, self.seq, self.until
        rules = store.events_of(RULES, 0, until, RULES_MAX)
        before = [record for record in rules if record.seq <= seq]
        changes = rules[len(before) :] + store.events_of(ESTRANGED, seq, until, RULES_MAX)
        self.changes = sorted(changes, key=lambda record: record.seq)
        # Before anybody wrote the rules down, the first that were written are assumed.
        known = before[-1:] or rules[:1] or store.events_of(RULES, until, store.head.seq, 1)
        self._under(known[0] if known else None)
        if base is None:
            first = store.events_of(self.sku, 0, until, 1)
            self.exact = not first or not known or known[0].seq < first[0].seq
            self.mark = 0 if self.exact else first_mark(store.env, self.sku)

    def _under(self, record: Record | None) -> None:
        if record is not None and isinstance(record.message, Rules):
            self.policies = record.message.policies()

    def policy_of(self, channel: str) -> Policy | None:
        """The channel's rules at the moment that is folded."""
        return self.policies.get(channel) if self.policies is not None else self.fallback(channel)

    def go(self, limit: int = SLICE) -> bool:
        """Fold up to `limit` more events; True when the end is reached. Not while events are going
        (`Store.standing`); raises `GoneError` where those that are wanted went."""
        if self.floor != self.store.floor.seq:
            self._floor_moved()
        records = self.store.events_of(self.sku, self.seq, self.until, limit)
        for record in records:
            self._meet_mark(record.seq)
            self._rules_before(record.seq)
            self.state.step(record.message, record.at_us, self.policy_of)  # type: ignore[arg-type]  # as it is indexed
            self.seq = self.newest = record.seq
        if len(records) == limit:
            return False
        self._rules_before(self.until + 1)
        self._meet_mark(self.until + 1)
        return True

    def _floor_moved(self) -> None:
        """Events that were still to be folded may be gone: then what they made of the SKU is the new beginning."""
        self.floor = self.store.floor.seq
        if self.until < self.floor:
            raise GoneError
        base = base_of(self.store.env, self.sku)
        if base is not None and base.seq > self.seq:
            self._from(base)

    def _rules_before(self, seq: int) -> None:
        while self.changes and self.changes[0].seq < seq:
            record = self.changes.pop(0)
            if isinstance(record.message, Estranged):
                record.message.applied(self.state.slots.values(), record.at_us)
                continue
            self._under(record)
            self.state.step(Reprice(), record.at_us, self.policy_of)

    def _meet_mark(self, seq: int) -> None:
        """Past the mark: from here on the listings are known."""
        if not self.mark or self.mark >= seq:
            return
        self._rules_before(self.mark + 1)
        found = newest_mark(self.store.env, self.sku, self.mark)
        if found is not None:
            self.state.slots, self.exact = found[1].slots, True
        self.mark = 0

    async def finish(self, pause: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint) -> None:
        """Fold all of it, with a pause after each slice. Returns in the turn in which the end is reached."""
        await self.store.standing()
        while not self.go():
            await pause()
            await self.store.standing()


@frozen
class Then:
    """A SKU and its circumstances at a moment of the past."""

    at_us: int
    seq: int
    """The newest event of all that was there."""
    state: Sku
    rules: Rules | None
    standing: Standing
    read_us: dict[str, int]
    """By channel up to when its orders were known to be read."""
    stuck: Stuck


async def then(store: Store, sku: str, at_us: int, fallback: PolicyOf) -> Then:
    """How a SKU was at that moment of our clock. Raises `DamagedError` where the log does not hold, and `GoneError`
    where that moment is not kept any more."""
    await store.standing()
    if at_us < store.floor.at_us:
        raise GoneError
    seq = store.seq_at(at_us)
    folding = Folding.begin(store, sku, seq, fallback)
    await folding.finish()
    rules = _newest(store, RULES, seq) or _newest(store, RULES, store.head.seq, first=True)
    standing, stuck = _newest(store, STANDING, seq), _newest(store, STUCK + sku, seq)
    read_us = {}
    for channel in {slot.channel for slot in folding.state.slots.values()}:
        fed = _newest(store, FEED + channel, seq)
        read_us[channel] = fed.up_to_us if isinstance(fed, FeedRead) else 0
    return Then(
        at_us, seq, folding.state,
        rules if isinstance(rules, Rules) else None,
        standing if isinstance(standing, Standing) else Standing(),
        read_us, stuck if isinstance(stuck, Stuck) else Stuck(),
    )  # fmt: skip


def since_us(store: Store, sku: str) -> int | None:
    """When the log first tells of a SKU; None where it never does."""
    first = store.events_of(sku, 0, store.head.seq, 1)
    return first[0].at_us if first else None


def _newest(store: Store, name: str, seq: int, *, first: bool = False) -> Condition | None:
    found = store.events_of(name, 0, seq, 1) if first else store.history(name, before=seq + 1, limit=1)
    if not found:
        return None
    assert indexed_as(found[0].sku, found[0].message) == name
    return found[0].message  # type: ignore[return-value]  # as it is indexed

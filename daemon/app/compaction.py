"""Compacts the event log: what is older than `retention.history_days` goes, and the state that it made stays.

`--at`, `explain` and `rebuild` are as exact behind the floor of the log as if nothing had gone, see `storage.floor`.
What stays of the events below it: those that concern every SKU (rules, pauses, roots of the chain), the newest of
each SKU, so that its number never stands there without a cause, and whatever belongs to a SKU whose events are older
than the rules in the log. The chain is checked before anything goes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio
from attrs import define, evolve, field

from daemon.actors.circumstances import Circumstances
from daemon.actors.marks import Base
from daemon.actors.past import Folding
from daemon.admin.explain import LOOK_BACK
from daemon.domain.conditions import Compacted
from daemon.domain.instants import SECOND_US
from daemon.domain.sku import PolicyOf
from daemon.events import Event
from daemon.storage.alarms import Alarms
from daemon.storage.chain import BrokenLogError, Chained, linked
from daemon.storage.codec import COMPACTED, ESTRANGED, ROOT, RULES, STANDING, Cause, DamagedError, indexed_as, number
from daemon.storage.floor import Row
from daemon.storage.store import Store
from daemon.storage.tables import BASES, HISTORY, LOG, MARKS
from daemon.telemetry import Telemetry

EVENTS_KEPT: Final = LOOK_BACK
"""Of each SKU, however old: all that `explain` looks at, so that it says of a moment just behind the floor what it
said before."""
SLICES: Final = 4
"""Grains compacted in one transaction."""
MARKS_MAX: Final = 10_000
"""Marks of one SKU that go in one transaction; further ones do with its next event that does."""
LOOK_MAX_S: Final = 3600.0
LOOKS: Final = 4
"""While an event gets as old as that; or every `LOOK_MAX_S`."""
PAUSE_S: Final = 1.0
"""Between two slices: sales go first."""

KEPT_WHOLE: Final = frozenset({RULES, STANDING, ROOT, ESTRANGED})
"""Folding any later moment needs all of them; there are few."""


@define
class _Plan:
    """What moving the floor up by one slice changes."""

    come: list[Row] = field(factory=list)
    """Rows that stand below the floor from then on …"""
    gone: list[Row] = field(factory=list)
    """… and that did until then."""
    puts: list[Row] = field(factory=list)
    deletes: list[tuple[str, bytes]] = field(factory=list)
    events: int = 0
    """That go."""

    def drop(self, name: str, seq: int) -> None:
        self.deletes.append((LOG, number(seq)))
        if name:
            self.deletes.append((HISTORY, _indexed(name, seq)))
        self.events += 1


def _indexed(name: str, seq: int) -> bytes:
    return name.encode() + b"\0" + number(seq)


@define(eq=False, repr=False)
class Compactor:
    """`run` is its only task; nothing in it is random, so a simulation repeats it."""

    store: Store
    circumstances: Circumstances
    alarms: Alarms
    telemetry: Telemetry
    policy_of: PolicyOf
    now_us: Callable[[], int]
    history_us: int
    """How long events are kept; 0: for ever."""
    grain: int
    """The floor is always at a multiple of so many events."""

    async def run(self) -> None:
        """Look now and then, for ever; not at all where events are kept for ever."""
        while self.history_us:
            await trio.sleep(min(LOOK_MAX_S, self.history_us / SECOND_US / LOOKS))
            await self.compact()

    async def compact(self) -> int:
        """Compact whatever is old enough; returns the events that went.

        Nothing goes while a SKU's books are not what the log makes of them, or where the chain does not hold: whoever
        looks into that needs all there is.
        """
        gone = 0
        try:
            while (end := self._end()) and not any(each.differs for each in self.circumstances.stuck.values()):
                async with self.store.whole:
                    gone += await self.slice(end)
                await trio.sleep(PAUSE_S)
        except BrokenLogError as error:
            self.alarms.raised("log_broken", "", f"{error}; nothing is compacted")
        else:
            self.alarms.cleared("log_broken", "")
        self._say()
        if gone:
            self.telemetry.event(Event.COMPACTED, events=gone, seq=self.store.floor.seq)
        return gone

    def _end(self) -> int:
        """The next floor; 0 where nothing is old enough."""
        store = self.store
        if store.head.seq < store.floor.seq + self.grain:
            return 0
        old = min(store.seq_at(self.now_us() - self.history_us), store.complete_to)
        end = min(old - old % self.grain, store.floor.seq + SLICES * self.grain)
        return end if end > store.floor.seq else 0

    def _say(self) -> None:
        """Let the chain prove where the log begins now, and what is kept there."""
        store, floor = self.store, self.store.floor
        said = store.history(COMPACTED, limit=1)
        now = Compacted(floor.seq, floor.chain, floor.rows_digest)
        if floor.seq and not (said and said[0].message == now):
            store.append("", now, Cause("retention"), at_us=store.now_us())

    async def slice(self, end: int) -> int:
        """Move the floor up to event `end`; returns the events that went. Raises `BrokenLogError`."""
        store, plan = self.store, _Plan()
        found = list(linked(store.env, store.floor, end))
        names: dict[str, list[Chained]] = {}
        for each in found:
            names.setdefault(indexed_as(each.record.sku, each.record.message), []).append(each)
        for name, mine in names.items():
            await self._plan(plan, name, mine, end)
        newest = found[-1]
        floor = evolve(store.floor, seq=end, at_us=newest.record.at_us, chain=newest.chain)
        await store.compact(floor.with_rows(plan.come, plan.gone), plan.puts, plan.deletes, plan.events)
        return plan.events

    async def _plan(self, plan: _Plan, name: str, mine: list[Chained], end: int) -> None:
        """What becomes of the events of one name, and of those that were left of it before."""
        if not name:  # an order without lines: the order's own row tells of its version
            for each in mine:
                plan.drop(name, each.record.seq)
            return
        of_sku = not name.startswith("\x01")
        if name in KEPT_WHOLE or (of_sku and not await self._found(plan, name, end)):
            plan.come += [each.row for each in mine]
            return
        kept = EVENTS_KEPT if of_sku else 1
        seqs = self._seqs(name, end, len(mine) + 2 * kept)
        rows = {each.record.seq: each.row for each in mine}
        if unknown := rows.keys() - set(seqs):
            raise BrokenLogError(min(unknown), f"the index of {name!r} does not know of it")
        plan.come += [rows[seq] for seq in seqs[:kept] if seq in rows]
        for seq in seqs[kept:]:
            plan.drop(name, seq)
            if seq not in rows:
                plan.gone.append(self._row(LOG, number(seq)))

    async def _found(self, plan: _Plan, sku: str, end: int) -> bool:
        """Lay the base of a SKU; False where its listings cannot be told from the log alone."""
        store, key = self.store, sku.encode()
        folding = Folding.begin(store, sku, end, self.policy_of, anew=True)
        await folding.finish()
        if not folding.exact:
            return False
        base: Row = (BASES, key, Base(end, folding.newest, folding.state).dump())
        if store.env.get(BASES, key) is not None:
            plan.gone.append(self._row(BASES, key))
        plan.come.append(base)
        plan.puts.append(base)
        prefix = key + b"\0"
        marks = store.env.scan(MARKS, prefix + number(end), limit=MARKS_MAX, prefix=prefix, reverse=True)
        plan.deletes += [(MARKS, mark) for mark, _ in marks if len(mark) == len(prefix) + 8]
        return True

    def _seqs(self, name: str, end: int, limit: int) -> list[int]:
        """The newest events of a name up to the new floor, newest first."""
        prefix = name.encode() + b"\0"
        rows = self.store.env.scan(HISTORY, _indexed(name, end), limit=limit, prefix=prefix, reverse=True)
        return [int.from_bytes(key[-8:], "big") for key, _ in rows if len(key) == len(prefix) + 8]

    def _row(self, table: str, key: bytes) -> Row:
        payload = self.store.env.get(table, key)
        if payload is None:
            raise DamagedError(f"the row {key!r} of table {table} is missing", key)
        return table, key, payload

"""The one seam between Trio and LMDB: what is appended is durable when its ticket says so, many at a time.

Everything written since the last commit forms the next one: while one transaction is being written (one call,
on one thread, never abandoned), the next fills up. A transaction that fails for want of room is tried again
until it succeeds, and meanwhile `trouble` says why nothing new is accepted; nothing that was accepted is
dropped. Any other failure of the file stops the process: what is on disk is the truth.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, TypeVar

import lmdb
import trio
from attrs import define, evolve, field, frozen

from daemon.domain.instants import tick
from daemon.storage.chain import link
from daemon.storage.codec import (
    REMEDY,
    Cause,
    DamagedError,
    Record,
    dump_record,
    indexed_as,
    load_record,
    number,
    pack,
    unpack,
)
from daemon.storage.environment import MIB, Batch, Environment, Head
from daemon.storage.files import StoreError
from daemon.storage.floor import FLOOR, Floor, Row, read_floor
from daemon.storage.tables import CHAIN, CHAIN_EVERY, DELIVERIES, HISTORY, LOG, META

RunBlocking = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Runs a function to its end on the writer's thread; never abandoned when the caller is cancelled."""

T = TypeVar("T")

RETRY_S = 0.25
"""Seconds between two tries of a commit that had no room."""

LOG_PAGE = 1_000
"""Records read in one snapshot."""


@frozen
class Notices:
    """How the store says what happens to it (no logging here)."""

    full: Callable[[str], None] = lambda reason: None  # noqa: ARG005 - a silent default
    healed: Callable[[], None] = lambda: None
    grown: Callable[[int], None] = lambda map_bytes: None  # noqa: ARG005 - a silent default


def _passes(error: Exception) -> bool:
    """Is it the disk (full: EIO or ENOSPC), rather than the database? Then the transaction left no trace, and may
    simply be repeated. LMDB raises its bare `Error` for what the system says and it has no name for."""
    return isinstance(error, OSError | lmdb.DiskError | lmdb.MemoryError) or type(error) is lmdb.Error


@define
class _Pending:
    """The commit that is filling up."""

    written: dict[str, dict[bytes, bytes | None]] = field(factory=dict)
    """Per table the last word on each row: its payload, or None where it goes."""
    done: trio.Event = field(factory=trio.Event)
    rows: int = 0

    def write(self, table: str, key: bytes, payload: bytes | None) -> None:
        self.written.setdefault(table, {})[key] = payload
        self.rows += 1

    def batch(self, head: Head) -> Batch:
        """As one transaction writes it."""
        puts: dict[str, list[tuple[bytes, bytes]]] = {}
        deletes: dict[str, list[bytes]] = {}
        for table, rows in self.written.items():
            puts[table] = [(key, payload) for key, payload in rows.items() if payload is not None]
            deletes[table] = [key for key, payload in rows.items() if payload is None]
        return Batch(head, puts, deletes)


@frozen
class Statistics:
    """What the store has done and holds."""

    events: int
    commits: int
    pending_rows: int
    map_bytes: int
    used_bytes: int
    readers: int
    trouble: str


@define(repr=False)
class Store:
    """The durable state. All methods but `run`, `checkpoint` and `flush` are synchronous and return at once."""

    env: Environment
    run_blocking: RunBlocking
    wall_us: Callable[[], int]
    notices: Notices = field(factory=Notices)
    aside: RunBlocking | None = None
    """Runs what only reads on a thread of its own; None: on the writer's."""
    disk_floor_bytes: int = 64 * MIB
    pending_max: int = 50_000
    """Rows waiting for a commit at which new work is refused."""
    head: Head = field(init=False)
    trouble: str = ""
    """Why nothing new can be accepted now; empty when all is well."""
    tail: deque[Record] = field(factory=deque)
    """Events since the last checkpoint, oldest first: the part that the tables written behind may not know."""
    behind: dict[tuple[str, bytes], Callable[[], bytes | None]] = field(factory=dict)
    """Rows to be written at the next checkpoint: how to encode them then (None: delete the row)."""
    quiesce: Callable[[], object] = lambda: None
    """Called before rows are encoded: applies whatever was told but waits for its turn, so that no row (an order's
    known lines, say) becomes durable before the events that it follows from."""
    floor: Floor = field(init=False)
    """Where the log begins: what was before is compacted, or just about to be."""
    complete_to: int = field(init=False)
    """The event up to which the tables written behind are known to be complete."""
    commits: int = 0
    growing: trio.Lock = field(factory=trio.Lock)
    """Held while the file is copied or its map grows: never both."""
    whole: trio.Lock = field(factory=trio.Lock)
    """Held while the chain of the log is walked or the floor of the log moves: never both."""
    _next: _Pending = field(factory=_Pending)
    _wake: trio.Event = field(factory=trio.Event)
    _stopping: bool = False
    _impatient: bool = False
    _floor_checked_us: int = 0
    _news: trio.Event = field(factory=trio.Event)
    _committing: trio.Event | None = None
    _compacting: trio.Event | None = None

    def __attrs_post_init__(self) -> None:
        self.head = self.env.head()
        self.floor = read_floor(self.env)
        self.complete_to, _ = self.checkpointed()

    # -- writing --

    def now_us(self) -> int:
        """The next stamp of the log's hybrid logical clock."""
        self.head.hlc_us = tick(self.head.hlc_us, self.wall_us())
        return self.head.hlc_us

    def append(
        self,
        sku: str,
        message: Any,
        cause: Cause,
        *,
        at_us: int,
        before: int | None = None,
        after: int | None = None,
        note: str = "",
    ) -> Record:
        """Add one event to the log; durable with the next commit."""
        head = self.head
        record = Record(head.seq + 1, at_us, sku, message, cause, before, after, note)
        key, payload = number(record.seq), dump_record(record)
        head.seq, head.chain, head.records = record.seq, link(head.chain, key, payload), head.records + 1
        self._next.write(LOG, key, payload)
        if record.seq % CHAIN_EVERY == 0:
            self._next.write(CHAIN, key, head.chain)
        self.index(record)
        self.tail.append(record)
        self._ring()
        return record

    def index(self, record: Record) -> None:
        """Let the event be found by its name, from the next checkpoint on."""
        if name := indexed_as(record.sku, record.message):
            self.behind[HISTORY, name.encode() + b"\0" + number(record.seq)] = lambda: b""

    def next_delivery(self) -> int:
        """The number of a new delivery; numbers grow, and one that comes to nothing is just missing."""
        self.head.delivery += 1
        return self.head.delivery

    def keep_delivery(
        self, delivery: int, channel: str, topic: str, digest: bytes, received_us: int, kept: bytes
    ) -> None:
        """Keep a webhook's body with the next commit."""
        self.put(DELIVERIES, number(delivery), pack((channel, topic, digest, received_us, zlib.compress(kept, 1))))

    def next_dead_id(self) -> int:
        """The number of a new dead letter."""
        self.head.dead += 1
        return self.head.dead

    def put(self, table: str, key: bytes, payload: bytes) -> None:
        """Write a row with the next commit."""
        self._next.write(table, key, payload)
        self._ring()

    def delete(self, table: str, key: bytes) -> None:
        """Delete a row with the next commit."""
        self._next.write(table, key, None)
        self._ring()

    def settled(self) -> bool:
        """Is everything written so far durable?"""
        return not self._next.rows and self._committing is None

    async def flush(self) -> None:
        """Return when everything written so far is durable."""
        if self._next.rows:
            await self._next.done.wait()
        elif self._committing is not None:
            await self._committing.wait()

    def refuses(self) -> str:
        """Why new work must be refused now; empty if it is welcome. Looks at the disk at most once a second."""
        if self.trouble:
            return self.trouble
        if self._next.rows >= self.pending_max:
            return "the store is busy"
        now = self.wall_us()
        if not 0 <= now - self._floor_checked_us < 1_000_000:
            self._floor_checked_us = now
            free = self.env.free_disk_bytes()
            if free < self.disk_floor_bytes:
                self._in_trouble(
                    f"the disk has {free // MIB} MiB left, less than the floor of {self.disk_floor_bytes // MIB} MiB"
                )
        return self.trouble

    def _in_trouble(self, reason: str) -> None:
        if not self.trouble:
            self.notices.full(reason)
        self.trouble = reason
        self._ring()  # the committer may sleep, and it is the one that looks whether there is room again

    def _ring(self) -> None:
        self._wake.set()

    # -- the committer --

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Commit, batch after batch, until `stop` was called and nothing is left. Raises only to stop the process."""
        task_status.started()
        while True:
            if not self._next.rows:
                if self._stopping:
                    return
                if self.trouble:
                    await self._recover()
                    continue
                self._wake = trio.Event()
                await self._wake.wait()
                continue
            batch, self._next = self._next, _Pending()
            self._committing = batch.done
            await self._commit(batch)
            self._committing = None
            batch.done.set()
            self.commits += 1
            self._news.set()
            self._news = trio.Event()

    def hurry(self) -> None:
        """From now on `run` raises `StoreError` instead of waiting for room: a stop must come to its end."""
        self._impatient = True

    def stop(self) -> None:
        """Let `run` finish after what is written so far is durable."""
        self._stopping = True
        self._wake.set()

    async def _recover(self) -> None:
        with trio.move_on_after(RETRY_S):
            self._wake = trio.Event()
            await self._wake.wait()
        if self.env.free_disk_bytes() >= self.disk_floor_bytes:
            self._healed()

    def _healed(self) -> None:
        if self.trouble:
            self.trouble = ""
            self.notices.healed()

    async def _commit(self, pending: _Pending) -> None:
        batch = pending.batch(evolve(self.head))
        while True:
            try:
                with trio.CancelScope(shield=True):  # a commit is never abandoned half-way; waiting for room may be
                    await self.run_blocking(lambda: self.env.write(batch))
            except lmdb.MapFullError:
                await self._grow()
            except (lmdb.Error, OSError) as error:
                if not _passes(error):
                    raise StoreError(
                        f"the database failed for good ({error}); the daemon stops here, start it again to check "
                        "the file"
                    ) from error
                await self._no_room(f"the database cannot be written ({error}): is its disk full?")
            else:
                if self.env.free_disk_bytes() >= self.disk_floor_bytes:
                    self._healed()
                return

    async def _grow(self) -> None:
        async with self.growing:
            try:
                self.notices.grown(self.env.grow())
            except StoreError as error:
                await self._no_room(str(error))

    async def _no_room(self, reason: str) -> None:
        """Wait for room; but not where the process is about to end."""
        self._in_trouble(reason)
        if self._impatient:
            raise StoreError(
                f"{reason}; everything that was acknowledged is safe: make room, then start the daemon again"
            )
        await trio.sleep(RETRY_S)

    # -- writing behind --

    async def checkpoint(self) -> int:
        """Write every row that lags behind the log, in slices between other commits; returns how many."""
        self.quiesce()
        seq, delivery = self.head.seq, self.head.delivery
        behind, self.behind = self.behind, {}
        rows = list(behind)
        try:
            for place, (table, key) in enumerate(rows):
                if place % 256 == 0:
                    self.quiesce()
                payload = behind.pop((table, key))()
                if payload is None:
                    self.delete(table, key)
                else:
                    self.put(table, key, payload)
                if place % 256 == 255:
                    await self.flush()
        finally:
            # Cut short by a stop: what is left is written by the next checkpoint, before it says that it is complete.
            self.behind = {**behind, **self.behind}
        self.put(META, b"checkpoint", pack((seq, delivery)))
        await self.flush()
        self.complete_to = seq
        while self.tail and self.tail[0].seq <= seq:
            self.tail.popleft()
        return len(rows)

    def checkpointed(self) -> tuple[int, int]:
        """(event, delivery) up to which the tables written behind are complete."""
        stored = self.env.get(META, b"checkpoint")
        seq, delivery = unpack(stored) if stored else (0, 0)
        return seq, delivery

    # -- compacting --

    async def compact(
        self, floor: Floor, puts: Iterable[Row], deletes: Iterable[tuple[str, bytes]], events: int
    ) -> None:
        """Move the floor of the log up, in one transaction with these rows; so many events of the log go with it."""
        for table, key, payload in puts:
            self.put(table, key, payload)
        for table, key in deletes:
            self.delete(table, key)
        self.head.records -= events
        for seq in range(self.floor.seq - self.floor.seq % CHAIN_EVERY + CHAIN_EVERY, floor.seq + 1, CHAIN_EVERY):
            self.delete(CHAIN, number(seq))
        self.put(META, FLOOR, floor.dump())
        self.floor, self._compacting = floor, trio.Event()
        try:
            await self.flush()
        finally:
            self._compacting.set()
            self._compacting = None

    async def standing(self) -> None:
        """Return when no event is just going: whoever reads several of them then reads all in one turn."""
        while self._compacting is not None:
            await self._compacting.wait()

    async def run_aside(self, fn: Callable[[], T]) -> T:
        """Run something long that only reads, beside the commits."""
        found: T = await (self.aside or self.run_blocking)(fn)
        return found

    # -- reading --

    def records(self, after: int, limit: int = LOG_PAGE) -> list[Record]:
        """Up to `limit` durable events after sequence number `after`, in order."""
        rows = self.env.scan(LOG, number(after + 1), limit=limit)
        return [load_record(int.from_bytes(key, "big"), payload) for key, payload in rows]

    def record(self, seq: int) -> Record | None:
        """One durable event."""
        payload = self.env.get(LOG, number(seq))
        return None if payload is None else load_record(seq, payload)

    def history(self, sku: str, *, before: int = 1 << 62, limit: int = 100) -> list[Record]:
        """The newest events of a SKU (or of another name, see `codec.indexed_as`) below sequence number `before`,
        newest first."""
        if before < 1:
            return []
        newest = [
            record for record in reversed(self.tail)
            if record.seq < before and indexed_as(record.sku, record.message) == sku
        ][:limit]  # fmt: skip
        oldest_known = newest[-1].seq if newest else before
        prefix = sku.encode() + b"\0"
        rows = self.env.scan(HISTORY, prefix + number(oldest_known - 1), limit=limit, prefix=prefix, reverse=True)
        for key, _ in rows[: limit - len(newest)]:
            if len(key) == len(prefix) + 8 and (found := self.record(int.from_bytes(key[-8:], "big"))):
                newest.append(found)
        return newest

    def events_of(self, name: str, after: int, until: int, limit: int) -> list[Record]:
        """The first `limit` events of a name behind `after`, up to `until`, in order; those of the newest commit are
        among them before they are durable."""
        prefix = name.encode() + b"\0"
        rows = self.env.scan(HISTORY, prefix + number(after + 1), limit=limit, prefix=prefix)
        found = {int.from_bytes(key[-8:], "big"): None for key, _ in rows if len(key) == len(prefix) + 8}
        fresh: dict[int, Record | None] = {
            record.seq: record for record in self.tail
            if after < record.seq <= until and indexed_as(record.sku, record.message) == name
        }  # fmt: skip
        seqs = sorted(seq for seq in {**found, **fresh} if seq <= until)[:limit]
        stored = self._stored([seq for seq in seqs if not fresh.get(seq)])
        return [fresh.get(seq) or stored[seq] for seq in seqs]

    def _stored(self, seqs: list[int]) -> dict[int, Record]:
        rows = self.env.get_many(LOG, [number(seq) for seq in seqs])
        return {seq: load_record(seq, payload) for seq, payload in zip(seqs, rows, strict=True)}

    def seq_at(self, us: int) -> int:
        """The newest event that was there at that moment of our clock, or the floor of the log; 0 for none. Events
        are stamped in order."""
        low, high = self.floor.seq, self.head.seq
        while low < high:
            middle = (low + high + 1) // 2
            if self._at_us(middle) <= us:
                low = middle
            else:
                high = middle - 1
        return low

    def _at_us(self, seq: int) -> int:
        if self.tail and seq >= self.tail[0].seq:
            return self.tail[seq - self.tail[0].seq].at_us
        found = self.record(seq)
        if found is None:
            raise DamagedError(f"event {seq} is missing from the log: {REMEDY}")
        return found.at_us

    def newest_complete(self, sku: str) -> int:
        """The newest event of a SKU, by its history, that the tables written behind must know; 0 for none."""
        prefix = sku.encode() + b"\0"
        rows = self.env.scan(HISTORY, prefix + number(self.complete_to), limit=1, prefix=prefix, reverse=True)
        return int.from_bytes(rows[0][0][-8:], "big") if rows and len(rows[0][0]) == len(prefix) + 8 else 0

    def replay(self) -> Iterator[Record]:
        """Every durable event after the last checkpoint, in order."""
        after, _ = self.checkpointed()
        while page := self.records(after):
            yield from page
            after = page[-1].seq

    async def wait_news(self) -> None:
        """Return after the next commit."""
        await self._news.wait()

    def statistics(self) -> Statistics:
        """Numbers for `status` and metrics."""
        map_bytes, used_bytes = self.env.sizes()
        return Statistics(
            self.head.seq, self.commits, self._next.rows, map_bytes, used_bytes, self.env.readers(), self.trouble
        )

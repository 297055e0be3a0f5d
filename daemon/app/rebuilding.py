"""`onhand rebuild`: is the log what was written, and is everything that follows from it what the log makes of it?

First the chain is walked, event by event; then each SKU is folded by itself, its stock, its components and its
listings in one go, and compared in the turn in which its fold is complete. So memory holds one SKU at a time, and
work goes on meanwhile.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import trio
from attrs import define, evolve

from daemon.actors.registry import Registry
from daemon.admin.inside import RebuildReport
from daemon.app.audit import Auditor
from daemon.domain.conditions import Compacted
from daemon.events import Event
from daemon.storage.chain import BrokenLogError, chained, stands
from daemon.storage.codec import COMPACTED, Record, indexed_as, number
from daemon.storage.store import Store
from daemon.storage.tables import HISTORY
from daemon.telemetry import Telemetry

NAMED_MAX = 100
"""SKUs named in a report."""
PAGE = 500
BREATHER = 1_000
"""Events, or rows, between two turns of everybody else."""


@define(eq=False, repr=False)
class Rebuilder:
    """Folds the whole log anew."""

    store: Store
    registry: Registry
    auditor: Auditor
    telemetry: Telemetry
    checkpoint: Callable[[], Awaitable[object]]
    """Write everything that lags behind the log."""

    async def run(self, *, verify_only: bool) -> RebuildReport:
        """Check the log and compare each SKU with it; unless `verify_only`, what the log says takes the place of what
        differs. Nothing is compared, or repaired, with a log that is broken."""
        await self.checkpoint()
        different: list[str] = []
        events, skus, broken = 0, 0, 0
        async with self.store.whole:
            try:
                async for _ in self._log():
                    events += 1
            except BrokenLogError as error:
                broken = error.seq
        if not broken:
            async for sku in self._skus():
                skus += 1
                if await self.auditor.compare(sku, trio.lowlevel.checkpoint, repair=not verify_only):
                    different.append(sku)
                await trio.lowlevel.checkpoint()
        repaired = bool(different) and not verify_only
        if not broken and not verify_only:
            for sku in [sku for sku, stuck in self.registry.circumstances.stuck.items() if stuck.differs]:
                self.auditor.right_again(sku)
            await self.checkpoint()
        self.telemetry.event(Event.REBUILT, events=events, skus=skus, different=len(different), broken=broken)
        return RebuildReport(events, skus, tuple(different[:NAMED_MAX]), broken, repaired)

    async def _log(self) -> AsyncIterator[None]:
        """Every event of the chain, checked; then what stands below the floor. Raises `BrokenLogError`."""
        store, head = self.store, evolve(self.store.head)
        await store.flush()
        known_to = store.complete_to
        for record in chained(store.env, head, store.floor):
            if record.seq <= known_to:
                self._check_index(record)
            yield
            if record.seq % BREATHER == 0:
                await trio.lowlevel.checkpoint()
        said = [record.message for record in store.history(COMPACTED, limit=1)]
        last = said[0] if said and isinstance(said[0], Compacted) else None
        for place, _ in enumerate(stands(store.env, store.floor, last)):
            if place % BREATHER == 0:
                await trio.lowlevel.checkpoint()

    def _check_index(self, record: Record) -> None:
        """A SKU is folded by the index: an event that it does not know of would be missing there."""
        name = indexed_as(record.sku, record.message)
        if name and self.store.env.get(HISTORY, name.encode() + b"\0" + number(record.seq)) is None:
            raise BrokenLogError(record.seq, f"the index of {name!r} does not know of it")

    async def _skus(self) -> AsyncIterator[str]:
        """Every SKU that has a row or an event, in order."""
        after = ""
        while page := sorted({*self.registry.skus(after=after, limit=PAGE), *self._indexed(after)})[:PAGE]:
            for sku in page:
                yield sku
            after = page[-1]

    def _indexed(self, after: str) -> list[str]:
        """The next SKUs that have an event, by one look at the index each."""
        found: list[str] = []
        key = after.encode() + b"\0" + b"\xff" * 9 if after else b"\x02"  # below that is what concerns no SKU
        while len(found) < PAGE and (rows := self.store.env.scan(HISTORY, key, limit=1)):
            name = rows[0][0][:-9]
            found.append(name.decode())
            key = name + b"\0" + b"\xff" * 9
        return found

"""The rolling self-audit: SKU by SKU the log is folded anew and compared with the stored row and the live books, and
with its listings as far as the log determines them (`app.listings`).

A disagreement heals by nothing of its own: pushes of that SKU alone stop, also over a restart, and a person is told;
`onhand rebuild` puts its books right and lets it go on. The whole catalogue is read in a day, at most about a
hundredth of the loop's time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio
from attrs import define, evolve

from daemon.actors.actor import load_actor
from daemon.actors.circumstances import FREE
from daemon.actors.past import Folding
from daemon.actors.registry import Registry
from daemon.admin.inside import AuditReport
from daemon.app.listings import difference
from daemon.domain.instants import DAY_US, SECOND_US
from daemon.domain.kits import dump_kit
from daemon.domain.sku import Sku
from daemon.domain.stock import dump
from daemon.storage.alarms import Alarms
from daemon.storage.codec import pack, unpack
from daemon.storage.store import Store
from daemon.storage.tables import META, SKUS

WAKE_S = 60.0
"""Between two handfuls of SKUs."""
HANDFUL_MIN = 20
"""SKUs of a handful; more where a day would else not be enough."""
PROGRESS = b"audit"
"""The row of META that says how far it is."""
SLICE = 50
SLICE_PAUSE_S = 0.2
"""Events folded in one turn, a millisecond or two, and the pause after them."""


def books(state: Sku) -> bytes:
    """What is compared, byte for byte: the stock, and the components of a kit."""
    return pack((dump(state.stock), dump_kit(state.kit) if state.kit else None))


def stored_books(sku: str, row: bytes) -> bytes:
    """The same of a stored row."""
    return books(load_actor(sku, row).state)


async def _pause() -> None:
    await trio.sleep(SLICE_PAUSE_S)


@define(eq=False, repr=False)
class Auditor:
    """`run` is its only task; nothing in it is random, so a simulation repeats it."""

    store: Store
    registry: Registry
    alarms: Alarms
    now_us: Callable[[], int]
    since_us: int = 0
    """When the round under way, or the last one, began; 0: there was none."""
    audited: int = 0
    """SKUs of it that are done."""
    rounds: int = 0
    """That are complete."""
    _after: str = ""
    """The last SKU that is done."""
    _resting: bool = True
    """Is the round complete?"""
    _skus: int = 0

    async def run(self) -> None:
        """Round after round, one a day, for ever; also over restarts, so that a daemon that is stopped often comes to
        the last SKU as well."""
        self._recall()
        while True:
            if self._resting:
                await self._rest()
                self.since_us, self.audited, self._after, self._resting = self.now_us(), 0, "", False
            await trio.sleep(WAKE_S)
            await self.round()

    async def _rest(self) -> None:
        if self.since_us:
            rest_us = self.since_us + DAY_US - self.now_us()
            await trio.sleep(min(max(rest_us / SECOND_US, 0.0), DAY_US / SECOND_US))

    async def round(self) -> None:
        """Every SKU that is not done yet."""
        while page := self.registry.skus(after=self._after, limit=self._handful()):
            for sku in page:
                await self.audit(sku)
                self.audited += 1
            self._after = page[-1]
            self._note()
            await trio.sleep(WAKE_S)
        self.rounds, self._resting = self.rounds + 1, True
        self._note()

    def _recall(self) -> None:
        stored = self.store.env.get(META, PROGRESS)
        if stored is not None:
            self.since_us, self.audited, self.rounds, self._after, self._resting = unpack(stored)
        self._skus = self.store.env.count(SKUS)

    def _note(self) -> None:
        """Written behind: an idle daemon writes nothing for it, and after a kill a few SKUs are read again."""
        now = (self.since_us, self.audited, self.rounds, self._after, self._resting)
        self.store.behind[META, PROGRESS] = lambda: pack(now)

    def _handful(self) -> int:
        self._skus = self.store.env.count(SKUS)
        return max(HANDFUL_MIN, -(-self._skus * int(WAKE_S) // 86_400))

    async def audit(self, sku: str) -> bool:
        """Fold one SKU anew and compare; False where its books, or its listings, are not what the log makes of them.
        What of the listings is not compared: see `app.listings`."""
        why = await self.compare(sku, _pause)
        if why:
            self._differs(sku, why)
        return not why

    async def compare(self, sku: str, pause: Callable[[], Awaitable[None]], *, repair: bool = False) -> str:
        """What of a SKU is not what the log makes of it, in words; with `repair`, what the log says takes the place
        of that."""
        # In the very turn in which the fold is complete: nothing can come in between.
        folding = await self._folded(sku, pause)
        wrong_books = self._difference(sku, books(folding.state), folding.newest)
        why = wrong_books or difference(self.store, self.registry, folding)
        if repair and wrong_books:
            self.registry.replace_books(folding.state)
        if repair and why and folding.exact:
            self.registry.replace_listings(folding.state)
        return why

    async def _folded(self, sku: str, pause: Callable[[], Awaitable[None]]) -> Folding:
        """The SKU as the whole log makes it, up to its end as of the turn in which this returns."""
        await self.store.standing()
        folding = Folding.begin(self.store, sku, self.store.head.seq, self.registry.policy_of, anew=True)
        while not folding.go(SLICE):
            await pause()
            await self.store.standing()
            folding.until = self.store.head.seq
        return folding

    def _difference(self, sku: str, folded: bytes, seq: int) -> str:
        actor, row = self.registry.actors.get(sku), self.store.env.get(SKUS, sku.encode())
        if actor is not None and books(actor.state) != folded:
            return f"its books in use are not what the log makes of them at event {seq}"
        told_later = actor is not None and actor.dirty
        if row is not None and not told_later and unpack(row)[0] >= seq and stored_books(sku, row) != folded:
            return f"its stored books are not what the log makes of them at event {seq}"
        if seq and actor is None and (row is None or unpack(row)[0] < seq):
            return f"what is stored of it does not know of event {seq}"
        return ""

    def _differs(self, sku: str, why: str) -> None:
        known = self.registry.circumstances.stuck.get(sku, FREE)
        if not known.differs:
            self.registry.circumstances.is_stuck(sku, evolve(known, differs=why), "audit")
        self.alarms.raised("books_differ", "", f"{sku}: {why}; nothing of it is pushed", subject=sku)

    def right_again(self, sku: str) -> None:
        """Its books are what the log makes of them: it may be pushed again."""
        known = self.registry.circumstances.stuck.get(sku, FREE)
        if known.differs:
            self.registry.circumstances.is_stuck(sku, evolve(known, differs=""), "rebuild")
            self.registry.offer(sku)
        self.alarms.cleared("books_differ", "", sku)

    def report(self) -> AuditReport:
        """How far it is."""
        stuck = self.registry.circumstances.stuck
        differing = {sku: each.differs for sku, each in sorted(stuck.items()) if each.differs}
        return AuditReport(self.audited, self._skus, self.since_us, self.rounds, differing)

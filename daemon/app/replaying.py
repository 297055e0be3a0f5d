"""Kept deliveries are read once more by the present adapters: first into a copy of the books, to see what would
change, and only then, where a person wants it, for real.

A fact that is known counts once, however often it is told: so telling all of it again changes only what was read
wrongly, or not at all, before. Levels are not told again: what a listing showed then says nothing of now.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import trio
from attrs import define, evolve, field

from daemon.actors.actor import Part
from daemon.actors.registry import Registry
from daemon.admin.replay import Changed, Moved, Puzzled, ReplayProgress, ReplayReport
from daemon.domain.channel import Delivery, Facts
from daemon.domain.observations import OrderLine
from daemon.domain.stock import Stock, dump, load
from daemon.events import Event
from daemon.ingress.normalise import Normaliser
from daemon.ingress.receiver import Intake, Receiver
from daemon.storage.codec import Cause
from daemon.storage.deliveries import Kept, kept
from daemon.storage.orders import OrderIndex
from daemon.storage.store import Store
from daemon.telemetry import Telemetry

SKUS_MAX: Final = 50_000
"""SKUs of which a copy may be made; a replay that would change more is to be narrowed."""
NAMED_MAX: Final = 1_000
"""SKUs, deliveries and puzzles named in a report; more are counted."""
AT_ONCE: Final = 20
"""Deliveries that are read in one turn of the loop, or told in one commit."""
PATIENCE_S: Final = 0.1


class TooManyError(Exception):
    """More would change than can be tried out at once."""


@define(eq=False, repr=False)
class _Books:
    """A copy of what would change: orders, and the stocks of SKUs."""

    registry: Registry
    orders: OrderIndex = field(init=False)
    stocks: dict[str, Stock] = field(factory=dict)
    before: dict[str, int | None] = field(factory=dict)
    touched: dict[str, int] = field(factory=dict)
    """Facts by SKU that are new, or different."""

    def __attrs_post_init__(self) -> None:
        self.orders = self.registry.orders.scratch()

    def apply(self, seen: OrderLine) -> str:
        """Tell the copy; the verdict, "known" where nothing changes."""
        state = self.registry.peek(seen.sku)
        real = state.stock if state is not None else Stock()
        stock = self.stocks.get(seen.sku)
        verdict, changes = (stock or real).would(seen)
        if not changes:
            return verdict
        if stock is None:
            if len(self.stocks) >= SKUS_MAX:
                raise TooManyError
            stock = self.stocks[seen.sku] = load(dump(real))
            self.before[seen.sku] = stock.available
        stock.apply(seen)
        self.touched[seen.sku] = self.touched.get(seen.sku, 0) + 1
        return verdict


@define(eq=False, repr=False)
class Replays:
    """Runs one replay at a time."""

    store: Store
    registry: Registry
    receiver: Receiver
    intakes: Mapping[str, Intake]
    telemetry: Telemetry
    progress: ReplayProgress = field(factory=ReplayProgress)

    async def run(self, channel: str, since_us: int, until_us: int, *, apply: bool) -> ReplayReport:
        """See what would change; with `apply` also tell it, and say what came of it."""
        try:
            report = await self._try(channel, since_us, until_us)
            if apply and report.complete:
                report = evolve(report, applied=True, told=await self._tell(channel, since_us, until_us))
        finally:
            self.progress = ReplayProgress()
        self.telemetry.event(
            Event.DELIVERIES_REPLAYED, channel=channel or None, deliveries=report.deliveries,
            different=report.different, not_understood=report.puzzles, skus=report.skus, told=report.told,
            applied=report.applied,
        )  # fmt: skip
        return report

    # -- trying --

    async def _try(self, channel: str, since_us: int, until_us: int) -> ReplayReport:
        tried = _Tried(_Books(self.registry), self._puzzled())
        try:
            await self._each(channel, since_us, until_us, "reading", lambda page: self._try_some(tried, page))
        except TooManyError:
            tried.complete = False
        return tried.report()

    async def _try_some(self, tried: _Tried, page: list[Kept]) -> None:
        for each in page:
            intake = self.intakes.get(each.channel)
            if intake is None:
                tried.strangers += 1
                continue
            facts = intake.adapter.parse(Delivery({}, each.body))
            tried.see(each, facts, evolve(intake.normaliser, orders=tried.books.orders), self.registry.orders)
        await trio.lowlevel.checkpoint()

    def _puzzled(self) -> dict[int, int]:
        """Dead letters of deliveries that nobody understood, by delivery."""
        found, after = dict[int, int](), 0
        while page := self.receiver.dead_letters.page(after):
            after = page[-1].letter
            found.update({each.delivery: each.letter for each in page if each.kind == "puzzle" and each.delivery})
        return found

    # -- telling --

    async def _tell(self, channel: str, since_us: int, until_us: int) -> int:
        puzzled, told = self._puzzled(), 0

        async def some(page: list[Kept]) -> None:
            nonlocal told
            told += await self._tell_some(page, puzzled)

        await self._each(channel, since_us, until_us, "telling", some)
        await self.store.flush()
        return told

    async def _tell_some(self, page: list[Kept], puzzled: dict[int, int]) -> int:
        """Read, learned and posted in one turn: no row of the index becomes durable before the events it is from."""
        while self.store.refuses() or self.registry.refuses(("",) * 10 * len(page)):  # noqa: ASYNC110 - nobody announces room
            await trio.sleep(PATIENCE_S)
        parts: list[Part] = []
        letters: list[int] = []
        for each in page:
            intake = self.intakes.get(each.channel)
            facts = intake.adapter.parse(Delivery({}, each.body)) if intake is not None else None
            if intake is None or facts is None or facts.puzzle:
                continue
            parts += self._new_parts(intake, each, facts)
            self._wish(intake, facts)
            if each.delivery in puzzled:
                letters.append(puzzled[each.delivery])
        if not parts and not letters:
            return 0
        unit = await self.registry.deliver(parts, lambda _: self._settle(letters))
        return sum(verdict not in ("known", "poison", "late") for verdict in unit.verdicts)

    def _new_parts(self, intake: Intake, each: Kept, facts: Facts) -> list[Part]:
        cause = Cause("replay", intake.name, each.delivery)
        found: list[Part] = []
        for order in facts.orders:
            # Tried first: an order of which nothing is told must not be learned either.
            trial = evolve(intake.normaliser, orders=self.registry.orders.scratch())
            parts, unlinked = trial.order(order, cause)
            self.receiver.bury_unlinked(intake, unlinked, each.delivery)
            if any(map(self._news, parts)):
                parts, _ = intake.normaliser.order(order, cause)
                found += filter(self._news, parts)
        return found

    def _news(self, part: Part) -> bool:
        """Would telling it change anything? What is older than what has been settled would only make a letter."""
        if not isinstance(part.message, OrderLine):
            return True
        state = self.registry.peek(part.sku)
        return (state.stock if state is not None else Stock()).would(part.message)[1]

    def _wish(self, intake: Intake, facts: Facts) -> None:
        """Orders that only their names are told of are fetched, unless somebody told of them since."""
        now_us = self.store.now_us()
        wanted = [order for order in facts.refetch if not self.registry.orders.known(intake.name, order)]
        for order in wanted:
            self.registry.refetches.ask(intake.name, order, now_us)
        if wanted:
            intake.fetch()

    def _settle(self, letters: list[int]) -> None:
        for letter in letters:
            found = self.receiver.dead_letters.get(letter)
            if found is not None:
                self.receiver.dead_letters.remove(letter)
                self.receiver.forget(found.channel, found.subject)

    # -- both --

    async def _each(
        self, channel: str, since_us: int, until_us: int, doing: str, some: Callable[[list[Kept]], object]
    ) -> None:  # fmt: skip
        newest = self.store.head.delivery
        for reached, page in kept(self.store, channel=channel, since_us=since_us, until_us=until_us):
            self.progress = ReplayProgress(doing, reached, newest)
            for start in range(0, len(page), AT_ONCE):
                await some(page[start : start + AT_ONCE])  # type: ignore[misc]  # an async callable
            await trio.lowlevel.checkpoint()
            if reached >= newest:
                return  # what comes meanwhile is read as it comes


@define(eq=False, repr=False)
class _Tried:
    """What is known of a trial so far."""

    books: _Books
    puzzled: dict[int, int]
    complete: bool = True
    strangers: int = 0
    deliveries: int = 0
    different: int = 0
    understood: int = 0
    unlinked: int = 0
    too_old: int = 0
    fetch: set[tuple[str, str]] = field(factory=set)
    changed: list[Changed] = field(factory=list)
    puzzles: dict[tuple[str, str], Puzzled] = field(factory=dict)
    puzzle_count: int = 0

    def see(self, each: Kept, facts: Facts, normaliser: Normaliser, real: OrderIndex) -> None:
        """One delivery, as it is read now."""
        self.deliveries += 1
        before = each.delivery in self.puzzled
        if facts.puzzle:
            self.puzzle_count += 1
            self._puzzle(each, facts.puzzle)
            if not before:
                self._differs(each, "is not understood any more")
            return
        facts_changed = self._orders(each, facts, normaliser, real)
        if len(self.fetch) < NAMED_MAX:
            self.fetch |= {(each.channel, order) for order in facts.refetch if not real.known(each.channel, order)}
        if before:
            self.understood += 1
            self._differs(each, f"is understood now: {facts_changed} facts")
        elif facts_changed:
            self._differs(each, f"{facts_changed} facts are new or different")

    def _orders(self, each: Kept, facts: Facts, normaliser: Normaliser, real: OrderIndex) -> int:
        changed = 0
        for order in facts.orders:
            parts, strange = normaliser.order(order, Cause("replay", each.channel, each.delivery))
            self.unlinked += len(strange)
            for part in parts:
                if not isinstance(part.message, OrderLine):
                    continue
                verdict = self.books.apply(part.message)
                if verdict == "late":
                    self.too_old += not real.sku_of(each.channel, order.order, part.message.line)
                elif verdict != "known":
                    changed += 1
        return changed

    def _differs(self, each: Kept, how: str) -> None:
        self.different += 1
        if len(self.changed) < NAMED_MAX:
            self.changed.append(Changed(each.delivery, each.channel, each.topic, each.received_us, how))

    def _puzzle(self, each: Kept, reason: str) -> None:
        key = (each.channel, reason)
        known = self.puzzles.get(key)
        if known is not None:
            self.puzzles[key] = evolve(known, count=known.count + 1)
        elif len(self.puzzles) < NAMED_MAX:
            self.puzzles[key] = Puzzled(each.channel, reason, 1, each.delivery)

    def report(self) -> ReplayReport:
        """The whole."""
        books = self.books
        moved = [
            Moved(sku, books.before[sku], stock.available, books.touched[sku])
            for sku, stock in sorted(books.stocks.items())
        ]
        moved.sort(key=lambda each: (each.now == each.then, each.sku))
        return ReplayReport(
            deliveries=self.deliveries, different=self.different, understood=self.understood,
            puzzles=self.puzzle_count, unlinked=self.unlinked, too_old=self.too_old, to_fetch=len(self.fetch),
            strangers=self.strangers, skus=len(moved), moved=tuple(moved[:NAMED_MAX]), changed=tuple(self.changed),
            not_understood=tuple(self.puzzles.values()), complete=self.complete,
        )  # fmt: skip

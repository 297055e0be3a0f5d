"""Commands that concern the whole store: backup, rebuilding from the log, dead letters once more."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import trio
from attrs import define, evolve, field

from daemon.actors.actor import Part
from daemon.actors.letters import part_of
from daemon.actors.registry import Registry
from daemon.admin.inside import RebuildReport
from daemon.admin.replay import ReplayProgress, ReplayReport
from daemon.app.audit import Auditor, books, stored_books
from daemon.app.replaying import Replays
from daemon.domain.channel import Delivery
from daemon.domain.kits import Assemble, ComponentLevel
from daemon.domain.observations import Adjustment, OrderLine, StockCount
from daemon.domain.sku import Revive, Settle, Sku
from daemon.events import Event
from daemon.ingress.receiver import Intake, Receiver
from daemon.storage.chain import BrokenLogError, chained
from daemon.storage.codec import Cause, Record, unpack
from daemon.storage.dead_letters import DeadLetter
from daemon.storage.files import StoreError, structural_problems
from daemon.storage.store import Store
from daemon.storage.tables import SKUS
from daemon.telemetry import Telemetry

NAMED_MAX = 100
"""SKUs named in a report."""


def _fold(skus: dict[str, Sku], record: Record) -> None:
    """Let an event change what the log makes of its SKU's stock and components; the rest of the SKU stays empty."""
    message = record.message
    if not isinstance(message, OrderLine | StockCount | Adjustment | Settle | Assemble | ComponentLevel):
        return
    state = skus.setdefault(record.sku, Sku(record.sku))
    if isinstance(message, OrderLine | StockCount | Adjustment):
        state.stock.apply(message)
    elif isinstance(message, Settle):
        state.stock.settle(message.horizon_us, message.floors or {})
    else:
        state.step(message, record.at_us, lambda _: None)


@define(eq=False, repr=False)
class Upkeep:
    """See `daemon.admin.inside.Maintenance`."""

    store: Store
    registry: Registry
    receiver: Receiver
    intakes: Mapping[str, Intake]
    telemetry: Telemetry
    auditor: Auditor
    checkpoint: Callable[[], object]
    """Awaitable: write everything that lags behind the log."""
    replays: Replays = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.replays = Replays(self.store, self.registry, self.receiver, self.intakes, self.telemetry)

    async def replay(self, channel: str, since_us: int, until_us: int, *, apply: bool) -> ReplayReport:
        """Read kept deliveries again: what would change, and with `apply` what did."""
        return await self.replays.run(channel, since_us, until_us, apply=apply)

    def replaying(self) -> ReplayProgress:
        """How far a replay is."""
        return self.replays.progress

    async def backup(self, directory: Path) -> int:
        """Copy the state into an empty directory while work goes on, verify the copy; returns its bytes."""
        await self.store.flush()
        async with self.store.growing:
            try:
                await self.store.run_aside(lambda: self.store.env.copy_to(directory))
            except StoreError as error:
                self.telemetry.event(Event.BACKUP_FAILED, error=error)
                raise
        problems = await self.store.run_aside(lambda: structural_problems(directory / "data.mdb"))
        if problems:
            self.telemetry.event(Event.BACKUP_FAILED, error=problems[0])
            raise StoreError(f"the copy in {directory} does not verify ({problems[0]}); take another one")
        size = (directory / "data.mdb").stat().st_size
        self.telemetry.event(Event.BACKED_UP, directory=str(directory), size=size)
        return size

    async def rebuild(self, *, verify_only: bool) -> RebuildReport:
        """Fold the whole log and compare with the stored stocks and kits, and with the listings as far as the log
        determines them (`app.listings`); `verify_only` changes nothing.

        The log is read in pages, so work goes on meanwhile; a SKU that changed since is compared as of then.
        """
        head = evolve(self.store.head)
        await self.store.flush()
        skus: dict[str, Sku] = {}
        events, broken = 0, 0
        try:
            for record in chained(self.store.env, head):
                events += 1
                _fold(skus, record)
                if events % 1_000 == 0:
                    await trio.lowlevel.checkpoint()
        except BrokenLogError as error:
            broken = error.seq
        end = head.seq
        wrong = set() if broken else set(await self._compare(skus, end))
        different = [] if broken else await self._listings(wrong)
        repaired = False
        if different and not verify_only:
            for sku in different:
                if sku in wrong:
                    self.registry.replace_books(skus[sku])
                await self.auditor.listings(sku, repair=True)
            repaired = True
        if not broken and not verify_only:
            for sku in [sku for sku, stuck in self.registry.circumstances.stuck.items() if stuck.differs]:
                self.auditor.right_again(sku)
            await self.checkpoint()  # type: ignore[misc]  # an async callable
        self.telemetry.event(Event.REBUILT, events=events, skus=len(skus), different=len(different), broken=broken)
        return RebuildReport(events, len(skus), tuple(different[:NAMED_MAX]), broken, repaired)

    async def _listings(self, wrong: Collection[str]) -> list[str]:
        """`wrong`, and every SKU of which a listing is not what the log makes of it, in order."""
        different, after = set(wrong), ""
        while page := self.registry.skus(after=after, limit=500):
            for sku in page:
                if sku not in different and await self.auditor.listings(sku):
                    different.add(sku)
                await trio.lowlevel.checkpoint()
            after = page[-1]
        return sorted(different)

    async def _compare(self, skus: dict[str, Sku], end: int) -> list[str]:
        """SKUs whose books in use, or whose stored row, are not what the log makes of them, byte for byte."""
        different = []
        for place, (sku, state) in enumerate(sorted(skus.items())):
            folded = books(state)
            actor = self.registry.actors.get(sku)
            if actor is not None:
                same = actor.seq > end or books(actor.state) == folded
            else:
                payload = self.store.env.get(SKUS, sku.encode())
                same = payload is not None and stored_books(payload) == folded
            if not same:
                different.append(sku)
            if place % 500 == 499:
                await trio.lowlevel.checkpoint()
        return different

    async def retry_letter(self, letter: int) -> str:
        """Apply a dead letter again; what came of it, as a sentence. Raises `LookupError` for an unknown one."""
        found = self.receiver.dead_letters.get(letter)
        if found is None:
            raise LookupError(f"there is no dead letter {letter}")
        if self.registry.release(found.sku):
            self.telemetry.event(Event.SKU_RELEASED, sku=found.sku)
        over, said = await self._again(found)
        if over:
            self.receiver.dead_letters.remove(letter)
            self.receiver.forget(found.channel, found.subject)
            await self.store.flush()
        self.telemetry.event(Event.DEAD_LETTER_RETRIED, channel=found.channel or None, letter=letter, result=said)
        return said

    async def _again(self, letter: DeadLetter) -> tuple[bool, str]:
        """Is the letter done with? And what came of it, as a sentence."""
        intake = self.intakes.get(letter.channel)
        match letter.kind:
            case "push":
                revive = Revive(letter.channel, letter.content.decode())
                await self.registry.deliver([Part(letter.sku, revive, Cause("retry", letter.channel))])
                return True, "the listing is pushed again"
            case "poison":
                return await self._crashed_before(letter, intake)
            case "late":
                unit = await self.registry.deliver([part_of(letter.content)])
                if "late" in unit.verdicts:
                    return False, "it is still older than what has been settled, so the letter stays"
                return True, f"the observation was told again: {', '.join(unit.verdicts)}"
            case "unlinked":
                order, _ = unpack(letter.content)
                self.registry.refetches.ask(letter.channel, order, self.store.now_us())
                if intake is not None:
                    intake.look()
                return True, f"order {order} is fetched again"
            case "puzzle":
                if intake is None or not letter.content:
                    return True, "there is nothing to read again; the order feed tells what it was about"
                facts = intake.adapter.parse(Delivery({}, letter.content))
                if facts.puzzle:
                    return False, f"still not understood, so the letter stays: {facts.puzzle}"
                await self.receiver.absorb(intake, facts.orders, "retry")
                return True, "understood now, and applied"

    async def _crashed_before(self, letter: DeadLetter, intake: Intake | None) -> tuple[bool, str]:
        part = part_of(letter.content)
        unit = await self.registry.deliver([part])
        if "poison" in unit.verdicts:
            return False, "its actor crashed on it again, so the letter stays"
        if isinstance(part.message, OrderLine):
            # The order may have struck this line since, and a crash may have made its index forget the line.
            self.registry.orders.replayed(part.message)
            self.registry.refetches.ask(part.message.channel, part.message.order, self.store.now_us())
            if intake is not None:
                intake.look()
        return True, f"the observation was applied again: {', '.join(unit.verdicts)}"

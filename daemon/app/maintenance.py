"""Commands that concern the whole store: backup, rebuilding from the log, dead letters once more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from attrs import define, field

from daemon.actors.actor import Part
from daemon.actors.letters import part_of
from daemon.actors.registry import Registry
from daemon.admin.inside import RebuildReport
from daemon.admin.replay import ReplayProgress, ReplayReport
from daemon.app.audit import Auditor
from daemon.app.rebuilding import Rebuilder
from daemon.app.replaying import Replays
from daemon.domain.channel import Delivery
from daemon.domain.observations import OrderLine
from daemon.domain.sku import Revive
from daemon.events import Event
from daemon.ingress.receiver import Intake, Receiver
from daemon.storage.codec import Cause, unpack
from daemon.storage.dead_letters import DeadLetter
from daemon.storage.files import StoreError, structural_problems
from daemon.storage.store import Store
from daemon.telemetry import Telemetry


@define(eq=False, repr=False)
class Upkeep:
    """See `daemon.admin.inside.Maintenance`."""

    store: Store
    registry: Registry
    receiver: Receiver
    intakes: Mapping[str, Intake]
    telemetry: Telemetry
    auditor: Auditor
    checkpoint: Callable[[], Awaitable[object]]
    """Write everything that lags behind the log."""
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
        """Fold the whole log anew and compare, see `app.rebuilding`; `verify_only` changes nothing."""
        rebuilder = Rebuilder(self.store, self.registry, self.auditor, self.telemetry, self.checkpoint)
        return await rebuilder.run(verify_only=verify_only)

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

"""What must be true, worked out from the storefronts' own ledgers and from what people told, not from the daemon.

The daemon is asked for two things only: its log (which counts and adjustments it holds, and when) and its numbers.
"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from attrs import define, field

from adapters.stamps import rfc3339_span
from adapters.storefront import Hook
from daemon.domain.instants import SECOND_US
from daemon.domain.observations import Adjustment, OrderLine, StockCount
from daemon.domain.policy import Policy
from daemon.domain.slot import Slot
from daemon.storage.codec import unpack
from daemon.storage.dead_letters import DeadLetter
from daemon.storage.idempotency import digest
from daemon.storage.tables import DELIVERIES
from tests.simulation.kits import possible, scaled, shares

if TYPE_CHECKING:
    from daemon.actors.registry import Registry
    from tests.simulation.fronts import Front
    from tests.simulation.ports import LevelsAsked, Life
    from tests.simulation.world import World

PROMPT_S = 2.0
"""In fair weather a wish leaves within this."""
UNSURE_US = 320 * SECOND_US
"""So far from a count the daemon may be unsure about an order's place: the width of an unknown clock."""


@define
class Version:
    """A line as one version of its order leaves it. `own_us` is the storefront's clock."""

    number: int
    at_us: int
    own_us: int
    ordered: int
    cancelled: int = 0
    restocked: int = 0
    fulfilled: int = 0

    def taken(self) -> int:
        return max(0, self.ordered - self.cancelled - self.restocked)

    def held_back(self) -> int:
        return min(self.fulfilled, self.taken())


@define
class TrueLine:
    channel: str
    order: str
    name: str
    versions: list[Version] = field(factory=list)
    last: int = 0
    """The newest version of the order."""

    def numbers(self, version: Version) -> set[int]:
        """The versions of the order under which this line stands as in `version`."""
        later = [each.number for each in self.versions if each.number > version.number]
        return set(range(version.number, min(later, default=self.last + 1)))

    def as_of(self, at_us: int, own_us: int | None) -> Version | None:
        """`own_us`: the same moment on this storefront's clock, where that is known exactly."""
        found = None
        for version in self.versions:
            if (version.own_us <= own_us) if own_us is not None else (version.at_us <= at_us):
                found = version
        return found


@define
class Told:
    """A count that somebody told: the daemon took it at some moment of `[from_us, until_us]` (the world's clock)."""

    sku: str
    quantity: int
    kind: str
    from_us: int
    until_us: int = 1 << 62


@define
class Truth:
    """`slack`: units of which the daemon may honestly not know on which side of the count they lie. `unseen`: what
    its numbers may be off by, because it never saw the version of an order that was current when somebody counted."""

    available: int
    slack: int = 0
    unseen: tuple[int, int] = (0, 0)


def shown(available: int, policy: Policy) -> int:
    """The level that a policy makes of what is available."""
    left = max(0, available - policy.buffer)
    if policy.share < 1:
        left = int(left * policy.share + 1e-9)
    return left if policy.cap is None else min(left, policy.cap)


class Oracle:
    """Checks one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.acked: list[tuple[str, bytes, str, int, tuple[tuple[str, str], ...]]] = []
        self.acked_checked = 0
        self.adjustments: dict[str, tuple[str, int]] = {}
        self.counted: dict[str, Told] = {}
        self.sighted: dict[str, dict[tuple[str, str, str], set[int]]] = defaultdict(lambda: defaultdict(set))
        """The versions of order lines that are in the log, by SKU and (channel, order, line)."""
        self.sent: dict[str, dict[str, int]] = {}
        self.writes_seen: dict[str, int] = {}
        self.counts: dict[str, dict[tuple[int, int], StockCount]] = defaultdict(dict)
        self.applied: dict[str, dict[str, Adjustment]] = defaultdict(dict)
        self.log_read = 0

    # -- being told --

    def adjusting(self, reference: str, sku: str, units: int) -> None:
        self.adjustments[reference] = (sku, units)

    def counting(self, reference: str, sku: str, quantity: int, kind: str) -> None:
        self.counted[reference] = Told(sku, quantity, kind, self.world.now_us())

    def answered(self, reference: str) -> None:
        """The daemon has taken what was told under this reference."""
        if reference in self.counted:
            self.counted[reference].until_us = self.world.now_us()

    def acknowledged(self, front: Front, hook: Hook) -> None:
        message = json.loads(hook.body)
        order = message.get("order")
        lines = tuple((line["id"], line["sku"]) for line in order["lines"]) if order else ()
        key = digest(front.name, hook.delivery)
        self.acked.append((front.name, key, order["id"] if order else "", order["version"] if order else 0, lines))

    def sending(self, life: Life, front: Front, asked: LevelsAsked) -> None:
        """A push leaves: what the daemon knows of the storefront's own sales now."""
        assert life.daemon is not None
        known: dict[str, int] = {}
        for item in asked.items:
            listing = front.store.shop.listings[item["listing"]]
            state = life.daemon.parts.registry.peek(listing.sku)
            assert state is not None
            slot = state.slots[front.name, listing.id]
            shown_us = slot.base_at.at.hi if slot.base_at else 0
            waited_s = (slot.sent_us - max(slot.wanted_us, shown_us)) / SECOND_US
            if self.world.plan.fair and slot.attempt == 1 and not slot.touched and waited_s > PROMPT_S:
                self.world.fail(f"a wish waited {waited_s:.3f} s in fair weather: {slot}")
            known[listing.id] = sum(
                line.now().taken for key, line in state.stock.lines.items()
                if key[0] == front.name and (line.whole or not line.kit)
            )  # fmt: skip
        self.sent[asked.idempotency_key] = known

    def started(self, life: Life) -> None:
        """A daemon has come up: before anything can heal it, it must know what it acknowledged."""
        self._check_acked(life)

    # -- what must hold at any moment --

    def _check_acked(self, life: Life) -> None:
        assert life.daemon is not None
        parts = life.daemon.parts
        stored, after = set(), b""
        while rows := parts.store.env.scan(DELIVERIES, after, limit=1000):
            stored |= {unpack(payload)[2] for _, payload in rows}
            after = rows[-1][0] + b"\0"
        for channel, key, order, version, lines in self.acked[self.acked_checked :]:
            if key not in stored:
                self.world.fail(f"{channel}: an acknowledged delivery is not stored (order {order} v{version})")
            kits = self.world.plan.kits
            told = {(line, each) for line, sku in lines for each, _ in ((sku, 1), *shares(sku, kits))}
            for line, sku in sorted(told):
                state = parts.registry.peek(sku)
                known = state.stock.lines.get((channel, order, line)) if state else None
                if known is None and state is not None and self._settled(state.stock, channel, order):
                    continue
                if known is None or not any(seen.version == version for seen in known.sightings):
                    self.world.fail(f"{channel}: acknowledged, but unknown: order {order} line {line} v{version}")
        self.acked_checked = len(self.acked)

    def _settled(self, stock: Any, channel: str, order: str) -> bool:
        """Was the order placed before what the daemon has folded away?"""
        front = self.world.fronts[channel]
        placed_us = front.clock.issued[front.store.shop.orders[order].created_us]
        return bool(placed_us < stock.settled_us)

    # -- at rest --

    def unrest(self) -> str:
        """Why the world is not at rest; empty when it is. Cheap: asked every second."""
        life = self.world.life
        if life is None or not life.up or life.daemon is None or not life.daemon.serving.is_set():
            return "the daemon is down"
        if reason := life.daemon.not_ready():
            return reason
        return self._work_left(life) or self._shown_wrongly(life) or self._known_wrongly(life)

    def _work_left(self, life: Life) -> str:
        for front in self.world.front_list:
            if front.attic or front.host.statistics()["webhooks_on_the_way"] or front.store.next_due_us() is not None:
                return f"{front.name} has webhooks or late writes on their way"
        assert life.daemon is not None
        for name, lane in life.daemon.parts.outbox.lanes.items():
            if waiting := [slot for slot in lane.slots.values() if not self._given_up(slot)]:
                return f"{name}: open slots {waiting[:2]}"
        return ""

    def _given_up(self, slot: Slot) -> bool:
        """Nothing can be pushed to a listing that is gone: a dead letter says so until somebody discards it."""
        return bool(slot.dead_letter) and slot.listing in self.world.fronts[slot.channel].removed

    def _shown_wrongly(self, life: Life) -> str:
        assert life.daemon is not None
        for front in self.world.front_list:
            for listing in front.listed():
                state = life.daemon.parts.registry.peek(listing.sku)
                slot = state.slots.get((front.name, listing.id)) if state else None
                if state is None or slot is None:
                    return f"{front.name}: {listing.sku} is not linked"
                if state.available is None and self._hopeless(listing.sku):
                    continue
                if state.available is None:
                    return f"{listing.sku} is not counted"
                want = shown(state.available, front.policy)
                if listing.quantity != want:
                    return f"{front.name}: {listing.sku} shows {listing.quantity}, should be {want}: {slot}"
        return ""

    def _hopeless(self, sku: str) -> bool:
        """Is it a kit with a component that nobody lists, so that nobody ever counts it?"""
        recipe = self.world.plan.kits.get(sku, ())
        return any(not self.counts[component] for component, _ in recipe)

    def _known_wrongly(self, life: Life) -> str:
        assert life.daemon is not None
        for kit, recipe in self.world.plan.kits.items():
            states = {sku: life.daemon.parts.registry.peek(sku) for sku in (kit, *(part for part, _ in recipe))}
            available = {sku: state.available if state else None for sku, state in states.items()}
            if available[kit] != possible(recipe, available):
                return f"{kit} of {recipe} has {available[kit]}, its components {available}"
        for sku, truth in self.truths(life).items():
            state = life.daemon.parts.registry.peek(sku)
            assert state is not None
            if problem := self._differs(state.stock, truth):
                return f"{sku}: {problem}"
        return ""

    def _differs(self, stock: Any, truth: Truth) -> str:
        least = truth.available - (truth.slack if stock.ambiguous else 0) + truth.unseen[0]
        most = truth.available + truth.unseen[1]
        if least <= stock.available <= most:
            return ""
        return (
            f"available is {stock.available}, in truth {truth.available} (slack {truth.slack}, "
            f"unseen {truth.unseen}, ambiguous {stock.ambiguous}); anchors {stock.anchors}"
        )

    async def check(self) -> None:
        """Everything that must hold at rest."""
        life = self.world.life
        assert life is not None
        assert life.daemon is not None
        parts = life.daemon.parts
        self._check_acked(life)
        self._check_writes()
        for front in self.world.front_list:
            self._check_conservation(front)
        for channel, lane in parts.outbox.lanes.items():
            if not all(self._given_up(slot) for slot in lane.slots.values()):
                self.world.fail(f"{channel}: slots are open at rest")
        self._check_slots(parts.registry)
        letters = [each for each in parts.dead_letters.page() if not self._explained(each)]
        if letters:
            self.world.fail(f"there are dead letters: {letters[:3]}")
        if parts.registry.crashes:
            self.world.fail("an actor crashed")
        report = await life.daemon.inside.maintenance.rebuild(verify_only=True)
        if report.different or report.first_broken:
            self.world.fail(f"the log and the state differ: {report}")
        self._check_people()

    def _check_slots(self, registry: Registry) -> None:
        for sku in (*self.world.plan.skus, *self.world.plan.kits):
            state = registry.peek(sku)
            if state is None or state.available is None:
                continue
            if sku in self.world.plan.kits:
                self.world.counts["kits at rest"] += 1
                self.world.counts["sold as kits"] += len(state.stock.lines)
            self.world.counts["ambiguous SKUs at rest"] += bool(state.stock.ambiguous)
            self.world.counts["SKUs at rest"] += 1
            for slot in state.slots.values():
                if slot.listing in self.world.fronts[slot.channel].removed:
                    continue
                quantity = self.world.fronts[slot.channel].store.shop.listings[slot.listing].quantity
                if slot.open() or slot.belief != quantity or slot.desired != quantity:
                    self.world.fail(f"{slot.channel}: shows {quantity}, but {slot}")

    def _explained(self, letter: DeadLetter) -> bool:
        """Is it about a listing that is gone, or about an order so old that a person must look at it? What is told
        there is no news: else the numbers would not be right."""
        if letter.kind == "late":
            self.world.count("late letters")
            return self.world.plan.settlement_days == 1
        return letter.kind == "push" and letter.content.decode() in self.world.fronts[letter.channel].removed

    def _check_people(self) -> None:
        for sku, applied in self.applied.items():
            for reference, adjustment in applied.items():
                if self.adjustments.get(reference) != (sku, adjustment.quantity):
                    self.world.fail(f"{sku}: nobody told {adjustment}")
        for reference, (sku, _) in self.adjustments.items():
            if sku in self.world.plan.skus and reference not in self.applied[sku]:
                self.world.fail(f"{sku}: the adjustment {reference} is lost")

    def _check_conservation(self, front: Front) -> None:
        shop, ledger = front.store.shop, front.store.ledger
        moved: dict[str, int] = defaultdict(int)
        for write in ledger.writes:
            if write.applied and write.after is not None and write.before is not None:
                moved[write.listing] += write.after - write.before
        for listing in shop.listings.values():
            sold, back = shop.sold[listing.sku], shop.given_back[listing.sku]
            if ledger.initial[listing.id] + moved[listing.id] - sold + back != listing.quantity:
                self.world.fail(f"{front.name}: units of {listing.sku} are not conserved")

    def _check_writes(self) -> None:
        """A push that raised a listing while the daemon did not know of a sale there."""
        for front in self.world.front_list:
            seen = self.writes_seen.get(front.name, 0)
            writes = list(front.store.ledger.writes)
            self.writes_seen[front.name] = len(writes)
            lines = self._lines(front) if len(writes) > seen else {}
            if self.world.plan.fair:
                conflicts = sum(write.result == "conflict" for write in writes)
                self.world.counts["conflicts in fair weather"] += conflicts
                self.world.counts["writes in fair weather"] += len(writes)
                if conflicts > 10 and conflicts > len(writes) / 4:
                    self.world.fail(f"{front.name}: {conflicts} of {len(writes)} pushes rested on a wrong belief")
            for write in writes[seen:]:
                if not write.applied or write.late or write.fault == "staff" or front.blind:
                    continue
                self.world.count("levels written")
                if write.matched is not True:
                    self.world.fail(f"{front.name}: written without compare-and-set: {write}")
                if write.after is None or write.before is None or write.after <= write.before:
                    continue
                sku = front.store.shop.listings[write.listing].sku
                here = [line for (order_line_sku, _, _), line in lines.items() if order_line_sku == sku]
                taken = 0
                for line in here:
                    version = line.as_of(write.at_us - 1, None)
                    taken += version.taken() if version else 0
                known = self.sent.get(write.key, {}).get(write.listing, taken)
                if taken > known:
                    self.world.count("raised over an unseen sale")

    # -- the truth --

    def truths(self, life: Life) -> dict[str, Truth]:
        """What is available of each SKU that somebody lists."""
        self._read_log(life)
        lines: dict[str, list[TrueLine]] = defaultdict(list)
        for front in self.world.front_list:
            for (sku, _, _), line in self._lines(front).items():
                for part, units in shares(sku, self.world.plan.kits):
                    lines[part].append(scaled(line, units))
        found = {}
        for sku in self.world.plan.skus:
            if self.counts[sku]:
                state = life.daemon.parts.registry.peek(sku) if life.daemon else None
                found[sku] = self._truth(sku, lines[sku], state.stock.settled_us if state else 0)
        return found

    def _read_log(self, life: Life) -> None:
        assert life.daemon is not None
        store = life.daemon.parts.store
        while records := store.records(self.log_read):
            for record in records:
                message = record.message
                if isinstance(message, StockCount):
                    self._counted(message)
                elif isinstance(message, Adjustment):
                    if message.reference in self.applied[record.sku]:
                        self.world.fail(f"{record.sku}: {message.reference} was applied twice")
                    self.applied[record.sku][message.reference] = message
                elif isinstance(message, OrderLine):
                    self.sighted[record.sku][message.channel, message.order, message.line].add(message.version)
            self.log_read = records[-1].seq

    def _counted(self, count: StockCount) -> None:
        """A count in the log: somebody must have told it, or the right storefront must have shown it."""
        if count.sku in self.world.plan.kits:
            self.world.fail(f"a kit is not on the shelf: {count}")
        self.counts[count.sku][count.at.at.lo, count.at.at.hi] = count
        if count.source == "person":
            told = self.counted.get(count.reference)
            if told is None or (told.sku, told.quantity, told.kind) != (count.sku, count.quantity, count.kind):
                self.world.fail(f"nobody counted {count}")
            return
        first = next(front for front in self.world.front_list if front.lists(count.sku, count.at.at.lo))
        if first.name != count.source:
            self.world.fail(f"the first count of {count.sku} should come from {first.name}: {count}")
        assert count.at.own is not None
        level = self._shown_at(first, count.sku, count.at.own.lo)
        if level != count.quantity:
            self.world.fail(f"{first.name} showed {level} then, not {count}")

    def _shown_at(self, front: Front, sku: str, own_us: int) -> int:
        listing = front.store.shop.by_sku[sku]
        level = front.store.ledger.initial[listing.id]
        for write in front.store.ledger.writes:
            if write.listing == listing.id and write.applied and own(write.at) <= own_us:
                assert write.after is not None
                assert write.before is not None
                level += write.after - write.before
        for (line_sku, _, _), line in self._lines(front).items():
            version = line.as_of(0, own_us) if line_sku == sku else None
            level -= version.taken() if version else 0
        return level

    def _truth(self, sku: str, lines: list[TrueLine], settled_us: int) -> Truth:
        (_, at_us), count = max(self.counts[sku].items())
        own_us = count.at.own.lo if count.at.own else None
        if count.source != "person":
            assert own_us is not None
            at_us = self.world.fronts[count.source].clock.issued[own_us]
        until_us = at_us
        if count.source == "person":
            at_us, until_us = self._taken(count)
        truth = Truth(count.quantity)
        for adjustment in self.applied[sku].values():
            if adjustment.at.at.lo > count.at.at.hi:
                truth.available += adjustment.quantity
        least = most = 0
        for line in lines:
            then = line.as_of(at_us, own_us if line.channel == count.source else None)
            before = _before(then, count.kind)
            truth.available -= line.versions[-1].taken() - before
            seen = self.sighted[sku][line.channel, line.order, line.name]
            if then is not None and not seen & line.numbers(then):
                known = [version for version in line.versions if version.number < then.number]
                known = [version for version in known if seen & line.numbers(version)] or line.versions[:1]
                off = _before(known[-1], count.kind) - before
                least, most = least + min(0, off), most + max(0, off)
            for off in self._doubts(line, count, at_us, until_us, before):
                least, most = least + min(0, off), most + max(0, off)
            if any(abs(version.at_us - at_us) <= UNSURE_US for version in line.versions):
                units = max(version.ordered for version in line.versions)
                if line.versions[0].at_us < settled_us:
                    least -= units  # folded as the lower number that it was then
                else:
                    truth.slack += units
        truth.unseen = (least, most)
        return truth

    def _taken(self, count: StockCount) -> tuple[int, int]:
        """When the daemon took a person's count: exactly, where our clock was never set."""
        told, stamp_us = self.counted[count.reference], count.at.at.lo
        if not self.world.wall_set:
            return stamp_us, stamp_us
        return told.from_us, told.until_us

    def _doubts(self, line: TrueLine, count: StockCount, at_us: int, until_us: int, before: int) -> list[int]:
        """How many units more the count may hold in the daemon's eyes, where nobody can blame it: because a clock
        had been set and no answer had told it yet, or because we do not know exactly when it took the count."""
        if line.channel == count.source:
            return []
        clock = self.world.fronts[line.channel].clock
        offs = []
        for place, version in enumerate(line.versions):
            misread_us = clock.misread_us(version.at_us)
            margin_us = misread_us + SECOND_US if misread_us else 0
            if at_us - margin_us <= version.at_us <= until_us + margin_us and (margin_us or until_us > at_us):
                earlier = line.versions[place - 1] if place else None
                offs.append(_before(version, count.kind) - _before(earlier, count.kind))
                offs.append(-offs[-1])
        return offs

    def _lines(self, front: Front) -> dict[tuple[str, str, str], TrueLine]:
        """Every order line's whole life, by (sku, order, line)."""
        found: dict[tuple[str, str, str], TrueLine] = {}
        numbers: dict[str, int] = defaultdict(int)
        for change in front.store.ledger.changes:
            order = front.store.shop.orders[change.order]
            numbers[order.id] += 1
            for name in order.lines if change.kind == "sold" else change.lines:
                key = (order.lines[name].listing.sku, order.id, name)
                line = found.setdefault(key, TrueLine(front.name, order.id, name))
                line.versions.append(_next(line, numbers[order.id], name, change))
        for line in found.values():
            line.last = numbers[line.order]
        return found


def _before(version: Version | None, kind: str) -> int:
    """Units that a count of this kind holds already."""
    if version is None:
        return 0
    return version.taken() if kind == "available" else version.held_back()


def _next(line: TrueLine, number: int, name: str, change: Any) -> Version:
    units = change.lines.get(name, 0)
    if change.kind == "sold":
        return Version(number, change.at_us, own(change.at), units)
    before = line.versions[-1]
    after = Version(
        number, change.at_us, own(change.at), before.ordered, before.cancelled, before.restocked, before.fulfilled
    )
    match change.kind:
        case "cancelled":
            after.cancelled += units
        case "fulfilled":
            after.fulfilled += units
        case "refunded" if change.restock:
            after.restocked += units
    return after


def own(stamp: str) -> int:
    span = rfc3339_span(stamp)
    assert span is not None
    return span.lo

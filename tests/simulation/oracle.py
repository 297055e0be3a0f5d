"""What must be true, worked out from the storefronts' own ledgers and from what people told, not from the daemon.

The daemon is asked for two things only: its log (which counts and adjustments it holds, and when) and its numbers.
At rest everything is looked at here; what is durable, and what leaves, is looked at in `durable` and `pushing`.
"""

from __future__ import annotations

import functools
import json
import random
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import trio

from adapters.storefront import Hook
from daemon.actors.registry import Registry
from daemon.domain.observations import StockCount
from daemon.domain.slot import Slot
from daemon.domain.stock import Stock, dump
from daemon.storage.codec import pack
from daemon.storage.dead_letters import DeadLetter
from daemon.storage.idempotency import digest
from tests.simulation.durable import Durable, Told
from tests.simulation.invariants import broken
from tests.simulation.kits import possible
from tests.simulation.pushing import Pushing
from tests.simulation.truth import Basis, FrontTruth, Truth, shown, truth_of

if TYPE_CHECKING:
    from daemon.app.assembly import Parts
    from daemon.domain.exchange import Reply, Request
    from tests.simulation.fronts import Front
    from tests.simulation.ports import LevelsAsked, Life
    from tests.simulation.world import World

GLANCE_S = 60.0
"""Seconds between two looks at what must hold at any moment."""
SHUFFLED_MAX = 300
"""Longer lives of a SKU are not folded in another order."""


def loud(check: Callable[..., None]) -> Callable[..., None]:
    """A check that itself fails must not look like a failure of the daemon's, which the daemon may forgive."""

    @functools.wraps(check)
    def checked(self: Oracle, *told: Any) -> None:
        try:
            check(self, *told)
        except Exception:
            self.fail("I0", f"the oracle itself failed: {traceback.format_exc()}")

    return checked


class Oracle:
    """Checks one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.fronts: dict[str, FrontTruth] = {}
        self.durable = Durable(self)
        self.pushing = Pushing(self)
        for front in world.fronts.values():
            self.fronts[front.name] = FrontTruth(front, self.pushing.wrote)
        self.adjustments: dict[str, tuple[str, int]] = {}
        self.puzzles: set[str] = set()
        """Topics of deliveries that nobody understands."""
        self.nonsense: dict[str, str] = {}
        """Those that were acknowledged, and who sent them: each has a letter."""
        self.shuffled: dict[str, int] = {}

    def fail(self, invariant: str, what: str) -> None:
        self.world.fail(broken(invariant, what))

    # -- being told --

    def adjusting(self, reference: str, sku: str, units: int) -> None:
        self.adjustments[reference] = (sku, units)

    def counting(self, reference: str, sku: str, quantity: int, kind: str) -> None:
        self.durable.counted[reference] = Told(sku, quantity, kind, self.world.now_us())

    def answered(self, reference: str) -> None:
        """The daemon has taken what was told under this reference."""
        if reference in self.durable.counted:
            self.durable.counted[reference].until_us = self.world.now_us()

    @property
    def counts(self) -> dict[str, dict[tuple[int, int], StockCount]]:
        """The counts in the log, by SKU."""
        return self.durable.counts

    def commanded(self, path: str, status: int) -> None:
        """A command over the admin socket was answered."""
        self.pushing.commanded(path, status)

    @loud
    def acknowledged(self, front: Front, hook: Hook) -> None:
        """A webhook was answered 2xx: what it says is known from now on, whatever happens."""
        message = json.loads(hook.body)
        order = message.get("order") if isinstance(message, dict) else None
        lines = tuple((line["id"], line["sku"]) for line in order["lines"]) if order else ()
        key = digest(front.name, hook.delivery)
        acked = (front.name, key, order["id"] if order else "", order["version"] if order else 0, lines)
        self.durable.acked.append(acked)
        life = self.world.life
        if life is not None and life.up and life.daemon is not None and life.daemon.serving.is_set():
            self.durable.check_known(life.daemon.parts, acked)

    def puzzled(self, front: Front, topic: str, key: bytes) -> None:
        """A delivery that nobody understands was acknowledged."""
        self.nonsense[topic] = front.name
        self.durable.acked.append((front.name, key, "", 0, ()))

    @loud
    def sending(self, life: Life, front: Front, asked: LevelsAsked) -> None:
        """A push leaves."""
        self.pushing.leaving(life, front, asked)

    @loud
    def calling(self, life: Life, front: Front) -> None:
        """Any request leaves."""
        self.pushing.calling(life, front)

    @loud
    def replied(self, life: Life, front: Front, request: Request, reply: Reply) -> None:
        """The daemon gets this reply now."""
        self.pushing.replied(life, front, request, reply)

    @loud
    def committed(self, life: Life) -> None:
        """Something was written, or could have been."""
        if life.daemon is not None and not life.daemon.ended.is_set():
            self.durable.look(life)

    @loud
    def started(self, life: Life) -> None:
        """A daemon has come up: before anything can heal it, it must know what it acknowledged."""
        self.durable.started(life)

    @loud
    def crashing(self, life: Life) -> None:
        """The power goes in a moment; what is settled must be right until the end."""
        if life.daemon is not None and life.daemon.serving.is_set():
            self.glance(life.daemon.parts)

    # -- what must hold at any moment --

    async def watch(self) -> None:
        """Look now and then, for ever."""
        while True:
            await trio.sleep(GLANCE_S)
            life = self.world.life
            if life is not None and life.up and life.daemon is not None and life.daemon.serving.is_set():
                self.glance(life.daemon.parts)

    def glance(self, parts: Parts) -> None:
        self.world.counts["glances"] += 1
        self._check_bounds(parts)
        for sku in self.world.plan.skus:
            actor = parts.registry.actors.get(sku)
            for slot in actor.state.slots.values() if actor else ():
                self.pushing.check_slot(slot, actor.state)
        for sku, cause in parts.registry.quarantined.items():
            self.pushing.check_quarantine(sku, cause)

    def _check_bounds(self, parts: Parts) -> None:
        registry, bounds = parts.registry, parts.registry.bounds
        sizes = {
            "messages waiting": (registry._queued, bounds.queued_max),
            "actors in memory": (len(registry.actors), bounds.actors_max),
            "rows waiting": (parts.store._next.rows, parts.store.pending_max + bounds.queued_max * 8),
        }
        for sku, actor in registry.actors.items():
            sizes[f"messages for {sku}"] = (len(actor.mailbox or ()), bounds.mailbox_max)
        for name, lane in parts.outbox.lanes.items():
            for queue in (lane._ready, lane._later):
                sizes[f"entries of {name}"] = (len(queue.heap), 2 * len(queue.placed) + 64)
        for what, (size, most) in sizes.items():
            if size > most:
                self.fail("I11", f"{size} {what}, at most {most}")

    # -- at rest --

    def unrest(self) -> str:
        """Why the world is not at rest; empty when it is. Cheap: asked every second."""
        life = self.world.life
        if life is None or not life.up or life.daemon is None or not life.daemon.serving.is_set():
            return "the daemon is down"
        if reason := life.daemon.not_ready():
            return reason
        return self._work_left(life.daemon.parts) or self._shown_wrongly(life.daemon.parts) or self._known_wrongly()

    def _work_left(self, parts: Parts) -> str:
        for front in self.world.front_list:
            late = front.attic or front.carrying
            if late or front.host.statistics()["webhooks_on_the_way"] or front.store.next_due_us() is not None:
                return f"{front.name} has webhooks or late writes on their way"
        for name, lane in parts.outbox.lanes.items():
            if waiting := [slot for slot in lane.slots.values() if not self._given_up(slot)]:
                return f"{name}: open slots {waiting[:2]}"
        if parts.dead_letters.count and (letters := self._to_mend(parts)):
            return f"letters wait for somebody: {letters[:2]}"
        return ""

    def _to_mend(self, parts: Parts) -> list[DeadLetter]:
        """Letters that a person can deal with while the daemon runs."""
        return [each for each in parts.dead_letters.page(limit=100_000) if not self._explained(each)]

    def _explained(self, letter: DeadLetter) -> bool:
        """Is it about a listing that is gone, and takes no push, or about what nobody can understand?"""
        if letter.kind == "late":
            # What is told there is no news: else the numbers would not be right.
            self.world.count("late letters")
            return self.world.plan.settlement_days == 1
        gone = letter.kind == "push" and letter.content.decode() in self.world.fronts[letter.channel].removed
        return gone or letter.topic in self.puzzles

    def _given_up(self, slot: Slot) -> bool:
        """Nothing can be pushed to a listing that is gone: a dead letter says so until somebody discards it."""
        return bool(slot.dead_letter) and slot.listing in self.world.fronts[slot.channel].removed

    def _shown_wrongly(self, parts: Parts) -> str:
        for front in self.world.front_list:
            for listing in front.listed():
                state = parts.registry.peek(listing.sku)
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

    def _known_wrongly(self) -> str:
        life = self.world.life
        assert life is not None
        assert life.daemon is not None
        registry: Registry = life.daemon.parts.registry
        for kit, recipe in self.world.plan.kits.items():
            states = {sku: registry.peek(sku) for sku in (kit, *(part for part, _ in recipe))}
            available = {sku: state.available if state else None for sku, state in states.items()}
            if available[kit] != possible(recipe, available):
                return f"{kit} of {recipe} has {available[kit]}, in truth what its components give: {available}"
        for sku, truth in self.truths(life).items():
            state = registry.peek(sku)
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

    def restless(self, how: str, why: str) -> str:
        """Which invariant a world breaks that does not come to rest for this reason."""
        return broken("I4" if "in truth" in why else "I7", f"it does not {how} rest: {why}")

    async def check(self) -> None:
        """Everything that must hold at rest."""
        life = self.world.life
        assert life is not None
        assert life.daemon is not None
        parts = life.daemon.parts
        self.durable.look(life)
        self.durable.check_acked(parts)
        self.glance(parts)
        self._check_fair()
        for front in self.world.front_list:
            self._check_conservation(front)
        for channel, lane in parts.outbox.lanes.items():
            if not all(self._given_up(slot) for slot in lane.slots.values()):
                self.fail("I7", f"{channel}: slots are open at rest")
        self._check_slots(parts.registry)
        self._check_letters(parts)
        if parts.registry.crashes and not self.pushing.poisoned:
            self.fail("I9", "an actor crashed")
        report = await life.daemon.inside.maintenance.rebuild(verify_only=True)
        if report.different or report.first_broken:
            self.fail("I10", f"the log and the state differ: {report}")
        self._check_people()
        self.pushing.check_strangers(parts)

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
                    self.fail("I7", f"{slot.channel}: shows {quantity}, but {slot}")
            self._check_order_free(sku, state.stock)

    def _check_order_free(self, sku: str, stock: Stock) -> None:
        """The same observations in another order, some of them twice: the same bytes."""
        told = self.durable.told[sku]
        if self.shuffled.get(sku) == len(told) or len(told) > SHUFFLED_MAX or stock.settled_us:
            return
        self.shuffled[sku] = len(told)
        rng = random.Random(f"{self.world.seed}:{sku}:{len(told)}")
        for invariant, mixed in (("I1", list(told)), ("I2", told + rng.sample(told, k=len(told) // 2))):
            rng.shuffle(mixed)
            again = Stock()
            for message in mixed:
                again.apply(message)
            if pack(dump(again)) != pack(dump(stock)) or again.available != stock.available:
                self.fail(invariant, f"{sku}: told otherwise, {again.available} are available, not {stock.available}")

    def _check_letters(self, parts: Parts) -> None:
        letters = parts.dead_letters.page(limit=100_000)
        kept = {letter.topic for letter in letters if letter.kind == "puzzle"}
        for topic, channel in self.nonsense.items():
            if topic not in kept:
                self.fail("I9", f"{channel}: no letter tells of the {topic} that nobody understood")
        for letter in self._to_mend(parts):
            self.fail("I9", f"nobody can explain {letter}")

    def _check_people(self) -> None:
        for sku, applied in self.durable.applied.items():
            for reference, adjustment in applied.items():
                if self.adjustments.get(reference) != (sku, adjustment.quantity):
                    self.fail("I4", f"{sku}: nobody told {adjustment}")
        for reference, (sku, _) in self.adjustments.items():
            if sku in self.pushing.stopped:
                continue  # what a person tells of a SKU in quarantine may be refused
            if sku in self.world.plan.skus and reference not in self.durable.applied[sku]:
                self.fail("I3", f"{sku}: the adjustment {reference} is lost")

    def _check_conservation(self, front: Front) -> None:
        shop, truth = front.store.shop, self.fronts[front.name]
        for listing in shop.listings.values():
            moved = sum(units for _, units in truth.moves[listing.id])
            sold, back = shop.sold[listing.sku], shop.given_back[listing.sku]
            if front.store.ledger.initial[listing.id] + moved - sold + back != listing.quantity:
                self.fail("I4", f"{front.name}: units of {listing.sku} are not conserved")

    def _check_fair(self) -> None:
        if not self.world.plan.fair:
            return
        for front in self.world.front_list:
            writes = front.store.ledger.writes
            conflicts = sum(write.result == "conflict" for write in writes)
            self.world.counts["conflicts in fair weather"] += conflicts
            self.world.counts["writes in fair weather"] += len(writes)
            if conflicts > 10 and conflicts > len(writes) / 4:
                self.fail("I7", f"{front.name}: {conflicts} of {len(writes)} pushes rested on a wrong belief")

    # -- the truth --

    def truths(self, life: Life) -> dict[str, Truth]:
        """What is available of each SKU that somebody lists and has counted."""
        assert life.daemon is not None
        self.durable.look(life)
        found = {}
        for sku in self.world.plan.skus:
            if counts := self.durable.counts[sku]:
                state = life.daemon.parts.registry.peek(sku)
                (_, at_us), newest = max(counts.items())
                basis = Basis(
                    newest, *self._taken(newest, at_us), self.durable.applied[sku].values(),
                    self.durable.sighted[sku], state.stock.settled_us if state else 0,
                )  # fmt: skip
                found[sku] = truth_of(self.fronts, sku, basis)
        return found

    def _taken(self, count: StockCount, at_us: int) -> tuple[int, int]:
        """When the daemon took a count, on the world's clock: exactly, but for a person's where our clock was set."""
        if count.source != "person":
            assert count.at.own is not None
            issued_us = self.world.fronts[count.source].clock.issued[count.at.own.lo]
            return issued_us, issued_us
        if not self.world.wall_set:
            return count.at.at.lo, count.at.at.lo
        told = self.durable.counted[count.reference]
        return told.from_us, told.until_us

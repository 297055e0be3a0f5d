"""Everything that must hold while a world is at rest."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from daemon.actors.registry import Registry
from daemon.domain.stock import Stock, dump
from daemon.storage.codec import pack

if TYPE_CHECKING:
    from daemon.app.assembly import Parts
    from tests.simulation.fronts import Front
    from tests.simulation.oracle import Oracle

SHUFFLED_MAX = 300
"""Longer lives of a SKU are not folded in another order."""


class AtRest:
    """Checks it."""

    def __init__(self, oracle: Oracle) -> None:
        self.oracle, self.world = oracle, oracle.world
        self.shuffled: dict[str, int] = {}
        """How many observations of a SKU were shuffled the last time."""

    async def check(self) -> None:
        """Everything that must hold at rest."""
        life = self.world.life
        assert life is not None
        assert life.daemon is not None
        parts = life.daemon.parts
        self.oracle.durable.look(life)
        self.oracle.durable.check_acked(parts)
        self.oracle.glance(parts)
        self._check_fair()
        for front in self.world.front_list:
            self._check_conservation(front)
        for channel, lane in parts.outbox.lanes.items():
            if any(self.oracle.unrest.waits(slot) for slot in lane.slots.values()):
                self.oracle.fail("I7", f"{channel}: slots are open at rest")
        self._check_slots(parts.registry)
        self._check_letters(parts)
        if parts.registry.crashes and not self.oracle.pushing.poisoned:
            self.oracle.fail("I9", "an actor crashed")
        report = await life.daemon.inside.maintenance.rebuild(verify_only=True)
        if report.different or report.first_broken:
            self.oracle.fail("I10", f"the log and the state differ: {report}")
        self._check_people()
        self.oracle.pushing.check_strangers(parts)

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
                if self.oracle.unrest.shadow(slot.channel):
                    self.world.counts["listings in shadow at rest"] += 1
                    if slot.belief != quantity:
                        self.oracle.fail("I7", f"{slot.channel} in shadow: shows {quantity}, but {slot}")
                elif slot.open() or slot.belief != quantity or slot.desired != quantity:
                    self.oracle.fail("I7", f"{slot.channel}: shows {quantity}, but {slot}")
            self._check_order_free(sku, state.stock)

    def _check_order_free(self, sku: str, stock: Stock) -> None:
        """The same observations in another order, some of them twice: the same bytes."""
        told = self.oracle.durable.told[sku]
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
                self.oracle.fail(
                    invariant, f"{sku}: told otherwise, {again.available} are available, not {stock.available}"
                )

    def _check_letters(self, parts: Parts) -> None:
        letters = parts.dead_letters.page(limit=100_000)
        kept = {letter.topic for letter in letters if letter.kind == "puzzle"}
        for topic, channel in self.oracle.nonsense.items():
            if topic not in kept:
                self.oracle.fail("I9", f"{channel}: no letter tells of the {topic} that nobody understood")
        for letter in self.oracle.unrest.to_mend(parts):
            self.oracle.fail("I9", f"nobody can explain {letter}")

    def _check_people(self) -> None:
        for sku, applied in self.oracle.durable.applied.items():
            for reference, adjustment in applied.items():
                if self.oracle.adjustments.get(reference) != (sku, adjustment.quantity):
                    self.oracle.fail("I4", f"{sku}: nobody told {adjustment}")
        for reference, (sku, _) in self.oracle.adjustments.items():
            if sku in self.oracle.pushing.stopped:
                continue  # what a person tells of a SKU in quarantine may be refused
            if sku in self.world.plan.skus and reference not in self.oracle.durable.applied[sku]:
                self.oracle.fail("I3", f"{sku}: the adjustment {reference} is lost")

    def _check_conservation(self, front: Front) -> None:
        shop, truth = front.store.shop, self.oracle.fronts[front.name]
        for listing in shop.listings.values():
            moved = sum(units for _, units in truth.moves[listing.id])
            sold, back = shop.sold[listing.sku], shop.given_back[listing.sku]
            if front.store.ledger.initial[listing.id] + moved - sold + back != listing.quantity:
                self.oracle.fail("I4", f"{front.name}: units of {listing.sku} are not conserved")

    def _check_fair(self) -> None:
        if not self.world.plan.fair:
            return
        for front in self.world.front_list:
            writes = front.store.ledger.writes
            conflicts = sum(write.result == "conflict" for write in writes)
            self.world.counts["conflicts in fair weather"] += conflicts
            self.world.counts["writes in fair weather"] += len(writes)
            if conflicts > 10 and conflicts > len(writes) / 4:
                self.oracle.fail("I7", f"{front.name}: {conflicts} of {len(writes)} pushes rested on a wrong belief")

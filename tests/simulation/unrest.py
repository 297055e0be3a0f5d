"""Why a world is not at rest yet: work is left, a listing shows what it should not, a number is not the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from daemon.actors.registry import Registry
from daemon.domain.observations import StockCount
from daemon.domain.slot import Slot
from daemon.storage.dead_letters import DeadLetter
from tests.simulation.invariants import broken
from tests.simulation.kits import possible
from tests.simulation.truth import Basis, Truth, shown, truth_of

if TYPE_CHECKING:
    from daemon.app.assembly import Parts
    from tests.simulation.oracle import Oracle
    from tests.simulation.ports import Life


class Unrest:
    """Looks for it."""

    def __init__(self, oracle: Oracle) -> None:
        self.oracle, self.world = oracle, oracle.world

    def why(self) -> str:
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
            if waiting := [slot for slot in lane.slots.values() if self.waits(slot)]:
                return f"{name}: open slots {waiting[:2]}"
        if parts.dead_letters.count and (letters := self.to_mend(parts)):
            return f"letters wait for somebody: {letters[:2]}"
        return ""

    def to_mend(self, parts: Parts) -> list[DeadLetter]:
        """Letters that a person can deal with while the daemon runs."""
        return [each for each in parts.dead_letters.page(limit=100_000) if not self._explained(each)]

    def _explained(self, letter: DeadLetter) -> bool:
        """Is it about a listing that is gone, and takes no push, or about what nobody can understand?"""
        if letter.kind == "late":
            # What is told there is no news: else the numbers would not be right.
            self.world.count("late letters")
            return self.world.plan.settlement_days == 1
        gone = letter.kind == "push" and letter.content.decode() in self.world.fronts[letter.channel].removed
        return gone or letter.topic in self.oracle.puzzles

    def waits(self, slot: Slot) -> bool:
        """Is there work left? What is only wished of a channel in shadow is none."""
        if self.shadow(slot.channel):
            return bool(slot.in_flight or slot.recheck_us or slot.alive_until_us)
        return not self.given_up(slot)

    def shadow(self, channel: str) -> bool:
        """Is it only watched now?"""
        return channel in self.oracle.pushing.shadowed

    def given_up(self, slot: Slot) -> bool:
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
                if self.shadow(front.name):
                    continue
                want = shown(state.available, front.policy)
                if listing.quantity != want:
                    return f"{front.name}: {listing.sku} shows {listing.quantity}, should be {want}: {slot}"
        return ""

    def _hopeless(self, sku: str) -> bool:
        """Is it a kit with a component that nobody lists, so that nobody ever counts it?"""
        recipe = self.world.plan.kits.get(sku, ())
        return any(not self.oracle.counts[component] for component, _ in recipe)

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

    # -- the truth --

    def truths(self, life: Life) -> dict[str, Truth]:
        """What is available of each SKU that somebody lists and has counted."""
        assert life.daemon is not None
        self.oracle.durable.look(life)
        found = {}
        for sku in self.world.plan.skus:
            if counts := self.oracle.durable.counts[sku]:
                state = life.daemon.parts.registry.peek(sku)
                (_, at_us), newest = max(counts.items())
                basis = Basis(
                    newest, *self._taken(newest, at_us), self.oracle.durable.applied[sku].values(),
                    self.oracle.durable.sighted[sku], state.stock.settled_us if state else 0,
                )  # fmt: skip
                found[sku] = truth_of(self.oracle.fronts, sku, basis)
        return found

    def _taken(self, count: StockCount, at_us: int) -> tuple[int, int]:
        """When the daemon took a count, on the world's clock: exactly, but for a person's where our clock was set."""
        if count.source != "person":
            assert count.at.own is not None
            issued_us = self.world.fronts[count.source].clock.issued[count.at.own.lo]
            return issued_us, issued_us
        if not self.world.wall_set:
            return count.at.at.lo, count.at.at.lo
        told = self.oracle.durable.counted[count.reference]
        return told.from_us, told.until_us

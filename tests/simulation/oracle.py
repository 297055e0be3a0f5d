"""What must be true, worked out from the storefronts' own ledgers and from what people told, not from the daemon.

The daemon is asked for two things only: its log (which counts and adjustments it holds, and when) and its numbers.
What is durable is looked at in `durable`, what leaves in `pushing`, and everything, once all is done, in `at_rest`.
"""

from __future__ import annotations

import functools
import gc
import json
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import trio

from adapters.storefront import Hook
from daemon.domain.observations import StockCount
from daemon.storage.idempotency import digest
from tests.simulation.at_rest import AtRest
from tests.simulation.durable import Durable, Told
from tests.simulation.invariants import broken
from tests.simulation.pushing import Pushing
from tests.simulation.truth import FrontTruth
from tests.simulation.unrest import Unrest

if TYPE_CHECKING:
    from daemon.app.assembly import Parts
    from daemon.domain.exchange import Reply, Request
    from tests.simulation.fronts import Front
    from tests.simulation.ports import LevelsAsked, Life
    from tests.simulation.world import World

GLANCE_S = 60.0
"""Seconds between two looks at what must hold at any moment."""


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
        self.unrest, self.at_rest = Unrest(self), AtRest(self)

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
    def calling(self, life: Life, front: Front, what: str) -> None:
        """Any request leaves."""
        self.pushing.calling(life, front, what)

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
            gc.collect(0)  # the collector does not run by itself here: at moments of the seed it may
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

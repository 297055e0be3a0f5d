"""Who acts on the simulated world: shoppers, the person at the admin socket, and a critic."""

from __future__ import annotations

import json
from collections.abc import Iterable
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

import trio

from tests.simulation.invariants import broken

if TYPE_CHECKING:
    from daemon.app.assembly import Parts
    from tests.simulation.fronts import Front
    from tests.simulation.world import World

GRIDS_S = (0.0, 0.001, 0.05, 1.0)
"""Things happen on the same tick of such a grid, so that ties and races of no width come about."""


MOMENTS = (
    "a push", "a poll", "a catalogue page", "a reading back", "an acknowledgement", "a start", "a clock being set",
)  # fmt: skip


class Shoppers:
    """Place orders by the hour of the day, and let each order live on."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rng = world.dice("shoppers")
        self.later: list[tuple[float, int, Front, str, str]] = []
        self.number = 0

    async def run(self) -> None:
        world, rng = self.world, self.rng
        grid = rng.choice(GRIDS_S)
        while True:
            wait = rng.expovariate(self._rate())
            at = trio.current_time() + wait
            while self.later and self.later[0][0] <= at:
                due, _, front, order, action = heappop(self.later)
                await trio.sleep(max(0.0, due - trio.current_time()))
                self._act(front, order, action)
            if grid:
                at = (int(at / grid) + 1) * grid
            await trio.sleep(max(0.0, at - trio.current_time()))
            for _ in range(rng.choice((1, 1, 1, 1, 2, 3))):
                self._buy(rng.choice(world.front_list))

    def _rate(self) -> float:
        """Visits a second: nights are idle, evenings are busy, and now and then there is a rush."""
        hour = (trio.current_time() / 3600 + self.world.plan.first_hour) % 24
        rate = self.world.plan.visits_s * (0.1 if hour < 7 else 1.0 if hour < 18 else 2.0)
        return rate * (30.0 if self.rng.random() < self.world.plan.rush else 1.0)

    def _buy(self, front: Front) -> None:
        rng, plan = self.rng, self.world.plan
        skus = [sku for sku in front.skus if sku in plan.hot] if rng.random() < plan.heat else front.skus
        chosen = rng.sample(skus or front.skus, k=min(len(skus or front.skus), rng.choice((1, 1, 1, 2, 3))))
        lines = [{"sku": sku, "quantity": rng.choice((1, 1, 1, 2, 3))} for sku in chosen]
        reply = front.call("POST", "/orders", {"lines": lines})
        if reply.status != 201:
            self.world.count("sold out")
            return
        self.world.count("orders")
        order = json.loads(reply.body)["id"]
        for _ in range(rng.choice((0, 1, 1, 2, 3))):
            action = rng.choice(("cancel", "refund", "fulfil", "fulfil"))
            self.number += 1
            delay = rng.choice((0.0, 0.5, 5.0, 60.0, 900.0, 7200.0)) * rng.random()
            heappush(self.later, (trio.current_time() + delay, self.number, front, order, action))

    def _act(self, front: Front, order: str, action: str) -> None:
        body: dict[str, Any] = {}
        if action == "refund":
            body["restock"] = self.rng.random() < 0.7
        if self.rng.random() < 0.4:
            body["lines"] = [{"id": "1", "quantity": 1}]
        if front.call("POST", f"/orders/{order}/{action}", body).status == 200:
            self.world.count(action)


class Operator:
    """Counts and adjusts over the admin socket; what was not answered is asked again under the same reference."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rng = world.dice("operator")
        self.undo: list[str] = []

    async def run(self) -> None:
        try:
            await self._work()
        finally:
            for path in self.undo:
                await self._ask(path, {})

    async def _work(self) -> None:
        world, rng = self.world, self.rng
        number = 0
        while True:
            await trio.sleep(rng.expovariate(1 / world.plan.operator_s))
            number += 1
            sku = rng.choice(sorted(world.plan.hot) if rng.random() < 0.4 else world.plan.skus)
            if not world.plan.fair and rng.random() < 0.5:
                sku = await self._worst_moment(sku)
            kind = rng.random()
            if kind < 0.65:
                units = rng.choice((1, 2, 5, 10, 20, -1, -3))
                body = {"sku": sku, "quantity": units, "reference": f"A{trio.current_time():.3f}-{number}"}
                world.oracle.adjusting(body["reference"], sku, units)
                await self._ask("/v1/adjustments", body)
                world.count("adjustments")
            elif kind < 0.86:
                body = {
                    "sku": sku, "quantity": rng.randrange(25), "kind": rng.choice(("available", "on_hand")),
                    "reference": f"C{trio.current_time():.3f}-{number}",
                }  # fmt: skip
                world.oracle.counting(body["reference"], sku, body["quantity"], body["kind"])
                await self._ask("/v1/counts", body)
                world.count("counts")
            elif kind < 0.89:
                await self._ask(f"/v1/skus/{sku}/{rng.choice(('push', 'pull'))}", {})
                world.count("push or pull")
            elif kind < 0.97 and not world.plan.fair:
                await self._stop_and_go(sku)
            else:
                await self._ask(f"/v1/channels/{rng.choice(world.front_list).name}/reconcile", {})
                world.count("reconcile")

    async def _worst_moment(self, sku: str) -> str:
        """Wait for a moment at which a word from a person is least expected; the SKU that is meant then."""
        world, rng = self.world, self.rng
        moment = rng.choice(MOMENTS)
        if not await world.moment(moment, 300.0):
            return sku
        await trio.sleep(rng.choice((0.0, 0.0, 0.01, 0.1)) * rng.random())
        world.fault(f"operator amid {moment}")
        flying = list(world.life.flying) if world.life is not None and moment == "a push" else []
        if flying:
            channel, listing = rng.choice(flying)
            return world.fronts[channel].store.shop.listings[listing].sku
        return sku

    async def _stop_and_go(self, sku: str) -> None:
        """Pause a channel or freeze a SKU; what was stopped last goes on with the next such turn."""
        if self.undo:
            await self._ask(self.undo.pop(), {})
        elif self.rng.random() < 0.5:
            channel = self.rng.choice(self.world.front_list).name
            self.undo.append(f"/v1/channels/{channel}/resume")
            await self._ask(f"/v1/channels/{channel}/pause", {})
            self.world.count("pauses")
        else:
            self.undo.append(f"/v1/skus/{sku}/unfreeze")
            await self._ask(f"/v1/skus/{sku}/freeze", {})
            self.world.count("freezes")

    async def _ask(self, path: str, body: dict[str, Any]) -> None:
        self.world.touched_at = trio.current_time()
        self.world.oracle.commanded(path, 0)
        # Under way when the people go home, it is still asked to its end: the world outlives them.
        with trio.CancelScope(shield=True):
            while not self.world.failures:  # a world that has failed has no answers any more
                status, _ = await self.world.ask_admin(path, body)
                if status is not None and status not in (502, 503):
                    self.world.oracle.answered(body.get("reference", ""))
                    self.world.oracle.commanded(path, status)
                    if status not in (200, 404, 409):
                        self.world.fail(broken("I0", f"the admin socket answered {status} to {path} {body}"))
                    return
                await trio.sleep(self.rng.uniform(0.5, 20.0))


class Trialist:
    """Tries a channel out: it is only watched, then pushed to, and watched again. At last it is pushed to."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rng = world.dice("trialist")

    async def run(self) -> None:
        plan = self.world.plan
        try:
            while True:
                await trio.sleep(self.rng.expovariate(1 / (0.3 * plan.operator_s)))
                await self._say("shadow")
                self.world.count("channels put into shadow")
                await trio.sleep(self.rng.expovariate(1 / plan.operator_s))
                await self._say("live")
                self.world.count("channels taken out of shadow")
        finally:
            await self._say("live")

    async def _say(self, word: str) -> None:
        """Until it is answered: it may be under way when the people go home."""
        path = f"/v1/channels/{self.world.plan.shadow}/{word}"
        with trio.CancelScope(shield=True):
            while not self.world.failures:
                self.world.touched_at = trio.current_time()
                self.world.oracle.commanded(path, 0)
                status, _ = await self.world.ask_admin(path, {})
                self.world.oracle.commanded(path, status or 0)
                if status == 200:
                    return
                if status not in (None, 409, 503):
                    self.world.fail(broken("I0", f"the admin socket answered {status} to {path}"))
                await trio.sleep(self.rng.uniform(0.5, 20.0))


class Mender:
    """Looks after the dead letters: what was mended at the channel is pushed again, what is settled is discarded."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def look(self) -> None:
        """Once over all letters, held channels and drifts that were only reported. What is not answered is looked at
        the next time."""
        await self._decide()
        await self._push_over()
        after: str | None = "0"
        while after is not None:
            status, answer = await self.world.ask_admin(f"/v1/dead-letters?after={after}", method="GET")
            page = json.loads(answer) if status == 200 else {"dead_letters": (), "next": None}
            after = page["next"]
            await self._mend(page["dead_letters"])

    def _inside(self) -> Parts | None:
        """The daemon's parts, if it lives and serves just now."""
        life = self.world.life
        if life is None or not life.up or life.daemon is None or not life.daemon.serving.is_set():
            return None
        return life.daemon.parts

    async def _decide(self) -> None:
        """A channel of which too much differed at once: what it shows is a mistake."""
        for name in self.world.fronts:
            parts = self._inside()
            if parts is not None and parts.channels[name].mass_hold() is not None:
                status, _ = await self.world.ask_admin(f"/v1/channels/{name}/drift/refuse", {})
                self.world.counts["held channels refused"] += status == 200

    async def _push_over(self) -> None:
        """A drift that was only reported: our level is pushed over it."""
        for sku in (*self.world.plan.skus, *self.world.plan.kits):
            parts = self._inside()
            state = parts.registry.peek(sku) if parts is not None else None
            if state is not None and any(slot.held == "report" for slot in state.slots.values()):
                status, _ = await self.world.ask_admin(f"/v1/skus/{sku}/push", {})
                self.world.counts["reported drifts pushed over"] += status == 200

    async def _mend(self, letters: Iterable[dict[str, Any]]) -> None:
        for letter in letters:
            front = self.world.fronts.get(letter["channel"])
            if letter["kind"] == "push" and front is not None:
                if any(gone in letter["subject"] for gone in front.removed):
                    continue
                self.world.count("dead letters retried")
                await self.world.ask_admin(f"/v1/dead-letters/{letter['id']}/retry", {})
            elif letter["kind"] == "poison":
                self.world.count("poison applied after its cure")
                await self.world.ask_admin(f"/v1/dead-letters/{letter['id']}/retry", {})
            elif letter["kind"] == "late":
                self.world.count("late letters discarded")
                await self.world.ask_admin(f"/v1/dead-letters/{letter['id']}/discard", {})


class Critic:
    """In fair weather: a few seconds after the last change every number must be right already."""

    PROMPT_S, LOOK_S = 10.0, 2.0

    def __init__(self, world: World) -> None:
        self.world = world
        self.rng = world.dice("critic")

    async def run(self) -> None:
        world = self.world
        await trio.sleep(60.0)
        while True:
            await trio.sleep(self.rng.uniform(1.0, 30.0))
            touched_at = world.touched_at
            if trio.current_time() - touched_at <= self.PROMPT_S or not world.oracle.unrest.why():
                continue
            # The hourly settlement may have a listing looked at: that is over in a moment.
            await trio.sleep(self.LOOK_S)
            if world.touched_at == touched_at and (why := world.oracle.unrest.why()):
                world.fail(broken("I7", f"in fair weather, {self.PROMPT_S:g} s after the last change: {why}"))

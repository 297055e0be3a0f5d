"""What goes wrong in a world by itself: faults that come and go, outages, staff, stops and crashes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import trio

from adapters.storefront.faults import ApiFaults, Faults, WebhookFaults

if TYPE_CHECKING:
    from tests.simulation.fronts import Front
    from tests.simulation.world import World


class Weather:
    """Faults come and go; storefronts are cut off; staff edit what a listing shows."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rng = world.dice("weather")

    async def run(self) -> None:
        world, rng = self.world, self.rng
        while True:
            await trio.sleep(rng.expovariate(1 / world.plan.weather_s))
            front = rng.choice(world.front_list)
            kind = rng.random()
            if kind < 0.55:
                front.set_faults(self._storm())
                world.count("storms")
            elif kind < 0.75:
                front.set_faults(Faults())
            elif kind < 0.87:
                front.cut(on=True)
                world.count("outages")
                world.nursery.start_soon(self._reconnect, front, rng.choice((3.0, 40.0, 300.0, 1800.0)))
            elif kind < 0.93 and world.plan.staff:
                self._edit(front)
            elif world.plan.stalls:
                world.stall_until = trio.current_time() + rng.uniform(1.0, 60.0)
                world.count("disk stalls")

    async def _reconnect(self, front: Front, after_s: float) -> None:
        with trio.move_on_after(after_s):
            await self.world.calm.wait()
        front.cut(on=False)

    def _storm(self) -> Faults:
        rng, plan = self.rng, self.world.plan

        def some(most: float) -> float:
            return rng.random() * most if rng.random() < 0.5 else 0.0

        webhook = WebhookFaults(
            duplicate=some(0.6), drop=some(0.6) if plan.drops else 0.0,
            delay_s=rng.choice((0.0, 1.0, 10.0, 120.0)) if rng.random() < 0.5 else 0.0, reorder=some(0.8),
        )  # fmt: skip
        api = ApiFaults(
            error_500=some(0.5), throttle_429=some(0.4), timeout=some(0.4), lose_answer=some(0.4),
            lie_ok=some(0.3) if plan.lies else 0.0,
        )  # fmt: skip
        return Faults(webhook, api)

    def _edit(self, front: Front) -> None:
        listing = self.rng.choice(list(front.store.shop.listings.values()))
        body = {"items": [{"listing": listing.id, "quantity": self.rng.randrange(12)}]}
        front.store._desk.put(msgspec.json.encode(body), self.world.now_us(), "staff")
        front.host._news.set()
        self.world.count("staff edits")


class Lightning:
    """Stops and crashes between commits and calls; those at commits and calls are drawn where they happen."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rng = world.dice("lightning")

    async def run(self) -> None:
        world, rng = self.world, self.rng
        while True:
            await trio.sleep(rng.expovariate(1 / world.plan.crash_s))
            life = world.life
            if life is None or not life.up or life.daemon is None:
                continue
            if rng.random() < 0.3:
                world.count("clean stops")
                world.note("STOP")
                life.daemon.stop()
            elif rng.random() < 0.4:
                world.bolt = rng.randrange(1, 40)
            else:
                life.crash("at any moment")

"""What goes wrong in a world by itself: faults that come and go, outages, staff, stops and crashes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from adapters.storefront.faults import ApiFaults, Faults, WebhookFaults
from tests.simulation.moods import Snapshot
from tests.simulation.shop_clock import OFF_MAX_S

if TYPE_CHECKING:
    from tests.simulation.fronts import Front
    from tests.simulation.world import World

LISTINGS_MIN = 2
"""So many listings at least are never taken away."""


class Weather:
    """Faults come and go: the ordinary ones in every world, the others where the plan has their kind."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rng = world.dice("weather")

    async def run(self) -> None:
        world, rng = self.world, self.rng
        kinds = sorted(world.plan.kinds - {"strangers"})
        while True:
            await trio.sleep(rng.expovariate(1 / world.plan.weather_s))
            front = rng.choice(world.front_list)
            if kinds and rng.random() < 0.4:
                kind_of = rng.choice(kinds)
                if not self._mood(kind_of, front):
                    self._event(kind_of, front)
                continue
            kind = rng.random()
            if kind < 0.55:
                front.set_faults(self._storm())
                world.fault("storm of small faults")
            elif kind < 0.75:
                front.set_faults(Faults())
            elif kind < 0.87:
                front.cut(on=True)
                world.fault("storefront cut off")
                world.nursery.start_soon(self._reconnect, front, rng.choice((3.0, 40.0, 300.0, 1800.0)))
            elif kind < 0.93 and world.plan.staff:
                front.edit(rng.choice(front.listed()).id, rng.randrange(12))
                world.fault("staff edit")
            elif world.plan.stalls:
                world.stall_until = trio.current_time() + rng.uniform(1.0, 60.0)
                world.fault("slow disk")

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

    def _mood(self, kind: str, front: Front) -> bool:
        """Another mood of a storefront; False for what is not one."""
        rng, moods = self.rng, front.host.moods
        soon = trio.current_time() + rng.choice((5.0, 60.0, 600.0)) * (0.2 + rng.random())
        match kind:
            case "throttling":
                moods.throttling_until = soon
            case "failing":
                moods.failing_until = soon
            case "stale":
                moods.snapshot, moods.stale_until = Snapshot.of(front), soon
            case "pages":
                moods.page_size = rng.choice((0, 2, 3, 5))
            case "partial":
                moods.half, moods.busy = rng.choice((0.0, 0.5)), rng.choice((0.0, 0.3))
            case "zombies":
                moods.zombies = rng.choice((0.0, 0.3, 0.6))
            case "bad rows":
                moods.bad ^= {rng.choice(front.listed()).id}
                moods.strict = rng.random() < 0.5
            case "meddling":
                moods.meddling = rng.choice((0.0, 0.3))
            case _:
                return False
        return True

    def _event(self, kind: str, front: Front) -> None:
        world, rng = self.world, self.rng
        match kind:
            case "muted" if world.plan.drops:
                front.mute()
            case "new listings":
                self._new_listing(front)
            case "gone listings" if len(front.listed()) > LISTINGS_MIN:
                front.removed[rng.choice(front.listed()).id] = world.now_us()
                world.fault("listing removed")
            case "full disk":
                world.full_until = trio.current_time() + rng.choice((1.0, 20.0, 200.0)) * rng.random()
                world.fault("disk filled up")
            case "clock jumps":
                self._jump(front)
            case "wall jumps" if world.plan.drops:
                world.set_wall(rng.choice((-1.0, 1.0)) * rng.choice((0.5, 10.0, 120.0)) * rng.random())

    def _new_listing(self, front: Front) -> None:
        """A SKU that others list, and that has been counted long ago, is listed here as well."""
        counted = [sku for sku in self.world.plan.skus if self.world.oracle.counts[sku]]
        missing = [sku for sku in counted if sku not in front.store.shop.by_sku]
        if missing:
            front.add(self.rng.choice(missing), self.rng.randrange(9))
            self.world.fault("listing added")

    def _jump(self, front: Front) -> None:
        by_s = self.rng.choice((-1.0, 1.0)) * self.rng.choice((0.5, 5.0, 90.0)) * self.rng.random()
        now_us = self.world.now_us()
        if abs(front.clock.off_us(now_us) / 1e6 + by_s) < OFF_MAX_S:
            front.clock.jump(by_s, now_us)
            self.world.fault("clock of a storefront set forward" if by_s > 0 else "clock of a storefront set back")
            self.world.reached("a clock being set")


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
                world.fault("orderly stop")
                world.note("STOP")
                life.daemon.stop()
            elif rng.random() < 0.4:
                world.bolt = rng.randrange(1, 40)
            else:
                world.fault("crash at any moment")
                life.crash("at any moment")

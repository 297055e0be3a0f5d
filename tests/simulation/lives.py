"""The daemon's lives: it is started, and started again, each time by what its configuration says then."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import trio

import adapters.sandbox
from daemon.app.daemon import serve
from daemon.config import Config, StorageSettings
from daemon.config_channels import ChannelConfig
from daemon.credentials import Secret, SecretRef
from daemon.domain.channel import Platform
from daemon.domain.instants import SECOND_US
from daemon.notify import Notifier
from daemon.storage.files import StoreError
from tests.simulation.disk import opener
from tests.simulation.platforms import PUBLIC_URL, blind, subscribing
from tests.simulation.ports import FencedError, Life, Witness
from tests.simulation.retention import ShortRetention

if TYPE_CHECKING:
    from tests.simulation.world import World

WALL_OFF_MAX_S = 250.0
"""So far off is our own clock at most, when it is set."""


class Lives:
    """Starts them."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def run(self) -> None:
        """One life after the other, until the world is over."""
        rng = self.world.dice("lives")
        while not self.world.over:
            self.world.lives += 1
            if self.world.stormy and rng.random() < self.world.plan.reforms:
                front = rng.choice(self.world.front_list)
                front.policy = attrs.evolve(front.policy, buffer=rng.choice((0, 1, 3)), cap=rng.choice((None, 2, 7)))
                self.world.fault("restart with another policy")
            if self.world.stormy and rng.random() < self.world.plan.stumbles:
                self.world.fault("crash again soon after a start")
                self.world.bolt = rng.randrange(1, 30)
            for front in self.world.front_list if self.world.wall_set else ():
                front.clock.unsettle(WALL_OFF_MAX_S, self.world.now_us())
            life = self.world.life = Life(self.world, self.world.lives)
            await self._live(life)
            life.up = False
            life.public.cut()
            life.admin.cut()
            life.ended.set()
            with trio.move_on_after(rng.choice((0.0, 0.1, 2.0, 30.0, 600.0)) * rng.random()):
                await self.world.calm.wait()

    async def _live(self, life: Life) -> None:
        try:
            with life.scope:
                async with trio.open_nursery() as nursery:
                    life.daemon = await nursery.start(
                        serve,
                        self._config(),
                        self._platforms(),
                        life.ports(),
                        Witness(life),
                        Notifier({}),
                        opener(life),
                    )
                    await life.daemon.serving.wait()
                    self.world.oracle.started(life)
                    self.world.reached("a start")
        except BaseExceptionGroup as group:
            _, rest = group.split(FencedError)
            _, rest = rest.split(StoreError) if rest is not None and self.world.disk_sick() else (None, rest)
            if rest is not None:
                raise rest from None  # without what is fenced: where the world ends with this life, that is all
            self.world.count("ends of a life by an error" if life.up else "ends of a life by a crash")
        finally:
            if life.torn is not None:
                life.torn()

    def _config(self) -> Config:
        world, plan = self.world, self.world.plan
        overrides: dict[str, float] = {"poll_interval_s": plan.poll_s, "catalogue_interval_s": plan.catalogue_s}
        if plan.narrow and not plan.fair:
            overrides |= {"rate_per_s": 0.5, "burst": 3}
        channels = {
            front.name: ChannelConfig(
                front.name, front.platform, f"http://{front.name}.test",
                (SecretRef("inline", inline=Secret(f"secret-{front.name}")),), front.policy, allow_private=True,
                overrides=overrides, mode="shadow" if plan.shadow == front.name and not plan.switched else "live",
            )
            for front in world.front_list
        }  # fmt: skip
        return Config(
            str(world.directory / "state"), str(world.directory / "admin.sock"), channels,
            public_url=PUBLIC_URL, storage=StorageSettings(map_max_gb=1, settlement_days=plan.settlement_days),
            retention=ShortRetention(history_us=int(plan.history_s * SECOND_US)), kits=plan.kits,
        )  # fmt: skip

    def _platforms(self) -> dict[str, Platform]:
        sandbox = adapters.sandbox.PLATFORM
        return {
            "sandbox": sandbox,
            "blind": attrs.evolve(sandbox, name="blind", build=blind),
            "subscribing": attrs.evolve(sandbox, name="subscribing", build=subscribing),
        }

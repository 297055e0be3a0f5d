"""Spells of one kind of weather, copies that lag, and what is wrong within the twin itself for a while."""

from __future__ import annotations

import random
from collections.abc import Callable

import trio
from attrs import define, field

from tests.channels.crossing import Crossing
from tests.channels.stage import Stage
from tests.channels.weather import STALE, Spell, Weather

EVERY_S = 60.0
SPELL_S = (5.0, 90.0)
TURNS_MAX = 15


@define(eq=False)
class Storms:
    """Begins them. `each_once`: every kind has its turn, until it happened; `done` is set then."""

    rng: random.Random
    weather: Weather
    crossing: Crossing
    stage: Stage
    note: Callable[[str], None]
    each_once: bool = False
    done: trio.Event = field(factory=trio.Event)

    async def run(self) -> None:
        """For ever, unless each has one turn."""
        if self.each_once:
            for kind in self.weather.share:
                await self._turn(kind)
            self.done.set()
            return
        while True:
            await trio.sleep(self.rng.expovariate(1 / EVERY_S))
            self._begin(self.rng.choice((*self.weather.share, "")), self.rng.uniform(*SPELL_S))

    async def _turn(self, kind: str) -> None:
        for _ in range(TURNS_MAX):
            if self.weather.counts[kind]:
                return
            self._begin(kind, self.stage.turn_s)
            await trio.sleep(self.stage.turn_s)

    def _begin(self, kind: str, seconds: float) -> None:
        if kind in STALE:
            # Orders: sometimes within what the platform is known for, sometimes beyond it.
            lag_s = self.stage.told_in_s * 0.8 if kind == STALE[1] and self.rng.random() < 0.5 else seconds
            self.crossing.lag("orders" if kind == STALE[1] else "stock", min(seconds, lag_s))
        elif kind in self.stage.kinds and self.stage.unrest(kind):
            self.note(f"{kind}: it begins")
        elif kind:
            self.weather.spell = Spell(kind, self.crossing.now_s() + seconds)
            self.note(f"a spell of {kind}, {seconds:.0f} s")

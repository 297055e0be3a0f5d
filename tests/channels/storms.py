"""Spells of one kind of weather, copies that lag, and what is wrong within the twin itself for a while."""

from __future__ import annotations

import random
from collections.abc import Callable

import trio
from attrs import define

from tests.channels.crossing import Crossing
from tests.channels.stage import Stage
from tests.channels.weather import STALE, Spell, Weather

EVERY_S = 60.0
SPELL_S = (5.0, 90.0)


@define(eq=False)
class Storms:
    """Begins them, for ever."""

    rng: random.Random
    weather: Weather
    crossing: Crossing
    stage: Stage
    note: Callable[[str], None]

    async def run(self) -> None:
        while True:
            await trio.sleep(self.rng.expovariate(1 / EVERY_S))
            kind = self.rng.choice((*self.weather.share, ""))
            seconds = self.rng.uniform(*SPELL_S)
            if kind in STALE:
                # Orders: sometimes within what the platform is known for, sometimes beyond it.
                lag_s = self.stage.told_in_s * 0.8 if kind == STALE[1] and self.rng.random() < 0.5 else seconds
                self.crossing.lag("orders" if kind == STALE[1] else "stock", min(seconds, lag_s))
            elif kind in self.stage.kinds and self.stage.unrest(kind):
                self.weather.happened(kind)
                self.note(kind)
            elif kind:
                self.weather.spell = Spell(kind, self.crossing.now_s() + seconds)
                self.note(f"a spell of {kind}, {seconds:.0f} s")

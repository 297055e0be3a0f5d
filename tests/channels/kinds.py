"""Does every kind of fault that a channel can have befall it? Worlds in which each has its turn, until all did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from attrs import define, field

from tests.channels.stages import STAGES
from tests.channels.weather import kinds_of
from tests.channels.world import play

MINUTES = 600.0
"""A world ends earlier, once each kind had its turn."""
SEEDS_MAX = 8


@define
class Shown:
    """What befell a channel, and in how many worlds; `failures`: what was wrong in them, with the seed."""

    channel: str
    worlds: int = 0
    counts: Counter[str] = field(factory=Counter)
    failures: list[str] = field(factory=list)

    def missing(self) -> list[str]:
        """Kinds that never occurred."""
        return [kind for kind in kinds_of(STAGES[self.channel]) if not self.counts[kind]]


def show(channel: str, first: int = 0, most: int = SEEDS_MAX) -> Shown:
    """One seed after the other, until each kind occurred or `most` were played."""
    found = Shown(channel)
    for seed in range(first, first + most):
        result = play(channel, seed, MINUTES, every=True)
        found.worlds += 1
        found.counts += result.faults
        found.failures += [f"seed {seed}: {each}" for each in result.failures]
        if not found.missing():
            break
    return found


def table(found: Mapping[str, Shown]) -> Iterator[str]:
    """Each kind, and how often it occurred, by channel; a dash where the channel has no such kind."""
    kinds = dict.fromkeys(kind for name in found for kind in kinds_of(STAGES[name]))
    yield f"{'':31}" + "".join(f"{name[:11]:>12}" for name in found)
    yield f"{'worlds':31}" + "".join(f"{each.worlds:>12}" for each in found.values())
    for kind in kinds:
        cells = (
            f"{each.counts[kind] or 'NEVER':>12}" if kind in kinds_of(STAGES[name]) else f"{'-':>12}"
            for name, each in found.items()
        )  # fmt: skip
        yield f"{kind:31}" + "".join(cells)

"""One planted bug at one channel against seed after seed, until a world of its fails."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from tests.channels import kinds
from tests.channels.mutants import MUTANTS
from tests.channels.world import Result, play
from tests.simulation.mutants.planting import planted
from tests.simulation.soak import no_hang

SEEDS_MAX = 16
MINUTES = 12.0


@frozen
class Trial:
    """What came of it. `seed`: the world that failed, None where none did; `needed`: so many were played."""

    name: str
    channel: str
    needed: int
    seed: int | None = None
    said: str = ""

    def row(self) -> str:
        if self.seed is None:
            return f"SURVIVED {self.name} at {self.channel}: {self.needed} worlds"
        return f"found {self.name:44} {self.channel:12} in {self.needed:>2}, seed {self.seed}: {self.said[:150]}"


def world(name: str, channel: str, seed: int) -> Result:
    """A world in which this bug can be found."""
    if MUTANTS[name].every:
        return play(channel, seed, kinds.MINUTES, every=True, compared=False)
    return play(channel, seed, MINUTES)


def try_mutant(task: tuple[str, str, Sequence[int]]) -> Trial:
    """`task`: the bug's name, the channel, the seeds. Raises `MutantError` where the bug's code never ran."""
    name, channel, seeds = task
    with no_hang(), planted(MUTANTS[name].mutant) as present:
        for needed, seed in enumerate(seeds, 1):
            if failures := world(name, channel, seed).failures:
                present.check_called()
                return Trial(name, channel, needed, seed, failures[0])
        present.check_called()
    return Trial(name, channel, len(seeds))

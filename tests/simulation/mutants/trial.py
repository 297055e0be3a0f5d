"""One mutant against seed after seed, until a check finds it."""

from __future__ import annotations

import attrs
from attrs import frozen

from tests.simulation.invariants import invariant_of
from tests.simulation.mutants.listed import MUTANTS
from tests.simulation.mutants.planting import Mutant, MutantError, planted
from tests.simulation.plan import Plan
from tests.simulation.soak import no_hang
from tests.simulation.world import World

CLEAN = Mutant("(none)", "The daemon as it is.", "-", ())


@frozen
class Trial:
    """What came of a mutant. `seed` is the one that found it, None where it survived; `error`: it is no mutant."""

    name: str
    breaks: str
    needed: int
    seed: int | None = None
    said: str = ""
    hours: float = 0.0
    error: str = ""

    @property
    def found(self) -> str:
        """The invariant that the oracle named."""
        return invariant_of(self.said) if self.seed is not None else "-"


def failures_of(seed: int, hours: float) -> tuple[tuple[str, ...], float]:
    """What a world of this seed fails, and the hours it lived."""
    with no_hang():
        # A world that lives for weeks shows no more of a bug than sixty short ones, and takes longer.
        result = World(seed, hours, attrs.evolve(Plan.of(seed), stretch=1.0)).run()
    return result.failures, result.hours


def try_mutant(task: tuple[str, int, int, float]) -> Trial:
    """`task`: the mutant's name, the first seed, how many seeds at most, and the hours of each world."""
    name, start, most, hours = task
    mutant = MUTANTS.get(name, CLEAN)
    lived = 0.0
    try:
        with planted(mutant) as present:
            for needed in range(1, most + 1):
                seed = start + needed - 1
                failures, more = failures_of(seed, hours)
                lived += more
                if failures:
                    present.check_called()
                    return Trial(name, mutant.breaks, needed, seed, failures[0], lived)
            present.check_called()
    except MutantError as error:
        return Trial(name, mutant.breaks, 0, error=str(error))
    return Trial(name, mutant.breaks, most, hours=lived)

"""Kits in the simulation: a world of them comes to rest, and the oracle notices a daemon that gets them wrong."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest

import daemon.storage.orders
from daemon.domain.kits import Kit, expand
from daemon.domain.observations import OrderLine, Recipe
from tests.simulation.kits import possible
from tests.simulation.plan import Plan
from tests.simulation.world import Result, World

KITS = {"KIT-01": (("SKU-01", 1), ("SKU-02", 2)), "KIT-02": (("SKU-02", 1),)}
HOURS = 0.2


def run() -> Result:
    plan = attrs.evolve(
        Plan.of(7), skus=("SKU-01", "SKU-02", "SKU-03"), kits=KITS, hot=frozenset(KITS), heat=0.9, visits_s=1 / 20,
        stock_max=60, fair=True, blind=False, first_hour=12.0,
    )  # fmt: skip
    return World(7, HOURS, plan).run()


@pytest.mark.slow
def test_a_world_of_kits_comes_to_rest() -> None:
    result = run()
    assert not result.failures, result.failures
    assert result.counts["sold as kits"] > 10


def one_unit_of_each(line: OrderLine, recipe: Recipe) -> list[OrderLine]:
    return expand(line, tuple((component, 1) for component, _ in recipe))


def the_kit_alone(line: OrderLine, recipe: Recipe) -> list[OrderLine]:
    return expand(line, recipe)[-1:]


def the_components_alone(line: OrderLine, recipe: Recipe) -> list[OrderLine]:
    return expand(line, recipe)[: len(recipe) or 1]


@pytest.mark.slow
@pytest.mark.parametrize("plant", [one_unit_of_each, the_kit_alone, the_components_alone])
def test_a_kit_sold_wrongly_is_found(
    plant: Callable[[OrderLine, Recipe], list[OrderLine]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon.storage.orders, "expand", plant)
    assert run().failures


@pytest.mark.slow
def test_a_kit_rounded_up_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    makes = Kit.makes

    def generous(self: Kit, component: str) -> int | None:
        units = makes(self, component)
        return None if units is None else units + 1

    monkeypatch.setattr(Kit, "makes", generous)
    assert run().failures


def test_what_is_possible_is_never_rounded_up() -> None:
    recipe = (("A", 1), ("B", 2))
    assert [possible(recipe, {"A": 9, "B": units}) for units in (5, 4, 1, 0, -1, -2, -3)] == [2, 2, 0, 0, -1, -1, -2]
    assert possible(recipe, {"A": 9, "B": None}) is None
    assert possible(recipe, {"A": -4, "B": 9}) == -4

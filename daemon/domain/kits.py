"""Kits: a SKU that is sold as one and taken from the shelf as its components.

    available(kit) = min over its components of floor(available(component) / units in one kit)

A kit has no stock of its own. What a component has left reaches the kit as a message in the kit's own log,
absolute and newest wins, so that the kit's state is the fold of its own log and of nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import define, evolve, field, frozen

from daemon.domain.observations import QUANTITY_MAX, OrderLine, Recipe

UNITS_MAX = 10_000
"""Units of one component in one kit; more is a mistake."""

NO_KITS: Mapping[str, Recipe] = {}


@frozen
class Assemble:
    """From now on the SKU is a kit of these components; of none: it is a plain SKU again."""

    recipe: Recipe


@frozen
class ComponentLevel:
    """What a component has available as of event `seq` of the log; None while nobody has counted it.

    `stuck` says why that number may be too high: a fact about the component was put aside as a dead letter.
    """

    component: str
    available: int | None
    seq: int
    stuck: str = ""


@define
class Kit:
    """What a kit knows of its components."""

    recipe: Recipe
    levels: dict[str, ComponentLevel] = field(factory=dict)

    def learn(self, told: ComponentLevel) -> bool:
        """Take in what is told of a component; False where it is none of ours, older, or nothing new."""
        known = self.levels.get(told.component)
        if told.component not in dict(self.recipe) or told == known or (known is not None and told.seq < known.seq):
            return False
        self.levels[told.component] = told
        return True

    def makes(self, component: str) -> int | None:
        """Kits that this component is enough for, negative for debt; None while nobody has counted it."""
        level = self.levels.get(component)
        if level is None or level.available is None:
            return None
        # Floor division: two short of three a kit is one kit short, never none.
        return level.available // dict(self.recipe)[component]

    @property
    def available(self) -> int | None:
        """Kits that may be sold; negative where a component is owed; None while a component is uncounted."""
        each = [self.makes(component) for component, _ in self.recipe]
        known = [units for units in each if units is not None]
        return min(known) if len(known) == len(each) else None

    @property
    def unsure(self) -> bool:
        """Is a component uncounted, or its number perhaps too high? Then nothing may be raised."""
        return self.available is None or any(level.stuck for level in self.levels.values())

    def limits(self) -> list[str]:
        """The components that set the number; those nobody has counted while there is none."""
        available = self.available
        return [component for component, _ in self.recipe if self.makes(component) == available]


def assembled(recipe: Recipe, known: Kit | None) -> Kit | None:
    """The kit of a new recipe; what was known of components that stay is kept."""
    if not recipe:
        return None
    levels = known.levels if known is not None else {}
    return Kit(recipe, {name: levels[name] for name, _ in recipe if name in levels})


def expand(line: OrderLine, recipe: Recipe) -> list[OrderLine]:
    """What a line of a kit means: one line for each component, times its units, and the kit's own line, which takes
    no stock but moved the level of the kit's listing. A plain line stays as it is."""
    if not recipe:
        return [line]
    parts = [
        evolve(
            line, sku=component, kit=line.sku, recipe=recipe,
            ordered=_times(line.ordered, units), cancelled=_times(line.cancelled, units),
            restocked=_times(line.restocked, units), fulfilled=_times(line.fulfilled, units),
        )
        for component, units in recipe
    ]  # fmt: skip
    return [*parts, evolve(line, kit=line.sku, recipe=recipe)]


def _times(quantity: int, units: int) -> int:
    return min(quantity * units, QUANTITY_MAX)


def holders_of(kits: Mapping[str, Recipe]) -> dict[str, tuple[str, ...]]:
    """For each component the kits that hold it, in order."""
    found: dict[str, list[str]] = {}
    for kit, recipe in sorted(kits.items()):
        for component, _ in recipe:
            found.setdefault(component, []).append(kit)
    return {component: tuple(names) for component, names in found.items()}


def dump_kit(kit: Kit) -> tuple[object, ...]:
    """The kit as plain tuples in one canonical order."""
    return (
        kit.recipe,
        tuple((each.component, each.available, each.seq, each.stuck) for _, each in sorted(kit.levels.items())),
    )


def load_recipe(plain: list[tuple[str, int]]) -> Recipe:
    """A recipe as the codec gives it back."""
    return tuple((component, units) for component, units in plain)


def load_kit(plain: tuple[list[tuple[str, int]], list[tuple[str, int | None, int, str]]]) -> Kit:
    """The inverse of `dump_kit`. Raises `ValueError`/`TypeError` on anything else."""
    recipe, levels = plain
    return Kit(load_recipe(recipe), {each[0]: ComponentLevel(*each) for each in levels})

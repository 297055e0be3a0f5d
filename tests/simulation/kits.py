"""Kits in a simulated world: which there are, and what they should have."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

Recipes = Mapping[str, tuple[tuple[str, int], ...]]
"""For each kit its (component, units), sorted."""

NO_KITS: Recipes = {}


def drawn(seed: int, skus: Sequence[str]) -> Recipes:
    """No kits in most worlds; else up to three, which often share a component."""
    rng = random.Random(f"{seed}:kits")
    found = {}
    if rng.random() < 0.35:
        for number in range(1, rng.choice((1, 2, 3)) + 1):
            parts = rng.sample(skus[:4], k=min(len(skus), rng.choice((1, 2, 2, 3))))
            found[f"KIT-{number:02d}"] = tuple(sorted((part, rng.choice((1, 1, 2, 3))) for part in parts))
    return found


def shares(sku: str, kits: Recipes) -> tuple[tuple[str, int], ...]:
    """What a unit of the SKU takes from the shelf: (SKU, units)."""
    return kits.get(sku, ((sku, 1),))


def possible(recipe: tuple[tuple[str, int], ...], available: Mapping[str, int | None]) -> int | None:
    """So many kits the shelf gives, negative where a component is owed; None where one was never counted."""
    least: int | None = None
    for component, units in recipe:
        left = available.get(component)
        if left is None:
            return None
        whole = (abs(left) + (units - 1 if left < 0 else 0)) // units
        signed = -whole if left < 0 else whole
        least = signed if least is None else min(least, signed)
    return least


def scaled(line: Any, units: int) -> Any:
    """The line of a component, of which a kit holds so many: every quantity times that."""
    versions = [
        type(each)(
            each.number, each.at_us, each.own_us, each.ordered * units, each.cancelled * units,
            each.restocked * units, each.fulfilled * units, each.struck,
        )
        for each in line.versions
    ]  # fmt: skip
    return type(line)(line.channel, line.order, line.name, line.sku, versions)


def related(sku: str, kits: Recipes) -> list[str]:
    """The SKU, and those whose sales take units of it, or of what it is made of."""
    shelf = {part for part, _ in shares(sku, kits)}
    holders = {kit for kit, recipe in kits.items() if any(part in shelf for part, _ in recipe)}
    return sorted({sku} | holders | (shelf if sku in kits else set()))

"""A failing world made smaller, as long as it still breaks the same invariant."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import attrs

from tests.simulation.invariants import invariant_of
from tests.simulation.plan import Plan
from tests.simulation.world import World

NEVER_S = 1e9
SWITCHES: dict[str, Any] = {
    "operator_s": NEVER_S, "weather_s": NEVER_S, "crash_s": NEVER_S, "stretch": 1.0,
    "rush": 0.0, "bolts": 0.0, "stumbles": 0.0,
    "reforms": 0.0, "eio": 0.0, "tears": 0.0, "late": 0.0, "twins": 0.0, "drift_ppm": 0.0, "drops": False,
    "staff": False, "stalls": False, "early": False, "blind": False, "subscribes": False, "lies": False,
}  # fmt: skip
"""What can be switched off, one by one: people, weather, crashes, and each kind of fault."""

Changes = dict[str, Any]
"""What is different from the plan of the seed: a plan's field to its value; `skus` and `channels` are how many."""


def changed(plan: Plan, changes: Changes) -> Plan:
    """The plan with these changes. Raises `ValueError` for a field that there is not."""
    known = {each.name for each in attrs.fields(Plan)}
    if unknown := set(changes) - known:
        raise ValueError(f"a plan has no {', '.join(sorted(unknown))}")
    values = dict(changes)
    if "skus" in values:
        values["skus"] = plan.skus[: values["skus"]]
        values["hot"] = frozenset(plan.hot & set(values["skus"]))
    if "channels" in values:
        values["channels"] = plan.channels[: values["channels"]]
    for name in ("kinds", "oddities"):
        if name in values:
            values[name] = frozenset(values[name])
    return attrs.evolve(plan, **values)


@attrs.define
class Small:
    """The smallest world found: the hours to run it for, its changes, and what it fails."""

    seed: int
    hours: float
    changes: Changes
    failure: str
    tries: int = 0
    """Worlds run to find it."""


def fails(seed: int, hours: float, changes: Changes) -> str:
    """The first failure of this world; empty if it holds."""
    failures = World(seed, hours, changed(Plan.of(seed), changes)).run().failures
    return failures[0] if failures else ""


def shrink(
    seed: int, hours: float, failure: str, budget_s: float = 60.0, clock: Callable[[], float] = time.monotonic
) -> Small:
    """Try smaller worlds, always in the same order, until none fails or the time is over."""
    until = clock() + budget_s
    wanted = invariant_of(failure)
    small = Small(seed, hours, {}, failure)
    again = True
    while again:
        again = False
        for less_hours, changes in _smaller(Plan.of(seed), small):
            if clock() > until:
                return small
            small.tries += 1
            found = fails(seed, less_hours, changes)
            if found and invariant_of(found) == wanted:
                small.hours, small.changes, small.failure = less_hours, changes, found
                again = True
    return small


def _smaller(plan: Plan, small: Small) -> Iterator[tuple[float, Changes]]:
    """Worlds a little smaller than `small`, as it is when each is asked for: the greatest steps first."""
    yield small.hours / 8, small.changes
    yield small.hours / 2, small.changes
    yield small.hours, {**small.changes, "kinds": [], "oddities": []}
    yield small.hours, {**SWITCHES, **small.changes, **SWITCHES}
    for skus in (1, 2, 4):
        if skus < small.changes.get("skus", len(plan.skus)):
            yield small.hours, {**small.changes, "skus": skus}
    for channels in (1, 2):
        if channels < small.changes.get("channels", len(plan.channels)):
            yield small.hours, {**small.changes, "channels": channels}
    for name in ("kinds", "oddities"):
        for kind in sorted(small.changes.get(name, getattr(plan, name))):
            kinds = sorted(set(small.changes.get(name, getattr(plan, name))) - {kind})
            yield small.hours, {**small.changes, name: kinds}
    for name, off in SWITCHES.items():
        if small.changes.get(name, getattr(plan, name)) != off:
            yield small.hours, {**small.changes, name: off}

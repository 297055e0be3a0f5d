"""What was measured: named figures, each the values of several runs, as JSON and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import asdict, define, field, frozen

from tests.bench.stats import Figure, figure


@frozen
class Measured:
    """One figure with its unit and, in the order in which they were measured, its values."""

    unit: str
    values: tuple[float, ...]

    @property
    def figure(self) -> Figure:
        """Median and spread."""
        return figure(self.values)


@define
class Results:
    """All figures of one run of the bench. Names are dotted: scenario first."""

    machine: Mapping[str, Any]
    quick: bool
    begun: str
    figures: dict[str, Measured] = field(factory=dict)
    failures: dict[str, str] = field(factory=dict)
    """Scenarios that could not be measured to their end, and why."""

    def add(self, name: str, values: float | Sequence[float], unit: str) -> Figure:
        """Keep a figure; values of a name that is there already are added to it."""
        found = tuple(values) if isinstance(values, Sequence) else (values,)
        known = self.figures.get(name)
        self.figures[name] = Measured(unit, (known.values if known else ()) + found)
        return self.figures[name].figure

    def values(self, name: str) -> tuple[float, ...]:
        """The values of a figure, none where it was not measured."""
        known = self.figures.get(name)
        return known.values if known else ()

    def ratios(self, name: str, above: str, below: str) -> None:
        """Keep `above` divided by `below`, run by run: what was measured in the same minute is compared."""
        pairs = list(zip(self.values(above), self.values(below), strict=True))
        if pairs:
            self.add(name, [one / other for one, other in pairs], "x")

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "machine": dict(self.machine), "quick": self.quick, "begun": self.begun, "failures": self.failures,
            "figures": {
                name: {"unit": each.unit, "values": list(each.values), **asdict(each.figure)}
                for name, each in self.figures.items()
            },
        }  # fmt: skip


def from_json(plain: Mapping[str, Any]) -> Results:
    """The inverse of `as_json`."""
    figures = {name: Measured(each["unit"], tuple(each["values"])) for name, each in plain["figures"].items()}
    return Results(plain["machine"], plain["quick"], plain["begun"], figures, dict(plain["failures"]))


@define
class Bench:
    """What a scenario is given: where to work, how long, where to put what it found. `runs`: alternating rounds."""

    folder: Path
    results: Results
    runs: int
    quick: bool
    say: Callable[[str], None]
    minutes: float = 20
    """How long to soak."""

    def add(self, name: str, values: float | Sequence[float], unit: str) -> Figure:
        """Keep a figure, and say it."""
        kept = self.results.add(name, values, unit)
        spread = f"  ({shown(kept.low)} to {shown(kept.high)})" if kept.runs > 1 else ""
        self.say(f"  {name:<52} {shown(kept.median):>10} {unit}{spread}")
        return kept

    @property
    def rounds(self) -> int:
        """Of what is judged by limits, not by ratios within a round: no more than two in a quick run."""
        return min(self.runs, 2) if self.quick else self.runs

    def size(self, quick: int, full: int) -> int:
        """One number for a quick run, another for a full one."""
        return quick if self.quick else full


def shown(value: float) -> str:
    """A number with as many digits as mean something."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"

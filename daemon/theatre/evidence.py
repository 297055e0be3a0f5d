"""What an incident left behind: ledgers, answers from inside, notes of the scene; and the questions judges ask. Pure.

A system is judged by the storefronts' own ledgers first. What only it can say of itself (histories, dead letters,
alarms) is judged apart, and only where it has an inside that can be asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import define, field, frozen

Row = Mapping[str, Any]
"""One attempt at a level, as the ledger has it."""


@frozen
class Fact:
    """Units that came (+) or went (-), as a person told the system."""

    at_us: int
    sku: str
    units: int


@define
class Verdict:
    """What a judge found. `told`: what happened, in words · `figures`: the same for `--json`.

    No problems: it held. `unjudged`: what could not be looked at, and why.
    """

    told: list[str] = field(factory=list)
    figures: dict[str, Any] = field(factory=dict)
    problems: list[str] = field(factory=list)
    unjudged: list[str] = field(factory=list)

    def saw(self, sentence: str, **figures: Any) -> None:
        """Note what happened."""
        self.told.append(sentence)
        self.figures |= figures

    def demand(self, holds: object, otherwise: str) -> None:
        """What must hold; `otherwise` says what it means that it does not."""
        if not holds:
            self.problems.append(otherwise)


@define
class Evidence:
    """Everything a judge may look at.

    ledgers: by storefront, in the order of the stage · facts: told to the system · noted: moments (µs) and figures
    of the scene · inside: documents of the system about itself; None where it has no inside
    """

    ledgers: dict[str, Mapping[str, Any]]
    facts: list[Fact] = field(factory=list)
    noted: dict[str, Any] = field(factory=dict)
    inside: dict[str, Any] | None = None

    # -- what is true --

    def truth(self, sku: str, at_us: int | None = None) -> int:
        """What is left of it (at a moment; default: in the end), by the ledgers and what people told."""
        initial = next(ledger["skus"][sku]["initial"] for ledger in self.ledgers.values() if sku in ledger["skus"])
        moved = sum(units for when, units in self._movements(sku) if at_us is None or when <= at_us)
        return int(initial) + moved

    def _movements(self, sku: str) -> list[tuple[int, int]]:
        found = [(fact.at_us, fact.units) for fact in self.facts if fact.sku == sku]
        for ledger in self.ledgers.values():
            skus = {(order["id"], line["id"]): line["sku"] for order in ledger["orders"] for line in order["lines"]}
            for change in ledger["order_changes"]:
                sign = _sign(change)
                found += [
                    (change["at_us"], sign * units)
                    for line, units in change["lines"].items()
                    if skus[change["order"], line] == sku and sign
                ]
        return found

    # -- what was on show --

    def shown(self, sku: str) -> dict[str, int]:
        """What each storefront that lists it shows in the end."""
        return {name: each["skus"][sku]["quantity"] for name, each in self.ledgers.items() if sku in each["skus"]}

    def says(self, sku: str) -> str:
        """The same in words."""
        return in_words(self.shown(sku))

    def rows(self, store: str, sku: str) -> list[Row]:
        """Every attempt at its level there, in order; edits by the shop's own people are none."""
        ledger = self.ledgers[store]
        listing = ledger["skus"][sku]["listing"]
        return [row for row in ledger["levels"] if row["listing"] == listing and row["fault"] != "edit"]

    def written(self, store: str, sku: str) -> list[Row]:
        """The attempts that were applied, in order."""
        return [row for row in self.rows(store, sku) if row["applied"]]

    def moves(self, store: str, sku: str) -> list[int]:
        """The levels written there that changed what is on show, in order."""
        return [row["after"] for row in self.written(store, sku) if row["before"] != row["after"]]

    def steps(self, store: str, sku: str) -> list[tuple[int, int]]:
        """(µs, units on show from then on), sales and edits included."""
        ledger = self.ledgers[store]
        listing = ledger["skus"][sku]["listing"]
        skus = {(order["id"], line["id"]): line["sku"] for order in ledger["orders"] for line in order["lines"]}
        found: list[tuple[int, int | None, int]] = [
            (row["at_us"], row["after"], 0)
            for row in ledger["levels"]
            if row["listing"] == listing and row["applied"]
        ]
        for change in ledger["order_changes"]:
            moved = sum(
                _sign(change) * units for line, units in change["lines"].items() if skus[change["order"], line] == sku
            )
            if moved:
                found.append((change["at_us"], None, moved))
        level, steps = int(ledger["skus"][sku]["initial"]), []
        for at_us, absolute, moved in sorted(found, key=lambda step: step[0]):
            level = level + moved if absolute is None else absolute
            steps.append((at_us, level))
        return steps

    def shown_at(self, store: str, sku: str, at_us: int) -> int:
        """What the storefront showed at a moment."""
        before = [level for when, level in self.steps(store, sku) if when <= at_us]
        return before[-1] if before else int(self.ledgers[store]["skus"][sku]["initial"])

    def right_after_s(self, store: str, sku: str, since_us: int) -> float | None:
        """Seconds from a moment until the storefront showed what was left, and went on to; None if it never did.

        A sale elsewhere makes it wrong, so this is meant for the time after the last sale.
        """
        right_us: int | None = since_us if self._right(sku, self.shown_at(store, sku, since_us), since_us) else None
        for at_us, shown in self.steps(store, sku):
            if at_us > since_us and not self._right(sku, shown, at_us):
                right_us = None
            elif at_us > since_us and right_us is None:
                right_us = at_us
        return None if right_us is None else (right_us - since_us) / 1e6

    def _right(self, sku: str, shown: int, at_us: int) -> bool:
        return shown == max(0, self.truth(sku, at_us))

    # -- what was called and told --

    def calls(self, store: str, call: str, after_us: int = 0) -> list[Row]:
        """The system's calls of one kind there since a moment."""
        return [row for row in self.ledgers[store]["calls"] if row["call"] == call and row["at_us"] > after_us]

    def hooks(self, store: str, topic: str = "order.updated") -> list[Row]:
        """The storefront's messages on a topic, with every attempt at them."""
        return [row for row in self.ledgers[store]["webhooks"] if row["topic"] == topic]

    # -- inside --

    def own(self, *names: str) -> Any:
        """A document of the system about itself, or what lies in it under these names; None where it is not there."""
        found: Any = self.inside
        for name in names:
            found = found.get(name) if isinstance(found, Mapping) else None
        return found

    def listing(self, document: str, store: str) -> Mapping[str, Any]:
        """One listing in the system's own view of a SKU, kept as `document`."""
        listings: Sequence[Mapping[str, Any]] = self.own(document, "listings") or ()
        return next((each for each in listings if each["channel"] == store), {})


def _sign(change: Mapping[str, Any]) -> int:
    match change["kind"]:
        case "sold":
            return -1
        case "cancelled":
            return 1
        case "refunded":
            return 1 if change["restock"] else 0
        case _:
            return 0


# --- what most judges ask ------------------------------------------------------------------------------------


PROBLEMS_MAX: Final = 3
"""Wrong numbers named one by one; of the rest, how many they are."""


def right_in_the_end(evidence: Evidence, verdict: Verdict, *skus: str) -> None:
    """Every storefront shows what is left, and never less than nothing."""
    wrong: list[str] = []
    for sku in skus:
        left = evidence.truth(sku)
        astray = {store: units for store, units in evidence.shown(sku).items() if units != max(0, left)}
        if astray:
            wrong.append(f"{sku}: {left} are left, but {_each(astray)}")
        verdict.figures.setdefault("in_the_end", {})[sku] = {"left": left, "shown": evidence.shown(sku)}
    verdict.problems += wrong[:PROBLEMS_MAX]
    verdict.demand(len(wrong) <= PROBLEMS_MAX, f"{len(wrong)} SKUs are wrong in all")


def never_raised_over(evidence: Evidence, verdict: Verdict, sku: str, since_us: int) -> None:
    """No level written since then shows more than was left when it was written."""
    for store, ledger in evidence.ledgers.items():
        if sku not in ledger["skus"]:
            continue
        for row in evidence.written(store, sku):
            left = max(0, evidence.truth(sku, row["at_us"]))
            over = row["at_us"] >= since_us and row["after"] > left
            verdict.demand(not over, f"{store} was told to show {row['after']} of {sku} when {left} were left")


def within_s(verdict: Verdict, what: str, seconds: float | None, limit_s: float) -> None:
    """A time that must not be longer; None: it never came about."""
    if seconds is None:
        verdict.problems.append(f"{what} never came about")
    else:
        verdict.demand(seconds <= limit_s, f"{what} took {seconds:.1f} s; {limit_s:g} s are the limit")


def after(seconds: float | None) -> str:
    """The time in words."""
    return "never" if seconds is None else f"after {seconds:.1f} s"


def in_words(shown: Mapping[str, int]) -> str:
    """What storefronts show: 5 at market, 4 at outlet."""
    return ", ".join(f"{units} at {store}" for store, units in shown.items())


def _each(shown: Mapping[str, int]) -> str:
    return ", ".join(f"{store} shows {units}" for store, units in shown.items())

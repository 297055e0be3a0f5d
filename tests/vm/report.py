"""What the machine reported, as a table; a check of which nothing was heard has failed."""

from __future__ import annotations

import json
from collections.abc import Sequence

from attrs import define, field, frozen


@frozen
class Row:
    """One check: what was seen, and whether it holds."""

    check: str
    seen: str
    holds: bool
    seconds: float = 0.0


@define
class Report:
    """Takes the lines of the serial port as they come. `expected`: the names of all checks, in their order."""

    expected: Sequence[str]
    rows: dict[str, Row] = field(factory=dict)
    journal: list[str] = field(factory=list)
    noise: list[str] = field(factory=list)
    """Lines that are no part of a report, such as an error of the checks themselves."""

    def hear(self, line: str) -> Row | None:
        """Take one line; the row, if it is one."""
        try:
            document = json.loads(line)
        except ValueError:
            document = None
        match document:
            case {
                "check": str(check),
                "seen": str(seen),
                "holds": bool(holds),
                "seconds": float() | int() as seconds,
            }:
                self.rows[check] = Row(check, seen, holds, float(seconds))
                return self.rows[check]
            case {"journal": str(text)}:
                self.journal.append(text)
            case _ if line:
                self.noise.append(line)
        return None

    def complete(self) -> list[Row]:
        """A row for every check that was expected, and for any other that was heard of."""
        missing = "nothing was heard of it"
        rows = [self.rows.get(name) or Row(name, missing, holds=False) for name in self.expected]
        return rows + [Row(each.check, f"unknown check: {each.seen}", holds=False) for each in self._unknown()]

    def holds(self) -> bool:
        """Does every check hold?"""
        return all(row.holds for row in self.complete())

    def _unknown(self) -> list[Row]:
        return [row for name, row in self.rows.items() if name not in self.expected]


def table(rows: Sequence[Row]) -> str:
    """check, seen, verdict: one line each."""
    shown = [("check", "s", "verdict", "seen")]
    shown += [
        (row.check, f"{row.seconds:.1f}", "holds" if row.holds else "FAILS", " ".join(row.seen.split()))
        for row in rows
    ]
    widths = [max(len(line[column]) for line in shown) for column in range(3)]
    return "\n".join(
        f"{check:{widths[0]}}  {seconds:>{widths[1]}}  {verdict:{widths[2]}}  {seen}"
        for check, seconds, verdict, seen in shown
    )

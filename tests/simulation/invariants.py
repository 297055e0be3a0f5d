"""The invariants, by name: what fails says which of them is broken. I0 is that the daemon runs at all."""

from __future__ import annotations

import re
from typing import Final

TEXTS: Final = {
    "I0": "the daemon runs until it is told to stop",
    "I1": "any order of the same observations gives the same state",
    "I2": "what is told twice counts once",
    "I3": "nothing acknowledged is lost",
    "I4": "units are conserved",
    "I5": "no raise over an unseen sale",
    "I6": "one push at a time, read when sent, settled by its own answer",
    "I7": "listings converge to what they should show",
    "I8": "unknown, held and zero are different things",
    "I9": "a poison observation stops nobody and is not lost",
    "I10": "the state is the fold of the log",
    "I11": "everything is bounded",
    "I12": "strangers write nothing",
}

_NAMED: Final = re.compile(r"\b(I\d+) ")


def broken(invariant: str, what: str) -> str:
    """The sentence for a failure."""
    return f"{invariant} {TEXTS[invariant]}: {what}"


def invariant_of(failure: str) -> str:
    """The invariant that a failure names; "I0" where it names none."""
    found = _NAMED.search(failure)
    return found.group(1) if found else "I0"

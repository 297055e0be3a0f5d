"""What concerns channels in shadow, as tables and sentences."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from rich.console import Group

from daemon.cli.tables import clock, sentences, table

ROWS_SHOWN: Final = 40
"""Lines of a report; --json has them all."""

_WORDS: Final = {"under_way": "is being written", "unlisted": "not linked any more", "same": "", "differs": ""}


def priors(document: Any) -> Group:
    """`onhand channels rollback`."""
    name, kept = document["channel"], document["kept"]
    states = Counter(each["state"] for each in document["listings"])
    rows = [each for each in document["listings"] if each["state"] != "same"]
    said = (
        f"{name} showed at {clock(kept['at'])}, before it went live: {kept['listings']} listings; "
        f"{states['same']} show the same now, {states['differs'] + states['under_way']} differ, "
        f"{states['stopped']} are stopped, {states['unlisted']} are not linked any more"
    )
    lines = [said]
    if document["mode"] == "rollback":
        lines.append(f"{name} is being rolled back: {states['under_way']} left")
    elif document["mode"] == "shadow":
        lines.append(f"{name} is in shadow: nothing is written there")
    parts: list[Any] = [sentences(lines)]
    if rows:
        parts += ["", table(("listing", "sku", "#shows", "#before", "#change", ""), map(_prior, rows[:ROWS_SHOWN]))]
    if len(rows) > ROWS_SHOWN:
        parts.append(sentences([f"and {len(rows) - ROWS_SHOWN} more: see --json"]))
    return Group(*parts)


def _prior(each: Any) -> tuple[object, ...]:
    change = None if each["change"] is None else f"{each['change']:+d}"
    word = _WORDS.get(each["state"], each["state"])
    return each["listing"], each["sku"], each["shows"], each["prior"], change, word

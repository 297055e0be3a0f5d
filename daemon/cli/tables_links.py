"""Links as tables and sentences."""

from __future__ import annotations

from typing import Any, Final

from rich.console import Group
from rich.table import Table

from daemon.cli.tables import sentences, table

ROWS_SHOWN: Final = 40
"""Lines of a report; --json has them all."""

_SAID: Final = {
    "same": "nothing changed: {listing} of {channel} is {then} already",
    "linked": "{listing} of {channel} is {then} now; it is read before anything is pushed to it",
    "changed": "{listing} of {channel} was {now} and is {then} now; it is read before anything is pushed to it",
    "unlinked": "{listing} of {channel} was {now} and is no SKU any more: nothing is pushed to it",
}


def links(document: Any) -> Table:
    """`onhand links`."""
    rows = (
        (each["channel"], each["listing"], each["sku"], each["by"] or "equal SKU", each["title"])
        for each in document["links"]
    )
    return table(("channel", "listing", "sku", "because of", "title"), rows)


def problems(document: Any) -> Group:
    """`onhand links --problems`."""
    found = document["links"]
    if not found:
        return Group(sentences(["every listing has its SKU, and none is ambiguous"]))
    rows = (
        (each["channel"], each["listing"], each["sku"], each["problem"].replace("_", " "), each["about"])
        for each in found
    )
    parts: list[Any] = [table(("channel", "listing", "sku", "problem", "what is known"), rows), ""]
    total = len(found) + document["left_out"]
    parts.append(
        sentences([f"{total} listings: `onhand links set CHANNEL LISTING SKU` (or unset) says what each is"])
    )
    return Group(*parts)


def said(document: Any) -> Any:
    """`onhand links set` and `unset`."""
    return sentences(_sentence(row) for row in document["rows"])


def _sentence(row: Any) -> str:
    return _SAID[row["state"]].format(**(row | {"then": row["then"] or "no SKU"}))


def imported(document: Any) -> Group:
    """`onhand import` of a file of links."""
    states, rows = document["states"], document["differences"]
    words = (("linked", "are linked anew"), ("changed", "change"), ("unlinked", "are unlinked"))
    said_of = [f"{states[state]} {word}" for state, word in words if states[state]]
    head = f"{document['file']}: {document['rows']} links; {', '.join(said_of) or 'no difference'}"
    parts: list[Any] = [sentences([f"{head}; {document['told']} said" if document["applied"] else head])]
    if rows:
        columns = ("#line", "channel", "listing", "now", "then", "what")
        shown = (
            (each["line"], each["channel"], each["listing"], each["now"], each["then"], each["state"])
            for each in rows[:ROWS_SHOWN]
        )
        parts += ["", table(columns, shown)]
    if len(rows) > ROWS_SHOWN:
        parts.append(sentences([f"and {len(rows) - ROWS_SHOWN} more: see --json"]))
    if rows and not document["applied"]:
        parts += ["", sentences(["nothing is said yet: add --apply to say it"])]
    return Group(*parts)

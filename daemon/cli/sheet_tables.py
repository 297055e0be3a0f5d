"""What came of a file of counts, as tables and sentences."""

from __future__ import annotations

from typing import Any, Final

from rich.console import Group
from rich.table import Table

from daemon.cli.tables import clock, sentences, shown, table

ROWS_SHOWN: Final = 40
"""Lines of a report; --json has them all."""

_WORDS: Final = {
    "new": "a new SKU", "first": "first count there", "changed": "", "same": "", "applied": "told before",
    "superseded": "not taken",
}  # fmt: skip


def imported(document: Any) -> Group:
    """`onhand import`."""
    rows = document["differences"]
    parts: list[Any] = [sentences([_summary(document)])]
    if rows:
        parts += ["", _differences(rows[:ROWS_SHOWN])]
    if more := len(rows) + document["differences_left_out"] - ROWS_SHOWN:
        parts += [sentences([f"and {more} more: see --json"])] if more > 0 else []
    if document["repeated"]:
        parts += ["", sentences(_repeated(document))]
    states = document["states"]
    if not document["applied"] and states["new"] + states["first"] + states["changed"]:
        parts += ["", sentences(["nothing is told yet: add --apply to tell it"])]
    return Group(*parts)


def _summary(document: Any) -> str:
    states = document["states"]
    counted = document["rows"] - document["without_quantity"]
    said = [
        f"{states[state]} {words}"
        for state, words in (
            ("changed", "differ"), ("new", "are new"), ("first", "are counted there for the first time"),
            ("applied", "were told before"), ("superseded", "are older than the count in force"),
        )
        if states[state]
    ]  # fmt: skip
    head = f"{document['file']}: {counted} counts"
    if document["without_quantity"]:
        head += f", {document['without_quantity']} lines without a quantity"
    head += f"; {', '.join(said)}" if said else "; no difference"
    return f"{head}; {document['told']} told" if document["applied"] else head


def _differences(rows: list[Any]) -> Table:
    return table(
        ("#line", "sku", "location", "kind", "#now", "#then", "#change", "#available", "what"),
        (
            (
                each["line"], each["sku"], each["location"], each["kind"].replace("_", " "),
                each["now"], each["then"], _signed(each["change"]), _moved(each), _what(each),
            )
            for each in rows
        ),
    )  # fmt: skip


def _signed(units: int | None) -> str | None:
    return None if units is None else f"{units:+d}" if units else "0"


def _moved(each: Any) -> str:
    now, then = each["available_now"], each["available_then"]
    return shown(now) if now == then else f"{shown(now)} -> {shown(then)}"


def _what(each: Any) -> str:
    if each["state"] == "applied":
        return f"told before, {clock(each['applied_at'])}"
    return "; ".join(filter(None, (_WORDS[each["state"]], each["note"])))


def exported(document: Any) -> Group:
    """`onhand export`."""
    lines = [f"{document['file']}: {document['rows']} lines, {document['skus']} SKUs"]
    if document["to_count"]:
        lines.append(f"{document['to_count']} of them without a quantity: a person has to count them")
    return Group(sentences([*lines, *_repeated(document)]))


def exported_links(document: Any) -> Group:
    """`onhand export --links`."""
    lines = [f"{document['file']}: {document['links']} listings"]
    if document["without_sku"]:
        lines.append(f"{document['without_sku']} of them without a SKU: a person has to link them")
    return Group(sentences(lines))


def _repeated(document: Any) -> list[str]:
    found = document["repeated"]
    lines = [f"{each['sku']}: several listings at {each['channel']} share it" for each in found[:ROWS_SHOWN]]
    return lines + ([f"and {len(found) - ROWS_SHOWN} more: see --json"] if len(found) > ROWS_SHOWN else [])

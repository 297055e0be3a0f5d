"""What a replay would change, or did, as tables and sentences."""

from __future__ import annotations

from typing import Any, Final

from rich.console import Group

from daemon.cli.tables import clock, sentences, shown, table

ROWS_SHOWN: Final = 40
"""Lines of each part of a report; --json has more."""


def replayed(document: Any) -> Group:
    """`onhand replay`."""
    head = f"{document['deliveries']} kept deliveries read; {document['different']} read differently than before"
    said = f"{head}, {document['understood']} of them are understood now; {document['puzzles']} are not understood"
    parts: list[Any] = [sentences([said, *_besides(document)])]
    if document["skus"]:
        rows = ((each["sku"], _moved(each), each["facts"]) for each in document["skus"][:ROWS_SHOWN])
        parts += ["", table(("sku", "#available", "#facts"), rows)]
    parts += _more(len(document["skus"]) + document["skus_left_out"], "SKUs")
    if document["changed"]:
        rows_changed = (
            (each["delivery"], clock(each["received"]), each["channel"], each["topic"], each["how"])
            for each in document["changed"][:ROWS_SHOWN]
        )
        parts += ["", table(("#delivery", "received", "channel", "topic", "what"), rows_changed)]
    parts += _more(len(document["changed"]) + document["changed_left_out"], "deliveries")
    if document["not_understood"]:
        rows_puzzled = (
            (each["count"], each["channel"], each["reason"], each["delivery"])
            for each in document["not_understood"][:ROWS_SHOWN]
        )
        parts += ["", table(("#times", "channel", "not understood, because", "#first delivery"), rows_puzzled)]
    return Group(*parts, "", sentences([_end(document)]))


def _besides(document: Any) -> list[str]:
    said = (
        (document["unlinked"], "order lines are of no known SKU: see `onhand dead-letters`"),
        (document["too_old"], "facts are older than what has been settled and are not told: count these SKUs"),
        (document["to_fetch"], "orders are only named and not known: they are fetched when it is applied"),
        (document["strangers"], "deliveries are of channels that are not configured any more"),
    )
    return [f"{count} {words}" for count, words in said if count]


def _moved(each: Any) -> str:
    now, then = shown(each["now"]), shown(each["then"])
    return now if now == then else f"{now} -> {then}"


def _more(count: int, what: str) -> list[Any]:
    return [sentences([f"and {count - ROWS_SHOWN} more {what}: see --json"])] if count > ROWS_SHOWN else []


def _end(document: Any) -> str:
    if not document["complete"]:
        return "too much would change to be tried at once, and nothing was told: narrow it with --since and --until"
    if document["applied"]:
        return f"{document['told']} facts were news and are told"
    news = document["different"] or document["to_fetch"]
    return "nothing is told yet: add --apply to tell it" if news else "nothing would change"

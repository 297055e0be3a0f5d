"""Dead letters by cause, and what came of working on them, as tables and sentences."""

from __future__ import annotations

from typing import Any, Final

from rich import console

from daemon.cli.letter_groups import Group
from daemon.cli.tables import clock, sentences, shown, table

RESULTS_SHOWN: Final = 40
"""Of more letters only those are named that are not done."""


def groups(found: list[Group]) -> console.Group:
    """`onhand dead-letters` on a terminal."""
    if not found:
        return console.Group(sentences(["there are no dead letters"]))
    rows = (
        (
            each.count, each.kind, each.channel, each.cause, each.shown_skus(), clock(each.oldest),
            clock(each.newest), each.shown_ids(), each.next_action,
        )
        for each in found
    )  # fmt: skip
    total = sum(each.count for each in found)
    return console.Group(
        table(("#how many", "kind", "channel", "cause", "skus", "oldest", "newest", "ids", "what to do"), rows),
        "",
        sentences([f"{total} dead letters of {len(found)} causes; `onhand dead-letters list --each` names each"]),
    )


def summary(found: list[Group]) -> str:
    """What is about to be given up, a line a cause."""
    lines = (f"{each.count} {each.kind} at {each.channel or 'no channel'}: {each.cause}" for each in found)
    return "\n".join(map(shown, lines))


def worked(document: Any) -> Any:
    """`onhand dead-letters retry` and `discard`."""
    results, counted = document["results"], document["summary"]
    if not results:
        return sentences(["there are no dead letters"])
    named = results if len(results) <= RESULTS_SHOWN else [each for each in results if each["still_there"]]
    lines = [f"{each['id']}: {each['result']}" for each in named[:RESULTS_SHOWN]]
    if len(named) > RESULTS_SHOWN:
        lines.append(f"and {len(named) - RESULTS_SHOWN} more: see --json")
    if len(results) > 1:
        said = f"{len(results)} letters: {counted['done']} done, {counted['stay']} stay"
        lines.append(said + (f", {counted['refused']} refused" if counted["refused"] else ""))
    return sentences(lines)

"""Commands around drift: what showed another level than ours and why, and what to make of a channel that is held."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click
from rich.console import Group

from daemon.cli import tables
from daemon.cli.client import PATIENT_S
from daemon.cli.session import channel, channel_option, client, show, talks


@click.group(invoke_without_command=True)
@channel_option
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@talks
@click.pass_context
def drift(context: click.Context, limit: int) -> None:
    """Listings that showed what they should not, and why.

    The likely causes, and what was done.
    """
    if context.invoked_subcommand is None:
        show(client().get("drift", channel=channel(), limit=limit), _render)


@drift.command()
@click.argument("name", metavar="CHANNEL")
@talks
def accept(name: str) -> None:
    """What a held channel shows is right: take its numbers for facts, so that all channels follow."""
    show(client().post("channels", name, "drift", "accept", timeout_s=PATIENT_S), _decided)


@drift.command()
@click.argument("name", metavar="CHANNEL")
@talks
def refuse(name: str) -> None:
    """What a held channel shows is wrong: push our levels over it."""
    show(client().post("channels", name, "drift", "refuse", timeout_s=PATIENT_S), _decided)


def _decided(document: Any) -> object:
    return tables.sentences([f"{document['channel']}, {document['decided']}: {document['note']}"])


def _render(document: Any) -> Group:
    parts: list[Any] = [tables.sentences(line for each in document["channels"] for line in _channel(each))]
    if document["drifts"]:
        parts.append("")
    parts += [tables.sentences(_drift(each)) for each in document["drifts"]]
    return Group(*parts)


def _channel(each: Any) -> Iterator[str]:
    totals = sorted(each["totals"].items(), key=lambda total: (-total[1], total[0]))
    said = ", ".join(f"{times} {cause}" for cause, times in totals) or "no drift found"
    yield f"{each['channel']} ({each['rule']}): {said}"
    days = list(each["days"].items())[:7]
    if days:
        yield "  by day: " + ", ".join(f"{day} {sum(counts.values())}" for day, counts in days)
    if each["held"]:
        name = each["channel"]
        since = tables.clock(each["held"]["since"])
        yield f"  HELD since {since}: {each['held']['sentence']}; nothing of it is taken"
        yield f"  is it right? `onhand drift accept {name}`; a mistake? `onhand drift refuse {name}`"


def _drift(each: Any) -> Iterator[str]:
    seen = each["first_shown"] if each["done"] == "resolved" else each["shown"]
    yield (
        f"{tables.clock(each['at'])} {each['sku']} at {each['channel']} ({each['listing']}): "
        f"showed {seen}, should show {each['expected']}"
    )
    for rank, cause in enumerate(each["causes"], 1):
        yield f"  {rank}. {cause['cause']} ({cause['score']:.2f}): {cause['because']}"
    yield f"  done: {each['what_was_done']}"

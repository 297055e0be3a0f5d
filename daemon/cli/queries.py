"""Commands that ask and change nothing."""

from __future__ import annotations

import json
import shlex

import click

from daemon.admin.moments import FORMS, LAST_US, BadMomentError, moment_us
from daemon.cli import tables
from daemon.cli.client import BrokenOffError
from daemon.cli.session import SKU, as_json, client, show, talks


def _moment(_: click.Context, __: click.Parameter, text: str) -> str:
    """Wrong usage is said before anybody is asked; whether it is still to come, the daemon's clock says."""
    try:
        moment_us(text or "now", LAST_US)
    except BadMomentError as error:
        raise click.BadParameter(f"{error}: {FORMS}") from None
    return text


AT = click.option(
    "--at", default="", metavar="TIME", callback=_moment,
    help="As it was then: 2026-01-31T14:05:00Z, 2026-01-31 (its first moment), 14:05 (today; UTC) or '2h ago'.",
)  # fmt: skip


@click.command()
@talks
def status() -> None:
    """Health, lag and queue depths; alarms, and what to do."""
    show(client().get("status"), tables.status)


@click.command()
@click.argument("sku", type=SKU)
@AT
@talks
def sku(sku: str, at: str) -> None:
    """A SKU's stock and what its listings show, now or then."""
    show(client().get("skus", sku, at=at), tables.sku)


@click.command()
@click.option("--prefix", default="", help="Only SKUs that begin so.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@click.option("--cursor", default="", help="Go on behind this SKU.")
@talks
def skus(prefix: str, limit: int, cursor: str) -> None:
    """The known SKUs, in order."""
    document = client().get("skus", prefix=prefix, limit=limit, cursor=cursor)
    show(document, tables.skus)
    if document["next"] is not None and not as_json():
        click.echo(f"there are more: add --cursor {document['next']!r}", err=True)


@click.command()
@click.argument("sku", type=SKU)
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@click.option("--before", type=click.IntRange(1), help="Only events before this sequence number.")
@talks
def history(sku: str, limit: int, before: int | None) -> None:
    """What changed a SKU, from what to what, and why.

    Its audit trail, newest first.
    """
    show(client().get("skus", sku, "history", limit=limit, before=before), tables.history)


@click.command()
@click.argument("sku", type=SKU)
@click.option("--channel", default="", help="Only the listings of this channel.")
@AT
@talks
def explain(sku: str, channel: str, at: str) -> None:
    """Why listings show, or showed, what they do."""
    show(client().get("skus", sku, "explain", channel=channel, at=at), tables.explain)


@click.command()
@click.option("--after", type=click.IntRange(0), default=0, help="Only events after this sequence number.")
@click.option("--follow", is_flag=True, help="Stay, and print events as they happen.")
@click.option("--sku", type=SKU, help="Only events of this SKU.")
@talks
def events(after: int, follow: bool, sku: str | None) -> None:
    """The event log, one line an event.

    With --json one JSON document a line.
    """
    try:
        for event in client().lines("events", follow=follow, after=after, sku=sku):
            after = event["seq"]
            click.echo(json.dumps(event, ensure_ascii=False) if as_json() else tables.event_line(event))
    except BrokenOffError:
        options = (" --follow" if follow else "") + (f" --sku {shlex.quote(sku)}" if sku else "")
        raise BrokenOffError(
            f"the events broke off behind {after}: the daemon ended, or this reader took nothing for so long that it "
            f"was cut off; the log has them all, so go on with `onhand events{options} --after {after}`"
        ) from None

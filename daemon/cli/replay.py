"""`onhand replay`: kept deliveries read once more, by the adapters as they are now."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from daemon.cli import pace, tables_replay
from daemon.cli.client import PATIENT_S, NoDaemonError, RefusedError
from daemon.cli.session import channel, channel_option, client, show, talks
from daemon.domain.count_sheet import counted_span


def _moment(_: click.Context, __: click.Parameter, text: str) -> str:
    if text and counted_span(text) is None:
        raise click.BadParameter(f"{text!r} is no moment with its time zone, write it like 2026-01-31T14:05Z")
    return text


@click.command()
@channel_option
@click.option(
    "--since", default="", metavar="TIME", callback=_moment,
    help="Received at that moment or later, like 2026-01-31T14:05Z.",
)  # fmt: skip
@click.option("--until", default="", metavar="TIME", callback=_moment, help="Received before that.")
@click.option("--apply", is_flag=True, help="Tell what is new. Without it only the difference is shown.")
@talks
def replay(since: str, until: str, apply: bool) -> int:
    """Read kept webhooks once more, after a fix.

    The bodies that were kept are read by the adapters as they are now, first into a copy of the books: what would be
    available of each SKU, which deliveries read differently, what is not understood yet. With --apply the facts that
    are new are told. What is known counts once, so applying again changes nothing. Levels are not told again, nor is
    what is older than what has been settled.
    """
    body = {"channel": channel(), "since": since, "until": until, "apply": apply}
    with _watched():
        document = client().post("replay", body=body, timeout_s=PATIENT_S)
    show(document, tables_replay.replayed)
    return 0 if document["complete"] else 1


@contextmanager
def _watched() -> Iterator[None]:
    """On a terminal, say every few seconds how far it is."""
    if not sys.stderr.isatty():
        yield
        return
    here = client()
    with pace.meanwhile(lambda: _say(here), every_s=2.0):
        yield
    click.echo("\r\x1b[K", nl=False, err=True)


def _say(here: Any) -> None:
    try:
        now = here.get("replay")
    except (NoDaemonError, RefusedError):
        return  # whoever waits for the replay itself says so
    if now["doing"]:
        click.echo(f"\r\x1b[K{now['doing']}: delivery {now['reached']:,} of {now['of']:,}", nl=False, err=True)

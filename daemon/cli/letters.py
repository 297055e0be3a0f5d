"""Commands around dead letters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import click

from daemon.cli import tables
from daemon.cli.client import RefusedError
from daemon.cli.session import channel, channel_option, client, show, talks

ID = click.IntRange(1, 10**18 - 1)


@click.group("dead-letters", invoke_without_command=True)
@channel_option
@talks
@click.pass_context
def dead_letters(context: click.Context) -> None:
    """What could not be applied or pushed, and why.

    List, show, retry or discard it.
    """
    if context.invoked_subcommand is None:
        _list()


@dead_letters.command("list")
@channel_option
@talks
def list_letters() -> None:
    """All letters, oldest first."""
    _list()


def _list() -> None:
    show({"dead_letters": list(_letters())}, tables.letters)


def _letters() -> Iterator[Any]:
    after = 0
    while True:
        page = client().get("dead-letters", after=after, limit=1000, channel=channel())
        yield from page["dead_letters"]
        if page["next"] is None:
            return
        after = page["next"]


@dead_letters.command("show")
@click.argument("letter", type=ID, metavar="ID")
@talks
def show_letter(letter: int) -> None:
    """One letter with what it holds and what to do about it."""
    show(client().get("dead-letters", str(letter)), tables.letter)


def _which(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--dry-run", is_flag=True, help="Only show which letters it would be."),
        click.option("--all", "everything", is_flag=True, help="Every letter (of --channel)."),
        click.argument("letters", type=ID, nargs=-1, metavar="ID..."),
        channel_option,
        talks,
    ):
        command = option(command)
    return command


@dead_letters.command()
@_which
def retry(letters: tuple[int, ...], everything: bool, dry_run: bool) -> int:
    """Apply letters again; those that fail again stay."""
    return _work("retry", letters, everything=everything, dry_run=dry_run)


@dead_letters.command()
@_which
def discard(letters: tuple[int, ...], everything: bool, dry_run: bool) -> int:
    """Give letters up for good."""
    return _work("discard", letters, everything=everything, dry_run=dry_run)


def _work(command: str, letters: tuple[int, ...], *, everything: bool, dry_run: bool) -> int:
    if bool(letters) == everything:
        raise click.UsageError("name the letters by their ids, or say --all")
    if dry_run:
        wanted = [each for each in _letters() if everything or each["id"] in letters]
        show({"dead_letters": wanted}, tables.letters)
        return 0
    # Which letters there are is read before the first one is worked on: a letter that fails again may come back
    # under a new number.
    results = [_one(command, letter) for letter in letters or [each["id"] for each in _letters()]]
    show({"results": results}, _said)
    return int(any(each["still_there"] or each["refused"] for each in results))


def _one(command: str, letter: int) -> Any:
    try:
        return client().post("dead-letters", str(letter), command) | {"refused": None}
    except RefusedError as error:
        return {"id": letter, "result": str(error), "still_there": error.status != 404, "refused": error.code}


def _said(document: Any) -> object:
    results = document["results"]
    return tables.sentences([f"{each['id']}: {each['result']}" for each in results] or ["there are no dead letters"])

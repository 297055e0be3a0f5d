"""Commands around dead letters."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

import click

from daemon.cli import letter_groups, tables, tables_letters
from daemon.cli.client import RefusedError
from daemon.cli.letter_groups import Wanted
from daemon.cli.pace import Pace
from daemon.cli.session import SKU, as_json, channel, channel_option, client, confirm, show, talks

ID = click.IntRange(1, 10**18 - 1)
KINDS: Final = ("puzzle", "unlinked", "late", "poison", "push")
RATE: Final = 20.0
"""Letters a second, unless `--rate` says otherwise: each may be a push or a fetch at its channel."""
BAR_FROM: Final = 20
"""So many letters are worked on with a bar that shows how far it is."""


def _filters(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--cause", default="", metavar="TEXT", help="Those with this in their cause."),
        click.option("--sku", type=SKU, default=None, help="Those of this SKU."),
        click.option("--kind", type=click.Choice(KINDS), default=None, help="Those of this kind."),
        channel_option,
        talks,
    ):
        command = option(command)
    return command


def _listed(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--by-cause/--each", default=None, help="Grouped by cause, as on a terminal; or one line each, as elsewhere."
    )(_filters(command))


def _wanted(kind: str | None, sku: str | None, cause: str) -> Wanted:
    return Wanted(channel(), kind or "", sku or "", cause)


@click.group("dead-letters", invoke_without_command=True)
@_listed
@click.pass_context
def dead_letters(
    context: click.Context, kind: str | None, sku: str | None, cause: str, by_cause: bool | None
) -> None:  # fmt: skip
    """What could not be applied or pushed: list, show, retry."""
    if context.invoked_subcommand is None:
        _list(_wanted(kind, sku, cause), by_cause=by_cause)
    elif kind or sku or cause:
        raise click.UsageError(f"write --kind, --sku and --cause behind {context.invoked_subcommand}")


@dead_letters.command("list")
@_listed
def list_letters(kind: str | None, sku: str | None, cause: str, by_cause: bool | None) -> None:
    """All letters: by cause with what to do, or each, oldest first."""
    _list(_wanted(kind, sku, cause), by_cause=by_cause)


def _list(wanted: Wanted, *, by_cause: bool | None) -> None:
    found = [each for each in _letters() if wanted.takes(each)]
    if by_cause or (by_cause is None and sys.stdout.isatty()):
        show({"dead_letters": found}, lambda it: tables_letters.groups(letter_groups.grouped(it["dead_letters"])))
    else:
        show({"dead_letters": found}, tables.letters)


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


# --- working on them ---------------------------------------------------------------------------------------------


def _which(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--dry-run", is_flag=True, help="Only show which letters it would be."),
        click.option("--all", "everything", is_flag=True, help="Every letter."),
        click.option(
            "--rate", type=click.FloatRange(0.01, 1000), default=RATE, show_default=True, metavar="N",
            help="At most N letters a second.",
        ),
        click.argument("letters", type=ID, nargs=-1, metavar="ID..."),
        _filters,
    ):  # fmt: skip
        command = option(command)
    return command


@dead_letters.command()
@_which
def retry(
    letters: tuple[int, ...], kind: str | None, sku: str | None, cause: str, everything: bool, dry_run: bool,
    rate: float,
) -> int:  # fmt: skip
    """Apply letters again; those that fail again stay."""
    chosen = _chosen(letters, _wanted(kind, sku, cause), everything=everything)
    if dry_run:
        return _only_shown(chosen, letters)
    return _work("retry", _ids(chosen, letters), rate)


@dead_letters.command()
@_which
@click.option("--yes", is_flag=True, help="Do not ask before many are given up.")
def discard(
    letters: tuple[int, ...], kind: str | None, sku: str | None, cause: str, everything: bool, dry_run: bool,
    rate: float, yes: bool,
) -> int:  # fmt: skip
    """Give letters up for good."""
    chosen = _chosen(letters, _wanted(kind, sku, cause), everything=everything)
    if dry_run:
        return _only_shown(chosen, letters)
    ids = _ids(chosen, letters)
    if len(ids) > 1:
        if not as_json() and not yes:
            click.echo(tables_letters.summary(letter_groups.grouped(chosen)), err=True)
        confirm(f"give {len(ids)} dead letters up for good?", yes=yes)
    return _work("discard", ids, rate)


def _chosen(letters: tuple[int, ...], wanted: Wanted, *, everything: bool) -> list[Any]:
    """The letters that are meant, as they are now: one that fails again may come back under a new number. Those
    named by their ids need not be there."""
    given = [bool(letters), everything or bool(wanted)]
    if given.count(True) != 1:
        raise click.UsageError(
            "name the letters by their ids, or say --all, or choose them by --channel, --kind, --sku or --cause"
        )
    if not letters:
        return [each for each in _letters() if wanted.takes(each)]
    return [each for each in _letters() if each["id"] in letters]


def _ids(chosen: list[Any], letters: tuple[int, ...]) -> list[int]:
    return list(dict.fromkeys(letters)) or [each["id"] for each in chosen]


def _only_shown(chosen: list[Any], letters: tuple[int, ...]) -> int:
    show({"dead_letters": chosen}, tables.letters)
    missing = set(letters) - {each["id"] for each in chosen}
    if missing:
        click.echo(f"there is no dead letter {', '.join(map(str, sorted(missing)))}", err=True)
    return int(bool(missing))


def _work(command: str, ids: list[int], rate: float) -> int:
    pace, results = Pace(rate), []
    hidden = len(ids) < BAR_FROM or not sys.stderr.isatty()
    with click.progressbar(ids, label=command, file=sys.stderr, hidden=hidden) as bar:
        for letter in bar:
            pace.wait()
            results.append(_one(command, letter))
    counted = Counter(_came_to(each) for each in results)
    summary = {word: counted[word] for word in ("done", "stay", "refused")}
    show({"results": results, "summary": summary}, tables_letters.worked)
    return int(any(each["still_there"] or each["refused"] for each in results))


def _came_to(result: Any) -> str:
    return "refused" if result["refused"] else "stay" if result["still_there"] else "done"


def _one(command: str, letter: int) -> Any:
    try:
        return client().post("dead-letters", str(letter), command) | {"refused": None}
    except RefusedError as error:
        return {"id": letter, "result": str(error), "still_there": error.status != 404, "refused": error.code}

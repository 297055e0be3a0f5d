"""Links on the command line: which SKU each listing is, what only a person can decide, and files of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click

from daemon.cli import tables_links
from daemon.cli.session import SKU, as_json, channel, channel_option, client, show, talks
from daemon.cli.tables import shown
from daemon.domain.count_sheet import Problem
from daemon.domain.link_sheet import LinkRow, read_links

PAGE_ROWS: Final = 200
PAGE_BYTES: Final = 48 << 10
PROBLEMS_MAX: Final = 1_000


@click.group("links", invoke_without_command=True)
@channel_option
@click.option("--problems", is_flag=True, help="Only what a person has to decide.")
@talks
@click.pass_context
def links(context: click.Context, problems: bool) -> None:
    """Which SKU each listing is; say so yourself.

    Listings are linked to SKUs of exactly the same spelling. What is ambiguous is never guessed: --problems shows the
    same SKU twice at one channel, SKUs that differ by case or blanks alone, listings that were given another SKU at
    their channel, and listings without any. A person's word wins and stays: `onhand links set`, or a file of
    channel,listing,sku lines for `onhand import`.
    """
    if context.invoked_subcommand is None:
        found = client().get("links", channel=channel(), problems=1) if problems else _all()
        show(found, tables_links.problems if problems else tables_links.links)


def _all() -> Any:
    return {"links": list(every_link()), "next": None, "left_out": 0}


def every_link() -> Iterator[Any]:
    """All links, of `--channel` if that is given."""
    cursor = ""
    while True:
        page = client().get("links", channel=channel(), limit=1000, cursor=cursor)
        yield from page["links"]
        if page["next"] is None:
            return
        cursor = page["next"]


@links.command("set")
@click.argument("name", metavar="CHANNEL")
@click.argument("listing")
@click.argument("sku", type=SKU)
@click.option("--reason", default="", help="Why, for whoever wonders later.")
@talks
def set_link(name: str, listing: str, sku: str, reason: str) -> None:
    """Say that a listing is this SKU."""
    _say(name, listing, sku, reason)


@links.command("unset")
@click.argument("name", metavar="CHANNEL")
@click.argument("listing")
@click.option("--reason", default="", help="Why, for whoever wonders later.")
@talks
def unset_link(name: str, listing: str, reason: str) -> None:
    """Say that a listing is no SKU of ours."""
    _say(name, listing, "", reason)


def _say(name: str, listing: str, sku: str, reason: str) -> None:
    row = {"line": 1, "channel": name, "listing": listing, "sku": sku, "reason": reason}
    show(client().post("links", body={"rows": [row], "apply": True}), tables_links.said)


# --- files -------------------------------------------------------------------------------------------------------


def import_links(file: Path, raw: bytes, *, apply: bool) -> int:
    """A file of links: the difference first, then said; the exit code."""
    problems: list[Problem] = []
    rows: list[Any] = []
    for each in read_links(raw):
        if isinstance(each, Problem):
            problems.append(each)
        else:
            rows.append(_asked(each))
    unreadable = bool(problems)
    found = [row for page in _pages(rows) for row in _post(page, apply=False)["rows"]]
    problems += [Problem(row["line"], row["problem"]) for row in found if row["state"] == "wrong"]
    told = 0
    if apply and not problems:
        told = sum(_post(page, apply=True)["told"] for page in _pages(_moving(rows, found)))
    document = _document(file, rows, found, problems, told, applied=apply and not problems)
    if as_json() or not problems:
        show(document, tables_links.imported)
    else:
        _blame(file, problems)
    return 0 if not problems else 2 if unreadable else 1


def _document(
    file: Path, rows: list[Any], found: list[Any], problems: list[Problem], told: int, *, applied: bool
) -> Any:  # fmt: skip
    states = Counter(row["state"] for row in found)
    return {
        "file": str(file), "ok": not problems, "applied": applied, "told": told, "rows": len(rows),
        "states": {state: states[state] for state in ("same", "linked", "changed", "unlinked")},
        "differences": [row for row in found if row["state"] not in ("same", "wrong")],
        "problems": [{"line": each.line, "message": each.sentence} for each in problems[:PROBLEMS_MAX]],
        "problems_left_out": max(0, len(problems) - PROBLEMS_MAX),
    }  # fmt: skip


def _blame(file: Path, problems: list[Problem]) -> None:
    for each in sorted(problems, key=lambda each: each.line)[:PROBLEMS_MAX]:
        click.echo(shown(f"{file}, line {each.line}: {each.sentence}"), err=True)
    click.echo(f"nothing was said; wrong lines: {len(problems)}: mend them, then import the file again", err=True)


def _moving(rows: list[Any], found: list[Any]) -> list[Any]:
    """The rows that change anything."""
    moving = {row["line"] for row in found if row["state"] not in ("same", "wrong")}
    return [row for row in rows if row["line"] in moving]


def _asked(row: LinkRow) -> Any:
    return {"line": row.line, "channel": row.channel, "listing": row.listing, "sku": row.sku, "reason": row.reason}


def _pages(rows: list[Any]) -> Iterator[list[Any]]:
    page: list[Any] = []
    size = 0
    for row in rows:
        bytes_ = len(json.dumps(row)) + 2
        if page and (len(page) == PAGE_ROWS or size + bytes_ > PAGE_BYTES):
            yield page
            page, size = [], 0
        page.append(row)
        size += bytes_
    if page:
        yield page


def _post(page: list[Any], *, apply: bool) -> Any:
    return client().post("links", body={"rows": page, "apply": apply})


def exported_links() -> Iterator[LinkRow]:
    """Every listing that is known, also those without a SKU."""
    problems = {(each["channel"], each["listing"]): each for each in client().get("links", problems=1)["links"]}
    for each in every_link():
        problem = problems.pop((each["channel"], each["listing"]), each)
        yield _exported(each | {"problem": problem["problem"]})
    for each in problems.values():
        yield _exported(each)


def _exported(each: Any) -> LinkRow:
    return LinkRow(
        0, each["channel"], each["listing"], each["sku"] or "", "", each["by"] or "", each["title"] or "",
        each["problem"] or "",
    )  # fmt: skip

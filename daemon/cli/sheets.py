"""Counts as a CSV file: the difference to the books first, then told; and the books as such a file."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click
from attrs import define, field

from daemon.cli import sheet_tables
from daemon.cli.client import NoDaemonError, RefusedError
from daemon.cli.links import exported_links, import_links
from daemon.cli.session import as_json, client, show, talks
from daemon.cli.tables import shown
from daemon.domain.count_sheet import BYTES_MAX, Problem, SheetRow, read_sheet, written
from daemon.domain.link_sheet import LinkRow, is_link_sheet, written_links

PAGE_ROWS: Final = 200
PAGE_BYTES: Final = 48 << 10
"""Lines and bytes of one request."""
EXPORT_PAGE: Final = 250
PROBLEMS_MAX: Final = 1_000
DIFFERENCES_MAX: Final = 10_000
"""What is kept of a long file for its report; more are counted."""
DIFFERING: Final = ("new", "first", "changed", "superseded", "applied")

# --- import -----------------------------------------------------------------------------------------------------


@define
class _Report:
    """What is known of a file so far."""

    file: str
    digest: str
    rows: int = 0
    empty: int = 0
    told: int = 0
    states: Counter[str] = field(factory=Counter)
    differences: list[Any] = field(factory=list)
    problems: list[Problem] = field(factory=list)
    wrong: int = 0
    unreadable: int = 0
    """Of the wrong lines, those that are wrong whatever the books say."""
    differing: int = 0
    repeated: dict[tuple[str, str], None] = field(factory=dict)
    """SKU and channel where several listings share it."""

    def failed(self) -> bool:
        """Is any line wrong?"""
        return self.wrong > 0

    def blame(self, problem: Problem) -> None:
        self.wrong += 1
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(problem)

    def learn(self, rows: list[Any]) -> None:
        for row in rows:
            if row["state"] == "wrong":
                self.blame(Problem(row["line"], row["problem"]))
                continue
            self.states[row["state"]] += 1
            # In the order of the file, and each once: a SKU may have a line for every location.
            self.repeated |= {(row["sku"], channel): None for channel in row["repeated"]}
            if row["state"] != "same":
                self.differing += 1
                if len(self.differences) < DIFFERENCES_MAX:
                    self.differences.append(row)

    def document(self, *, applied: bool) -> dict[str, Any]:
        """The whole as one JSON document."""
        return {
            "file": self.file, "digest": self.digest, "ok": not self.wrong, "applied": applied, "told": self.told,
            "rows": self.rows, "without_quantity": self.empty,
            "states": {state: self.states[state] for state in ("same", *DIFFERING)},
            "differences": self.differences, "differences_left_out": self.differing - len(self.differences),
            "repeated": [{"sku": sku, "channel": channel} for sku, channel in self.repeated],
            "problems": [{"line": each.line, "message": each.sentence} for each in _sorted(self.problems)],
            "problems_left_out": self.wrong - len(self.problems),
        }  # fmt: skip


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path), metavar="F.csv")
@click.option("--apply", is_flag=True, help="Tell the counts. Without it only the difference is shown.")
@talks
def import_sheet(file: Path, apply: bool) -> int:
    """Compare a CSV file of counts with the books, and tell them.

    \b
    Columns, named in the first line (comma, semicolon or tab between them, UTF-8):
      sku         exactly as the channels spell it
      quantity    whole units; an empty one leaves the SKU alone
      location    where it was counted; the counts of all locations are added up
      kind        on_hand (what lies on the shelf, sold or not; the default), or
                  available (what may still be sold)
      counted_at  when, like 2026-01-31T14:05Z; empty: at the moment of the import
      reference   a name for the count, for the history
      note        why, for the history
      listings, remark
                  as `onhand export` writes them, for reading alone

    A file whose first line names channel, listing and sku (and no quantity) says which SKU each listing is instead;
    an empty sku: none. `onhand export F.csv --links` writes one.

    Nothing is told if any line is wrong. The same file applied again changes nothing; where the same numbers were
    truly counted again, say so in counted_at, reference or note.

    An apostrophe before = + - @ or another apostrophe at the beginning of a cell is taken off: `onhand export` puts
    it there so that no spreadsheet takes the cell for a formula.
    """
    raw = _content(file)
    if is_link_sheet(raw):
        return import_links(file, raw, apply=apply)
    report = _Report(str(file), hashlib.sha256(raw).hexdigest()[:16])
    _read(raw, report)
    report.unreadable = report.wrong
    _compare(raw, report)
    if report.failed():
        if as_json():
            show(report.document(applied=False), str)
        return _blamed(report)
    if apply:
        _apply(raw, report)
    show(report.document(applied=apply), sheet_tables.imported)
    return _blamed(report) if report.failed() else 0


def _content(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(BYTES_MAX + 1)  # a byte more than may be shows that it is too large


def _read(raw: bytes, report: _Report) -> None:
    for each in read_sheet(raw):
        if isinstance(each, Problem):
            report.blame(each)
        else:
            report.rows += 1
            report.empty += each.quantity is None


def _compare(raw: bytes, report: _Report) -> None:
    try:
        for page in _paged(raw, report, "comparing"):
            answer = client().post("import", body=_body(report, page, apply=False))
            report.learn(answer["rows"])
    except (NoDaemonError, RefusedError):
        if not report.unreadable:
            raise  # else what the file says wrong by itself is worth saying without the daemon


def _apply(raw: bytes, report: _Report) -> None:
    report.states.clear()
    report.differences.clear()
    report.differing = 0
    done = 0
    for page in _paged(raw, report, "telling"):
        try:
            answer = client().post("import", body=_body(report, page, apply=True))
        except (RefusedError, NoDaemonError) as error:
            if done:
                click.echo(
                    f"{done} lines of {report.file} are told, the others are not: import the file again, and what is "
                    "told is not counted twice",
                    err=True,
                )
            raise error from None
        done += len(page)
        report.told += answer["told"]
        report.learn(answer["rows"])


def _body(report: _Report, page: list[Any], *, apply: bool) -> Any:
    return {"file": report.digest, "apply": apply, "rows": page}


def _paged(raw: bytes, report: _Report, doing: str) -> Iterator[list[Any]]:
    """The rows that say a quantity, as requests take them; on a terminal with a bar that shows how far it is."""
    wanted = report.rows - report.empty
    hidden = wanted <= PAGE_ROWS or not sys.stderr.isatty()
    with click.progressbar(length=wanted, label=doing, file=sys.stderr, hidden=hidden) as bar:
        for page in _pages(raw):
            yield page
            bar.update(len(page))


def _pages(raw: bytes) -> Iterator[list[Any]]:
    page: list[Any] = []
    size = 0
    for row in read_sheet(raw):
        if isinstance(row, Problem) or row.quantity is None:
            continue
        line = {
            "line": row.line, "sku": row.sku, "quantity": row.quantity, "kind": row.kind, "location": row.location,
            "counted_at": row.counted_at, "reference": row.reference, "note": row.note,
        }  # fmt: skip
        bytes_ = len(json.dumps(line)) + 2
        if page and (len(page) == PAGE_ROWS or size + bytes_ > PAGE_BYTES):
            yield page
            page, size = [], 0
        page.append(line)
        size += bytes_
    if page:
        yield page


def _blamed(report: _Report) -> int:
    """Every wrong line on stderr, unless the document has them; the exit code."""
    code = 2 if report.unreadable else 1
    if as_json():
        return code
    for each in _sorted(report.problems):
        click.echo(shown(f"{report.file}, line {each.line}: {each.sentence}"), err=True)
    more = report.wrong - len(report.problems)
    further = f" ({more} more are not shown)" if more else ""
    done = f"{report.told} counts were told" if report.told else "nothing was told"
    click.echo(f"{done}; wrong lines: {report.wrong}{further}: mend them, then import the file again", err=True)
    return code


def _sorted(problems: list[Problem]) -> list[Problem]:
    return sorted(problems, key=lambda each: each.line)


# --- export -----------------------------------------------------------------------------------------------------


@click.command("export")
@click.argument("file", type=click.Path(path_type=Path), metavar="F.csv")
@click.option("--links", is_flag=True, help="Which SKU each listing is, instead of counts.")
@talks
def export_sheet(file: Path, links: bool) -> None:
    """Write the books into a CSV file that `onhand import` reads.

    One line a SKU and location, with what lies on the shelf there. Enter what was counted, and take out (or empty the
    quantity of) what was not: where goods were handed over meanwhile, an old line would bring them back. A quantity
    is empty where nobody has counted yet. Kits have no line; count their components. The columns `listings` (where
    the SKU is listed) and `remark` are not read back.

    A cell that a spreadsheet would take for a formula is written with an apostrophe before it. (A spreadsheet may
    still take the zeros off a SKU like 0123: tell it that the column is text.)
    """
    document = {"file": str(file), "rows": 0, "skus": 0, "to_count": 0, "repeated": []}
    if links:
        document = {"file": str(file), "links": 0, "without_sku": 0}
    beside = file.with_name(f"{file.name}.part")
    try:
        with beside.open("w", encoding="utf-8", newline="") as opened:
            for piece in written_links(_linked(document)) if links else written(_booked(document)):
                opened.write(piece)
            opened.flush()
            os.fsync(opened.fileno())
        beside.replace(file)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    show(document, sheet_tables.exported_links if links else sheet_tables.exported)


def _linked(document: Any) -> Iterator[LinkRow]:
    for each in exported_links():
        document["links"] += 1
        document["without_sku"] += not each.sku
        yield each


def _booked(document: Any) -> Iterator[SheetRow]:
    cursor = ""
    last = None
    while True:
        page = client().get("export", limit=EXPORT_PAGE, cursor=cursor)
        for each in page["counts"]:
            document["rows"] += 1
            document["to_count"] += each["quantity"] is None
            if each["sku"] != last:
                last = each["sku"]
                document["skus"] += 1
                document["repeated"] += [{"sku": last, "channel": channel} for channel in each["repeated"]]
            listings = " | ".join(f"{listing['channel']} {listing['listing']}" for listing in each["listings"])
            yield SheetRow(
                0, each["sku"], each["quantity"], each["kind"], each["location"], listings=listings,
                remark=each["remark"] or "",
            )  # fmt: skip
        if page["next"] is None:
            return
        cursor = page["next"]

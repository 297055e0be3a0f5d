"""Links as a CSV file: which SKU each listing is. Read as strictly as counts are; what is written reads back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from attrs import frozen

from daemon.domain.count_sheet import (
    FIRST_LINE,
    NOTE_MAX,
    ROWS_MAX,
    SEPARATORS,
    Problem,
    WrongCellError,
    cells_of,
    column_name,
    decoded,
    guarded,
    line_of,
    split_line,
    text_of,
    unguarded,
)
from daemon.domain.observations import BadSkuError, check_sku

COLUMNS: Final = ("channel", "listing", "sku", "reason", "by", "title", "problem")
"""As they are written. `by`, `title` and `problem` are for people: what they say is not taken in."""
NEEDED: Final = frozenset({"channel", "listing", "sku"})
LISTING_MAX: Final = 1_000


@frozen
class LinkRow:
    """One listing and its SKU, empty for none."""

    line: int
    channel: str
    listing: str
    sku: str
    reason: str = ""
    by: str = ""
    title: str = ""
    problem: str = ""


def is_link_sheet(raw: bytes) -> bool:
    """Does the first line name the columns of links, and no quantity?"""
    text = decoded(raw)
    return not isinstance(text, Problem) and _separator(text) != ""


def _separator(text: str) -> str:
    first = FIRST_LINE.match(text)
    for each in SEPARATORS:
        names = {column_name(cell) for cell in split_line(first[1] if first else "", each)}
        if names >= NEEDED and "quantity" not in names:
            return each
    return ""


def read_links(raw: bytes) -> Iterator[LinkRow | Problem]:
    """Every row of the file in its order, and in the place of a wrong one its problem. Never raises. Ask
    `is_link_sheet` first."""
    text = decoded(raw)
    if isinstance(text, Problem):
        yield text
        return
    places: dict[str, int] = {}
    width = 0
    seen: dict[tuple[str, str], int] = {}
    for number, (line, cells) in enumerate(cells_of(text, _separator(text) or ",")):
        if isinstance(cells, str):
            yield Problem(line, cells)
        elif not number:
            names = [column_name(cell) for cell in cells]
            if problem := _header_problem(names):
                yield Problem(line, problem)
                return
            places, width = {name: place for place, name in enumerate(names) if name}, len(names)
        elif number > ROWS_MAX:
            yield Problem(line, f"the file has more than {ROWS_MAX:,} rows: split it")
            return
        else:
            row = _row(line, cells, places, width)
            if isinstance(row, LinkRow) and (before := seen.setdefault((row.channel, row.listing), line)) != line:
                row = Problem(line, f"{row.listing!r} of {row.channel} stands in line {before} already: keep one")
            yield row


def _header_problem(names: list[str]) -> str:
    if missing := sorted(NEEDED - set(names)):
        return f"the first line must name the columns, and {' and '.join(missing)} is missing"
    if twice := sorted({name for name in names if names.count(name) > 1 and name}):
        return f"the column {twice[0]!r} is there twice: keep one of them"
    if unknown := [name for name in names if name and name not in COLUMNS]:
        return f"there is no column {unknown[0]!r}: take it out, or call it one of {', '.join(COLUMNS)}"
    return ""


def _row(line: int, cells: list[str], places: dict[str, int], width: int) -> LinkRow | Problem:
    if len(cells) != width:
        return Problem(line, f"it has {len(cells)} cells where the first line names {width}: add or quote cells")
    try:
        channel = text_of("channel", cells[places["channel"]].strip(), 200)
        listing = text_of("listing", cells[places["listing"]], LISTING_MAX)
        reason = text_of("reason", cells[places["reason"]] if "reason" in places else "", NOTE_MAX)
        sku = unguarded(cells[places["sku"]])
        if not channel or not listing:
            return Problem(line, "it names no channel, or no listing: fill both cells, or take the line out")
        return LinkRow(line, channel, listing, check_sku(sku) if sku else "", reason)
    except (WrongCellError, BadSkuError) as error:
        return Problem(line, str(error))


def written_links(rows: Iterable[LinkRow]) -> Iterator[str]:
    """The file, piece by piece."""
    yield line_of(COLUMNS)
    for row in rows:
        cells = (row.channel, row.listing, row.sku, row.reason, row.by, row.title, row.problem)
        yield line_of([guarded(cell) for cell in cells])

"""Counts as a CSV file: read strictly, each wrong line with a sentence, and written so that it reads back the same.

A row is what a person counted of one SKU at one location. An empty quantity says nothing, and changes nothing.
A text cell that a spreadsheet would take for a formula (it begins with `=`, `+`, `-`, `@`, their full-width twins, a
tab or a line end) is written with an apostrophe before it, and so is one that begins with an apostrophe; read, one
apostrophe before any of these is taken off again.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from attrs import frozen

from daemon.domain.instants import SECOND_US, Span
from daemon.domain.observations import QUANTITY_MAX, BadSkuError, CountKind, check_sku

BYTES_MAX: Final = 32 << 20
ROWS_MAX: Final = 500_000
"""Rows of one file, the header not counted."""
CELL_MAX: Final = 131_072
"""Characters of one cell; a longer one is a quotation mark that nobody closed."""
NAME_MAX: Final = 200
NOTE_MAX: Final = 500
"""Characters of a location or a reference, and of a note."""

COLUMNS: Final = ("sku", "location", "kind", "quantity", "counted_at", "reference", "note", "listings", "remark")
"""As they are written. `listings` and `remark` are for people: what they say is not taken in."""
NEEDED: Final = ("sku", "quantity")
SEPARATORS: Final = (",", ";", "\t")

_FORMULA: Final = frozenset("=+-@\t\r\n＝＋－＠")
_GUARDED: Final = _FORMULA | {"'"}
_WHOLE: Final = re.compile(r"[0-9]{1,12}")
_MOMENT: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2})(?:(:[0-9]{2})(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})"
)
FIRST_LINE: Final = re.compile(r"[\r\n]*([^\r\n]*)")
_LINE_END: Final = re.compile(rb"\r\n?|\n")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ENCODINGS: Final = ((b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"), (b"PK\x03\x04", "a spreadsheet's own format"))


@frozen
class SheetRow:
    """One line's count. `quantity` is units, None where the cell is empty; `counted_at` is empty for "now"."""

    line: int
    sku: str
    quantity: int | None
    kind: CountKind = "on_hand"
    location: str = ""
    counted_at: str = ""
    reference: str = ""
    note: str = ""
    listings: str = ""
    remark: str = ""


@frozen
class Problem:
    """What is wrong with a line (from 1), and what to do, in one sentence."""

    line: int
    sentence: str


class WrongCellError(ValueError):
    """A cell that cannot be taken; the sentence says what to do."""


# --- reading ----------------------------------------------------------------------------------------------------


def read_sheet(raw: bytes) -> Iterator[SheetRow | Problem]:
    """Every row of the file in its order, and in the place of a wrong one its problem. Never raises."""
    text = decoded(raw)
    if isinstance(text, Problem):
        yield text
        return
    lines = cells_of(text, _separator(FIRST_LINE.match(text)[1]))  # type: ignore[index]  # it matches any text
    for line, cells in lines:
        if isinstance(cells, str):
            yield Problem(line, cells)
            return
        places = _header(cells)
        if isinstance(places, str):
            yield Problem(line, places)
            return
        yield from _rows(lines, places, len(cells))
        return
    yield Problem(1, f"the file is empty: its first line must name the columns, at least {' and '.join(NEEDED)}")


def _rows(
    lines: Iterator[tuple[int, list[str] | str]], places: dict[str, int], width: int
) -> Iterator[SheetRow | Problem]:
    seen: dict[tuple[str, str], int] = {}
    rows = 0
    for line, cells in lines:
        if isinstance(cells, str):
            yield Problem(line, cells)
            continue
        rows += 1
        if rows > ROWS_MAX:
            yield Problem(line, f"the file has more than {ROWS_MAX:,} rows: split it")
            return
        try:
            row = _row(line, cells, places, width)
        except WrongCellError as error:
            yield Problem(line, str(error))
            continue
        before = seen.setdefault((row.sku, row.location), line)
        if before != line:
            where = f" at {row.location!r}" if row.location else ""
            yield Problem(line, f"{row.sku!r}{where} stands in line {before} already: keep one of the two lines")
            continue
        yield row


def decoded(raw: bytes) -> str | Problem:
    """The text of a file, or why it has none."""
    if len(raw) > BYTES_MAX:
        return Problem(1, f"the file is larger than {BYTES_MAX >> 20} MiB: split it")
    for mark, name in _ENCODINGS:
        if raw.startswith(mark):
            return Problem(1, f"the file is {name}: save it as CSV in UTF-8")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = len(_LINE_END.findall(error.object[: error.start])) + 1
        return Problem(line, "a letter here is not UTF-8: save the file as CSV in UTF-8")


def _separator(first: str) -> str:
    """The one under which the first line names the columns that are needed; else the comma."""
    fitting = [each for each in SEPARATORS if {*NEEDED} <= {column_name(cell) for cell in split_line(first, each)}]
    return fitting[0] if len(fitting) == 1 else ","


def split_line(line: str, separator: str) -> list[str]:
    """The cells of one line; none where its quotation marks do not fit together."""
    try:
        return next(csv.reader([line], delimiter=separator, strict=True), [])
    except csv.Error:
        return []


def column_name(cell: str) -> str:
    """What a cell of the first line calls its column."""
    return cell.strip().casefold()


def cells_of(text: str, separator: str) -> Iterator[tuple[int, list[str] | str]]:
    """Line number and cells of each row that has any; instead of the cells, what is wrong with them."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield (
                line,
                (
                    "its quotation marks do not fit together: put a cell that holds a separator, a line end or a "
                    "quotation mark into quotation marks, and double those inside"
                ),
            )
            continue
        if any(cells):
            yield line, cells


def _header(cells: Sequence[str]) -> dict[str, int] | str:
    """Where each column stands, or what is wrong with the header."""
    names = [column_name(cell) for cell in cells]
    known = ", ".join(COLUMNS)
    if missing := [name for name in NEEDED if name not in names]:
        return (
            f"the first line must name the columns, and {' and '.join(missing)} is missing: the columns are {known}, "
            "with a comma, a semicolon or a tab between them"
        )
    if twice := sorted({name for name in names if names.count(name) > 1 and name}):
        return f"the column {twice[0]!r} is there twice: keep one of them"
    if unknown := [name for name in names if name and name not in COLUMNS]:
        return f"there is no column {unknown[0]!r}: take it out, or call it one of {known}"
    return {name: place for place, name in enumerate(names) if name}


def _row(line: int, cells: Sequence[str], places: dict[str, int], width: int) -> SheetRow:
    if len(cells) != width:
        raise WrongCellError(
            f"it has {len(cells)} cells where the first line names {width}: put a cell that holds a separator into "
            "quotation marks, or add the missing ones"
        )
    if len(places) < width and any(cell for place, cell in enumerate(cells) if place not in places.values()):
        raise WrongCellError(
            "a cell stands in a column without a name: name the column in the first line, or empty it"
        )

    def cell(name: str) -> str:
        return cells[places[name]] if name in places else ""

    try:
        sku = check_sku(unguarded(cell("sku")))
    except BadSkuError as error:
        raise WrongCellError(str(error)) from None
    moment = cell("counted_at").strip()
    if moment and counted_span(moment) is None:
        raise WrongCellError(
            f"counted_at {_cut(moment)} is no moment with its time zone: write it like 2026-01-31T14:05Z, or leave "
            "the cell empty for now"
        )
    return SheetRow(
        line, sku, _quantity(cell("quantity").strip()), _kind(cell("kind").strip()),
        text_of("location", cell("location"), NAME_MAX), moment,
        text_of("reference", cell("reference"), NAME_MAX), text_of("note", cell("note"), NOTE_MAX, lines=True),
        unguarded(cell("listings")), unguarded(cell("remark")),
    )  # fmt: skip


def _quantity(text: str) -> int | None:
    if not text:
        return None
    if text.isascii() and text.startswith("-") and _WHOLE.fullmatch(text[1:]):
        raise WrongCellError(f"the quantity {text} is below zero: a count says how many there are, 0 or more")
    if not _WHOLE.fullmatch(text):
        raise WrongCellError(
            f"the quantity {_cut(text)} is no whole number: write digits alone, without separators or decimals"
        )
    if int(text) > QUANTITY_MAX:
        raise WrongCellError(f"the quantity {text} is above {QUANTITY_MAX:,}: correct it")
    return int(text)


def _kind(text: str) -> CountKind:
    match text.casefold():
        case "" | "on_hand":
            return "on_hand"
        case "available":
            return "available"
    raise WrongCellError(f"the kind {_cut(text)} is neither on_hand nor available: write one, or nothing for on_hand")


def text_of(name: str, cell: str, longest: int, *, lines: bool = False) -> str:
    """The text of a cell. Raises `WrongCellError`."""
    text = unguarded(cell)
    if len(text) > longest:
        raise WrongCellError(f"its {name} has {len(text)} characters: shorten it to {longest}")
    allowed = "\t\r\n" if lines else ""
    if any((ord(letter) < 32 or ord(letter) == 127) and letter not in allowed for letter in text):
        raise WrongCellError(f"its {name} holds a control character: take it out")
    return text


def _cut(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "...")


def counted_span(text: str) -> Span | None:
    """A moment like 2026-01-31T14:05Z on our clock, as exact as it is written (a minute, a second, a part of it);
    None for what is none, has no time zone or lies before 1970."""
    found = _MOMENT.fullmatch(text)
    if found is None:
        return None
    day, minute, second, part, zone = found.groups()
    fraction = (part or ".")[1:]
    try:
        at = datetime.fromisoformat(f"{day}T{minute}{second or ':00'}.{fraction.ljust(6, '0')}{zone}")
        lo = (at - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError):
        return None
    exact = 60 * SECOND_US if second is None else SECOND_US // 10 ** len(fraction)
    return Span(lo, lo + exact - 1) if lo >= 0 else None


# --- writing ----------------------------------------------------------------------------------------------------


def guarded(text: str) -> str:
    """The text as no spreadsheet takes it for a formula; `unguarded` takes it back."""
    return f"'{text}" if text[:1] in _GUARDED else text


def unguarded(cell: str) -> str:
    """The text of a cell: without the apostrophe that `guarded` put before it."""
    return cell[1:] if cell.startswith("'") and cell[1:2] in _GUARDED else cell


def written(rows: Iterable[SheetRow]) -> Iterator[str]:
    """The file, piece by piece: the header, then a line a row. Their line numbers play no part."""
    yield line_of(COLUMNS)
    for row in rows:
        yield line_of(
            (
                guarded(row.sku), guarded(row.location), row.kind, "" if row.quantity is None else str(row.quantity),
                row.counted_at, guarded(row.reference), guarded(row.note), guarded(row.listings),
                guarded(row.remark),
            )
        )  # fmt: skip


def line_of(cells: Sequence[str]) -> str:
    """One line of a file."""
    place = io.StringIO()
    csv.writer(place, lineterminator="\r\n").writerow(cells)
    return place.getvalue()

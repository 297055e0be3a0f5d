"""Files of counts: what is written reads back the same; what is wrong is said line by line."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.domain import count_sheet
from daemon.domain.count_sheet import (
    BYTES_MAX,
    Problem,
    SheetRow,
    counted_span,
    guarded,
    read_sheet,
    unguarded,
    written,
)
from daemon.domain.instants import SECOND_US, Span
from daemon.domain.observations import QUANTITY_MAX, SKU_BYTES_MAX

HEADER = "sku,quantity\n"


def read(text: str) -> list[SheetRow | Problem]:
    return list(read_sheet(text.encode()))


def wrong(text: str) -> str:
    """The one problem of a file."""
    (found,) = [each for each in read(text) if isinstance(each, Problem)]
    return f"{found.line}: {found.sentence}"


# --- the round trip -----------------------------------------------------------------------------------------------

letters = st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("=+-@'\"＝,; \u0085")
words = st.text(letters, max_size=12)
skus = st.text(letters, min_size=1, max_size=12).filter(lambda text: len(text.encode()) <= SKU_BYTES_MAX)
rows = st.builds(
    SheetRow,
    line=st.just(0), sku=skus, quantity=st.none() | st.integers(0, QUANTITY_MAX),
    kind=st.sampled_from(["on_hand", "available"]), location=words,
    counted_at=st.sampled_from(["", "2026-01-31T14:05Z"]), reference=words,
    note=st.text(letters | st.sampled_from("\n\r\t"), max_size=12), listings=words, remark=words,
)  # fmt: skip


@pytest.mark.slow
@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(rows, max_size=6, unique_by=lambda row: (row.sku, row.location)), st.booleans())
def test_what_is_written_reads_back_the_same(told: list[SheetRow], mark: bool) -> None:
    raw = "".join(written(told)).encode("utf-8-sig" if mark else "utf-8")
    found = list(read_sheet(raw))
    assert all(isinstance(each, SheetRow) for each in found)
    assert [(*_plain(each),) for each in found] == [(*_plain(each),) for each in told]


def _plain(row: SheetRow | Problem) -> list[object]:
    assert isinstance(row, SheetRow)
    return [getattr(row, name) for name in count_sheet.COLUMNS]


@given(st.text(letters | st.sampled_from("\t\r\n"), max_size=4))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_no_written_cell_is_a_formula_and_each_is_taken_back(text: str) -> None:
    assert guarded(text)[:1] not in {*"=+-@\t\r\n＝＋－＠"}
    assert unguarded(guarded(text)) == text


def test_a_text_that_begins_with_an_apostrophe_of_its_own_is_kept() -> None:
    found = read("sku,quantity\n'A,1\n'=B,2\n''C,3\n',4\n")
    assert [each.sku for each in found if isinstance(each, SheetRow)] == ["'A", "=B", "'C", "'"]


# --- reading ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_separator_line_end_and_byte_order_mark_do_not_matter(separator: str, end: str, mark: str) -> None:
    lines = ["SKU|Quantity| Location ", "0123|4|back", "a b| 5 |", ""]
    text = mark + end.join(lines).replace("|", separator)
    assert read(text) == [
        SheetRow(2, "0123", 4, location="back"),
        SheetRow(3, "a b", 5),
    ]


def test_a_separator_inside_a_cell_is_not_taken_for_one() -> None:
    assert read('sku;quantity;note\n"a;b,c";1;x,y\n') == [SheetRow(2, "a;b,c", 1, note="x,y")]
    assert read('sku,quantity\n"a;b",1\n') == [SheetRow(2, "a;b", 1)]


def test_quoted_line_ends_are_kept_and_lines_are_counted_as_an_editor_counts_them() -> None:
    found = read('sku,quantity,note\n\nA,1,"one\r\ntwo"\nB,2,\n,,\nC,x,\n')
    assert found[:2] == [SheetRow(3, "A", 1, note="one\r\ntwo"), SheetRow(5, "B", 2)]
    assert isinstance(found[2], Problem)
    assert found[2].line == 7


def test_a_row_without_a_quantity_says_nothing() -> None:
    assert read(HEADER + "A,\n") == [SheetRow(2, "A", None)]


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        ("A,1.5", "the quantity '1.5' is no whole number"),
        ("A,1e3", "no whole number"),
        ("A,+1", "no whole number"),
        ("A,\u0663", "no whole number"),
        ("A,'5", "no whole number"),
        ("A," + "9" * 5000, "no whole number"),
        ("A,-1", "the quantity -1 is below zero"),
        ("A,1000000001", "above 1,000,000,000"),
        (",5", "a SKU is empty"),
        ("a\x07,5", "control character"),
        ("x" * 201 + ",5", "201 bytes"),
        ("A", "it has 1 cells where the first line names 2"),
        ("A,1,2", "it has 3 cells"),
        ('"A"x,1', "quotation marks"),
        ('"A,1', "quotation marks"),
    ],
)
def test_a_wrong_line_is_named_with_what_to_do(cells: str, says: str) -> None:
    said = wrong(f"{HEADER}OK,1\n{cells}\n")
    assert said.startswith("3: ")
    assert says in said
    assert len(said) < 400
    assert ":" in said.removeprefix("3: ") or ";" in said, "it says what to do"


@pytest.mark.parametrize(
    ("columns", "cells", "says"),
    [
        ("kind", "shelf", "the kind 'shelf' is neither on_hand nor available"),
        ("location", "x" * 201, "its location has 201 characters: shorten it to 200"),
        ("reference", "a\tb", "its reference holds a control character"),
        ("note", "x" * 501, "shorten it to 500"),
        ("note", "a\x00", "control character"),
        ("counted_at", "yesterday", "no moment with its time zone"),
        ("counted_at", "2026-01-31T14:05", "no moment with its time zone"),
        ("counted_at", "2026-02-31T14:05Z", "no moment"),
        ("", "stray", "a cell stands in a column without a name"),
    ],
)
def test_the_other_cells_are_as_strict(columns: str, cells: str, says: str) -> None:
    assert says in wrong(f"sku,quantity,{columns}\nA,1,{cells}\n")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "1: the file is empty"),
        ("\n\n", "1: the file is empty"),
        ("A,5\nB,6\n", "1: the first line must name the columns, and sku and quantity is missing"),
        ("sku,qty\nA,5\n", "quantity is missing"),
        ("sku,quantity,sku\nA,5,B\n", "1: the column 'sku' is there twice"),
        ("sku,quantity,locatoin\nA,5,B\n", "1: there is no column 'locatoin'"),
        ("sku|quantity\nA|5\n", "with a comma, a semicolon or a tab"),
    ],
)
def test_a_header_that_cannot_be_read_is_the_only_problem(text: str, says: str) -> None:
    assert says in wrong(text)


def test_every_wrong_line_is_found_and_right_ones_between_them_too() -> None:
    found = read(HEADER + "A,x\nB,1\n,2\nB,3\nC,4\n")
    assert [each.line for each in found if isinstance(each, Problem)] == [2, 4, 5]
    assert [each.sku for each in found if isinstance(each, SheetRow)] == ["B", "C"]
    assert wrong(HEADER + "B,1\nB,3\n") == "3: 'B' stands in line 2 already: keep one of the two lines"


def test_one_sku_at_two_locations_is_no_duplicate() -> None:
    assert len(read("sku,location,quantity\nA,,1\nA,back,2\n")) == 2
    assert "'A' at 'back' stands in line 2" in wrong("sku,location,quantity\nA,back,1\nA,back,2\n")


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (HEADER.encode() + b"A,1\n\xe4,2\n", "3: a letter here is not UTF-8"),
        (b"\xef\xbb\xbf" + HEADER.encode() + b"\xe4,2\n", "2: a letter here is not UTF-8"),
        ((HEADER + "A,1").encode("utf-16"), "1: the file is UTF-16: save it as CSV in UTF-8"),
        (b"PK\x03\x04rest", "a spreadsheet's own format"),
        (b"x" * (BYTES_MAX + 1), "1: the file is larger than 32 MiB"),
    ],
)
def test_what_is_no_utf_8_or_too_large_is_said(raw: bytes, says: str) -> None:
    (found,) = read_sheet(raw)
    assert isinstance(found, Problem)
    assert f"{found.line}: {found.sentence}".startswith(says) or says in found.sentence


def test_a_file_of_too_many_rows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(count_sheet, "ROWS_MAX", 3)
    text = HEADER + "".join(f"{place},1\n" for place in range(9))
    assert wrong(text) == "5: the file has more than 3 rows: split it"


def test_a_quotation_mark_that_nobody_closes_ends_within_bounds() -> None:
    found = read(HEADER + '"' + "a,1\n" * 40_000)
    assert any(isinstance(each, Problem) and each.line == 2 for each in found)


# --- moments ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "exact_us"),
    [
        ("2026-01-31T14:05Z", 60 * SECOND_US),
        ("2026-01-31 15:05+01:00", 60 * SECOND_US),
        ("2026-01-31T14:05:00Z", SECOND_US),
        ("2026-01-31T14:05:00.00Z", 10_000),
        ("2026-01-31T14:05:00.000000Z", 1),
    ],
)
def test_a_moment_is_as_exact_as_it_is_written(text: str, exact_us: int) -> None:
    lo = int(datetime(2026, 1, 31, 14, 5, tzinfo=UTC).timestamp()) * SECOND_US
    assert counted_span(text) == Span(lo, lo + exact_us - 1)


@pytest.mark.parametrize("text", ["", "2026-01-31", "1960-01-01T00:00Z", "2026-01-31T24:61Z", "2026-13-01T00:00Z"])
def test_what_is_no_moment_is_none(text: str) -> None:
    assert counted_span(text) is None


def test_the_columns_are_the_fields_of_a_row() -> None:
    (head,) = csv.reader(io.StringIO("".join(written([]))))
    assert tuple(head) == count_sheet.COLUMNS

"""Files of counts, as a spreadsheet or a stranger writes them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Final

from attrs import evolve

from daemon.domain.count_sheet import (
    CELL_MAX,
    NAME_MAX,
    NOTE_MAX,
    Problem,
    SheetRow,
    counted_span,
    read_sheet,
    written,
)
from daemon.domain.observations import QUANTITY_MAX, check_sku
from tests.fuzz.target import Target

_FORMULA: Final = {*"=+-@\t\r\n＝＋－＠"}


def count_sheet(data: bytes) -> None:
    """Rows within their bounds, each line once, or a sentence; what is written of them reads back the same."""
    found = list(read_sheet(data))
    assert len(found) <= data.count(b"\n") + data.count(b"\r") + len(data) // CELL_MAX + 2
    lines = [each.line for each in found]
    assert lines == sorted(set(lines)), "a line is told of once"
    rows = []
    for each in found:
        if isinstance(each, Problem):
            assert each.line >= 1
            assert 0 < len(each.sentence) < 1_500
            continue
        _within(each)
        rows.append(each)
    assert len({(row.sku, row.location) for row in rows}) == len(rows)
    text = "".join(written(rows))
    again = [_plain(each) for each in read_sheet(text.encode())]
    assert again == [_plain(each) for each in rows]
    for cells in csv.reader(io.StringIO(text, newline=""), strict=True):
        assert not any(cell[:1] in _FORMULA for cell in cells if cell), "a spreadsheet would take it for a formula"


def _within(row: SheetRow) -> None:
    assert check_sku(row.sku) == row.sku
    assert row.quantity is None or (type(row.quantity) is int and 0 <= row.quantity <= QUANTITY_MAX)
    assert row.kind in ("on_hand", "available")
    assert max(len(row.location), len(row.reference)) <= NAME_MAX
    assert len(row.note) <= NOTE_MAX
    span = counted_span(row.counted_at)
    assert span is None if not row.counted_at else span is not None and 0 <= span.lo < span.hi + 1


def _plain(row: SheetRow | Problem) -> SheetRow:
    assert isinstance(row, SheetRow), row
    return evolve(row, line=0)


def _seeds() -> Iterable[bytes]:
    head = b"sku,location,kind,quantity,counted_at,reference,note,listings,remark\r\n"
    yield head + b'0123,back,on_hand,5,2026-01-31T14:05Z,R1,"a ""b""\r\nc",shop 1 | site 2,\r\nB,,available,,,,,,\r\n'
    yield head.replace(b",", b";") + b"'=1+1;;;7;2026-01-31 14:05:06.5+01:00;'-x;;;\n''A;;;0;;;;;\n"
    yield b"\xef\xbb\xbfSKU\tQuantity\nA\t1\nA\t2\nB\tx\n"
    yield b'sku,quantity\n"A,1\nB,2\n'
    yield b"\xff\xfes\x00k\x00u\x00"


TARGETS: Final = (
    Target(
        "count_sheet", count_sheet, "files of counts", 4_096,
        (b"sku", b"quantity", b"location", b"kind", b"counted_at", b"note", b"on_hand", b"available", b'"', b'""',
         b"'=", b"\r\n", b"\xef\xbb\xbf", b"2026-01-31T14:05Z", b";", b"\t"),
        _seeds,
    ),
)  # fmt: skip

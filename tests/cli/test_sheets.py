"""`onhand import` and `onhand export` against a running daemon's socket."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest
import trio

from daemon.cli import main, sheets
from daemon.domain.observations import LevelReport, OrderLine, StockCount
from tests.cli.conftest import Onhand
from tests.harness import House, admin_socket, housed

NASTY = ["0123", "=1+1", "'x", "a,b;c", 'say "x"', " led ", "-x", "+y", "@z", "＝1", "ÄÖ", "'=q"]


def sheet(tmp_path: Path, text: str) -> str:
    path = tmp_path / "F.csv"
    path.write_text(text, encoding="utf-8")
    return str(path)


def rows_of(path: str) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


def available(house: House, sku: str) -> int | None:
    state = house.registry.peek(sku)
    return state.stock.available if state else None


async def test_the_export_imports_back_to_no_difference(house: House, onhand: Onhand, tmp_path: Path) -> None:
    for place, sku in enumerate(NASTY):
        await house.counted(sku, place)
    await house.sold("0123", 2)
    await house.tell(StockCount("person", "0123", 4, at=house.now(), location="=back"))
    await house.listed("uncounted", None)
    path = str(tmp_path / "out.csv")
    written = await onhand("export", path)
    assert (written.code, written.err) == (0, "")
    assert "14 lines, 13 SKUs" in written.out
    assert "1 of them without a quantity" in written.out
    rows = rows_of(path)
    assert {row["sku"] for row in rows} >= {"0123", "'=1+1", "''x", "'-x", "'＝1"}
    assert next(row for row in rows if row["sku"] == "uncounted")["listings"] == "shop L-uncounted | site L-uncounted"
    assert os.listdir(tmp_path).count("out.csv.part") == 0

    head = house.store.head.seq
    back = (await onhand("import", path, "--json")).json()
    assert (back["ok"], back["rows"], back["without_quantity"], back["told"]) == (True, 14, 1, 0)
    assert back["states"] == {"same": 13, "new": 0, "first": 0, "changed": 0, "superseded": 0, "applied": 0}
    assert back["differences"] == []
    assert "no difference" in (await onhand("import", path)).out
    assert house.store.head.seq == head
    numbers = {sku: available(house, sku) for sku in NASTY}
    assert (await onhand("import", path, "--apply")).code == 0
    assert {sku: available(house, sku) for sku in NASTY} == numbers


async def test_an_export_into_an_empty_house_makes_the_same_numbers(
    house: House, onhand: Onhand, tmp_path: Path
) -> None:
    for place, sku in enumerate(NASTY):
        await house.counted(sku, place)
    path = str(tmp_path / "out.csv")
    await onhand("export", path)
    numbers = {sku: available(house, sku) for sku in NASTY}
    other = tmp_path / "other"
    other.mkdir()
    async with housed(other) as empty:
        async with admin_socket(empty, other / "s"):
            code = await trio.to_thread.run_sync(main, ["import", path, "--apply", "--socket", str(other / "s")])
        assert code == 0
        assert {sku: available(empty, sku) for sku in NASTY} == numbers


async def test_the_difference_is_shown_first_and_told_with_apply(
    house: House, onhand: Onhand, tmp_path: Path
) -> None:
    await house.counted("A", 5)
    path = sheet(tmp_path, "sku;quantity;note\nA;9;yearly\nNEW;3;\nB;;\n")
    shown = await onhand("import", path)
    assert (shown.code, shown.err) == (0, "")
    assert "2 counts, 1 lines without a quantity; 1 differ, 1 are new" in shown.out
    assert "+4" in shown.out
    assert "5 -> 9" in shown.out
    assert "a new SKU" in shown.out
    assert "add --apply" in shown.out
    assert available(house, "A") == 5
    told = await onhand("import", path, "--apply")
    assert told.code == 0
    assert "2 told" in told.out
    assert (available(house, "A"), available(house, "NEW"), available(house, "B")) == (9, 3, None)


async def test_the_same_file_applied_twice_counts_once(house: House, onhand: Onhand, tmp_path: Path) -> None:
    path = sheet(tmp_path, "sku,quantity\nA,9\nB,4\n")
    await onhand("import", path, "--apply")
    sold = OrderLine("shop", "1", "1", "A", 2, fulfilled=2, version=1, at=house.now())
    await house.tell(sold, by="webhook")
    again = (await onhand("import", path, "--apply", "--json")).json()
    assert (again["told"], again["states"]["applied"]) == (0, 2)
    assert available(house, "A") == 7
    assert "told before" in (await onhand("import", path)).out


async def test_all_wrong_lines_are_said_at_once_and_nothing_is_told(
    house: House, onhand: Onhand, tmp_path: Path
) -> None:
    house.registry.quarantined["Q"] = "crashed three times"
    path = sheet(tmp_path, "sku,quantity\nA,9\nB,many\nQ,1\nA,3\n")
    refused = await onhand("import", path, "--apply")
    assert (refused.code, refused.out) == (2, "")
    lines = refused.err.splitlines()
    assert [each.removeprefix(path)[:9] for each in lines[:3]] == [", line 3:", ", line 4:", ", line 5:"]
    assert lines[3].startswith("nothing was told; wrong lines: 3: mend them")
    assert available(house, "A") is None
    document = await onhand("import", path, "--apply", "--json")
    assert (document.code, document.err) == (2, "")
    assert [each["line"] for each in document.json()["problems"]] == [3, 4, 5]
    quarantined = await onhand("import", sheet(tmp_path, "sku,quantity\nQ,1\n"))
    assert quarantined.code == 1, "the file is well, the daemon refuses"


async def test_listings_that_share_a_sku_in_one_channel_are_reported(
    house: House, onhand: Onhand, tmp_path: Path
) -> None:
    await house.listed("A", 5, "shop")
    await house.tell(LevelReport("shop", "L-twin", 5, house.now(), "A"), by="catalogue")
    await house.counted("A", 5)
    path = str(tmp_path / "out.csv")
    assert "A: several listings at shop share it" in (await onhand("export", path)).out
    assert (await onhand("export", path, "--json")).json()["repeated"] == [{"sku": "A", "channel": "shop"}]
    assert "A: several listings at shop share it" in (await onhand("import", path)).out
    assert (await onhand("import", path, "--json")).json()["repeated"] == [{"sku": "A", "channel": "shop"}]


async def test_kits_are_refused_and_their_components_named(
    tmp_path: Path, onhand: Onhand, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(house.registry, "kits", {"SET": (("CUP", 2),)})
    refused = await onhand("import", sheet(tmp_path, "sku,quantity\nSET,4\n"))
    assert refused.code == 1
    assert "'SET' is a kit and not on the shelf itself: count or adjust its components: CUP" in refused.err


async def test_a_long_file_goes_page_by_page_and_its_report_is_cut(
    house: House, onhand: Onhand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sheets, "PAGE_ROWS", 20)
    long = "\U0001f3c8" * 200  # as JSON 2,400 bytes: pages are cut by size, too
    rows = "".join(f'{place:04},{place},"{long if place < 60 else ""}"\n' for place in range(120))
    path = sheet(tmp_path, f"sku,quantity,reference\n{rows}")
    shown = await onhand("import", path, "--apply")
    assert shown.code == 0
    assert "120 are new; 120 told" in shown.out
    assert "and 80 more: see --json" in shown.out
    assert [available(house, f"{place:04}") for place in (0, 59, 119)] == [0, 59, 119]
    assert (await onhand("export", path)).code == 0
    assert (await onhand("import", path, "--json")).json()["states"]["same"] == 120


async def test_what_broke_off_in_the_middle_is_taken_up_by_the_same_command(
    house: House, onhand: Onhand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sheets, "PAGE_ROWS", 1)
    path = sheet(tmp_path, "sku,quantity\nA,9\nB,4\n")
    asked = sheets._body

    def broken(report: sheets._Report, page: list[object], *, apply: bool) -> object:
        house.store.trouble = "the disk is full" if apply and report.told else ""
        return asked(report, page, apply=apply)

    with monkeypatch.context() as patch:
        patch.setattr(sheets, "_body", broken)
        refused = await onhand("import", path, "--apply")
    assert refused.code == 1
    assert "1 lines of" in refused.err
    assert "the disk is full" in refused.err
    house.store.trouble = ""
    again = (await onhand("import", path, "--apply", "--json")).json()
    assert (again["told"], again["states"]["applied"], again["states"]["new"]) == (1, 1, 1)


async def test_what_cannot_be_read_or_written_is_one_sentence(onhand: Onhand, tmp_path: Path) -> None:
    missing = await onhand("import", str(tmp_path / "none.csv"))
    assert (missing.code, missing.err.count("\n")) == (1, 1)
    unwritable = await onhand("export", str(tmp_path / "no" / "F.csv"))
    assert (unwritable.code, unwritable.err.count("\n")) == (1, 1)


def test_without_a_daemon_a_wrong_file_is_still_told_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = str(tmp_path / "nothing")
    assert main(["import", sheet(tmp_path, "sku,quantity\nA,1\nB,x\n"), "--socket", nowhere]) == 2
    assert "line 3: the quantity 'x' is no whole number" in capsys.readouterr().err
    assert main(["import", sheet(tmp_path, "sku,quantity\nA,1\n"), "--socket", nowhere]) == 3
    assert main(["export", str(tmp_path / "out.csv"), "--socket", nowhere]) == 3
    assert sorted(os.listdir(tmp_path)) == ["F.csv"]

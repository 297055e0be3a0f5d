"""Counts from a file over the admin socket: compared first, told whole pages at a time, told once."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from daemon.admin.imports import SOURCE
from daemon.admin.words import rfc3339
from daemon.domain.instants import SECOND_US
from daemon.domain.observations import LevelReport, OrderLine, StockCount
from tests.harness import START_US, AdminSocket, House

FILE = "0123456789abcdef"


def line(number: int, sku: str, quantity: int, **more: object) -> dict[str, object]:
    return {"line": number, "sku": sku, "quantity": quantity, **more}


async def compared(admin: AdminSocket, *rows: dict[str, object], apply: bool = False, file: str = FILE) -> Any:
    answer = await admin.post("/v1/import", {"file": file, "apply": apply, "rows": rows})
    assert answer.status == 200, answer.body
    return answer.json()


async def one(admin: AdminSocket, row: dict[str, object], *, apply: bool = False, file: str = FILE) -> Any:
    (found,) = (await compared(admin, row, apply=apply, file=file))["rows"]
    return found


async def fulfilled(house: House, sku: str, units: int, order: str = "1001") -> None:
    """An order of so many units, handed over at once."""
    told = OrderLine("shop", order, "1", sku, units, fulfilled=units, version=house.clock.us, at=house.now())
    await house.tell(told, by="webhook")


async def test_the_difference_is_shown_and_nothing_is_told(house: House, admin: AdminSocket) -> None:
    await house.counted("A", 5)
    await house.sold("A", 2)
    await house.counted("B", 4)
    await house.listed("C", None)
    head = house.store.head.seq
    found = await compared(admin, line(2, "A", 9), line(3, "B", 4), line(4, "C", 1), line(5, "D", 7))
    assert (found["applied"], found["told"]) == (False, 0)
    assert [(each["state"], each["now"], each["then"], each["change"]) for each in found["rows"]] == [
        ("changed", 5, 9, 4), ("same", 4, 4, 0), ("first", None, 1, 1), ("new", None, 7, 7),
    ]  # fmt: skip
    assert (found["rows"][0]["available_now"], found["rows"][0]["available_then"]) == (3, 7)
    assert house.store.head.seq == head
    assert house.registry.peek("D") is None


async def test_what_is_applied_is_in_the_log_with_its_person_and_its_line(house: House, admin: AdminSocket) -> None:
    rows = [line(2, "A", 9, kind="available", reference="R7", note="yearly"), line(3, "B", 4, location="back")]
    found = await compared(admin, *rows, apply=True)
    assert found["told"] == 2
    assert house.registry.peek("A").stock.available == 9  # type: ignore[union-attr]  # it was just told
    (record,) = house.store.history("A")
    message = record.message
    assert isinstance(message, StockCount)
    assert (message.source, message.kind) == (SOURCE, "available")
    assert message.reference == f"R7 (yearly) [csv {FILE}:2]"
    assert "uid" in record.cause.by
    assert record.message.at.at.hi > START_US
    assert house.registry.peek("B").stock.anchors["back"].reference == f"[csv {FILE}:3]"  # type: ignore[union-attr]  # as above


async def test_the_same_line_of_the_same_file_counts_once(house: House, admin: AdminSocket) -> None:
    await house.counted("A", 5)
    await compared(admin, line(2, "A", 9), apply=True)
    await fulfilled(house, "A", 3)
    again = await one(admin, line(2, "A", 9))
    assert (again["state"], again["now"], again["then"]) == ("applied", 6, 6)
    assert again["applied_at"]
    head = house.store.head.seq
    assert (await compared(admin, line(2, "A", 9), apply=True))["told"] == 0
    assert house.store.head.seq == head
    assert (await one(admin, line(2, "A", 9), file="f" * 16))["state"] == "changed", "another file is another count"
    assert (await one(admin, line(3, "A", 9)))["state"] == "changed", "so is another line"


async def test_a_line_that_found_no_difference_is_told_too_so_that_it_counts_once(
    house: House, admin: AdminSocket
) -> None:
    await house.counted("A", 9)
    first = await compared(admin, line(2, "A", 9), apply=True)
    assert (first["told"], first["rows"][0]["state"]) == (1, "same")
    await fulfilled(house, "A", 3)
    await house.counted("A", 6)  # a newer count stands before it
    again = await compared(admin, line(2, "A", 9), apply=True)
    assert (again["told"], again["rows"][0]["state"]) == (0, "applied")
    assert house.registry.peek("A").stock.available == 6  # type: ignore[union-attr]  # it was told above


async def test_a_page_with_a_wrong_line_is_told_not_at_all(house: House, admin: AdminSocket) -> None:
    house.registry.quarantined["Q"] = "crashed three times"
    rows = [line(2, "A", 9), line(3, "Q", 4), line(4, "A", 3), line(5, "B", 1, counted_at="soon")]
    found = (await compared(admin, *rows))["rows"]
    assert [each["state"] for each in found] == ["new", "wrong", "wrong", "wrong"]
    assert "see `onhand dead-letters`" in found[1]["problem"]
    refused = await admin.post("/v1/import", {"file": FILE, "apply": True, "rows": rows})
    assert (refused.status, refused.code) == (409, "wrong_lines")
    said = refused.json()["error"]["message"]
    assert all(f"line {number}: " in said for number in (3, 4, 5))
    assert house.registry.peek("A") is None


async def test_a_quarantined_sku_that_does_not_differ_hinders_nobody(house: House, admin: AdminSocket) -> None:
    await house.counted("Q", 4)
    house.registry.quarantined["Q"] = "crashed three times"
    found = await compared(admin, line(2, "Q", 4), line(3, "A", 1), apply=True)
    assert ([each["state"] for each in found["rows"]], found["told"]) == (["same", "new"], 1)
    assert (await one(admin, line(2, "Q", 5)))["state"] == "wrong"


async def test_a_past_count_holds_what_came_before_it_and_not_what_came_after(
    house: House, admin: AdminSocket
) -> None:
    await house.counted("A", 10)
    counted_us = house.clock.us + 60 * SECOND_US
    house.clock.us = counted_us + 60 * SECOND_US
    await fulfilled(house, "A", 2)
    stamp = rfc3339(counted_us)
    found = await one(admin, line(2, "A", 8, counted_at=stamp), apply=True)
    assert (found["state"], found["now"], found["then"]) == ("changed", 8, 6)
    assert (await one(admin, line(2, "A", 8, counted_at=stamp), file="e" * 16))["state"] == "same"
    old = await one(admin, line(2, "A", 3, counted_at=rfc3339(START_US - SECOND_US)), apply=True)
    assert (old["state"], old["then"]) == ("superseded", 6)
    future = await one(admin, line(3, "A", 3, counted_at=rfc3339(house.clock.us + 3600 * SECOND_US)))
    assert "in the future" in future["problem"]


async def test_a_count_of_this_very_minute_ends_now(house: House, admin: AdminSocket) -> None:
    minute = rfc3339(house.clock.us)[:16] + "Z"
    await compared(admin, line(2, "A", 3, counted_at=minute), apply=True)
    at = house.registry.peek("A").stock.anchors[""].at  # type: ignore[union-attr]  # it was just told
    assert at.at.hi <= house.clock.us


async def test_what_the_counts_of_other_places_mean_is_said(house: House, admin: AdminSocket) -> None:
    await house.counted("A", 5)
    found = await one(admin, line(2, "A", 3, location="back"))
    assert (found["state"], found["now"], found["then"]) == ("first", None, 3)
    assert (found["available_now"], found["available_then"]) == (5, 8)
    assert found["note"] == "also counted at no location: the counts of all locations are added up"


async def test_what_cannot_be_taken_now_is_503_and_nothing_is_told(house: House, admin: AdminSocket) -> None:
    house.store.trouble = "the disk is full"
    refused = await admin.post("/v1/import", {"file": FILE, "apply": True, "rows": [line(2, "A", 9)]})
    assert (refused.status, refused.code) == (503, "overloaded")
    assert house.store.head.seq == 0


@pytest.mark.parametrize(
    "body",
    [
        {"file": "x", "rows": []},
        {"file": FILE},
        {"file": FILE, "rows": [line(0, "A", 1)]},
        {"file": FILE, "rows": [line(1, "A", -1)]},
        {"file": FILE, "rows": [line(place, str(place), 1) for place in range(1, 202)]},
    ],
)
async def test_a_body_out_of_its_bounds_is_refused(body: object, admin: AdminSocket) -> None:
    assert (await admin.post("/v1/import", body)).status == 400


async def test_the_export_says_what_stands_at_each_location(house: House, admin: AdminSocket) -> None:
    await house.listed("A", 5, "shop")
    await house.tell(LevelReport("shop", "L-twin", 5, house.now(), "A"), by="catalogue")
    await house.counted("A", 5)
    await house.sold("A", 2)
    await house.tell(StockCount("person", "A", 4, at=house.now(), location="back"))
    await house.listed("B", None, "site")
    await house.counted("C", 1)
    await fulfilled(house, "C", 3)
    rows = (await admin.get("/v1/export")).json()["counts"]
    assert [(each["sku"], each["location"], each["quantity"], each["remark"]) for each in rows] == [
        ("A", "", 5, None), ("A", "back", 4, None), ("B", "", None, "nobody has counted it yet"),
        ("C", "", None, "the books have -2 here: count it"),
    ]  # fmt: skip
    assert rows[0]["listings"] == [{"channel": "shop", "listing": "L-A"}, {"channel": "shop", "listing": "L-twin"}]
    assert rows[0]["repeated"] == ["shop"]
    noted = await one(admin, line(2, "A", 5))
    assert (noted["state"], noted["repeated"]) == ("same", ["shop"])


async def test_the_export_comes_in_pages(house: House, admin: AdminSocket) -> None:
    for sku in "ABC":
        await house.counted(sku, 1)
    first = (await admin.get("/v1/export?limit=2")).json()
    assert ([each["sku"] for each in first["counts"]], first["next"]) == (["A", "B"], "B")
    last = (await admin.get("/v1/export?limit=2&cursor=B")).json()
    assert ([each["sku"] for each in last["counts"]], last["next"]) == (["C"], None)


async def test_two_imports_of_one_file_at_once_count_once(house: House, admin: AdminSocket) -> None:
    await house.counted("A", 5)
    told = []

    async def apply() -> None:
        told.append((await compared(admin, line(2, "A", 9), apply=True))["told"])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(apply)
        nursery.start_soon(apply)
    assert sorted(told) == [0, 1]

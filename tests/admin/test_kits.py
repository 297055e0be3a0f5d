"""Kits as a person sees them: over the admin socket and as the command line shows them."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from attrs import evolve

from daemon.actors.actor import Part
from daemon.admin.shapes import Explanation, History, SkuState
from daemon.domain.kits import expand
from daemon.domain.observations import OrderLine
from daemon.storage.codec import Cause
from tests.cli.conftest import Onhand
from tests.harness import AdminSocket, House, admin_socket, housed

RECIPE = (("CUP", 1), ("PLATE", 2))
KITS = {"SET": RECIPE, "PAIR": (("CUP", 2),)}


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with housed(tmp_path, kits=KITS) as running:
        yield running


@pytest.fixture
async def admin(house: House) -> AsyncIterator[AdminSocket]:
    with tempfile.TemporaryDirectory() as short:
        async with admin_socket(house, Path(short) / "s") as socket:
            yield socket


@pytest.fixture
def onhand(house: House, admin: AdminSocket, capsys: pytest.CaptureFixture[str]) -> Onhand:
    return Onhand(admin.path, house, admin, capsys)


async def stocked(house: House) -> None:
    """Five cups, seven plates, and one set sold at the shop in order 1001."""
    await house.counted("CUP", 5)
    await house.counted("PLATE", 9)
    await house.listed("SET", 9)
    await sold(house, 1)


async def sold(house: House, units: int, **changed: Any) -> None:
    line = OrderLine("shop", "1001", "7", "SET", units, version=house.clock.us, at=house.now(), listing="L-SET")
    await house.registry.deliver(
        [Part(each.sku, each, Cause("webhook", "shop", 7, "1001", "7"))
         for each in expand(evolve(line, **changed), RECIPE)]
    )  # fmt: skip


async def test_a_kit_has_the_contracts_shape_and_its_components(house: House, admin: AdminSocket) -> None:
    await stocked(house)
    document = (await admin.get("/v1/skus/SET")).json()
    assert {name: document[name] for name in ("sku", "available", "on_hand", "held", "debt", "kits")} == {
        "sku": "SET", "available": 3, "on_hand": None, "held": 1, "debt": 0, "kits": [],
    }  # fmt: skip
    assert document["components"] == [
        {"sku": "CUP", "units": 1, "available": 4, "makes": 4, "limits": False, "doubt": None},
        {"sku": "PLATE", "units": 2, "available": 7, "makes": 3, "limits": True, "doubt": None},
    ]
    shown = {each["channel"]: (each["belief"], each["desired"]) for each in document["listings"]}
    assert shown == {"shop": (8, 3), "site": (9, 3)}
    cup = (await admin.get("/v1/skus/CUP")).json()
    assert (cup["available"], cup["on_hand"], cup["held"], cup["components"]) == (4, 5, 1, None)
    assert cup["kits"] == ["PAIR", "SET"]
    rows = {row["sku"]: row["available"] for row in (await admin.get("/v1/skus")).json()["skus"]}
    assert rows == {"CUP": 4, "PAIR": 2, "PLATE": 7, "SET": 3}


async def test_every_answer_about_kits_has_the_shape_of_its_description(house: House, admin: AdminSocket) -> None:
    await stocked(house)
    shapes: dict[str, Any] = {"": SkuState, "/explain": Explanation, "/history": History}
    for sku in ("SET", "PLATE"):
        for path, shape in shapes.items():
            msgspec.json.decode((await admin.get(f"/v1/skus/{sku}{path}")).body, type=shape)


async def test_history_says_why_a_kit_moved_and_through_which_kit_a_component_did(
    house: House, admin: AdminSocket
) -> None:
    await stocked(house)
    kit = (await admin.get("/v1/skus/SET/history?limit=4")).json()["history"]
    assert [(each["kind"], each["before"], each["after"], each["note"]) for each in kit] == [
        ("component", 4, 3, "component PLATE has 7 available"),
        ("component", 4, 4, "component CUP has 4 available"),
        ("order", 4, 4, "order 1001 line 7: 1 ordered"),
        ("link", 4, 4, "listing L-SET was linked to this SKU; it shows 9"),
    ]
    assert {each["cause"]["delivery"] for each in kit[:3]} == {7}
    assert {(each["cause"]["order"], each["cause"]["line"]) for each in kit[:3]} == {("1001", "7")}
    first = (await admin.get("/v1/skus/SET/history")).json()["history"][-1]
    assert (first["kind"], first["note"]) == ("recipe", "a kit of 1 CUP, 2 PLATE")
    assert first["components"] == [{"sku": "CUP", "units": 1}, {"sku": "PLATE", "units": 2}]
    (plate, *_) = (await admin.get("/v1/skus/PLATE/history")).json()["history"]
    assert (plate["before"], plate["after"], plate["kit"]) == (9, 7, "SET")
    assert plate["note"] == "order 1001 line 7 (through kit SET): 2 ordered"


async def test_explain_names_the_component_that_limits_and_the_kit_that_holds(
    house: House, admin: AdminSocket
) -> None:
    await stocked(house)
    document = (await admin.get("/v1/skus/SET/explain?channel=site")).json()
    assert document["stock"] == [
        "SET is a kit of 1 CUP, 2 PLATE: there are as many as its scarcest component makes",
        "4 CUP make 4 at 1 each",
        "7 PLATE make 3 at 2 each, which sets the number",
    ]
    (listing,) = document["listings"]
    assert (listing["should_show"], listing["rules"]) == (3, ["kits from PLATE", "available 3"])
    assert listing["why"][1] == "it should show 3: kits from PLATE, available 3"
    plate = (await admin.get("/v1/skus/PLATE/explain")).json()
    assert "2 of the units held were sold through kit SET" in plate["stock"]
    assert "it is a component of SET" in plate["stock"]
    (order,) = plate["open_orders"]
    assert (order["order"], order["line"], order["held"], order["kit"]) == ("1001", "7", 2, "SET")


async def test_explain_says_what_an_uncounted_component_means(house: House, admin: AdminSocket) -> None:
    await house.counted("CUP", 5)
    await house.listed("SET", 9)
    document = (await admin.get("/v1/skus/SET/explain")).json()
    assert document["available"] is None
    assert document["stock"][2] == "nobody has counted PLATE yet: nothing is pushed until `onhand count PLATE N`"
    assert document["listings"][0]["rules"] == [
        "a component has not been counted yet: the channel keeps what it shows"
    ]
    assert {each["desired"] for each in (await admin.get("/v1/skus/SET")).json()["listings"]} == {None}


async def test_a_component_in_doubt_is_named_with_its_letter_until_that_is_discarded(
    house: House, admin: AdminSocket
) -> None:
    await stocked(house)
    house.dead_letters.add(
        "poison", house.clock(), channel="shop", sku="PLATE", cause="a crash", subject="order 9 line 1", content=b""
    )
    await house.counted("PLATE", 8)
    document = (await admin.get("/v1/skus/SET/explain?channel=shop")).json()
    assert any(
        said == "of PLATE there may be fewer (dead letter 1: order 9 line 1): nothing is raised until that letter is "
        "retried or discarded"
        for said in document["stock"]
    )
    why = document["listings"][0]["why"][1]
    assert why.startswith("it keeps 3 because of a component there may be fewer; else it would be 4: kits from ")
    assert (await admin.get("/v1/skus/SET")).json()["components"][1]["doubt"] == "dead letter 1: order 9 line 1"
    assert (await admin.post("/v1/dead-letters/1/discard")).status == 200
    document = (await admin.get("/v1/skus/SET")).json()
    assert {each["desired"] for each in document["listings"]} == {4}
    assert document["components"][1]["doubt"] is None


@pytest.mark.parametrize(("path", "command"), [("counts", "count"), ("adjustments", "adjust")])
async def test_a_kit_is_not_counted_but_its_components(
    path: str, command: str, house: House, admin: AdminSocket, onhand: Onhand
) -> None:
    events = house.store.head.seq
    answer = await admin.post(f"/v1/{path}", {"sku": "SET", "quantity": 4})
    assert (answer.status, answer.code) == (409, "kit")
    assert answer.json()["error"]["hint"] == "count or adjust its components: CUP, PLATE"
    ran = await onhand(command, "SET", "4")
    assert ran.code == 1
    assert ran.err == "'SET' is a kit and not on the shelf itself: count or adjust its components: CUP, PLATE\n"
    assert house.store.head.seq == events


async def test_the_command_line_shows_a_kit_with_its_components(house: House, onhand: Onhand) -> None:
    assert (await onhand("sku", "SET")).out.startswith("SET: a kit, and a component has not been counted yet\n")
    await stocked(house)
    shown = (await onhand("sku", "SET")).out
    assert shown.startswith("SET: a kit, 3 can be made (1 sold and not yet handed over)\n")
    rows = [line.split() for line in shown.splitlines()]
    assert ["PLATE", "2", "7", "3", "yes", "-"] in rows
    assert ["CUP", "1", "4", "4", "no", "-"] in rows
    assert (await onhand("sku", "SET", "--json")).json()["components"][0]["sku"] == "CUP"
    cup = (await onhand("sku", "CUP")).out.splitlines()
    assert cup[:2] == ["CUP: 4 available (5 on the shelf, 1 of them sold)", "component of PAIR, SET"]
    explained = (await onhand("explain", "PLATE")).out
    assert "through kit" in explained
    assert "2 of the units held were sold through kit SET" in explained
    assert "a kit of 1 CUP, 2 PLATE" in (await onhand("history", "SET")).out

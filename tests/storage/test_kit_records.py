"""What kits add to the data format, written down byte for byte; what was written before kits stays as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.actors.actor import Actor, dump_actor, load_actor
from daemon.domain.instants import Instant, Span, exactly
from daemon.domain.kits import Assemble, ComponentLevel, Kit, expand
from daemon.domain.observations import OrderLine
from daemon.domain.sku import Sku
from daemon.storage.codec import Cause, EmptyOrder, Record, dump_record, load_record, pack
from daemon.storage.orders import OrderEntry, OrderIndex, dump_entry, load_entry
from daemon.storage.tables import ORDERS, pair
from tests.storage.rooms import opened

RECIPE = (("CUP", 1), ("PLATE", 2))
LINE = OrderLine("shop", "1001", "1", "SET", 2, version=7, at=Instant(Span(1, 2)))
MESSAGES = {
    "a component's line": expand(LINE, RECIPE)[1],
    "a kit's own line": expand(LINE, RECIPE)[-1],
    "recipe": Assemble(RECIPE),
    "no recipe": Assemble(()),
    "component": ComponentLevel("CUP", -3, 9),
    "component in doubt": ComponentLevel("CUP", None, 9, "dead letter 1"),
}
GOLDEN = {
    "a component's line": (
        "97cd03e8a5504c415445dc001100a473686f70a431303031a1319201020704c0c2a000000000a0a35345549292a343555001"
        "92a5504c4154450295a4706f6c6ca473686f7000a0a004c0a0"
    ),
    "a kit's own line": (
        "97cd03e8a3534554dc001100a473686f70a431303031a1319201020702c0c2a000000000a0a35345549292a34355500192a5"
        "504c4154450295a4706f6c6ca473686f7000a0a004c0a0"
    ),
    "recipe": "97cd03e8a3534554920d9292a34355500192a5504c4154450295a4706f6c6ca473686f7000a0a004c0a0",
    "no recipe": "97cd03e8a3534554920d9095a4706f6c6ca473686f7000a0a004c0a0",
    "component": "97cd03e8a3534554940ea3435550fd0995a4706f6c6ca473686f7000a0a004c0a0",
    "component in doubt": (
        "97cd03e8a3534554950ea3435550c009ad64656164206c6574746572203195a4706f6c6ca473686f7000a0a004c0a0"
    ),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_a_log_record_is_these_bytes(name: str) -> None:
    message = MESSAGES[name]
    record = Record(9, 1_000, getattr(message, "sku", "SET"), message, Cause("poll", "shop"), 4, None)
    payload = dump_record(record)
    assert payload.hex() == GOLDEN[name]
    assert load_record(9, payload) == record


KIT = "929292a34355500192a5504c415445029194a34355500507a3776879"


def test_a_kits_row_is_these_bytes() -> None:
    actor = Actor(Sku("SET", kit=Kit(RECIPE, {"CUP": ComponentLevel("CUP", 5, 7, "why")})), 9)
    row = dump_actor(actor)
    assert row.hex() == "9b09c095009090909095000000909090c090" + KIT + "900000"
    assert load_actor("SET", row) == actor
    before_lines_were_packed = load_actor("SET", bytes.fromhex("9709950090909090c090" + KIT + "0000"))
    assert before_lines_were_packed == actor
    before_marks = load_actor("SET", bytes.fromhex("9509950090909090c090" + KIT))
    assert (before_marks.seq, before_marks.state) == (9, actor.state)


def test_a_stored_order_knows_what_its_kits_were_made_of() -> None:
    entry = OrderEntry()
    entry.learn("shop", "1001", [LINE], (7, 0), LINE.at, {"SET": RECIPE})
    plain = OrderEntry()
    plain.learn("shop", "1001", [LINE], (7, 0), LINE.at)
    dumped = [dump_entry(each) for each in (entry, plain)]
    assert dumped[0].hex() == "929194a131a3534554a09292a34355500192a5504c4154450291930700920102"
    assert dumped[1] == pack(([("1", "SET", "")], [(7, 0, (1, 2))]))  # as it was written before there were kits
    assert [load_entry(each) for each in dumped] == [entry, plain]


async def test_an_order_is_known_again_by_any_one_of_its_kits_lines(tmp_path: Path) -> None:
    for place in range(3):
        async with opened(tmp_path / str(place)) as store:
            orders = OrderIndex(store, {"SET": (("SPOON", 9),)})  # the recipe of today, not of then
            orders.replayed(expand(LINE, RECIPE)[place])
            assert orders.sku_of("shop", "1001", "1") == "SET"
            newer = orders.learn("shop", "1001", [], (8, 0), exactly(5))
            assert [each.sku for each in newer if not isinstance(each, EmptyOrder)] == ["CUP", "PLATE", "SET"]
            await store.checkpoint()
            again = OrderIndex(store)
            assert again.table.get(pair("shop", "1001")) == orders.table.get(pair("shop", "1001"))
            assert store.env.count(ORDERS) == 1

"""The data format, written down: whoever changes a byte of it has to change it here too, on purpose."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.actors.actor import MARK_EVERY, Actor, dump_actor, load_actor
from daemon.domain.conditions import Compacted, Estranged, FeedRead, Root, Standing, Stuck, rules_of
from daemon.domain.instants import Instant, Span
from daemon.domain.observations import Adjustment, LevelReport, OrderLine, StockCount
from daemon.domain.policy import Policy
from daemon.domain.sku import (
    Confirmed,
    Doubted,
    Failed,
    Freeze,
    Link,
    Postponed,
    ReadBack,
    Restore,
    Revive,
    Sent,
    Settle,
    Sku,
)
from daemon.storage.codec import (
    Cause,
    DamagedError,
    EmptyOrder,
    Record,
    dump_record,
    load_record,
    number,
    pack,
    seal,
    unpack,
    unseal,
)
from daemon.storage.idempotency import digest
from daemon.storage.tables import BEHIND, TABLES, pair

AT = Instant(Span(1, 2), Span(3, 4))
LINE = OrderLine("shop", "1001", "1", "A", 2, version=7, at=Instant(Span(1, 2)))
MESSAGES = {
    "order line": LINE,
    "full order line": OrderLine(
        "c", "o", "l", "A", 9, 1, 2, 3, 4, 5, at=AT, placed=Instant(Span(0, 0)), takes_at_placement=True,
        listing="L", location="east",
    ),
    "count": StockCount("person", "A", -3, at=AT),
    "shelf count": StockCount("person", "A", 3, "on_hand", at=AT, location="east", reference="r"),
    "adjustment": Adjustment("person", "r1", "A", -2, at=AT, reason="broken"),
    "level": LevelReport("shop", "L1", 5, AT, "A", 3, "Mug"),
    "unknown level": LevelReport("shop", "L1", None, AT, "A"),
    "zero level": LevelReport("shop", "L1", 0, AT, "A"),
    "sent": Sent("shop", "L1", 4, 5, None),
    "confirmed": Confirmed("shop", "L1", 4, 5, AT),
    "failed": Failed("shop", "L1", 4, "no", 99, 7),
    "doubted": Doubted("shop", "L1", 4, "?", 99, 100),
    "read back": ReadBack("shop", "L1", None, AT),
    "freeze": Freeze(frozen=True, by="ann", reason="audit"),
    "settle": Settle(12),
    "settle with floors": Settle(12, {"eu": 7}),
    "revive": Revive("shop", "L1", anyway=True),
    "restore": Restore("shop", "L1", 4),
    "let go": Restore("shop", "L1", None),
    "link": Link("shop", "L1", linked=True, by="ann", reason="case"),
    "unlink": Link("shop", "L1", linked=False, by="ann"),
    "empty order": EmptyOrder("shop", "1001", 3, 0, AT),
    "rules": rules_of({"shop": (Policy(buffer=1, share=0.5, cap=9), True)}, {"SET": (("CUP", 2),)}),
    "standing": Standing.of(["site", "shop"], {"shop": "shadow", "site": "live"}),
    "feed read": FeedRead("shop", 7),
    "stuck": Stuck("q", halted=True, poison="p", differs="d"),
    "not stuck": Stuck(),
    "root": Root("2026-01-31", 8, bytes(range(16))),
    "estranged": Estranged((("shop", 9),)),
    "postponed": Postponed("shop", "L1", "no answer", 9),
    "compacted": Compacted(256, bytes(range(16)), bytes(range(32))),
}  # fmt: skip


def record(message: object) -> Record:
    sku = "" if isinstance(message, EmptyOrder) else "A"
    cause = Cause("poll", "shop", 3, "1001", "1")
    return Record(9, 1_000, sku, message, cause, 4, None, "late")  # type: ignore[arg-type]  # any message


GOLDEN = {
    "order line": (
        "97cd03e8a1419700a473686f70a431303031a131920102070295a4706f6c6ca473686f7003a431303031a13104c0a46c617465"
    ),
    "full order line": (
        "97cd03e8a1419f00a163a16fa16c94010203040409920000c3a14c01020305a46561737495a4706f6c6ca473686f7003"
        "a431303031a13104c0a46c617465"
    ),
    "count": "97cd03e8a1419401a6706572736f6efd940102030495a4706f6c6ca473686f7003a431303031a13104c0a46c617465",
    "shelf count": (
        "97cd03e8a1419701a6706572736f6e039401020304a76f6e5f68616e64a465617374a17295a4706f6c6ca473686f7003"
        "a431303031a13104c0a46c617465"
    ),
    "adjustment": (
        "97cd03e8a1419702a6706572736f6ea27231fe9401020304a0a662726f6b656e95a4706f6c6ca473686f7003a4313030"
        "31a13104c0a46c617465"
    ),
    "level": (
        "97cd03e8a1419703a473686f70a24c3105940102030403a34d756795a4706f6c6ca473686f7003a431303031a13104c0a46c617465"
    ),
    "unknown level": (
        "97cd03e8a1419503a473686f70a24c31c0940102030495a4706f6c6ca473686f7003a431303031a13104c0a46c617465"
    ),
    "zero level": "97cd03e8a1419503a473686f70a24c3100940102030495a4706f6c6ca473686f7003a431303031a13104c0a46c617465",
    "sent": "97cd03e8a1419604a473686f70a24c310405c095a4706f6c6ca473686f7003a431303031a13104c0a46c617465",
    "confirmed": (
        "97cd03e8a1419605a473686f70a24c310405940102030495a4706f6c6ca473686f7003a431303031a13104c0a46c617465"
    ),
    "failed": "97cd03e8a1419706a473686f70a24c3104a26e6f630795a4706f6c6ca473686f7003a431303031a13104c0a46c617465",
    "doubted": "97cd03e8a1419707a473686f70a24c3104a13f636495a4706f6c6ca473686f7003a431303031a13104c0a46c617465",
    "read back": "97cd03e8a1419508a473686f70a24c31c0940102030495a4706f6c6ca473686f7003a431303031a13104c0a46c617465",
    "freeze": "97cd03e8a1419409c3a3616e6ea5617564697495a4706f6c6ca473686f7003a431303031a13104c0a46c617465",
    "settle": "97cd03e8a141920a0c95a4706f6c6ca473686f7003a431303031a13104c0a46c617465",
    "settle with floors": "97cd03e8a141930a0c81a265750795a4706f6c6ca473686f7003a431303031a13104c0a46c617465",
    "revive": "97cd03e8a141940ba473686f70a24c31c395a4706f6c6ca473686f7003a431303031a13104c0a46c617465",
    "restore": "97cd03e8a1419410a473686f70a24c310495a4706f6c6ca473686f7003a431303031a13104c0a46c617465",
    "link": (
        "97cd03e8a1419618a473686f70a24c31c3a3616e6ea46361736595a4706f6c6ca473686f7003a431303031a13104c0a46c617465"
    ),
    "unlink": "97cd03e8a1419518a473686f70a24c31c2a3616e6e95a4706f6c6ca473686f7003a431303031a13104c0a46c617465",
    "let go": "97cd03e8a1419410a473686f70a24c31c095a4706f6c6ca473686f7003a431303031a13104c0a46c617465",
    "empty order": (
        "97cd03e8a0960ca473686f70a4313030310300940102030495a4706f6c6ca473686f7003a431303031a13104c0a46c617465"
    ),
    "rules": (
        "97cd03e8a14193119193a473686f709601cb3fe000000000000009a7636f7272656374c2c2c39192a35345549192a3435550"
        "0295a4706f6c6ca473686f7003a431303031a13104c0a46c617465"
    ),
    "standing": (
        "97cd03e8a141931292a473686f70a4736974659192a473686f70a6736861646f7795a4706f6c6ca473686f7003a431303031"
        "a13104c0a46c617465"
    ),
    "feed read": "97cd03e8a1419313a473686f700795a4706f6c6ca473686f7003a431303031a13104c0a46c617465",
    "stuck": "97cd03e8a1419514a171c3a170a16495a4706f6c6ca473686f7003a431303031a13104c0a46c617465",
    "not stuck": "97cd03e8a141911495a4706f6c6ca473686f7003a431303031a13104c0a46c617465",
    "root": (
        "97cd03e8a1419415aa323032362d30312d333108c410000102030405060708090a0b0c0d0e0f95a4706f6c6ca473686f7003"
        "a431303031a13104c0a46c617465"
    ),
    "estranged": "97cd03e8a14192179192a473686f700995a4706f6c6ca473686f7003a431303031a13104c0a46c617465",
    "postponed": (
        "97cd03e8a1419516a473686f70a24c31a96e6f20616e737765720995a4706f6c6ca473686f7003a431303031a13104c0a46c617465"
    ),
    "compacted": (
        "97cd03e8a1419419cd0100c410000102030405060708090a0b0c0d0e0fc420000102030405060708090a0b0c0d0e0f1011121314"
        "15161718191a1b1c1d1e1f95a4706f6c6ca473686f7003a431303031a13104c0a46c617465"
    ),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_a_log_record_is_these_bytes(name: str) -> None:
    payload = dump_record(record(MESSAGES[name]))
    assert payload.hex() == GOLDEN[name]
    assert load_record(9, payload) == record(MESSAGES[name])


def test_a_key_is_these_bytes() -> None:
    assert number(258).hex() == "0000000000000102"
    assert pair("shop", "1001") == b"shop\x001001"
    assert pair("shop", "x" * 600).hex()[960:] == "1d9d2130000000000000025d"
    assert len(pair("shop", "x" * 600)) == 492
    assert digest("shop", "d-1").hex() == "f7cd95d90ad5b1cba6611fdbd4c9f468"


def test_the_tables_are_these() -> None:
    assert TABLES == (
        "meta", "log", "chain", "deliveries", "dead", "cursors", "refetch", "skus", "links", "orders", "history",
        "dedup", "open", "alarms", "drifts", "drift_days", "priors", "shadows", "marks", "stuck", "tellings",
        "bases",
    )  # fmt: skip
    assert sorted(BEHIND) == ["dedup", "history", "links", "open", "orders", "shadows", "skus"]


def test_a_sealed_row_is_these_bytes() -> None:
    assert seal(b"key", b"payload").hex() == "b0266cca7061796c6f6164"
    assert unseal(b"key", seal(b"key", b"payload"), "t") == b"payload"


def sku() -> Actor:
    state = Sku("A")
    for place, name in enumerate(("level", "count", "order line", "freeze", "adjustment")):
        state.step(MESSAGES[name], 100 + place, lambda _: Policy())  # type: ignore[arg-type]  # messages all
    return Actor(state, 42)


ROW = (
    "9b2ac09500909196a0fda9617661696c61626c659401020304a6706572736f6ea0909195a6706572736f6ea27231fe94"
    "01020304a095040202919292a473686f70a0029193a473686f70a431303031a1319092a3616e6ea5617564697491dc00"
    "15a473686f70a24c31a141000165059401020304039193a473686f70a431303031a131000000000000ce001e84e600a0"
    "0000c09591a473686f7091a43130303191a131910791c4129491940700920102919502000000a0c0c2a00000"
)
UNPACKED_ROW = (
    "972a9500909196a0fda9617661696c61626c659401020304a6706572736f6ea09197a473686f70a431303031a1319194"
    "0700920102919502000000a0c0c2a09195a6706572736f6ea27231fe9401020304a092a3616e6ea5617564697491dc00"
    "15a473686f70a24c31a141000165059401020304039193a473686f70a431303031a131000000000000ce001e84e600a0"
    "0000c00000"
)
"""As it was written before its order lines were packed one by one."""
FIRST_ROW = "94" + UNPACKED_ROW[2:-6]
"""As it was written before there were marks."""


def test_the_row_of_a_sku_is_these_bytes() -> None:
    payload = dump_actor(sku())
    assert payload.hex() == ROW
    again = load_actor("A", payload)
    assert (again.seq, again.state, again.unmarked) == (42, sku().state, 0)
    assert dump_actor(again) == payload


def test_a_row_from_before_lines_were_packed_is_read_and_written_anew() -> None:
    again = load_actor("A", bytes.fromhex(UNPACKED_ROW))
    assert (again.seq, again.state, again.unmarked) == (42, sku().state, 0)
    assert dump_actor(again).hex() == ROW


def test_a_row_from_before_there_were_marks_is_read_and_marked_with_its_next_event() -> None:
    again = load_actor("A", bytes.fromhex(FIRST_ROW))
    assert (again.seq, again.state, again.unmarked) == (42, sku().state, MARK_EVERY)


@pytest.mark.parametrize(
    "swap", [lambda row: (b"other", row), lambda row: (b"key", row[:-1]), lambda row: (b"key", b"")]
)
def test_a_row_under_another_key_or_cut_short_is_damaged(swap: Callable[[bytes], tuple[bytes, bytes]]) -> None:
    key, value = swap(seal(b"key", b"payload"))
    with pytest.raises(DamagedError, match="table links is damaged"):
        unseal(key, value, "links")


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.binary(min_size=1, max_size=60), st.binary(max_size=60), st.data())
def test_any_flipped_bit_of_a_row_is_noticed(key: bytes, payload: bytes, data: st.DataObject) -> None:
    row = bytearray(seal(key, payload))
    bit = data.draw(st.integers(0, len(row) * 8 - 1))
    row[bit // 8] ^= 1 << bit % 8
    with pytest.raises(DamagedError):
        unseal(key, bytes(row), "log")


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.binary(max_size=40))
def test_any_bytes_as_a_record_are_a_record_or_damage(payload: bytes) -> None:
    try:
        load_record(1, payload)
    except DamagedError:
        return


def test_a_value_that_is_no_msgpack_is_damage() -> None:
    with pytest.raises(DamagedError, match="cannot be decoded"):
        unpack(b"\xc1")
    assert unpack(pack((1, "a", None, b"x", True))) == [1, "a", None, b"x", True]

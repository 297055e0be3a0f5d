"""The floor of the log: its row, and a sum that any row can be put into and taken out of again, in any order."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.storage.codec import Cause, EmptyOrder, number
from daemon.storage.floor import FLOOR, Floor, Row, read_floor, rows_below, weight
from daemon.storage.tables import BASES, LOG, META
from tests.storage.rooms import opened
from tests.storage.test_codec import AT

ROWS = st.tuples(st.sampled_from((LOG, BASES)), st.binary(min_size=1, max_size=12), st.binary(max_size=12))


def test_its_row_is_these_bytes() -> None:
    assert Floor(256, 7, bytes(range(16)), 9).dump().hex() == (
        "94cd010007c410000102030405060708090a0b0c0d0e0fc420" + "00" * 31 + "09"
    )
    assert weight((LOG, b"k", b"p")) == (
        77344926592143460000773885829081347449361406153156712776540937806520604962451
    )


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(ROWS, max_size=8), st.data())
def test_what_comes_and_goes_again_leaves_the_sum_as_it_was(rows: list[Row], data: st.DataObject) -> None:
    some = data.draw(st.permutations(rows))[: len(rows) // 2]
    left = list(rows)
    for row in some:
        left.remove(row)
    assert Floor().with_rows(rows, some).rows == Floor().with_rows(left, []).rows
    assert Floor().with_rows(rows, []).with_rows([], rows) == Floor()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(ROWS, ROWS)
def test_no_two_rows_weigh_the_same(one: Row, other: Row) -> None:
    assert (weight(one) == weight(other)) == (one == other)


async def test_it_moves_in_one_transaction_with_what_goes(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        assert read_floor(store.env) == Floor()
        for turn in range(300):
            store.append("", EmptyOrder("shop", str(turn), 1, 0, AT), Cause("poll"), at_us=turn)
        await store.flush()
        before = store.commits
        kept = (LOG, number(7), store.env.get(LOG, number(7)) or b"")
        base = (BASES, b"A", b"what they made")
        floor = Floor(256, 255, bytes(range(16))).with_rows([kept, base], [])
        gone = [(LOG, number(seq)) for seq in range(1, 257) if seq != 7]
        await store.compact(floor, [base], gone, len(gone))
        assert store.commits == before + 1
        assert read_floor(store.env) == store.floor == floor
        assert list(rows_below(store.env, floor)) == [kept, base]
        assert store.env.head().records == store.env.count(LOG) == 300 - 255
        assert [record.seq for record in store.records(0)] == [7, *range(257, 301)]
        assert store.env.get(META, FLOOR) == floor.dump()

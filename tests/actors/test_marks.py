"""Marks give back the SKU that was written, whatever its lines were when they were packed."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.actors.marks import dump_mark, load_mark
from daemon.actors.packed import PackedLines
from daemon.domain.instants import exactly
from daemon.domain.observations import Observation, OrderLine
from daemon.domain.sku import Sku
from daemon.domain.stock import dump, sums_of
from daemon.storage.codec import DamagedError, pack, unpack
from tests.domain.facts import SKU, observations

POWER = settings(max_examples=120, deadline=None, derandomize=True)


def told(seen: list[Observation], state: Sku) -> Sku:
    for each in seen:
        state.stock.apply(each)
    return state


@POWER
@given(st.lists(observations, max_size=8), st.lists(observations, max_size=4))
def test_a_sku_goes_on_from_its_mark_as_if_it_had_never_been_packed(
    before: list[Observation], after: list[Observation]
) -> None:
    there, back = told(before, Sku(SKU)), load_mark(SKU, dump_mark(told(before, Sku(SKU))))
    assert isinstance(back.stock.lines, PackedLines)
    assert dump_mark(told(after, back)) == dump_mark(told(after, there))
    assert dump(back.stock) == dump(there.stock)
    assert sums_of(back.stock) == sums_of(there.stock)


@POWER
@given(st.lists(observations, max_size=8))
def test_a_mark_whose_lines_stand_row_by_row_is_read_as_well(seen: list[Observation]) -> None:
    payload = dump_mark(told(seen, Sku(SKU)))
    *plain, columns = unpack(zlib.decompress(payload))
    rows = [((channel, order, line), *packed) for channel, order, line, *packed in zip(*columns, strict=True)]
    plain[2] = rows
    assert dump_mark(load_mark(SKU, zlib.compress(pack(plain)))) == payload


@pytest.mark.parametrize("place", range(5))
def test_columns_of_unequal_length_are_damage(place: int) -> None:
    *plain, columns = unpack(
        zlib.decompress(dump_mark(told([OrderLine("shop", "1", "a", SKU, 3, at=exactly(1))], Sku(SKU))))
    )
    columns[place] = []
    with pytest.raises(DamagedError, match="a mark of SKU"):
        load_mark(SKU, zlib.compress(pack([*plain, columns])))

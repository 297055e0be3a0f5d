"""What a listing is believed to show is reckoned sale by sale, and is what reckoning all of them anew would give."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.domain.instants import SECOND_US, exactly
from daemon.domain.lines import Line
from daemon.domain.observations import LevelReport, OrderLine, StockCount
from daemon.domain.policy import Policy
from daemon.domain.sku import Confirmed, Message, Sent, Settle, Sku
from daemon.domain.slot import dump_slot
from daemon.domain.stock import SETTLE_MARGIN_US, LineKey
from tests.domain.facts import NOON, SKU, order_lines

POLICIES = {"shop": Policy(), "site": Policy(returns_unsure=True)}


def pushes(moment: int) -> tuple[Message, ...]:
    """A push that left and was confirmed."""
    return (Sent("shop", "L", moment, 3, 4), Confirmed("shop", "L", moment, 3, exactly(NOON + moment)))


LINES = st.lists(order_lines(), min_size=1, max_size=6).map(tuple)
REPORTS = st.builds(
    lambda channel, listing, level, us: (LevelReport(channel, listing, level, exactly(NOON + us), SKU),),
    st.sampled_from(["shop", "site"]), st.sampled_from("LLLLM"), st.integers(0, 9), st.integers(0, 150),
)  # fmt: skip
SETTLEMENTS = st.integers(0, 40).map(lambda us: (Settle(NOON + us + SETTLE_MARGIN_US),))
MESSAGES = st.one_of(LINES, REPORTS, st.integers(1, 150).map(pushes), SETTLEMENTS)
"""Mostly order lines, several at once."""


START: tuple[Message, ...] = (
    StockCount("person", SKU, 9, at=exactly(NOON)),
    LevelReport("shop", "L", 9, exactly(NOON + 5), SKU),
    LevelReport("site", "L", 9, exactly(NOON + 5), SKU),
)


def compared(told: Iterable[Message]) -> Sku:
    """The SKU after all that; after each message it is what one is that reckons everything anew."""
    one, anew = Sku(SKU), Sku(SKU)
    for place, message in enumerate([*START, *told]):
        for slot in anew.slots.values():
            slot.lines_changed()
        steps = [sku.step(message, NOON + place * SECOND_US, POLICIES.get) for sku in (one, anew)]
        assert [dump_slot(slot) for slot in one.slots.values()] == [dump_slot(slot) for slot in anew.slots.values()]
        assert steps[0].verdict == steps[1].verdict
    return one


@pytest.mark.slow
@settings(max_examples=800, deadline=None, derandomize=True)
@given(st.lists(MESSAGES, min_size=3, max_size=16))
def test_a_belief_reckoned_step_by_step_is_the_one_reckoned_anew(told: list[tuple[Message, ...]]) -> None:
    compared(message for several in told for message in several)


def test_a_sale_that_was_folded_away_moves_a_belief_no_more() -> None:
    old, new = exactly(NOON + 10), exactly(NOON + 50 + SETTLE_MARGIN_US)
    sku = compared([
        OrderLine("shop", "1", "1", SKU, 2, fulfilled=2, at=old, placed=old),
        Settle(NOON + 20 + SETTLE_MARGIN_US),
        OrderLine("shop", "2", "1", SKU, 1, at=new, placed=new),
    ])  # fmt: skip
    slot = sku.slots["shop", "L"]
    assert slot.belief == 8
    assert slot.recheck_us  # what it shows is read anew


class Counting(dict[LineKey, Line]):
    """Order lines that count how often one is looked up."""

    looks = 0

    def get(self, key: LineKey, default: Any = None) -> Any:
        self.looks += 1
        return super().get(key, default)


def test_a_sale_costs_the_same_however_many_there_were_since_the_last_push() -> None:
    sku, many = Sku(SKU), 2_000
    lines = sku.stock.lines = Counting()
    sku.step(LevelReport("shop", "L", 5_000, exactly(NOON), SKU), NOON, POLICIES.get)
    for place in range(many):
        at = exactly(NOON + place + 1)
        sold = OrderLine("shop", str(place), "1", SKU, 1, at=at, placed=at)
        sku.step(sold, NOON + place, POLICIES.get)
    (slot,) = sku.slots.values()
    assert slot.belief == 5_000 - many
    assert lines.looks <= 3 * many

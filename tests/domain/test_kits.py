"""Kits by themselves: the number a kit has, what a line of a kit means, and what its listings show."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.domain.instants import exactly
from daemon.domain.kits import Assemble, ComponentLevel, Kit, assembled, dump_kit, expand, holders_of, load_kit
from daemon.domain.observations import QUANTITY_MAX, LevelReport, OrderLine, StockCount
from daemon.domain.policy import Policy
from daemon.domain.sku import Confirmed, ReadBack, Settle, Sku
from daemon.domain.slot import Slot
from daemon.domain.stock import Stock, dump, load

RECIPE = (("CUP", 1), ("PLATE", 2))
AT = exactly(1)
NOON = 1_000_000


def policy_of(_: str) -> Policy:
    return Policy()


def kit(**levels: int | None) -> Kit:
    made = Kit(RECIPE)
    for place, (component, available) in enumerate(levels.items(), 1):
        assert made.learn(ComponentLevel(component, available, place))
    return made


# --- the number ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cups", "plates", "kits", "limits"),
    [
        (5, 20, 5, ["CUP"]),
        (5, 9, 4, ["PLATE"]),
        (4, 9, 4, ["CUP", "PLATE"]),
        (5, 1, 0, ["PLATE"]),
        (5, -1, -1, ["PLATE"]),
        (5, -2, -1, ["PLATE"]),
        (-3, -3, -3, ["CUP"]),
        (None, 9, None, ["CUP"]),
        (None, 0, None, ["CUP"]),
    ],
)
def test_a_kit_has_what_its_scarcest_component_makes(
    cups: int | None, plates: int | None, kits: int | None, limits: list[str]
) -> None:
    made = kit(CUP=cups, PLATE=plates)
    assert (made.available, made.limits()) == (kits, limits)


def test_a_component_nobody_told_of_leaves_the_kit_unknown_and_unsure() -> None:
    made = kit(CUP=5)
    assert (made.available, made.unsure, made.limits()) == (None, True, ["PLATE"])
    assert not kit(CUP=5, PLATE=5).unsure


def test_the_newest_word_on_a_component_wins_in_any_order() -> None:
    told = [ComponentLevel("CUP", units, seq) for seq, units in enumerate((9, 4, 4, 7), 1)]
    ends = set()
    for order in permutations([*told, told[1]]):
        made = Kit(RECIPE)
        for each in order:
            made.learn(each)
        ends.add(repr(dump_kit(made)))
    assert ends == {repr(dump_kit(kit_of(told[3])))}


def kit_of(*levels: ComponentLevel) -> Kit:
    return Kit(RECIPE, {each.component: each for each in levels})


def test_what_is_no_component_is_not_learned() -> None:
    assert not kit(CUP=5).learn(ComponentLevel("SPOON", 5, 99))


def test_a_new_recipe_keeps_what_is_known_and_an_empty_one_ends_the_kit() -> None:
    made = assembled((("CUP", 2), ("SPOON", 1)), kit(CUP=5, PLATE=9))
    assert made is not None
    assert (made.makes("CUP"), made.makes("SPOON"), list(made.levels)) == (2, None, ["CUP"])
    assert assembled((), made) is None


def test_holders_are_the_kits_a_component_is_in() -> None:
    assert holders_of({"B": RECIPE, "A": (("CUP", 9),)}) == {"CUP": ("A", "B"), "PLATE": ("B",)}


@given(
    st.dictionaries(st.sampled_from(["CUP", "PLATE"]), st.none() | st.integers(-9, 9)),
    st.sampled_from(["", "dead letter 7"]),
)
def test_a_kit_comes_back_equal(levels: dict[str, int | None], stuck: str) -> None:
    made = kit_of(*(ComponentLevel(name, units, 3, stuck) for name, units in levels.items()))
    assert load_kit(dump_kit(made)) == made  # type: ignore[arg-type]  # lists or tuples, both are read


# --- what a line of a kit means ------------------------------------------------------------------------------


def line(sku: str = "SET", ordered: int = 3, **quantities: int) -> OrderLine:
    return OrderLine("shop", "1", "7", sku, ordered, version=5, at=exactly(NOON), listing="L", **quantities)


def test_a_line_of_a_kit_is_a_line_of_each_component_times_its_units_and_its_own() -> None:
    lines = expand(line(ordered=3, cancelled=1, restocked=1, fulfilled=1), RECIPE)
    assert [(each.sku, each.ordered, each.cancelled, each.restocked, each.fulfilled) for each in lines] == [
        ("CUP", 3, 1, 1, 1),
        ("PLATE", 6, 2, 2, 2),
        ("SET", 3, 1, 1, 1),
    ]
    assert {(each.channel, each.order, each.line, each.kit, each.recipe) for each in lines} == {
        ("shop", "1", "7", "SET", RECIPE)
    }
    assert expand(line(), ()) == [line()]


def test_an_absurd_quantity_stays_one_that_can_be_kept() -> None:
    assert expand(line(ordered=QUANTITY_MAX), RECIPE)[1].ordered == QUANTITY_MAX


def test_a_kits_own_line_takes_no_stock_and_a_components_line_does() -> None:
    cup, plate, own = expand(line(ordered=3), RECIPE)
    for each, left, held in ((cup, 7, 3), (plate, 4, 6), (own, 10, 0)):
        stock = Stock()
        stock.apply(StockCount("person", each.sku, 10, at=AT))
        stock.apply(each)
        assert (stock.available, stock.held) == (left, held)
        assert load(dump(stock)) == stock
        assert (load(dump(stock)).available, load(dump(stock)).held) == (left, held)


def test_a_kits_own_lines_are_settled_although_nobody_counts_kits() -> None:
    hour = 3_600_000_000
    stock, old = Stock(), exactly(hour)
    sold = OrderLine("shop", "1", "7", "SET", 1, fulfilled=1, at=old, placed=old)
    stock.apply(expand(sold, RECIPE)[-1])
    stock.apply(OrderLine("shop", "2", "1", "SET", 1, fulfilled=1, at=old, placed=old))
    assert stock.settles(9 * hour)
    assert stock.settle(9 * hour) == 1
    assert list(stock.lines) == [("shop", "2", "1")]  # a plain line waits for its count, as ever
    assert (stock.settled, stock.available) == ({}, None)


# --- its listings --------------------------------------------------------------------------------------------


def listed(level: int = 9, *, recipe: tuple[tuple[str, int], ...] = RECIPE) -> tuple[Sku, Slot]:
    state = Sku("SET")
    state.step(Assemble(recipe), NOON, policy_of)
    state.step(LevelReport("shop", "L", level, AT, "SET"), NOON, policy_of)
    return state, state.slots["shop", "L"]


def told(state: Sku, component: str, available: int | None, seq: int, stuck: str = "") -> None:
    state.step(ComponentLevel(component, available, seq, stuck), NOON, policy_of)


def test_a_listing_follows_the_components_and_never_a_count_or_a_level_of_the_kit() -> None:
    state, slot = listed()
    told(state, "CUP", 5, 1)
    assert slot.desired is None  # the plates are unknown: nothing is pushed, and never a zero
    told(state, "PLATE", 8, 2)
    assert (state.available, slot.desired) == (4, 4)
    step = state.step(StockCount("person", "SET", 50, at=exactly(NOON)), NOON, policy_of)
    assert (step.before, step.after, state.available, slot.desired) == (4, 4, 4, 4)
    told(state, "PLATE", -1, 3)
    assert (state.available, slot.desired) == (-1, 0)


def test_a_sale_of_the_kit_moves_what_its_listing_shows_and_its_components_listings_stay() -> None:
    state, slot = listed(9)
    told(state, "CUP", 9, 1)
    told(state, "PLATE", 18, 2)
    cup_line, _, own = expand(line(ordered=2), RECIPE)
    state.step(own, NOON, policy_of)
    told(state, "CUP", 7, 3)
    told(state, "PLATE", 14, 4)
    assert (slot.belief, slot.desired, slot.needs_push()) == (7, 7, False)

    cup = Sku("CUP")
    cup.step(StockCount("person", "CUP", 9, at=AT), NOON, policy_of)
    cup.step(LevelReport("shop", "C", 9, AT, "CUP"), NOON, policy_of)
    cup.step(cup_line, NOON, policy_of)
    shown = cup.slots["shop", "C"]
    assert (shown.belief, shown.desired, shown.raises()) == (9, 7, False)


def test_a_listing_linked_after_the_sale_takes_only_the_sales_that_moved_it_into_account() -> None:
    cup_line, _, own = expand(line(ordered=2), RECIPE)
    for state, seen, belief in ((Sku("CUP"), cup_line, 9), (Sku("SET"), own, 7)):
        state.step(seen, NOON, policy_of)
        state.step(LevelReport("shop", "L", 9, AT, state.sku), NOON, policy_of)
        assert state.slots["shop", "L"].belief == belief


@pytest.mark.parametrize("doubt", ["stuck", "uncounted"])
def test_while_a_component_is_in_doubt_nothing_is_raised(doubt: str) -> None:
    state, slot = listed(9)
    told(state, "CUP", 5, 1)
    told(state, "PLATE", 10, 2)
    state.step(own_push(slot, 5), NOON, policy_of)
    assert (slot.belief, slot.desired) == (5, 5)
    if doubt == "stuck":
        told(state, "CUP", 5, 3, stuck="dead letter 1")
    else:
        state.step(Assemble((*RECIPE, ("SPOON", 1))), NOON, policy_of)
    # The kit's own sale lowers what the shop shows; the books of the component do not say so yet.
    state.step(expand(line(ordered=1), state.kit.recipe if state.kit else ())[-1], NOON, policy_of)
    assert (slot.belief, slot.desired, slot.raises()) == (4, 4, False)
    state.step(ReadBack("shop", "L", 3, exactly(2 * NOON)), NOON, policy_of)
    assert (slot.belief, slot.desired, slot.raises()) == (3, 3, False)
    state.step(ReadBack("shop", "L", -2, exactly(3 * NOON)), NOON, policy_of)
    assert slot.desired == 0
    told(state, "PLATE", 4, 9)
    told(state, "SPOON", 9, 9)
    told(state, "CUP", 5, 9)
    assert (state.available, slot.desired) == (2, 2)


def own_push(slot: Slot, level: int) -> Confirmed:
    generation = slot.generation
    slot.send(NOON)
    return Confirmed("shop", "L", generation, level, exactly(10))


def test_settling_and_the_end_of_a_kit_leave_the_sku_with_its_own_stock() -> None:
    state, slot = listed(9)
    told(state, "CUP", 5, 1)
    told(state, "PLATE", 10, 2)
    state.step(expand(line(), RECIPE)[-1], NOON, policy_of)
    state.step(Settle(NOON), NOON, policy_of)
    state.step(Assemble(()), NOON, policy_of)
    assert (state.kit, state.available, slot.desired) == (None, None, 5)
    state.step(StockCount("shop", "SET", 6, at=exactly(NOON + 5)), NOON, policy_of)
    # A cancel of the line that was sold as a kit gives back to the components, not to the SKU's own stock.
    state.step(expand(line(cancelled=3), RECIPE)[-1], NOON, policy_of)
    assert (state.available, slot.desired) == (6, 6)

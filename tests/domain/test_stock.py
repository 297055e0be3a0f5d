"""The stock of one SKU: the same in any order of arrival, equal to the formula, exact when stored and folded."""

from __future__ import annotations

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from daemon.domain.instants import Instant, Span, exactly
from daemon.domain.lines import CONTENTS_MAX, VERSIONS_MAX
from daemon.domain.observations import Adjustment, CountKind, LevelReport, Observation, OrderLine, StockCount
from daemon.domain.policy import Policy
from daemon.domain.sku import Settle, Sku
from daemon.domain.stock import SETTLE_MARGIN_US, Stock, dump, load, resumed, sums_of
from daemon.storage.codec import pack, unpack
from tests.domain.facts import NOON, SKU, adjustments, counts, observations, order_lines, retold
from tests.domain.oracle import numbers

POWER = settings(max_examples=120, deadline=None, derandomize=True)
ORDERED = OrderLine("shop", "1", "a", SKU, 3, at=exactly(NOON), placed=exactly(NOON))


def told(*seen: Observation) -> Stock:
    stock = Stock()
    for each in seen:
        stock.apply(each)
    return stock


def at(us: int) -> Instant:
    return exactly(NOON + us)


def line(ordered: int, *, at_us: int = 0, version: int = 0, **given: int) -> OrderLine:
    return OrderLine("shop", "1", "a", SKU, ordered, version=version, at=at(at_us), placed=at(0), **given)


# --- I1, I2: order, repetition, splitting ---------------------------------------------------------------------


@pytest.mark.slow
@POWER
@given(retold())
def test_any_order_and_repetition_of_the_same_facts_gives_the_same_bytes(
    two_ways: tuple[list[Observation], list[Observation]],
) -> None:
    one, other = two_ways
    assert pack(dump(told(*one))) == pack(dump(told(*other)))


@pytest.mark.slow
@POWER
@given(retold(), st.data())
def test_facts_told_to_a_stored_and_loaded_stock_give_the_same_bytes(
    two_ways: tuple[list[Observation], list[Observation]], data: st.DataObject
) -> None:
    one, other = two_ways
    cut = data.draw(st.integers(0, len(other)))
    halfway = load(tuple(unpack(pack(dump(told(*other[:cut]))))))
    for each in other[cut:]:
        halfway.apply(each)
    assert pack(dump(halfway)) == pack(dump(told(*one)))


@pytest.mark.slow
@settings(max_examples=60, deadline=None, derandomize=True)
@given(retold())
def test_a_sku_folds_facts_as_its_stock_does(two_ways: tuple[list[Observation], list[Observation]]) -> None:
    one, other = two_ways
    first, second = Sku(SKU), Sku(SKU)
    for sku, facts in ((first, one), (second, other)):
        for place, each in enumerate(facts):
            sku.step(each, NOON + place, lambda _: Policy())
    assert pack(dump(first.stock)) == pack(dump(second.stock)) == pack(dump(told(*one)))


@pytest.mark.slow
@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 200), st.sampled_from([0, 3])), min_size=VERSIONS_MAX, max_size=90),
       st.randoms(use_true_random=False))  # fmt: skip
def test_more_versions_than_are_kept_still_give_the_same_bytes(
    versions: list[tuple[int, int]], random: object
) -> None:
    facts = [line(v % 7, version=v, at_us=v, fulfilled=v % 3) for v, _ in versions]
    shuffled = list(facts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis gives a random.Random
    assert pack(dump(told(*facts))) == pack(dump(told(*shuffled)))
    assert len(told(*facts).lines["shop", "1", "a"].sightings) <= VERSIONS_MAX


@pytest.mark.slow
@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.permutations([line(n, fulfilled=f) for n in range(4) for f in range(2)]))
def test_more_contradictions_than_are_kept_still_give_the_same_bytes(facts: list[OrderLine]) -> None:
    stock = told(*facts)
    assert pack(dump(stock)) == pack(dump(told(*sorted(facts, key=repr))))
    (sighting,) = stock.lines["shop", "1", "a"].sightings
    assert len(sighting.contents) == CONTENTS_MAX


def test_forgetting_the_versions_before_a_count_errs_on_the_low_side() -> None:
    facts = [line(2, version=v, at_us=v) for v in range(VERSIONS_MAX + 10)]
    stock = told(StockCount("person", SKU, 10, at=at(5)), *facts)
    assert stock.available is not None
    assert stock.available <= 10


# --- I4: conservation, against the formula written a second time ---------------------------------------------


@pytest.mark.slow
@settings(max_examples=250, deadline=None, derandomize=True)
@given(st.lists(observations, max_size=12))
def test_the_numbers_are_those_of_the_formula(facts: list[Observation]) -> None:
    stock = told(*facts)
    assert (stock.available, stock.held, stock.on_hand) == tuple(numbers(facts))


@pytest.mark.slow
@POWER
@given(st.lists(observations, max_size=12))
def test_the_running_sums_equal_a_recount(facts: list[Observation]) -> None:
    stock = told(*facts)
    again = load(tuple(unpack(pack(dump(stock)))))
    assert again == stock
    assert (again.available, again.held, again.ambiguous) == (stock.available, stock.held, stock.ambiguous)
    assert pack(dump(again)) == pack(dump(stock))


@pytest.mark.slow
@POWER
@given(st.lists(order_lines(), max_size=12), st.booleans(), st.booleans())
def test_open_lines_are_those_with_units_on_the_shelf_also_of_a_stock_taken_up_again(
    seen: list[OrderLine], counted: bool, before_they_were_kept: bool
) -> None:
    stock = told(*([StockCount("person", SKU, 9, at=at(3))] if counted else []), *seen)
    held = sorted(key for key, each in stock.lines.items() if each.now().taken > each.now().fulfilled)
    assert [key for key, _ in stock.open_lines()] == held
    bare = Stock(stock.anchors, {}, stock.adjustments, stock.settled_us, stock.settled)
    sums = sums_of(stock)[:4] if before_they_were_kept else sums_of(stock)
    again = resumed(dump(bare), dict(stock.lines), sums)
    assert again.open_lines() == stock.open_lines()
    assert sums_of(again)[:3] == sums_of(stock)[:3]


def test_nobody_has_counted_is_neither_zero_nor_debt() -> None:
    stock = told(ORDERED, Adjustment("person", "x", SKU, 5, at=at(1)))
    assert stock.available is None
    assert stock.on_hand is None
    assert stock.debt == 0
    assert stock.held == 3


def test_a_sale_while_the_stock_is_zero_is_a_debt_that_the_next_restock_pays() -> None:  # T13
    stock = told(StockCount("person", SKU, 0, at=at(-5)), line(1, at_us=1))
    assert (stock.available, stock.debt) == (-1, 1)
    stock.apply(Adjustment("person", "receipt", SKU, 5, at=at(9)))
    assert (stock.available, stock.debt) == (4, 0)


@pytest.mark.slow
@POWER
@given(st.integers(-5, 5), st.lists(order_lines(), max_size=8))
def test_debt_is_never_clamped(counted: int, lines: list[OrderLine]) -> None:
    stock = told(StockCount("person", SKU, counted, at=exactly(0)), *lines)
    assert stock.available == counted - sum(each.now().taken for each in stock.lines.values())
    assert stock.debt == max(0, -stock.available)


def test_a_cancellation_before_its_order_ends_as_the_natural_order_does() -> None:  # T7
    count, created = StockCount("person", SKU, 9, at=at(-9)), line(3)
    cancelled = line(3, version=1, cancelled=3, at_us=4)
    natural, upside_down = told(count, created, cancelled), told(cancelled, created, count)
    assert dump(natural) == dump(upside_down)
    assert natural.available == 9


def test_a_late_older_count_is_superseded_and_changes_nothing() -> None:
    stock = told(StockCount("person", SKU, 9, at=at(5)))
    assert stock.apply(StockCount("person", SKU, 2, at=at(1))).verdict == "superseded"
    assert stock.available == 9


def test_units_handed_over_before_a_shelf_count_are_not_taken_from_it_again() -> None:
    stock = told(line(3, version=1, fulfilled=2, at_us=1), StockCount("person", SKU, 10, "on_hand", at=at(5)))
    assert (stock.available, stock.held, stock.on_hand) == (9, 1, 10)


@pytest.mark.parametrize("counted_at", [2, 5])
def test_what_was_sent_and_came_back_lies_on_the_shelf_while_the_rest_still_waits(counted_at: int) -> None:
    # Three of four were sent, one of them came back, and the fourth still waits to be sent.
    sent = line(4, version=1, fulfilled=3, at_us=1)
    returned = line(4, version=2, restocked=1, fulfilled=2, at_us=3)
    stock = told(StockCount("person", SKU, 10, "on_hand", at=at(counted_at)), sent, returned)
    there = 10 if counted_at > 3 else 11
    assert (stock.available, stock.held, stock.on_hand) == (there - 1, 1, there)


def test_what_is_said_to_be_sent_grows_where_nothing_came_back() -> None:
    stock = told(line(4, version=1, fulfilled=3, at_us=1), line(4, version=2, fulfilled=1, at_us=3))
    assert stock.held == 1
    stock = told(line(4, version=1, fulfilled=3), line(4, version=2, cancelled=1), line(4, version=3, cancelled=1))
    assert stock.held == 1, "no more than what came back may have been sent before"


def test_a_sale_that_straddles_a_count_takes_the_lower_number_and_says_so() -> None:
    straddling = OrderLine("shop", "1", "a", SKU, 2, at=Instant(Span(NOON, NOON + 10)))
    stock = told(StockCount("person", SKU, 7, at=at(5)), straddling)
    assert (stock.available, stock.ambiguous) == (5, 1)


def test_two_stamps_of_one_clock_are_told_apart_however_unsure_ours_is() -> None:
    wide = Span(NOON - 500, NOON + 500)
    count = StockCount("shop", SKU, 7, at=Instant(wide, Span(50, 50)))
    sold = OrderLine("shop", "1", "a", SKU, 2, at=Instant(wide, Span(49, 49)))
    assert told(count, sold).available == 7
    assert told(count, sold).ambiguous == 0


def test_a_version_that_contradicts_itself_is_a_conflict_and_a_newer_fetch_ends_it() -> None:
    stock = told(StockCount("person", SKU, 9, at=at(-5)), line(3))
    assert stock.apply(line(1)).verdict == "conflict"
    assert stock.available == 6
    fetched = OrderLine("shop", "1", "a", SKU, 1, read_us=7, at=at(0), placed=at(0))
    assert stock.apply(fetched).verdict == "applied"
    assert stock.available == 8


def test_an_adjustment_told_with_two_contents_around_a_count_is_the_same_in_any_order() -> None:
    low, high = Adjustment("p", "x", SKU, 3, at=at(1)), Adjustment("p", "x", SKU, 5, at=at(10))
    count = StockCount("p", SKU, 10, at=at(5))
    orders = ([low, high, count], [low, count, high], [high, low, count], [high, count, low], [count, low, high],
              [count, high, low])  # fmt: skip
    assert len({pack(dump(told(*each))) for each in orders}) == 1
    assert told(*orders[0]).available == 10


# --- settling ------------------------------------------------------------------------------------------------

FAR = 10 * SETTLE_MARGIN_US


@pytest.mark.slow
@POWER
@given(st.lists(observations, max_size=12), st.integers(-3, 16), st.integers(0, 16))
def test_settling_never_changes_the_numbers_and_forgets_nothing_that_is_open(
    facts: list[Observation], first: int, second: int
) -> None:
    stock = told(*facts)
    before = (stock.available, stock.held, stock.on_hand)
    open_before = {key for key, each in stock.lines.items() if each.now().taken > each.now().fulfilled}
    for tick in (first, second):
        could = stock.settles(NOON + tick * 10 + SETTLE_MARGIN_US)
        folded = stock.settle(NOON + tick * 10 + SETTLE_MARGIN_US)
        assert not folded or could
        assert (stock.available, stock.held, stock.on_hand) == before
    assert open_before <= set(stock.lines)
    assert load(tuple(unpack(pack(dump(stock))))) == stock


@pytest.mark.slow
@POWER
@given(st.lists(order_lines() | adjustments(), min_size=1, max_size=10), counts())
def test_what_is_told_again_of_folded_facts_is_late_and_changes_nothing(
    facts: list[Observation], count: StockCount
) -> None:
    stock = told(count, *facts)
    if not stock.settle(NOON + FAR):
        return
    before = pack(dump(stock))
    for each in facts:
        key = (each.channel, each.order, each.line) if isinstance(each, OrderLine) else (each.source, each.reference)
        if key not in stock.lines and key not in stock.adjustments:  # type: ignore[operator]  # either kind of key
            assert stock.apply(each).verdict == "late"
    assert pack(dump(stock)) == before


@pytest.mark.slow
@POWER
@given(st.lists(observations, max_size=10), st.lists(counts(), min_size=1, max_size=3),
       st.lists(order_lines() | adjustments(), max_size=4))  # fmt: skip
@example(
    [StockCount("p", SKU, 5, at=at(0)), OrderLine("shop", "1", "a", SKU, 1, fulfilled=1, at=at(2), placed=at(2),
                                                 location="east")],
    [StockCount("p", SKU, 7, at=at(3), location="east")], [],
)  # fmt: skip
def test_counts_after_the_horizon_give_the_same_numbers_as_if_nothing_had_been_folded(
    old: list[Observation], later_counts: list[StockCount], later: list[Observation]
) -> None:
    folded, whole = told(*old), told(*old)
    folded.settle(NOON + SETTLE_MARGIN_US + 130)
    shift = 2 * SETTLE_MARGIN_US
    known = {(each.channel, each.order, each.line) for each in old if isinstance(each, OrderLine)}
    known_moves = {(each.source, each.reference) for each in old if isinstance(each, Adjustment)}
    for each in [*later_counts, *later]:
        if isinstance(each, OrderLine):
            assume((each.channel, each.order, each.line) not in known)
            moved: Observation = OrderLine(
                each.channel, each.order, each.line, SKU, each.ordered, fulfilled=each.fulfilled,
                version=each.version, at=_shifted(each.at, shift), location=each.location,
            )  # fmt: skip
        elif isinstance(each, StockCount):
            moved = StockCount(each.source, SKU, each.quantity, each.kind, at=_shifted(each.at, shift),
                               location=each.location)  # fmt: skip
        else:
            assume((each.source, each.reference) not in known_moves)
            moved = Adjustment(each.source, each.reference, SKU, each.quantity, at=_shifted(each.at, shift),
                               location=each.location)  # fmt: skip
        assert folded.apply(moved).verdict == whole.apply(moved).verdict
        assert (folded.available, folded.held) == (whole.available, whole.held)


def _shifted(instant: Instant, by: int) -> Instant:
    own = Span(instant.own.lo + by, instant.own.hi + by) if instant.own else None
    return Instant(Span(instant.at.lo + by, instant.at.hi + by), own)


def test_an_order_that_is_still_open_is_not_history_however_old() -> None:
    stock = told(StockCount("person", SKU, 10, at=at(-9)), line(3))
    assert stock.settle(NOON + FAR) == 0
    stock.apply(line(3, version=1, cancelled=3, at_us=FAR + 1))
    assert (stock.available, stock.held) == (10, 0)


def test_a_folded_line_told_again_by_a_less_sure_clock_does_not_count_twice() -> None:
    count = StockCount("person", SKU, 10, at=at(-9))
    horizon = NOON + SETTLE_MARGIN_US + 1_000
    stock = told(count, line(2, fulfilled=2))
    assert stock.settle(horizon) == 1
    unsure = Instant(Span(NOON - 300_000_000, NOON + 300_000_000))
    assert stock.apply(OrderLine("shop", "1", "a", SKU, 2, fulfilled=2, at=unsure, placed=unsure)).verdict == "late"
    assert stock.available == 8


def test_settling_a_sku_asks_for_new_evidence_where_a_belief_rests_on_folded_lines() -> None:
    sku = Sku(SKU)
    sku.step(LevelReport("shop", "L", 10, at(-9)), NOON, lambda _: Policy())
    sku.step(StockCount("person", SKU, 10, at=at(-8)), NOON, lambda _: Policy())
    sku.step(line(2, fulfilled=2), NOON, lambda _: Policy())
    slot = sku.slots["shop", "L"]
    assert slot.belief == 8
    step = sku.step(Settle(NOON + FAR), NOON + FAR, lambda _: Policy())
    assert step.slots == (slot,)
    assert slot.recheck_us == NOON + FAR


def test_a_line_that_its_channels_next_poll_tells_again_is_not_folded() -> None:
    count = StockCount("person", SKU, 10, at=at(-9))
    placed = Instant(Span(NOON, NOON), Span(NOON + 7, NOON + 7))
    assert placed.own is not None
    sold = OrderLine("shop", "1", "a", SKU, 2, fulfilled=2, at=placed, placed=placed)
    for floor_us, folded in ((placed.own.hi, 0), (placed.own.hi + 1, 1)):
        stock = told(count, sold)
        assert stock.settles(NOON + FAR, {"shop": floor_us}) is bool(folded)
        assert stock.settle(NOON + FAR, {"shop": floor_us}) == folded
        assert stock.apply(sold).verdict == ("late" if folded else "known")
        assert stock.available == 8


# --- what a count would have to say ---------------------------------------------------------------------------


@pytest.mark.slow
@POWER
@given(st.lists(observations, min_size=1, max_size=10))
def test_the_shares_of_all_locations_make_up_the_whole(seen: list[Observation]) -> None:
    stock = told(*seen)
    for kind, whole in (("available", stock.available), ("on_hand", stock.on_hand)):
        shares = [stock.stands_at(where, kind) for where in stock.anchors]  # type: ignore[arg-type]  # both are kinds
        assert None not in shares
        assert (sum(each for each in shares if each is not None) if shares else None) == whole
    assert stock.stands_at("nowhere", "on_hand") is None


@pytest.mark.slow
@POWER
@given(st.lists(observations, min_size=1, max_size=10), st.sampled_from(["available", "on_hand"]))
def test_a_later_count_of_what_stands_at_a_location_changes_nothing(seen: list[Observation], kind: CountKind) -> None:
    stock = told(*seen)
    for where in list(stock.anchors):
        before, stands = stock.available, stock.stands_at(where, kind)
        assert stands is not None
        stock.apply(StockCount("person", SKU, stands, kind, at=at(10_000), location=where))
        assert stock.available == before
        assert stock.stands_at(where, kind) == stands

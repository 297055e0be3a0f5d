"""Each cause of a drift is named first where the evidence speaks for it, and never without any."""

from __future__ import annotations

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.domain.drift import CAUSES, Earlier, Evidence, Sale, attribute

SEEN = Evidence("TEE", shown=3, expected=9, at_us=10_000_000_000, pushes=(Earlier(1, 9, 5_000_000_000),))


def first(**given: object) -> str:
    return attribute(attrs.evolve(SEEN, **given))[0].cause


def test_a_number_that_nothing_makes_was_set_by_somebody() -> None:
    assert first() == "foreign edit"
    assert "sold out" in attribute(attrs.evolve(SEEN, shown=0))[0].because


def test_an_order_that_came_between_the_looks_was_missing_and_is_named() -> None:
    sale = Sale("1001", 6, 9_000_000_000, "poll")
    named = attribute(
        attrs.evolve(
            SEEN, shown=3, expected=3, done="resolved", first_shown=3, first_expected=9, first_us=8_000_000_000,
            sales=(sale,),
        )
    )[0]  # fmt: skip
    assert (named.cause, named.order) == ("missing order", "1001")


def test_what_is_right_without_any_order_was_a_stale_copy() -> None:
    assert first(shown=9, done="resolved", first_shown=12, first_expected=9, first_us=8_000_000_000) == "channel lag"


def test_a_sale_that_is_gone_twice_is_named() -> None:
    named = attribute(attrs.evolve(SEEN, shown=7, sales=(Sale("1001", 2, 9_500_000_000, "webhook"),)))[0]
    assert (named.cause, named.order) == ("double application", "1001")


def test_an_older_push_in_doubt_that_is_shown_came_late() -> None:
    pushes = (Earlier(1, 3, 4_000_000_000, doubted=True), Earlier(2, 9, 5_000_000_000))
    assert first(pushes=pushes) == "late stale push"
    sold = (Sale("1", 2, 6_000_000_000, "webhook"),)
    assert first(pushes=(Earlier(1, 5, 4_000_000_000, doubted=True), *pushes[1:]), sales=sold) == "late stale push"


def test_a_push_that_changed_nothing_was_not_done() -> None:
    assert first(pushes=(Earlier(2, 9, 5_000_000_000, believed=3),)) == "unapplied push"


def test_less_than_was_pushed_in_the_moment_of_the_push_is_a_cap() -> None:
    assert first(with_push=True) == "cap or rounding"
    assert first(shown=8, before=((12, 8), (30, 8))) == "cap or rounding"


def test_whole_packs_are_a_rounding() -> None:
    named = attribute(attrs.evolve(SEEN, shown=12, expected=17, before=((8, 6), (29, 24))))[0]
    assert (named.cause, named.because) == ("cap or rounding", "12 is 17 in whole packs of 6")


def test_pieces_for_kits_and_kits_for_pieces_are_named() -> None:
    assert first(shown=27, expected=9, units=(3,)) == "kit multiple"
    assert first(shown=3, expected=11, units=(3,)) == "kit multiple"


def test_a_listing_that_says_it_sells_something_else_is_linked_wrongly() -> None:
    assert first(seller_sku="MUG") == "wrong link"
    assert "MUG" in {each.cause: each.because for each in attribute(attrs.evolve(SEEN, twins=("MUG",)))}["wrong link"]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    shown=st.integers(0, 20), expected=st.integers(0, 20), with_push=st.booleans(),
    done=st.sampled_from(["corrected", "resolved", "adopted", "reported", "kept"]),
    sales=st.lists(st.builds(Sale, st.sampled_from("123"), st.integers(-3, 3), st.integers(0, 10**10),
                             st.sampled_from(["poll", "webhook"])), max_size=4),
    levels=st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=4),
    units=st.lists(st.integers(0, 6), max_size=2), twins=st.lists(st.sampled_from("XY"), max_size=2),
    before=st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=3),
)  # fmt: skip
def test_there_is_always_a_cause_and_they_are_ranked(**given: object) -> None:
    levels = given.pop("levels")
    assert isinstance(levels, list)
    pushes = tuple(Earlier(number, level, number, doubted=doubt) for number, (level, doubt) in enumerate(levels))
    lists = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    seen = attrs.evolve(SEEN, **lists, pushes=pushes, first_shown=1, first_expected=2, first_us=5)
    named = attribute(seen)
    assert named
    assert [each.score for each in named] == sorted((each.score for each in named), reverse=True)
    assert all(0 < each.score <= 1 and each.because and each.cause in CAUSES for each in named)
    assert len({each.cause for each in named}) == len(named)
    assert attribute(seen) == named

"""What a watch in shadow makes of looks: bounds that hold the truth, and sales that are followed, or are not."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.domain.instants import SECOND_US
from daemon.domain.shadow import FOLLOWED_US, RECENT_MAX, WAITING_MAX, Followed, Watched, percentile

START = 1_000 * SECOND_US
STEPS = st.lists(
    st.tuples(st.integers(1, 50), st.sampled_from(["look", "theirs", "ours"]), st.integers(0, 4)), max_size=40
)


def watched(wished: int, shown: int) -> Watched:
    each = Watched("L", "A", START)
    each.moved(START, wished, wished, shown, "begin", looked=True)
    return each


@settings(max_examples=300, deadline=None, derandomize=True)
@given(STEPS)
def test_how_long_too_much_or_too_little_was_shown_lies_between_two_figures(
    steps: list[tuple[int, str, int]],
) -> None:
    each, now, ours, theirs = watched(2, 2), START, 2, 2
    over_us = under_us = 0
    for seconds, what, level in steps:
        now += seconds * SECOND_US
        over_us += seconds * SECOND_US * (theirs > ours)
        under_us += seconds * SECOND_US * (theirs < ours)
        if what == "theirs":
            theirs = level
        elif what == "ours":
            ours = level
        # Whoever watches sees every change at once: then both figures must hold the truth.
        each.moved(now, ours, ours, theirs, what, looked=what != "ours")
    for spell, truth in ((each.over, over_us), (each.under, under_us)):
        least, most = spell.lasted(now)
        assert least <= truth <= most
        assert (most > 0) == (truth > 0)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(STEPS)
def test_what_is_kept_of_a_listing_is_bounded(steps: list[tuple[int, str, int]]) -> None:
    each, now = watched(2, 2), START
    for seconds, what, level in steps:
        now += seconds * SECOND_US
        sold_us = now if what == "theirs" else 0
        each.moved(now, level, level, 4, what, looked=what == "look", sold_us=sold_us)
        assert len(each.recent) <= RECENT_MAX
        assert len(each.waiting) <= WAITING_MAX
        assert each.pushes >= len(each.recent)


def test_a_push_that_would_have_left_says_when_and_over_what() -> None:
    each = watched(5, 5)
    assert each.pushes == 0, "nothing differs"
    each.moved(START + 1, 4, 4, 5, "order 7 at eu", looked=False)
    each.moved(START + 2, 4, 4, 5, "again", looked=True)
    assert each.pushes == 1
    assert [(push.at_us, push.level, push.showed, push.cause) for push in each.recent] == [
        (START + 1, 4, 5, "order 7 at eu")
    ]


def test_a_sale_is_followed_between_the_last_look_that_did_not_show_it_and_the_first_that_does() -> None:
    each = watched(5, 5)
    second = SECOND_US
    assert each.moved(START + 10 * second, 4, 4, 5, "sale", looked=False, sold_us=START + 8 * second) == []
    assert each.look_us(START + 10 * second) == START + 12 * second
    assert each.moved(START + 12 * second, 4, 4, 5, "look", looked=True) == []
    assert each.look_us(START + 12 * second) == START + 14 * second
    assert each.moved(START + 40 * second, 4, 4, 4, "look", looked=True) == [Followed(4 * second, 32 * second)]
    assert each.look_us(START + 40 * second) == 0


def test_a_tool_that_keeps_another_buffer_follows_by_as_many_units() -> None:
    each = watched(5, 7)  # it shows two more than we would
    each.moved(START + 1, 4, 4, 7, "sale", looked=False, sold_us=START)
    assert len(each.moved(START + 2, 4, 4, 6, "look", looked=True)) == 1
    low = watched(5, 3)  # it shows two fewer: nothing is left to follow
    low.moved(START + 1, 4, 4, 3, "sale", looked=False, sold_us=START)
    assert low.waiting == []


def test_what_came_back_need_not_be_followed_and_what_is_not_followed_for_a_day_never_is() -> None:
    each = watched(5, 5)
    each.moved(START + 1, 4, 4, 5, "sale", looked=False, sold_us=START)
    assert each.moved(START + 2, 5, 5, 5, "cancelled", looked=False) == []
    assert (each.waiting, each.lost) == ([], 0)
    each.moved(START + 3, 4, 4, 5, "sale", looked=False, sold_us=START)
    assert each.look_us(START + 3 + 700 * SECOND_US) == 0, "the sweep finds it then"
    assert each.moved(START + 4 + FOLLOWED_US, 4, 4, 5, "look", looked=True) == []
    assert (each.waiting, each.lost) == ([], 1)


def test_unknown_is_neither_too_much_nor_too_little() -> None:
    each = Watched("L", "A", START)
    each.moved(START, None, None, 5, "", looked=True)
    each.moved(START + 9, 5, 5, None, "", looked=False)
    assert (each.over.times, each.under.times, each.pushes) == (0, 0, 1)


def test_percentiles_of_nothing_are_nothing() -> None:
    assert percentile([], 0.5) is None
    assert percentile([3, 1, 2], 0.5) == 2
    assert percentile(range(100), 0.99) == 99

"""News that no webhook told: missed where it was to be expected, silence where enough of it is missing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.domain.gaps import (
    CHANCE,
    EXPECTED_US,
    GRACE_MAX_US,
    GRACE_MIN_US,
    KNOWN_MAX,
    PENDING_MAX,
    RUN_MAX,
    Capture,
    Gaps,
)
from daemon.domain.instants import DAY_US, SECOND_US, Span

S = SECOND_US
T0 = 1_750_000_000 * S


def at(second: float) -> Span:
    return Span(T0 + int(second * S), T0 + int(second * S))


def us(second: float) -> int:
    return T0 + int(second * S)


def watched(**options: int) -> Gaps:
    """A channel whose webhooks told an order right before."""
    gaps = Gaps("created", "changed", **options)
    gaps.excused(us(0))
    for topic in ("created", "changed"):
        gaps.told(topic, [(f"first {topic}", 1, at(1))], us(1))
    return gaps


def capture(gaps: Gaps, topic: str, second: float) -> Capture:
    return gaps.captures(us(second))[topic][0]


# --- silence -------------------------------------------------------------------------------------------------


def test_an_order_that_only_the_feed_shows_is_silence_after_the_grace_and_a_webhook_ends_it() -> None:
    gaps = watched()
    assert gaps.shown("A", 1, at(10), us(12))
    assert gaps.next_us(us(12)) == us(15)
    assert gaps.look(us(14.9)) == []
    assert not gaps.blind
    assert gaps.look(us(15)) == [("A", 1)]
    assert gaps.blind
    assert gaps.blind_since_us() == us(10)
    assert capture(gaps, "created", 15) == Capture(1, 1)
    gaps.told("created", [("B", 1, at(30))], us(31))
    assert not gaps.blind


def test_a_webhook_that_comes_a_little_later_than_the_poll_is_in_time() -> None:
    gaps = watched()
    gaps.shown("A", 1, at(10), us(10.5))
    gaps.told("created", [("A", 1, at(10))], us(14))
    assert gaps.look(us(60)) == []
    assert (gaps.blind, gaps.next_us(us(14))) == (False, None)
    assert capture(gaps, "created", 60) == Capture(2, 0)


def test_a_newer_version_tells_the_older_ones_too_whatever_the_topic() -> None:
    gaps = watched()
    gaps.shown("A", 1, at(10), us(11))
    gaps.shown("A", 2, at(11), us(12))
    gaps.told("created", [("A", 3, at(12))], us(13))
    assert gaps.look(us(60)) == []
    assert capture(gaps, "changed", 60) == Capture(2, 0)
    gaps.shown("B", 1, at(20), us(21))
    gaps.told("another topic", [("B", 1, at(20))], us(22))
    assert gaps.look(us(60)) == []


def test_a_topic_that_is_off_is_silent_alone() -> None:
    gaps = watched()
    for number in range(5):
        gaps.told("changed", [("first created", number + 2, at(10 + number))], us(10 + number))
    gaps.shown("A", 1, at(20), us(21))
    gaps.look(us(30))
    assert list(gaps.silent) == ["created"]
    gaps.told("changed", [("A", 2, at(31))], us(31))
    assert gaps.blind, "the other topic says nothing of this one"


def test_one_webhook_lost_among_others_is_no_silence() -> None:
    gaps = watched()
    gaps.shown("A", 1, at(10), us(12))
    gaps.told("created", [("B", 1, at(13))], us(13))
    assert gaps.look(us(30)) == [("A", 1)]
    assert not gaps.blind


def test_news_from_before_the_silence_does_not_end_it() -> None:
    gaps = watched()
    gaps.shown("A", 1, at(100), us(101))
    gaps.look(us(110))
    gaps.told("created", [("old", 1, at(50))], us(120))
    assert gaps.blind
    gaps.told("created", [("A", 1, at(100))], us(121))
    assert not gaps.blind


def test_what_comes_late_after_all_makes_the_next_grace_longer() -> None:
    gaps = watched()
    gaps.shown("A", 1, at(100), us(101))
    gaps.look(us(110))
    gaps.told("created", [("A", 1, at(100))], us(140))
    assert gaps.grace_us() == 80 * S
    gaps.told("created", [("A", 1, at(100))], us(140 + 3600))
    assert gaps.grace_us() == 80 * S, "told once more says nothing new"


def test_a_webhook_without_a_version_counts_as_telling() -> None:
    gaps = watched()
    gaps.shown("A", 1, at(10), us(12))
    gaps.told("created", [], us(13))
    assert gaps.look(us(30)) == []
    gaps.shown("B", 1, at(40), us(41))
    gaps.look(us(50))
    assert gaps.blind
    gaps.told("created", [], us(51))
    assert not gaps.blind


def test_where_webhooks_get_lost_often_more_must_be_missing_in_a_row() -> None:
    gaps = watched()
    for number in range(20):  # every second one is lost
        gaps.shown(f"lost {number}", 1, at(10 + number), us(10 + number))
        gaps.told("created", [(f"told {number}", 1, at(10.5 + number))], us(10.5 + number))
    gaps.look(us(60))
    assert not gaps.blind
    assert gaps.topics["created"].enough() == 7
    for number in range(7):
        assert not gaps.blind
        gaps.shown(f"silent {number}", 1, at(100 + number), us(100 + number))
        gaps.look(us(105 + number))
    assert gaps.blind
    gaps.told("created", [("again", 1, at(200))], us(200))
    assert gaps.topics["created"].enough() == 7, "what silence swallowed was no bad luck"


@given(lost=st.integers(0, 300), told=st.integers(0, 300))
def test_enough_in_a_row_is_unlikely_to_be_bad_luck(lost: int, told: int) -> None:
    gaps = watched()
    topic = gaps.topics["created"]
    topic.lost, topic.told = lost, told
    enough = topic.enough()
    assert 1 <= enough <= RUN_MAX
    if lost:
        rate = lost / (lost + told)
        assert enough == RUN_MAX or rate**enough <= CHANCE * 1.0001
        assert enough == 1 or rate ** (enough - 1) > CHANCE or enough == RUN_MAX


# --- no silence ----------------------------------------------------------------------------------------------


def test_a_quiet_shop_is_not_silent() -> None:
    gaps = watched()
    assert gaps.next_us(us(1)) is None
    assert gaps.look(us(100_000)) == []
    assert (gaps.blind, gaps.suspect) == (False, False)


def test_nothing_is_expected_before_webhooks_ever_came_unless_they_are_subscribed() -> None:
    gaps = Gaps("created", "changed")
    gaps.excused(us(0))
    assert not gaps.shown("A", 1, at(10), us(12))
    gaps.subscribed = frozenset({"changed"})
    assert not gaps.shown("B", 1, at(20), us(22)), "nobody subscribed the topic of new orders"
    assert gaps.shown("B", 2, at(30), us(32))


def test_a_topic_that_told_nothing_for_a_month_is_not_expected_any_more() -> None:
    gaps = watched()
    assert gaps.expects("created", us(1) + EXPECTED_US - 1)
    assert not gaps.expects("created", us(1) + EXPECTED_US)
    assert not gaps.expects("", us(2))
    assert not gaps.expects("another", us(2))


def test_a_platform_without_topics_of_orders_misses_nothing() -> None:
    gaps = Gaps("", "")
    gaps.told("created", [("A", 1, at(1))], us(1))
    assert not gaps.shown("A", 2, at(2), us(3))
    assert not gaps.switched_off("created", us(3))
    assert (gaps.look(us(100)), gaps.blind, gaps.captures(us(100))) == ([], False, {})


def test_what_the_first_poll_looks_back_at_is_not_expected() -> None:
    gaps = watched()
    assert not gaps.shown("old", 1, at(-3 * 86_400), us(2))
    assert not gaps.shown("unsure", 1, Span(us(-1), us(50)), us(2)), "its clock is not known yet"
    assert gaps.look(us(1_000)) == []


def test_what_changed_while_we_refused_webhooks_is_not_held_against_the_channel() -> None:
    gaps = watched()
    gaps.shown("A", 1, at(10), us(11))
    gaps.excused(us(12))
    assert gaps.look(us(100)) == []
    assert not gaps.shown("B", 1, at(12), us(13))
    assert gaps.shown("C", 1, at(14), us(15))


def test_orders_that_were_fetched_one_by_one_are_not_expected() -> None:
    gaps = watched()
    assert not gaps.shown("A", 1, at(10), us(11), by_poll=False)
    assert not gaps.shown("A", 1, at(10), us(12))


def test_a_late_platform_is_suspected_early_and_judged_late() -> None:
    gaps = watched(late_us=900 * S)
    gaps.shown("A", 1, at(10), us(12))
    assert gaps.next_us(us(12)) == us(15)
    assert (gaps.look(us(15)), gaps.suspect, gaps.blind) == ([], True, False)
    assert gaps.next_us(us(15)) == us(910)
    gaps.told("created", [("B", 1, at(20))], us(20))
    assert (gaps.look(us(30)), gaps.suspect) == ([], False), "others come: it is only late"
    assert gaps.look(us(910)) == [("A", 1)]
    assert not gaps.blind


def test_a_channel_that_says_it_switched_a_topic_off_is_believed_where_that_concerns_orders() -> None:
    gaps = watched()
    assert not gaps.switched_off("product.updated", us(10))
    assert not gaps.blind
    assert gaps.switched_off("changed", us(10))
    assert gaps.switched_off("changed", us(20))
    assert gaps.blind_since_us() == us(10)


def test_silence_of_a_life_before_is_ended_by_whichever_topic() -> None:
    gaps = watched()
    gaps.silent[""] = us(5)
    gaps.told("changed", [("first changed", 2, at(4))], us(6))
    assert gaps.blind
    gaps.told("changed", [("first changed", 3, at(7))], us(8))
    assert not gaps.blind


# --- bounds --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("late_s", "grace_us"), [(0, GRACE_MIN_US), (20, 40 * S), (7_200, GRACE_MAX_US)])
def test_the_grace_follows_the_lag_within_its_bounds(late_s: int, grace_us: int) -> None:
    gaps = Gaps("created", "changed")
    assert gaps.grace_us() == GRACE_MIN_US
    for number in range(10):
        gaps.told("created", [(f"{number}", 1, at(100 * number))], us(100 * number + late_s))
    assert gaps.grace_us() == grace_us


def test_captures_are_of_the_last_hour_and_the_last_day() -> None:
    gaps = watched()
    gaps.shown("A", 1, at(10), us(11))
    gaps.look(us(20))
    assert gaps.captures(us(20))["created"] == (Capture(1, 1), Capture(1, 1))
    assert gaps.captures(us(2 * 3600))["created"] == (Capture(0, 0), Capture(1, 1))
    assert gaps.captures(us(20) + DAY_US + 3600 * S)["created"] == (Capture(0, 0), Capture(0, 0))
    assert Capture(0, 0).ratio is None
    assert Capture(3, 1).ratio == 0.75


def test_more_orders_than_can_be_remembered_are_not_judged() -> None:
    gaps = watched()
    for number in range(KNOWN_MAX + 10):
        gaps.told("created", [(f"{number}", 1, at(100 + number))], us(100 + number))
    assert len(gaps._known) == KNOWN_MAX
    assert not gaps.shown("0", 1, at(100), us(90_000)), "it was told; we only forgot"
    for number in range(PENDING_MAX + 10):
        gaps.shown(f"new {number}", 1, at(10_000 + number), us(10_000 + number))
    assert gaps._waiting == PENDING_MAX == sum(map(len, gaps._pending.values()))


Moves = st.lists(
    st.tuples(st.sampled_from(["told", "shown", "look", "excused"]), st.integers(0, 4), st.integers(1, 3)),
    max_size=60,
)


@given(moves=Moves)
def test_a_channel_that_tells_everything_in_time_is_never_silent_and_nothing_is_counted_twice(
    moves: list[tuple[str, int, int]],
) -> None:
    """Whatever the order of polls and webhooks: each version that is shown is told within four seconds."""
    gaps = watched()
    now, due, versions = 10.0, [], set()
    for what, order, version in moves:
        now += 1.0
        for told_at, name, number, happened in [each for each in due if each[0] <= now]:
            gaps.told("created", [(name, number, at(happened))], us(told_at))
        due = [each for each in due if each[0] > now]
        match what:
            case "told":
                gaps.told("changed", [(f"{order}", version, at(now))], us(now))
            case "shown":
                gaps.shown(f"{order}", version, at(now), us(now))
                due.append((now + 4, f"{order}", version, now))
            case "look":
                assert gaps.look(us(now)) == []
            case "excused":
                gaps.excused(us(now))
        versions.add((order, version))
        assert not gaps.blind
        assert gaps._waiting == sum(map(len, gaps._pending.values()))
    counted = sum(hour.told + hour.missed for hour, _ in gaps.captures(us(now)).values())
    assert counted <= len(versions) + 2


@given(orders=st.integers(1, 12), poll_s=st.integers(5, 60), spread=st.integers(1, 40), offset=st.floats(0, 0.99))
def test_silence_is_found_within_one_poll_interval_of_the_first_order_it_swallows(
    orders: int, poll_s: int, spread: int, offset: float
) -> None:
    gaps = watched()
    first = 100.0 + offset * poll_s
    sales = [first + number * spread for number in range(orders)]
    found = None
    moment, shown = 100.0, 0
    while found is None and moment < 100 + 3 * poll_s + 10:
        moment += 0.5
        if (moment - 100) % poll_s == 0:
            while shown < orders and sales[shown] <= moment:
                gaps.shown(f"S{shown}", 1, at(sales[shown]), us(moment))
                shown += 1
        gaps.look(us(moment))
        found = moment if gaps.blind else None
    assert found is not None
    assert found - first <= max(poll_s, GRACE_MIN_US / S) + 0.5


# --- webhooks that name an order, and no version ---------------------------------------------------------------


def test_a_webhook_that_only_names_an_order_tells_what_the_feed_shows_of_it_before_and_after() -> None:
    gaps = watched()
    assert gaps.shown("A", 1, at(10), us(10.2))
    gaps.told("created", [], us(11), ["A"])
    gaps.told("created", [], us(20.4), ["B"])
    assert not gaps.shown("B", 1, at(20), us(21))
    gaps.told("changed", [], us(30.5), ["B"])
    assert not gaps.shown("B", 2, at(30), us(31), by_poll=False)  # fetched because of it
    assert not gaps.shown("B", 2, at(30), us(32))
    assert gaps.look(us(600)) == []
    assert not gaps.blind
    assert capture(gaps, "created", 40) == Capture(3, 0)
    assert capture(gaps, "changed", 40) == Capture(2, 0)
    assert gaps.grace_us() >= GRACE_MIN_US


def test_what_happens_to_an_order_after_a_webhook_named_it_is_still_to_be_told() -> None:
    gaps = watched()
    gaps.told("created", [], us(10.4), ["A"])
    assert not gaps.shown("A", 1, at(10), us(11))
    assert gaps.shown("A", 2, at(20), us(21))
    assert gaps.look(us(600)) == [("A", 2)]
    assert gaps.blind


def test_a_webhook_that_names_one_order_says_nothing_of_another() -> None:
    gaps = watched()
    gaps.shown("A", 1, at(10), us(10.5))
    gaps.told("created", [], us(11), ["B"])
    assert gaps.look(us(600)) == [("A", 1)]
    assert not gaps.blind  # one was lost, but others come


def test_a_topic_that_does_not_tell_of_orders_names_none() -> None:
    gaps = watched()
    gaps.shown("A", 1, at(10), us(10.5))
    gaps.told("deleted", [], us(11), ["A"])
    assert gaps.look(us(600)) == [("A", 1)]


def test_an_order_that_is_named_when_it_was_given_up_shows_how_late_webhooks_are() -> None:
    gaps = watched()
    gaps.shown("A", 1, at(10), us(10))
    assert gaps.look(us(100)) == [("A", 1)]
    gaps.told("created", [], us(110), ["A"])
    for order in range(30):
        gaps.told("created", [], us(200 + order), [f"B{order}"])
    assert gaps.grace_us() == 2 * 100 * S
    assert not gaps.blind


def test_the_orders_that_are_remembered_as_named_are_bounded() -> None:
    gaps = watched()
    for order in range(KNOWN_MAX + 10):
        gaps.told("changed", [], us(10), [str(order)])
    assert gaps.shown("0", 1, at(9), us(11))
    assert not gaps.shown(str(KNOWN_MAX), 1, at(9), us(11))

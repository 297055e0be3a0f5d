"""Policy, clocks, breaker and backoff: small pure rules."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.domain.breaker import FAILURES_MAX, FIRST_OPEN_US, MOST_OPEN_US, PROBE_PATIENCE_US, Breaker
from daemon.domain.instants import (
    DRIFT_PPM,
    FORMERS_MAX,
    SECOND_US,
    ClockOffset,
    Instant,
    Order,
    Span,
    compare,
    exactly,
    tick,
)
from daemon.domain.outcomes import Outcome, OutcomeKind
from daemon.domain.policy import Policy, explained, level
from daemon.domain.retry import SCHEDULE, next_attempt

POWER = settings(max_examples=80, deadline=None, derandomize=True)

# --- policy --------------------------------------------------------------------------------------------------

policies = st.builds(
    Policy, st.integers(0, 9), st.floats(0.01, 1.0), st.none() | st.integers(0, 50)
)  # fmt: skip


@POWER
@given(policies, st.integers(-50, 200), st.integers(0, 50))
def test_a_level_is_never_negative_never_above_what_is_there_and_grows_with_it(
    policy: Policy, available: int, more: int
) -> None:
    shown, shown_more = level(available, policy), level(available + more, policy)
    assert shown is not None
    assert shown_more is not None
    assert 0 <= shown <= max(available, 0)
    assert shown <= shown_more
    if policy.cap is not None:
        assert shown <= policy.cap


@POWER
@given(policies, st.none() | st.integers(-50, 200))
def test_the_explanation_ends_at_the_level(policy: Policy, available: int | None) -> None:
    shown, rules = explained(available, policy)
    assert shown == level(available, policy)
    assert rules
    if shown:
        assert rules[-1].endswith(str(shown))


def test_what_nobody_counted_has_no_level_and_zero_has() -> None:
    assert level(None, Policy(buffer=3)) is None
    assert level(0, Policy()) == 0


@pytest.mark.parametrize(
    ("available", "policy", "shown"),
    [
        (10, Policy(buffer=3), 7),
        (100, Policy(share=0.29), 29),
        (10, Policy(buffer=3, share=0.5, cap=2), 2),
        (2, Policy(buffer=3), 0),
        (-4, Policy(), 0),
        (5, Policy(cap=0), 0),
    ],
)
def test_buffer_share_and_cap_apply_in_this_order(available: int, policy: Policy, shown: int) -> None:
    assert level(available, policy) == shown


# --- instants ------------------------------------------------------------------------------------------------

spans = st.tuples(st.integers(0, 30), st.integers(0, 10)).map(lambda pair: Span(pair[0], pair[0] + pair[1]))
moments = st.builds(Instant, spans, st.none() | spans)


@POWER
@given(moments, moments, st.booleans())
def test_no_two_moments_lie_before_each_other_unless_they_touch(one: Instant, two: Instant, same: bool) -> None:
    there, back = compare(one, two, same_source=same), compare(two, one, same_source=same)
    if there is Order.AFTER:
        assert back is Order.BEFORE
    if there is back is Order.BEFORE:
        own = same and one.own is not None and two.own is not None
        assert (one.own == two.own) if own else (one.at == two.at)
    if there is Order.UNCLEAR:
        assert back is Order.UNCLEAR or back is Order.BEFORE


@POWER
@given(moments, moments, moments)
def test_joined_tellings_of_a_moment_are_the_same_in_any_order(one: Instant, two: Instant, three: Instant) -> None:
    joined = one.hull(two).hull(three)
    assert joined == three.hull(one.hull(two)) == two.hull(three).hull(one)
    assert joined.hull(one) == joined
    assert joined.at.lo <= one.at.lo
    assert joined.at.hi >= one.at.hi


@POWER
@given(moments, moments)
def test_different_moments_never_rank_the_same(one: Instant, two: Instant) -> None:
    assert (one.rank() == two.rank()) == (one == two)
    assert sorted([one, two], key=Instant.rank) == sorted([two, one], key=Instant.rank)


def test_a_span_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(ValueError, match="ends before it begins"):
        Span(2, 1)


@POWER
@given(st.lists(st.integers(-1_000, 1_000), min_size=2))
def test_our_clock_only_ever_goes_forward(walls: list[int]) -> None:
    last, stamps = 0, []
    for wall in walls:
        last = tick(last, wall)
        stamps.append(last)
    assert all(one < two for one, two in itertools.pairwise(stamps))
    assert all(stamp >= wall for stamp, wall in zip(stamps, walls, strict=True))


answers = st.lists(st.tuples(st.integers(0, 3_000_000), st.integers(1, 900_000)), min_size=1, max_size=30)


def learned(
    offset: ClockOffset, true_us: int, answers: list[tuple[int, int]], now_us: int
) -> tuple[ClockOffset, int]:
    for pause, trip in answers:
        now_us += pause
        second = (now_us + trip // 3 + true_us) // SECOND_US * SECOND_US
        offset = offset.learn(Span(second, second + SECOND_US - 1), now_us, now_us + trip)
        now_us += trip
    return offset, now_us


@POWER
@given(st.integers(-(10**9), 10**9), answers)
def test_a_channels_clock_is_known_ever_better_never_wrongly(true_us: int, answers: list[tuple[int, int]]) -> None:
    offset, now_us = ClockOffset(), 10**12
    width = None
    for answer in answers:
        offset, now_us = learned(offset, true_us, [answer], now_us)
        assert offset.span.lo <= true_us <= offset.span.hi
        grown = 2 * (answer[0] + answer[1]) * DRIFT_PPM // 1_000_000 + 2
        assert width is None or offset.span.hi - offset.span.lo <= width + grown
        width = offset.span.hi - offset.span.lo
    own = Span(now_us + true_us, now_us + true_us)
    assert offset.ours(own, now_us).lo <= now_us <= offset.ours(own, now_us).hi


@POWER
@given(st.integers(-(10**9), 10**9), st.integers(10**7, 10**9), answers)
def test_a_clock_that_jumped_is_learned_anew(true_us: int, jump: int, answers: list[tuple[int, int]]) -> None:
    offset, now_us = learned(ClockOffset(), true_us, answers, 10**12)
    offset, now_us = learned(offset, true_us + jump, answers[:1], now_us)
    assert offset.samples == 1
    assert offset.span.lo <= true_us + jump <= offset.span.hi


@POWER
@given(
    st.integers(-(10**9), 10**9),
    st.lists(st.tuples(st.integers(5 * 10**6, 10**9), st.sampled_from((-1, 1)), answers), max_size=FORMERS_MAX),
    st.data(),
)
def test_a_stamp_from_before_a_clock_was_set_is_read_as_it_was_then(
    ahead_us: int, jumps: list[tuple[int, int, list[tuple[int, int]]]], data: st.DataObject
) -> None:
    """Channel time and our own both go on; the difference is set now and then, by the channel or by us. A stamp made
    while any difference was in force is read to hold our moment of then, whichever differences came later. (A
    step smaller than what is not known anyway is not noticed.)"""
    offset, now_us = learned(ClockOffset(), ahead_us, [(0, 900_000)], 10**12)
    told = []
    for jump, way, then in [(0, 1, [(0, 900_000)]), *jumps]:
        ahead_us += jump * way
        # Before the first answer after a clock was set, and after it.
        for part in (then[:1], then[1:]):
            told.append((now_us + 1, Span(now_us + 1 + ahead_us, now_us + 1 + ahead_us)))
            offset, now_us = learned(offset, ahead_us, part, now_us + 2)
    moment_us, own = data.draw(st.sampled_from(told))
    read = offset.ours(own, now_us)
    assert read.lo <= moment_us <= read.hi


def test_after_a_clock_was_set_only_what_was_told_around_that_is_read_widely() -> None:
    offset, now_us = learned(ClockOffset(), 0, [(0, 900_000)] * 5, 10**12)
    set_at = now_us
    offset, now_us = learned(offset, 60 * SECOND_US, [(10 * SECOND_US, 900_000)] * 5, now_us)

    def width(own_us: int) -> float:
        read = offset.ours(Span(own_us, own_us), now_us)
        return (read.hi - read.lo) / SECOND_US

    assert width(set_at - 10 * SECOND_US) < 2
    assert width(set_at + 30 * SECOND_US) > 60
    assert width(now_us + 60 * SECOND_US) < 2


def test_before_the_first_answer_a_clock_may_be_minutes_off() -> None:
    assert ClockOffset().ours(Span(0, 0), 10**12) == Span(-300 * SECOND_US, 300 * SECOND_US)
    assert exactly(5) == Instant(Span(5, 5))


# --- breaker -------------------------------------------------------------------------------------------------


def test_a_breaker_opens_after_some_failures_in_a_row_and_not_before() -> None:
    breaker = Breaker()
    for _ in range(FAILURES_MAX - 1):
        assert not breaker.failed(0)
    breaker.succeeded()
    opened = [breaker.failed(0) for _ in range(FAILURES_MAX)]
    assert opened == [False] * (FAILURES_MAX - 1) + [True]
    assert breaker.state(FIRST_OPEN_US - 1) == "open"
    assert breaker.wait_us(0) == FIRST_OPEN_US


def test_a_half_open_breaker_lets_one_probe_through_and_closes_when_it_succeeds() -> None:
    breaker = Breaker()
    for _ in range(FAILURES_MAX):
        breaker.failed(0)
    now_us = FIRST_OPEN_US
    assert (breaker.state(now_us), breaker.wait_us(now_us)) == ("half_open", 0)
    breaker.begin(now_us)
    assert breaker.wait_us(now_us) > 0
    breaker.withdraw()
    assert breaker.wait_us(now_us) == 0
    breaker.begin(now_us)
    assert breaker.wait_us(now_us + PROBE_PATIENCE_US) == 0
    assert breaker.succeeded()
    assert not breaker.succeeded()
    assert breaker.state(now_us) == "closed"


def test_each_failed_probe_keeps_it_open_twice_as_long_up_to_a_minute() -> None:
    breaker, now_us, waits = Breaker(), 0, []
    for _ in range(FAILURES_MAX):
        breaker.failed(now_us)
    for _ in range(9):
        waits.append(breaker.wait_us(now_us))
        now_us += waits[-1]
        breaker.begin(now_us)
        assert not breaker.failed(now_us)
    assert waits == [min(MOST_OPEN_US, FIRST_OPEN_US << place) for place in range(9)]


def test_answers_to_calls_from_before_it_opened_do_not_keep_it_open_longer() -> None:
    breaker = Breaker()
    for _ in range(FAILURES_MAX):
        breaker.failed(0)
    assert not breaker.failed(10)
    assert breaker.until_us == FIRST_OPEN_US


def test_a_channel_that_calls_us_is_tried_at_once_but_not_again_and_again() -> None:
    breaker, now_us = Breaker(), 0
    assert not breaker.heard(now_us)
    for _ in range(FAILURES_MAX):
        breaker.failed(now_us)
    assert not breaker.heard(now_us + FIRST_OPEN_US - 1)
    for _ in range(5):
        now_us = breaker.until_us
        breaker.begin(now_us)
        breaker.failed(now_us)
    assert breaker.wait_us(now_us) == MOST_OPEN_US
    assert not breaker.heard(now_us + FIRST_OPEN_US - 1)
    now_us += FIRST_OPEN_US
    assert breaker.heard(now_us)
    assert (breaker.state(now_us), breaker.wait_us(now_us)) == ("half_open", 0)
    assert not breaker.heard(now_us)
    breaker.begin(now_us)
    assert breaker.wait_us(now_us) > 0
    breaker.failed(now_us)
    assert breaker.wait_us(now_us) == MOST_OPEN_US
    breaker.succeeded()
    assert not breaker.heard(now_us + FIRST_OPEN_US)


# --- retry ---------------------------------------------------------------------------------------------------

KINDS: list[OutcomeKind] = ["throttled", "transient", "unknown", "conflict"]


@POWER
@given(st.sampled_from(KINDS), st.integers(0, 200), st.floats(0, 0.999))
def test_the_pause_is_anywhere_between_nothing_and_the_doubled_first_step(
    kind: OutcomeKind, attempt: int, chance: float
) -> None:
    backoff = SCHEDULE[kind]
    most = min(backoff.most_s, backoff.first_s * 2.0 ** max(-1, attempt - 1))
    pause = next_attempt(Outcome(kind), attempt, chance)
    assert pause == pytest.approx(chance * most)


@POWER
@given(st.sampled_from(KINDS), st.integers(1, 200), st.floats(0, 0.999), st.floats(0, 5_000))
def test_a_retry_after_is_obeyed_exactly(kind: OutcomeKind, attempt: int, chance: float, after_s: float) -> None:
    assert next_attempt(Outcome(kind, retry_after_s=after_s), attempt, chance) == after_s


@pytest.mark.parametrize("kind", ["transient", "unknown", "conflict", "permanent"])
def test_after_the_last_attempt_it_is_given_up(kind: OutcomeKind) -> None:
    last = SCHEDULE[kind].attempts_max
    assert next_attempt(Outcome(kind), last - 1, 0.5) is not None
    assert next_attempt(Outcome(kind), last, 0.5) is None
    assert next_attempt(Outcome(kind, retry_after_s=1.0), last, 0.5) is None


@pytest.mark.parametrize("kind", ["ok", "superseded"])
def test_there_is_nothing_to_retry_after_a_success(kind: OutcomeKind) -> None:
    with pytest.raises(ValueError, match="nothing to retry"):
        next_attempt(Outcome(kind), 1, 0.5)

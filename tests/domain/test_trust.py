"""A channel's standing: lost step by step, won back step by step, never by chance alone."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.domain.trust import CLEAN_TO_DOUBTED, CLEAN_TO_TRUSTED, LIES_MAX, SHARES, WINDOW, Judge, Trust

ORDER: list[Trust] = ["trusted", "doubted", "downgraded"]


def told(judge: Judge, *samples: bool) -> Trust:
    for kept in samples:
        judge.judged(kept=kept, now_us=judge.kept + judge.lies + 1)
    return judge.trust


def test_one_lie_makes_doubtful_and_three_among_twenty_downgrade() -> None:
    judge = Judge()
    assert told(judge, *[True] * 100) == "trusted"
    assert told(judge, False) == "doubted"
    assert told(judge, *[True] * 9, False, *[True] * 7) == "doubted"
    assert told(judge, False) == "downgraded"
    assert (judge.lies, judge.kept) == (3, 116)
    assert judge.since_us == 119


def test_lies_far_apart_do_not_downgrade() -> None:
    judge = Judge()
    for _ in range(10):
        assert told(judge, False, *[True] * (CLEAN_TO_TRUSTED - 1)) == "doubted"
        assert told(judge, True) == "trusted"


def test_the_way_back_is_long_and_one_lie_begins_it_anew() -> None:
    judge = Judge()
    told(judge, *[False] * LIES_MAX)
    assert told(judge, *[True] * (CLEAN_TO_DOUBTED - 1), False) == "downgraded"
    assert told(judge, *[True] * (CLEAN_TO_DOUBTED - 1)) == "downgraded"
    assert told(judge, True) == "doubted"
    assert told(judge, *[True] * (CLEAN_TO_TRUSTED - 1)) == "doubted"
    assert told(judge, True) == "trusted"


def test_a_suspicion_makes_doubtful_and_no_more() -> None:
    judge = Judge()
    for now_us in (5, 6, 7, 8):
        judge.suspected(now_us)
    assert (judge.trust, judge.since_us, judge.lies) == ("doubted", 5, 0)
    assert told(judge, *[True] * CLEAN_TO_TRUSTED) == "trusted"


def test_a_life_before_is_not_forgotten() -> None:
    judge = Judge()
    judge.resume(7)
    assert (judge.trust, judge.since_us, judge.share) == ("downgraded", 7, 1.0)


@given(samples=st.lists(st.booleans(), max_size=300))
def test_the_standing_moves_by_one_step_at_a_time_and_up_only_after_a_clean_row(samples: list[bool]) -> None:
    judge = Judge()
    for place, kept in enumerate(samples):
        before = ORDER.index(judge.trust)
        after = ORDER.index(told(judge, kept))
        assert abs(after - before) <= 1
        if after > before:
            assert not kept
        if after < before:
            clean = CLEAN_TO_DOUBTED if before == 2 else CLEAN_TO_TRUSTED
            assert all(samples[place + 1 - clean : place + 1])
        if after == 2 and before == 1:
            assert samples[max(0, place + 1 - WINDOW) : place + 1].count(False) >= LIES_MAX
    assert judge.share == SHARES[judge.trust]


@pytest.mark.parametrize("rate", [0.2, 0.5, 1.0])
def test_who_lies_is_downgraded_soon_and_stays_so(rate: float) -> None:
    for seed in range(50):
        dice, judge = random.Random(seed), Judge()
        standings = [told(judge, dice.random() >= rate) for _ in range(400)]
        assert "downgraded" in standings[:100]
        assert standings[100:].count("trusted") == 0

"""Our own clock: even, never far from the wall, and not shaken when the wall is set."""

from __future__ import annotations

from daemon.app.steady import SLEW_PPM, STEP_MAX_US, SteadyClock
from daemon.domain.instants import SECOND_US

NOON_US = 1_750_000_000_000_000


class Hands:
    """A wall clock that can be set, and the time that really passes."""

    def __init__(self) -> None:
        self.off_us = 0
        self.passed_s = 0.0

    def wall_us(self) -> int:
        return NOON_US + round(self.passed_s * SECOND_US) + self.off_us

    def clock(self) -> SteadyClock:
        return SteadyClock(self.wall_us, lambda: self.passed_s)


def test_it_reads_as_the_wall_while_nobody_sets_that() -> None:
    hands = Hands()
    clock = hands.clock()
    for _ in range(5):
        hands.passed_s += 7.5
        assert clock() == hands.wall_us()


def test_a_wall_that_is_set_back_or_forward_is_followed_slowly_and_never_backwards() -> None:
    for by_us in (-120 * SECOND_US, 120 * SECOND_US):
        hands = Hands()
        clock, before = hands.clock(), NOON_US
        hands.off_us = by_us
        for _ in range(100):
            hands.passed_s += 10.0
            now = clock()
            assert abs((now - before) - 10 * SECOND_US) <= 10 * SLEW_PPM
            before = now
        assert abs(before - hands.wall_us()) == abs(by_us) - 1_000 * SLEW_PPM
        hands.passed_s += 1e6
        assert clock() == hands.wall_us()


def test_a_wall_that_was_plainly_wrong_is_followed_at_once() -> None:
    hands = Hands()
    clock = hands.clock()
    hands.off_us = STEP_MAX_US + 1
    assert clock() == hands.wall_us()


def test_after_a_restart_it_goes_on_where_it_was_unless_that_is_far_off() -> None:
    clock = Hands().clock()
    clock.not_before(NOON_US + 60 * SECOND_US)
    assert clock() == NOON_US + 60 * SECOND_US
    clock = Hands().clock()
    clock.not_before(NOON_US + STEP_MAX_US + 1)
    assert clock() == NOON_US
    clock.not_before(NOON_US - 5)
    assert clock() == NOON_US


class HeldUp(Hands):
    """So long does the system let others work between two readings of ours: of the wall, and of the time passed."""

    held_s = 0.0

    def wall_us(self) -> int:
        now_us = super().wall_us()
        self.passed_s += self.held_s
        return now_us

    def passed(self) -> float:
        now_s = self.passed_s
        self.passed_s += self.held_s
        return now_s

    def clock(self) -> SteadyClock:
        return SteadyClock(self.wall_us, self.passed)


def test_a_process_that_is_held_up_while_it_reads_never_stamps_with_a_moment_to_come() -> None:
    hands = HeldUp()
    hands.held_s = 0.02
    clock = hands.clock()
    for held_s in (0.0, 0.03, 0.0, 0.0, 0.5, 0.0):
        hands.held_s = held_s
        hands.passed_s += 0.3
        now = clock()
        hands.held_s = 0.0
        assert now <= hands.wall_us()


def test_it_is_as_fast_as_the_wall_however_often_it_is_read() -> None:
    for gap_s in (0.4e-6, 1.4e-6, 1.6e-6, 2.5e-6, 0.0019):
        hands = Hands()
        clock = hands.clock()
        for _ in range(20_000):
            hands.passed_s += gap_s
            clock()
        assert abs(clock() - hands.wall_us()) <= 1


def test_it_follows_the_wall_however_often_it_is_read() -> None:
    hands = Hands()
    clock, before = hands.clock(), NOON_US
    hands.off_us = -SECOND_US
    for _ in range(10_000):
        hands.passed_s += 0.001
        now = clock()
        assert now >= before
        before = now
    assert before - hands.wall_us() == SECOND_US - 10 * SLEW_PPM

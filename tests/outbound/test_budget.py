"""The call budget: never faster than allowed, first come first served, slower for a while after a throttle."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from daemon.outbound.budget import Budget


async def spent(budget: Budget, calls: int) -> list[float]:
    """When each of these calls, all asked for at once, may leave."""
    times: list[float] = []

    async def call() -> None:
        await budget.spend()
        times.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        for _ in range(calls):
            nursery.start_soon(call)
    return times


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.floats(0.1, 50.0), st.integers(1, 10), st.integers(1, 30))
def test_no_window_holds_more_calls_than_burst_and_rate_allow(rate: float, burst: int, calls: int) -> None:
    times = trio.run(spent, Budget(rate, burst), calls, clock=MockClock(autojump_threshold=0))
    for start in range(calls):
        for end in range(start, calls):
            assert end - start + 1 <= burst + (times[end] - times[start]) * rate + 1e-3
    if calls > burst:
        assert times[-1] == pytest.approx((calls - burst) / rate, rel=0.02, abs=calls * 0.0011)


async def test_after_a_throttle_nothing_leaves_before_its_time_and_then_at_half_the_pace(
    autojump_clock: MockClock,
) -> None:
    budget = Budget(10.0, 5)
    await spent(budget, 5)
    budget.pause(7.0)
    assert (budget.throttled, budget.paused_s()) == (1, 7.0)
    times = await spent(budget, 11)
    assert times[0] == pytest.approx(7.0, abs=0.002)
    assert times[0] >= 7.0
    assert times[-1] - times[0] == pytest.approx(10 / 5.0, abs=0.05)
    await trio.sleep(61)
    budget._tokens = 0.0
    times = await spent(budget, 11)
    assert times[-1] - times[0] <= 1.1


async def test_a_shorter_throttle_never_shortens_a_longer_one(autojump_clock: MockClock) -> None:
    budget = Budget(10.0, 5)
    budget.pause(9.0)
    budget.pause(1.0)
    assert budget.paused_s() == 9.0


async def test_a_throttle_that_comes_while_calls_wait_holds_them_too(autojump_clock: MockClock) -> None:
    budget = Budget(1.0, 1)
    async with trio.open_nursery() as nursery:
        times: list[float] = []

        async def call() -> None:
            await budget.spend()
            times.append(trio.current_time())

        for _ in range(2):
            nursery.start_soon(call)
        await trio.sleep(0.5)
        budget.pause(20.0)
    assert times[0] == 0.0
    assert times[1] >= 20.5


async def test_a_caller_that_gives_up_costs_nothing(autojump_clock: MockClock) -> None:
    budget = Budget(0.1, 1)
    await budget.spend()
    with trio.move_on_after(1):
        await budget.spend()
    await budget.spend()
    assert trio.current_time() == pytest.approx(10.0, abs=0.01)

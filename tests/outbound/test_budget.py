"""The call budget: never faster than allowed, first come first served, slower for a while after a throttle."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from daemon.domain.access import Limits
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


# --- what the channel says of its own limit -------------------------------------------------------------------


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.floats(0.5, 12.0), min_size=1, max_size=12), st.floats(1.0, 20.0), st.integers(1, 10))
def test_no_window_holds_more_cost_than_the_bucket_and_the_rate_allow(
    costs: list[float], rate: float, burst: int
) -> None:
    async def run() -> list[float]:
        budget, times = Budget(rate, burst), list[float]()
        for cost in costs:
            await budget.spend(cost)
            times.append(trio.current_time())
        return times

    times = trio.run(run, clock=MockClock(autojump_threshold=0))
    for start in range(len(costs)):
        for end in range(start, len(costs)):
            # What costs more than the bucket holds waits for a full one, and those after it for what it owes.
            within = sum(
                min(cost, burst) if place == end else cost
                for place, cost in enumerate(costs)
                if start <= place <= end
            )
            assert within <= burst + (times[end] - times[start]) * rate + 1e-3 * len(costs) * rate


async def test_what_is_left_is_learned_less_what_is_still_under_way(autojump_clock: MockClock) -> None:
    budget = Budget(10.0, 5)
    budget.learn(Limits(remaining=1.0))
    times = await spent(budget, 3)
    assert times == [0.0, pytest.approx(0.1, abs=0.01), pytest.approx(0.2, abs=0.01)]
    with budget.under_way(2.0):
        budget.learn(Limits(remaining=4.0))
    times = await spent(budget, 3)
    assert times[1] == pytest.approx(0.2, abs=0.01)
    assert times[2] == pytest.approx(0.3, abs=0.02)
    budget.learn(Limits(remaining=1_000.0))
    assert (await spent(budget, 6))[-2:] == [pytest.approx(0.3, abs=0.02), pytest.approx(0.4, abs=0.02)]  # at most 5


async def test_a_learned_rate_and_capacity_rule_from_then_on(autojump_clock: MockClock) -> None:
    budget = Budget(1.0, 1)
    await budget.spend()
    budget.learn(Limits(rate_per_s=100.0, capacity=50.0))
    await trio.sleep(1.0)
    assert (await spent(budget, 50))[-1] == pytest.approx(1.0, abs=0.01)
    assert (await spent(budget, 10))[-1] == pytest.approx(1.1, abs=0.02)


async def test_an_announced_pause_is_kept_without_slowing_down_afterwards(autojump_clock: MockClock) -> None:
    budget = Budget(10.0, 2)
    budget.learn(Limits(pause_s=30.0))
    times = await spent(budget, 12)
    assert times[0] == pytest.approx(30.0)
    assert times[-1] == pytest.approx(31.0, abs=0.05)
    assert budget.throttled == 0


@pytest.mark.parametrize("limits", [Limits(), Limits(rate_per_s=0.0), Limits(rate_per_s=-1.0), Limits(capacity=0.0),
                                    Limits(pause_s=-5.0)])  # fmt: skip
async def test_figures_that_make_no_sense_change_nothing(limits: Limits, autojump_clock: MockClock) -> None:
    budget = Budget(10.0, 2)
    budget.learn(limits)
    assert (budget.rate_per_s, budget.burst, budget.paused_s()) == (10.0, 2, 0.0)


async def test_what_a_call_costs_after_its_turn_is_waited_for_by_the_next(autojump_clock: MockClock) -> None:
    budget = Budget(10.0, 20)
    await budget.spend()
    budget.owe(29.0)
    await budget.spend()
    assert trio.current_time() == pytest.approx(1.1, abs=0.02)

"""What a sweep reads next, how fast, and when too much of it differs at once."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.domain.mass import MASS_LEAST, Tally
from daemon.domain.sweep import Risk, SweepRules, Target, choose, pause_s

names = st.integers(0, 40).map(lambda number: f"L-{number:02d}")
targets = names.map(lambda name: Target(f"SKU of {name}", name))
risks = st.builds(Risk, targets, st.none() | st.integers(0, 20), st.integers(0, 5), st.booleans())


@settings(max_examples=300, deadline=None, derandomize=True)
@given(risky=st.lists(risks, max_size=60), page=st.lists(targets, max_size=20), size=st.integers(1, 20))
def test_a_batch_is_bounded_without_doubles_and_keeps_room_for_the_round(
    risky: list[Risk], page: list[Target], size: int
) -> None:
    chosen = choose(risky, page, size)
    assert len(chosen) == len(set(chosen)) <= size
    of_round = [target for target in dict.fromkeys(page) if target in chosen]
    assert len(of_round) >= min(len(set(page)), size - size // 2), "the round goes on, whatever is risky"
    # What is left out of the round is its end: nothing in between is skipped.
    assert of_round[: size - size // 2] == list(dict.fromkeys(page))[: size - size // 2]


def test_the_riskiest_come_first() -> None:
    deep, low, busy = (Risk(Target(name, name), level) for name, level in (("deep", 90), ("low", 1), ("busy", 80)))
    busy.sold, unsure = 9, Risk(Target("unsure", "unsure"), 90, unsure=True)
    assert [each.sku for each in choose([deep, busy, low, unsure], [], 3)] == ["unsure", "low", "busy"]


def test_every_listing_comes_within_the_horizon_where_the_budget_allows_it() -> None:
    rules = SweepRules(sweep_s=3600.0, share=0.1)
    each_s = pause_s(rules, calls=1, rate_per_s=50.0, read=100, listings=10_000, risky=False)
    assert each_s * 100 <= 3600.0


def test_the_budget_rules_over_the_horizon() -> None:
    rules = SweepRules(sweep_s=3600.0, share=0.1)
    assert pause_s(rules, calls=2, rate_per_s=2.0, read=10, listings=1_000_000, risky=True) == 10.0


def test_risky_listings_need_not_wait_for_a_small_shop_to_come_round() -> None:
    rules = SweepRules()
    assert pause_s(rules, calls=1, rate_per_s=5.0, read=12, listings=12, risky=True) == 60.0
    assert pause_s(rules, calls=1, rate_per_s=5.0, read=12, listings=12, risky=False) == 3240.0


def tally(compared: int, zeros: int, others: int = 0) -> Tally:
    found = Tally()
    for place in range(compared):
        odd = place < zeros + others
        found.add(0 if place < zeros else 7, 5, odd=odd)
    return found


def test_a_fifth_of_all_listings_at_zero_is_a_mass_and_fewer_than_five_are_none() -> None:
    assert tally(100, 20).verdict(0.2) == "zero"
    assert tally(100, 19).verdict(0.2) is None
    assert tally(4, 4).verdict(0.2) is None
    assert tally(6, MASS_LEAST).verdict(0.2) == "zero"
    assert tally(100, 0, 25).verdict(0.2) == "change"
    assert tally(100, 15, 10).verdict(0.2) == "change"
    assert tally(10, 10).verdict(0.2, of=100) is None
    assert tally(100, 100).verdict(0.0) is None, "0 means that there is no such limit"

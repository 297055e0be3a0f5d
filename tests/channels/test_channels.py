"""A few worlds of each channel; the table of many is `python -m tests.channels`."""

from __future__ import annotations

from collections import Counter

import pytest

from adapters import PLATFORMS
from tests.channels.kinds import show
from tests.channels.mutants import MUTANTS
from tests.channels.stages import STAGES
from tests.channels.world import play
from tests.simulation.mutants.planting import planted

pytestmark = pytest.mark.slow

SEEDS = range(2)
FOUND = [("cancelled_receipts_never_read", "etsy"), ("refund_without_restock_counted_shopify", "shopify")]
"""Bugs, and a channel where a few seeds find each."""


FIRST = {"amazon": 1, "vendure": 1}
"""Where one world alone shows every kind, it is the first; elsewhere seed 0 is."""


KEPT = [
    ("ebay", 409, "a catalogue of two pages was begun anew whenever the second failed, and never came to its end"),
    ("bigcommerce", 505, "what was cancelled stayed under a safety stock, and its listing was said to have drifted"),
]
"""Worlds that once failed, and why."""


def test_every_native_channel_is_played() -> None:
    assert set(STAGES) == set(PLATFORMS) - {"sandbox"}


@pytest.mark.parametrize("channel", sorted(STAGES))
def test_with_faults_every_listing_comes_to_the_right_level(channel: str) -> None:
    faults: Counter[str] = Counter()
    for seed in SEEDS:
        result = play(channel, seed, 4.0)
        assert result.failures == (), (
            f"python -m tests.channels --channel {channel} --seeds {seed} --minutes 4 --story"
        )
        assert result.deeds["sold"], "nobody bought anything"
        faults += result.faults
    assert faults.total() > 5


@pytest.mark.parametrize("channel", sorted(STAGES))
def test_each_kind_of_fault_happens_where_each_has_its_turn(channel: str) -> None:
    found = show(channel, FIRST.get(channel, 0))
    assert not found.missing(), f"python -m tests.channels --kinds --channel {channel}"
    assert not found.failures


@pytest.mark.parametrize(("channel", "seed", "why"), KEPT)
def test_what_once_failed_is_mended(channel: str, seed: int, why: str) -> None:
    assert play(channel, seed).failures == (), why


@pytest.mark.parametrize(("name", "channel"), FOUND)
def test_a_planted_bug_is_found(name: str, channel: str) -> None:
    with planted(MUTANTS[name].mutant):
        assert any(play(channel, seed, 12.0).failures for seed in range(8))
    assert channel in MUTANTS[name].channels


def test_one_seed_is_one_run() -> None:
    assert play("woocommerce", 5, 4.0).digest == play("woocommerce", 5, 4.0).digest

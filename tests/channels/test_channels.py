"""A few worlds of each channel; the table of many is `python -m tests.channels`."""

from __future__ import annotations

from collections import Counter

import pytest

from adapters import PLATFORMS
from tests.channels.stages import STAGES
from tests.channels.world import play

pytestmark = pytest.mark.slow

SEEDS = range(2)


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


def test_one_seed_is_one_run() -> None:
    assert play("woocommerce", 5, 4.0).digest == play("woocommerce", 5, 4.0).digest

"""What somebody sets at a channel whose rule is to adopt it counts exactly once, through sales, crashes, replays."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import pytest
import trio

from tests.reconcile.mall import Mall, Rules, opened, play

pytestmark = pytest.mark.slow

SKUS = [f"SKU-{number}" for number in range(8)]
NAMES = ("shop", "site")


async def crash_soon(mall: Mall, rng: random.Random) -> None:
    """The daemon dies at some moment around the next readings back, and another one takes over."""
    await trio.sleep(rng.choice((0.0, 0.02, 0.5, 2.0, 2.02, 2.05, 2.1, 3.0)))
    await mall.crash()


async def play_one(seed: int) -> list[str]:
    """Edits at the shop, sales everywhere, crashes; what is wrong in the end."""
    rng = random.Random(seed)
    stock = {sku: rng.randint(100, 200) for sku in SKUS}
    true = dict(stock)
    with tempfile.TemporaryDirectory(prefix="onhand-adopt-") as folder:
        # A level that somebody set at any channel is a fact; nothing is called a mass, since so few are sold here.
        rules = Rules(drift="adopt", sweep_s=20.0, mass_change=0.0, poll_s=30.0)
        async with opened(Path(folder), dict.fromkeys(NAMES, stock), rules) as mall:
            for _ in range(12):
                sku, name = rng.choice(SKUS), rng.choice(NAMES)
                kind = rng.random()
                if kind < 0.5:
                    by = rng.choice((-30, -7, 5, 11, 40))
                    mall.edit(name, sku, mall.shown(name, sku) + by)
                    true[sku] += by
                elif kind < 0.8:
                    mall.sell(name, sku, units := rng.randint(1, 3))
                    true[sku] -= units
                if rng.random() < 0.5:
                    await crash_soon(mall, rng)
                else:
                    await trio.sleep(rng.choice((0.5, 3.0, 8.0)))
                # Two people who set one number at two shops at once do not mean two facts: one after the other.
                await trio.sleep(25.0)
                await mall.settled()
            await trio.sleep(90.0)
            await mall.settled()
            problems = [
                f"{sku}: {mall.available(sku)} are available, {units} in truth"
                for sku, units in true.items() if mall.available(sku) != units
            ]  # fmt: skip
            problems += [
                f"{name} shows {mall.shown(name, sku)} of {sku}, {units} in truth"
                for sku, units in true.items() for name in NAMES if mall.shown(name, sku) != units
            ]  # fmt: skip
            _, report = await mall.ask("/v1/rebuild", {"verify": True})
            return problems + ([] if report["ok"] else [f"the log and the state differ: {report}"])


@pytest.mark.parametrize("seed", range(2))
def test_what_is_adopted_counts_exactly_once(seed: int) -> None:
    assert play(lambda: play_one(seed)) == []

"""Any trade at a Shopify shop and a storefront, with a kill and silence in between.

`python -m tests.acceptance.shopify_trade --seeds 0..5`.

Each seed is a world of its own over real HTTP: some seconds. Too long for every check; a failing seed is run again.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from pathlib import Path

import trio

from tests.acceptance.test_shopify_end_to_end import sell_north, shows, subscribed, two_channels


async def trade(seed: int, turns: int, folder: Path) -> None:
    """One world: whatever is sold, refunded, lost or killed, in the end both stores show what is left."""
    rng = random.Random(seed)
    async with two_channels(folder, stock=60) as (twin, north, found):
        truth = {"SKU-0001": 60, "SKU-0002": 60}
        await shows(twin, north, truth)
        await subscribed(twin)
        there: list[tuple[int, str, int]] = []
        for turn in range(turns):
            await trio.sleep(rng.uniform(0, 0.1))
            sku, units = rng.choice(sorted(truth)), rng.randint(1, 2)
            match rng.choice(("sell there", "sell there", "sell here", "refund", "odd")):
                case "sell there" if twin.stock(sku) >= units:
                    there.append((twin.sell(sku, units), sku, units))
                    truth[sku] -= units
                case "sell here" if (await sell_north(north, sku, units))[0] == 201:
                    truth[sku] -= units
                case "refund" if there:
                    order, sku, units = there.pop(rng.randrange(len(there)))
                    kind = rng.choice(("cancel", "return", "no_restock"))
                    twin.refund(order, units, kind)
                    truth[sku] += 0 if kind == "no_restock" else units
                case "odd":
                    twin.mute, twin.lag_s = rng.random() < 0.3, rng.choice((0.0, 0.3))
            if turn == turns // 2:
                found.process.kill()
                await trio.sleep(rng.uniform(0, 0.5))
                found.process.start()
        twin.mute = False
        await shows(twin, north, truth, 60)
        for sku, units in truth.items():
            assert (await found.ask(f"/v1/skus/{sku}"))["available"] == units
        assert (await found.tell("/v1/rebuild", {"verify": True}))["ok"]
        assert found.process.complaints() == ""


def main() -> None:
    """Run the seeds, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="0..5", help="FIRST..LAST, the last one not included")
    parser.add_argument("--turns", type=int, default=60)
    given = parser.parse_args()
    first, _, last = given.seeds.partition("..")
    for seed in range(int(first), int(last)):
        with tempfile.TemporaryDirectory() as folder:
            trio.run(trade, seed, given.turns, Path(folder))
        print(f"seed {seed}: both show the truth")


if __name__ == "__main__":
    main()

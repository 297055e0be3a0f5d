"""Any trade at a Walmart and a storefront, with a kill, silence, failures and writes that were never done.

`python -m tests.acceptance.walmart_trade --seeds 0..5`.

Each seed is a world of its own over real HTTP: half a minute, or two where a write was acknowledged and not done,
which is found after a minute. Too long for every check; a failing seed is run again.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import trio
from attrs import define, field

from tests.acceptance.processes import Shop
from tests.acceptance.test_walmart_end_to_end import shows, two_channels
from tests.adapters.walmart_twin import Order, Twin

STOCK = 90


class Moody(Twin):
    """A Walmart some of whose answers are a gateway's failure, whatever it has done before."""

    moody = 0.0
    dice = random.Random()

    def answer(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, Any, dict[str, str]]:
        found = super().answer(method, target, headers, body)
        return (502, None, found[2]) if self.dice.random() < self.moody else found


@define
class Trade:
    """One world: what is done in it, and what there should be then."""

    twin: Moody
    north: Shop
    rng: random.Random
    truth: dict[str, int] = field(factory=lambda: {"SKU-0001": STOCK - 3, "SKU-0002": STOCK})

    def unsent(self) -> list[Order]:
        """Orders of ours of which something is still on the shelf."""
        orders = self.twin.orders.values()
        return [order for order in orders if order.lines[0].open and order.ship_node == "SellerFulfilled"]

    async def turn(self) -> None:
        """Anything."""
        sku, units = self.rng.choice(sorted(self.truth)), self.rng.randint(1, 2)
        what = self.rng.choice(("there", "there", "here", "send", "send", "cancel", "refund", "wfs", "odd"))
        match what:
            case "there" if self.twin.shown(sku) >= units:
                self.twin.sell((sku, units))
                self.truth[sku] -= units
            case "here":
                status, _ = await self.north.post("/orders", {"lines": [{"sku": sku, "quantity": units}]})
                self.truth[sku] -= units if status == 201 else 0
            case "wfs":
                self.twin.sell((sku, units), ship_node="WFSFulfilled")
            case "odd":
                self.twin.mute, self.twin.moody = self.rng.random() < 0.3, self.rng.choice((0.0, 0.0, 0.2))
                self.twin.phantoms = int(self.rng.random() < 0.1)
            case _:
                self.change(what)

    def change(self, what: str) -> None:
        """Something becomes of an order."""
        unsent = self.unsent()
        sent = [order.number for order in self.twin.orders.values() if order.lines[0].parts["Shipped"]]
        if what == "refund" and sent:
            self.twin.refund(self.rng.choice(sent))
        elif what in ("send", "cancel") and unsent:
            order = self.rng.choice(unsent)
            units = self.rng.randint(1, order.lines[0].open)
            if what == "cancel":
                self.twin.cancel(order.number, units=units, by_walmart=self.rng.random() < 0.5)
                self.truth[order.lines[0].sku] += units
            else:
                self.twin.acknowledge(order.number)
                self.twin.ship(order.number, units=units)


async def trade(seed: int, turns: int, folder: Path) -> None:
    """Whatever is sold, sent, cancelled, lost or killed, in the end both show what is left."""
    rng = random.Random(seed)
    told = {"SKU-0001": STOCK, "SKU-0002": STOCK}
    async with two_channels(folder, told, make=Moody, token_life_s=rng.choice((5, 900))) as (twin, north, found):
        assert isinstance(twin, Moody)
        twin.dice = rng
        world = Trade(twin, north, rng)
        await shows(twin, north, world.truth)
        for turn in range(turns):
            await trio.sleep(rng.uniform(0, 0.2))
            await world.turn()
            if turn == turns // 2:
                found.process.kill()
                await trio.sleep(rng.uniform(0, 0.5))
                found.process.start()
        twin.mute, twin.moody, twin.phantoms = False, 0.0, 0
        await shows(twin, north, world.truth, 150)
        for sku, units in world.truth.items():
            assert (await found.ask(f"/v1/skus/{sku}"))["available"] == units
            assert twin.told[sku] == units + twin.open(sku)
        assert (await found.tell("/v1/rebuild", {"verify": True}))["ok"]
        assert (await found.ask("/v1/status"))["dead_letters"] == 0
        assert found.process.complaints() == ""


def main() -> None:
    """Run the seeds, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="0..5", help="FIRST..LAST, the last one not included")
    parser.add_argument("--turns", type=int, default=80)
    given = parser.parse_args()
    first, _, last = given.seeds.partition("..")
    for seed in range(int(first), int(last)):
        with tempfile.TemporaryDirectory() as folder:
            trio.run(trade, seed, given.turns, Path(folder))
        print(f"seed {seed}: both show the truth", flush=True)


if __name__ == "__main__":
    main()

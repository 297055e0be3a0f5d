"""A storefront is down for six hours while 500 SKUs change; then it comes back.

    python -m tests.reconcile.outage --seeds 0..5

Nothing reaches the storefront `site` and nothing comes from it. Meanwhile every SKU is sold at the others, many of
them several times, and some orders are cancelled, so that levels fall and rise. When it answers again, its own ledger
says:

- every listing shows the right level within 60 s,
- each listing whose level differs was written exactly once, and no other was written at all.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Final

import trio
from attrs import asdict, define, field

from tests.reconcile.scripted import Cast, ScriptedWorld

DOWN: Final = "site"
OTHERS: Final = ("eu", "outlet")
HOURS: Final = 6.0
SKUS: Final = 500
STOCK: Final = 40
WITHIN_S: Final = 60.0


@define
class Found:
    """What one outage came to. `right_s`: seconds from the recovery until every listing was right."""

    seed: int
    changed: int = 0
    differing: int = 0
    written: int = 0
    twice: int = 0
    needless: int = 0
    right_s: float = -1.0
    problems: list[str] = field(factory=list)


class Outage:
    """One world with one outage."""

    def __init__(self, seed: int, skus: int = SKUS, *, plain: bool = False) -> None:
        self.skus = [f"SKU-{number:03d}" for number in range(skus)]
        stock = {name: dict.fromkeys(self.skus, STOCK) for name in (OTHERS[0], DOWN, OTHERS[1])}
        self.world = ScriptedWorld(seed, Cast(stock, blind=frozenset({DOWN} if plain else ())), self._script)
        self.found = Found(seed)

    def run(self) -> Found:
        result = self.world.run()
        found = self.found
        found.problems += result.failures
        if not 0 <= found.right_s <= WITHIN_S:
            found.problems.append(f"not right within {WITHIN_S:g} s of the recovery ({found.right_s:g})")
        if found.twice or found.needless:
            found.problems.append(f"{found.twice} listings written twice, {found.needless} needlessly")
        if found.written != found.differing:
            found.problems.append(f"{found.written} listings written, {found.differing} differed")
        return found

    async def _script(self, world: ScriptedWorld) -> None:
        site, rng = world.fronts[DOWN], world.rng
        before = len(site.store.ledger.writes)
        site.cut(on=True)
        end = trio.current_time() + HOURS * 3600
        sales = Counter(dict.fromkeys(self.skus, 1)) + Counter(rng.choices(self.skus, k=2 * len(self.skus)))
        moments = sorted((rng.uniform(0, 0.98), sku) for sku in sales.elements())
        began, orders = trio.current_time(), []
        for part, sku in moments:
            await trio.sleep_until(began + part * HOURS * 3600)
            where = rng.choice(OTHERS)
            if order := world.sell(where, sku, rng.randint(1, 3)):
                orders.append((where, order))
            if orders and rng.random() < 0.2:
                world.cancel(*orders.pop(rng.randrange(len(orders))))
        await trio.sleep_until(end)
        wrong = {sku for sku in self.skus if world.shown(DOWN, sku) != world.shown(OTHERS[0], sku)}
        self.found.changed, self.found.differing = len(sales), len(wrong)
        site.cut(on=False)
        back = trio.current_time()
        while trio.current_time() < back + 10 * WITHIN_S:
            if all(world.shown(DOWN, sku) == world.shown(OTHERS[0], sku) for sku in self.skus):
                self.found.right_s = round(trio.current_time() - back, 1)
                break
            await trio.sleep(0.1)
        await trio.sleep(2 * WITHIN_S)  # what would be written once more, would be by now
        listings = {sku: site.store.shop.by_sku[sku].id for sku in self.skus}
        times = Counter(write.listing for write in list(site.store.ledger.writes)[before:])
        self.found.written = sum(times[listings[sku]] > 0 for sku in wrong)
        self.found.twice = sum(times[listings[sku]] > 1 for sku in wrong)
        self.found.needless = sum(times[listings[sku]] > 0 for sku in self.skus if sku not in wrong)


def play(seeds: Sequence[int], skus: int = SKUS) -> list[Found]:
    """One outage for each seed; every second one of a storefront that cannot compare."""
    return [Outage(seed, skus, plain=seed % 2 == 1).run() for seed in seeds]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0..4", help="FIRST..LAST, the last left out")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    first, _, last = options.seeds.partition("..")
    rows = []
    for seed in range(int(first), int(last or int(first) + 1)):
        rows += play([seed])
        if not options.json:
            one = rows[-1]
            print(
                f"seed {one.seed}: {one.changed} SKUs changed in {HOURS:g} h, {one.differing} listings differed, "
                f"{one.written} written once, all right {one.right_s:g} s after the recovery: "
                + ("; ".join(one.problems) or "ok"),
                flush=True,
            )
    if options.json:
        print(json.dumps([asdict(each) for each in rows]))
    return 1 if any(each.problems for each in rows) else 0


if __name__ == "__main__":
    sys.exit(main())

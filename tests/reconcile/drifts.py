"""Drifts that name their cause: so many of each cause are planted at a simulated storefront, and the daemon must name
that cause first.

    python -m tests.reconcile.drifts [--each 10] [--seed 1]

Prints a table, and ends with 1 if any cause is named first in fewer than nine of ten.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec
import trio
from attrs import define, field

from adapters.storefront.script import Rule
from daemon.domain.drift import Cause
from daemon.domain.observations import Recipe
from tests.reconcile.mall import Mall, Rules, opened, play

SHOP: Final = "shop"
EACH: Final = 10
FOUND_S: Final = 300.0
"""Within this a planted drift must be found: a few rounds of the sweep."""


@define
class Planter:
    """Plants drifts of one cause in one mall, each at a SKU of its own."""

    mall: Mall
    rng: random.Random
    fresh: list[str]
    planted: list[str] = field(factory=list)

    def sku(self) -> str:
        """One that nothing was planted at yet."""
        sku = self.fresh.pop()
        self.planted.append(sku)
        return sku

    def listing(self, sku: str) -> str:
        return self.mall.stores[SHOP].shop.by_sku[sku].id

    async def seen(self, sku: str) -> None:
        """Until the daemon suspects the listing."""
        with trio.fail_after(FOUND_S):
            while self.mall.slot(SHOP, sku).suspicion is None:  # noqa: ASYNC110 - nobody announces it
                await trio.sleep(0.05)


Plant = Callable[[Planter], Awaitable[None]]


async def missing_order(here: Planter) -> None:
    """Its webhook is lost, and the order feed lags: the sweep finds the listing first."""
    here.mall.sell(SHOP, here.sku(), here.rng.randint(1, 4))
    await trio.sleep(here.rng.uniform(5.0, 40.0))


async def double_application(here: Planter) -> None:
    """The storefront takes a sale off twice."""
    sku = here.sku()
    here.mall.quirk(SHOP, twice=[here.listing(sku)])
    here.mall.sell(SHOP, sku, here.rng.randint(1, 5))
    await here.mall.settled()


async def late_stale_push(here: Planter) -> None:
    """A push that was not answered comes to life long after a newer one was confirmed."""
    sku = here.sku()
    late = Rule(do="late", listing=here.listing(sku), seconds=here.rng.uniform(60.0, 90.0))
    here.mall.misbehave(SHOP, script=[late])
    await here.mall.adjust(sku, -here.rng.randint(2, 6))
    await trio.sleep(25.0)
    await here.mall.adjust(sku, -here.rng.randint(2, 6))
    await here.mall.settled()
    if here.rng.random() < 0.5:
        here.mall.sell(SHOP, sku, 1)
    await trio.sleep(90.0)


async def unapplied_push(here: Planter) -> None:
    """The storefront says that it wrote a level, and did not."""
    sku = here.sku()
    api = here.mall.faults[SHOP].api
    here.mall.misbehave(SHOP, api=msgspec.structs.replace(api, lie_ok=1.0))
    await here.mall.adjust(sku, here.rng.choice((-1, 1)) * here.rng.randint(2, 9))
    await here.mall.settled()
    here.mall.misbehave(SHOP, api=api)
    await here.mall.settled()


async def foreign_edit(here: Planter) -> None:
    """Somebody types a number."""
    sku = here.sku()
    shown = here.mall.shown(SHOP, sku)
    here.mall.edit(SHOP, sku, here.rng.choice([0, *range(100, 160)]) if shown < 100 else 3)
    await here.mall.settled()


async def cap_or_rounding(here: Planter) -> None:
    """The storefront shows at most so much, or whole packs only; some say so, most do not."""
    sku = here.sku()
    shown, quirks = here.mall.shown(SHOP, sku), here.mall.faults[SHOP].quirks
    pack = here.rng.choice((5, 6, 10, 12))
    told = here.rng.random() < 0.3
    if here.rng.random() < 0.5:
        here.mall.quirk(SHOP, caps=quirks.caps | {here.listing(sku): shown + 2}, told=told)
    else:
        here.mall.quirk(SHOP, packs=quirks.packs | {here.listing(sku): pack}, told=told)
    more = here.rng.randint(5, 20)
    await here.mall.adjust(sku, more + ((shown + more) % pack == 0))
    await here.mall.settled()


async def kit_multiple(here: Planter) -> None:
    """The storefront counts a kit's pieces, or whole kits of a piece."""
    sku = here.sku()
    shown = here.mall.shown(SHOP, sku)
    units = KIT_OF[sku]
    here.mall.edit(SHOP, sku, shown * units if sku.startswith("SET") else shown // units)
    await here.mall.settled()


async def wrong_link(here: Planter) -> None:
    """The listing is given to another product."""
    sku, other = here.sku(), here.fresh[0]
    labels = here.mall.faults[SHOP].quirks.labels
    here.mall.quirk(SHOP, labels=labels | {here.listing(sku): other})
    here.mall.edit(SHOP, sku, here.mall.shown(SHOP, other))
    await here.mall.settled()


async def channel_lag(here: Planter) -> None:
    """A stale copy answers, and by the next look it does not any more."""
    sku = here.sku()
    here.mall.quirk(SHOP, stale=[here.listing(sku)])
    await here.mall.adjust(sku, here.rng.choice((-1, 1)) * here.rng.randint(2, 9))
    await here.mall.settled()
    await here.seen(sku)
    here.mall.quirk(SHOP, stale=[])
    await here.mall.settled()


KITS: Final[Mapping[str, Recipe]] = {
    f"SET-{number:02d}": ((f"PART-{number:02d}", 3 + number % 4),) for number in range(1, 15)
}
KIT_OF: Final = {sku: units for kit, ((part, units),) in KITS.items() for sku in (kit, part)}

PLANTS: Final[Mapping[Cause, tuple[Plant, Rules]]] = {
    "missing order": (missing_order, Rules(sweep_s=3.0, poll_s=3_600.0, feed_lag_s=3.0)),
    "double application": (double_application, Rules()),
    "late stale push": (late_stale_push, Rules(compare_and_set=False)),
    "unapplied push": (unapplied_push, Rules()),
    "foreign edit": (foreign_edit, Rules()),
    "cap or rounding": (cap_or_rounding, Rules()),
    "kit multiple": (kit_multiple, Rules(kits=KITS)),
    "wrong link": (wrong_link, Rules()),
    "channel lag": (channel_lag, Rules()),
}


async def trial(cause: Cause, each: int, seed: int) -> Counter[str]:
    """How often which cause was named first of drifts that are all of `cause`; "not found": of none."""
    plant, rules = PLANTS[cause]
    rng = random.Random(f"{seed}:{cause}")
    skus = list(KIT_OF) if rules.kits else [f"SKU-{number:03d}" for number in range(max(60, each * 6))]
    # No two SKUs have the same number: a listing that shows another's number shows nobody else's.
    numbers = rng.sample(range(30, 30 + 2 * len(skus)), k=len(skus))
    stock = dict(zip(skus, numbers, strict=True))
    for kit, ((part, units),) in rules.kits.items():
        stock[kit] = stock[part] // units
    fresh = list(skus)
    rng.shuffle(fresh)
    named: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="onhand-drifts-") as folder:
        async with opened(Path(folder), {SHOP: stock, "site": stock}, rules) as mall:
            here = Planter(mall, rng, fresh)
            if cause == "missing order":
                lost = msgspec.structs.replace(mall.faults[SHOP].webhook, drop=1.0)
                mall.misbehave(SHOP, webhook=lost, feed_lag_s=2.0)
            elif cause == "late stale push":
                mall.misbehave(SHOP, plain=True)
            for _ in range(each):
                await plant(here)
            await trio.sleep(FOUND_S)
            await mall.settled()
            drifts = {drift.sku: drift for drift in reversed(mall.drifts()) if drift.channel == SHOP}
            first = {drift.sku: drift for drift in mall.drifts() if drift.channel == SHOP}
            for sku in here.planted:
                named[first[sku].cause if sku in drifts else "not found"] += 1
            strays = [drift for drift in mall.drifts() if drift.sku not in here.planted]
            named["nothing was planted"] += len(strays)
    return +named


def run(each: int = EACH, seed: int = 1) -> dict[Cause, Counter[str]]:
    """Every cause."""
    return {cause: play(lambda cause=cause: trial(cause, each, seed)) for cause in PLANTS}


def enough(named: Mapping[str, int], cause: Cause, each: int) -> bool:
    """Is it named first in nine of ten, and nothing made up?"""
    return named.get(cause, 0) * 10 >= each * 9 and not named.get("nothing was planted")


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=EACH, help="drifts of each cause")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    found = run(options.each, options.seed)
    print(f"{'cause':<20} {'planted':>7} {'named first':>11}  others")
    good = True
    for cause, named in found.items():
        others = ", ".join(f"{times} {name}" for name, times in named.most_common() if name != cause)
        fine = enough(named, cause, options.each)
        good = good and fine
        print(f"{cause:<20} {options.each:>7} {named[cause]:>11}  {others or '-'}{'' if fine else '  TOO FEW'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

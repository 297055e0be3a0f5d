"""The last unit: three storefronts show 1, and people want it at all of them at once.

    python -m tests.reconcile.last_unit --rounds 1000

In each round one SKU has one unit. Webhooks of one storefront come 5 s late. Shoppers buy where a 1 is shown; some
change their mind and cancel, so that the unit comes back and the other storefronts must be raised again, in the midst
of it all. Then, from the storefronts' own ledgers alone:

- no push raised a listing over a sale that its storefront had made before, and that the daemon had not been told of;
- no unit was sold twice but by sales that nothing could have prevented: those that would have been made as well, had
  each storefront shown the right level the moment the daemon was told (by a webhook or in an answer), but for the
  time that news takes through disk and network.

A third of the worlds compare and set everywhere, a third nowhere, a third at two of three storefronts. Without
compare-and-set a sale made while a push is on its way cannot be seen by anybody: those are counted by themselves.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Final

import trio
from attrs import asdict, define

from adapters.storefront.faults import Faults, WebhookFaults
from tests.reconcile.scripted import Cast, ScriptedWorld
from tests.simulation.fronts import Front
from tests.simulation.truth import TrueLine

NAMES: Final = ("eu", "site", "outlet")
LATE: Final = "outlet"
"""Its webhooks come `LATE_S` late."""
LATE_S: Final = 5.0
ROUNDS_PER_WORLD: Final = 50
RUSH_S: Final = 8.0
"""Shoppers come within so long of each other."""
WAY_US: Final = 600_000
"""The longest that disk and network take together in these worlds: two commits and two ways."""

MODES: Final = {"compares everywhere": (), "compares nowhere": NAMES, "compares at two": ("site",)}
"""Storefronts without compare-and-set."""


Told = Mapping[tuple[str, str, int], int]
"""When the daemon was first told of a (channel, order, version)."""


@define
class Found:
    """What rounds came to."""

    rounds: int = 0
    sold: int = 0
    cancelled: int = 0
    refused: int = 0
    raises: int = 0
    raised_over_a_sale: int = 0
    sold_in_flight: int = 0
    """Raises met by a sale made while they were on their way, where the storefront cannot compare."""
    oversold: int = 0
    inevitable: int = 0
    """Sales of a unit that was gone, which the right level at the moment of the news would not have prevented."""

    def add(self, other: Found) -> None:
        for name, value in asdict(other).items():
            setattr(self, name, getattr(self, name) + value)


class Race:
    """Plays rounds in one world and judges them by its ledgers."""

    def __init__(self, seed: int, rounds: int, blind: Sequence[str]) -> None:
        self.rounds = rounds
        self.skus = [f"LAST-{number:03d}" for number in range(rounds)]
        cast = Cast({name: dict.fromkeys(self.skus, 1) for name in NAMES}, blind=frozenset(blind))
        self.world = ScriptedWorld(seed, cast, self._script)
        self.found = Found(rounds)

    def run(self) -> tuple[Found, Sequence[str]]:
        """What was found, and what the simulator's own oracle says."""
        result = self.world.run()
        for front in self.world.front_list:
            self._judge_raises(front)
        for sku in self.skus:
            self._judge_sales(sku)
        return self.found, result.failures

    # -- playing --

    async def _script(self, world: ScriptedWorld) -> None:
        world.fronts[LATE].set_faults(Faults(webhook=WebhookFaults(delay_s=LATE_S)))
        for sku in self.skus:
            async with trio.open_nursery() as shoppers:
                for name in NAMES:
                    for _ in range(world.rng.randint(1, 3)):
                        shoppers.start_soon(self._shop, name, sku)
            await trio.sleep(world.rng.uniform(0.0, 3.0))

    async def _shop(self, name: str, sku: str) -> None:
        rng = self.world.rng
        await trio.sleep(rng.random() ** 2 * RUSH_S)
        order = self.world.sell(name, sku)
        if order is None:
            self.found.refused += 1
            return
        self.found.sold += 1
        if rng.random() < 0.5:
            await trio.sleep(rng.choice((0.05, 0.5, 2.0, 6.0)) * rng.random())
            self.found.cancelled += self.world.cancel(name, order)

    # -- judging --

    def _judge_raises(self, front: Front) -> None:
        told = self.world.first_told_us()
        for write in front.store.ledger.writes:
            if not write.applied or write.before is None or write.after is None or write.after <= write.before:
                continue
            self.found.raises += 1
            left_us, unseen = self.world.left_us[write.key], Counter[str]()
            for line in self.world.oracle.fronts[front.name].by_sku[front.store.shop.listings[write.listing].sku]:
                shows, known = _taken(line, write.at_us), self._known(line, left_us, told)
                made_us = line.versions[0].at_us
                unseen["in flight" if made_us >= left_us and front.blind else "before"] += shows - known
            self.found.raised_over_a_sale += unseen["before"] > 0
            self.found.sold_in_flight += unseen["in flight"] > 0

    def _judge_sales(self, sku: str) -> None:
        """Each sale of a unit that was gone: would it have been made, had the right level been there at once?"""
        lines = {name: self.world.oracle.fronts[name].by_sku[sku] for name in NAMES}
        told = self._told_of(sku)
        for name, mine in lines.items():
            for line in mine:
                at_us = line.versions[0].at_us
                if 1 - sum(_taken(each, at_us - 1) for all_of in lines.values() for each in all_of) > 0:
                    continue
                self.found.oversold += 1
                cuts = [at_us - WAY_US, *(us for us in told.values() if at_us - WAY_US < us < at_us)]
                self.found.inevitable += any(self._shows(lines, name, at_us, cut_us, told) > 0 for cut_us in cuts)

    def _shows(self, lines: Mapping[str, Sequence[TrueLine]], name: str, at_us: int, cut_us: int, told: Told) -> int:
        """What `name` would show just before `at_us`, had it been told at `cut_us` the right level by all that was
        known then: that level, less what it sold and took back since and nobody had heard of.

        Since the moment that was known of last, where it compares; since it was told, where it writes what it is told
        over whatever it shows."""
        known = sum(self._known(each, cut_us, told) for each in lines[name])
        truly = sum(_taken(each, at_us - 1) for each in lines[name])
        right = self._right(lines, cut_us, told)
        unheard = [known - truly]
        if name in self.world.cast.blind:
            # Written when that level became the right one, over whatever it showed by then.
            news = [us for us in told.values() if us <= cut_us]
            since = takewhile(lambda us: self._right(lines, us, told) == right, reversed(news))
            unheard += [
                sum(_taken(each, us + way) for each in lines[name]) - truly for us in since for way in (0, WAY_US)
            ]
        return right + max(unheard)

    def _right(self, lines: Mapping[str, Sequence[TrueLine]], by_us: int, told: Told) -> int:
        """The right level by all that the daemon had been told of."""
        return max(0, 1 - sum(self._known(each, by_us, told) for all_of in lines.values() for each in all_of))

    def _told_of(self, sku: str) -> Told:
        """When the daemon was first told of each version of an order that holds the SKU, in order of time."""
        orders = {(name, line.order) for name in NAMES for line in self.world.oracle.fronts[name].by_sku[sku]}
        told = self.world.first_told_us()
        return {key: us for key, us in sorted(told.items(), key=lambda item: item[1]) if key[:2] in orders}

    def _known(self, line: TrueLine, by_us: int, told: Told) -> int:
        """Units that the line takes by its newest version that the daemon had been told of."""
        last, units = self.world.oracle.fronts[line.channel].last[line.order], 0
        for version in line.versions:
            numbers = line.numbers(version, last)
            if any(told.get((line.channel, line.order, number), by_us + 1) <= by_us for number in numbers):
                units = version.taken()
        return units


def _taken(line: TrueLine, at_us: int) -> int:
    then = line.as_of(at_us, None)
    return then.taken() if then else 0


def play(rounds: int, seed: int, progress: bool = False) -> tuple[dict[str, Found], list[str]]:
    """So many rounds; what was found by mode, and what the oracle says."""
    found, problems = {mode: Found() for mode in MODES}, []
    played = 0
    while played < rounds:
        mode = list(MODES)[seed % len(MODES)]
        here, failures = Race(seed, min(ROUNDS_PER_WORLD, rounds - played), MODES[mode]).run()
        found[mode].add(here)
        problems += [f"seed {seed} ({mode}): {failure}" for failure in failures]
        problems += [
            f"seed {seed} ({mode}): {what}" for what in (
                f"{here.raised_over_a_sale} raises over a sale" if here.raised_over_a_sale else "",
                f"{here.oversold} oversold, {here.inevitable} inevitable" if here.oversold > here.inevitable else "",
            ) if what
        ]  # fmt: skip
        played += here.rounds
        seed += 1
        if progress:
            print(f"\r{played} of {rounds} rounds", end="", file=sys.stderr, flush=True)
    if progress:
        print(file=sys.stderr)
    return found, problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found, problems = play(options.rounds, options.seed, progress=sys.stderr.isatty())
    if options.json:
        print(json.dumps({"modes": {mode: asdict(each) for mode, each in found.items()}, "problems": problems}))
        return 1 if problems else 0
    print(f"{'':24}" + "".join(f"{mode:>22}" for mode in found))
    for name in asdict(Found()):
        print(f"{name.replace('_', ' '):24}" + "".join(f"{getattr(each, name):>22,}" for each in found.values()))
    for problem in problems:
        print(f"PROBLEM: {problem}")
    print("no raise over a sale, and nothing sold twice that could have been helped" if not problems else "FAILED")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

"""A fifth of a storefront's listings suddenly read 0: nothing of that may spread.

    python -m tests.reconcile.mass_zero [--listings 60] [--seed 1]

Three storefronts list the same SKUs. At one of them 20 % of the listings are set to 0: told by webhooks, and, in a
second world, told by nobody, so that only reading finds it. Meanwhile all three sell. Then a person accepts the
numbers, or refuses them, or the storefront reads right again by itself. From the storefronts' ledgers: until then no
level was written because of it, by then exactly one alarm, and afterwards what was decided is shown everywhere.

Ends with 1 if anything of that is not so.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import trio
from attrs import frozen

from adapters.storefront.script import Lateness
from daemon.domain.policy import DriftRule
from tests.reconcile.mall import Mall, Rules, opened, play

NAMES: Final = ("shop", "site", "outlet")
SHOP: Final = NAMES[0]
LISTINGS: Final = 60
PART: Final = 0.2

Ending = Literal["accept", "refuse", "clear"]
ENDINGS: Final[tuple[Ending, ...]] = ("accept", "refuse", "clear")


@frozen
class Story:
    """How it goes. `told`: the storefront's webhooks tell of the zeros; `rule`: what its drift is subject to."""

    ending: Ending
    told: bool
    rule: DriftRule = "correct"
    crash: bool = False
    """The daemon is stopped and started again while the channel is held."""

    def __str__(self) -> str:
        again = ", restarted meanwhile" if self.crash else ""
        return f"{'told by webhooks' if self.told else 'found by reading'}, rule {self.rule}, {self.ending}{again}"


STORIES: Final = (
    *(Story(ending, told=told) for told in (True, False) for ending in ENDINGS),
    *(Story(ending, told=True, rule="adopt") for ending in ENDINGS),
    Story("accept", told=False, rule="adopt", crash=True),
    Story("refuse", told=True, rule="report", crash=True),
)


class Judge:
    """Plays one story and says what was wrong."""

    def __init__(self, mall: Mall, story: Story, rng: random.Random) -> None:
        self.mall, self.story, self.rng = mall, story, rng
        self.problems: list[str] = []
        self.skus = sorted(mall.stores[SHOP].shop.by_sku)
        self.zeroed = rng.sample(self.skus, k=round(len(self.skus) * PART))
        self.stock = {sku: mall.available(sku) for sku in self.skus}

    def check(self, good: object, otherwise: str) -> None:
        if not good:
            self.problems.append(otherwise)

    def wrote(self, name: str, since: int) -> list[tuple[str, int | None]]:
        """Levels of the SKUs in question that the daemon has written at a storefront since."""
        store = self.mall.stores[name]
        writes = list(store.ledger.writes)[since:]
        listings = {store.shop.by_sku[sku].id: sku for sku in self.zeroed}
        return [
            (listings[write.listing], write.after)
            for write in writes if write.listing in listings and write.applied and not write.fault
        ]  # fmt: skip

    def marks(self) -> dict[str, int]:
        return {name: len(store.ledger.writes) for name, store in self.mall.stores.items()}

    async def play(self) -> list[str]:
        mall, story = self.mall, self.story
        before = self.marks()
        if not story.told:
            never = Lateness(delay_s=3600.0, topic="level.changed", times=None)
            mall.misbehave(SHOP, webhook=msgspec.structs.replace(mall.faults[SHOP].webhook, late=[never]))
        shown = {sku: mall.shown(SHOP, sku) for sku in self.zeroed}
        for sku in self.zeroed:
            mall.edit(SHOP, sku, 0)
        await self._held()
        await self._trade()
        for name in NAMES:
            self.check(not self.wrote(name, before[name]), f"{name} was written to: {self.wrote(name, before[name])}")
        if story.crash:
            await mall.restart()
            await self._held()
        mall.misbehave(SHOP, webhook=msgspec.structs.replace(mall.faults[SHOP].webhook, late=[]))
        alarms = await self._alarms()
        self.check(len(alarms) == 1, f"there are {len(alarms)} alarms: {alarms}")
        begun = [line for line in mall.said if line["event"] == "alarm.raised" and line["condition"] == "mass_change"]
        self.check(len(begun) == 1, f"the alarm was raised {len(begun)} times")
        for sku in self.zeroed:
            self.check(mall.available(sku) == self.stock[sku], f"{sku}: {mall.available(sku)} are available")
        await self._end(shown)
        self.check(not await self._alarms(), "the alarm is still open")
        return self.problems

    async def _held(self) -> None:
        with trio.move_on_after(180.0):
            while not await self._alarms():  # noqa: ASYNC110 - nobody announces it
                await trio.sleep(1.0)
        await self.mall.settled()

    async def _alarms(self) -> list[Any]:
        _, status = await self.mall.ask("/v1/status")
        return [alarm for alarm in status["alarms"] if alarm["condition"] == "mass_change"]

    async def _trade(self) -> None:
        """All three sell what is not in question; at the held one that goes on as ever."""
        others = [sku for sku in self.skus if sku not in self.zeroed]
        for name in NAMES:
            sku = self.rng.choice(others)
            before = self.mall.available(sku)
            self.mall.sell(name, sku, 1)
            await self.mall.settled()
            await trio.sleep(10.0)
            shows = {each: self.mall.shown(each, sku) for each in NAMES}
            assert before is not None
            self.check(set(shows.values()) == {before - 1}, f"{sku} was sold at {name}, and {shows} are shown")

    async def _end(self, shown: dict[str, int]) -> None:
        mall = self.mall
        if self.story.ending == "clear":
            for sku in self.zeroed:
                mall.edit(SHOP, sku, shown[sku])
            with trio.move_on_after(300.0):
                while await self._alarms():  # noqa: ASYNC110 - nobody announces it
                    await trio.sleep(1.0)
        else:
            status, said = await mall.ask(f"/v1/channels/{SHOP}/drift/{self.story.ending}", {})
            self.check(status == 200, f"the decision was answered {status}: {said}")
        await mall.settled()
        await trio.sleep(60.0)
        await mall.settled()
        for sku in self.zeroed:
            right = 0 if self.story.ending == "accept" else self.stock[sku]
            shows = {name: mall.shown(name, sku) for name in NAMES}
            self.check(set(shows.values()) == {right}, f"{sku}: {shows} are shown, {right} is right")
            self.check(mall.available(sku) == right, f"{sku}: {mall.available(sku)} are available, not {right}")


async def tell(story: Story, listings: int, seed: int) -> list[str]:
    """Play one story; what was wrong."""
    rng = random.Random(f"{seed}:{story}")
    stock = {f"SKU-{number:03d}": rng.randint(5, 60) for number in range(listings)}
    rules = Rules(drift=story.rule, sweep_s=30.0)
    with tempfile.TemporaryDirectory(prefix="onhand-mass-") as folder:
        async with opened(Path(folder), dict.fromkeys(NAMES, stock), rules) as mall:
            return await Judge(mall, story, rng).play()


def run(stories: tuple[Story, ...] = STORIES, listings: int = LISTINGS, seed: int = 1) -> dict[Story, list[str]]:
    """What was wrong in each story."""
    return {story: play(lambda story=story: tell(story, listings, seed)) for story in stories}


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listings", type=int, default=LISTINGS)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    found = run(listings=options.listings, seed=options.seed)
    for story, problems in found.items():
        print(f"{'ok' if not problems else 'WRONG':<6} {story}")
        for problem in problems[:5]:
            print(f"       {problem}")
    print(
        f"{round(options.listings * PART)} of {options.listings} listings read 0, {len(found)} stories, "
        f"{sum(map(bool, found.values()))} wrong"
    )
    return int(any(found.values()))


if __name__ == "__main__":
    sys.exit(main())

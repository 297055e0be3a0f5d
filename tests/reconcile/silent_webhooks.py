"""A storefront whose webhooks stop without a word, and a quiet one whose webhooks are well.

    python -m tests.reconcile.silent_webhooks --seeds 0..12

In each world three storefronts sell. One of them takes subscriptions over its API; at some moment it switches them
off and tells nobody, and goes on selling. A second one has no such API: its webhooks stop, and come back by
themselves later. The third sells next to nothing, and its webhooks now and then come later than the poll. Then:

- each silence was noticed within one poll interval of the first order that no webhook told,
- meanwhile sales were absorbed by polls, sooner than the usual interval once it was noticed,
- the daemon subscribed again at once where it can,
- each silence is exactly one alarm and one all-clear; the quiet shop is none.

In every third world nothing is switched off: there must be no alarm at all.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any, Final

import trio
from attrs import asdict, define, field

from adapters.storefront.faults import Faults, WebhookFaults
from tests.reconcile.scripted import Cast, ScriptedWorld

SUBSCRIBED: Final = "outlet"
"""It switches its subscriptions off; they can be switched on again over its API."""
PLAIN: Final = "site"
"""Its webhooks stop, and nobody but itself can change that."""
QUIET: Final = "eu"
SKUS: Final = tuple(f"SKU-{number:02d}" for number in range(8))
POLL_S: Final = 60.0
TOLERANCE_S: Final = 2.0
"""What clocks (whose offset is known to a second), disk and network may add."""
BEFORE_S, SILENT_S, AFTER_S = 900.0, 1200.0, 900.0
SALE_S: Final = 45.0
"""Between two sales at the busy storefronts, on average."""
QUIET_SALE_S: Final = 900.0


@define
class Silence:
    """What became of one silence; moments are seconds of the world's clock."""

    channel: str
    began: float
    first_sale: float | None = None
    """The first order that no webhook told."""
    noticed: float | None = None
    repaired: float | None = None
    cleared: float | None = None


@define
class Found:
    """What one world came to."""

    seed: int
    silent: bool
    silences: list[Silence] = field(factory=list)
    raised: dict[str, int] = field(factory=dict)
    cleared: dict[str, int] = field(factory=dict)
    sold_in_silence: int = 0
    slowest_s: float = 0.0
    """The longest that an order sold in silence, after that was noticed, waited to be absorbed."""


class Silent:
    """One world."""

    def __init__(self, seed: int) -> None:
        self.found = Found(seed, silent=seed % 3 != 2)
        names = (QUIET, PLAIN, SUBSCRIBED)
        cast = Cast(
            {name: dict.fromkeys(SKUS, 300) for name in names}, subscribed=frozenset({SUBSCRIBED}), poll_s=POLL_S
        )
        self.world = ScriptedWorld(seed, cast, self._script)
        self.sold: list[tuple[str, str, float]] = []
        """(channel, order, when), of what was sold in silence."""

    def run(self) -> tuple[Found, list[str]]:
        """What was found, and what is wrong with it."""
        result = self.world.run()
        self._absorbed()
        return self.found, [f"seed {self.found.seed}: {what}" for what in (*result.failures, *self._wrong())]

    def _absorbed(self) -> None:
        told = self.world.first_told_us()
        noticed = {each.channel: each.noticed for each in self.found.silences}
        for channel, order, at in self.sold:
            moment = told.get((channel, order, 1))
            heard = None if moment is None else (moment - self.world.epoch_us) / 1e6
            since = noticed.get(channel)
            self.found.sold_in_silence += 1
            if heard is None or (since is not None and at >= since):
                self.found.slowest_s = max(self.found.slowest_s, 1e9 if heard is None else heard - at)

    def _wrong(self) -> list[str]:
        found, wrong = self.found, []
        for silence in found.silences:
            name, first = silence.channel, silence.first_sale
            if first is None or silence.noticed is None:
                wrong.append(f"{name}: the silence was not noticed ({silence})")
                continue
            if silence.noticed - first > POLL_S + TOLERANCE_S:
                wrong.append(f"{name}: noticed only {silence.noticed - first:.1f} s after the first sale")
            if name == SUBSCRIBED and (silence.repaired is None or silence.repaired - silence.noticed > 10.0):
                wrong.append(f"{name}: not subscribed again at once ({silence})")
            if silence.cleared is None:
                wrong.append(f"{name}: no all-clear")
        silenced = {each.channel for each in found.silences}
        for name in (QUIET, PLAIN, SUBSCRIBED):
            counts = (found.raised.get(name, 0), found.cleared.get(name, 0))
            if counts != ((1, 1) if name in silenced else (0, 0)):
                wrong.append(f"{name}: {counts[0]} alarms and {counts[1]} all-clears")
        if found.slowest_s > POLL_S / 2:
            wrong.append(f"an order waited {found.slowest_s:.0f} s although the silence was known")
        return wrong

    # -- playing --

    async def _script(self, world: ScriptedWorld) -> None:
        rng = world.rng
        # Later than the poll now and then, never later than the grace.
        world.fronts[QUIET].set_faults(Faults(webhook=WebhookFaults(delay_s=4.0)))
        async with trio.open_nursery() as nursery:
            for name in (PLAIN, SUBSCRIBED):
                nursery.start_soon(self._shop, name, SALE_S)
            nursery.start_soon(self._shop, QUIET, QUIET_SALE_S)
            nursery.start_soon(self._listen)
            await trio.sleep(BEFORE_S * rng.uniform(0.8, 1.2))
            if self.found.silent:
                world.fronts[SUBSCRIBED].store.subscriptions.switch_off(["*"])
                self.found.silences.append(Silence(SUBSCRIBED, trio.current_time()))
                await trio.sleep(rng.uniform(0, POLL_S))
                world.fronts[PLAIN].muted = True
                self.found.silences.append(Silence(PLAIN, trio.current_time()))
            await trio.sleep(SILENT_S)
            world.fronts[PLAIN].muted = False
            await trio.sleep(AFTER_S)
            nursery.cancel_scope.cancel()

    def _silence(self, channel: str) -> Silence | None:
        """The silence that this storefront is in: its webhooks are really off now."""
        front = self.world.fronts[channel]
        off = front.muted or any(each.state == "disabled" for each in front.store.subscriptions.by_id.values())
        return next((each for each in self.found.silences if each.channel == channel and off), None)

    async def _shop(self, name: str, every_s: float) -> None:
        rng = self.world.rng
        while True:
            await trio.sleep(rng.expovariate(1 / every_s))
            order = self.world.sell(name, rng.choice(SKUS))
            if order is None or (silence := self._silence(name)) is None:
                continue
            self.sold.append((name, order, trio.current_time()))
            silence.first_sale = silence.first_sale or trio.current_time()

    async def _listen(self) -> None:
        """Hear what a person would hear, as it is said."""
        before: set[str] = set()
        while True:
            await trio.sleep(0.5)
            life = self.world.life
            assert life is not None
            assert life.daemon is not None
            now = {each.channel for each in life.daemon.parts.alarms.open() if each.condition == "webhooks_silent"}
            for name in sorted(now - before):
                self.found.raised[name] = self.found.raised.get(name, 0) + 1
            for name in sorted(before - now):
                self.found.cleared[name] = self.found.cleared.get(name, 0) + 1
            self._date(now - before, before - now)
            before = now

    def _date(self, raised: set[str], cleared: set[str]) -> None:
        at = trio.current_time()
        for silence in self.found.silences:
            front = self.world.fronts[silence.channel]
            if silence.channel in raised and silence.noticed is None:
                silence.noticed = at
            if silence.channel in cleared and silence.cleared is None:
                silence.cleared = at
            hooks = front.store.subscriptions.by_id.values()
            if hooks and silence.repaired is None and all(each.state == "active" for each in hooks):
                silence.repaired = at


def play(seeds: Sequence[int]) -> tuple[list[Found], list[str]]:
    """One world a seed."""
    found, problems = [], []
    for seed in seeds:
        here, wrong = Silent(seed).run()
        found.append(here)
        problems += wrong
    return found, problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0..12", help="from..to, the end not included")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    first, _, end = options.seeds.partition("..")
    found, problems = play(range(int(first), int(end or int(first) + 1)))
    if options.json:
        print(json.dumps({"worlds": [asdict(each) for each in found], "problems": problems}))
        return 1 if problems else 0
    titles = f"{'seed':>6}  {'storefront':12}{'noticed s':>10}{'subscribed s':>14}{'all-clear s':>13}"
    print(f"{titles}{'sold':>6}{'slowest s':>11}")
    for each in found:
        for silence in each.silences:
            print(
                f"{each.seed:>6}  {silence.channel:12}{_after(silence.noticed, silence.first_sale):>10}"
                f"{_after(silence.repaired, silence.noticed):>14}{_after(silence.cleared, silence.noticed):>13}"
                f"{each.sold_in_silence:>6}{each.slowest_s:>11.1f}"
            )
        if not each.silences:
            alarms = sum(each.raised.values())
            print(f"{each.seed:>6}  nothing was switched off: {alarms} alarms")
    for problem in problems:
        print(f"PROBLEM: {problem}")
    done = "every silence noticed within one poll, said once, ended once; no word where all was well"
    print(done if not problems else "FAILED")
    return 1 if problems else 0


def _after(moment: float | None, since: Any) -> str:
    return "-" if moment is None or since is None else f"{moment - since:.1f}"


if __name__ == "__main__":
    sys.exit(main())

"""A storefront that acknowledges levels and does not write them, beside honest ones.

    python -m tests.reconcile.lying_acks --seeds 0..6

In each world three storefronts sell the same SKUs for hours. In half of the worlds one of them says "ok" to a part of
its pushes and writes nothing; later it becomes honest again. Then:

- the liar was downgraded, with one alarm, and once it was honest for long enough one all-clear; nobody else was,
- every listing was right in the end,
- in the worlds without a liar no alarm was raised and nobody downgraded.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any, Final

import trio
from attrs import asdict, define

from adapters.storefront.faults import ApiFaults, Faults
from daemon.domain.trust import Trust
from tests.reconcile.scripted import Cast, ScriptedWorld

NAMES: Final = ("eu", "site", "outlet")
LIAR: Final = "outlet"
SKUS: Final = tuple(f"SKU-{number:02d}" for number in range(12))
STOCK: Final = 400
LIES: Final = (0.2, 0.5, 1.0)
"""How often it lies, by seed."""
LYING_S: Final = 1800.0
HONEST_S: Final = 3000.0
SALE_S: Final = 10.0
"""Between two sales, on average."""
STEP_S: Final = 30.0


@define
class Found:
    """What one world came to. Moments are seconds since the lies began."""

    seed: int
    lies: float
    told: int = 0
    """Pushes that were acknowledged and not done."""
    downgraded_s: float | None = None
    trusted_again_s: float | None = None
    alarms: int = 0
    all_clears: int = 0
    others: int = 0
    """Alarms about acknowledgements of honest storefronts."""
    explained: bool = False
    wrong_at_rest: int = 0


class Lying:
    """One world."""

    def __init__(self, seed: int, lies: float) -> None:
        self.found = Found(seed, lies)
        cast = Cast(
            {name: dict.fromkeys(SKUS, STOCK) for name in NAMES}, blind=frozenset({LIAR} if seed // 2 % 2 else ())
        )
        self.world = ScriptedWorld(seed, cast, self._script)
        self.began = 0.0

    def run(self) -> tuple[Found, list[str]]:
        """What was found, and what is wrong with it."""
        result = self.world.run()
        found = self.found
        for sku in SKUS:
            levels = {self.world.shown(name, sku) for name in NAMES}
            found.wrong_at_rest += len(levels) > 1
        found.told = sum(write.fault == "lie" for write in self.world.fronts[LIAR].store.ledger.writes)
        return found, [f"seed {found.seed}: {what}" for what in (*result.failures, *self._wrong())]

    def _wrong(self) -> list[str]:
        found = self.found
        wrong = []
        if found.wrong_at_rest:
            wrong.append(f"{found.wrong_at_rest} SKUs are not shown alike in the end")
        if found.others:
            wrong.append(f"{found.others} alarms about honest storefronts")
        if not found.lies:
            return [*wrong, *([f"{found.alarms} alarms without a lie"] if found.alarms else [])]
        if found.downgraded_s is None or found.downgraded_s > LYING_S:
            wrong.append("never downgraded while it lied")
        if (found.alarms, found.all_clears) != (1, 1):
            wrong.append(f"{found.alarms} alarms and {found.all_clears} all-clears")
        if found.trusted_again_s is None:
            wrong.append("never trusted again")
        if not found.explained:
            wrong.append("explain does not say that its acknowledgements are read back")
        return wrong

    # -- playing --

    async def _script(self, world: ScriptedWorld) -> None:
        self.began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._shop)
            nursery.start_soon(self._listen)
            if self.found.lies:
                faults = ApiFaults(lie_ok=self.found.lies)
                world.fronts[LIAR].set_faults(Faults(api=faults))
            await trio.sleep(LYING_S)
            world.fronts[LIAR].set_faults(Faults())
            await trio.sleep(HONEST_S)
            nursery.cancel_scope.cancel()

    async def _shop(self) -> None:
        rng = self.world.rng
        while True:
            await trio.sleep(rng.expovariate(1 / SALE_S))
            name, sku = rng.choice(NAMES), rng.choice(SKUS)
            order = self.world.sell(name, sku)
            if order is not None and rng.random() < 0.5:
                # So that the shelves are not empty before the day is over.
                await trio.sleep(rng.uniform(1.0, 20.0))
                self.world.cancel(name, order)

    async def _listen(self) -> None:
        """Hear what a person would hear: alarms, and the channels' standing."""
        before: set[str] = set()
        standing: dict[str, Trust] = dict.fromkeys(NAMES, "trusted")
        while True:
            await trio.sleep(STEP_S)
            _, body = await self.world.ask_admin("/v1/status", method="GET")
            status: dict[str, Any] = json.loads(body)
            now = {each["channel"] for each in status["alarms"] if each["condition"] == "acknowledgements_lie"}
            self.found.alarms += len((now - before) & {LIAR})
            self.found.others += len(now - before - {LIAR})
            self.found.all_clears += len(before - now)
            after = trio.current_time() - self.began
            for name, state in status["channels"].items():
                await self._noticed(name, standing[name], state["acknowledgements"], after)
                standing[name] = state["acknowledgements"]
            before = now

    async def _noticed(self, name: str, before: Trust, now: Trust, after: float) -> None:
        if name != LIAR or before == now:
            return
        if now == "downgraded" and self.found.downgraded_s is None:
            self.found.downgraded_s = after
            _, body = await self.world.ask_admin(f"/v1/skus/{SKUS[0]}/explain?channel={LIAR}", method="GET")
            self.found.explained = any(
                "acknowledgements are read back since" in why for why in json.loads(body)["listings"][0]["why"]
            )
        elif now == "trusted" and self.found.downgraded_s is not None:
            self.found.trusted_again_s = after


def play(seeds: Sequence[int]) -> tuple[list[Found], list[str]]:
    """One world a seed: every second one has a liar."""
    found, problems = [], []
    for seed in seeds:
        here, wrong = Lying(seed, LIES[seed // 2 % len(LIES)] if seed % 2 == 0 else 0.0).run()
        found.append(here)
        problems += wrong
    return found, problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0..6", help="from..to, the end not included")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    first, _, end = options.seeds.partition("..")
    found, problems = play(range(int(first), int(end or int(first) + 1)))
    if options.json:
        print(json.dumps({"worlds": [asdict(each) for each in found], "problems": problems}))
        return 1 if problems else 0
    titles = f"{'seed':>6}{'lies':>6}{'told':>8}{'downgraded after s':>20}{'trusted again s':>17}"
    print(f"{titles}{'alarms':>8}{'all-clears':>12}")
    for each in found:
        print(
            f"{each.seed:>6}{each.lies:>6.0%}{each.told:>8}{_s(each.downgraded_s):>20}{_s(each.trusted_again_s):>17}"
            f"{each.alarms:>8}{each.all_clears:>12}"
        )
    for problem in problems:
        print(f"PROBLEM: {problem}")
    print("liars are found and said once, honest ones left alone, every listing right" if not problems else "FAILED")
    return 1 if problems else 0


def _s(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:,.0f}"


if __name__ == "__main__":
    sys.exit(main())

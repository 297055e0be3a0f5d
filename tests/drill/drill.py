"""A backup under load, a lost disk, a restore: the whole daemon on simulated time, from one integer.

The storefronts never stop selling. The backup is taken between two sales; the life that took it goes on for minutes
or days, and what it learns and writes after the backup is lost with its disk. What must hold then:

- the restored state is sound, and `rebuild --verify` finds its books equal to its log;
- every sale that a storefront ever made is known, also those that only the lost life had been told;
- no write of the restored daemon raises a listing over what is truly there, also where a storefront is away at first;
- every storefront shows what is true, and neither an alarm nor a dead letter is left.

What people told the lost life after the backup is lost with it: here nobody told it anything then.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import trio
from attrs import define, field

from adapters.storefront.faults import ApiFaults
from daemon.storage.restore import restore
from tests.reconcile.mall import Mall, Rules, opened, play

SHOPS = ("north", "south", "outlet")
RIGHT_WITHIN_S = 1_800.0
"""By then a restored daemon is right, also where a storefront was away for a while."""
DAY_S = 86_400.0


@define
class Found:
    """What one drill came to."""

    seed: int
    sales: int = 0
    after_backup: int = 0
    """Sales that the backup could not know."""
    while_down: int = 0
    backup_age_s: float = 0.0
    events_lost: int = 0
    right_s: float = -1.0
    """From the start of the restored daemon until every storefront showed the truth."""
    problems: list[str] = field(factory=list)


@define(eq=False)
class Drill:
    """One seed. `skus` a storefront, all list the same. `days`: the oldest backup; it is down for a fifth at most."""

    seed: int
    skus: int = 40
    days: float = 5.0
    rng: random.Random = field(init=False)
    found: Found = field(init=False)
    counted: dict[str, int] = field(factory=dict)
    """Units by SKU that there were before any sale: the first storefront's stock, and what people added."""
    orders: list[tuple[str, str]] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.rng, self.found = random.Random(self.seed), Found(self.seed)

    def run(self) -> Found:
        """Play it on a clock that jumps."""
        folder = Path(tempfile.mkdtemp(prefix="onhand-drill-"))
        try:
            play(lambda: self._play(folder))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return self.found

    async def _play(self, folder: Path) -> None:
        rng = self.rng
        stock = {f"SKU-{number:03d}": rng.randrange(15, 60) for number in range(self.skus)}
        self.counted = dict(stock)
        rules = Rules(
            compare_and_set=self.seed % 2 == 0, poll_s=rng.choice((60.0, 300.0)), sweep_s=3_600.0,
            feed_lag_s=rng.choice((0.0, 5.0)),
        )  # fmt: skip
        async with opened(folder, dict.fromkeys(SHOPS, stock), rules) as mall:
            await self._trade(mall, rng.uniform(60, 7_200), people=True)
            await self._backup(mall, folder / "backup")
            known = self.found.sales
            age_s = rng.choice((rng.uniform(0, 5), rng.uniform(60, 3_600), rng.uniform(0, self.days * DAY_S)))
            await self._trade(mall, age_s)
            lost_at = mall.daemon.parts.store.head.seq if mall.daemon else 0
            await self._lose_the_disk(mall, folder)
            down = self.found.sales
            await self._trade(mall, rng.choice((1.0, rng.uniform(60, self.days * DAY_S / 5))))
            self.found.while_down = self.found.sales - down
            self.found.after_backup, self.found.backup_age_s = self.found.sales - known, round(age_s, 1)
            restore(folder / "backup", folder / "state")
            if rng.random() < 0.5:
                mall.nursery.start_soon(self._away, mall, rng.choice(SHOPS), rng.uniform(10, 600))
            await mall.nursery.start(mall.run)
            assert mall.daemon is not None
            self.found.events_lost = lost_at - mall.daemon.parts.store.head.seq
            await self._rebuilt(mall, "restored")
            await self._converges(mall)
            await self._trade(mall, 600.0)  # and it goes on as any other
            await mall.settled()
            await self._rebuilt(mall, "traded on")
            self._compare(mall)
            await self._quiet(mall)

    # -- what happens --

    async def _trade(self, mall: Mall, seconds: float, *, people: bool = False) -> None:
        """Sales, and a few cancellations, all the time; `people`: goods come in as well."""
        end = trio.current_time() + seconds
        pause_s = max(seconds / self.rng.randrange(20, 60), 0.01)
        while trio.current_time() < end:
            await trio.sleep(self.rng.expovariate(1 / pause_s))
            self._something(mall)
            if people and self.rng.random() < 0.1:
                sku, units = self.rng.choice(list(self.counted)), self.rng.randrange(1, 10)
                self.counted[sku] += units
                await mall.adjust(sku, units)

    def _something(self, mall: Mall) -> None:
        """One sale, where there is something to sell, or a cancellation."""
        if self.orders and self.rng.random() < 0.1:
            shop, order = self.orders.pop(self.rng.randrange(len(self.orders)))
            mall.call(shop, "POST", f"/orders/{order}/cancel", {})
            return
        shop, sku = self.rng.choice(SHOPS), self.rng.choice(list(self.counted))
        if mall.shown(shop, sku) > 2:
            self.orders.append((shop, mall.sell(shop, sku, self.rng.choice((1, 1, 2)))))
            self.found.sales += 1

    async def _backup(self, mall: Mall, directory: Path) -> None:
        """While sales go on: some before it, some after it, in the same breath."""

        async def sales() -> None:
            for _ in range(10):
                self._something(mall)
                await trio.sleep(self.rng.uniform(0, 0.02))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(sales)
            await trio.sleep(self.rng.uniform(0, 0.1))
            status, said = await mall.ask("/v1/backup", {"directory": str(directory)})
        if status != 200:
            self.found.problems.append(f"the backup was refused: {said}")

    async def _lose_the_disk(self, mall: Mall, folder: Path) -> None:
        """The daemon ends, in good order or where it stands, and its state is gone."""
        assert mall.daemon is not None
        if self.rng.random() < 0.5:
            mall.daemon.stop()
        else:
            mall.life.cancel()
        await mall.daemon.ended.wait()
        mall.public.cut()
        mall.admin.cut()
        shutil.rmtree(folder / "state")

    async def _away(self, mall: Mall, shop: str, seconds: float) -> None:
        """A storefront answers nothing but errors at first."""
        mall.misbehave(shop, api=ApiFaults(error_500=1.0))
        await trio.sleep(seconds)
        mall.misbehave(shop, api=ApiFaults())

    # -- what must hold --

    async def _rebuilt(self, mall: Mall, when: str) -> None:
        status, said = await mall.ask("/v1/rebuild", {"verify": True})
        if status != 200 or not said["ok"]:
            self.found.problems.append(f"{when}: the books are not what the log makes of them: {said}")

    async def _converges(self, mall: Mall) -> None:
        """Nothing is sold meanwhile, so that what is true stays so."""
        began = trio.current_time()
        before = {shop: len(mall.stores[shop].ledger.writes) for shop in SHOPS}
        while any(self._wrong(mall)):
            if trio.current_time() - began > RIGHT_WITHIN_S:
                self.found.problems.append(
                    f"not right {RIGHT_WITHIN_S:.0f} s after the restore: {', '.join([*self._wrong(mall)][:5])}"
                )
                return
            await trio.sleep(1.0)
        self.found.right_s = round(trio.current_time() - began, 1)
        self._judge_raises(mall, before)

    def _judge_raises(self, mall: Mall, before: Mapping[str, int]) -> None:
        truth = self._truth(mall)
        for shop in SHOPS:
            store = mall.stores[shop]
            for write in list(store.ledger.writes)[before[shop] :]:
                sku = store.shop.listings[write.listing].sku
                if write.applied and (write.before or 0) < (write.after or 0) > truth[sku]:
                    self.found.problems.append(
                        f"{shop}: {sku} was raised from {write.before} to {write.after}, there are {truth[sku]}"
                    )

    def _truth(self, mall: Mall) -> dict[str, int]:
        """Units available by SKU: what there was less what every storefront's own ledger says was taken."""
        truth = dict(self.counted)
        for store in mall.stores.values():
            for order in store.shop.orders.values():
                for line in order.lines.values():
                    truth[line.listing.sku] -= line.ordered - line.cancelled - line.restocked
        return truth

    def _wrong(self, mall: Mall) -> Iterator[str]:
        for sku, units in self._truth(mall).items():
            if (known := mall.available(sku)) != units:
                yield f"{sku}: {known} available, in truth {units}"
            for shop in SHOPS:
                if (shown := mall.shown(shop, sku)) != max(units, 0):
                    yield f"{shop} shows {shown} of {sku}, in truth {units}"

    def _compare(self, mall: Mall) -> None:
        self.found.problems += [f"in the end {wrong}" for wrong in [*self._wrong(mall)][:5]]

    async def _quiet(self, mall: Mall) -> None:
        status, said = await mall.ask("/v1/status")
        assert status == 200
        left: dict[str, Any] = {name: said[name] for name in ("alarms", "dead_letters", "quarantined") if said[name]}
        if left:
            self.found.problems.append(f"in the end there are {left}")

"""A channel that takes its open orders off what it is told, in bad weather: in the end it shows what there is."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import define, field
from trio.testing import MockClock

from daemon.domain.exchange import NoAnswer
from daemon.domain.observations import OrderLine
from tests.outbound.twin import World, world

SKUS = ("A", "B", "C")
LIFE_S = 30.0
LOST = NoAnswer("time-out", reached=True)


@define
class Order:
    """One line at the channel: its units, and how many of them were cancelled or sent."""

    number: str
    sku: str
    units: int
    cancelled: int = 0
    sent: int = 0
    version: int = 0

    @property
    def open(self) -> int:
        return self.units - self.cancelled - self.sent


@define
class Weather:
    """Shoppers, the seller, and a channel that loses answers, lies and dawdles."""

    w: World
    rng: random.Random
    nursery: trio.Nursery
    orders: list[Order] = field(factory=list)
    elsewhere: int = 0
    calm: bool = False
    afoot: int = 0
    faults: dict[str, int] = field(factory=dict)

    def open(self, sku: str) -> int:
        return sum(order.open for order in self.orders if order.sku == sku)

    def shown(self, sku: str) -> int:
        return max(0, self.w.channel.levels[sku] - self.open(sku))

    # -- what happens --

    async def storm(self, steps: int) -> None:
        for _ in range(steps):
            await trio.sleep(self.rng.choice((0.0, 0.05, 1.0, 20.0)) * self.rng.random())
            await self.rng.choice((self.sell, self.sell, self.change, self.change, self.sell_elsewhere, self.count))()

    async def sell(self) -> None:
        sku = self.rng.choice(SKUS)
        if units := min(self.rng.randint(1, 3), self.shown(sku)):
            self.orders.append(Order(f"m{len(self.orders)}", sku, units))
            await self.news(self.orders[-1])

    async def change(self) -> None:
        if standing := [order for order in self.orders if order.open]:
            order = self.rng.choice(standing)
            units = self.rng.randint(1, order.open)
            if self.rng.random() < 0.3:
                order.cancelled += units
            else:
                order.sent += units
            await self.news(order)

    async def sell_elsewhere(self) -> None:
        self.elsewhere += 1
        await self.w.sold_elsewhere(self.rng.choice(SKUS), self.rng.randint(1, 2), order=f"e{self.elsewhere}")

    async def count(self) -> None:
        if self.rng.random() < 0.2:
            await self.w.counted(**{self.rng.choice(SKUS): self.rng.randint(0, 30)})

    async def news(self, order: Order) -> None:
        """What the line is now: told once or twice, soon or late, in any order."""
        order.version += 1
        at = await self.w.moment()
        told = OrderLine(
            "shop", order.number, "1", order.sku, order.units, order.cancelled, 0, order.sent,
            version=order.version, at=at, listing=order.sku,
        )  # fmt: skip
        for _ in range(self.rng.choice((1, 1, 2))):
            self.nursery.start_soon(self._tell, told, self.rng.choice((0.0, 0.0, 5.0, 40.0)) * self.rng.random())

    async def _tell(self, line: OrderLine, after_s: float) -> None:
        self.afoot += 1
        await trio.sleep(after_s)
        await self.w.tell(line)
        self.afoot -= 1

    # -- what the channel does to a push --

    def push(self, rows: list[list[Any]]) -> Any:
        kind = "fine" if self.calm else self.rng.choice(
            ("fine", "fine", "fine", "lost before", "lost after", "phantom", "late", "refused"))  # fmt: skip
        self.faults[kind] = self.faults.get(kind, 0) + 1
        match kind:
            case "lost before":
                return LOST
            case "lost after":
                self.apply(rows)
                return LOST
            case "phantom":
                return [{"kind": "ok", "level": row[1]} for row in rows]
            case "late":
                self.nursery.start_soon(self._late, rows, (LIFE_S - 1) * self.rng.random())
                return LOST
            case "refused":
                return [{"kind": "transient", "reason": "locked"}] * len(rows)
        return None

    def apply(self, rows: list[list[Any]]) -> None:
        for name, level, _ in rows:
            self.w.channel.levels[name] = level

    async def _late(self, rows: list[list[Any]], after_s: float) -> None:
        await trio.sleep(after_s)
        self.apply(rows)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
async def test_whatever_is_lost_late_or_doubled_it_shows_what_there_is(
    seed: int, tmp_path: Path, autojump_clock: MockClock
) -> None:
    traits: dict[str, Any] = {"includes_held": True, "compare_and_set": False, "read_back_s": 60.0}
    async with (
        world(tmp_path, concurrency=2, batch_max=1, request_life_s=LIFE_S, **traits) as w,
        trio.open_nursery() as nursery,
    ):
        weather = Weather(w, random.Random(seed), nursery)
        await w.listed(A=12, B=3, C=40)
        w.channel.script = weather.push
        await weather.storm(60)
        weather.calm = True
        while weather.afoot:  # noqa: ASYNC110 - nobody announces it
            await trio.sleep(1)
        await trio.sleep(LIFE_S)
        await w.quiet()
        for sku in SKUS:
            state = w.registry.peek(sku)
            assert state is not None
            available = state.available
            assert available is not None
            assert w.channel.levels[sku] == max(0, available) + weather.open(sku), (sku, weather.faults)
            assert state.stock.held_at("shop", sku, alone=True) == weather.open(sku)
            assert w.slot(sku).added == weather.open(sku)
        assert len(weather.faults) >= 3

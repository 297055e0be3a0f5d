"""Shoppers at both sides, the staff of the channel, and a person who receives, breaks and counts goods."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import trio
from attrs import define, field

from daemon.theatre.store_host import StoreHost
from tests.channels.books import Books
from tests.channels.stage import Stage

STOCKTAKING_S = 900.0
"""So long at most a SKU is off sale before it is counted: until everybody has heard everything."""
RAISED_S = 120.0
"""So long nobody does anything once everything came anew, beside how late orders are told of."""
SETTLED_S = 15.0
"""Farther apart than any two clocks may be read."""


@define(eq=False)
class Town:
    """Everybody who does something, each drawn from `rng`. `tell` is the admin socket: (path, body) -> status.
    `known`: what the daemon says is available of a SKU, and what lies on the shelf."""

    rng: random.Random
    stage: Stage
    north: StoreHost
    books: Books
    tell: Callable[[str, object], Any]
    known: Callable[[str], tuple[int | None, int | None]]
    note: Callable[[str], None]
    pace_s: float
    hasty: bool = False
    """Parcels come and go all the time, so that all is written often, and many listings at once."""
    resting: bool = False
    """Does nobody buy or change anything?"""
    counts: Counter[str] = field(factory=Counter)
    closed: set[str] = field(factory=set)
    """SKUs that are being counted: nothing of them moves."""
    orders: list[str] = field(factory=list)
    """Of the storefront, those that may still change."""
    number: int = 0

    async def run(self) -> None:
        """For ever."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._person)
            if self.hasty:
                nursery.start_soon(self._parcels)
            while True:
                await trio.sleep(self.rng.expovariate(1 / self.pace_s))
                if self.resting:
                    continue
                what = self.rng.choices(("sell", "sell north", "change", "change north"), (5, 3, 4, 2))[0]
                {"sell": self._sell, "sell north": self._sell_north, "change": self._change,
                 "change north": self._change_north}[what]()  # fmt: skip

    # -- the channel --

    def _sell(self) -> None:
        sku, units = self._sku(), self.rng.choice((1, 1, 1, 2, 3))
        shown = self.stage.shown(sku)
        if sku in self.closed or shown < 1:
            self.counts["refused"] += shown < 1
            return
        sale = self.stage.buy(sku, min(units, shown))
        self.counts["sold"] += 1
        self.note(f"sold {sale.units} {sku}: {sale.key}")

    def _change(self) -> None:
        open_sales = [each for each in self.stage.sales if not each.closed and each.sku not in self.closed]
        if not open_sales:
            return
        sale = self.rng.choice(open_sales[-12:])
        changes = self.stage.changes(sale)
        if not changes:
            sale.closed = True
            return
        change = self.rng.choice(changes)
        change()
        name = getattr(change, "func", change).__name__.strip("_")
        self.counts[name] += 1
        self.note(f"{name} of {sale.key}, {sale.sku}: {sale.taken} taken, {sale.shipped} shipped")

    # -- the storefront --

    def _sell_north(self) -> None:
        sku, units = self._sku(), self.rng.choice((1, 1, 2))
        if sku in self.closed:
            return
        reply = self._call("/orders", {"lines": [{"sku": sku, "quantity": units}]})
        if reply.status == 201:
            self.orders.append(json.loads(reply.body)["id"])
            self.counts["sold north"] += 1
            self.note(f"north sold {units} {sku}: {self.orders[-1]}")
        else:
            self.counts["refused"] += 1

    def _change_north(self) -> None:
        found = [each for each in self.orders if not self.closed & self._skus_of(each)]
        if not found:
            return
        order = self.rng.choice(found[-12:])
        action = self.rng.choice(("cancel", "fulfil", "fulfil", "refund"))
        if self._call(f"/orders/{order}/{action}", {}).status == 200:
            self.counts[f"{action} north"] += 1
            self.note(f"north {action} {order}")
        if action != "fulfil":
            self.orders.remove(order)

    def _skus_of(self, order: str) -> set[str]:
        return {line.listing.sku for line in self.north.store.shop.orders[order].lines.values()}

    def _call(self, path: str, body: object) -> Any:
        return self.north.handle("POST", path, json.dumps(body).encode())

    def _sku(self) -> str:
        return self.rng.choice(list(self.stage.stock))

    # -- the person --

    async def _person(self) -> None:
        while True:
            await trio.sleep(self.rng.expovariate(1 / (self.pace_s * 12)))
            if self.resting:
                continue
            deed = self.rng.choices((self._adjust, self._count, self._receive), (5, 3, 2))[0]
            await deed()

    async def _parcels(self) -> None:
        """Some of everything goes, again and again; what is nearly gone comes anew, and then nobody does anything
        until it may be on sale everywhere: a raise waits until all that was sold before its wish is known."""
        first = self.stage.stock
        while True:
            await trio.sleep(self.rng.expovariate(1 / (self.pace_s * 4)))
            there = {sku: self.books.available(sku) for sku in first}
            few = self.stage.rests or any(there[sku] < max(4, units / 2) for sku, units in first.items())
            away, much = -self.rng.choice((1, 1, 2)), self.rng.choice((4, 9))
            self.resting = few
            async with trio.open_nursery() as nursery:
                for sku, units in first.items():
                    nursery.start_soon(self._adjust, sku, max(much, units - there[sku]) if few else away)
            if few:
                await trio.sleep(RAISED_S + 2 * self.stage.told_in_s)
                self.resting = False

    async def _receive(self) -> None:
        """A parcel with some of everything, told at once: what it raises goes out together."""
        async with trio.open_nursery() as nursery:
            for sku in self.stage.stock:
                nursery.start_soon(self._adjust, sku, self.rng.choice((1, 2, 5)))

    async def _adjust(self, sku: str = "", units: int = 0) -> None:
        """Goods came, or something broke."""
        sku, units = sku or self._sku(), units or self.rng.choice((-1, 1, 2, 5))
        if sku in self.closed:
            return
        self.number += 1
        # From the moment that it is sent it may be known.
        self.books.adjust(sku, units)
        body = {"sku": sku, "quantity": units, "reference": f"A-{self.number}", "reason": "as it was found"}
        await self._insist("/v1/adjustments", body)
        self.counts["adjusted"] += 1
        self.note(f"adjusted {sku} by {units}")

    async def _count(self) -> None:
        """A SKU is taken off sale; once everybody knows of all its orders it is counted, and the count may differ."""
        sku = self._sku()
        if sku in self.closed:
            return
        self.closed.add(sku)
        try:
            with trio.move_on_after(STOCKTAKING_S) as patience:
                await trio.sleep(SETTLED_S)
                while self.known(sku) != (self.books.available(sku), self.books.on_hand(sku)):  # noqa: ASYNC110
                    await trio.sleep(2.0)  # no event says so
            if patience.cancelled_caught:
                self.counts["stocktakings given up"] += 1
            else:
                await self._say_count(sku)
                await trio.sleep(SETTLED_S)
        finally:
            self.closed.remove(sku)

    async def _say_count(self, sku: str) -> None:
        kind = self.rng.choice(("available", "on_hand"))
        there = self.books.available(sku) if kind == "available" else self.books.on_hand(sku)
        counted = max(0, there + self.rng.choice((-2, -1, 0, 1, 2)))
        self.number += 1
        self.books.adjust(sku, counted - there)
        body = {"sku": sku, "quantity": counted, "kind": kind, "reference": f"C-{self.number}"}
        await self._insist("/v1/counts", body)
        self.counts["counted"] += 1
        self.note(f"counted {sku}: {counted} {kind}, {counted - there} off")

    async def _insist(self, path: str, body: object) -> None:
        """Until it is taken: the same reference may come twice."""
        with trio.CancelScope(shield=True):  # half said would be in our books alone
            while await self.tell(path, body) != 200:  # noqa: ASYNC110 - no event says so
                await trio.sleep(1.0)

"""The acceptance tests about sales: a burst that must be known everywhere at once, and buyers in the same moment."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path
from typing import Final

import trio
from attrs import define, field

from daemon.theatre.checks import PROPAGATION_MS, SETTLE_S, STORES, Findings, look_at_numbers, oversold
from daemon.theatre.demo_tables import ms
from daemon.theatre.notices import notices, spread
from daemon.theatre.shoppers import Trade, plan, shop
from daemon.theatre.stage import Stage, staged, storefront

ORDERS: Final = 50
ORDERS_S: Final = 60.0
SPEED: Final = 6.0
"""The burst is played so much faster than it is asked for: harder for the daemon, quicker for who waits."""
SEED: Final = 50_60

ROUNDS: Final = 40
PAUSE_S: Final = 0.03
LAST_UNITS: Final = 25


async def burst(directory: Path, found: Findings) -> None:
    """50 orders in 60 s, played in 10: each must be known at both other storefronts within the limit."""
    skus = {f"SKU-{number:02d}": 1.0 for number in range(1, 11)}
    stores = [storefront(name, dict.fromkeys(skus, 40), SEED) for name in STORES]
    seconds = ORDERS_S / SPEED
    async with staged(stores, directory) as stage:
        trade = Trade()
        wishes = plan(STORES, skus, ORDERS, seconds, random.Random(SEED))  # noqa: S311 - shoppers, not secrets
        await shop(stage, wishes, trade)
        found.demand(await stage.until(stage.converged, SETTLE_S), f"not settled {SETTLE_S:.0f} s after the burst")
        told = notices(await stage.books(), await stage.admin.events())
        await look_at_numbers(stage, found)
    lags = [each.propagation_ms for each in told if each.propagation_ms is not None]
    figures = spread(lags)
    found.measured(
        f"{trade.placed} of {ORDERS} orders placed in {seconds:.0f} s ({SPEED:.0f} times as fast as asked)",
        orders=trade.placed, asked=ORDERS, seconds=seconds, asked_seconds=ORDERS_S,
    )  # fmt: skip
    found.measured(
        f"known at the {len(STORES) - 1} other storefronts after {ms(figures['p50'])} (median), "
        f"{ms(figures['slowest'])} (slowest)",
        notices=len(told), propagation_ms=figures, limit_ms=PROPAGATION_MS,
    )  # fmt: skip
    found.demand(trade.placed == ORDERS, f"{ORDERS - trade.placed} orders were refused although there was stock")
    found.demand(len(lags) == len(told), f"{len(told) - len(lags)} sales never reached a storefront")
    found.demand(lags and max(lags) < PROPAGATION_MS, f"the slowest took {ms(figures['slowest'])}")


@define
class _Counter:
    """Orders of buyers in the same moment."""

    accepted: int = 0
    refused: int = 0
    orders: list[tuple[str, str, str]] = field(factory=list)
    """(SKU, storefront, order)"""


async def at_once(directory: Path, found: Findings) -> None:
    """One SKU wanted on all storefronts in the same moment, round after round; then the last unit of many."""
    busy = "BUSY"
    last = [f"LAST-{number:02d}" for number in range(1, LAST_UNITS + 1)]
    stock = {busy: ROUNDS * len(STORES)} | dict.fromkeys(last, 1)
    async with staged([storefront(name, stock, SEED) for name in STORES], directory) as stage:
        rounds, race = _Counter(), _Counter()
        for _ in range(ROUNDS):
            await _all_buy(stage, busy, rounds)
            await trio.sleep(PAUSE_S)
        for sku in last:
            await _all_buy(stage, sku, race)
        found.demand(await stage.until(stage.converged, SETTLE_S), f"not settled within {SETTLE_S:.0f} s")
        await look_at_numbers(stage, found)
        explained = await oversold(stage)
        units = sum(each.oversale.units for each in explained)
        debt = await _debt(stage, last)
        await _give_back(stage, race)
        found.demand(await stage.until(stage.converged, SETTLE_S), "not settled after the cancellations")
        await look_at_numbers(stage, found)
        paid = await _debt(stage, last)
    found.measured(
        f"{ROUNDS} rounds of {len(STORES)} buyers in the same moment: all {rounds.accepted} units sold, true count 0",
        rounds=ROUNDS, sold=rounds.accepted, refused=rounds.refused,
    )  # fmt: skip
    found.measured(
        f"{LAST_UNITS} last units, each wanted {len(STORES)} times at once: {race.accepted} sold, {race.refused} "
        f"refused; {units} sold twice, each explained, owed in the books: {debt}; after cancelling those: {paid}",
        last_units=LAST_UNITS, last_sold=race.accepted, last_refused=race.refused, oversold=units, debt=debt,
        debt_after_cancelling=paid, oversales=[each.document() for each in explained],
    )  # fmt: skip
    found.demand(
        rounds.accepted == ROUNDS * len(STORES), f"{rounds.refused} orders were refused although there was stock"
    )
    found.demand(debt == units == race.accepted - LAST_UNITS, f"{units} sold twice, but {debt} owed in the books")
    found.demand(paid == 0, f"{paid} still owed after all was given back")
    for each in explained:
        found.demand(each.complete, each.sentence())


async def _all_buy(stage: Stage, sku: str, counter: _Counter) -> None:
    async def buy(store: str) -> None:
        order = await stage.order(store, [(sku, 1)])
        counter.accepted += bool(order)
        counter.refused += not order
        if order:
            counter.orders.append((sku, store, order))

    async with trio.open_nursery() as buyers:
        for store in STORES:
            buyers.start_soon(buy, store)


async def _give_back(stage: Stage, race: _Counter) -> None:
    """Cancel what was sold beyond the one unit there was: whoever came first keeps it."""
    served: set[str] = set()
    async with trio.open_nursery() as staff:
        for sku, store, order in race.orders:
            if sku in served:
                staff.start_soon(partial(stage.call, store, f"/orders/{order}/cancel"))
            served.add(sku)


async def _debt(stage: Stage, skus: list[str]) -> int:
    return sum([(await stage.admin.get("skus", sku))["debt"] for sku in skus])

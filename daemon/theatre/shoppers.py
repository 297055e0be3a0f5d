"""Shoppers and staff with a seed: who buys what, where and when, and what is cancelled, refunded, handed over."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal

import trio
from attrs import define, field, frozen

from daemon.theatre.stage import Stage

Sequel = Literal["cancel", "refund", "fulfil"]

SEQUELS: dict[Sequel, float] = {"fulfil": 0.35, "cancel": 0.12, "refund": 0.06}
"""What becomes of an order, and how often."""
AT_ONCE = 0.15
"""How often two shoppers want the same SKU on two storefronts in the same moment."""
TWO_UNITS, TWO_LINES = 0.2, 0.15


@frozen
class Wish:
    """One order, `at_s` seconds after the doors open; its sequel comes `sequel_s` after it."""

    at_s: float
    store: str
    lines: tuple[tuple[str, int], ...]
    sequel: Sequel | None = None
    sequel_s: float = 0.0


@define
class Trade:
    """What came of it, in orders."""

    asked: int = 0
    placed: int = 0
    sold_out: int = 0
    """Refused by a storefront that showed too few."""
    sequels: dict[str, int] = field(factory=lambda: dict.fromkeys(SEQUELS, 0))


def plan(
    stores: Sequence[str], popularity: dict[str, float], orders: int, seconds: float, rng: random.Random
) -> list[Wish]:
    """`orders` wishes over `seconds`, in the order of time. The same generator gives the same plan."""
    skus, weights = list(popularity), list(popularity.values())
    wishes: list[Wish] = []
    for at_s in sorted(rng.uniform(0, seconds) for _ in range(orders)):
        if wishes and rng.random() < AT_ONCE:
            rival = wishes[-1]
            at_s = rival.at_s
            store = rng.choice([name for name in stores if name != rival.store] or [rival.store])
            lines = rival.lines[:1]
        else:
            store = rng.choice(stores)
            wanted = dict.fromkeys(rng.choices(skus, weights, k=1 + (rng.random() < TWO_LINES)))
            lines = tuple((sku, 1 + (rng.random() < TWO_UNITS)) for sku in wanted)
        # All sequels fall into the burst: what comes after it is the daemon's time alone.
        wishes.append(Wish(at_s, store, lines, _sequel(rng), rng.uniform(0, seconds - at_s)))
    return wishes


def _sequel(rng: random.Random) -> Sequel | None:
    chance = rng.random()
    for sequel, share in SEQUELS.items():
        if chance < share:
            return sequel
        chance -= share
    return None


async def shop(stage: Stage, wishes: Sequence[Wish], trade: Trade) -> None:
    """Let all wishes come true, each at its time; `trade` counts along. Returns after the last sequel."""
    opened = trio.current_time()
    async with trio.open_nursery() as street:
        for wish in wishes:
            await trio.sleep_until(opened + wish.at_s)
            street.start_soon(_buy, stage, wish, trade)


async def _buy(stage: Stage, wish: Wish, trade: Trade) -> None:
    trade.asked += 1
    order = await stage.order(wish.store, wish.lines)
    if not order:
        trade.sold_out += 1
        return
    trade.placed += 1
    if wish.sequel is not None:
        await trio.sleep(wish.sequel_s)
        answer = await stage.call(wish.store, f"/orders/{order}/{wish.sequel}")
        trade.sequels[wish.sequel] += answer.status == 200


def expected_units(popularity: dict[str, float], orders: int) -> dict[str, float]:
    """How many units of each SKU a plan asks for on average."""
    whole = sum(popularity.values())
    each = orders * (1 + TWO_LINES * (1 - AT_ONCE)) * (1 + TWO_UNITS) / whole
    return {sku: weight * each for sku, weight in popularity.items()}

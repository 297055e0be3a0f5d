"""The five acceptance tests as a rival can take them: judged by the storefronts' ledgers alone.

Our own daemon is asked more (`check_sales`, `check_trouble`, `check_books`): every unit sold twice explained, every
lag split into its parts, the trail of one change. Here only what every system leaves behind is looked at.
"""

from __future__ import annotations

import random
from functools import partial
from typing import Final

import trio

from daemon.theatre.check_books import BEFORE, BULK, LAST_ONE
from daemon.theatre.check_sales import LAST_UNITS, ORDERS, ORDERS_S, PAUSE_S, ROUNDS, SEED, SPEED
from daemon.theatre.check_trouble import DEAF, DOWN, DOWN_S, SHAKY, WEBHOOKS
from daemon.theatre.check_trouble import ORDERS as TROUBLED_ORDERS
from daemon.theatre.check_trouble import ORDERS_S as TROUBLED_S
from daemon.theatre.checks import PROPAGATION_MS, SETTLE_S, STORES
from daemon.theatre.evidence import Evidence, Verdict, right_in_the_end
from daemon.theatre.incidents.incident import Incident
from daemon.theatre.scene import NotJudgedError, Scene, Setting
from daemon.theatre.shoppers import Wish, plan
from daemon.theatre.systems import Timing

PATIENT: Final = Timing(timeout_s=2.0, request_life_s=8.5, poll_interval_s=2.0)


def exposures_ms(evidence: Evidence, *skus: str) -> list[float | None]:
    """For each sale and other storefront: how long that one still offered more than was left; None: to the end."""
    found: list[float | None] = []
    for sku in skus:
        for store, ledger in evidence.ledgers.items():
            lines = {(order["id"], line["id"]): line["sku"] for order in ledger["orders"] for line in order["lines"]}
            sales = [
                change["at_us"]
                for change in ledger["order_changes"]
                if change["kind"] == "sold" and any(lines[change["order"], line] == sku for line in change["lines"])
            ]
            others = [other for other in evidence.ledgers if other != store]
            found += [_exposure_ms(evidence, other, sku, at_us) for at_us in sales for other in others]
    return found


def _exposure_ms(evidence: Evidence, store: str, sku: str, since_us: int) -> float | None:
    moments = [since_us, *(at_us for at_us, _ in evidence.steps(store, sku) if at_us > since_us)]
    for at_us in moments:
        if evidence.shown_at(store, sku, at_us) <= max(0, evidence.truth(sku, at_us)):
            return (at_us - since_us) / 1_000
    return None


def soon_gone(evidence: Evidence, verdict: Verdict, *skus: str) -> str:
    """Every sale was known elsewhere within the limit; the slowest in words."""
    lags = exposures_ms(evidence, *skus)
    known = [lag for lag in lags if lag is not None]
    verdict.figures["exposures_ms"] = lags
    verdict.demand(len(known) == len(lags), f"{len(lags) - len(known)} sales never reached a storefront")
    slowest = max(known, default=0.0)
    verdict.demand(slowest < PROPAGATION_MS, f"the slowest took {slowest:.0f} ms; {PROPAGATION_MS} ms are the limit")
    return f"{len(known)} of {len(lags)} notices arrived, the slowest after {slowest:.0f} ms"


async def shop(scene: Scene, wishes: list[Wish]) -> int:
    """Let the wishes come true, each at its time; how many orders a storefront refused."""
    opened, refused = trio.current_time(), 0

    async def buy(wish: Wish) -> None:
        nonlocal refused
        order = await scene.try_order(wish.store, *wish.lines)
        refused += not order
        if order and wish.sequel is not None:
            await trio.sleep(wish.sequel_s)
            await scene.act(wish.store, order, wish.sequel)

    async with trio.open_nursery() as street:
        for wish in wishes:
            await trio.sleep_until(opened + wish.at_s)
            street.start_soon(buy, wish)
    return refused


def _wishes(skus: list[str], orders: int, seconds: float) -> list[Wish]:
    return plan(STORES, dict.fromkeys(skus, 1.0), orders, seconds, random.Random(SEED))  # noqa: S311 - shoppers


# --- the burst -----------------------------------------------------------------------------------------------

TEN: Final = {f"SKU-{number:02d}": 40 for number in range(1, 11)}


async def burst(scene: Scene) -> None:
    """Trigger: 50 orders in 60 s, played in 10, with cancellations and returns. Judged: none is refused, each is
    known at both other storefronts within a second, and every number is right in the end."""
    scene.noted["refused"] = await shop(scene, _wishes(list(TEN), ORDERS, ORDERS_S / SPEED))
    await scene.until_right(within_s=SETTLE_S)


def judge_burst(evidence: Evidence, verdict: Verdict) -> None:
    said = soon_gone(evidence, verdict, *TEN)
    verdict.saw(f"{ORDERS} orders, {evidence.noted['refused']} of them refused; {said}", orders=ORDERS)
    verdict.demand(not evidence.noted["refused"], f"{evidence.noted['refused']} orders were refused")
    right_in_the_end(evidence, verdict, *TEN)


# --- in the same moment --------------------------------------------------------------------------------------

BUSY: Final = "BUSY"
LAST: Final = tuple(f"LAST-{number:02d}" for number in range(1, LAST_UNITS + 1))


async def at_once(scene: Scene) -> None:
    """Trigger: one SKU is bought at every storefront in the same moment, 40 times; then the last unit of 25 others;
    what was sold beyond the stock is cancelled. Judged: no order of the 40 rounds is refused, and every number is
    right in the end."""
    refused = 0

    async def all_buy(sku: str) -> dict[str, str]:
        orders: dict[str, str] = {}

        async def buy(store: str) -> None:
            orders[store] = await scene.try_order(store, (sku, 1))

        async with trio.open_nursery() as buyers:
            for store in STORES:
                buyers.start_soon(buy, store)
        return orders

    for _ in range(ROUNDS):
        refused += sum(not order for order in (await all_buy(BUSY)).values())
        await trio.sleep(PAUSE_S)
    scene.noted["refused"] = refused
    sold = {sku: await all_buy(sku) for sku in LAST}
    await scene.until_right(within_s=SETTLE_S)
    scene.noted["right_before"] = scene.right()
    scene.noted["oversold"] = sum(max(0, -scene.left(sku)) for sku in LAST)
    for orders in sold.values():
        for store, order in [pair for pair in orders.items() if pair[1]][1:]:
            await scene.act(store, order, "cancel")
    await scene.until_right(within_s=SETTLE_S)


def judge_at_once(evidence: Evidence, verdict: Verdict) -> None:
    verdict.saw(
        f"{ROUNDS} rounds of {len(STORES)} buyers, {evidence.noted['refused']} refused; {LAST_UNITS} last units, "
        f"each wanted by {len(STORES)} at once: {evidence.noted['oversold']} sold beyond the stock, and given back",
        refused=evidence.noted["refused"], oversold=evidence.noted["oversold"],
    )  # fmt: skip
    verdict.demand(not evidence.noted["refused"], f"{evidence.noted['refused']} orders were refused")
    verdict.demand(
        evidence.noted["right_before"], "before anything was given back, a storefront offered what was owed"
    )
    right_in_the_end(evidence, verdict, BUSY, *LAST)


# --- failures ------------------------------------------------------------------------------------------------

EIGHT: Final = {f"SKU-{number:02d}": 30 for number in range(1, 9)}


async def failures(scene: Scene) -> None:
    """Trigger: 60 orders in 8 s while webhooks are lost, doubled, late and overtaken, calls fail, time out and lose
    their answers, and one storefront is down for 4 s. Judged: every number is right within 30 s of the last
    trouble."""

    async def outage() -> None:
        await trio.sleep((TROUBLED_S - DOWN_S) / 2)
        await scene.misbehave(STORES[2], webhook=DEAF, api=DOWN)
        await trio.sleep(DOWN_S)
        await scene.misbehave(STORES[2], webhook=WEBHOOKS, api=SHAKY)

    for store in STORES:
        await scene.misbehave(store, webhook=WEBHOOKS, api=SHAKY)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outage)
        await shop(scene, _wishes(list(EIGHT), TROUBLED_ORDERS, TROUBLED_S))
    await scene.behave()
    began = trio.current_time()
    scene.noted["right"] = await scene.until_right(within_s=SETTLE_S)
    scene.noted["right_s"] = trio.current_time() - began


def judge_failures(evidence: Evidence, verdict: Verdict) -> None:
    hooks = [hook for store in STORES for hook in evidence.ledgers[store]["webhooks"]]
    lost = sum(hook["state"] == "dropped" for hook in hooks)
    calls = [call for store in STORES for call in evidence.ledgers[store]["calls"]]
    failed, right_s = sum(bool(call["fault"]) for call in calls), evidence.noted["right_s"]
    verdict.saw(
        f"{lost} of {len(hooks)} webhooks lost, {failed} of {len(calls)} calls went wrong; "
        + (f"right {right_s:.1f} s after the trouble ended" if evidence.noted["right"] else "never right again"),
        webhooks_lost=lost, calls_failed=failed, right_s=right_s,
    )  # fmt: skip
    verdict.demand(lost, "no webhook was lost: nothing was tried")
    right_in_the_end(evidence, verdict, *EIGHT)


# --- the bulk update -----------------------------------------------------------------------------------------

MANY: Final = {f"SKU-{number:04d}": BEFORE for number in range(1, BULK + 1)} | {LAST_ONE: 1}


async def bulk(scene: Scene) -> None:
    """Trigger: a delivery for each of 600 SKUs at once, and in the midst of it the last unit of something is sold.
    Judged: every number is on show everywhere within 30 s, and the sale did not have to wait for the bulk."""
    began = trio.current_time()
    staff = trio.CapacityLimiter(12)

    async def arrive(number: int) -> None:
        async with staff:
            await scene.adjust(f"SKU-{number:04d}", 1 + number % 70)

    async with trio.open_nursery() as nursery:
        for number in range(1, BULK + 1):
            nursery.start_soon(arrive, number)
            if number == BULK // 2:
                nursery.start_soon(partial(scene.order, STORES[0], (LAST_ONE, 1)))
    await scene.until_right(within_s=SETTLE_S)
    scene.noted["seconds"] = trio.current_time() - began


def judge_bulk(evidence: Evidence, verdict: Verdict) -> None:
    numbers = [(units, max(0, evidence.truth(sku))) for sku in MANY for units in evidence.shown(sku).values()]
    said = soon_gone(evidence, verdict, LAST_ONE)
    verdict.saw(
        f"{BULK} deliveries; {sum(shown == left for shown, left in numbers)} of {len(numbers)} numbers right "
        f"{evidence.noted['seconds']:.1f} s after the first; of the sale amid them {said}",
        seconds=evidence.noted["seconds"],
    )  # fmt: skip
    verdict.demand(len(evidence.facts) == BULK, "not every delivery arrived: nothing was tried")
    right_in_the_end(evidence, verdict, *MANY)


# --- the trail -----------------------------------------------------------------------------------------------


async def trail(scene: Scene) -> None:  # noqa: ARG001 - there is nothing to do
    """Trigger: none. Judged: not at all; what a system can say of one change is not in any storefront's ledger."""
    await trio.lowlevel.checkpoint()
    raise NotJudgedError("what a system can say of one change is seen from inside alone")


def judge_trail(evidence: Evidence, verdict: Verdict) -> None:  # noqa: ARG001 - never called, the play ends before
    verdict.problems.append("there is nothing to judge it by")


ACCEPTANCE: Final[tuple[Incident, ...]] = (
    Incident(
        "burst", "50 orders in 60 s (played in 10) at three storefronts",
        f"each known elsewhere under {PROPAGATION_MS} ms; every number right",
        Setting(TEN, STORES), burst, judge_burst,
    ),
    Incident(
        "at_once", "one SKU bought at three storefronts in the same moment; the last unit of many",
        "none refused while there is stock; every number right",
        Setting({BUSY: ROUNDS * len(STORES)} | dict.fromkeys(LAST, 1), STORES), at_once, judge_at_once,
    ),
    Incident(
        "failures", "webhooks and calls fail in every way during a burst; one storefront is down",
        f"every number right within {SETTLE_S:.0f} s after the trouble",
        Setting(EIGHT, STORES, timing=PATIENT), failures, judge_failures,
    ),
    Incident(
        "bulk", f"deliveries for {BULK} SKUs at once, a last unit sold in their midst",
        f"every number right within {SETTLE_S:.0f} s; the sale known elsewhere under {PROPAGATION_MS} ms",
        Setting(MANY, STORES), bulk, judge_bulk,
    ),
    Incident("trail", "one sale", "its trail names cause, before and after", Setting({"SKU": 7}), trail, judge_trail),
)  # fmt: skip

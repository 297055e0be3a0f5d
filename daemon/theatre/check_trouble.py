"""The acceptance test about failures: webhooks and calls that fail for a while, and a listing that fails for good."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, Final

import trio

from adapters.storefront.faults import ApiFaults, Faults, WebhookFaults
from daemon.domain.exchange import Request
from daemon.ports import wall_us
from daemon.theatre.checks import PROPAGATION_MS, SETTLE_S, STORES, Findings, look_at_numbers, oversold
from daemon.theatre.demo_tables import ms
from daemon.theatre.shoppers import Trade, plan, shop
from daemon.theatre.stage import FLAWLESS, Stage, staged, storefront

SEED: Final = 4_711
ORDERS: Final = 60
ORDERS_S: Final = 8.0
FORGED: Final = 25
WEBHOOKS: Final = WebhookFaults(duplicate=0.4, drop=0.3, delay_s=0.4, reorder=0.3)
SHAKY: Final = ApiFaults(error_500=0.15, throttle_429=0.05, timeout=0.03, lose_answer=0.1)
DOWN: Final = ApiFaults(error_500=1.0)
DEAF: Final = WebhookFaults(drop=1.0)
DOWN_S: Final = 4.0
WITHDRAWN: Final = "WITHDRAWN"


async def failures(directory: Path, found: Findings) -> None:
    """Trouble of every kind during a burst, then none; after that one listing that is gone for good."""
    skus = {f"SKU-{number:02d}": 1.0 for number in range(1, 9)}
    stock = dict.fromkeys(skus, 30) | {WITHDRAWN: 9}
    async with staged([storefront(name, stock, SEED) for name in STORES], directory) as stage:
        await _trouble(stage, skus, found)
        await _for_good(stage, found)


async def _trouble(stage: Stage, skus: dict[str, float], found: Findings) -> None:
    market, boutique, outlet = STORES
    trade = Trade()
    wishes = plan(STORES, skus, ORDERS, ORDERS_S, random.Random(SEED))  # noqa: S311 - shoppers, not secrets
    await stage.misbehave({name: Faults(WEBHOOKS, SHAKY, seed=SEED + place) for place, name in enumerate(STORES)})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_outage, stage, outlet)
        nursery.start_soon(_forge, stage, found)
        await shop(stage, wishes, trade)
    await stage.misbehave(dict.fromkeys((market, boutique, outlet), FLAWLESS))
    calm = trio.current_time()
    right = await stage.until(lambda: _all_right(stage), SETTLE_S)
    right_s = trio.current_time() - calm
    settled = await stage.until(stage.converged, SETTLE_S)
    settled_s = trio.current_time() - calm
    await look_at_numbers(stage, found)
    books, status = await stage.books(), await stage.admin.get("status")
    counters = status["counters"]
    sold_twice = await oversold(stage)
    lost, copies = sum(book.hooks.dropped for book in books), sum(book.hooks.duplicates for book in books)
    unlucky = counters["push_failures"] + counters["push_doubts"]
    found.measured(
        f"{trade.placed} orders; {lost} webhooks lost, {copies} sent twice, {FORGED} forged (all refused); "
        f"{unlucky} pushes failed or got no clear answer; {outlet} down for {DOWN_S:.0f} s",
        orders=trade.placed, webhooks_lost=lost, webhooks_duplicated=copies, forged=FORGED,
        rejected=status["rejected"], pushes_failed=counters["push_failures"],
        pushes_doubted=counters["push_doubts"], pushes_conflicting=counters["push_conflicts"], down_s=DOWN_S,
    )  # fmt: skip
    found.measured(
        f"every number right {right_s:.1f} s after the trouble ended, nothing left to do after {settled_s:.1f} s",
        right_s=round(right_s, 3), settled_s=round(settled_s, 3), limit_s=SETTLE_S,
        oversales=[each.document() for each in sold_twice],
    )  # fmt: skip
    found.demand(right and settled, f"not settled {settled_s:.0f} s after the trouble ended")
    found.demand(status["rejected"] == FORGED, f"{status['rejected']} deliveries were rejected, {FORGED} were forged")
    for each in sold_twice:
        found.demand(each.complete, each.sentence())


def _all_right(stage: Stage) -> bool:
    skus = stage.stores[STORES[0]].shop.by_sku
    return all(set(stage.shown(sku).values()) == {max(0, stage.truth(sku))} for sku in skus)


async def _outage(stage: Stage, store: str) -> None:
    """In the midst of it all, one storefront neither answers nor tells anything for a while."""
    shaky = stage.stores[store].faults
    await trio.sleep((ORDERS_S - DOWN_S) / 2)
    await stage.misbehave({store: Faults(DEAF, DOWN)})
    await trio.sleep(DOWN_S)
    await stage.misbehave({store: shaky})


async def _forge(stage: Stage, found: Findings) -> None:
    """Somebody else claims sales: unsigned, signed with a guess, signed for another moment."""
    body = b'{"topic":"order.updated","order":{"id":"O-FORGED","version":1,"lines":[]}}'
    for number in range(FORGED):
        headers = {"content-type": "application/json", "x-sandbox-delivery": f"D-FORGED-{number}"}
        if number % 3:
            stamp_s = wall_us() // 1_000_000 - (3_600 if number % 3 == 2 else 0)
            headers |= {"x-sandbox-timestamp": str(stamp_s), "x-sandbox-signature": "Zm9yZ2Vk"}
        answer = await stage.send(Request("POST", stage.webhook_urls[STORES[0]], headers, body))
        found.demand(answer.status == 401, f"a forged delivery was answered with {answer.status}")
        await trio.sleep(ORDERS_S / 2 / FORGED)


# --- for good ------------------------------------------------------------------------------------------------


async def _for_good(stage: Stage, found: Findings) -> None:
    """A listing is deleted at a storefront without a word: its pushes can never succeed."""
    market, boutique, outlet = STORES
    shelf = stage.stores[outlet].shop
    listing = shelf.listings.pop(shelf.by_sku[WITHDRAWN].id)
    began = trio.current_time()
    await stage.order(market, [(WITHDRAWN, 2)])
    await stage.order(market, [("SKU-01", 1)])
    others = await stage.until(
        lambda: stage.shown(WITHDRAWN)[boutique] == stage.truth(WITHDRAWN) and _right(stage, "SKU-01"), SETTLE_S
    )
    others_ms = (trio.current_time() - began) * 1_000
    stopped = await stage.until(lambda: stage.daemon.parts.outbox.statistics().dead == 1, SETTLE_S)
    # A listing that is right may still be waiting for one more look at it.
    found.demand(await stage.until(lambda: not stage.open_listings(), SETTLE_S), "the other listings do not settle")
    letters = (await stage.admin.get("dead-letters"))["dead_letters"]
    letter: dict[str, Any] = next((each for each in letters if each["sku"] == WITHDRAWN), {})
    states = {each["channel"]: each["state"] for each in (await stage.admin.get("skus", WITHDRAWN))["listings"]}
    found.demand(others and others_ms < PROPAGATION_MS, f"the other listings had to wait for it ({ms(others_ms)})")
    found.demand(stopped and letter, "a push that cannot succeed did not become a dead letter")
    found.demand(letter.get("cause") and letter.get("next_action"), "the dead letter does not say why, or what to do")
    found.demand(states == {market: "settled", boutique: "settled", outlet: "dead"}, f"the listings are {states}")
    shelf.listings[listing.id] = listing
    if letter:
        await stage.admin.post("dead-letters", str(letter["id"]), "retry")
    mended = await stage.until(stage.converged, SETTLE_S)
    left = (await stage.admin.get("status"))["dead_letters"]
    found.demand(mended and not left, "after the listing was back, retrying did not put it right")
    await look_at_numbers(stage, found)
    found.measured(
        f"a listing gone for good is a dead letter ({letter.get('cause', 'none')}) with its next action; the others "
        f"were right after {ms(others_ms)}; put back and retried, it is right as well",
        dead_letter=letter, others_ms=round(others_ms, 3), mended=mended,
    )  # fmt: skip


def _right(stage: Stage, sku: str) -> bool:
    return set(stage.shown(sku).values()) == {stage.truth(sku)}

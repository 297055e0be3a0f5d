"""The acceptance tests about the books: a bulk update that drops nothing, and the trail of one change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import trio

from daemon.theatre.checks import PROPAGATION_MS, SETTLE_S, STORES, Findings, look_at_numbers
from daemon.theatre.demo_tables import ms
from daemon.theatre.notices import notices
from daemon.theatre.stage import Stage, staged, storefront

BULK: Final = 600
BEFORE: Final = 10
LAST_ONE: Final = "LAST-ONE"
SEED: Final = 600
TRIES: Final = 5


async def bulk(directory: Path, found: Findings) -> None:
    """Every SKU is counted anew at once, and in the midst of it the last unit of something is sold."""
    wanted = {f"SKU-{number:04d}": BEFORE + 1 + number % 70 for number in range(1, BULK + 1)}
    stock = dict.fromkeys(wanted, BEFORE) | {LAST_ONE: 1}
    async with staged([storefront(name, stock, SEED) for name in STORES], directory) as stage:
        before = (await stage.admin.get("status"))["counters"]["pushes"]
        began = trio.current_time()
        async with trio.open_nursery() as staff:
            for place, (sku, units) in enumerate(wanted.items()):
                staff.start_soon(_count, stage, sku, units)
                if place == BULK // 2:
                    staff.start_soon(stage.order, STORES[0], [(LAST_ONE, 1)])
        counted_s = trio.current_time() - began
        there = await stage.until(lambda: _all_there(stage, wanted), SETTLE_S)
        there_s = trio.current_time() - began
        settled = await stage.until(lambda: not stage.open_listings(), SETTLE_S)
        status = await stage.admin.get("status")
        books = await stage.books()
        told = [each for each in notices(books, await stage.admin.events()) if each.sale.sku == LAST_ONE]
        verified = await stage.admin.post("rebuild", body={"verify": True})
        found.demand(not stage.breakages(), f"the daemon logged errors: {'; '.join(stage.breakages()[:3])}")
    shown = sum(book.skus[sku].shows == units for book in books for sku, units in wanted.items())
    pushes = status["counters"]["pushes"] - before
    outbox, lags = status["outbox"], [each.propagation_ms for each in told if each.propagation_ms is not None]
    found.measured(
        f"{BULK} SKUs counted in {counted_s:.1f} s; {shown} of {BULK * len(STORES)} numbers on show after "
        f"{there_s:.1f} s with {pushes} pushes; {sum(outbox.values())} listings left open",
        skus=BULK, numbers=shown, wanted=BULK * len(STORES), counted_s=round(counted_s, 3), shown_s=round(there_s, 3),
        pushes=pushes, outbox=outbox, limit_s=SETTLE_S, log_folds_to_state=verified["ok"],
    )  # fmt: skip
    found.measured(
        f"a last unit sold in the midst of it was gone elsewhere after {ms(max(lags, default=None))}",
        urgent_ms=lags, urgent_limit_ms=PROPAGATION_MS,
    )  # fmt: skip
    found.demand(there and shown == BULK * len(STORES), f"{BULK * len(STORES) - shown} numbers are not on show")
    found.demand(settled and not any(outbox.values()), f"listings are left open: {outbox}")
    found.demand(not status["dead_letters"], f"{status['dead_letters']} dead letters")
    found.demand(len(lags) == len(STORES) - 1, "the last unit sold in the midst of it is still on show elsewhere")
    found.demand(
        max(lags, default=0) < PROPAGATION_MS, f"the sale had to wait for the bulk: {ms(max(lags, default=None))}"
    )
    found.demand(verified["ok"], "the event log does not fold to the stored state")


async def _count(stage: Stage, sku: str, units: int) -> None:
    await stage.admin.post("counts", body={"sku": sku, "quantity": units, "reference": "stocktaking"})


def _all_there(stage: Stage, wanted: Mapping[str, int]) -> bool:
    last = all(units == 0 for units in stage.shown(LAST_ONE).values())
    return last and all(set(stage.shown(sku).values()) == {units} for sku, units in wanted.items())


# --- the trail of one change ---------------------------------------------------------------------------------


async def trail(directory: Path, found: Findings) -> None:
    """One sale: who said so, what it changed, what was pushed, and why every storefront shows what it shows."""
    sku, stock = "TEE/RED M", 7  # a slash and a blank: names are the seller's
    async with staged([storefront(name, {sku: stock}, SEED) for name in STORES], directory) as stage:
        sale: Mapping[str, Any] = {}
        for _ in range(TRIES):
            # A poll may see the order before its webhook comes: then no delivery is its cause, and that is right.
            order = await stage.order(STORES[0], [(sku, 1)])
            found.demand(await stage.until(stage.converged, SETTLE_S), "the sale did not reach every storefront")
            history = (await stage.admin.get("skus", sku, "history"))["history"]
            sale = next((each for each in history if each["cause"]["order"] == order), {})
            if sale and sale["cause"]["by"] == "webhook":
                break
        left = stage.truth(sku)
        _look_at_sale(sale, order, left, found)
        pushes = _look_at_pushes(history, sale, left, found)
        explained = await stage.admin.get("skus", sku, "explain")
        _look_at_reasons(explained, left, found)
        verified = await stage.admin.post("rebuild", body={"verify": True})
        found.demand(verified["ok"], "the event log does not fold to the stored state")
        await look_at_numbers(stage, found)
    cause = sale.get("cause", {})
    found.measured(
        f"sale: delivery {cause.get('delivery')}, order {cause.get('order')}, line {cause.get('line')}: "
        f"{sale.get('before')} before, {sale.get('after')} after; {len(pushes)} pushes, each with its confirmation",
        sale=sale, pushes=pushes,
    )  # fmt: skip
    found.measured(
        f"{len(explained['listings'])} listings explained; {verified['events']} events fold to the stored state",
        why={each["channel"]: each["why"] for each in explained["listings"]}, stock=explained["stock"],
        events=verified["events"],
    )  # fmt: skip


def _look_at_sale(sale: Mapping[str, Any], order: str, left: int, found: Findings) -> None:
    cause = sale.get("cause", {})
    found.demand(cause.get("delivery"), "the history does not name the delivery")
    found.demand(
        cause.get("order") == order and cause.get("line") == "1", f"the history names another cause: {cause}"
    )
    found.demand(sale.get("channel") == STORES[0], f"the history names another storefront: {sale.get('channel')}")
    found.demand(
        (sale.get("before"), sale.get("after")) == (left + 1, left),
        f"the history says {sale.get('before')} before and {sale.get('after')} after, not {left + 1} and {left}",
    )
    found.demand(sale.get("at") and sale.get("seq") and sale.get("note"), "the history does not say when or what")


def _look_at_pushes(
    history: Sequence[Mapping[str, Any]], sale: Mapping[str, Any], left: int, found: Findings
) -> list[Mapping[str, Any]]:  # fmt: skip
    since = [each for each in history if each["seq"] > sale.get("seq", 0)]
    sent = [each for each in since if each["kind"] == "push_sent"]
    confirmed = {(each["channel"], each["generation"]) for each in since if each["kind"] == "push_confirmed"}
    others = set(STORES[1:])
    found.demand(
        {each["channel"] for each in sent} == others, "the history does not hold a push to each other storefront"
    )
    found.demand(all(each["level"] == left for each in sent), f"a push carried another level than {left}")
    found.demand({channel for channel, _ in confirmed} == others, "the history does not hold the confirmations")
    return [{name: each[name] for name in ("seq", "at", "channel", "level", "generation")} for each in sent]


def _look_at_reasons(explained: Mapping[str, Any], left: int, found: Findings) -> None:
    listings = explained["listings"]
    found.demand({each["channel"] for each in listings} == set(STORES), "not every storefront's number is explained")
    for each in listings:
        right = each["shows"] == each["should_show"] == left and each["state"] == "settled"
        found.demand(right, f"{each['channel']} is explained as {each['shows']} ({each['state']})")
        found.demand(each["why"] and each["rules"] and each["events"], f"{each['channel']}'s number has no reasons")
    found.demand(explained["stock"] and explained["anchors"], "nothing says where the stock comes from")

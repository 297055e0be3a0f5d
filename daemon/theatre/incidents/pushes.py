"""T4, T5, T16, T18: the newest level must reach the channel, whatever became of the pushes before it."""

from __future__ import annotations

from typing import Final

import trio

from daemon.theatre.evidence import Evidence, Verdict, after, right_in_the_end, within_s
from daemon.theatre.incidents.incident import Incident
from daemon.theatre.scene import Rule, Scene, Setting, WebhookFaults
from daemon.theatre.systems import Timing

SHIRT, MUG = "SHIRT", "MUG"
PLAIN: Final = "outlet"
"""A storefront that cannot compare and set."""
LATE_S: Final = 2.5
"""When a push is applied after all whose answer never came: within the stage's longest life of a request."""
MARGIN_S: Final = 4.0


# --- T4 ------------------------------------------------------------------------------------------------------


async def changed_in_flight(scene: Scene) -> None:
    """A change lands while a push of the same listing is in flight; the push's success then marks the listing as
    done, and the change never leaves. Trigger: boutique and outlet take a level but hold their answers; in the
    meantime two more are sold. Judged: both end at the newest number, and the last level written there is it."""
    for store in ("boutique", PLAIN):
        await scene.misbehave(store, Rule("hold", seconds=0.8, times=1))
    await scene.order("market", (SHIRT, 1))
    await scene.until(lambda: all(scene.shown(SHIRT)[store] == 9 for store in ("boutique", PLAIN)))
    await scene.order("market", (SHIRT, 1))
    await scene.order("market", (SHIRT, 1))
    await scene.until_right()


def judge_changed(evidence: Evidence, verdict: Verdict) -> None:
    written = {store: [row["after"] for row in evidence.written(store, SHIRT)] for store in ("boutique", PLAIN)}
    sold_us = max(change["at_us"] for change in evidence.ledgers["market"]["order_changes"])
    took_s = {store: evidence.right_after_s(store, SHIRT, sold_us) for store in written}
    verdict.saw(
        f"levels written while 3 were sold: boutique {written['boutique']}, outlet {written[PLAIN]}; right "
        f"{after(took_s['boutique'])} and {after(took_s[PLAIN])}",
        written=written, right_after_s=took_s,
    )  # fmt: skip
    for store, levels in written.items():
        first = evidence.written(store, SHIRT)[:1]
        verdict.demand(first and first[0]["fault"] == "hold", f"no push to {store} was in flight: nothing was tried")
        verdict.demand(levels and levels[-1] == 7, f"the last level written to {store} is not the newest, 7")
    right_in_the_end(evidence, verdict, SHIRT)


# --- T5 ------------------------------------------------------------------------------------------------------


async def old_push_returns(scene: Scene) -> None:
    """An old push comes to life after a newer one succeeded, and a stale level stays on show. Trigger: a push of each
    SKU gets no answer and is applied by the storefront 2.5 s later; in the meantime newer levels succeed (shirts), or
    the old one would be right again without a push (the mug's order is cancelled). One storefront compares before it
    sets, the other does not; neither tells by webhook that its level changed. Judged: the stale level never lands, or
    is replaced within the grace that the stage allows a request to live, and the end is right."""
    for store in ("boutique", PLAIN):
        rules = [Rule("late", listing=sku, seconds=LATE_S) for sku in (SHIRT, MUG)]
        await scene.misbehave(store, *rules, webhook=WebhookFaults(drop=1.0))
    await scene.order("market", (SHIRT, 1))
    mug = await scene.order("market", (MUG, 1))
    await trio.sleep(0.3)
    await scene.order("market", (SHIRT, 1))
    await scene.act("market", mug, "cancel")
    await scene.until_right()
    scene.note("right_first")
    await trio.sleep(LATE_S + 0.2)
    await scene.until_right()


def judge_old_push(evidence: Evidence, verdict: Verdict) -> None:
    stale, tried = [], 0
    for store in ("boutique", PLAIN):
        for sku in (SHIRT, MUG):
            late = [row for row in evidence.rows(store, sku) if row["late"]]
            tried += len(late)
            stale += [
                (store, sku, evidence.right_after_s(store, sku, row["at_us"]))
                for row in late
                if row["applied"] and row["after"] != max(0, evidence.truth(sku, row["at_us"]))
            ]
    verdict.saw(
        f"{tried} old pushes came to life {LATE_S} s late: {tried - len(stale)} did no harm, {len(stale)} put a "
        "stale level on show" + (f", right again {', '.join(after(each[2]) for each in stale)}" if stale else ""),
        late=tried, landed=[{"store": store, "sku": sku, "wrong_s": wrong} for store, sku, wrong in stale],
    )  # fmt: skip
    verdict.demand(tried >= 2, "no old push came to life: nothing was tried")
    for store, sku, wrong in stale:
        within_s(verdict, f"putting the stale level of {sku} at {store} right", wrong, 3.0 + MARGIN_S)
    right_in_the_end(evidence, verdict, SHIRT, MUG)


# --- T16 -----------------------------------------------------------------------------------------------------


async def back_to_the_same(scene: Scene) -> None:
    """A level goes 5, 6, 5, and the last 5 is held to be the first one, sent already: an idempotency key or a cache
    of "what we sent" suppresses it. Trigger: stock goes from 6 to 5, 6, 5, 6, 5 by sales and cancellations, each step
    awaited; the storefronts answer a key that they know with its first answer and write nothing. Judged: every step
    was written, and the last 5 is on show."""
    for _ in range(2):
        order = await scene.order("market", (SHIRT, 1))
        await scene.until_right(within_s=5.0)
        await scene.act("market", order, "cancel")
        await scene.until_right(within_s=5.0)
    await scene.order("market", (SHIRT, 1))
    await scene.until_right()


def judge_back(evidence: Evidence, verdict: Verdict) -> None:
    moves = {store: evidence.moves(store, SHIRT) for store in ("boutique", PLAIN)}
    verdict.saw(f"levels on show, in order: boutique {moves['boutique']}, outlet {moves[PLAIN]}", moves=moves)
    for store, levels in moves.items():
        verdict.demand(levels == [5, 6, 5, 6, 5], f"{store} was not taken through 5, 6, 5, 6, 5")
    right_in_the_end(evidence, verdict, SHIRT)


# --- T18 -----------------------------------------------------------------------------------------------------

SALES: Final = 8
STOCK: Final = 20


async def memory_of_a_finished_job(scene: Scene) -> None:
    """A finished job is remembered, and while it is, a new one for the same listing counts as a duplicate. Trigger:
    eight sales in a row, each only once the one before is on show everywhere; then boutique refuses the listing for
    good, so that its push is given up; then it takes levels again, and one more is sold. Judged: every sale reached
    both other storefronts, each within a second or two; the one after the failure as well, nobody having touched
    anything."""
    for _ in range(SALES):
        await scene.order("market", (SHIRT, 1))
        await scene.until_right(within_s=5.0)
    await scene.misbehave("boutique", Rule("refuse", listing=SHIRT, times=None))
    await scene.order("market", (SHIRT, 1))
    await scene.until(lambda: any(row.fault == "refuse" for row in scene.stores["boutique"].ledger.writes), 5.0)
    await trio.sleep(0.5)
    await scene.look("refused", "skus", SHIRT)
    await scene.behave("boutique")
    scene.note("healed")
    await scene.order("market", (SHIRT, 1))
    await scene.until_right()


def judge_memory(evidence: Evidence, verdict: Verdict) -> None:
    sales = sorted(change["at_us"] for change in evidence.ledgers["market"]["order_changes"])
    moves = {store: evidence.moves(store, SHIRT) for store in ("boutique", PLAIN)}
    lags_ms = [
        (row["at_us"] - sale) / 1e3
        for store in moves
        for number, sale in enumerate(sales[:SALES], 1)
        for row in evidence.written(store, SHIRT)
        if row["after"] == STOCK - number != row["before"]
    ]
    refused = [row for row in evidence.rows("boutique", SHIRT) if row["result"] == "invalid"]
    verdict.saw(
        f"of {SALES} sales in a row, {len(lags_ms)} of {SALES * len(moves)} levels were on show elsewhere, after at "
        f"most {max(lags_ms, default=0):.0f} ms; {len(refused)} push refused for good; after the next sale, "
        f"{evidence.truth(SHIRT)} are left and shown are {evidence.says(SHIRT)}",
        lags_ms=lags_ms, refused=len(refused),
    )  # fmt: skip
    verdict.demand(refused, "nothing was refused: nothing was tried")
    verdict.demand(max(lags_ms, default=0) <= 5_000, f"a push in the row took {max(lags_ms, default=0):.0f} ms")
    for store, levels in moves.items():
        wanted = list(range(STOCK - 1, STOCK - SALES - 1, -1))
        verdict.demand(levels[:SALES] == wanted, f"{store} missed a step of the row: {levels}")
    right_in_the_end(evidence, verdict, SHIRT)


def inside_memory(evidence: Evidence, verdict: Verdict) -> None:
    state = evidence.listing("refused", "boutique").get("state")
    verdict.demand(state == "dead", f"the refused listing was {state}, not dead, for all to see")


STORES: Final = ("market", "boutique", PLAIN)

PUSHES: Final = (
    Incident(
        "T4", "more is sold while a push of the same listing is in flight, its answer held",
        "the newest value reaches the storefront",
        Setting({SHIRT: 10}, STORES, (PLAIN,), Timing(timeout_s=2.0)), changed_in_flight, judge_changed,
    ),
    Incident(
        "T5", "pushes without an answer come to life after newer ones succeeded",
        "they never land, or are superseded within the life of a request",
        Setting({SHIRT: 10, MUG: 10}, STORES, (PLAIN,)), old_push_returns, judge_old_push,
    ),
    Incident(
        "T16", "stock goes 6, 5, 6, 5, 6, 5",
        "the last 5 is sent; no idempotency key suppresses it",
        Setting({SHIRT: 6}, STORES, (PLAIN,)), back_to_the_same, judge_back,
    ),
    Incident(
        "T18", "eight sales of one SKU in a row, then one whose push is refused for good, then another",
        "no finished push blocks a later one of the same listing",
        Setting({SHIRT: STOCK}, STORES, (PLAIN,)), memory_of_a_finished_job, judge_memory, inside_memory,
    ),
)  # fmt: skip

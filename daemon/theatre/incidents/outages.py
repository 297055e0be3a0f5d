"""T6, T12, T19: one channel fails, or a part of a call does; the rest goes on, and what failed is not forgotten."""

from __future__ import annotations

from typing import Final

import trio

from daemon.theatre.evidence import Evidence, Verdict, after, right_in_the_end, within_s
from daemon.theatre.incidents.incident import Incident
from daemon.theatre.scene import Rule, Scene, Setting, WebhookFaults

SHIRT: Final = "SHIRT"
DOWN: Final = Rule("fail", "any", status=503, times=None)
STORES: Final = ("market", "boutique", "outlet")
PROMPT_S: Final = 2.0
LOOKS: Final = 10
"""A second apart: what was pushed may be on its way to be read back."""


# --- T6 ------------------------------------------------------------------------------------------------------


async def one_of_two_fails(scene: Scene) -> None:
    """One change goes to two places; one succeeds, the other fails, and because the job as a whole "ran", the failure
    is forgotten. Trigger: boutique refuses pushes while outlet takes them; two are sold at market. Judged: outlet is
    right at once; boutique is right after it works again, nobody having touched anything. Inside: in the meantime the
    failure is pending, with its reason."""
    await scene.misbehave("boutique", Rule("fail", "levels", status=503, times=None))
    await scene.order("market", (SHIRT, 2))
    await scene.until(lambda: scene.shown(SHIRT)["outlet"] == 8)
    await scene.until(lambda: any(call.fault == "fail" for call in scene.stores["boutique"].ledger.calls))
    for _ in range(LOOKS):
        await trio.sleep(1.0)  # the answers reach the books of a busy machine, too, and some pushes are read back
        await scene.look("failing", "skus", SHIRT)
        listings = scene.inside.get("failing", {}).get("listings", [])
        if all(each["state"] == "settled" for each in listings if each["channel"] == "outlet"):
            break
    await scene.look("failing_status", "status")
    await scene.behave("boutique")
    scene.note("healed")
    await scene.until_right()


def judge_one_fails(evidence: Evidence, verdict: Verdict) -> None:
    sold_us = max(change["at_us"] for change in evidence.ledgers["market"]["order_changes"])
    outlet_s = evidence.right_after_s("outlet", SHIRT, sold_us)
    boutique_s = evidence.right_after_s("boutique", SHIRT, evidence.noted["healed"])
    failed = [call for call in evidence.calls("boutique", "levels") if call["fault"]]
    verdict.saw(
        f"outlet was right {after(outlet_s)}; boutique refused {len(failed)} pushes and was right "
        f"{after(boutique_s)} of working again",
        outlet_s=outlet_s, boutique_s=boutique_s, refused=len(failed),
    )  # fmt: skip
    verdict.demand(failed, "no push to boutique failed: nothing was tried")
    within_s(verdict, "reaching outlet", outlet_s, PROMPT_S)
    right_in_the_end(evidence, verdict, SHIRT)


def inside_one_fails(evidence: Evidence, verdict: Verdict) -> None:
    boutique, outlet = evidence.listing("failing", "boutique"), evidence.listing("failing", "outlet")
    verdict.demand(
        boutique.get("state") in ("pending", "in_flight") and boutique.get("last_error"),
        f"the failure is not shown as pending with its reason: {boutique}",
    )
    verdict.demand(outlet.get("state") == "settled", f"outlet is shown as {outlet.get('state')}, not settled")
    waiting = sum((evidence.own("failing_status", "outbox") or {}).values())
    verdict.demand(waiting, "status counts nothing as pending")


# --- T12 -----------------------------------------------------------------------------------------------------

ROWS: Final = {f"SKU-{number}": 10 for number in range(1, 9)}
BAD: Final = "SKU-5"


async def bad_row(scene: Scene) -> None:
    """One bad row spoils a whole batch, or an error after a partial write makes the batch go out again. Trigger: an
    order of eight lines; boutique refuses every call that carries one of the listings, naming nobody; outlet writes
    two rows of its first call and then answers 500. Judged: all rows but the bad one are right at boutique, all at
    outlet, and no row changed what is on show more than once. Inside: the bad row alone is named, with its cause."""
    await scene.misbehave("boutique", Rule("refuse", listing=BAD, times=None))
    await scene.misbehave("outlet", Rule("partial", rows=2))
    await scene.order("market", *((sku, 1) for sku in ROWS))
    good = [sku for sku in ROWS if sku != BAD]
    await scene.until(lambda: scene.right(*good) and scene.shown(BAD)["outlet"] == 9)
    await trio.sleep(1.0)
    await scene.look("named", "dead-letters")


def judge_bad_row(evidence: Evidence, verdict: Verdict) -> None:
    good = [sku for sku in ROWS if sku != BAD]
    doubled = {
        f"{sku} at {store}": moves
        for store in ("boutique", "outlet")
        for sku in ROWS
        if len(moves := evidence.moves(store, sku)) > 1
    }
    whole = [call for call in evidence.calls("boutique", "levels") if call["status"] == 422]
    partial = [call for call in evidence.calls("outlet", "levels") if call["fault"] == "partial"]
    landed = sum(evidence.shown(sku)["boutique"] == 9 for sku in good)
    verdict.saw(
        f"boutique refused {len(whole)} whole batches; {landed} of {len(good)} good rows landed; outlet broke off "
        f"{len(partial)} call after two rows; rows written twice: {len(doubled)}",
        batches_refused=len(whole), landed=landed, broken_off=len(partial), doubled=doubled,
    )  # fmt: skip
    verdict.demand(partial, "no call broke off: nothing was tried")
    verdict.demand(evidence.shown(BAD)["boutique"] == 10, "the bad row was written")
    verdict.demand(evidence.shown(BAD)["outlet"] == 9, "the bad row's SKU is wrong at outlet")
    verdict.demand(not doubled, f"rows were written more than once: {doubled}")
    right_in_the_end(evidence, verdict, *good)


def inside_bad_row(evidence: Evidence, verdict: Verdict) -> None:
    letters = evidence.own("named", "dead_letters") or []
    named = [(letter["channel"], letter["sku"]) for letter in letters]
    verdict.demand(named == [("boutique", BAD)], f"the dead letters name {named}, not the bad row alone")
    verdict.demand(
        all(letter["cause"] and letter["next_action"] for letter in letters), "a dead letter lacks its cause"
    )


# --- T19 -----------------------------------------------------------------------------------------------------

MANY: Final = {f"SKU-{number:02d}": 20 for number in range(1, 7)}
DOWN_S: Final = 6.0


async def down_for_long(scene: Scene) -> None:
    """A channel is down for hours while stock changes; afterwards every change is sent one by one, or what gave up is
    never sent at all. Trigger: boutique answers nothing but 503 and sends no webhook, while each of six SKUs is sold
    five times at market, spread over the time; the hours are seconds here, and so are the system's retries. Judged:
    the first calls after boutique's return put it right: one push per listing, carrying the newest number."""
    await scene.misbehave("boutique", DOWN, webhook=WebhookFaults(drop=1.0))
    for _ in range(5):
        for sku in MANY:
            await scene.order("market", (sku, 1))
        await trio.sleep(DOWN_S / 5)
    scene.note("back")
    await scene.behave("boutique")
    await scene.until_right(within_s=30.0)


def judge_down(evidence: Evidence, verdict: Verdict) -> None:
    back_us = evidence.noted["back"]
    first_us = min((call["at_us"] for call in evidence.calls("boutique", "levels", back_us)), default=back_us)
    any_us = min(
        (
            call["at_us"]
            for kind in ("levels", "listings", "orders")
            for call in evidence.calls("boutique", kind, back_us)
        ),
        default=back_us,
    )
    pushes = {sku: len(evidence.rows("boutique", sku)) for sku in MANY}
    each_s = [evidence.right_after_s("boutique", sku, any_us) for sku in MANY]
    right_s = None if None in each_s else max(filter(None, each_s), default=0.0)
    failed = sum(bool(call["fault"]) for kind in ("levels", "orders") for call in evidence.calls("boutique", kind))
    verdict.saw(
        f"30 sales while boutique refused {failed} calls in {DOWN_S:.0f} s; called again "
        f"{(any_us - back_us) / 1e6:.1f} s after its return, it was right {after(right_s)} with "
        f"{sum(pushes.values())} pushes for {len(MANY)} listings",
        refused_calls=failed, first_push_s=(first_us - back_us) / 1e6, right_s=right_s, pushes=pushes,
    )  # fmt: skip
    verdict.demand(failed, "boutique was never called while it was down: nothing was tried")
    verdict.demand(all(count == 1 for count in pushes.values()), f"there was not one push per listing: {pushes}")
    within_s(verdict, "putting it right after the first call", right_s, 5.0)
    right_in_the_end(evidence, verdict, *MANY)


OUTAGES: Final = (
    Incident(
        "T6", "boutique refuses pushes while outlet takes them",
        "outlet is right at once; boutique's failure stays pending, visible, and is made good",
        Setting({SHIRT: 10}, STORES), one_of_two_fails, judge_one_fails, inside_one_fails,
    ),
    Incident(
        "T12", "a batch with one bad row; an error after a partial write",
        "the bad row is named, the rest lands, nothing is doubled",
        Setting(ROWS, STORES), bad_row, judge_bad_row, inside_bad_row,
    ),
    Incident(
        "T19", "a storefront is down for long while stock changes",
        "right within one retry of its return, one push per listing",
        Setting(MANY), down_for_long, judge_down,
    ),
)  # fmt: skip

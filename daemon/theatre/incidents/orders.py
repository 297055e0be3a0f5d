"""T7, T8, T13: orders that come in the wrong order, between two looks, or for goods that are not there."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

from daemon.theatre.evidence import Evidence, Verdict, right_in_the_end
from daemon.theatre.incidents.incident import Incident
from daemon.theatre.scene import Lateness, Rule, Scene, Setting, WebhookFaults
from daemon.theatre.systems import Timing

SHIRT: Final = "SHIRT"


# --- T7 ------------------------------------------------------------------------------------------------------

STORIES: Final[dict[str, tuple[str, int, int]]] = {
    "CANCEL": ("cancel", 3, 2),
    "PAID": ("fulfil", 2, 2),
    "REFUND": ("refund", 3, 1),
}
"""SKU: what happens to an order of so many units, to so many of them."""
TOLD_LATE_S: Final = 1.2


def backwards(sku: str) -> str:
    """The twin of a SKU whose story is told backwards."""
    return f"{sku}-BACKWARDS"


async def wrong_order(scene: Scene) -> None:
    """A cancellation comes before its order, a handing-over ("paid", in some shops) before its creation, a refund of
    what was never handed over: systems that apply messages as deltas drop the early one or count the late one anew.
    Trigger: three SKUs live through it in the natural order; their twins through the same, but the webhook of the
    creation leaves 1.2 s after the one of the change, and the order feed is down. Judged: every number is right, and
    each twin ends like its sibling. Inside: the books of the twins are equal."""
    await scene.misbehave("market", Rule("fail", "orders", times=None))
    for sku, (action, ordered, units) in STORIES.items():
        order = await scene.order("market", (sku, ordered))
        await scene.until_heard("market")
        await scene.act("market", order, action, lines=[{"id": "1", "quantity": units}])
        await scene.until_heard("market")
    for sku, (action, ordered, units) in STORIES.items():
        late = WebhookFaults(late=[Lateness(TOLD_LATE_S, "order.updated", times=1)])
        await scene.misbehave("market", Rule("fail", "orders", times=None), webhook=late)
        order = await scene.order("market", (backwards(sku), ordered))
        await scene.act("market", order, action, lines=[{"id": "1", "quantity": units}])
    await scene.until_heard("market")
    await scene.until_right()
    for sku in [*STORIES, *map(backwards, STORIES)]:
        await scene.look(sku, "skus", sku)


def judge_wrong_order(evidence: Evidence, verdict: Verdict) -> None:
    first_try = [hook["attempts"][0]["at_us"] for hook in evidence.hooks("market") if hook["attempts"]]
    inverted = sum(one > two for one, two in pairwise(first_try))
    ends = [
        f"{sku} {evidence.shown(sku)['boutique']} and {evidence.shown(backwards(sku))['boutique']}" for sku in STORIES
    ]  # fmt: skip
    verdict.saw(
        f"{inverted} stories were told backwards; boutique shows, natural and backwards: {', '.join(ends)}",
        told_backwards=inverted,
    )  # fmt: skip
    verdict.demand(inverted >= len(STORIES), f"only {inverted} stories were told backwards")
    for sku in STORIES:
        one, two = evidence.says(sku), evidence.says(backwards(sku))
        verdict.demand(one == two, f"{sku} told backwards ends at {two}, in the natural order at {one}")
    right_in_the_end(evidence, verdict, *STORIES, *map(backwards, STORIES))


def inside_wrong_order(evidence: Evidence, verdict: Verdict) -> None:
    for sku in STORIES:
        one, two = _books(evidence.own(sku)), _books(evidence.own(backwards(sku)))
        verdict.demand(one and one == two, f"the books of {sku} told backwards are {two}, in the natural order {one}")


def _books(document: Any) -> Sequence[Any]:
    return [document.get(name) for name in ("available", "on_hand", "held", "debt")] if document else ()


# --- T8 ------------------------------------------------------------------------------------------------------


async def between_two_polls(scene: Scene) -> None:
    """An order is opened and closed between two polls, and a poll for open orders never sees it. Trigger: market
    sends no webhook; between two reads of its feed one order is placed and handed over at once, another placed and in
    part cancelled. Judged: all units sold are gone at boutique."""
    await scene.misbehave("market", webhook=WebhookFaults(drop=1.0))
    closed = await scene.order("market", (SHIRT, 3))
    await scene.act("market", closed, "fulfil")
    part = await scene.order("market", (SHIRT, 2))
    await scene.act("market", part, "cancel", lines=[{"id": "1", "quantity": 1}])
    await scene.until_right()


def judge_between(evidence: Evidence, verdict: Verdict) -> None:
    sent = sum(bool(hook["attempts"]) for hook in evidence.hooks("market"))
    verdict.saw(
        f"two orders opened and closed, {sent or 'no'} webhook sent; 4 of 10 are sold, boutique shows "
        f"{evidence.shown(SHIRT)['boutique']}",
        webhooks_sent=sent,
    )  # fmt: skip
    verdict.demand(not sent, "a webhook told of it: nothing was tried")
    right_in_the_end(evidence, verdict, SHIRT)


# --- T13 -----------------------------------------------------------------------------------------------------


async def sold_out_sale(scene: Scene) -> None:
    """A unit is sold that is not there, stock is clamped at 0, and the next restock puts the unit on sale again that
    is owed already. Trigger: the last shirt is sold at boutique and, before anybody was told, at market; then a
    delivery of three arrives. Judged: both show 0, then 2, never 3. Inside: the debt of 1 is in the books and was
    raised as an alarm; the delivery pays it."""
    late = WebhookFaults(late=[Lateness(0.8, "order.updated"), Lateness(0.8, "level.changed")])
    await scene.misbehave("boutique", webhook=late)
    await scene.order("boutique", (SHIRT, 1))
    await scene.order("market", (SHIRT, 1))
    for store in ("market", "boutique"):
        await scene.until_heard(store)
    await scene.until_right()
    await scene.look("owed", "skus", SHIRT)
    await scene.look("explained", "skus", SHIRT, "explain")
    await scene.adjust(SHIRT, 3)
    await scene.until_right()
    await scene.look("paid", "skus", SHIRT)


def judge_sold_out(evidence: Evidence, verdict: Verdict) -> None:
    most = max((row["after"] for store in evidence.ledgers for row in evidence.written(store, SHIRT)), default=0)
    verdict.saw(
        f"2 sold of 1; after a delivery of 3, {evidence.truth(SHIRT)} are left and shown are "
        f"{evidence.says(SHIRT)}; the most ever written was {most}",
        most_written=most,
    )  # fmt: skip
    verdict.demand(evidence.facts, "no delivery arrived: nothing was tried")
    verdict.demand(most <= 2, f"{most} were offered, though one of the delivery was owed")
    right_in_the_end(evidence, verdict, SHIRT)


def inside_sold_out(evidence: Evidence, verdict: Verdict) -> None:
    alarms = [line for line in evidence.own("log") or [] if line["event"] == "debt.opened" and line["sku"] == SHIRT]
    verdict.saw(
        f"the books owed {evidence.own('owed', 'debt')}, then {evidence.own('paid', 'debt')}; alarms: {len(alarms)}"
    )
    verdict.demand(evidence.own("owed", "debt") == 1, f"the books owed {evidence.own('owed', 'debt')}, not 1")
    verdict.demand(alarms, "nobody was alarmed")
    verdict.demand(
        any("more were sold than there are" in said for said in evidence.own("explained", "stock") or []),
        "the explanation does not name the debt",
    )
    verdict.demand(evidence.own("paid", "debt") == 0, "the delivery did not pay the debt")


ORDERS: Final = (
    Incident(
        "T7", "cancelled before created; handed over before created; a refund of what never left",
        "the same final state as in the natural order",
        Setting({sku: 10 for one in STORIES for sku in (one, backwards(one))}),
        wrong_order, judge_wrong_order, inside_wrong_order,
    ),
    Incident(
        "T8", "orders opened and closed between two polls, no webhook coming",
        "their units are accounted",
        Setting({SHIRT: 10}, timing=Timing(poll_interval_s=2.0)), between_two_polls, judge_between,
    ),
    Incident(
        "T13", "a sale while stock is 0, then a delivery",
        "recorded as debt, alarmed; the delivery pays it first",
        Setting({SHIRT: 1}, timing=Timing(poll_interval_s=5.0)), sold_out_sale, judge_sold_out, inside_sold_out,
    ),
)  # fmt: skip

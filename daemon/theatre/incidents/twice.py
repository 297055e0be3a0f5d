"""T1, T2, T3, T17: what was done once must not be done again, and what was begun must be finished."""

from __future__ import annotations

from typing import Final

from daemon.theatre.evidence import Evidence, Verdict, never_raised_over, right_in_the_end
from daemon.theatre.incidents.incident import Incident
from daemon.theatre.scene import Lateness, Rule, Scene, Setting, WebhookFaults
from daemon.theatre.systems import Timing

DOWN: Final = Rule("fail", "any", times=None)
SHIRT, MUG = "SHIRT", "MUG"


# --- T1 ------------------------------------------------------------------------------------------------------


async def redelivered(scene: Scene) -> None:
    """A webhook is taken and kept, but handing it on fails; the channel redelivers, and the redelivery is thrown
    away as a duplicate: the sale is lost for good. Trigger: nothing else works (order feeds and pushes are down),
    the answer to the first delivery is not heard, and the process is killed once it has answered; after its restart
    the same delivery comes again. Judged: every storefront shows the sale exactly once, without the order feed."""
    await scene.misbehave("market", Rule("fail", "orders", times=None), webhook=WebhookFaults(unheard=1.0))
    await scene.misbehave("boutique", DOWN)
    scene.note("sold")
    await scene.order("market", (SHIRT, 2))
    records = [each for each in scene.stores["market"].outbox.records if each.topic == "order.updated"]
    await scene.until(lambda: any((status or 0) // 100 == 2 for each in records for _, status in each.attempts))
    await scene.kill()
    await scene.misbehave("market", Rule("fail", "orders", times=None))
    await scene.behave("boutique")
    await scene.system.start()
    await scene.until_right()
    await scene.until_heard("market")
    await scene.until_right()


def judge_redelivered(evidence: Evidence, verdict: Verdict) -> None:
    tries = [attempt["status"] for hook in evidence.hooks("market") for attempt in hook["attempts"]]
    fed = [call for call in evidence.calls("market", "orders", evidence.noted["sold"]) if call["status"] == 200]
    verdict.saw(
        f"the order's webhook came {len(tries)} times, answered {', '.join(map(str, tries))} (None: nobody there); "
        f"the order feed was read {len(fed)} times; {evidence.truth(SHIRT)} are left, shown are "
        f"{evidence.says(SHIRT)}",
        answers=tries, feed_reads=len(fed),
    )  # fmt: skip
    verdict.demand(len(tries) > 1, "the webhook was not redelivered: nothing was tried")
    verdict.demand(not fed, "the order feed told of the sale: nothing was tried")
    right_in_the_end(evidence, verdict, SHIRT)


def inside_redelivered(evidence: Evidence, verdict: Verdict) -> None:
    verdict.demand(not (evidence.own("dead_letters", "dead_letters") or []), "the sale ended as a dead letter")


# --- T2 ------------------------------------------------------------------------------------------------------


async def crashed_before_the_mark(scene: Scene) -> None:
    """The effect happens, and the process dies before it has noted that it did: after the restart the effect is
    repeated, or what came after it is overwritten. Trigger: boutique takes a level but holds its answer; at that
    moment the process is killed; while it is down, boutique sells; after the restart, so does market. Judged: the
    numbers are right (a push that nobody will answer any more holds up no later one), and after the restart no
    storefront was ever told to show more than there was."""
    await scene.misbehave("boutique", Rule("hold", seconds=5, times=1))
    await scene.order("market", (SHIRT, 2))
    await scene.until(lambda: scene.shown(SHIRT)["boutique"] == 8)
    await scene.kill()
    scene.note("killed")
    await scene.order("boutique", (SHIRT, 3))
    await scene.system.start()
    await scene.until_right()
    await scene.until_heard("boutique")
    await scene.order("market", (SHIRT, 1))
    await scene.until_right()


def judge_crashed(evidence: Evidence, verdict: Verdict) -> None:
    killed_us = evidence.noted["killed"]
    held = [row for row in evidence.written("boutique", SHIRT) if row["at_us"] <= killed_us]
    again = [row["after"] for row in evidence.written("boutique", SHIRT) if row["at_us"] > killed_us]
    verdict.saw(
        f"killed after boutique took {held[-1]['after'] if held else 'nothing'}, which nobody heard; boutique sold "
        f"3; written there afterwards: {again or 'nothing'}; in the end {evidence.says(SHIRT)}",
        written_after_restart=again,
    )  # fmt: skip
    verdict.demand(held, "nothing was written before the kill: nothing was tried")
    right_in_the_end(evidence, verdict, SHIRT)
    never_raised_over(evidence, verdict, SHIRT, killed_us)


# --- T3 ------------------------------------------------------------------------------------------------------


async def second_line_fails(scene: Scene) -> None:
    """An order of two lines: the first is oversold, handling the second fails, so the whole order is tried again,
    and its first line is applied twice. Trigger: boutique sells its three shirts without a word; market sells two of
    the same shirts and a mug on one order, whose webhook comes three times while boutique refuses the mug's push.
    Then boutique's order is cancelled: only one shirt is left. Judged: both storefronts show one shirt, not more."""
    late = WebhookFaults(late=[Lateness(1.0, "order.updated"), Lateness(1.0, "level.changed")])
    await scene.misbehave("boutique", Rule("fail", listing=MUG, times=3), webhook=late)
    first = await scene.order("boutique", (SHIRT, 3))
    await scene.misbehave("market", webhook=WebhookFaults(unheard=1.0))
    await scene.order("market", (SHIRT, 2), (MUG, 1))
    records = scene.stores["market"].outbox.records
    await scene.until(lambda: any(len(each.attempts) > 1 for each in records if each.topic == "order.updated"))
    await scene.behave("market")
    await scene.until_heard("market")
    await scene.until_right()
    scene.noted["oversold"] = scene.left(SHIRT)
    await scene.look("oversold", "skus", SHIRT)
    await scene.act("boutique", first, "cancel")
    await scene.until_right()


def judge_second_line(evidence: Evidence, verdict: Verdict) -> None:
    tries = max((len(hook["attempts"]) for hook in evidence.hooks("market")), default=0)
    verdict.saw(
        f"the order's webhook came {tries} times; 5 shirts were sold of 3, then 3 came back: "
        f"{evidence.truth(SHIRT)} is left, shown are {evidence.says(SHIRT)}; mugs {evidence.says(MUG)}",
        deliveries=tries,
    )  # fmt: skip
    verdict.demand(tries > 1, "the order was not retried: nothing was tried")
    right_in_the_end(evidence, verdict, SHIRT, MUG)


def inside_second_line(evidence: Evidence, verdict: Verdict) -> None:
    owed = evidence.own("oversold", "debt")
    verdict.demand(owed == -evidence.noted["oversold"], f"the books owed {owed}, not {-evidence.noted['oversold']}")


# --- T17 -----------------------------------------------------------------------------------------------------

MANY: Final = {f"SKU-{number:02d}": 9 for number in range(1, 13)}


async def killed_holding_work(scene: Scene) -> None:
    """The process is killed while it holds work, and the work waits for ever, because whoever had taken it is gone.
    Trigger: boutique is down when twelve SKUs are sold; every webhook has been answered when the process is killed.
    It starts again, boutique is back, and nothing new happens: no sale, no message. Judged: boutique ends right by
    itself, though market's order feed is down: nothing but the system's own memory can know of the work."""
    await scene.misbehave("boutique", DOWN)
    for sku in MANY:
        await scene.order("market", (sku, 4))
    await scene.until_heard("market")
    await scene.kill()
    scene.note("killed")
    await scene.misbehave("market", Rule("fail", "orders", times=None))
    await scene.behave("boutique")
    await scene.system.start()
    await scene.until_right()


def judge_killed(evidence: Evidence, verdict: Verdict) -> None:
    killed_us = evidence.noted["killed"]
    done = sum(any(row["at_us"] > killed_us for row in evidence.written("boutique", sku)) for sku in MANY)
    verdict.saw(
        f"killed holding {len(MANY)} levels for boutique; {done} were written there after the restart, nothing else "
        "having happened",
        written_after_restart=done,
    )  # fmt: skip
    verdict.demand(
        not any(row["at_us"] <= killed_us for sku in MANY for row in evidence.written("boutique", sku)),
        "boutique was written before the kill: nothing was tried",
    )
    right_in_the_end(evidence, verdict, *MANY)


TWICE: Final = (
    Incident(
        "T1", "a webhook is kept, handing it on fails, the process dies, the channel redelivers",
        "the redelivery is no duplicate to be dropped; the sale counts exactly once",
        Setting({SHIRT: 7}), redelivered, judge_redelivered, inside_redelivered,
    ),
    Incident(
        "T2", "killed after a storefront took a level and before that was noted; then that storefront sells",
        "the effect exactly once; nothing newer is overwritten",
        Setting({SHIRT: 10}), crashed_before_the_mark, judge_crashed,
    ),
    Incident(
        "T3", "an order of two lines: the first oversold, the second fails; the order comes again",
        "the first line is not applied again",
        Setting({SHIRT: 3, MUG: 10}, timing=Timing(poll_interval_s=5.0)),
        second_line_fails, judge_second_line, inside_second_line,
    ),
    Incident(
        "T17", "killed while it holds work for a storefront that was down",
        "the work is taken up again by itself",
        Setting(MANY), killed_holding_work, judge_killed,
    ),
)  # fmt: skip

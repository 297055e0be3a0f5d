"""T11, T14, T15: what a channel says of its own numbers, and when it must not be taken at its word."""

from __future__ import annotations

from typing import Final

import trio

from daemon.theatre.evidence import Evidence, Verdict, after, right_in_the_end, within_s
from daemon.theatre.incidents.incident import Incident
from daemon.theatre.scene import Scene, Setting, WebhookFaults
from daemon.theatre.systems import Timing

STOCK: Final = 7
ZERO, NULL, ABSENT, ERROR = "ZERO", "NULL", "ABSENT", "ERROR"
UNKNOWN: Final = (NULL, ABSENT, ERROR)
LOOK_S: Final = 1.2
"""How often the stage's catalogues are to be read."""
WATCHED_S: Final = 4.5


# --- T11 -----------------------------------------------------------------------------------------------------


async def four_nothings(scene: Scene) -> None:
    """A quantity that is null, missing or an error is taken for 0, and the goods vanish from every channel; or a true
    0 is taken for "unknown". Trigger: someone at market types 0 over one number, and 3 over three others, of which
    market then says null, nothing, and a word that is no number, in webhooks and in reads; after a while it speaks
    clearly again. Judged: while it does not, no level of the three is written anywhere, and none is ever shown as 0
    elsewhere; the 0 is seen for what it is and put right; in the end all are right. Inside: null is held without a
    complaint, absent and error are dead letters, each with its own cause."""
    await scene.misbehave("market", garbled={NULL: "null", ABSENT: "absent", ERROR: "error"})
    scene.note("garbled")
    for sku in UNKNOWN:
        await scene.edit("market", sku, 3)
    await scene.edit("market", ZERO, 0)
    await scene.until_heard("market")
    await scene.until(lambda: scene.shown(ZERO)["market"] == STOCK)
    await trio.sleep(WATCHED_S)
    scene.note("clear")
    await scene.look("letters", "dead-letters")
    await scene.behave("market")
    await scene.until_right()


def judge_nothings(evidence: Evidence, verdict: Verdict) -> None:
    start, end = evidence.noted["garbled"], evidence.noted["clear"]
    guessed = {
        f"{sku} at {store}": row["after"]
        for sku in UNKNOWN for store in evidence.ledgers
        for row in evidence.rows(store, sku) if start <= row["at_us"] < end
    }  # fmt: skip
    zero = [row["after"] for row in evidence.written("market", ZERO) if row["at_us"] < end]
    spread = [row["after"] for sku in (ZERO, *UNKNOWN) for row in evidence.written("boutique", sku)]
    verdict.saw(
        f"over the true 0 was written: {zero or 'nothing'}; upon null, absent and error {len(guessed) or 'no'} "
        f"levels were written in {(end - start) / 1e6:.0f} s; when market spoke clearly again, it showed "
        f"{', '.join(str(evidence.shown(sku)['market']) for sku in UNKNOWN)}",
        zero_written=zero, guessed=guessed, at_the_other=spread,
    )  # fmt: skip
    verdict.demand(not guessed, f"levels were written upon quantities that nobody knows: {guessed}")
    verdict.demand(zero == [STOCK], f"the true 0 was not put right once: {zero}")
    verdict.demand(not spread, f"boutique was told {spread} by an edit at market")
    right_in_the_end(evidence, verdict, ZERO, *UNKNOWN)


def inside_nothings(evidence: Evidence, verdict: Verdict) -> None:
    letters = evidence.own("letters", "dead_letters") or []
    causes = sorted({letter["cause"] for letter in letters})
    verdict.saw(f"dead letters: {'; '.join(causes) or 'none'}", causes=causes)
    verdict.demand(any("missing" in cause for cause in causes), "no dead letter says that a quantity is missing")
    verdict.demand(len(causes) == 2, f"absent and error should have a cause each, and null none: {causes}")


# --- T14 -----------------------------------------------------------------------------------------------------

SHIRT, MUG = "SHIRT", "MUG"
NOTICE_S: Final = LOOK_S + 6.0


async def edited_there(scene: Scene) -> None:
    """Someone edits a number in the channel's own admin; nobody notices until the next sale pushes over it, or the
    edit is taken for sales. Trigger: at boutique, 10 shirts become 50 and 10 mugs become 3, without a webhook, and
    nothing is sold. Judged: both are back at 10 soon after the catalogue's next reading, and market never moved: our
    count is the truth, an edit at a channel is not. Inside: the history names what was read."""
    await scene.misbehave("boutique", webhook=WebhookFaults(drop=1.0))
    await scene.edit("boutique", SHIRT, 50)
    await scene.edit("boutique", MUG, 3)
    await scene.until_right()
    for sku in (SHIRT, MUG):
        await scene.look(sku, "skus", sku, "history")


def judge_edited(evidence: Evidence, verdict: Verdict) -> None:
    edited_us = max(row["at_us"] for row in evidence.ledgers["boutique"]["levels"] if row["fault"] == "edit")
    took_s = {sku: evidence.right_after_s("boutique", sku, edited_us) for sku in (SHIRT, MUG)}
    moved = [row["after"] for sku in (SHIRT, MUG) for row in evidence.written("market", sku)]
    verdict.saw(
        f"50 shirts and 3 mugs were typed over 10; back at 10 {after(took_s[SHIRT])} and {after(took_s[MUG])}, "
        f"the catalogue being read every {LOOK_S:g} s; nothing was sold",
        took_s=took_s,
    )  # fmt: skip
    for sku, seconds in took_s.items():
        within_s(verdict, f"putting the edit of {sku} right", seconds, NOTICE_S)
    verdict.demand(not moved, f"market was told {moved} by an edit at boutique")
    right_in_the_end(evidence, verdict, SHIRT, MUG)


def inside_edited(evidence: Evidence, verdict: Verdict) -> None:
    for sku, typed in {SHIRT: 50, MUG: 3}.items():
        said = [each["note"] for each in evidence.own(sku, "history") or [] if each["kind"] == "read_back"]
        verdict.demand(
            any(str(typed) in each for each in said), f"the history of {sku} does not name the {typed}: {said}"
        )


# --- T15 -----------------------------------------------------------------------------------------------------

LAG_S: Final = 2.0
"""How late the storefronts' order feeds are; the system is told that it may be a second more."""
PLAIN: Final = "outlet"


async def feed_behind(scene: Scene) -> None:
    """Our count says more while the channel's order feed is behind: the raise overwrites sales that nobody has been
    told of, and they are sold again. Trigger: boutique sells a shirt and outlet a mug; no webhook comes, and the
    order feeds are 2 s late (the system knows that they may be 3 s late); at once a delivery of five of each arrives.
    Boutique compares before it sets, outlet does not. Judged: neither was ever told to show more than was left, and
    in the end all are right."""
    for store in ("boutique", PLAIN):
        await scene.misbehave(store, webhook=WebhookFaults(drop=1.0), feed_lag_s=LAG_S)
    scene.note("sold")
    await scene.order("boutique", (SHIRT, 1))
    await scene.order(PLAIN, (MUG, 1))
    await scene.adjust(SHIRT, 5)
    await scene.adjust(MUG, 5)
    await scene.until_right()


def judge_feed_behind(evidence: Evidence, verdict: Verdict) -> None:
    sold_us, waits = evidence.noted["sold"], {}
    for store, sku in (("boutique", SHIRT), (PLAIN, MUG)):
        raised = [row for row in evidence.written(store, sku) if row["after"] > row["before"]]
        over = [row["after"] for row in raised if row["after"] > evidence.truth(sku, row["at_us"])]
        waits[store] = (raised[0]["at_us"] - sold_us) / 1e6 if raised else None
        verdict.demand(not over, f"{store} was raised to {over} over a sale that nobody had seen")
    raised_s = [f"{store} never" if wait is None else f"{store} {wait:.1f} s" for store, wait in waits.items()]
    verdict.saw(
        f"raised {' and '.join(raised_s)} after the sale, the feeds being {LAG_S:g} s late; in the end "
        f"{evidence.says(SHIRT)}, {evidence.says(MUG)}",
        raised_after_s=waits,
    )  # fmt: skip
    verdict.demand(len(evidence.facts) == 2, "no delivery arrived: nothing was tried")
    right_in_the_end(evidence, verdict, SHIRT, MUG)


QUANTITIES: Final = (
    Incident(
        "T11", "a channel says 0, null, nothing and an error as a quantity",
        "four different outcomes; unknown is never zero",
        Setting(dict.fromkeys((ZERO, *UNKNOWN), STOCK), timing=Timing(catalogue_interval_s=LOOK_S)),
        four_nothings, judge_nothings, inside_nothings,
    ),
    Incident(
        "T14", "someone edits the numbers in the channel's own admin; nothing is sold",
        "noticed without waiting for a sale, handled by policy: our count holds",
        Setting({SHIRT: 10, MUG: 10}, timing=Timing(catalogue_interval_s=LOOK_S)),
        edited_there, judge_edited, inside_edited,
    ),
    Incident(
        "T15", "a delivery arrives while the channels' order feeds are behind a sale",
        "no raise until the feed has caught up",
        Setting(
            {SHIRT: 10, MUG: 10}, ("market", "boutique", PLAIN), (PLAIN,),
            Timing(feed_lag_s=LAG_S + 1, poll_interval_s=1.0),
        ),
        feed_behind, judge_feed_behind,
    ),
)  # fmt: skip

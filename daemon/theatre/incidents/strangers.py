"""T9: anybody can send to a public port; nobody but the storefronts may be believed, or kept."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Final

import trio

from daemon.domain.exchange import Request
from daemon.domain.instants import SECOND_US
from daemon.ports import wall_us
from daemon.theatre.evidence import Evidence, Verdict, after, right_in_the_end, within_s
from daemon.theatre.incidents.incident import Incident
from daemon.theatre.scene import Scene, Setting

SHIRT: Final = "SHIRT"
FLOOD: Final = 700
SENDERS: Final = 12
GROWTH_MAX: Final = 64 << 10
"""Bytes: a page or two of the system's own housekeeping."""
REACH_S: Final = 3.0


async def flood(scene: Scene) -> None:
    """Anybody may send to the webhook port, and a system that stores first and checks later fills its disk, or falls
    over, or believes a stranger. Trigger: 700 requests claim sales, unsigned, signed with a guess, or signed for
    another hour; then 700 more, with an honest sale in their midst. Judged: every one is refused, the state on disk
    does not grow, the honest sale is on show elsewhere in time, and no number moves but by it. Inside: no event
    is written, and every one is counted."""
    answers: Counter[int] = Counter()
    await scene.look("before", "status")
    scene.noted["bytes_before"] = await trio.to_thread.run_sync(size_of, scene.state_dir)
    await _storm(scene, answers)
    scene.noted["bytes_after"] = await trio.to_thread.run_sync(size_of, scene.state_dir)
    await scene.look("after", "status")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_storm, scene, answers)
        await trio.sleep(0.2)
        await scene.order("market", (SHIRT, 2))
    await scene.until_right()
    scene.noted["answers"] = dict(answers)


async def _storm(scene: Scene, answers: Counter[int]) -> None:
    async with trio.open_nursery() as senders:
        for first in range(SENDERS):
            senders.start_soon(partial(_send, scene, answers, range(first, FLOOD, SENDERS)))


async def _send(scene: Scene, answers: Counter[int], numbers: range) -> None:
    for number in numbers:
        answers[(await scene.send(forged(scene.webhook_urls["market"], number, wall_us()))).status] += 1


def forged(url: str, number: int, now_us: int) -> Request:
    """A stranger's claim that nine shirts were sold."""
    body = (
        b'{"topic":"order.updated","order":{"id":"O-FORGED-%d","version":1,"updated_at":"2030-01-01T00:00:00Z",'
        b'"lines":[{"id":"1","sku":"SHIRT","listing":"L-0001","ordered":9,"cancelled":0,"restocked":0,"fulfilled":0}]}}'
    ) % number
    headers = {"content-type": "application/json", "x-sandbox-delivery": f"D-FORGED-{number}"}
    if number % 3:
        stamp_s = now_us // SECOND_US - (3_600 if number % 3 == 2 else 0)
        headers |= {"x-sandbox-timestamp": str(stamp_s), "x-sandbox-signature": "Zm9yZ2Vk"}
    return Request("POST", url, headers, body)


def size_of(directory: Path) -> int:
    """Bytes that the files below it really take up."""
    return sum(path.stat().st_blocks * 512 for path in directory.rglob("*") if path.is_file())


def judge_flood(evidence: Evidence, verdict: Verdict) -> None:
    answers: dict[int, int] = evidence.noted["answers"]
    grown = evidence.noted["bytes_after"] - evidence.noted["bytes_before"]
    believed = {status: count for status, count in answers.items() if not 400 <= status < 500}
    sold_us = max((change["at_us"] for change in evidence.ledgers["market"]["order_changes"]), default=0)
    reach_s = evidence.right_after_s("boutique", SHIRT, sold_us)
    verdict.saw(
        f"{sum(answers.values())} forged requests answered {answers}; the state on disk grew by {grown} bytes; the "
        f"honest sale amid them was on show elsewhere {after(reach_s)}",
        answers=answers, grown_bytes=grown, reach_s=reach_s,
    )  # fmt: skip
    verdict.demand(sum(answers.values()) == 2 * FLOOD, "not every request was answered")
    verdict.demand(not believed, f"requests were not refused but answered {believed}")
    verdict.demand(grown <= GROWTH_MAX, f"strangers made the state grow by {grown} bytes")
    within_s(verdict, "reaching boutique", reach_s, REACH_S)
    right_in_the_end(evidence, verdict, SHIRT)


def inside_flood(evidence: Evidence, verdict: Verdict) -> None:
    before, after = evidence.own("before", "events"), evidence.own("after", "events")
    rejected = evidence.own("status", "rejected")
    verdict.demand(before == after, f"the log went from {before} to {after} events by strangers alone")
    verdict.demand(rejected == 2 * FLOOD, f"{rejected} are counted as rejected, not {2 * FLOOD}")


STRANGERS: Final = (
    Incident(
        "T9", "a flood of 1,400 requests that no storefront signed, with an honest sale in its midst",
        "nothing is written; service stays up",
        Setting({SHIRT: 10}), flood, judge_flood, inside_flood,
    ),
)  # fmt: skip

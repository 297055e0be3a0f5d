"""Pushes that a channel took in and decides later (feeds, batch jobs): followed until every item is decided."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import trio
from attrs import evolve

from daemon.domain.channel import Push
from daemon.domain.exchange import NoAnswer
from daemon.domain.outcomes import Outcome
from daemon.outbound.account import Account

FIRST_S = 5.0
"""A job is asked after for the first time so long after it was taken in; then ever more rarely."""
MOST_S = 300.0
GLANCE_S = 1.0
"""So often somebody looks whether there is something that cannot wait for it."""


async def followed(
    account: Account, pushes: Sequence[Push], outcomes: Sequence[Outcome], rng: random.Random,
    overtaken: Callable[[], bool] = lambda: False,
) -> Sequence[Outcome]:  # fmt: skip
    """The decided outcomes of pushes that were "accepted", one each, in order; none of them is "accepted".

    What is not decided within the platform's `job_life_s`, or until it is `overtaken` by what cannot wait for it, is
    "unknown": it may still be done.
    """
    traits = account.adapter.traits
    found = list(outcomes)
    until = trio.current_time() + traits.job_life_s
    wait_s = min(FIRST_S, traits.job_life_s)
    while waiting := [place for place, outcome in enumerate(found) if outcome.kind == "accepted"]:
        left_s = until - trio.current_time()
        late = overtaken()
        if late or left_s <= 0 or any(not found[place].job for place in waiting):
            why = "it is sold out, and the channel " if late else "the channel "
            why += "has not decided yet on what it took in" if late else "has not decided in time on what it took in"
            return [evolve(each, kind="unknown", reason=each.reason or why) if each.kind == "accepted" else each
                    for each in found]  # fmt: skip
        with trio.move_on_after(min(left_s, wait_s * (0.75 + rng.random() / 4))):
            while not overtaken():  # noqa: ASYNC110 - what is wished of a listing in flight is announced to nobody
                await trio.sleep(GLANCE_S)
        if overtaken():
            continue
        wait_s = min(MOST_S, wait_s * 2)
        for job in dict.fromkeys(found[place].job for place in waiting):
            places = [place for place in waiting if found[place].job == job]
            answer = await account.converse(account.adapter.follow([pushes[place] for place in places], job))
            if not isinstance(answer, NoAnswer):
                for place, outcome in zip(places, answer, strict=True):
                    found[place] = outcome
    return found

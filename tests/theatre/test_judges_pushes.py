"""T4, T5, T16, T18: their judges see a newest level that never left, and a stale one that stayed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.theatre.puppets import Puppets

OTHERS = ("boutique", "outlet")

# --- T4 ------------------------------------------------------------------------------------------------------


def in_flight(*levels: int, hold: bool = True) -> Puppets:
    puppets = Puppets("T4")
    if hold:
        for store in OTHERS:
            puppets.misbehave(store, {"do": "hold", "seconds": 1})
    puppets.sell("market", ("SHIRT", 1))
    puppets.push("SHIRT", 9, *OTHERS)
    puppets.sell("market", ("SHIRT", 2))
    for level in levels:
        puppets.push("SHIRT", level, *OTHERS)
    return puppets


def test_a_change_during_a_push_that_is_sent_after_it_holds() -> None:
    in_flight(7).held()
    in_flight(8, 7).held()


def test_a_change_during_a_push_that_never_leaves_fails() -> None:
    in_flight().failed("the last level written to boutique is not the newest, 7")
    in_flight().failed("7 are left, but boutique shows 9, outlet shows 9")


def test_an_old_level_after_the_newest_fails() -> None:
    in_flight(7, 8).failed("the last level written to outlet is not the newest, 7")


def test_without_a_push_in_flight_nothing_was_tried() -> None:
    in_flight(7, hold=False).failed("nothing was tried")


# --- T5 ------------------------------------------------------------------------------------------------------


def old_push(mended_after_s: float | None, late: bool = True) -> Puppets:
    puppets = Puppets("T5")
    if late:
        for store in OTHERS:
            rules = [{"do": "late", "listing": sku, "seconds": 2.5} for sku in ("SHIRT", "MUG")]
            puppets.misbehave(store, *rules)
    puppets.sell("market", ("SHIRT", 1))
    for store in OTHERS:
        puppets.put(store, {"SHIRT": 9})
        puppets.put(store, {"MUG": 9})
    puppets.sell("market", ("SHIRT", 1))
    puppets.push("SHIRT", 8, *OTHERS)
    puppets.note("right_first")
    puppets.wait(3)
    if mended_after_s is not None:
        puppets.wait(mended_after_s)
        puppets.push("SHIRT", 8, *OTHERS)
        puppets.push("MUG", 10, *OTHERS)
    return puppets


def test_an_old_push_that_is_soon_superseded_holds() -> None:
    old_push(mended_after_s=1).held()


def test_an_old_push_that_stays_fails() -> None:
    old_push(mended_after_s=None).failed("putting the stale level of MUG at boutique right never came about")
    old_push(mended_after_s=None).failed("SHIRT: 8 are left, but boutique shows 9, outlet shows 9")


def test_an_old_push_put_right_only_by_the_next_hour_fails() -> None:
    old_push(mended_after_s=600).failed("putting the stale level of MUG at outlet right took")


def test_without_an_old_push_nothing_was_tried() -> None:
    old_push(mended_after_s=1, late=False).failed("nothing was tried")


# --- T16 -----------------------------------------------------------------------------------------------------


def back(levels: Sequence[int], *, keys: bool = False) -> Puppets:
    puppets = Puppets("T16")
    puppets.sell("market", ("SHIRT", 1))
    for level in levels:
        for store in OTHERS:
            puppets.put(store, {"SHIRT": level}, key=f"SHIRT={level}" if keys else "")
    return puppets


def test_every_step_written_holds() -> None:
    back([5, 6, 5, 6, 5]).held()


@pytest.mark.parametrize("levels", [[5], [5, 6], [5, 6, 5]])
def test_a_step_that_was_left_out_fails(levels: list[int]) -> None:
    back(levels).failed("boutique was not taken through 5, 6, 5, 6, 5")


def test_a_key_made_of_the_level_suppresses_the_last_step_and_fails() -> None:
    back([5, 6, 5, 6, 5], keys=True).failed("5 are left, but boutique shows 6")


# --- T18 -----------------------------------------------------------------------------------------------------


def finished(*, steps: Sequence[int] = range(8), last: bool = True, refuse: bool = True) -> Puppets:
    puppets = Puppets("T18")
    for step in range(8):
        puppets.sell("market", ("SHIRT", 1))
        if step in steps:
            puppets.push("SHIRT", 19 - step, *OTHERS)
        puppets.wait(1)
    if refuse:
        puppets.misbehave("boutique", {"do": "refuse", "listing": "SHIRT", "times": None})
    puppets.sell("market", ("SHIRT", 1))
    puppets.push("SHIRT", 11, *OTHERS)
    puppets.misbehave("boutique")
    puppets.note("healed")
    puppets.sell("market", ("SHIRT", 1))
    puppets.push("SHIRT", 10, *OTHERS if last else ("outlet",))
    return puppets


def test_later_pushes_that_are_not_blocked_hold() -> None:
    finished().held()


def test_a_push_swallowed_by_the_memory_of_an_earlier_one_fails() -> None:
    finished(steps=[0, 1, 2, 4, 5, 6, 7]).failed("boutique missed a step of the row")


def test_a_push_blocked_by_one_that_was_given_up_fails() -> None:
    finished(last=False).failed("10 are left, but boutique shows 12")


def test_without_a_refusal_nothing_was_tried() -> None:
    finished(refuse=False).failed("nothing was tried")


def test_a_refusal_that_nobody_can_see_fails() -> None:
    puppets = finished()
    puppets.inside = {"refused": {"listings": [{"channel": "boutique", "state": "dead"}]}}
    puppets.held()
    puppets.inside = {"refused": {"listings": [{"channel": "boutique", "state": "settled"}]}}
    puppets.failed("was settled, not dead")

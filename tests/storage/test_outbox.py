"""A lane serves slots by risk; modelled by a plain list, it never loses one, offers one twice, or grows."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.domain.slot import Slot
from daemon.storage.outbox import STALE_MAX, Lane, ready_at, urgency, work_of

CHANGES = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.sampled_from(
            ["wish", "sell", "believe", "later", "recheck", "fly", "land", "die", "revive", "take", "wait"]
        ),
        st.integers(0, 12),
    ),
    max_size=40,
)


def change(slot: Slot, what: str, amount: int, now_us: int) -> None:
    match what:
        case "wish" | "sell":
            slot.want(amount, now_us)
        case "believe":
            slot.belief = amount
        case "later":
            slot.due_us = now_us + amount - 3
        case "recheck":
            slot.recheck_us = now_us + amount - 3
        case "fly":
            slot.in_flight = 1
        case "land":
            slot.in_flight = 0
        case "die":
            slot.dead_letter = 1
        case "revive":
            slot.dead_letter = 0


@pytest.mark.slow
@settings(max_examples=600, deadline=None, derandomize=True)
@given(CHANGES, st.integers(1, 3), st.integers(1, 9))
def test_a_lane_offers_what_a_plain_list_would_most_urgent_first(
    changes: list[tuple[str, str, int]], limit: int, refused: int
) -> None:
    lane, now_us, sold = Lane(), 1_000, set[str]()
    slots = {name: Slot("shop", name, name, belief=0) for name in "abc"}
    for name, what, amount in changes:
        slot = slots[name]
        if what == "wait":
            now_us += amount
            continue
        if what == "take":
            ready = [each for each in slots.values() if work_of(each, now_us) and ord(each.sku) % refused]
            taken = lane.take(now_us, lambda each, _: bool(ord(each.sku) % refused), limit)
            assert len(taken) == min(limit, len(ready))
            assert len({each.sku for each, _ in taken}) == len(taken)
            assert all(work == work_of(each, now_us) for each, work in taken)
            ranks = {each.sku: urgency(each, sold=each.sku in sold) for each in slots.values()}
            chosen = [ranks[each.sku] for each, _ in taken]
            assert chosen == sorted(ranks[each.sku] for each in ready)[:limit]
            for each, _ in taken:  # as the dispatcher does when the call is over
                lane.refresh(each, now_us)
        else:
            change(slot, what, amount, now_us)
            lane.refresh(slot, now_us, sold=what == "sell")
            sold |= {name} if what == "sell" else set()
            sold -= set() if slot.needs_push() and lane.slots.get((name, name)) else {name}
        moments = [at for each in slots.values() if (at := ready_at(each)) and at > now_us]
        due = lane.next_due(now_us)
        assert not moments or (due is not None and due <= min(moments))
        assert set(lane.slots) == {(n, n) for n, each in slots.items() if each.open() or each.dead_letter}


def test_a_lane_under_constant_load_does_not_grow() -> None:
    lane = Lane()
    waiting = Slot("shop", "z", "z", desired=9, belief=0)
    lane.refresh(waiting, 1)
    slot = Slot("shop", "a", "a", desired=9, belief=0)
    for turn in range(1, 2_000):
        slot.desired, slot.belief = 9, 0
        slot.due_us = turn + 1_000_000 - turn % 7
        lane.refresh(slot, turn)
        slot.due_us = 0
        lane.refresh(slot, turn)
        slot.desired, slot.belief = 0, 9
        lane.refresh(slot, turn)
        assert lane.take(turn, lambda *_: True, 1) == [(slot, "push")]
        slot.due_us = turn + 500_000 - turn % 11
        lane.refresh(slot, turn)
    assert len(lane._ready.heap) <= 2 * 2 + STALE_MAX + 1
    assert len(lane._later.heap) <= 2 * 2 + STALE_MAX + 1


def test_what_was_bought_goes_before_what_was_recounted_and_behind_what_is_nearly_gone() -> None:
    lane = Lane()
    counted, bought, few = (Slot("shop", name, name, desired=50, belief=99) for name in ("counted", "bought", "few"))
    few.desired = 2
    for slot in (counted, bought, few):
        lane.refresh(slot, 1, sold=slot is bought)
    assert [slot.sku for slot, _ in lane.take(1, lambda *_: True, 9)] == ["few", "bought", "counted"]


def test_what_was_bought_once_and_pushed_waits_its_turn_at_the_next_recount() -> None:
    lane = Lane()
    counted, bought = (Slot("shop", name, name, desired=50, belief=99) for name in ("counted", "bought"))
    lane.refresh(bought, 1, sold=True)
    assert lane.take(1, lambda *_: True, 9) == [(bought, "push")]
    bought.belief = 50
    lane.refresh(bought, 1)
    assert not lane.slots
    assert not lane.sold
    bought.desired = 20
    lane.refresh(counted, 2)
    lane.refresh(bought, 2)
    assert [slot.sku for slot, _ in lane.take(2, lambda *_: True, 9)] == ["counted", "bought"]


def test_a_slot_that_matters_less_than_when_it_was_queued_waits_its_turn() -> None:
    lane = Lane()
    first, second = Slot("shop", "a", "a", desired=0, belief=5), Slot("shop", "b", "b", desired=1, belief=5)
    lane.refresh(first, 1)
    lane.refresh(second, 1)
    first.desired = 9  # it raises now
    lane.refresh(first, 1)
    assert [slot for slot, _ in lane.take(1, lambda *_: True, 2)] == [second, first]


async def test_everybody_who_waits_for_a_change_hears_of_every_change(autojump_clock: trio.testing.MockClock) -> None:
    lane, heard = Lane(), [0, 0]

    async def listen(who: int) -> None:
        while True:
            await lane.wait_changed()
            heard[who] += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen, 0)
        nursery.start_soon(listen, 1)
        for _ in range(5):
            await trio.testing.wait_all_tasks_blocked()
            lane.changed.set()
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert heard == [5, 5]


def test_a_lane_of_a_channel_in_shadow_offers_readings_and_what_a_person_wants_back_but_no_other_push() -> None:
    lane = Lane(quiet=True)
    wished, looked, restored = (Slot("shop", name, name, belief=5) for name in "wlr")
    for slot in (wished, looked, restored):
        slot.want(3, 1)
    looked.recheck_us, restored.prior = 1, 3
    for slot in (wished, looked, restored):
        lane.refresh(slot, 1)
    taken = lane.take(1, lambda *_: True, 9)
    assert {(slot.sku, work) for slot, work in taken} == {("l", "recheck"), ("r", "push")}
    assert not lane.busy(1)
    lane.hush(1, quiet=False)
    assert ("w", "push") in {(slot.sku, work) for slot, work in lane.take(1, lambda *_: True, 9)}

"""The dispatcher against a twin of a channel: whatever it does, the newest level gets there, once, in time."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import evolve
from trio.testing import MockClock

from daemon.actors.actor import Part
from daemon.domain.breaker import FAILURES_MAX
from daemon.domain.channel import LevelSeen
from daemon.domain.exchange import NoAnswer
from daemon.domain.instants import SECOND_US, exactly
from daemon.domain.observations import Adjustment, LevelReport, OrderLine
from daemon.domain.sku import ReadBack, Revive, Sku
from daemon.domain.slot import Slot
from daemon.outbound.reader import _other_sku
from daemon.storage.codec import Cause
from tests.outbound.twin import TwinFeed, wall_us, world

LOST = NoAnswer("time-out", reached=True)
NEVER_SENT = NoAnswer("no connection", reached=False)


async def test_a_changed_level_reaches_the_channel_and_is_believed(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with world(tmp_path) as w:
        await w.listed(A=5)
        await w.sold_elsewhere("A", 2)
        await w.quiet()
        assert w.channel.levels == {"A": 3}
        assert w.channel.pushed("A") == [3]
        assert (w.slot("A").belief, w.slot("A").settled_generation) == (3, w.slot("A").generation)


async def test_what_changes_while_a_push_is_in_flight_is_one_more_push_of_the_newest(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with world(tmp_path, concurrency=4) as w:
        await w.listed(A=9)
        w.channel.takes_s = 10.0
        for place, left in enumerate((8, 7, 6, 5)):
            await w.sold_elsewhere("A", 1, order=str(place))
            await trio.sleep(1)
            assert w.slot("A").desired == left
        await w.quiet()
        assert w.channel.pushed("A") == [8, 5]
        assert w.channel.levels["A"] == 5


async def test_a_level_that_waited_for_its_turn_is_not_sent_when_a_newer_one_is_wanted(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with world(tmp_path, concurrency=2) as w:
        await w.listed(A=9, B=9)
        w.account.budget.pause(0.0)
        w.account.budget._tokens = 0.0
        w.account.budget.rate_per_s = 0.2  # halved by the pause: one call in ten seconds
        await w.sold_elsewhere("A", 1, order="1")
        await trio.sleep(2)  # claimed, and waiting for the budget
        await w.sold_elsewhere("A", 8, order="2")
        await w.quiet()
        assert w.channel.pushed("A") == [0]


async def test_batches_hold_at_most_what_one_call_can_carry(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with world(tmp_path, batch_max=10, concurrency=3) as w:
        names = {f"S{place:02}": 5 for place in range(35)}
        await w.listed(**names)
        await w.counted(**dict.fromkeys(names, 2))
        await w.quiet()
        assert sum(len(rows) for _, rows in w.channel.pushes) == 35
        assert max(len(rows) for _, rows in w.channel.pushes) == 10
        assert len(set(w.channel.keys)) == len(w.channel.keys)


async def test_one_bad_row_is_named_and_the_rest_lands(tmp_path: Path, autojump_clock: MockClock) -> None:  # T12
    async with world(tmp_path, batch_max=16) as w:
        names = {f"S{place:02}": 5 for place in range(16)}
        await w.listed(**names)

        def refuse(rows: list[list[Any]]) -> Any:
            if any(name == "S05" for name, *_ in rows):
                return {"kind": "permanent", "reason": "S05 has no stock field", "whole_call": True}
            return None

        w.channel.script = refuse
        await w.counted(**dict.fromkeys(names, 1))
        await w.quiet()
        assert {name: level for name, level in w.channel.levels.items() if level != 1} == {"S05": 5}
        assert w.told.splits == [16, 8, 4, 2]
        (letter,) = w.letters.page()
        assert (letter.sku, letter.cause) == ("S05", "S05 has no stock field")


async def test_a_throttle_is_obeyed_exactly_and_by_the_whole_account(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with world(tmp_path, concurrency=3) as w:
        await w.listed(A=5, B=5)
        throttled: list[float] = []

        def throttle(rows: list[list[Any]]) -> Any:
            if not throttled:
                throttled.append(trio.current_time())
                return {"kind": "throttled", "retry_after_s": 37.0}
            return None

        w.channel.script = throttle
        await w.counted(A=4)
        await trio.sleep(5)
        await w.counted(B=4)
        await w.quiet()
        later = [at for at, _ in w.channel.pushes[1:]]
        assert len(later) == 2
        assert min(later) == pytest.approx(throttled[0] + 37.0, abs=0.1)
        assert round(min(later) - throttled[0], 6) >= 37.0


@pytest.mark.parametrize("applied", [True, False])
async def test_a_push_without_an_answer_is_read_back_then_settled_then_looked_at_once_more(
    tmp_path: Path, autojump_clock: MockClock, applied: bool
) -> None:
    async with world(tmp_path) as w:
        await w.listed(A=5)
        lost: list[float] = []

        def lose(rows: list[list[Any]]) -> Any:
            if lost:
                return None
            lost.append(trio.current_time())
            if applied:
                w.channel.levels["A"] = rows[0][1]
            return LOST

        w.channel.script = lose
        await w.counted(A=2)
        await w.quiet()
        assert w.channel.levels["A"] == w.slot("A").belief == 2
        assert w.channel.pushed("A") == ([2] if applied else [2, 2])
        assert w.channel.reads[0][0] >= lost[0]
        assert round(w.channel.reads[-1][0] - lost[0], 6) >= 30.0
        assert len(w.channel.reads) == 2


async def test_a_push_that_is_applied_late_over_a_newer_one_is_put_right(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with world(tmp_path) as w:
        await w.listed(A=9)
        lost: list[int] = []

        def lose(rows: list[list[Any]]) -> Any:
            if lost:
                return None
            lost.append(rows[0][1])
            return LOST

        w.channel.script = lose
        await w.counted(A=8)
        await trio.sleep(2)
        await w.counted(A=3)
        await trio.sleep(5)
        assert w.channel.levels["A"] == 3
        assert w.slot("A").open()  # the first one may be alive yet
        w.channel.levels["A"] = lost[0]
        await w.quiet()
        assert w.channel.levels["A"] == 3


async def test_a_call_that_surely_never_left_is_repeated_without_reading_back(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with world(tmp_path) as w:
        await w.listed(A=5)
        failures = [NEVER_SENT] * 3
        w.channel.script = lambda rows: failures.pop() if failures else None
        await w.counted(A=1)
        await w.quiet()
        assert w.channel.pushed("A") == [1, 1, 1, 1]
        assert w.channel.reads == []


async def test_an_outage_opens_the_breaker_and_its_end_needs_one_probe(
    tmp_path: Path, autojump_clock: MockClock
) -> None:  # T19
    async with world(tmp_path, concurrency=4) as w:
        names = {f"S{place}": 9 for place in range(8)}
        await w.listed(**names)
        w.channel.script = lambda rows: NEVER_SENT
        await w.counted(**dict.fromkeys(names, 5))
        await trio.sleep(600)
        assert w.account.breaker.opened
        down = w.channel.pushes[FAILURES_MAX + 4 :]
        # never two probes at once
        assert all(two[0] - one[0] > 0.9 for one, two in itertools.pairwise(down))
        assert len(w.channel.pushes) < 40
        await w.counted(**dict.fromkeys(names, 2))
        w.channel.script = lambda rows: None
        before, began = len(w.channel.pushes), trio.current_time()
        await w.quiet()
        assert w.account.breaker.state(wall_us()) == "closed"
        assert {rows[0][0]: rows[0][1] for _, rows in w.channel.pushes[before:]} == dict.fromkeys(names, 2)
        assert len(w.channel.pushes) - before == len(names)
        assert trio.current_time() - began < 1_000


async def test_a_channel_that_is_heard_of_while_it_seems_down_is_tried_at_once(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with world(tmp_path) as w:
        await w.listed(A=9, B=9, C=9)
        w.channel.script = lambda rows: NEVER_SENT
        await w.counted(B=5)
        for _ in range(1_000):
            await trio.sleep(1)
            if w.account.wait_s() > 20:
                break
        await w.counted(A=5)
        await trio.sleep(2)
        tried = len(w.channel.pushes)
        w.account.heard()
        await trio.sleep(0.2)
        assert len(w.channel.pushes) == tried + 1
        assert w.account.wait_s() > 20  # it is down indeed
        w.channel.script = lambda rows: None
        await w.counted(C=4)
        await trio.sleep(2)
        assert w.channel.levels["C"] == 9
        w.account.heard()
        await trio.sleep(0.2)
        assert w.channel.levels["C"] == 4


async def test_a_raise_waits_for_the_order_feed_and_a_cut_does_not(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with world(tmp_path, compare_and_set=False) as w:  # T15
        await w.listed(A=5, B=5)
        w.feed.standing_us = wall_us()
        await trio.sleep(1)
        await w.counted(A=8, B=2)
        await trio.sleep(10)
        assert w.channel.levels == {"A": 5, "B": 2}
        assert w.feed.pokes
        w.feed.standing_us = 0
        w.dispatcher.wake()
        await w.quiet()
        assert w.channel.levels == {"A": 8, "B": 2}


async def test_sales_elsewhere_do_not_put_off_a_raise_for_ever(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with world(tmp_path, compare_and_set=False) as w:
        w.feed.standing_us = wall_us()
        await w.listed(A=5)
        await trio.sleep(1)
        await w.counted(A=80)
        for place in range(30):  # a feed that tells of orders two minutes late
            await trio.sleep(10)
            w.feed.standing_us = wall_us() - 120 * SECOND_US
            w.dispatcher.feed_advanced()
            await w.sold_elsewhere("A", 1, order=str(place))
            assert (w.channel.levels["A"] > 5) == (place >= 12), place
        await w.quiet()
        assert w.channel.levels["A"] == 50


async def test_a_raise_that_came_to_nothing_for_long_waits_until_orders_were_read_once_more(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with world(tmp_path, compare_and_set=False) as w:
        await w.listed(A=5)
        w.channel.script = lambda rows: LOST
        await w.counted(A=8)
        await trio.sleep(1)
        w.feed.standing_us = wall_us()
        await trio.sleep(600)
        w.channel.script = lambda rows: None
        await trio.sleep(600)
        assert w.channel.levels["A"] == 5
        w.feed.standing_us = wall_us()
        w.dispatcher.feed_advanced()
        await w.quiet()
        assert w.channel.levels["A"] == 8


@pytest.mark.parametrize("compare_and_set", [False, True])
async def test_no_raise_while_a_fact_about_the_sku_lies_in_a_dead_letter(
    tmp_path: Path, autojump_clock: MockClock, compare_and_set: bool
) -> None:
    async with world(tmp_path, compare_and_set=compare_and_set) as w:
        await w.listed(A=5, B=5)
        w.letters.add(
            "poison", wall_us(), channel="shop", sku="A", cause="a crash", subject="order 7 line 1", content=b""
        )
        await w.counted(A=8, B=8)
        await trio.sleep(100)
        assert w.channel.levels == {"A": 5, "B": 8}
        assert w.feed.pokes == 0 or not compare_and_set  # nobody reads the feed for what no feed will mend
        await w.sold_elsewhere("A", 5)  # what lowers waits for nobody
        await trio.sleep(10)
        assert w.channel.levels == {"A": 3, "B": 8}
        await w.counted(A=6)
        (letter,) = w.letters.page()
        w.letters.remove(letter.letter)
        await trio.sleep(1)
        assert w.channel.levels == {"A": 6, "B": 8}


async def test_a_sku_whose_push_answers_cannot_be_applied_is_called_for_no_more(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Sku.step

    def exploding(self: Sku, message: Any, now_us: int, policy_of: Any) -> Any:
        if isinstance(message, ReadBack) and self.sku == "A":
            raise RuntimeError("a bug of ours")
        return step(self, message, now_us, policy_of)

    async with world(tmp_path) as w:
        await w.listed(A=5, B=5)
        monkeypatch.setattr(Sku, "step", exploding)
        await w.registry.deliver([Part("A", Revive("shop", "A", anyway=True), Cause("admin"))])
        await trio.sleep(1_000)
        assert len(w.channel.reads) == 1
        assert w.registry.halted == {"A"}
        assert w.letters.count == 1
        await w.counted(A=2, B=2)
        await trio.sleep(100)
        assert w.channel.levels == {"A": 5, "B": 2}
        monkeypatch.setattr(Sku, "step", step)
        w.registry.release("A")
        (letter,) = w.letters.page()
        w.letters.remove(letter.letter)
        await w.quiet()
        assert w.channel.levels == {"A": 2, "B": 2}


async def test_with_compare_and_set_a_raise_needs_no_feed_and_never_covers_an_unseen_sale(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with world(tmp_path, compare_and_set=True) as w:
        await w.listed(A=5)
        await w.counted(A=4)
        await w.quiet()
        await w.counted(A=5)
        await w.quiet()
        w.told.answers.clear()
        w.feed.standing_us = 1
        w.channel.levels["A"] = 4  # a sale we do not know of
        await w.counted(A=8)
        await trio.sleep(0.15)
        assert w.channel.levels["A"] == 4
        await w.quiet()
        assert w.told.answers[0] == ("A", "conflict")
        assert w.channel.reads
        assert w.channel.levels["A"] == w.slot("A").belief == 8


async def test_a_listing_that_was_never_pushed_is_not_raised_over_what_its_catalogue_hid(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with world(tmp_path, compare_and_set=True) as w:
        w.feed.standing_us = wall_us()
        await trio.sleep(1)
        await w.listed(A=5)  # shown after a sale that nobody has told us of
        await w.counted(A=8)
        await trio.sleep(10)
        assert w.channel.levels["A"] == 5
        assert w.feed.pokes
        await w.counted(A=3)
        await trio.sleep(1)
        assert w.channel.levels["A"] == 3  # what lowers waits for nothing
        await w.counted(A=7)
        await trio.sleep(1)
        assert w.channel.levels["A"] == 7  # it is ours since the last push: a sale since then would show


async def test_a_raise_of_a_kit_or_a_component_waits_for_the_feed_also_with_compare_and_set(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    # A sale of the one does not change what the channel shows of the other: comparing would not notice it.
    async with world(tmp_path, compare_and_set=True, kits={"SET": (("CUP", 1), ("PLATE", 1))}) as w:
        await w.counted(PLATE=50)
        await w.listed(CUP=5, OTHER=5)
        w.channel.levels["SET"] = 5
        await w.tell(LevelReport("shop", "SET", 5, await w.moment(), "SET"))
        w.feed.standing_us = wall_us()
        await trio.sleep(1)
        await w.counted(CUP=8, OTHER=8)
        await trio.sleep(10)
        assert w.channel.levels == {"CUP": 5, "SET": 5, "OTHER": 8}
        await w.sold_elsewhere("CUP", 7)  # lowering waits for nothing
        await trio.sleep(10)
        assert w.channel.levels == {"CUP": 1, "SET": 1, "OTHER": 8}
        await w.counted(CUP=6)
        await trio.sleep(10)
        assert w.channel.levels == {"CUP": 1, "SET": 1, "OTHER": 8}
        w.feed.standing_us = 0
        w.dispatcher.wake()
        await w.quiet()
        assert w.channel.levels == {"CUP": 6, "SET": 6, "OTHER": 8}


async def test_last_units_go_first_and_raises_last(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with world(tmp_path) as w:
        await w.listed(gone=5, few=9, less=90, more=5)
        w.account.paused = True
        await w.counted(more=50)
        await w.counted(less=80)
        await w.counted(few=3)
        await w.counted(gone=0)
        w.account.paused = False
        w.dispatcher.wake()
        await w.quiet()
        assert [rows[0][0] for _, rows in w.channel.pushes] == ["gone", "few", "less", "more"]


@pytest.mark.slow
async def test_a_bulk_of_thousands_never_delays_a_last_unit_by_more_than_two_calls(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with world(tmp_path, batch_max=50, concurrency=2) as w:
        names = {f"S{place:04}": 100 for place in range(2_000)}
        await w.listed(hot=1, **names)
        await w.counted(**dict.fromkeys(names, 99))
        await trio.sleep(0.55)
        began, calls = trio.current_time(), len(w.channel.pushes)
        await w.sold_elsewhere("hot", 1)
        while w.channel.levels["hot"]:  # noqa: ASYNC110 - nobody announces it
            await trio.sleep(0.01)
        assert trio.current_time() - began <= 2 * w.channel.takes_s + 0.02
        assert len(w.channel.pushes) - calls <= 4
        await w.quiet()
        assert set(w.channel.levels.values()) == {99, 0}


async def test_what_a_channel_will_never_take_is_a_letter_and_a_person_can_have_it_tried_again(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with world(tmp_path) as w:
        await w.listed(A=5)
        w.channel.script = lambda rows: {"kind": "permanent", "reason": "listing is archived"}
        await w.counted(A=2)
        await w.quiet()
        (letter,) = w.letters.page()
        assert (letter.kind, letter.content) == ("push", b"A")
        assert w.slot("A").dead_letter == letter.letter
        await trio.sleep(1_000)
        assert len(w.channel.pushes) == 1
        w.channel.script = lambda rows: None
        await w.registry.deliver([Part("A", Revive("shop", "A"), Cause("ann"))])
        await w.quiet()
        assert w.channel.levels["A"] == 2
        await w.store.flush()
        assert w.letters.page() == []


async def test_failures_to_read_back_do_not_use_up_the_attempts_to_push(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with world(tmp_path) as w:
        await w.listed(A=5)
        lost = [LOST]
        w.channel.script = lambda rows: lost.pop() if lost else None
        w.channel.readable = False
        await w.counted(A=2)
        await trio.sleep(20_000)
        assert len(w.channel.reads) > 10
        assert w.slot("A").attempt == 0
        assert w.slot("A").error == "unreadable"
        assert w.channel.pushed("A") == [2, 2]  # what lowers for certain does not wait for a look
        w.channel.readable = True
        await w.quiet()
        assert w.channel.levels["A"] == 2


async def test_a_channel_that_does_not_say_what_it_shows_settles_no_doubt(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with world(tmp_path) as w:
        await w.listed(A=5)
        lost = [LOST]

        def lose_but_write(rows: list[list[Any]]) -> Any:
            if not lost:
                return None
            w.channel.levels["A"] = rows[0][1]
            return lost.pop()

        w.channel.script = lose_but_write
        w.channel.silent = True
        await w.counted(A=2)
        await trio.sleep(0.05)
        await w.counted(A=5)  # as it is believed to be: no push would mend what the lost one did
        await trio.sleep(60)
        assert w.slot("A").open()
        w.channel.silent = False
        await w.quiet()
        assert w.channel.levels["A"] == 5


async def test_a_push_that_might_raise_what_an_unanswered_one_lowered_waits_for_the_feed(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with world(tmp_path) as w:
        await w.listed(A=9)
        w.channel.readable = False

        def lose(rows: list[list[Any]]) -> Any:
            w.channel.levels["A"] = rows[0][1]
            return LOST

        w.channel.script = lose
        await w.counted(A=2)
        await trio.sleep(0.15)
        w.feed.standing_us = wall_us()
        await w.counted(A=6)  # less than is believed, more than is shown
        await trio.sleep(60)
        assert w.channel.pushed("A") == [2]
        w.channel.readable, w.feed.standing_us = True, 0
        w.channel.script = lambda rows: None
        await w.quiet()
        assert w.channel.levels["A"] == 6


async def test_a_level_is_not_believed_before_the_order_feed_is_read_up_to_it(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with world(tmp_path) as w:
        await w.listed(A=5)
        w.feed.readable = False
        w.registry.tell([Part("A", Revive("shop", "A", anyway=True), Cause("ann"))])
        w.channel.levels["A"] = 7
        await trio.sleep(60)
        assert w.channel.reads
        assert w.slot("A").belief == 5
        w.feed.readable = True
        await w.quiet()
        assert w.channel.levels["A"] == 5


async def test_a_dispatcher_started_again_takes_up_what_its_predecessor_left_in_flight(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with world(tmp_path, dispatching=False) as w:
        await w.listed(A=5)
        w.channel.takes_s = 100.0
        with trio.move_on_after(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(w.dispatcher.run)
                await w.counted(A=2)
                await trio.sleep_forever()
        assert w.slot("A").in_flight
        w.channel.takes_s = 0.1
        async with trio.open_nursery() as nursery:
            nursery.start_soon(w.dispatcher.run)
            await w.quiet()
            nursery.cancel_scope.cancel()
        assert w.channel.levels["A"] == w.slot("A").belief == 2
        assert w.channel.reads


async def test_a_sku_loaded_afresh_while_its_push_waits_is_still_pushed_once(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with world(tmp_path, concurrency=1) as w:
        await w.listed(A=5, B=5)
        w.account.paused = True
        await w.counted(A=2, B=2)
        w.account.paused = False
        w.dispatcher.wake()
        await trio.lowlevel.checkpoint()
        old = w.slot("A")
        w.registry._reload("A")
        assert w.slot("A") is not old
        await w.quiet()
        assert (w.channel.pushed("A"), w.channel.pushed("B")) == ([2], [2])
        assert (w.slot("A").belief, w.slot("A").in_flight) == (2, 0)


async def test_a_paused_channel_is_not_called_and_catches_up_with_one_push_a_listing(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with world(tmp_path) as w:
        await w.listed(A=9)
        w.account.paused = True
        for left in (8, 7, 6):
            await w.counted(A=left)
            await trio.sleep(100)
        assert w.channel.pushes == []
        w.account.paused = False
        w.dispatcher.wake()
        await w.quiet()
        assert w.channel.pushed("A") == [6]


async def test_an_edit_in_the_channels_own_admin_is_put_right_without_a_sale(
    tmp_path: Path, autojump_clock: MockClock
) -> None:  # T14
    async with world(tmp_path) as w:
        await w.listed(A=5)
        w.channel.levels["A"] = 50
        await trio.sleep(60)
        await w.tell(LevelReport("shop", "A", 50, exactly(wall_us()), "A"))
        began = trio.current_time()
        await w.quiet()
        assert w.channel.levels["A"] == 5
        assert trio.current_time() - began < 10


async def test_a_push_whose_belief_was_overtaken_while_it_waited_is_planned_anew(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with world(tmp_path, compare_and_set=True, rate_per_s=0.1, burst=1) as w:
        await w.listed(A=5, B=5)
        await w.counted(B=3)
        await w.quiet()  # the only call that may leave for a while
        line = OrderLine("shop", "7", "1", "A", 2, listing="A", version=1, at=await w.moment())
        await w.tell(line)
        await w.counted(A=5)  # 3 are believed, 5 are wanted: a raise that waits for its turn
        await trio.sleep(1)
        assert w.slot("A").in_flight
        back = evolve(line, restocked=1, version=2, at=await w.moment())
        await w.tell(back, Adjustment("person", "r", "A", -1, at=await w.moment()))
        w.channel.levels["A"] = 3  # sold 2, one came back, one more sold: the old number, and not the old state
        await w.quiet()
        believed = [row[2] for _, rows in w.channel.pushes for row in rows if row[0] == "A"]
        assert believed[0] == 4


# -- channels that cannot compare --


async def test_where_nothing_compares_a_cut_is_looked_at_before_and_the_orders_after_it(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with world(tmp_path, compare_and_set=False) as w:
        await w.listed(A=9)
        w.channel.takes_s = 0.1
        await w.sold_elsewhere("A", 1, order="1")
        await w.quiet()
        (looked_at, asked), (pushed_at, rows) = w.channel.reads[-1], w.channel.pushes[-1]
        assert (asked, [row[1] for row in rows]) == (["A"], [8])
        assert 0 <= pushed_at - looked_at < 0.2
        assert w.feed.pokes == 1
        assert len(w.told.windows) == 1
        assert 190_000 <= w.told.windows[0] < 300_000


async def test_where_nothing_compares_a_cut_never_raises_over_a_sale_that_nobody_told_us_of(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with world(tmp_path, compare_and_set=False) as w:
        await w.listed(A=5)
        w.channel.levels["A"] = 2  # three are sold there, and no webhook came
        sold_at = await w.moment()
        w.feed.readable = False
        await w.sold_elsewhere("A", 1, order="1")
        await trio.sleep(100)
        assert w.channel.levels["A"] == 2  # 4 is less than the 5 we believe, and more than the 2 it shows
        w.feed.readable = True
        await w.tell(OrderLine("shop", "2", "1", "A", 3, version=1, at=sold_at, listing="A"))
        await w.quiet()
        assert w.channel.levels["A"] == 1
        assert w.channel.pushed("A") == [1]


async def test_where_nothing_compares_a_level_of_zero_leaves_without_a_look(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with world(tmp_path, compare_and_set=False) as w:
        await w.listed(A=1)
        w.channel.readable = False
        began = trio.current_time()
        await w.sold_elsewhere("A", 1, order="1")
        await w.quiet()
        assert w.channel.levels["A"] == 0
        assert trio.current_time() - began < 1
        assert w.channel.reads == []


@pytest.mark.parametrize("unseen", [{"readable": False}, {"silent": True}])
async def test_where_nobody_can_look_or_is_not_told_a_cut_leaves_and_a_raise_waits(
    tmp_path: Path, autojump_clock: MockClock, unseen: dict[str, bool]
) -> None:
    async with world(tmp_path, compare_and_set=False, batch_max=2) as w:
        await w.listed(A=5, B=5)
        for what, so in unseen.items():
            setattr(w.channel, what, so)
        await w.counted(A=3, B=7)
        await trio.sleep(5)
        assert w.channel.levels == {"A": 3, "B": 5}
        for what, so in unseen.items():
            setattr(w.channel, what, not so)
        await w.quiet()
        assert w.channel.levels == {"A": 3, "B": 7}


async def test_where_nobody_can_look_again_a_cut_does_not_raise_what_was_seen_to_be_less(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with world(tmp_path, compare_and_set=False) as w:
        await w.listed(A=5)
        w.channel.levels["A"] = 2  # three are sold there, and no webhook came
        sold_at = await w.moment()
        w.feed.readable = False
        await w.sold_elsewhere("A", 1, order="1")
        await trio.sleep(1)
        assert w.channel.reads
        w.channel.readable = False
        await trio.sleep(100)
        assert w.channel.pushes == []
        w.channel.readable = w.feed.readable = True
        await w.tell(OrderLine("shop", "2", "1", "A", 3, version=1, at=sold_at, listing="A"))
        await w.quiet()
        assert w.channel.pushed("A") == [1]


async def test_zero_does_not_wait_until_the_listing_was_read_back(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slowly(feed: TwinFeed, until_us: int) -> bool:
        await trio.sleep(30)
        return True

    monkeypatch.setattr(TwinFeed, "absorb", slowly)
    async with world(tmp_path, compare_and_set=False, concurrency=2) as w:
        await w.listed(A=4, B=4)
        for sku in "AB":
            w.slot(sku).ask_recheck(w.store.now_us())
        await w.sold_elsewhere("A", 4)
        await w.sold_elsewhere("B", 1, order="2")
        await trio.sleep(1)
        assert w.channel.pushed("A") == [0]
        assert w.channel.pushed("B") == []  # what is more than zero waits until somebody looked
        await w.quiet()
        assert w.channel.levels == {"A": 0, "B": 3}
        assert w.channel.pushed("A") == [0]


async def test_zero_that_was_refused_is_read_back_before_it_is_tried_again(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with world(tmp_path) as w:
        await w.listed(A=4)
        w.channel.levels["A"] = 3  # a sale there that nobody told us of
        w.slot("A").ask_recheck(w.store.now_us())
        await w.sold_elsewhere("A", 4)
        await w.quiet()
        assert w.channel.levels["A"] == 0
        assert len(w.channel.pushed("A")) <= 2


async def test_a_zero_that_becomes_a_level_while_the_batch_waits_does_not_leave_without_a_look(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with world(tmp_path, compare_and_set=False, batch_max=2) as w:
        await w.listed(A=5, B=9)
        w.channel.levels["A"] = 0  # all five are sold there, and no webhook came
        sold_at = await w.moment()
        w.feed.readable = False
        w.channel.takes_s = 2.0
        await w.counted(A=0, B=8)
        await trio.sleep(1.0)
        assert w.channel.reads[-1][1] == ["B"]
        await w.counted(A=3)
        await trio.sleep(60.0)
        assert w.channel.levels == {"A": 0, "B": 8}
        w.feed.readable = True
        await w.tell(OrderLine("shop", "1", "1", "A", 5, version=1, at=sold_at, listing="A"))
        await w.quiet()
        assert w.channel.levels == {"A": 3, "B": 8}  # the newer count holds those five already


async def test_a_look_that_is_throttled_puts_the_write_behind_it_off_as_well(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with world(tmp_path, compare_and_set=False) as w:
        await w.listed(A=9)
        w.channel.throttles_reads_s = 7.0
        began = trio.current_time()
        await w.sold_elsewhere("A", 1, order="1")
        await w.quiet()
        assert w.channel.pushed("A") == [8]
        assert w.channel.pushes[-1][0] - began >= 7.0


@pytest.mark.parametrize(
    ("told", "kept"), [("B", "B"), ("A", ""), (None, ""), ("", ""), ("\ud800", ""), ("B\n", ""), ("x" * 201, "")]
)
def test_another_sku_of_a_listing_is_kept_where_it_can_be_one(told: str | None, kept: str) -> None:
    assert _other_sku(LevelSeen("L", 3, None, told), Slot("shop", "L", "A")) == kept
    assert _other_sku(None, Slot("shop", "L", "A")) == ""

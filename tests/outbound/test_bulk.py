"""What some platforms need of the dispatcher: bulk batches, pushes read back, channels that take their sales off."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from daemon.domain.channel import Push
from daemon.domain.exchange import NoAnswer
from daemon.domain.instants import SECOND_US
from daemon.domain.observations import OrderLine
from daemon.outbound.dispatcher import BULK_LEVEL_MIN
from tests.outbound.test_jobs import feeding
from tests.outbound.twin import World, wall_us, world

BULK: dict[str, Any] = {"batch_max": 1, "bulk_from": 20, "bulk_max": 100, "bulk_every_s": 60.0, "concurrency": 2}
LOST = NoAnswer("time-out", reached=True)


def sizes(w: World) -> list[int]:
    return [len(rows) for _, rows in w.channel.pushes]


async def test_many_listings_go_in_one_batch_and_few_go_one_by_one(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with world(tmp_path, **BULK) as w:
        names = {f"S{place:02}": 900 for place in range(30)}
        await w.listed(**names)
        await w.counted(**dict.fromkeys(names, 800))
        await w.quiet()
        assert sorted(sizes(w)) == [30]
        few = dict.fromkeys(list(names)[:19], 700)
        await trio.sleep(BULK["bulk_every_s"])
        await w.counted(**few)
        await w.quiet()
        assert sizes(w)[1:] == [1] * 19
        assert {w.channel.levels[name] for name in few} == {700}


@pytest.mark.slow
async def test_what_is_nearly_gone_never_waits_for_a_bulk_batch(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with world(tmp_path, **BULK) as w:
        plenty = {f"S{place:02}": 900 for place in range(30)}
        scarce = {f"T{place:02}": BULK_LEVEL_MIN for place in range(3)}
        await w.listed(**plenty, **scarce)
        feeding(w, patience=4)
        script = w.channel.script
        w.channel.script = lambda rows: script(rows) if len(rows) > 1 else None
        await w.counted(**dict.fromkeys(plenty, 800), **dict.fromkeys(scarce, BULK_LEVEL_MIN - 1))
        await trio.sleep(2)
        assert all(w.channel.levels[name] == BULK_LEVEL_MIN - 1 for name in scarce)
        assert all(w.channel.levels[name] == 900 for name in plenty)
        assert sorted(sizes(w)) == [1, 1, 1, 30]
        await w.quiet()
        assert all(w.channel.levels[name] == 800 for name in plenty)


async def test_so_many_scarce_ones_make_no_bulk_batch(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with world(tmp_path, **BULK) as w:
        scarce = {f"T{place:02}": 9 for place in range(25)}
        some = {f"S{place:02}": 900 for place in range(10)}
        await w.listed(**scarce, **some)
        await w.counted(**dict.fromkeys(scarce, 3), **dict.fromkeys(some, 800))
        await w.quiet()
        assert sizes(w) == [1] * 35
        assert w.channel.levels == dict.fromkeys(scarce, 3) | dict.fromkeys(some, 800)


@pytest.mark.slow
async def test_bulk_batches_keep_their_distance(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with world(tmp_path, **BULK) as w:
        w.channel.takes_s = 5.0
        names = {f"S{place:03}": 900 for place in range(250)}
        await w.listed(**names)
        await w.counted(**dict.fromkeys(names, 800))
        await w.quiet()
        at = [moment for moment, rows in w.channel.pushes if len(rows) > 1]
        assert len(at) == 2  # meanwhile the rest went one by one
        assert at[1] - at[0] >= BULK["bulk_every_s"]
        assert max(sizes(w)) == 100
        assert set(w.channel.levels.values()) == {800}


@pytest.mark.slow
async def test_a_batch_that_nobody_answered_is_feared_for_as_long_as_it_may_live(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with world(tmp_path, **BULK) as w:
        adapter: Any = w.account.adapter

        def life_s(batch: Sequence[Push] | None) -> float:
            return 200.0 if batch is None or len(batch) > 1 else 30.0

        adapter.life_s = life_s
        names = {f"S{place:02}": 900 for place in range(21)}
        await w.listed(**names, single=500)
        w.channel.script = lambda rows: LOST
        await w.counted(single=400)
        await trio.sleep(0.15)
        assert 20 < (w.slot("single").alive_until_us - wall_us()) / SECOND_US <= 30
        w.channel.script = lambda rows: LOST if len(rows) > 1 else None
        await w.counted(**dict.fromkeys(names, 800))
        await trio.sleep(1)
        assert 190 < (w.slot("S00").alive_until_us - wall_us()) / SECOND_US <= 200
        w.channel.script = lambda rows: None
        await w.quiet(1_000)
        assert (w.channel.levels["S00"], w.channel.levels["single"]) == (800, 400)


async def test_an_acknowledged_push_that_was_not_done_is_found_and_repeated(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with world(tmp_path, includes_held=True, compare_and_set=False, read_back_s=60.0) as w:
        await w.listed(A=9)
        phantom = iter([{"kind": "ok", "level": 7}])
        w.channel.script = lambda rows: next(phantom, None)
        await w.sold_elsewhere("A", 2)
        await trio.sleep(30)
        assert (w.channel.levels["A"], w.slot("A").belief, w.channel.reads) == (9, 7, [])
        await w.quiet()
        assert w.channel.levels["A"] == 7
        assert w.channel.pushed("A") == [7, 7]
        assert len(w.channel.reads) == 2


async def test_a_channel_that_takes_its_sales_off_is_written_without_a_look_and_needs_no_feed_for_it(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with world(tmp_path, includes_held=True, compare_and_set=False) as w:
        await w.listed(A=9)
        await w.sold_elsewhere("A", 2)
        await w.quiet()
        assert w.channel.reads == []
        w.feed.standing_us = wall_us() - 60 * SECOND_US
        w.feed.readable = False
        await w.counted(A=12)
        await w.quiet()
        assert w.channel.pushed("A") == [7, 12]


async def test_there_a_sale_is_no_push_and_sending_is_one(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with world(tmp_path, includes_held=True, compare_and_set=False) as w:
        await w.listed(A=9)
        at = await w.moment()
        await w.tell(OrderLine("shop", "1", "1", "A", 2, version=1, at=at, listing="A"))
        await w.quiet()
        assert w.channel.pushes == []
        at = await w.moment()
        await w.tell(OrderLine("shop", "1", "1", "A", 2, fulfilled=2, version=2, at=at, listing="A"))
        await w.quiet()
        assert w.channel.pushed("A") == [7]


@pytest.mark.slow
async def test_what_an_interrupted_dispatcher_left_in_flight_is_feared_for_as_long_as_anything_may_live(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with world(tmp_path, dispatching=False, **BULK) as w:
        adapter: Any = w.account.adapter
        adapter.life_s = lambda batch: 200.0 if batch is None or len(batch) > 1 else 30.0
        await w.listed(A=500)
        w.channel.takes_s = 100.0
        with trio.move_on_after(10):
            async with trio.open_nursery() as first:
                first.start_soon(w.dispatcher.run)
                await w.counted(A=400)
                await trio.sleep_forever()
        assert w.slot("A").in_flight
        w.channel.takes_s = 0.1
        async with trio.open_nursery() as second:
            second.start_soon(w.dispatcher.run)
            await trio.sleep(60)
            # Written anew, and yet the older one may come: a bulk batch, perhaps.
            assert w.channel.levels["A"] == 400
            w.channel.levels["A"] = 450
            await w.quiet(1_000)
            second.cancel_scope.cancel()
        assert w.channel.levels["A"] == 400
        assert w.channel.reads[-1][0] >= 200


@pytest.mark.slow
async def test_a_reading_from_before_the_newest_push_is_not_believed_for_long(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with world(tmp_path, includes_held=True, compare_and_set=False, read_back_s=60.0) as w:
        await w.listed(A=5)
        await w.counted(A=10)
        await trio.sleep(30)
        assert w.channel.levels["A"] == 10
        shown, w.channel.levels["A"] = w.channel.levels["A"], 5  # a copy answers that has not heard of it
        while not w.channel.reads:  # noqa: ASYNC110 - nobody announces it
            await trio.sleep(0.01)
        await w.counted(A=5)  # while it is being read
        await trio.sleep(0.2)
        assert w.channel.pushed("A") == [10]
        assert (w.slot("A").belief, w.slot("A").needs_push()) == (5, False)
        w.channel.levels["A"] = shown
        await w.quiet()
        assert w.channel.levels["A"] == w.slot("A").belief == 5
        assert w.channel.reads[-1][0] > 115

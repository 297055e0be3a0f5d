"""Walmart's adapter and the dispatcher together: single writes, feeds that are followed, writes never done."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import define, evolve
from trio.testing import MockClock

from adapters.walmart import PLATFORM
from adapters.walmart.adapter import Walmart
from daemon.domain.channel import Setup
from daemon.domain.exchange import Reply, Request
from daemon.domain.instants import SECOND_US
from tests.adapters.walmart_twin import CLIENT_ID, CLIENT_SECRET, HOOK_SECRET, Twin
from tests.outbound.twin import World, wall_us, world

PLENTY = {f"S{place:02}": 900 for place in range(30)}


@define
class Line:
    """The way to the twin; each call takes a moment."""

    twin: Twin

    async def send(self, request: Request) -> Reply:
        await trio.sleep(0.1)
        answer = self.twin.respond(request)
        return evolve(answer, sent_us=wall_us() - SECOND_US // 10, received_us=wall_us())

    async def aclose(self) -> None: ...


@asynccontextmanager
async def mart(folder: Path, **options: Any) -> AsyncIterator[tuple[World, Twin]]:
    """A dispatcher that pushes to a Walmart with 30 SKUs of plenty and a scarce one; feeds from 20 listings on."""
    account, keys = {"client_id": CLIENT_ID}, {"client_secret": CLIENT_SECRET}
    bulk = {"bulk_from": 20.0, "bulk_every_s": 360.0}
    adapter = PLATFORM.build(Setup("shop", PLATFORM.default_base_url, account, keys, (HOOK_SECRET,), bulk))
    assert isinstance(adapter, Walmart)
    levels = PLENTY | {"SCARCE": 9}
    twin = Twin(dict(levels), lambda: wall_us() / SECOND_US, **options)
    async with world(folder, adapter=adapter, http=Line(twin)) as w:
        number = iter(range(1_000_000))
        w.account.new_id = lambda: f"nonce{next(number):020}"
        await w.listed(**levels)
        yield w, twin


@pytest.mark.slow
async def test_many_go_in_one_feed_which_is_followed_while_the_scarce_ones_go_at_once(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with mart(tmp_path, lag_s=300.0) as (w, twin):
        twin.refused = {"S07"}
        await w.counted(**dict.fromkeys(PLENTY, 800), SCARCE=4)
        await trio.sleep(2)
        assert twin.told["SCARCE"] == 4
        assert len(twin.feeds) == 1
        # It changes while the feed is under way: told when that is decided, not before, so that nothing overtakes it.
        await w.sold_elsewhere("S01", 790, order="1")
        await trio.sleep(200)
        assert twin.told["S01"] == 900
        assert w.slot("S01").in_flight
        await w.quiet(10_000)
        assert (twin.told["S00"], twin.told["S01"], twin.told["S07"]) == (800, 10, 900)
        assert [units for sku, units in twin.written if sku == "S01"] == [800, 10]
        assert w.slot("S07").dead_letter
        assert len(twin.feeds) == 1
        assert twin.tokens  # one for each quarter of an hour, or fewer
        assert len([path for _, path, _ in twin.log if path == "/token"]) <= 1 + int(trio.current_time() // 720)


@pytest.mark.slow
async def test_a_few_go_one_by_one_and_each_is_read_back_after_a_minute(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with mart(tmp_path) as (w, twin):
        twin.phantoms = 1
        await w.counted(S00=800, S01=700)
        await trio.sleep(30)
        assert sorted((twin.told["S00"], twin.told["S01"])) in ([700, 900], [800, 900])
        assert twin.feeds == {}
        await w.quiet()
        assert (twin.told["S00"], twin.told["S01"]) == (800, 700)
        assert {status for _, _, status in twin.log} == {200}


@pytest.mark.slow
async def test_a_rate_that_is_used_up_is_waited_for_as_its_headers_say(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with mart(tmp_path, quota=5) as (w, twin):
        await w.counted(**dict.fromkeys(list(PLENTY)[:12], 800))
        await w.quiet()
        assert sum(units == 800 for units in twin.told.values()) == 12
        assert {status for _, _, status in twin.log} == {200}  # none had to be refused

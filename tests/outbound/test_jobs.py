"""Pushes that a channel takes in and decides later: followed to the end, never believed before, read back if cut."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import trio
from attrs import define, field
from trio.testing import MockClock

from daemon.domain.channel import Push
from daemon.domain.exchange import Exchange, NoAnswer, Reply, Request, Response
from daemon.domain.outcomes import Outcome
from tests.outbound.twin import World, world


@define
class Feeds:
    """A channel that takes pushes in as feeds. `patience`: how often each is asked after before it is decided."""

    w: World
    patience: int = 3
    rows: dict[str, list[list[Any]]] = field(factory=dict)
    """By feed."""
    asked: list[float] = field(factory=list)
    silent: bool = False
    verdicts: dict[str, dict[str, Any]] = field(factory=dict)
    """By listing: what comes of it instead of being applied."""
    refuses: str = ""
    """A feed that holds this listing is refused as a whole."""
    _asked_of: dict[str, int] = field(factory=dict)

    def take(self, rows: list[list[Any]]) -> Any:
        name = f"feed {len(self.rows)}"
        self.rows[name] = rows
        return [{"kind": "accepted", "job": name}] * len(rows)

    def follow(self, batch: Sequence[Push], job: str) -> Exchange[Sequence[Outcome]]:
        self.asked.append(trio.current_time())
        response = yield Request("GET", "job", {"job": job}, json.dumps([push.listing for push in batch]).encode())
        return [Outcome(**each) for each in json.loads(response.body)]

    async def send(self, request: Request) -> Reply:
        if request.url != "job":
            return await self.w.channel.send(request)
        await trio.sleep(0.1)
        if self.silent:
            return NoAnswer("time-out", reached=True)
        job = request.headers["job"]
        self._asked_of[job] = self._asked_of.get(job, 0) + 1
        if self._asked_of[job] < self.patience:
            said = [{"kind": "accepted", "job": job} for _ in json.loads(request.body)]
        else:
            said = [self.decide(job, name) for name in json.loads(request.body)]
        return Response(200, {}, json.dumps(said).encode())

    def decide(self, job: str, name: str) -> dict[str, Any]:
        if any(row[0] == self.refuses for row in self.rows[job]):
            return {"kind": "permanent", "reason": "the feed was refused", "whole_call": True}
        if name in self.verdicts:
            return self.verdicts[name]
        (level,) = [row[1] for row in self.rows[job] if row[0] == name]
        self.w.channel.levels[name] = level
        return {"kind": "ok", "level": level}

    async def aclose(self) -> None: ...


def feeding(w: World, patience: int = 3) -> Feeds:
    """From now on the world's channel takes feeds."""
    feeds = Feeds(w, patience)
    w.channel.script = feeds.take
    adapter: Any = w.account.adapter
    adapter.follow = feeds.follow
    w.account.http = feeds
    return feeds


async def test_nothing_is_believed_before_the_channel_decided(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with world(tmp_path, batch_max=10) as w:
        feed = feeding(w)
        await w.listed(A=5, B=5)
        await w.sold_elsewhere("A", 2)
        await trio.sleep(4)
        assert (w.slot("A").in_flight, w.slot("A").belief) == (w.slot("A").generation, 5)
        await w.quiet()
        assert (w.slot("A").belief, w.channel.levels["A"]) == (3, 3)
        assert len(w.channel.pushes) == 1
        gaps = [later - sooner for sooner, later in zip(feed.asked, feed.asked[1:], strict=False)]
        assert gaps == sorted(gaps)
        assert [kind for _, kind in w.told.answers] == ["accepted", "ok"]


async def test_what_changes_meanwhile_is_one_more_push_after_the_decision(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with world(tmp_path) as w:
        feeding(w)
        await w.listed(A=9)
        await w.sold_elsewhere("A", 1)
        await trio.sleep(2)
        for order in ("2", "3"):
            await w.sold_elsewhere("A", 1, order=order)
        await w.quiet()
        assert w.channel.pushed("A") == [8, 6]
        assert w.channel.levels["A"] == 6


async def test_other_listings_go_out_while_a_job_is_followed(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with world(tmp_path, concurrency=1) as w:
        feed = feeding(w, patience=1_000)
        await w.listed(A=9, B=9)
        await w.sold_elsewhere("A", 1)
        await trio.sleep(2)
        w.channel.script = lambda rows: None  # this channel decides single pushes at once
        await w.sold_elsewhere("B", 1, order="2")
        await trio.sleep(2)
        assert w.channel.levels["B"] == 8
        assert w.slot("A").in_flight
        feed.patience = 0
        await w.quiet()
        assert w.channel.levels["A"] == 8


async def test_each_item_of_a_job_has_its_own_end(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with world(tmp_path, batch_max=10) as w:
        feed = feeding(w)
        feed.verdicts = {"B": {"kind": "permanent", "reason": "no such item"}, "C": {"kind": "transient"}}
        await w.listed(A=9, B=9, C=9)
        await w.counted(A=4, B=4, C=4)
        await trio.sleep(60)
        assert (w.channel.levels["A"], w.slot("A").belief) == (4, 4)
        assert w.slot("B").dead_letter
        feed.verdicts.pop("C")
        await w.quiet()
        assert w.channel.levels == {"A": 4, "B": 9, "C": 4}


async def test_a_job_refused_as_a_whole_is_halved_until_the_bad_row_is_named(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with world(tmp_path, batch_max=10) as w:
        feed = feeding(w)
        feed.refuses = "B"
        await w.listed(A=9, B=9, C=9, D=9)
        await w.counted(A=4, B=4, C=4, D=4)
        await w.quiet()
        assert w.channel.levels == {"A": 4, "B": 9, "C": 4, "D": 4}
        assert w.slot("B").dead_letter
        assert [len(rows) for rows in feed.rows.values()] == [4, 2, 2, 1, 1]


async def test_a_job_that_is_never_decided_is_in_doubt_after_its_life_and_read_back(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with world(tmp_path, job_life_s=600.0) as w:
        feed = feeding(w, patience=10**9)
        await w.listed(A=9)
        began = trio.current_time()
        await w.sold_elsewhere("A", 1)
        await trio.sleep(590)
        assert w.slot("A").in_flight
        assert w.channel.reads == []
        w.channel.script = lambda rows: None
        await w.quiet()
        assert w.channel.levels["A"] == 8
        assert w.channel.reads[0][0] - began < 605  # looked first, then pushed again
        assert len(w.channel.pushes) == 2
        assert len(feed.asked) < 12  # ever more rarely


async def test_a_job_that_cannot_be_read_for_a_while_is_asked_after_again(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with world(tmp_path) as w:
        feed = feeding(w)
        feed.silent = True
        await w.listed(A=9)
        await w.sold_elsewhere("A", 1)
        await trio.sleep(100)
        assert w.slot("A").in_flight
        feed.silent = False
        await w.quiet()
        assert (w.channel.levels["A"], len(w.channel.pushes)) == (8, 1)


async def test_a_job_without_a_name_is_in_doubt_at_once(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with world(tmp_path) as w:
        w.channel.script = lambda rows: [{"kind": "accepted"}] * len(rows)
        await w.listed(A=9)
        await w.sold_elsewhere("A", 1)
        await trio.sleep(1)
        w.channel.script = lambda rows: None
        await w.quiet()
        assert w.channel.levels["A"] == 8
        assert w.channel.reads


async def test_a_restart_in_the_middle_of_a_job_finds_it_in_flight_and_reads_back(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with world(tmp_path, dispatching=False) as w:
        feed = feeding(w, patience=10**9)
        await w.listed(A=9)
        async with trio.open_nursery() as first:
            await first.start(w.dispatcher.run)
            await w.sold_elsewhere("A", 1)
            await trio.sleep(30)
            assert w.slot("A").in_flight
            first.cancel_scope.cancel()
        feed.decide("feed 0", "A")  # the channel applies it while nobody looks
        async with trio.open_nursery() as second:
            await second.start(w.dispatcher.run)
            await w.quiet()
            second.cancel_scope.cancel()
        assert (w.slot("A").belief, w.channel.levels["A"]) == (8, 8)
        assert len(w.channel.pushes) == 1  # read back, and nothing was left to push
        assert len(w.channel.reads) >= 2  # at once, and when the old request must be dead


async def test_zero_does_not_wait_for_an_older_push_that_is_still_undecided(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with world(tmp_path) as w:
        feeding(w, patience=1_000)
        await w.listed(A=9, B=9)
        await w.sold_elsewhere("A", 1)
        await w.sold_elsewhere("B", 1, order="2")
        await trio.sleep(2)
        assert (w.channel.pushed("A"), w.channel.pushed("B")) == ([8], [8])
        w.channel.script = lambda rows: None  # from now on it decides at once
        await w.counted(A=0, B=5)
        await trio.sleep(3)
        assert w.channel.pushed("A") == [8, 0]
        assert w.channel.levels["A"] == 0
        assert w.channel.pushed("B") == [8]  # what is not sold out waits for the decision
        assert w.slot("A").alive_until_us  # the older one may come true yet
        w.channel.levels["A"] = 8  # and does
        await trio.sleep(400)
        assert w.channel.levels["A"] == 0
        assert not w.slot("A").alive_until_us


async def test_zero_is_not_sent_again_and_again(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with world(tmp_path) as w:
        feeding(w, patience=1_000)
        await w.listed(A=9)
        await w.sold_elsewhere("A", 1)
        await trio.sleep(2)
        await w.counted(A=0)
        await trio.sleep(60)  # zero was taken in, too, and is undecided
        assert w.channel.pushed("A") == [8, 0]
        assert w.slot("A").in_flight

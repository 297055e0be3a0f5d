"""The event log as JSON lines: what was, and what comes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio
from attrs import define, evolve

from daemon.admin import stream
from daemon.domain.observations import StockCount
from daemon.storage.store import Store
from tests.harness import AdminSocket, House, until


@define
class Follower:
    """A client that follows the events."""

    stream: Any
    received: bytes = b""

    async def lines(self, count: int) -> list[dict[str, Any]]:
        """The next `count` events."""
        with trio.fail_after(2):
            while self.received.count(b'"seq"') < count:
                data = await self.stream.receive_some(65536)
                assert data, "the stream ended"
                self.received += data
        lines = [line for line in self.received.splitlines() if line.startswith(b"{")]
        self.received = b""
        return [json.loads(line) for line in lines]


@asynccontextmanager
async def following(admin: AdminSocket, query: str = "") -> AsyncIterator[Follower]:
    async with await trio.open_unix_socket(admin.path) as connection:
        await connection.send_all(f"GET /v1/events?follow=1{query} HTTP/1.1\r\nHost: o\r\n\r\n".encode())
        yield Follower(connection)


async def test_events_are_json_lines_in_order(house: House, admin: AdminSocket) -> None:
    for quantity in range(3):
        await house.counted("A", quantity)
    answer = await admin.get("/v1/events?after=1")
    assert answer.headers["content-type"] == "application/jsonl"
    events = [json.loads(line) for line in answer.body.splitlines()]
    assert [event["seq"] for event in events] == [2, 3]
    assert [(event["before"], event["after"]) for event in events] == [(0, 1), (1, 2)]
    assert len((await admin.get("/v1/events?limit=1")).body.splitlines()) == 1
    assert (await admin.get("/v1/events?after=99")).body == b""


async def test_more_events_than_a_page_holds_all_come(house: House, admin: AdminSocket, monkeypatch: Any) -> None:
    monkeypatch.setattr(stream, "PAGE", 4)
    for quantity in range(5):
        await house.counted("A", quantity)
        await house.counted("B", quantity)
    seqs = [json.loads(line)["seq"] for line in (await admin.get("/v1/events")).body.splitlines()]
    assert seqs == list(range(1, 11))
    of_b = [json.loads(line)["sku"] for line in (await admin.get("/v1/events?sku=B&limit=3")).body.splitlines()]
    assert of_b == ["B", "B", "B"]


async def test_a_follower_sees_what_was_and_what_comes(house: House, admin: AdminSocket) -> None:
    await house.counted("A", 1)
    async with following(admin) as follower:
        assert [event["after"] for event in await follower.lines(1)] == [1]
        await house.counted("A", 2)
        await house.counted("B", 7)
        assert [event["after"] for event in await follower.lines(2)] == [2, 7]


async def test_a_follower_of_one_sku_sees_no_other(house: House, admin: AdminSocket) -> None:
    async with following(admin, "&sku=B") as follower:
        await house.counted("A", 1)
        await house.counted("B", 2)
        assert [event["sku"] for event in await follower.lines(1)] == ["B"]


async def test_followers_are_bounded_and_their_leaving_is_noticed(
    house: House, admin: AdminSocket, monkeypatch: Any
) -> None:  # fmt: skip
    monkeypatch.setattr(stream, "FOLLOWERS_MAX", 1)
    await house.counted("A", 1)
    async with following(admin) as follower:
        await follower.lines(1)
        refused = await admin.get("/v1/events?follow=1")
        assert (refused.status, refused.code) == (503, "overloaded")
    await until(lambda: admin.server.statistics().connections == 0)
    async with following(admin) as follower:
        await follower.lines(1)


async def test_a_stop_ends_a_follower_cleanly(house: House, admin: AdminSocket) -> None:
    await house.counted("A", 1)
    async with following(admin) as follower:
        await follower.lines(1)
        assert await admin.server.close_gracefully(2)
        rest = b""
        while data := await follower.stream.receive_some(65536):
            rest += data
        assert rest.endswith(b"0\r\n\r\n")


async def test_a_follower_that_takes_nothing_is_cut_off_and_holds_a_page_at_most(
    house: House, admin: AdminSocket, monkeypatch: Any
) -> None:
    shared = admin.server._shared
    monkeypatch.setattr(shared, "limits", evolve(shared.limits, write_timeout_s=0.3))
    asked: list[int] = []
    records = Store.records

    def counted(store: Store, after: int, limit: int) -> Any:
        asked.append(after)
        return records(store, after, limit)

    monkeypatch.setattr(Store, "records", counted)
    for quantity in range(40):
        await house.tell(*(StockCount("person", f"S-{sku}", quantity, at=house.now()) for sku in range(150)))
    async with following(admin) as follower:
        with trio.fail_after(60):
            while admin.server.statistics().connections:  # noqa: ASYNC110 - what it waits for is not announced
                await trio.sleep(0.02)
        assert 0 < max(asked) < 6_000 - 2 * stream.PAGE  # the rest of the log was never read, let alone kept
        held = b""
        while data := await follower.stream.receive_some(65536):
            held += data
        seqs = [json.loads(line)["seq"] for line in unchunked_lines(held)]
        assert seqs == list(range(1, len(seqs) + 1))
        missing = await admin.get(f"/v1/events?after={seqs[-1]}")
        rest = [json.loads(line)["seq"] for line in missing.body.splitlines()]
        assert seqs + rest == list(range(1, 6_001))  # from where it was cut off, nothing is missing


def unchunked_lines(received: bytes) -> list[bytes]:
    """Whole lines of a stream that was cut."""
    body, whole = received.partition(b"\r\n\r\n")[2], b""
    while body:
        size, _, body = body.partition(b"\r\n")
        piece, body = body[: int(size, 16)], body[int(size, 16) + 2 :]
        whole += piece
    return whole.split(b"\n")[:-1]

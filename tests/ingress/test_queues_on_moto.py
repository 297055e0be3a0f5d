"""The whole intake from a queue on an SQS that we did not write: over real HTTP, in real time, signatures checked."""

from __future__ import annotations

import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trio
from attrs import define, field

from adapters.sigv4 import AwsKey
from adapters.sqs import BATCH_MAX, HOLD_S, SqsQueue
from daemon.domain.exchange import Reply, Request, Response
from daemon.ingress.receiver import Answer
from daemon.outbound.address import AddressPolicy
from daemon.outbound.http import HttpClient, open_http_client
from tests.ingress.test_queues import Room, SlowDisk, room
from tests.moto_queue import MotoQueue, moto_queue

pytestmark = pytest.mark.slow

PATIENCE_S = 60.0
"""A busy machine may be so slow; what is waited for comes within a second."""


class KilledError(Exception):
    """The process ends here, with nothing flushed."""


@pytest.fixture
def moto() -> Iterator[MotoQueue]:
    with moto_queue() as found:
        yield found


def wall_us() -> int:
    return time.time_ns() // 1_000


@define(eq=False)
class DyingDisk(SlowDisk):
    """Once it is `stuck`, no commit is made any more; what waits for one ends with the process."""

    stuck: bool = False
    killed: trio.Event = field(factory=trio.Event)

    async def __call__(self, fn: Any) -> Any:
        if self.stuck:
            await self.killed.wait()
            raise KilledError
        return await super().__call__(fn)


async def nothing(messages: list[str]) -> None:
    """Whatever is deleted is deleted."""


@define(eq=False)
class Wire:
    """The daemon's own HTTP client, watched: what was asked for, and what is about to be deleted."""

    http: HttpClient
    deleting: Callable[[list[str]], Awaitable[None]] = nothing
    asked: list[str] = field(factory=list)
    statuses: list[int] = field(factory=list)
    _bodies: dict[str, str] = field(factory=dict)
    """What each receipt was given out with."""

    async def send(self, request: Request) -> Reply:
        action = request.headers["x-amz-target"].removeprefix("AmazonSQS.")
        self.asked.append(action)
        if action == "DeleteMessageBatch":
            entries = json.loads(request.body)["Entries"]
            assert 1 <= len(entries) <= BATCH_MAX
            await self.deleting([self._bodies[each["ReceiptHandle"]] for each in entries])
        reply = await self.http.send(request)
        assert isinstance(reply, Response)
        self.statuses.append(reply.status)
        if action == "ReceiveMessage" and reply.status == 200:
            for each in json.loads(reply.body).get("Messages", []):
                self._bodies[each["ReceiptHandle"]] = each["Body"]
        return reply


@asynccontextmanager
async def life(
    folder: Path, moto: MotoQueue, *, disk: SlowDisk | None = None, queue: SqsQueue | None = None,
) -> AsyncIterator[tuple[Room, Wire]]:  # fmt: skip
    """One life of a daemon's intake: a store in `folder`, kept from life to life."""
    hosts = frozenset({urlsplit(moto.url).netloc})
    policy = AddressPolicy(hosts, allow_plain=True, allow_private=True)
    wire = Wire(open_http_client("httpx", policy=policy, clock_us=wall_us))
    try:
        async with room(folder, wire, disk, queue or moto.queue(), wall_us) as found:
            yield found, wire
    finally:
        await wire.http.aclose()


def told(name: str, units: int, version: int = 1, order: str = "") -> str:
    return json.dumps({"id": name, "order": order or name, "version": version, "units": units})


async def until(true: Callable[[], bool]) -> None:
    with trio.fail_after(PATIENCE_S):
        while not true():  # noqa: ASYNC110  # what it waits for is in another thread, or on the disk
            await trio.sleep(0.02)


async def test_all_that_is_told_is_taken_once_and_deleted_in_batches(tmp_path: Path, moto: MotoQueue) -> None:
    for number in range(25):
        moto.put(told(f"o-{number}", 2))
    moto.put(told("o-3", 2))  # the same once more, as a message of its own
    async with life(tmp_path, moto) as (r, wire):

        async def durable(bodies: list[str]) -> None:
            assert {each.encode() for each in bodies} <= set(r.kept())

        wire.deleting = durable
        await until(lambda: moto.holds() == (0, 0))
        assert r.taken() == 50
        assert (r.reader.taken, r.reader.left, len(r.kept())) == (26, 0, 25)
        assert r.watcher.answers.count(Answer.DUPLICATE) == 1
        assert wire.asked.count("DeleteMessageBatch") >= 3
        assert set(wire.statuses) == {200}
        assert r.said == []


async def test_it_waits_at_the_queue_and_is_told_at_once(tmp_path: Path, moto: MotoQueue) -> None:
    async with life(tmp_path, moto) as (r, wire):
        await until(lambda: wire.asked == ["ReceiveMessage"])
        await trio.sleep(2.5)
        assert wire.asked == ["ReceiveMessage"]  # one call, which waits there
        moto.put(told("late", 3))
        await until(lambda: r.taken() == 3)
        assert wire.asked[0] == "ReceiveMessage"
        await until(lambda: moto.holds() == (0, 0))
        assert wire.asked[:2] == ["ReceiveMessage", "DeleteMessageBatch"]


async def test_killed_before_the_commit_the_message_comes_back_when_its_time_out_ends(
    tmp_path: Path, moto: MotoQueue
) -> None:
    moto.put(told("o-1", 4))
    disk = DyingDisk()
    with pytest.RaisesGroup(KilledError, flatten_subgroups=True):
        async with life(tmp_path, moto, disk=disk) as (r, wire):
            disk.stuck = True
            await until(lambda: moto.holds() == (0, 1))
            await trio.sleep(0.3)
            assert (wire.asked, r.kept()) == (["ReceiveMessage"], [])
            disk.killed.set()
            await trio.sleep_forever()
    async with life(tmp_path, moto) as (r, wire):
        assert r.taken() == 0
        await until(lambda: wire.asked == ["ReceiveMessage"])
        moto.later(HOLD_S - 10)
        await trio.sleep(1.2)
        assert (r.taken(), moto.holds()) == (0, (0, 1))  # nobody else's before its time
        moto.later(11)
        await until(lambda: moto.holds() == (0, 0))
        assert (r.taken(), len(r.kept()), r.watcher.answers) == (4, 1, [Answer.ACCEPTED])


async def test_killed_between_the_commit_and_the_delete_it_is_known_when_it_comes_back(
    tmp_path: Path, moto: MotoQueue
) -> None:
    moto.put(told("o-1", 4))

    async def never(bodies: list[str]) -> None:
        await trio.sleep_forever()

    with pytest.RaisesGroup(KilledError, flatten_subgroups=True):
        async with life(tmp_path, moto) as (r, wire):
            wire.deleting = never
            await until(lambda: "DeleteMessageBatch" in wire.asked)
            assert (r.taken(), len(r.kept()), moto.holds()) == (4, 1, (0, 1))
            raise KilledError
    async with life(tmp_path, moto) as (r, _):
        moto.later(HOLD_S + 1)
        await until(lambda: moto.holds() == (0, 0))
        assert (r.watcher.answers, len(r.kept())) == ([Answer.DUPLICATE], 1)


async def test_what_was_not_signed_with_the_right_key_reads_nothing(tmp_path: Path, moto: MotoQueue) -> None:
    moto.put(told("secret", 1))
    rng = random.Random(1)
    for key in (AwsKey(moto.key.key_id, rng.randbytes(20).hex()), AwsKey("AKIANOBODYKNOWSTHAT0", moto.key.secret)):
        async with life(tmp_path, moto, queue=moto.queue(key)) as (r, wire):
            await until(lambda wire=wire: bool(wire.statuses))  # type: ignore[misc]
            assert (wire.statuses[0], r.taken(), moto.holds()) == (403, 0, (1, 0))
            await until(lambda r=r: bool(r.said))  # type: ignore[misc]
            assert "403" in r.said[0]
    async with life(tmp_path, moto) as (r, _):
        await until(lambda: moto.holds() == (0, 0))
        assert r.taken() == 1

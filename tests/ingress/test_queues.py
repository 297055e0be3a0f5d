"""A platform that tells through a queue: nothing is lost, nothing counts twice, nothing is deleted too soon."""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import define, field
from trio.testing import MockClock

from adapters.sigv4 import AwsKey
from adapters.sqs import MESSAGE_ID, SqsQueue, sqs_queue
from daemon.domain.channel import Delivery, Facts, LineSeen, OrderSeen, Rarely, Traits
from daemon.domain.instants import SECOND_US, Span
from daemon.domain.observations import LevelReport
from daemon.domain.policy import Policy
from daemon.domain.signatures import Fetched
from daemon.ingress.http_types import Headers, HttpResponse, RequestHead
from daemon.ingress.normalise import Normaliser
from daemon.ingress.queues import FULL_S, PATIENT_S, REFUSED_S, QueueReader
from daemon.ingress.receiver import Answer, Intake, Receiver
from daemon.ingress.webhooks import PublicHandler
from daemon.outbound.account import Account
from daemon.storage.codec import unpack
from daemon.storage.idempotency import SeenDeliveries
from daemon.storage.tables import DELIVERIES
from tests.harness import House, housed
from tests.sqs_twin import CLOCK_S, KEY_ID, SECRET, URL, SqsTwin

QUEUE = sqs_queue(URL, AwsKey(KEY_ID, SECRET))


def wall_us() -> int:
    return round((CLOCK_S + trio.current_time()) * SECOND_US)


@define
class Market(Rarely):
    """Tells orders as `{"id", "order", "version", "units"}`, all of the SKU A. `{"break": 1}` breaks its reader."""

    traits: Traits = field(factory=Traits)
    scheme: Fetched = field(factory=Fetched)

    def greet(self, delivery: Delivery) -> bool:
        return False

    def parse(self, delivery: Delivery) -> Facts:
        try:
            said = json.loads(delivery.body)
        except ValueError:
            return Facts("?", delivery.headers.get(MESSAGE_ID, ""), b"{}", puzzle="it is no JSON")
        if "break" in said:
            raise AssertionError("an adapter that breaks its promise")
        line = LineSeen("1", "L-A", "A", said["units"])
        at = Span(said["version"], said["version"])
        return Facts("order", said["id"], delivery.body, (OrderSeen(said["order"], said["version"], at, (line,)),))


@define
class Watcher:
    """What the receiver's watcher was told."""

    answers: list[Answer] = field(factory=list)

    def received(self, channel: str, answer: Answer, **_: Any) -> None:
        self.answers.append(answer)

    def refused(self, *_: Any) -> None: ...
    def timed(self, *_: Any) -> None: ...
    def unlinked(self, *_: Any) -> None: ...
    def let_go(self, *_: Any) -> None: ...


@define
class Room:
    """A queue reader over a real store and registry."""

    house: House
    twin: SqsTwin
    reader: QueueReader
    said: list[str]
    crashes: list[BaseException]
    watcher: Watcher

    def tell(self, name: str, units: int, version: int = 1, order: str = "") -> None:
        """The platform tells of an order, under this delivery id."""
        self.twin.put(json.dumps({"id": name, "order": order or name, "version": version, "units": units}))

    def taken(self) -> int:
        """Units of A that orders took."""
        state = self.house.registry.peek("A")
        return sum(line.now().taken for line in state.stock.lines.values()) if state else 0

    def kept(self) -> list[bytes]:
        """The bodies that are durable: what the disk shows, not what waits for a commit."""
        rows = [unpack(row) for _, row in self.house.store.env.scan(DELIVERIES, limit=10_000)]
        return [zlib.decompress(row[4]) for row in rows]


@define
class SlowDisk:
    takes_s: float = 0.01

    async def __call__(self, fn: Any) -> Any:
        await trio.sleep(self.takes_s)
        return fn()


@asynccontextmanager
async def room(
    folder: Path, twin: Any, disk: SlowDisk | None = None, queue: SqsQueue = QUEUE,
    wall_us: Callable[[], int] = wall_us,
) -> AsyncIterator[Room]:  # fmt: skip
    """`twin`: an `SqsTwin`, or any other client through which `queue` is reached."""
    async with housed(folder, run_blocking=disk or SlowDisk()) as house:
        registry, watcher = house.registry, Watcher()
        adapter: Any = Market()
        account = Account("shop", adapter, twin, Policy(), wall_us, lambda: "n")
        seen = SeenDeliveries(house.store)
        seen.load()
        receiver = Receiver(
            house.store, registry, seen, house.dead_letters, watcher, wall_us
        )  # fmt: skip
        normaliser = Normaliser("shop", registry.links, registry.orders, account.instant)
        intake = Intake("shop", adapter, lambda now_us: [], normaliser, lambda: None)
        said: list[str] = []
        crashes: list[BaseException] = []
        reader = QueueReader(
            queue, account, intake, receiver, house.alarms, random.Random(1),
            lambda error: said.append(f"failed: {error}"), lambda: said.append("recovered"), crashes.append,
        )  # fmt: skip
        await house.tell(LevelReport("shop", "L-A", 100, house.now(), "A"), by="catalogue")
        async with trio.open_nursery() as nursery:
            await nursery.start(reader.run)
            yield Room(house, twin, reader, said, crashes, watcher)
            nursery.cancel_scope.cancel()


@pytest.fixture
def autojump_clock() -> MockClock:
    return MockClock(autojump_threshold=0)


async def test_what_is_told_is_taken_once_and_deleted(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with room(tmp_path, SqsTwin()) as r:
        for number in range(25):
            r.tell(f"o-{number}", 2)
        await trio.sleep(2)
        assert (r.taken(), len(r.twin.deleted), r.twin.waiting) == (50, 25, [])
        assert (r.reader.taken, r.reader.left) == (25, 0)
        await trio.sleep(300)
        polls = [at for at, action in r.twin.calls if action == "ReceiveMessage" and at > 10]
        assert 13 <= len(polls) <= 16  # each waits at the queue for as long as it may


async def test_a_new_message_is_taken_as_soon_as_it_is_there(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with room(tmp_path, SqsTwin()) as r:
        await trio.sleep(7.5)
        r.tell("late", 3)
        await trio.sleep(0.2)
        assert r.taken() == 3


@pytest.mark.parametrize("seed", range(3))
async def test_redelivered_doubled_reordered_and_undeleted_messages_count_once(
    tmp_path: Path, autojump_clock: MockClock, seed: int
) -> None:
    rng = random.Random(seed)
    twin = SqsTwin(rng, duplicate=0.3, undelete=0.2, lose_answer=0.1)
    async with room(tmp_path, twin) as r:
        twin.deleting = lambda body: _durable(r, body)
        expected: dict[str, int] = {}
        for number in range(60):
            order, units = f"o-{number % 15}", rng.randrange(1, 9)
            r.tell(f"d-{number}", units, version=number, order=order)
            expected[order] = units
            await trio.sleep(rng.random() * 4)
        twin.duplicate = twin.undelete = twin.lose_answer = 0.0
        await trio.sleep(400)
        assert twin.waiting == []
        assert r.taken() == sum(expected.values())
        assert twin.given > 60
        assert len(r.kept()) == 60
        assert Answer.DUPLICATE in r.watcher.answers


def _durable(r: Room, body: str) -> None:
    """What is being deleted lies on the disk."""
    assert body.encode() in r.kept()


async def test_nothing_is_deleted_before_its_commit(tmp_path: Path, autojump_clock: MockClock) -> None:
    disk = SlowDisk()
    twin = SqsTwin()
    async with room(tmp_path, twin, disk) as r:
        disk.takes_s = 2.0
        twin.deleting = lambda body: _durable(r, body)
        r.tell("slow", 1)
        await trio.sleep(1.5)
        assert (twin.deleted, r.kept()) == ([], [])
        await trio.sleep(4)
        assert len(twin.deleted) == len(r.kept()) == 1


async def test_what_could_not_be_stored_in_time_is_left_and_comes_again(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    disk = SlowDisk()
    async with room(tmp_path, SqsTwin(), disk) as r:
        disk.takes_s = 20.0
        r.tell("stuck", 4)
        await trio.sleep(10)
        assert (r.twin.deleted, r.watcher.answers) == ([], [Answer.BUSY])
        disk.takes_s = 0.01
        await trio.sleep(80)
        assert (len(r.twin.deleted), r.taken(), len(r.kept())) == (1, 4, 1)


async def test_while_nothing_can_be_stored_nothing_is_fetched(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with room(tmp_path, SqsTwin()) as r:
        await trio.sleep(1)
        r.house.store.trouble = "the disk is full"
        await trio.sleep(25)  # the call under way ends
        calls = len(r.twin.calls)
        r.tell("waits", 1)
        await trio.sleep(120)
        assert len(r.twin.calls) == calls
        assert r.twin.given == 0
        r.house.store.trouble = ""
        await trio.sleep(FULL_S + 1)
        assert r.taken() == 1


async def test_what_nobody_understands_is_kept_once_and_deleted(tmp_path: Path, autojump_clock: MockClock) -> None:
    twin = SqsTwin(undelete=1.0)
    async with room(tmp_path, twin) as r:
        twin.put("no json at all")
        r.tell("good", 1)
        await trio.sleep(130)  # it came again, twice
        twin.undelete = 0.0
        await trio.sleep(70)
        assert twin.waiting == []
        (letter,) = r.house.dead_letters.page()
        assert (letter.kind, letter.cause, letter.channel) == ("puzzle", "it is no JSON", "shop")
        assert r.taken() == 1


async def test_a_message_that_breaks_its_reader_stops_nobody_and_stays(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    twin = SqsTwin(redrive=3)
    async with room(tmp_path, twin) as r:
        twin.put('{"break": 1}')
        for number in range(12):
            r.tell(f"o-{number}", 1)
        await trio.sleep(5)
        assert (r.taken(), len(twin.deleted)) == (12, 12)
        assert [str(each) for each in r.crashes] == ["an adapter that breaks its promise"]
        assert r.reader.left == 1
        await trio.sleep(240)
        assert (twin.aside, twin.waiting, len(r.crashes)) == (['{"break": 1}'], [], 3)


async def test_a_queue_that_is_down_is_asked_ever_more_rarely_and_said_once(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    twin = SqsTwin(down=True)
    async with room(tmp_path, twin) as r:
        await trio.sleep(PATIENT_S - 60)
        assert len(r.said) == 1
        assert "connection refused" in r.said[0]
        assert r.house.alarms.open() == []
        await trio.sleep(600)
        assert 10 <= len(twin.calls) <= 120
        (alarm,) = r.house.alarms.open()
        assert (alarm.condition, alarm.channel) == ("queue_unread", "shop")
        assert r.reader.account.breaker.opened
        twin.down = False
        r.tell("after all", 2)
        await trio.sleep(100)
        assert (r.said[-1], len(r.said), r.house.alarms.open()) == ("recovered", 2, [])
        assert r.taken() == 2


@pytest.mark.parametrize(
    ("status", "error"), [(400, "QueueDoesNotExist"), (403, "InvalidSecurity"), (400, "KmsAccessDenied")]
)
async def test_what_only_a_person_can_mend_is_an_alarm_at_once(
    tmp_path: Path, autojump_clock: MockClock, status: int, error: str
) -> None:
    twin = SqsTwin(refuse=(status, error))
    async with room(tmp_path, twin) as r:
        await trio.sleep(2)
        (alarm,) = r.house.alarms.open()
        assert error in alarm.text
        assert "check queue_url" in alarm.text
        await trio.sleep(10 * REFUSED_S)
        assert 9 <= len(twin.calls) <= 12
        assert not r.reader.account.breaker.opened  # it answers


@pytest.mark.parametrize(("status", "error"), [(400, "OverLimit"), (400, "RequestThrottled"), (500, "InternalError")])
async def test_what_passes_by_itself_is_no_alarm_until_it_does_not(
    tmp_path: Path, autojump_clock: MockClock, status: int, error: str
) -> None:
    twin = SqsTwin(refuse=(status, error))
    async with room(tmp_path, twin) as r:
        await trio.sleep(100)
        assert r.house.alarms.open() == []
        twin.refuse = None
        await trio.sleep(70)
        assert r.said[-1] == "recovered"


async def test_a_queue_that_may_be_read_and_not_emptied_is_an_alarm_until_it_may(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    twin = SqsTwin(refuse_deletes=True)
    async with room(tmp_path, twin) as r:
        r.tell("o-1", 2)
        await trio.sleep(2)
        (alarm,) = r.house.alarms.open()
        assert (alarm.condition, alarm.channel) == ("queue_unread", "shop")
        assert "cannot be deleted there" in alarm.text
        assert "AccessDenied" in alarm.text
        r.tell("o-2", 3)
        await trio.sleep(200)  # all comes again and again, and counts once
        assert (r.taken(), len(r.kept()), twin.deleted) == (5, 2, [])
        assert [each.condition for each in r.house.alarms.open()] == ["queue_unread"]
        twin.refuse_deletes = False
        await trio.sleep(100)
        assert (twin.waiting, r.house.alarms.open()) == ([], [])


async def test_a_forged_key_reads_nothing(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with room(tmp_path, SqsTwin()) as r:
        r.reader.queue = sqs_queue(URL, AwsKey(KEY_ID, "another"))
        await trio.sleep(100)
        r.tell("secret", 1)
        await trio.sleep(100)
        assert r.taken() == 0
        assert "SignatureDoesNotMatch" in r.said[0]


async def test_whatever_comes_over_http_for_such_a_channel_is_a_strangers() -> None:
    nothing: Any = None
    adapter: Any = Market()
    receiver = Receiver(nothing, nothing, nothing, nothing, Watcher(), lambda: 0)
    intake = Intake("shop", adapter, lambda now_us: [], nothing, lambda: None)
    handler = PublicHandler(receiver, {"shop": intake}, lambda: "", lambda: 0)
    answer = handler.admit(RequestHead("POST", "/webhooks/shop", "/webhooks/shop", "", Headers()))
    assert isinstance(answer, HttpResponse)
    assert answer.status == 404
    assert await receiver.receive(intake, Delivery({}, b"{}")) is Answer.REFUSED

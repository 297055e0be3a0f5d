"""Kept deliveries read once more after an adapter was mended: tried first, told then, and counted once for ever."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.admin.replay import EVER_US, ReplayReport
from daemon.app import replaying
from daemon.app.replaying import Replays
from daemon.domain.channel import Delivery, Facts, LineSeen, OrderSeen
from daemon.domain.instants import Instant, Span, exactly
from daemon.domain.observations import OrderLine
from daemon.domain.stock import Stock, dump, load
from daemon.events import Event
from daemon.ingress.normalise import Normaliser
from daemon.ingress.receiver import Intake, Receiver
from daemon.storage.idempotency import SeenDeliveries
from tests.harness import START_US, House, housed

DAY_US = 86_400_000_000


@define
class Reader:
    """An adapter that reads JSON, as far as it is able: `{"order", "version", "at", "lines": {sku: quantity}}`."""

    blind_to: str = ""
    """Orders whose name begins so are not understood."""
    halves: bool = False
    """It takes every second unit for none."""

    def parse(self, delivery: Delivery) -> Facts:
        body = json.loads(delivery.body)
        if "look" in body:
            return Facts("hint", "", delivery.body, refetch=(body["look"],))
        name, identity = body["order"], f"{body['order']} {body['version']}"
        if self.blind_to and name.startswith(self.blind_to):
            return Facts("order", identity, delivery.body, puzzle="it has a field that nobody knows")
        lines = tuple(
            LineSeen(sku, f"L-{sku}", sku or None, quantity // 2 if self.halves else quantity)
            for sku, quantity in body["lines"].items()
        )
        at = Span(body["at"], body["at"])
        return Facts("order", identity, delivery.body, (OrderSeen(name, body["version"], at, lines, placed=at),))


@define
class Told:
    """Telemetry that remembers."""

    events: list[tuple[Event, dict[str, Any]]] = field(factory=list)

    def event(self, event: Event, **fields: Any) -> None:
        self.events.append((event, fields))


class Unwatching:
    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


@define
class Place:
    """A house with one channel that tells by webhooks, and what replays them."""

    house: House
    reader: Reader
    intake: Intake
    receiver: Receiver
    replays: Replays
    told: Told
    fetched: list[int] = field(factory=list)

    async def receive(self, received_us: int = 0, **body: Any) -> None:
        delivery = Delivery({}, json.dumps(body).encode(), received_us=received_us or self.house.clock())
        await self.receiver.take(self.intake, delivery)

    async def sell(self, order: str, version: int = 1, at: int = 0, received_us: int = 0, **lines: int) -> None:
        await self.receive(received_us, order=order, version=version, at=at or self.house.clock(), lines=lines)

    async def run(
        self, *, apply: bool = False, channel: str = "", since: int = 0, until: int = EVER_US
    ) -> ReplayReport:
        return await self.replays.run(channel, since, until, apply=apply)

    def available(self, sku: str) -> int | None:
        state = self.house.registry.peek(sku)
        return state.available if state is not None else None


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with housed(tmp_path) as house:
        yield furnish(house)


def furnish(house: House) -> Place:
    reader, told, fetched = Reader(), Told(), list[int]()
    normaliser = Normaliser("shop", house.registry.links, house.registry.orders, lambda span: Instant(span, span))
    receiver = Receiver(
        house.store, house.registry, SeenDeliveries(house.store), house.dead_letters, Unwatching(), house.clock
    )
    adapter: Any = reader
    intake = Intake("shop", adapter, lambda _: (), normaliser, lambda: None, fetch=lambda: fetched.append(1))
    replays = Replays(house.store, house.registry, receiver, {"shop": intake}, told)  # type: ignore[arg-type]  # as much telemetry as is used
    house.maintenance.replays = replays
    return Place(house, reader, intake, receiver, replays, told, fetched)


async def test_what_is_read_as_it_was_changes_nothing(place: Place) -> None:
    await place.house.counted("A", 10)
    await place.sell("1001", A=2)
    await place.sell("1001", version=2, A=3)
    seq = place.house.store.head.seq
    for apply in (False, True):
        report = await place.run(apply=apply)
        assert (report.deliveries, report.different, report.skus, report.told) == (2, 0, 0, 0)
    assert place.house.store.head.seq == seq
    assert place.told.events[-1][0] is Event.DELIVERIES_REPLAYED


async def test_a_mended_adapter_is_tried_first_and_told_once(place: Place) -> None:
    await place.house.counted("A", 10)
    await place.house.counted("B", 5)
    place.reader.halves = True
    await place.sell("1001", A=4)
    await place.sell("1002", B=1)
    assert (place.available("A"), place.available("B")) == (8, 5)
    place.reader.halves = False
    tried = await place.run()
    assert [(each.sku, each.now, each.then) for each in tried.moved] == [("A", 8, 6), ("B", 5, 4)]
    assert [each.delivery for each in tried.changed] == [1, 2]
    assert not tried.applied
    assert (place.available("A"), place.available("B")) == (8, 5), "a trial tells nothing"
    applied = await place.run(apply=True)
    assert (applied.applied, applied.told) == (True, 2)
    assert (place.available("A"), place.available("B")) == (6, 4)
    seq = place.house.store.head.seq
    again = await place.run(apply=True)
    assert (again.different, again.told) == (0, 0)
    assert place.house.store.head.seq == seq
    causes = [record.cause for record in place.house.store.history("A") if record.cause.by == "replay"]
    assert [(cause.channel, cause.delivery, cause.order) for cause in causes] == [("shop", 1, "1001")]


async def test_what_was_not_understood_is_and_its_letter_goes(place: Place) -> None:
    await place.house.counted("A", 10)
    place.reader.blind_to = "9"
    await place.sell("9001", A=3)
    await place.sell("1001", A=1)
    assert place.house.dead_letters.count == 1
    still = await place.run(apply=True)
    assert [(each.reason, each.count, each.delivery) for each in still.not_understood] == [
        ("it has a field that nobody knows", 1, 1)
    ]
    assert (still.understood, place.available("A"), place.house.dead_letters.count) == (0, 9, 1)
    place.reader.blind_to = ""
    tried = await place.run()
    assert (tried.understood, tried.puzzles, tried.different) == (1, 0, 1)
    assert tried.changed[0].how == "is understood now: 1 facts"
    assert place.house.dead_letters.count == 1
    await place.run(apply=True)
    assert (place.available("A"), place.house.dead_letters.count) == (6, 0)
    place.reader.blind_to = "1"
    worse = await place.run(apply=True)
    assert [each.how for each in worse.changed] == ["is not understood any more"]
    assert place.available("A") == 6, "what was told once stays told"


async def test_only_what_is_asked_for_is_read(place: Place) -> None:
    for day in range(4):
        await place.sell(f"100{day}", received_us=START_US + day * DAY_US, A=1)
    for since, until, wanted in ((0, EVER_US, 4), (START_US + DAY_US, EVER_US, 3), (0, START_US + DAY_US, 1)):
        assert (await place.run(since=since, until=until)).deliveries == wanted
    assert (await place.run(channel="site")).deliveries == 0
    assert (await place.run(channel="shop")).deliveries == 4


async def test_orders_that_are_only_named_are_fetched_unless_they_are_known(place: Place) -> None:
    await place.sell("1001", A=1)
    await place.receive(look="1001")
    await place.receive(look="1002")
    refetches = place.house.registry.refetches
    for order, asked_us in refetches.wanted("shop", 1 << 62):
        refetches.done("shop", order, asked_us)
    tried = await place.run()
    assert tried.to_fetch == 1
    assert refetches.wanted("shop", 1 << 62) == []
    await place.run(apply=True)
    assert [order for order, _ in refetches.wanted("shop", 1 << 62)] == ["1002"]


async def test_what_is_older_than_what_has_been_settled_is_not_told(place: Place) -> None:
    await place.sell("1001", at=START_US, A=1)
    await place.house.counted("A", 9)
    state = place.house.registry.actor("A").state
    state.stock.lines.clear()
    state.stock.settled_us = START_US + 40 * DAY_US
    known = await place.run(apply=True)
    assert (known.too_old, known.told) == (0, 0), "it is known to have been told, and folded since"
    place.house.registry.orders.table._values.clear()
    report = await place.run(apply=True)
    assert (report.too_old, report.told, place.house.dead_letters.count) == (1, 0, 0)
    assert not place.house.registry.orders.known("shop", "1001"), "nor is its order learned"


async def test_too_much_at_once_is_tried_and_told_not_at_all(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replaying, "SKUS_MAX", 2)
    place.reader.halves = True
    for place_of in range(4):
        await place.sell(f"100{place_of}", **{f"S{place_of}": 4})
    place.reader.halves = False
    seq = place.house.store.head.seq
    report = await place.run(apply=True)
    assert (report.complete, report.applied, report.told, report.skus) == (False, False, 0, 2)
    assert place.house.store.head.seq == seq


async def test_deliveries_of_a_channel_that_is_not_configured_are_counted(place: Place) -> None:
    place.house.store.keep_delivery(place.house.store.next_delivery(), "gone", "order", b"", START_US, b"{}")
    await place.house.store.flush()
    report = await place.run(apply=True)
    assert (report.strangers, report.deliveries) == (1, 0)


VERSIONS = st.lists(st.tuples(st.integers(1, 4), st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=12)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(VERSIONS)
def test_what_a_stock_would_do_is_what_it_does(versions: list[tuple[int, int, int]]) -> None:
    stock = Stock()
    for version, ordered, cancelled in versions:
        seen = OrderLine(
            "shop", "1", "1", "A", ordered, cancelled, version=version, at=exactly(START_US + version),
            placed=exactly(START_US),
        )  # fmt: skip
        before = dump(stock)
        verdict, changes = stock.would(seen)
        assert dump(stock) == before
        applied = load(before).apply(seen)
        assert verdict == applied.verdict
        copy = load(before)
        copy.apply(seen)
        assert changes == (dump(copy) != before)
        stock.apply(seen)

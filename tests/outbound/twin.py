"""A dispatcher over a real store and registry, without threads or real time, pushing to a channel that is a twin."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from attrs import define, field

from daemon.actors.actor import Part
from daemon.actors.registry import Registry
from daemon.domain.channel import LevelSeen, Push, Rarely, Traits
from daemon.domain.exchange import Exchange, NoAnswer, Reply, Request, Response
from daemon.domain.instants import SECOND_US, Instant, Span, exactly
from daemon.domain.kits import NO_KITS
from daemon.domain.observations import LevelReport, OrderLine, Recipe, StockCount
from daemon.domain.outcomes import Failure, Outcome
from daemon.domain.policy import Policy
from daemon.domain.slot import Slot
from daemon.outbound.account import Account
from daemon.outbound.dispatcher import Dispatcher
from daemon.storage.codec import Cause
from daemon.storage.cursors import Refetches
from daemon.storage.dead_letters import DeadLetters
from daemon.storage.environment import Environment
from daemon.storage.links import Links
from daemon.storage.orders import OrderIndex
from daemon.storage.outbox import Outbox
from daemon.storage.store import Store
from tests.harness import Silent
from tests.storage.rooms import inline

START_US = 1_750_000_000 * SECOND_US


def wall_us() -> int:
    """Our clock is Trio's."""
    return START_US + round(trio.current_time() * SECOND_US)


class TwinAdapter(Rarely):
    """Says everything in JSON. A push answers one outcome for each row, a read the levels it knows."""

    def __init__(self, traits: Traits) -> None:
        self.traits = traits

    def batches(self, pushes: Sequence[Push]) -> list[list[Push]]:
        many = 0 < self.traits.bulk_from <= len(pushes)
        most = self.traits.bulk_max if many else self.traits.batch_max
        return [list(pushes[start : start + most]) for start in range(0, len(pushes), most)]

    def push(self, batch: Sequence[Push], key: str) -> Exchange[Sequence[Outcome]]:
        rows = [[each.listing, each.level, each.believed] for each in batch]
        response = yield Request("PUT", "push", {"key": key}, json.dumps(rows).encode())
        said = json.loads(response.body)
        return [Outcome(**each) for each in (said if isinstance(said, list) else [said] * len(batch))]

    def levels(self, listings: Sequence[str]) -> Exchange[tuple[LevelSeen, ...] | Failure]:
        response = yield Request("GET", "levels", {}, json.dumps(list(listings)).encode())
        if response.status == 429:
            return Failure(Outcome("throttled", "too fast", retry_after_s=float(response.headers["retry-after"])))
        if response.status != 200:
            return Failure(Outcome("transient", "unreadable"))
        own = wall_us()
        return tuple(LevelSeen(name, level, Span(own, own)) for name, level in json.loads(response.body).items())


Script = Callable[[list[list[Any]]], Any]
"""What to do with the rows of a push instead of applying them: an answer, a NoAnswer, or None to go on."""


@define
class TwinChannel:
    """The channel: levels by listing, and what it was asked. `script` may step in before a push is applied."""

    levels: dict[str, int] = field(factory=dict)
    takes_s: float = 0.1
    script: Script = lambda rows: None
    readable: bool = True
    throttles_reads_s: float = 0.0
    """The next read is answered 429, with so much to wait."""
    silent: bool = False
    """It answers, but does not say how much it shows."""
    compare_and_set: bool = False
    pushes: list[tuple[float, list[list[Any]]]] = field(factory=list)
    reads: list[tuple[float, list[str]]] = field(factory=list)
    keys: list[str] = field(factory=list)
    under_way: dict[str, int] = field(factory=dict)

    async def send(self, request: Request) -> Reply:
        asked = json.loads(request.body)
        if request.url == "levels":
            self.reads.append((trio.current_time(), asked))
            await trio.sleep(self.takes_s)
            if self.throttles_reads_s:
                wait_s, self.throttles_reads_s = self.throttles_reads_s, 0.0
                return Response(429, {"retry-after": str(wait_s)}, b"")
            if not self.readable:
                return Response(503, {}, b"")
            told = {name: None if self.silent else self.levels[name] for name in asked}
            return Response(200, {}, json.dumps(told).encode())
        self.pushes.append((trio.current_time(), asked))
        self.keys.append(request.headers["key"])
        for name, *_ in asked:
            self.under_way[name] = self.under_way.get(name, 0) + 1
            assert self.under_way[name] == 1, "two pushes of one listing in flight"
        try:
            await trio.sleep(self.takes_s)
            said = self.script(asked)
            if isinstance(said, NoAnswer):
                return said
            if said is None:
                said = [self._write(*row) for row in asked]
            return Response(200, {}, json.dumps(said).encode())
        finally:
            for name, *_ in asked:
                self.under_way[name] -= 1

    def _write(self, name: str, level: int, believed: int | None) -> dict[str, Any]:
        if self.compare_and_set and self.levels[name] != believed:
            return {"kind": "conflict", "level": self.levels[name]}
        self.levels[name] = level
        return {"kind": "ok", "level": level}

    async def aclose(self) -> None: ...

    def pushed(self, name: str) -> list[int]:
        """The levels pushed to a listing, in order."""
        return [row[1] for _, rows in self.pushes for row in rows if row[0] == name]


@define
class TwinFeed:
    """An order feed that is up to date unless it is told to stand still."""

    standing_us: int = 0
    readable: bool = True
    pokes: int = 0

    def watermark_us(self) -> int:
        return self.standing_us or wall_us() + SECOND_US

    async def absorb(self, until_us: int) -> bool:
        await trio.lowlevel.checkpoint()
        return self.readable

    def poke(self) -> None:
        self.pokes += 1

    def poke_soon(self) -> None:
        self.pokes += 1


@define
class Told:
    """What the dispatcher's watcher was told."""

    answers: list[tuple[str, str]] = field(factory=list)
    splits: list[int] = field(factory=list)
    windows: list[int] = field(factory=list)

    def sent(self, *_: Any) -> None: ...

    def answered(self, slot: Slot, sent: Any, outcome: Outcome, *, dead_letter: int) -> None:
        self.answers.append((slot.listing, outcome.kind))

    def split(self, channel: str, size: int, reason: str) -> None:
        self.splits.append(size)

    def written_after_look(self, channel: str, window_us: int) -> None:
        self.windows.append(window_us)

    def read_back(self, *_: Any) -> None: ...


@define
class World:
    store: Store
    registry: Registry
    letters: DeadLetters
    channel: TwinChannel
    feed: TwinFeed
    account: Account
    dispatcher: Dispatcher
    told: Told

    async def tell(self, *messages: Any) -> None:
        await self.registry.deliver([Part(each.sku, each, Cause("poll", "shop")) for each in messages])

    async def listed(self, **levels: int) -> None:
        """SKUs and listings of one name, shown and counted at these levels: nothing to push yet."""
        self.channel.levels.update(levels)
        now = await self.moment()
        await self.tell(*(LevelReport("shop", name, level, now, name) for name, level in levels.items()))
        await self.counted(**levels)

    async def counted(self, **stocks: int) -> None:
        now = await self.moment()
        await self.tell(*(StockCount("person", name, units, at=now) for name, units in stocks.items()))

    async def sold_elsewhere(self, sku: str, units: int, order: str = "1") -> None:
        await self.tell(OrderLine("site", order, "1", sku, units, version=1, at=await self.moment()))

    async def moment(self) -> Instant:
        """A moment later than every other."""
        await trio.sleep(0.001)
        return exactly(wall_us())

    def slot(self, name: str) -> Slot:
        state = self.registry.peek(name)
        assert state is not None
        return state.slots["shop", name]

    async def quiet(self, within_s: float = 3_600.0) -> None:
        """Until no listing needs anything."""
        with trio.fail_after(within_s):
            while any(s.open() for a in self.registry.actors.values() for s in a.state.slots.values()):  # noqa: ASYNC110
                await trio.sleep(0.05)


@asynccontextmanager
async def world(
    directory: Path, *, dispatching: bool = True, kits: Mapping[str, Recipe] = NO_KITS, adapter: Any = None,
    http: Any = None, **traits: Any,
) -> AsyncIterator[World]:  # fmt: skip
    """`adapter`, `http`: a real platform's, and what answers it, in place of the twin's."""
    usual = {"rate_per_s": 1_000.0, "burst": 1_000, "concurrency": 1, "request_life_s": 30.0, "compare_and_set": True}
    traits = usual | traits
    adapter = adapter or TwinAdapter(Traits(**traits))
    policy = Policy(adds_held=adapter.traits.includes_held)
    env = Environment.open(directory / "state", genesis="g", map_bytes=1 << 24)
    try:
        store = Store(env, inline, wall_us, disk_floor_bytes=0)
        outbox, letters = Outbox(store), DeadLetters(store)
        registry = Registry(
            store, outbox, OrderIndex(store, kits), Links(store), letters, Refetches(store), {"shop": policy}.get,
            Silent(), kits=kits,
        )  # fmt: skip
        channel, feed, told = TwinChannel(compare_and_set=bool(traits.get("compare_and_set"))), TwinFeed(), Told()
        account = Account("shop", adapter, http or channel, policy, wall_us, lambda: "nonce")

        async def deliver(messages: Sequence[tuple[str, Any]], by: str) -> None:
            await registry.deliver([Part(sku, message, Cause(by, "shop")) for sku, message in messages])

        dispatcher = Dispatcher(
            account,
            outbox,
            store,
            letters,
            feed,
            deliver,
            told,
            random.Random(7),
            registry.shares,
            registry.halted.__contains__,
        )
        async with trio.open_nursery() as nursery:
            await nursery.start(store.run)
            if kits:
                registry.resume(lambda _: 0, b"")
            await nursery.start(registry.run)
            if dispatching:
                await nursery.start(dispatcher.run)
            yield World(store, registry, letters, channel, feed, account, dispatcher, told)
            nursery.cancel_scope.cancel()
    finally:
        env.close(clean=False)

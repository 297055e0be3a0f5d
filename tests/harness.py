"""A real store, a registry and the admin socket in one process: what tests of the rooms above them stand on."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from attrs import define, evolve, field

from daemon.actors.actor import Part
from daemon.actors.registry import Bounds, Registry
from daemon.admin.answers import refuse
from daemon.admin.api import AdminHandler
from daemon.admin.inside import ChannelView, Inside, Lag, RebuildReport, ReconcileReport, Restored
from daemon.admin.replay import Changed, Moved, Puzzled, ReplayProgress, ReplayReport
from daemon.domain.channel import Webhook
from daemon.domain.gaps import Capture
from daemon.domain.instants import Instant, Span, exactly
from daemon.domain.kits import NO_KITS
from daemon.domain.mode import ChannelMode, FileMode
from daemon.domain.observations import LevelReport, OrderLine, Recipe, StockCount
from daemon.domain.policy import Policy
from daemon.domain.shadow import Sums, Watched
from daemon.domain.trust import Trust
from daemon.ingress.catalogue import Odd
from daemon.ingress.listeners import unix_listener
from daemon.ingress.masses import Decision, MassHold
from daemon.ingress.server import HttpServer
from daemon.ports import WriterThread
from daemon.storage.alarms import Alarms
from daemon.storage.codec import Cause
from daemon.storage.cursors import Refetches
from daemon.storage.dead_letters import DeadLetters
from daemon.storage.drifts import Drifts
from daemon.storage.environment import Environment
from daemon.storage.files import StoreError
from daemon.storage.links import Links
from daemon.storage.orders import OrderIndex
from daemon.storage.outbox import Outbox
from daemon.storage.priors import Taken
from daemon.storage.store import RunBlocking, Store

START_US = 1_750_000_000_000_000
NO_LAG = Lag(None, None, None, 0)


@define
class Clock:
    """Our wall clock, which moves by a millisecond each time somebody looks at it."""

    us: int = START_US

    def __call__(self) -> int:
        self.us += 1_000
        return self.us


class Silent:
    """A watcher that watches nothing."""

    def applied(self, *_: Any) -> None: ...
    def crashed(self, *_: Any, **__: Any) -> None: ...
    def dead(self, *_: Any) -> None: ...


@define
class TwinChannel:
    """A `ChannelControl` without a channel behind it: it answers what it was told to."""

    name: str
    rules: Policy = field(factory=Policy)
    report: ReconcileReport | None = None
    subscriptions: list[Webhook] | str = field(factory=list)
    registered: list[str] | str = field(factory=list)
    topics: tuple[str, ...] = ("orders",)
    watermark_us: int = START_US * 2
    paused: bool = False
    mode: ChannelMode = field(factory=ChannelMode)
    file_mode: FileMode = "live"
    priors: list[Restored] = field(factory=list)
    sums: Sums = field(factory=Sums)
    odd: dict[str, Odd] = field(factory=dict)
    seen: list[Watched] = field(factory=list)
    hindrance: str = ""
    held: MassHold | None = None
    """Too many of its listings differ at once."""
    push_lag: Lag = NO_LAG
    captures: dict[str, tuple[Capture, Capture]] = field(factory=dict)
    blind_since_us: int = 0
    trust: Trust = "trusted"
    hold: trio.Event | None = None
    """`reconcile` waits for it."""

    def view(self) -> ChannelView:
        state: Any = "paused" if self.paused else "live" if self.mode.writes else "shadow"
        return ChannelView(
            name=self.name, platform="sandbox", state=state, breaker="closed",
            push_lag=self.push_lag, webhook_lag=NO_LAG, commit_lag=NO_LAG, visible_lag=NO_LAG, write_window=NO_LAG,
            pending=0, in_flight=0, dead=0,
            watermark_us=self.watermark_us, clock_offset_ms=(-1.5, 2.5), last_error="", pushes=3, polls=2, webhooks=1,
            captures=self.captures, blind_since_us=self.blind_since_us,
            trust=self.trust, trust_since_us=START_US, mode=self.mode, file_mode=self.file_mode,
        )  # fmt: skip

    def policy(self) -> Policy:
        return self.rules

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    async def go_live(self, by: str) -> Taken | str:
        if self.mode.mode == "rollback":
            return f"{self.name} is being rolled back"
        self.mode = ChannelMode("live", by, START_US)
        return self.prior_levels() or Taken(0, 0, 0)

    async def go_shadow(self, by: str) -> bool:
        self.mode = ChannelMode("shadow", by, START_US)
        return True

    async def roll_back(self, by: str) -> Taken | str:
        taken = self.prior_levels()
        if taken is None:
            return f"{self.name} was never switched live from shadow"
        self.mode = ChannelMode("rollback", by, START_US)
        return taken

    def watched(self, after: str, limit: int) -> tuple[Sums, list[Watched]]:
        return self.sums, [each for each in self.seen if each.listing > after][:limit]

    def prior_levels(self) -> Taken | None:
        return Taken(START_US, len(self.priors), 1) if self.priors else None

    def restored(self, page: int) -> list[Restored]:
        return self.priors if page == 0 else []

    async def reconcile(self) -> ReconcileReport:
        if self.hold is not None:
            await self.hold.wait()
        return self.report or ReconcileReport(self.name, listings=2, linked=1, mismatched=0)

    def mass_hold(self) -> MassHold | None:
        return self.held

    async def decide(self, decision: Decision) -> MassHold | None:
        return evolve(self.held, decided=decision) if self.held else None

    async def webhooks(self) -> list[Webhook] | str:
        return self.subscriptions

    async def register_webhooks(self) -> list[str] | str:
        return self.registered

    def registration_hindrance(self) -> str:
        return self.hindrance

    def wanted_topics(self) -> tuple[str, ...]:
        return self.topics

    def odd_listings(self) -> dict[str, Odd]:
        return self.odd


@define
class TwinMaintenance:
    """A `Maintenance` that copies for real and rebuilds nothing."""

    store: Store
    dead_letters: DeadLetters
    report: RebuildReport = field(factory=lambda: RebuildReport(5, 1, (), 0, repaired=False))
    replays: Any = None
    """A `daemon.app.replaying.Replays`, where there is something to replay."""

    async def backup(self, directory: Path) -> int:
        await self.store.flush()
        self.store.env.copy_to(directory)
        return (directory / "data.mdb").stat().st_size

    async def rebuild(self, *, verify_only: bool) -> RebuildReport:
        return evolve(self.report, repaired=not verify_only)

    async def replay(self, channel: str, since_us: int, until_us: int, *, apply: bool) -> ReplayReport:
        if self.replays is not None:
            return await self.replays.run(channel, since_us, until_us, apply=apply)
        moved = Moved("A/1", 3, 2, 1), Moved("B", None, None, 1)
        changed = (Changed(4, "shop", "order.updated", START_US, "1 facts are new or different"),)
        puzzles = (Puzzled("shop", "it has no lines", 2, 9),)
        return ReplayReport(9, 1, 0, 2, 0, 0, 0, 0, 2, moved, changed, puzzles, applied=apply, told=2 * apply)

    def replaying(self) -> ReplayProgress:
        return self.replays.progress if self.replays is not None else ReplayProgress()

    async def retry_letter(self, letter: int) -> str:
        found = self.dead_letters.get(letter)
        if found is not None and found.kind == "poison":
            raise StoreError("the letter crashes its actor again")
        self.dead_letters.remove(letter)
        return "applied: nothing was left to do"


@define
class House:
    """Everything behind the admin socket, running."""

    store: Store
    registry: Registry
    outbox: Outbox
    dead_letters: DeadLetters
    alarms: Alarms
    drifts: Drifts
    channels: dict[str, TwinChannel]
    maintenance: TwinMaintenance
    clock: Clock
    counters: dict[str, int] = field(factory=lambda: {"acked": 3, "duplicates": 1, "rejected": 0})
    unready: str = ""

    def inside(self) -> Inside:
        return Inside(
            store=self.store, registry=self.registry, outbox=self.outbox, dead_letters=self.dead_letters,
            alarms=self.alarms, drifts=self.drifts, channels=self.channels, maintenance=self.maintenance,
            counters=self.counters, since_us=START_US, not_ready=lambda: self.unready,
        )  # fmt: skip

    # -- facts, as the rooms below would deliver them --

    async def tell(self, *messages: Any, by: str = "poll", delivery: int = 0) -> None:
        """Deliver messages that name their SKU."""
        await self.registry.deliver(
            [Part(each.sku, each, Cause(by, getattr(each, "channel", ""), delivery)) for each in messages]
        )

    async def tell_sku(self, sku: str, *messages: Any, by: str = "admin") -> None:
        """Deliver messages that do not name their SKU."""
        await self.registry.deliver([Part(sku, each, Cause(by, getattr(each, "channel", ""))) for each in messages])

    async def listed(self, sku: str, level: int | None, *channels: str) -> None:
        """Channels show `sku` at `level`, under the listing `L-sku`."""
        for channel in channels or tuple(self.channels):
            await self.tell(LevelReport(channel, f"L-{sku}", level, self.now(), sku), by="catalogue")

    async def counted(self, sku: str, quantity: int) -> None:
        await self.tell(StockCount("person", sku, quantity, at=self.now()))

    async def sold(self, sku: str, units: int = 1, *, channel: str = "shop", order: str = "1001") -> None:
        await self.tell(
            OrderLine(channel, order, "1", sku, units, version=self.clock.us, at=self.now()), by="webhook", delivery=7
        )

    def now(self) -> Instant:
        return exactly(self.clock())

    def slot(self, sku: str, channel: str = "shop") -> Any:
        state = self.registry.peek(sku)
        assert state is not None
        return state.slots[channel, f"L-{sku}"]


def seen_in_shadow(listing: str) -> Watched:
    """A listing of which a sale was not followed for ten minutes, and is not yet."""
    each = Watched(listing, "A/1", START_US)
    each.moved(START_US, 5, 5, 5, "begin", looked=True)
    each.moved(START_US + 1_000_000, 3, 3, 5, "order 7 at site", looked=False, sold_us=START_US)
    each.moved(START_US + 600_000_000, 3, 3, 5, "what it showed", looked=True)
    return each


def span(us: int) -> Instant:
    """A moment known to the second, as most channels stamp it."""
    return Instant(Span(us, us + 1_000_000))


@asynccontextmanager
async def housed(
    directory: Path, *, channels: tuple[str, ...] = ("shop", "site"), kits: Mapping[str, Recipe] = NO_KITS,
    run_blocking: RunBlocking | None = None, resumed: bool = True, map_bytes: int = 16 << 20, **bounds: int,
) -> AsyncIterator[House]:  # fmt: skip
    """A store in `directory`, its committer (`run_blocking`: on a thread of its own), a registry and its drain.

    `resumed` False: the caller repeats the log and takes up unfinished work by itself."""
    clock = Clock()
    env = Environment.open(directory / "state", genesis="test", map_bytes=map_bytes)
    try:
        store = Store(env, run_blocking or WriterThread(), clock, disk_floor_bytes=0)
        outbox, letters = Outbox(store), DeadLetters(store)
        twins = {name: TwinChannel(name) for name in channels}

        def policy_of(channel: str) -> Policy | None:
            return twins[channel].rules if channel in twins else None

        registry = Registry(
            store, outbox, OrderIndex(store, kits), Links(store), letters, Refetches(store), policy_of, Silent(),
            Bounds(**bounds), kits,
        )  # fmt: skip
        async with trio.open_nursery() as nursery:
            await nursery.start(store.run)
            if kits and resumed:
                registry.resume(lambda _: 0, b"")
            await nursery.start(registry.run)
            alarms = Alarms(store, lambda _: None, lambda _: None)
            yield House(
                store, registry, outbox, letters, alarms, Drifts(store), twins, TwinMaintenance(store, letters), clock
            )
            store.stop()
            await store.flush()
            nursery.cancel_scope.cancel()
    finally:
        env.close(clean=True)


@define
class Answer:
    """One HTTP answer, read to its end."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of a refusal."""
        return str(self.json()["error"]["code"])


@define
class AdminSocket:
    """The admin socket of a house, and a client of it."""

    path: str
    house: House
    server: HttpServer
    errors: list[Exception]
    witnessed: list[tuple[str, str, str]]
    forgotten: list[tuple[str, str]]

    async def get(self, path: str) -> Answer:
        return await self.ask("GET", path)

    async def post(self, path: str, body: object = None) -> Answer:
        return await self.ask("POST", path, b"" if body is None else json.dumps(body).encode())

    async def ask(self, method: str, path: str, body: bytes = b"") -> Answer:
        """One request on a connection of its own."""
        head = f"{method} {path} HTTP/1.1\r\nHost: onhand\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        async with await trio.open_unix_socket(self.path) as stream:
            await stream.send_all(head.encode() + body)
            received = b""
            while data := await stream.receive_some(65536):
                received += data
        return parse_answer(received)


def parse_answer(received: bytes) -> Answer:
    head, _, body = received.partition(b"\r\n\r\n")
    status_line, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    if headers.get("transfer-encoding") == "chunked":
        body = unchunked(body)
    return Answer(int(status_line.split()[1]), headers, body)


def unchunked(body: bytes) -> bytes:
    whole = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        whole += body[: int(size, 16)]
        body = body[int(size, 16) + 2 :]
    return whole


@asynccontextmanager
async def admin_socket(house: House, path: Path) -> AsyncIterator[AdminSocket]:
    """Serve the house's admin socket at `path`."""
    errors: list[Exception] = []
    witnessed: list[tuple[str, str, str]] = []
    forgotten: list[tuple[str, str]] = []
    ids = iter(range(1, 1 << 30))

    def witness(*, by: str, command: str, refused: str) -> None:
        witnessed.append((by, command, refused))

    def forget(channel: str, subject: str) -> None:
        forgotten.append((channel, subject))

    handler = AdminHandler(house.inside(), new_id=lambda: f"id-{next(ids)}", forget=forget, witness=witness)
    server = HttpServer(handler, on_error=errors.append, refuse=refuse)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve, [unix_listener(str(path))])
        yield AdminSocket(str(path), house, server, errors, witnessed, forgotten)
        nursery.cancel_scope.cancel()


Condition = Callable[[], bool]


async def until(condition: Condition) -> None:
    """Let the others run until the condition holds; fails after a second."""
    with trio.fail_after(1):
        while not condition():  # noqa: ASYNC110 - what it waits for is not announced by any event
            await trio.sleep(0.001)

"""The daemon's ports as one simulated life has them. After its fence has fallen every one of them raises."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import trio
import trio.testing
from attrs import define, field

from daemon.app.daemon import Daemon
from daemon.domain.exchange import Reply, Request, Response
from daemon.events import Event, Severity
from daemon.ports import FileContents, HttpTarget, Ports
from daemon.telemetry import Telemetry
from daemon.theatre.simulated_client import SimulatedClient
from tests.simulation.invariants import broken

if TYPE_CHECKING:
    from tests.simulation.world import World

T = TypeVar("T")


class FencedError(BaseException):
    """The life that asked is over. Not an `Exception`: nothing that forgives may forgive this."""


class Witness(Telemetry):
    """The daemon's telemetry; each event is also a place where lightning may strike."""

    def __init__(self, life: Life) -> None:
        world = life.world
        level = Severity.DEBUG if world.loud else Severity.ERROR
        super().__init__(wall_us=life.wall_us, write_line=life.write_line, level=level)
        self._life = life

    def event(self, event: Event, **fields: Any) -> None:
        self._life.point(f"at {event.text}")
        world = self._life.world
        if event is Event.ALARM_RAISED:
            world.count(f"alarm {fields['condition']}")
            if world.plan.fair:
                world.fail(broken("I0", f"an alarm where nothing is wrong: {fields}"))
        super().event(event, **fields)


class Door(trio.abc.Listener[Any]):
    """Connections in memory. `cut` breaks them all: whoever waits at the other end sees it at once."""

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[Any](1024)
        self._open: dict[Any, None] = {}

    def connect(self) -> trio.StapledStream[Any, Any]:
        """Our end; raises `trio.BrokenResourceError` where nobody listens any more."""
        ours, theirs = trio.testing.memory_stream_pair()
        self._send.send_nowait(theirs)
        self._open[ours] = None
        return ours

    def hung_up(self, ours: Any) -> None:
        ours.send_stream.close()
        ours.receive_stream.close()
        self._open.pop(ours, None)

    def cut(self) -> None:
        for ours in list(self._open):
            self.hung_up(ours)

    async def accept(self) -> Any:
        return await self._receive.receive()

    async def aclose(self) -> None:
        self._receive.close()
        await trio.lowlevel.checkpoint()


@define(eq=False)
class Life:
    """One process of the daemon, from its start to its stop or crash."""

    world: World
    number: int
    scope: trio.CancelScope = field(factory=trio.CancelScope)
    up: bool = True
    daemon: Daemon | None = None
    public: Door = field(factory=Door)
    admin: Door = field(factory=Door)
    clients: dict[str, SimulatedClient] = field(factory=dict)
    flying: dict[tuple[str, str], int] = field(factory=dict)
    """Listings with a push under way, as the daemon must see it."""
    writer: trio.Lock = field(factory=trio.Lock)
    ended: trio.Event = field(factory=trio.Event)
    commit: str = ""
    """What the last commit was of."""
    torn: Callable[[], None] | None = None
    """Undoes a commit that is not on the disk yet: the power goes before it is."""

    def check(self) -> None:
        if not self.up:
            raise FencedError

    def crash(self, where: str) -> None:
        """The power goes: first nothing has any effect any more, then everything is cancelled."""
        if not self.up:
            return
        self.world.oracle.crashing(self)
        self.up = False
        self.world.count("crash " + where)
        self.world.count("crashes")
        self.world.note(f"CRASH {where}")
        self.public.cut()
        self.admin.cut()
        self.scope.cancel()

    def point(self, where: str) -> None:
        """A place where lightning may strike."""
        self.check()
        if self.world.lightning():
            self.world.fault("crash at a named point")
            self.crash(where)
            raise FencedError

    # -- the ports --

    def ports(self) -> Ports:
        return Ports(
            wall_us=self.wall_us,
            rng=random.Random(f"{self.world.seed}:daemon:{self.number}"),
            new_id=self._new_id,
            run_blocking=self.run_blocking,
            run_aside=self.run_blocking,
            open_http=lambda target: HttpLine(self, target),
            listen_public=self._listen_public,
            listen_admin=self._listen_admin,
            environ={},
            read_file=_no_file,
            write_line=self.write_line,
        )

    def wall_us(self) -> int:
        self.check()
        return self.world.wall_us()

    def _new_id(self) -> str:
        self.check()
        return f"{self.world.rng_ids.getrandbits(128):032x}"

    async def run_blocking(self, fn: Callable[[], T], /) -> T:
        async with self.writer:
            await trio.sleep(self.world.disk_s())
            self.check()
            self.commit = ""
            result = fn()
            if self.torn:
                # Written, as the process sees it, and others go on meanwhile; but it will not reach the disk.
                await trio.sleep(self.world.disk_s())
                if self.up:
                    self.world.fault("crash in a commit, which is lost")
                    self.crash(f"in a commit of {self.commit}")
                raise FencedError
            self.world.oracle.committed(self)
            if self.commit:
                self.point(f"after a commit of {self.commit}")
            with trio.CancelScope(shield=True):
                await trio.sleep(self.world.disk_s())
            self.check()
            return result

    async def _listen_public(self, host: str, port: int) -> Sequence[Door]:
        self.check()
        return [self.public]

    async def _listen_admin(self, path: str) -> Sequence[Door]:
        self.check()
        return [self.admin]

    def write_line(self, line: str) -> None:
        self.check()
        self.world.note(line)


def _no_file(path: str, max_bytes: int) -> FileContents:
    raise OSError(2, "there are no files here", path)


def _what(request: Request) -> str:
    """The call in words."""
    path, _, query = request.url.partition("://")[2].partition("/")[2].partition("?")
    if request.method != "GET":
        return "a push" if path == "levels" else "a subscription"
    if path == "listings":
        return "a reading back" if "listing=" in query else "a catalogue page"
    return "a poll" if path == "orders" else "a refetch" if path.startswith("orders/") else "a look at subscriptions"


class LevelsAsked(msgspec.Struct):
    items: list[dict[str, Any]]
    idempotency_key: str = ""


class HttpLine:
    """One channel's HTTP client. What has left goes on when the daemon that sent it is gone."""

    def __init__(self, life: Life, target: HttpTarget) -> None:
        self._life = life
        self._world = life.world
        self._front = life.world.fronts[target.channel]
        self._client = SimulatedClient(
            self._front.host, life.world.wall_us, one_way_s=life.world.net_s, max_connections=target.max_connections
        )
        self._client.cut_off = self._front.cut_off
        life.clients[target.channel] = self._client

    async def send(self, request: Request) -> Reply:
        what = _what(request)
        self._life.point(f"before {what}")
        self._world.oracle.calling(self._life, self._front, what)
        listings = self._pushing(request)
        answer: list[Reply] = []
        done = trio.Event()

        async def exchange() -> None:
            answer.append(await self._client.send(request))
            done.set()

        self._world.nursery.start_soon(exchange)
        self._world.reached(what)
        await done.wait()
        self._life.point(f"after {what}")
        if isinstance(answer[0], Response):
            self._front.clock.seen(self._world.now_us())
        self._world.oracle.replied(self._life, self._front, request, answer[0])
        for listing in listings:
            del self._life.flying[self._front.name, listing]
        return answer[0]

    def _pushing(self, request: Request) -> list[str]:
        if request.method != "PUT" or not request.url.endswith("/levels"):
            return []
        asked = msgspec.json.decode(request.body, type=LevelsAsked)
        listings = [item["listing"] for item in asked.items]
        for item in asked.items:
            key = (self._front.name, item["listing"])
            if key in self._life.flying:
                self._world.fail(broken("I6", f"two pushes under way for {key}"))
            self._life.flying[key] = 1
            if "if_quantity" not in item and not self._front.blind:
                self._world.fail(broken("I6", f"a push of {key} without compare-and-set"))
        self._world.oracle.sending(self._life, self._front, asked)
        return listings

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()

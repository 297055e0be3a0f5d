"""The whole daemon over real files, in memory otherwise: storefronts sell to it over its own HTTP server, a person
adjusts stock over its admin socket, and every acknowledgement is told to whoever wants to hold the daemon to it.

Time is simulated, so that a minute of it takes a moment; commits run inline, after a drawn wait, so that a few of
them share one transaction as they do on a disk.
"""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import trio
import trio.testing
from attrs import define, field

import adapters.sandbox
from adapters.storefront import Hook, Storefront
from daemon.app.assembly import Parts, assemble
from daemon.app.daemon import Daemon, serve
from daemon.config import Config, StorageSettings
from daemon.config_channels import ChannelConfig
from daemon.credentials import Secret, SecretRef
from daemon.domain.exchange import NoAnswer, Reply, Request
from daemon.domain.policy import Policy
from daemon.events import Severity
from daemon.notify import Notifier
from daemon.ports import FileContents, HttpPort, HttpTarget, Ports
from daemon.telemetry import Telemetry
from daemon.theatre.simulated_client import SimulatedClient
from daemon.theatre.store_host import StoreHost

T = TypeVar("T")

EPOCH_US = 1_750_000_000_000_000
FRONTS = ("north", "south")
SKUS = tuple(f"SKU-{number}" for number in range(1, 7))
PLATFORMS = {"sandbox": adapters.sandbox.PLATFORM}


class Door(trio.abc.Listener[Any]):
    """Connections in memory."""

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[Any](1024)

    async def accept(self) -> Any:
        return await self._receive.receive()

    async def aclose(self) -> None:
        self._receive.close()
        await trio.lowlevel.checkpoint()

    async def ask(
        self, method: str, path: str, body: bytes, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """One exchange on a connection of its own: (status, body); (0, nothing) where nobody answers."""
        ours, theirs = trio.testing.memory_stream_pair()
        head = [f"{method} {path} HTTP/1.1", "host: onhand", "connection: close", f"content-length: {len(body)}"]
        head += [f"{name}: {value}" for name, value in (headers or {}).items()]
        answer = b""
        try:
            self._send.send_nowait(theirs)
            with trio.move_on_after(30.0):
                await ours.send_all("\r\n".join(head).encode() + b"\r\n\r\n" + body)
                while data := await ours.receive_some(65_536):
                    answer += data
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        start, _, content = answer.partition(b"\r\n\r\n")
        return (int(start.split(b" ", 2)[1]), content) if answer.startswith(b"HTTP/1.1 ") else (0, b"")


class NoChannel:
    """A client of a channel that cannot be reached."""

    async def send(self, request: Request) -> Reply:
        await trio.sleep(0.01)
        return NoAnswer("there is no channel here", reached=False)

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


def config_of(directory: Path, **storage: int) -> Config:
    """Two sandbox channels, their state in `directory`."""
    channels = {
        name: ChannelConfig(
            name, "sandbox", f"http://{name}.test", (SecretRef("inline", inline=Secret(f"secret-{name}")),), Policy(),
            allow_private=True, overrides={"poll_interval_s": 20.0, "catalogue_interval_s": 600.0},
        )
        for name in FRONTS
    }  # fmt: skip
    return Config(
        str(directory), str(directory.parent / "admin.sock"), channels,
        storage=StorageSettings(**{"map_max_gb": 1, "disk_floor_mb": 0, **storage}),
    )  # fmt: skip


def _no_file(path: str, max_bytes: int) -> FileContents:
    raise OSError(2, "there are no files here", path)


@define(eq=False)
class Around:
    """What a daemon's life has around it. The defaults are a world in which nothing answers."""

    rng: random.Random
    now_us: Callable[[], int] = lambda: EPOCH_US
    public: Door = field(factory=Door)
    admin: Door = field(factory=Door)
    open_http: Callable[[HttpTarget], HttpPort] = lambda target: NoChannel()
    disk_s: float = 0.0
    said: list[str] = field(factory=list)
    """The log's lines."""

    def ports(self) -> Ports:
        async def listen(*_: object) -> Sequence[Door]:
            return [self.public]

        async def listen_admin(_: str) -> Sequence[Door]:
            return [self.admin]

        return Ports(
            wall_us=self.now_us, rng=self.rng, new_id=lambda: f"{self.rng.getrandbits(128):032x}",
            run_blocking=self.blocking, run_aside=self.blocking, open_http=self.open_http, listen_public=listen,
            listen_admin=listen_admin, environ={}, read_file=_no_file, write_line=self.said.append,
        )  # fmt: skip

    async def blocking(self, fn: Callable[[], T], /) -> T:
        await trio.sleep(self.rng.random() * self.disk_s)
        return fn()

    def telemetry(self) -> Telemetry:
        return Telemetry(wall_us=self.now_us, write_line=self.said.append, level=Severity.INFO)

    def assembled(self, directory: Path) -> Parts:
        """A daemon's parts over the state in `directory`, not running. Raises `StoreError`."""
        return assemble(config_of(directory), PLATFORMS, self.ports(), self.telemetry())


class Shops:
    """Two storefronts that sell, cancel and restock, and a person who adjusts."""

    def __init__(self, seed: int, acknowledged: Callable[[dict[str, Any]], None], pace: float = 6.0) -> None:
        self.rng = random.Random(f"{seed}:shops")
        self.acknowledged = acknowledged
        self.pace = pace
        """Sales a second."""
        self.around = Around(self.rng, self.now_us, disk_s=0.02, open_http=self._client)
        self.hosts = {
            name: StoreHost(Storefront(name, SKUS, dict.fromkeys(SKUS, 40), f"secret-{name}", seed), self.now_us)
            for name in FRONTS
        }
        self.adjusted = 0

    def now_us(self) -> int:
        return EPOCH_US + round(trio.current_time() * 1e6)

    def _client(self, target: HttpTarget) -> HttpPort:
        return SimulatedClient(self.hosts[target.channel], self.now_us, one_way_s=lambda: self.rng.random() * 0.01)

    async def open(self) -> None:
        """For ever: send webhooks, sell, adjust."""
        async with trio.open_nursery() as nursery:
            for name, host in self.hosts.items():
                nursery.start_soon(host.run, self._sender(name))
            while True:
                await trio.sleep(self.rng.expovariate(self.pace))
                if self.rng.random() < 0.1:
                    nursery.start_soon(self._adjust)
                else:
                    self._buy()

    def _buy(self) -> None:
        host = self.hosts[self.rng.choice(FRONTS)]
        chosen = self.rng.sample(SKUS, k=self.rng.choice((1, 1, 2)))
        lines = [{"sku": sku, "quantity": self.rng.choice((1, 1, 2))} for sku in chosen]
        made = host.handle("POST", "/orders", json.dumps({"lines": lines}).encode())
        if made.status == 201 and self.rng.random() < 0.3:
            order = json.loads(made.body)["id"]
            host.handle("POST", f"/orders/{order}/{self.rng.choice(('cancel', 'fulfil'))}", b"{}")

    async def _adjust(self) -> None:
        self.adjusted += 1
        reference = f"A-{self.adjusted}"
        sku, units = self.rng.choice(SKUS), self.rng.choice((3, 5, -1))
        body = json.dumps({"sku": sku, "quantity": units, "reference": reference}).encode()
        status, _ = await self.around.admin.ask("POST", "/v1/adjustments", body)
        if status == 200:
            self.acknowledged({"sku": sku, "reference": reference, "quantity": units})

    def _sender(self, name: str) -> Any:
        async def send(hook: Hook) -> int | None:
            status, _ = await self.around.public.ask("POST", f"/webhooks/{name}", hook.body, hook.headers)
            if 200 <= status < 300:
                order = json.loads(hook.body).get("order") or {"lines": ()}
                lines = [(line["id"], line["sku"]) for line in order["lines"]]
                self.acknowledged(
                    {"channel": name, "delivery": hook.delivery, "order": order.get("id", ""),
                     "version": order.get("version", 0), "lines": lines}
                )  # fmt: skip
            return status or None

        return send

    @asynccontextmanager
    async def life(self, directory: Path, **storage: int) -> AsyncIterator[Daemon]:
        """A daemon between the storefronts; left as by a kill, unless it was stopped and has ended. Raises what it
        raises, in groups."""
        around = self.around
        around.public, around.admin = Door(), Door()
        async with trio.open_nursery() as nursery:
            daemon = await nursery.start(
                serve, config_of(directory, **storage), PLATFORMS, around.ports(), around.telemetry(), Notifier({})
            )
            await daemon.serving.wait()
            selling = trio.CancelScope()

            async def sell() -> None:
                with selling:
                    await self.open()

            nursery.start_soon(sell)
            yield daemon
            selling.cancel()
            if daemon.ended.is_set():
                return
            nursery.cancel_scope.cancel()

    async def live(self, directory: Path, seconds: float, *, clean: bool) -> None:
        """A whole life of so many simulated seconds; `clean`: it ends in an orderly stop, else in a kill."""
        async with self.life(directory) as daemon:
            await trio.sleep(seconds)
            if clean:
                daemon.stop()
                await daemon.ended.wait()


def run_lives(
    directory: Path, seed: int, lives: Sequence[tuple[float, bool]], acknowledged: Callable[[dict[str, Any]], None],
    *, between: Callable[[int], object] = lambda _: None,
) -> None:  # fmt: skip
    """Lives of (simulated seconds, ends in an orderly stop), one after the other, over one state directory;
    `between` is called after each but the last, with its place."""
    shops = Shops(seed, acknowledged)

    async def main() -> None:
        for place, (seconds, clean) in enumerate(lives):
            await shops.live(directory, seconds, clean=clean)
            if place < len(lives) - 1:
                between(place)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))

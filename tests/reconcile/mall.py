"""Storefronts and a daemon on one clock that jumps, without people or weather: what happens is what is planted."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import trio
from attrs import define, evolve, field

import adapters.sandbox
from adapters.storefront import Hook, Storefront
from adapters.storefront.faults import Faults
from daemon.app.daemon import Daemon, serve
from daemon.config import Config
from daemon.config_channels import ChannelConfig
from daemon.credentials import Secret, SecretRef
from daemon.domain.channel import Setup
from daemon.domain.instants import SECOND_US
from daemon.domain.kits import NO_KITS
from daemon.domain.observations import Recipe
from daemon.domain.policy import DriftRule, Policy
from daemon.domain.slot import Slot
from daemon.domain.sweep import SweepRules
from daemon.events import Severity
from daemon.notify import Notifier
from daemon.ports import Ports
from daemon.storage.drifts import Drift
from daemon.telemetry import Telemetry
from daemon.theatre.simulated_client import SimulatedClient
from daemon.theatre.store_host import StoreHost
from tests.simulation.clock import JumpingClock
from tests.simulation.ports import Door
from tests.simulation.retention import KeptFor

EPOCH_US = 1_750_000_000 * SECOND_US
T = TypeVar("T")


@define
class Rules:
    """How the mall's channels are configured, all alike."""

    drift: DriftRule = "correct"
    sweep_s: float = 60.0
    mass_change: float = 0.2
    compare_and_set: bool = True
    poll_s: float = 600.0
    feed_lag_s: float = 0.0
    kits: Mapping[str, Recipe] = field(factory=lambda: NO_KITS)
    history_s: float = 0.0
    """How long events are kept; 0: for ever."""


@define(eq=False)
class Mall:
    """Storefronts by name, and a daemon between them."""

    stores: dict[str, Storefront]
    rules: Rules
    directory: Path
    hosts: dict[str, StoreHost] = field(factory=dict)
    faults: dict[str, Faults] = field(factory=dict)
    said: list[dict[str, Any]] = field(factory=list)
    """What the daemon logged."""
    public: Door = field(factory=Door)
    admin: Door = field(factory=Door)
    daemon: Daemon | None = None
    nursery: trio.Nursery = field(init=False)
    life: trio.CancelScope = field(factory=trio.CancelScope)
    number: int = 0

    def __attrs_post_init__(self) -> None:
        self.hosts = {name: StoreHost(store, now_us) for name, store in self.stores.items()}
        self.faults = {name: Faults() for name in self.stores}

    # -- the daemon --

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """One life of the daemon."""
        self.public, self.admin = Door(), Door()
        telemetry = Telemetry(wall_us=now_us, write_line=self._heard, level=Severity.INFO)
        self.life = trio.CancelScope()
        with self.life:
            await self._run(telemetry, task_status)

    async def _run(self, telemetry: Telemetry, task_status: trio.TaskStatus[None]) -> None:
        async with trio.open_nursery() as nursery:
            self.daemon = await nursery.start(
                serve, self._config(), {"sandbox": evolve(adapters.sandbox.PLATFORM, build=self._build)},
                self._ports(), telemetry, Notifier({}),
            )  # fmt: skip
            task_status.started()

    def _heard(self, line: str) -> None:
        self.said.append(msgspec.json.decode(line))

    def _build(self, setup: Setup) -> Any:
        options = {**setup.options, "compare_and_set": "true" if self.rules.compare_and_set else "false"}
        return adapters.sandbox.PLATFORM.build(evolve(setup, options=options))

    def _config(self) -> Config:
        rules = self.rules
        channels = {
            name: ChannelConfig(
                name, "sandbox", f"http://{name}.test", (SecretRef("inline", inline=Secret(f"secret-{name}")),),
                Policy(drift=rules.drift), allow_private=True,
                sweep=SweepRules(sweep_s=rules.sweep_s, mass_change=rules.mass_change),
                overrides={"poll_interval_s": rules.poll_s, "feed_lag_s": rules.feed_lag_s},
            )
            for name in self.stores
        }  # fmt: skip
        state = str(self.directory / "state")
        retention = KeptFor(history_us=int(rules.history_s * SECOND_US))
        return Config(state, str(self.directory / "admin.sock"), channels, kits=rules.kits, retention=retention)

    def _ports(self) -> Ports:
        self.number += 1
        numbers = iter(range(1, 1 << 30))

        async def run_blocking(fn: Callable[[], T], /) -> T:
            await trio.lowlevel.checkpoint()
            return fn()

        async def listen(*_: object, door: Door) -> list[Door]:
            await trio.lowlevel.checkpoint()
            return [door]

        return Ports(
            wall_us=now_us, rng=random.Random(7), new_id=lambda: f"{self.number:08x}{next(numbers):024x}",
            run_blocking=run_blocking, run_aside=run_blocking,
            open_http=lambda target: SimulatedClient(self.hosts[target.channel], now_us, one_way_s=lambda: 0.01),
            listen_public=partial(listen, door=self.public), listen_admin=partial(listen, door=self.admin),
            environ={}, read_file=_no_file, write_line=self._heard,
        )  # fmt: skip

    async def restart(self) -> None:
        """Stop the daemon, and start another on what it left."""
        assert self.daemon is not None
        self.daemon.stop()
        await self.daemon.ended.wait()
        await self.nursery.start(self.run)
        await self.looked()

    async def crash(self) -> None:
        """End the daemon where it stands, and start another on what is durable."""
        assert self.daemon is not None
        self.life.cancel()
        await self.daemon.ended.wait()
        await self.nursery.start(self.run)
        await self.looked()

    async def looked(self) -> None:
        """Until the daemon has looked at every channel."""
        assert self.daemon is not None
        for channel in self.daemon.parts.channels.values():
            await channel.catalogue.attempted.wait()

    async def send(self, channel: str, hook: Hook) -> int | None:
        """A webhook on its way to the daemon."""
        await trio.sleep(0.01)
        head = [f"POST /webhooks/{channel} HTTP/1.1", "host: onhand", "connection: close"]
        head += [f"{name}: {value}" for name, value in hook.headers.items()]
        head.append(f"content-length: {len(hook.body)}")
        status, _ = await _ask(self.public, "\r\n".join(head).encode() + b"\r\n\r\n" + hook.body)
        return status

    async def ask(self, path: str, body: object = None) -> tuple[int | None, Any]:
        """The admin socket: a command where there is a body."""
        content = b"" if body is None else msgspec.json.encode(body)
        head = f"{'GET' if body is None else 'POST'} {path} HTTP/1.1\r\nhost: onhand\r\nconnection: close\r\n"
        status, answer = await _ask(self.admin, f"{head}content-length: {len(content)}\r\n\r\n".encode() + content)
        return status, msgspec.json.decode(answer) if answer else None

    # -- what is there --

    def slot(self, channel: str, sku: str) -> Slot:
        assert self.daemon is not None
        state = self.daemon.parts.registry.peek(sku)
        assert state is not None
        return next(slot for slot in state.slots.values() if slot.channel == channel)

    def available(self, sku: str) -> int | None:
        assert self.daemon is not None
        state = self.daemon.parts.registry.peek(sku)
        return state.available if state else None

    def shown(self, channel: str, sku: str) -> int:
        """What the storefront truly shows."""
        return self.stores[channel].shop.by_sku[sku].quantity

    def drifts(self) -> list[Drift]:
        """All that were found, newest first."""
        assert self.daemon is not None
        return self.daemon.parts.drifts.page(limit=10_000)

    async def settled(self) -> None:
        """Until no listing needs anything, and for a moment more."""
        assert self.daemon is not None
        with trio.fail_after(3_600):
            while True:
                await trio.sleep(1.0)
                lanes = self.daemon.parts.outbox.lanes.values()
                idle = not any(lane.slots for lane in lanes)
                if idle and not any(host.statistics()["webhooks_on_the_way"] for host in self.hosts.values()):
                    return

    # -- what happens --

    def call(self, channel: str, method: str, path: str, body: object) -> Any:
        """Somebody at the storefront does something."""
        reply = self.hosts[channel].handle(method, path, msgspec.json.encode(body))
        assert reply.status < 300, reply.body
        return msgspec.json.decode(reply.body)

    def sell(self, channel: str, sku: str, units: int) -> str:
        """Somebody buys; the order."""
        return str(self.call(channel, "POST", "/orders", {"lines": [{"sku": sku, "quantity": units}]})["id"])

    def edit(self, channel: str, sku: str, quantity: int) -> None:
        """Somebody types another number at the storefront."""
        self.call(channel, "POST", "/edits", {"sku": sku, "quantity": quantity})

    def misbehave(self, channel: str, **changes: Any) -> None:
        """Change some faults of a storefront."""
        self.faults[channel] = msgspec.structs.replace(self.faults[channel], **changes)
        self.stores[channel].set_faults(self.faults[channel])

    def quirk(self, channel: str, **changes: Any) -> None:
        """Change some quirks of a storefront."""
        self.misbehave(channel, quirks=msgspec.structs.replace(self.faults[channel].quirks, **changes))

    async def adjust(self, sku: str, units: int) -> None:
        """A person tells that units came or went."""
        status, said = await self.ask("/v1/adjustments", {"sku": sku, "quantity": units})
        assert status == 200, said


def now_us() -> int:
    """The clock on the wall is Trio's."""
    return EPOCH_US + round(trio.current_time() * SECOND_US)


async def _ask(door: Door, request: bytes) -> tuple[int | None, bytes]:
    try:
        ours = door.connect()
    except trio.BrokenResourceError:
        return None, b""
    answer = b""
    try:
        await ours.send_all(request)
        while data := await ours.receive_some(65536):
            answer += data
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass
    finally:
        door.hung_up(ours)
    status = int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else None
    return status, answer.partition(b"\r\n\r\n")[2]


def _no_file(path: str, max_bytes: int) -> Any:
    raise OSError(2, "there are no files here", path)


@asynccontextmanager
async def opened(directory: Path, stock: Mapping[str, Mapping[str, int]], rules: Rules) -> AsyncIterator[Mall]:
    """A mall in which all is settled. `stock`: what each storefront shows of each SKU at first."""
    stores = {name: Storefront(name, list(shown), dict(shown), f"secret-{name}", 7) for name, shown in stock.items()}
    mall = Mall(stores, rules, directory)
    async with trio.open_nursery() as nursery:
        for name, host in mall.hosts.items():
            nursery.start_soon(host.run, partial(mall.send, name))
        mall.nursery = nursery
        await nursery.start(mall.run)
        await mall.looked()
        await mall.settled()
        yield mall
        assert mall.daemon is not None
        mall.daemon.stop()
        await mall.daemon.ended.wait()
        nursery.cancel_scope.cancel()


def play(main: Callable[[], Any]) -> Any:
    """Run it on a clock that jumps."""
    return trio.run(main, clock=JumpingClock())

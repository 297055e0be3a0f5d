"""The daemon of a world, through its lives: started, killed, asked over its own sockets."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import trio
from attrs import define, evolve, field

import adapters
from daemon.app.daemon import Daemon, serve
from daemon.config import Config, StorageSettings
from daemon.config_channels import ChannelConfig
from daemon.credentials import Secret, SecretRef
from daemon.domain.channel import Platform, Setup
from daemon.domain.policy import Policy
from daemon.events import Severity
from daemon.notify import Notifier
from daemon.ports import FileContents, HttpPort, HttpTarget, Ports
from daemon.telemetry import Telemetry
from daemon.theatre.simulated_client import SimulatedClient
from tests.channels.stage import NAME, PUBLIC_URL
from tests.storage_faults.lives import Door

if TYPE_CHECKING:
    from tests.channels.world import World

T = TypeVar("T")
NORTH = "north"
TOKEN_CARE_S = 5.0
"""So long after a refresh token was used nobody kills the daemon: one that is good once and was not written down
yet would be lost, and only the seller can consent anew."""


@define(eq=False)
class Lives:
    """One daemon after the other, on one disk."""

    world: World
    public: Door = field(factory=Door)
    admin: Door = field(factory=Door)
    files: dict[str, bytes] = field(factory=dict)
    records: list[dict[str, Any]] = field(factory=list)
    """What the daemons logged, warnings and worse."""
    daemon: Daemon | None = None
    scope: trio.CancelScope = field(factory=trio.CancelScope)
    ended: trio.Event = field(factory=trio.Event)
    over: bool = False
    kills: int = 0

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Each life, until the world is over."""
        while not self.over:
            self.public, self.admin, self.ended = Door(), Door(), trio.Event()
            with trio.CancelScope() as self.scope:
                async with trio.open_nursery() as nursery:
                    self.daemon = await nursery.start(
                        serve, self._config(), self._platforms(), self._ports(), self._telemetry(), Notifier({})
                    )
                    await self.daemon.serving.wait()
                    task_status.started()
                    task_status = trio.TASK_STATUS_IGNORED
            self.ended.set()

    async def end(self) -> None:
        """An orderly stop."""
        self.over = True
        assert self.daemon is not None
        self.daemon.stop()
        await self.ended.wait()

    async def kill_now_and_then(self, rng: random.Random) -> None:
        while True:
            await trio.sleep(rng.expovariate(1 / 300))
            if self.world.now_s() - self.world.crossing.tokens_at_s > TOKEN_CARE_S:
                self.world.weather.happened("daemon killed")
                self.world.note("KILLED")
                self.kills += 1
                self.scope.cancel()

    # -- asking it --

    async def knock(self, path: str, body: bytes, headers: dict[str, str]) -> int:
        """A webhook."""
        return (await self.public.ask("POST", path, body, headers))[0]

    async def tell(self, path: str, body: object) -> int:
        """A command over the admin socket."""
        return (await self.admin.ask("POST", path, json.dumps(body).encode()))[0]

    def known(self, sku: str) -> tuple[int | None, int | None]:
        """What the daemon says is available, and on hand."""
        state = self.daemon.parts.registry.peek(sku) if self.daemon is not None else None
        return (None, None) if state is None else (state.available, state.stock.on_hand)

    # -- what it is made of --

    def _config(self) -> Config:
        north = ChannelConfig(
            NORTH, "sandbox", f"http://{NORTH}.test", (SecretRef("inline", inline=Secret(f"secret-{NORTH}")),),
            Policy(), allow_private=True, sweep=self.world.stage.config().sweep,
        )  # fmt: skip
        state, admin = self.world.directory / "state", self.world.directory / "admin.sock"
        return Config(
            str(state), str(admin), {NAME: self.world.stage.config(), NORTH: north}, public_url=PUBLIC_URL,
            storage=StorageSettings(map_max_gb=1, disk_floor_mb=0),
        )  # fmt: skip

    def _platforms(self) -> dict[str, Platform]:
        """The real ones; a world may set traits of the one in play that no configuration sets."""
        stage = self.world.stage
        usual = adapters.PLATFORMS[stage.platform]

        def build(setup: Setup) -> Any:
            return usual.build(evolve(setup, overrides={**setup.overrides, **stage.inner}))

        return {**adapters.PLATFORMS, stage.platform: evolve(usual, build=build)}

    def _ports(self) -> Ports:
        rng = self.world.dice(f"daemon {self.kills}")

        async def run_blocking(fn: Callable[[], T], /) -> T:
            await trio.sleep(rng.choice((0.0, 0.001, 0.005)))
            return fn()

        async def listen(door: Door) -> Sequence[Door]:
            await trio.lowlevel.checkpoint()
            return [door]

        return Ports(
            wall_us=self.world.now_us, rng=rng, new_id=lambda: f"{rng.getrandbits(128):032x}",
            run_blocking=run_blocking, run_aside=run_blocking, open_http=self._client,
            listen_public=lambda *_: listen(self.public), listen_admin=lambda _: listen(self.admin), environ={},
            read_file=self._read, write_line=lambda _: None, keep_file=self._keep,
        )  # fmt: skip

    def _client(self, target: HttpTarget) -> HttpPort:
        if target.channel == NORTH:
            return SimulatedClient(self.world.host, self.world.now_us, one_way_s=lambda: 0.01)
        return self.world.crossing

    def _read(self, path: str, max_bytes: int) -> FileContents:
        if path not in self.files:
            raise FileNotFoundError(2, "there is no such file", path)
        return FileContents(self.files[path][: max_bytes + 1], 0o600)

    def _keep(self, path: str, content: bytes, /) -> None:
        self.files[path] = content

    def _telemetry(self) -> Telemetry:
        return Telemetry(
            wall_us=self.world.now_us,
            write_line=self._said,
            level=Severity.INFO if self.world.loud else Severity.WARNING,
        )

    def _said(self, line: str) -> None:
        self.world.note(line)
        record = json.loads(line)
        if record["severity"] in ("warning", "error"):
            self.records.append(record)

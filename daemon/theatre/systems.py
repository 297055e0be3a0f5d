"""The system on stage: this daemon, or any other program, as a child process that can be killed at any moment."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
import trio
from attrs import define, field, frozen

import daemon
from daemon.domain.exchange import Request, Response
from daemon.outbound.http import HttpClient
from daemon.theatre.admin_socket import AdminRefusedError, AdminSocket

STAGE_VARIABLE: Final = "ONHAND_STAGE"
"""The environment variable that names the file with the stage's description."""
READY_S: Final = 30.0
LOOK_S: Final = 0.02
NO_FACTS: Final = (404, 405, 501)
"""Answers of a rival that takes no facts from people at all."""


class SystemFailedError(Exception):
    """The system on stage did not start, or ended by itself; one sentence."""


@frozen
class StoreTold:
    """A storefront as the system is told of it."""

    name: str
    base_url: str
    webhook_secret: str
    compare_and_set: bool


@frozen
class Timing:
    """How patient the system is to be, in seconds: shorter than in a shop, so that hours fit into seconds."""

    timeout_s: float = 1.0
    request_life_s: float = 3.0
    poll_interval_s: float = 1.0
    catalogue_interval_s: float = 3_600.0
    feed_lag_s: float = 0.0


@frozen
class StageTold:
    """Everything the system is told. kits: component SKU to units, by kit SKU · buffers: units, by storefront."""

    listen: str
    state_dir: str
    storefronts: tuple[StoreTold, ...]
    skus: tuple[str, ...]
    timing: Timing
    buffers: Mapping[str, int] = field(factory=dict)
    kits: Mapping[str, Mapping[str, int]] = field(factory=dict)

    def document(self) -> dict[str, Any]:
        """For a rival, as JSON."""
        return {
            "listen": self.listen,
            "state_dir": self.state_dir,
            "skus": list(self.skus),
            "kits": {kit: dict(parts) for kit, parts in self.kits.items()},
            "storefronts": [
                {
                    "name": each.name, "base_url": each.base_url, "webhook_secret": each.webhook_secret,
                    "webhook_url": f"http://{self.listen}/webhooks/{each.name}",
                    "buffer": self.buffers.get(each.name, 0), "compare_and_set": each.compare_and_set,
                }
                for each in self.storefronts
            ],
            "timing": _timing(self.timing),
        }  # fmt: skip

    def config(self, admin_socket: str) -> dict[str, Any]:
        """For this daemon, as a configuration a person would write."""
        channels = {
            each.name: {
                "adapter": "sandbox", "base_url": each.base_url, "webhook_secrets": [each.webhook_secret],
                "buffer": self.buffers.get(each.name, 0), "compare_and_set": str(each.compare_and_set).lower(),
                **{name: value for name, value in _timing(self.timing).items() if value},
            }
            for each in self.storefronts
        }  # fmt: skip
        told = {
            "state_dir": self.state_dir, "listen": self.listen, "admin_socket": admin_socket,
            "log": {"level": "warning"}, "channels": channels,
        }  # fmt: skip
        kits = {kit: dict(parts) for kit, parts in self.kits.items()}
        return told | ({"kits": kits} if kits else {})


def _timing(timing: Timing) -> dict[str, float]:
    return {
        "timeout_s": timing.timeout_s, "request_life_s": timing.request_life_s,
        "poll_interval_s": timing.poll_interval_s, "catalogue_interval_s": timing.catalogue_interval_s,
        "feed_lag_s": timing.feed_lag_s,
    }  # fmt: skip


class System(Protocol):
    """A system on stage. Between `start` and `kill` its process runs; the storefronts outlive it."""

    admin: AdminSocket | None
    """Its inside; None where it has none that the theatre knows how to ask."""
    process: Child

    async def start(self) -> None:
        """Begin a life and return when it takes webhooks and has read every catalogue. Raises SystemFailedError."""
        ...

    async def adjust(self, sku: str, units: int) -> bool:
        """Tell it that units came (+) or went (-); False where it cannot be told. Raises `SystemFailedError` where it
        can, and does not take it."""
        ...

    def log(self) -> list[dict[str, Any]]:
        """What it logged, as far as it logs JSON lines."""
        ...


@define(eq=False)
class Child:
    """A child process in a session of its own; its output goes to files in `folder`."""

    command: Sequence[str]
    folder: Path
    extra_environment: Mapping[str, str] = field(factory=dict)
    process: trio.Process | None = None

    async def start(self) -> None:
        """Begin a life; output is added to that of earlier ones."""
        environment = {**os.environ, **self.extra_environment}
        with (self.folder / "system.out").open("ab") as out, (self.folder / "system.err").open("ab") as err:
            begin = partial(
                trio.lowlevel.open_process, list(self.command), env=environment, stdout=out, stderr=err,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
            try:
                self.process = await begin()
            except OSError as error:
                raise SystemFailedError(f"{self.command[0]} cannot be started: {error.strerror}") from None

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    async def kill(self) -> None:
        """SIGKILL to it and its children, and wait for the end; nothing if it does not run."""
        if self.process is None:
            return
        with suppress(ProcessLookupError):  # it is gone already, and so are its children
            os.killpg(self.process.pid, signal.SIGKILL)
        with trio.CancelScope(shield=True):
            await self.process.wait()
        self.process = None

    def last_words(self) -> str:
        """The end of what it wrote to stderr."""
        path = self.folder / "system.err"
        lines = path.read_text("utf-8", "replace").strip().splitlines() if path.exists() else []
        return lines[-1] if lines else "it wrote nothing to stderr"


def _python_path() -> str:
    """So that the child finds this very daemon, installed or not."""
    here = str(Path(daemon.__file__).resolve().parents[1])
    before = os.environ.get("PYTHONPATH", "")
    return f"{here}{os.pathsep}{before}" if before else here


async def _wait_healthy(child: Child, url: str, http: HttpClient) -> None:
    with trio.move_on_after(READY_S):
        while child.alive:
            answer = await http.send(Request("GET", url, timeout_s=2.0))
            if isinstance(answer, Response) and answer.status == 200:
                return
            await trio.sleep(LOOK_S)
    how = "is not ready" if child.alive else "ended by itself"
    raise SystemFailedError(f"the system on stage {how}: {child.last_words()}")


@define(eq=False)
class OnhandSystem:
    """This daemon: `onhand run` with a configuration of its own."""

    told: StageTold
    folder: Path
    http: HttpClient
    admin: AdminSocket | None = field(init=False)
    process: Child = field(init=False)

    def __attrs_post_init__(self) -> None:
        path, socket = self.folder / "config.yaml", str(self.folder / "admin.sock")
        path.write_text(json.dumps(self.told.config(socket), indent=1))  # JSON is YAML
        self.admin = AdminSocket(socket)
        command = [sys.executable, "-m", "daemon", "run", "--config", str(path)]
        self.process = Child(command, self.folder, {"PYTHONPATH": _python_path()})

    async def start(self) -> None:
        await self.process.start()
        await _wait_healthy(self.process, f"http://{self.told.listen}/healthz", self.http)
        with trio.move_on_after(READY_S):
            while not await self._linked():  # noqa: ASYNC110 - another process tells nobody
                await trio.sleep(LOOK_S)
            return
        raise SystemFailedError("the daemon did not link every listing in time")

    async def _linked(self) -> bool:
        """Is every listing linked and every SKU counted?"""
        assert self.admin is not None
        try:
            rows = {row["sku"]: row for row in (await self.admin.get("skus", limit=1_000))["skus"]}
        except (OSError, AdminRefusedError):
            return False
        return all(
            sku in rows and rows[sku]["available"] is not None and rows[sku]["listings"] for sku in self.told.skus
        )

    async def adjust(self, sku: str, units: int) -> bool:
        assert self.admin is not None
        await self.admin.post("adjustments", body={"sku": sku, "quantity": units, "reason": "delivery"})
        return True

    def log(self) -> list[dict[str, Any]]:
        """The JSON lines of stdout; one that a kill cut off is left out."""
        path = self.folder / "system.out"
        lines = path.read_text("utf-8", "replace").split("\n") if path.exists() else []
        return [msgspec.json.decode(line) for line in lines if line.startswith("{") and line.endswith("}")]


@define(eq=False)
class RivalSystem:
    """Any other program: started with the path of the stage's description in the environment."""

    command: str
    told: StageTold
    folder: Path
    http: HttpClient
    admin: AdminSocket | None = None
    process: Child = field(init=False)

    def __attrs_post_init__(self) -> None:
        path = self.folder / "stage.json"
        path.write_text(json.dumps(self.told.document(), indent=1))
        self.process = Child(shlex.split(self.command), self.folder, {STAGE_VARIABLE: str(path)})

    async def start(self) -> None:
        await self.process.start()
        await _wait_healthy(self.process, f"http://{self.told.listen}/healthz", self.http)

    async def adjust(self, sku: str, units: int) -> bool:
        body = json.dumps({"sku": sku, "adjust": units}).encode()
        url = f"http://{self.told.listen}/facts"
        answer = await self.http.send(
            Request("POST", url, {"content-type": "application/json"}, body, timeout_s=30.0)
        )
        if isinstance(answer, Response) and answer.status in NO_FACTS:
            return False
        if not isinstance(answer, Response) or answer.status // 100 != 2:
            said = answer.status if isinstance(answer, Response) else answer.reason
            raise SystemFailedError(f"it did not take a delivery of {sku} (POST /facts): {said}")
        return True

    def log(self) -> list[dict[str, Any]]:
        """A rival's log is its own."""
        return []

"""Real processes on loopback for the acceptance checks: the daemon, storefronts, and clients of both."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import trio
from attrs import define, field

REPOSITORY = Path(__file__).resolve().parents[2]
LOOPBACK = "127.0.0.1"


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def environment(**extra: str) -> dict[str, str]:
    """Ours, without what systemd or a developer's shell might add to it."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
    return {**kept, "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1", **extra}


def onhand(*arguments: str) -> list[str]:
    """The command line of an `onhand` command, run by this very interpreter."""
    return [sys.executable, "-m", "daemon", *arguments]


@define(eq=False)
class Process:
    """A child process that writes its output to files; it is dead when `running` ends."""

    command: Sequence[str]
    out: Path
    env: Mapping[str, str] = field(factory=environment)
    cwd: Path = REPOSITORY
    pass_fds: Sequence[int] = ()
    child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin a new life; output is added to what earlier lives wrote."""
        with self.out.open("ab") as out, self.err.open("ab") as err:
            self.child = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=dict(self.env), cwd=self.cwd,
                pass_fds=self.pass_fds, start_new_session=True,
            )  # fmt: skip

    @property
    def err(self) -> Path:
        """What it wrote to stderr."""
        return self.out.with_suffix(".err")

    @property
    def alive(self) -> bool:
        """Is it running?"""
        return self.child is not None and self.child.poll() is None

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        if self.child is not None:
            self.child.kill()
            self.child.wait()

    async def wait(self, within_s: float) -> int:
        """The exit code; fails where it does not end in time."""
        assert self.child is not None
        with trio.fail_after(within_s):
            while self.child.poll() is None:  # noqa: ASYNC110 - a process tells nobody of its end
                await trio.sleep(0.01)
        return int(self.child.returncode)

    def ask_to_stop(self) -> None:
        """SIGTERM."""
        assert self.child is not None
        self.child.send_signal(signal.SIGTERM)

    async def terminate(self, within_s: float) -> int:
        """SIGTERM; the exit code."""
        self.ask_to_stop()
        return await self.wait(within_s)

    def records(self) -> list[dict[str, Any]]:
        """The JSON lines written to stdout so far; a line cut off by a kill is left out, any other is an error."""
        found = []
        text = self.out.read_bytes().decode() if self.out.exists() else ""
        for line in text.split("\n"):
            if line.startswith("{") and line.endswith("}"):
                found.append(json.loads(line))
        return found

    def complaints(self) -> str:
        """What it wrote to stderr so far."""
        return self.err.read_text("utf-8", "replace") if self.err.exists() else ""


async def until(condition: Callable[[], Awaitable[bool]], within_s: float, every_s: float = 0.02) -> float:
    """Wait for it to hold; seconds taken. Raises `trio.TooSlowError`."""
    began = trio.current_time()
    with trio.fail_after(within_s):
        while not await condition():  # noqa: ASYNC110 - another process tells nobody
            await trio.sleep(every_s)
    return trio.current_time() - began


@define(eq=False)
class Shop:
    """A stand-alone storefront and a client of it."""

    name: str
    port: int
    process: Process
    http: httpx.AsyncClient

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    async def post(self, path: str, body: object = None) -> tuple[int, Any]:
        """(status, answer); (0, None) where there was no answer."""
        try:
            answer = await self.http.post(self.url + path, json={} if body is None else body)
        except httpx.TransportError:
            return 0, None
        return answer.status_code, answer.json()

    async def get(self, path: str) -> Any:
        answer = await self.http.get(self.url + path, timeout=30)
        answer.raise_for_status()
        return answer.json()

    async def shown(self) -> dict[str, int]:
        """What the storefront truly shows, by SKU."""
        ledger = await self.get("/ledger")
        return {sku: entry["quantity"] for sku, entry in ledger["skus"].items()}

    async def up(self) -> bool:
        try:
            return (await self.http.get(self.url + "/healthz")).status_code == 200
        except httpx.TransportError:
            return False


@define(eq=False)
class Daemon:
    """`onhand run` as a process, and clients of its public port and admin socket."""

    folder: Path
    port: int
    process: Process
    http: httpx.AsyncClient
    admin: httpx.AsyncClient

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def webhook_url(self, channel: str) -> str:
        return f"{self.url}/webhooks/{channel}"

    async def health(self) -> int:
        """The status of /healthz; 0 where nobody listens."""
        try:
            return (await self.http.get(self.url + "/healthz")).status_code
        except httpx.TransportError:
            return 0

    async def wait_serving(self, within_s: float = 20) -> float:
        """Webhooks are answered; seconds waited."""

        async def serving() -> bool:
            return self.process.alive and await self.health() != 0

        return await until(serving, within_s)

    async def wait_ready(self, within_s: float = 30) -> float:
        """/healthz says 200; seconds waited."""

        async def ready() -> bool:
            return await self.health() == 200

        return await until(ready, within_s)

    async def ask(self, path: str) -> Any:
        """A query of the admin socket."""
        answer = await self.admin.get(f"http://onhand{path}", timeout=60)
        answer.raise_for_status()
        return answer.json()

    async def tell(self, path: str, body: object = None) -> Any:
        """A command over the admin socket."""
        answer = await self.admin.post(f"http://onhand{path}", json={} if body is None else body, timeout=60)
        answer.raise_for_status()
        return answer.json()

    async def events(self, after: int = 0) -> list[dict[str, Any]]:
        """The event log behind sequence number `after`."""
        answer = await self.admin.get(f"http://onhand/v1/events?after={after}", timeout=120)
        answer.raise_for_status()
        return [json.loads(line) for line in answer.text.splitlines()]


def write_config(folder: Path, port: int, channels: Mapping[str, Mapping[str, object]], **top: object) -> Path:
    """A config.yaml (JSON is YAML) with its state in `folder`."""
    path = folder / "config.yaml"
    content = {
        "state_dir": str(folder / "state"),
        "admin_socket": str(folder / "admin.sock"),
        "listen": f"{LOOPBACK}:{port}",
        "channels": channels,
        **top,
    }
    path.write_text(json.dumps(content, indent=1))
    return path


def sandbox_channel(name: str, port: int, **extra: object) -> dict[str, object]:
    """A sandbox channel as the example configuration has it."""
    return {
        "adapter": "sandbox",
        "base_url": f"http://{LOOPBACK}:{port}",
        "webhook_secrets": [f"secret-{name}"],
        **extra,
    }


@asynccontextmanager
async def shop(
    folder: Path, name: str, webhook_url: str, *, skus: int = 3, stock: int = 10, seed: int = 0, port: int = 0
) -> AsyncIterator[Shop]:
    """A storefront, up and running."""
    port = port or free_port()
    command = onhand(
        "sandbox", "--port", str(port), "--name", name, "--webhook-url", webhook_url,
        "--secret", f"secret-{name}", "--skus", str(skus), "--stock", str(stock), "--seed", str(seed),
    )  # fmt: skip
    process = Process(command, folder / f"{name}.out")
    async with httpx.AsyncClient(trust_env=False, timeout=10) as http:
        process.start()
        try:
            found = Shop(name, port, process, http)
            await until(found.up, 20)
            yield found
        finally:
            process.kill()


@asynccontextmanager
async def daemon(
    folder: Path, port: int, *, env: Mapping[str, str] | None = None, pass_fds: Sequence[int] = (),
    start: bool = True, out: Path | None = None, process: Process | None = None,
) -> AsyncIterator[Daemon]:  # fmt: skip
    """The daemon of `folder`/config.yaml; killed in the end if it still runs. `out`: where its output goes;
    `process`: run as this one, not as `onhand run`."""
    if process is None:
        command = onhand("run", "--config", str(folder / "config.yaml"))
        process = Process(command, out or folder / "daemon.out", environment(**(env or {})), pass_fds=pass_fds)
    limits = httpx.Limits(max_keepalive_connections=0)  # the daemon dies often: no connection outlives an exchange
    uds = httpx.AsyncHTTPTransport(uds=str(folder / "admin.sock"), limits=limits)
    async with (
        httpx.AsyncClient(trust_env=False, timeout=10, limits=limits) as http,
        httpx.AsyncClient(transport=uds, timeout=30) as admin,
    ):
        try:
            found = Daemon(folder, port, process, http, admin)
            if start:
                process.start()
            yield found
        finally:
            process.kill()

"""The daemon as a real process, between shelves that take its levels; and a client of its admin socket."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import define, frozen

from tests.bench.processes import LOOPBACK, BenchError, Process, environment, free_port, python
from tests.bench.tools import other_disk

SHOP, OTHERS = "shop", ("site", "outlet")
STOCK = 1_000_000
QUIET = {"sweep_s": 604_800, "poll_interval_s": 5.0}
"""Sales at the shop are told by the load generator alone, so its shelf does not show them: it is not compared."""


class UnixConnection(http.client.HTTPConnection):
    """An HTTP connection over a Unix socket."""

    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("onhand", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def exchange(connection: http.client.HTTPConnection, method: str, path: str, body: object = None) -> Any:
    """One call and its JSON answer. Raises `BenchError` where it is refused."""
    data = None if body is None else json.dumps(body).encode()
    connection.request(method, path, data, {"Content-Type": "application/json"} if data else {})
    answer = connection.getresponse()
    content = answer.read()
    if answer.status >= 300:
        raise BenchError(f"{method} {path} was answered {answer.status}: {content[:300].decode('utf-8', 'replace')}")
    return json.loads(content) if content else None


@frozen
class Admin:
    """A client of a daemon's admin socket."""

    path: Path

    def ask(self, path: str, timeout_s: float = 120) -> Any:
        """A query of the admin socket."""
        return self._call("GET", path, None, timeout_s)

    def tell(self, path: str, body: object = None, timeout_s: float = 600) -> Any:
        """A command over the admin socket."""
        return self._call("POST", path, {} if body is None else body, timeout_s)

    def _call(self, method: str, path: str, body: object, timeout_s: float) -> Any:
        connection = UnixConnection(str(self.path), timeout_s)
        try:
            return exchange(connection, method, path, body)
        finally:
            connection.close()


@define(eq=False)
class House:
    """A running daemon and its storefronts."""

    folder: Path
    port: int
    daemon: Process
    shelves: Process
    shelves_port: int

    @property
    def admin(self) -> Admin:
        """The daemon's admin socket."""
        return Admin(self.folder / "admin.sock")

    def shelf(self, command: str, **said: object) -> Any:
        """A command to the storefronts."""
        connection = http.client.HTTPConnection(LOOPBACK, self.shelves_port, timeout=60)
        try:
            return exchange(connection, "POST", f"/{command}", said)
        finally:
            connection.close()

    def ready(self) -> bool:
        """Does /healthz say so?"""
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=5)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def wait(self, condition: Callable[[], bool], what: str, within_s: float = 120, every_s: float = 0.02) -> float:
        """Until it holds; seconds waited. Raises `BenchError`, also where the daemon ends meanwhile."""
        began = time.monotonic()
        while not condition():
            if not self.daemon.alive():
                raise BenchError(f"the daemon ended: {self.daemon.tail()}")
            if time.monotonic() - began > within_s:
                raise BenchError(f"{what} did not happen within {within_s:.0f} s")
            time.sleep(every_s)
        return time.monotonic() - began

    def settled(self) -> bool:
        """Is no push wanted or under way?"""
        outbox = self.admin.ask("/v1/status")["outbox"]
        return not outbox["pending"] and not outbox["in_flight"]

    def pause(self, *channels: str) -> None:
        """Levels are decided and kept, but nothing is pushed there."""
        for channel in channels:
            self.admin.tell(f"/v1/channels/{channel}/pause")

    def resume(self, *channels: str) -> None:
        """Push again."""
        for channel in channels:
            self.admin.tell(f"/v1/channels/{channel}/resume")


def write_config(
    folder: Path, port: int, shelves_port: int, channels: Sequence[str], every: Mapping[str, object], **top: object
) -> None:
    """A config.yaml (JSON is YAML). `every` is added to each channel."""
    content = {
        "state_dir": str(folder / "state"),
        "admin_socket": str(folder / "admin.sock"),
        "listen": f"{LOOPBACK}:{port}",
        "channels": {
            name: {
                "adapter": "sandbox", "base_url": f"http://{LOOPBACK}:{shelves_port}/{name}",
                "webhook_secrets": [f"secret-{name}"], **QUIET, **every,
            }
            for name in channels
        },
        **top,
    }  # fmt: skip
    (folder / "config.yaml").write_text(json.dumps(content, indent=1))


def daemon_process(folder: Path, *, flush_us: int = 0, env: Mapping[str, str] | None = None) -> Process:
    """`onhand run` on the folder's configuration, not yet started. `env` is added to its environment."""
    extra = {**(other_disk(flush_us) if flush_us else {}), **(env or {})}
    command = python("-m", "daemon", "run", "--config", str(folder / "config.yaml"))
    return Process(command, folder / "daemon.out", environment(extra))


@contextmanager
def house(
    folder: Path, *, skus: int, stock: int = STOCK, channels: Sequence[str] = (SHOP, *OTHERS),
    every: Mapping[str, object] | None = None, flush_us: int = 0,
    env: Mapping[str, str] | None = None, ready_s: float = 120, **top: object,
) -> Iterator[House]:  # fmt: skip
    """A daemon that has linked and counted every SKU of its storefronts, and has nothing to do."""
    folder.mkdir(parents=True, exist_ok=True)
    port, shelves_port = free_port(), free_port()
    write_config(folder, port, shelves_port, channels, every or {}, **top)
    shelves = Process(
        python("-m", "tests.bench.shelf", str(shelves_port), str(skus), str(stock), *channels), folder / "shelves.out"
    )
    with shelves, daemon_process(folder, flush_us=flush_us, env=env) as daemon:
        found = House(folder, port, daemon, shelves, shelves_port)
        daemon.wait_listening(port)
        found.wait(found.ready, "the first look at the channels", ready_s)
        found.wait(found.settled, "settling", ready_s)
        time.sleep(1.5)  # a sale in the second of the first count would be ambiguous
        yield found

"""One daemon as a process, which all tests of this room attack; in the end it must be well and have complained of
nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.acceptance.processes import Process, free_port, onhand, sandbox_channel, write_config
from tests.hostile.wire import Target


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """The daemon under attack, ready. Its channel cannot be reached: what happens, happens because of the tests."""
    folder = tmp_path_factory.mktemp("hostile")
    port = free_port()
    write_config(folder, port, {"north": sandbox_channel("north", free_port())})
    process = Process(onhand("run", "--config", str(folder / "config.yaml")), folder / "daemon.out")
    process.start()
    try:
        wait_ready(port)
        under_attack = Target(folder, port, process)
        yield under_attack
        assert under_attack.reported_bugs() == []
        process.ask_to_stop()
        assert process.child is not None
        assert process.child.wait(20) == 0
        assert process.complaints() == ""
    finally:
        process.kill()


def wait_ready(port: int, within_s: float = 30) -> None:
    """Until /healthz says 200."""
    url, until = f"http://127.0.0.1:{port}/healthz", time.monotonic() + within_s
    while time.monotonic() < until:
        try:
            if httpx.get(url, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"the daemon was not ready within {within_s} s: see {Path.cwd()}")

"""A listener that is handed over wins over the configuration, and the log says where the daemon really listens."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from tests.acceptance.processes import LOOPBACK, daemon, free_port, sandbox_channel, write_config
from tests.acceptance.test_shutdown import LAUNCH

pytestmark = pytest.mark.slow


async def test_the_log_names_the_port_that_was_handed_over(tmp_path: Path) -> None:
    with socket.socket() as held:
        held.bind((LOOPBACK, 0))
        held.listen(8)
        port, configured = held.getsockname()[1], free_port()
        config = write_config(tmp_path, configured, {"north": sandbox_channel("north", free_port())})
        async with daemon(tmp_path, port, pass_fds=(held.fileno(),), start=False) as found:
            found.process.command = [sys.executable, "-c", LAUNCH, str(held.fileno()), "run", "--config", str(config)]
            found.process.start()
            await found.wait_ready()
            opened = next(each for each in found.process.records() if each["event"] == "listener.opened")
    assert opened["public"] == f"{LOOPBACK}:{port}"
    assert opened["admin"] == str(tmp_path / "admin.sock")

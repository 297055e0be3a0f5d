"""The `onhand` command against a real admin socket in this process."""

from __future__ import annotations

import json
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import define

from daemon.cli import main
from tests.harness import AdminSocket, House, admin_socket, housed


@define
class Ran:
    """What one command line did."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


@define
class Onhand:
    """Runs command lines on a thread, so that the daemon's side of the socket can answer."""

    socket: str
    house: House
    admin: AdminSocket
    capsys: pytest.CaptureFixture[str]

    async def __call__(self, *arguments: str) -> Ran:
        code = await trio.to_thread.run_sync(main, [*arguments, "--socket", self.socket])
        out, err = self.capsys.readouterr()
        return Ran(code, out, err)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with housed(tmp_path) as running:
        yield running


@pytest.fixture
async def onhand(house: House, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Onhand]:
    with tempfile.TemporaryDirectory() as short:  # a Unix socket's path holds 107 bytes
        path = Path(short) / "s"
        async with admin_socket(house, path) as admin:
            yield Onhand(str(path), house, admin, capsys)

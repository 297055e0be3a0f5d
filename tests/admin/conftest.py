"""A house and its admin socket for every test of this room."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.harness import AdminSocket, House, admin_socket, housed


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with housed(tmp_path) as running:
        yield running


@pytest.fixture
async def admin(house: House) -> AsyncIterator[AdminSocket]:
    # A Unix socket's path holds 107 bytes; pytest's own directories may be longer.
    with tempfile.TemporaryDirectory() as short:
        async with admin_socket(house, Path(short) / "s") as socket:
            yield socket

"""A console in this process: in front of a house's admin socket, asked over a real port."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from attrs import define

from daemon.console.assets import load_assets
from daemon.console.guard import Secret, refuse
from daemon.console.handler import COMMAND_BODY_MAX, ConsoleHandler
from daemon.console.link import Link
from daemon.ingress.listeners import tcp_listeners
from daemon.ingress.server import HttpServer, Limits
from tests.harness import House, admin_socket, housed

TOKEN = "t" * 43


@define
class Console:
    """A running console and a client of it that names it as a browser would."""

    port: int
    http: httpx.AsyncClient
    house: House

    async def __call__(self, method: str, path: str, *, token: str | None = TOKEN, **more: Any) -> httpx.Response:
        headers = {} if token is None else {"Authorization": f"Bearer {token}".strip()}
        return await self.http.request(method, path, headers=headers | more.pop("headers", {}), **more)


@asynccontextmanager
async def console(house: House, socket: str, *, write: bool) -> AsyncIterator[Console]:
    handler = ConsoleHandler(Secret(TOKEN), Link(socket), load_assets(), write)
    errors: list[Exception] = []
    server = HttpServer(handler, Limits(max_body_bytes=COMMAND_BODY_MAX), on_error=errors.append, refuse=refuse)
    listeners = await tcp_listeners("127.0.0.1", 0)
    port = listeners[0].socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve, listeners)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as http:
            yield Console(port, http, house)
        await server.close_gracefully(5)
        nursery.cancel_scope.cancel()
    assert not errors


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with housed(tmp_path) as running:
        await running.listed("MUG", 5)
        await running.counted("MUG", 5)
        yield running


@pytest.fixture
async def socket(house: House) -> AsyncIterator[str]:
    with tempfile.TemporaryDirectory() as short:  # a Unix socket's path holds 107 bytes
        async with admin_socket(house, Path(short) / "s"):
            yield str(Path(short) / "s")


@pytest.fixture
async def reading(house: House, socket: str) -> AsyncIterator[Console]:
    """A console that only reads."""
    async with console(house, socket, write=False) as running:
        yield running


@pytest.fixture
async def writing(house: House, socket: str) -> AsyncIterator[Console]:
    """A console with commands."""
    async with console(house, socket, write=True) as running:
        yield running

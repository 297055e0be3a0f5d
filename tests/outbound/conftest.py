"""Both HTTP clients, opened against a hostile server on loopback."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import trio

from daemon.outbound.http import AddressPolicy, HttpClient, open_http_client

from .hostile_server import HostileServer, Script

Serve = Callable[..., Awaitable[HostileServer]]
Open = Callable[..., HttpClient]


@pytest.fixture(params=["httpx", "asks"])
def kind(request: pytest.FixtureRequest) -> str:
    if request.param == "asks" and importlib.util.find_spec("asks") is None:
        pytest.skip("ASKS IS NOT INSTALLED: THE SECOND HTTP CLIENT IS NOT TESTED HERE (pip install 'onhand[asks]')")
    return str(request.param)


@pytest.fixture
def serve(nursery: trio.Nursery) -> Serve:
    async def start(script: Script, **options: Any) -> HostileServer:
        server: HostileServer = await nursery.start(HostileServer(script, **options).serve)
        return server

    return start


@pytest.fixture
async def open_client(kind: str) -> AsyncIterator[Open]:
    opened: list[HttpClient] = []
    ticks = itertools.count(1)

    def open_for(server: HostileServer | None = None, **options: Any) -> HttpClient:
        hosts = {f"127.0.0.1:{server.port}"} if server else set()
        policy = AddressPolicy(hosts, allow_plain=True, allow_private=True)
        options = {"policy": policy, "clock_us": lambda: next(ticks)} | options
        opened.append(open_http_client(kind, **options))  # type: ignore[arg-type]  # the parameter is one of the two
        return opened[-1]

    yield open_for
    for client in opened:
        await client.aclose()

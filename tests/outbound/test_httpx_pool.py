"""The connection pool under httpx: how it breaks by itself, and what stands in front of and behind it."""

from __future__ import annotations

import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable

import httpcore
import httpx
import pytest
import trio

from daemon.domain.exchange import NoAnswer, Reply, Request, Response
from daemon.outbound.http import AddressPolicy, open_http_client
from daemon.outbound.httpx_client import HttpxClient, OneBody
from daemon.outbound.httpx_wire import CheckedTransport

from .conftest import Serve
from .hostile_server import Conversation, HostileServer
from .test_http_clients import echo, until


def policy_for(server: HostileServer) -> AddressPolicy:
    return AddressPolicy({f"127.0.0.1:{server.port}"}, allow_plain=True, allow_private=True)


@pytest.fixture
async def server(serve: Serve) -> HostileServer:
    async def closing(conversation: Conversation) -> None:
        seen = await conversation.request()
        if seen.target == "/stall":
            await conversation.stall()
        await conversation.answer(200, b"ok", Connection="close")

    return await serve(closing)


@pytest.fixture
async def client(server: HostileServer) -> AsyncIterator[HttpxClient]:
    opened = open_http_client("httpx", policy=policy_for(server), max_connections=2, clock_us=lambda: 0)
    assert isinstance(opened, HttpxClient)
    yield opened
    await opened.aclose()


async def storm(ask: Callable[[], Awaitable[object]], rounds: int) -> None:
    """Two at a time want the one connection, and one of them is cancelled at every possible moment."""

    async def ask_until_cancelled(steps: int) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            for _ in range(steps):
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()

    for turn in range(rounds):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            nursery.start_soon(ask_until_cancelled, 5 + turn % 40)
        await ask()


@pytest.mark.slow
async def test_the_bare_pool_loses_connections_to_cancelled_waiters(server: HostileServer) -> None:
    """Why the limiter is there: should this fail one day, the pool was mended, and the limiter is a bound alone."""
    transport = CheckedTransport(policy_for(server), ssl.create_default_context(), max_connections=1)

    async def ask() -> None:
        request = httpx.Request(
            "GET",
            server.url,
            headers={"host": f"127.0.0.1:{server.port}"},
            stream=OneBody(b""),
            extensions={"timeout": {"pool": 0.2}},
        )
        answer = await transport.handle_async_request(request)
        await answer.aread()
        await answer.aclose()

    with pytest.raises(httpx.PoolTimeout):
        await storm(ask, 200)
    with pytest.raises(httpx.PoolTimeout):
        await ask()
    await transport.aclose()


@pytest.mark.slow
async def test_behind_the_limiter_the_same_storm_does_no_harm(server: HostileServer) -> None:
    client = open_http_client("httpx", policy=policy_for(server), max_connections=1, clock_us=lambda: 0)

    async def ask() -> None:
        assert isinstance(await client.send(Request("GET", server.url, timeout_s=2)), Response)

    await storm(ask, 80)
    assert client.statistics().rebuilt == 0
    await client.aclose()


def lose_connections(client: HttpxClient, server: HostileServer, count: int) -> None:
    """Put the pool in the state the bug leaves it in: connections that nobody has and nobody gives back."""
    pool = client._pool.transport._pool
    origin = httpcore.Origin(b"http", b"127.0.0.1", server.port)
    pool._connections.extend(pool.create_connection(origin) for _ in range(count))


async def test_a_pool_that_gives_out_no_connection_is_replaced(client: HttpxClient, server: HostileServer) -> None:
    lose_connections(client, server, 2)
    reply = await client.send(Request("POST", server.url, body=b"1", timeout_s=0.1))
    assert isinstance(reply, NoAnswer)
    assert not reply.reached
    assert "replaced" in reply.reason
    for _ in range(3):
        assert isinstance(await client.send(Request("POST", server.url, body=b"1", timeout_s=1)), Response)
    assert client.statistics().rebuilt == 1
    assert len(server.requests) == 3


async def test_requests_in_flight_finish_on_the_pool_that_was_replaced(
    client: HttpxClient, serve: Serve, nursery: trio.Nursery
) -> None:
    release = trio.Event()

    async def held(conversation: Conversation) -> None:
        await conversation.request()
        await release.wait()
        await conversation.answer(200, b"late")

    server = await serve(held)
    slow = HttpxClient(
        policy=policy_for(server),
        max_connections=2,
        max_answer_bytes=1000,
        clock_us=lambda: 0,
        ssl_context=ssl.create_default_context(),
    )
    replies: list[Reply] = []

    async def ask() -> None:
        replies.append(await slow.send(Request("POST", server.url, body=b"1", timeout_s=5)))

    async with trio.open_nursery() as inner:
        inner.start_soon(ask)
        await until(lambda: server.requests)
        old = slow._pool
        lose_connections(slow, server, 1)
        assert isinstance(await slow.send(Request("POST", server.url, body=b"1", timeout_s=0.1)), NoAnswer)
        assert slow._pool is not old
        release.set()
    assert [reply.body for reply in replies if isinstance(reply, Response)] == [b"late"]
    assert old.transport._pool.connections == []
    await slow.aclose()


async def test_a_missing_asks_is_one_sentence_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asks", None)
    with pytest.raises(RuntimeError, match=r"pip install 'onhand\[asks\]'"):
        open_http_client("asks", policy=AddressPolicy(set()), clock_us=lambda: 0)


async def test_h11_keeps_what_was_left_over_where_we_look_for_it(serve: Serve) -> None:
    """A private path: were it to move, connections would quietly stop being used twice."""
    server = await serve(echo)
    client = open_http_client("httpx", policy=policy_for(server), clock_us=lambda: 0)
    for _ in range(3):
        await client.send(Request("GET", server.url, timeout_s=1))
    assert server.connections == 1
    await client.aclose()

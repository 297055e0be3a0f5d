"""The conformance suite of the HTTP port: what every client must do, on real loopback sockets."""

from __future__ import annotations

import functools
import gzip
import socket
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import pytest
import trio

from daemon.domain.exchange import NoAnswer, Reply, Request, Response
from daemon.outbound.http import HttpClient

from .conftest import Open, Serve
from .hostile_server import Conversation, HostileServer, Script

SOON = 0.1
"""A deadline for what never comes."""


async def echo(conversation: Conversation) -> None:
    while True:
        seen = await conversation.request()
        await conversation.answer(200, seen.body, X_Method=seen.method, X_Target=seen.target)


def always(raw: bytes, *, close: bool = False, reset: bool = False) -> Script:
    """A script that gives every request the same bytes."""

    async def script(conversation: Conversation) -> None:
        while True:
            await conversation.request()
            await conversation.send(raw)
            if reset:
                conversation.reset()
            if close:
                return

    return script


async def get(client: HttpClient, server: HostileServer, target: str = "/", **options: Any) -> Reply:
    return await client.send(Request("GET", server.url + target, **({"timeout_s": 2.0} | options)))


async def post(client: HttpClient, server: HostileServer, target: str = "/", **options: Any) -> Reply:
    return await client.send(Request("POST", server.url + target, **({"timeout_s": 2.0, "body": b"{}"} | options)))


def answer_of(reply: Reply) -> Response:
    assert isinstance(reply, Response), reply
    return reply


def reason_of(reply: Reply, *, reached: bool) -> str:
    assert isinstance(reply, NoAnswer), reply
    assert reply.reached is reached, reply
    assert reply.reason
    return reply.reason


async def until(condition: Callable[[], Any]) -> None:
    with trio.fail_after(2):
        while not condition():  # noqa: ASYNC110  # what is waited for happens in the kernel or in the client
            await trio.sleep(0.001)


async def closed_by_server(server: HostileServer) -> None:
    await until(lambda: not server.open_now)


# What is sent


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
async def test_method_target_headers_and_body_arrive_as_given(serve: Serve, open_client: Open, method: Any) -> None:
    server = await serve(echo)
    body = b"" if method == "GET" else b'{"stock": 5}\x00\xff'
    request = Request(
        method,
        f"{server.url}/v1/a%2Fb/c%20d?x=1&y=a+b:c,%2F",
        headers={"Content-Type": "application/json", "X-Trace": "t 1"},
        body=body,
        secret_headers={"Authorization": "Bearer s3cret"},
        secret_query={"key": "k&1"},
    )
    reply = answer_of(await open_client(server).send(request))
    (seen,) = server.requests
    assert (reply.status, reply.body, reply.headers["x-method"]) == (200, body, method)
    assert seen.target == "/v1/a%2Fb/c%20d?x=1&y=a+b:c,%2F&key=k%261"
    assert (seen.header("content-type"), seen.header("x-trace")) == ("application/json", "t 1")
    assert seen.header("authorization") == "Bearer s3cret"
    assert seen.header("host") == f"127.0.0.1:{server.port}"
    assert seen.header("content-length") in ({None, "0"} if method == "GET" else {str(len(body))})
    assert seen.header("accept-encoding") == "gzip"


async def test_a_secret_query_stands_alone_where_the_url_has_none(serve: Serve, open_client: Open) -> None:
    server = await serve(echo)
    await get(open_client(server), server, "/p#fragment", secret_query={"key": "k"})
    assert server.requests[0].target == "/p?key=k"


async def test_an_empty_post_says_so(serve: Serve, open_client: Open) -> None:
    server = await serve(echo)
    answer_of(await post(open_client(server), server, body=b""))
    assert server.requests[0].header("content-length") == "0"


async def test_framing_headers_of_a_request_are_dropped(serve: Serve, open_client: Open) -> None:
    server = await serve(echo)
    lies = {"Content-Length": "999", "Transfer-Encoding": "chunked", "Host": "evil.example", "Connection": "close"}
    answer_of(await post(open_client(server), server, headers=lies))
    (seen,) = server.requests
    assert (seen.body, seen.header("transfer-encoding")) == (b"{}", None)
    assert seen.header("host") == f"127.0.0.1:{server.port}"


@pytest.mark.parametrize("headers", [{"X-A": "1\r\nX-B: 2"}, {"X A": "1"}, {"X-A": "ü"}, {"X-A": "1 "}])
async def test_a_header_that_would_break_the_framing_is_never_sent(
    serve: Serve, open_client: Open, headers: dict[str, str]
) -> None:
    server = await serve(echo)
    assert "cannot be sent" in reason_of(await get(open_client(server), server, headers=headers), reached=False)
    assert server.connections == 0


async def test_connections_are_kept_and_used_again(serve: Serve, open_client: Open) -> None:
    server = await serve(echo)
    client = open_client(server)
    for number in range(5):
        assert answer_of(await post(client, server, body=b"%d" % number)).body == b"%d" % number
    assert (server.connections, len(server.requests)) == (1, 5)


async def test_cookies_are_not_kept(serve: Serve, open_client: Open) -> None:
    server = await serve(always(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nContent-Length: 0\r\n\r\n"))
    client = open_client(server)
    assert answer_of(await get(client, server)).headers["set-cookie"] == "a=1; Path=/"
    await get(client, server)
    assert [seen.header("cookie") for seen in server.requests] == [None, None]


async def test_proxies_of_the_environment_are_ignored(
    serve: Serve, open_client: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await serve(echo)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    answer_of(await get(open_client(server), server))


# What is understood


@pytest.mark.parametrize("status", [200, 201, 202, 400, 401, 404, 409, 429, 500, 503])
async def test_any_final_status_is_an_answer(serve: Serve, open_client: Open, status: int) -> None:
    server = await serve(always(b"HTTP/1.1 %d X\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\nno" % status))
    client = open_client(server)
    for _ in range(2):
        reply = answer_of(await post(client, server))
        assert (reply.status, reply.body, reply.headers["retry-after"]) == (status, b"no", "7")
    assert server.connections == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_answer_and_is_not_followed(serve: Serve, open_client: Open, status: int) -> None:
    server = await serve(always(b"HTTP/1.1 %d X\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n" % status))
    reply = answer_of(await open_client(server).send(Request("PUT", server.url + "/a", body=b"1")))
    assert (reply.status, reply.headers["location"]) == (status, "/other")
    assert [(seen.method, seen.target) for seen in server.requests] == [("PUT", "/a")]


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\nContent-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Encoding: gzip\r\n\r\n",
    ],
)
async def test_an_answer_without_a_body_leaves_the_connection_usable(
    serve: Serve, open_client: Open, head: bytes
) -> None:
    server = await serve(always(head))
    client = open_client(server)
    for _ in range(2):
        assert answer_of(await get(client, server)).body == b""
    assert server.connections == 1


async def test_every_value_of_a_repeated_header_is_kept(serve: Serve, open_client: Open) -> None:
    head = b"HTTP/1.1 200 OK\r\nLink: <a>\r\nX-One: 1\r\nLINK: <b>\r\nlink: <c>\r\nContent-Length: 0\r\n\r\n"
    server = await serve(always(head))
    headers = answer_of(await get(open_client(server), server)).headers
    assert headers == {"link": "<a>, <b>, <c>", "x-one": "1", "content-length": "0"}


async def test_a_header_that_is_not_utf8_does_not_cost_the_answer(serve: Serve, open_client: Open) -> None:
    server = await serve(always(b"HTTP/1.1 200 OK\r\nX-Shop: caf\xe9\r\nContent-Length: 0\r\n\r\n"))
    assert answer_of(await get(open_client(server), server)).headers["x-shop"] == "café"


async def test_a_chunked_answer_is_put_together(serve: Serve, open_client: Open) -> None:
    chunks = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nTrailer: 1\r\n\r\n"
    )
    server = await serve(always(chunks))
    client = open_client(server)
    for _ in range(2):
        assert answer_of(await get(client, server)).body == b"abcdefg"
    assert server.connections == 1


@pytest.mark.parametrize(
    "head", [b"HTTP/1.0 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"]
)
async def test_a_body_may_last_until_the_connection_closes(serve: Serve, open_client: Open, head: bytes) -> None:
    server = await serve(always(head + b"body", close=True))
    client = open_client(server)
    for _ in range(2):
        assert answer_of(await get(client, server)).body == b"body"
    assert server.connections == 2


async def test_interim_answers_are_not_the_answer(serve: Serve, open_client: Open) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n"
    server = await serve(always(interim + b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok"))
    reply = answer_of(await post(open_client(server), server))
    assert (reply.status, reply.body, reply.headers) == (201, b"ok", {"content-length": "2"})


async def test_the_injected_clock_stamps_the_request_and_the_last_byte(serve: Serve, open_client: Open) -> None:
    release = trio.Event()

    async def held(conversation: Conversation) -> None:
        for _ in range(2):
            await conversation.request()
            await conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
            await release.wait()
            await conversation.send(b"k")

    server = await serve(held)
    now = [1000]
    client = open_client(server, clock_us=lambda: now[0], max_connections=1)
    replies: list[Response] = []

    async def ask() -> None:
        replies.append(answer_of(await get(client, server)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await until(lambda: len(server.requests) == 1)
        nursery.start_soon(ask)
        await until(lambda: client.statistics().waiting == 1)
        now[0] = 2000
        release.set()
    # The second one waited for the connection: that wait is no part of its round trip.
    assert [(reply.sent_us, reply.received_us) for reply in replies] == [(1000, 2000), (2000, 2000)]


# Compression and bounds

GZIPPED = b"HTTP/1.1 200 OK\r\nContent-Encoding: %b\r\nContent-Length: %d\r\n\r\n%b"


def encoded(body: bytes, coding: bytes = b"gzip") -> bytes:
    return GZIPPED % (coding, len(body), body)


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        (b"gzip", gzip.compress(b"stock" * 1000, mtime=0)),
        (b"X-GZIP", gzip.compress(b"stock" * 1000, mtime=0)),
        (b"deflate", zlib.compress(b"stock" * 1000)),
        (b"identity", b"stock" * 1000),
        (b"gzip", gzip.compress(b"stock" * 600, mtime=0) + gzip.compress(b"stock" * 400, mtime=0)),
    ],
)
async def test_a_compressed_answer_is_decoded(serve: Serve, open_client: Open, coding: bytes, body: bytes) -> None:
    server = await serve(always(encoded(body, coding)))
    client = open_client(server)
    for _ in range(2):
        assert answer_of(await get(client, server)).body == b"stock" * 1000
    assert server.connections == 1


@pytest.mark.parametrize(
    ("coding", "body", "why"),
    [
        (b"gzip", b"not gzip at all", "does not decode"),
        (b"gzip", gzip.compress(b"stock" * 1000, mtime=0)[:-9], "cut short"),
        (b"gzip", gzip.compress(b"stock", mtime=0) + b"junk", "does not decode"),
        (b"br", b"x", "not offered"),
        (b"gzip, gzip", gzip.compress(gzip.compress(b"x", mtime=0), mtime=0), "not offered"),
    ],
)
async def test_an_answer_that_does_not_decode_is_no_answer(
    serve: Serve, open_client: Open, coding: bytes, body: bytes, why: str
) -> None:
    server = await serve(always(encoded(body, coding)))
    client = open_client(server)
    for _ in range(2):
        assert why in reason_of(await get(client, server), reached=True)
    assert len(server.requests) == 2


@functools.cache
def bomb() -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(48)) + packer.flush()


async def test_a_decompression_bomb_costs_no_memory(serve: Serve, open_client: Open) -> None:
    server = await serve(always(encoded(bomb()), close=True))
    client = open_client(server, max_answer_bytes=1 << 20)
    tracemalloc.start()
    try:
        assert "longer than" in reason_of(await get(client, server), reached=True)
        assert tracemalloc.get_traced_memory()[1] < 6 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("chunked", [False, True])
async def test_an_answer_may_be_as_long_as_the_bound_and_no_longer(
    serve: Serve, open_client: Open, chunked: bool
) -> None:
    async def long(conversation: Conversation) -> None:
        while True:
            size = int((await conversation.request()).target[1:])
            if chunked:
                await conversation.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                await conversation.send(b"%x\r\n%b\r\n0\r\n\r\n" % (size, bytes(size)))
            else:
                await conversation.answer(200, bytes(size))

    server = await serve(long)
    client = open_client(server, max_answer_bytes=200_000)
    assert answer_of(await get(client, server, "/200000")).body == bytes(200_000)
    assert "longer than" in reason_of(await get(client, server, "/200001"), reached=True)
    assert "longer than" in reason_of(await get(client, server, "/5000000"), reached=True)
    assert answer_of(await get(client, server, "/3")).body == bytes(3)


async def test_an_endless_answer_is_cut_at_the_bound(serve: Serve, open_client: Open) -> None:
    async def endless(conversation: Conversation) -> None:
        await conversation.request()
        await conversation.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await conversation.send(b"400\r\n" + bytes(1024) + b"\r\n")

    server = await serve(endless)
    assert "longer than" in reason_of(await get(open_client(server, max_answer_bytes=100_000), server), reached=True)
    await closed_by_server(server)


async def test_endless_headers_are_cut(serve: Serve, open_client: Open) -> None:
    async def endless(conversation: Conversation) -> None:
        await conversation.request()
        await conversation.send(b"HTTP/1.1 200 OK\r\n")
        while True:
            await conversation.send(b"X-A: " + b"a" * 1000 + b"\r\n")

    server = await serve(endless)
    reason_of(await get(open_client(server), server), reached=True)
    await closed_by_server(server)


# What goes wrong on the way


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
async def test_a_connection_lost_after_sending_is_doubt(
    serve: Serve, open_client: Open, raw: bytes, reset: bool, method: Any
) -> None:
    server = await serve(always(raw, close=True, reset=reset))
    body = b"" if method == "GET" else b"1"
    reply = await open_client(server).send(Request(method, server.url, body=body, timeout_s=2))
    reason_of(reply, reached=True)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "raw",
    [
        b"garbage\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 TLS, really\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: ten\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n",
        b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    ],
)
async def test_a_malformed_answer_is_doubt(serve: Serve, open_client: Open, raw: bytes) -> None:
    server = await serve(always(raw))
    reason_of(await post(open_client(server), server), reached=True)
    assert len(server.requests) == 1
    await closed_by_server(server)


@pytest.mark.parametrize("raw", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"])
async def test_a_server_that_stalls_meets_the_deadline(serve: Serve, open_client: Open, raw: bytes) -> None:
    server = await serve(always(raw))
    client = open_client(server)
    with trio.fail_after(3):
        assert "deadline" in reason_of(await post(client, server, timeout_s=SOON), reached=True)
    await closed_by_server(server)
    assert len(server.requests) == 1


async def test_a_server_that_drips_meets_the_deadline(serve: Serve, open_client: Open) -> None:
    async def drip(conversation: Conversation) -> None:
        await conversation.request()
        await conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            await conversation.send(b".")
            await trio.sleep(0.01)

    server = await serve(drip)
    assert "reading the answer" in reason_of(await get(open_client(server), server, timeout_s=SOON), reached=True)


async def test_a_server_that_never_reads_meets_the_deadline(serve: Serve, open_client: Open) -> None:
    server = await serve(Conversation.stall)
    with trio.fail_after(3):
        reply = await post(open_client(server), server, body=bytes(8 << 20), timeout_s=SOON)
    assert "sending the request" in reason_of(reply, reached=True)


@pytest.mark.parametrize("hangs_up", [False, True])
async def test_an_answer_that_comes_before_the_body_was_read_is_heard(
    serve: Serve, open_client: Open, hangs_up: bool
) -> None:
    async def impatient(conversation: Conversation) -> None:
        await conversation.head_only()
        await conversation.send(b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        while not hangs_up:
            await conversation.head_only()

    server = await serve(impatient)
    assert answer_of(await post(open_client(server), server, body=bytes(8 << 20))).status == 413


async def test_a_refused_connection_reached_nobody(open_client: Open) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        nobody = HostileServer(echo, port=deaf.getsockname()[1])
        reason = reason_of(await post(open_client(nobody), nobody), reached=False)
    assert "connection refused" in reason


# Connections that went stale, and the rule that nothing is sent twice


async def test_a_connection_the_server_closed_while_idle_is_replaced(serve: Serve, open_client: Open) -> None:
    server = await serve(always(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", close=True))
    client = open_client(server)
    for _ in range(3):
        assert answer_of(await post(client, server)).body == b"ok"
        await closed_by_server(server)
    assert (len(server.requests), client.statistics().repeated) == (3, 0)


def closes_at_second_request(*, reset: bool) -> Script:
    async def script(conversation: Conversation) -> None:
        await conversation.request()
        await conversation.answer(200, b"ok")
        await conversation.request()
        if reset:
            conversation.reset()

    return script


@pytest.mark.parametrize("reset", [False, True])
async def test_a_get_on_a_stale_connection_is_repeated_once(serve: Serve, open_client: Open, reset: bool) -> None:
    server = await serve(closes_at_second_request(reset=reset))
    client = open_client(server)
    for _ in range(2):
        assert answer_of(await get(client, server)).body == b"ok"
    assert (len(server.requests), server.connections, client.statistics().repeated) == (3, 2, 1)


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_nothing_but_a_get_is_ever_repeated(serve: Serve, open_client: Open, reset: bool, method: Any) -> None:
    server = await serve(closes_at_second_request(reset=reset))
    client = open_client(server)
    answer_of(await get(client, server))
    reason_of(await client.send(Request(method, server.url, body=b"1", timeout_s=2)), reached=True)
    assert [seen.method for seen in server.requests] == ["GET", method]


JUNK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 2\r\n\r\nok", b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"]
)
async def test_bytes_behind_an_answer_never_become_the_next_answer(
    serve: Serve, open_client: Open, framing: bytes
) -> None:
    server = await serve(always(b"HTTP/1.1 200 OK\r\n" + framing + JUNK))
    client = open_client(server)
    for _ in range(3):
        assert answer_of(await get(client, server)).body == b"ok"
    assert server.connections == 3


async def test_bytes_nobody_asked_for_never_become_an_answer(serve: Serve, open_client: Open) -> None:
    async def chatty(conversation: Conversation) -> None:
        await conversation.request()
        await conversation.answer(200, b"ok")
        await trio.sleep(0.01)
        await conversation.send(JUNK)
        await conversation.request()

    server = await serve(chatty)
    client = open_client(server)
    assert answer_of(await get(client, server)).body == b"ok"
    await trio.sleep(0.05)
    assert answer_of(await get(client, server)).body == b"ok"


# Limits, cancellation, closing


async def test_no_more_connections_than_allowed(serve: Serve, open_client: Open) -> None:
    async def slow(conversation: Conversation) -> None:
        while True:
            await conversation.request()
            await trio.sleep(0.005)
            await conversation.answer()

    server = await serve(slow)
    client = open_client(server, max_connections=3)
    async with trio.open_nursery() as nursery:
        for _ in range(12):
            nursery.start_soon(get, client, server)
    statistics = client.statistics()
    assert (server.open_most, len(server.requests)) == (3, 12)
    assert (statistics.answered, statistics.in_flight, statistics.waiting) == (12, 0, 0)


async def test_a_deadline_that_passes_in_the_queue_reached_nobody(
    serve: Serve, open_client: Open, nursery: trio.Nursery
) -> None:
    server = await serve(always(b""))
    client = open_client(server, max_connections=1)
    nursery.start_soon(functools.partial(post, client, server, timeout_s=5))
    await until(lambda: server.requests)
    reply = await post(client, server, timeout_s=SOON / 2)
    assert "waiting for a free connection" in reason_of(reply, reached=False)
    assert len(server.requests) == 1


@pytest.mark.parametrize("raw", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"])
async def test_cancellation_passes_through_and_leaves_the_client_usable(
    serve: Serve, open_client: Open, raw: bytes
) -> None:
    async def stalls_on_request(conversation: Conversation) -> None:
        while True:
            seen = await conversation.request()
            await (conversation.send(raw) if seen.target == "/stall" else conversation.answer(200, b"ok"))

    server = await serve(stalls_on_request)
    client = open_client(server, max_connections=2)
    for _ in range(4):
        with trio.move_on_after(SOON / 5) as scope:
            await get(client, server, "/stall")
        assert scope.cancelled_caught
        assert answer_of(await get(client, server)).body == b"ok"
    assert client.statistics().in_flight == 0


async def test_forty_tasks_on_ten_connections_cancelled_by_deadlines_leave_it_healthy(
    serve: Serve, open_client: Open
) -> None:
    async def slow(conversation: Conversation) -> None:
        for _ in range(7):
            await conversation.request()
            await trio.sleep(0.002)
            await conversation.answer()

    server = await serve(slow)
    client = open_client(server, max_connections=10)

    async def hammer(number: int) -> None:
        for turn in range(8):
            await get(client, server, timeout_s=0.001 * (1 + (number * 7 + turn * 3) % 9))

    async with trio.open_nursery() as nursery:
        for number in range(40):
            nursery.start_soon(hammer, number)
    for _ in range(12):
        answer_of(await get(client, server))
    statistics = client.statistics()
    assert (statistics.rebuilt, statistics.in_flight) == (0, 0)
    assert statistics.answered + statistics.unanswered + statistics.unreached == 332


async def test_closing_ends_what_is_in_flight_and_refuses_what_comes_later(serve: Serve, open_client: Open) -> None:
    server = await serve(always(b""))
    client = open_client(server)
    replies: list[Reply] = []

    async def ask() -> None:
        replies.append(await post(client, server, timeout_s=5))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await until(lambda: server.requests)
        await client.aclose()
    reason_of(replies[0], reached=True)
    assert "closed" in reason_of(await post(client, server), reached=False)
    await client.aclose()
    await closed_by_server(server)

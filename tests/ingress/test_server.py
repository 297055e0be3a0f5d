"""The listener over real loopback sockets: what it answers, what it refuses, what it never does."""

from __future__ import annotations

import errno
import math
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

from daemon.ingress.listeners import peer_of
from daemon.ingress.server import HttpRequest, HttpResponse, HttpServer, Limits, RequestHead
from tests.ingress.wire import (
    Echo,
    MemoryListener,
    chunked,
    get,
    once,
    read_all,
    read_until,
    request,
    serving,
    status,
    statuses,
)


async def test_a_request_is_answered_and_the_connection_is_kept() -> None:
    async with serving() as running, await running.connect() as stream:
        for _ in range(3):
            await stream.send_all(request("POST", "/a%20b?x=1", "X-One: 1", body=b"hello"))
            answer = await stream.receive_some(65536)
            assert status(answer) == 200
            assert answer.endswith(b"\r\n\r\nPOST /a%20b hello")
            assert b"Content-Length: 17\r\n" in answer
            assert b"Connection" not in answer
            assert b"Date" not in answer
    seen = running.handler.seen[0]
    assert (seen.target, seen.path, seen.query, seen.peer) == ("/a%20b?x=1", "/a%20b", "x=1", "127.0.0.1")
    assert seen.headers.get("X-ONE") == "1"
    assert (running.server.statistics().requests, running.server.statistics().accepted) == (3, 1)


async def test_answers_carry_the_date_of_the_clock_they_are_given() -> None:
    async with serving(wall_clock=lambda: 784111777.9) as running:
        answer = await running.talk(get("/", "Connection: close"))
    assert b"\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n" in answer
    assert b"\r\nConnection: close\r\n" in answer


async def test_pipelined_requests_are_answered_in_order_one_at_a_time() -> None:
    handler = Echo()
    at_once: list[int] = []

    async def slow(req: HttpRequest) -> HttpResponse:
        at_once.append(running.server.statistics().in_flight)
        assert len(handler.heads) == len(handler.seen), "nothing is admitted ahead"
        await trio.lowlevel.checkpoint()
        return HttpResponse(200, req.target.encode())

    handler.answers["/"] = slow
    async with serving(handler) as running:
        answers = await running.talk(
            b"".join(get(f"/?{n}") for n in range(200)) + get("/?last", "Connection: close") + get("/?late")
        )
    assert at_once == [1] * 201
    assert [part.split(b"\r\n\r\n")[1] for part in answers.split(b"HTTP/1.1 ")[1:]] == [
        *(b"/?%d" % n for n in range(200)),
        b"/?last",
    ]


async def test_http_10_closes_by_default_and_keeps_on_request() -> None:
    async with serving() as running:
        answer = await running.talk(b"GET /x HTTP/1.0\r\n\r\n")
        assert status(answer) == 200
        assert b"Connection: close" in answer
        async with await running.connect() as stream:
            await stream.send_all(b"GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            assert b"Connection: keep-alive" in await read_until(stream, b"GET /x ")
            await stream.send_all(b"GET /y HTTP/1.0\r\n\r\n")
            assert (await read_all(stream)).endswith(b"GET /y ")


async def test_head_gets_the_length_but_no_body() -> None:
    async with serving() as running:
        answers = await running.talk(request("HEAD", "/abc") + get("/", "Connection: close"))
    head, rest = answers.split(b"\r\n\r\n", 1)
    assert b"Content-Length: 10" in head
    assert rest.startswith(b"HTTP/1.1 200")


async def test_a_body_over_the_limit_is_refused_unread_and_the_client_reads_why() -> None:
    async with serving(Echo(room=1000)) as running, await running.connect() as stream:
        await stream.send_all(request("POST", "/", "Content-Length: 1001"))
        assert status(answer := await read_all(stream)) == 413
        assert b"Connection: close" in answer
        # A client that is already sending reads its answer, too: no reset eats it.
        assert status(await running.talk(request("POST", "/", body=b"x" * 300_000))) == 413
        in_chunks = request("POST", "/", "Transfer-Encoding: chunked") + chunked(b"x" * 1001)
        assert status(await running.talk(in_chunks)) == 413
    assert running.handler.seen == []
    assert running.server.statistics().refusals == {413: 3}


async def test_the_handler_decides_before_the_body_and_each_route_has_its_own_room() -> None:
    class Routes(Echo):
        def admit(self, head: RequestHead) -> HttpResponse | int:
            self.heads.append(head)
            return {"/small": 3, "/large": 30}.get(head.path, HttpResponse(404))

    async with serving(Routes()) as running:
        assert status(await running.talk(request("POST", "/small", "Content-Length: 4"))) == 413
        assert status(await running.talk(request("POST", "/other", "Content-Length: 4"))) == 404
        large = request("POST", "/large", "Connection: close", body=b"0123")
        assert statuses(await running.talk(get("/none") + large)) == [404, 200]


async def test_continue_is_sent_only_to_the_admitted() -> None:
    handler = Echo(room=10, refuse={"/no": HttpResponse(401)})
    expect = "Expect: 100-continue"
    async with serving(handler) as running:
        async with await running.connect() as stream:
            await stream.send_all(request("POST", "/", expect, "Content-Length: 3"))
            assert await read_until(stream, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            await stream.send_all(b"abc")
            assert status(await read_until(stream, b"abc")) == 200
        assert statuses(await running.talk(request("POST", "/no", expect, "Content-Length: 3"))) == [401]
        assert statuses(await running.talk(request("POST", "/", expect, "Content-Length: 11"))) == [413]
        at_once = request("POST", "/", expect, "Connection: close", body=b"abc")
        assert statuses(await running.talk(at_once)) == [200]


async def test_content_codings_are_refused() -> None:
    async with serving() as running:
        assert status(await running.talk(request("POST", "/", "Content-Encoding: gzip", body=b"x"))) == 415
        plain = request("POST", "/", "Content-Encoding: identity", "Connection: close", body=b"x")
        assert status(await running.talk(plain)) == 200


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (get("/", "Host: again"), 400),
        (get("/", "X: a\r\n b"), 400),
        (b"GET / HTTP/1.1\nHost: x\n\n", 400),
        (get("/", "X: a\0b"), 400),
        (request("POST", "/", "Transfer-Encoding: chunked", body=b"abc"), 400),
        (get("/", "X: " + "x" * 17_000), 431),
        (get("/", *["A: b"] * 64), 431),
        (get("/" + "x" * 9000), 414),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        (b"\x16\x03\x01 not http at all", 400),
        (get("/", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"), 200),
    ],
)
async def test_what_is_malformed_is_answered_once_and_the_connection_closed(data: bytes, expected: int) -> None:
    async with serving() as running:
        answers = await running.talk(data + get("/smuggled"))
    assert statuses(answers) == [expected]
    assert b"Connection: close" in answers
    assert running.errors == []
    assert all(seen.path == "/" for seen in running.handler.seen)


async def test_absolute_form_is_understood() -> None:
    async with serving() as running:
        assert (await running.talk(get("http://test/a?b", "Connection: close"))).endswith(b"GET /a ")


async def test_a_client_that_has_closed_its_side_still_gets_its_answer() -> None:
    handler = Echo()
    released = trio.Event()

    async def late(_: HttpRequest) -> HttpResponse:
        await released.wait()
        return HttpResponse(200, b"late")

    handler.answers["/"] = late
    async with serving(handler) as running, await running.connect() as stream:
        await stream.send_all(get("/"))
        await stream.send_eof()
        await once(lambda: bool(handler.seen))
        released.set()
        assert (await read_all(stream)).endswith(b"late")


async def test_a_handler_runs_to_its_end_though_the_client_has_gone() -> None:
    handler = Echo()
    released, committed = trio.Event(), trio.Event()

    async def commit(_: HttpRequest) -> HttpResponse:
        await released.wait()
        await trio.lowlevel.checkpoint()
        committed.set()
        return HttpResponse(200, b"x" * 100_000)

    handler.answers["/"] = commit
    async with serving(handler) as running:
        stream = await running.connect()
        await stream.send_all(get("/"))
        await once(lambda: bool(handler.seen))
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, not a FIN
        await stream.aclose()
        released.set()
        await committed.wait()
        await once(lambda: not running.server.statistics().connections)
        assert running.server.statistics().lost_clients == 1
        assert (await running.talk(get("/next", "Connection: close"))).endswith(b"/next ")
    assert running.errors == []


async def test_an_end_in_the_middle_of_a_request_ends_the_connection_quietly() -> None:
    async with serving() as running:
        assert await running.talk(b"GET / HT", eof=True) == b""
        assert await running.talk(request("POST", "/", "Content-Length: 5") + b"ab", eof=True) == b""
    assert (running.handler.seen, running.errors) == ([], [])


async def test_a_failing_handler_costs_a_500_and_a_report_and_nothing_else() -> None:
    async def broken(_: HttpRequest) -> HttpResponse:
        raise RuntimeError("secret detail")

    async def unsendable(_: HttpRequest) -> HttpResponse:
        return HttpResponse(200, headers=(("X", "a\r\nSet-Cookie: b"),))

    handler = Echo(answers={"/broken": broken, "/split": unsendable})
    async with serving(handler) as running:
        answers = await running.talk(get("/broken") + get("/split") + get("/fine", "Connection: close"))
    assert statuses(answers) == [500, 500, 200]
    assert b"secret" not in answers
    assert b"Set-Cookie" not in answers
    assert [type(error) for error in running.errors] == [RuntimeError, ValueError]
    assert running.server.statistics().handler_errors == 2


async def test_a_failing_admission_is_a_500_too() -> None:
    class Broken(Echo):
        def admit(self, head: RequestHead) -> int:
            raise OSError("nothing to do with the client")

    async with serving(Broken()) as running:
        assert status(await running.talk(get("/", "Connection: close"))) == 500
    assert len(running.errors) == 1
    assert running.server.statistics().lost_clients == 0


async def test_an_error_report_that_raises_ends_the_server() -> None:
    async def broken(_: HttpRequest) -> HttpResponse:
        raise RuntimeError("the disk is gone")

    reported: list[Exception] = []

    def fatal(exc: Exception) -> None:
        reported.append(exc)
        raise SystemError from exc

    with pytest.raises(BaseExceptionGroup) as caught:
        async with serving(Echo(answers={"/": broken}), on_error=fatal) as running:
            await running.talk(get("/"))
    assert caught.group_contains(SystemError)
    assert len(reported) == 1


async def test_headers_of_the_handler_and_bodiless_statuses_are_sent_as_meant() -> None:
    async def nothing(_: HttpRequest) -> HttpResponse:
        return HttpResponse(204, b"ignored", headers=(("X-A", "1"), ("X-A", "2")))

    async with serving(Echo(answers={"/": nothing})) as running:
        answer = await running.talk(get("/", "Connection: close"))
    assert answer == b"HTTP/1.1 204 No Content\r\nX-A: 1\r\nX-A: 2\r\nConnection: close\r\n\r\n"


async def test_the_newest_connection_above_the_limit_is_told_to_come_back() -> None:
    async with serving(limits=Limits(max_connections=1, retry_after_s=7)) as running:
        async with await running.connect() as first:
            await first.send_all(get("/a"))
            await read_until(first, b"/a ")
            answer = await running.talk(get("/b"))
            assert status(answer) == 503
            assert b"Retry-After: 7\r\n" in answer
            assert b"Connection: close\r\n" in answer
            await first.send_all(get("/c"))
            await read_until(first, b"/c ")
        await once(lambda: not running.server.statistics().connections)
        assert status(await running.talk(get("/d", "Connection: close"))) == 200
        assert running.server.statistics().turned_away == 1


async def test_unfinished_bodies_share_one_budget() -> None:
    limits = Limits(max_buffered_bytes=100)
    async with serving(limits=limits) as running, await running.connect() as first:
        await first.send_all(request("POST", "/", "Content-Length: 90") + b"x" * 80)
        await once(lambda: running.server.statistics().buffered_bytes == 80)
        answer = await running.talk(request("POST", "/", "Content-Length: 90") + b"x" * 80)
        assert status(answer) == 503
        assert b"Retry-After" in answer
        await first.send_all(b"x" * 10)
        assert status(await read_until(first, b"x")) == 200
        await once(lambda: running.server.statistics().buffered_bytes == 0)


async def test_a_connection_ends_after_its_share_of_requests() -> None:
    async with serving(limits=Limits(max_requests_per_connection=2)) as running:
        answers = await running.talk(get("/1") + get("/2") + get("/3"))
    assert statuses(answers) == [200, 200]
    assert answers.count(b"Connection: close") == 1


async def numbers() -> AsyncIterator[bytes]:
    for n in (b"one\n", b"", b"two\n"):
        await trio.lowlevel.checkpoint()
        yield n


async def stream_of(make: Any, *, endless: bool = False) -> Any:
    async def answer(_: HttpRequest) -> HttpResponse:
        return HttpResponse(200, stream=make(), endless=endless, content_type="application/jsonl")

    return answer


async def test_a_streamed_answer_is_chunked_and_the_connection_goes_on() -> None:
    handler = Echo(answers={"/s": await stream_of(numbers)})
    async with serving(handler) as running:
        answers = await running.talk(get("/s") + request("HEAD", "/s") + get("/after", "Connection: close"))
        old = await running.talk(b"GET /s HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert answers.count(b"Transfer-Encoding: chunked\r\n") == 2
    assert b"\r\n\r\n4\r\none\n\r\n4\r\ntwo\n\r\n0\r\n\r\nHTTP/1.1 200" in answers
    assert answers.endswith(b"GET /after ")
    assert old.endswith(b"Connection: close\r\n\r\none\ntwo\n")


async def test_a_stream_is_closed_when_its_client_leaves() -> None:
    closed = trio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            yield b"first\n"
            await trio.sleep_forever()
        finally:
            closed.set()

    async with serving(Echo(answers={"/": await stream_of(endless, endless=True)})) as running:
        async with await running.connect() as stream:
            await stream.send_all(get("/"))
            await read_until(stream, b"first\n\r\n")
        await closed.wait()
        await once(lambda: not running.server.statistics().connections)
    assert running.errors == []


async def test_a_stream_that_fails_is_cut_without_its_last_chunk() -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield b"first\n"
        raise RuntimeError("half way")

    async with serving(Echo(answers={"/": await stream_of(failing)})) as running:
        answer = await running.talk(get("/"))
    assert answer.endswith(b"6\r\nfirst\n\r\n")
    assert [str(error) for error in running.errors] == ["half way"]


class Exhausted(MemoryListener):
    """Has no descriptor left for the first two clients' worth of tries."""

    failures = 2
    code = errno.EMFILE

    async def accept(self) -> trio.StapledStream:
        if self.failures:
            self.failures -= 1
            raise OSError(self.code, "too many open files")
        return await super().accept()


async def test_accepting_survives_a_shortage_of_descriptors(autojump_clock: trio.testing.MockClock) -> None:
    listener, server = Exhausted(), HttpServer(Echo(), on_error=print)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve, [listener])
        async with listener.connect() as stream:
            await stream.send_all(get("/", "Connection: close"))
            assert status(await read_all(stream)) == 200
        assert server.statistics().accept_pauses == 2
        nursery.cancel_scope.cancel()


async def test_another_error_of_a_listener_is_raised() -> None:
    listener = Exhausted()
    listener.code = errno.EBADF
    with pytest.raises(BaseExceptionGroup) as caught:
        await HttpServer(Echo(), on_error=print).serve([listener])
    assert caught.group_contains(OSError)


async def test_serving_ends_when_its_listeners_are_closed_and_clients_gone() -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    with trio.move_on_after(math.inf):
        await listener.aclose()
        await HttpServer(Echo(), on_error=print).serve([listener])


async def test_the_peer_of_a_simulated_stream_is_nobody() -> None:
    assert peer_of(MemoryListener().connect()) == ""


async def test_a_large_answer_and_a_large_body_pass_whole() -> None:
    async with serving() as running, await running.connect() as stream:
        body = bytes(range(256)) * 4000
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.send_all, request("POST", "/", "Connection: close", body=body))
            answer = await read_all(stream)
    assert answer.endswith(b"\r\n\r\nPOST / " + body)

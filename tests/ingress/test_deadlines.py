"""Time-outs and the orderly stop, on memory streams under a clock that jumps."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from daemon.ingress.reaper import AT_ONCE, BREATHER_S, RESOLUTION_S
from daemon.ingress.server import HttpRequest, HttpResponse, Limits
from tests.ingress.wire import Echo, get, once, read_all, read_until, request, serving, status, statuses

SLACK_S = 2 * RESOLUTION_S


async def trickle(stream: trio.abc.SendStream, data: bytes, every_s: float) -> None:
    for byte in data:
        try:
            await stream.send_all(bytes([byte]))
        except trio.BrokenResourceError:
            return
        await trio.sleep(every_s)


@pytest.mark.parametrize(
    ("begun", "slow", "limit_s"),
    [
        (b"", get("/"), 5),
        (get("/first"), get("/"), 5),
        (request("POST", "/", "Content-Length: 100"), b"x" * 99, 10),
        (request("POST", "/", "Transfer-Encoding: chunked"), b"1\r\nx\r\n" * 99, 10),
    ],
    ids=["first head", "later head", "body", "chunked body"],
)
async def test_a_trickle_does_not_extend_a_deadline(
    begun: bytes, slow: bytes, limit_s: float, autojump_clock: MockClock
) -> None:
    async with serving(memory=True) as running, await running.connect() as stream, trio.open_nursery() as nursery:
        if begun.startswith(b"GET"):
            await stream.send_all(begun)
            await read_until(stream, b"/first ")
        else:
            slow = begun + slow
            if begun:
                await stream.send_all(begun)
                slow = slow[len(begun) :]
        started = trio.current_time()
        nursery.start_soon(trickle, stream, slow, 1.0)
        answer = await read_until(stream, b"too slow\n")
        assert status(answer) == 408
        assert b"Connection: close" in answer
        assert limit_s <= trio.current_time() - started <= limit_s + SLACK_S
        await read_all(stream)
        nursery.cancel_scope.cancel()
    assert running.errors == []


async def test_an_idle_connection_is_closed_silently(autojump_clock: MockClock) -> None:
    async with serving(memory=True) as running, await running.connect() as stream:
        for _ in range(3):
            await stream.send_all(get("/x"))
            await read_until(stream, b"/x ")
            await trio.sleep(14)
        started = trio.current_time()
        assert await read_all(stream) == b""
        assert 1 <= trio.current_time() - started <= 1 + SLACK_S
        assert running.server.statistics().idle_closed == 1


async def test_a_connection_that_never_says_anything_is_closed_silently(autojump_clock: MockClock) -> None:
    async with serving(memory=True) as running, await running.connect() as stream:
        assert await read_all(stream) == b""
        assert 5 <= trio.current_time() <= 5 + SLACK_S


async def test_no_deadline_runs_while_a_handler_works(autojump_clock: MockClock) -> None:
    async def long(_: HttpRequest) -> HttpResponse:
        await trio.sleep(3600)
        return HttpResponse(200, b"done")

    async with serving(Echo(answers={"/": long}), memory=True) as running:
        assert (await running.talk(get("/", "Connection: close"))).endswith(b"done")


async def test_a_client_that_does_not_take_its_answer_is_left(autojump_clock: MockClock) -> None:
    async with serving(memory=True) as running:
        assert running.memory is not None
        running.memory.lockstep = True
        async with await running.connect() as stream:
            await stream.send_all(get("/"))
            await trio.sleep(10 + SLACK_S)
            statistics = running.server.statistics()
            assert (statistics.lost_clients, statistics.connections) == (1, 0)
    assert running.errors == []


async def test_a_flood_after_a_refusal_is_not_read_for_ever(autojump_clock: MockClock) -> None:
    async with serving(Echo(room=0), memory=True) as running, await running.connect() as stream:
        await stream.send_all(request("POST", "/", "Content-Length: 1000000"))
        await read_until(stream, b"large\n")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trickle, stream, b"x" * 100, 0.1)
            assert await read_all(stream) == b""
            assert trio.current_time() <= Limits().linger_timeout_s + SLACK_S
            nursery.cancel_scope.cancel()


async def test_a_stop_finishes_what_was_begun_and_lets_idle_clients_go_at_once(autojump_clock: MockClock) -> None:
    handler = Echo()
    released = trio.Event()

    async def late(_: HttpRequest) -> HttpResponse:
        await released.wait()
        return HttpResponse(200, b"late")

    handler.answers["/late"] = late
    async with serving(handler, memory=True) as running:
        idle, busy = await running.connect(), await running.connect()
        await idle.send_all(get("/idle"))
        await read_until(idle, b"/idle ")
        await busy.send_all(get("/late"))
        await once(lambda: len(handler.seen) == 2)
        outcome: list[bool] = []

        async def stop() -> None:
            outcome.append(await running.server.close_gracefully(30))

        async with trio.open_nursery() as nursery:
            started = trio.current_time()
            nursery.start_soon(stop)
            assert await read_all(idle) == b""
            assert trio.current_time() - started <= SLACK_S
            with pytest.raises(trio.BrokenResourceError):
                await running.connect()
            assert not outcome
            released.set()
            answer = await read_until(busy, b"late")
            assert b"Connection: close" in answer
            await busy.aclose()
        assert outcome == [True]
        await idle.aclose()


async def test_a_request_on_its_way_to_a_stopping_server_is_answered(autojump_clock: MockClock) -> None:
    async with serving(memory=True) as running:
        kept, fresh = await running.connect(), await running.connect()
        await kept.send_all(get("/1"))
        await read_until(kept, b"/1 ")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(running.server.close_gracefully, 30)
            await trio.testing.wait_all_tasks_blocked()
            await kept.send_all(get("/2"))
            assert b"Connection: close" in await read_until(kept, b"/2 ")
            await trio.sleep(0.5)
            await fresh.send_all(get("/3"))
            assert b"Connection: close" in await read_until(fresh, b"/3 ")
            await kept.aclose()
            await fresh.aclose()
        assert running.server.statistics().requests == 3


async def test_a_stop_cuts_what_its_deadline_leaves(autojump_clock: MockClock) -> None:
    async def stuck(_: HttpRequest) -> HttpResponse:
        await trio.sleep_forever()
        raise AssertionError

    async with serving(Echo(answers={"/": stuck}), memory=True) as running, await running.connect() as stream:
        await stream.send_all(get("/"))
        await once(lambda: running.server.statistics().in_flight == 1)
        assert not await running.server.close_gracefully(7)
        assert trio.current_time() == 7
        assert await read_all(stream) == b""
        statistics = running.server.statistics()
        assert (statistics.cut_off, statistics.connections, statistics.in_flight) == (1, 0, 0)


async def test_a_stop_ends_an_endless_stream_cleanly_and_waits_for_any_other(autojump_clock: MockClock) -> None:
    def make(rest_s: float, *, endless: bool) -> Callable[[HttpRequest], Awaitable[HttpResponse]]:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"one\n"
            await trio.sleep(rest_s)
            yield b"two\n"

        async def answer(_: HttpRequest) -> HttpResponse:
            return HttpResponse(200, stream=pieces(), endless=endless)

        return answer

    handler = Echo(answers={"/follow": make(1e6, endless=True), "/export": make(60, endless=False)})
    async with serving(handler, memory=True) as running:
        follow, export = await running.connect(), await running.connect()
        await follow.send_all(get("/follow"))
        await export.send_all(get("/export"))
        await read_until(follow, b"one\n\r\n")
        await read_until(export, b"one\n\r\n")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(running.server.close_gracefully, 100)
            assert await read_until(follow, b"0\r\n\r\n") == b"0\r\n\r\n"
            await follow.aclose()
            assert trio.current_time() <= 1
            assert await read_until(export, b"0\r\n\r\n") == b"4\r\ntwo\n\r\n0\r\n\r\n"
            await export.aclose()


async def test_a_server_stopped_before_it_serves_does_not_wait(autojump_clock: MockClock) -> None:
    async with serving(memory=True) as running:
        pass
    fresh = type(running.server)(Echo(), on_error=print)
    assert await fresh.close_gracefully(1)


async def test_a_thousand_slow_clients_are_all_cut_and_an_honest_one_is_served(autojump_clock: MockClock) -> None:
    async with serving(limits=Limits(max_connections=1001), memory=True) as running:
        slow = [await running.connect() for _ in range(1000)]
        for stream in slow:
            await stream.send_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nab")
        assert statuses(await running.talk(get("/", "Connection: close"))) == [200]
        await trio.sleep(10 + SLACK_S + 1000 / AT_ONCE * BREATHER_S)
        assert running.server.statistics().refusals == {408: 1000}
        for stream in slow:
            await stream.aclose()
        await once(lambda: running.server.statistics().connections == 0)

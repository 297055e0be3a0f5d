"""A stop under load: the server comes too late to its own deadlines, and finds requests there that came in time."""

from __future__ import annotations

import os
import time
from contextlib import AsyncExitStack

import trio
import trio.testing

from daemon.ingress.server import Limits
from tests.ingress.wire import get, read_all, read_until, serving

CLIENTS = 20
HELD_UP_S = 4 * Limits().stop_idle_grace_s


async def test_a_request_that_came_before_the_server_looked_is_answered_however_late_it_looks() -> None:
    async with serving() as running, AsyncExitStack() as closing:
        kept = [await closing.enter_async_context(await running.connect()) for _ in range(CLIENTS)]
        for stream in kept:
            await stream.send_all(get("/1"))
            await read_until(stream, b"/1 ")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(running.server.close_gracefully, 30)
            await trio.testing.wait_all_tasks_blocked()
            for stream in kept:
                assert os.write(stream.socket.fileno(), get("/2")) == len(get("/2"))
            time.sleep(HELD_UP_S)  # noqa: ASYNC251 - nobody in this process has a turn, as on a crowded machine
            for stream in kept:
                assert b"Connection: close" in await read_until(stream, b"/2 ")
        assert running.server.statistics().requests == 2 * CLIENTS


async def test_who_sends_nothing_more_is_let_go_all_the_same() -> None:
    async with serving() as running, await running.connect() as kept:
        await kept.send_all(get("/1"))
        await read_until(kept, b"/1 ")
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(running.server.close_gracefully, 30)
            assert await read_all(kept) == b""
        assert trio.current_time() - began < Limits().idle_timeout_s / 2


async def test_who_hung_up_at_a_stop_does_not_hold_it_up() -> None:
    async with serving() as running:
        async with await running.connect() as kept:
            await kept.send_all(get("/1"))
            await read_until(kept, b"/1 ")
        time.sleep(HELD_UP_S)  # noqa: ASYNC251 - as above: the end has come, and nobody has looked
        with trio.fail_after(Limits().header_timeout_s / 2):
            assert await running.server.close_gracefully(30)

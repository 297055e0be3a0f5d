"""Thousands of connections opened, dropped and reset: the daemon lets go of all of them and serves the next one."""

from __future__ import annotations

import random
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest
import trio

from daemon.ingress.http_types import Limits
from daemon.ports import _files_max
from tests.acceptance.processes import (
    LOOPBACK,
    Process,
    Shop,
    environment,
    free_port,
    onhand,
    sandbox_channel,
    shop,
    until,
    write_config,
)
from tests.acceptance.webhooks import exchange, order_body, request, signed
from tests.hostile.conftest import wait_ready
from tests.hostile.wire import HOOK, SECRET, Target, dropped, signed_order
from tests.ingress.wire import get, read_until, serving, status

pytestmark = pytest.mark.slow

DAWDLE = b"POST /webhooks/north HTTP/1.1\r\nHost: a\r\n"


async def test_thousands_of_connections_opened_dropped_and_reset_leave_nothing_behind(target: Target) -> None:
    rng = random.Random(23)
    before_files, before_events = target.files(), await target.events()
    before_kb = target.resident_kb()
    whole = signed_order("reset")
    resets = [True, False]

    async def attack() -> None:
        for _ in range(150):
            # Never the whole request: nothing of it may be taken.
            await dropped(target.port, whole[: rng.randrange(len(whole))], reset=rng.choice(resets))

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(attack)
        for _ in range(5):
            await target.serve_honestly()
    await target.settle(before_files)
    assert await target.events() == before_events + 5
    assert target.resident_kb() - before_kb < 16 << 10
    await target.serve_honestly(within_s=2)


async def test_a_client_that_resets_after_its_request_is_committed_all_the_same_or_not_at_all(target: Target) -> None:
    before = await target.events()
    bodies = [order_body(f"gone-{number}") for number in range(40)]
    requests = [
        request("POST", HOOK, body, signed(body, SECRET, delivery=f"gone-{number}"))
        for number, body in enumerate(bodies)
    ]
    async with trio.open_nursery() as nursery:
        for whole in requests:
            nursery.start_soon(lambda whole=whole: dropped(target.port, whole, reset=True))
    # The channel got no answer and sends it again: known or new, it counts once.
    for whole in requests:
        assert (await exchange(target.port, whole)).status == 200
    assert await target.events() == before + 40


@asynccontextmanager
async def narrow(folder: Path, files: int, **limits: int) -> AsyncIterator[tuple[Target, Shop]]:
    """A daemon that may have so many open files, between two storefronts."""
    port, shops = free_port(), {"north": free_port(), "south": free_port()}
    channels = {name: sandbox_channel(name, each) for name, each in shops.items()}
    write_config(folder, port, channels, limits=limits)
    command = ["prlimit", f"--nofile={files}:{files}", *onhand("run", "--config", str(folder / "config.yaml"))]
    process = Process(command, folder / "daemon.out", environment())
    url = f"http://{LOOPBACK}:{port}/webhooks/"
    async with shop(folder, "north", url + "north", port=shops["north"]), shop(
        folder, "south", url + "south", port=shops["south"]
    ) as south:  # fmt: skip
        process.start()
        try:
            await trio.to_thread.run_sync(wait_ready, port)
            yield Target(folder, port, process), south
        finally:
            process.kill()


async def test_a_flood_of_connections_leaves_room_for_pushes_the_admin_and_a_backup(tmp_path: Path) -> None:
    """280 open files, some 70 clients at most, and 250 that come again: selling, pushing and asking go on."""
    async with narrow(tmp_path, files=280) as (target, south):
        told = [each for each in target.process.records() if each["event"] == "listener.narrowed"]
        assert [each["files_max"] for each in told] == [280]
        places = told[0]["max_connections"]
        assert 16 <= places <= 120
        async with trio.open_nursery() as crowd:

            async def dawdle() -> None:
                while True:
                    try:
                        async with await trio.open_tcp_stream(LOOPBACK, target.port) as stream:
                            await stream.send_all(DAWDLE)
                            await stream.receive_some(1)
                    except (OSError, trio.BrokenResourceError):
                        await trio.sleep(0.25)

            for _ in range(250):
                crowd.start_soon(dawdle)
            await trio.sleep(1)
            assert target.files() <= 280 - 16  # the reserve is there

            served, number = 0, 0
            with trio.move_on_after(60):
                while served < 5:
                    number += 1
                    body = order_body(f"crowd-{number}")
                    whole = request("POST", HOOK, body, signed(body, SECRET, delivery=f"crowd-{number}"))
                    # Turned away without a word, a channel comes again; answered late, the sale may still count.
                    with suppress(OSError, trio.BrokenResourceError, IndexError):
                        served += (await exchange(target.port, whole)).status == 200
                    await trio.sleep(0.05)
            assert served >= 5

            async def pushed() -> bool:
                return (await south.shown())["SKU-0001"] == 10 - served

            await until(pushed, 20)
            assert (await target.ask("/v1/status"))["events"] > 0
            transport = httpx.AsyncHTTPTransport(uds=str(tmp_path / "admin.sock"))
            async with httpx.AsyncClient(transport=transport, timeout=30) as client:
                done = await client.post("http://onhand/v1/backup", json={"directory": str(tmp_path / "copy")})
            assert done.status_code == 200
            assert target.files() <= 280
            crowd.cancel_scope.cancel()
        assert target.reported_bugs() == []
        assert (tmp_path / "copy" / "data.mdb").stat().st_size > 0


def test_too_few_open_files_are_one_sentence_with_the_remedy(tmp_path: Path) -> None:
    write_config(tmp_path, free_port(), {"north": sandbox_channel("north", free_port())})
    command = ["prlimit", "--nofile=128:128", *onhand("run", "--config", str(tmp_path / "config.yaml"))]
    process = Process(command, tmp_path / "daemon.out", environment())
    process.start()
    assert process.child is not None
    assert process.child.wait(20) == 1
    assert process.complaints().startswith("onhand: only 128 files may be open at once: raise the limit to at least ")
    assert "Traceback" not in process.complaints()


def test_the_daemon_asks_for_all_the_files_it_may_have() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, hard), hard))
        assert _files_max() == hard
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def from_address(address: str, port: int) -> trio.SocketStream:
    """A connection from one of this machine's many loopback addresses."""
    plain = trio.socket.socket()
    await plain.bind((address, 0))
    await plain.connect((LOOPBACK, port))
    return trio.SocketStream(plain)


async def test_one_address_has_no_more_than_its_share_where_that_is_configured() -> None:
    async with serving(limits=Limits(max_connections=40, max_connections_per_peer=10)) as running:
        greedy = [await from_address("127.0.0.2", running.port) for _ in range(10)]
        for _ in range(3):
            turned_away = await from_address("127.0.0.2", running.port)
            told = await read_until(turned_away, b"your address\n")
            assert (status(told), b"Retry-After: 5" in told) == (503, True)
            await turned_away.aclose()
        other = await from_address("127.0.0.3", running.port)
        await other.send_all(get("/"))
        assert await read_until(other, b"GET / ")
        await greedy.pop().aclose()
        with trio.fail_after(5):
            while running.server.statistics().connections > 10:  # noqa: ASYNC110 - nobody tells of a close
                await trio.sleep(0.01)
        again = await from_address("127.0.0.2", running.port)
        await again.send_all(get("/"))
        assert await read_until(again, b"GET / ")
        for stream in [*greedy, other, again]:
            await stream.aclose()

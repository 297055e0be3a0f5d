"""The real ports: a clock, a writer thread that is never abandoned, and ids that do not repeat."""

from __future__ import annotations

import random
import re
import threading
import time
from typing import NoReturn

import pytest
import trio
import trio.testing

from daemon.ports import Ports, WriterThread, production_ports


def real_ports() -> Ports:
    def nobody(*_: object) -> NoReturn:
        raise AssertionError

    async def nowhere(*_: object) -> NoReturn:
        raise AssertionError

    return production_ports(open_http=nobody, listen_public=nowhere, listen_admin=nowhere)


def test_the_clock_counts_microseconds_since_1970() -> None:
    before = time.time()
    now_us = real_ports().wall_us()
    assert before - 1 <= now_us / 1e6 <= time.time() + 1
    assert isinstance(now_us, int)


def test_ids_do_not_repeat() -> None:
    ports = real_ports()
    ids = {ports.new_id() for _ in range(1_000)}
    assert len(ids) == 1_000
    assert all(re.fullmatch(r"[0-9a-f]{32}", each) for each in ids)


def test_two_lives_do_not_share_their_dice() -> None:
    one, other = real_ports(), real_ports()
    assert isinstance(one.rng, random.Random)
    assert [one.rng.random() for _ in range(4)] != [other.rng.random() for _ in range(4)]


def test_the_environment_does_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONHAND_TOKEN", "hunter2")
    ports = real_ports()
    assert ports.environ["ONHAND_TOKEN"] == "hunter2"
    assert "hunter2" not in repr(ports)


def test_lines_go_to_stdout_one_by_one(capsys: pytest.CaptureFixture[str]) -> None:
    real_ports().write_line("{}")
    assert capsys.readouterr().out == "{}\n"


async def test_the_writer_runs_in_another_thread_one_call_at_a_time() -> None:
    run, running, most = WriterThread(), 0, 0

    def work() -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        time.sleep(0.002)
        running -= 1
        return threading.get_ident()

    idents: list[int] = []

    async def call() -> None:
        idents.append(await run(work))

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(call)
    assert most == 1
    assert len(idents) == 8
    assert threading.get_ident() not in idents


async def test_what_the_work_raises_reaches_the_caller() -> None:
    def work() -> NoReturn:
        raise ValueError("full")

    with pytest.raises(ValueError, match="full"):
        await WriterThread()(work)


async def test_work_that_began_is_never_abandoned() -> None:
    run, begun, go, done = WriterThread(), threading.Event(), threading.Event(), False

    def work() -> str:
        nonlocal done
        begun.set()
        assert go.wait(5)
        done = True
        return "committed"

    results: list[str] = []

    async def call() -> None:
        results.append(await run(work))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(call)
        await trio.to_thread.run_sync(begun.wait)
        nursery.cancel_scope.cancel()
        go.set()
    assert done
    assert results == ["committed"]


async def test_work_that_has_not_begun_is_not_done_once_cancelled() -> None:
    run, go, calls = WriterThread(), threading.Event(), 0

    def work() -> None:
        nonlocal calls
        calls += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run, lambda: go.wait(5))
        await trio.testing.wait_all_tasks_blocked()
        with trio.move_on_after(0) as scope:
            await run(work)
        assert scope.cancelled_caught
        go.set()
    assert calls == 0

"""sd_notify: the words systemd knows, over file and abstract sockets, and silence without systemd."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from daemon.notify import Notifier, feed_watchdog


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.setblocking(False)
        path = str(tmp_path / "notify")
        receiver.bind(path)
        yield receiver, path


def test_every_message_is_one_datagram(manager: tuple[socket.socket, str]) -> None:
    receiver, path = manager
    notifier = Notifier({"NOTIFY_SOCKET": path})
    notifier.ready()
    notifier.status("3 channels,\nall well")
    notifier.watchdog()
    notifier.stopping()
    assert [receiver.recv(500) for _ in range(4)] == [
        b"READY=1",
        b"STATUS=3 channels, all well",
        b"WATCHDOG=1",
        b"STOPPING=1",
    ]


def test_abstract_sockets_are_reached() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.setblocking(False)
        receiver.bind("")  # the kernel picks a free abstract name
        name = receiver.getsockname()
        Notifier({"NOTIFY_SOCKET": "@" + name[1:].decode()}).ready()
        assert receiver.recv(500) == b"READY=1"


@pytest.mark.parametrize("address", ["", "relative/path", "vsock:2:1"])
def test_without_a_usable_socket_nothing_happens(address: str) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000"})
    notifier.ready()
    assert notifier.lost == 0
    assert notifier.watchdog_s is None


def test_a_manager_that_is_gone_or_deaf_stops_nothing(tmp_path: Path) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    notifier.ready()
    assert notifier.lost == 1
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(tmp_path / "deaf"))
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "deaf")})
        for _ in range(2_000):
            notifier.watchdog()
        assert notifier.lost > 0


def test_a_status_is_cut_and_always_one_line(manager: tuple[socket.socket, str]) -> None:
    receiver, path = manager
    Notifier({"NOTIFY_SOCKET": path}).status("ab\nREADY=1 " * 1_000)
    sent = receiver.recv(5_000)
    assert b"\n" not in sent
    assert len(sent) == len("STATUS=") + 200


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_fed_only_if_it_watches_us(environ: dict[str, str], seconds: float | None) -> None:
    assert Notifier({"NOTIFY_SOCKET": "/run/notify", **environ}).watchdog_s == seconds


async def test_the_watchdog_is_fed_three_times_a_period_while_work_gets_done(
    manager: tuple[socket.socket, str], autojump_clock: trio.testing.MockClock
) -> None:
    receiver, path = manager
    notifier = Notifier({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "30000000"})
    fed_at: list[float] = []
    hung = False

    async def prove() -> None:
        if hung:
            await trio.sleep_forever()
        fed_at.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        start = trio.current_time()
        nursery.start_soon(feed_watchdog, notifier, prove)
        await trio.sleep(25)
        hung = True
        await trio.sleep(100)
        nursery.cancel_scope.cancel()

    assert [at - start for at in fed_at] == [0, 10, 20]
    assert [receiver.recv(100) for _ in fed_at] == [b"WATCHDOG=1"] * 3
    with pytest.raises(BlockingIOError):
        receiver.recv(100)


async def test_feeding_ends_at_once_where_nobody_watches() -> None:
    async def prove() -> None:
        raise AssertionError

    await feed_watchdog(Notifier({}), prove)

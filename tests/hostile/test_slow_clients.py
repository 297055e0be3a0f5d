"""Slow, silent and half-closed clients over real sockets: each is told and cut in its time, whoever else is there."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest
import trio
from attrs import frozen

from tests.acceptance.processes import LOOPBACK
from tests.hostile.wire import Heard, Target, signed_order, talk

pytestmark = pytest.mark.slow

HEAD = b"POST /webhooks/north HTTP/1.1\r\nHost: a\r\n"
LATE_S = 2.5
"""A busy machine may be late by so much."""


def dripping(head: bytes, drop: bytes) -> Iterator[bytes]:
    """The head, then a drop for ever."""
    return itertools.chain([head], itertools.repeat(drop))


@frozen
class Slow:
    """A slow client: what it sends, how often; what it is answered, and after how long."""

    sent: Iterator[bytes] | bytes
    every_s: float
    statuses: list[int]
    after_s: float
    eof: bool = False


def slow_clients() -> dict[str, Slow]:
    """Header deadline 5 s, body 10 s, idle 15 s: each from its beginning, whatever trickles in."""
    whole = signed_order("slowly")
    kept = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
    return {
        "a head that drips": Slow(dripping(HEAD, b"X: y\r\n"), 0.3, [408], 5),
        "a head that drips byte by byte": Slow((whole[at : at + 1] for at in range(len(whole))), 0.4, [408], 5),
        "a head that stops": Slow(HEAD, 60, [408], 5),
        "a first line that never ends": Slow(dripping(b"POST /", b"a"), 0.3, [408], 5),
        "nothing at all": Slow(b"", 60, [], 5),
        "blank lines for ever": Slow(dripping(b"\r\n", b"\r\n"), 0.3, [408], 5),
        "a body that drips": Slow(dripping(HEAD + b"Content-Length: 900000\r\n\r\n", b"x" * 9), 0.3, [408], 10),
        "a body that stops": Slow(HEAD + b"Content-Length: 9\r\n\r\n{", 60, [408], 10),
        "chunks that drip": Slow(
            dripping(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"), 0.3, [408], 10
        ),
        "a chunk size that drips": Slow(dripping(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"0"), 0.3, [408], 10),
        "trailers that drip": Slow(
            dripping(HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"T: t\r\n"), 0.3, [408], 10
        ),
        "an expectation and then silence": Slow(
            HEAD + b"Expect: 100-continue\r\nContent-Length: 9\r\n\r\n", 60, [100, 408], 10
        ),
        "silence between two requests": Slow(kept, 60, [200], 15),
        "half closed in the head": Slow(HEAD, 0, [], 0, eof=True),
        "half closed in the body": Slow(HEAD + b"Content-Length: 9\r\n\r\n{", 0, [], 0, eof=True),
        "half closed in a chunk": Slow(HEAD + b"Transfer-Encoding: chunked\r\n\r\n9\r\n{", 0, [], 0, eof=True),
        "half closed behind a request": Slow(whole, 0, [200], 0, eof=True),
        "half closed at once": Slow(b"", 0, [], 0, eof=True),
    }


async def ask_and_never_listen(target: Target, cut: list[float]) -> None:
    """Ask for megabytes of answers in one breath, and read nothing."""
    asked = b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n" * 1_900
    plain = trio.socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    await plain.connect((LOOPBACK, target.port))
    async with trio.SocketStream(plain) as stream:
        began = trio.current_time()
        with suppress(trio.BrokenResourceError):
            while True:
                await stream.send_all(asked)
        cut.append(trio.current_time() - began)


async def test_every_slow_client_is_cut_in_its_time_and_honest_ones_are_served_meanwhile(target: Target) -> None:
    before_files, before_kb, before_events = target.files(), target.resident_kb(), await target.events()
    heard: dict[str, Heard] = {}
    clients, cut = slow_clients(), list[float]()

    async def attack(name: str, client: Slow) -> None:
        heard[name] = await talk(target.port, client.sent, every_s=client.every_s, eof=client.eof)

    honest = 0
    async with trio.open_nursery() as nursery:
        for name, client in clients.items():
            nursery.start_soon(attack, name, client)
        for _ in range(64):
            nursery.start_soon(ask_and_never_listen, target, cut)
        while len(heard) < len(clients):
            await target.serve_honestly(within_s=3)
            honest += 1
            assert target.resident_kb() - before_kb < 24 << 10
            await trio.sleep(0.5)

    for name, client in clients.items():
        assert heard[name].statuses == client.statuses, name
        assert client.after_s - 0.1 <= heard[name].seconds <= client.after_s + LATE_S, name
        assert not heard[name].reset, name  # each was told, and could hear it
    assert len(cut) == 64
    assert all(10 - 0.1 <= seconds <= 10 + 2 * LATE_S for seconds in cut)
    assert honest >= 8
    assert await target.events() == before_events + honest + 1  # "half closed behind a request" was a whole one
    await target.settle(before_files)

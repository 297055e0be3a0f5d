"""A hostile channel on the wire: bodies that grow when they are unpacked, and answers byte by byte."""

from __future__ import annotations

import gzip
import ssl
import sys
import zlib
from typing import Any, Final
from unittest import mock

import trio

from daemon.domain.exchange import NoAnswer, Reply, Request, Response
from daemon.outbound import httpx_wire
from daemon.outbound.address import AddressPolicy
from daemon.outbound.httpx_client import HttpxClient
from daemon.outbound.message import AnswerBody, ExchangeError
from tests.fuzz.loop import the_loop
from tests.fuzz.target import Cut, Target, line

MAX: Final = 4_096
CODINGS: Final = ("", "gzip", "deflate", "x-gzip", "identity", "br", "gzip, gzip", "GZIP ")


def answer_body(data: bytes) -> None:
    """The body as any reader of gzip has it, however it is split; or a sentence. Never more than its bound."""
    cut = Cut(data)
    coding, split, packed = cut.pick(CODINGS), 1 + cut.byte(), cut.byte() % 4
    wire = cut.rest()
    match packed:
        case 1:
            wire = gzip.compress(wire, 1, mtime=0)
        case 2:
            wire = zlib.compress(wire)
        case 3:
            wire = gzip.compress(wire[: len(wire) // 2], 1, mtime=0) + gzip.compress(
                wire[len(wire) // 2 :], 1, mtime=0
            )
    whole = _read(coding, [wire])
    assert _read(coding, [wire[at : at + split] for at in range(0, len(wire), split)]) == whole
    if isinstance(whole, bytes):
        assert len(whole) <= MAX
        if coding.strip().lower() in ("", "identity"):
            assert whole == wire
        elif wire[:2] == b"\x1f\x8b":
            assert gzip.decompress(wire) == whole
        elif wire and wire[0] & 15 == 8:
            assert zlib.decompressobj().decompress(wire) == whole[: len(zlib.decompressobj().decompress(wire))]


def _read(coding: str, pieces: list[bytes]) -> bytes | str:
    try:
        body = AnswerBody(coding, MAX)
        for piece in pieces:
            body.feed(piece)
        return body.complete()
    except ExchangeError as failure:
        assert "\n" not in str(failure)
        return "refused"


# --- a whole client over a wire in memory ---------------------------------------------------------------------


class _Silent:
    def is_readable(self) -> bool:
        return False


class _Tcp:
    """A connection that gives out prepared pieces, then ends."""

    socket = _Silent()

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces
        self.sent = b""
        self.closed = False

    async def receive_some(self, max_bytes: int) -> bytes:
        await trio.lowlevel.checkpoint()
        if self.closed:
            raise trio.ClosedResourceError
        return self._pieces.pop(0) if self._pieces else b""

    async def send_all(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        if self.closed:
            raise trio.ClosedResourceError
        self.sent += data

    async def aclose(self) -> None:
        self.closed = True
        await trio.lowlevel.checkpoint()


class _Wires:
    """Stands in for `connect`: every connection is a fresh copy of the same prepared one."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.opened: list[_Tcp] = []

    async def connect(self, *_: Any) -> Any:
        tcp = _Tcp(list(self.pieces))
        self.opened.append(tcp)
        return tcp


class _Clients:
    """Both clients over wires of ours; made once."""

    def __init__(self) -> None:
        self.wires = _Wires()
        self.context = ssl.create_default_context()
        self.asks: Any = None
        try:
            from daemon.outbound import asks_client
        except ImportError:
            return
        self.asks = asks_client.AsksClient

    def send(self, make: Any, request: Request, pieces: list[bytes]) -> Reply:
        self.wires.pieces, self.wires.opened = pieces, []
        room = sys.modules["daemon.outbound.asks_client"] if make is self.asks else httpx_wire
        with mock.patch.object(room, "connect", self.wires.connect):
            return the_loop().run(self._send, make, request)

    async def _send(self, make: Any, request: Request) -> Reply:
        policy = AddressPolicy(frozenset({"shop.example"}), allow_plain=True)
        client = make(
            policy=policy, max_connections=1, max_answer_bytes=MAX, clock_us=lambda: 1, ssl_context=self.context
        )
        try:
            return await client.send(request)
        finally:
            await client.aclose()


_CLIENTS: Final[list[_Clients]] = []


def http_clients(data: bytes) -> None:
    """Any bytes are an answer or no answer, for both clients; where both read an answer, it is the same one."""
    if not _CLIENTS:
        _CLIENTS.append(_Clients())
    clients = _CLIENTS[0]
    cut = Cut(data)
    method, split = cut.pick(("GET", "PUT")), 1 + cut.number()
    wire = cut.rest()
    pieces = [wire[at : at + split] for at in range(0, len(wire), split)]
    request = Request(method, "http://shop.example/wp-json?a=b", body=b"{}" if method == "PUT" else b"")
    mine = clients.send(HttpxClient, request, pieces)
    _judge(mine, clients.wires.opened, method)
    if clients.asks is None:
        return
    theirs = clients.send(clients.asks, request, pieces)
    _judge(theirs, clients.wires.opened, method)
    if isinstance(mine, Response) and isinstance(theirs, Response):
        assert (mine.status, mine.headers, mine.body) == (theirs.status, theirs.headers, theirs.body)


def _judge(reply: Reply, opened: list[_Tcp], method: str) -> None:
    assert len(opened) == 1, "a first connection is fresh: nothing may be sent twice"
    assert opened[0].sent.startswith(method.encode() + b" /wp-json?a=b HTTP/1.1\r\n")
    assert opened[0].sent.count(b"HTTP/1.1") == 1
    assert opened[0].closed
    match reply:
        case Response():
            assert 200 <= reply.status <= 999
            assert len(reply.body) <= MAX
            for name, value in reply.headers.items():
                assert name == name.lower()
                assert "\n" not in value
                assert "\r" not in value
        case NoAnswer():
            assert reply.reached
            assert reply.reason
            assert "\n" not in reply.reason


def _answer(*lines: bytes, body: bytes = b"", start: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return b"\0\xff\xff" + b"\r\n".join([start, *lines]) + b"\r\n\r\n" + body


TARGETS: Final = (
    Target(
        "answer_body",
        answer_body,
        "gzip and deflate, bounded",
        2_048,
        (
            b"\x1f\x8b\x08",
            b"\x78\x9c",
            b"\x00" * 16,
            b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x03\x00" + b"\x00" * 8,
        ),
        lambda: (
            b"\1\7\1" + b"a" * 600,
            b"\2\3\2hello",
            b"\1\xff\3two members",
            b"\0\1\0plain",
            b"\1\0\0" + gzip.compress(b"0" * 9_000, mtime=0),
            b"\1\x20\0" + gzip.compress(b"", mtime=0) * 60,
            b"\5\0\0br",
        ),
    ),
    Target(
        "http_clients",
        http_clients,
        "both HTTP clients on any bytes, one against the other",
        1_024,
        (
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.0 200 OK\r\n",
            b"Content-Length: 2\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"\r\n\r\n",
            b"Content-Encoding: gzip\r\n",
            b"Retry-After: 1\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\n",
            b"0\r\n\r\n",
            b"Connection: close\r\n",
            b"Set-Cookie: a\r\n",
            b"HTTP/1.1 304 x\r\n",
            b"HTTP/1.1 101 x\r\n",
            b"line(\r\n",
        ),
        lambda: (
            _answer(b"Content-Length: 2", body=b"{}"),
            _answer(body=b"until the end"),
            line(b"nonsense"),
            _answer(b"Transfer-Encoding: chunked", body=b"2\r\n{}\r\n0\r\nTrailer: t\r\n\r\n"),
            _answer(start=b"HTTP/1.1 100 Continue")
            + b"HTTP/1.1 429 x\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n",
            _answer(b"Content-Encoding: gzip", b"Content-Length: 25", body=gzip.compress(b"{}", mtime=0)),
            _answer(b"A: 1", b"a: 2", b"Content-Length: 0", start=b"HTTP/1.0 301 x"),
            _answer(start=b"HTTP/1.1 204 x", body=b"x"),
        ),
    ),
)

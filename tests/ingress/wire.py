"""A raw HTTP client and an echoing handler for the listener's tests: bytes out, bytes in, nothing hidden."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio
import trio.testing
from attrs import define, field

from daemon.ingress.server import HttpRequest, HttpResponse, HttpServer, Limits, RequestHead


@define(eq=False)
class Echo:
    """Admits everything up to `room` bytes, answers with method, path and body; `answers` overrides by path."""

    room: int = 1 << 20
    heads: list[RequestHead] = field(factory=list)
    seen: list[HttpRequest] = field(factory=list)
    refuse: dict[str, HttpResponse] = field(factory=dict)
    answers: dict[str, Callable[[HttpRequest], Any]] = field(factory=dict)

    def admit(self, head: RequestHead) -> HttpResponse | int:
        self.heads.append(head)
        return self.refuse.get(head.path, self.room)

    async def respond(self, request: HttpRequest) -> HttpResponse:
        self.seen.append(request)
        if request.path in self.answers:
            return await self.answers[request.path](request)
        return HttpResponse(200, f"{request.method} {request.path} ".encode() + request.body)


class MemoryListener(trio.abc.Listener[trio.StapledStream]):
    """Accepts what `connect` makes: both ends live in this process and know no time but Trio's.

    With `lockstep` a send waits until the other end has taken everything.
    """

    def __init__(self) -> None:
        self.lockstep = False
        self._send, self._receive = trio.open_memory_channel[trio.StapledStream](1024)

    def connect(self) -> trio.StapledStream[Any, Any]:
        pair = trio.testing.lockstep_stream_pair if self.lockstep else trio.testing.memory_stream_pair
        ours, theirs = pair()
        self._send.send_nowait(theirs)
        return ours

    async def accept(self) -> trio.StapledStream[Any, Any]:
        return await self._receive.receive()

    async def aclose(self) -> None:
        self._receive.close()
        await trio.lowlevel.checkpoint()


@define(eq=False)
class Running:
    server: HttpServer
    handler: Any
    port: int = 0
    memory: MemoryListener | None = None
    errors: list[Exception] = field(factory=list)

    async def connect(self) -> Any:
        if self.memory is not None:
            return self.memory.connect()
        return await trio.open_tcp_stream("127.0.0.1", self.port)

    async def talk(self, data: bytes, *, eof: bool = False) -> bytes:
        """Send, then read until the server closes."""
        async with await self.connect() as stream:
            await stream.send_all(data)
            if eof:
                await stream.send_eof()
            return await read_all(stream)


async def read_all(stream: Any) -> bytes:
    got = b""
    while data := await stream.receive_some(65536):
        got += data
    return got


async def read_until(stream: Any, ending: bytes) -> bytes:
    got = b""
    while not got.endswith(ending):
        data = await stream.receive_some(65536)
        assert data, f"closed after {got!r}"
        got += data
    return got


@asynccontextmanager
async def serving(handler: Any = None, limits: Limits | None = None, *, memory: bool = False, **options: Any):
    """A server on a real loopback port, or on memory streams; cancelled at the end."""
    running = Running(None, handler or Echo())  # type: ignore[arg-type]  # completed below
    options.setdefault("on_error", running.errors.append)
    running.server = HttpServer(running.handler, limits, **options)
    listeners: list[Any]
    if memory:
        running.memory = MemoryListener()
        listeners = [running.memory]
    else:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        running.port = listeners[0].socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        await nursery.start(running.server.serve, listeners)
        yield running
        nursery.cancel_scope.cancel()


async def once(condition: Callable[[], bool]) -> None:
    """Let the others run until the condition holds."""
    while not condition():
        await trio.lowlevel.checkpoint()


def get(path: str = "/", *headers: str, version: str = "1.1") -> bytes:
    return request("GET", path, *headers, version=version)


def request(method: str, path: str, *headers: str, body: bytes = b"", version: str = "1.1") -> bytes:
    lines = [f"{method} {path} HTTP/{version}", "Host: test", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def statuses(answers: bytes) -> list[int]:
    return [int(part.split(b" ", 1)[0]) for part in answers.split(b"HTTP/1.1 ")[1:]]


Pieces = AsyncIterator[bytes]

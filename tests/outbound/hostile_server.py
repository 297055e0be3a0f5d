"""A small HTTP/1.1 server on a real loopback socket that behaves exactly as badly as its script says."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable

import trio
from attrs import define, field, frozen


@frozen
class Seen:
    """One request as it came off the wire."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)


class Corked(trio.abc.Stream):
    """A transport that can hold its output back, so that several TLS records leave as one piece."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._held = bytearray()
        self.holding = False

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        self._held += data
        if not self.holding:
            data, self._held = self._held, bytearray()
            await self._stream.send_all(data)

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await self._stream.receive_some(max_bytes)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()


class Conversation:
    """One accepted connection, in the hands of a script."""

    def __init__(self, server: HostileServer, stream: trio.abc.Stream, tcp: trio.SocketStream, cork: Corked) -> None:
        self.cork = cork
        self._server = server
        self._stream = stream
        self._tcp = tcp
        self._buffer = bytearray()

    async def request(self) -> Seen:
        """Read one whole request. Raises `EOFError` where the client closed instead."""
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            await self._more()
        lines = self._buffer[:end].decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        method, target, _ = lines[0].split(" ")
        headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines[1:])]
        length = int(dict(headers).get("content-length", "0"))
        while len(self._buffer) < length:
            await self._more()
        seen = Seen(method, target, headers, bytes(self._buffer[:length]))
        del self._buffer[:length]
        self._server.requests.append(seen)
        return seen

    async def head_only(self) -> None:
        """Read some of a request and no more."""
        await self._more()

    async def _more(self) -> None:
        received = await self._stream.receive_some(65536)
        if not received:
            raise EOFError
        self._buffer += received

    async def send(self, raw: bytes) -> None:
        await self._stream.send_all(raw)

    async def answer(self, status: int = 200, body: bytes = b"", **headers: str) -> None:
        """Send one proper answer, with a Content-Length."""
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    async def stall(self) -> None:
        await trio.sleep_forever()

    def reset(self) -> None:
        """Make the coming close a TCP reset."""
        self._tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


Script = Callable[[Conversation], Awaitable[None]]


@define
class HostileServer:
    """Runs `script` for every connection; where it returns, the connection is closed."""

    script: Script
    tls: ssl.SSLContext | None = None
    port: int = 0
    connections: int = 0
    open_now: int = 0
    open_most: int = 0
    requests: list[Seen] = field(factory=list)

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    async def serve(self, *, task_status: trio.TaskStatus[HostileServer] = trio.TASK_STATUS_IGNORED) -> None:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listeners[0].socket.getsockname()[1]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, self._converse, listeners)
            task_status.started(self)

    async def _converse(self, tcp: trio.SocketStream) -> None:
        self.connections += 1
        self.open_now += 1
        self.open_most = max(self.open_most, self.open_now)
        cork = Corked(tcp)
        stream = trio.SSLStream(cork, self.tls, server_side=True, https_compatible=True) if self.tls else cork
        try:
            with contextlib.suppress(EOFError, trio.BrokenResourceError, trio.ClosedResourceError):
                await self.script(Conversation(self, stream, tcp, cork))
        finally:
            self.open_now -= 1
            await trio.aclose_forcefully(stream)

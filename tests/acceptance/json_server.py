"""HTTP enough for a twin: one call a connection, JSON or nothing in the answer."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import trio

Answer = Callable[[str, str, dict[str, str], bytes], tuple[int, Any, dict[str, str]]]
"""Of (method, target, headers by their lower names, body): status, what becomes JSON (None: nothing), headers."""


async def one_call(stream: trio.SocketStream, answer: Answer) -> None:
    """Read a request, answer it, close."""
    received = b""
    while b"\r\n\r\n" not in received:
        data = await stream.receive_some(65_536)
        if not data:
            return
        received += data
    head, _, body = received.partition(b"\r\n\r\n")
    start, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    while len(body) < int(headers.get("content-length", "0")):
        body += await stream.receive_some(65_536)
    method, target, _ = start.split()
    status, content, extra = answer(method, target, headers, body)
    sent = b"" if content is None else json.dumps(content).encode()
    extra = {**extra, "content-type": "application/json", "content-length": str(len(sent)), "connection": "close"}
    shown = "".join(f"{name}: {value}\r\n" for name, value in extra.items())
    await stream.send_all(f"HTTP/1.1 {status} X\r\n{shown}\r\n".encode() + sent)
    await stream.aclose()


@asynccontextmanager
async def answering(answer: Answer) -> AsyncIterator[int]:
    """The port of a server that answers so."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")

    async def survive(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):  # the daemon was killed in the middle of a call
            await one_call(stream, answer)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, survive, listeners)
        yield int(listeners[0].socket.getsockname()[1])
        nursery.cancel_scope.cancel()

"""The BigCommerce twin over loopback HTTP, with its webhooks: refused ones come again, then it gives them up."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import trio

from tests.acceptance.webhooks import exchange, request
from tests.adapters.bigcommerce_twin import Item, Twin

RETRY_S = (0.3, 0.6, 1.2)
"""A minute and more, in the real store."""


class Server:
    """A twin that takes calls, and the answers that its webhooks got."""

    def __init__(self, items: Iterable[Item], **options: Any) -> None:
        self.twin = Twin({item.variant: item for item in items}, time.time, **options)
        self.delivered: list[tuple[str, int, int]] = []
        """(scope, status, bytes of the answer's body)"""
        self.port = 0

    async def serve(self, stream: trio.SocketStream) -> None:
        """One connection, one call."""
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
        status, content, extra = self.twin.answer(method, target, headers, body)
        sent = b"" if content is None else json.dumps(content).encode()
        extra |= {"content-type": "application/json", "content-length": str(len(sent)), "connection": "close"}
        shown = "".join(f"{name}: {value}\r\n" for name, value in extra.items())
        await stream.send_all(f"HTTP/1.1 {status} X\r\n{shown}\r\n".encode() + sent)
        await stream.aclose()

    async def deliver(self, hook: Any, url: str, body: bytes, headers: dict[str, str]) -> None:
        """Until it is taken; then the hook is switched off, as the store does it after 48 hours."""
        parts = urlsplit(url)
        for wait_s in (*RETRY_S, 0.0):
            try:
                answer = await exchange(parts.port or 80, request("POST", parts.path, body, headers), 5)
                status, size = answer.status, len(answer.body)
            except (OSError, trio.BrokenResourceError, trio.TooSlowError, IndexError):
                status, size = 0, 0  # nobody there, too slow, or cut off in the middle
            self.delivered.append((hook["scope"], status, size))
            if 200 <= status < 300:
                return
            await trio.sleep(wait_s)
        hook["is_active"] = False


@asynccontextmanager
async def running(server: Server) -> AsyncIterator[Server]:
    """The store, taking calls."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    server.port = listeners[0].socket.getsockname()[1]

    async def survive(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):  # the daemon was killed in the middle of a call
            await server.serve(stream)

    async with trio.open_nursery() as nursery:
        server.twin.send = lambda *told: nursery.start_soon(server.deliver, *told)
        nursery.start_soon(trio.serve_listeners, survive, listeners)
        yield server
        nursery.cancel_scope.cancel()

"""The TikTok Shop twin over loopback HTTP, with its webhooks: what is not taken comes again, a few times."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import trio

from tests.acceptance.webhooks import exchange, request
from tests.adapters.tiktok_twin import Item, Twin

RETRY_S = (0.2, 0.5, 1.5, 3.0)
"""2 and 30 minutes, 3 and 12 hours, at the real one (tiktok_shop.md §2)."""


class Server:
    """A twin that takes calls, and the answers that its webhooks got.

    It takes only https addresses for webhooks; what it sends to them goes to `port_of_ours` on this machine.
    """

    def __init__(self, items: Iterable[Item], port_of_ours: int, **options: Any) -> None:
        self.twin = Twin({item.sku: item for item in items}, time.time, **options)
        self.port_of_ours = port_of_ours
        self.delivered: list[tuple[int, int]] = []
        """(status, bytes of the answer's body)"""
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

    async def deliver(self, url: str, body: bytes, headers: dict[str, str]) -> None:
        """Until it is answered 200 (or 401, which counts as taken there), then four times more, then never again."""
        for wait_s in (*RETRY_S, 0.0):
            try:
                answer = await exchange(self.port_of_ours, request("POST", urlsplit(url).path, body, headers), 3)
                status, size = answer.status, len(answer.body)
            except (OSError, trio.BrokenResourceError, trio.TooSlowError, IndexError):
                status, size = 0, 0  # nobody there, too slow, or cut off in the middle
            self.delivered.append((status, size))
            if status in (200, 401):
                return
            await trio.sleep(wait_s)


@asynccontextmanager
async def running(server: Server) -> AsyncIterator[Server]:
    """The shop, taking calls."""
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

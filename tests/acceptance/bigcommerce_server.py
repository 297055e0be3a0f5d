"""The BigCommerce twin over loopback HTTP, with its webhooks: refused ones come again, then it gives them up."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import trio

from tests.acceptance.json_server import one_call
from tests.acceptance.webhooks import exchange, request
from tests.adapters.bigcommerce_twin import Item, Twin

RETRY_S = (0.1, 0.2, 0.4)
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
        await one_call(stream, self.twin.answer)

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

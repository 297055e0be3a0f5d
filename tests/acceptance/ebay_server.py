"""The eBay twin over loopback HTTP: it challenges an endpoint before it takes it, and notifies it of purchases."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import trio
from attrs import define, field

from tests.acceptance.webhooks import exchange, request
from tests.adapters.ebay_twin import Purchase, Twin

CODE = "a8628072-53fb-4b1e-9ee7-2f2f8d5b9b5e"


@define
class Server:
    """A twin that takes calls. `delivered`: the statuses that its notifications were answered with."""

    twin: Twin = field(factory=lambda: Twin(lambda: int(time.time() * 1000)))
    delivered: list[int] = field(factory=list)
    port: int = 0

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
        if "/destination" in target and body:
            proof = await challenged(json.loads(body)["deliveryConfig"]["endpoint"])
            self.twin.endpoint_answers = lambda url, code: proof if code == CODE else None
        status, extra, content = self.twin.answer(method, target, headers, body)
        extra = {**extra, "Content-Length": str(len(content)), "Connection": "close"}
        shown = "".join(f"{name}: {value}\r\n" for name, value in extra.items())
        await stream.send_all(f"HTTP/1.1 {status} X\r\n{shown}\r\n".encode() + content)
        await stream.aclose()

    async def notify(self, purchase: Purchase) -> None:
        """Tell every live destination that the buyer has paid."""
        headers, body = self.twin.notice(purchase)
        for each in self.twin.subscriptions.values():
            destination = self.twin.destinations[each["destinationId"]]
            if each["status"] == destination["status"] == "ENABLED":
                parts = urlsplit(destination["deliveryConfig"]["endpoint"])
                answer = await exchange(parts.port or 80, request("POST", parts.path, body, headers), 5)
                self.delivered.append(answer.status)


async def challenged(url: str) -> bytes | None:
    """What the endpoint answers to the challenge."""
    parts = urlsplit(url)
    try:
        answer = await exchange(parts.port or 80, request("GET", f"{parts.path}?challenge_code={CODE}"), 5)
    except (OSError, trio.BrokenResourceError, trio.TooSlowError, IndexError):
        return None
    return answer.body if answer.status == 200 else None


@asynccontextmanager
async def running(server: Server) -> AsyncIterator[Server]:
    """eBay, taking calls."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    server.port = listeners[0].socket.getsockname()[1]

    async def survive(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):  # the daemon was killed in the middle of a call
            await server.serve(stream)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, survive, listeners)
        yield server
        nursery.cancel_scope.cancel()

"""Webhooks as a sandbox storefront would send them, and a client that sends exactly the bytes it is told to."""

from __future__ import annotations

import hmac
import json
import time
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import trio

from tests.acceptance.processes import LOOPBACK
from tests.harness import Answer, parse_answer


def order_body(order: str, *, version: int = 1, lines: Sequence[tuple[str, int]] = (("SKU-0001", 1),)) -> bytes:
    """An `order.updated` message that sells (SKU, units)."""
    now = datetime.now(UTC).isoformat()
    shown = [
        {"id": str(place), "sku": sku, "listing": f"L-{sku}", "ordered": units, "cancelled": 0, "restocked": 0,
         "fulfilled": 0}
        for place, (sku, units) in enumerate(lines, 1)
    ]  # fmt: skip
    wire = {"id": order, "version": version, "created_at": now, "updated_at": now, "lines": shown}
    return json.dumps({"topic": "order.updated", "order": wire}).encode()


def signed(body: bytes, secret: str, *, delivery: str, age_s: float = 0) -> dict[str, str]:
    """The headers of a webhook with this body."""
    stamp = str(int(time.time() - age_s))
    digest = hmac.digest(secret.encode(), f"{stamp}.".encode() + body, "sha256")
    return {
        "X-Sandbox-Delivery": delivery,
        "X-Sandbox-Timestamp": stamp,
        "X-Sandbox-Signature": b64encode(digest).decode(),
    }


def request(
    method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None, *, length: int | None = None
) -> bytes:
    """One request's bytes. `length`: what Content-Length claims."""
    claimed = len(body) if length is None else length
    lines = [f"{method} {path} HTTP/1.1", "Host: onhand", "Connection: close", f"Content-Length: {claimed}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def read_answer(stream: trio.abc.ReceiveStream) -> Answer:
    """The one answer on this connection, which must be closed after it."""
    received = b""
    while data := await stream.receive_some(65_536):
        received += data
    return parse_answer(received)


async def exchange(port: int, sent: bytes, within_s: float = 10) -> Answer:
    """Send these bytes on a connection of their own; the answer."""
    with trio.fail_after(within_s):
        async with await trio.open_tcp_stream(LOOPBACK, port) as stream:
            await stream.send_all(sent)
            return await read_answer(stream)


async def post(
    port: int, channel: str, body: bytes, secret: str, *, delivery: str, age_s: float = 0, within_s: float = 10
) -> Answer:
    """One signed webhook."""
    headers = signed(body, secret, delivery=delivery, age_s=age_s)
    return await exchange(port, request("POST", f"/webhooks/{channel}", body, headers), within_s)

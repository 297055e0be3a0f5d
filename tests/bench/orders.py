"""Signed webhooks of the sandbox storefront, prepared before a run so that making them costs nothing in it."""

from __future__ import annotations

import hmac
import itertools
import random
import struct
import time
from base64 import b64encode
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

CHANNEL = "shop"
SECRET = "secret-shop"
BYTES_MIN, BYTES_MAX = 1_024, 4_096
"""Of a body. Real orders are full of what stock-keeping does not need; the rest is made up of such."""
LINES_MAX = 3

_life = f"{time.time_ns():x}"
_numbers = itertools.count(1)


def stamp(at_s: float) -> str:
    """A moment, seconds since 1970, as a query takes it."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def sku_names(count: int) -> list[str]:
    """SKUs as a seller may name them."""
    return [f"SKU-{place:07d}" for place in range(count)]


def order(rng: random.Random, skus: Sequence[str]) -> tuple[bytes, str]:
    """(request, order id): an order of one to three lines over `skus`, one unit each, all of them of the same SKU
    where there is only one."""
    number = next(_numbers)
    name = f"{_life}-{number}"
    lines = [_line(place, sku) for place, sku in enumerate(rng.choices(skus, k=rng.randint(1, LINES_MAX)))]
    return prepare(name, lines, rng.randint(BYTES_MIN, BYTES_MAX)), name


def single(sku: str, channel: str = CHANNEL) -> bytes:
    """A request that sells one unit of one SKU."""
    name = f"{_life}-{next(_numbers)}"
    return prepare(name, [_line(1, sku)], BYTES_MIN, channel)


def _line(place: int, sku: str) -> dict[str, object]:
    counts = {"ordered": 1, "cancelled": 0, "restocked": 0, "fulfilled": 0}
    return {"id": str(place), "sku": sku, "listing": f"L-{sku}", **counts}


def prepare(name: str, lines: Sequence[object], wanted: int, channel: str = CHANNEL) -> bytes:
    """The whole HTTP request for an order, its body filled up to about `wanted` bytes with what a real one holds."""
    now = datetime.now(UTC).isoformat()
    wire: dict[str, object] = {"id": name, "version": 1, "created_at": now, "updated_at": now, "lines": lines}
    body = {"topic": "order.updated", "order": wire}
    room = wanted - len(msgspec.json.encode(body))
    wire["customer"] = {
        "name": "Jo Example",
        "email": "jo@example.com",
        "address": ["1 Example Street", "Exampleton"],
    }
    wire["properties"] = [
        {"name": f"property-{place}", "value": "x" * 60, "visible": True}
        for place in range(max(0, room - 120) // 108)
    ]
    return signed(msgspec.json.encode(body), name, channel)


def signed(body: bytes, delivery: str, channel: str = CHANNEL) -> bytes:
    """The HTTP request that brings this body."""
    stamp = str(int(time.time()))
    digest = b64encode(hmac.digest(f"secret-{channel}".encode(), f"{stamp}.".encode() + body, "sha256")).decode()
    head = (
        f"POST /webhooks/{channel} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: sandbox-storefront/1\r\n"
        f"Accept: */*\r\nContent-Type: application/json\r\nX-Sandbox-Topic: order.updated\r\n"
        f"X-Sandbox-Delivery: {delivery}\r\nX-Sandbox-Timestamp: {stamp}\r\nX-Sandbox-Signature: {digest}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def batch(count: int, skus: Sequence[str], seed: int = 1) -> list[bytes]:
    """So many different orders."""
    rng = random.Random(seed)
    return [order(rng, skus)[0] for _ in range(count)]


def write(requests: Iterable[bytes], path: Path) -> Path:
    """As the load generator reads them."""
    with path.open("wb") as file:
        for each in requests:
            file.write(struct.pack("<I", len(each)) + each)
    return path

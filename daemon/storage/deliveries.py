"""The kept bodies of webhooks, in the order they came."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from attrs import frozen

from daemon.storage.codec import number, unpack
from daemon.storage.store import Store
from daemon.storage.tables import DELIVERIES

PAGE = 100


@frozen
class Kept:
    """One delivery as it was kept, without buyer data. `received_us`: our clock."""

    delivery: int
    channel: str
    topic: str
    received_us: int
    body: bytes


def kept(store: Store, *, channel: str, since_us: int, until_us: int) -> Iterator[tuple[int, list[Kept]]]:
    """Pages of what was received from `since_us` to before `until_us`, of one channel if `channel`; each with the
    number that it reaches to, and empty where nothing of a page is meant."""
    after = 0
    while rows := store.env.scan(DELIVERIES, number(after + 1), limit=PAGE):
        page = []
        for key, payload in rows:
            after = int.from_bytes(key, "big")
            name, topic, _, received_us, body = unpack(payload)
            if (not channel or name == channel) and since_us <= received_us < until_us:
                page.append(Kept(after, name, topic, received_us, zlib.decompress(body)))
        yield after, page

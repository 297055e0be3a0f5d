"""The event log as JSON lines: page by page from the store, and on as it grows. Memory holds one page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import trio
from attrs import define

from daemon.admin.answers import JSON_LINES, ApiError, dump_line
from daemon.admin.views import concerns, entry
from daemon.ingress.http_types import HttpResponse
from daemon.storage.store import Store

PAGE: Final = 250
"""Events read and sent at once: a few milliseconds of the loop's time."""
FOLLOWERS_MAX: Final = 16


@define
class EventStreams:
    """All streams of one daemon; at most `FOLLOWERS_MAX` of them stay open to wait for news."""

    store: Store
    followers: int = 0

    def answer(self, *, after: int, sku: str, limit: int, follow: bool) -> HttpResponse:
        """Up to `limit` (0: all) durable events after `after`, of one SKU if `sku`; with `follow`, it never ends.

        Raises `ApiError` 503 when too many follow already.
        """
        if not follow:
            pieces = self._pages(after, sku, limit or 1 << 62)
            return HttpResponse(200, content_type=JSON_LINES, stream=pieces)
        if self.followers >= FOLLOWERS_MAX:
            raise ApiError(
                503, "overloaded", f"{self.followers} clients follow the events already", "end one of them first"
            )
        return HttpResponse(200, content_type=JSON_LINES, stream=self._follow(after, sku), endless=True)

    async def _pages(self, after: int, sku: str, limit: int) -> AsyncIterator[bytes]:
        until = self.store.head.seq  # what comes later is for those who follow
        while limit > 0 and (records := self.store.records(after, PAGE)):
            after = records[-1].seq
            wanted = [record for record in records if record.seq <= until and concerns(record, sku)][:limit]
            limit -= len(wanted)
            yield b"".join(dump_line(entry(record)) for record in wanted)
            if after >= until:
                return
            await trio.lowlevel.checkpoint()

    async def _follow(self, after: int, sku: str) -> AsyncIterator[bytes]:
        self.followers += 1
        try:
            while True:
                records = self.store.records(after, PAGE)
                if not records:
                    # No checkpoint lies between the look and the wait: a commit cannot slip through.
                    await self.store.wait_news()
                    continue
                after = records[-1].seq
                yield b"".join(dump_line(entry(record)) for record in records if concerns(record, sku))
                await trio.lowlevel.checkpoint()
        finally:
            self.followers -= 1

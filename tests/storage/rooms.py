"""A store without threads: commits run inline, on the loop, and fail when they are told to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from attrs import define, field

from daemon.domain.instants import exactly
from daemon.domain.observations import StockCount
from daemon.storage.codec import Cause
from daemon.storage.environment import Environment
from daemon.storage.store import Notices, Store

POLL = Cause("poll", "shop")


async def inline(fn: Callable[[], Any]) -> Any:
    """`RunBlocking` without a thread."""
    await trio.lowlevel.checkpoint()
    return fn()


@define
class Disk:
    """`RunBlocking` that takes `takes_s`, and raises what `failures` holds first, one for each call."""

    takes_s: float = 0.0
    failures: list[BaseException] = field(factory=list)
    calls: int = 0

    async def __call__(self, fn: Callable[[], Any]) -> Any:
        self.calls += 1
        await trio.sleep(self.takes_s)
        if self.failures:
            raise self.failures.pop(0)
        return fn()


@define
class Ticking:
    """Our clock: a millisecond later each time somebody looks."""

    us: int = 1_000_000_000

    def __call__(self) -> int:
        self.us += 1_000
        return self.us


@asynccontextmanager
async def opened(
    directory: Path, disk: Callable[..., Any] = inline, *, notices: Notices | None = None, map_bytes: int = 1 << 22,
    **bounds: Any,
) -> AsyncIterator[Store]:  # fmt: skip
    """A store with its committer running; left without a checkpoint and without a farewell, as by a kill."""
    env = Environment.open(directory, genesis="g", map_bytes=map_bytes, **bounds)
    try:
        store = Store(env, disk, Ticking(), notices or Notices(), disk_floor_bytes=0)
        async with trio.open_nursery() as nursery:
            await nursery.start(store.run)
            yield store
            nursery.cancel_scope.cancel()
    finally:
        env.close(clean=False)


def count(store: Store, sku: str = "A", quantity: int = 1) -> int:
    """Append one event; its number."""
    now_us = store.now_us()
    return store.append(sku, StockCount("p", sku, quantity, at=exactly(now_us)), POLL, at_us=now_us).seq

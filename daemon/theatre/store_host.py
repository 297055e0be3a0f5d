"""A storefront under Trio's clock: its calls, its late writes, and its webhooks on their way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

import trio

from adapters.storefront import Hook, Storefront, StoreReply
from daemon.domain.instants import SECOND_US

WEBHOOKS_MAX: Final = 16
"""Webhooks on their way at the same time."""
PATIENCE_S: Final = 5.0
"""How long the storefront waits for the answer to a webhook."""


class SendHook(Protocol):
    async def __call__(self, hook: Hook) -> int | None:
        """Deliver one webhook; returns the answer's status, None where there was none. Must not raise."""
        ...


class StoreHost:
    """Lets one storefront live. `now_us` is the host's clock, µs since 1970; waiting is Trio's."""

    def __init__(self, store: Storefront, now_us: Callable[[], int]) -> None:
        self.store = store
        self._now_us = now_us
        self._news = trio.Event()
        self._on_the_way = 0

    def handle(self, method: str, target: str, body: bytes) -> StoreReply:
        """Serve one call at once. The reply says how its answer is to be mistreated."""
        reply = self.store.handle(method, target, body, self._now_us())
        self._news.set()
        return reply

    def own_us(self) -> int:
        """The storefront's own clock, µs since 1970."""
        return self.store.own_us(self._now_us())

    def statistics(self) -> dict[str, int]:
        """Webhooks on their way."""
        return {"webhooks_on_the_way": self._on_the_way}

    async def run(self, send: SendHook, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Do what is due, for ever: late writes, and webhooks, at most `WEBHOOKS_MAX` of them at a time."""
        async with trio.open_nursery() as nursery:
            task_status.started()
            while True:
                self._news = trio.Event()
                now_us = self._now_us()
                for hook in self.store.due_webhooks(now_us, WEBHOOKS_MAX - self._on_the_way):
                    self._on_the_way += 1
                    nursery.start_soon(self._deliver, hook, send)
                due_us = self.store.next_due_us()
                if due_us is None or self._on_the_way >= WEBHOOKS_MAX:
                    await self._news.wait()
                    continue
                # Never zero: a clock that stands still between two looks must not turn this into a busy loop.
                with trio.move_on_after(max(due_us - now_us, 1000) / SECOND_US):
                    await self._news.wait()

    async def _deliver(self, hook: Hook, send: SendHook) -> None:
        status = None
        with trio.move_on_after(PATIENCE_S):
            status = await send(hook)
        self._on_the_way -= 1
        self.store.delivered(hook.sending, status, self._now_us())
        self._news.set()

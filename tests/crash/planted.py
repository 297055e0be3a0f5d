"""Bugs to plant: what a daemon would do that acknowledged too early, or counted a repeated fact again.

They show that the kill loop and the matrix would see it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import trio
from attrs import evolve

from daemon.actors.actor import Unit
from daemon.actors.registry import Registry
from daemon.domain.observations import OrderLine
from daemon.ingress.receiver import Receiver
from daemon.ports import WriterThread

LAZY_S = 0.02
"""So long such a daemon gathers what it commits at once. On a fast disk there would be next to nothing to lose."""


def ack_first() -> None:
    """A webhook is answered as soon as it is applied in memory; the commit that makes it durable follows later."""
    deliver, in_thread = Registry.deliver, WriterThread.__call__

    async def lazy(self: WriterThread, fn: Callable[[], Any], /) -> Any:
        def later() -> Any:
            time.sleep(LAZY_S)
            return fn()

        return await in_thread(self, later)

    async def hasty(self: Registry, parts: list[Any], finish: Any = None) -> Any:
        if not any(part.cause.by == "webhook" for part in parts):
            return await deliver(self, parts, finish)
        unit = Unit(parts, finish, done=trio.Event())
        self._post(unit)
        assert unit.done is not None
        await unit.done.wait()
        return unit

    Registry.deliver = hasty  # type: ignore[method-assign]
    WriterThread.__call__ = lazy  # type: ignore[method-assign]


def no_dedup() -> None:
    """Nobody looks whether a delivery, or the version of the order in it, was there before: each telling counts."""
    deliver = Registry.deliver
    told = [0]

    async def once_more(self: Registry, parts: list[Any], finish: Any = None) -> Any:
        fresh = []
        for part in parts:
            if part.cause.by == "webhook" and isinstance(part.message, OrderLine):
                told[0] += 1
                message = evolve(part.message, line=f"{part.message.line} told as {part.cause.delivery}-{told[0]}")
                part = part._replace(message=message)
            fresh.append(part)
        return await deliver(self, fresh, finish)

    async def unknown(self: Receiver, key: bytes) -> None:
        """No delivery was seen before."""

    Registry.deliver = once_more  # type: ignore[method-assign]
    Receiver._known = unknown  # type: ignore[method-assign]


PLANTED: dict[str, Callable[[], None]] = {"ack-first": ack_first, "no-dedup": no_dedup}

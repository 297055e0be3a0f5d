"""One Trio loop for a whole fuzz run: starting one for each input would cost more than what it tests.

Trio runs as a guest of a plain queue. A task that never rests keeps it from waiting for the system, so an input is
one call: start the coroutine, turn the queue until it is done. Between two inputs everything stands still.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import outcome
import trio

T = TypeVar("T")

TURNS_MAX = 20_000
"""Turns of the loop for one input; what takes more waits for something that never comes."""


class StuckError(AssertionError):
    """What was called did not come to an end."""


class Loop:
    """A Trio loop that is turned by hand."""

    def __init__(self) -> None:
        self._queue: deque[Callable[[], object]] = deque()
        self._calls: deque[Callable[[], Awaitable[object]]] = deque()
        self._ended: list[outcome.Outcome[None]] = []
        trio.lowlevel.start_guest_run(
            self._main,
            run_sync_soon_threadsafe=self._queue.append,
            done_callback=self._ended.append,
        )

    async def _main(self) -> None:
        async with trio.open_nursery() as nursery:
            while True:
                await trio.lowlevel.checkpoint()
                while self._calls:
                    nursery.start_soon(self._calls.popleft())

    def run(self, call: Callable[..., Awaitable[T]], *arguments: object) -> T:
        """Await `call(*arguments)` to its end and give its result, or raise what it raises."""
        found: list[outcome.Outcome[T]] = []

        async def one() -> None:
            found.append(await outcome.acapture(call, *arguments))

        self._calls.append(one)
        for _ in range(TURNS_MAX):
            if found:
                return found[0].unwrap()
            if self._ended:
                self._ended[0].unwrap()
            self._queue.popleft()()
        raise StuckError("it waits for something that never comes")

    def start(self, call: Callable[..., Awaitable[Any]], *arguments: object) -> None:
        """Let `call` run beside everything else, for ever."""
        self._calls.append(lambda: call(*arguments))


@functools.cache
def the_loop() -> Loop:
    """The one loop of this process: a thread can be host to no more than one."""
    return Loop()

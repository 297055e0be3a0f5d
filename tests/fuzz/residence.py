"""A whole store with its actors, standing while inputs come to it, and built anew from time to time."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

import trio

from tests.fuzz.loop import the_loop
from tests.harness import House, housed

FRESH_AFTER = 2_000
"""Inputs after which the house is built anew: what one leaves behind must not slow, or explain, the next thousand."""

T = TypeVar("T")


async def _at_once(work: Callable[[], Any]) -> Any:
    """Commits need no thread here: nobody else wants the loop."""
    return work()


def memory() -> str | None:
    """A folder in memory, None where the system has none."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def _room() -> Path:
    # A fuzzer's child is ended without ceremony: it names a folder that its parent takes away.
    return Path(tempfile.mkdtemp(prefix="fuzz-house-", dir=tempfile.tempdir or memory()))


class Residence(Generic[T]):
    """A house on memory-backed files, furnished by `furnish`, whose result every visit is given."""

    def __init__(self, furnish: Callable[[House], Awaitable[T]]) -> None:
        self._furnish = furnish
        self._visits = 0
        self._inside: T | None = None
        self._moved: trio.Event | None = None
        self._left: trio.Event | None = None
        self._folders: list[Path] = []
        atexit.register(self._sweep)

    def visit(self, call: Callable[..., Awaitable[None]], *arguments: object) -> None:
        """Await `call(inside, *arguments)`."""
        if self._visits % FRESH_AFTER == 0:
            the_loop().run(self._move)
        self._visits += 1
        the_loop().run(call, self._inside, *arguments)

    async def _move(self) -> None:
        if self._moved is not None and self._left is not None:
            self._moved.set()
            await self._left.wait()
            self._sweep()
        folder = _room()
        self._folders.append(folder)
        ready, self._moved, self._left = trio.Event(), trio.Event(), trio.Event()
        the_loop().start(self._live, folder, ready, self._moved, self._left)
        await ready.wait()

    async def _live(self, folder: Path, ready: trio.Event, moved: trio.Event, left: trio.Event) -> None:
        async with housed(folder, run_blocking=_at_once) as house:
            self._inside = await self._furnish(house)
            ready.set()
            await moved.wait()
        left.set()

    def _sweep(self) -> None:
        for folder in self._folders:
            shutil.rmtree(folder, ignore_errors=True)
        self._folders.clear()

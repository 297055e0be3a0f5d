"""Faults built into the product on purpose: a test that finds none of them proves nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import lmdb
import trio

from daemon.storage import environment, markers
from daemon.storage.store import Store


def _opened_with(**flags: bool) -> None:
    """LMDB is opened with weaker promises."""
    real = lmdb.open

    def weaker(*arguments: Any, **given: Any) -> Any:
        return real(*arguments, **{**given, **flags})

    lmdb.open = weaker


def _acknowledge_first() -> None:
    """Nobody waits for the commit."""

    async def flush(_: Store) -> None:
        await trio.lowlevel.checkpoint()

    Store.flush = flush  # type: ignore[method-assign]


def _names_unsynced() -> None:
    """The directory is never synced."""
    environment.sync_directory = markers.sync_directory = lambda _: None


def _clean_too_early() -> None:
    """The marker of a state in use is not durable before the first write, and goes before its successor is."""
    markers.sync_directory = lambda _: None
    real = markers.write_synced
    markers.write_synced = lambda path, content: (
        real(path, content) if path.name == "initialised" else path.write_bytes(content)
    )


PLANTED: dict[str, Callable[[], None]] = {
    "no-sync": partial(_opened_with, sync=False),
    "no-metasync": partial(_opened_with, metasync=False),
    "ack-first": _acknowledge_first,
    "no-directory-sync": _names_unsynced,
    "markers-unsynced": _clean_too_early,
}

"""Around every play: a temporary state, signals, and trouble said in one sentence."""

from __future__ import annotations

import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import trio
from rich.console import Console

from daemon.config import ConfigError
from daemon.storage.files import StoreError
from daemon.theatre.admin_socket import AdminRefusedError
from daemon.theatre.stage import CallFailedError

PASSED: Final = 0
FAILED: Final = 1
INTERRUPTED: Final = 130

PIPE_COLUMNS: Final = 110
_SAID = (OSError, StoreError, ConfigError, CallFailedError, AdminRefusedError, trio.TooSlowError)


def raise_curtain(play: Callable[[Path], Awaitable[int]]) -> int:
    """Run `play` with a directory of its own, which is gone afterwards; returns its exit code.

    SIGINT and SIGTERM end it early (130). What nobody can help is one sentence on stderr (1); bugs are raised.
    """
    with tempfile.TemporaryDirectory(prefix="onhand-", ignore_cleanup_errors=True) as directory:
        try:
            return trio.run(_played, play, Path(directory))
        except BaseExceptionGroup as group:
            known, other = group.split(_SAID)
            if known is None or other is not None:
                raise
            return _say(_first(known))
        except _SAID as error:
            return _say(error)


async def _played(play: Callable[[Path], Awaitable[int]], directory: Path) -> int:
    codes: list[int] = []
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:

            async def until_signalled() -> None:
                async for _ in signals:
                    nursery.cancel_scope.cancel()

            nursery.start_soon(until_signalled)
            codes.append(await play(directory))
            nursery.cancel_scope.cancel()
    return codes[0] if codes else INTERRUPTED


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _say(error: BaseException) -> int:
    late = "the storefronts and the daemon were not ready in time: try again on a machine with less to do"
    sys.stderr.write(f"{late if isinstance(error, trio.TooSlowError) else error}\n")
    return FAILED


def console(*, stderr: bool = False) -> Console:
    """Where tables go. Nothing in a text is taken for markup; a pipe gets enough width for a whole table."""
    made = Console(stderr=stderr, markup=False, highlight=False, emoji=False)
    if not made.is_terminal:
        made.width = max(made.width, PIPE_COLUMNS)
    return made

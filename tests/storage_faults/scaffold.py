"""What the named faults of storage are brought about with, and the list of them.

Each case is a function of an empty folder that returns the sentence. It runs in a fork of its own, in a process that
the library of `tap` was loaded before, so that it may limit, damage and kill what it likes.
"""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trio
import trio.testing

from daemon.storage.environment import Environment
from daemon.storage.files import StoreError
from tests.storage_faults.checks import examine
from tests.storage_faults.children import in_a_child
from tests.storage_faults.lives import run_lives

NOBODY = 65_534
CASES: dict[str, Callable[[Path], str]] = {}
MIB = 1 << 20


def case(name: str) -> Callable[[Callable[[Path], str]], Callable[[Path], str]]:
    """Put a case on the list under its name."""

    def put(function: Callable[[Path], str]) -> Callable[[Path], str]:
        CASES[name] = function
        return function

    return put


def refusal(work: Callable[[], Any]) -> str:
    """The sentence with which this is refused; fails where it is not."""
    try:
        work()
    except StoreError as error:
        return str(error)
    raise AssertionError("it was not refused")


def lived(folder: Path, *, clean: bool = True, seconds: float = 2.0) -> tuple[Path, list[Any]]:
    """A state in which something was sold, and what was acknowledged."""
    acknowledged: list[Any] = []
    run_lives(folder / "state", 1, [(seconds, clean)], acknowledged.append)
    assert acknowledged
    return folder / "state", acknowledged


def whole(state: Path, acknowledged: list[Any]) -> None:
    """Nothing is lost and everything agrees."""
    verdict = examine(state, acknowledged)
    assert verdict.good, verdict


def open_state(state: Path, **bounds: int) -> Environment:
    return Environment.open(state, genesis="g", **bounds)


@contextmanager
def no_room(more: int = 0) -> Iterator[None]:
    """No file may grow beyond `more` bytes."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (more, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def killed(work: Callable[[], Any]) -> None:
    """Do it in a fork that is expected to kill itself half-way."""
    _, died = in_a_child(lambda _: work())
    assert died == "signal 9", died


def die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def simulated(main: Callable[[], Any]) -> Any:
    return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def stopped(main: Callable[[], Any]) -> str:
    """The sentence with which this stops the process; it may have stopped more than one task."""
    try:
        simulated(main)
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if group.split(StoreError)[1] is None:
            return str(error)
        raise
    raise AssertionError("it went on")


@contextmanager
def failing(letter: str) -> Iterator[None]:
    """The disk fails what `letter` says (see tap.c)."""
    path = Path(os.environ["TAP_FAULT"])
    path.write_text(letter)
    try:
        yield
    finally:
        path.write_text("-")

"""The files of a state directory: the lock, the markers beside the database, and the check before it is opened.

onhand.lock    held while a process uses the state
initialised    the state's genesis: tells "new" from "lost"
unclean        there while the state is in use: after a kill the structure is verified
closed         what the database looked like at the last orderly stop: any other look is verified
data.mdb       the database
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path

import lmdb.verify


class StoreError(Exception):
    """The store cannot be used; the sentence says why and what to do."""


def take_lock(directory: Path) -> int:
    """The descriptor that keeps every other process out of this state; raises `StoreError` if one is there."""
    path = directory / "onhand.lock"
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(
            f"the state directory {directory} cannot be written ({error.strerror}); give it to the daemon's user"
        ) from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise StoreError(
            f"another onhand is already running on {directory}; stop it first, or give this one its own state_dir"
        ) from None
    return fd


def read_marker(directory: Path) -> str | None:
    """The genesis that the marker names; None where nothing was ever kept here."""
    try:
        return (directory / "initialised").read_bytes().decode("utf-8", "replace") or None
    except FileNotFoundError:
        return None


def read_seal(directory: Path) -> bytes:
    """What the file looked like when it was closed in good order; empty if it was not, or is in use again."""
    if (directory / "unclean").exists():
        return b""
    try:
        return (directory / "closed").read_bytes()
    except FileNotFoundError:
        return b""


def seal_of(data: Path) -> bytes:
    """Changes whenever anybody writes, cuts or replaces the file; costs nothing to look at."""
    status = data.stat()
    return f"{status.st_size} {status.st_mtime_ns}".encode()


def check_file(data: Path, *, new: bool, sealed: bytes) -> None:
    """Raise `StoreError` unless the file may be opened: it is there, and as it was closed or sound by structure."""
    empty = not data.exists() or not data.stat().st_size
    if empty and not new:
        raise StoreError(
            f"{data} is missing or empty although the state was in use before: the data was lost; "
            "restore a backup with `onhand restore`"
        )
    if not empty and sealed != seal_of(data):
        problems = structural_problems(data)
        if problems:
            raise StoreError(
                f"{data} is damaged ({problems[0]}); restore a backup with `onhand restore` - nothing was changed"
            )


def structural_problems(data: Path) -> Sequence[str]:
    """What is wrong with the structure of an LMDB file, as sentences; safe on any file."""
    try:
        return [str(problem) for problem in lmdb.verify.verify(str(data))]  # type: ignore[no-untyped-call]  # untyped upstream
    except lmdb.verify.VerifyError as error:
        return [f"it cannot even be checked: {error}"]


def file_bytes(path: Path) -> int:
    """The size of a file; 0 where there is none."""
    return path.stat().st_size if path.exists() else 0


def touch(path: Path) -> None:
    """An empty file, durable."""
    write_synced(path, b"")


def write_synced(path: Path, content: bytes) -> None:
    """A small file, durable."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, content)
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

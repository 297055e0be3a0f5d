"""The files of a state directory: its lock, the structural check of its database, and durable small files."""

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


def structural_problems(data: Path) -> Sequence[str]:
    """What is wrong with the structure of an LMDB file, as sentences; safe on any file."""
    try:
        return [str(problem) for problem in lmdb.verify.verify(str(data))]  # type: ignore[no-untyped-call]  # untyped upstream
    except lmdb.verify.VerifyError as error:
        return [f"it cannot even be checked: {error}"]


def file_bytes(path: Path) -> int:
    """The size of a file; 0 where there is none."""
    return path.stat().st_size if path.exists() else 0


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
    sync_file(directory)


def sync_file(path: Path) -> None:
    """Make a file's content durable; of a directory, its names."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

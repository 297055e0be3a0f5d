"""The library that is loaded before a process to see, and to fail, what it does to its files."""

from __future__ import annotations

import ctypes
import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

SOURCE = Path(__file__).with_name("tap.c")
HEADER = struct.Struct("=cBHIQq")


class NoCompilerError(Exception):
    """The library cannot be built here; the sentence says what is missing."""


@frozen
class Operation:
    """One thing done to a file, in the order of its effect.

    kind: c - made under the name `content`; w - `content` written at `offset`, `durable` at once where the
    descriptor says so; t - cut to `offset` bytes; s - synced, a directory too; u - the name `content` taken away;
    r - renamed, `content` is the old name, NUL, the new one; A - an acknowledgement, `content` says of what.
    """

    kind: str
    durable: bool
    inode: int
    offset: int
    content: bytes


def build(directory: Path | None = None) -> Path:
    """The library, compiled by the system's compiler into `directory`. Raises `NoCompilerError`."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise NoCompilerError(
            "there is no C compiler here (cc, gcc or clang); install one, for example `apt install gcc`"
        )
    library = (directory or Path(tempfile.mkdtemp(prefix="onhand-tap-"))) / "tap.so"
    command = [compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl", "-pthread"]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    if built.returncode:
        raise NoCompilerError(f"{compiler} cannot build {SOURCE.name}: {built.stderr.strip()[:500]}")
    return library


def preloaded(library: Path, **extra: str) -> dict[str, str]:
    """The environment of a process that shall be watched."""
    return {**os.environ, "LD_PRELOAD": str(library), **extra}


def begin(directory: Path, log: Path) -> None:
    """In a watched process: from now on, write down what happens to the files in `directory`."""
    ctypes.CDLL(None).tap_begin(str(directory).encode(), str(log).encode())


def mark(text: bytes) -> None:
    """In a watched process: an acknowledgement."""
    ctypes.CDLL(None).tap_mark(text)


def operations(log: Path) -> Iterator[Operation]:
    """What a watched process wrote down."""
    content, place = log.read_bytes(), 0
    while place < len(content):
        kind, durable, _, length, inode, offset = HEADER.unpack_from(content, place)
        place += HEADER.size
        yield Operation(kind.decode(), bool(durable), inode, offset, content[place : place + length])
        place += length

"""The markers beside the database, and what each of them proves.

initialised    the state's genesis: tells "new" from "lost"
unclean        there while the state is in use: holds the number of the newest durable transaction
closed         the SHA-256 of the database at the last orderly stop: any other content is damage
newborn        there while a new state is being made: until `initialised` is, nobody was told anything

`unclean` is durable before the first write after an opening, and goes only when `closed` is durable: where both are
there, or neither, the file is taken for one that was left in use, and all of it is checked.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from pathlib import Path

from daemon.storage.files import StoreError, structural_problems, sync_directory, write_synced

INITIALISED = "initialised"
UNCLEAN = "unclean"
CLOSED = "closed"
NEWBORN = "newborn"
DATA = "data.mdb"
PART = "data.mdb.part"
"""What a restore copies into until the copy is known to be whole."""


def read_genesis(directory: Path) -> str | None:
    """The genesis that the marker names; None where nothing was ever kept here. Raises `StoreError`."""
    content = _content(directory / INITIALISED) or b""
    if content:
        return content.decode("utf-8", "replace")
    for name in (UNCLEAN, CLOSED):
        if (directory / name).exists():
            raise StoreError(
                f"the marker {INITIALISED} in {directory} is missing or empty although the state was in use before "
                f"({name} is there): this is not a whole state directory; restore a backup with `onhand restore`"
            )
    return None


def begin_birth(directory: Path) -> None:
    """Make ready for a new database: one that a power cut left torn, before it was a state, goes."""
    data, newborn = directory / DATA, directory / NEWBORN
    if (directory / PART).exists():
        return  # no birth but half a restore, and nothing is added to that
    if not data.exists() or not data.stat().st_size:
        write_synced(newborn, b"")
        sync_directory(directory)
    elif newborn.exists() and structural_problems(data):
        data.unlink()


def end_birth(directory: Path, genesis: str) -> None:
    """The new database is durable: it is a state from now on."""
    write_genesis(directory, genesis)
    (directory / NEWBORN).unlink(missing_ok=True)


def write_genesis(directory: Path, genesis: str) -> None:
    """From now on this is a state directory."""
    write_synced(directory / INITIALISED, genesis.encode())
    sync_directory(directory)


def check_file(directory: Path, *, new: bool) -> bool:
    """Whether the file is just as an orderly stop left it. Otherwise its structure is sound, so that opening and
    reading it cannot end in a signal, and its rows are still to be checked. Raises `StoreError` if it is neither."""
    data = directory / DATA
    if (directory / PART).exists():
        raise StoreError(
            f"a restore into {directory} was cut short ({PART} is there): empty the directory, then run "
            "`onhand restore` again"
        )
    if not data.exists() or not data.stat().st_size:
        if not new:
            raise StoreError(
                f"{data} is missing or empty although the state was in use before: the data was lost; "
                "restore a backup with `onhand restore`"
            )
        return False
    if (digest := _closed_digest(directory)) is not None:
        if digest != digest_of(data):
            raise StoreError(
                f"{data} is not as the last orderly stop left it: it was damaged or replaced since; restore a backup "
                "with `onhand restore` - nothing was changed"
            )
        return True
    problems = structural_problems(data)
    if problems:
        raise StoreError(
            f"{data} is damaged ({problems[0]}); restore a backup with `onhand restore` - nothing was changed"
        )
    return False


def digest_of(data: Path) -> bytes:
    """The SHA-256 of a file's content, 32 bytes; about a gigabyte and a half a second."""
    with data.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _closed_digest(directory: Path) -> bytes | None:
    """None where the state was left in use, or where the marker itself is not whole."""
    content = _content(directory / CLOSED)
    whole = content is not None and len(content) == 32 and not (directory / UNCLEAN).exists()
    return content if whole else None


def close(directory: Path) -> None:
    """The database was closed in good order. Where the disk has no room for saying so, the next start checks it."""
    try:
        write_synced(directory / CLOSED, digest_of(directory / DATA))
        sync_directory(directory)
        (directory / UNCLEAN).unlink(missing_ok=True)
        sync_directory(directory)
    except OSError:
        pass  # `unclean` is still there


def in_use(directory: Path) -> bool:
    """Whether a daemon left the state without an orderly stop; a copy that was just restored never was in use."""
    return (directory / UNCLEAN).exists()


class InUse:
    """The marker `unclean`: from its opening on, the file is not as it was left."""

    def __init__(self, directory: Path) -> None:
        self._fd = os.open(directory / UNCLEAN, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.fsync(self._fd)
            sync_directory(directory)
            (directory / CLOSED).unlink(missing_ok=True)
        except BaseException:
            os.close(self._fd)
            raise

    def note(self, transaction: int) -> None:
        """This transaction is durable. Not synced: after a power cut the note may be older than that, never newer."""
        number = transaction.to_bytes(8, "big")
        os.pwrite(self._fd, number + zlib.crc32(number).to_bytes(4, "big"), 0)

    def close(self) -> None:
        os.close(self._fd)


def noted(directory: Path) -> int:
    """The newest transaction known to have been durable; 0 where that is not known."""
    content = _content(directory / UNCLEAN) or b""
    number, check = content[:8], content[8:]
    whole = len(content) == 12 and zlib.crc32(number) == int.from_bytes(check, "big")
    return int.from_bytes(number, "big") if whole else 0


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None

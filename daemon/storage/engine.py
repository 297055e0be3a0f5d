"""The calls into LMDB that need no state of ours: opening it, walking it, and believing what it says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lmdb

from daemon.storage.codec import REMEDY, pack, seal, unpack, unseal
from daemon.storage.files import StoreError
from daemon.storage.tables import META, TABLES

FORMAT = b"format"
"""The row of META that says how to read all others."""
TRANSACTION = b"transaction"
"""The row of META in which each transaction leaves its own number."""


def open_engine(directory: Path, map_bytes: int) -> Any:
    """LMDB with its own durability kept whole. Raises `StoreError`."""
    try:
        return lmdb.open(
            str(directory), map_size=map_bytes, max_dbs=len(TABLES) + 2, mode=0o600, lib_version=0, max_readers=64
        )
    except lmdb.Error as error:
        raise StoreError(
            f"the database in {directory} cannot be opened ({error}): mend that, or restore a backup with "
            "`onhand restore`"
        ) from None


def format_of(env: Any) -> int | None:
    """The format that a database says it has, before anything is written to it; None where it says nothing."""
    try:
        meta = env.open_db(META.encode(), create=False)
    except lmdb.NotFoundError:  # a new one
        return None
    with env.begin(db=meta) as txn:
        value = txn.get(FORMAT)
    return None if value is None else int(unpack(unseal(FORMAT, value, META)))


def open_tables(env: Any) -> dict[str, Any]:
    """The handle of each table; makes what is not there yet, all of it in one transaction."""
    with env.begin(write=True) as txn:
        there = txn.stat()["entries"]
        tables = {name: env.open_db(name.encode(), txn=txn) for name in TABLES}
        if there and txn.stat()["entries"] > there and txn.get(TRANSACTION, db=tables[META]):
            sign(txn, tables)
    return tables


def sign(txn: Any, tables: dict[str, Any]) -> None:
    """Leave the number of a transaction in what it writes."""
    txn.put(TRANSACTION, seal(TRANSACTION, pack(txn.id())), db=tables[META])


def signed(env: Any, tables: dict[str, Any]) -> int | None:
    """The number that the newest transaction left; None where it left none. Raises `DamagedError`."""
    with env.begin(db=tables[META]) as txn:
        value = txn.get(TRANSACTION)
        if value is None:
            check_absence(txn, TRANSACTION, META)
            return None
        return int(unpack(unseal(TRANSACTION, value, META)))


def check_signature(env: Any, tables: dict[str, Any], newest: int) -> None:
    """Raise `StoreError` unless it was transaction `newest` that wrote what the database shows.

    LMDB believes the meta page with the larger number, which nothing protects: a flipped bit there brings back the
    state before the last transaction.
    """
    left = signed(env, tables)
    if left not in (None, newest):
        raise StoreError(
            f"the database is damaged (a meta page names transaction {newest}, but what it shows is of {left}); "
            f"{REMEDY}"
        )


def copy(env: Any, path: Path) -> None:
    """A consistent copy, while writes go on. Into a file of our own: the one that LMDB would make may be read by
    whoever may enter its directory. Raises `lmdb.Error` or `OSError`."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        env.copyfd(fd, compact=True)
    finally:
        os.close(fd)


def rows(cursor: Any, start: bytes, *, reverse: bool) -> Iterator[tuple[bytes, bytes]]:
    """(key, value) from the first key not below `start` on; in reverse from the last key not above it down."""
    if not reverse:
        if cursor.set_range(start) if start else cursor.first():
            yield from cursor.iternext()
        return
    if cursor.set_range(start):
        if cursor.key() > start and not cursor.prev():
            return
    elif not cursor.last():
        return
    yield from cursor.iterprev()


def check_absence(txn: Any, key: bytes, table: str) -> None:
    """Raise `DamagedError` unless the neighbours of a key that was not found are sound: a flipped bit in a key makes
    a row's absence out of its presence, and leaves the damaged row just where it was."""
    with txn.cursor() as cursor:
        beyond = cursor.set_range(key)
        if beyond:
            unseal(cursor.key(), cursor.value(), table)
        if cursor.prev() if beyond else cursor.last():
            unseal(cursor.key(), cursor.value(), table)


def check_rows(env: Any, tables: dict[str, Any]) -> None:
    """Raise `DamagedError` unless the checksum of every row of every table holds."""
    for name, table in tables.items():
        with env.begin(db=table) as txn, txn.cursor() as cursor:
            for key, value in cursor.iternext():
                unseal(key, value, name)

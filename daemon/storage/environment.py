"""The state directory and the LMDB file in it: opened once, checked before it is trusted, one process only.

LMDB's own durability is kept whole (sync and metasync on, no writemap). What LMDB does not do is done here:
a lock against a second process, a marker that tells "new" from "lost" (a truncated file opens as a new empty
database), a structural check unless the file is just as an orderly stop left it (a truncated file is a SIGBUS
otherwise), and a head record that says where the log ends.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lmdb
from attrs import define, field, frozen

from daemon.storage.codec import DamagedError, pack, seal, unpack, unseal
from daemon.storage.files import (
    StoreError,
    check_file,
    file_bytes,
    read_marker,
    read_seal,
    seal_of,
    sync_directory,
    take_lock,
    touch,
    write_synced,
)
from daemon.storage.tables import META, TABLES

FORMAT = 1
"""The version of the on-disk format; a newer one is refused."""

MIB = 1 << 20


@frozen
class Head:
    """Where everything ends: the newest event, its chain digest, and the other counters."""

    seq: int = 0
    chain: bytes = bytes(16)
    delivery: int = 0
    dead: int = 0
    hlc_us: int = 0
    records: int = 0


@frozen
class Batch:
    """What one transaction writes: per table its puts (key, payload) and its deletes, and the new head."""

    head: Head
    puts: dict[str, list[tuple[bytes, bytes]]] = field(factory=dict)
    deletes: dict[str, list[bytes]] = field(factory=dict)


@define
class Environment:
    """An open LMDB environment. Reads may come from the event loop's thread; writes one at a time, each whole."""

    directory: Path
    env: Any
    tables: dict[str, Any]
    lock_fd: int
    genesis: str
    map_max_bytes: int

    # -- life --

    @classmethod
    def open(
        cls, directory: Path, *, genesis: str, map_bytes: int = 256 * MIB, map_max_bytes: int = 1 << 40
    ) -> Environment:
        """Open or create the state in `directory`; `genesis` names a new one. Raises `StoreError`."""
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"the state directory {directory} cannot be made ({error.strerror})") from None
        lock_fd = take_lock(directory)
        env = None
        try:
            known = read_marker(directory)
            data = directory / "data.mdb"
            check_file(data, new=known is None, sealed=read_seal(directory))
            env = _open_env(directory, max(map_bytes, file_bytes(data) * 2))
            opened = cls(directory, env, _open_tables(env), lock_fd, known or genesis, map_max_bytes)
            opened._meet(new=known is None)
            # From here on the file is not as it was left: without this, the next start checks all of it.
            (directory / "closed").unlink(missing_ok=True)
            touch(directory / "unclean")
        except BaseException as error:
            if env is not None:
                env.close()
            os.close(lock_fd)
            if isinstance(error, (lmdb.Error, DamagedError, OSError)):
                raise StoreError(
                    f"the database in {directory} cannot be used ({error}); restore a backup with `onhand restore` - "
                    "nothing was changed"
                ) from None
            raise
        return opened

    def _meet(self, *, new: bool) -> None:
        if new:
            self._be_born()
            return
        stored = self.get(META, b"format")
        if stored is None:
            raise StoreError(
                f"the database in {self.directory} is empty although it was in use before: the data was lost; "
                "restore a backup with `onhand restore`"
            )
        if unpack(stored) > FORMAT:
            raise StoreError(
                f"the database in {self.directory} has format {unpack(stored)}, this program knows {FORMAT}: "
                "install the newer version that wrote it"
            )
        if self.get(META, b"genesis") != pack(self.genesis):
            raise StoreError(f"the database in {self.directory} and the marker beside it are not of one state")
        head = self.head()
        last = self._last_log_seq()
        if last != head.seq:
            raise StoreError(
                f"the event log ends at {last} but should end at {head.seq}: the file is damaged; restore a backup"
            )

    def _be_born(self) -> None:
        """A state without its marker is new, or its birth was cut short before anything could be told it."""
        if self.get(META, b"head") is not None:
            head = self.head()
            if head.seq or head.delivery or head.dead:
                raise StoreError(
                    f"the database in {self.directory} is in use but the marker beside it (initialised) is missing: "
                    "this is not a whole state directory; restore a backup, or move the files away to start empty"
                )
        self._begin()
        write_synced(self.directory / "initialised", self.genesis.encode())

    def _begin(self) -> None:
        puts = {META: [(b"format", pack(FORMAT)), (b"genesis", pack(self.genesis)), (b"checkpoint", pack((0, 0)))]}
        self.write(Batch(Head(), puts))
        sync_directory(self.directory)  # LMDB does not sync the directory that its new file is in

    def close(self, *, clean: bool) -> None:
        """Close the file; `clean` says that nothing is left to be repeated or checked at the next start."""
        self.env.close()
        data = self.directory / "data.mdb"
        if clean and data.exists():
            write_synced(self.directory / "closed", seal_of(data))
            (self.directory / "unclean").unlink(missing_ok=True)
        os.close(self.lock_fd)

    # -- writing: one call, one thread, one transaction --

    def write(self, batch: Batch) -> None:
        """Write everything in `batch` in one durable transaction, or nothing. Raises `lmdb.Error`."""
        head = pack((*_head_plain(batch.head),))
        with self.env.begin(write=True) as txn:
            for table, puts in batch.puts.items():
                rows = [(key, seal(key, payload)) for key, payload in puts]
                with txn.cursor(self.tables[table]) as cursor:
                    cursor.putmulti(rows)
            for table, keys in batch.deletes.items():
                for key in keys:
                    txn.delete(key, db=self.tables[table])
            txn.put(b"head", seal(b"head", head), db=self.tables[META])

    def grow(self) -> int:
        """Double the map; returns its new size. Only between transactions. Raises `StoreError` at the maximum."""
        size = int(self.env.info()["map_size"])
        if size * 2 > self.map_max_bytes:
            raise StoreError(f"the database has reached its configured maximum of {self.map_max_bytes // MIB} MiB")
        self.env.set_mapsize(size * 2)
        return size * 2

    # -- reading: short snapshots --

    def get(self, table: str, key: bytes) -> bytes | None:
        """The payload of one row, or None. Raises `DamagedError`."""
        with self.env.begin(db=self.tables[table]) as txn:
            value = txn.get(key)
        return None if value is None else unseal(key, value, table)

    def scan(
        self, table: str, start: bytes = b"", *, limit: int, prefix: bytes = b"", reverse: bool = False
    ) -> list[tuple[bytes, bytes]]:
        """Up to `limit` rows from `start` on (in reverse: from `start` down) whose key begins with `prefix`."""
        found: list[tuple[bytes, bytes]] = []
        with self.env.begin(db=self.tables[table]) as txn, txn.cursor() as cursor:
            for key, value in _rows(cursor, start or prefix, reverse=reverse):
                if not key.startswith(prefix) or len(found) >= limit:
                    break
                found.append((key, unseal(key, value, table)))
        return found

    def count(self, table: str) -> int:
        """Rows in a table."""
        with self.env.begin() as txn:
            return int(txn.stat(self.tables[table])["entries"])

    def head(self) -> Head:
        """The newest durable head."""
        stored = self.get(META, b"head")
        if stored is None:
            raise DamagedError("the head record is missing")
        return Head(*unpack(stored))

    def _last_log_seq(self) -> int:
        rows = self.scan("log", b"\xff" * 8, limit=1, reverse=True)
        return int.from_bytes(rows[0][0], "big") if rows else 0

    def sizes(self) -> tuple[int, int]:
        """(map bytes, used bytes)"""
        info, stat = self.env.info(), self.env.stat()
        return int(info["map_size"]), int((info["last_pgno"] + 1) * stat["psize"])

    def readers(self) -> int:
        """Reader slots in use; flat over time or something forgot a snapshot."""
        return int(self.env.info()["num_readers"])

    def free_disk_bytes(self) -> int:
        """Bytes left on the file system of the state directory."""
        room = os.statvfs(self.directory)
        return room.f_bavail * room.f_frsize

    def copy_to(self, directory: Path) -> None:
        """A consistent copy of the whole state into an empty `directory`, while writes go on."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise StoreError(f"{directory} is not empty: name an empty directory for the backup")
        self.env.copy(str(directory), compact=True)
        write_synced(directory / "initialised", self.genesis.encode())
        sync_directory(directory)


def _rows(cursor: Any, start: bytes, *, reverse: bool) -> Iterator[tuple[bytes, bytes]]:
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


def _head_plain(head: Head) -> tuple[object, ...]:
    return (head.seq, head.chain, head.delivery, head.dead, head.hlc_us, head.records)


def _open_env(directory: Path, map_bytes: int) -> Any:
    try:
        return lmdb.open(
            str(directory), map_size=map_bytes, max_dbs=len(TABLES) + 2, mode=0o600, lib_version=0, max_readers=64
        )
    except lmdb.Error as error:
        raise StoreError(
            f"the database in {directory} cannot be opened ({error}); restore a backup with `onhand restore`"
        ) from None


def _open_tables(env: Any) -> dict[str, Any]:
    return {name: env.open_db(name.encode()) for name in TABLES}

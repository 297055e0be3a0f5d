"""The state directory and the LMDB file in it: opened once, checked before it is trusted, one process only.

LMDB's own durability is kept whole (sync and metasync on, no writemap). What LMDB does not do is done here:
a lock against a second process, a marker that tells "new" from "lost" (a truncated file opens as a new empty
database), a check of the whole file unless it is just as an orderly stop left it (a truncated file is a SIGBUS
otherwise, and a flipped bit a wrong number), and a head record that says where the log ends.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol

import lmdb
from attrs import define, field, frozen

from daemon.storage import engine, markers
from daemon.storage.codec import REMEDY, DamagedError, pack, seal, unpack, unseal
from daemon.storage.engine import check_absence, check_rows, open_engine, open_tables, rows
from daemon.storage.files import StoreError, file_bytes, sync_directory, sync_file, take_lock
from daemon.storage.markers import DATA, InUse
from daemon.storage.tables import LOG, META, RESTORED

FORMAT = 1
"""The version of the on-disk format. There has been one only, which is added to and never changed: any other is
refused, nothing is migrated. Stores of every version are kept in `tests/storage/fixtures`."""

MIB = 1 << 20


@define
class Head:
    """Where everything ends: the newest event, its chain digest, and the other counters. `records`: the events that
    are kept, all unless the log was compacted."""

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
    in_use: InUse | None = None
    _newest: int = field(init=False)
    """The number of the newest durable transaction."""
    _identity: tuple[int, int] = field(init=False)
    """Which file it is, whatever stands at its path."""
    _size_fd: int = field(init=False)
    _size: int = field(init=False)
    """Bytes that the file had when it was last written. It never shrinks: a page that is not there any more is met
    here, before LMDB meets it and the process ends by a signal."""

    def __attrs_post_init__(self) -> None:
        self._newest = int(self.env.info()["last_txnid"])
        self._identity = self._file_there()
        self._size_fd = os.open(self.directory / DATA, os.O_RDONLY | os.O_CLOEXEC)
        self._size = os.lseek(self._size_fd, 0, os.SEEK_END)

    # -- life --

    @classmethod
    def open(
        cls, directory: Path, *, genesis: str, map_bytes: int = 256 * MIB, map_max_bytes: int = 1 << 40
    ) -> Environment:
        """Open or create the state in `directory`; `genesis` names a new one. Raises `StoreError`."""
        try:
            if not directory.exists():
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                sync_directory(directory.parent)
        except OSError as error:
            raise StoreError(
                f"the state directory {directory} cannot be made ({error.strerror}): name another state_dir, or make "
                "it and give it to the daemon's user"
            ) from None
        lock_fd = take_lock(directory)
        env, opened = None, None
        try:
            known = markers.read_genesis(directory)
            if known is None:
                markers.begin_birth(directory)
            as_left, used_bytes = cls.check_file(directory, new=known is None), file_bytes(directory / DATA)
            wanted_bytes = min(max(map_bytes, used_bytes * 2), max(map_max_bytes, used_bytes))
            env = open_engine(directory, wanted_bytes)
            _check_format(directory, engine.format_of(env))
            opened = cls(directory, env, open_tables(env), lock_fd, known or genesis, map_max_bytes)
            opened._meet(new=known is None)
            if not as_left:
                check_rows(env, opened.tables)
                if markers.in_use(directory):
                    engine.check_signature(env, opened.tables, opened._newest)
            opened._take_over()
            opened.in_use = InUse(directory)
            opened.in_use.note(opened._newest)
        except BaseException as error:
            if opened is not None:
                os.close(opened._size_fd)
            if env is not None:
                env.close()
            os.close(lock_fd)
            if isinstance(error, OSError):
                raise StoreError(
                    f"the state directory {directory} cannot be used ({error.strerror}): mend that, then start the "
                    "daemon again - nothing was changed"
                ) from None
            if isinstance(error, lmdb.Error):
                raise StoreError(
                    f"the database in {directory} cannot be used ({error}): mend that, or restore a backup with "
                    "`onhand restore` - nothing was changed"
                ) from None
            raise
        return opened

    @staticmethod
    def check_file(directory: Path, *, new: bool) -> bool:
        """See `markers.check_file`: its cost grows with the file, and a simulation pays it rarely."""
        return markers.check_file(directory, new=new)

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
        if self.get(META, b"genesis") != pack(self.genesis):
            raise StoreError(
                f"the database in {self.directory} and the marker beside it (initialised) are not of one state: put "
                "back the one that was replaced, or restore a backup with `onhand restore`"
            )
        if self._newest < (known := markers.noted(self.directory)):
            raise StoreError(
                f"the database in {self.directory} is older than what was acknowledged (transaction {self._newest}, "
                f"but there were {known}): put the newest file back, or restore a backup with `onhand restore`"
            )
        head, last, events = self.head(), self._last_log_seq(), self.count(LOG)
        if last != head.seq or events != head.records:
            raise StoreError(
                f"the event log of {self.directory} ends at {last} with {events} events but should end at {head.seq} "
                f"with {head.records}: the file is damaged; restore a backup with `onhand restore`"
            )

    def _take_over(self) -> None:
        """Sign what somebody else wrote last, and say durably where that is a copy."""
        left = engine.signed(self.env, self.tables)
        if left is None:  # an older version of this program
            self.write(Batch(self.head()))
        elif left != self._newest:  # a copy, in which LMDB counts anew
            self.write(Batch(self.head(), {META: [(RESTORED, pack(True))]}))

    def _be_born(self) -> None:
        """A state without its marker is new, or its birth was cut short before anything could be told it."""
        if self.get(META, b"head") is not None:
            head = self.head()
            if head.seq or head.delivery or head.dead:
                raise StoreError(
                    f"the database in {self.directory} is in use but the marker beside it (initialised) is missing: "
                    "this is not a whole state directory; restore a backup, or move the files away to start empty"
                )
        puts = {META: [(b"format", pack(FORMAT)), (b"genesis", pack(self.genesis)), (b"checkpoint", pack((0, 0)))]}
        self.write(Batch(Head(), puts))
        sync_directory(self.directory)  # LMDB does not sync the directory that its new file is in
        markers.end_birth(self.directory, self.genesis)

    def close(self, *, clean: bool) -> None:
        """Close the file; `clean` says that nothing is left to be repeated or checked at the next start."""
        self.env.close()
        os.close(self._size_fd)
        if self.in_use is not None:
            self.in_use.close()
            if clean:
                markers.close(self.directory)
        os.close(self.lock_fd)

    # -- writing: one call, one thread, one transaction --

    def write(self, batch: Batch) -> None:
        """Write everything in `batch` in one durable transaction, or nothing.

        Raises `lmdb.Error`, and `StoreError` where the file is not the one that was opened any more.
        """
        self._check_size()
        at = batch.head
        head = pack((at.seq, at.chain, at.delivery, at.dead, at.hlc_us, at.records))
        with self.env.begin(write=True) as txn:
            if self.env.info()["last_txnid"] != self._newest:
                raise self._replaced()
            for table, puts in batch.puts.items():
                rows = [(key, seal(key, payload)) for key, payload in puts]
                with txn.cursor(self.tables[table]) as cursor:
                    cursor.putmulti(rows)
            for table, keys in batch.deletes.items():
                for key in keys:
                    txn.delete(key, db=self.tables[table])
            txn.put(b"head", seal(b"head", head), db=self.tables[META])
            engine.sign(txn, self.tables)
        # What is durable in a file that nobody will find again must not be acknowledged.
        if self._file_there() != self._identity:
            raise self._replaced()
        self._newest += 1
        self._size = os.lseek(self._size_fd, 0, os.SEEK_END)
        if self.in_use is not None:
            self.in_use.note(self._newest)

    def _check_size(self) -> None:
        known = self._size  # read first: the writer's thread may commit, and lengthen the file, at any moment
        if os.lseek(self._size_fd, 0, os.SEEK_END) < known:
            raise self._replaced()

    def _file_there(self) -> tuple[int, int]:
        try:
            status = os.stat(self.directory / DATA)
        except OSError:
            return 0, 0
        return status.st_dev, status.st_ino

    def _replaced(self) -> StoreError:
        return StoreError(
            f"{self.directory / DATA} was removed, replaced or changed by another program while the daemon used it: "
            "put the file back if you have it, or restore a backup with `onhand restore`, then start the daemon"
        )

    def grow(self) -> int:
        """Double the map; returns its new size. Only between transactions. Raises `StoreError` at the maximum."""
        size = int(self.env.info()["map_size"])
        if size * 2 > self.map_max_bytes:
            raise StoreError(
                f"the database has reached its configured maximum of {self.map_max_bytes // MIB} MiB: give "
                "storage.map_max_gb a larger value and start the daemon again"
            )
        self.env.set_mapsize(size * 2)
        return size * 2

    # -- reading: short snapshots --

    def get(self, table: str, key: bytes) -> bytes | None:
        """The payload of one row, or None. Raises `DamagedError`, and `StoreError` if the file cannot be read.

        That a row is not there is believed only if its neighbours are sound.
        """
        self._check_size()
        try:
            with self.env.begin(db=self.tables[table]) as txn:
                value = txn.get(key)
                if value is None:
                    check_absence(txn, key, table)
                    return None
        except lmdb.BadValsizeError:  # a key that cannot be: the caller's error
            raise
        except lmdb.Error as error:
            raise self._unreadable(error) from None
        return unseal(key, value, table)

    def get_many(self, table: str, keys: list[bytes]) -> list[bytes]:
        """The payloads of rows that must be there, in one snapshot. Raises `DamagedError`, `StoreError` as `get`."""
        found = []
        self._check_size()
        try:
            with self.env.begin(db=self.tables[table]) as txn:
                for key in keys:
                    value = txn.get(key)
                    if value is None:
                        check_absence(txn, key, table)
                        raise DamagedError(f"the row {key!r} of table {table} is missing: {REMEDY}")
                    found.append(unseal(key, value, table))
        except lmdb.Error as error:
            raise self._unreadable(error) from None
        return found

    def scan(
        self, table: str, start: bytes = b"", *, limit: int, prefix: bytes = b"", reverse: bool = False
    ) -> list[tuple[bytes, bytes]]:
        """Up to `limit` rows from `start` on (in reverse: from `start` down) whose key begins with `prefix`. The row
        that ends the search is checked too."""
        found: list[tuple[bytes, bytes]] = []
        self._check_size()
        try:
            with self.env.begin(db=self.tables[table]) as txn, txn.cursor() as cursor:
                for key, value in rows(cursor, start or prefix, reverse=reverse):
                    if len(found) >= limit:
                        break
                    payload = unseal(key, value, table)
                    if not key.startswith(prefix):
                        break
                    found.append((key, payload))
        except lmdb.BadValsizeError:  # a key that cannot be: the caller's error
            raise
        except lmdb.Error as error:
            raise self._unreadable(error) from None
        return found

    def _unreadable(self, error: lmdb.Error) -> StoreError:
        return StoreError(f"the database in {self.directory} cannot be read ({error}): {REMEDY}")

    def count(self, table: str) -> int:
        """Rows in a table."""
        with self.env.begin() as txn:
            return int(txn.stat(self.tables[table])["entries"])

    def head(self) -> Head:
        """The newest durable head."""
        stored = self.get(META, b"head")
        if stored is None:
            raise DamagedError(f"the head record of {self.directory} is missing: {REMEDY}")
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
        try:
            room = os.statvfs(self.directory)
        except OSError as error:
            raise StoreError(
                f"the state directory {self.directory} is gone while the daemon runs ({error.strerror}): put it "
                "back, or restore a backup with `onhand restore`, then start the daemon"
            ) from None
        return room.f_bavail * room.f_frsize

    def copy_to(self, directory: Path) -> None:
        """A consistent copy of the whole state into an empty `directory`, while writes go on."""
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if any(directory.iterdir()):
                raise StoreError(f"{directory} is not empty: name an empty directory for the backup")
        except OSError as error:
            raise StoreError(
                f"the backup directory {directory} cannot be used ({error.strerror}): name one that the daemon's "
                "user may write to; of a service, one below its state directory"
            ) from None
        data = directory / DATA
        try:
            engine.copy(self.env, data)
            sync_file(data)
            markers.write_genesis(directory, self.genesis)  # last: without it nobody takes this for a backup
        except (lmdb.Error, OSError) as error:
            data.unlink(missing_ok=True)
            raise StoreError(f"the backup to {directory} failed ({error}): make room there, then try again") from None


def _check_format(directory: Path, found: int | None) -> None:
    if found not in (None, FORMAT):
        raise StoreError(
            f"the database in {directory} has format {found}, this program knows {FORMAT}: install the version that "
            "wrote it, or restore a backup from before that with `onhand restore` - nothing was changed"
        )


class OpenEnvironment(Protocol):
    """How the state is opened; `Environment.open`, except where a disk is simulated."""

    def __call__(self, directory: Path, /, *, genesis: str, map_max_bytes: int) -> Environment:
        """See `Environment.open`."""
        ...

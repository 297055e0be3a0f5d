"""A store without files: what `Environment` promises, kept in this process. That a world is the same, byte for byte,
over it and over LMDB shows that nothing in it rests on how the rows are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import ClassVar

import lmdb
from attrs import define, field
from sortedcontainers import SortedDict

from daemon.storage.codec import pack, unpack
from daemon.storage.environment import FORMAT, Batch, Head
from daemon.storage.files import StoreError
from daemon.storage.tables import META, TABLES

Rows = dict[str, SortedDict]
"""By table: key to payload, in the order of the keys."""


@define
class Memory:
    """What outlives the daemon's lives."""

    rows: Rows = field(factory=lambda: {name: SortedDict() for name in TABLES})
    genesis: str = ""

    def undoing(self) -> Callable[[], None]:
        """What makes all be again as it is now."""
        before, genesis = {name: SortedDict(rows) for name, rows in self.rows.items()}, self.genesis

        def undo() -> None:
            self.rows, self.genesis = before, genesis

        return undo


class MemoryEnvironment:
    """See `daemon.storage.environment.Environment`; subclasses say which memory it is."""

    memory: ClassVar[Memory]

    def __init__(self, directory: Path, genesis: str) -> None:
        self.directory, self.genesis = directory, genesis

    @classmethod
    def open(cls, directory: Path, *, genesis: str, map_max_bytes: int = 0) -> MemoryEnvironment:
        """The state as the last life left it, or a new one."""
        opened = cls(directory, cls.memory.genesis or genesis)
        if not cls.memory.genesis:
            puts = {META: [(b"format", pack(FORMAT)), (b"genesis", pack(genesis)), (b"checkpoint", pack((0, 0)))]}
            try:
                opened.write(Batch(Head(), puts))
            except lmdb.Error as error:
                raise StoreError(str(error)) from None
            cls.memory.genesis = genesis
        return opened

    def close(self, *, clean: bool) -> None:
        """Nothing is held open."""

    def write(self, batch: Batch) -> None:
        """All of it, or, if it is stopped before, nothing."""
        at, rows = batch.head, self.memory.rows
        for table, puts in batch.puts.items():
            rows[table].update(puts)
        for table, keys in batch.deletes.items():
            for key in keys:
                rows[table].pop(key, None)
        rows[META][b"head"] = pack((at.seq, at.chain, at.delivery, at.dead, at.hlc_us, at.records))

    def get(self, table: str, key: bytes) -> bytes | None:
        """The payload of one row, or None."""
        found: bytes | None = self.memory.rows[table].get(key)
        return found

    def scan(
        self, table: str, start: bytes = b"", *, limit: int, prefix: bytes = b"", reverse: bool = False
    ) -> list[tuple[bytes, bytes]]:
        """Up to `limit` rows from `start` on, or down, whose key begins with `prefix`."""
        rows, edge = self.memory.rows[table], start or prefix or None
        keys = rows.irange(None, edge, reverse=True) if reverse else rows.irange(edge, None)
        found = []
        for key in islice(keys, limit):
            if not key.startswith(prefix):
                break
            found.append((key, rows[key]))
        return found

    def get_many(self, table: str, keys: Sequence[bytes]) -> list[bytes]:
        """The payloads of rows that must be there."""
        return [self.memory.rows[table][key] for key in keys]

    def count(self, table: str) -> int:
        """Rows in a table."""
        return len(self.memory.rows[table])

    def head(self) -> Head:
        """The newest head."""
        return Head(*unpack(self.memory.rows[META][b"head"]))

    def grow(self) -> int:
        """Memory grows by itself."""
        raise AssertionError("a store in memory is never full")

    def sizes(self) -> tuple[int, int]:
        """(map bytes, used bytes): none of either."""
        return 0, 0

    def readers(self) -> int:
        """Nobody holds a snapshot."""
        return 0

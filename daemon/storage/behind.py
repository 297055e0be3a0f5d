"""Small tables written behind: an in-memory layer over LMDB rows that become durable at the next checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from attrs import define, field

from daemon.storage.store import Store

V = TypeVar("V")

READ_MAX = 4_096
"""Rows remembered as they were read."""


@define
class BehindTable(Generic[V]):
    """Rows of one table by key. `dump` and `load` turn a value into a row's payload and back.

    At most `kept_max` values that are already durable stay in memory.
    """

    store: Store
    table: str
    dump: Callable[[V], bytes]
    load: Callable[[bytes], V]
    kept_max: int = 20_000
    _values: dict[bytes, V] = field(factory=dict)
    _read: dict[bytes, V | None] = field(factory=dict)
    """What was read lately, also that there is no row: a new order is asked for several times."""
    _dirty: set[bytes] = field(factory=set)
    _leaving: set[bytes] = field(factory=set)
    """Encoded for the checkpoint under way, but not known to be durable yet."""

    def get(self, key: bytes) -> V | None:
        """The newest value, durable or not."""
        if key in self._values:
            return self._values[key]
        if key in self._read:
            return self._read[key]
        payload = self.store.env.get(self.table, key)
        if len(self._read) >= READ_MAX:
            self._read.clear()
        value = self._read[key] = None if payload is None else self.load(payload)
        return value

    def keys(self, after: bytes, limit: int, prefix: bytes) -> list[bytes]:
        """Keys that begin so, in order, behind `after`, durable or not."""
        stored = [key for key, _ in self.store.env.scan(self.table, after + b"\0", limit=limit, prefix=prefix)]
        fresh = [key for key in self._values if key > after and key.startswith(prefix)]
        return sorted({*stored, *fresh})[:limit]

    def set(self, key: bytes, value: V) -> None:
        """Remember a value; it is encoded at the next checkpoint, as it is then."""
        self._values[key] = value
        self._read.pop(key, None)
        if key not in self._dirty:
            self._dirty.add(key)
            self.store.behind[self.table, key] = lambda: self._encode(key)

    def forget(self, key: bytes) -> None:
        """Delete a durable row that nobody has touched since."""
        if key not in self._dirty:
            self._values.pop(key, None)
            self._read.pop(key, None)
            self.store.delete(self.table, key)

    def scratch(self) -> BehindTable[V]:
        """A copy to try things out on: what is set there is set nowhere else."""
        return _Scratch(self.store, self.table, self.dump, self.load, of=self)

    def _encode(self, key: bytes) -> bytes:
        self._dirty.discard(key)
        self._leaving.add(key)
        return self.dump(self._values[key])

    def checkpointed(self) -> None:
        """A checkpoint is complete: what it wrote need not be held any longer."""
        if len(self._values) > self.kept_max:
            for key in self._leaving - self._dirty:
                del self._values[key]
        self._leaving.clear()


@define
class _Scratch(BehindTable[V]):
    of: BehindTable[V] | None = None

    def get(self, key: bytes) -> V | None:
        """A value of its own: whoever changes it changes nothing else."""
        assert self.of is not None
        value = self._values.get(key)
        value = self.of.get(key) if value is None else value
        return None if value is None else self.load(self.dump(value))

    def set(self, key: bytes, value: V) -> None:
        """For this copy alone."""
        self._values[key] = value

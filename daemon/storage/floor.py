"""Where the event log begins: what was before is kept as the state that it made, and proved as the log itself is.

Compacting moves the floor up, a thousand events or so at a time, each time in one transaction: the events up to there
go, but for the newest of each SKU, and every SKU's state as of there (its base) takes their place. Below the floor no
chain can be held against the events; instead the sum of the digests of all rows that stand there is kept, also in the
log itself (`conditions.Compacted`), which the chain proves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b

from attrs import evolve, frozen

from daemon.storage.codec import number, pack, unpack
from daemon.storage.environment import Environment
from daemon.storage.tables import BASES, LOG, META

FLOOR = b"floor"
"""The row of META that says where the log begins."""
SUM_BYTES = 32
_MODULUS = 1 << (8 * SUM_BYTES)
PAGE = 1_000
"""Rows read in one snapshot."""
KEY_BYTES_MAX = 511
"""LMDB's own bound."""

Row = tuple[str, bytes, bytes]
"""(table, key, payload)"""


@frozen
class Floor:
    """seq: the newest event of what was compacted, 0 where nothing was · at_us: when that event was · chain: the hash
    chain's digest after it · rows: the sum of the digests of all rows at or below it, see `weight`"""

    seq: int = 0
    at_us: int = 0
    chain: bytes = bytes(16)
    rows: int = 0

    def dump(self) -> bytes:
        """Its row."""
        return pack((self.seq, self.at_us, self.chain, self.rows.to_bytes(SUM_BYTES, "big")))

    def with_rows(self, come: Iterable[Row], gone: Iterable[Row]) -> Floor:
        """After these rows have come to stand below it, and those are not there any more."""
        return evolve(self, rows=(self.rows + sum(map(weight, come)) - sum(map(weight, gone))) % _MODULUS)

    @property
    def rows_digest(self) -> bytes:
        """`rows`, 32 bytes."""
        return self.rows.to_bytes(SUM_BYTES, "big")


def read_floor(env: Environment) -> Floor:
    """Where the log begins."""
    stored = env.get(META, FLOOR)
    if stored is None:
        return Floor()
    seq, at_us, chain, rows = unpack(stored)
    return Floor(seq, at_us, chain, int.from_bytes(rows, "big"))


def weight(row: Row) -> int:
    """What a row adds to the sum: its digest as a number, so that rows can be taken out of it again, in any order."""
    table, key, payload = row
    text = table.encode() + b"\0" + len(key).to_bytes(4, "big") + key + payload
    return int.from_bytes(blake2b(text, digest_size=SUM_BYTES).digest(), "big")


def rows_below(env: Environment, floor: Floor) -> Iterator[Row]:
    """Every row that the floor's sum is made of: the events left at or below it, in order, then the bases."""
    yield from _rows(env, LOG, number(floor.seq))
    yield from _rows(env, BASES, b"\xff" * KEY_BYTES_MAX)


def _rows(env: Environment, table: str, last: bytes) -> Iterator[Row]:
    start = b""
    while page := env.scan(table, start, limit=PAGE):
        for key, payload in page:
            if key > last:
                return
            yield table, key, payload
        start = page[-1][0] + b"\0"

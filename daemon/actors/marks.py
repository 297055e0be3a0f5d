"""Marks: a SKU's state as it was at an event, from which folding the log up to any later moment begins."""

from __future__ import annotations

import zlib

from attrs import frozen

from daemon.actors.packed import plain_of, state_of
from daemon.domain.sku import Sku
from daemon.storage.codec import REMEDY, DamagedError, number, pack, unpack
from daemon.storage.environment import Environment
from daemon.storage.tables import BASES, MARKS


def mark_key(sku: str, seq: int) -> bytes:
    """The key of a mark: true from event `seq` on, until the SKU's next one."""
    return sku.encode() + b"\0" + number(seq)


def dump_mark(state: Sku) -> bytes:
    """The mark of a SKU as it is now."""
    return zlib.compress(pack(plain_of(state)), 1)


def load_mark(sku: str, payload: bytes) -> Sku:
    """The inverse of `dump_mark`. Raises `DamagedError` on anything else."""
    try:
        return state_of(sku, unpack(zlib.decompress(payload)))
    except (TypeError, ValueError, LookupError, AttributeError, zlib.error) as error:
        raise DamagedError(f"a mark of SKU {sku!r} cannot be read ({error}): {REMEDY}") from None


def newest_mark(env: Environment, sku: str, until: int) -> tuple[int, Sku] | None:
    """The newest mark up to event `until`, with its event; None where there is none."""
    prefix = sku.encode() + b"\0"
    rows = env.scan(MARKS, prefix + number(until), limit=1, prefix=prefix, reverse=True)
    if not rows or len(rows[0][0]) != len(prefix) + 8:
        return None
    return int.from_bytes(rows[0][0][-8:], "big"), load_mark(sku, rows[0][1])


@frozen
class Base:
    """What the events up to `seq` made of a SKU, the newest of which that is its own is `newest`."""

    seq: int
    newest: int
    state: Sku

    def dump(self) -> bytes:
        """Its row."""
        return pack((self.seq, self.newest, dump_mark(self.state)))


def base_of(env: Environment, sku: str) -> Base | None:
    """What the compacted events made of a SKU; None where none of it went."""
    payload = env.get(BASES, sku.encode())
    if payload is None:
        return None
    seq, newest, mark = unpack(payload)
    return Base(seq, newest, load_mark(sku, mark))


def first_mark(env: Environment, sku: str) -> int:
    """The event of the oldest mark; 0 where there is none."""
    prefix = sku.encode() + b"\0"
    rows = env.scan(MARKS, prefix, limit=1, prefix=prefix)
    return int.from_bytes(rows[0][0][-8:], "big") if rows else 0

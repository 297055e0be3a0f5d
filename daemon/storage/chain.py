"""The hash chain over the event log: no event can be changed, dropped or put in without breaking it."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b

from attrs import frozen

from daemon.domain.conditions import Compacted, Root
from daemon.storage.codec import DamagedError, Record, load_record, number
from daemon.storage.environment import Environment, Head
from daemon.storage.floor import Floor, Row, read_floor, rows_below
from daemon.storage.tables import CHAIN, CHAIN_EVERY, LOG

PAGE = 1_000
"""Events read in one snapshot."""


class BrokenLogError(Exception):
    """The log is not what was written, from event `seq` on."""

    def __init__(self, seq: int, why: str) -> None:
        super().__init__(f"event {seq}: {why}")
        self.seq = seq


def link(chain: bytes, key: bytes, payload: bytes) -> bytes:
    """The chain's digest after one more event, 16 bytes."""
    return blake2b(chain + key + payload, digest_size=16).digest()


@frozen
class Chained:
    """An event that fits: as it is stored, and the chain's digest after it."""

    record: Record
    row: Row
    chain: bytes


def linked(env: Environment, floor: Floor, until: int) -> Iterator[Chained]:
    """Every event behind the floor up to `until`, each checked; raises `BrokenLogError` at the first that does not
    fit."""
    chain, seq = floor.chain, floor.seq
    while seq < until:
        page = _page(env, seq)
        for key, payload in page:
            seq += 1
            if int.from_bytes(key, "big") != seq:
                raise BrokenLogError(seq, "it is missing")
            before, chain = chain, link(chain, key, payload)
            if seq % CHAIN_EVERY == 0 and _stored(env, key) != chain:
                raise BrokenLogError(seq - CHAIN_EVERY + 1, "the chain does not hold from here on")
            try:
                record = load_record(seq, payload)
            except DamagedError as error:
                raise BrokenLogError(seq, str(error)) from None
            _check_root(record, before)
            yield Chained(record, (LOG, key, payload), chain)
            if seq == until:
                return
        if not page:
            raise BrokenLogError(seq + 1, "it is missing")


def chained(env: Environment, head: Head, floor: Floor | None = None) -> Iterator[Record]:
    """Every event behind the floor (the stored one) up to `head`, and whether the log ends there; raises
    `BrokenLogError` at the first that does not fit."""
    floor = read_floor(env) if floor is None else floor
    chain = floor.chain
    for each in linked(env, floor, head.seq):
        chain = each.chain
        yield each.record
    if chain != head.chain:
        raise BrokenLogError(head.seq, "the chain does not end where it should")
    try:
        kept = env.head()
    except DamagedError as error:
        raise BrokenLogError(head.seq, str(error)) from None
    if kept.seq < head.seq:
        raise BrokenLogError(kept.seq + 1, "the head record does not know of it")


def stands(env: Environment, floor: Floor, said: Compacted | None) -> Iterator[Row]:
    """Every row that stands below the floor; raises `BrokenLogError` where one is damaged, or where together they are
    not what was left there. `said`: what the log says last of it."""
    if said is not None and (said.seq > floor.seq or (said.seq == floor.seq and _said(floor) != said)):
        raise BrokenLogError(said.seq, "it is not where the log was compacted to")
    total = Floor()
    try:
        for row in rows_below(env, floor):
            total = total.with_rows([row], [])
            yield row
    except DamagedError as error:
        table_is_log = len(error.key) == 8 and int.from_bytes(error.key, "big") <= floor.seq
        seq = int.from_bytes(error.key, "big") if table_is_log else floor.seq
        raise BrokenLogError(seq, str(error)) from None
    if total.rows != floor.rows:
        raise BrokenLogError(floor.seq, "what the events up to it were compacted to is not what it was")


def _said(floor: Floor) -> Compacted:
    return Compacted(floor.seq, floor.chain, floor.rows_digest)


def _check_root(record: Record, chain: bytes) -> None:
    """A root says what the chain was before it."""
    root = record.message
    if isinstance(root, Root) and (root.seq, root.digest) != (record.seq - 1, chain):
        raise BrokenLogError(record.seq, f"the root of {root.day} is not that of the events before it")


def _page(env: Environment, after: int) -> list[tuple[bytes, bytes]]:
    try:
        return env.scan(LOG, number(after + 1), limit=PAGE)
    except DamagedError:
        # One row of the page is bad: go row by row, so that the bad one is named.
        pass
    try:
        payload = env.get(LOG, number(after + 1))
    except DamagedError as error:
        raise BrokenLogError(after + 1, str(error)) from None
    return [] if payload is None else [(number(after + 1), payload)]


def _stored(env: Environment, key: bytes) -> bytes | None:
    try:
        return env.get(CHAIN, key)
    except DamagedError as error:
        raise BrokenLogError(int.from_bytes(key, "big"), f"its link of the chain: {error}") from None

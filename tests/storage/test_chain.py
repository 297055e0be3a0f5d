"""The log proves itself: whatever byte of it is flipped, the check names the event."""

from __future__ import annotations

import random
from pathlib import Path

from daemon.domain.conditions import Root
from daemon.storage.chain import BrokenLogError, chained
from daemon.storage.codec import Cause, number, seal
from daemon.storage.environment import Environment
from daemon.storage.store import Store
from daemon.storage.tables import CHAIN, CHAIN_EVERY, LOG, META
from tests.storage.rooms import count, opened


def first_broken(store: Store) -> int:
    """The event that the check names; 0 where everything holds."""
    try:
        assert len([*chained(store.env, store.head)]) == store.head.seq
    except BrokenLogError as error:
        return error.seq
    return 0


def raw(env: Environment, table: str, key: bytes) -> bytes:
    with env.env.begin(db=env.tables[table]) as txn:
        return bytes(txn.get(key))


def planted(env: Environment, table: str, key: bytes, value: bytes) -> None:
    """Past every check, as somebody who may write to the disk would."""
    with env.env.begin(write=True) as txn:
        txn.put(key, value, db=env.tables[table])


def flipped(value: bytes, place: int, bit: int = 0) -> bytes:
    return value[:place] + bytes([value[place] ^ 1 << bit]) + value[place + 1 :]


def root(store: Store) -> int:
    message = Root("2026-01-31", store.head.seq, store.head.chain)
    return store.append("", message, Cause("chain"), at_us=store.now_us()).seq


async def test_every_flipped_byte_of_every_event_is_named(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        for place in range(8):
            count(store, "A", place)
        root(store)
        count(store, "B", 3)
        await store.flush()
        assert first_broken(store) == 0
        for seq in range(1, store.head.seq + 1):
            value = raw(store.env, LOG, number(seq))
            for place in range(len(value)):
                planted(store.env, LOG, number(seq), flipped(value, place, place % 8))
                assert first_broken(store) == seq
            planted(store.env, LOG, number(seq), value)
        assert first_broken(store) == 0


async def test_every_flipped_byte_of_the_head_and_of_a_link_is_noticed(tmp_path: Path) -> None:
    async with opened(tmp_path, map_bytes=1 << 24) as store:
        for place in range(CHAIN_EVERY + 5):
            count(store, "A", place)
        await store.flush()
        for table, key, named in ((META, b"head", store.head.seq), (CHAIN, number(CHAIN_EVERY), CHAIN_EVERY)):
            value = raw(store.env, table, key)
            for place in range(len(value)):
                planted(store.env, table, key, flipped(value, place))
                assert first_broken(store) == named
            planted(store.env, table, key, value)
        assert first_broken(store) == 0


async def test_in_a_larger_log_flips_at_random_are_named_and_forged_ones_found(tmp_path: Path) -> None:
    rng = random.Random(1)
    async with opened(tmp_path, map_bytes=1 << 24) as store:
        for place in range(900):
            count(store, rng.choice("ABC"), place)
        ends = root(store)
        await store.flush()
        for _ in range(12):
            seq = rng.randrange(1, ends + 1)
            key = number(seq)
            value = raw(store.env, LOG, key)
            planted(store.env, LOG, key, flipped(value, rng.randrange(len(value)), rng.randrange(8)))
            assert first_broken(store) == seq
            # Somebody who makes the checksum fit again is found by the chain: at the latest where its next link is.
            forged = flipped(value[4:], rng.randrange(len(value) - 4))
            planted(store.env, LOG, key, seal(key, forged))
            assert 0 < first_broken(store) <= max(seq, ends)
            planted(store.env, LOG, key, value)
        assert first_broken(store) == 0


async def test_a_root_that_is_not_that_of_the_events_before_it_is_named(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        count(store)
        wrong = Root("2026-01-31", store.head.seq, bytes(16))
        seq = store.append("", wrong, Cause("chain"), at_us=store.now_us()).seq
        await store.flush()
        assert first_broken(store) == seq

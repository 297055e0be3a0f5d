"""LMDB believes the meta page with the larger number: a bit in that number must not bring back an older state."""

from __future__ import annotations

from pathlib import Path

import lmdb
import pytest

from daemon.storage import tables
from daemon.storage.codec import seal
from daemon.storage.environment import Batch, Environment, Head
from daemon.storage.files import StoreError
from daemon.storage.restore import restore
from daemon.storage.tables import LINKS, META

PAGE, NUMBER_AT, NUMBER_BYTES = 4_096, 144, 8
"""Bytes of a page; where a meta page keeps the number of its transaction, and how long that is."""
MAP = 1 << 22


def opened(directory: Path) -> Environment:
    return Environment.open(directory, genesis="g", map_bytes=MAP)


@pytest.mark.parametrize("writes", [5, 6])
def test_a_bit_in_the_number_of_a_meta_page_loses_nothing_silently(tmp_path: Path, writes: int) -> None:
    env = opened(tmp_path)
    for place in range(writes):
        env.write(Batch(Head(), {LINKS: [(b"newest", bytes([place]))]}))
    env.close(clean=False)
    data = tmp_path / "data.mdb"
    whole, unclean = data.read_bytes(), (tmp_path / "unclean").read_bytes()
    refused = 0
    for page in (0, 1):
        for bit in range(NUMBER_BYTES * 8):
            content = bytearray(whole)
            content[page * PAGE + NUMBER_AT + bit // 8] ^= 1 << bit % 8
            data.write_bytes(content)
            (tmp_path / "unclean").write_bytes(unclean)
            try:
                env = opened(tmp_path)
            except StoreError:
                refused += 1
                continue
            assert env.get(LINKS, b"newest") == bytes([writes - 1]), f"page {page}, bit {bit}: an older state"
            env.close(clean=False)
    assert refused >= NUMBER_BYTES * 8


def test_the_sentence_says_what_to_do(tmp_path: Path) -> None:
    env = opened(tmp_path)
    with env.env.begin(write=True) as txn:
        txn.put(b"k", seal(b"k", b""), db=env.tables[LINKS])  # by somebody who leaves no number
    env.close(clean=False)
    with pytest.raises(StoreError, match=r"a meta page names transaction \d+, but .* restore a backup"):
        opened(tmp_path)


def test_a_copy_whose_transactions_begin_anew_is_taken_and_may_be_killed(tmp_path: Path) -> None:
    env = opened(tmp_path / "first")
    for _ in range(9):
        env.write(Batch(Head(), {LINKS: [(b"k", b"v")]}))
    env.copy_to(tmp_path / "backup")
    env.close(clean=True)
    restore(tmp_path / "backup", tmp_path / "second")
    for _ in range(3):
        env = opened(tmp_path / "second")
        assert env.get(LINKS, b"k") == b"v"
        env.close(clean=False)


def test_a_state_from_before_the_number_was_kept_is_taken_over(tmp_path: Path) -> None:
    env = opened(tmp_path)
    with env.env.begin(write=True) as txn:
        txn.delete(b"transaction", db=env.tables[META])
    env.close(clean=False)
    for _ in range(2):
        env = opened(tmp_path)
        env.close(clean=False)


def test_a_start_that_was_killed_when_it_had_made_a_new_table_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = opened(tmp_path)
    env.close(clean=False)
    monkeypatch.setattr("daemon.storage.engine.TABLES", (*tables.TABLES, "later"))
    monkeypatch.setattr(Environment, "_meet", lambda self, **_: (_ for _ in ()).throw(lmdb.Error("killed here")))
    with pytest.raises(StoreError, match="killed here"):
        opened(tmp_path)
    monkeypatch.undo()
    opened(tmp_path).close(clean=False)

"""Group commit: what is told durable is durable, in order; what fails is tried again or stops the process."""

from __future__ import annotations

from pathlib import Path

import lmdb
import pytest
import trio
from trio.testing import MockClock

from daemon.storage.chain import BrokenLogError, chained
from daemon.storage.codec import number, seal
from daemon.storage.environment import Environment
from daemon.storage.files import StoreError
from daemon.storage.store import Notices, Store
from daemon.storage.tables import CHAIN, CHAIN_EVERY, LINKS, LOG
from tests.storage.rooms import Disk, Ticking, count, opened

# --- group commit --------------------------------------------------------------------------------------------


async def test_many_events_share_a_few_commits(tmp_path: Path, autojump_clock: MockClock) -> None:
    disk = Disk(takes_s=0.01)
    async with opened(tmp_path, disk) as store:
        async with trio.open_nursery() as nursery:
            for _ in range(500):
                count(store)
                nursery.start_soon(store.flush)
        assert store.commits <= 2
        assert store.env.count(LOG) == 500


async def test_a_flush_returns_only_when_what_was_written_before_it_is_durable(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with opened(tmp_path, Disk(takes_s=0.01)) as store:
        tickets: list[int] = []

        async def write(at_s: float) -> None:
            await trio.sleep(at_s)
            seq = count(store)
            await store.flush()
            assert store.env.head().seq >= seq
            assert store.record(seq) is not None
            tickets.append(seq)

        async with trio.open_nursery() as nursery:
            for place in range(200):
                nursery.start_soon(write, place * 0.0007)
        assert sorted(tickets) == list(range(1, 201))
        assert store.commits < 40


async def test_rows_that_arrive_during_a_commit_are_not_durable_with_it(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with opened(tmp_path, Disk(takes_s=1.0)) as store:
        count(store)
        await trio.sleep(0.5)  # the first commit is under way
        second = count(store)
        began = trio.current_time()
        await store.flush()
        assert trio.current_time() - began == pytest.approx(1.5)
        assert store.env.head().seq == second


async def test_a_flush_during_a_commit_and_without_new_rows_waits_for_that_commit(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with opened(tmp_path, Disk(takes_s=1.0)) as store:
        seq = count(store)
        await trio.sleep(0.5)
        await store.flush()
        assert store.env.head().seq == seq
        began = trio.current_time()
        await store.flush()
        assert trio.current_time() == began


async def test_a_commit_is_never_abandoned_when_the_store_is_cancelled(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with opened(tmp_path, Disk(takes_s=1.0)) as store:
        count(store)
        await trio.sleep(0.5)
    again = Environment.open(tmp_path, genesis="g", map_bytes=1 << 22)
    assert again.head().seq == 1
    again.close(clean=False)


async def test_the_last_word_on_a_row_wins_within_one_commit(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        store.put(LINKS, b"gone", b"1")
        store.delete(LINKS, b"gone")
        store.delete(LINKS, b"back")
        store.put(LINKS, b"back", b"2")
        await store.flush()
        assert store.env.get(LINKS, b"gone") is None
        assert store.env.get(LINKS, b"back") == b"2"


async def test_stop_ends_the_committer_after_everything_is_durable(tmp_path: Path) -> None:
    env = Environment.open(tmp_path, genesis="g", map_bytes=1 << 20)
    store = Store(env, Disk(), Ticking(), disk_floor_bytes=0)
    count(store)
    store.stop()
    await store.run()
    assert env.head().seq == 1
    env.close(clean=True)


# --- failing commits -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [lmdb.DiskError("no space"), lmdb.Error("EIO"), OSError(28, "No space left")])
async def test_a_commit_without_room_is_tried_again_and_nothing_is_lost(
    tmp_path: Path, autojump_clock: MockClock, error: Exception
) -> None:
    said: list[str] = []
    disk = Disk(failures=[error] * 5)
    notices = Notices(full=said.append, healed=lambda: said.append("healed"))
    async with opened(tmp_path, disk, notices=notices) as store:
        seqs = [count(store) for _ in range(3)]
        await trio.sleep(0.1)
        assert "cannot be written" in store.trouble
        assert store.refuses() == store.trouble
        seqs.append(count(store))  # what was accepted meanwhile is kept as well
        await store.flush()
        assert (store.trouble, store.refuses()) == ("", "")
        assert [record.seq for record in store.records(0)] == seqs
        assert [said[0].split(" (")[0], said[1:]] == ["the database cannot be written", ["healed"]]


@pytest.mark.parametrize("error", [lmdb.PanicError("meta"), lmdb.CorruptedError("page"), lmdb.BadTxnError("txn")])
async def test_a_database_that_fails_for_good_stops_the_process(tmp_path: Path, error: Exception) -> None:
    with pytest.RaisesGroup(pytest.RaisesExc(StoreError, match="failed for good")):
        async with opened(tmp_path, Disk(failures=[error])) as store:
            count(store)
            await store.flush()


async def test_a_full_map_grows_without_a_restart_and_nothing_is_lost(tmp_path: Path) -> None:
    grown: list[int] = []
    async with opened(tmp_path, map_bytes=1 << 18, notices=Notices(grown=grown.append)) as store:
        for place in range(40):
            store.put(LINKS, number(place), bytes(60_000))
            count(store)
            await store.flush()
        assert grown == sorted(grown)
        assert grown[-1] >= 40 * 60_000
        assert store.env.count(LINKS) == store.env.count(LOG) == 40
        assert store.trouble == ""


async def test_a_map_at_its_maximum_is_trouble_and_the_store_can_still_be_stopped(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with opened(tmp_path, map_bytes=1 << 20, map_max_bytes=1 << 20) as store:
        for place in range(4):
            store.put(LINKS, number(place), bytes(60_000))
        await store.flush()
        store.put(LINKS, b"too much", bytes(2 << 20))
        await trio.sleep(5)
        assert "configured maximum of 1 MiB" in store.trouble


async def test_a_busy_store_refuses(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with opened(tmp_path, Disk(takes_s=10.0)) as store:
        store.pending_max = 3
        assert store.refuses() == ""
        count(store)
        await trio.sleep(1)
        for _ in range(3):
            count(store)
        assert store.refuses() == "the store is busy"
        await store.flush()
        assert store.refuses() == ""


# --- reading back --------------------------------------------------------------------------------------------


async def test_the_history_of_a_sku_joins_tail_and_table_without_gap_or_repetition(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        for place in range(12):
            count(store, "A" if place % 3 else "AB")
            if place in (3, 7):
                await store.checkpoint()
        await store.flush()
        mine = [record.seq for record in store.history("A")]
        assert mine == [12, 11, 9, 8, 6, 5, 3, 2]
        assert [record.seq for record in store.history("A", before=9, limit=3)] == [8, 6, 5]
        assert [record.seq for record in store.history("A", before=5)] == [3, 2]
        assert store.history("A", before=0) == store.history("A", before=1) == store.history("B") == []
        assert [record.seq for record in store.history("AB")] == [10, 7, 4, 1]
        for before in range(14):
            for limit in range(1, 10):
                assert [each.seq for each in store.history("A", before=before, limit=limit)] == [
                    seq for seq in mine if seq < before
                ][:limit]


async def test_a_history_read_while_a_checkpoint_is_under_way_is_whole(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with opened(tmp_path, Disk(takes_s=1.0)) as store:
        for _ in range(300):
            count(store)
        await store.flush()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.checkpoint)
            for _ in range(8):
                await trio.sleep(0.5)
                assert [record.seq for record in store.history("A", limit=1_000)] == list(range(300, 0, -1))


async def test_the_tail_holds_what_no_checkpoint_has_and_replay_repeats_just_that(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        for _ in range(5):
            count(store)
        await store.checkpoint()
        assert not store.tail
        count(store)
        await store.flush()
        assert [record.seq for record in store.tail] == [6]
    async with opened(tmp_path) as store:
        assert [record.seq for record in store.replay()] == [6]
        assert count(store) == 7


# --- the hash chain ------------------------------------------------------------------------------------------


async def test_a_whole_log_is_chained(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        for _ in range(CHAIN_EVERY + 5):
            count(store)
        await store.flush()
        assert [record.seq for record in chained(store.env, store.head)] == list(range(1, CHAIN_EVERY + 6))
        assert store.env.count(CHAIN) == 1


@pytest.mark.parametrize("seq", [1, 7, 20])
async def test_any_flipped_byte_of_an_event_names_that_event(tmp_path: Path, seq: int) -> None:
    async with opened(tmp_path) as store:
        for _ in range(20):
            count(store)
        await store.flush()
        env = store.env
        whole = seal(number(seq), env.get(LOG, number(seq)) or b"")
        for place in range(len(whole)):
            damaged = bytearray(whole)
            damaged[place] ^= 0x40
            _overwrite(env, seq, bytes(damaged))
            with pytest.raises(BrokenLogError) as broken:
                list(chained(env, store.head))
            assert broken.value.seq == seq
        _overwrite(env, seq, whole)
        assert len(list(chained(env, store.head))) == 20


async def test_an_event_forged_with_a_right_seal_breaks_the_chain_where_it_was_last_whole(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        for _ in range(CHAIN_EVERY * 2):
            count(store)
        await store.flush()
        forged = (store.env.get(LOG, number(CHAIN_EVERY + 9)) or b"").replace(b"A", b"B")
        _overwrite(store.env, CHAIN_EVERY + 9, seal(number(CHAIN_EVERY + 9), forged))
        with pytest.raises(BrokenLogError) as broken:
            list(chained(store.env, store.head))
        assert broken.value.seq == CHAIN_EVERY + 1


async def test_a_missing_event_is_named(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        for _ in range(9):
            count(store)
        store.delete(LOG, number(5))
        await store.flush()
        with pytest.raises(BrokenLogError, match="event 5: it is missing"):
            list(chained(store.env, store.head))


def _overwrite(env: Environment, seq: int, value: bytes) -> None:
    with env.env.begin(write=True) as txn:
        txn.put(number(seq), value, db=env.tables[LOG])

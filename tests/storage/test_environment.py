"""The state directory under damage: each case a clear sentence, never a silent loss, never a death by signal."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import lmdb
import pytest
import trio

from daemon.storage.codec import DamagedError, number, pack, seal
from daemon.storage.environment import Batch, Environment, Head
from daemon.storage.files import StoreError
from daemon.storage.restore import restore
from daemon.storage.tables import LINKS, LOG, META
from tests.storage.rooms import count, opened

OPEN = """
import sys
from pathlib import Path
from daemon.storage.codec import DamagedError
from daemon.storage.environment import Environment
from daemon.storage.files import StoreError
from daemon.storage.tables import TABLES
try:
    env = Environment.open(Path(sys.argv[1]), genesis="g", map_bytes=1 << 22)
    for table in TABLES:
        rows = env.scan(table, limit=100_000)
        if table == "links":
            assert len(rows) == 300 and all(value == key * 40 for key, value in rows), "silently wrong"
except (StoreError, DamagedError) as error:
    print(error)
    sys.exit(3)
"""


def full(directory: Path, *, clean: bool) -> Path:
    """A state directory with 300 rows; its data file."""
    env = Environment.open(directory, genesis="g", map_bytes=1 << 22)
    links = [(number(place), number(place) * 40) for place in range(300)]
    log = [(number(seq), pack((seq, "A"))) for seq in range(1, 301)]
    env.write(Batch(Head(seq=300, records=300), {LINKS: links, LOG: log}))
    env.close(clean=clean)
    return directory / "data.mdb"


def reopened(directory: Path) -> tuple[int, str]:
    """What opening and reading everything ends with, in a process of its own so that a signal would be seen."""
    done = subprocess.run([sys.executable, "-c", OPEN, str(directory)], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 3), f"{done.returncode}: {done.stderr[-500:]}"
    return done.returncode, done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("left", [1, 4096, 8191, 3 * 4096, 10 * 4096 + 7])
def test_a_truncated_file_is_a_sentence_however_the_daemon_stopped(tmp_path: Path, left: int, clean: bool) -> None:
    data = full(tmp_path, clean=clean)
    os.truncate(data, left)
    code, said = reopened(tmp_path)
    assert code == 3
    assert "restore" in said


@pytest.mark.slow
@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("seed", range(12))
def test_a_flipped_bit_is_a_sentence_or_harmless_never_a_signal_never_silent(
    tmp_path: Path, seed: int, clean: bool
) -> None:
    dice = random.Random(seed)
    data = full(tmp_path, clean=clean)
    content = bytearray(data.read_bytes())
    for _ in range(3):
        place = dice.randrange(len(content))
        content[place] ^= 1 << dice.randrange(8)
    data.write_bytes(content)
    reopened(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["zeroed page", "swapped pages"])
@pytest.mark.parametrize("seed", range(4))
def test_a_wrong_page_is_a_sentence_or_harmless(tmp_path: Path, seed: int, kind: str) -> None:
    dice = random.Random(seed)
    data = full(tmp_path, clean=True)
    content = bytearray(data.read_bytes())
    one, two = (dice.randrange(2, len(content) // 4096) * 4096 for _ in range(2))
    first, second = content[one : one + 4096], content[two : two + 4096]
    content[one : one + 4096] = bytes(4096) if kind == "zeroed page" else second
    if kind == "swapped pages":
        content[two : two + 4096] = first
    data.write_bytes(content)
    reopened(tmp_path)


def cut_to_nothing(data: Path) -> None:
    os.truncate(data, 0)


def unlinked(data: Path) -> None:
    data.unlink()


def garbage(data: Path) -> None:
    data.write_bytes(b"hello, this is no database" * 1_000)


def unmarked(data: Path) -> None:
    (data.parent / "initialised").unlink()


def unmarked_altogether(data: Path) -> None:
    unmarked(data)
    (data.parent / "unclean").unlink()


def foreign(data: Path) -> None:
    (data.parent / "initialised").write_text("another")


def nonsense_marker(data: Path) -> None:
    (data.parent / "initialised").write_bytes(b"\xff\xfe")


def newer(data: Path) -> None:
    _put(data, META, b"format", pack(99))


def shorter_log(data: Path) -> None:
    with lmdb.open(str(data.parent), max_dbs=20) as env, env.begin(write=True) as txn:
        txn.delete(number(300), db=env.open_db(LOG.encode(), txn=txn))


def headless(data: Path) -> None:
    with lmdb.open(str(data.parent), max_dbs=20) as env, env.begin(write=True) as txn:
        txn.delete(b"head", db=env.open_db(META.encode(), txn=txn))


def broken_format(data: Path) -> None:
    with lmdb.open(str(data.parent), max_dbs=20) as env, env.begin(write=True) as txn:
        txn.put(b"format", b"nonsense", db=env.open_db(META.encode(), txn=txn))


def emptied(data: Path) -> None:
    data.unlink()
    lmdb.open(str(data.parent), max_dbs=20).close()


def _put(data: Path, table: str, key: bytes, payload: bytes) -> None:
    with lmdb.open(str(data.parent), max_dbs=20) as env, env.begin(write=True) as txn:
        txn.put(key, seal(key, payload), db=env.open_db(table.encode(), txn=txn))


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (cut_to_nothing, "missing or empty although the state was in use"),
        (unlinked, "missing or empty although the state was in use"),
        (garbage, "is damaged"),
        (unmarked, r"the marker initialised in .* is missing or empty"),
        (unmarked_altogether, "the marker beside it"),
        (foreign, "not of one state"),
        (nonsense_marker, "not of one state"),
        (newer, "has format 99, this program knows 1"),
        (shorter_log, "ends at 299 with 299 events but should end at 300"),
        (headless, r"the head record of .* is missing"),
        (broken_format, "its checksum does not hold"),
        (emptied, "is empty although it was in use before"),
    ],
)
def test_a_state_that_is_not_whole_is_a_sentence_and_stays_as_it_is(
    tmp_path: Path, damage: Callable[[Path], None], sentence: str
) -> None:
    data = full(tmp_path, clean=False)
    damage(data)
    before = data.read_bytes() if data.exists() else b""
    for _ in range(2):  # a refused start leaves nothing open behind
        with pytest.raises(StoreError, match=sentence):
            Environment.open(tmp_path, genesis="g", map_bytes=1 << 22)
    if data.exists() and damage is not emptied:
        assert data.read_bytes()[: len(before)] == before


def test_a_first_start_that_was_cut_short_is_finished_by_the_next(tmp_path: Path) -> None:
    Environment.open(tmp_path, genesis="g", map_bytes=1 << 22).close(clean=False)
    (tmp_path / "initialised").unlink()
    (tmp_path / "unclean").unlink()
    env = Environment.open(tmp_path, genesis="h", map_bytes=1 << 22)
    assert (env.genesis, env.head()) == ("h", Head())
    env.close(clean=True)
    assert (tmp_path / "initialised").read_text() == "h"


def test_a_database_that_was_torn_before_it_was_a_state_is_made_anew_but_no_other(tmp_path: Path) -> None:
    torn = b"\0" * 512 + b"half a page"
    (tmp_path / "newborn").touch()
    (tmp_path / "data.mdb").write_bytes(torn)
    Environment.open(tmp_path, genesis="g", map_bytes=1 << 22).close(clean=False)
    assert not (tmp_path / "newborn").exists()

    strange = tmp_path / "strange"
    strange.mkdir()
    (strange / "data.mdb").write_bytes(torn)  # nothing says that it was never more than this
    for _ in range(2):
        with pytest.raises(StoreError, match="is damaged"):
            Environment.open(strange, genesis="g", map_bytes=1 << 22)
    assert (strange / "data.mdb").read_bytes() == torn


def test_a_start_after_half_a_restore_adds_nothing_to_it(tmp_path: Path) -> None:
    (tmp_path / "data.mdb.part").write_bytes(b"half")
    with pytest.raises(StoreError, match="was cut short"):
        Environment.open(tmp_path, genesis="g", map_bytes=1 << 22)
    assert {each.name for each in tmp_path.iterdir()} == {"data.mdb.part", "onhand.lock"}


def test_a_file_as_an_orderly_stop_left_it_is_not_walked_page_by_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[Path] = []
    monkeypatch.setattr("daemon.storage.markers.structural_problems", lambda data: looked.append(data) or [])
    full(tmp_path, clean=True)
    env = Environment.open(tmp_path, genesis="g", map_bytes=1 << 22)
    assert looked == []
    env.close(clean=False)
    Environment.open(tmp_path, genesis="g", map_bytes=1 << 22).close(clean=True)
    assert looked == [tmp_path / "data.mdb"]


@pytest.mark.parametrize("kept_time", [True, False])
def test_one_flipped_bit_since_an_orderly_stop_is_refused_wherever_it_is(tmp_path: Path, kept_time: bool) -> None:
    data = full(tmp_path, clean=True)
    whole, status = data.read_bytes(), data.stat()
    for place in random.Random(1).sample(range(len(whole)), 30):
        content = bytearray(whole)
        content[place] ^= 4
        data.write_bytes(content)
        if kept_time:  # as a disk does it, not a program
            os.utime(data, ns=(status.st_atime_ns, status.st_mtime_ns))
        with pytest.raises(StoreError, match=r"not as the last orderly stop left it.*restore a backup"):
            Environment.open(tmp_path, genesis="g", map_bytes=1 << 22)
    data.write_bytes(whole)
    Environment.open(tmp_path, genesis="g", map_bytes=1 << 22).close(clean=True)


def test_a_flipped_bit_in_a_key_does_not_make_a_row_absent(tmp_path: Path) -> None:
    full(tmp_path, clean=True)
    env = Environment.open(tmp_path, genesis="g", map_bytes=1 << 22)
    with env.env.begin(write=True) as txn:
        row = txn.pop(number(7), db=env.tables[LINKS])
        txn.put(number(7) + b"\0", row, db=env.tables[LINKS])
    for absent in (number(7), number(7) + b"\1"):
        with pytest.raises(DamagedError, match=r"table links is damaged .* restore a backup"):
            env.get(LINKS, absent)
    assert env.get(LINKS, b"\0") is env.get(LINKS, number(301)) is None
    env.close(clean=False)


def test_an_older_copy_of_the_file_is_refused_after_a_kill_too(tmp_path: Path) -> None:
    data = full(tmp_path, clean=True)
    older = data.read_bytes()
    env = Environment.open(tmp_path, genesis="g", map_bytes=1 << 22)
    env.write(Batch(Head(seq=300, records=300), {LINKS: [(b"new", b"")]}))
    env.close(clean=False)
    newest = data.read_bytes()
    data.write_bytes(older)
    with pytest.raises(StoreError, match=r"older than what was acknowledged .* put the newest file back"):
        Environment.open(tmp_path, genesis="g", map_bytes=1 << 22)
    data.write_bytes(newest)
    Environment.open(tmp_path, genesis="g", map_bytes=1 << 22).close(clean=False)


@pytest.mark.parametrize("how", ["removed", "replaced", "put back older"])
def test_a_file_that_is_taken_away_under_the_daemon_is_not_written_on(tmp_path: Path, how: str) -> None:
    data = full(tmp_path, clean=True)
    older = data.read_bytes()
    env = Environment.open(tmp_path, genesis="g", map_bytes=1 << 22)
    batch = Batch(Head(seq=300, records=300), {LINKS: [(b"new", b"")]})
    env.write(batch)
    if how == "put back older":
        with data.open("r+b") as file:
            file.write(older)  # into the very file, as `cp` does it
    else:
        data.unlink()
        if how == "replaced":
            data.write_bytes(older)
    with pytest.raises(StoreError, match=r"removed, replaced or changed by another program .* put the file back"):
        env.write(batch)
    env.close(clean=False)


def test_a_second_process_on_the_same_directory_is_refused_with_a_sentence(tmp_path: Path) -> None:
    env = Environment.open(tmp_path, genesis="g", map_bytes=1 << 22)
    code, said = reopened(tmp_path)
    assert code == 3
    assert "another onhand is already running" in said
    env.close(clean=True)


def test_a_directory_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be made"):
        Environment.open(tmp_path / "file" / "state", genesis="g")


# --- a full disk ---------------------------------------------------------------------------------------------

FULL_DISK = """
import resource, sys, trio
from pathlib import Path
from tests.storage.rooms import count, opened
import daemon.storage.store as module
module.RETRY_S = 0.01

async def main():
    async with opened(Path(sys.argv[1]), map_bytes=1 << 24) as store:
        count(store)
        await store.flush()
        size = (Path(sys.argv[1]) / "data.mdb").stat().st_size
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 8192, hard))
        for place in range(50):
            store.put("links", place.to_bytes(8, "big"), bytes(4000))
            count(store)
        with trio.move_on_after(0.2):
            await store.flush()
        print("trouble:", store.trouble)
        assert store.refuses()
        assert store.env.get("links", (0).to_bytes(8, "big")) is None
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        with trio.fail_after(5):
            await store.flush()
        assert store.trouble == "" and store.env.count("log") == 51 and store.env.count("links") == 50
        print("healed")

import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
trio.run(main)
"""


@pytest.mark.slow
def test_a_file_that_may_not_grow_is_trouble_that_heals_and_loses_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == 0, done.stderr[-800:]
    assert "trouble: the database cannot be written" in done.stdout
    assert "healed" in done.stdout


@pytest.mark.slow
async def test_a_full_file_system_is_trouble_that_heals_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted = subprocess.run(  # noqa: ASYNC221  # nothing else runs
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("NO FILE SYSTEM CAN BE MOUNTED HERE: A FULL DISK IS ONLY TESTED BY A LIMIT ON THE FILE'S SIZE")
    try:
        monkeypatch.setattr("daemon.storage.store.RETRY_S", 0.01)
        async with opened(tmp_path / "state") as store:
            ballast = tmp_path / "ballast"
            ballast.write_bytes(bytes(700 << 10))
            for place in range(80):
                store.put(LINKS, number(place), bytes(4_000))
                count(store)
            with trio.move_on_after(0.2):
                await store.flush()
            assert "cannot be written" in store.trouble
            ballast.unlink()
            with trio.fail_after(5):
                await store.flush()
            assert store.trouble == ""
            assert (store.env.count(LINKS), store.env.count(LOG)) == (80, 80)
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)  # noqa: ASYNC221  # as above


# --- backup --------------------------------------------------------------------------------------------------


async def test_a_backup_taken_while_writes_go_on_restores_to_a_state_that_was(tmp_path: Path) -> None:
    async with opened(tmp_path / "state") as store:
        for _ in range(50):
            count(store)
        await store.flush()
        for _ in range(20):
            count(store)  # not durable yet: not in the copy
        store.env.copy_to(tmp_path / "backup")
        await store.flush()
        rows = store.env.scan(LOG, limit=50)
    restore(tmp_path / "backup", tmp_path / "again")
    env = Environment.open(tmp_path / "again", genesis="x", map_bytes=1 << 22)
    assert env.scan(LOG, limit=1_000) == rows
    assert env.head().seq == 50
    env.close(clean=True)

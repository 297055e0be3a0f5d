"""A backup becomes a state directory, or nothing is changed and a sentence says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.storage.environment import Batch, Environment, Head
from daemon.storage.files import StoreError
from daemon.storage.restore import restore


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    env = Environment.open(tmp_path / "old", genesis="g", map_bytes=1 << 20)
    env.write(Batch(Head(seq=0, hlc_us=7), {"links": [(b"a", b"x" * 1000)]}))
    env.copy_to(tmp_path / "backup")
    env.close(clean=True)
    return tmp_path / "backup"


def test_a_restored_state_opens_and_holds_what_was_copied(backup: Path, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "state"
    size = restore(backup, target)
    assert size == (backup / "data.mdb").stat().st_size
    assert sorted(each.name for each in target.iterdir()) == ["data.mdb", "initialised", "onhand.lock"]
    env = Environment.open(target, genesis="another", map_bytes=1 << 20)
    assert env.get("links", b"a") == b"x" * 1000
    assert env.head().hlc_us == 7
    assert env.genesis == "g"
    env.close(clean=True)


def test_an_emptied_state_directory_still_holds_its_lock_file(backup: Path, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "onhand.lock").touch()
    restore(backup, tmp_path / "state")


def test_a_state_that_is_in_use_is_never_touched(backup: Path, tmp_path: Path) -> None:
    env = Environment.open(tmp_path / "state", genesis="g", map_bytes=1 << 20)
    before = (tmp_path / "state" / "data.mdb").read_bytes()
    with pytest.raises(StoreError, match="not empty"):
        restore(backup, tmp_path / "state")
    for name in ("data.mdb", "lock.mdb", "initialised", "unclean"):
        (tmp_path / "state" / name).unlink(missing_ok=True)
    with pytest.raises(StoreError, match="already running"):
        restore(backup, tmp_path / "state")
    env.close(clean=True)
    assert before


@pytest.mark.parametrize("missing", ["initialised", "data.mdb"])
def test_half_a_backup_is_none(missing: str, backup: Path, tmp_path: Path) -> None:
    (backup / missing).write_bytes(b"")
    with pytest.raises(StoreError, match="is not a backup"):
        restore(backup, tmp_path / "state")
    (backup / missing).unlink()
    with pytest.raises(StoreError, match="is not a backup"):
        restore(backup, tmp_path / "state")
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("damage", ["truncated", "zeroed", "no database"])
def test_a_damaged_backup_is_refused_before_anything_is_written(damage: str, backup: Path, tmp_path: Path) -> None:
    data = backup / "data.mdb"
    whole = data.read_bytes()
    match damage:
        case "truncated":
            data.write_bytes(whole[: len(whole) // 2])
        case "zeroed":
            data.write_bytes(bytes(len(whole)))
        case _:
            data.write_bytes(b"hello")
    with pytest.raises(StoreError, match="is damaged"):
        restore(backup, tmp_path / "state")
    assert not (tmp_path / "state").exists()


def test_a_file_in_the_way_is_a_sentence(backup: Path, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(StoreError, match="cannot be read"):
        restore(backup, tmp_path / "state")
    with pytest.raises(StoreError, match="is not a backup"):
        restore(tmp_path / "nothing", tmp_path / "other")

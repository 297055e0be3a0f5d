"""Named faults: files that a start must not take for a state, and commands killed half-way."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from daemon.storage import environment, restore
from daemon.storage.codec import pack, seal
from daemon.storage.tables import META
from tests.storage_faults.children import in_a_child
from tests.storage_faults.scaffold import NOBODY, case, die, killed, lived, open_state, refusal, whole


def _as_nobody(work: Callable[[], Any]) -> str:
    """Permissions mean nothing to root."""

    def child(tell: Any) -> None:
        if not os.geteuid():
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        tell(refusal(work))

    (said,), died = in_a_child(child)
    assert not died, died
    return str(said)


@case("read-only directory")
def read_only_directory(folder: Path) -> str:
    state, _ = lived(folder)
    state.chmod(0o555)
    (state / "onhand.lock").unlink()
    return _as_nobody(lambda: open_state(state))


@case("unwritable lock")
def unwritable_lock(folder: Path) -> str:
    state, _ = lived(folder)
    state.chmod(0o777)
    (state / "onhand.lock").chmod(0o444)
    return _as_nobody(lambda: open_state(state))


@case("unwritable database")
def unwritable_database(folder: Path) -> str:
    state, _ = lived(folder)
    state.chmod(0o777)
    for each in state.iterdir():
        each.chmod(0o444 if each.name == "data.mdb" else 0o666)
    return _as_nobody(lambda: open_state(state))


@case("a second process, also by a symlink")
def second_process(folder: Path) -> str:
    env = open_state(folder / "s")
    (folder / "link").symlink_to(folder / "s")
    said = refusal(lambda: open_state(folder / "s"))
    assert "already running" in refusal(lambda: open_state(folder / "link"))
    env.close(clean=True)
    return said


@case("zero-length data file")
def zero_length(folder: Path) -> str:
    state, _ = lived(folder)
    os.truncate(state / "data.mdb", 0)
    return refusal(lambda: open_state(state))


def _format(state: Path, version: int) -> str:
    env = open_state(state)
    with env.env.begin(write=True) as txn:
        txn.put(b"format", seal(b"format", pack(version)), db=env.tables[META])
    env.close(clean=True)
    before = (state / "data.mdb").read_bytes()
    said = refusal(lambda: open_state(state))
    assert (state / "data.mdb").read_bytes() == before
    return said


@case("written by a newer version")
def newer_format(folder: Path) -> str:
    return _format(lived(folder)[0], 2)


@case("written by an unknown older version (there is no migration)")
def older_format(folder: Path) -> str:
    return _format(lived(folder)[0], 0)


@case("backup killed half-way")
def interrupted_backup(folder: Path) -> str:
    state, acknowledged = lived(folder, clean=False)

    def backup() -> None:
        environment.sync_file = die  # the copy is there, its marker is not
        open_state(state).copy_to(folder / "backup")

    killed(backup)
    assert (folder / "backup" / "data.mdb").stat().st_size
    said = refusal(lambda: restore.restore(folder / "backup", folder / "new"))
    whole(state, acknowledged)
    return said


@case("restore killed half-way, then a start")
def interrupted_restore(folder: Path) -> str:
    state, acknowledged = lived(folder)
    env = open_state(state)
    env.copy_to(folder / "backup")
    env.close(clean=True)

    def half() -> None:
        restore.structural_problems = die  # type: ignore[assignment]
        restore._checked_marker = lambda backup: (backup / "initialised").read_text()
        restore.restore(folder / "backup", folder / "new")

    killed(half)
    said = refusal(lambda: open_state(folder / "new"))
    assert "not empty" in refusal(lambda: restore.restore(folder / "backup", folder / "new"))
    shutil.rmtree(folder / "new")
    restore.restore(folder / "backup", folder / "new")
    whole(folder / "new", acknowledged)
    return said

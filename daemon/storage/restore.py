"""A backup becomes a state directory again: checked before it is copied, and again before it counts."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from daemon.storage.files import StoreError, structural_problems, sync_directory, take_lock
from daemon.storage.markers import DATA, INITIALISED, PART, write_genesis

LOCK = "onhand.lock"
"""The one file that an emptied state directory may still hold."""


def restore(backup: Path, state_dir: Path) -> int:
    """Copy `backup` into `state_dir`, which must be empty or absent; returns bytes copied.

    Raises `StoreError` with a sentence, and then leaves nothing behind that a daemon would take for its state:
    the marker that makes a directory a state directory is written last.
    """
    genesis = _checked_marker(backup)
    _check_empty(state_dir)
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"the state directory {state_dir} cannot be made ({error.strerror})") from None
    lock_fd = take_lock(state_dir)  # a daemon that runs on it holds this; one that starts meanwhile must wait
    try:
        _check_empty(state_dir)
        return _copy(backup, state_dir, genesis)
    finally:
        os.close(lock_fd)


def _checked_marker(backup: Path) -> str:
    """What the backup's marker says, once marker and database are known to be whole."""
    data = backup / DATA
    try:
        genesis = (backup / INITIALISED).read_text()
        size = data.stat().st_size
    except (OSError, UnicodeDecodeError):
        genesis, size = "", 0
    if not genesis or not size:
        raise StoreError(
            f"{backup} is not a backup (it needs the files `initialised` and `data.mdb`); name a directory that "
            "`onhand backup` wrote"
        )
    problems = structural_problems(data)
    if problems:
        raise StoreError(f"{data} is damaged ({problems[0]}); take another backup - nothing was changed")
    return genesis


def _check_empty(state_dir: Path) -> None:
    try:
        found = sorted(each.name for each in state_dir.iterdir() if each.name != LOCK)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreError(f"the state directory {state_dir} cannot be read ({error.strerror})") from None
    if found:
        raise StoreError(
            f"the state directory {state_dir} is not empty (it holds {found[0]}); stop the daemon and move the old "
            "state away first"
        )


def _copy(backup: Path, state_dir: Path, genesis: str) -> int:
    part, data = state_dir / PART, state_dir / DATA
    try:
        with (backup / DATA).open("rb") as source, part.open("xb") as copy:
            os.fchmod(copy.fileno(), 0o600)
            shutil.copyfileobj(source, copy, 1 << 20)
            copy.flush()
            os.fsync(copy.fileno())
        problems = structural_problems(part)
        if problems:
            raise StoreError(f"the copy is not what the backup was ({problems[0]}); check the disk, then try again")
        part.rename(data)
        sync_directory(state_dir)
        write_genesis(state_dir, genesis)
        return data.stat().st_size
    except OSError as error:
        raise StoreError(f"the backup cannot be copied to {state_dir} ({error.strerror})") from None
    finally:
        part.unlink(missing_ok=True)

"""The disk of a world: real LMDB, and what a disk does to it now and then.

A commit can fail, the disk can be full, and the power can go while a commit is on its way to the disk: then the
process has seen it written, and after the crash the file is as it was before.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import lmdb

from daemon.storage.environment import MIB, Batch, Environment
from daemon.storage.markers import CLOSED, DATA, INITIALISED, UNCLEAN
from daemon.storage.tables import CURSORS, DEAD, DELIVERIES, LOG, REFETCH

if TYPE_CHECKING:
    from tests.simulation.ports import Life

KINDS = (
    (DELIVERIES, "a webhook"),
    (CURSORS, "a cursor"),
    (DEAD, "a letter"),
    (REFETCH, "a refetch"),
    (LOG, "events"),
)
"""What a commit is called after: the first of these tables that it writes."""

FILES = (DATA, INITIALISED, UNCLEAN, CLOSED)
FREE_BYTES = 1 << 40


def kind_of(batch: Batch) -> str:
    """What a commit is of."""
    return next((name for table, name in KINDS if batch.puts.get(table)), "rows behind")


def opener(life: Life) -> Callable[..., Environment]:
    """`Environment.open` for one life of the daemon."""
    world = life.world

    class SimulatedEnvironment(Environment):
        """The real one; before, in and after each commit something may happen."""

        def write(self, batch: Batch) -> None:
            life.commit = kind_of(batch)
            life.point(f"before a commit of {life.commit}")
            if world.disk_full() and world.rng_disk.random() < 0.7:
                world.fault("disk full")
                raise lmdb.DiskError("mdb_txn_commit: No space left on device")
            if world.stormy and world.rng_disk.random() < world.plan.eio:
                world.fault("commit fails with EIO")
                raise lmdb.Error("mdb_txn_commit: Input/output error")
            if world.stormy and world.rng_disk.random() < world.plan.tears:
                life.torn = {name: _content(self.directory / name) for name in FILES}
            super().write(batch)

        def free_disk_bytes(self) -> int:
            return MIB if world.disk_full() else FREE_BYTES

    return SimulatedEnvironment.open


def undo(life: Life, directory: Path) -> None:
    """After the end of a life whose last commit the power cut took away: the files as they were before."""
    for name, content in life.torn.items():
        if content is None:
            (directory / name).unlink(missing_ok=True)
        else:
            (directory / name).write_bytes(content)


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None

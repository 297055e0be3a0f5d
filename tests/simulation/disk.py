"""The disk of a world: real LMDB, or a store in memory, and what a disk does to it now and then.

A commit can fail, the disk can be full, and the power can go while a commit is on its way to the disk: then the
process has seen it written, and after the crash all is as it was before.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lmdb

from daemon.storage.environment import MIB, Batch, Environment
from daemon.storage.markers import CLOSED, DATA, INITIALISED, UNCLEAN, check_file
from daemon.storage.tables import CURSORS, DEAD, DELIVERIES, LOG, REFETCH
from tests.simulation.memory import MemoryEnvironment

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

STRUCTURE_EVERY = 8
"""Of so many starts after a crash one walks every page of LMDB's file before it is opened, as the daemon does: it is
a quarter of a world's time, and proved by cut and damaged files elsewhere. The rows are always checked."""


def kind_of(batch: Batch) -> str:
    """What a commit is of."""
    return next((name for table, name in KINDS if batch.puts.get(table)), "rows behind")


def opener(life: Life) -> Any:
    """`Environment.open` for one life of the daemon."""
    world = life.world
    base: Any = Environment if world.memory is None else MemoryEnvironment

    class SimulatedEnvironment(base):
        """Before, in and after each commit something may happen."""

        memory = world.memory

        if world.memory is None:

            @staticmethod
            def check_file(directory: Path, *, new: bool) -> bool:
                crashed = not new and not (directory / CLOSED).exists()
                if crashed and (world.seed + life.number) % STRUCTURE_EVERY:
                    return False
                return check_file(directory, new=new)

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
                life.torn = _undoing(self.directory) if self.memory is None else self.memory.undoing()
            super().write(batch)

        def free_disk_bytes(self) -> int:
            return MIB if world.disk_full() else FREE_BYTES

    return SimulatedEnvironment.open


def _undoing(directory: Path) -> Callable[[], None]:
    """What makes the files be again as they are now."""
    paths = [directory / name for name in FILES]
    before = {path: path.read_bytes() if path.exists() else None for path in paths}

    def undo() -> None:
        for path, content in before.items():
            if content is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(content)

    return undo

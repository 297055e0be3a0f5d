"""Named faults: a disk, a map or a descriptor table without room, and a disk that fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import trio
import trio.testing

from daemon.storage.tables import LINKS, LOG
from tests.storage.rooms import count, opened
from tests.storage_faults.scaffold import (
    MIB,
    case,
    failing,
    lived,
    no_room,
    open_state,
    refusal,
    simulated,
    stopped,
    whole,
)


def _trouble_that_heals(state: Path, fault: Any, rows: int = 1) -> str:
    """Commit while `fault` holds: trouble and no acknowledgement; afterwards everything is durable."""

    async def main() -> str:
        async with opened(state, map_bytes=16 * MIB) as store:
            count(store)
            await store.flush()
            with fault(state):
                for place in range(rows):
                    store.put(LINKS, place.to_bytes(8, "big"), bytes(4_000))
                count(store)
                with trio.move_on_after(2) as waited:
                    await store.flush()
                assert waited.cancelled_caught, "it was acknowledged"
                said = store.trouble
                assert store.refuses() == said
            with trio.fail_after(5):
                await store.flush()
            assert not store.trouble
        with_all = open_state(state)
        assert (with_all.count(LOG), with_all.count(LINKS)) == (2, rows)
        with_all.close(clean=True)
        return said

    return str(simulated(main))


@case("full disk at a commit")
def full_disk_commit(folder: Path) -> str:
    return _trouble_that_heals(folder / "s", lambda state: no_room((state / "data.mdb").stat().st_size + 8_192), 60)


@case("full disk at a checkpoint")
def full_disk_checkpoint(folder: Path) -> str:
    async def main() -> str:
        async with opened(folder, map_bytes=16 * MIB) as store:
            for _ in range(3):
                count(store)
            for place in range(400):
                store.behind[LINKS, place.to_bytes(8, "big")] = lambda: bytes(4_000)
            await store.flush()
            async with trio.open_nursery() as nursery:
                with no_room((folder / "data.mdb").stat().st_size + 4_096):
                    nursery.start_soon(store.checkpoint)
                    await trio.sleep(3)
                    said = store.trouble
                    assert store.refuses()
                    assert store.checkpointed() == (0, 0)
            assert (store.checkpointed()[0], store.env.count(LINKS), store.trouble) == (3, 400, "")
            return said

    return str(simulated(main))


@case("full disk at a backup")
def full_disk_backup(folder: Path) -> str:
    state, acknowledged = lived(folder)
    env = open_state(state)
    with no_room(20_000):
        said = refusal(lambda: env.copy_to(folder / "backup"))
    env.copy_to(folder / "backup")  # the same directory: nothing was left in it
    env.close(clean=True)
    whole(state, acknowledged)
    return said


@case("full disk at the first start")
def full_disk_start(folder: Path) -> str:
    with no_room(4_096):
        said = refusal(lambda: open_state(folder / "s"))
    open_state(folder / "s").close(clean=True)
    return said


@case("full disk at a later start")
def full_disk_later_start(folder: Path) -> str:
    state, acknowledged = lived(folder)
    with no_room(0):
        said = refusal(lambda: open_state(state))
    whole(state, acknowledged)
    return said


@case("full disk at an orderly stop")
def full_disk_stop(folder: Path) -> str:
    env = open_state(folder / "s")
    with no_room(0):
        env.close(clean=True)  # says nothing: the next start checks the file instead
    open_state(folder / "s").close(clean=True)
    return "(nothing to say: the next start checks the whole file)"


@case("full map")
def full_map(folder: Path) -> str:
    async def main() -> str:
        async with opened(folder, map_bytes=MIB // 2, map_max_bytes=MIB) as store:
            count(store)
            store.put(LINKS, b"a", bytes(300_000))
            await store.flush()
            store.put(LINKS, b"b", bytes(2 * MIB))
            count(store)
            await trio.sleep(3)
            assert store.env.sizes()[0] == MIB, "it grew up to the maximum"
            assert store.refuses() == store.trouble
            said = store.trouble
        async with opened(folder, map_bytes=MIB // 2, map_max_bytes=8 * MIB) as store:
            assert store.head.seq == 1
            store.put(LINKS, b"b", bytes(2 * MIB))
            await store.flush()
            assert not store.refuses()
        return said

    return str(simulated(main))


@case("EIO at a sync")
def eio_at_sync(folder: Path) -> str:
    return _trouble_that_heals(folder / "s", lambda _: failing("s"))


@case("a meta page cannot be written")
def meta_write(folder: Path) -> str:
    async def main() -> None:
        async with opened(folder / "s") as store:
            count(store)
            await store.flush()
            with failing("m"):
                count(store)
                await store.flush()
                raise AssertionError("it was acknowledged")

    said = stopped(main)
    env = open_state(folder / "s")
    assert env.head().seq in (1, 2)  # never acknowledged: it may be there or not
    env.close(clean=True)
    return said

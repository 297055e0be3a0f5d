"""Named faults: what happens to the files, the descriptors and the clock under a running daemon."""

from __future__ import annotations

import os
import random
import resource
import shutil
from pathlib import Path
from typing import Any

import trio
import trio.testing

from daemon.storage.environment import Batch, Head
from daemon.storage.files import StoreError
from daemon.storage.store import Store
from daemon.storage.tables import LINKS, LOG, SKUS
from tests.storage.rooms import Ticking, count, inline, opened
from tests.storage_faults.lives import Shops
from tests.storage_faults.scaffold import MIB, case, lived, open_state, refusal, simulated, stopped, whole


@case("a long read does not make the file grow (no read outlives its call)")
def long_read(folder: Path) -> str:
    async def main() -> None:
        async with opened(folder, map_bytes=16 * MIB) as store:
            for place in range(600):
                count(store)
                store.put(LINKS, b"same", bytes(2_000))
                store.history("A", limit=50)
                await store.flush()
                if place == 300:
                    used, readers = store.env.sizes()[1], store.env.readers()
            assert store.env.sizes()[1] < used + 300 * 1_000, "pages are used again"
            assert store.env.readers() == readers

    simulated(main)
    return "(nothing to say)"


@case("state directory removed while running")
def removed_while_running(folder: Path) -> str:
    acknowledged: list[Any] = []
    shops = Shops(1, acknowledged.append)

    async def main() -> None:
        async with shops.life(folder / "state"):
            await trio.sleep(1)
            shutil.rmtree(folder / "state")
            acknowledged.clear()
            await trio.sleep(30)

    said = stopped(main)
    assert not acknowledged, "nothing is acknowledged into a file that nobody will find again"
    return said


@case("an older copy put back while running")
def replaced_while_running(folder: Path) -> str:
    env = open_state(folder / "s")
    older = (folder / "s" / "data.mdb").read_bytes()
    env.write(Batch(Head(), {LINKS: [(b"k", b"v")]}))
    with (folder / "s" / "data.mdb").open("r+b") as file:
        file.write(older)
    said = refusal(lambda: env.write(Batch(Head())))
    env.close(clean=False)
    return said


@case("file cut while running")
def cut_while_running(folder: Path) -> str:
    state, _ = lived(folder)
    env = open_state(state)
    os.truncate(state / "data.mdb", 8_192)
    said = refusal(lambda: env.scan(LOG, limit=1_000))
    refusal(lambda: env.get(SKUS, b"SKU-1"))
    env.close(clean=False)
    refusal(lambda: open_state(state))
    return said


@case("a damaged row read while running")
def damaged_while_running(folder: Path) -> str:
    state, _ = lived(folder)
    env = open_state(state)
    with env.env.begin(write=True) as txn:
        value = bytearray(txn.get(b"SKU-1", db=env.tables[SKUS]))
        value[20] ^= 1
        txn.put(b"SKU-1", bytes(value), db=env.tables[SKUS])
    said = refusal(lambda: env.get(SKUS, b"SKU-1"))
    assert env.get(SKUS, b"SKU-2")
    env.close(clean=False)
    assert "SKU-1" in refusal(lambda: open_state(state)), "and the next start does not begin with it"
    return said


@case("no file descriptors left at a start")
def no_descriptors(folder: Path) -> str:
    state, acknowledged = lived(folder)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    said = ""
    for spare in range(12):
        in_use = len(os.listdir("/proc/self/fd")) - 1
        resource.setrlimit(resource.RLIMIT_NOFILE, (in_use + spare, hard))
        try:
            open_state(state).close(clean=True)
            break
        except StoreError as error:
            said = str(error)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    else:
        raise AssertionError("it never opened")
    whole(state, acknowledged)
    return said


@case("no file descriptors left while running")
def no_descriptors_running(folder: Path) -> str:
    async def main() -> None:
        async with opened(folder) as store:
            _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
            for _ in range(50):
                count(store)
                await store.flush()
            await store.checkpoint()
            assert store.record(50)
            assert not store.trouble

    simulated(main)
    return "(nothing to say: commits, checkpoints and reads need none)"


@case("our clock goes backwards across a restart")
def clock_backwards(folder: Path) -> str:
    async def life(clock: Ticking) -> list[int]:
        env = open_state(folder)
        store = Store(env, inline, clock, disk_floor_bytes=0)
        async with trio.open_nursery() as nursery:
            await nursery.start(store.run)
            for _ in range(5):
                count(store)
            await store.flush()
            nursery.cancel_scope.cancel()
        stamps = [record.at_us for record in store.records(0)]
        env.close(clean=bool(random.Random(len(stamps)).randrange(2)))
        return stamps

    async def main() -> None:
        for us in (2_000_000_000, 1_000_000_000, 0):
            stamps = await life(Ticking(us))
            assert stamps == sorted(set(stamps)), "stamps only grow"

    simulated(main)
    return "(nothing to say: the log's clock only grows)"

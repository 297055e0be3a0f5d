"""A disk that is really full: 503 while it is, everything after, and a stop that does not wait for ever."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from tests.acceptance.processes import Daemon, daemon, free_port, sandbox_channel, until, write_config
from tests.acceptance.webhooks import order_body, post

pytestmark = pytest.mark.slow

SECRET = "secret-north"
FLOOR_MB = 16


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 40 MiB of its own. Only root may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=40m", "onhand-test", str(folder)], check=False, capture_output=True
    ).returncode == 0  # fmt: skip
    if not mounted:
        pytest.skip("NOT TESTED on a full disk: a small file system can only be mounted by root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Take every byte there is, below the floor and all."""
    filler = folder / "filler"
    with filler.open("ab", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return filler


async def statuses(found: Daemon, numbers: range) -> dict[int, int]:
    """The answers to so many sales, told all at once."""
    answers: dict[int, int] = {}

    async def tell(number: int) -> None:
        body = order_body(f"O-{number}", lines=[("SKU-0001", 1)])
        answers[number] = (await post(found.port, "north", body, SECRET, delivery=f"D-{number}", within_s=20)).status

    async with trio.open_nursery() as nursery:
        for number in numbers:
            nursery.start_soon(tell, number)
    return answers


async def test_a_full_disk_is_answered_503_and_nothing_acknowledged_is_lost(small_disk: Path) -> None:
    port = free_port()
    channels = {"north": sandbox_channel("north", free_port())}
    write_config(small_disk, port, channels, storage={"disk_floor_mb": FLOOR_MB})
    async with daemon(small_disk, port, out=small_disk.parent / "daemon.out") as found:
        await found.wait_ready()
        assert set((await statuses(found, range(20))).values()) == {200}
        filler = fill(small_disk)
        full = await statuses(found, range(20, 60))
        assert set(full.values()) == {503}
        assert await found.health() == 503
        assert (await found.ask("/v1/status"))["storage"]["trouble"]

        filler.unlink()
        await found.wait_ready(10)
        again = await statuses(found, range(60))
        assert set(again.values()) == {200}
        assert (await found.ask("/v1/skus/SKU-0001"))["held"] == 60
        assert (await found.tell("/v1/rebuild", {"verify": True}))["ok"]
        words = [record["event"] for record in found.process.records() if record["event"].startswith("storage.")]
        assert (words.count("storage.full"), words.count("storage.healed")) == (1, 1)
        assert await found.process.terminate(5) == 0


async def test_a_stop_with_a_full_disk_gives_up_in_time_and_keeps_what_was_acknowledged(small_disk: Path) -> None:
    port = free_port()
    channels = {"north": sandbox_channel("north", free_port())}
    write_config(small_disk, port, channels, storage={"disk_floor_mb": FLOOR_MB})
    async with daemon(small_disk, port, out=small_disk.parent / "daemon.out") as found:
        await found.wait_ready()
        assert set((await statuses(found, range(20))).values()) == {200}
        filler = fill(small_disk)
        # Asked again: what a file holds already may take a few more, which is then durable, before nothing goes.
        for first in range(20, 120, 20):
            answered = set((await statuses(found, range(first, first + 20))).values())
            if answered == {503}:
                break
        assert answered == {503}
        assert await found.process.terminate(6) == 1
        (sentence,) = found.process.complaints().splitlines()
        assert "cannot be written" in sentence
        assert "everything that was acknowledged is safe" in sentence
        filler.unlink()
        found.process.start()
        await found.wait_ready()

        async def known() -> bool:
            return bool((await found.ask("/v1/skus/SKU-0001"))["held"] >= 20)

        await until(known, 5)

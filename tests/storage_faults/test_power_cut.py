"""A slice of the power cuts, and the faults built in on purpose that they must find."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.storage_faults import tap
from tests.storage_faults.images import Disk
from tests.storage_faults.power_cut import REPOSITORY
from tests.storage_faults.tap import Operation


def power_cut(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command; skipped, loudly, where nothing can be compiled."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.storage_faults.power_cut", *arguments],
        cwd=REPOSITORY, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode == 2:
        pytest.skip(f"NOT TESTED: POWER CUTS: {done.stderr.strip()}")
    return done


@pytest.mark.slow
def test_no_power_cut_loses_what_was_acknowledged() -> None:
    done = power_cut("--images", "300", "--seed", "1000")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("300 images")
    assert "0 lost something acknowledged, 0 inconsistent, 0 refused, 0 died" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["no-sync", "no-metasync", "markers-unsynced"])
def test_a_daemon_that_does_not_sync_is_found_out(fault: str) -> None:
    done = power_cut("--images", "50", "--jobs", "1", "--planted", fault)
    assert done.returncode == 1, done.stdout + done.stderr


@pytest.mark.slow
def test_without_a_compiler_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(tap.NoCompilerError, match=r"no C compiler here .* install one"):
        tap.build()


def test_what_is_synced_survives_and_what_is_not_may_not() -> None:
    disk = Disk(directory_inode=1)
    for kind, inode, offset, content in [
        ("c", 7, 0, b"/state/data.mdb"),
        ("w", 7, 0, b"one"),
        ("s", 7, 0, b""),
        ("s", 1, 0, b""),
        ("w", 7, 3, b"two"),
        ("c", 8, 0, b"/state/closed"),
        ("u", 0, 0, b"/state/data.mdb"),
    ]:
        disk.do(Operation(kind, False, inode, offset, content))
    assert list(disk.names) == ["data.mdb"]
    assert bytes(disk.names["data.mdb"].content) == b"one"
    assert list(disk.seen) == ["closed"]
    assert [each.content for each in disk.files[7].pending] == [b"two"]

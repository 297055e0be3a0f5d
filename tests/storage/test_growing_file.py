"""A file that grows while it is read is not taken for one that somebody cut off."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.storage import environment
from daemon.storage.environment import Batch, Environment, Head
from daemon.storage.tables import LINKS

READS: dict[str, Callable[[Environment], object]] = {
    "get": lambda env: env.get(LINKS, b"k"),
    "scan": lambda env: env.scan(LINKS, limit=1),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_a_commit_in_the_middle_of_a_look_at_the_size_is_no_alarm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[Environment], object]
) -> None:
    """The writer's thread may commit, and lengthen the file, when the reader has the size but not yet the lock."""
    env = Environment.open(tmp_path, genesis="g", map_bytes=1 << 24)
    real, during = os.lseek, []

    def seek(fd: int, place: int, whence: int) -> int:
        size = real(fd, place, whence)
        if not during:
            during.append(size)
            env.write(Batch(Head(), {LINKS: [(b"k", bytes(1 << 20))]}))
        return size

    monkeypatch.setattr(environment.os, "lseek", seek)
    read(env)
    assert real(env._size_fd, 0, os.SEEK_END) > during[0], "the file grew meanwhile"
    env.close(clean=True)

"""What the disk and LMDB can do without us: the floor under every acknowledgement. A process of its own, so that it
runs with the priority of what it is compared with.

python -m tests.bench.disk FOLDER WEBHOOKS
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import lmdb
from attrs import asdict, frozen

from tests.bench.processes import BenchError, environment, prioritised, python
from tests.bench.stats import percentile

BODY, EVENT = 600, 130
"""Bytes of a webhook's compressed body and of an event, about."""
FLUSHES, COMMITS_S = 100, 0.4


@frozen
class Floor:
    """flush_ms: the median of a 4 KiB write and its fdatasync · commit_ms: the median of an LMDB transaction"""

    flush_ms: float
    commit_ms: float


def floor(folder: Path, webhooks: int) -> Floor:
    """Of the disk that `folder` is on: a commit holds so many webhooks. Raises `BenchError`."""
    command = prioritised(python("-m", "tests.bench.disk", str(folder), str(webhooks)))
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment(), start_new_session=True
    )
    if done.returncode:
        raise BenchError(f"the disk cannot be measured: {done.stderr.strip()[-300:]}")
    return Floor(**json.loads(done.stdout))


def flush_ms(folder: Path) -> float:
    """The median of a 4 KiB write and its fdatasync, ms."""
    path = folder / "flush"
    block, waits = os.urandom(4096), []
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.pwrite(descriptor, block * FLUSHES, 0)
        os.fsync(descriptor)
        for place in range(FLUSHES):
            began = time.perf_counter()
            os.pwrite(descriptor, block, place * 4096)
            os.fdatasync(descriptor)
            waits.append(time.perf_counter() - began)
    finally:
        os.close(descriptor)
        path.unlink()
    return percentile(waits, 0.5) * 1e3


def commit_ms(folder: Path, webhooks: int) -> float:
    """The median, ms: transactions of so many webhooks, each a body and two events under growing keys, with LMDB's
    default durability."""
    env = lmdb.open(str(folder), map_size=1 << 31, max_dbs=4, lib_version=0)
    bodies, log = env.open_db(b"deliveries"), env.open_db(b"log")
    body, event, number = os.urandom(BODY), os.urandom(EVENT), 0
    waits = []
    try:
        until = time.perf_counter() + COMMITS_S
        while time.perf_counter() < until:
            began = time.perf_counter()
            with env.begin(write=True) as txn:
                for _ in range(webhooks):
                    number += 1
                    txn.put(number.to_bytes(8, "big"), body, db=bodies)
                    txn.put((2 * number).to_bytes(8, "big"), event, db=log)
                    txn.put((2 * number + 1).to_bytes(8, "big"), event, db=log)
            waits.append(time.perf_counter() - began)
    finally:
        env.close()
    return percentile(waits, 0.5) * 1e3


def main(folder: Path, webhooks: int) -> None:
    """Measure, and print a `Floor`."""
    scratch = folder / f"floor-{os.getpid()}"
    scratch.mkdir(parents=True)
    try:
        found = Floor(flush_ms(scratch), commit_ms(scratch, webhooks))
    finally:
        shutil.rmtree(scratch)
    print(json.dumps(asdict(found)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))

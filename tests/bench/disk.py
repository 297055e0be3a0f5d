"""What the disk and LMDB can do without us: the floor under every acknowledgement."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import lmdb

BODY, EVENT = 600, 130
"""Bytes of a webhook's compressed body and of an event, about."""


def commits(folder: Path, rows: int, seconds: float = 0.5) -> tuple[float, float]:
    """(commits a second, median ms of one): transactions of `rows` webhooks, each a body and two events under growing
    keys, with LMDB's default durability."""
    folder.mkdir(parents=True, exist_ok=True)
    env = lmdb.open(str(folder), map_size=1 << 31, max_dbs=4, lib_version=0)
    bodies, log = env.open_db(b"deliveries"), env.open_db(b"log")
    body, event, number = os.urandom(BODY), os.urandom(EVENT), 0
    waits = []
    try:
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            began = time.perf_counter()
            with env.begin(write=True) as txn:
                for _ in range(rows):
                    number += 1
                    txn.put(number.to_bytes(8, "big"), body, db=bodies)
                    txn.put((2 * number).to_bytes(8, "big"), event, db=log)
                    txn.put((2 * number + 1).to_bytes(8, "big"), event, db=log)
            waits.append(time.perf_counter() - began)
    finally:
        env.close()
    waits.sort()
    return len(waits) / sum(waits), waits[len(waits) // 2] * 1e3


def timed(fn: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    began = time.perf_counter()
    fn()
    return time.perf_counter() - began

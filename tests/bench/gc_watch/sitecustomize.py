"""Put on a daemon's path, it adds up what the garbage collector takes; $BENCH_GC names the file that is told at exit.

`{"us": CPU time, "longest_us": of the longest collection, "collections": of each generation}`
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import time


def _watch(path: str) -> None:
    spent_us: list[float] = []
    collections = [0, 0, 0]
    began = 0.0

    def collected(phase: str, info: dict[str, int]) -> None:
        nonlocal began
        if phase == "start":
            began = time.thread_time()
            return
        spent_us.append((time.thread_time() - began) * 1e6)
        collections[info["generation"]] += 1

    def tell() -> None:
        told = {"us": sum(spent_us), "longest_us": max(spent_us, default=0.0), "collections": collections}
        with open(path, "w") as file:
            json.dump(told, file)

    gc.callbacks.append(collected)
    atexit.register(tell)


if "BENCH_GC" in os.environ:
    _watch(os.environ["BENCH_GC"])

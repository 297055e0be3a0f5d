"""What active actors cost: wakes so many SKUs of a written store in this process, and weighs them.

python -m tests.bench.memory_probe FOLDER ACTORS  -> one JSON object
"""

from __future__ import annotations

import gc
import json
import sys
import time
from pathlib import Path

import trio

from adapters import PLATFORMS
from daemon.config import load_config
from daemon.ports import read_file
from tests.bench.big_log import Clock, assembled
from tests.bench.processes import anonymous_bytes


async def main(folder: Path, actors: int) -> None:
    """Weigh, and print."""
    config = load_config(str(folder / "config.yaml"), environ={}, platforms=PLATFORMS, read_file=read_file)
    parts = assembled(config, Clock(time.time_ns() // 1_000))
    names: list[str] = []
    while len(names) < actors and (page := parts.registry.skus(after=names[-1] if names else "", limit=1_000)):
        names += page
    names = names[:actors]
    gc.collect()
    before, began = anonymous_bytes(), time.process_time()
    for sku in names:
        parts.registry.actor(sku)
    spawned_s = time.process_time() - began
    gc.collect()
    grown, began = anonymous_bytes() - before, time.process_time()
    gc.collect()
    collected_s = time.process_time() - began
    lines = sum(len(actor.state.stock.lines) for actor in parts.registry.actors.values())
    slots = sum(len(actor.state.slots) for actor in parts.registry.actors.values())
    found = {
        "actors": len(names), "bytes": grown / len(names), "spawn_us": spawned_s / len(names) * 1e6,
        "gc_ms": collected_s * 1e3, "lines": lines / len(names), "slots": slots / len(names),
    }  # fmt: skip
    parts.store.env.close(clean=True)
    print(json.dumps(found))


if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]), int(sys.argv[2]))

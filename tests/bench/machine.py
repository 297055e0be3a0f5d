"""The machine a figure belongs to: cores, memory, what a flush of its disk takes, and the Python version. No more."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any

from tests.bench.stats import percentile


def flush_us(folder: Path, times: int = 200) -> float:
    """The median of a 4 KiB write and its fdatasync, µs."""
    path = folder / "flush"
    block, waits = os.urandom(4096), []
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.pwrite(descriptor, block * times, 0)
        os.fsync(descriptor)
        for place in range(times):
            began = time.perf_counter_ns()
            os.pwrite(descriptor, block, place * 4096)
            os.fdatasync(descriptor)
            waits.append((time.perf_counter_ns() - began) / 1e3)
    finally:
        os.close(descriptor)
        path.unlink()
    return percentile(waits, 0.5)


def machine(folder: Path) -> dict[str, Any]:
    """What is said of the machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(memory / (1 << 30), 1),
        "flush_us": round(flush_us(folder), 1),
        "python": platform.python_version(),
    }

"""The machine a figure belongs to: cores, memory, what a flush of its disk takes, and the Python version. No more."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from tests.bench.disk import floor


def machine(folder: Path) -> dict[str, Any]:
    """What is said of the machine; `load`: what else ran there at the beginning (processes, on average)."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(memory / (1 << 30), 1),
        "flush_ms": round(floor(folder, 1).flush_ms, 3),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 1),
    }

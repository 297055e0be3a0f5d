"""The smallest input that breaks a target in the same way."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable

Signature = tuple[str, str, int]
"""What broke and where: the exception's type, and the innermost line of ours."""


def breakage(run: Callable[[bytes], None], data: bytes) -> Signature | None:
    """How `data` breaks the target; None where it does not."""
    try:
        run(data)
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        frame = next((f for f in reversed(frames) if "/site-packages/" not in f.filename), frames[-1])
        return type(error).__name__, frame.filename, frame.lineno or 0
    return None


def shrunk(run: Callable[[bytes], None], data: bytes, patience_s: float = 20.0) -> bytes:
    """Drop ever smaller pieces, then make bytes plain, for as long as it breaks in the same way."""
    wanted = breakage(run, data)
    if wanted is None:
        return data
    until = time.monotonic() + patience_s
    size = max(1, len(data) // 2)
    while True:
        at, smaller = 0, False
        while at < len(data) and time.monotonic() < until:
            tried = data[:at] + data[at + size :]
            if breakage(run, tried) == wanted:
                data, smaller = tried, True
            else:
                at += size
        if size == 1 and not smaller:
            break
        size = size if smaller else max(1, size // 2)
        if time.monotonic() >= until:
            break
    for at, byte in enumerate(data):
        for plain in b"0a":
            if byte != plain and time.monotonic() < until:
                tried = data[:at] + bytes([plain]) + data[at + 1 :]
                if breakage(run, tried) == wanted:
                    data = tried
                    break
    return data

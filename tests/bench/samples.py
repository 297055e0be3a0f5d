"""Samples of a running daemon's stacks, folded into what each of its functions costs. Needs py-spy, which is
installed beside the peers, and the right to trace a process."""

from __future__ import annotations

import re
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from attrs import frozen

from tests.bench.processes import BenchError, prioritised
from tests.bench.tools import peers_python

RATE = 400
WAITING = ("._work (trio/_core/_thread_cache.py", ".get_events (trio/_core/_io_epoll.py")
"""Innermost frames of a thread that waits."""
OURS = re.compile(r"(daemon|adapters)/")
PLACE = re.compile(r"(:\d+)?\)$")


@frozen
class Share:
    """A function, and the part of all samples (0 to 1) in which it is the innermost of ours, and is there at all."""

    function: str
    itself: float
    within: float


@frozen
class Recording:
    """py-spy at work on a process for some seconds."""

    child: subprocess.Popen[str]
    out: Path

    def shares(self) -> list[Share]:
        """Wait for its end; the functions by what they cost themselves, what they call outside our code included."""
        _, error = self.child.communicate()
        if self.child.returncode:
            raise BenchError(f"py-spy gave up: {error.strip()[-300:]}")
        return fold(self.out.read_text().splitlines())


def record(pid: int, out: Path, seconds: int) -> Recording:
    """Begin to sample a process."""
    command = [str(peers_python().parent / "py-spy"), "record", "-r", str(RATE), "-d", str(seconds), "-f", "raw"]
    child = subprocess.Popen(
        prioritised([*command, "-o", str(out), "-p", str(pid)]), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    )  # fmt: skip
    time.sleep(0.7)  # it attaches
    return Recording(child, out)


def fold(lines: Sequence[str]) -> list[Share]:
    """py-spy's raw lines (`outermost;...;innermost count`) as shares, the dearest first."""
    itself: Counter[str] = Counter()
    within: Counter[str] = Counter()
    for line in lines:
        stack, _, count = line.rpartition(" ")
        frames = [PLACE.sub(")", frame) for frame in stack.split(";")]
        if any(waiting in frames[-1] for waiting in WAITING):
            continue
        ours = [frame for frame in frames if OURS.search(frame)]
        itself[ours[-1] if ours else f"(none of ours) {frames[-1]}"] += int(count)
        for frame in set(ours):
            within[frame] += int(count)
    total = sum(itself.values()) or 1
    return [Share(name, count / total, within[name] / total) for name, count in itself.most_common()]

"""Samples of a running daemon's stacks, folded into what each of its functions and stages costs. Needs py-spy, which
is installed beside the peers, and the right to trace a process."""

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

RATE = 500
WAITING = ("._work (trio/_core/_thread_cache.py", ".get_events (trio/_core/_io_epoll.py")
"""Innermost frames of a thread that waits."""
OURS = re.compile(r"(daemon|adapters)/")
PLACE = re.compile(r"(:\d+)?\)$")

STAGES = (
    ("commit: rows sealed, one LMDB transaction", "Environment.write"),
    ("checkpoint: rows written behind", "Store.checkpoint"),
    ("log lines", "Telemetry.event"),
    ("signature", "Receiver._finding"),
    ("decoding", "SandboxAdapter.parse"),
    ("watching whether webhooks are missed", "HookWatch.told"),
    ("seen before?", "Receiver._known"),
    ("normalising, order index", "Normaliser."),
    ("fold, beliefs and wishes", "Sku.step"),
    ("event: encode, chain, append", "Store.append"),
    ("body: compress, keep", "Store.keep_delivery"),
    ("counters and causes", "Watch.applied"),
    ("slots into their lanes", "Registry._offer"),
    ("registry: the rest", "Registry."),
    ("receiver: the rest", "Receiver."),
    ("public handler: the rest", "PublicHandler."),
    ("HTTP: connection, parser, answer", "Connection.run"),
    ("committer's task: the rest", "Store.run"),
    ("Trio and other tasks", "run_daemon"),
)
"""What is done with a webhook, and a function that does it, or a class. The first on a stack has the sample."""
HANDED_OVER = "hand-over to the writer's thread"


@frozen
class Sample:
    """A stack, outermost first, without line numbers, and how often it was seen."""

    frames: Sequence[str]
    count: int


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

    def samples(self) -> list[Sample]:
        """Wait for its end; what it saw of threads at work."""
        _, error = self.child.communicate()
        if self.child.returncode:
            raise BenchError(f"py-spy gave up: {error.strip()[-300:]}")
        return at_work(self.out.read_text().splitlines())


def record(pid: int, out: Path, seconds: int) -> Recording:
    """Begin to sample a process."""
    command = [str(peers_python().parent / "py-spy"), "record", "-r", str(RATE), "-d", str(seconds), "-f", "raw"]
    child = subprocess.Popen(
        prioritised([*command, "-o", str(out), "-p", str(pid)]), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    )  # fmt: skip
    time.sleep(0.7)  # it attaches
    return Recording(child, out)


def at_work(lines: Sequence[str]) -> list[Sample]:
    """py-spy's raw lines (`outermost;...;innermost count`), those of waiting threads left out."""
    found = []
    for line in lines:
        stack, _, count = line.rpartition(" ")
        frames = [PLACE.sub(")", frame) for frame in stack.split(";")]
        if not any(waiting in frames[-1] for waiting in WAITING):
            found.append(Sample(frames, int(count)))
    return found


def function_shares(samples: Sequence[Sample]) -> list[Share]:
    """Functions by what they cost themselves, what they call outside our code included; the dearest first."""
    itself: Counter[str] = Counter()
    within: Counter[str] = Counter()
    for sample in samples:
        ours = [frame for frame in sample.frames if OURS.search(frame)]
        itself[ours[-1] if ours else f"(none of ours) {sample.frames[-1]}"] += sample.count
        for frame in set(ours):
            within[frame] += sample.count
    total = itself.total() or 1
    return [Share(name, count / total, within[name] / total) for name, count in itself.most_common()]


def stage_shares(samples: Sequence[Sample]) -> list[tuple[str, float]]:
    """`STAGES` by their part of all samples (0 to 1), the dearest first."""
    spent: Counter[str] = Counter()
    for sample in samples:
        found = (about for about, marks in STAGES if any(frame.startswith(marks) for frame in sample.frames))
        spent[next(found, HANDED_OVER)] += sample.count
    total = spent.total() or 1
    return [(about, count / total) for about, count in spent.most_common()]

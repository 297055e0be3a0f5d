"""Runs the load generator, a process of its own, and reads what it saw."""

from __future__ import annotations

import json
import subprocess
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import define, frozen

from tests.bench.orders import write
from tests.bench.processes import BenchError, prioritised
from tests.bench.stats import percentile
from tests.bench.tools import client_program


@frozen
class Seen:
    """What the load generator saw of one spell. Instants: ns of CLOCK_MONOTONIC, in the order of the requests."""

    seconds: float
    done: int
    statuses: Mapping[str, int]
    client_cpu_us: float
    due_ns: Sequence[int]
    answered_ns: Sequence[int]
    """0: never."""
    unsent: int = 0
    """Requests of an open loop that fell due, or would have, and found no connection before the spell ended."""

    @property
    def acked(self) -> int:
        """Answers 200."""
        return self.statuses.get("200", 0)

    @property
    def rate(self) -> float:
        """Acknowledgements a second."""
        return self.acked / self.seconds

    def latency_ms(self, share: float) -> float:
        """From when a request was due to its answer; of one that was not answered, to the end of the spell."""
        end = max(*self.answered_ns, *self.due_ns[-1:])
        waits = [((answered or end) - due) / 1e6 for due, answered in zip(self.due_ns, self.answered_ns, strict=True)]
        return percentile(waits + [max(waits)] * self.unsent, share)

    def insist(self, *statuses: str) -> Seen:
        """Itself; raises `BenchError` where an answer was another one, or one is missing."""
        wrong = {status: count for status, count in self.statuses.items() if status not in (statuses or ("200",))}
        if wrong or self.unsent or self.done < len(self.due_ns):
            raise BenchError(f"{len(self.due_ns)} requests were sent and {self.done} answered, with {self.statuses}")
        return self


@define
class Load:
    """A load generator at work; `seen` waits for its end."""

    child: subprocess.Popen[str]
    times: Path
    open_loop: bool

    def seen(self) -> Seen:
        """What came of it."""
        out, error = self.child.communicate()
        if self.child.returncode:
            raise BenchError(f"the load generator gave up: {error.strip()}")
        said = json.loads(out)
        numbers = array("Q")
        numbers.frombytes(self.times.read_bytes())
        self.times.unlink()
        return Seen(
            said["seconds"], said["done"], said["statuses"], said["client_cpu_us"], numbers[::2], numbers[1::2],
            said["total"] - said["begun"] if self.open_loop else 0,
        )  # fmt: skip


def begin(
    folder: Path, port: int, requests: Sequence[bytes] | Path, *, connections: int, count: int = 0, rate: float = 0,
    seconds_max: float = 120, name: str = "load",
) -> Load:  # fmt: skip
    """Start sending `count` (0: all) of the requests; `rate` 0 is a closed loop."""
    if isinstance(requests, Path):
        file = requests
    else:
        file, count = write(requests, folder / f"{name}.requests"), count or len(requests)
    times = folder / f"{name}.times"
    numbers = [str(each) for each in (port, connections, rate, seconds_max, count)]
    command = prioritised([str(client_program()), *numbers, str(file), str(times)])
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    return Load(child, times, rate > 0)


def send(
    folder: Path, port: int, requests: Sequence[bytes] | Path, *, connections: int, count: int = 0, rate: float = 0,
    seconds_max: float = 120,
) -> Seen:  # fmt: skip
    """`begin`, and wait for the end."""
    return begin(
        folder, port, requests, connections=connections, count=count, rate=rate, seconds_max=seconds_max
    ).seen()

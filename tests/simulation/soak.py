"""Many seeds on all cores, their sums, and the record that adds up over many runs."""

from __future__ import annotations

import faulthandler
import json
import multiprocessing
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from attrs import define, field

from tests.simulation.world import HANG_S, Result, World

CHUNK = 100
"""Seeds of one line of a record."""
PROGRESS_S = 10.0
SILENCE_S = 1_800.0
"""Real seconds without any result after which a pool is given up."""
ROOT = Path(__file__).parent.parent.parent

Task = tuple[int, float]
"""(seed, hours)"""


@define
class Sums:
    """What some seeds came to. `hours` and `work_s` are simulated hours and seconds of a core."""

    seeds: int = 0
    hours: float = 0.0
    work_s: float = 0.0
    crashes: int = 0
    counts: Counter[str] = field(factory=Counter)
    failures: dict[int, str] = field(factory=dict)

    def add(self, result: Result) -> None:
        """One more seed."""
        self.seeds += 1
        self.hours += result.hours
        self.work_s += result.cpu_s
        self.crashes += result.counts["crashes"]
        self.counts += result.counts
        if result.failures:
            self.failures[result.seed] = result.failures[0]

    @property
    def faults(self) -> dict[str, int]:
        """How often each kind of fault happened."""
        return {name[7:]: times for name, times in sorted(self.counts.items()) if name.startswith("fault: ")}

    def line(self, wall_s: float) -> str:
        """In one line."""
        speed = self.hours * 3600 / max(wall_s, 1e-3)
        return (
            f"{self.hours / 24:.1f} days simulated, {speed:,.0f} x real time, {self.crashes:,} crashes, "
            f"{sum(self.faults.values()):,} faults of {len(self.faults)} kinds, {len(self.failures)} failures"
        )


def run_task(task: Task) -> Result:
    """One seed, for a pool of processes."""
    seed, hours = task
    with no_hang():
        return World(seed, hours).run()


@contextmanager
def no_hang() -> Iterator[None]:
    """A process that works longer than `HANG_S` at what is done here says where it is, and dies of it."""
    faulthandler.register(signal.SIGPROF, chain=True)
    signal.setitimer(signal.ITIMER_PROF, HANG_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def results(tasks: Iterable[Task], jobs: int, until: float = float("inf")) -> Iterator[Result]:
    """Run tasks on `jobs` processes, in any order; none is begun after `until` (of the real clock)."""
    gate = threading.Semaphore(jobs + 1)
    over = threading.Event()
    given = 0

    def feed() -> Iterator[Task]:
        nonlocal given
        for task in tasks:
            gate.acquire()
            if over.is_set() or time.monotonic() > until:
                return
            given += 1
            yield task

    with multiprocessing.get_context("fork").Pool(jobs, maxtasksperchild=20) as pool:
        found = pool.imap_unordered(run_task, feed())
        try:
            while True:
                try:
                    result = found.next(timeout=SILENCE_S)
                except StopIteration:
                    return
                gate.release()
                yield result
        finally:
            over.set()
            gate.release()


def soak(
    seeds: range, hours: float, jobs: int, *, record: Path | None = None, until: float = float("inf"),
    keep_going: bool = False, say: Callable[[str], None] = print,
) -> Sums:  # fmt: skip
    """Run a range, say how far it is, and write a line for each finished part of it; what a record of the same commit
    holds already is not run again."""
    known = done_before(record, hours) if record else set()
    todo = [seed for seed in seeds if seed not in known]
    if known and len(todo) < len(seeds):
        say(f"{len(seeds) - len(todo)} seeds are on record already")
    parts = {start: _part(start, seeds, todo) for start in range(seeds.start, seeds.stop, CHUNK)}
    sums, partial = Sums(), {start: Sums() for start in parts}
    began = said = time.monotonic()
    for result in results(((seed, hours) for seed in todo), jobs, until):
        sums.add(result)
        start = seeds.start + (result.seed - seeds.start) // CHUNK * CHUNK
        partial[start].add(result)
        parts[start].discard(result.seed)
        if record is not None and not parts[start]:
            _write(record, range(start, min(start + CHUNK, seeds.stop)), hours, partial[start])
        if result.failures:
            say(f"seed {result.seed}: {result.failures[0]}")
            if not keep_going:
                break
        if time.monotonic() - said > PROGRESS_S:
            said = time.monotonic()
            left_s = (len(todo) - sums.seeds) * (said - began) / sums.seeds
            eta = f"{left_s / 60:.0f} min left"
            say(f"{sums.seeds}/{len(todo)} seeds, {sums.line(said - began)}, {eta}")
    return sums


def _part(start: int, seeds: range, todo: list[int]) -> set[int]:
    part = range(start, min(start + CHUNK, seeds.stop))
    return {seed for seed in todo if seed in part} or set(part)


# -- the record --


def commit() -> str:
    """The commit that is tested; "+" behind it where files differ from it."""
    said = subprocess.run(
        ["git", "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return said.stdout.strip() or "unknown"


def _write(record: Path, part: range, hours: float, sums: Sums) -> None:
    line = {
        "seeds": [part.start, part.stop], "commit": commit(), "hours": hours, "ran": sums.seeds,
        "simulated_hours": round(sums.hours, 3), "work_s": round(sums.work_s, 1), "crashes": sums.crashes,
        "faults": sums.faults, "failures": {str(seed): what for seed, what in sums.failures.items()},
    }  # fmt: skip
    with record.open("a") as file:
        file.write(json.dumps(line) + "\n")


def read_records(files: Iterable[Path]) -> list[dict[str, Any]]:
    """The lines of records. Raises `ValueError` with a sentence for a file that is none."""
    found = []
    for path in files:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            try:
                entry = json.loads(line)
                entry["seeds"], entry["commit"], entry["simulated_hours"]
            except (ValueError, KeyError, TypeError):
                raise ValueError(f"{path}, line {number} is no line of a record") from None
            found.append(entry)
    return found


def done_before(record: Path, hours: float) -> set[int]:
    """The seeds that a record holds of this commit."""
    entries = read_records([record]) if record.exists() else []
    mine = [each for each in entries if each["commit"] == commit() and each["hours"] == hours]
    return {seed for each in mine for seed in range(*each["seeds"])}


def total(files: Iterable[Path]) -> str:
    """All that records hold, in sentences. Raises `ValueError` where two ranges of one commit overlap."""
    entries = sorted(read_records(files), key=lambda each: (each["commit"], each["seeds"]))
    for one, two in pairwise(entries):
        if one["commit"] == two["commit"] and two["seeds"][0] < one["seeds"][1]:
            raise ValueError(
                f"the ranges {one['seeds']} and {two['seeds']} of {one['commit']} overlap: they would count twice"
            )
    lines = []
    faults: Counter[str] = Counter()
    for each in entries:
        faults.update(each["faults"])
    for name in dict.fromkeys(each["commit"] for each in entries):
        lines.append(f"commit {name}: {_sum([each for each in entries if each['commit'] == name])}")
    lines.append(f"in all: {_sum(entries)}")
    lines += [f"  {name}: {times:,}" for name, times in sorted(faults.items())]
    return "\n".join(lines)


def _sum(entries: list[dict[str, Any]]) -> str:
    seeds = sum(each["seeds"][1] - each["seeds"][0] for each in entries)
    hours = sum(each["simulated_hours"] for each in entries)
    crashes = sum(each["crashes"] for each in entries)
    faults = sum(sum(each["faults"].values()) for each in entries)
    bad = sum(len(each["failures"]) for each in entries)
    return (
        f"{seeds:,} seeds, {hours / 8766:.3f} years simulated, {crashes:,} crashes, {faults:,} faults, {bad} failures"
    )

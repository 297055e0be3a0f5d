"""The bench: what one host carries, beside what it is compared with, in one go.

    python -m tests.bench [SCENARIO ...] [--quick] [--runs N] [--json FILE] [--plot FILE]
    python -m tests.bench --readme FILE.json

Exit code 0: every target that was measured is met; 1: one is missed, or a scenario could not be measured.
"""

from __future__ import annotations

import argparse
import gc
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from tests.bench import processes
from tests.bench.machine import machine
from tests.bench.plot import plot
from tests.bench.processes import BenchError
from tests.bench.report import machine_line, missed, readme, table
from tests.bench.results import Bench, Results, from_json
from tests.bench.targets import judge

SCENARIOS = ("saturation", "slow_disk", "latency", "propagation", "fairness", "bulk", "store", "growth")
ALONE = ("soak", "profile")
"""Measured only where they are asked for."""
RUNS, RUNS_QUICK = 5, 3


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.splitlines()[0])
    parser.add_argument(
        "scenarios",
        nargs="*",
        metavar="SCENARIO",
        help=f"of {', '.join(SCENARIOS)} (all by default), {', '.join(ALONE)}",
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds and smaller stores, under five minutes")
    parser.add_argument("--runs", type=int, help=f"alternating rounds (default {RUNS}, quick {RUNS_QUICK})")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep every figure there")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the targets there, as SVG")
    parser.add_argument("--readme", type=Path, metavar="JSON", help="print what one host carries, from kept figures")
    parser.add_argument("--minutes", type=float, default=20, help="how long to soak")
    parser.add_argument("--realtime", action="store_true", help="measured processes before all others (root)")
    parser.add_argument("--folder", type=Path, help="work here: on the disk that is to be measured; kept afterwards")
    found = parser.parse_args(given)
    if unknown := [name for name in found.scenarios if name not in SCENARIOS + ALONE]:
        parser.error(f"there is no scenario {unknown[0]}; there are {', '.join(SCENARIOS + ALONE)}")
    return found


def _run(bench: Bench, names: Sequence[str]) -> None:
    for name in names:
        began = time.monotonic()
        bench.say(f"== {name}")
        folder = bench.folder
        bench.folder = folder / name
        bench.folder.mkdir()
        bench.folder.chmod(0o755)
        try:
            import_module(f"tests.bench.scenarios.{name}").run(bench)
        except BenchError as error:
            bench.results.failures[name] = str(error)
            bench.say(f"  could not be measured: {error}")
        bench.folder = folder
        gc.collect()
        bench.say(f"   ({time.monotonic() - began:.0f} s)")


def main(given: Sequence[str] | None = None) -> int:
    """Measure, print, judge; the exit code."""
    chosen = _arguments(given)
    if chosen.readme:
        print(readme(from_json(json.loads(chosen.readme.read_text()))))
        return 0
    processes.realtime = chosen.realtime
    folder = chosen.folder or Path(tempfile.mkdtemp(prefix="onhand-bench-"))
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)  # PostgreSQL runs as another user
    results = Results(machine(folder), chosen.quick, datetime.now(UTC).isoformat(timespec="seconds"))
    runs = chosen.runs or (RUNS_QUICK if chosen.quick else RUNS)
    bench = Bench(folder, results, runs, chosen.quick, lambda line: print(line, flush=True), chosen.minutes)
    bench.say(machine_line(results))
    try:
        _run(bench, chosen.scenarios or SCENARIOS)
    finally:
        if chosen.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
        if chosen.json:
            chosen.json.write_text(json.dumps(results.as_json(), indent=1) + "\n")
        if chosen.plot:
            chosen.plot.write_text(plot(results))
    measured = [each for each in judge(results) if each.figure is not None]
    bench.say("\n" + table(measured))
    return 1 if missed(results) else 0


if __name__ == "__main__":
    sys.exit(main())

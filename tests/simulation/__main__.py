"""The simulation's command line; see README.md beside this file, or `--help`."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

from tests.simulation.mutants import MUTANTS, planted
from tests.simulation.plan import Plan
from tests.simulation.shrink import Changes, changed, shrink
from tests.simulation.soak import ROOT, Sums, commit, soak, total
from tests.simulation.story import story
from tests.simulation.world import Result, World

HASH_SEEDS = ("0", "1", "4711", "815", "99991")


def main(arguments: list[str] | None = None) -> int:
    asked = _parser().parse_args(arguments)
    if asked.sum:
        try:
            print(total(asked.sum))
        except (ValueError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        return 0
    if asked.seed is not None and asked.again:
        return _again(asked)
    with planted(MUTANTS[asked.mutant]) if asked.mutant else nullcontext():
        if asked.seed is not None:
            return _one(asked)
        if asked.fresh:
            start = asked.start if asked.start is not None else int(time.time()) % 100_000_000 * 1_000
            return _many(range(start, start + asked.fresh), asked)
        first, _, end = asked.seeds.partition("..")
        return _many(range(int(first), int(end)), asked)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--seed", type=int, help="replay one")
    what.add_argument("--seeds", help="A..B, B excluded: run these")
    what.add_argument("--fresh", type=int, metavar="N", help="N seeds that start where the clock says")
    what.add_argument("--sum", nargs="+", type=Path, metavar="FILE", help="add up records")
    parser.add_argument("--hours", type=float, default=3.0, help="simulated hours of each world")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--keep-going", action="store_true", help="do not stop at the first failure")
    parser.add_argument("--record", type=Path, metavar="FILE", help="write what is done, and do not do it again")
    parser.add_argument("--start", type=int, help="the first seed of --fresh")
    parser.add_argument(
        "--budget", type=float, default=float("inf"), metavar="S", help="begin no seed after S seconds"
    )
    parser.add_argument("--shrink", type=float, default=60.0, metavar="S", help="seconds to make a failure smaller")
    parser.add_argument(
        "--again", type=int, default=0, metavar="K", help="with --seed: K times, over LMDB and in memory"
    )
    parser.add_argument("--in-memory", action="store_true", help="with --seed: keep the rows in memory, not in LMDB")
    parser.add_argument("--story", action="store_true", help="with --seed: tell what happened")
    parser.add_argument("--trace", type=int, default=0, metavar="LINES", help="with --seed: its last log lines")
    parser.add_argument(
        "--plan", type=json.loads, default={}, metavar="JSON", help="with --seed: changes of its plan"
    )
    parser.add_argument("--mutant", choices=sorted(MUTANTS), metavar="NAME", help="with this bug in the daemon")
    parser.add_argument("--json", action="store_true", help=argparse.SUPPRESS)
    return parser


# -- one seed --


def _one(asked: argparse.Namespace) -> int:
    loud = asked.story or asked.trace > 0
    plan = changed(Plan.of(asked.seed), asked.plan)
    world = World(asked.seed, asked.hours, plan, loud=loud, in_memory=asked.in_memory)
    result = world.run()
    if asked.json:
        print(json.dumps(_identity(result)))
        return 0
    for line in result.trace[-asked.trace :] if asked.trace else ():
        print(line)
    if asked.story:
        print("\n".join(story(world)))
    print(_said(result))
    for failure in result.failures:
        print(f"  {failure}")
    return 1 if result.failures else 0


def _identity(result: Result) -> dict[str, object]:
    """What two runs of one seed must have in common."""
    return {"log": result.log_hash, "trace": result.trace_hash, "failures": list(result.failures)}


def _said(result: Result) -> str:
    return (
        f"seed {result.seed} at {commit()}: {result.hours:.1f} h in {result.wall_s:.1f} s ({result.cpu_s:.1f} s of "
        f"work), {result.events} events, log {result.log_hash or '(cut short)'}, trace {result.trace_hash}: "
        f"{'FAILED' if result.failures else 'ok'}"
    )


def _again(asked: argparse.Namespace) -> int:
    """The same seed in fresh processes, under other hash seeds of Python; every second one over a store in memory."""
    found = []
    for number in range(asked.again * 2):
        command = [*replay(asked.seed, asked.hours, asked.plan, asked.mutant), "--json"]
        command += ["--in-memory"] if number % 2 else []
        hash_seed = HASH_SEEDS[number // 2 % len(HASH_SEEDS)]
        environ = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True)
        found.append(json.loads(done.stdout))
        store = "memory" if number % 2 else "LMDB"
        print(f"hash seed {hash_seed:>5}, {store:6}: {done.stdout.strip()[:400]}")
    same = sum(each == found[0] for each in found)
    print(f"{same} of {len(found)} the same")
    return 0 if same == len(found) else 1


def replay(seed: int, hours: float, changes: Changes, mutant: str | None) -> list[str]:
    """The command that runs this world again."""
    command = [sys.executable, "-m", "tests.simulation", "--seed", str(seed), "--hours", repr(hours)]
    command += ["--plan", json.dumps(changes)] if changes else []
    return command + (["--mutant", mutant] if mutant else [])


# -- many --


def _many(seeds: range, asked: argparse.Namespace) -> int:
    print(f"seeds {seeds.start}..{seeds.stop} of {asked.hours:g} h at {commit()}, {asked.jobs} processes", flush=True)
    began = time.monotonic()
    sums = soak(
        seeds, asked.hours, asked.jobs, record=asked.record, until=began + asked.budget, keep_going=asked.keep_going,
        say=lambda line: print(line, flush=True),
    )  # fmt: skip
    wall_s = time.monotonic() - began
    _report(sums, len(seeds), wall_s)
    if sums.failures:
        _tell(min(sums.failures), sums.failures[min(sums.failures)], asked)
    return 1 if sums.failures else 0


def _report(sums: Sums, wanted: int, wall_s: float) -> None:
    left = f" of {wanted} (the rest was not begun)" if sums.seeds < wanted else ""
    print(f"{sums.seeds} seeds{left} in {wall_s:.0f} s: {sums.line(wall_s)}")
    for name, times in sums.faults.items():
        print(f"  {name}: {times:,}")
    others = {name: times for name, times in sums.counts.items() if not name.startswith(("fault: ", "crash "))}
    print("  besides: " + ", ".join(f"{name} {times:,}" for name, times in sorted(others.items())))


def _tell(seed: int, failure: str, asked: argparse.Namespace) -> None:
    """The first failing seed: made smaller, and its story."""
    print(f"\nseed {seed} fails: {failure}\nmaking it smaller, {asked.shrink:g} s at most ...", flush=True)
    small = shrink(seed, asked.hours, failure, asked.shrink)
    plan = changed(Plan.of(seed), small.changes)
    print(
        f"{small.tries} worlds tried; it still fails with {small.hours:g} h, {len(plan.skus)} SKUs, "
        f"{len(plan.channels)} channels, and this changed: {json.dumps(small.changes)}\n"
    )
    world = World(seed, small.hours, plan, loud=True)
    world.run()
    print("\n".join(story(world)))
    print(f"\n{small.failure}\n\nreplay it with:")
    words = ["python", *replay(seed, small.hours, small.changes, asked.mutant)[1:]]
    print(f"  {shlex.join([*words, '--story'])}\n  {shlex.join([*words, '--again', '3'])}")


if __name__ == "__main__":
    sys.exit(main())

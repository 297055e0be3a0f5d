"""`python -m tests.simulation --seed N` or `--seeds A..B [--hours H]`."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter

from tests.simulation.world import Result, World, run_seed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--seeds", help="A..B, B excluded")
    parser.add_argument("--hours", type=float, default=3.0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--trace", type=int, default=40, help="last trace lines shown of a failure")
    parser.add_argument("--keep-going", action="store_true")
    asked = parser.parse_args()
    if asked.seed is not None:
        return _one(asked.seed, asked.hours, asked.trace)
    first, _, end = asked.seeds.partition("..")
    return _many(range(int(first), int(end)), asked)


def _one(seed: int, hours: float, lines: int) -> int:
    result = World(seed, hours, loud=True).run()
    for line in result.trace[-lines:]:
        print(line)
    print(_said(result))
    for name, times in sorted(result.counts.items()):
        print(f"  {name}: {times}")
    return 1 if result.failures else 0


def _many(seeds: range, asked: argparse.Namespace) -> int:
    began, done, hours, cpu, bad = time.perf_counter(), 0, 0.0, 0.0, []
    total: Counter[str] = Counter()
    with multiprocessing.get_context("fork").Pool(asked.jobs, maxtasksperchild=20) as pool:
        for seed, result in pool.imap_unordered(run_seed, [(seed, asked.hours) for seed in seeds]):
            done += 1
            if isinstance(result, str):
                print(f"seed {seed}: {result}", flush=True)
                bad.append(seed)
            else:
                hours += result.hours
                cpu += result.cpu_s
                total += result.counts
                if result.failures:
                    bad.append(seed)
                    print(_said(result), flush=True)
            if bad and not asked.keep_going:
                break
            if done % 20 == 0:
                wall = time.perf_counter() - began
                print(f"{done} seeds, {hours:.0f} h, {hours / wall:.1f} h a second", flush=True)
    wall = time.perf_counter() - began
    speed = f"{hours / wall:.1f} h a second, {hours / max(cpu, 0.001):.1f} h a second of work"
    print(f"{done} seeds, {hours:.0f} simulated hours in {wall:.0f} s ({speed}), bad: {bad}")
    for name, times in sorted(total.items()):
        print(f"  {name}: {times}")
    if bad and not asked.keep_going:
        return _one(min(bad), asked.hours, asked.trace)
    return 1 if bad else 0


def _said(result: Result) -> str:
    verdict = "; ".join(result.failures[:3]) or "ok"
    return (
        f"seed {result.seed}: {result.hours:.1f} h in {result.wall_s:.1f} s ({result.cpu_s:.1f} s of work), "
        f"{result.events} events, log {result.log_hash}, trace {result.trace_hash}, "
        f"at most {result.most_turns} turns a second: {verdict}"
    )


if __name__ == "__main__":
    sys.exit(main())

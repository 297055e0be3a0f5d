"""`python -m tests.simulation.mutants`: every planted bug against fresh seeds, until it is found."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time

from tests.simulation.mutants.listed import MUTANTS
from tests.simulation.mutants.trial import CLEAN, Trial, try_mutant


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants")
    parser.add_argument("--names", default="", help="a,b: only these; default all")
    parser.add_argument("--seeds", type=int, default=1000, help="at most so many each")
    parser.add_argument("--start", type=int, help="the first seed; default: drawn from the clock")
    parser.add_argument("--hours", type=float, default=1.0, help="simulated hours of each world")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--clean", action="store_true", help="also run the daemon as it is over as many seeds")
    parser.add_argument("--list", action="store_true", help="name all of them, and what they did")
    asked = parser.parse_args()
    if asked.list:
        for mutant in MUTANTS.values():
            print(f"{mutant.breaks:4} {mutant.name}: {mutant.did}")
        return 0
    names = asked.names.split(",") if asked.names else list(MUTANTS)
    if unknown := [name for name in names if name not in MUTANTS]:
        parser.error(f"there is no mutant {', '.join(unknown)}; --list names them all")
    start = int(time.time()) % 1_000_000 * 1_000 if asked.start is None else asked.start
    print(f"{len(names)} mutants, seeds from {start}, at most {asked.seeds} each, {asked.hours:g} h", flush=True)
    trials = _run([(name, start, asked.seeds, asked.hours) for name in names], asked.jobs)
    good = _judge(trials, asked.seeds)
    if asked.clean:
        most = max(trial.needed for trial in trials)
        chunk = max(1, -(-most // (asked.jobs * 4)))
        tasks = [
            (CLEAN.name, first, min(chunk, start + most - first), asked.hours)
            for first in range(start, start + most, chunk)
        ]
        clean = _run(tasks, asked.jobs)
        bad = [trial for trial in clean if trial.seed is not None]
        print(f"the daemon as it is: {most} seeds, {len(bad)} of them bad")
        good = good and not bad
    return 0 if good else 1


def _run(tasks: list[tuple[str, int, int, float]], jobs: int) -> list[Trial]:
    trials = []
    # A process for each: what one mutant leaves behind cannot reach another.
    with multiprocessing.get_context("fork").Pool(jobs, maxtasksperchild=1) as pool:
        for trial in pool.imap_unordered(try_mutant, tasks, chunksize=1):
            trials.append(trial)
            if trial.name != CLEAN.name or trial.seed is not None:
                print(_row(trial), flush=True)
    return trials


def _row(trial: Trial) -> str:
    if trial.error:
        return f"ERROR    {trial.name}: {trial.error}"
    if trial.seed is None:
        return f"SURVIVED {trial.name} ({trial.breaks}): {trial.needed} seeds, {trial.hours:.0f} h"
    seeds = "1 seed" if trial.needed == 1 else f"{trial.needed} seeds"
    return f"found    {trial.name:42} {trial.breaks:4} {seeds:>9}, seed {trial.seed}: {trial.said[:230]}"


def _judge(trials: list[Trial], most: int) -> bool:
    found = [trial for trial in trials if trial.seed is not None]
    soon = sum(trial.needed <= 50 for trial in found)
    print(f"{len(found)} of {len(trials)} found within {most} seeds, {soon} within 50")
    for trial in trials:
        if trial.seed is None:
            print(f"not found: {trial.name}{': ' + trial.error if trial.error else ''}")
    return len(found) == len(trials)


if __name__ == "__main__":
    sys.exit(main())

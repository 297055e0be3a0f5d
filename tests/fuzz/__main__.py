"""`python -m tests.fuzz`: coverage-guided fuzzing of every parser that reads what a stranger wrote."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fuzz.shelf import HERE

if TYPE_CHECKING:  # what they import is to be instrumented first
    from tests.fuzz.campaign import Result
    from tests.fuzz.target import Target


def main() -> int:
    options = _options()
    try:
        import atheris
    except ImportError:
        print("atheris is not installed: pip install -e '.[fuzz]', then run this again", file=sys.stderr)
        return 2
    with contextlib.redirect_stderr(io.StringIO()), atheris.instrument_imports(include=["daemon", "adapters"]):
        from tests.fuzz.targets import TARGETS
    if options.replay:
        return _replay(TARGETS, *options.replay)
    names = options.targets.split(",") if options.targets else list(TARGETS)
    if unknown := [name for name in names if name not in TARGETS]:
        print(f"no target is called {unknown[0]}: there are {', '.join(TARGETS)}", file=sys.stderr)
        return 2
    from tests.fuzz.campaign import Campaign, Plan

    seed = options.seed or int(time.time())
    seconds = options.seconds
    if options.together:
        # A slice shared out over all targets, for the time that the machine gives all of them.
        seconds = max(1, options.together * options.jobs // len(names))
    plan = Plan(seconds, options.runs, seed, options.jobs, options.grow)
    print(f"seed {seed}, {len(names)} targets, {options.jobs} at a time", flush=True)
    results = Campaign(plan, lambda text: print(text, flush=True)).run([TARGETS[name] for name in names])
    print(_table(results))
    if options.record:
        _record(Path(options.record), results)
    return 1 if any(result.crashes for result in results) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--targets", help="names, separated by commas (default: all)")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default 60; 0: no such bound)")
    parser.add_argument("--runs", type=int, default=0, help="executions of each target (default: no such bound)")
    parser.add_argument("--together", type=int, default=0, metavar="SECONDS", help="for all targets together")
    parser.add_argument("--jobs", type=int, default=2, help="targets at a time (default 2)")
    parser.add_argument("--seed", type=int, default=0, help="of the mutator (default: the time)")
    parser.add_argument("--grow", type=int, default=0, metavar="N", help="keep N new inputs of each target")
    parser.add_argument("--record", metavar="FILE", help="add the figures to this JSON file")
    parser.add_argument("--replay", nargs=2, metavar=("TARGET", "FILE"), help="run one input")
    return parser.parse_args()


def _replay(targets: dict[str, Target], name: str, file: str) -> int:
    from tests.fuzz.campaign import replay

    broken = replay(targets[name], Path(file).read_bytes())
    print(broken or "nothing broke")
    return 1 if broken else 0


def _table(results: list[Result]) -> str:
    names = f"{'target':<22} {'executions':>12} {'per s':>8} {'edges':>6}"
    head = f"{names} {'new':>6} {'crashes':>7} {'slowest':>9} {'MB':>5}"
    rows = [
        f"{r.target:<22} {r.executions:>12,} {r.executions / max(r.seconds, 0.1):>8,.0f} {r.edges:>6} "
        f"{r.new_inputs:>6} {r.crashes:>7} {r.slowest_s * 1000:>6.0f} ms {r.rss_mb:>5}"
        for r in results
    ]
    total = f"{'total':<22} {sum(r.executions for r in results):>12,}"
    return "\n".join([head, *rows, total])


def _record(path: Path, results: list[Result]) -> None:
    """Runs add up: executions, seconds and crashes of each target; the rest is the most ever seen."""
    known = json.loads(path.read_text()) if path.exists() else {"commits": [], "targets": {}}
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True).stdout
    known["commits"] = sorted({*known["commits"], commit.strip()})
    for result in results:
        row = known["targets"].setdefault(
            result.target, {"executions": 0, "seconds": 0, "crashes": 0, "edges": 0, "slowest_ms": 0, "rss_mb": 0}
        )
        for name in ("executions", "crashes"):
            row[name] += getattr(result, name)
        row["seconds"] += round(result.seconds)
        row["edges"] = max(row["edges"], result.edges)
        row["slowest_ms"] = max(row["slowest_ms"], round(result.slowest_s * 1000))
        row["rss_mb"] = max(row["rss_mb"], result.rss_mb)
    known["executions"] = sum(row["executions"] for row in known["targets"].values())
    path.write_text(json.dumps(known, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())

"""Backups restored, again and again: the drill from one integer, with its figures.

    python -m tests.drill [--seeds 0..20] [--json]

Exit code 0: every drill ended in the truth. 1: one did not; `--seeds N..N+1` repeats it.
"""

from __future__ import annotations

import argparse
import json

from attrs import asdict

from tests.drill.drill import Drill, Found


def said(found: Found) -> str:
    """One line a drill."""
    return (
        f"seed {found.seed}: {found.sales} sales, {found.after_backup} after the backup ({found.while_down} of them "
        f"while down), a backup of {found.backup_age_s:.0f} s, {found.events_lost} events lost, right after "
        f"{found.right_s:g} s: " + ("; ".join(found.problems) or "ok")
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="Backups restored, again and again.")
    parser.add_argument("--seeds", default="0..20", help="FIRST..LAST, the last left out")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    first, _, last = arguments.seeds.partition("..")
    bad = 0
    for seed in range(int(first), int(last or int(first) + 1)):
        found = Drill(seed).run()
        bad += bool(found.problems)
        print(json.dumps(asdict(found)) if arguments.json else said(found), flush=True)
    return int(bool(bad))


if __name__ == "__main__":
    raise SystemExit(main())

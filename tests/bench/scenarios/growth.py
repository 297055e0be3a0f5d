"""Does the ten-millionth event cost what the ten-thousandth did? CPU time an event while a log is written (see
`big_log`), in its first and last tenth. Of the full run only: ten million order lines take a while.

The SKUs are as many as keep the same number of lines each throughout: what is measured is the size of the store, not
of a SKU's own history.
"""

from __future__ import annotations

from tests.bench.results import Bench
from tests.bench.scenarios.store import write_log

EVENTS, LINES_A_SKU = 10_000_000, 10


def run(bench: Bench) -> None:
    """See the module."""
    if bench.quick:
        bench.say("  only in the full run")
        return
    measure(bench, EVENTS)


def measure(bench: Bench, events: int) -> None:
    """Write so many order lines; keep what the first and the last tenth of them cost."""
    made = write_log(bench.folder / "log", events // LINES_A_SKU, events, 0)
    progress = made["progress"]
    tenth = max(1, len(progress) // 10)
    for name, (first, last) in {"first": (0, tenth), "last": (-1 - tenth, -1)}.items():
        done, cost_s = (progress[last][place] - progress[first][place] for place in (0, 1))
        bench.add(f"growth.{name}", cost_s / done * 1e6, "us/event")
    bench.results.ratios("growth.last_over_first", "growth.last", "growth.first")
    bench.add("growth.written", made["events"] / made["seconds"], "events/s")

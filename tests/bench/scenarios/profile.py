"""Where the daemon's time goes: its stacks are sampled under load, and each stage's and each function's share is told
as CPU time a request; and what the garbage collector takes of it. Only run where it is asked for.

    python -m tests.bench profile

A sample belongs to the first stage of the list below that is on its stack. Of a function, `itself` counts what it
does and what it calls outside our code; `within`, everything below it. The collector runs within whatever allocates.
One order has two lines on average, so what is done once a line happens twice a request.
"""

from __future__ import annotations

import json

from tests.bench import load, orders
from tests.bench.house import OTHERS, SHOP, house
from tests.bench.processes import environment
from tests.bench.results import Bench
from tests.bench.samples import function_shares, record, stage_shares
from tests.bench.tools import HERE

SKUS = 5_000
SECONDS = 6
WARM, MOST = 2_000, 40_000
TOP = 24


def run(bench: Bench) -> None:
    """See the module."""
    names = orders.sku_names(SKUS)
    for work, skus in (("uniform", names), ("hot", names[:1])):
        told = bench.folder / f"{work}.gc"
        watched = {"PYTHONPATH": f"{HERE / 'gc_watch'}:{environment()['PYTHONPATH']}", "BENCH_GC": str(told)}
        with house(bench.folder / work, skus=SKUS, env=watched) as home:
            home.pause(SHOP, *OTHERS)
            sold = orders.batch(WARM + MOST, skus)
            load.send(bench.folder, home.port, sold[:WARM], connections=64, seconds_max=4)
            recording = record(home.daemon.pid, bench.folder / f"{work}.raw", SECONDS)
            before = home.daemon.cpu_us()
            seen = load.send(bench.folder, home.port, sold[WARM:], connections=64, seconds_max=SECONDS)
            cost = (home.daemon.cpu_us() - before) / seen.acked
            samples = recording.samples()
            whole_us = home.daemon.cpu_us()
            home.daemon.stop()
        bench.add(f"profile.{work}.cpu", cost, "us")
        collector = json.loads(told.read_text())
        bench.add(f"profile.{work}.gc", collector["us"] / whole_us * 100, "% of its life's CPU")
        bench.add(f"profile.{work}.gc_longest", collector["longest_us"] / 1e3, "ms")
        bench.say(f"  {'us':>10}  {work}, by stage")
        for stage, share in stage_shares(samples):
            bench.say(f"  {share * cost:>10.1f}  {stage}")
        bench.say(f"  {'itself us':>10} {'within us':>10}  {work}, by function")
        for each in function_shares(samples)[:TOP]:
            bench.say(f"  {each.itself * cost:>10.1f} {each.within * cost:>10.1f}  {each.function}")

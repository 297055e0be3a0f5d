"""Where the daemon's time goes: its stacks are sampled under load, and each function's share is told as CPU time a
request. Only run where it is asked for.

    python -m tests.bench profile

`itself` counts what a function does and what it calls outside our code; `within`, everything below it. One order has
two lines on average, so what is done once a line happens twice a request.
"""

from __future__ import annotations

from tests.bench import load, orders
from tests.bench.house import OTHERS, SHOP, house
from tests.bench.results import Bench
from tests.bench.samples import record

SKUS = 5_000
SECONDS = 6
TOP = 32


def run(bench: Bench) -> None:
    """See the module."""
    names = orders.sku_names(SKUS)
    with house(bench.folder / "house", skus=SKUS) as home:
        home.pause(SHOP, *OTHERS)
        for work, skus in (("uniform", names), ("hot", names[:1])):
            sold = orders.batch(40_000, skus)
            load.send(bench.folder, home.port, sold[:2_000], connections=64, seconds_max=4)
            samples = record(home.daemon.pid, bench.folder / f"{work}.raw", SECONDS)
            before = home.daemon.cpu_us()
            seen = load.send(bench.folder, home.port, sold[2_000:], connections=64, seconds_max=SECONDS)
            cost = (home.daemon.cpu_us() - before) / seen.acked
            bench.add(f"profile.{work}.cpu", cost, "us")
            bench.say(f"  {'itself us':>10} {'within us':>10}  {work}")
            for share in samples.shares()[:TOP]:
                bench.say(f"  {share.itself * cost:>10.1f} {share.within * cost:>10.1f}  {share.function}")

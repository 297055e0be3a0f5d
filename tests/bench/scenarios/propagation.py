"""From a sale at one storefront to the level taken by the others, over loopback and the sandbox's batched API.

Steady: single units over uniform SKUs, open loop. Burst: 50 orders at once. Coalescing: 3,000 sales over 500 SKUs as
fast as they are taken, and how many levels leave for two channels. Everything must come to rest with every storefront
showing what is left, else there is no figure. The channels take 200 calls a second here (the sandbox's own 50 would
make a sale wait 20 ms for its turn) in the steady part and the burst, and 50 where coalescing is counted.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from tests.bench import load, orders
from tests.bench.arrivals import Books, Journal, pushes, repeated, waits_ms
from tests.bench.house import OTHERS, House, house
from tests.bench.load import Seen
from tests.bench.results import Bench
from tests.bench.stats import percentile

SKUS = 500
STEADY_RATE = 50
STEADY = (200, 1_500)
BURST = 50
SALES = 3_000
FAST = {"rate_per_s": 200, "burst": 50}


def run(bench: Bench) -> None:
    """See the module."""
    names = orders.sku_names(SKUS)
    with house(bench.folder / "fast", skus=SKUS, every=FAST) as home:
        books = Books()
        for number in range(bench.rounds):
            rng = random.Random(number)
            steady = rng.choices(names, k=bench.size(*STEADY))
            told, seen, journal = _sell(bench, home, books, steady, rate=STEADY_RATE)
            waits = [wait for channel in OTHERS for wait in waits_ms(told, seen.due_ns, journal, channel)]
            bench.add("propagation.steady.p50", percentile(waits, 0.5), "ms")
            bench.add("propagation.steady.p99", percentile(waits, 0.99), "ms")
            burst = rng.sample(names, BURST)
            told, seen, journal = _sell(bench, home, books, burst, connections=BURST)
            waits = [wait for channel in OTHERS for wait in waits_ms(told, seen.due_ns, journal, channel)]
            bench.add("propagation.burst.all", max(waits) / 1e3, "s")
    for number in range(bench.size(1, min(bench.rounds, 3))):
        with house(bench.folder / f"coalescing-{number}", skus=SKUS) as home:
            sales = random.Random(number).choices(names, k=SALES)
            _, seen, journal = _sell(bench, home, Books(), sales)
            bench.add("propagation.coalescing.rate", seen.rate, "/s")
            bench.add("propagation.coalescing.pushes", pushes(journal), "")
            bench.add("propagation.coalescing.repeated", repeated(journal), "")


def _sell(
    bench: Bench, home: House, books: Books, skus: Sequence[str], *, rate: float = 0, connections: int = 64
) -> tuple[list[tuple[str, int]], Seen, Journal]:
    """Sell one unit of each and wait until every storefront shows it."""
    home.shelf("journal")
    told = books.sell(skus)
    requests = [orders.single(sku) for sku in skus]
    seen = load.send(bench.folder, home.port, requests, connections=connections, rate=rate).insist()
    home.wait(home.settled, "settling", every_s=0.1)
    journal: Journal = home.shelf("journal")
    for channel in OTHERS:
        books.insist(home.shelf("shown", channel=channel), channel)
    return told, seen, journal

"""Does a busy SKU or a slow channel hold up the others? p99 of quiet SKUs' answers alone, beside a hot SKU and beside
a channel that takes two seconds for every call; and p99 of a sale's way to the healthy channel beside the slow one.

The quiet sales are the same open loop throughout; what is beside them changes.
"""

from __future__ import annotations

import random

from tests.bench import load, orders
from tests.bench.arrivals import Books, waits_ms
from tests.bench.house import OTHERS, House, house
from tests.bench.results import Bench
from tests.bench.stats import percentile

SKUS = 1_000
QUIET_RATE, HOT_RATE = 150, 300
SECONDS = (3, 15)
SLOW_S = 2.0
FAST = {"rate_per_s": 200, "burst": 50}


def run(bench: Bench) -> None:
    """See the module."""
    slow, healthy = OTHERS
    with house(bench.folder / "house", skus=SKUS, every=FAST) as home:
        books = Books()
        warm = random.Random(0).choices(orders.sku_names(SKUS)[1:], k=QUIET_RATE)
        books.sell(warm)
        load.send(bench.folder, home.port, [orders.single(sku) for sku in warm], connections=64).insist()
        home.wait(home.settled, "settling", every_s=0.1)
        for number in range(bench.rounds):
            alone_ms, alone_way_ms = _quiet(bench, home, books, number, "alone", healthy)
            hot = orders.batch(HOT_RATE * bench.size(*SECONDS), orders.sku_names(1), seed=number)
            beside = load.begin(bench.folder, home.port, hot, connections=64, rate=HOT_RATE, name="hot")
            hot_ms, _ = _quiet(bench, home, books, number, "beside_hot", "")
            beside.seen()
            home.wait(home.settled, "settling", every_s=0.1)
            home.shelf("slow", channel=slow, seconds=SLOW_S)
            slow_ms, slow_way_ms = _quiet(bench, home, books, number, "beside_slow", healthy)
            home.shelf("slow", channel=slow, seconds=0)
            home.wait(home.settled, "settling", every_s=0.1)
            bench.add("fairness.hot_over_alone", hot_ms / alone_ms, "x")
            bench.add("fairness.slow_over_alone", slow_ms / alone_ms, "x")
            bench.add("fairness.way_beside_slow_over_alone", slow_way_ms / alone_way_ms, "x")


def _quiet(bench: Bench, home: House, books: Books, number: int, beside: str, watched: str) -> tuple[float, float]:
    """(p99 of the answers, p99 of the way to `watched`), ms, of the quiet sales."""
    home.shelf("journal")
    skus = random.Random(number).choices(orders.sku_names(SKUS)[1:], k=QUIET_RATE * bench.size(*SECONDS))
    told = books.sell(skus)
    requests = [orders.single(sku) for sku in skus]
    seen = load.send(bench.folder, home.port, requests, connections=64, rate=QUIET_RATE).insist()
    p99_ms = seen.latency_ms(0.99)
    bench.add(f"fairness.{beside}.p99", p99_ms, "ms")
    if not watched:
        return p99_ms, 0
    home.wait(lambda: not _open(home, watched), f"settling of {watched}", every_s=0.1)
    way_ms = percentile(waits_ms(told, seen.due_ns, home.shelf("journal"), watched), 0.99)
    bench.add(f"fairness.{beside}.way.p99", way_ms, "ms")
    return p99_ms, way_ms


def _open(home: House, channel: str) -> int:
    """Listings of the channel that still need something."""
    view = home.admin.ask("/v1/status")["channels"][channel]
    return int(view["pending"]) + int(view["in_flight"])

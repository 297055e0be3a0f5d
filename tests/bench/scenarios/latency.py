"""How long a webhook waits for its answer, open loop: requests fall due by a Poisson process and their latency
counts from that moment, so a server that falls behind cannot hide it.

At 100, 1,000 and 3,000 a second while nothing is pushed; at 2,000 a second while every level is pushed to eight other
channels; and the closed loop with 1, 64 and 256 connections. `late` is the part of the requests that were not
answered within the spell.
"""

from __future__ import annotations

from tests.bench import disk, load, orders
from tests.bench.house import OTHERS, SHOP, House, house
from tests.bench.results import Bench

SKUS = 2_000
RATES = (100, 1_000, 3_000)
BUSY_RATE, BUSY_CHANNELS = 2_000, 8
CONNECTIONS = (1, 64, 256)
OPEN_CONNECTIONS = 256
SECONDS = (2, 15)
CLOSED = (2_000, 10_000)


def run(bench: Bench) -> None:
    """See the module."""
    with house(bench.folder / "quiet", skus=SKUS) as home:
        home.pause(SHOP, *OTHERS)
        for number in range(bench.size(1, bench.rounds)):
            bench.say(f"round {number + 1} of {bench.size(1, bench.rounds)}")
            bench.add("latency.commit", disk.floor(bench.folder, 1).commit_ms, "ms")
            for rate in RATES:
                _open(bench, home, f"latency.at_{rate}", rate, number)
            for connections in CONNECTIONS:
                sold = orders.batch(bench.size(*CLOSED), orders.sku_names(SKUS), seed=number)
                seen = load.send(bench.folder, home.port, sold, connections=connections, seconds_max=bench.size(2, 5))
                bench.add(f"latency.closed_{connections}.rate", seen.rate, "/s")
                bench.add(f"latency.closed_{connections}.p99", seen.latency_ms(0.99), "ms")
    channels = (SHOP, *(f"other-{place}" for place in range(1, BUSY_CHANNELS + 1)))
    with house(bench.folder / "busy", skus=SKUS, channels=channels) as home:
        for number in range(bench.size(1, min(bench.rounds, 3))):
            commit_ms = disk.floor(bench.folder, 1).commit_ms
            p99_ms = _open(bench, home, "latency.pushing_to_8", BUSY_RATE, number)
            bench.add("latency.pushing_to_8.over_commit", p99_ms - commit_ms, "ms")


def _open(bench: Bench, home: House, name: str, rate: int, number: int) -> float:
    """One open-loop spell; its p99, ms."""
    seconds = bench.size(*SECONDS)
    sold = orders.batch(rate * seconds, orders.sku_names(SKUS), seed=number)
    seen = load.send(
        bench.folder, home.port, sold, connections=OPEN_CONNECTIONS, rate=rate, seconds_max=seconds * 1.5 + 1
    )
    for word, share in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)):
        bench.add(f"{name}.{word}", seen.latency_ms(share), "ms")
    if late := len(sold) - seen.acked:
        bench.add(f"{name}.late", late / len(sold) * 100, "%")
    return seen.latency_ms(0.99)

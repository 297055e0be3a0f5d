"""A disk whose every flush takes 2 ms more (a cloud volume), for the daemon and for PostgreSQL alike: one hot SKU
with 64 and 256 connections. What waits for a row lock waits for the flush before it; what commits in groups does not.
"""

from __future__ import annotations

from contextlib import ExitStack

from tests.bench import load, orders, peers
from tests.bench.house import OTHERS, SHOP, house
from tests.bench.results import Bench

SKUS = 500
FLUSH_US = 2_000
CONNECTIONS = (64, 256)
COUNTS = {"daemon": (10_000, 20_000), "plain": (1_000, 2_000), "tuned": (1_000, 2_000)}
SPELL_S = (2.0, 8.0)


def run(bench: Bench) -> None:
    """See the module."""
    names = orders.sku_names(SKUS)
    with ExitStack() as stack:
        home = stack.enter_context(house(bench.folder / "house", skus=SKUS, flush_us=FLUSH_US))
        home.pause(SHOP, *OTHERS)
        ports = {"daemon": home.port}
        for form in ("plain", "tuned"):
            base = stack.enter_context(peers.database(bench.folder / form, names, 1_000_000, flush_us=FLUSH_US))
            ports[form] = stack.enter_context(peers.service(bench.folder / form, base, form)).port
        for number in range(bench.size(1, bench.rounds)):
            for connections in CONNECTIONS:
                rates = {}
                for who, port in ports.items():
                    sold = orders.batch(bench.size(*COUNTS[who]), names[:1], seed=number)
                    seen = load.send(
                        bench.folder, port, sold, connections=connections, seconds_max=SPELL_S[not bench.quick]
                    )
                    rates[who] = max(seen.rate, 1e-9)
                    bench.add(f"slow_disk.{who}.hot_{connections}.rate", seen.rate, "/s")
                    bench.add(f"slow_disk.{who}.hot_{connections}.p99", seen.latency_ms(0.99), "ms")
                for form in ("plain", "tuned"):
                    bench.add(f"slow_disk.over_{form}.hot_{connections}", rates["daemon"] / rates[form], "x")

"""Does anything grow? Sales at a steady pace over a fixed set of SKUs for many minutes, one channel down all the
while: memory, LMDB's reader table, and how many slots wait for the dead channel. Only run where it is asked for.

Order lines stay in their SKU's state until they are settled (30 days), so memory grows by what `soak.bytes_an_order`
says, by design; what a leak would be is what it grows by beyond that, in a longer soak.

    python -m tests.bench soak --minutes 20
"""

from __future__ import annotations

import time

from tests.bench import load, orders
from tests.bench.house import OTHERS, house
from tests.bench.results import Bench
from tests.bench.stats import percentile

SKUS = 500
RATE = 50
SPELL_S = 15
"""Orders are signed for so long at a time: a signature's stamp must not be old."""


def run(bench: Bench) -> None:
    """See the module."""
    dead, _ = OTHERS
    names = orders.sku_names(SKUS)
    with house(bench.folder / "house", skus=SKUS) as home:
        home.shelf("down", channel=dead, down=True)
        until, number = time.monotonic() + bench.minutes * 60, 0
        memory, readers, slots = [], [], []
        while time.monotonic() < until:
            sold = orders.batch(RATE * SPELL_S, names, seed=number)
            load.send(bench.folder, home.port, sold, connections=16, rate=RATE).insist()
            status = home.admin.ask("/v1/status")
            memory.append(home.daemon.anonymous_bytes() / 1e6)
            readers.append(status["storage"]["readers"])
            waiting = status["channels"][dead]
            slots.append((waiting["pending"] + waiting["in_flight"] + waiting["dead"]) / SKUS)
            home.shelf("journal")
            number += 1
        told = RATE * SPELL_S * max(1, number - 1)
        bench.add("soak.bytes_an_order", (memory[-1] - memory[0]) * 1e6 / told, "bytes")
        bench.add("soak.events", home.admin.ask("/v1/status")["events"], "events")
        quarter = max(1, len(memory) // 4)
        bench.add("soak.memory", memory, "MB")
        bench.add("soak.memory_growth", percentile(memory[-quarter:], 0.5) / percentile(memory[:quarter], 0.5), "x")
        bench.add("soak.readers_gained", max(readers) - readers[0], "slots")
        bench.add("soak.slots_per_listing", max(slots), "slots")

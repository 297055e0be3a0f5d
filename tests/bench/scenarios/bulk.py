"""Many listings change at once (a recount), through channels that take 20 calls a second of 100 listings each, and in
the middle a unit is sold: is the limit used up, and how many calls leave before the sale's own?

Three recounts: one that lowers every level and one that raises every level, while the SKU sold has plenty; and one
that lowers, while the last but two are sold.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from tests.bench import load, orders
from tests.bench.arrivals import Journal
from tests.bench.house import OTHERS, SHOP, STOCK, House, house
from tests.bench.processes import BenchError
from tests.bench.results import Bench

RATE, BATCH, BURST = 20, 100, 4
SLOT_MS = 1_000 / RATE
SIZES = {True: (500, 3_000), False: (500, 50_000)}
"""SKUs that change at once: quick and not."""
PAGE = 200
"""Lines of an import told in one call."""
ROOM = 10
"""SKUs beside those that are recounted; one of them is sold."""
PLENTY, FEW = STOCK, 3
RECOUNTS = {"lowering": (5_000, PLENTY), "raising": (2 * STOCK, PLENTY), "lowering_few_left": (4_000, FEW)}
"""What is counted, and how many there are of the SKU that is sold meanwhile."""
LIMITED = {"rate_per_s": RATE, "burst": BURST, "batch_max": BATCH}


def run(bench: Bench) -> None:
    """See the module."""
    for word, size in zip(("small", "large"), SIZES[bench.quick], strict=True):
        with house(bench.folder / f"house-{size}", skus=size + ROOM, every=LIMITED, ready_s=600) as home:
            for place, (name, (counted, left)) in enumerate(RECOUNTS.items()):
                _recount(bench, home, f"bulk.{word}.{name}", size, counted, left, place)


def _import(home: House, file: int, counts: Sequence[tuple[str, int]]) -> None:
    for start in range(0, len(counts), PAGE):
        rows = [
            {"line": line, "sku": sku, "quantity": quantity}
            for line, (sku, quantity) in enumerate(counts[start : start + PAGE], start + 1)
        ]
        home.admin.tell("/v1/import", {"file": f"{file:016x}", "apply": True, "rows": rows})


def _recount(bench: Bench, home: House, name: str, size: int, counted: int, left: int, place: int) -> None:
    names = orders.sku_names(size + ROOM)
    sold = names[size + place]
    _import(home, 100 + place, [(sold, left)])
    home.wait(home.settled, "settling", 60, every_s=0.1)
    home.shelf("journal")
    home.pause(SHOP, *OTHERS)  # everything is told before the first call leaves: the limit alone is measured
    _import(home, 200 + place, [(sku, counted) for sku in names[:size]])
    home.resume(SHOP, *OTHERS)
    time.sleep(size / BATCH / RATE / 2)
    sale = load.send(bench.folder, home.port, [orders.single(sold)], connections=1).insist()
    home.wait(home.settled, "the recount", 600, every_s=0.25)
    journal: Journal = home.shelf("journal")
    for channel in OTHERS:
        calls = sorted(int(str(at)) for at, where, _ in journal["calls"] if where == channel)
        levels = [(int(str(at)), str(what)) for at, where, what, _ in journal["levels"] if where == channel]
        if sum(what != f"L-{sold}" for _, what in levels) < size:
            raise BenchError(f"only {len(levels)} levels of {size} reached {channel}")
        arrived = next((at for at, what in levels if what == f"L-{sold}"), None)
        if arrived is None:
            raise BenchError(f"the sale never reached {channel}")
        seconds = (calls[-1] - calls[0]) / 1e9
        bench.add(f"{name}.limit_used", max(0, len(calls) - BURST) / (seconds * RATE) * 100, "%")
        waited = sum(sale.answered_ns[0] < at < arrived for at in calls)
        bench.add(f"{name}.sale_waits", waited, "calls")
        bench.add(f"{name}.sale_waits_ms", (arrived - sale.answered_ns[0]) / 1e6, "ms")

"""A large store: start after a kill and after an orderly stop, rebuilding, queries, memory and bytes on disk.

One store is written (see `big_log`): a catalogue on three channels, and orders over uniform SKUs, everything pushed
and settled. The daemon is started on it, asked, weighed and stopped in order, again and again; then a tail is added
as a kill leaves it, and the daemon is started on that. The same on a store with next to nothing in it, whose start
(mostly imports) is taken off. Nobody answers at the channels' addresses meanwhile.

`start.million_tail` is scaled to a million events of the tail, whatever its length, and also holds the check of the
whole file that an unclean stop asks for. `rebuild.verify` is by the daemon's CPU time, which is all that it takes.
Quick: 10,000 SKUs and 100,000 events; full: a million SKUs and six million events.
"""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.bench import orders
from tests.bench.house import OTHERS, SHOP, Admin, daemon_process, write_config
from tests.bench.processes import BenchError, Process, environment, free_port, prioritised, python
from tests.bench.queries import ask_all
from tests.bench.results import Bench
from tests.bench.stats import percentile
from tests.bench.tables import table_bytes
from tests.bench.tools import other_disk

CHANNELS = (SHOP, *OTHERS)
SKUS, SOLD, TAIL = (10_000, 1_000_000), (30_000, 1_000_000), (20_000, 1_000_000)
"""Quick, full."""
ACTIVE = ((1_000, 10_000), (10_000, 100_000))
ASKED = 400
EVENT_TABLES = ("log", "chain", "history", "orders", "dedup")
"""What grows with every event, beside the bodies."""
GENERATION_S = 7_200.0


def run(bench: Bench) -> None:
    """See the module."""
    skus = bench.size(*SKUS)
    small, large = bench.folder / "small", bench.folder / "large"
    write_log(small, 10, 0, 0)
    made = write_log(large, skus, bench.size(*SOLD), 0)
    bench.add("store.written", made["events"] / made["seconds"], "events/s")
    idle_s, idle_bytes = _idle(bench, small)
    for number in range(bench.rounds):
        with _running(large) as (daemon, admin, serving_s):
            bench.add("start.clean", serving_s, "s")
            bench.add("start.clean.repeated", _started(daemon)["repeated"], "events")
            bench.add("start.clean.beyond_empty", max(0.0, serving_s - idle_s), "s")
            grown = max(0, daemon.anonymous_bytes() - idle_bytes)
            bench.add("memory.idle_sku", grown / skus, "bytes")
            _queries(bench, admin, skus, number)
            began, before_us = time.monotonic(), daemon.cpu_us()
            report = admin.tell("/v1/rebuild", {"verify": True})
            bench.add("rebuild.verify.on_the_wall", report["events"] / (time.monotonic() - began), "events/s")
            bench.add("rebuild.verify", report["events"] / (daemon.cpu_us() - before_us) * 1e6, "events/s")
            if report["different"]:
                raise BenchError(f"the rebuilt state differs: {report}")
            bench.add("start.stopping", daemon.stop(), "s")
    _disk(bench, large, made)
    _active(bench, large)
    _killed(bench, large)


def write_log(folder: Path, skus: int, sold: int, tail: int) -> dict[str, Any]:
    """A store in `folder`, new or added to; what `big_log` said of it."""
    if not folder.exists():
        folder.mkdir()
        write_config(folder, free_port(), free_port(), CHANNELS, {})
    command = python("-m", "tests.bench.big_log", str(folder), "--skus", str(skus))
    command += ["--events", str(sold), "--tail", str(tail)]
    done = subprocess.run(
        prioritised(command), capture_output=True, text=True, check=False, env=environment(other_disk(None)),
        start_new_session=True, timeout=GENERATION_S,
    )  # fmt: skip
    if done.returncode:
        raise BenchError(f"the store cannot be written: {done.stderr.strip()[-500:]}")
    said: dict[str, Any] = json.loads(done.stdout)
    return said


@contextmanager
def _running(folder: Path) -> Iterator[tuple[Process, Admin, float]]:
    """The daemon on that store, and seconds until it took connections."""
    config = json.loads((folder / "config.yaml").read_text())
    daemon = daemon_process(folder)
    daemon.out.unlink(missing_ok=True)
    with daemon:
        serving_s = daemon.wait_answering(int(config["listen"].rpartition(":")[2]), 600)
        yield daemon, Admin(folder / "admin.sock"), serving_s


def _started(daemon: Process) -> dict[str, int]:
    """What the daemon said of its start."""
    for line in daemon.out.read_text().splitlines():
        if '"repeated"' in line:
            said: dict[str, int] = json.loads(line)
            return said
    raise BenchError("the daemon did not say what it repeated at its start")


def _idle(bench: Bench, small: Path) -> tuple[float, int]:
    """(seconds to serve, bytes of memory) with next to nothing in the store."""
    waits, weights = [], []
    for _ in range(2):
        with _running(small) as (daemon, _, serving_s):
            waits.append(serving_s)
            weights.append(daemon.anonymous_bytes())
            bench.add("memory.process", daemon.rss_bytes() / 1e6, "MB")
            daemon.stop()
    bench.add("start.empty", min(waits), "s")
    return min(waits), min(weights)


def _queries(bench: Bench, admin: Admin, skus: int, number: int) -> None:
    chosen = random.Random(number).sample(orders.sku_names(skus), ASKED)
    past = orders.stamp(time.time() - 86_400)
    for name, rest in (("sku", ""), ("history", "/history"), ("explain", "/explain"), ("at", f"?at={past}"),
        ("explain_at", f"/explain?at={past}"),
    ):  # fmt: skip
        waits = ask_all(admin.path, [f"/v1/skus/{sku}{rest}" for sku in chosen])
        bench.add(f"query.{name}.p99", percentile(waits, 0.99), "ms")


def _killed(bench: Bench, large: Path) -> None:
    """A tail is added as a kill leaves it; the daemon starts on it."""
    clean_s = min(bench.results.values("start.clean"))
    write_log(large, bench.size(*SKUS), 0, bench.size(*TAIL))
    with _running(large) as (daemon, _, serving_s):
        bench.add("start.killed", serving_s, "s")
        bench.add("start.killed.cpu", daemon.cpu_us() / 1e6, "s")
        repeated = _started(daemon)["repeated"]
        if repeated < bench.size(*TAIL):
            raise BenchError(f"only {repeated} events were repeated: the tail was not there")
        bench.add("start.million_tail", max(0.0, serving_s - clean_s) / repeated * 1e6, "s")
        daemon.stop()


def _disk(bench: Bench, large: Path, made: dict[str, Any]) -> None:
    tables = table_bytes(large / "state")
    bench.add("disk.log", tables["log"] / made["events"], "bytes/event")
    bench.add("disk.event", sum(tables[name] for name in EVENT_TABLES) / made["events"], "bytes/event")
    bench.add("disk.body", tables["deliveries"] / made["deliveries"], "bytes/delivery")
    bench.add("disk.sku", tables["skus"] / bench.size(*SKUS), "bytes/SKU")


def _active(bench: Bench, large: Path) -> None:
    most = max(ACTIVE[0] if bench.quick else ACTIVE[1])
    for actors in ACTIVE[0] if bench.quick else ACTIVE[1]:
        command = prioritised(python("-m", "tests.bench.memory_probe", str(large), str(actors)))
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=environment(), start_new_session=True
        )
        if done.returncode:
            raise BenchError(f"actors cannot be weighed: {done.stderr.strip()[-300:]}")
        said = json.loads(done.stdout)
        bench.add(f"memory.active_{actors}.actor", said["bytes"], "bytes")
        bench.add(f"memory.active_{actors}.lines", said["lines"], "lines/SKU")
        bench.add(f"memory.active_{actors}.spawn", said["spawn_us"], "us")
        bench.add(f"memory.active_{actors}.gc", said["gc_ms"], "ms")
        if actors == most:
            bench.add("memory.active_sku", said["bytes"], "bytes")
            bench.add("memory.gc", said["gc_ms"], "ms")

"""As many webhooks as each server takes, closed loop, side by side: our listener without work, hypercorn without
work, the daemon with everything on, and the FastAPI services on PostgreSQL. Uniform SKUs, one hot SKU, duplicates.

All servers live through the whole scenario and are measured in turn, so that a slow minute of the machine meets all
of them; each round gives its own ratios. In the daemon nothing is pushed meanwhile (its three channels are paused;
the services have none): slots are decided and kept. `daemon.pushing` is the same with channels that take levels. A
spell sends a fixed number of webhooks, or as many as it can in a fixed time; only answers 200 count.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack

from attrs import frozen

from tests.bench import disk, load, orders, peers
from tests.bench.house import OTHERS, SHOP, House, house
from tests.bench.load import Seen
from tests.bench.processes import BenchError, Process, free_port, python
from tests.bench.results import Bench

SKUS = 5_000
CONNECTIONS = 64
COUNTS = {"noop": (30_000, 100_000), "hypercorn": (3_000, 8_000), "daemon": (10_000, 20_000), "peer": (2_000, 5_000)}
"""Requests of one spell: quick, full."""
SPELL_S = (2.0, 10.0)
"""A spell ends after that, whatever is left: quick, full."""


@frozen
class Entrant:
    """A server, where it listens and what it has cost so far (µs of CPU)."""

    name: str
    port: int
    cpu_us: Callable[[], float]
    count: int


def spell(bench: Bench, entrant: Entrant, work: str, requests: Sequence[bytes]) -> Seen:
    """One spell of work; keeps rate, CPU time and latency."""
    before = entrant.cpu_us()
    most_s = SPELL_S[0] if bench.quick else SPELL_S[1]
    seen = load.send(
        bench.folder, entrant.port, requests, connections=CONNECTIONS, count=entrant.count, seconds_max=most_s
    )
    name = f"saturation.{entrant.name}.{work}"
    if not seen.acked:
        raise BenchError(f"{name}: nothing was acknowledged within {most_s:.0f} s, only {seen.statuses}")
    cost = (entrant.cpu_us() - before) / seen.acked
    if refused := seen.done - seen.acked:
        bench.add(f"{name}.refused", refused, "")
    bench.add(f"{name}.rate", seen.rate, "/s")
    bench.add(f"{name}.cpu", cost, "us")
    bench.add(f"{name}.p99", seen.latency_ms(0.99), "ms")
    return seen


def noop(bench: Bench, stack: ExitStack) -> Entrant:
    """Our listener without work."""
    port = free_port()
    server = stack.enter_context(Process(python("-m", "tests.bench.noop", str(port)), bench.folder / "noop.out"))
    server.wait_listening(port)
    return Entrant("noop", port, server.cpu_us, bench.size(*COUNTS["noop"]))


def run(bench: Bench) -> None:
    """See the module."""
    skus = orders.sku_names(SKUS)
    with ExitStack() as stack:
        ours = noop(bench, stack)
        other = stack.enter_context(peers.hypercorn(bench.folder))
        usual = Entrant("hypercorn", other.port, other.cpu_us, bench.size(*COUNTS["hypercorn"]))
        services = [_service(bench, stack, form, skus) for form in ("plain", "tuned")]
        home = stack.enter_context(house(bench.folder / "house", skus=SKUS))
        daemon = Entrant("daemon", home.port, home.daemon.cpu_us, bench.size(*COUNTS["daemon"]))
        home.pause(SHOP, *OTHERS)
        idle = orders.batch(2_000, skus)
        for number in range(bench.runs):
            bench.say(f"round {number + 1} of {bench.runs}")
            found = disk.floor(bench.folder, CONNECTIONS)
            bench.add("saturation.flush", found.flush_ms, "ms")
            bench.add("saturation.commit", found.commit_ms, "ms")
            seen = spell(bench, ours, "any", idle)
            bench.add("saturation.generator.cpu", seen.client_cpu_us / seen.done, "us")
            spell(bench, usual, "any", idle)
            for work, chosen in (("uniform", skus), ("hot", skus[:1])):
                for each in (daemon, *services):
                    spell(bench, each, work, orders.batch(each.count, chosen, seed=number))
            for each in (daemon, *services):
                spell(bench, each, "duplicates", orders.batch(1, skus))
        _pushing(bench, home, daemon, skus)
    _ratios(bench)


def _service(bench: Bench, stack: ExitStack, form: str, skus: Sequence[str]) -> Entrant:
    folder = bench.folder / form
    base = stack.enter_context(peers.database(folder, skus, 1_000_000))
    peer = stack.enter_context(peers.service(folder, base, form))
    return Entrant(form, peer.port, peer.cpu_us, bench.size(*COUNTS["peer"]))


def _pushing(bench: Bench, home: House, daemon: Entrant, skus: Sequence[str]) -> None:
    """The same while levels leave."""
    home.resume(SHOP, *OTHERS)
    home.wait(home.settled, "catching up with the pushes")
    for number in range(bench.size(1, 3)):
        pushing = Entrant("daemon", daemon.port, daemon.cpu_us, daemon.count)
        spell(bench, pushing, "pushing", orders.batch(daemon.count, skus, seed=100 + number))


def _ratios(bench: Bench) -> None:
    results = bench.results
    for work in ("uniform", "hot", "duplicates"):
        ours = f"saturation.daemon.{work}"
        results.ratios(f"saturation.of_noop.{work}", "saturation.noop.any.cpu", f"{ours}.cpu")
        results.ratios(f"saturation.of_noop.{work}.rate", f"{ours}.rate", "saturation.noop.any.rate")
        results.ratios(f"saturation.over_hypercorn.{work}", f"{ours}.rate", "saturation.hypercorn.any.rate")
        for form in ("plain", "tuned"):
            results.ratios(f"saturation.over_{form}.{work}", f"{ours}.rate", f"saturation.{form}.{work}.rate")
            results.ratios(f"saturation.over_{form}.{work}.cpu", f"saturation.{form}.{work}.cpu", f"{ours}.cpu")
    results.ratios("saturation.hot_over_uniform", "saturation.daemon.hot.rate", "saturation.daemon.uniform.rate")
    results.ratios("saturation.p99_over_commit", "saturation.daemon.uniform.p99", "saturation.commit")

"""The bench itself: what it reckons, and that a tiny run of its parts works. What it measures is not judged here."""

from __future__ import annotations

import json
import random
import shutil
import struct
from pathlib import Path

import pytest

from adapters.sandbox import PLATFORM, SCHEME
from daemon.domain.channel import Delivery, Setup
from daemon.ingress.signature import check
from tests.bench import load, orders
from tests.bench.processes import Process, free_port, python
from tests.bench.results import Results, from_json
from tests.bench.stats import figure, percentile
from tests.bench.targets import TARGETS, judge, least, most

NEEDS_COMPILER = pytest.mark.skipif(
    not (shutil.which("gcc") or shutil.which("cc")), reason="the load generator must be compiled: install gcc"
)


def results() -> Results:
    return Results({"cores": 2}, True, "2030-01-01T00:00:00+00:00")


def test_a_percentile_is_a_value_that_so_many_do_not_exceed():
    values = [float(each) for each in range(1, 101)]
    assert percentile(values, 0.5) == 50
    assert percentile(values, 0.99) == 99
    assert percentile(values, 1.0) == 100
    assert percentile([7.0], 0.01) == 7


def test_a_figure_is_a_median_with_its_spread():
    found = figure([3.0, 1.0, 9.0])
    assert (found.median, found.low, found.high, found.runs) == (3.0, 1.0, 9.0, 3)


def test_ratios_compare_what_was_measured_in_the_same_round():
    kept = results()
    kept.add("ours", [10.0, 20.0], "/s")
    kept.add("theirs", [5.0, 5.0], "/s")
    kept.ratios("ratio", "ours", "theirs")
    assert kept.values("ratio") == (2.0, 4.0)


def test_results_survive_json():
    kept = results()
    kept.add("one", [1.0, 2.0, 4.0], "ms")
    kept.failures["two"] = "it could not"
    again = from_json(json.loads(json.dumps(kept.as_json())))
    assert again.figures == kept.figures
    assert again.failures == kept.failures


def test_a_target_is_met_missed_or_not_measured_by_the_median():
    kept = results()
    kept.add("share", [0.3, 0.35, 0.9], "")
    kept.add("wait", [9.0, 11.0, 12.0], "ms")
    targets = [least("share", "share", 33, "%", 100), most("wait", "wait", 10, "ms"), most("other", "other", 1, "x")]
    assert [each.verdict for each in judge(kept, targets)] == ["ok", "MISS", "not measured"]


def test_every_target_names_a_figure_of_its_own():
    assert len({each.figure for each in TARGETS}) == len(TARGETS)


def test_prepared_orders_are_signed_and_understood():
    request, name = orders.order(random.Random(1), orders.sku_names(10))
    head, _, body = request.partition(b"\r\n\r\n")
    headers = {}
    for line in head.decode().split("\r\n")[1:]:
        key, _, value = line.partition(": ")
        headers[key.lower()] = value
    stamp_us = int(headers["x-sandbox-timestamp"]) * 1_000_000
    delivery = Delivery(headers, body, "", stamp_us)
    assert check(SCHEME, [orders.SECRET], delivery, stamp_us, "") == "ok"
    adapter = PLATFORM.build(Setup("shop", "http://127.0.0.1:1", {}, {}, (orders.SECRET,), {}))
    facts = adapter.parse(delivery)
    assert not facts.puzzle
    assert facts.orders[0].order == name
    assert orders.BYTES_MIN - 200 <= len(body) <= orders.BYTES_MAX


def test_requests_are_written_as_the_generator_reads_them(tmp_path: Path):
    path = orders.write([b"one", b"three"], tmp_path / "requests")
    assert path.read_bytes() == struct.pack("<I", 3) + b"one" + struct.pack("<I", 5) + b"three"


@NEEDS_COMPILER
@pytest.mark.slow
def test_the_generator_reaches_our_listener_in_both_loops(tmp_path: Path):
    port = free_port()
    with Process(python("-m", "tests.bench.noop", str(port)), tmp_path / "noop.out") as server:
        server.wait_listening(port)
        requests = orders.batch(20, orders.sku_names(5))
        closed = load.send(tmp_path, port, requests, connections=4, count=200).insist()
        opened = load.send(tmp_path, port, requests, connections=4, rate=2_000).insist()
        assert (closed.acked, opened.acked) == (200, 20)
        assert all(due <= answered for due, answered in zip(closed.due_ns, closed.answered_ns, strict=True))
        assert list(opened.due_ns) == sorted(opened.due_ns)
        assert server.cpu_us() > 0

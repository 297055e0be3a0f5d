"""The bench itself: what it reckons, and that a tiny run of its parts works. What it measures is not judged here."""

from __future__ import annotations

import json
import random
import shutil
import struct
import time
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest

from adapters import PLATFORMS
from adapters.sandbox import PLATFORM, SCHEME
from daemon.config import load_config
from daemon.domain.channel import Delivery, Setup
from daemon.domain.observations import LevelReport, OrderLine, StockCount
from daemon.ingress.signature import check
from daemon.ports import read_file
from tests.bench import load, orders
from tests.bench.arrivals import Books, pushes, repeated, waits_ms
from tests.bench.big_log import Clock, assembled, write
from tests.bench.house import SHOP, STOCK, write_config
from tests.bench.load import Seen
from tests.bench.plot import plot
from tests.bench.processes import REPOSITORY, BenchError, Process, free_port, python
from tests.bench.report import missed, readme
from tests.bench.results import Results, from_json
from tests.bench.samples import STAGES, at_work, function_shares, stage_shares
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


def test_the_picture_and_the_readme_are_drawn_from_kept_figures():
    kept = results()
    kept.machine = {"cores": 2, "memory_gib": 4, "flush_ms": 0.1, "python": "3.11"}
    kept.add("saturation.of_noop.uniform", [0.1, 0.2], "x")
    kept.add("saturation.daemon.uniform.cpu", [100.0, 300.0], "us")
    again = from_json(json.loads(json.dumps(kept.as_json())))
    drawn = ElementTree.fromstring(plot(again))
    assert len(drawn.findall("{http://www.w3.org/2000/svg}rect")) == 3
    assert "| CPU time of a webhook | 200 us | 100 to 300 |" in readme(again).splitlines()
    assert missed(again)


def test_a_stack_counts_for_the_innermost_of_our_functions():
    waiting = "run (trio/_core/_run.py:1);WorkerThread._work (trio/_core/_thread_cache.py:9) 50"
    raw = ["main (daemon/a.py:1);f (daemon/b.py:2);g (json/x.py:3) 3", "main (daemon/a.py:7) 1", waiting]
    samples = at_work(raw)
    first, second = function_shares(samples)
    assert (first.function, first.itself, first.within) == ("f (daemon/b.py)", 0.75, 0.75)
    assert (second.function, second.itself, second.within) == ("main (daemon/a.py)", 0.25, 1.0)


def test_a_stack_counts_for_the_first_stage_on_it():
    raw = [
        "run_daemon (daemon/app/main.py:1);Registry._apply (daemon/r.py:2);Sku.step (daemon/s.py:3) 1",
        "run_daemon (daemon/app/main.py:1) 2",
        "worker (trio/t.py:1);Environment.write (daemon/e.py:2) 5",
    ]
    shares = dict(stage_shares(at_work(raw)))
    assert shares["fold, beliefs and wishes"] == 0.125
    assert shares["Trio and other tasks"] == 0.25
    assert shares["commit: rows sealed, one LMDB transaction"] == 0.625


def test_every_stage_names_a_function_or_class_that_there_is():
    text = "\n".join(
        path.read_text() for room in ("daemon", "adapters") for path in (REPOSITORY / room).rglob("*.py")
    )
    for _, marks in STAGES:
        owner, _, name = marks.partition(".")
        assert f"class {owner}" in text or f"def {owner}" in text, marks
        assert f"def {name}" in text, marks


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


JOURNAL = {
    "calls": [[5_000_000, "site", 2]],
    "levels": [[5_000_000, "site", "L-a", STOCK - 1], [9_000_000, "site", "L-a", STOCK - 2],
               [9_500_000, "site", "L-a", STOCK - 2]],
}  # fmt: skip


def test_a_sale_has_arrived_with_the_first_level_that_takes_it_into_account():
    told = Books().sell(["a", "a"])
    assert waits_ms(told, [1_000_000, 2_000_000], JOURNAL, "site") == [4.0, 7.0]
    with pytest.raises(BenchError, match="never reached outlet"):
        waits_ms(told, [1_000_000, 2_000_000], JOURNAL, "outlet")


def test_a_push_that_changes_nothing_is_counted():
    assert (pushes(JOURNAL), repeated(JOURNAL)) == (3, 1)


def test_a_storefront_that_shows_the_wrong_number_is_no_figure():
    books = Books()
    books.sell(["a", "a", "b"])
    books.insist({"L-a": STOCK - 2, "L-b": STOCK - 1}, "site")
    with pytest.raises(BenchError, match="shows"):
        books.insist({"L-a": STOCK - 2, "L-b": STOCK}, "site")


def test_what_was_never_sent_counts_as_the_longest_wait():
    seen = Seen(1.0, 2, {"200": 2}, 0.0, [0, 1_000_000], [2_000_000, 9_000_000], unsent=2)
    assert seen.latency_ms(0.25) == 2.0
    assert seen.latency_ms(0.75) == 8.0


def test_acknowledgements_alone_make_the_rate():
    assert Seen(2.0, 10, {"200": 6, "503": 4}, 0.0, [], []).rate == 3.0


@pytest.mark.slow
async def test_a_written_log_is_whole_and_its_tail_waits_to_be_repeated(tmp_path: Path):
    write_config(tmp_path, 1, 2, (SHOP, "site"), {})
    first = await write(tmp_path, 5, 30, 0)
    second = await write(tmp_path, 5, 0, 20)
    parts = assembled(
        load_config(str(tmp_path / "config.yaml"), environ={}, platforms=PLATFORMS, read_file=read_file),
        Clock(time.time_ns() // 1_000),
    )
    try:
        repeated_now = parts.registry.replay()
        stock = {sku: parts.registry.peek(sku).stock for sku in orders.sku_names(5)}
        events = [record.message for record in parts.store.records(0)]
    finally:
        parts.store.env.close(clean=True)
    assert sum(isinstance(each, StockCount) for each in events) == 5
    assert sum(isinstance(each, LevelReport) for each in events) == 10
    assert first["events"] - first["catalogue"] >= 30
    assert repeated_now == second["events"] - first["events"] >= 20
    sold = Counter(each.sku for each in events if isinstance(each, OrderLine))
    assert {sku: STOCK - each.available for sku, each in stock.items()} == {sku: sold[sku] for sku in stock}


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

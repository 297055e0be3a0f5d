"""No path to more than the configured memory: those paths of README.md's table that no other test here walks."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from daemon.admin.stream import FOLLOWERS_MAX
from daemon.domain.channel import LevelSeen, ListingPage
from daemon.domain.instants import exactly
from daemon.ingress import catalogue, receiver
from daemon.storage.codec import pack
from daemon.storage.idempotency import SeenDeliveries
from tests.acceptance.processes import LOOPBACK, daemon, free_port, sandbox_channel, write_config
from tests.acceptance.webhooks import order_body, post
from tests.harness import housed
from tests.hostile.wire import Target

pytestmark = pytest.mark.slow

HEAD = b"POST /webhooks/north HTTP/1.1\r\nHost: a\r\n"
BODY_BYTES = 900_000
CLIENTS = 300


async def test_unfinished_bodies_and_heads_together_stay_within_what_is_configured(tmp_path: Path) -> None:
    """60 bodies of 900 KB, half of them in chunks of two bytes, where 8 MiB may be held; then 300 heads of 15 KB."""
    port = free_port()
    limits = {"max_buffered_bytes": 8 << 20}
    write_config(tmp_path, port, {"north": sandbox_channel("north", free_port())}, limits=limits)
    answers: Counter[bytes] = Counter()
    async with daemon(tmp_path, port) as found:
        await found.wait_serving()
        target = Target(tmp_path, port, found.process)
        before_kb, peak_kb = target.resident_kb(), 0

        async def send(begin: bytes, body: bytes) -> None:
            async with await trio.open_tcp_stream(LOOPBACK, port) as stream:
                try:
                    await stream.send_all(begin + body)
                    answers[(await stream.receive_some(1_000))[9:12]] += 1
                except trio.BrokenResourceError:
                    answers[b"cut"] += 1

        async def watched(attacks: list[tuple[bytes, bytes]]) -> None:
            nonlocal peak_kb
            with trio.move_on_after(3):
                async with trio.open_nursery() as nursery:
                    for begin, body in attacks:
                        nursery.start_soon(send, begin, body)
                    while True:
                        await trio.sleep(0.05)
                        peak_kb = max(peak_kb, target.resident_kb())

        length = f"Content-Length: {BODY_BYTES + 1}\r\n\r\n".encode()
        chunked = b"Transfer-Encoding: chunked\r\n\r\n"
        bodies = [(HEAD + length, b"x" * BODY_BYTES), (HEAD + chunked, b"2\r\nxx\r\n" * (BODY_BYTES // 2))]
        await watched(bodies * 30)
        assert answers[b"503"] + answers[b"cut"] >= 10
        await watched([(HEAD + b"a:b\r\n" * 40 + b"X: " + b"y" * 15_000, b"")] * CLIENTS)
        # 8 MiB of bodies, a read of 64 KiB for each of their clients, and as much for each client with a head.
        assert peak_kb - before_kb < (8 << 10) + (60 + CLIENTS) * 64
        assert (await post(port, "north", order_body("O-1"), "secret-north", delivery="D-1")).status == 200
        assert target.reported_bugs() == []


async def test_followers_of_the_event_log_who_never_read_are_few_and_cost_little(target: Target) -> None:
    path = str(target.folder / "admin.sock")
    before_kb = target.resident_kb()
    streams = [await trio.open_unix_socket(path) for _ in range(FOLLOWERS_MAX + 4)]
    statuses: Counter[bytes] = Counter()
    for stream in streams:
        await stream.send_all(b"GET /v1/events?follow=1 HTTP/1.1\r\nHost: a\r\n\r\n")
        with trio.fail_after(10):
            statuses[(await stream.receive_some(12))[9:12]] += 1
    assert statuses == {b"200": FOLLOWERS_MAX, b"503": 4}
    for number in range(20):
        await post(target.port, "north", order_body(f"F-{number}"), "secret-north", delivery=f"F-{number}")
    assert target.resident_kb() - before_kb < 8 << 10
    assert (await target.ask("/v1/status"))["ready"]
    for stream in streams:
        await stream.aclose()
    with trio.fail_after(10):  # their places are free again
        while True:
            async with await trio.open_unix_socket(path) as stream:
                await stream.send_all(b"GET /v1/events?follow=1 HTTP/1.1\r\nHost: a\r\n\r\n")
                if (await stream.receive_some(12))[9:12] == b"200":
                    break
            await trio.sleep(0.05)


# --- in this process: bounds on what signed messages and configured channels can make us keep ----------------------


async def test_first_counts_that_wait_are_bounded_and_the_rest_is_offered_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "OFFERS_MAX", 3)
    async with housed(tmp_path) as house:
        counts = catalogue.FirstCounts(house.registry, {"shop": 0})
        for _ in range(2):
            for number in range(5):
                sku = f"S-{number}"
                if counts.wanted(sku):
                    counts.offer(sku, catalogue.Offer("shop", f"L-{number}", 4, exactly(house.clock())))
            await counts.settle("shop")
        assert [house.registry.peek(f"S-{number}").stock.available for number in range(5)] == [4] * 5  # type: ignore[union-attr]  # all are there


async def test_a_catalogue_without_an_end_ends_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "LISTINGS_MAX", 5)

    class Endless:
        name = "shop"
        adapter: Any = None
        asked = 0

        async def converse(self, exchange: object) -> ListingPage:
            await trio.lowlevel.checkpoint()
            self.asked += 1
            return ListingPage((LevelSeen(f"L-{self.asked}", 1, None),) * 2, "more")

    class Absorbing:
        class registry:  # noqa: N801 - stands in for an attribute
            @staticmethod
            async def deliver(_: object) -> None:
                await trio.lowlevel.checkpoint()

        def levels(self, *_: object) -> list[object]:
            return []

        @staticmethod
        def wall_us() -> int:
            return 1

    class Calm:
        @staticmethod
        def count(*_: object) -> tuple[list[object], list[object]]:
            return [], []

    account = Endless()
    account.adapter = SimpleNamespace(listings=lambda page: page)
    links = SimpleNamespace(get=lambda *_: None)
    intake: Any = SimpleNamespace(normaliser=SimpleNamespace(links=links))
    pulling: Any = catalogue.Catalogue(account, intake, Absorbing(), None, Calm())  # type: ignore[arg-type]  # as much as is asked
    pulled = await pulling.pull()
    assert pulled.error == "the catalogue has more than 5 listings"
    assert account.asked == 3


async def test_unlinked_lines_are_kept_up_to_a_bound_and_none_goes_silently(tmp_path: Path) -> None:
    async with housed(tmp_path) as house:
        told: list[tuple[Any, ...]] = []
        watcher: Any = SimpleNamespace(let_go=lambda *said: told.append(said))
        house.dead_letters.most = 2
        door = receiver.Receiver(
            house.store, house.registry, SeenDeliveries(house.store), house.dead_letters, watcher, house.clock
        )
        house.dead_letters.let_go = door.let_go
        letters = [
            door._bury_once("unlinked", "shop", "", "no SKU", f"line {number % 4}", b"", 1, 0) for number in range(8)
        ]
        assert letters == list(range(1, 9))  # each is kept, and what gave way for it is named: nothing goes silently
        assert [each[:4] for each in told] == [("unlinked", n + 1, "shop", f"line {n % 4}") for n in range(6)]
        await house.store.flush()
        assert house.dead_letters.count == len(door._told) == 2


async def test_when_listings_are_linked_every_order_that_waits_for_one_is_asked_for_again(tmp_path: Path) -> None:
    async with housed(tmp_path) as house:
        letters = house.dead_letters
        door = receiver.Receiver(
            house.store,
            house.registry,
            SeenDeliveries(house.store),
            letters,
            SimpleNamespace(),
            house.clock,  # type: ignore[arg-type]  # nothing is told
        )
        for number in range(500):  # behind more than a page of others
            letters.add("puzzle", 1, channel="shop", sku="", cause="", subject=f"p{number}", content=b"")
        for number in range(3):
            content = pack((f"O-{number}", "1"))
            for channel in ("shop", "site"):
                door._bury_once("unlinked", channel, "", "no SKU", f"order {number}", content, 1, 0)
        await house.store.flush()
        assert door.relink("shop") == 3
        await house.store.flush()
        assert (letters.unlinked("shop"), len(letters.unlinked("site"))) == ([], 3)
        assert sorted(each for each, _ in house.registry.refetches.wanted("shop", 1 << 62)) == ["O-0", "O-1", "O-2"]


async def test_idle_skus_beyond_the_bound_leave_memory_at_the_next_checkpoint(tmp_path: Path) -> None:
    async with housed(tmp_path, actors_max=4) as house:
        for number in range(12):
            await house.counted(f"S-{number}", number)
        assert house.registry.statistics().actors == 12
        await house.store.checkpoint()
        house.registry.checkpointed()
        assert house.registry.statistics().actors <= 4
        assert house.registry.peek("S-11").stock.available == 11  # type: ignore[union-attr]  # it is read again

"""Who gets a place at a full server: those that come, ask and go before those that connect and dawdle."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise

import pytest
import trio
from attrs import define
from trio.testing import MockClock

from daemon.ingress.framing import Refusal, RequestFramer
from daemon.ingress.http_types import HttpResponse, Limits
from daemon.ingress.places import GIVE_WAY_AFTER_S, Places, site_of
from daemon.ingress.reaper import AT_ONCE, BREATHER_S
from tests.ingress.wire import chunked, get, once, read_until, request, serving, status

DAWDLE = b"POST / HTTP/1.1\r\nHost: x\r\n"


@define(eq=False)
class Guest:
    since: float | None = 0.0
    served: int = 0
    left: bool = False

    def awaited_since(self) -> float | None:
        return self.since

    def give_way(self) -> None:
        self.left = True


def full(*guests: Guest, **bounds: int) -> Places[Guest]:
    places: Places[Guest] = Places(Limits(max_connections=len(guests), **bounds))
    for guest in guests:
        places.take(guest, "192.0.2.1")
    return places


def test_the_longest_awaited_of_those_never_served_gives_way_first() -> None:
    kept, idle, newer, older = Guest(None), Guest(1.0, served=3), Guest(3.0), Guest(2.0)
    places = full(kept, idle, newer, older)
    for leaving in (older, newer, idle):
        assert places.objection("192.0.2.9", 10.0) == ""
        assert leaving.left
    assert places.objection("192.0.2.9", 10.0) == "too many connections"
    assert not kept.left
    assert places.gave_way == 3


def test_nobody_gives_way_who_has_hardly_come_or_waits_for_us() -> None:
    fresh, busy = Guest(10.0), Guest(None)
    places = full(fresh, busy)
    assert places.objection("192.0.2.9", 10.0 + GIVE_WAY_AFTER_S / 2) == "too many connections"
    assert not fresh.left


def test_a_dawdler_that_has_spoken_since_the_last_look_keeps_its_place() -> None:
    first, second = Guest(0.0), Guest(0.0)
    places = full(first, second)
    assert places.objection("", 10.0) == ""
    second.since = None
    assert places.objection("", 10.0) == "too many connections"
    assert not second.left


def test_one_peer_has_its_own_bound_and_a_place_given_back_counts_no_more() -> None:
    places: Places[Guest] = Places(Limits(max_connections=10, max_connections_per_peer=2))
    guests = [Guest(None), Guest(None)]
    for guest in guests:
        assert places.objection("2001:db8:1:2::1", 0.0) == ""
        places.take(guest, "2001:db8:1:2::1")
    assert places.objection("2001:db8:1:2:ffff::9", 0.0) == "too many connections from your address"
    assert places.objection("2001:db8:1:3::1", 0.0) == ""
    assert places.objection("", 0.0) == ""
    places.leave(guests[0])
    assert places.objection("2001:db8:1:2::1", 0.0) == ""


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("2001:db8::1", "2001:db8:0:0:9::", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("uid 0", "uid 1", False),
    ],
)
def test_a_peer_is_an_ipv4_address_or_an_ipv6_site(one: str, other: str, same: bool) -> None:
    assert (site_of(one) == site_of(other)) is same


async def test_a_crowd_of_dawdlers_makes_room_for_whoever_asks(autojump_clock: MockClock) -> None:
    async with serving(limits=Limits(max_connections=8), memory=True) as running:
        crowd = [await running.connect() for _ in range(8)]
        for stream in crowd:
            await stream.send_all(DAWDLE)
        await trio.sleep(GIVE_WAY_AFTER_S + 0.1)
        honest = [await running.connect() for _ in range(8)]
        for stream in honest:
            await stream.send_all(get("/"))
            assert await read_until(stream, b"GET / ")
        assert running.server.statistics().gave_way == 8
        assert running.server.statistics().turned_away == 0
        for stream in honest:
            await stream.aclose()
        for stream in crowd:
            assert await stream.receive_some(1) == b""  # without a word: the place was needed at once


async def test_a_request_in_work_never_gives_way(autojump_clock: MockClock) -> None:
    done = trio.Event()

    async def slow(_: object) -> object:
        await done.wait()
        return HttpResponse(200, b"done")

    async with serving(limits=Limits(max_connections=1), memory=True) as running:
        running.handler.answers["/slow"] = slow
        stream = await running.connect()
        await stream.send_all(get("/slow"))
        await once(lambda: running.server.statistics().in_flight == 1)
        await trio.sleep(60)
        assert status(await running.talk(get("/"))) == 503
        done.set()
        assert await read_until(stream, b"done")
        await stream.aclose()


async def test_whoever_lingers_after_a_refusal_gives_way_too(autojump_clock: MockClock) -> None:
    async with serving(limits=Limits(max_connections=1, linger_timeout_s=100), memory=True) as running:
        stream = await running.connect()
        await stream.send_all(b"rubbish\r\n\r\n")
        await read_until(stream, b"malformed request\n")
        await trio.sleep(GIVE_WAY_AFTER_S + 0.1)
        assert status(await running.talk(get("/", "Connection: close"))) == 200
        await stream.aclose()


async def test_a_body_in_tiny_chunks_takes_the_memory_that_is_accounted_for() -> None:
    """A list of the pieces took 28 times the body: a megabyte in chunks of two bytes, 28 megabytes."""
    framer = RequestFramer(Limits(), lambda _: 1 << 20)
    framer.receive(request("POST", "/", "Transfer-Encoding: chunked"))
    piece = chunked(*[b"ab"] * 8_000)[: -len(b"0\r\n\r\n")]
    tracemalloc.start()
    try:
        for _ in range(60):
            framer.receive(piece)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert framer.body_bytes == 960_000
    assert held < 1.3 * framer.body_bytes


def test_more_headers_than_allowed_are_refused_before_the_head_ends_and_not_collected() -> None:
    framer = RequestFramer(Limits(), lambda _: 0)
    refusal = framer.receive(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a:b\r\n" * 3_000)
    assert isinstance(refusal, Refusal)
    assert refusal.answer.status == 431
    assert len(framer._pairs) == Limits().max_headers + 1


async def test_a_crowd_that_is_late_together_is_parted_with_little_by_little(autojump_clock: MockClock) -> None:
    """Whoever is to answer others must get a turn between the farewells: 200 at once held honest clients up."""
    async with serving(limits=Limits(max_connections=300), memory=True) as running:
        crowd = [await running.connect() for _ in range(200)]
        for stream in crowd:
            await stream.send_all(DAWDLE)
        gone: list[int] = []
        with trio.move_on_after(6):
            while True:
                await trio.sleep(BREATHER_S / 2)
                gone.append(running.server.statistics().refusals.get(408, 0))
        assert gone[-1] == 200
        assert max(later - sooner for sooner, later in pairwise(gone)) <= AT_ONCE
        for stream in crowd:
            await stream.aclose()

"""The storefront over real sockets, and its in-memory twin: what one does the other does."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing
from attrs import define, field

from adapters.sandbox import PLATFORM
from adapters.stamps import http_date_span, rfc3339_span
from adapters.storefront import Hook, Storefront
from adapters.storefront.faults import ApiFaults, Faults
from daemon.domain.channel import Delivery, Push, Setup
from daemon.domain.exchange import NoAnswer, Reply, Request, Response
from daemon.ingress.listeners import tcp_listeners
from daemon.ingress.server import HttpRequest, HttpResponse, HttpServer, RequestHead
from daemon.outbound.http import AddressPolicy, HttpClient, open_http_client
from daemon.ports import wall_us
from daemon.theatre.simulated_client import SimulatedClient
from daemon.theatre.store_host import PATIENCE_S, WEBHOOKS_MAX, StoreHost
from daemon.theatre.storefront_server import serve_storefront, webhook_policy
from tests.adapters.contract import verifies

EPOCH_US = 1_795_413_600_000_000


def shop(**api: float) -> Storefront:
    store = Storefront("outlet", 3, 10, "secret", 1)
    store.set_faults(Faults(api=ApiFaults(**api)))
    return store


def trio_us() -> int:
    """Trio's own clock as a wall clock: under the mock clock, time passes only by waiting."""
    return EPOCH_US + int(trio.current_time() * 1_000_000)


def fail(error: Exception) -> None:
    raise error


@define
class Receiver:
    """Takes webhooks."""

    taken: list[HttpRequest] = field(factory=list)
    news: trio.Event = field(factory=trio.Event)

    def admit(self, head: RequestHead) -> int:
        return 1 << 20

    async def respond(self, request: HttpRequest) -> HttpResponse:
        self.taken.append(request)
        self.news.set()
        self.news = trio.Event()
        return HttpResponse(204)

    async def wait_taken(self, count: int) -> list[HttpRequest]:
        with trio.fail_after(5):
            while len(self.taken) < count:
                await self.news.wait()
        return self.taken


@define
class Stage:
    """A storefront on a socket, and a client that talks to it."""

    host: StoreHost
    client: HttpClient
    url: str

    async def ask(self, method: Any, path: str, content: Any = None, timeout_s: float = 5) -> Reply:
        body = b"" if content is None else json.dumps(content).encode()
        return await self.client.send(Request(method, self.url + path, body=body, timeout_s=timeout_s))


def port_of(listeners: list[trio.SocketListener]) -> int:
    port: int = listeners[0].socket.getsockname()[1]
    return port


@asynccontextmanager
async def on_sockets(store: Storefront, receiver: Receiver | None = None) -> AsyncIterator[Stage]:
    async with trio.open_nursery() as nursery:
        webhook_url = ""
        if receiver is not None:
            inbox = await tcp_listeners("127.0.0.1", 0)
            await nursery.start(HttpServer(receiver, on_error=fail).serve, inbox)
            webhook_url = f"http://127.0.0.1:{port_of(inbox)}/webhooks/outlet"
        sender = open_http_client("httpx", policy=webhook_policy(webhook_url), clock_us=wall_us)
        listeners = await tcp_listeners("127.0.0.1", 0)
        host = await nursery.start(
            partial(serve_storefront, store, listeners, webhook_url, sender, wall_us, on_error=fail)
        )
        url = f"http://127.0.0.1:{port_of(listeners)}"
        policy = AddressPolicy(frozenset({url.removeprefix("http://")}), allow_plain=True, allow_private=True)
        client = open_http_client("httpx", policy=policy, clock_us=wall_us)
        yield Stage(host, client, url)
        await client.aclose()
        await sender.aclose()
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def in_memory(store: Storefront) -> AsyncIterator[Stage]:
    async with trio.open_nursery() as nursery:
        host = StoreHost(store, wall_us)
        await nursery.start(host.run, taken)
        client = SimulatedClient(host, wall_us)
        yield Stage(host, client, "http://shop.test")
        await client.aclose()
        nursery.cancel_scope.cancel()


async def taken(hook: Hook) -> int:
    return 204


both = pytest.mark.parametrize("stage_of", [on_sockets, in_memory])
StageOf = Callable[[Storefront], Any]


@both
async def test_a_storefront_sells_and_shows_what_is_left(stage_of: StageOf) -> None:
    async with stage_of(shop()) as stage:
        sold = await stage.ask("POST", "/orders", {"lines": [{"sku": "SKU-0001", "quantity": 4}]})
        assert sold.status == 201
        refused = await stage.ask("POST", "/orders", {"lines": [{"sku": "SKU-0001", "quantity": 7}]})
        assert refused.status == 409
        listings = await stage.ask("GET", "/listings?listing=L-0001")
        assert json.loads(listings.body)["items"][0]["quantity"] == 6
        assert (await stage.ask("GET", "/healthz")).status == 200
        assert (await stage.ask("DELETE", "/orders")).headers["allow"] == "GET, POST"
        assert stage.client.statistics().answered == 5


@both
async def test_the_adapter_pushes_through_it(stage_of: StageOf) -> None:
    async with stage_of(shop()) as stage:
        talk = PLATFORM.build(Setup("outlet", stage.url)).push([Push("L-0001", 3, 10, 1)], "k")
        reply = await stage.client.send(next(talk))
        with pytest.raises(StopIteration) as end:
            talk.send(reply)
        assert [outcome.kind for outcome in end.value.value] == ["ok"]
        assert stage.host.store.shop.listings["L-0001"].quantity == 3


@both
async def test_its_answers_are_dated_by_its_own_clock(stage_of: StageOf) -> None:
    async with stage_of(shop()) as stage:
        await stage.ask("POST", "/faults", {"clock_offset_s": 86_400})
        reply = await stage.ask("GET", "/listings")
        dated, as_of = http_date_span(reply.headers["date"]), rfc3339_span(json.loads(reply.body)["as_of"])
        assert dated is not None
        assert as_of is not None
        assert abs(dated.lo - as_of.lo) < 2_000_000
        assert abs(as_of.lo - wall_us() - 86_400_000_000) < 10_000_000


@both
async def test_a_lost_answer_is_no_answer_though_the_write_was_applied(stage_of: StageOf) -> None:
    async with stage_of(shop(lose_answer=1)) as stage:
        reply = await stage.ask("PUT", "/levels", {"items": [{"listing": "L-0001", "quantity": 1}]})
        assert isinstance(reply, NoAnswer)
        assert reply.reached
        assert stage.host.store.shop.listings["L-0001"].quantity == 1
        assert stage.client.statistics().unanswered == 1


@both
async def test_a_held_answer_outlasts_the_clients_patience(stage_of: StageOf) -> None:
    async with stage_of(shop(timeout=1)) as stage:
        reply = await stage.ask("GET", "/orders", timeout_s=0.05)
        assert isinstance(reply, NoAnswer)
        assert reply.reached


@both
async def test_a_closed_client_sends_nothing(stage_of: StageOf) -> None:
    async with stage_of(shop()) as stage:
        await stage.client.aclose()
        await stage.client.aclose()
        reply = await stage.ask("GET", "/orders")
        assert isinstance(reply, NoAnswer)
        assert not reply.reached


async def test_a_sale_is_told_by_signed_webhooks() -> None:
    receiver = Receiver()
    async with on_sockets(shop(), receiver) as stage:
        await stage.ask("POST", "/orders", {"lines": [{"sku": "SKU-0001", "quantity": 1}]})
        first, second = await receiver.wait_taken(2)
        assert {first.headers.get("x-sandbox-topic"), second.headers.get("x-sandbox-topic")} == {
            "order.updated", "level.changed",
        }  # fmt: skip
        for request in (first, second):
            delivery = Delivery(dict(request.headers), request.body)
            assert request.path == "/webhooks/outlet"
            assert verifies(PLATFORM.build(Setup("outlet", stage.url)).scheme, delivery, "secret")


async def test_a_call_that_is_no_sense_costs_nobody_else() -> None:
    async with on_sockets(shop()) as stage:
        reply = await stage.ask("PUT", "/levels", [1, 2])
        assert isinstance(reply, Response)
        assert reply.status == 422
        assert (await stage.ask("GET", "/listings")).status == 200


# --- under the mock clock: no sockets, no waiting -----------------------------------------------------------


async def sell(host: StoreHost, times: int = 1) -> None:
    for _ in range(times):
        body = json.dumps({"lines": [{"sku": "SKU-0001", "quantity": 1}]}).encode()
        assert host.handle("POST", "/orders", body).status == 201


async def test_at_most_so_many_webhooks_are_on_their_way_at_once(autojump_clock: trio.testing.MockClock) -> None:
    store = Storefront("outlet", 1, 1000, "secret", 1)
    host, now, most = StoreHost(store, trio_us), 0, 0

    async def slow(hook: Hook) -> int:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await trio.sleep(1)
        now -= 1
        return 200

    async with trio.open_nursery() as nursery:
        await nursery.start(host.run, slow)
        await sell(host, 100)
        await trio.sleep(20)
        assert {sending.state for sending in store.outbox.records} == {"delivered"}
        assert (most, len(store.outbox.records), host.statistics()) == (WEBHOOKS_MAX, 200, {"webhooks_on_the_way": 0})
        nursery.cancel_scope.cancel()


async def test_a_refused_webhook_is_sent_again(autojump_clock: trio.testing.MockClock) -> None:
    store, answers, times = shop(), [503, None, 200], []
    host = StoreHost(store, trio_us)

    async def moody(hook: Hook) -> int | None:
        times.append((round(trio.current_time(), 1), hook.delivery))
        return answers.pop(0)

    async with trio.open_nursery() as nursery:
        await nursery.start(host.run, moody)
        host.handle("PUT", "/levels", b'{"items":[{"listing":"L-0001","quantity":1}]}')
        await trio.sleep(10)
        assert times == [(0.0, "D-0000001"), (1.0, "D-0000001"), (3.0, "D-0000001")]
        assert store.outbox.records[0].state == "delivered"
        nursery.cancel_scope.cancel()


async def test_a_receiver_that_never_answers_is_tried_for_minutes_and_then_given_up(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store, times = shop(), []
    host = StoreHost(store, trio_us)

    async def silent(hook: Hook) -> int:
        times.append(trio.current_time())
        await trio.sleep_forever()
        raise AssertionError

    async with trio.open_nursery() as nursery:
        await nursery.start(host.run, silent)
        host.handle("PUT", "/levels", b'{"items":[{"listing":"L-0001","quantity":1}]}')
        await trio.sleep(600)
        assert store.outbox.records[0].state == "given_up"
        assert [status for _, status in store.outbox.records[0].attempts] == [None] * 10
        assert 240 < times[-1] - times[0] < 300 + 10 * PATIENCE_S
        nursery.cancel_scope.cancel()


async def test_a_late_write_comes_to_life_by_itself(autojump_clock: trio.testing.MockClock) -> None:
    for seed in range(100):
        store = shop()
        store.set_faults(Faults(api=ApiFaults(timeout=1), seed=seed))
        host = StoreHost(store, trio_us)
        client = SimulatedClient(host, trio_us)
        body = b'{"items":[{"listing":"L-0001","quantity":1}]}'
        reply = await client.send(Request("PUT", "http://shop.test/levels", body=body, timeout_s=0.1))
        assert isinstance(reply, NoAnswer)
        if store.next_due_us() is not None and not store.ledger.writes:
            break
    async with trio.open_nursery() as nursery:
        await nursery.start(host.run, taken)
        await trio.sleep(9)
        assert [write.late for write in store.ledger.writes] == [True]
        nursery.cancel_scope.cancel()


async def test_the_twin_takes_its_time_and_can_be_cut_off(autojump_clock: trio.testing.MockClock) -> None:
    client = SimulatedClient(StoreHost(shop(), trio_us), trio_us, one_way_s=lambda: 0.25, max_connections=1)
    reply = await client.send(Request("GET", "http://shop.test/listings?cursor=0"))
    assert isinstance(reply, Response)
    assert reply.received_us - reply.sent_us == 500_000
    late = await client.send(Request("GET", "http://shop.test/listings", timeout_s=0.4))
    assert isinstance(late, NoAnswer)
    assert late.reached
    client.cut_off = True
    gone = await client.send(Request("GET", "http://shop.test/listings"))
    assert isinstance(gone, NoAnswer)
    assert not gone.reached
    statistics = client.statistics()
    assert (statistics.answered, statistics.unanswered, statistics.unreached) == (1, 1, 1)


async def test_requests_beyond_the_connections_wait_and_were_never_sent(
    autojump_clock: trio.testing.MockClock,
) -> None:
    client = SimulatedClient(StoreHost(shop(timeout=1), trio_us), trio_us, max_connections=1)
    replies: list[Reply] = []

    async def ask(timeout_s: float) -> None:
        replies.append(await client.send(Request("GET", "http://shop.test/orders", timeout_s=timeout_s)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, 5)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(ask, 1)
    assert [reply.reached for reply in replies if isinstance(reply, NoAnswer)] == [False, True]


# --- on its own ---------------------------------------------------------------------------------------------

PROGRAM = "from daemon.theatre.sandbox_cli import run_sandbox; run_sandbox(0, 'outlet', '', 'secret', 5, 7)"


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
async def test_on_its_own_it_says_where_it_is_and_stops_when_told(stop: signal.Signals) -> None:
    with trio.fail_after(20):
        process = await trio.lowlevel.open_process([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE)
        assert process.stdout is not None
        line = bytes(await process.stdout.receive_some()).decode()
        url = line.split()[-1]
        policy = AddressPolicy(frozenset({url.removeprefix("http://")}), allow_plain=True, allow_private=True)
        client = open_http_client("httpx", policy=policy, clock_us=wall_us)
        reply = await client.send(Request("GET", url + "/listings"))
        assert isinstance(reply, Response)
        assert [item["quantity"] for item in json.loads(reply.body)["items"]] == [7] * 5
        await client.aclose()
        process.send_signal(stop)
        assert await process.wait() == 0
        await process.stdout.aclose()

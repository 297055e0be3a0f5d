"""The whole daemon between Amazon, told through its queue, and a storefront; on simulated time."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trio
from attrs import define, evolve
from trio.testing import MockClock

import adapters
from adapters.sigv4 import AwsKey
from adapters.sqs import SqsQueue, sqs_queue
from adapters.storefront import Hook, Storefront
from daemon.app.daemon import Daemon, serve
from daemon.config import Config
from daemon.config_channels import ChannelConfig
from daemon.credentials import Secret, SecretRef
from daemon.domain.policy import Policy
from daemon.notify import Notifier
from daemon.ports import HttpPort, HttpTarget
from daemon.theatre.simulated_client import SimulatedClient
from daemon.theatre.store_host import StoreHost
from tests.adapters.amazon_twin import (
    ARN,
    CLIENT,
    CLIENT_SECRET,
    MARKETPLACE,
    REFRESH,
    SELLER,
    AmazonTwin,
)
from tests.sqs_twin import CLOCK_S, KEY_ID, SECRET, URL, SqsTwin
from tests.storage_faults.lives import Around, Door, config_of

pytestmark = pytest.mark.slow

QUEUE = sqs_queue(URL, AwsKey(KEY_ID, SECRET))
SECRETS = {
    "client_id": CLIENT, "client_secret": CLIENT_SECRET, "refresh_token": REFRESH, "aws_key_id": KEY_ID,
    "aws_secret": SECRET,
}  # fmt: skip


@pytest.fixture
def autojump_clock() -> MockClock:
    return MockClock(autojump_threshold=0)


def now_us() -> int:
    return round((CLOCK_S + trio.current_time()) * 1e6)


def configured(directory: Path, queue: SqsQueue = QUEUE) -> Config:
    secrets = {**SECRETS, "aws_key_id": queue.key.key_id, "aws_secret": queue.key.secret}
    refs = {name: SecretRef("inline", inline=Secret(value)) for name, value in secrets.items()}
    options = {"region": "na", "seller_id": SELLER, "marketplaces": MARKETPLACE, "bulk": "patch"}
    options |= {"queue_url": queue.url, "queue_region": queue.region}
    usual = config_of(directory)
    amazon = ChannelConfig(
        "amazon", "amazon", policy=Policy(), options=options, secrets=refs, allow_private=queue is not QUEUE
    )
    return evolve(usual, channels={"amazon": amazon, "north": usual.channels["north"]})


@define
class Town:
    """Amazon, a storefront, and the daemon between them."""

    amazon: AmazonTwin
    north: StoreHost
    daemon: Daemon
    around: Around

    def shown(self) -> dict[str, int]:
        """What the storefront shows."""
        return {
            row["sku"]: row["quantity"]
            for row in json.loads(self.north.handle("GET", "/listings", b"").body)["items"]
        }  # fmt: skip

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log's lines of this name."""
        return [record for line in self.around.said if (record := json.loads(line))["event"] == name]

    async def agree(self, within_s: float, **levels: int) -> float:
        """Both show these levels, within so long; how long it took."""
        began, names = trio.current_time(), {name.replace("_", "-"): level for name, level in levels.items()}
        with trio.move_on_after(within_s):
            while True:
                north = self.shown()
                if all(north[sku] == level == self.amazon.shows(sku) for sku, level in names.items()):
                    return trio.current_time() - began
                await trio.sleep(0.1)
        found = {sku: (self.amazon.shows(sku), self.shown()[sku]) for sku in names}
        raise AssertionError(f"wanted {names}, Amazon and the storefront show {found}; {self.around.said[-5:]}")


@asynccontextmanager
async def town(
    folder: Path, amazon: AmazonTwin, north: StoreHost | None = None, *, queue: SqsQueue = QUEUE,
    open_queue: Callable[[HttpTarget], HttpPort] | None = None,
) -> AsyncIterator[Town]:  # fmt: skip
    """`queue`: another than the twin's own, reached through what `open_queue` opens."""
    rng = random.Random(7)
    host = north or StoreHost(Storefront("north", ("A", "B"), {"A": 9, "B": 9}, "secret-north", 3), now_us)

    def client(target: HttpTarget) -> HttpPort:
        if target.channel == "north":
            return SimulatedClient(host, now_us)
        if urlsplit(queue.url).netloc in target.hosts:
            return open_queue(target) if open_queue else amazon.queue
        return amazon

    around = Around(rng, now_us, Door(), Door(), client, 0.01)

    async def told(hook: Hook) -> int | None:
        status, _ = await around.public.ask("POST", "/webhooks/north", hook.body, hook.headers)
        return status or None

    async with trio.open_nursery() as nursery:
        daemon = await nursery.start(
            serve, configured(folder / "state", queue), adapters.PLATFORMS, around.ports(), around.telemetry(),
            Notifier({}),
        )  # fmt: skip
        await daemon.serving.wait()
        nursery.start_soon(host.run, told)
        yield Town(amazon, host, daemon, around)
        nursery.cancel_scope.cancel()


async def test_a_sale_at_either_side_shows_at_the_other(tmp_path: Path, autojump_clock: MockClock) -> None:
    amazon = AmazonTwin({"A": 12, "B": 7}, fba=("FBA-1",))
    async with town(tmp_path, amazon) as t:
        await t.agree(30, A=12, B=7)  # the first channel in the file gave the first count
        await trio.sleep(5)
        assert (list(amazon.destinations.values()), set(amazon.subscriptions)) == ([ARN], {"ORDER_CHANGE"})

        order = amazon.sell("A", 2)
        took = await t.agree(5, A=10)
        assert took < 1.5  # told by the queue, at once
        t.north.handle("POST", "/orders", json.dumps({"lines": [{"sku": "B", "quantity": 3}]}).encode())
        await t.agree(120, A=10, B=4)  # accepted, applied after 40 s
        amazon.change(order, "UNSHIPPED")
        await trio.sleep(20)
        await t.agree(1, A=10)
        amazon.change(order, "CANCELLED")
        await t.agree(20, A=12)
        shipped = amazon.sell("B", 1)
        amazon.change(shipped, "UNSHIPPED")
        amazon.change(shipped, "SHIPPED")
        await t.agree(30, B=3)
        await trio.sleep(1_800)
        await t.agree(1, A=12, B=3)
        assert t.events("alarm.raised") == []
        assert t.events("push.dead") == []
        assert [level for _, sku, level in amazon.written if sku == "B"] == [4]  # its own sales it knows itself
        assert amazon.throttled == 0
        assert amazon.queue.waiting == []


async def test_two_messages_and_a_poll_of_one_order_count_once(tmp_path: Path, autojump_clock: MockClock) -> None:
    amazon = AmazonTwin({"A": 12, "B": 7})
    async with town(tmp_path, amazon) as t:
        await t.agree(30, A=12, B=7)
        await trio.sleep(5)  # it is subscribed
        amazon.sell("A", 2)
        told = amazon.queue.waiting[-1].body
        await t.agree(5, A=10)
        amazon.queue.put(told)  # the same again, as another message
        await trio.sleep(1_800)  # and by polls
        assert "searchOrders" in [operation for _, operation in amazon.asked]
        await t.agree(1, A=10, B=7)
        state = t.daemon.parts.registry.peek("A")
        assert state is not None
        assert sum(line.now().taken for line in state.stock.lines.values()) == 2
        assert (amazon.queue.waiting, amazon.queue.given) == ([], 2)


async def test_what_amazon_fulfils_is_neither_counted_nor_written(tmp_path: Path, autojump_clock: MockClock) -> None:
    amazon = AmazonTwin({"A": 12, "B": 7}, fba=("FBA-1",))
    async with town(tmp_path, amazon) as t:
        await t.agree(30, A=12, B=7)
        amazon.sell("A", 5, by="AMAZON")
        amazon.sell("FBA-1", 1, by="AMAZON")
        await trio.sleep(900)
        await t.agree(1, A=12, B=7)
        assert t.daemon.parts.registry.peek("FBA-1") is None
        assert {sku for _, sku, _ in amazon.written} <= {"A", "B"}


async def test_while_nothing_is_told_the_poll_finds_every_sale(tmp_path: Path, autojump_clock: MockClock) -> None:
    amazon = AmazonTwin({"A": 12, "B": 7})
    async with town(tmp_path, amazon) as t:
        await t.agree(30, A=12, B=7)
        amazon.mute = True
        amazon.sell("A", 2)
        await t.agree(900, A=10)
        first = amazon.sell("A", 1)
        await trio.sleep(100)
        amazon.change(first, "CANCELLED")
        amazon.sell("B", 1)
        await t.agree(1_500, A=10, B=6)
        assert amazon.throttled == 0


async def test_a_subscription_that_was_lost_is_made_again(tmp_path: Path, autojump_clock: MockClock) -> None:
    amazon = AmazonTwin({"A": 12, "B": 7})
    async with town(tmp_path, amazon) as t:
        await t.agree(30, A=12, B=7)
        amazon.subscriptions.clear()
        amazon.destinations.clear()
        amazon.sell("A", 2)  # told to nobody
        await trio.sleep(3_700)
        assert set(amazon.subscriptions) == {"ORDER_CHANGE"}
        await t.agree(1, A=10)
        amazon.sell("A", 1)
        assert await t.agree(5, A=9) < 1.5


async def test_through_a_bad_queue_every_order_counts_once(tmp_path: Path, autojump_clock: MockClock) -> None:
    rng = random.Random(5)
    queue = SqsTwin(rng, duplicate=0.3, undelete=0.2, lose_answer=0.1)
    amazon = AmazonTwin({"A": 200, "B": 200}, queue=queue)
    north = StoreHost(Storefront("north", ("A", "B"), {"A": 9, "B": 9}, "secret-north", 3), now_us)
    async with town(tmp_path, amazon, north) as t:
        await t.agree(600, A=200, B=200)
        open_orders: list[str] = []
        for _ in range(20):
            open_orders.append(amazon.sell(rng.choice("AB"), rng.randrange(1, 4)))
            if rng.random() < 0.4:
                amazon.change(open_orders.pop(rng.randrange(len(open_orders))), "CANCELLED")
            await trio.sleep(rng.random() * 30)
        queue.duplicate = queue.undelete = queue.lose_answer = 0.0
        await trio.sleep(900)
        await t.agree(600, A=amazon.shows("A"), B=amazon.shows("B"))
        assert queue.waiting == []
        held = {sku: sum(each.ordered for each in amazon.orders.values()
                         if each.sku == sku and each.status != "CANCELLED") for sku in "AB"}  # fmt: skip
        assert {sku: amazon.shows(sku) for sku in "AB"} == {sku: 200 - units for sku, units in held.items()}


async def test_a_queue_that_fails_stops_neither_pushes_nor_polls(tmp_path: Path, autojump_clock: MockClock) -> None:
    amazon = AmazonTwin({"A": 12, "B": 7})
    async with town(tmp_path, amazon) as t:
        await t.agree(30, A=12, B=7)
        amazon.queue.refuse = (403, "InvalidSecurity")
        await trio.sleep(30)  # the call under way ends
        (alarm,) = t.events("alarm.raised")
        assert alarm["condition"] == "queue_unread"
        assert t.daemon.parts.channels["amazon"].view().breaker == "closed"
        t.north.handle("POST", "/orders", json.dumps({"lines": [{"sku": "B", "quantity": 3}]}).encode())
        await t.agree(400, B=4)
        amazon.sell("A", 2)
        await t.agree(900, A=10)
        amazon.queue.refuse = None
        await trio.sleep(100)
        assert [record["condition"] for record in t.events("alarm.cleared")] == ["queue_unread"]


async def test_tokens_are_asked_for_once_an_hour(tmp_path: Path, autojump_clock: MockClock) -> None:
    amazon = AmazonTwin({"A": 12, "B": 7})
    async with town(tmp_path, amazon) as t:
        await trio.sleep(3 * 3_600)
        assert amazon.grants.count("refresh_token") <= 4
        assert 1 <= amazon.grants.count("client_credentials") <= 4
        await t.agree(1, A=12, B=7)
        said = "\n".join(t.around.said)
        assert not any(secret in said for secret in (*SECRETS.values(), *amazon.tokens))


async def test_after_a_kill_it_takes_up_where_it_was(tmp_path: Path, autojump_clock: MockClock) -> None:
    amazon = AmazonTwin({"A": 12, "B": 7})
    async with town(tmp_path, amazon) as t:
        await t.agree(30, A=12, B=7)
        north = t.north
        await trio.sleep(5)  # it is subscribed
        amazon.sell("A", 2)
        await trio.sleep(0.1)  # told, perhaps taken, hardly deleted
    amazon.sell("A", 1)
    async with town(tmp_path, amazon, north) as t:
        await t.agree(90, A=9, B=7)
        await trio.sleep(200)
        assert amazon.queue.waiting == []
        await t.agree(1, A=9, B=7)


async def test_sold_out_is_told_at_once_though_the_last_level_does_not_show_yet(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    amazon = AmazonTwin({"A": 12, "B": 7})
    async with town(tmp_path, amazon) as t:
        await t.agree(30, A=12, B=7)
        await trio.sleep(5)
        for units in (3, 4):
            t.north.handle("POST", "/orders", json.dumps({"lines": [{"sku": "B", "quantity": units}]}).encode())
            await trio.sleep(5)
        assert [level for _, _, level in amazon.written] == [4, 0]
        took = amazon.written[1][0] - amazon.written[0][0]
        assert took < 7  # Amazon applies the first one only after 40 s
        await t.agree(60, B=0)
        await trio.sleep(3_600)
        await t.agree(1, A=12, B=0)
        assert [level for _, _, level in amazon.written] == [4, 0]
        assert t.events("drift.found") == []

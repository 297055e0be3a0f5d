"""Every platform that tells by webhooks: what is not its own, or comes again, changes nothing; what is told by two
webhooks and a poll counts once. Through the receiver, the poller and a store, each as in the daemon."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import define, evolve, field

from adapters import PLATFORMS
from daemon.domain.channel import Adapter, Delivery
from daemon.domain.instants import SECOND_US, exactly
from daemon.domain.observations import StockCount
from daemon.domain.policy import Policy
from daemon.domain.signatures import PublicKeyScheme
from daemon.ingress.normalise import Normaliser
from daemon.ingress.poller import Poller
from daemon.ingress.public_keys import PublicKeys
from daemon.ingress.receiver import Answer, Intake, Receiver
from daemon.outbound.account import Account
from daemon.ports import WriterThread, keep_file, read_file
from daemon.storage.cursors import Cursors
from daemon.storage.idempotency import SeenDeliveries
from daemon.vault import FileVault
from tests.adapters.webhook_shops import SHOPS, SKU, STOCK, Shop
from tests.harness import House, Silent, housed

UNITS = 2
MARGIN_S = 30
"""A busy machine may be so slow."""
LEFT = STOCK - UNITS
"""What is left once the order is known."""

each_platform = pytest.mark.parametrize(
    "platform", sorted(name for name, platform in PLATFORMS.items() if platform.sends_webhooks)
)


def wall_us() -> int:
    return time.time_ns() // 1_000


@define
class Watcher(Silent):
    """Every answer of the receiver; "refused" says why."""

    said: list[str] = field(factory=list)

    def received(self, channel: str, answer: Answer, **_: Any) -> None:
        self.said.append(answer.value[1])

    def refused(self, channel: str, finding: str) -> None:
        self.said.append(finding)

    def timed(self, *_: Any) -> None: ...
    def unlinked(self, *_: Any) -> None: ...
    def let_go(self, *_: Any) -> None: ...


@define
class Room:
    """One channel of a daemon: its shop, its door, its poller, and a store with 10 units of `SKU`."""

    house: House
    shop: Shop
    adapter: Adapter
    receiver: Receiver
    intake: Intake
    poller: Poller
    watcher: Watcher
    looks: list[str]
    later_s: list[int]
    """So many seconds later is it on the calendar."""

    def delivery(self, order: Any, n: int = 1, secret: str = "") -> Delivery:
        """A genuine delivery, the nth about this order; or a stranger's, signed with another secret."""
        body = self.shop.tell(order, n)
        headers = self.shop.sign(body, secret or self.shop.secret, n, int(time.time()))
        return Delivery({"content-type": "application/json", **headers}, body, received_us=wall_us())

    async def receive(self, delivery: Delivery) -> Answer:
        return await self.receiver.receive(self.intake, delivery)

    def state(self) -> tuple[int, int, int]:
        """What would show that something was stored: events, deliveries, letters."""
        return self.house.store.head.seq, self.house.store.head.delivery, self.house.dead_letters.count

    def available(self) -> int | None:
        state = self.house.registry.peek(SKU)
        return state.available if state else None

    async def refused(self, delivery: Delivery) -> None:
        """Nothing of it is stored, nobody looks for anything."""
        before = self.state()
        assert await self.receive(delivery) is Answer.REFUSED
        assert (self.state(), self.looks) == (before, [])

    async def fetch(self) -> None:
        """Fetch the orders that webhooks named, and not the feed."""
        assert await self.poller._refetch(last=True) == ""

    async def poll(self) -> None:
        assert await self.poller.poll(), self.poller.broken


def shop_of(platform: str) -> Shop:
    if platform not in SHOPS:
        pytest.fail(f"nobody has tried webhooks of {platform}: give tests/adapters/webhook_shops.py a shop of it")
    return SHOPS[platform]()


@asynccontextmanager
async def room(folder: Path, platform: str) -> AsyncIterator[Room]:
    shop = shop_of(platform)
    adapter = PLATFORMS[platform].build(shop.setup)
    async with housed(folder, channels=("shop",)) as house:
        house.clock.us = wall_us()
        registry, watcher, looks, later_s = house.registry, Watcher(), [], [0]
        nonces = iter(range(1 << 30))
        vault = FileVault(str(folder), "shop", read_file, keep_file, WriterThread())
        account = Account(
            "shop", adapter, shop, Policy(), wall_us, lambda: f"nonce{next(nonces):027}", vault=vault
        )  # fmt: skip
        receiver = Receiver(
            house.store, registry, SeenDeliveries(house.store), house.dead_letters, watcher, wall_us,
            lambda: wall_us() + later_s[0] * SECOND_US,
        )  # fmt: skip
        scheme = adapter.scheme
        intake = Intake(
            "shop", adapter, lambda _: shop.setup.webhook_secrets,
            Normaliser("shop", registry.links, registry.orders, account.instant), lambda: looks.append("look"),
            url="https://sync.example.com/webhooks/shop",
            public_keys=PublicKeys(scheme, account.converse) if isinstance(scheme, PublicKeyScheme) else None,
        )  # fmt: skip
        poller = Poller(account, intake, receiver, Cursors(house.store), registry.refetches, lambda: None)
        await house.tell(StockCount("person", SKU, STOCK, at=exactly(wall_us() - 10 * SECOND_US)))
        yield Room(house, shop, adapter, receiver, intake, poller, watcher, looks, later_s)


# --- what is tried ------------------------------------------------------------------------------------------


def other(letter: str) -> str:
    return "B" if letter == "A" else "A"


def changed_once(text: str) -> Iterator[str]:
    """The text with each of its letters changed once."""
    for place, letter in enumerate(text):
        yield text[:place] + other(letter) + text[place + 1 :]


def altered_signatures(r: Room, delivery: Delivery) -> Iterator[Delivery]:
    """One letter of what proves it is another, at every place; of eBay's, which stands within JSON, one byte."""
    for header in r.shop.proofs:
        given = delivery.headers[header]
        if isinstance(r.adapter.scheme, PublicKeyScheme):
            said = json.loads(base64.b64decode(given))
            right = base64.b64decode(said["signature"])
            forged = [right[:at] + bytes([right[at] ^ 1]) + right[at + 1 :] for at in range(len(right))]
            told = [{**said, "signature": base64.b64encode(each).decode()} for each in forged]
            spelled = [base64.b64encode(json.dumps(each).encode()).decode() for each in told]
        else:
            spelled = list(changed_once(given))
        for each in spelled:
            yield evolve(delivery, headers={**delivery.headers, header: each})


def altered_bodies(delivery: Delivery) -> Iterator[Delivery]:
    """One byte of the body is another, at every place, by one bit or whole; or there is one more."""
    body = delivery.body
    for place in range(len(body)):
        for mask in (1, 0xFF):
            yield evolve(delivery, body=body[:place] + bytes([body[place] ^ mask]) + body[place + 1 :])
    yield evolve(delivery, body=body + b" ")


@each_platform
async def test_what_a_stranger_signed_or_nobody_is_refused_and_leaves_no_trace(platform: str, tmp_path: Path) -> None:
    async with room(tmp_path, platform) as r:
        order = r.shop.sell(UNITS)
        await r.refused(r.delivery(order, secret=r.shop.stranger))
        genuine = r.delivery(order)
        for header in r.shop.proofs:
            bare = {name: value for name, value in genuine.headers.items() if name != header}
            await r.refused(evolve(genuine, headers=bare))
            await r.refused(evolve(genuine, headers={**genuine.headers, header: ""}))
        assert r.available() == STOCK
        assert await r.receive(genuine) is Answer.ACCEPTED  # it was its forgeries that were refused


@each_platform
@pytest.mark.parametrize("altered", [altered_bodies, None], ids=["body", "signature"])
async def test_a_delivery_with_one_byte_altered_is_refused(
    platform: str, altered: Callable[[Delivery], Iterator[Delivery]] | None, tmp_path: Path
) -> None:
    async with room(tmp_path, platform) as r:
        genuine = r.delivery(r.shop.sell(UNITS))
        tried = 0
        for each in altered(genuine) if altered else altered_signatures(r, genuine):
            await r.refused(each)
            tried += 1
        assert tried >= 40
        assert set(r.watcher.said) <= {"wrong", "missing"}
        assert await r.receive(genuine) is Answer.ACCEPTED


@each_platform
async def test_a_truncated_delivery_is_refused(platform: str, tmp_path: Path) -> None:
    async with room(tmp_path, platform) as r:
        genuine = r.delivery(r.shop.sell(UNITS))
        for length in range(len(genuine.body)):
            await r.refused(evolve(genuine, body=genuine.body[:length]))
        for header in r.shop.proofs:
            for length in range(1, len(genuine.headers[header])):
                cut = {**genuine.headers, header: genuine.headers[header][:length]}
                await r.refused(evolve(genuine, headers=cut))
        assert await r.receive(genuine) is Answer.ACCEPTED


@each_platform
async def test_a_replayed_delivery_is_too_old_where_it_is_stamped_and_counts_once_anyway(
    platform: str, tmp_path: Path
) -> None:
    async with room(tmp_path, platform) as r:
        genuine = r.delivery(r.shop.sell(UNITS))
        allowed_s = r.shop.window_s
        if allowed_s:
            for off_s in (allowed_s + MARGIN_S, -allowed_s - MARGIN_S):
                r.later_s[0] = off_s
                await r.refused(genuine)
            assert r.watcher.said == ["stale"] * 2
            r.later_s[0] = allowed_s - MARGIN_S
        assert await r.receive(genuine) is Answer.ACCEPTED
        stored = r.state()
        for _ in range(3):
            assert await r.receive(genuine) is Answer.DUPLICATE
        assert r.state() == stored
        await r.poll()
        assert r.available() == LEFT
        r.later_s[0] = 0
        assert await r.receive(genuine) is Answer.DUPLICATE
        await r.poll()
        assert r.available() == LEFT


@each_platform
@pytest.mark.parametrize("first", ["webhooks", "poll"])
async def test_two_webhooks_and_a_poll_of_one_order_count_once(platform: str, first: str, tmp_path: Path) -> None:
    async with room(tmp_path, platform) as r:
        order = r.shop.sell(UNITS)
        if first == "poll":
            await r.poll()
            assert r.available() == LEFT
        for n in (1, 2):
            assert await r.receive(r.delivery(order, n)) in (Answer.ACCEPTED, Answer.DUPLICATE)
            await r.fetch()
        # A webhook tells the order, or names it so that it is fetched, or says that the feed is worth reading.
        assert r.available() == LEFT or r.looks
        await r.poll()
        assert r.available() == LEFT
        state = r.house.registry.peek(SKU)
        assert state is not None
        assert sum(line.now().taken for line in state.stock.lines.values()) == UNITS
        # And what is told of another order is not taken for a repetition.
        assert await r.receive(r.delivery(r.shop.sell(1), 3)) is Answer.ACCEPTED
        await r.fetch()
        await r.poll()
        assert r.available() == LEFT - 1
        assert (r.house.dead_letters.count, r.house.registry.crashes) == (0, 0)


def test_no_shop_is_left_of_a_platform_that_is_gone() -> None:
    assert set(SHOPS) <= set(PLATFORMS)

"""Who keeps a daemon busy while it is killed: shoppers at storefronts, and tellers that post webhooks themselves."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import trio
from attrs import define, field

from tests.acceptance.processes import LOOPBACK, Daemon, Shop
from tests.acceptance.webhooks import order_body, read_answer, request, signed

HOT = 3
"""So many of the SKUs sell out, again and again; the others never do."""
TILL = "till"
"""The channel of the tellers. No storefront is behind it, so nothing heals what it loses."""
TILL_SECRET = f"secret-{TILL}"
COUNTERS, COUNTER_STOCK = 4, 1_000_000
"""SKUs that the tellers sell beside those of the storefronts, and the units of each. No channel lists them, so that
most of what is told is acknowledged, not pushed: it is acknowledgements that the tellers are after."""
LISTED = 0.1
"""So many of their sales are of a listed SKU."""
PATIENCE_S = 10.0
CUT_OFF = (OSError, trio.BrokenResourceError, IndexError, ValueError, trio.TooSlowError)
"""What a client meets whose daemon dies before the whole answer has left."""


def sku(number: int) -> str:
    """As the sandbox storefronts name them."""
    return f"SKU-{number:04d}"


def counter(number: int) -> str:
    """A SKU that only tellers sell."""
    return f"COUNTER-{number}"


@define
class Shopper:
    """Shoppers and staff of one storefront, until told to stop."""

    shop: Shop
    rng: random.Random
    skus: int
    lot: int
    """A hot SKU goes in lots of up to so many units."""
    pace_s: float
    stopping: bool = False
    orders: list[str] = field(factory=list)
    changes: int = 0

    async def run(self) -> None:
        while not self.stopping:
            await trio.sleep(self.rng.expovariate(1 / self.pace_s))
            if self.orders and self.rng.random() < 0.25:
                await self._change()
            else:
                await self._buy()

    async def _buy(self) -> None:
        rng = self.rng
        if rng.random() < 0.15:
            # A hot SKU goes in large lots, and in single units when there is no lot left.
            hot = sku(rng.randint(1, HOT))
            for units in (rng.randint(1, self.lot), rng.randint(1, 3)):
                if await self._order([{"sku": hot, "quantity": units}]):
                    return
            return
        chosen = rng.sample(range(HOT + 1, self.skus + 1), rng.choice((1, 1, 2)))
        await self._order([{"sku": sku(number), "quantity": rng.randint(1, 3)} for number in chosen])

    async def _order(self, lines: list[dict[str, object]]) -> bool:
        status, answer = await self.shop.post("/orders", {"lines": lines})
        if status == 201:
            self.orders.append(answer["id"])
        return status == 201

    async def _change(self) -> None:
        rng = self.rng
        order = rng.choice(self.orders[-40:] if rng.random() < 0.8 else self.orders)
        action = rng.choice(("cancel", "refund", "fulfil", "fulfil"))
        body: dict[str, object] = {}
        if rng.random() < 0.5:
            body = {"lines": [{"id": "1", "quantity": 1}]}
        if action == "refund":
            body["restock"] = rng.random() < 0.8
        status, _ = await self.shop.post(f"/orders/{order}/{action}", body)
        self.changes += status == 200


@define
class Books:
    """What all tellers know together: which orders were acknowledged, and what the log was seen to hold of them."""

    acknowledged: dict[str, str] = field(factory=dict)
    """Order to SKU, one unit each."""
    unaudited: set[str] = field(factory=set)
    logged: Counter[str] = field(factory=Counter)
    """Order to how often it moved a unit."""
    seq: int = 0
    """Events read so far."""
    audits: int = 0
    lost: set[str] = field(factory=set)
    posts: int = 0
    refused: int = 0
    """Connections that nobody took."""
    failed: list[str] = field(factory=list)
    """Answers other than 200 and 503."""

    def sold(self) -> Counter[str]:
        """Units by SKU."""
        return Counter(self.acknowledged.values())

    def twice(self) -> list[str]:
        """Orders that counted more than once."""
        return [order for order, times in self.logged.items() if times > 1]

    async def audit(self, daemon: Daemon) -> None:
        """Read what is new in the log: everything acknowledged before this question must be in it by now.

        Raises `httpx.TransportError` where the daemon dies meanwhile; the next audit takes up what is left.
        """
        claimed = set(self.unaudited)
        for event in await daemon.events(after=self.seq):
            self.seq = event["seq"]
            if event["kind"] == "order" and event["channel"] == TILL:
                self.logged[event["cause"]["order"]] += event["before"] != event["after"]
        gone = {order for order in claimed if not self.logged[order]}
        self.lost |= gone
        self.unaudited -= claimed
        self.audits += 1


@define
class Teller:
    """Posts one order after the other, each until it is acknowledged; some of them again after that."""

    name: str
    port: int
    books: Books
    rng: random.Random
    skus: int
    pace_s: float
    told: int = 0
    stopping: bool = False

    async def run(self) -> None:
        rng = self.rng
        while not self.stopping:
            self.told += 1
            listed = rng.random() < LISTED
            sold = sku(rng.randint(HOT + 1, self.skus)) if listed else counter(rng.randint(1, COUNTERS))
            order = f"{self.name}-{self.told}"
            body = order_body(order, lines=[(sold, 1)])
            # What was begun is told to its end, so that the books know of every order that may be in the log.
            while await self.post(body, order) != 200:  # noqa: ASYNC110 - another process
                await trio.sleep(0.002)
            self.books.acknowledged[order] = sold
            self.books.unaudited.add(order)
            if rng.random() < 0.15:
                # Once more: the same delivery, or the same news in a delivery of its own.
                await self.post(body, order if rng.random() < 0.5 else f"{order}-again")
            await trio.sleep(rng.expovariate(1 / self.pace_s))

    async def post(self, body: bytes, delivery: str) -> int:
        """The status; 0 where the daemon died before its answer."""
        books = self.books
        books.posts += 1
        headers = signed(body, TILL_SECRET, delivery=delivery)
        sent = request("POST", f"/webhooks/{TILL}", body, headers)
        try:
            with trio.fail_after(PATIENCE_S):
                async with await connect(self.port) as stream:
                    await stream.send_all(sent)
                    status = (await read_answer(stream)).status
        except ConnectionRefusedError:
            books.refused += 1
            return 0
        except CUT_OFF:
            return 0
        if status not in (200, 503):
            books.failed.append(f"{delivery} was answered {status}")
        return status


async def connect(port: int) -> trio.SocketStream:
    """A connection to the daemon. Raises `ConnectionRefusedError` where nobody listens."""
    plain = trio.socket.socket()
    try:
        await plain.connect((LOOPBACK, port))
    except BaseException:
        plain.close()
        raise
    return trio.SocketStream(plain)


Anybody = Shopper | Teller


async def busy(nursery: trio.Nursery, people: list[Any]) -> None:
    """Let them all work in this nursery until their `stopping` is set."""
    for each in people:
        each.stopping = False
        nursery.start_soon(each.run)

"""Amazon: told through a queue, written by patches that are accepted now and come true later."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal
from urllib.parse import parse_qs, unquote, urlsplit

import trio

from daemon.domain.exchange import Reply, Request
from tests.adapters import amazon_twin
from tests.channels.stage import Sale, Sort, Stage, Surroundings, json_of
from tests.channels.weather import EXPIRED
from tests.sqs_twin import KEY_ID, SECRET, URL

SILENT, DOUBLED, KEPT, QUEUE_LOST, QUEUE_DOWN, SLOW = (
    "notifications stop", "notifications doubled", "queue keeps what was deleted", "queue's answers lost",
    "queue down", "patches applied late",
)  # fmt: skip
WHILE_S = (20.0, 240.0)


class Amazon(Stage):
    platform = "amazon"
    options: ClassVar = {
        "region": "na", "seller_id": amazon_twin.SELLER, "marketplaces": amazon_twin.MARKETPLACE, "queue_url": URL,
        "bulk": "patch",
    }  # fmt: skip
    secrets: ClassVar = {
        "client_id": amazon_twin.CLIENT, "client_secret": amazon_twin.CLIENT_SECRET,
        "refresh_token": amazon_twin.REFRESH, "aws_key_id": KEY_ID, "aws_secret": SECRET,
    }  # fmt: skip
    kinds = (EXPIRED, "partly refused", SILENT, DOUBLED, KEPT, QUEUE_LOST, QUEUE_DOWN, SLOW)
    contents = True
    applies_later = True
    told_in_s = 180.0

    def __init__(self, stock: Mapping[str, int], around: Surroundings) -> None:
        super().__init__(stock, around)
        self.twin = amazon_twin.AmazonTwin(dict(stock), fba=("FBA-1",), rng=around.rng)
        self.twin.queue.rng = around.rng

    def sort(self, request: Request) -> Sort:
        parts = urlsplit(request.url)
        if parts.netloc.startswith("sqs."):
            return "queue"
        if parts.netloc == "api.amazon.com":
            return "token"
        if parts.path.startswith("/listings/"):
            return "write" if request.method == "PATCH" else "stock"
        return "orders" if parts.path.startswith("/orders/") else "hooks"

    async def respond(self, request: Request) -> tuple[int, Any, Mapping[str, str]]:
        parts = urlsplit(request.url)
        if parts.netloc == "api.amazon.com":
            return *self.twin._grant(request), {}
        status, body, rate = self.twin._call(request, parts.path, parse_qs(parts.query))
        return status, body, {"x-amzn-RateLimit-Limit": str(rate)} if rate else {}

    async def answer_queue(self, request: Request) -> Reply:
        return await self.twin.queue.send(request)

    def settle(self) -> None:
        for sku in self.stock:
            self.twin.shows(sku)

    def shown(self, sku: str) -> int:
        return max(0, self.twin.shows(sku))

    def buy(self, sku: str, units: int) -> Sale:
        return self.sold(self.twin.sell(sku, units), sku, units)

    def changes(self, sale: Sale) -> Sequence[Callable[[], None]]:
        status = self.twin.orders[sale.key].status
        if status in ("SHIPPED", "CANCELLED"):
            return []
        paid = partial(self._ship, sale) if status == "UNSHIPPED" else partial(self._pay, sale)
        return [paid, partial(self._cancel, sale)]

    def _pay(self, sale: Sale) -> None:
        self.twin.change(sale.key, "UNSHIPPED")

    def _ship(self, sale: Sale) -> None:
        self.twin.change(sale.key, "SHIPPED")
        sale.shipped = sale.units

    def _cancel(self, sale: Sale) -> None:
        self.twin.change(sale.key, "CANCELLED")
        sale.back = sale.units

    def asked(self, request: Request) -> Mapping[str, int]:
        (patch,) = json_of(request)["patches"]
        sku = unquote(urlsplit(request.url).path.rpartition("/")[2])
        return {sku: patch["value"][0]["quantity"]}

    def throttled(self, wait_s: int) -> tuple[int, Any, Mapping[str, str]]:
        """With the rate, or without any header; never with when to come back (amazon.md §6)."""
        extra = {"x-amzn-RateLimit-Limit": "5.0"} if self.around.rng.random() < 0.5 else {}
        return 429, amazon_twin._errors("QuotaExceeded"), extra

    def partial(self, request: Request) -> tuple[int, Any, Mapping[str, str]] | None:
        """A 200 that says INVALID (§5.1)."""
        issue = {"code": "4000001", "message": "no", "severity": "ERROR"}
        return 200, {"sku": "x", "status": "INVALID", "submissionId": "s", "issues": [issue]}, {}

    def expire(self) -> bool:
        self.twin.tokens = {name: (whose, 0.0) for name, (whose, _) in self.twin.tokens.items()}
        return True

    def unrest(self, name: str) -> bool:
        """Each ends by itself, but the last."""
        queue = self.twin.queue
        begin: dict[str, tuple[Any, str, Any, Any]] = {
            SILENT: (self.twin, "mute", True, False), DOUBLED: (queue, "duplicate", 0.4, 0.0),
            KEPT: (queue, "undelete", 0.4, 0.0), QUEUE_LOST: (queue, "lose_answer", 0.4, 0.0),
            QUEUE_DOWN: (queue, "down", True, False), SLOW: (self.twin, "applies_s", 200.0, 40.0),
        }  # fmt: skip
        if name not in begin:
            return False
        owner, attribute, during, after = begin[name]
        setattr(owner, attribute, during)
        self.around.nursery.start_soon(self._end, owner, attribute, after)
        return True

    async def _end(self, owner: Any, attribute: str, value: Any) -> None:
        await trio.sleep(self.around.rng.uniform(*WHILE_S))
        setattr(owner, attribute, value)

    def clear_up(self) -> None:
        self.twin.mute, self.twin.applies_s, queue = False, 40.0, self.twin.queue
        queue.duplicate = queue.undelete = queue.lose_answer = 0.0
        queue.down = False

    def copies(self, what: Literal["orders", "stock"]) -> Sequence[tuple[Any, str]]:
        return [(self.twin, what)]

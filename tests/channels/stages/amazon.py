"""Amazon: told through a queue, written by patches and feeds that are accepted now and come true later."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal
from urllib.parse import unquote, urlsplit

import trio

from daemon.domain.exchange import Reply, Request
from tests.adapters import amazon_feeds_twin, amazon_twin
from tests.channels.stage import Sale, Sort, Stage, Surroundings, json_of
from tests.channels.weather import EXPIRED
from tests.sqs_twin import KEY_ID, SECRET, URL

SILENT, DOUBLED, KEPT, QUEUE_LOST, QUEUE_DOWN, SLOW, LOST = (
    "notifications stop", "notifications doubled", "queue keeps what was deleted", "queue's answers lost",
    "queue down", "patches applied late", "patch accepted, not done",
)  # fmt: skip
FEED_LATE, FEED_REFUSES, FEED_BROKEN, FEED_PHANTOM = (
    "feed decided late", "feed refuses an item", "feed ended FATAL, CANCELLED", "feed reports what was not done",
)  # fmt: skip
WHILE_S = (20.0, 240.0)
TWIN_TELLS: Mapping[str, str] = {
    "mute": SILENT, "late": SLOW, "lost": LOST, "duplicate": DOUBLED, "undelete": KEPT, "lose_answer": QUEUE_LOST,
    "down": QUEUE_DOWN, amazon_feeds_twin.REFUSED: FEED_REFUSES, amazon_feeds_twin.FATAL: FEED_BROKEN,
    amazon_feeds_twin.CANCELLED: FEED_BROKEN, amazon_feeds_twin.PHANTOM: FEED_PHANTOM,
}  # fmt: skip
FEED_LAG_S = 60.0
ENDINGS = (amazon_feeds_twin.FATAL, amazon_feeds_twin.CANCELLED)


class Amazon(Stage):
    """Half of the worlds write by patches alone (`bulk: patch`), the others also by feeds (`bulk: feed`, the default,
    which begins at three listings here)."""

    platform = "amazon"
    options: Mapping[str, str] = {
        "region": "na", "seller_id": amazon_twin.SELLER, "marketplaces": amazon_twin.MARKETPLACE, "queue_url": URL,
        "bulk": "patch",
    }  # fmt: skip
    secrets: ClassVar = {
        "client_id": amazon_twin.CLIENT, "client_secret": amazon_twin.CLIENT_SECRET,
        "refresh_token": amazon_twin.REFRESH, "aws_key_id": KEY_ID, "aws_secret": SECRET,
    }  # fmt: skip
    kinds = (
        FEED_LATE, FEED_REFUSES, FEED_PHANTOM, FEED_BROKEN, SLOW, LOST, "partly refused", EXPIRED, SILENT, DOUBLED,
        KEPT, QUEUE_LOST, QUEUE_DOWN,
    )  # fmt: skip
    contents = True
    applies_later = True
    told_in_s = 180.0
    turn_s = 240.0
    rests = True

    def __init__(self, stock: Mapping[str, int], around: Surroundings) -> None:
        if around.every or around.rng.random() < 0.5:
            self.options = {**self.options, "bulk": "feed"}
            self.inner = {
                "batch_max": 2,
                "bulk_from": 3,
                "bulk_max": 100,
                "bulk_every_s": 150.0,
                "job_life_s": 3_600.0,
            }
            stock = dict.fromkeys(stock, 90)  # what is nearly gone is never told in a feed
        super().__init__(stock, around)
        self.twin = amazon_twin.AmazonTwin(dict(stock), fba=("FBA-1",), rng=around.rng)
        self.twin.queue.rng = around.rng
        self.twin.befell = self.twin.queue.befell = self.twin.feeds.befell = lambda what: self.around.happened(
            TWIN_TELLS[what]
        )

    def sort(self, request: Request) -> Sort:
        parts = urlsplit(request.url)
        if parts.netloc.startswith("sqs."):
            return "queue"
        if parts.netloc == "api.amazon.com":
            return "token"
        if parts.netloc == amazon_feeds_twin.FILES or parts.path.startswith("/feeds/"):
            return "write" if request.method == "POST" and parts.path.endswith("/feeds") else "job"
        if parts.path.startswith("/listings/"):
            return "write" if request.method == "PATCH" else "stock"
        return "orders" if parts.path.startswith("/orders/") else "hooks"

    async def respond(self, request: Request) -> tuple[int, Any, Mapping[str, str]]:
        parts = urlsplit(request.url)
        if parts.netloc == "api.amazon.com":
            return *self.twin._grant(request), {}
        made = len(self.twin.feeds.jobs)
        answer = self.twin.answer(request)
        if len(self.twin.feeds.jobs) > made and self.twin.feeds.lag_s > FEED_LAG_S:
            self.around.happened(FEED_LATE)
        return answer

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
        if request.method == "POST":
            return dict(map(amazon_feeds_twin.written, self.twin.feeds.messages(json_of(request)) or ()))
        (patch,) = json_of(request)["patches"]
        sku = unquote(urlsplit(request.url).path.rpartition("/")[2])
        return {sku: patch["value"][0]["quantity"]}

    def throttled(self, wait_s: int) -> tuple[int, Any, Mapping[str, str]]:
        """With the rate, or without any header; never with when to come back (amazon.md §6)."""
        extra = {"x-amzn-RateLimit-Limit": "5.0"} if self.around.rng.random() < 0.5 else {}
        return 429, amazon_twin._errors("QuotaExceeded"), extra

    def partial(self, request: Request) -> tuple[int, Any, Mapping[str, str]] | None:
        """A 200 that says INVALID (§5.1); what a feed refuses stands in its report."""
        if request.method == "POST":
            return None
        issue = {"code": "4000001", "message": "no", "severity": "ERROR"}
        return 200, {"sku": "x", "status": "INVALID", "submissionId": "s", "issues": [issue]}, {}

    def expire(self) -> bool:
        self.twin.tokens = {name: (whose, 0.0) for name, (whose, _) in self.twin.tokens.items()}
        return True

    def unrest(self, name: str) -> bool:
        """Each ends by itself, but the last."""
        queue = self.twin.queue
        begin: dict[str, tuple[Any, str, Any, Any]] = {
            SILENT: (self.twin, "mute", True, False), DOUBLED: (queue, "duplicate", 0.7, 0.0),
            KEPT: (queue, "undelete", 0.7, 0.0), QUEUE_LOST: (queue, "lose_answer", 0.7, 0.0),
            QUEUE_DOWN: (queue, "down", True, False), SLOW: (self.twin, "applies_s", 200.0, amazon_twin.APPLIES_S),
        }  # fmt: skip
        begin[LOST] = (self.twin, "lost", 1, 0)
        if self.inner:
            feeds, rng = self.twin.feeds, self.around.rng
            begin |= {
                FEED_LATE: (feeds, "lag_s", rng.choice((600.0, 3_000.0, 5_000.0)), FEED_LAG_S),
                FEED_REFUSES: (feeds, "refused", {rng.choice(list(self.stock))}, set()),
                FEED_BROKEN: (feeds, "endings", [rng.choice(ENDINGS)], []),
                FEED_PHANTOM: (feeds, "phantoms", 1, 0),
            }  # fmt: skip
        if name not in begin:
            return False
        owner, attribute, during, after = begin[name]
        setattr(owner, attribute, during)
        seconds = self.around.rng.uniform(*WHILE_S) * (4.0 if owner is self.twin.feeds else 1.0)
        self.around.nursery.start_soon(self._end, owner, attribute, after, seconds)
        return True

    async def _end(self, owner: Any, attribute: str, value: Any, seconds: float) -> None:
        await trio.sleep(seconds)
        setattr(owner, attribute, value)

    def clear_up(self) -> None:
        self.twin.mute, self.twin.applies_s, queue = False, amazon_twin.APPLIES_S, self.twin.queue
        feeds, self.twin.lost = self.twin.feeds, 0
        feeds.lag_s, feeds.phantoms, feeds.refused, feeds.endings = FEED_LAG_S, 0, set(), []
        queue.duplicate = queue.undelete = queue.lose_answer = 0.0
        queue.down = False

    def copies(self, what: Literal["orders", "stock"]) -> Sequence[tuple[Any, str]]:
        return [(self.twin, what)]

"""Amazon in the process, on Trio's clock: a seller's stock and orders, the API's calls, and its notifications.

It keeps its own books: it sells what it shows, applies what it accepted only later, shows orders in its search only
after a while, and tells of them through a queue. Composed from the sheet (amazon.md), not from the adapter.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import formatdate
from operator import itemgetter
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import trio
from attrs import define, field

from daemon.domain.exchange import NoAnswer, Reply, Request, Response
from tests.adapters.amazon_feeds_twin import FILES, Feeds
from tests.adapters.official import judge
from tests.sqs_twin import CLOCK_S, SqsTwin

SELLER, MARKETPLACE = "A1EXAMPLESELLER", "ATVPDKIKX0DER"
CLIENT, CLIENT_SECRET, REFRESH = "amzn1.client", "amzn1.secret", "Atzr|refresh"
ARN = "arn:aws:sqs:us-east-1:111122223333:spapi"
API = "sellingpartnerapi-na.amazon.com"
SETTLED_S = 120.0
"""Searches end so long ago (§4.1)."""
APPLIES_S = 40.0
"""What was accepted shows after so long, mostly."""
LIMITS = {"searchOrders": (0.0056, 20.0), "getOrder": (0.5, 30.0), "patch": (5.0, 5.0), "item": (5.0, 10.0),
          "items": (5.0, 5.0), "notifications": (1.0, 5.0), "createFeedDocument": (0.5, 15.0),
          "createFeed": (0.0083, 15.0), "getFeed": (2.0, 15.0), "getFeedDocument": (0.0222, 10.0)}  # fmt: skip


def iso(at_s: float, *, milli: bool = False) -> str:
    """A moment of Trio's clock as Amazon writes it."""
    moment = datetime.fromtimestamp(CLOCK_S + at_s, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + (f".{moment.microsecond // 1000:03}Z" if milli else "Z")


def since(text: str) -> float:
    """The inverse of `iso`."""
    return datetime.fromisoformat(text).timestamp() - CLOCK_S


@define(eq=False)
class Sold:
    """An order of one line."""

    order_id: str
    sku: str
    ordered: int
    created: float
    updated: float
    status: str = "PENDING"
    by: str = "MERCHANT"
    shipped: int = 0
    listed_at: float = 0.0
    """From then on the search finds this version of it."""


_SPOKEN = {"PENDING": "Pending", "UNSHIPPED": "Unshipped", "SHIPPED": "Shipped", "CANCELLED": "Canceled"}


@define(eq=False)
class AmazonTwin:
    """One seller's account. `send` is its HTTP client's, for every host of Amazon's but the queue's."""

    stock: dict[str, int]
    fba: tuple[str, ...] = ()
    queue: Any = field(factory=SqsTwin)
    """Where it tells: an `SqsTwin`, or whatever a message can be put into."""
    rng: random.Random = field(factory=lambda: random.Random(1))
    applies_s: float = APPLIES_S
    """What was accepted shows after so long."""
    lost: int = 0
    """So many patches more are accepted, and never applied."""
    lists_s: float = 5.0
    """The search finds an order so long after it changed, beside what it never shows."""
    mute: bool = False
    """Nothing is told."""
    down: bool = False
    orders: dict[str, Sold] = field(factory=dict)
    written: list[tuple[float, str, int]] = field(factory=list)
    """What was accepted: when, SKU, level."""
    destinations: dict[str, str] = field(factory=dict)
    subscriptions: dict[str, str] = field(factory=dict)
    """Type to destination."""
    asked: list[tuple[float, str]] = field(factory=list)
    """Calls, by operation."""
    throttled: int = 0
    tokens: dict[str, tuple[str, float]] = field(factory=dict)
    """Access tokens: for whom, and until when."""
    grants: list[str] = field(factory=list)
    _buckets: dict[str, tuple[float, float]] = field(factory=dict)
    _number: int = 0
    _later: list[tuple[float, str, int]] = field(factory=list)
    feeds: Feeds = field(init=False)
    befell: Callable[[str], None] = lambda what: None
    """Told what of its own faults happened: "mute", "late", "lost"."""

    def __attrs_post_init__(self) -> None:
        self.feeds = Feeds(SELLER, lambda sku: sku in self.stock, self.rng)

    # -- the shop --

    def shows(self, sku: str) -> int:
        """What buyers see now: accepted writes, and feeds, come true when they are due."""
        now = trio.current_time()
        self._later += self.feeds.process(now)
        for due, name, level in sorted((each for each in self._later if each[0] <= now), key=itemgetter(0)):
            self.stock[name] = level
            self._later.remove((due, name, level))
        return self.stock[sku]

    def sell(self, sku: str, units: int, *, by: str = "MERCHANT") -> str:
        """A buyer buys; refused where it shows too few."""
        if by == "MERCHANT":
            assert self.shows(sku) >= units, "it shows too few"
            self.stock[sku] -= units
        self._number += 1
        now = trio.current_time()
        name = f"123-1234567-{self._number:07}"
        self.orders[name] = Sold(name, sku, units, now, now, by=by, listed_at=now + self.lists_s)
        self._tell(self.orders[name])
        return name

    def change(self, name: str, status: str) -> None:
        """An order goes on: paid, shipped, cancelled (which gives its units back)."""
        order = self.orders[name]
        order.status, order.updated = status, trio.current_time()
        order.listed_at = order.updated + self.lists_s
        if status == "SHIPPED":
            order.shipped = order.ordered
        if status == "CANCELLED":
            self.shows(order.sku)
            self.stock[order.sku] += order.ordered - order.shipped
        self._tell(order)

    def _tell(self, order: Sold) -> None:
        if self.mute:
            self.befell("mute")
        if self.mute or self.subscriptions.get("ORDER_CHANGE") not in self.destinations:
            return
        now = trio.current_time()
        item = {"OrderItemId": f"{order.order_id}-1", "SellerSKU": order.sku, "SupplySourceId": None,
                "Quantity": order.ordered, "QuantityShipped": order.shipped}  # fmt: skip
        summary = {
            "MarketplaceId": MARKETPLACE, "OrderStatus": _SPOKEN[order.status],
            "PurchaseDate": iso(order.created, milli=True), "DestinationPostalCode": "90210",
            "FulfillmentType": "MFN" if order.by == "MERCHANT" else "AFN", "OrderType": "StandardOrder",
            "NumberOfItemsShipped": order.shipped, "NumberOfItemsUnshipped": order.ordered - order.shipped,
            "OrderItems": [item],
        }  # fmt: skip
        change = {
            "NotificationLevel": "OrderLevel", "SellerId": SELLER, "AmazonOrderId": order.order_id,
            "OrderChangeType": "OrderStatusChange",
            "OrderChangeTrigger": {"TimeOfOrderChange": iso(now, milli=True), "ChangeReason": order.status},
            "Summary": summary,
        }  # fmt: skip
        self._number += 1
        about = {"ApplicationId": "app", "SubscriptionId": "sub", "PublishTime": iso(now, milli=True),
                 "NotificationId": f"n-{self._number}"}  # fmt: skip
        self.queue.put(json.dumps({
            "NotificationVersion": "1.0", "NotificationType": "ORDER_CHANGE", "PayloadVersion": "1.0",
            "EventTime": iso(now, milli=True), "Payload": {"OrderChangeNotification": change},
            "NotificationMetadata": about,
        }))  # fmt: skip

    # -- the API --

    async def send(self, request: Request) -> Reply:
        await trio.sleep(0.05)
        if self.down:
            return NoAnswer("connection refused", reached=False)
        parts = urlsplit(request.url)
        if parts.netloc == "api.amazon.com":
            return self._said(*self._grant(request))
        return self._said(*self.answer(request))

    def answer(self, request: Request) -> tuple[int, Any, dict[str, str]]:
        """A call of the API, or of a feed's document: status, body (bytes, or what becomes JSON), headers."""
        parts = urlsplit(request.url)
        if parts.netloc == FILES:
            headers = {**request.headers, **request.secret_headers}
            return *self.feeds.file(request.method, parts.path, headers, request.body, trio.current_time()), {}
        assert parts.netloc == API, parts.netloc
        judge.hold_request("amazon", request)
        status, body, rate = self._call(request, parts.path, parse_qs(parts.query))
        judge.hold_answer("amazon", request, Response(status, {}, judge.written(body)))
        return status, body, {"x-amzn-ratelimit-limit": str(rate)} if rate else {}

    async def aclose(self) -> None: ...

    def _said(self, status: int, body: Any, headers: dict[str, str] | None = None) -> Response:
        date = formatdate(CLOCK_S + trio.current_time(), usegmt=True)
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return Response(status, {"date": date, **(headers or {})}, content)

    def _grant(self, request: Request) -> tuple[int, Any]:
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        if (form["client_id"], form["client_secret"]) != (CLIENT, CLIENT_SECRET):
            return 401, {"error": "invalid_client", "error_description": "no"}
        kind = form["grant_type"]
        if kind == "refresh_token" and form["refresh_token"] != REFRESH:
            return 400, {"error": "invalid_grant", "error_description": "no"}
        self.grants.append(kind)
        token = f"Atza|{len(self.grants)}"
        self.tokens[token] = ("seller" if kind == "refresh_token" else "application", trio.current_time() + 3600)
        more = {"refresh_token": REFRESH} if kind == "refresh_token" else {}
        return 200, {"access_token": token, "token_type": "bearer", "expires_in": 3600, **more}

    def _call(self, request: Request, path: str, query: dict[str, list[str]]) -> tuple[int, Any, float]:
        whose, until = self.tokens.get(request.secret_headers.get("x-amz-access-token", ""), ("", 0.0))
        if until <= trio.current_time():
            text = "The access token you provided has expired."
            return 403, {"errors": [{"code": "Unauthorized", "message": "Access denied.", "details": text}]}, 0
        operation, answer = self._route(request, path, query, whose)
        self.asked.append((trio.current_time(), operation))
        rate, burst = LIMITS[operation]
        if not self._spend(operation, rate, burst):
            self.throttled += 1
            return 429, _errors("QuotaExceeded"), 0
        return (*answer(), rate)

    def _spend(self, operation: str, rate: float, burst: float) -> bool:
        now = trio.current_time()
        left, at = self._buckets.get(operation, (burst, now))
        left = min(burst, left + (now - at) * rate)
        self._buckets[operation] = (left - 1 if left >= 1 else left, now)
        return left >= 1

    def _route(self, request: Request, path: str, query: dict[str, list[str]], whose: str) -> tuple[str, Any]:
        body = json.loads(request.body) if request.body else None
        place = [unquote(part) for part in path.split("/")[1:]]
        match request.method, place:
            case "GET", ["orders", _, "orders"]:
                return "searchOrders", lambda: self._search(query)
            case "GET", ["orders", _, "orders", name]:
                return "getOrder", lambda: self._one(name)
            case "GET", ["listings", _, "items", _]:
                return "items", lambda: self._listings(query)
            case "GET", ["listings", _, "items", _, sku]:
                return "item", lambda: (200, self._item(sku)) if self._knows(sku) else (404, _errors("NotFound"))
            case "PATCH", ["listings", _, "items", _, sku]:
                return "patch", lambda: self._patch(sku, body)
            case method, ["feeds", _, *_] if whose == "seller":
                return self._feeds(method, place[2:], body)
            case method, ["notifications", "v1", "destinations"]:
                assert whose == "application", "destinations want the grantless token"
                return "notifications", lambda: self._destination(method, body)
            case method, ["notifications", "v1", "subscriptions", kind]:
                assert whose == "seller"
                return "notifications", lambda: self._subscription(method, kind, body)
        raise AssertionError(f"{request.method} {path}")

    def _search(self, query: dict[str, list[str]]) -> tuple[int, Any]:
        assert query["fulfilledBy"] == ["MERCHANT"]
        assert set(query["includedData"][0].split(",")) <= {"FULFILLMENT", "CANCELLATION"}, "no restricted data"
        now, after = trio.current_time(), since(query["lastUpdatedAfter"][0])
        found = [each for each in self.orders.values() if after <= each.updated <= now - SETTLED_S]
        found = [each for each in found if each.listed_at <= now and each.by == "MERCHANT"]
        found.sort(key=lambda each: each.updated)
        start = int(query.get("paginationToken", ["0"])[0])
        page = found[start : start + 100]
        more = {"pagination": {"nextToken": str(start + 100)}} if start + 100 < len(found) else {}
        return 200, {"orders": [_shown(each) for each in page], "lastUpdatedBefore": iso(now - SETTLED_S), **more}

    def _one(self, name: str) -> tuple[int, Any]:
        order = self.orders.get(name)
        return (200, {"order": _shown(order)}) if order else (404, _errors("NotFound"))

    def _knows(self, sku: str) -> bool:
        return sku in self.stock or sku in self.fba

    def _item(self, sku: str) -> dict[str, Any]:
        summary = {"marketplaceId": MARKETPLACE, "productType": "SHIRT", "status": ["BUYABLE"], "itemName": sku,
                   "createdDate": iso(-1000), "lastUpdatedDate": iso(-1000)}  # fmt: skip
        offer = {"fulfillmentChannelCode": "AMAZON_NA"}
        if sku in self.stock:
            offer = {"fulfillmentChannelCode": "DEFAULT", "quantity": self.shows(sku)}  # type: ignore[dict-item]  # JSON
        return {"sku": sku, "summaries": [summary], "fulfillmentAvailability": [offer]}

    def _listings(self, query: dict[str, list[str]]) -> tuple[int, Any]:
        names = sorted([*self.stock, *self.fba])
        if "identifiers" in query:
            names = [name for name in query["identifiers"][0].split(",") if self._knows(name)]
        start = int(query.get("pageToken", ["0"])[0])
        page = names[start : start + 20]
        more = {"pagination": {"nextToken": str(start + 20)}} if start + 20 < len(names) else {}
        return 200, {"numberOfResults": len(names), "items": [self._item(name) for name in page], **more}

    def _patch(self, sku: str, body: Any) -> tuple[int, Any]:
        assert sku not in self.fba, "a listing that Amazon fulfils was written"
        ((patch,), (value,)) = body["patches"], body["patches"][0]["value"]
        assert (patch["op"], patch["path"]) == ("merge", "/attributes/fulfillment_availability")
        assert value["fulfillment_channel_code"] == "DEFAULT"
        now = trio.current_time()
        self.written.append((now, sku, value["quantity"]))
        if self.applies_s > APPLIES_S:
            self.befell("late")
        if self.lost:
            self.lost -= 1
            self.befell("lost")
        else:
            self._later.append((now + self.applies_s, sku, value["quantity"]))
        return 200, {"sku": sku, "status": "ACCEPTED", "submissionId": f"s-{len(self.written)}", "issues": []}

    def _feeds(self, method: str, place: list[str], body: Any) -> tuple[str, Any]:
        now = trio.current_time()
        self._later += self.feeds.process(now)
        match method, place:
            case "POST", ["documents"]:
                return "createFeedDocument", lambda: self.feeds.new_document(body, now)
            case "POST", ["feeds"]:
                return "createFeed", lambda: self.feeds.new_feed(body, now)
            case "GET", ["feeds", name]:
                return "getFeed", lambda: self.feeds.status(name, now)
            case "GET", ["documents", name]:
                return "getFeedDocument", lambda: self.feeds.document(name, now)
        raise AssertionError(f"{method} {place}")

    def _destination(self, method: str, body: Any) -> tuple[int, Any]:
        if method == "POST":
            arn = body["resourceSpecification"]["sqs"]["arn"]
            if arn in self.destinations.values():
                return 409, _errors("Conflict")
            self.destinations[f"d-{len(self.destinations)}"] = arn
        made = [{"destinationId": each, "name": "x", "resource": {"sqs": {"arn": arn}}}
                for each, arn in self.destinations.items()]  # fmt: skip
        return 200, {"payload": made[-1] if method == "POST" else made}

    def _subscription(self, method: str, kind: str, body: Any) -> tuple[int, Any]:
        if method == "POST":
            if kind in self.subscriptions:
                return 409, _errors("Conflict")
            assert body["destinationId"] in self.destinations
            self.subscriptions[kind] = body["destinationId"]
        if kind not in self.subscriptions:
            return 404, _errors("NotFound")
        found = {"subscriptionId": f"s-{kind}", "payloadVersion": "1.0", "destinationId": self.subscriptions[kind]}
        return 200, {"payload": found}


def _errors(code: str) -> dict[str, Any]:
    return {"errors": [{"code": code, "message": "told so", "details": ""}]}


def _shown(order: Sold) -> dict[str, Any]:
    item = {
        "orderItemId": f"{order.order_id}-1", "quantityOrdered": order.ordered,
        "product": {"asin": "B000EXAMPL", "sellerSku": order.sku},
        "fulfillment": {
            "quantityFulfilled": order.shipped, "quantityUnfulfilled": order.ordered - order.shipped
        },
    }  # fmt: skip
    return {
        "orderId": order.order_id, "createdTime": iso(order.created), "lastUpdatedTime": iso(order.updated),
        "salesChannel": {"channelName": "AMAZON", "marketplaceId": MARKETPLACE},
        "fulfillment": {"fulfillmentStatus": order.status, "fulfilledBy": order.by}, "orderItems": [item],
    }  # fmt: skip

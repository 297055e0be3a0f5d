"""A small Walmart that keeps its own books, composed from its sheet: it takes its open orders off what it is told.

    available to sell = max(0, input - open)

Selling opens units; sending or cancelling closes them without changing the input (walmart.md §5.1, §8).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email import message_from_bytes
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from attrs import define, field

from adapters.stamps import rfc3339_span
from daemon.domain.exchange import Request, Response
from tests.adapters.official.judge import judged

Json = Any

CLIENT_ID, CLIENT_SECRET, HOOK_SECRET = "composed-client-id", "composed-secret-77", "composed-hook-secret-0001"
NODE = "10001234567"
DAY_S = 86_400.0
PAGE_ORDERS = 2
"""A page of orders holds fewer than are asked for, so that there are several."""
PARTS = ("Created", "Acknowledged", "Shipped", "Delivered", "Cancelled", "Refund")


@define
class Line:
    """One line of an order: its units by status."""

    sku: str
    parts: dict[str, int]
    changed_s: float

    @property
    def open(self) -> int:
        return self.parts["Created"] + self.parts["Acknowledged"]

    def move(self, units: int, into: str, now_s: float, out_of: tuple[str, ...]) -> None:
        self.changed_s = now_s
        for status in out_of:
            moved = min(units, self.parts[status])
            self.parts[status] -= moved
            self.parts[into] += moved
            units -= moved
        assert not units, "more units than there are"


@define
class Order:
    number: str
    placed_s: float
    modified_s: float
    lines: list[Line]
    ship_node: str = "SellerFulfilled"


@define
class Feed:
    rows: list[Json]
    done_s: float
    results: dict[str, str] | None = None


@define
class Twin:
    """`now_s` is its clock. `lag_s`: how long a feed takes. `token_life_s`: how long a token lives."""

    told: dict[str, int]
    now_s: Callable[[], float]
    lag_s: float = 1_800.0
    token_life_s: int = 900
    hex_signature: bool = False
    quota: int = 200
    """Calls a minute for each endpoint."""
    orders: dict[str, Order] = field(factory=dict)
    hooks: dict[str, Json] = field(factory=dict)
    feeds: dict[str, Feed] = field(factory=dict)
    tokens: dict[str, float] = field(factory=dict)
    """By token: until when it is good."""
    phantoms: int = 0
    """So many of the next writes are acknowledged and not done."""
    refused: set[str] = field(factory=set)
    """SKUs that a feed refuses."""
    befell: Callable[[str], None] = lambda what: None
    """Told that a feed came ("feed"), refused an item ("refused"), a write was acknowledged only ("phantom")."""
    nothing_is_404: bool = True
    deaf: bool = False
    mute: bool = False
    log: list[tuple[str, str, int]] = field(factory=list)
    written: list[tuple[str, int]] = field(factory=list)
    seen_ids: set[str] = field(factory=set)
    oversold: int = 0
    send: Callable[[Json, str, bytes, dict[str, str]], None] = lambda hook, url, body, headers: None
    _number: int = 0
    _asked: dict[str, list[float]] = field(factory=dict)

    # -- shoppers and the seller --

    def open(self, sku: str) -> int:
        """Units that Walmart reserves."""
        ours = [order for order in self.orders.values() if order.ship_node == "SellerFulfilled"]
        return sum(line.open for order in ours for line in order.lines if line.sku == sku)

    def shown(self, sku: str) -> int:
        """What can be bought."""
        self.process()
        return max(0, self.told[sku] - self.open(sku))

    def sell(self, *lines: tuple[str, int], ship_node: str = "SellerFulfilled") -> str:
        """An order; Walmart sells no more than it shows, unless it sends by itself."""
        if ship_node == "SellerFulfilled":
            assert all(units <= self.shown(sku) for sku, units in lines), "it does not show so many"
        self._number += 1
        number, now = f"10891234567{self._number:04}", self.now_s()
        found = [Line(sku, dict.fromkeys(PARTS, 0) | {"Created": units}, now) for sku, units in lines]
        self.orders[number] = Order(number, now, now, found, ship_node)
        self.tell("PO_CREATED", number)
        return number

    def acknowledge(self, number: str) -> None:
        for line in self._touched(number).lines:
            line.move(line.parts["Created"], "Acknowledged", self.now_s(), ("Created",))

    def ship(self, number: str, place: int = 0, units: int | None = None) -> None:
        """Nothing tells of it."""
        line = self._touched(number).lines[place]
        line.move(line.open if units is None else units, "Shipped", self.now_s(), ("Acknowledged", "Created"))

    def cancel(self, number: str, place: int = 0, units: int | None = None, *, by_walmart: bool = False) -> None:
        line = self._touched(number).lines[place]
        line.move(line.open if units is None else units, "Cancelled", self.now_s(), ("Created", "Acknowledged"))
        if by_walmart:
            self.tell("PO_LINE_AUTOCANCELLED", number)

    def refund(self, number: str, place: int = 0, units: int = 1) -> None:
        """Money: it takes the place of units that were sent."""
        self._touched(number).lines[place].move(units, "Refund", self.now_s(), ("Shipped", "Delivered"))

    def _touched(self, number: str) -> Order:
        order = self.orders[number]
        order.modified_s = self.now_s()
        return order

    def process(self) -> None:
        """Apply the feeds whose time has come."""
        for feed in self.feeds.values():
            if feed.results is None and feed.done_s <= self.now_s():
                feed.results = {}
                for row in feed.rows:
                    sku = row["sku"]
                    good = sku in self.told and sku not in self.refused
                    feed.results[sku] = "SUCCESS" if good else "DATA_ERROR"
                    if not good:
                        self.befell("refused")
                    if good:
                        self._write(sku, row["quantity"]["amount"])

    def _write(self, sku: str, units: int) -> None:
        self.written.append((sku, units))
        self.told[sku] = units

    # -- notifications --

    def tell(self, kind: str, number: str) -> None:
        """The new event, with its buyer."""
        order = self.orders[number]
        self._number += 1
        body = json.dumps(
            {
                "source": {"eventType": "ORDER_UPDATES", "eventTime": _iso(self.now_s()),
                           "eventId": f"e-{self._number}"},
                "payload": {"meta": {"partnerId": NODE, "subEventType": kind}, "order": {
                    "purchaseOrderId": number, "customerName": "Robin Canary",
                    "orderLines": [{"lineNumber": str(place), "sku": line.sku, "status": "CREATED",
                                    "quantity": {"unitOfMeasure": "EACH", "measurementValue": str(line.open)}}
                                   for place, line in enumerate(order.lines, 1)]}},
            },
            separators=(",", ":"),
        ).encode()  # fmt: skip
        for hook in self.hooks.values():
            if not self.mute and hook["status"] == "ACTIVE" and hook["eventType"] == "ORDER_UPDATES":
                self.send(hook, hook["eventUrl"], body, self._proof(hook["authDetails"], body))

    def _proof(self, auth: Json, body: bytes) -> dict[str, str]:
        if auth["authMethod"] == "BASIC_AUTH":
            value = base64.b64encode(f"{auth['userName']}:{auth['password']}".encode()).decode()
        else:
            digest = hmac.new(auth["clientSecret"].encode(), body, hashlib.sha256)
            value = digest.hexdigest() if self.hex_signature else base64.b64encode(digest.digest()).decode()
        return {auth["authHeaderName"].lower(): value, "content-type": "application/json"}

    # -- the API --

    def respond(self, request: Request) -> Response:
        """What an adapter's request gets. It must have been signed, and carry its token."""
        headers = {**request.headers, **request.secret_headers}
        status, body, extra = self.answer(request.method, request.url, headers, request.body)
        return Response(status, extra, b"" if body is None else json.dumps(body).encode())

    @judged("walmart")
    def answer(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, Json, dict[str, str]]:
        headers = {name.lower(): value for name, value in headers.items()}
        parts = urlsplit(target)
        path = parts.path.removeprefix("/v3")
        extra = {"date": formatdate(self.now_s(), usegmt=True)}
        status, content = self._admitted(method, path, headers, extra)
        if status == 200 and content is None:
            self.process()
            query = dict(parse_qsl(parts.query, keep_blank_values=True))
            status, content = self._route(method, path.strip("/").split("/"), query, headers, body)
        self.log.append((method, path, status))
        return status, content, extra

    def _admitted(
        self, method: str, path: str, headers: dict[str, str], extra: dict[str, str]
    ) -> tuple[int, Json]:  # fmt: skip
        """Headers, the token, the rate: (200, None) where nothing is in the way."""
        correlation = headers.get("wm_qos.correlation_id", "")
        if headers.get("wm_svc.name") != "Walmart Marketplace" or not correlation or correlation in self.seen_ids:
            return 400, _error("INVALID_REQUEST_HEADER", "DATA")
        self.seen_ids.add(correlation)
        if path == "/token":
            return 200, None
        if self.tokens.get(headers.get("wm_sec.access_token", ""), 0.0) < self.now_s():
            return 401, {"error": [{"code": "UNAUTHORIZED.GMP_GATEWAY_API", "category": "REQUEST"}]}
        kind = f"{method} /{path.strip('/').split('/')[0]}"
        now = self.now_s()
        asked = self._asked[kind] = [at for at in self._asked.get(kind, []) if at > now - 60] + [now]
        extra["x-current-token-count"] = str(max(0, self.quota - len(asked)))
        extra["x-next-replenishment-time"] = str(int((asked[0] + 60) * 1_000))
        if len(asked) > self.quota:
            return 429, {"error": [{"code": "REQUEST_THRESHOLD_VIOLATED.GMP_GATEWAY_API", "category": "REQUEST"}]}
        return 200, None

    def _route(
        self, method: str, path: list[str], query: dict[str, str], headers: dict[str, str], body: bytes
    ) -> tuple[int, Json]:  # fmt: skip
        match method, path:
            case "POST", ["token"]:
                return self._token(headers, body)
            case "GET", ["orders"]:
                return self._feed_of_orders(query)
            case "GET", ["orders", number]:
                found = self.orders.get(number)
                return (200, {"order": _order(found, single=True)}) if found else _none()
            case "GET", ["inventories"]:
                return self._inventories(query)
            case "GET", ["inventories", sku]:
                name = unquote(sku)
                return (200, self._inventory(name)) if name in self.told else _none()
            case "PUT", ["inventory"]:
                return self._put(query["sku"], json.loads(body))
            case "POST", ["feeds"]:
                return self._take_feed(headers["content-type"], body)
            case "GET", ["feeds", job]:
                return self._feed_status(unquote(job), query)
            case "GET", ["webhooks", "subscriptions"]:
                return 200, {"events": list(self.hooks.values())}
            case "POST", ["webhooks", "subscriptions"]:
                (wish,) = json.loads(body)["events"]
                return self._subscribe(f"s-{len(self.hooks) + 1}", wish)
            case "PATCH", ["webhooks", "subscriptions", number] if number in self.hooks:
                return self._subscribe(number, json.loads(body))
            case _:
                return 404, _error("NOT_FOUND", "REQUEST")

    def _token(self, headers: dict[str, str], body: bytes) -> tuple[int, Json]:
        keys = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        if headers.get("authorization") != f"Basic {keys}" or body != b"grant_type=client_credentials":
            return 401, {"error": [{"code": "UNAUTHORIZED"}]}
        self._number += 1
        made = f"eyJ-token-{self._number}"
        self.tokens[made] = self.now_s() + self.token_life_s
        return 200, {"access_token": made, "token_type": "Bearer", "expires_in": self.token_life_s}

    def _feed_of_orders(self, query: dict[str, str]) -> tuple[int, Json]:
        """Without a creation date: the last seven days. Without a fulfilment type: the seller's own."""
        since = _stamp(query["lastModifiedStartDate"])
        created = _stamp(query["createdStartDate"]) if "createdStartDate" in query else self.now_s() - 7 * DAY_S
        if created < self.now_s() - 180 * DAY_S:
            return 400, _error("INVALID_REQUEST_PARAM.GMP_ORDER_API", "DATA")
        kind = query.get("shipNodeType", "SellerFulfilled")
        found = [
            order for order in self.orders.values()
            if (self.deaf or int(order.modified_s) >= since) and order.placed_s >= created and order.ship_node == kind
        ]  # fmt: skip
        if not found and self.nothing_is_404:
            return _none()
        start = int(query.get("poIndex", "0"))
        page = found[start : start + PAGE_ORDERS]
        meta: Json = {"totalCount": len(found), "limit": int(query["limit"])}
        if len(found) > start + PAGE_ORDERS:
            rest = {**query, "poIndex": str(start + PAGE_ORDERS), "hasMoreElements": "true"}
            meta["nextCursor"] = "?" + "&".join(f"{name}={quote(value, safe='')}" for name, value in rest.items())
        return 200, {"list": {"meta": meta, "elements": {"order": [_order(order) for order in page]}}}

    def _inventory(self, sku: str) -> Json:
        return {"sku": sku, "nodes": [{
            "shipNode": NODE, "inputQty": _units(self.told[sku]), "availToSellQty": _units(self.shown(sku)),
            "reservedQty": _units(self.open(sku))}]}  # fmt: skip

    def _inventories(self, query: dict[str, str]) -> tuple[int, Json]:
        """Two to a page, which therefore is never full."""
        names, start = sorted(self.told), int(query.get("nextCursor", "0") or "0")
        meta: Json = {"totalCount": len(names)}
        if start + 2 < len(names):
            meta["nextCursor"] = str(start + 2)
        items = [self._inventory(name) for name in names[start : start + 2]]
        return 200, {"meta": meta, "elements": {"inventories": items}}

    def _put(self, sku: str, payload: Json) -> tuple[int, Json]:
        if sku not in self.told or payload["sku"] != sku:
            return 404, _error("CONTENT_NOT_FOUND.GMP_INVENTORY_API", "DATA")
        if self.phantoms:
            self.befell("phantom")
            self.phantoms -= 1
        else:
            self._write(sku, payload["quantity"]["amount"])
        return 200, payload

    def _take_feed(self, kind: str, body: bytes) -> tuple[int, Json]:
        message = message_from_bytes(f"content-type: {kind}\r\n\r\n".encode() + body)
        (part,) = message.get_payload()
        document = json.loads(part.get_payload(decode=True))  # type: ignore[union-attr,arg-type]  # one part, of bytes
        assert document["InventoryHeader"] == {"version": "1.4"}
        job = f"F{len(self.feeds) + 1:031X}@AU8BAQA"
        self.feeds[job] = Feed(document["Inventory"], self.now_s() + self.lag_s)
        self.befell("feed")
        return 200, {"feedId": job}

    def _feed_status(self, job: str, query: dict[str, str]) -> tuple[int, Json]:
        feed = self.feeds.get(job)
        if feed is None:
            return _none()
        start, size = int(query["offset"]), int(query["limit"])
        results = feed.results or {}
        rows = [
            {"sku": sku, "index": place, "ingestionStatus": result}
            for place, (sku, result) in enumerate(results.items())
        ]
        status = "INPROGRESS" if feed.results is None else "PROCESSED"
        return 200, {
            "feedId": job, "feedStatus": status, "itemsReceived": len(feed.rows), "offset": start, "limit": size,
            "itemDetails": {"itemIngestionStatus": rows[start : start + size]},
        }  # fmt: skip

    def _subscribe(self, number: str, wish: Json) -> tuple[int, Json]:
        self.hooks[number] = {**self.hooks.get(number, {}), **wish, "subscriptionId": number, "partnerId": NODE}
        return 200, {"events": [self.hooks[number]]}


def _none() -> tuple[int, Json]:
    return 404, _error("CONTENT_NOT_FOUND.GMP_API", "DATA")


def _error(code: str, category: str) -> Json:
    return {"errors": [{"code": code, "description": "no", "severity": "ERROR", "category": category}]}


def _units(units: int) -> Json:
    return {"unit": "EACH", "amount": units}


def _text(units: int) -> Json:
    return {"unitOfMeasurement": "EACH", "amount": str(units)}


def _order(order: Order, *, single: bool = False) -> Json:
    lines = [
        {
            "lineNumber": str(place), "item": {"productName": "x", "sku": line.sku}, "charges": {"charge": []},
            "orderLineQuantity": _text(sum(line.parts.values())), "statusDate": int(line.changed_s * 1_000),
            "orderLineStatuses": {"orderLineStatus": [
                {"status": status, "statusQuantity": _text(units)} for status, units in line.parts.items() if units
            ]},
        }
        for place, line in enumerate(order.lines, 1)
    ]  # fmt: skip
    return {
        "purchaseOrderId": order.number, "customerOrderId": f"2{order.number}",
        "customerEmailId": "robin@canary.example",
        "orderDate": _iso(order.placed_s) if single else int(order.placed_s * 1_000),
        "shippingInfo": {
            "phone": "555", "methodCode": "Standard", "estimatedShipDate": int(order.placed_s * 1_000) + 86_400_000,
            "estimatedDeliveryDate": int(order.placed_s * 1_000) + 5 * 86_400_000,
            "postalAddress": {
                "name": "Robin Canary", "address1": "1 Canary Row", "city": "Nowhere", "state": "CA",
                "postalCode": "90210", "country": "USA", "addressType": "RESIDENTIAL",
            },
        },
        "orderLines": {"orderLine": lines}, "shipNode": {"type": order.ship_node},
    }  # fmt: skip


def _iso(now_s: float) -> str:
    return datetime.fromtimestamp(now_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{int(now_s * 1_000) % 1_000:03}Z"


def _stamp(text: str) -> int:
    span = rfc3339_span(text)
    assert span is not None, text
    return span.lo // 1_000_000

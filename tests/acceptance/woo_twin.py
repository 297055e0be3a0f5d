"""A small WooCommerce store over loopback HTTP: products, orders, webhooks and batch writes.

Composed from what its documentation and source say, not from any store's traffic. Calls must be signed with
OAuth 1.0a, as WooCommerce demands it over plain HTTP. Webhooks are sent once and never repeated; creating one pings
its URL first.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import trio
from attrs import define, field

from daemon.domain.exchange import Request, Response
from tests.acceptance.webhooks import exchange, request
from tests.adapters.official import judge

API = "/wp-json/wc/v3"
KEY, SECRET = "ck_twin", "cs_twin"  # a pair of names, good for nothing but this twin
Json = Any


@define
class Item:
    """A product, or a variation of `parent`, that manages its own stock."""

    id: int
    sku: str
    stock: int
    parent: int = 0
    modified_s: int = field(factory=lambda: int(time.time()))

    def shown(self) -> Json:
        return {
            "id": self.id, "sku": self.sku, "name": f"Item {self.id}", "parent_id": self.parent,
            "type": "variation" if self.parent else "simple", "manage_stock": True, "stock_quantity": self.stock,
            "date_modified_gmt": stamp(self.modified_s), "variations": [],
        }  # fmt: skip


@define
class Twin:
    """The store. `log` holds what was asked of it: (method, path, status)."""

    items: dict[int, Item]
    parents: tuple[int, ...] = ()
    orders: dict[int, Json] = field(factory=dict)
    hooks: list[Json] = field(factory=list)
    log: list[tuple[str, str, int]] = field(factory=list)
    written: list[tuple[str, int, int]] = field(factory=list)
    """(SKU, level before, level written) of every item written."""
    pings: list[int] = field(factory=list)
    delivered: list[tuple[str, int]] = field(factory=list)
    orders_broken: bool = False
    """The order feed answers 500."""
    mute: bool = False
    """No webhook leaves."""
    dated: bool = True
    now_s: Callable[[], float] = time.time
    send: Callable[[str, bytes, dict[str, str]], Awaitable[int]] = field(factory=lambda: _send)
    """Takes a webhook to its URL; the status of the answer, 0 where there was none."""
    port: int = 0
    _nursery: Any = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stock(self, sku: str) -> int:
        return self.item(sku).stock

    def item(self, sku: str) -> Item:
        return next(item for item in self.items.values() if item.sku == sku)

    # -- shoppers --

    def sell(self, sku: str, units: int) -> int:
        """A paid order of so many units; its number."""
        item = self.item(sku)
        number = 1_000 + len(self.orders)
        line = {
            "id": number * 10, "product_id": item.parent or item.id, "variation_id": item.id if item.parent else 0,
            "quantity": units, "sku": sku, "meta_data": [{"id": 1, "key": "_reduced_stock", "value": str(units)}],
        }  # fmt: skip
        now_s = int(self.now_s())
        self.orders[number] = {
            "id": number, "status": "processing", "date_created_gmt": stamp(now_s), "date_modified_gmt": stamp(now_s),
            "date_completed_gmt": None, "billing": {"first_name": "Robin"}, "line_items": [line], "refunds": [],
        }  # fmt: skip
        self._move(item, -units)
        self.post("order.created", self.orders[number])
        return number

    def cancel(self, number: int) -> tuple[str, int]:
        """Give everything back: (SKU, units)."""
        order = self.orders[number]
        (line,) = order["line_items"]
        held = sum(int(meta["value"]) for meta in line["meta_data"] if meta["key"] == "_reduced_stock")
        line["meta_data"] = []
        self._move(self.item(line["sku"]), held)
        order |= {"status": "cancelled", "date_modified_gmt": stamp(int(self.now_s()))}
        self.post("order.updated", order)
        return line["sku"], held

    def complete(self, number: int) -> None:
        """It was sent."""
        self.orders[number]["date_completed_gmt"] = stamp(int(self.now_s()))
        self.set_status(number, "completed")

    def refund(self, number: int, units: int) -> None:
        """Money back, and so many units on the shelf again (woocommerce.md §3)."""
        order = self.orders[number]
        (line,) = order["line_items"]
        for meta in line["meta_data"]:
            if meta["key"] == "_reduced_stock":
                meta["value"] = str(int(meta["value"]) - units)
        order["refunds"] = [*order["refunds"], {"id": 800 + len(order["refunds"]), "reason": "x", "total": "-1.00"}]
        self._move(self.item(line["sku"]), units)
        self.set_status(number, order["status"])

    def set_status(self, number: int, status: str) -> None:
        """Nothing but its status changes, and its stamp."""
        self.orders[number] |= {"status": status, "date_modified_gmt": stamp(int(self.now_s()))}
        self.post("order.updated", self.orders[number])

    def _move(self, item: Item, units: int) -> None:
        item.stock += units
        item.modified_s = int(self.now_s())
        self.post("product.updated", item.shown())

    def post(self, topic: str, body: Json) -> None:
        """Send a webhook, once."""
        if self.mute:
            return
        content = json.dumps(body).replace("/", "\\/").encode()
        for hook in self.hooks:
            if hook["topic"] == topic and hook["status"] == "active":
                self._nursery.start_soon(self._deliver, hook, topic, content)

    async def _deliver(self, hook: Json, topic: str, content: bytes) -> None:
        digest = hmac.digest(hook["secret"].encode(), content, "sha256")
        headers = {
            "content-type": "application/json", "x-wc-webhook-topic": topic, "x-wc-webhook-id": str(hook["id"]),
            "x-wc-webhook-signature": base64.b64encode(digest).decode(), "x-wc-webhook-delivery-id": "same",
        }  # fmt: skip
        self.delivered.append((topic, await self.send(hook["delivery_url"], content, headers)))

    # -- the API --

    async def answer(self, method: Any, target: str, body: bytes) -> tuple[int, Json, dict[str, str]]:
        """Whatever comes and goes is as WooCommerce's own schemas have it."""
        request = Request(method, f"{self.url}{target}", {}, body)
        judge.hold_request("woocommerce", request)
        status, content, extra = await self._answer(method, target, body)
        judge.hold_answer("woocommerce", request, Response(status, {}, judge.written(content)))
        return status, content, extra

    async def _answer(self, method: str, target: str, body: bytes) -> tuple[int, Json, dict[str, str]]:
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        if not parts.path.startswith(API) or not self._signed(method, parts.path, query):
            return 401, _error("woocommerce_rest_authentication_error", 401), {}
        path = parts.path.removeprefix(API).strip("/").split("/")
        payload = json.loads(body) if body else {}
        match method, path:
            case "GET", ["products"]:
                simple = [item.shown() for item in self.items.values() if not item.parent]
                return _page([*simple, *map(self._parent, self.parents)], query)
            case "GET", ["products", number] if number.isdigit():
                return 200, self._product(int(number)), {}
            case "GET", ["products", number, "variations"]:
                return _page([each.shown() for each in self.items.values() if each.parent == int(number)], query)
            case "POST", ["products", *rest, "batch"]:
                parent = int(rest[0]) if rest else 0
                return 200, {"update": [self._write(row, parent) for row in payload["update"]]}, {}
            case "GET", ["orders"]:
                return self._feed(query)
            case "GET", ["orders", number]:
                found = self.orders.get(int(number))
                return (200, found, {}) if found else (404, _error("woocommerce_rest_shop_order_invalid_id", 404), {})
            case "GET", ["webhooks"]:
                return _page([{**hook, "secret": None} for hook in self.hooks], query)
            case "POST", ["webhooks"]:
                return await self._subscribe(payload)
            case _:
                return 404, _error("rest_no_route", 404), {}

    def _signed(self, method: str, path: str, query: dict[str, str]) -> bool:
        given = query.pop("oauth_signature", "")
        pairs = sorted((quote(name, safe=""), quote(value, safe="")) for name, value in query.items())
        normal = "&".join(f"{name}={value}" for name, value in pairs)
        text = "&".join((method, quote(self.url + path, safe=""), quote(normal, safe="")))
        digest = hmac.new(f"{SECRET}&".encode(), text.encode(), hashlib.sha256).digest()
        fresh = abs(int(query.get("oauth_timestamp", "0")) - self.now_s()) < 900
        return fresh and query.get("oauth_consumer_key") == KEY and given == base64.b64encode(digest).decode()

    def _parent(self, number: int) -> Json:
        variations = [item.id for item in self.items.values() if item.parent == number]
        shown = Item(number, "", 0).shown()
        return {**shown, "type": "variable", "manage_stock": False, "stock_quantity": None, "variations": variations}

    def _product(self, number: int) -> Json:
        return self._parent(number) if number in self.parents else self.items[number].shown()

    def _write(self, row: Json, parent: int) -> Json:
        item = self.items.get(row["id"])
        if item is None or item.parent != parent:
            return {"id": row["id"], "error": _error("woocommerce_rest_product_invalid_id", 400)}
        self.written.append((item.sku, item.stock, row["stock_quantity"]))
        item.stock, item.modified_s = row["stock_quantity"], int(self.now_s())
        self.post("product.updated", item.shown())
        return item.shown()

    def _feed(self, query: dict[str, str]) -> tuple[int, Json, dict[str, str]]:
        if self.orders_broken:
            return 500, _error("internal_server_error", 500), {}
        after = query.get("modified_after", "")
        found = [order for order in self.orders.values() if order["date_modified_gmt"] > after]
        return _page(sorted(found, key=lambda order: (order["date_modified_gmt"], order["id"])), query)

    async def _subscribe(self, payload: Json) -> tuple[int, Json, dict[str, str]]:
        hook = {"id": 1 + len(self.hooks), **payload}
        form = {"content-type": "application/x-www-form-urlencoded"}
        self.pings.append(await self.send(hook["delivery_url"], f"webhook_id={hook['id']}".encode(), form))
        self.hooks.append(hook)
        return 201, {**hook, "secret": None}, {}

    # -- the wire --

    async def serve(self, stream: trio.SocketStream) -> None:
        """One connection, one call."""
        received = b""
        while b"\r\n\r\n" not in received:
            data = await stream.receive_some(65_536)
            if not data:
                return
            received += data
        head, _, body = received.partition(b"\r\n\r\n")
        start, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        while len(body) < int(headers.get("content-length", "0")):
            body += await stream.receive_some(65_536)
        method, target, _ = start.split()
        status, content, extra = await self.answer(method, target, body)
        self.log.append((method, urlsplit(target).path.removeprefix(API), status))
        sent = json.dumps(content).encode()
        extra = {**extra, "Content-Type": "application/json", "Content-Length": str(len(sent)), "Connection": "close"}
        if self.dated:
            extra["Date"] = formatdate(usegmt=True)
        shown = "".join(f"{name}: {value}\r\n" for name, value in extra.items())
        await stream.send_all(f"HTTP/1.1 {status} X\r\n{shown}\r\n".encode() + sent)
        await stream.aclose()


def stamp(second: int) -> str:
    """As the store writes its `_gmt` stamps."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _error(code: str, status: int) -> Json:
    return {"code": code, "message": "no", "data": {"status": status}}


def _page(rows: list[Json], query: dict[str, str]) -> tuple[int, Json, dict[str, str]]:
    if query.get("include"):
        rows = [row for row in rows if str(row["id"]) in query["include"].split(",")]
    size, page = int(query.get("per_page", "10")), int(query.get("page", "1"))
    pages = -(-len(rows) // size)
    return 200, rows[(page - 1) * size : page * size], {"X-WP-Total": str(len(rows)), "X-WP-TotalPages": str(pages)}


async def _send(url: str, content: bytes, headers: dict[str, str]) -> int:
    """The status of the answer; 0 where there was none."""
    parts = urlsplit(url)
    try:
        return (await exchange(parts.port or 80, request("POST", parts.path, content, headers), 5)).status
    except (OSError, trio.BrokenResourceError, trio.TooSlowError, IndexError):
        return 0  # nobody there, too slow, or cut off in the middle


@asynccontextmanager
async def running(twin: Twin, port: int = 0) -> AsyncIterator[Twin]:
    """The store, taking calls."""
    listeners = await trio.open_tcp_listeners(port, host="127.0.0.1")
    twin.port = listeners[0].socket.getsockname()[1]

    async def survive(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):  # the daemon was killed in the middle of a call
            await twin.serve(stream)

    async with trio.open_nursery() as nursery:
        twin._nursery = nursery
        nursery.start_soon(trio.serve_listeners, survive, listeners)
        yield twin
        nursery.cancel_scope.cancel()

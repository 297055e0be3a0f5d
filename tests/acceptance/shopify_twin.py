"""A small Shopify shop over loopback HTTP: variants, orders, refunds, webhooks, tokens, and stock written by GraphQL.

Composed from what our sheet says, not from any shop's traffic. It is as strict as that: a query that could cost too
much is refused, a bucket that is empty throttles, a stock mutation needs its key and every row its
`changeFromQuantity`, one stale row refuses its whole call, a refresh token is good until its successor is first used,
the search behind the order feed lags, a webhook is never repeated, and after 8 failures in a row its subscription is
gone.
"""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any
from urllib.parse import urlsplit

import trio
from attrs import define, field

from tests.acceptance.webhooks import exchange, request
from tests.adapters.official.judge import judged
from tests.adapters.shopify_cost import cost_of

API = "/admin/api/2026-10/graphql.json"
DOMAIN = "twin-eu.myshopify.com"
LOCATION = "905684977"
CLIENT = ("twin-client", "shpss_of_the_twin")  # names, good for nothing but this twin
TOKEN = "shpat_of_the_twin"
FAILURES_MAX = 8
Json = Any


@define
class Variant:
    """A variant with its inventory item, tracked at the one location."""

    id: int
    item: int
    sku: str
    available: int


@define
class Bucket:
    """The shop's points."""

    maximum: float = 20_000.0
    rate: float = 5_000.0
    left: float = 20_000.0
    at: float = 0.0

    def take(self, cost: float, now: float) -> bool:
        self.left = min(self.maximum, self.left + (now - self.at) * self.rate)
        self.at = now
        if cost > self.left:
            return False
        self.left -= cost
        return True


@define
class Twin:
    """The shop. `asked` counts the operations it was asked for, by name; `written` what stock was written."""

    variants: list[Variant]
    orders: dict[int, Json] = field(factory=dict)
    hooks: list[Json] = field(factory=list)
    asked: dict[str, int] = field(factory=dict)
    written: list[tuple[str, int, int]] = field(factory=list)
    """(SKU, level before, level written)."""
    stale: int = 0
    """Rows refused because the shop showed something else."""
    throttled: int = 0
    delivered: list[tuple[str, int]] = field(factory=list)
    mute: bool = False
    """No webhook leaves."""
    lag_s: float = 0.3
    """So late an order shows in the search."""
    bucket: Bucket = field(factory=Bucket)
    tokens: set[str] = field(factory=lambda: {TOKEN})
    refresh: str = "refresh-0"
    spent: list[str] = field(factory=list)
    """The refresh tokens that were used, in order; "" for client credentials."""
    lose_token_answers: int = 0
    now_s: Callable[[], float] = time.time
    send: Callable[[str, bytes, dict[str, str]], Awaitable[int]] = field(factory=lambda: _send)
    """Takes a webhook to its URL; the status of the answer, 0 where there was none."""
    port: int = 0
    _former: str = ""
    _keys: dict[str, tuple[str, Json]] = field(factory=dict)
    _changed: dict[int, float] = field(factory=dict)
    _nursery: Any = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stock(self, sku: str) -> int:
        return self._of(sku).available

    def _of(self, sku: str) -> Variant:
        return next(each for each in self.variants if each.sku == sku)

    # -- shoppers --

    def sell(self, sku: str, units: int) -> int:
        """An order of so many units, not paid yet; its number."""
        variant, number = self._of(sku), 5_000_000_000_001 + len(self.orders)
        line = {"id": number * 10, "variant": variant.id, "sku": sku, "quantity": units, "unfulfilled": units}
        self.orders[number] = {"id": number, "created": int(self.now_s()), "lines": [line], "refunds": []}
        self._move(variant, -units)
        self._touch(number, "orders/create")
        return number

    def refund(self, number: int, units: int, kind: str, *, sent: bool = False) -> None:
        """Refund units of the order's line: "cancel", "return" or "no_restock"; `sent`: units that were sent, as
        those that are returned always were."""
        order = self.orders[number]
        (line,) = order["lines"]
        rows = [{"line": line["id"], "quantity": units, "kind": kind}]
        order["refunds"].append({"id": number * 100 + len(order["refunds"]), "rows": rows})
        if kind != "return" and not sent:
            line["unfulfilled"] -= units
        if kind != "no_restock":
            self._move(self._of(line["sku"]), units)
        self._touch(number, "orders/updated")

    def fulfil(self, number: int, units: int) -> None:
        """So many units are sent."""
        (line,) = self.orders[number]["lines"]
        line["unfulfilled"] -= units
        self._touch(number, "orders/updated")

    def _move(self, variant: Variant, units: int) -> None:
        variant.available += units
        body = {
            "inventory_item_id": variant.item, "location_id": int(LOCATION), "available": variant.available,
            "updated_at": _stamp(int(self.now_s())),
        }  # fmt: skip
        self._post("inventory_levels/update", body)

    def _touch(self, number: int, topic: str) -> None:
        order = self.orders[number]
        # Two changes within one second would have one stamp: this shop takes its time.
        order["updated"] = max(int(self.now_s()), order.get("updated", 0) + 1)
        self._changed[number] = self.now_s()
        self._post(topic, self._rest(order))

    @staticmethod
    def _rest(order: Json) -> Json:
        lines = [
            {"id": each["id"], "variant_id": each["variant"], "sku": each["sku"], "quantity": each["quantity"],
             "fulfillable_quantity": each["unfulfilled"], "gift_card": False}
            for each in order["lines"]
        ]  # fmt: skip
        refunds = [
            {"id": each["id"], "refund_line_items": [
                {"line_item_id": row["line"], "quantity": row["quantity"], "restock_type": row["kind"]}
                for row in each["rows"]
            ]}
            for each in order["refunds"]
        ]  # fmt: skip
        return {
            "id": order["id"], "created_at": _stamp(order["created"]), "updated_at": _stamp(order["updated"]),
            "financial_status": "pending", "email": "robin@buyer.example", "line_items": lines, "refunds": refunds,
        }  # fmt: skip

    # -- webhooks --

    def _post(self, topic: str, body: Json) -> None:
        if self.mute:
            return
        content = json.dumps(body).encode()
        for hook in self.hooks:
            if hook["topic"] == topic.replace("/", "_").upper():
                self._nursery.start_soon(self._deliver, hook, topic, content)

    async def _deliver(self, hook: Json, topic: str, content: bytes) -> None:
        digest = hmac.digest(CLIENT[1].encode(), content, "sha256")
        headers = {
            "content-type": "application/json", "x-shopify-topic": topic, "x-shopify-shop-domain": DOMAIN,
            "x-shopify-hmac-sha256": base64.b64encode(digest).decode(), "x-shopify-webhook-id": "same",
            "x-shopify-api-version": "2026-10",
        }  # fmt: skip
        status = await self.send(hook["uri"], content, headers)
        self.delivered.append((topic, status))
        hook["failures"] = 0 if 200 <= status < 300 else hook["failures"] + 1
        if hook["failures"] >= FAILURES_MAX and hook in self.hooks:
            self.hooks.remove(hook)

    # -- the API --

    @judged("shopify")
    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> tuple[int, Json]:
        payload = json.loads(body) if body else {}
        if (method, target) == ("POST", "/admin/oauth/access_token"):
            return self._grant(payload)
        if (method, target) != ("POST", API):
            return 404, {"errors": "Not Found"}
        token = headers.get("x-shopify-access-token", "")
        if token not in self.tokens:
            return 401, {"errors": "[API] Invalid API key or access token"}
        if token == f"access-of-{self.refresh}":
            self._former = ""  # the new pair was used: the old refresh token is dead
        query, variables = payload["query"], payload["variables"]
        name = query.split()[1].partition("(")[0]
        self.asked[name] = self.asked.get(name, 0) + 1
        cost = cost_of(query, variables)
        if cost > 1_000:
            return 200, {"errors": [{"message": "too dear", "extensions": {"code": "MAX_COST_EXCEEDED"}}]}
        taken = self.bucket.take(cost, self.now_s())
        bucket = {"maximumAvailable": self.bucket.maximum, "currentlyAvailable": self.bucket.left,
                  "restoreRate": self.bucket.rate}  # fmt: skip
        extensions = {"cost": {"requestedQueryCost": cost, "actualQueryCost": cost, "throttleStatus": bucket}}
        if not taken:
            self.throttled += 1
            throttled = {"message": "Throttled", "extensions": {"code": "THROTTLED"}}
            return 200, {"errors": [throttled], "extensions": extensions}
        operations: dict[str, Callable[[str, Json], Json]] = {
            "Orders": self._orders, "Order": self._order, "Refunds": self._refunds, "Variants": self._catalogue,
            "Levels": self._levels, "SetQuantities": self._set, "Hooks": self._list_hooks,
            "Subscribe": self._subscribe,
        }  # fmt: skip
        return 200, {**operations[name](query, variables), "extensions": extensions}

    def _grant(self, payload: Json) -> tuple[int, Json]:
        if (payload["client_id"], payload["client_secret"]) != CLIENT:
            return 400, {"error": "invalid_client"}
        if payload["grant_type"] == "client_credentials":
            self.spent.append("")
            self.tokens.add(token := f"access-{len(self.spent)}")
            return 200, {"access_token": token, "scope": "x", "expires_in": 86_399}
        if payload["refresh_token"] not in (self.refresh, self._former):
            return 400, {"error": "invalid_grant"}
        self.spent.append(payload["refresh_token"])
        self._former, self.refresh = payload["refresh_token"], f"refresh-{len(self.spent)}"
        self.tokens = {token := f"access-of-{self.refresh}"}
        return 200, {"access_token": token, "expires_in": 3_600, "refresh_token": self.refresh,
                     "refresh_token_expires_in": 7_776_000, "scope": "x"}  # fmt: skip

    def _orders(self, query: str, asked: Json) -> Json:
        since = datetime.fromisoformat(asked["query"].partition("'")[2].rstrip("'")).timestamp()
        shown = [
            order for number, order in self.orders.items()
            if order["updated"] >= since and self.now_s() - self._changed[number] >= self.lag_s
        ]  # fmt: skip
        shown.sort(key=lambda order: (order["updated"], order["id"]))
        nodes = [
            {**_head(order), "lineItems": _page([_line(each) for each in order["lines"]]),
             "refunds": [_refund(each) for each in order["refunds"][:2]]}
            for order in shown
        ]  # fmt: skip
        return {"data": {"orders": _paged(nodes, asked)}}

    def _order(self, query: str, asked: Json) -> Json:
        order = self.orders.get(int(asked["id"].rpartition("/")[2]))
        if order is None:
            return {"data": {"order": None}}
        refunds = [{"id": _gid("Refund", each["id"])} for each in order["refunds"]]
        lines = _page([_line(each) for each in order["lines"]])
        return {"data": {"order": {**_head(order), "lineItems": lines, "refunds": refunds}}}

    def _refunds(self, query: str, asked: Json) -> Json:
        found = {
            _gid("Refund", each["id"]): {
                "id": _gid("Refund", each["id"]), "order": {"updatedAt": _utc(order["updated"])},
                "refundLineItems": _refund(each)["refundLineItems"],
            }
            for order in self.orders.values() for each in order["refunds"]
        }  # fmt: skip
        return {"data": {"nodes": [found.get(each) for each in asked["ids"]]}}

    def _item(self, variant: Variant) -> Json:
        return {"id": _gid("InventoryItem", variant.item), "tracked": True, "sku": variant.sku,
                "inventoryLevel": {"quantities": [{"name": "available", "quantity": variant.available}]}}  # fmt: skip

    def _catalogue(self, query: str, asked: Json) -> Json:
        skus = [each.sku for each in self.variants]
        items = {each.id: self._item(each) for each in self.variants}
        for each in self.variants:
            items[each.id]["duplicateSkuCount"] = skus.count(each.sku) - 1
            del items[each.id]["sku"]  # nobody asks for it here
        nodes = [
            {"id": _gid("ProductVariant", each.id), "sku": each.sku, "displayName": f"Item {each.id}",
             "inventoryItem": items[each.id]}
            for each in sorted(self.variants, key=lambda each: each.id)
        ]  # fmt: skip
        return {"data": {"productVariants": _paged(nodes, asked)}}

    def _levels(self, query: str, asked: Json) -> Json:
        found = {_gid("InventoryItem", each.item): self._item(each) for each in self.variants}
        return {"data": {"nodes": [found.get(each) for each in asked["ids"]]}}

    def _set(self, query: str, asked: Json) -> Json:
        rows, key = asked["input"]["quantities"], asked.get("key", "")
        if "@idempotent(key: $key)" not in query or not key.strip():
            return {"errors": [{"message": "directive is required", "extensions": {"code": "BAD_REQUEST"}}]}
        if any("changeFromQuantity" not in row for row in rows):
            return {"errors": [{"message": "missing", "extensions": {"code": "INVALID_FIELD_ARGUMENTS"}}]}
        said = json.dumps(asked["input"], sort_keys=True)
        if key in self._keys:
            before, answer = self._keys[key]
            return answer if before == said else _wrote([_refused("IDEMPOTENCY_KEY_PARAMETER_MISMATCH", None)])
        answer = self._apply(rows)
        self._keys[key] = (said, answer)
        return answer

    def _apply(self, rows: Json) -> Json:
        found = {_gid("InventoryItem", each.item): each for each in self.variants}
        errors = []
        for place, row in enumerate(rows):
            variant = found.get(row["inventoryItemId"])
            if variant is None or row["locationId"] != _gid("Location", LOCATION):
                errors.append(_refused("INVALID_INVENTORY_ITEM", place))
            elif row["changeFromQuantity"] is not None and row["changeFromQuantity"] != variant.available:
                self.stale += 1
                errors.append(_refused("CHANGE_FROM_QUANTITY_STALE", place))
        if errors:
            return _wrote(errors)
        for row in rows:
            variant = found[row["inventoryItemId"]]
            self.written.append((variant.sku, variant.available, row["quantity"]))
            self._move(variant, row["quantity"] - variant.available)
        return _wrote([], self.now_s())

    def _list_hooks(self, query: str, asked: Json) -> Json:
        nodes = [{"id": hook["id"], "topic": hook["topic"], "uri": hook["uri"]} for hook in self.hooks]
        return {"data": {"webhookSubscriptions": _paged(nodes, asked)}}

    def _subscribe(self, query: str, asked: Json) -> Json:
        number = 1 + max((int(hook["id"].rpartition("/")[2]) for hook in self.hooks), default=0)
        hook = {"id": _gid("WebhookSubscription", number), "topic": asked["topic"], "uri": asked["hook"]["uri"]}
        self.hooks.append({**hook, "failures": 0})
        return {"data": {"webhookSubscriptionCreate": {"webhookSubscription": hook, "userErrors": []}}}

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
        status, content = self.answer(method, target, headers, body)
        if target.endswith("access_token") and self.lose_token_answers:
            self.lose_token_answers -= 1
            await stream.aclose()
            return
        sent = json.dumps(content).encode()
        shown = (
            f"Date: {formatdate(usegmt=True)}\r\nContent-Type: application/json\r\nContent-Length: {len(sent)}\r\n"
        )
        await stream.send_all(f"HTTP/1.1 {status} X\r\n{shown}Connection: close\r\n\r\n".encode() + sent)
        await stream.aclose()


async def _send(url: str, content: bytes, headers: dict[str, str]) -> int:
    parts = urlsplit(url)
    try:
        return (await exchange(parts.port or 80, request("POST", parts.path, content, headers), 5)).status
    except (OSError, trio.BrokenResourceError, trio.TooSlowError, IndexError):
        return 0  # nobody there, too slow, or cut off in the middle


def _gid(kind: str, number: int | str) -> str:
    return f"gid://shopify/{kind}/{number}"


def _stamp(second: int) -> str:
    """As webhooks write it: in the shop's zone."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00")


def _utc(second: int) -> str:
    """As GraphQL writes it."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _head(order: Json) -> Json:
    return {
        "id": _gid("Order", order["id"]),
        "createdAt": _utc(order["created"]),
        "updatedAt": _utc(order["updated"]),
    }


def _line(line: Json) -> Json:
    return {
        "id": _gid("LineItem", line["id"]), "sku": line["sku"], "quantity": line["quantity"],
        "unfulfilledQuantity": line["unfulfilled"], "isGiftCard": False,
        "variant": {"id": _gid("ProductVariant", line["variant"])},
    }  # fmt: skip


def _row(row: Json) -> Json:
    line = {"id": _gid("LineItem", row["line"])}
    return {"quantity": row["quantity"], "restockType": row["kind"].upper(), "lineItem": line}


def _refund(refund: Json) -> Json:
    return {"id": _gid("Refund", refund["id"]), "refundLineItems": _page([_row(row) for row in refund["rows"]])}


def _page(nodes: list[Json], more: bool = False, cursor: str | None = None) -> Json:
    return {"pageInfo": {"hasNextPage": more, "endCursor": cursor}, "nodes": nodes}


def _paged(nodes: list[Json], asked: Json) -> Json:
    start = int(asked["after"] or 0)
    end = start + asked["first"]
    return _page(nodes[start:end], end < len(nodes), str(end))


def _refused(code: str, place: int | None) -> Json:
    path = None if place is None else ["input", "quantities", str(place), "changeFromQuantity"]
    return {"code": code, "field": path, "message": "no"}


def _wrote(errors: list[Json], at_s: float = 0.0) -> Json:
    group = None if errors else {"id": _gid("InventoryAdjustmentGroup", 1), "createdAt": _utc(int(at_s))}
    return {"data": {"inventorySetQuantities": {"inventoryAdjustmentGroup": group, "userErrors": errors}}}


@asynccontextmanager
async def running(twin: Twin, port: int = 0) -> AsyncIterator[Twin]:
    """The shop, taking calls."""
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

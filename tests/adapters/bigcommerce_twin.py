"""A small BigCommerce store in memory: inventory at one location, orders, settings, webhooks, rate headers.

Composed from the sheet (bigcommerce.md), not from any store's traffic. It keeps its own stock: it shows what it
was told, and what it sold, whatever anybody believes. Writes of stock are applied later, as the real store's are.
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable
from email.utils import formatdate, parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from attrs import define, field

from adapters.stamps import rfc3339_span
from daemon.domain.exchange import Request, Response
from daemon.domain.instants import SECOND_US
from tests.adapters.official.judge import judged

HASH, TOKEN, CLIENT_SECRET, KEY = (
    "abc123xyz",
    "twin-token",
    "twin-client",
    "twin-key",
)  # names, good for this twin alone
TAKEN_BACK = (4, 5, 6)
"""Statuses that put units back, where the store's setting says so."""
Json = Any


@define
class Item:
    """A variant at location 1. `tracked`: "variant", or "product" where its product's stock is tracked instead."""

    variant: int
    product: int
    sku: str
    on_hand: int
    safety: int = 0
    tracked: str = "variant"

    def shown(self) -> int:
        return max(0, self.on_hand - self.safety)


@define
class Twin:
    """The store. `log` holds what was asked of it: (method, path, status)."""

    items: dict[int, Item]
    now_s: Callable[[], float]
    lag_s: float = 0.0
    """A write of stock is applied so much later."""
    settings: dict[str, Any] = field(
        factory=lambda: {"update_stock_behavior": "order_placed", "refund_order_stock_adjustment": True}
    )
    inline: bool = True
    """Are an order's lines given with it, where they are asked for?"""
    orders: dict[int, Json] = field(factory=dict)
    held: dict[int, int] = field(factory=dict)
    """Units that each order line took off the stock, by the store's own books."""
    hooks: dict[int, Json] = field(factory=dict)
    blocked: list[str] = field(factory=list)
    log: list[tuple[str, str, int]] = field(factory=list)
    written: list[tuple[str, int, int]] = field(factory=list)
    """(SKU, on hand before, on hand written) of every item written, when it was applied."""
    broken: str = ""
    """Paths that contain this answer 503."""
    mute: bool = False
    deaf: bool = False
    """The order feed ignores its bound."""
    quota: int = 150
    send: Callable[[Json, str, bytes, dict[str, str]], None] = lambda hook, url, body, headers: None
    _writes: list[tuple[float, list[Json]]] = field(factory=list)
    _number: int = 100
    _asked: list[float] = field(factory=list)

    # -- shoppers and merchants --

    def item(self, sku: str) -> Item:
        return next(item for item in self.items.values() if item.sku == sku)

    def sell(self, sku: str, units: int, status: int = 11) -> int:
        """An order of so many units; its number. Status 0: a checkout that nobody paid yet."""
        item = self.item(sku)
        self._number += 1
        number, line = self._number, self._number * 10
        row = {
            "id": line, "order_id": number, "product_id": item.product, "variant_id": item.variant, "sku": sku,
            "name": "x", "type": "physical", "quantity": units, "quantity_shipped": 0, "quantity_refunded": 0,
        }  # fmt: skip
        self.orders[number] = {
            "id": number, "date_created": self._stamp(), "date_modified": self._stamp(), "status_id": status,
            "is_deleted": False, "lines": [row], "billing_address": {"first_name": "Robin", "zip": "12345"},
        }  # fmt: skip
        self._book(number)
        self.tell("store/order/created", number)
        if status:
            self.tell("store/order/statusUpdated", number)
        return number

    def change(self, number: int, status: int | None = None, quantity: int | None = None, shipped: int = 0) -> None:
        """The order gets another status, its line another quantity (0 removes it), or so many units are shipped."""
        order = self.orders[number]
        if status is not None:
            order["status_id"] = status
        for row in list(order["lines"]):
            row["quantity_shipped"] = max(row["quantity_shipped"], min(shipped, row["quantity"]))
            if quantity is not None:
                row["quantity"] = quantity
            if not row["quantity"]:
                order["lines"].remove(row)
                self._take(row, 0)
        order["date_modified"] = self._stamp()
        self._book(number)
        self.tell("store/order/updated", number)

    def refund(self, number: int, units: int) -> None:
        """A refund through the API: it never puts anything back by itself."""
        for row in self.orders[number]["lines"]:
            row["quantity_refunded"] += units
        self.orders[number] |= {"status_id": 14, "date_modified": self._stamp()}
        self.tell("store/order/refund/created", number)

    def _book(self, number: int) -> None:
        order = self.orders[number]
        for row in order["lines"]:
            if order["status_id"] == 0:
                self._take(row, 0)
            elif order["status_id"] in TAKEN_BACK:
                if self.settings["refund_order_stock_adjustment"]:
                    self._take(row, 0)
            else:
                self._take(row, row["quantity"])

    def _take(self, row: Json, units: int) -> None:
        self.apply()
        item = self.items[row["variant_id"]]
        item.on_hand += self.held.get(row["id"], 0) - units
        self.held[row["id"]] = units

    def apply(self, *, all_of_them: bool = False) -> None:
        """Do the writes of stock whose time has come."""
        due = [each for each in self._writes if all_of_them or each[0] <= self.now_s()]
        self._writes = [each for each in self._writes if each not in due]
        for _, rows in due:
            for row in rows:
                item = self._addressed(row)
                assert item is not None
                self.written.append((item.sku, item.on_hand, row["quantity"]))
                item.on_hand = row["quantity"]

    def _stamp(self) -> str:
        return formatdate(self.now_s(), localtime=False).replace("-0000", "+0000")

    # -- webhooks --

    def tell(self, scope: str, number: int) -> None:
        """Send a hint to everybody who asked for it."""
        body = json.dumps(
            {
                "scope": scope, "store_id": "1", "data": {"type": "order", "id": number}, "hash": "0" * 40,
                "created_at": int(self.now_s()), "producer": f"stores/{HASH}",
            },
            separators=(",", ":"),
        ).encode()  # fmt: skip
        for hook in self.hooks.values():
            if not self.mute and hook["is_active"] and hook["scope"] == scope:
                self._number += 1
                self.send(hook, hook["destination"], body, self.signed(body, f"msg_{self._number}") | hook["headers"])

    def signed(self, body: bytes, message: str) -> dict[str, str]:
        stamp = str(int(self.now_s()))
        digest = hmac.digest(CLIENT_SECRET.encode(), f"{message}.{stamp}.".encode() + body, "sha256")
        return {
            "content-type": "application/json", "webhook-id": message, "webhook-timestamp": stamp,
            "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
        }  # fmt: skip

    # -- the API --

    def respond(self, request: Request) -> Response:
        """What an adapter's request gets."""
        headers = {**request.headers, **request.secret_headers}
        status, body, extra = self.answer(request.method, request.url, headers, request.body)
        return Response(status, extra, b"" if body is None else json.dumps(body).encode())

    @judged("bigcommerce")
    def answer(
        self, method: str, target: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, Json, dict[str, str]]:
        parts = urlsplit(target)
        path = parts.path.removeprefix(f"/stores/{HASH}")
        limits = self._limits()
        if headers.get("x-auth-token") != TOKEN or path == parts.path:
            status, content = 401, _error(401, "Unauthorized")
        elif limits["x-rate-limit-requests-left"] == "0":
            status, content = 429, _error(429, "Too many requests")
        elif self.broken and self.broken in path:
            status, content = 503, None
        else:
            self.apply()
            query = dict(parse_qsl(parts.query, keep_blank_values=True))
            status, content = self._route(method, path.strip("/").split("/"), query, json.loads(body) if body else {})
        self.log.append((method, path, status))
        return status, content, {**limits, "date": formatdate(self.now_s(), usegmt=True)}

    def _limits(self) -> dict[str, str]:
        now = self.now_s()
        self._asked = [at for at in self._asked if at > now - 30] + [now]
        left = max(0, self.quota - len(self._asked))
        return {
            "x-rate-limit-time-window-ms": "30000", "x-rate-limit-requests-quota": str(self.quota),
            "x-rate-limit-requests-left": str(left),
            "x-rate-limit-time-reset-ms": str(int(1_000 * max(0.0, self._asked[0] + 30 - now))),
        }  # fmt: skip

    def _route(self, method: str, path: list[str], query: dict[str, str], payload: Json) -> tuple[int, Json]:
        match method, path:
            case "GET", ["v2", "orders"]:
                return self._feed(query)
            case "GET", ["v2", "orders", number] if number.isdigit():
                found = self.orders.get(int(number))
                return (200, self._order(found, query)) if found else (404, [{"status": 404, "message": "Not found"}])
            case "GET", ["v2", "orders", number, "products"]:
                rows = _page(self.orders[int(number)]["lines"], query, 50)
                return (200, rows) if rows else (204, None)
            case "GET", ["v3", "inventory", "items"]:
                wanted = query.get("variant_id:in", "").split(",")
                found_items = [
                    item for item in self.items.values() if wanted == [""] or str(item.variant) in wanted
                ]  # fmt: skip
                return 200, _v3([_shown(item) for item in found_items], query, 10)
            case "PUT", ["v3", "inventory", "adjustments", "absolute"]:
                return self._write(payload)
            case "GET", ["v3", "settings", "inventory"]:
                return 200, {"data": self.settings, "meta": {}}
            case "GET", ["v3", "inventory", "locations"]:
                return 200, _v3([{"id": 1, "code": "BC-LOCATION-1", "enabled": True}], query, 50)
            case "GET", ["v3", "hooks"]:
                return 200, _v3(list(self.hooks.values()), query, 50)
            case "GET", ["v3", "hooks", "admin"]:
                domains = [{"destination": each, "time_left": 120, "reasons": []} for each in self.blocked]
                return 200, {"data": {"emails": [], "hooks_list": [], "blocked_domains": domains}, "meta": {}}
            case "POST", ["v3", "hooks"]:
                return self._subscribe(1 + len(self.hooks), payload)
            case "PUT", ["v3", "hooks", number] if int(number) in self.hooks:
                return self._subscribe(int(number), payload)
            case _:
                return 404, _error(404, "not here")

    def _order(self, order: Json, query: dict[str, str]) -> Json:
        lines = order["lines"]
        shown = {name: value for name, value in order.items() if name != "lines"}
        shown["items_total"] = sum(row["quantity"] for row in lines)
        if self.inline and "consignments.line_items" in query.get("include", ""):
            parcels = [{"id": 1, "first_name": "Robin", "line_items": lines}] if lines else []
            shown["consignments"] = {"shipping": parcels, "pickups": [], "downloads": [], "email": {}}
        else:
            where = f"/orders/{order['id']}/consignments"
            shown["consignments"] = {"url": where, "resource": where}
        return shown

    def _feed(self, query: dict[str, str]) -> tuple[int, Json]:
        """Inclusive at its bound, sorted as asked, nothing instead of an empty list."""
        bound = rfc3339_span(query["min_date_modified"].replace(" ", "+"))
        assert bound is not None, query
        found = [order for order in self.orders.values() if self.deaf or _second(order) >= bound.lo // SECOND_US]
        assert query["sort"] == "date_modified:asc"
        rows = _page(sorted(found, key=lambda order: (_second(order), order["id"])), query, 50)
        return (200, [self._order(row, query) for row in rows]) if rows else (204, None)

    def _addressed(self, row: Json) -> Item | None:
        if "variant_id" in row:
            return self.items.get(row["variant_id"])
        of_product = [item for item in self.items.values() if item.product == row["product_id"]]
        return of_product[0] if of_product else None

    def _write(self, payload: Json) -> tuple[int, Json]:
        """All or nothing, and nothing of it at once."""
        rows = payload["items"]
        if len(rows) > 2_000:
            return 413, _error(413, "too many items")
        for row in rows:
            item = self._addressed(row)
            if row["location_id"] != 1:
                return 422, _error(422, f"Location not found, identities: [{row['location_id']}]")
            if item is None:
                return 422, _error(422, f"Items not found, variant_id: [{row['variant_id']}]")
            if item.tracked == "product" and "variant_id" in row:
                said = (
                    f"[Item with variant_id {item.variant} is tracked by product, please update stock by product id]"
                )
                return 422, _error(422, said)
        self._number += 1
        self._writes.append((self.now_s() + self.lag_s, rows))
        return 200, {"transaction_id": f"t-{self._number}"}

    def _subscribe(self, number: int, payload: Json) -> tuple[int, Json]:
        self.hooks[number] = {**self.hooks.get(number, {"is_active": True}), **payload, "id": number}
        return 200, {"data": self.hooks[number], "meta": {}}


def _second(order: Json) -> int:
    return int(parsedate_to_datetime(order["date_modified"]).timestamp())


def _shown(item: Item) -> Json:
    place = {
        "location_id": 1, "available_to_sell": item.shown(), "total_inventory_onhand": item.on_hand,
        "location_enabled": True, "settings": {"safety_stock": item.safety},
    }  # fmt: skip
    identity = {"sku": item.sku, "variant_id": item.variant, "product_id": item.product}
    return {"identity": identity, "locations": [place]}


def _page(rows: list[Json], query: dict[str, str], usual: int) -> list[Json]:
    size, page = int(query.get("limit", usual)), int(query.get("page", "1"))
    return rows[(page - 1) * size : page * size]


def _v3(rows: list[Json], query: dict[str, str], usual: int) -> Json:
    shown = _page(rows, query, usual)
    pages = -(-len(rows) // int(query.get("limit", usual)))
    return {"data": shown, "meta": {"pagination": {"total": len(rows), "count": len(shown), "total_pages": pages}}}


def _error(status: int, title: str) -> Json:
    return {"status": status, "title": title, "type": "x", "errors": {}}

"""A small TikTok Shop in memory: tokens, signatures, stock by warehouse, orders of single units, webhooks.

Composed from the sheet (tiktok_shop.md), not from any shop's traffic. It keeps its own stock: it shows what it was
told, and what it sold, whatever anybody believes. Its page tokens are mere offsets, the worst that there may be.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from attrs import define, field

from daemon.domain.exchange import Request, Response
from tests.adapters.official.judge import judged

KEY, SECRET, CIPHER, SHOP_ID = "twinkey", "twin-app-secret", "ROW_twin/+cipher==", "7494049642642441621"
HOME, ANNEX = "7068517275539719942", "7068517275539719943"
RATE = 50
"""Calls a second, for each endpoint."""
WEEK_S = 7 * 86_400
Json = Any


@define
class Item:
    """A SKU of a product. `wares`: by warehouse, what may be sold; `committed`: what is sold and not sent yet."""

    product: str
    sku: str
    seller_sku: str
    wares: dict[str, int]
    committed: int = 0
    locked: int = 0
    """Held by a promotion: a write may not go below it."""
    refused: int = 0
    """The error code that every write of it gets; 0: none."""

    @property
    def shown(self) -> int:
        return sum(self.wares.values())


class RefusedError(Exception):
    """A call is answered with this code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@define
class Twin:
    """The shop. `log` holds what was asked of it: (method, path, code)."""

    items: dict[str, Item]
    now_s: Callable[[], float]
    shops: list[Json] = field(
        factory=lambda: [{"id": SHOP_ID, "name": "Twin", "region": "GB", "cipher": CIPHER, "code": "GBX"}]
    )
    auto_restock: bool = True
    takes_zero: bool = True
    stock_hooks: bool = False
    """Webhooks of type 71 are enabled in Partner Center, for every address that is subscribed to orders."""
    feed_ignores_bounds: bool = False
    life_s: float = WEEK_S
    """So long is an access token good."""
    refresh: str = "refresh-0"
    access: dict[str, float] = field(factory=dict)
    """By access token, when it ends."""
    orders: dict[str, Json] = field(factory=dict)
    hooks: dict[str, str] = field(factory=dict)
    log: list[tuple[str, str, int]] = field(factory=list)
    written: list[tuple[str, str, int, int]] = field(factory=list)
    """(seller SKU, warehouse, before, written) of every number written."""
    broken: str = ""
    """Paths that contain this answer 503."""
    mute: bool = False
    send: Callable[[str, bytes, dict[str, str]], None] = lambda url, body, headers: None
    _number: int = 0
    _asked: dict[str, list[float]] = field(factory=dict)

    # -- shoppers and sellers --

    def item(self, seller_sku: str) -> Item:
        return next(item for item in self.items.values() if item.seller_sku == seller_sku)

    def sell(self, seller_sku: str, units: int, status: str = "AWAITING_SHIPMENT", warehouse: str = HOME) -> str:
        """An order of so many units; its id. They are committed the moment it is placed."""
        item = self.item(seller_sku)
        assert item.wares[warehouse] >= units, "sold out"
        self._number += 1
        number, now = str(576486316948490000 + self._number), int(self.now_s())
        rows = [
            {
                "id": f"{number}{place:03}", "sku_id": item.sku, "seller_sku": seller_sku, "product_id": item.product,
                "product_name": "x", "display_status": status,
            }
            for place in range(units)
        ]  # fmt: skip
        self.orders[number] = {
            "id": number, "status": status, "is_on_hold_order": status == "ON_HOLD", "create_time": now,
            "update_time": now, "fulfillment_type": "FULFILLMENT_BY_SELLER", "warehouse_id": warehouse,
            "recipient_address": {"name": "Robin"}, "line_items": rows,
        }  # fmt: skip
        self._move(item, warehouse, -units, units)
        self.tell_order(number)
        return number

    def move(self, number: str, status: str) -> None:
        """The whole order goes on to `status`: paid, put on hold, shipped, delivered."""
        order = self.orders[number]
        for row in order["line_items"]:
            if row["display_status"] != "CANCELLED":
                self._send(order, row, status)
        self._changed(number, status)

    def ship(self, number: str, units: int) -> None:
        """So many of its units are collected in one package; the rest stays."""
        order = self.orders[number]
        open_rows = [row for row in order["line_items"] if row["display_status"] == "AWAITING_SHIPMENT"]
        for place, row in enumerate(open_rows):
            left = place < units
            row |= {"package_id": f"11{place}", "package_status": "FULFILLING" if left else "TO_FULFILL"}
            if left:
                self._send(order, row, "IN_TRANSIT")
        rest = {row["display_status"] for row in order["line_items"]}
        if "AWAITING_SHIPMENT" not in rest:
            order["collection_time"] = int(self.now_s())  # of the whole order, not of its parts
        self._changed(number, "PARTIALLY_SHIPPING" if "AWAITING_SHIPMENT" in rest else "IN_TRANSIT")

    def _send(self, order: Json, row: Json, status: str) -> None:
        if status in ("IN_TRANSIT", "DELIVERED", "COMPLETED") and row["display_status"] not in (
            "IN_TRANSIT", "DELIVERED", "COMPLETED",
        ):  # fmt: skip
            self._move(self._item_of(row), order["warehouse_id"], 0, -1)
        row["display_status"] = status

    def cancel(self, number: str, units: int | None = None) -> int:
        """Cancel so many of its units (all that are left), as far as they were not sent; how many it were.

        A unit that was sent is shown as cancelled all the same once the whole order is."""
        order = self.orders[number]
        free = [row for row in order["line_items"] if row["display_status"] not in ("CANCELLED", "IN_TRANSIT")]
        for row in free[:units]:
            row["display_status"] = "CANCELLED"
            self._move(self._item_of(row), order["warehouse_id"], int(self.auto_restock), -1)
        left = {row["display_status"] for row in order["line_items"]} - {"CANCELLED"}
        if units is None:
            for row in order["line_items"]:
                row["display_status"] = "CANCELLED"
            left = set()
        self._changed(number, order["status"] if left else "CANCELLED")
        return len(free[:units])

    def _changed(self, number: str, status: str) -> None:
        order = self.orders[number]
        order |= {"status": status, "is_on_hold_order": status == "ON_HOLD"}
        order["update_time"] = max(order["update_time"], int(self.now_s()))
        self.tell_order(number)

    def _item_of(self, row: Json) -> Item:
        return self.items[row["sku_id"]]

    def _move(self, item: Item, warehouse: str, available: int, committed: int) -> None:
        item.wares[warehouse] += available
        item.committed += committed
        if available:
            self.tell_stock(item)

    # -- webhooks --

    def tell_order(self, number: str) -> None:
        order = self.orders[number]
        status = "CANCEL" if order["status"] == "CANCELLED" else order["status"]
        data = {
            "order_id": number, "order_status": status, "is_on_hold_order": order["is_on_hold_order"],
            "update_time": order["update_time"],
        }  # fmt: skip
        self._tell("ORDER_STATUS_CHANGE", 1, data)

    def tell_stock(self, item: Item) -> None:
        if self.stock_hooks:
            stamp = formatted(self.now_s())
            snapshot = {"total_available_quantity": item.shown, "total_committed_quantity": item.committed}
            data = {
                "event_id": "e", "occurred_at": stamp, "product_id": int(item.product), "sku_id": int(item.sku),
                "quantity_snapshot_after_change": snapshot, "change_detail": [],
            }  # fmt: skip
            self._tell("ORDER_STATUS_CHANGE", 71, data)

    def _tell(self, topic: str, kind: int, data: Json) -> None:
        if self.mute or topic not in self.hooks:
            return
        self._number += 1
        body = json.dumps(
            {
                "type": kind, "tts_notification_id": str(7327112393057370000 + self._number), "shop_id": SHOP_ID,
                "timestamp": int(self.now_s()), "data": data,
            },
            separators=(",", ":"),
        ).encode()  # fmt: skip
        self.send(self.hooks[topic], body, webhook_headers(body))

    # -- the API --

    def respond(self, request: Request) -> Response:
        """What an adapter's request gets; its secrets merged in, as on the wire."""
        headers = {**request.headers, **request.secret_headers}
        query = "&".join(f"{name}={value}" for name, value in request.secret_query.items())
        target = f"{request.url}&{query}" if query else request.url
        status, body, extra = self.answer(request.method, target, headers, request.body)
        return Response(status, extra, b"" if body is None else json.dumps(body).encode(),
                        received_us=int(self.now_s() * 1e6))  # fmt: skip

    @judged("tiktok_shop")
    def answer(
        self, method: str, target: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, Json, dict[str, str]]:
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        extra = {"date": formatdate(self.now_s(), usegmt=True)}
        if self.broken and self.broken in parts.path:
            self.log.append((method, parts.path, 503))
            return 503, None, extra
        try:
            if parts.path == "/api/v2/token/refresh":
                data = self._refresh(query)
            else:
                self._admit(parts.path, query, headers, body)
                data = self._route(method, parts.path, query, json.loads(body) if body else {})
            said = {"code": 0, "message": "Success", "request_id": "r", "data": data}
        except RefusedError as refusal:
            said = {"code": refusal.code, "message": str(refusal), "request_id": "r", "data": None}
        self.log.append((method, parts.path, int(said["code"])))
        return 200, said, extra

    def _refresh(self, query: dict[str, str]) -> Json:
        """Every refresh token is good once."""
        known = (query["app_key"], query["app_secret"], query["grant_type"]) == (KEY, SECRET, "refresh_token")
        if not known or query["refresh_token"] != self.refresh:
            raise RefusedError(36004004, "invalid refresh token")
        self._number += 1
        self.refresh = f"refresh-{self._number}"
        ends = int(self.now_s() + self.life_s)
        self.access[f"access-{self._number}"] = ends
        return {
            "access_token": f"access-{self._number}", "access_token_expire_in": ends, "refresh_token": self.refresh,
            "refresh_token_expire_in": ends + 10**7, "seller_name": "Robin",
        }  # fmt: skip

    def _admit(self, path: str, query: dict[str, str], headers: dict[str, str], body: bytes) -> None:
        """Raises `RefusedError` for a call that is not signed, not stamped, not allowed, or too fast."""
        now = self.now_s()
        if query.get("app_key") != KEY or not now - 300 <= int(query.get("timestamp", "0")) <= now + 30:
            raise RefusedError(36009004, "Invalid timestamp")
        text = "".join(f"{name}{query[name]}" for name in sorted(query) if name not in ("sign", "access_token"))
        whole = SECRET + path + text + body.decode() + SECRET
        if query.get("sign") != hmac.digest(SECRET.encode(), whole.encode(), hashlib.sha256).hex():
            raise RefusedError(36009004, "Invalid credentials")
        if self.access.get(headers.get("x-tts-access-token", ""), 0.0) <= now:
            raise RefusedError(105002, "Expired credentials")
        if path.startswith("/authorization/"):
            if "shop_cipher" in query:
                raise RefusedError(36009004, "Unexpected identifier")
        elif query.get("shop_cipher") != CIPHER:
            raise RefusedError(106013, "Missing identifier")
        asked = [at for at in self._asked.get(path, []) if at > now - 1]
        if len(asked) >= RATE:
            raise RefusedError(36009002, "Too many requests")
        self._asked[path] = [*asked, now]

    def _route(self, method: str, path: str, query: dict[str, str], payload: Json) -> Json:
        match method, path.strip("/").split("/"):
            case "GET", ["authorization", "202309", "shops"]:
                return {"shops": self.shops}
            case "POST", ["order", "202309", "orders", "search"]:
                return self._feed(query, payload)
            case "GET", ["order", "202507", "orders"]:
                wanted = query["ids"].split(",")
                assert len(wanted) <= 50
                return {"orders": [self.orders[each] for each in wanted if each in self.orders]}
            case "POST", ["product", "202502", "products", "search"]:
                return self._products(query)
            case "POST", ["product", "202309", "inventory", "search"]:
                return {"inventory": self._inventory(payload)}
            case "POST", ["product", "202309", "products", product, "inventory", "update"]:
                return {"errors": self._write(product, payload["skus"])}
            case "GET", ["event", "202309", "webhooks"]:
                rows = [{"event_type": topic, "address": url} for topic, url in self.hooks.items()]
                return {"webhooks": rows, "total_count": len(rows)}
            case "PUT", ["event", "202309", "webhooks"]:
                assert payload["address"].startswith("https://")
                assert len(payload["address"]) <= 255
                self.hooks[payload["event_type"]] = payload["address"]
                return {}
            case _:
                raise RefusedError(36009009, "Invalid path")

    def _feed(self, query: dict[str, str], payload: Json) -> Json:
        assert (query["sort_field"], query["sort_order"]) == ("update_time", "ASC")
        since = 0 if self.feed_ignores_bounds else payload["update_time_ge"]
        found = [order for order in self.orders.values() if since <= order["update_time"] <= self.now_s()]
        return _paged("orders", sorted(found, key=lambda order: (order["update_time"], order["id"])), query)

    def _products(self, query: dict[str, str]) -> Json:
        of: dict[str, list[Json]] = {}
        for item in self.items.values():
            inventory = [{"warehouse_id": place, "quantity": units} for place, units in item.wares.items()]
            row = {"id": item.sku, "seller_sku": item.seller_sku, "inventory": inventory}
            of.setdefault(item.product, []).append(row)
        return _paged("products", [{"id": product, "title": "x", "status": "ACTIVATE", "skus": skus}
                                   for product, skus in of.items()], query)  # fmt: skip

    def _inventory(self, payload: Json) -> Sequence[Json]:
        skus, products = payload.get("sku_ids", []), payload.get("product_ids", [])
        assert len(skus) <= 600
        assert len(products) <= 100
        found = [item for item in self.items.values() if (item.sku in skus if skus else item.product in products)]
        return [
            {
                "product_id": item.product,
                "skus": [{
                    "id": item.sku, "seller_sku": item.seller_sku, "total_available_quantity": item.shown,
                    "total_committed_quantity": item.committed,
                    "warehouse_inventory": [{"warehouse_id": place, "available_quantity": units,
                                             "committed_quantity": 0} for place, units in item.wares.items()],
                }],
            }
            for item in found
        ]  # fmt: skip

    def _write(self, product: str, rows: Json) -> Json:
        """What is right lands; what is not is told under a code of 0."""
        if product not in {item.product for item in self.items.values()}:
            raise RefusedError(12052032, "The product does not exist")
        errors = []
        for row in rows:
            item = self.items.get(row["id"])
            code = 12052556 if item is None or item.product != product else self._wrong(item, row["inventory"])
            if code or item is None:
                errors.append({"code": code, "message": "no", "detail": {"sku_id": row["id"], "extra_errors": []}})
                continue
            for part in row["inventory"]:
                place = part.get("warehouse_id") or next(iter(item.wares))
                self.written.append((item.seller_sku, place, item.wares[place], part["quantity"]))
                item.wares[place] = part["quantity"]
            self.tell_stock(item)
        return errors

    def _wrong(self, item: Item, inventory: Json) -> int:
        if item.refused:
            return item.refused
        places = [part.get("warehouse_id") for part in inventory]
        if places == [None] and len(item.wares) > 1:
            return 12019028
        if places != [None] and sorted(map(str, places)) != sorted(item.wares):
            return 12052533
        total = sum(part["quantity"] for part in inventory)
        if any(part["quantity"] > 99_999 for part in inventory) or (not total and not self.takes_zero):
            return 12052055
        return 12052393 if total < item.locked else 0


def formatted(now_s: float) -> str:
    """As `occurred_at` writes it."""
    return datetime.fromtimestamp(int(now_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def webhook_headers(body: bytes) -> dict[str, str]:
    """A webhook's headers, its signature among them."""
    digest = hmac.digest(SECRET.encode(), KEY.encode() + body, hashlib.sha256).hex()
    return {"content-type": "application/json", "authorization": digest}


def _paged(name: str, rows: list[Json], query: dict[str, str]) -> Json:
    size, start = int(query["page_size"]), int(query.get("page_token", "0"))
    assert 1 <= size <= 100
    token = str(start + size) if start + size < len(rows) else ""
    return {name: rows[start : start + size], "next_page_token": token, "total_count": len(rows)}

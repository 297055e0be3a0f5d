"""TikTok Shop: every answer is a 200 with a code, every call is signed, orders are single units, signed hints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

from daemon.domain.exchange import Request
from tests.adapters import tiktok_twin
from tests.channels.stage import Sale, Sort, Stage, Surroundings, json_of
from tests.channels.weather import EXPIRED, HOOKS


class TiktokShop(Stage):
    platform = "tiktok_shop"
    options: ClassVar = {"app_key": tiktok_twin.KEY, "shop_cipher": tiktok_twin.CIPHER}
    secrets: ClassVar = {"app_secret": tiktok_twin.SECRET, "refresh_token": "refresh-0"}
    hook_secrets = (tiktok_twin.SECRET,)
    kinds = (*HOOKS, EXPIRED, "partly refused")
    retries_s = (120.0, 1_800.0)
    told_in_s = 60.0
    turn_s = 60.0
    loses_tokens = False

    def __init__(self, stock: Mapping[str, int], around: Surroundings) -> None:
        super().__init__(stock, around)
        items = [
            tiktok_twin.Item(str(100 + place // 2), str(11 + place), sku, {tiktok_twin.HOME: units})
            for place, (sku, units) in enumerate(stock.items())
        ]
        self.twin = tiktok_twin.Twin({item.sku: item for item in items}, around.now_s)
        self.twin.stock_hooks = around.rng.random() < 0.5
        self.twin.life_s = around.rng.choice((600.0, tiktok_twin.WEEK_S))
        self.twin.send = around.post

    def sort(self, request: Request) -> Sort:
        path = request.url.partition("://")[2].partition("/")[2].partition("?")[0]
        if path == "api/v2/token/refresh":
            return "token"
        if path.endswith("/inventory/update"):
            return "write"
        if path.startswith("product/"):
            return "stock"
        return "orders" if path.startswith("order/") else "hooks"

    async def respond(self, request: Request) -> tuple[int, Any, Mapping[str, str]]:
        headers = {**request.headers, **request.secret_headers}
        query = "&".join(f"{name}={value}" for name, value in request.secret_query.items())
        return self.twin.answer(
            request.method, f"{request.url}&{query}" if query else request.url, headers, request.body
        )

    def shown(self, sku: str) -> int:
        return max(0, self.twin.item(sku).shown)

    def buy(self, sku: str, units: int) -> Sale:
        status = self.around.rng.choice(("AWAITING_SHIPMENT", "AWAITING_SHIPMENT", "UNPAID", "ON_HOLD"))
        return self.sold(self.twin.sell(sku, units, status), sku, units)

    def changes(self, sale: Sale) -> Sequence[Callable[[], None]]:
        order = self.twin.orders[sale.key]
        statuses = [row["display_status"] for row in order["line_items"]]
        if order["status"] in ("UNPAID", "ON_HOLD"):
            return [partial(self._pay, sale), partial(self._cancel, sale, None)]
        if "AWAITING_SHIPMENT" not in statuses:
            return []
        free = statuses.count("AWAITING_SHIPMENT")
        found = [partial(self._ship, sale, free), partial(self._cancel, sale, self.around.rng.randint(1, free))]
        return found if sale.shipped else [*found, partial(self._cancel, sale, None)]

    def _pay(self, sale: Sale) -> None:
        self.twin.move(sale.key, "AWAITING_SHIPMENT")

    def _ship(self, sale: Sale, free: int) -> None:
        units = self.around.rng.randint(1, free)
        self.twin.ship(sale.key, units)
        sale.shipped += units

    def _cancel(self, sale: Sale, units: int | None) -> None:
        sale.back += self.twin.cancel(sale.key, units)

    def asked(self, request: Request) -> Mapping[str, int]:
        items = self.twin.items
        rows = [row for row in json_of(request)["skus"] if row["id"] in items]
        return {items[row["id"]].seller_sku: sum(part["quantity"] for part in row["inventory"]) for row in rows}

    def throttled(self, wait_s: int) -> tuple[int, Any, Mapping[str, str]]:
        """A code within a 200, or 429; when to come back nobody says (tiktok_shop.md §6)."""
        del wait_s
        said = {"code": 36009002, "message": "Too many requests", "request_id": "r", "data": None}
        return self.around.rng.choice((200, 429)), said, {}

    def partial(self, request: Request) -> tuple[int, Any, Mapping[str, str]] | None:
        """SKUs that are refused are named under a code of 0, the others are done (§5)."""
        rng, payload = self.around.rng, json_of(request)
        bad = [row for row in payload["skus"] if rng.random() < 0.6]
        product = request.url.partition("/products/")[2].partition("/")[0]
        errors = self.twin._write(product, [row for row in payload["skus"] if row not in bad])
        for row in bad:
            code = rng.choice((36009002, 36009003, 12052393))
            errors.append({"code": code, "message": "no", "detail": {"sku_id": row["id"], "extra_errors": []}})
        return 200, {"code": 0, "message": "Success", "request_id": "r", "data": {"errors": errors}}, {}

    def expire(self) -> bool:
        self.twin.access.clear()
        return True

    def copies(self, what: Literal["orders", "stock"]) -> Sequence[tuple[Any, str]]:
        return [(self.twin, "orders" if what == "orders" else "items")]

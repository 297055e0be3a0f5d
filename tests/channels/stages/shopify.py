"""Shopify: GraphQL, compare-and-set and keys, points, tokens that are replaced, webhooks with the whole order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

from daemon.domain.exchange import Request
from tests.acceptance import shopify_twin
from tests.channels.stage import Sale, Sort, Stage, Surroundings, json_of, wire
from tests.channels.weather import EXPIRED, HOOKS

SORTS: Mapping[str, Sort] = {
    "Orders": "orders", "Order": "orders", "Refunds": "orders", "Variants": "stock", "Levels": "stock",
    "SetQuantities": "write", "Hooks": "hooks", "Subscribe": "hooks",
}  # fmt: skip


class Shopify(Stage):
    platform = "shopify"
    base_url = f"https://{shopify_twin.DOMAIN}"
    options: ClassVar = {"shop": "twin-eu", "location": shopify_twin.LOCATION, "client_id": shopify_twin.CLIENT[0]}
    secrets: ClassVar = {"client_secret": shopify_twin.CLIENT[1], "refresh_token": "refresh-0"}
    hook_secrets = (shopify_twin.CLIENT[1],)
    kinds = (*HOOKS, EXPIRED, "partly refused")
    contents = True
    told_in_s = 30.0
    window_s = 1.0  # it compares: only a sale under way at the same time can go unseen

    def __init__(self, stock: Mapping[str, int], around: Surroundings) -> None:
        super().__init__(stock, around)
        variants = [
            shopify_twin.Variant(11 + place, 21 + place, sku, units)
            for place, (sku, units) in enumerate(stock.items())
        ]
        self.twin = shopify_twin.Twin(variants, lag_s=0.3, tokens=set(), now_s=around.now_s, send=around.send)
        self.twin._nursery = around.nursery
        self.away = Counter[int]()
        """By order: units that were sent, and of which no refund is known."""

    def sort(self, request: Request) -> Sort:
        if request.url.endswith("/access_token"):
            return "token"
        return SORTS[json_of(request)["query"].split()[1].partition("(")[0]]

    async def respond(self, request: Request) -> tuple[int, Any, Mapping[str, str]]:
        target, headers = wire(request)
        return *self.twin.answer(request.method, target, headers, request.body), {}

    def shown(self, sku: str) -> int:
        return max(0, self.twin.stock(sku))

    def buy(self, sku: str, units: int) -> Sale:
        return self.sold(self.twin.sell(sku, units), sku, units)

    def changes(self, sale: Sale) -> Sequence[Callable[[], None]]:
        (line,) = self.twin.orders[sale.key]["lines"]
        found: list[Callable[[], None]] = []
        if waiting := line["unfulfilled"]:
            found += [partial(self._fulfil, sale, line), partial(self._cancel, sale, waiting)]
            found.append(partial(self._throw_away, sale, waiting))
        if away := self.away[sale.key]:
            found += [partial(self._return, sale, away), partial(self._keep_money, sale, away)]
        return found

    def _fulfil(self, sale: Sale, line: Any) -> None:
        units = self.around.rng.randint(1, line["unfulfilled"])
        self.twin.fulfil(sale.key, units)
        sale.shipped += units
        self.away[sale.key] += units

    def _cancel(self, sale: Sale, most: int) -> None:
        """Put back before it was sent (shopify.md §3)."""
        units = self.around.rng.randint(1, most)
        self.twin.refund(sale.key, units, "cancel")
        sale.back += units

    def _throw_away(self, sale: Sale, most: int) -> None:
        """Neither sent nor put back."""
        units = self.around.rng.randint(1, most)
        self.twin.refund(sale.key, units, "no_restock")
        sale.shipped += units

    def _return(self, sale: Sale, most: int) -> None:
        """Put back after it was sent, also while others of the same line still wait."""
        units = self.around.rng.randint(1, most)
        self.twin.refund(sale.key, units, "return")
        self.away[sale.key] -= units
        sale.back += units
        sale.shipped -= units

    def _keep_money(self, sale: Sale, most: int) -> None:
        """Refunded after it was sent, and not put back: it stays away."""
        units = self.around.rng.randint(1, most)
        self.twin.refund(sale.key, units, "no_restock", sent=True)
        self.away[sale.key] -= units

    def asked(self, request: Request) -> Mapping[str, int]:
        of = {f"gid://shopify/InventoryItem/{each.item}": each.sku for each in self.twin.variants}
        rows = json_of(request)["variables"]["input"]["quantities"]
        return {of[row["inventoryItemId"]]: row["quantity"] for row in rows if row["inventoryItemId"] in of}

    def throttled(self, wait_s: int) -> tuple[int, Any, Mapping[str, str]]:
        """Within a 200, with what is left of the points; or 429 (§6)."""
        if self.around.rng.random() < 0.3:
            return 429, b"", {"Retry-After": f"{wait_s}.0"}
        status = {"maximumAvailable": 2000.0, "currentlyAvailable": 12, "restoreRate": 100.0}
        cost = {"requestedQueryCost": 752, "actualQueryCost": None, "throttleStatus": status}
        error = {"message": "Throttled", "extensions": {"code": "THROTTLED"}}
        return 200, {"errors": [error], "extensions": {"cost": cost}}, {}

    def partial(self, request: Request) -> tuple[int, Any, Mapping[str, str]] | None:
        """Named rows are refused, and nothing of the call is done (§5)."""
        rows = json_of(request)["variables"]["input"]["quantities"]
        code = self.around.rng.choice(("ADJUST_QUANTITIES_FAILED", "SERVICE_UNAVAILABLE", "INVALID_INVENTORY_ITEM"))
        places = [place for place in range(len(rows)) if self.around.rng.random() < 0.6]
        return (
            (200, shopify_twin._wrote([shopify_twin._refused(code, each) for each in places]), {}) if places else None
        )

    def expire(self) -> bool:
        self.twin.tokens.clear()
        return True

    def copies(self, what: Literal["orders", "stock"]) -> Sequence[tuple[Any, str]]:
        return [(self.twin, "orders" if what == "orders" else "variants")]

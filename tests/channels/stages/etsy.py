"""Etsy: listings written whole, no zero in them, receipts in two passes, limits by the day, signed hints."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

from daemon.domain.exchange import Request
from tests.adapters import etsy_twin
from tests.adapters.webhook_shops import compact, standard
from tests.channels.stage import Sale, Sort, Stage, Surroundings, json_of, wire
from tests.channels.weather import EXPIRED, HOOKS

HOOK = "whsec_ZXRzeS13ZWJob29rLXRlc3Qtc2VjcmV0LTMy"


class Etsy(Stage):
    """Two listings of two variants each."""

    platform = "etsy"
    options: ClassVar = {"shop_id": str(etsy_twin.SHOP), "renew": "yes"}
    secrets: ClassVar = {
        "keystring": etsy_twin.KEYSTRING, "shared_secret": etsy_twin.SHARED, "refresh_token": etsy_twin.REFRESH
    }  # fmt: skip
    hook_secrets = (HOOK,)
    kinds = (*HOOKS, EXPIRED)
    retries_s = (0.1, 5.0, 300.0, 1_800.0)
    told_in_s = 10.0
    loses_tokens = False

    def __init__(self, stock: Mapping[str, int], around: Surroundings) -> None:
        super().__init__(stock, around)
        variants = [etsy_twin.Variant(501 + place, sku, units) for place, (sku, units) in enumerate(stock.items())]
        listings = [etsy_twin.Listing(1169407548 + place, variants[place : place + 2]) for place in (0, 2)]
        self.twin = etsy_twin.Twin({each.number: each for each in listings}, lambda: int(around.now_s()))
        self.told = 0

    def sort(self, request: Request) -> Sort:
        path = wire(request)[0].partition("?")[0]
        if path.endswith("/oauth/token"):
            return "token"
        if request.method in ("PUT", "PATCH"):
            return "write"
        return "orders" if "/receipts" in path else "stock"

    async def respond(self, request: Request) -> tuple[int, Any, Mapping[str, str]]:
        headers = {**request.headers, **request.secret_headers}
        return self.twin.answer(request.method, request.url, headers, request.body)

    def shown(self, sku: str) -> int:
        return max(0, self.twin.on_sale(sku))

    def buy(self, sku: str, units: int) -> Sale:
        status = self.around.rng.choice(("paid", "paid", "open"))
        sale = self.sold(number := self.twin.sell(sku, units, status), sku, units, f'"receipt_id": {number}')
        if status == "paid":
            self._tell("order.paid", sale)
        return sale

    def _tell(self, kind: str, sale: Sale) -> None:
        url = f"https://openapi.etsy.com/v3/application/shops/{etsy_twin.SHOP}/receipts/{sale.key}"
        body = compact({"event_type": kind, "resource_url": url, "shop_id": etsy_twin.SHOP})
        self.told += 1
        key = base64.b64decode(HOOK.removeprefix("whsec_"))
        self.around.post("", body, standard(key, body, self.told, int(self.around.now_s())))

    def changes(self, sale: Sale) -> Sequence[Callable[[], None]]:
        if sale.shipped:
            return []
        return [partial(self._cancel, sale), partial(self._send, sale), partial(self._refund, sale)]

    def _cancel(self, sale: Sale) -> None:
        """Whether Etsy shows the units again was the seller's choice; they are free (etsy.md §3)."""
        self.twin.change(sale.key, "canceled", restock=self.around.rng.random() < 0.5)
        sale.back, sale.closed = sale.units, True
        self._tell("order.canceled", sale)

    def _send(self, sale: Sale) -> None:
        self.twin.change(sale.key, "completed")
        sale.shipped = sale.units
        self._tell("order.shipped", sale)

    def _refund(self, sale: Sale) -> None:
        """Money alone; nothing says when."""
        self.twin.refund(sale.key)
        sale.closed = True

    def asked(self, request: Request) -> Mapping[str, int]:
        if request.method == "PATCH":
            return {}
        rows = json_of(request)["products"]
        return {row["property_values"][0]["values"][0]: row["offerings"][0]["quantity"] for row in rows}

    def throttled(self, wait_s: int) -> tuple[int, Any, Mapping[str, str]]:
        return 429, {"error": "Has exceeded quota"}, {
            "retry-after": str(wait_s), "x-limit-per-second": "10", "x-remaining-this-second": "0",
            "x-limit-per-day": "10000", "x-remaining-today": "9000",
        }  # fmt: skip

    def expire(self) -> bool:
        self.twin.ended = len(self.twin.refreshes) - 1
        return True

    def copies(self, what: Literal["orders", "stock"]) -> Sequence[tuple[Any, str]]:
        return [(self.twin, "receipts" if what == "orders" else "listings")]

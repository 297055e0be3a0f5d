"""WooCommerce: no tokens, no compare-and-set, webhooks that are sent once and hold the whole order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

from daemon.domain.exchange import Request
from tests.acceptance import woo_twin
from tests.channels.stage import Sale, Sort, Stage, Surroundings, json_of, wire
from tests.channels.weather import HOOKS

PARENT = 40


class WooCommerce(Stage):
    """Two simple products, and two variations of a third."""

    platform = "woocommerce"
    base_url = "http://127.0.0.1:1"
    secrets: ClassVar = {"consumer_key": woo_twin.KEY, "consumer_secret": woo_twin.SECRET}
    hook_secrets = ("wc_secret_of_the_twin",)
    kinds = (*HOOKS, "partly refused")
    contents = True
    told_in_s = 2.0

    def __init__(self, stock: Mapping[str, int], around: Surroundings) -> None:
        super().__init__(stock, around)
        items = [
            woo_twin.Item(11 + place, sku, units, PARENT if place > 1 else 0, int(around.now_s()))
            for place, (sku, units) in enumerate(stock.items())
        ]
        self.twin = woo_twin.Twin(
            {item.id: item for item in items}, (PARENT,), port=1, now_s=around.now_s, send=around.send
        )
        self.twin._nursery = around.nursery

    def sort(self, request: Request) -> Sort:
        path = wire(request)[0].partition("?")[0].removeprefix(woo_twin.API)
        if path.startswith("/products"):
            return "write" if request.method == "POST" else "stock"
        return "orders" if path.startswith("/orders") else "hooks"

    async def respond(self, request: Request) -> tuple[int, Any, Mapping[str, str]]:
        return await self.twin.answer(request.method, wire(request)[0], request.body)

    def shown(self, sku: str) -> int:
        return max(0, self.twin.stock(sku))

    def buy(self, sku: str, units: int) -> Sale:
        number = self.twin.sell(sku, units)
        return self.sold(number, sku, units, f'"id": {number},')

    def changes(self, sale: Sale) -> Sequence[Callable[[], None]]:
        if sale.shipped:
            return [partial(self._refund, sale)] if sale.taken else []
        found: list[Callable[[], None]] = [partial(self._cancel, sale), partial(self._complete, sale)]
        return [*found, partial(self._refund, sale), partial(self._keep_money, sale)] if sale.taken else []

    def _cancel(self, sale: Sale) -> None:
        _, held = self.twin.cancel(sale.key)
        sale.back += held
        sale.closed = True

    def _complete(self, sale: Sale) -> None:
        self.twin.complete(sale.key)
        sale.shipped = sale.units

    def _refund(self, sale: Sale) -> None:
        """With the units put back, some of them or all."""
        units = self.around.rng.randint(1, sale.taken)
        self.twin.refund(sale.key, units)
        sale.back += units

    def _keep_money(self, sale: Sale) -> None:
        """Refunded as a whole by its status alone: nothing is put back (woocommerce.md §3)."""
        self.twin.set_status(sale.key, "refunded")
        sale.closed = True

    def asked(self, request: Request) -> Mapping[str, int]:
        rows = json_of(request)["update"]
        return {self.twin.items[row["id"]].sku: row["stock_quantity"] for row in rows if row["id"] in self.twin.items}

    def throttled(self, wait_s: int) -> tuple[int, Any, Mapping[str, str]]:
        """Not the store but what stands before it: 429, maybe with `Retry-After`, maybe HTML (§6)."""
        extra = {"Retry-After": str(wait_s)} if self.around.rng.random() < 0.7 else {}
        return 429, self.around.rng.choice((b"<html>slow down</html>", b"")), extra

    def partial(self, request: Request) -> tuple[int, Any, Mapping[str, str]] | None:
        """A row that fails says so in its place, under a 200 (§5)."""
        rows = json_of(request)["update"]
        refused = {row["id"] for row in rows if self.around.rng.random() < 0.6}
        if not refused:
            return None
        parent = next((each.parent for each in self.twin.items.values() if each.id == rows[0]["id"]), 0)
        error = self.around.rng.choice((("woocommerce_rest_cannot_edit", 403), ("db_update_error", 500)))
        done = [
            {"id": row["id"], "error": woo_twin._error(*error)} if row["id"] in refused
            else self.twin._write(row, parent) for row in rows
        ]  # fmt: skip
        return 200, {"update": done}, {}

    def copies(self, what: Literal["orders", "stock"]) -> Sequence[tuple[Any, str]]:
        return [(self.twin, "orders" if what == "orders" else "items")]

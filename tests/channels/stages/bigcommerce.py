"""BigCommerce: signed hints, rate headers, on-hand stock that is written now and shows later."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

from daemon.domain.exchange import Request
from tests.adapters import bigcommerce_twin
from tests.channels.stage import Sale, Sort, Stage, Surroundings, json_of
from tests.channels.weather import HOOKS

LATE = "stock written late"
CANCELLED, SHIPPED, PARTLY_SHIPPED = 5, 2, 3


class BigCommerce(Stage):
    platform = "bigcommerce"
    options: ClassVar = {"store_hash": bigcommerce_twin.HASH}
    secrets: ClassVar = {"access_token": bigcommerce_twin.TOKEN, "webhook_key": bigcommerce_twin.KEY}
    hook_secrets = (bigcommerce_twin.CLIENT_SECRET,)
    kinds = (*HOOKS, "partly refused", LATE)
    retries_s = (60.0, 180.0, 300.0, 600.0)
    applies_later = True
    told_in_s = 5.0

    def __init__(self, stock: Mapping[str, int], around: Surroundings) -> None:
        super().__init__(stock, around)
        safety = around.rng.choice((0, 0, 3))
        items = [
            bigcommerce_twin.Item(509 + place, 206 + place // 2, sku, units + safety, safety)
            for place, (sku, units) in enumerate(stock.items())
        ]
        self.twin = bigcommerce_twin.Twin({item.variant: item for item in items}, around.now_s)
        self.twin.inline = around.rng.random() < 0.7
        self.twin.send = lambda hook, url, body, headers: around.post(url, body, headers)

    def sort(self, request: Request) -> Sort:
        path = request.url.partition(bigcommerce_twin.HASH)[2]
        if path.startswith("/v3/inventory/"):
            return "write" if request.method == "PUT" else "stock"
        return "orders" if path.startswith("/v2/orders") else "hooks"

    async def respond(self, request: Request) -> tuple[int, Any, Mapping[str, str]]:
        if self.twin.lag_s and self.sort(request) == "write":
            self.around.happened(LATE)
        headers = {**request.headers, **request.secret_headers}
        return self.twin.answer(request.method, request.url, headers, request.body)

    def settle(self) -> None:
        self.twin.apply()

    def shown(self, sku: str) -> int:
        self.twin.apply()
        return self.twin.item(sku).shown()

    def buy(self, sku: str, units: int) -> Sale:
        number = self.twin.sell(sku, units)
        return self.sold(number, sku, units, f'"id": {number},')

    def changes(self, sale: Sale) -> Sequence[Callable[[], None]]:
        found: list[Callable[[], None]] = []
        if not sale.shipped:
            found += [partial(self._cancel, sale), partial(self._refund, sale)]
            if sale.taken > 1:
                found.append(partial(self._edit, sale))
        if sale.shipped < sale.taken:
            found.append(partial(self._ship, sale))
        return found

    def _cancel(self, sale: Sale) -> None:
        self.twin.change(sale.key, status=CANCELLED)
        sale.back, sale.closed = sale.units, True

    def _edit(self, sale: Sale) -> None:
        """Staff take a unit out of the order."""
        self.twin.change(sale.key, quantity=sale.taken - 1)
        sale.back += 1

    def _refund(self, sale: Sale) -> None:
        """Money alone: nothing is put back (bigcommerce.md §3)."""
        self.twin.refund(sale.key, 1)
        sale.closed = True

    def _ship(self, sale: Sale) -> None:
        sale.shipped = self.around.rng.randint(sale.shipped + 1, sale.taken)
        self.twin.change(
            sale.key, status=SHIPPED if sale.shipped == sale.taken else PARTLY_SHIPPED, shipped=sale.shipped
        )

    def asked(self, request: Request) -> Mapping[str, int]:
        items = {row["variant_id"]: row["quantity"] for row in json_of(request)["items"] if "variant_id" in row}
        known = self.twin.items
        return {known[each].sku: max(0, units - known[each].safety) for each, units in items.items() if each in known}

    def throttled(self, wait_s: int) -> tuple[int, Any, Mapping[str, str]]:
        """With the window's figures; without them the platform is under load (§6)."""
        error = bigcommerce_twin._error(429, "Too many requests")
        if self.around.rng.random() < 0.3:
            return 429, error, {}
        return 429, error, {
            "X-Rate-Limit-Time-Window-Ms": "30000", "X-Rate-Limit-Time-Reset-Ms": str(wait_s * 1_000),
            "X-Rate-Limit-Requests-Quota": "150", "X-Rate-Limit-Requests-Left": "0",
        }  # fmt: skip

    def partial(self, request: Request) -> tuple[int, Any, Mapping[str, str]] | None:
        """Nothing of a call is done that names a bad item (§5)."""
        rows = [row["variant_id"] for row in json_of(request)["items"] if "variant_id" in row]
        bad = [each for each in rows if self.around.rng.random() < 0.6]
        said = f"Items not found, variant_id: [{', '.join(map(str, bad))}]"
        return (422, bigcommerce_twin._error(422, said), {}) if bad else None

    def unrest(self, name: str) -> bool:
        if name != LATE:
            return False
        self.twin.lag_s = self.around.rng.choice((2.0, 10.0, 50.0))
        return True

    def clear_up(self) -> None:
        self.twin.lag_s = 0.0

    def copies(self, what: Literal["orders", "stock"]) -> Sequence[tuple[Any, str]]:
        return [(self.twin, "orders" if what == "orders" else "items")]

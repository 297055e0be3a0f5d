"""Vendure: GraphQL under a session, stock by allocation, hints from a plugin, versions that are histories."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

from daemon.domain.exchange import Request
from tests.adapters import vendure_twin
from tests.channels.stage import Sale, Sort, Stage, Surroundings, json_of
from tests.channels.weather import EXPIRED, HOOKS


class Vendure(Stage):
    platform = "vendure"
    base_url = "https://vendure.test"
    options: ClassVar = {"username": vendure_twin.NAME}
    secrets: ClassVar = {"password": vendure_twin.PASSWORD}
    hook_secrets = (vendure_twin.SECRET,)
    kinds = (*HOOKS, EXPIRED, "partly refused")
    retries_s = (5.0, 60.0)
    told_in_s = 5.0

    def __init__(self, stock: Mapping[str, int], around: Surroundings) -> None:
        super().__init__(stock, around)
        variants = [
            vendure_twin.Variant(str(11 + place), sku, {vendure_twin.HOME: [units, 0]})
            for place, (sku, units) in enumerate(stock.items())
        ]
        self.twin = vendure_twin.Twin({each.id: each for each in variants}, around.now_s, self._tell)
        self.told = 0

    def _tell(self, topic: str, order: str) -> None:
        body = self.twin.hint(topic, order)
        self.told += 1
        self.around.post("", body, self.twin.signed(body, f"m-{self.told}"))

    def sort(self, request: Request) -> Sort:
        name = json_of(request)["query"].split("(")[0].split("{")[0].split()[-1]
        if name in ("Login", "SetStock"):
            return "token" if name == "Login" else "write"
        return "orders" if "rder" in name or name in ("Placed", "Changed") else "stock"

    async def respond(self, request: Request) -> tuple[int, Any, Mapping[str, str]]:
        headers = {**request.headers, **request.secret_headers}
        status, extra, body = self.twin.answer(request.url, headers, request.body)
        return status, body, extra

    def shown(self, sku: str) -> int:
        return max(0, self.twin.variant(sku).free)

    def buy(self, sku: str, units: int) -> Sale:
        order = self.twin.sell(sku, units)
        return self.sold(order, sku, units, f'"id": "{order.id}", "type"')

    def changes(self, sale: Sale) -> Sequence[Callable[[], None]]:
        if sale.shipped or not sale.taken:
            return [] if sale.shipped >= sale.taken else [partial(self._hand_over, sale)]
        return [partial(self._hand_over, sale), partial(self._cancel, sale), partial(self._modify, sale)]

    def _hand_over(self, sale: Sale) -> None:
        units = self.around.rng.randint(1, sale.taken - sale.shipped)
        self.twin.hand_over(sale.key, units)
        sale.shipped += units

    def _cancel(self, sale: Sale) -> None:
        units = self.around.rng.randint(1, sale.taken)
        self.twin.cancel(sale.key, units)
        sale.back += units

    def _modify(self, sale: Sale) -> None:
        """Fewer, or one more where there is one."""
        more = self.shown(sale.sku) > 0 and self.around.rng.random() < 0.5
        quantity = sale.taken + 1 if more else sale.taken - 1
        if quantity:
            self.twin.modify(sale.key, quantity)
            sale.back = sale.units - quantity

    def asked(self, request: Request) -> Mapping[str, int]:
        """What is written holds what is allocated there."""
        known = self.twin.variants
        rows = [row for row in json_of(request)["variables"]["input"] if row["id"] in known]
        home = vendure_twin.HOME
        return {
            known[row["id"]].sku: max(0, row["stockLevels"][0]["stockOnHand"] - known[row["id"]].stock[home][1])
            for row in rows
        }

    def throttled(self, wait_s: int) -> tuple[int, Any, Mapping[str, str]]:
        """Not the server but what stands before it."""
        return 429, b"", {"Retry-After": str(wait_s)} if self.around.rng.random() < 0.7 else {}

    def partial(self, request: Request) -> tuple[int, Any, Mapping[str, str]] | None:
        """A call that names a bad variant is refused as a whole, within a 200."""
        bad = self.around.rng.choice(json_of(request)["variables"]["input"])["id"]
        return (
            200,
            vendure_twin._error("ENTITY_NOT_FOUND", f'No ProductVariant with the id "{bad}" could be found'),
            {},
        )

    def expire(self) -> bool:
        self.twin.session = f"session-{self.around.rng.getrandbits(40)}"
        return True

    def copies(self, what: Literal["orders", "stock"]) -> Sequence[tuple[Any, str]]:
        return [(self.twin, "orders" if what == "orders" else "variants")]

"""eBay: REST beside an older XML interface, purchases that are paid later, signed hints, no rate headers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

import trio

from daemon.domain.exchange import Request
from tests.adapters import ebay_twin
from tests.channels.stage import Sale, Sort, Stage, Surroundings, json_of, wire
from tests.channels.weather import EXPIRED, HOOKS

HOOK = "sync_daemon-verification-token-0001_abcdef"
TRADING_DOWN = "older interface down"
DOWN_S = (20.0, 400.0)


class Ebay(Stage):
    platform = "ebay"
    options: ClassVar = {"client_id": "app", "user_id": ebay_twin.SELLER, "alert_email": "ops@example.com"}
    secrets: ClassVar = {"client_secret": "cert", "refresh_token": "consented"}
    hook_secrets = (HOOK,)
    kinds = (*HOOKS, EXPIRED, "partly refused", TRADING_DOWN)
    retries_s = (5.0, 60.0, 300.0)
    told_in_s = 120.0
    turn_s = 200.0
    rests = True

    def __init__(self, stock: Mapping[str, int], around: Surroundings) -> None:
        super().__init__(stock, around)
        self.twin = ebay_twin.Twin(lambda: round(around.now_s() * 1_000), rng=around.rng)
        for place, (sku, units) in enumerate(stock.items()):
            self.twin.list(sku, units + (2 if place == 1 else 0), units if place == 1 else None)
        self.twin.endpoint_answers = challenged

    def sort(self, request: Request) -> Sort:
        path = wire(request)[0].partition("?")[0]
        if path == "/identity/v1/oauth2/token":
            return "token"
        if path.startswith("/sell/inventory/"):
            return "write" if path.endswith("/bulk_update_price_quantity") else "stock"
        if path == "/ws/api.dll":
            return "stock" if request.headers.get("X-EBAY-API-CALL-NAME") == "GetUserPreferences" else "orders"
        return "orders" if path.startswith("/sell/fulfillment/") else "hooks"

    async def respond(self, request: Request) -> tuple[int, Any, Mapping[str, str]]:
        target, headers = wire(request)
        if self.twin.trading_broken and target.startswith("/ws/api.dll"):
            self.around.happened(TRADING_DOWN)
        status, extra, body = self.twin.answer(request.method, target, headers, request.body)
        return status, body, extra

    def shown(self, sku: str) -> int:
        return max(0, self.twin.items[sku].shown)

    def buy(self, sku: str, units: int) -> Sale:
        bought = self.twin.buy(sku, units)
        sale = self.sold(bought, sku, units, bought.line)
        if self.around.rng.random() < 0.6:
            self._pay(sale)
        return sale

    def changes(self, sale: Sale) -> Sequence[Callable[[], None]]:
        if sale.shipped:
            return []
        paid = [partial(self._ship, sale)] if sale.key.paid else [partial(self._pay, sale)]
        return [*paid, partial(self._cancel, sale)]

    def _pay(self, sale: Sale) -> None:
        self.twin.pay(sale.key)
        headers, body = self.twin.notice(sale.key)
        for each in self.twin.subscriptions.values():
            place = self.twin.destinations[each["destinationId"]]
            if each["status"] == place["status"] == "ENABLED":
                self.around.post(place["deliveryConfig"]["endpoint"], body, headers)

    def _ship(self, sale: Sale) -> None:
        self.twin.ship(sale.key)
        sale.shipped = sale.units

    def _cancel(self, sale: Sale) -> None:
        """The listing keeps its figure, but the units are free (ebay.md §3)."""
        self.twin.cancel(sale.key)
        sale.back, sale.closed = sale.units, True

    def asked(self, request: Request) -> Mapping[str, int]:
        rows = json_of(request)["requests"]
        return {row["sku"]: row["shipToLocationAvailability"]["quantity"] for row in rows}

    def throttled(self, wait_s: int) -> tuple[int, Any, Mapping[str, str]]:
        """Everything is, until a moment that the analytics call alone tells (§6)."""
        self.twin.throttled_until = self.twin.now_ms() + wait_s * 1_000
        status, extra, body = ebay_twin.refusal(429, 2001, "Too many requests.", "ACCESS")
        return status, body, extra

    def partial(self, request: Request) -> tuple[int, Any, Mapping[str, str]] | None:
        """Each entry has a status of its own, under a 207: some are refused, and others done (§5.1); or the only one
        is, but not where it is to be seen that some were."""
        rng, entries, rows = self.around.rng, [], json_of(request)["requests"]
        if len(rows) < 2 and (self.around.every or rng.random() < 0.4):
            return None
        refused = rng.sample(range(len(rows)), rng.randint(1, max(1, len(rows) - 1)))
        for place, row in enumerate(rows):
            if place in refused:
                status, number = rng.choice(((500, 25001), (400, 25002), (409, 25709)))
                bad = {"statusCode": status, "sku": row["sku"], "errors": [ebay_twin.error(number, "no")]}
                offers = [{**bad, "offerId": each["offerId"]} for each in row.get("offers", ())]
                entries += offers or [bad]
            else:
                entries += self.twin._write(row)
        rng.shuffle(entries)
        return 207, {"responses": entries}, {}

    def expire(self) -> bool:
        self.twin.tokens.clear()
        return True

    def unrest(self, name: str) -> bool:
        if name != TRADING_DOWN:
            return False
        self.twin.trading_broken = True
        self.around.nursery.start_soon(self._mend)
        return True

    async def _mend(self) -> None:
        await trio.sleep(self.around.rng.uniform(*DOWN_S))
        self.twin.trading_broken = False

    def clear_up(self) -> None:
        self.twin.trading_broken, self.twin.throttled_until = False, 0
        for item in self.twin.items.values():
            item.revisions = 0  # a new day

    def copies(self, what: Literal["orders", "stock"]) -> Sequence[tuple[Any, str]]:
        return [(self.twin, "purchases" if what == "orders" else "items")]


def challenged(url: str, code: str) -> bytes:
    """What our endpoint answers eBay's challenge (§2)."""
    answer = hashlib.sha256(f"{code}{HOOK}{url}".encode()).hexdigest()
    return json.dumps({"challengeResponse": answer}).encode()

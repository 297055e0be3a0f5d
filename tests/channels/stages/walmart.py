"""Walmart: the number holds its open orders; writes one by one, or in feeds that are decided later."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from email import message_from_bytes
from functools import partial
from typing import Any, ClassVar, Literal

from daemon.domain.exchange import Request
from tests.adapters import walmart_twin
from tests.channels.stage import Sale, Sort, Stage, Surroundings, json_of, wire
from tests.channels.weather import EXPIRED, HOOKS

PHANTOM, FEED_LATE, FEED_REFUSES = "write acknowledged, not done", "feed decided late", "feed refuses an item"
USUAL_LAG_S = 60.0


class Walmart(Stage):
    platform = "walmart"
    options: ClassVar = {"client_id": walmart_twin.CLIENT_ID}
    secrets: ClassVar = {"client_secret": walmart_twin.CLIENT_SECRET}
    hook_secrets = (walmart_twin.HOOK_SECRET,)
    kinds = (*HOOKS, EXPIRED, PHANTOM, FEED_LATE, FEED_REFUSES)
    retries_s = (5.0, 60.0, 300.0)
    applies_later = True
    told_in_s = 120.0
    turn_s = 60.0
    window_s = float("inf")  # it takes every sale off what it is told by itself, also those that nobody heard of

    def __init__(self, stock: Mapping[str, int], around: Surroundings) -> None:
        if around.every or around.rng.random() < 0.5:
            self.inner = {"bulk_from": 3, "bulk_max": 100, "bulk_every_s": 60.0, "job_life_s": 3_600.0}
            stock = dict.fromkeys(stock, 90)  # what is nearly gone is never told in a feed
        super().__init__(stock, around)
        self.twin = walmart_twin.Twin(
            dict(stock), around.now_s, lag_s=USUAL_LAG_S, token_life_s=around.rng.choice((60, 900)),
            hex_signature=around.rng.random() < 0.5,
        )  # fmt: skip
        self.twin.send = lambda hook, url, body, headers: around.post(url, body, headers)
        self.twin.befell = self._befell

    def _befell(self, what: str) -> None:
        if what == "phantom":
            self.around.happened(PHANTOM)
        elif what == "refused":
            self.around.happened(FEED_REFUSES)
        elif self.twin.lag_s > USUAL_LAG_S:
            self.around.happened(FEED_LATE)

    def sort(self, request: Request) -> Sort:
        path = wire(request)[0].partition("?")[0].removeprefix("/v3")
        if path == "/token":
            return "token"
        if path.startswith("/feeds"):
            return "write" if request.method == "POST" else "job"
        if path.startswith("/inventor"):
            return "write" if request.method == "PUT" else "stock"
        return "orders" if path.startswith("/orders") else "hooks"

    async def respond(self, request: Request) -> tuple[int, Any, Mapping[str, str]]:
        headers = {**request.headers, **request.secret_headers}
        return self.twin.answer(request.method, request.url, headers, request.body)

    def settle(self) -> None:
        self.twin.process()

    def shown(self, sku: str) -> int:
        return self.twin.shown(sku)

    def buy(self, sku: str, units: int) -> Sale:
        return self.sold(self.twin.sell((sku, units)), sku, units)

    def changes(self, sale: Sale) -> Sequence[Callable[[], None]]:
        line = self.twin.orders[sale.key].lines[0]
        found: list[Callable[[], None]] = []
        if line.open:
            found += [partial(self._ship, sale, line), partial(self._cancel, sale, line)]
            found += [partial(self._acknowledge, sale)] if line.parts["Created"] else []
        if line.parts["Shipped"]:
            found.append(partial(self._refund, sale, line))
        return found

    def _acknowledge(self, sale: Sale) -> None:
        self.twin.acknowledge(sale.key)

    def _ship(self, sale: Sale, line: walmart_twin.Line) -> None:
        units = self.around.rng.randint(1, line.open)
        self.twin.ship(sale.key, units=units)
        sale.shipped += units

    def _cancel(self, sale: Sale, line: walmart_twin.Line) -> None:
        units = self.around.rng.randint(1, line.open)
        self.twin.cancel(sale.key, units=units, by_walmart=self.around.rng.random() < 0.5)
        sale.back += units

    def _refund(self, sale: Sale, line: walmart_twin.Line) -> None:
        """Money alone (walmart.md §3)."""
        self.twin.refund(sale.key, units=self.around.rng.randint(1, line.parts["Shipped"]))

    def asked(self, request: Request) -> Mapping[str, int]:
        """What is written holds what is open there."""
        rows = [json_of(request)] if request.method == "PUT" else document(request)["Inventory"]
        known = [row for row in rows if row["sku"] in self.twin.told]
        return {row["sku"]: max(0, row["quantity"]["amount"] - self.twin.open(row["sku"])) for row in known}

    def throttled(self, wait_s: int) -> tuple[int, Any, Mapping[str, str]]:
        """The moment of the next call, in any of three spellings (§6)."""
        at = self.around.now_s() + wait_s
        spoken = self.around.rng.choice((
            {"x-next-replenish-time": str(round(at * 1_000))}, {"X-Next-Replenishment-Time": str(round(at))},
            {"x-next-replenish-time": walmart_twin._iso(at)}, {"Retry-After": str(wait_s)},
        ))  # fmt: skip
        error = {"code": "REQUEST_THRESHOLD_VIOLATED.GMP_GATEWAY_API", "severity": "ERROR", "category": "REQUEST"}
        return 429, {"error": [error]}, {"x-current-token-count": "0", **spoken}

    def expire(self) -> bool:
        self.twin.tokens.clear()
        return True

    def unrest(self, name: str) -> bool:
        if name == PHANTOM:
            self.twin.phantoms += 1
        elif name in (FEED_LATE, FEED_REFUSES) and self.inner:
            if name == FEED_LATE:
                self.twin.lag_s = self.around.rng.choice((300.0, 1_500.0))
            else:
                self.twin.refused = {self.around.rng.choice(list(self.stock))}
        else:
            return False
        return True

    def clear_up(self) -> None:
        self.twin.phantoms, self.twin.lag_s = 0, USUAL_LAG_S
        self.twin.refused.clear()

    def copies(self, what: Literal["orders", "stock"]) -> Sequence[tuple[Any, str]]:
        return [(self.twin, "orders" if what == "orders" else "told")]


def document(request: Request) -> Any:
    """What a feed's upload holds."""
    kind = next(value for name, value in request.headers.items() if name.lower() == "content-type")
    (part,) = message_from_bytes(f"content-type: {kind}\r\n\r\n".encode() + request.body).get_payload()
    return json.loads(part.get_payload(decode=True))

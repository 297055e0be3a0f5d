"""A small Etsy shop in memory: listings with variants, receipts, the token endpoint.

Composed from the sheet (etsy.md), not from any shop's traffic. It keeps its own stock: it shows what it was told, and
what it sold, whatever anybody believes. It refuses what Etsy refuses: a listing whose variants are all at zero, a key
without its secret, a refresh token that was used already.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from attrs import define, field

from daemon.domain.exchange import Request, Response
from tests.adapters.official.judge import judged

SHOP, KEYSTRING, SHARED, REFRESH = 7654321, "twin-keystring", "twin-shared", "1.refresh-0"  # good for this twin alone
API = "/v3/application"
Json = Any


@define
class Variant:
    number: int
    sku: str
    quantity: int
    enabled: bool = True

    def shown(self) -> Json:
        return {
            "product_id": self.number, "sku": self.sku, "is_deleted": False,
            "offerings": [{
                "offering_id": self.number, "quantity": self.quantity, "is_enabled": self.enabled,
                "is_deleted": False, "price": {"amount": 2200, "divisor": 100, "currency_code": "USD"},
                "readiness_state_id": 1001,
            }],
            "property_values": [{
                "property_id": 513, "property_name": "Size", "scale_id": None, "scale_name": None,
                "value_ids": [self.number], "values": [self.sku],
            }],
        }  # fmt: skip


@define
class Listing:
    number: int
    variants: list[Variant]
    state: str = "active"
    shared: bool = False

    def inventory(self) -> Json:
        return {
            "products": [variant.shown() for variant in self.variants], "price_on_property": [513],
            "quantity_on_property": [] if self.shared else [513], "sku_on_property": [513],
            "readiness_state_on_property": [],
        }  # fmt: skip

    def shown(self) -> Json:
        return {
            "listing_id": self.number, "shop_id": SHOP, "state": self.state, "title": "x",
            "inventory": self.inventory(),
        }  # fmt: skip


@define
class Twin:
    """The shop. `log` holds what was asked of it: (method, path, status)."""

    listings: dict[int, Listing]
    now_s: Callable[[], int]
    receipts: dict[int, Json] = field(factory=dict)
    log: list[tuple[str, str, int]] = field(factory=list)
    refreshes: list[str] = field(factory=lambda: [REFRESH])
    """The refresh tokens that were given, the newest last: only that one is good."""
    ended: int = -1
    """Access tokens up to this one are good no more."""
    renewed: int = 0
    """Fees paid for listings that were sold out."""
    between: Callable[[], None] = lambda: None
    """Happens after each read of an inventory."""
    _number: int = 3_000_000_000

    # -- shoppers and the seller --

    def variant(self, sku: str) -> Variant:
        return next(each for listing in self.listings.values() for each in listing.variants if each.sku == sku)

    def listing(self, sku: str) -> Listing:
        return next(each for each in self.listings.values() if any(one.sku == sku for one in each.variants))

    def on_sale(self, sku: str) -> int:
        """What shoppers can buy."""
        return self.variant(sku).quantity if self.listing(sku).state == "active" else 0

    def sell(self, sku: str, units: int, status: str = "paid") -> int:
        assert self.on_sale(sku) >= units
        listing, variant = self.listing(sku), self.variant(sku)
        self._take(listing, variant, units)
        self._number += 1
        line = {
            "transaction_id": self._number * 10, "receipt_id": self._number, "listing_id": listing.number,
            "product_id": variant.number, "sku": sku, "quantity": units, "is_digital": False,
            "shipped_timestamp": None, "title": "x",
        }  # fmt: skip
        self.receipts[self._number] = {
            "receipt_id": self._number, "status": status, "is_paid": status == "paid", "is_shipped": False,
            "created_timestamp": self.now_s(), "updated_timestamp": self.now_s(), "name": "Robin",
            "transactions": [line], "refunds": [],
        }  # fmt: skip
        return self._number

    def _take(self, listing: Listing, variant: Variant, units: int) -> None:
        for each in listing.variants if listing.shared else [variant]:
            each.quantity -= units
        if not any(each.quantity for each in listing.variants if each.enabled):
            listing.state = "sold_out"

    def change(self, number: int, status: str, *, restock: bool = False) -> None:
        """Another status. `restock`: what the seller ticks when cancelling."""
        receipt = self.receipts[number]
        if receipt["is_shipped"] and status == "canceled":
            return
        receipt |= {"status": status, "updated_timestamp": self.now_s(), "is_paid": True}
        if status == "completed":
            receipt["is_shipped"] = True
        if restock:
            line = receipt["transactions"][0]
            self.variant(line["sku"]).quantity += line["quantity"]

    def refund(self, number: int) -> None:
        """Money alone; nothing says when."""
        self.receipts[number] |= {"status": "partially refunded", "refunds": [{"reason": "x"}]}

    # -- the API --

    def respond(self, request: Request) -> Response:
        headers = {**request.headers, **request.secret_headers}
        status, body, extra = self.answer(request.method, request.url, headers, request.body)
        return Response(status, extra, json.dumps(body).encode())

    @judged("etsy")
    def answer(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, Json, dict[str, str]]:
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        if parts.path == "/v3/public/oauth/token":
            status, content = self._token(dict(parse_qsl(body.decode())))
        elif headers.get("x-api-key") != f"{KEYSTRING}:{SHARED}":
            status, content = 401, {"error": "Invalid API key: should be in the format 'keystring:shared_secret'."}
        elif headers.get("authorization") != f"Bearer 1.access-{self._live()}":
            status, content = 401, {"error": "invalid_token"}
        else:
            path = parts.path.removeprefix(API).strip("/").split("/")
            is_form = "urlencoded" in headers.get("content-type", "")
            payload = dict(parse_qsl(body.decode())) if is_form else json.loads(body) if body else {}
            status, content = self._route(method, path, query, payload)
        self.log.append((method, parts.path.removeprefix(API), status))
        left = 10_000 - len(self.log)
        return status, content, {
            "x-limit-per-second": "10", "x-remaining-this-second": "9", "x-limit-per-day": "10000",
            "x-remaining-today": str(left),
        }  # fmt: skip

    def _live(self) -> int | None:
        """The newest access token, where it is still good."""
        newest = len(self.refreshes) - 1
        return newest if newest > self.ended else None

    def _token(self, form: Mapping[str, str]) -> tuple[int, Json]:
        if form.get("client_id") != KEYSTRING:
            return 401, {"error": "invalid_client"}
        if form.get("refresh_token") != self.refreshes[-1]:
            return 400, {"error": "invalid_grant"}
        self.refreshes.append(f"1.refresh-{len(self.refreshes)}")
        access = f"1.access-{len(self.refreshes) - 1}"
        return 200, {
            "access_token": access, "token_type": "Bearer", "expires_in": 3600, "refresh_token": self.refreshes[-1]
        }  # fmt: skip

    def _route(self, method: str, path: list[str], query: dict[str, str], payload: Json) -> tuple[int, Json]:
        match method, path:
            case "GET", ["shops", _, "receipts"]:
                return 200, self._feed(query)
            case "GET", ["shops", _, "receipts", number]:
                found = self.receipts.get(int(number))
                return (200, found) if found else (404, {"error": "Resource not found"})
            case "GET", ["shops", _, "listings"]:
                rows = [each.shown() for each in self.listings.values() if each.state == query["state"]]
                return 200, _page(rows, query)
            case "GET", ["listings", "batch", "inventory"]:
                numbers = [int(each) for each in query["listing_ids"].split(",")]
                if any(number not in self.listings for number in numbers):
                    return 404, {"error": "Could not find a listing"}
                told = {"count": len(numbers), "results": [self.listings[number].shown() for number in numbers]}
                self.between()
                return 200, told
            case "PUT", ["listings", number, "inventory"]:
                return self._write(self.listings[int(number)], payload)
            case "PATCH", ["shops", _, "listings", number]:
                return self._set(self.listings[int(number)], payload["state"])
            case _:
                return 404, {"error": "not here"}

    def _feed(self, query: dict[str, str]) -> Json:
        """Cancelled receipts are missing unless they are asked for."""
        cancelled = query.get("was_canceled") == "true"
        assert (query["sort_on"], query["sort_order"]) == ("updated", "asc")
        bound = int(query["min_last_modified"])
        rows = [
            each for each in self.receipts.values()
            if (each["status"] == "canceled") == cancelled and each["updated_timestamp"] >= bound
        ]  # fmt: skip
        return _page(sorted(rows, key=lambda row: (row["updated_timestamp"], row["receipt_id"])), query)

    def _write(self, listing: Listing, payload: Json) -> tuple[int, Json]:
        """The whole inventory, or nothing; variants are known by their property values."""
        known = {variant.sku: variant for variant in listing.variants}
        rows = {row["property_values"][0]["values"][0]: row["offerings"][0] for row in payload["products"]}
        if set(rows) != set(known) or payload["quantity_on_property"] != listing.inventory()["quantity_on_property"]:
            return 400, {"error": "the products do not fit the listing"}
        if any("readiness_state_id" not in row or row["price"] != 22.0 for row in rows.values()):
            return 400, {"error": "a price or a readiness state was changed"}
        if not any(row["quantity"] for row in rows.values() if row["is_enabled"]):
            return 400, {"error": "At least one offering must have quantity greater than 0"}
        if listing.shared and len({row["quantity"] for row in rows.values()}) > 1:
            return 400, {"error": "quantity_on_property does not fit"}
        for sku, row in rows.items():
            known[sku].quantity = row["quantity"]
        return 200, listing.inventory()

    def _set(self, listing: Listing, state: str) -> tuple[int, Json]:
        if state == "active":
            if not any(variant.quantity for variant in listing.variants if variant.enabled):
                return 400, {"error": "Listing must have stock"}
            self.renewed += listing.state == "sold_out"
        listing.state = state
        shown = listing.shown()
        del shown["inventory"]
        return 200, shown


def _page(rows: list[Json], query: dict[str, str]) -> Json:
    start, size = int(query.get("offset", "0")), int(query.get("limit", "25"))
    assert size <= 100
    return {"count": len(rows), "results": rows[start : start + size]}

"""A small Vendure: its stock by allocation, its orders with their history, its admin API run by graphql-core against
the schema of `vendure/admin_subset.graphql`, and the plugin's hints. It does what 3.7.3 on SQLite was seen to do.
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import formatdate
from functools import cache
from pathlib import Path
from typing import Any

import graphql
from attrs import define, field

from daemon.domain.exchange import Request, Response

NAME, PASSWORD, KEY = "merchant", "twin-password", "twin-lookup:twin-key"
SECRET = "whsec_dHdpbi1zZWNyZXQtb2YtMzItYnl0ZXMtZm9yLWhpbnRz"
API = "/admin-api"
HOME = "1"
Json = Any


@cache
def schema() -> graphql.GraphQLSchema:
    """As much of the admin API as is asked of it."""
    return graphql.build_schema((Path(__file__).parent / "vendure" / "admin_subset.graphql").read_text("utf-8"))


@cache
def read(query: str) -> tuple[graphql.DocumentNode, str]:
    """A document, and what is wrong with it."""
    document = graphql.parse(query)
    found = graphql.validate(schema(), document)
    return document, found[0].message if found else ""


@define
class Variant:
    """What is sold. `stock`: (on hand, allocated) by location."""

    id: str
    sku: str
    stock: dict[str, list[int]]
    tracked: str = "TRUE"

    @property
    def free(self) -> int:
        on_hand, allocated = self.stock[HOME]
        return on_hand - allocated


@define
class Line:
    id: str
    variant: Variant
    quantity: int
    placed: int = 0
    allocated: int = 0
    handed: int = 0


@define
class Order:
    """`entries`: (second, type) of its history. `updated_s` is what was last touched before it was placed or sent."""

    id: str
    updated_s: int
    placed_ms: int | None = None
    state: str = "AddingItems"
    kind: str = "Regular"
    lines: list[Line] = field(factory=list)
    fulfillments: list[dict[str, Json]] = field(factory=list)
    modifications: list[dict[str, Json]] = field(factory=list)
    entries: list[tuple[int, str]] = field(factory=list)


@define
class Twin:
    """The shop. `now_s`: its clock · `tell`: where hints go, as (topic, order)."""

    variants: dict[str, Variant]
    now_s: Callable[[], float]
    tell: Callable[[str, str], None] = lambda topic, order: None
    tracks: bool = True
    locations: list[str] = field(factory=lambda: [HOME])
    orders: dict[str, Order] = field(factory=dict)
    session: str = "session-1"
    log: list[tuple[str, int]] = field(factory=list)
    """What was asked: (the operation's name, how it was answered)."""
    broken: str = ""
    """The operation of this name throws, before it did anything."""
    before_write: Callable[[], None] = lambda: None
    """What happens between the look and the write of a push."""
    conjured: dict[str, int] = field(factory=dict)
    """Units that cancellations put back beyond what was cancelled, by SKU: see `cancel`."""
    date: bool = False
    """Does the server say what time it is?"""
    _number: int = 0

    # -- people --

    def variant(self, sku: str) -> Variant:
        return next(each for each in self.variants.values() if each.sku == sku)

    def fill(self, sku: str, units: int, kind: str = "Regular") -> Order:
        """A cart."""
        self._number += 1
        line = Line(str(self._number * 10), self.variant(sku), units)
        order = Order(str(self._number), int(self.now_s()), lines=[line], kind=kind)
        order.entries.append((order.updated_s, "ORDER_STATE_TRANSITION"))
        self.orders[order.id] = order
        return order

    def pay(self, order: Order) -> Order:
        """The cart becomes an order: each line allocates what there is, and `updatedAt` stays as it was."""
        order.placed_ms = int(self.now_s() * 1_000)
        order.state = "PaymentSettled"
        for line in order.lines:
            line.placed = line.quantity
            self._allocate(line, line.quantity)
        self._entry(order)
        self.tell("order.placed", order.id)
        return order

    def sell(self, sku: str, units: int) -> Order:
        return self.pay(self.fill(sku, units))

    def cancel(self, order: Order, units: int | None = None) -> None:
        """So many units of the first line, or all of it: back on sale, handed over or not. Where both kinds are
        there, the real one releases as many as it can *and* takes as many back as it can."""
        line = order.lines[0]
        some = line.quantity if units is None else units
        from_shelf = min(some, line.allocated)
        line.allocated -= from_shelf
        line.variant.stock[HOME][1] -= from_shelf
        back = min(some, line.handed)
        line.handed -= back
        line.variant.stock[HOME][0] += back
        line.quantity -= some
        conjured = max(0, from_shelf + back - some)
        self.conjured[line.variant.sku] = self.conjured.get(line.variant.sku, 0) + conjured
        order.updated_s = int(self.now_s())
        self._entry(order, "ORDER_CANCELLATION")
        if not line.quantity:
            order.state = "Cancelled"
            self._entry(order)
        self.tell("order.changed", order.id)

    def hand_over(self, order: Order, units: int | None = None) -> None:
        """A fulfilment: what it holds leaves the shelf. `updatedAt` stays as it was."""
        line = order.lines[0]
        some = line.quantity if units is None else units
        line.handed += some
        gone = min(some, line.allocated)
        line.allocated -= gone
        line.variant.stock[HOME][0] -= gone
        line.variant.stock[HOME][1] -= gone
        number = str(len(order.fulfillments) + 1)
        order.fulfillments.append(
            {"id": number, "state": "Shipped", "lines": [{"orderLineId": line.id, "quantity": some}]}
        )
        order.state = "Shipped" if line.handed == line.quantity else "PartiallyShipped"
        self._entry(order, "ORDER_FULFILLMENT")
        self.tell("order.changed", order.id)

    def modify(self, order: Order, quantity: int) -> None:
        """The merchant changes the first line's quantity."""
        line = order.lines[0]
        change = quantity - line.quantity
        if change < 0:
            self.cancel(order, -change)
        else:
            line.quantity = quantity
            self._allocate(line, change)
        number = str(len(order.modifications) + 1)
        order.modifications.append({"id": number, "lines": [{"orderLineId": line.id, "quantity": change}]})
        order.updated_s = int(self.now_s())
        self._entry(order, "ORDER_MODIFIED")
        self.tell("order.changed", order.id)

    def note(self, order: Order) -> None:
        """Somebody writes something beside the order."""
        self._entry(order, "ORDER_NOTE")

    def _allocate(self, line: Line, units: int) -> None:
        some = max(0, min(units, line.variant.free))
        line.allocated += some
        line.variant.stock[HOME][1] += some

    def _entry(self, order: Order, kind: str = "ORDER_STATE_TRANSITION") -> None:
        order.entries.append((int(self.now_s()), kind))

    # -- the plugin --

    def hint(self, topic: str, order: str) -> bytes:
        body = {"topic": topic, "order": order, "code": f"CODE{order}", "state": self.orders[order].state}
        return json.dumps(body, separators=(",", ":")).encode()

    def signed(self, body: bytes, message: str) -> dict[str, str]:
        stamp = str(int(self.now_s()))
        key = base64.b64decode(SECRET.removeprefix("whsec_"))
        digest = hmac.digest(key, f"{message}.{stamp}.".encode() + body, "sha256")
        return {
            "content-type": "application/json", "webhook-id": message, "webhook-timestamp": stamp,
            "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
        }  # fmt: skip

    # -- the admin API --

    def respond(self, request: Request) -> Response:
        """What an adapter's request gets."""
        status, headers, body = self.answer(request.url, {**request.headers, **request.secret_headers}, request.body)
        return Response(status, headers, body)

    def answer(self, url: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        if not url.endswith(API):
            return 404, {}, b'{"statusCode":404}'
        asked = json.loads(body)
        name = asked["query"].split("(")[0].split("{")[0].split()[-1]
        status, said, extra = 200, self._said(name, asked, headers), {}
        login = (said.get("data") or {}).get("login") or {}
        if login.get("__typename") == "CurrentUser":
            extra = {"vendure-auth-token": self.session}
        elif said.get("errors") and said["errors"][0].get("extensions", {}).get("code", "").startswith("GRAPHQL"):
            status = 400
        self.log.append((name, status))
        if self.date:
            extra["date"] = formatdate(self.now_s(), usegmt=True)
        return status, {"content-type": "application/json; charset=utf-8", **extra}, json.dumps(said).encode()

    def _said(self, name: str, asked: Json, headers: dict[str, str]) -> Json:
        inside = headers.get("vendure-api-key") == KEY or headers.get("authorization") == f"Bearer {self.session}"
        if name != "Login" and not inside:
            return _error("FORBIDDEN", "You are not currently authorized to perform this action")
        if name == self.broken:
            return _error("INTERNAL_SERVER_ERROR", "it broke")
        document, wrong = read(asked["query"])
        if wrong:
            return _error("GRAPHQL_VALIDATION_FAILED", wrong)
        if name == "SetStock":
            self.before_write()
        root = {
            "orders": self._orders, "order": self._order, "productVariants": self._variants,
            "globalSettings": {"trackInventory": self.tracks}, "updateProductVariants": self._write,
            "stockLocations": lambda info, **options: {"items": [{"id": each} for each in self.locations]},
            "login": self._login,
        }  # fmt: skip
        found = graphql.execute_sync(
            schema(), document, root, variable_values=asked["variables"],
            type_resolver=lambda value, *_: str(value["kind"]),
        )  # fmt: skip
        if found.errors:
            code = getattr(found.errors[0].original_error, "code", "BAD_USER_INPUT")
            return _error(code, found.errors[0].message)
        return {"data": found.data}

    def _login(self, info: Json, username: str, password: str) -> Json:
        if (username, password) == (NAME, PASSWORD):
            return {"kind": "CurrentUser"}
        return {"kind": "InvalidCredentialsError", "errorCode": "INVALID_CREDENTIALS_ERROR"}

    def _orders(self, info: Json, options: Json) -> Json:
        """A bound is exclusive; nothing but the stamp that it sorts by says in which order they come."""
        ((name, _),) = options["sort"].items()
        bound = datetime.fromisoformat(options["filter"][name]["after"]).timestamp()
        stamps = {
            order.id: order.updated_s if name == "updatedAt" else (order.placed_ms or 0) / 1_000
            for order in self.orders.values() if order.placed_ms is not None
        }  # fmt: skip
        found = sorted((each for each in stamps if stamps[each] > bound), key=lambda each: stamps[each])
        page = found[options["skip"] : options["skip"] + options["take"]]
        return {"items": [self._shown(self.orders[each]) for each in page], "totalItems": len(found)}

    def _order(self, info: Json, id: str) -> Json | None:  # noqa: A002  # Vendure's name
        order = self.orders.get(id)
        return self._shown(order) if order else None

    def _shown(self, order: Order) -> Json:
        entries = sorted((each for each in order.entries if each[1] != "ORDER_NOTE"), reverse=True)
        return {
            "id": order.id, "type": order.kind, "updatedAt": _stamp(order.updated_s * 1_000),
            "orderPlacedAt": None if order.placed_ms is None else _stamp(order.placed_ms),
            "lines": [
                {
                    "id": line.id, "quantity": line.quantity, "orderPlacedQuantity": line.placed,
                    "productVariant": {"id": line.variant.id, "sku": line.variant.sku},
                }
                for line in order.lines
            ],
            "fulfillments": order.fulfillments, "modifications": order.modifications,
            "history": lambda info, options: {
                "totalItems": len(entries),
                "items": [{"createdAt": _stamp(at * 1_000)} for at, _ in entries[: options["take"]]],
            },
        }  # fmt: skip

    def _variants(self, info: Json, options: Json) -> Json:
        wanted = options.get("filter", {}).get("id", {}).get("in")
        found = [each for each in self.variants.values() if wanted is None or each.id in wanted]
        skip = options.get("skip", 0)
        page = found[skip : skip + options["take"]]
        return {"items": [_variant(each) for each in page], "totalItems": len(found)}

    def _write(self, info: Json, input: list[Json]) -> list[Json]:  # noqa: A002  # Vendure's name
        """All or nothing."""
        for row in input:
            if row["id"] not in self.variants:
                raise RefusedError(f'No ProductVariant with the id "{row["id"]}" could be found')
        for row in input:
            for level in row["stockLevels"]:
                place = self.variants[row["id"]].stock.setdefault(level["stockLocationId"], [0, 0])
                place[0] = level["stockOnHand"]
        return [_variant(self.variants[row["id"]]) for row in input]


class RefusedError(Exception):
    code = "ENTITY_NOT_FOUND"


def _variant(variant: Variant) -> Json:
    return {
        "id": variant.id, "sku": variant.sku, "name": variant.sku.title(), "trackInventory": variant.tracked,
        "stockLevels": [
            {"stockLocationId": place, "stockOnHand": on_hand, "stockAllocated": allocated}
            for place, (on_hand, allocated) in variant.stock.items()
        ],
    }  # fmt: skip


def _stamp(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _error(code: str, message: str) -> Json:
    return {"errors": [{"message": message, "extensions": {"code": code}}], "data": None}

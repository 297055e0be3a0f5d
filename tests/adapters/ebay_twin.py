"""A small eBay: listings, purchases that are paid later or never, and its REST, Trading and notification calls.

Composed from the fact sheet, not from any traffic. Knows neither the adapter nor the daemon: it takes HTTP calls and
gives answers, and it lowers a listing the moment somebody buys, as eBay does.
"""

from __future__ import annotations

import base64
import json
import random
import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit
from xml.etree import ElementTree as ET

from attrs import define, field
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.adapters.official.judge import judged

Json = Any
Answer = tuple[int, dict[str, str], bytes]

NS = "{urn:ebay:apis:eBLBaseComponents}"
REVISIONS_MAX = 250
KEY_ID = "0f8c2a34-5b6d-4e7f-8a9b-0c1d2e3f4a5b"
SELLER = "sellerUid01"


def stamp(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def moment(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


@define
class Item:
    """An inventory item with one published offer. The listing shows the lower figure of the two."""

    sku: str
    quantity: int
    available: int | None
    number: int
    revisions: int = 0

    @property
    def shown(self) -> int:
        return self.quantity if self.available is None else min(self.quantity, self.available)

    def take(self, units: int) -> None:
        self.quantity -= units
        if self.available is not None:
            self.available -= units


@define
class Purchase:
    """One line. `order`: its id, which changes when the buyer pays."""

    line: str
    item: str
    sku: str
    units: int
    bought: int
    modified: int
    order: str
    paid: bool = False
    state: str = "Active"
    shipped: bool = False

    @property
    def key(self) -> str:
        return f"{self.item}-{self.line}"


@define
class Twin:
    """`now_ms`: eBay's own clock. `log`: (method, path) of every call; `rng` shuffles what has no promised order."""

    now_ms: Callable[[], int]
    items: dict[str, Item] = field(factory=dict)
    purchases: dict[str, Purchase] = field(factory=dict)
    rng: random.Random = field(factory=lambda: random.Random(0))
    log: list[tuple[str, str]] = field(factory=list)
    tokens: dict[str, str] = field(factory=dict)
    """Token to whose it is."""
    lag_ms: int = 0
    """An order is so late in the REST feed."""
    zero_lives: bool = True
    per_call: int = 25
    throttled_until: int = 0
    trading_broken: bool = False
    endpoint_answers: Callable[[str, str], bytes | None] = lambda url, code: None
    email: str = ""
    destinations: dict[str, Json] = field(factory=dict)
    subscriptions: dict[str, Json] = field(factory=dict)
    before_answer: Callable[[], None] = lambda: None
    key: ec.EllipticCurvePrivateKey = field(factory=lambda: ec.derive_private_key(4711, ec.SECP256R1()))
    sold_out: set[str] = field(factory=set)
    """Listings that a level of 0 ended."""

    # -- the seller and the buyers --

    def list(self, sku: str, quantity: int, available: int | None = None) -> Item:
        item = self.items[sku] = Item(sku, quantity, available, 110_000_000_001 + len(self.items))
        return item

    def buy(self, sku: str, units: int) -> Purchase:
        """Committed, not paid: the listing shows less from now on."""
        item, now = self.items[sku], self.now_ms()
        assert item.shown >= units
        item.take(units)
        line = str(10_000_000_000_001 + len(self.purchases))
        purchase = Purchase(line, str(item.number), sku, units, now, now, f"{item.number}-{line}")
        self.purchases[line] = purchase
        return purchase

    def pay(self, purchase: Purchase) -> None:
        purchase.paid, purchase.state, purchase.modified = True, "Completed", self.now_ms()
        purchase.order = f"12-{purchase.line[-5:]}-00001"

    def cancel(self, purchase: Purchase) -> None:
        """Whole orders alone; the listing keeps its figure: relisting is the seller's affair."""
        purchase.state, purchase.modified = "Cancelled", self.now_ms()

    def ship(self, purchase: Purchase) -> None:
        purchase.shipped, purchase.modified = True, self.now_ms()

    # -- calls --

    @judged("ebay", content_at=2)
    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        """One call. Header names are lower case."""
        self.before_answer()
        parts = urlsplit(target)
        self.log.append((method, parts.path))
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        status, extra, content = self._route(method, parts.path, query, headers, body)
        date = {"Date": formatdate(self.now_ms() / 1000, usegmt=True)}
        return status, {**date, **extra}, content

    def _route(self, method: str, path: str, query: dict[str, str], headers: dict[str, str], body: bytes) -> Answer:
        if path == "/identity/v1/oauth2/token":
            return self._token(headers, dict(parse_qsl(body.decode())))
        trading = path == "/ws/api.dll"
        bearer = headers.get("x-ebay-api-iaf-token" if trading else "authorization", "").removeprefix("Bearer ")
        who = self.tokens.get(bearer, "")
        if trading:
            return self._trading(headers["x-ebay-api-call-name"], ET.fromstring(body), who)
        if not who:
            return refusal(401, 1001, "Invalid access token", "ACCESS")
        if path.startswith("/developer/analytics/"):
            return self._limits(query)
        if self.now_ms() < self.throttled_until:
            return refusal(429, 2001, "Too many requests.", "ACCESS")
        for prefix, rest, whose in (
            ("/sell/fulfillment/v1", self._fulfillment, "user"), ("/sell/inventory/v1", self._inventory, "user"),
            ("/commerce/notification/v1", self._notification, ""),
        ):  # fmt: skip
            if path.startswith(prefix):
                if whose and who != whose:
                    return refusal(403, 1100, "Insufficient permissions to fulfill the request.", "ACCESS")
                return rest(method, path.removeprefix(prefix), query, json.loads(body) if body else None, who)
        return refusal(404, 2002, "Resource not found", "ACCESS")

    def _token(self, headers: dict[str, str], form: dict[str, str]) -> Answer:
        if headers.get("authorization") != "Basic " + base64.b64encode(b"app:cert").decode():
            return 401, {}, b'{"error":"invalid_client"}'
        who = "user" if form["grant_type"] == "refresh_token" else "app"
        if who == "user" and form.get("refresh_token") != "consented":
            return 400, {}, b'{"error":"invalid_grant"}'
        token = f"{who}-{len(self.tokens)}"
        self.tokens[token] = who
        return reply({"access_token": token, "expires_in": 7200, "token_type": f"{who} token"})

    def _limits(self, query: dict[str, str]) -> Answer:
        left = 0 if self.now_ms() < self.throttled_until else 5
        rate = {"count": 1, "limit": 5, "remaining": left, "reset": stamp(self.throttled_until), "timeWindow": 86400}
        resources = [{"name": "all", "rates": [rate]}]
        return reply({"rateLimits": [{"apiName": query["api_name"], "resources": resources}]})

    # -- orders --

    def _fulfillment(self, method: str, path: str, query: dict[str, str], body: Json, who: str) -> Answer:
        if path != "/order":
            found = [each for each in self.purchases.values() if each.paid and each.order == path[7:]]
            return reply(self._order(found[0])) if found else refusal(404, 32100, "Invalid order ID")
        bounds = re.fullmatch(r"lastmodifieddate:\[([^\]]*?)\.\.([^\]]*)\]", query["filter"])
        assert bounds is not None
        since, until = moment(bounds[1]), moment(bounds[2]) if bounds[2] else None
        if max(since, until or 0) > self.now_ms():
            return refusal(400, 30850, "The date is in the future.")
        found = [
            each for each in self.purchases.values()
            if each.paid and since <= each.modified <= (until or each.modified)
            and each.modified + self.lag_ms <= self.now_ms()
        ]  # fmt: skip
        # By creation, newest first: an order like any other, and none that a change would not upset.
        found.sort(key=lambda each: -each.bought)
        limit, offset = int(query["limit"]), int(query["offset"])
        page = found[offset : offset + limit]
        more = {"next": "https://elsewhere.example/"} if len(found) > offset + limit else {}
        orders = [self._order(each) for each in page]
        return reply({"total": len(found), "limit": limit, "offset": offset, "orders": orders, **more})

    def _order(self, each: Purchase) -> Json:
        line = {
            "lineItemId": each.line, "legacyItemId": each.item, "sku": each.sku, "quantity": each.units,
            "lineItemFulfillmentStatus": "FULFILLED" if each.shipped else "NOT_STARTED", "refunds": [],
        }  # fmt: skip
        state = "CANCELED" if each.state == "Cancelled" else "NONE_REQUESTED"
        return {
            "orderId": each.order, "creationDate": stamp(each.bought), "lastModifiedDate": stamp(each.modified),
            "orderPaymentStatus": "PAID", "cancelStatus": {"cancelState": state, "cancelRequests": []},
            "buyer": {"username": "robin"}, "lineItems": [line],
        }  # fmt: skip

    # -- stock --

    def _inventory(self, method: str, path: str, query: dict[str, str], body: Json, who: str) -> Answer:
        match method, path:
            case "GET", "/inventory_item":
                limit, number = int(query["limit"]), int(query["offset"])
                rows = [*self.items.values()][number * limit : (number + 1) * limit]
                return reply({"total": len(self.items), "inventoryItems": [self._item(each) for each in rows]})
            case "GET", "/offer":
                item = self.items.get(query["sku"])
                if item is None:
                    return refusal(404, 25713, "This Offer is not available.")
                return reply({"total": 1, "offers": [self._offer(item)]})
            case "POST", "/bulk_get_inventory_item":
                return reply({"responses": [self._one(each["sku"]) for each in body["requests"]]})
            case "POST", "/bulk_update_price_quantity":
                if len(body["requests"]) > self.per_call:
                    return refusal(400, 25709, "Too many SKUs in one call")
                entries = [entry for row in body["requests"] for entry in self._write(row)]
                self.rng.shuffle(entries)
                return reply({"responses": entries}, 200 if {e["statusCode"] for e in entries} == {200} else 207)
        return refusal(404, 2002, "Resource not found")

    def _item(self, item: Item) -> Json:
        quantity = {"shipToLocationAvailability": {"quantity": item.quantity}}
        return {"sku": item.sku, "availability": quantity, "product": {"title": f"Item {item.sku}"}}

    def _one(self, sku: str) -> Json:
        if sku not in self.items:
            return {"statusCode": 404, "sku": sku, "errors": [error(25702, "SKU not found")]}
        return {"statusCode": 200, "sku": sku, "inventoryItem": self._item(self.items[sku])}

    def _offer(self, item: Item) -> Json:
        status = "ENDED" if item.sku in self.sold_out else "ACTIVE" if item.shown else "OUT_OF_STOCK"
        listing = {"listingId": str(item.number), "listingStatus": status}
        offer = {"offerId": f"o{item.number}", "sku": item.sku, "format": "FIXED_PRICE", "status": "PUBLISHED"}
        figure = {} if item.available is None else {"availableQuantity": item.available}
        return {**offer, **figure, "listing": listing}

    def _write(self, row: Json) -> list[Json]:
        item = self.items.get(row["sku"])
        if item is None:
            return [{"statusCode": 404, "sku": row["sku"], "errors": [error(25702, "SKU not found")]}]
        item.revisions += 1
        if item.revisions > REVISIONS_MAX:
            return [{"statusCode": 400, "sku": row["sku"], "errors": [error(25002, "revised too often today")]}]
        item.quantity = row["shipToLocationAvailability"]["quantity"]
        done = []
        for offer in row.get("offers", ()):
            assert offer["offerId"] == f"o{item.number}"
            item.available = offer["availableQuantity"]
            done.append({"statusCode": 200, "sku": item.sku, "offerId": offer["offerId"], "errors": []})
        if item.shown == 0 and not self.zero_lives:
            self.sold_out.add(item.sku)
        return done or [{"statusCode": 200, "sku": item.sku, "errors": []}]

    # -- Trading --

    def _trading(self, call: str, asked: ET.Element, who: str) -> Answer:
        if self.trading_broken:
            return 503, {}, b""
        if who != "user":
            return self._xml(call, failure("21916984", "Invalid IAF token."), "Failure")
        if call == "GetUserPreferences":
            said = "true" if self.zero_lives else "false"
            return self._xml(call, f"<OutOfStockControlPreference>{said}</OutOfStockControlPreference>")
        wanted = {each.tag.removeprefix(NS): each for each in asked}
        if "OrderIDArray" in wanted:
            ids = {each.text for each in wanted["OrderIDArray"]}
            found = [each for each in self.purchases.values() if each.key in ids or each.order in ids]
        elif "NumberOfDays" in wanted:
            assert wanted["OrderStatus"].text == "Active"
            found = [each for each in self.purchases.values() if each.state == "Active"]
        else:
            lo, hi = (moment(wanted[name].text or "") for name in ("ModTimeFrom", "ModTimeTo"))
            assert 0 <= hi - lo <= 30 * 86_400_000
            found = [each for each in self.purchases.values() if lo <= each.modified <= hi]
        page = int(asked.findtext(f"{NS}Pagination/{NS}PageNumber", "1"))
        size = int(asked.findtext(f"{NS}Pagination/{NS}EntriesPerPage", "100"))
        shown = found[(page - 1) * size : page * size]
        more = "true" if len(found) > page * size else "false"
        rows = "".join(map(self._row, shown))
        return self._xml(call, f"<HasMoreOrders>{more}</HasMoreOrders><OrderArray>{rows}</OrderArray>")

    def _xml(self, call: str, content: str, ack: str = "Success") -> Answer:
        head = f"<Timestamp>{stamp(self.now_ms())}</Timestamp><Ack>{ack}</Ack>"
        text = f'<{call}Response xmlns="{NS[1:-1]}">{head}{content}</{call}Response>'
        return 200, {"Content-Type": "text/xml"}, text.encode()

    def _row(self, each: Purchase) -> str:
        checkout = "Complete" if each.paid else "Incomplete"
        times = f"<PaidTime>{stamp(each.modified)}</PaidTime>" if each.paid else ""
        return (
            f"<Order><OrderID>{each.order}</OrderID><OrderStatus>{each.state}</OrderStatus><CheckoutStatus>"
            f"<LastModifiedTime>{stamp(each.modified)}</LastModifiedTime><Status>{checkout}</Status></CheckoutStatus>"
            f"{times}<TransactionArray><Transaction><Item><ItemID>{each.item}</ItemID></Item>"
            f"<Variation><SKU>{each.sku}</SKU></Variation><QuantityPurchased>{each.units}</QuantityPurchased>"
            f"<TransactionID>{each.line}</TransactionID><CreatedDate>{stamp(each.bought)}</CreatedDate>"
            f"<OrderLineItemID>{each.key}</OrderLineItemID></Transaction></TransactionArray></Order>"
        )

    # -- notifications --

    def _notification(self, method: str, path: str, query: dict[str, str], body: Json, who: str) -> Answer:
        if path.startswith("/public_key/"):
            der = self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            pem = f"-----BEGIN PUBLIC KEY-----{base64.b64encode(der).decode()}-----END PUBLIC KEY-----"
            known = path == f"/public_key/{KEY_ID}" and who == "app"
            shown = {"key": pem, "algorithm": "ECDSA", "digest": "SHA1"}
            return reply(shown) if known else refusal(404, 195000, "No such key")
        match method, path.strip("/").split("/"):
            case "GET", ["config"]:
                return reply({"alertEmail": self.email}) if self.email else refusal(404, 195001, "No configuration")
            case "PUT", ["config"]:
                self.email = body["alertEmail"]
                return 204, {}, b""
            case "GET", ["destination"]:
                return reply({"destinations": [*self.destinations.values()]})
            case "GET", ["subscription"]:
                return reply({"subscriptions": [*self.subscriptions.values()]})
            case (("POST" | "PUT"), ["destination", *rest]):
                return self._destination(body, rest[0] if rest else f"d{len(self.destinations) + 1}", who)
            case "POST", ["subscription"] if not self.email:
                return refusal(409, 195003, "Please provide configurations required for notifications.")
            case "POST", ["subscription"] if who == "user" and body["destinationId"] in self.destinations:
                number = f"s{len(self.subscriptions) + 1}"
                self.subscriptions[number] = {"subscriptionId": number, **body}
                return 201, {"Location": f"https://api.ebay.com/x/subscription/{number}"}, b""
            case "POST", ["subscription", number, "enable"]:
                self.subscriptions[number]["status"] = "ENABLED"
                return 204, {}, b""
        return refusal(400, 195000, "Bad request")

    def _destination(self, wish: Json, number: str, who: str) -> Answer:
        config, code = wish["deliveryConfig"], "a8628072-53fb-4b1e-9ee7-2f2f8d5b9b5e"
        text = f"{code}{config['verificationToken']}{config['endpoint']}".encode()
        digest = hashes.Hash(hashes.SHA256())
        digest.update(text)
        if who != "app":
            return refusal(403, 1100, "Insufficient permissions")
        if json.loads(self.endpoint_answers(config["endpoint"], code) or b"{}") != {
            "challengeResponse": digest.finalize().hex()
        }:
            return refusal(409, 195020, "Challenge verification failed for requested endpoint")
        self.destinations[number] = {"destinationId": number, **wish}
        return 201, {"Location": f"https://api.ebay.com/x/destination/{number}"}, b""

    def notice(self, purchase: Purchase, user: str = SELLER) -> tuple[dict[str, str], bytes]:
        """A signed ORDER_CONFIRMATION: headers and body."""
        line = {"orderLineItemId": purchase.line, "listingId": purchase.item, "quantity": purchase.units}
        data = {"user": {"userId": user}, "order": {"orderId": purchase.order, "orderLineItems": [line]}}
        when = stamp(self.now_ms())
        body = json.dumps(
            {
                "metadata": {"topic": "ORDER_CONFIRMATION", "schemaVersion": "1.0", "deprecated": False},
                "notification": {
                    "notificationId": f"n_{purchase.line}", "eventDate": when, "publishDate": when,
                    "publishAttemptCount": 1, "data": data,
                },
            }
        ).encode()  # fmt: skip
        signature = base64.b64encode(self.key.sign(body, ec.ECDSA(hashes.SHA1()))).decode()
        head = {"alg": "ecdsa", "kid": KEY_ID, "signature": signature, "digest": "SHA1"}
        header = base64.b64encode(json.dumps(head).encode()).decode()
        return {"content-type": "application/json", "x-ebay-signature": header}, body


def reply(content: Json, status: int = 200) -> Answer:
    return status, {"Content-Type": "application/json"}, json.dumps(content).encode()


def error(number: int, message: str, domain: str = "API", category: str = "REQUEST") -> Json:
    return {"errorId": number, "domain": domain, "category": category, "message": message}


def refusal(status: int, number: int, message: str, domain: str = "API") -> Answer:
    return reply({"errors": [error(number, message, domain)]}, status)


def failure(code: str, message: str) -> str:
    said = f"<LongMessage>{message}</LongMessage><ErrorCode>{code}</ErrorCode><SeverityCode>Error</SeverityCode>"
    return f"<Errors>{said}<ErrorClassification>RequestError</ErrorClassification></Errors>"

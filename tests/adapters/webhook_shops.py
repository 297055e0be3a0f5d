"""One shop a platform that tells by webhooks: it sells, tells of its orders under any secret, and answers its API.

The shops are the platforms' twins; what is added is how each signs, said here once more and independently of the
adapters, so that a stranger can sign as well.
"""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Callable, Mapping
from email.utils import formatdate
from typing import Any
from urllib.parse import urlencode, urlsplit

from attrs import define, field
from cryptography.hazmat.primitives.asymmetric import ec

from adapters import PLATFORMS
from adapters.storefront import Storefront
from daemon.domain.channel import Setup
from daemon.domain.exchange import Reply, Request, Response
from tests.acceptance import shopify_twin, woo_twin
from tests.adapters import bigcommerce_twin, ebay_twin, etsy_twin, tiktok_twin, vendure_twin, walmart_twin

SKU, STOCK = "SKU-0001", 10
"""What every shop sells, and how many of it there are."""

Headers = dict[str, str]
Answering = Callable[[Request], Any]
"""What the shop's API answers: a `Response`, or one to wait for."""


@define
class Shop:
    """A shop of one platform.

    sell: an order of so many units of `SKU`; what the platform calls it
    tell: the body that tells of this order for the nth time
    sign: the headers that go with a body, told for the nth time, signed with this secret at this second
    proofs: those of them without which, or with any other value of which, nothing may verify
    """

    setup: Setup
    answer: Answering
    sell: Callable[[int], Any]
    tell: Callable[[Any, int], bytes]
    sign: Callable[[bytes, str, int, int], Headers]
    secret: str = field(repr=False)
    proofs: tuple[str, ...]
    stranger: str = field(default="whsec_c3RyYW5nZXItdGhhdC1rbm93cy1ub3RoaW5n", repr=False)
    """Written as this platform's secrets are, and not the shop's."""
    window_s: int | None = None
    """So far off may a signed stamp be; None where the platform signs none."""

    async def send(self, request: Request) -> Reply:
        found = self.answer(request)
        return found if isinstance(found, Response) else await found

    async def aclose(self) -> None:
        """There is nothing to close."""


def now_s() -> int:
    return int(time.time())


def base64_of(secret: bytes, message: bytes) -> str:
    return base64.b64encode(hmac.digest(secret, message, "sha256")).decode()


STANDARD = ("webhook-signature", "webhook-id", "webhook-timestamp")


def standard(key: bytes, body: bytes, n: int, at: int) -> Headers:
    """Standard Webhooks' three headers."""
    signature = base64_of(key, f"msg_{n}.{at}.".encode() + body)
    return {"webhook-id": f"msg_{n}", "webhook-timestamp": str(at), "webhook-signature": f"v1,{signature}"}


def compact(content: Any) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()


def _setup(platform: str, base_url: str, options: Mapping[str, str], secrets: Mapping[str, str], hook: str) -> Setup:
    return Setup("shop", base_url or PLATFORMS[platform].default_base_url, dict(options), dict(secrets), (hook,))


def _answered(status: int, content: Any, extra: Mapping[str, str] | None = None) -> Response:
    """As our HTTP client hands it on."""
    body = content if isinstance(content, bytes) else b"" if content is None else json.dumps(content).encode()
    headers = {"Date": formatdate(usegmt=True), **(extra or {})}
    at_us = time.time_ns() // 1_000
    return Response(status, {name.lower(): value for name, value in headers.items()}, body, at_us, at_us)


def _wire(request: Request) -> tuple[str, Headers]:
    """Path and query, and all headers by their lower names."""
    parts = urlsplit(request.url)
    query = "&".join(filter(None, (parts.query, urlencode(request.secret_query))))
    headers = {name.lower(): value for name, value in {**request.headers, **request.secret_headers}.items()}
    return f"{parts.path}?{query}" if query else parts.path, headers


# --- the platforms ------------------------------------------------------------------------------------------


def sandbox() -> Shop:
    secret = "secret-outlet"
    store = Storefront("outlet", [SKU], STOCK, secret)

    def answer(request: Request) -> Response:
        reply = store.handle(request.method, _wire(request)[0], request.body, time.time_ns() // 1_000)
        return _answered(reply.status, reply.body, dict(reply.headers))

    def sell(units: int) -> Any:
        body = json.dumps({"lines": [{"sku": SKU, "quantity": units}]}).encode()
        return json.loads(store.handle("POST", "/orders", body, time.time_ns() // 1_000).body)

    def sign(body: bytes, key: str, n: int, at: int) -> Headers:
        signature = base64_of(key.encode(), f"{at}.".encode() + body)
        return {"x-sandbox-delivery": f"d-{n}", "x-sandbox-timestamp": str(at), "x-sandbox-signature": signature}

    def tell(order: Any, n: int) -> bytes:
        return compact({"topic": "order.updated", "order": order})

    return Shop(
        _setup("sandbox", "http://outlet.test", {}, {}, secret), answer, sell, tell, sign, secret,
        ("x-sandbox-signature", "x-sandbox-timestamp"), window_s=300,
    )  # fmt: skip


def woocommerce() -> Shop:
    twin, secret = woo_twin.Twin({11: woo_twin.Item(11, SKU, STOCK)}, port=1), "wc_secret_of_the_twin"
    keys = {"consumer_key": woo_twin.KEY, "consumer_secret": woo_twin.SECRET}

    async def answer(request: Request) -> Response:
        return _answered(*await twin.answer(request.method, _wire(request)[0], request.body))

    def sign(body: bytes, key: str, n: int, at: int) -> Headers:
        return {
            "x-wc-webhook-topic": "order.created", "x-wc-webhook-delivery-id": f"{n}",
            "x-wc-webhook-signature": base64_of(key.encode(), body),
        }  # fmt: skip

    return Shop(
        _setup("woocommerce", twin.url, {}, keys, secret), answer, lambda units: twin.sell(SKU, units),
        lambda number, n: compact(twin.orders[number]), sign, secret, ("x-wc-webhook-signature",),
    )  # fmt: skip


def shopify() -> Shop:
    twin, secret = shopify_twin.Twin([shopify_twin.Variant(11, 21, SKU, STOCK)], lag_s=0), shopify_twin.CLIENT[1]
    options = {"shop": "twin-eu", "location": shopify_twin.LOCATION}

    def answer(request: Request) -> Response:
        target, headers = _wire(request)
        return _answered(*twin.answer(request.method, target, headers, request.body))

    def sign(body: bytes, key: str, n: int, at: int) -> Headers:
        return {
            "x-shopify-topic": "orders/create", "x-shopify-shop-domain": shopify_twin.DOMAIN,
            "x-shopify-webhook-id": f"w-{n}", "x-shopify-hmac-sha256": base64_of(key.encode(), body),
        }  # fmt: skip

    return Shop(
        _setup("shopify", f"https://{shopify_twin.DOMAIN}", options, {"token": shopify_twin.TOKEN}, secret), answer,
        lambda units: twin.sell(SKU, units), lambda number, n: compact(twin._rest(twin.orders[number])), sign, secret,
        ("x-shopify-hmac-sha256",),
    )  # fmt: skip


def bigcommerce() -> Shop:
    item = bigcommerce_twin.Item(509, 206, SKU, STOCK)
    twin, secret = bigcommerce_twin.Twin({item.variant: item}, time.time), bigcommerce_twin.CLIENT_SECRET
    secrets = {"access_token": bigcommerce_twin.TOKEN, "webhook_key": bigcommerce_twin.KEY}
    options = {"store_hash": bigcommerce_twin.HASH}

    def tell(number: int, n: int) -> bytes:
        return compact(
            {
                "scope": "store/order/created", "store_id": "1", "data": {"type": "order", "id": number},
                "hash": "0" * 40, "created_at": now_s(), "producer": f"stores/{bigcommerce_twin.HASH}",
            }
        )  # fmt: skip

    def sign(body: bytes, key: str, n: int, at: int) -> Headers:
        return {**standard(key.encode(), body, n, at), "x-onhand-key": bigcommerce_twin.KEY}

    return Shop(
        _setup("bigcommerce", "", options, secrets, secret), twin.respond, lambda units: twin.sell(SKU, units), tell,
        sign, secret, (*STANDARD, "x-onhand-key"), window_s=3 * 86_400,
    )  # fmt: skip


def ebay() -> Shop:
    """Signs with private keys: what stands for a secret here is a key's number."""
    secret = "4711"
    twin = ebay_twin.Twin(lambda: time.time_ns() // 1_000_000)
    twin.list(SKU, STOCK)
    options = {"client_id": "app", "user_id": ebay_twin.SELLER, "alert_email": "ops@example.com"}
    secrets = {"client_secret": "cert", "refresh_token": "consented"}

    def answer(request: Request) -> Response:
        target, headers = _wire(request)
        status, extra, body = twin.answer(request.method, target, headers, request.body)
        return _answered(status, body, extra)

    def sell(units: int) -> ebay_twin.Purchase:
        twin.pay(bought := twin.buy(SKU, units))
        return bought

    def tell(bought: ebay_twin.Purchase, n: int) -> bytes:
        told = json.loads(twin.notice(bought)[1])
        told["notification"]["notificationId"] += f"_{n}"
        return compact(told)

    def sign(body: bytes, key: str, n: int, at: int) -> Headers:
        signature = ec.derive_private_key(int(key), ec.SECP256R1()).sign(body, ec.ECDSA(ebay_twin.hashes.SHA1()))
        head = {"alg": "ecdsa", "kid": ebay_twin.KEY_ID, "signature": base64.b64encode(signature).decode()}
        return {"x-ebay-signature": base64.b64encode(compact({**head, "digest": "SHA1"})).decode()}

    hook = "sync_daemon-verification-token-0001_abcdef"
    return Shop(
        _setup("ebay", "", options, secrets, hook), answer, sell, tell, sign, secret, ("x-ebay-signature",),
        stranger="4712",
    )  # fmt: skip


def walmart() -> Shop:
    twin, secret = walmart_twin.Twin({SKU: STOCK}, time.time), walmart_twin.HOOK_SECRET
    options, keys = {"client_id": walmart_twin.CLIENT_ID}, {"client_secret": walmart_twin.CLIENT_SECRET}

    def tell(number: str, n: int) -> bytes:
        source = {"eventType": "ORDER_UPDATES", "eventTime": "2026-08-05T12:00:00.123Z", "eventId": f"e-{n}"}
        meta = {"partnerId": walmart_twin.NODE, "subEventType": "PO_CREATED"}
        return compact({"source": source, "payload": {"meta": meta, "order": {"purchaseOrderId": number}}})

    def sign(body: bytes, key: str, n: int, at: int) -> Headers:
        return {"x-onhand-signature": base64_of(key.encode(), body)}

    return Shop(
        _setup("walmart", "", options, keys, secret), twin.respond, lambda units: twin.sell((SKU, units)), tell, sign,
        secret, ("x-onhand-signature",),
    )  # fmt: skip


def tiktok_shop() -> Shop:
    item, secret = tiktok_twin.Item("100", "11", SKU, {tiktok_twin.HOME: STOCK}), tiktok_twin.SECRET
    twin = tiktok_twin.Twin({item.sku: item}, time.time)
    options = {"app_key": tiktok_twin.KEY, "shop_cipher": tiktok_twin.CIPHER}
    secrets = {"app_secret": secret, "refresh_token": "refresh-0"}

    def tell(number: str, n: int) -> bytes:
        data = {"order_id": number, "order_status": "AWAITING_SHIPMENT", "update_time": now_s()}
        hull = {"type": 1, "tts_notification_id": f"{7327112393057370000 + n}", "shop_id": tiktok_twin.SHOP_ID}
        return compact({**hull, "timestamp": now_s(), "data": data})

    def sign(body: bytes, key: str, n: int, at: int) -> Headers:
        return {"authorization": hmac.digest(key.encode(), tiktok_twin.KEY.encode() + body, "sha256").hex()}

    return Shop(
        _setup("tiktok_shop", "", options, secrets, secret), twin.respond, lambda units: twin.sell(SKU, units), tell,
        sign, secret, ("authorization",),
    )  # fmt: skip


def etsy() -> Shop:
    listing = etsy_twin.Listing(1169407548, [etsy_twin.Variant(501, SKU, STOCK)])
    twin, secret = etsy_twin.Twin({listing.number: listing}, now_s), "whsec_ZXRzeS13ZWJob29rLXRlc3Qtc2VjcmV0LTMy"
    keys = {
        "keystring": etsy_twin.KEYSTRING, "shared_secret": etsy_twin.SHARED, "refresh_token": etsy_twin.REFRESH
    }  # fmt: skip

    def tell(number: int, n: int) -> bytes:
        url = f"https://openapi.etsy.com/v3/application/shops/{etsy_twin.SHOP}/receipts/{number}"
        return compact({"event_type": "order.paid", "resource_url": url, "shop_id": etsy_twin.SHOP})

    def sign(body: bytes, key: str, n: int, at: int) -> Headers:
        return standard(base64.b64decode(key.removeprefix("whsec_")), body, n, at)

    return Shop(
        _setup("etsy", "", {"shop_id": str(etsy_twin.SHOP)}, keys, secret), twin.respond,
        lambda units: twin.sell(SKU, units), tell, sign, secret, STANDARD, window_s=300,
    )  # fmt: skip


def vendure() -> Shop:
    variant, secret = vendure_twin.Variant("11", SKU, {vendure_twin.HOME: [STOCK, 0]}), vendure_twin.SECRET
    twin = vendure_twin.Twin({variant.id: variant}, time.time)

    def answer(request: Request) -> Response:
        status, headers, body = twin.answer(*_wire(request), request.body)
        return _answered(status, body, headers)

    def sign(body: bytes, key: str, n: int, at: int) -> Headers:
        return standard(base64.b64decode(key.removeprefix("whsec_")), body, n, at)

    return Shop(
        _setup("vendure", "https://vendure.example.com", {}, {"api_key": vendure_twin.KEY}, secret), answer,
        lambda units: twin.sell(SKU, units).id, lambda order, n: twin.hint("order.placed", order), sign, secret,
        STANDARD, window_s=300,
    )  # fmt: skip


SHOPS: dict[str, Callable[[], Shop]] = {
    "bigcommerce": bigcommerce, "ebay": ebay, "etsy": etsy, "sandbox": sandbox, "shopify": shopify,
    "tiktok_shop": tiktok_shop, "vendure": vendure, "walmart": walmart, "woocommerce": woocommerce,
}  # fmt: skip

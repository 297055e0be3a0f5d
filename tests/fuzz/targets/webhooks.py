"""Webhooks: each adapter's reading of a signed body, and the way from the public port into the log."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

from adapters.amazon import PLATFORM as AMAZON
from adapters.amazon.values import ORDER_ID
from adapters.bigcommerce import PLATFORM as BIGCOMMERCE
from adapters.ebay import PLATFORM as EBAY
from adapters.sandbox import PLATFORM as SANDBOX
from adapters.walmart import PLATFORM as WALMART
from adapters.walmart.orders import is_order_id
from adapters.woocommerce import PLATFORM as WOOCOMMERCE
from daemon.domain.channel import Adapter, Delivery, Facts, Setup
from tests.fuzz import judges
from tests.fuzz.target import Cut, Target, line

SANDBOX_ADAPTER: Final = SANDBOX.build(Setup("outlet", "http://127.0.0.1:9101/shop", webhook_secrets=("s",)))
STORE_ADAPTER: Final = WOOCOMMERCE.build(
    Setup("site", "https://shop.example", secrets={"consumer_key": "ck_1", "consumer_secret": "cs_1"})
)
HASH_ADAPTER: Final = BIGCOMMERCE.build(
    Setup(
        "shop",
        "https://api.example",
        {"store_hash": "abc123xyz"},
        {"access_token": "t-1", "webhook_key": "k-1"},
        webhook_secrets=("c-1",),
    )
)
SELLER_ADAPTER: Final = EBAY.build(
    Setup(
        "auctions",
        "https://api.example",
        {"client_id": "app-1", "user_id": "seller-1", "alert_email": "ops@example.com"},
        {"client_secret": "cert-1", "refresh_token": "consent-1"},
        webhook_secrets=("verification_token-of-32-letters-or-more",),
    )
)
MART_ADAPTER: Final = WALMART.build(
    Setup("mart", "https://mart.example", {"client_id": "i-1"}, {"client_secret": "c-1"}, webhook_secrets=("w-1",))
)
QUEUE_ADAPTER: Final = AMAZON.build(
    Setup(
        "market",
        "https://sp.example",
        {
            "region": "na", "seller_id": "A1EXAMPLESELLER", "marketplaces": "ATVPDKIKX0DER",
            "queue_url": "https://sqs.us-east-1.amazonaws.com/111122223333/spapi",
        },
        dict.fromkeys(("client_id", "client_secret", "refresh_token", "aws_key_id", "aws_secret"), "secret-1"),
    )
)  # fmt: skip
TOPICS: Final = (
    "",
    "order.updated",
    "level.changed",
    "order.created",
    "order.deleted",
    "product.updated",
    "product.deleted",
    "product.created",
    "order.restored",
    "coupon.updated",
    "order.\x00x",
)


def _read_twice(adapter: Adapter, delivery: Delivery) -> Facts:
    """The facts of a delivery; what is kept of it tells the same when it is read again, and again."""
    facts = adapter.parse(delivery)
    judges.facts(facts, 8 * len(delivery.body) + 4_096)
    again = adapter.parse(Delivery({}, facts.kept))
    judges.facts(again, 8 * len(delivery.body) + 4_096)
    told = (facts.orders, facts.levels, facts.refetch, facts.look, bool(facts.puzzle))
    assert (again.orders, again.levels, again.refetch, again.look, bool(again.puzzle)) == told, facts.kept
    assert adapter.parse(Delivery({}, again.kept)).kept == again.kept
    return facts


def sandbox_webhook(data: bytes) -> None:
    """Never raises; what is not strict JSON is a puzzle; nothing is kept that we did not ask for."""
    cut = Cut(data)
    topic, identity = cut.pick(TOPICS), cut.latin()
    body = cut.rest()
    facts = _read_twice(SANDBOX_ADAPTER, Delivery({"x-sandbox-topic": topic, "x-sandbox-delivery": identity}, body))
    assert facts.identity == identity[:200]
    assert len(facts.topic) <= 64
    if not facts.puzzle:
        assert judges.strict_json(body), "understood, though it is no strict JSON"


def woocommerce_webhook(data: bytes) -> None:
    """The same for WooCommerce; its listings are such as a push can name."""
    cut = Cut(data)
    topic = cut.pick(TOPICS)
    body = cut.rest()
    delivery = Delivery({"x-wc-webhook-topic": topic}, body)
    facts = _read_twice(STORE_ADAPTER, delivery)
    for seen in (*facts.orders, *facts.levels):
        judges.woocommerce_ids(seen)
    if not body.startswith(b'{"kept":'):
        assert len(facts.topic) <= 100
    if not facts.puzzle and not body.startswith(b'{"kept":'):
        assert judges.strict_json(body), "understood, though it is no strict JSON"
    STORE_ADAPTER.greet(delivery)
    STORE_ADAPTER.greet(Delivery({"content-type": "application/x-www-form-urlencoded"}, body))


def bigcommerce_webhook(data: bytes) -> None:
    """The same for BigCommerce: only orders that there can be are fetched, and nothing is believed without that."""
    cut = Cut(data)
    identity = cut.latin()
    body = cut.rest()
    facts = _read_twice(HASH_ADAPTER, Delivery({"webhook-id": identity}, body))
    assert facts.identity == identity[:200]
    assert (facts.orders, facts.levels) == ((), ())
    assert all(order.isdigit() and 0 < int(order) < 2**63 for order in facts.refetch)
    if not facts.puzzle and not body.startswith(b'{"kept":'):
        assert judges.strict_json(body), "understood, though it is no strict JSON"


def ebay_webhook(data: bytes) -> None:
    """The same for eBay: a notification is a hint, and no more of it is kept than its topic and its number."""
    facts = _read_twice(SELLER_ADAPTER, Delivery({}, data))
    assert (facts.orders, facts.levels, facts.refetch) == ((), (), ())
    if not data.startswith(b'{"kept":'):
        assert len(facts.topic) <= 64
        assert len(facts.kept) <= 600
        assert facts.puzzle or judges.strict_json(data), "understood, though it is no strict JSON"
    SELLER_ADAPTER.scheme.read(data.decode("latin-1"))  # type: ignore[union-attr]  # a PublicKeyScheme


def walmart_webhook(data: bytes) -> None:
    """The same for Walmart."""
    facts = _read_twice(MART_ADAPTER, Delivery({}, data))
    assert (facts.orders, facts.levels) == ((), ())
    assert all(map(is_order_id, facts.refetch))
    assert len(facts.topic) <= 64
    if not facts.puzzle and not data.startswith(b'{"kept":'):
        assert judges.strict_json(data), "understood, though it is no strict JSON"


def amazon_message(data: bytes) -> None:
    """The same for a message of Amazon's queue; a sale is held at once, and its order is fetched."""
    facts = _read_twice(QUEUE_ADAPTER, Delivery({"x-sqs-message-id": "m-1"}, data))
    assert all(map(ORDER_ID.fullmatch, facts.refetch))
    assert {each.order for each in facts.orders} <= set(facts.refetch)
    if not data.startswith(b'{"kept":'):
        assert facts.identity
        assert len(facts.topic) <= 100
        assert facts.puzzle or judges.strict_json(data), "understood, though it is no strict JSON"


def bodies(platform: str) -> Iterable[tuple[int, bytes]]:
    """Place of the topic in `TOPICS`, and the body, of every webhook that the adapters' own tests keep."""
    for case in judges.recorded(platform, "webhooks"):
        body, topic = case.get("body", ""), case.get("headers", {}).get("X-WC-Webhook-Topic", "")
        raw = body.encode() if isinstance(body, str) else json.dumps(body, separators=(",", ":")).encode()
        yield TOPICS.index(topic) if topic in TOPICS else 1, raw


HOSTILE: Final = (
    b'{"order":{"id":"1","version":9007199254740993,"updated_at":"2026-11-23T06:00:00Z","lines":[]}}',
    b'{"listing":{"listing":"L","quantity":1,"quantity":2}}',
    b'{"listing":{"listing":"L","quantity":1e999}}',
    b'{"listing":{"listing":"L","quantity":NaN}}',
    b'{"listing":{"listing":"L","quantity":true}}',
    b'{"listing":{"listing":"\\ud800","quantity":1}}',
    b'\xef\xbb\xbf{"listing":{"listing":"L","quantity":1}}',
    '{"topic":"x"}'.encode("utf-16"),
    b'{"x":' + b"[" * 600 + b"]" * 600 + b"}",
    b'{"listing":{"listing":"L","quantity":1},"x":"\\u0022"}',
)
STORE_HOSTILE: Final = (
    b'{"id":1,"date_modified_gmt":"2026-11-20T14:15:30","line_items":[{"id":1,"product_id":99999999999999999999,"meta_data":[{"key":"_reduced_stock","value":"2"}]}]}',
    b'{"id":1,"id":2,"date_modified_gmt":"2026-11-20T14:15:30","line_items":[]}',
    b'{"id":5,"type":"variation","parent_id":4,"manage_stock":true,"stock_quantity":7,"sku":"A","date_modified_gmt":"2026-11-20T14:15:30"}',
    b'{"id":5,"type":"simple","manage_stock":true,"stock_quantity":"2.0","sku":"A","variations":[99999999999999999999]}',
    b'{"kept":"woocommerce/1","topic":"order.updated","identity":"x","body":{"id":1},"puzzle":"p"}',
)
HASH_HOSTILE: Final = (
    b'{"scope":"store/order/updated","producer":"stores/abc123xyz","data":{"type":"order","id":99999999999999999999}}',
    b'{"scope":"store/order/updated","producer":"stores/abc123xyz","data":{"type":"order","id":true}}',
    b'{"scope":"store/order/\\ud800","producer":"stores/abc123xyz","data":{"type":"order","id":1}}',
    b'{"scope":"store/order/updated","producer":"stores/other","data":{"type":"order","id":1}}',
    b'{"kept":"bigcommerce/1","scope":"store/order/updated","number":-1,"puzzle":""}',
    b'{"kept":"bigcommerce/1","scope":"store/order/updated","number":7,"puzzle":""}',
)
SELLER_HOSTILE: Final = (
    b'{"metadata":{"topic":"ORDER_CONFIRMATION"},"notification":{"notificationId":"n","data":{"user":{"userId":1}}}}',
    b'{"metadata":{"topic":"ORDER_CONFIRMATION"},"notification":{"notificationId":"\\ud800","data":null}}',
    b'{"metadata":{"topic":"order\\n"},"notification":{"notificationId":"n"}}',
    b'{"kept":"ebay/1","topic":"ORDER_CONFIRMATION","identity":"n","look":true,"puzzle":""}',
)
MART_HOSTILE: Final = (
    b'{"source":{"eventType":"ORDER_UPDATES","eventId":"\\ud800"},"payload":{"order":{"purchaseOrderId":"1/../2"}}}',
    b'{"source":{"eventType":"ORDER_UPDATES","eventId":7},"payload":{"purchaseOrderId":99999999999999999999999}}',
    b'{"source":{"eventType":["ORDER_UPDATES"]},"payload":null}',
    b'{"source":{"eventType":"INVENTORY_OOS"},"payload":{"order":7}}',
    b'{"kept":"walmart/1","topic":"ORDER_UPDATES","identity":"x","order":"../feeds","puzzle":""}',
    b'{"kept":"walmart/1","topic":"INVENTORY_OOS","identity":"","order":"7","puzzle":"p"}',
)
QUEUE_HOSTILE: Final = (
    b'{"NotificationType":"ORDER_CHANGE","notificationType":"X"}',
    b'{"detail-type":"ORDER_CHANGE","detail":{"detail-type":"x","detail":{}}}',
    b'{"NotificationType":"ORDER_CHANGE","Payload":{"OrderChangeNotification":null},"NotificationMetadata":[]}',
    b'{"NotificationType":"LISTINGS_ITEM_MFN_QUANTITY_CHANGE","EventTime":"2026","Payload":{"Quantity":7}}',
    b'{"kept":"amazon/1","topic":"ORDER_CHANGE","identity":"n","time":"","payload":{"a":1e400},"puzzle":""}',
    b'{"kept":"amazon/1","topic":"x","identity":"n","time":"","payload":99999999999999999999999,"puzzle":"p"}',
)
WORDS: Final = (
    b'{"',
    b'":',
    b'","',
    b"null",
    b"true",
    b"-1",
    b"1e999",
    b"NaN",
    b"\\ud800",
    b"\\u0022",
    b'"order":',
    b'"listing":',
    b'"lines":[',
    b'"id":',
    b'"version":',
    b'"updated_at":"2026-11-23T06:00:00Z"',
    b'"quantity":',
    b'"ordered":',
    b'"sku":',
    b'"topic":',
    b'"as_of":',
    b'"line_items":[',
    b'"date_modified_gmt":"2026-11-20T14:15:30"',
    b'"meta_data":[{"key":"_reduced_stock","value":',
    b'"product_id":',
    b'"variation_id":',
    b'"manage_stock":',
    b'"stock_quantity":',
    b'"parent"',
    b'"type":"variation"',
    b'"parent_id":',
    b'"variations":[',
    b'{"kept":',
    b'"scope":"store/order/updated"',
    b'"producer":"stores/abc123xyz"',
    b'"data":{"type":"order","id":',
    b'"metadata":{"topic":"ORDER_CONFIRMATION"},',
    b'"notification":{"notificationId":"n",',
    b'"data":{"user":{"userId":"seller-1"}}',
    b'"source":{"eventType":"ORDER_UPDATES","eventId":"',
    b'"payload":{"order":{"purchaseOrderId":"',
)

TARGETS: Final = (
    Target(
        "sandbox_webhook",
        sandbox_webhook,
        "the sandbox adapter's reading of a webhook",
        4_096,
        WORDS,
        lambda: [
            *(b"\1" + line("d-1") + body for _, body in bodies("sandbox")),
            *(b"\1\0" + each for each in HOSTILE),
        ],
    ),
    Target(
        "woocommerce_webhook",
        woocommerce_webhook,
        "the WooCommerce adapter's reading of a webhook",
        4_096,
        WORDS,
        lambda: [
            *(bytes([topic]) + body for topic, body in bodies("woocommerce")),
            *(b"\1" + each for each in (*STORE_HOSTILE, *HOSTILE)),
            *(b"\5" + each for each in STORE_HOSTILE),
        ],
    ),
    Target(
        "bigcommerce_webhook",
        bigcommerce_webhook,
        "the BigCommerce adapter's reading of a webhook",
        4_096,
        WORDS,
        lambda: [
            *(line("msg-1") + body for _, body in bodies("bigcommerce")),
            *(b"\0" + each for each in (*HASH_HOSTILE, *HOSTILE)),
        ],
    ),
    Target(
        "ebay_webhook",
        ebay_webhook,
        "the eBay adapter's reading of a notification",
        4_096,
        WORDS,
        lambda: [*(body for _, body in bodies("ebay")), *SELLER_HOSTILE, *HOSTILE],
    ),
    Target(
        "amazon_message",
        amazon_message,
        "the Amazon adapter's reading of a message of its queue",
        4_096,
        (*WORDS, b'"Payload":{"OrderChangeNotification":{', b'"NotificationMetadata":{"NotificationId":"'),
        lambda: [*(body for _, body in bodies("amazon")), *QUEUE_HOSTILE, *HOSTILE],
    ),
    Target(
        "walmart_webhook",
        walmart_webhook,
        "the Walmart adapter's reading of a notification",
        4_096,
        WORDS,
        lambda: [*(body for _, body in bodies("walmart")), *MART_HOSTILE, *HOSTILE],
    ),
)

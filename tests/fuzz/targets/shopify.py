"""Shopify: the adapter's reading of webhooks, and of a hostile shop's answers."""

from __future__ import annotations

from typing import Final

from adapters.shopify import PLATFORM
from adapters.shopify.inbound import TOPICS
from daemon.domain.channel import Delivery, Setup
from tests.fuzz import judges
from tests.fuzz.target import Cut, Target
from tests.fuzz.targets.channels import MORE_WORDS, _converse, _seeds
from tests.fuzz.targets.webhooks import HOSTILE, WORDS, _read_twice, bodies

BASE_URL: Final = "https://example-eu.myshopify.com"
ADAPTER: Final = PLATFORM.build(
    Setup(
        "shop-eu",
        BASE_URL,
        {"shop": "example-eu", "location": "905684977", "client_id": "app-1"},
        {"client_secret": "shpss-1"},
    )
)
SPOKEN: Final = (*TOPICS, "products/update", "orders/x\x00")


def shopify_webhook(data: bytes) -> None:
    """What is kept tells the same when it is read again; lines and levels name what the catalogue links."""
    cut = Cut(data)
    topic = cut.pick(SPOKEN)
    facts = _read_twice(ADAPTER, Delivery({"x-shopify-topic": topic}, cut.rest()))
    for seen in (*facts.orders, *facts.levels):
        judges.shopify_ids(seen)
    assert all(order.isdigit() and 0 < int(order) < 2**63 for order in facts.refetch)


def shopify_answers(data: bytes) -> None:
    """Whatever the shop answers becomes a value of the port's types; requests go to the shop alone."""
    call, value = _converse(ADAPTER, BASE_URL, data)
    seen = (getattr(value, "orders", ()) or getattr(value, "levels", ())) if call in ("orders", "listings") else ()
    for each in seen:
        judges.shopify_ids(each)


KEPT_LEVEL: Final = b'{"inventory_item_id":1,"location_id":905684977}'
ORDER: Final = (
    b'{"id":1,"created_at":"2026-11-20T09:15:28-05:00","updated_at":"2026-11-20T10:02:11-05:00",'
    b'"line_items":[],"refunds":[]}'
)
BODIES: Final = (
    ORDER,
    b'{"id":9223372036854775808,"line_items":[],"refunds":[]}',
    b'{"inventory_item_id":1,"location_id":905684977,"available":-1000000001}',
    b'{"inventory_item_id":1,"location_id":905684977,"available":7,"updated_at":"2026-11-20T09:15:30-05:00"}',
    b'{"order_edit":{"order_id":0}}',
    b'{"kept":"shopify/1","topic":"orders/updated","identity":"x","body":{"unread":1},"puzzle":"p"}',
    b'{"kept":"shopify/1","topic":"inventory_levels/disconnect","identity":"","body":' + KEPT_LEVEL + b"}",
)
BODY_WORDS: Final = (
    b'"refunds":[{"id":1,"refund_line_items":[{"line_item_id":1,"quantity":1,"restock_type":"cancel"}]}]',
    b'"fulfillable_quantity":',
    b'"variant_id":',
    b'"available":',
    b'"location_id":905684977',
    b'"created_at":"2026-11-20T09:15:28-05:00"',
)
ANSWER_WORDS: Final = (
    b'{"data":{"orders":{"pageInfo":{"hasNextPage":true,"endCursor":"c"},"nodes":[',
    b'"id":"gid://shopify/InventoryItem/1"',
    b'"lineItems":{"pageInfo":{"hasNextPage":false},"nodes":[',
    b'"unfulfilledQuantity":',
    b'"restockType":"CANCEL"',
    b'"inventoryLevel":{"quantities":[{"name":"available","quantity":',
    b'"userErrors":[{"code":"CHANGE_FROM_QUANTITY_STALE","field":["input","quantities","0"],"message":""}]',
    b'"errors":[{"message":"Throttled","extensions":{"code":"THROTTLED"}}]',
    b'"extensions":{"cost":{"requestedQueryCost":1,"throttleStatus":{"currentlyAvailable":0,"restoreRate":0}}}',
)

TARGETS: Final = (
    Target(
        "shopify_webhook",
        shopify_webhook,
        "the Shopify adapter's reading of a webhook",
        4_096,
        (*WORDS, *BODY_WORDS),
        lambda: [
            *(bytes([place % len(SPOKEN)]) + body for place, (_, body) in enumerate(bodies("shopify"))),
            *(bytes([place]) + each for each in (*BODIES, *HOSTILE) for place in (1, 5)),
        ],
    ),
    Target(
        "shopify_answers",
        shopify_answers,
        "a hostile Shopify shop's answers",
        4_096,
        (*MORE_WORDS, *ANSWER_WORDS),
        lambda: list(_seeds("shopify")),
    ),
)

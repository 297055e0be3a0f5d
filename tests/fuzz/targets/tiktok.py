"""TikTok Shop: its webhooks, and a hostile platform's answers, as its adapter reads them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

from adapters.tiktok_shop import PLATFORM
from adapters.tiktok_shop.payloads import listing_id
from daemon.domain.channel import Adapter, Delivery, Setup
from tests.fuzz import judges
from tests.fuzz.target import Target
from tests.fuzz.targets.channels import MORE_WORDS, _converse, _seeds
from tests.fuzz.targets.webhooks import HOSTILE, WORDS, _read_twice

_SECRETS: Final = {"app_secret": "s-1", "refresh_token": "r-1"}
_OPTIONS: Final = {"app_key": "k-1", "shop_cipher": "ROW_1/+=", "shop_id": "7494049642642441621"}


def _build(**options: str) -> Adapter:
    return PLATFORM.build(Setup("tiktok", "https://api.example", {**_OPTIONS, **options}, _SECRETS, ("s-1",)))


ONE: Final = _build()
HOUSED: Final = _build(warehouse="7068517275539719942")


def tiktok_webhook(data: bytes) -> None:
    """Strict JSON or a puzzle; only orders that there can be are fetched; a level is of a listing that can be pushed,
    and where one warehouse of several is ours, none is believed."""
    for adapter in (ONE, HOUSED):
        facts = _read_twice(adapter, Delivery({}, data))
        assert facts.orders == ()
        assert all(order.isdigit() for order in facts.refetch)
        assert all(listing_id(seen.listing) for seen in facts.levels)
        assert adapter is ONE or facts.levels == ()
        if not facts.puzzle and not data.startswith(b'{"kept":'):
            assert judges.strict_json(data), "understood, though it is no strict JSON"


def tiktok_answers(data: bytes) -> None:
    """Each unit of an order is taken, released or sent; listings are such as a push can name."""
    for adapter in (ONE, HOUSED):
        call, value = _converse(adapter, "https://api.example", data)
        for order in getattr(value, "orders", ()) if call == "orders" else ():
            for line in order.lines:
                assert line.cancelled + line.fulfilled <= line.ordered
                assert not line.listing or listing_id(line.listing)
        for seen in getattr(value, "levels", ()) if call == "listings" else ():
            assert listing_id(seen.listing)


def _bodies() -> Iterable[bytes]:
    for folder in ("webhooks", "quantities", "refusals"):
        for case in judges.recorded("tiktok_shop", folder):
            body = case.get("body", "")
            yield (body if isinstance(body, str) else json.dumps(body, separators=(",", ":"))).encode()


HOOK_WORDS: Final = (
    b'"type":71,',
    b'"tts_notification_id":"7327112393057371910"',
    b'"shop_id":"7494049642642441621"',
    b'"data":{"order_id":"576486316948490001"}',
    b'"line_items":[{"main_order_id":"1"}]',
    b'"product_id":1729382561353664372,"sku_id":1729592969712207013',
    b'"occurred_at":"2023-11-14T22:16:40Z"',
    b'"quantity_snapshot_after_change":{"total_available_quantity":',
    b'{"kept":"tiktok_shop/1","topic":"","identity":"","body":{},"puzzle":""}',
)
ANSWER_WORDS: Final = (
    b'{"code":0,"message":"Success","data":{',
    b'{"code":36009002,"message":"Too many requests"}',
    b'"orders":[{"id":"576486316948490001","status":"CANCELLED","update_time":1700000000,"line_items":[',
    b'{"id":"1","sku_id":"5","product_id":"7","display_status":"CANCELLED","package_id":"3"}',
    b'"collection_time":1699999900',
    b'"combined_listing_skus":[{"sku_id":"11","sku_count":2}]',
    b'"sub_item_info":[{"sku_id":"11","display_status":"CANCELLED","warehouse_id":"7068517275539719942"}]',
    b'"next_page_token":"a"',
    b'"products":[{"id":"12","status":"ACTIVATE","skus":[{"id":"34","seller_sku":"A"}]}]',
    b'"inventory":[{"product_id":"12","skus":[{"id":"34","total_available_quantity":7,"warehouse_inventory":[',
    b'{"warehouse_id":"7068517275539719942","available_quantity":7}',
    b'"errors":[{"code":12052556,"message":"x","detail":{"sku_id":"34","extra_errors":[{"code":1}]}}]',
    b'"webhooks":[{"event_type":"ORDER_STATUS_CHANGE","address":"https://us.example/x"}]',
)

TARGETS: Final = (
    Target(
        "tiktok_webhook",
        tiktok_webhook,
        "the TikTok Shop adapter's reading of a webhook",
        4_096,
        (*WORDS, *HOOK_WORDS),
        lambda: [*_bodies(), *HOSTILE, *HOOK_WORDS],
    ),
    Target(
        "tiktok_answers",
        tiktok_answers,
        "TikTok Shop's answers, made hostile",
        4_096,
        (*MORE_WORDS, *ANSWER_WORDS),
        lambda: list(_seeds("tiktok_shop")),
    ),
)

"""Vendure: its plugin's hints, and a hostile shop's answers, as its adapter reads them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

from adapters.vendure import PLATFORM
from adapters.vendure.settings import is_id
from daemon.domain.channel import Adapter, Delivery, Setup
from tests.fuzz import judges
from tests.fuzz.target import Cut, Target, line
from tests.fuzz.targets.channels import MORE_WORDS, _converse, _seeds
from tests.fuzz.targets.webhooks import HOSTILE, WORDS, _read_twice

ADAPTER: Final[Adapter] = PLATFORM.build(Setup("shop", "https://shop.example", {"location": "1"}, {"api_key": "k:1"}))


def vendure_webhook(data: bytes) -> None:
    """Strict JSON or a puzzle; only orders that there can be are fetched, and nothing is believed without that."""
    cut = Cut(data)
    identity = cut.latin()
    body = cut.rest()
    facts = _read_twice(ADAPTER, Delivery({"webhook-id": identity}, body))
    assert (facts.orders, facts.levels) == ((), ())
    assert all(map(is_id, facts.refetch))
    if not facts.puzzle and not body.startswith(b'{"kept":'):
        assert judges.strict_json(body), "understood, though it is no strict JSON"


def vendure_answers(data: bytes) -> None:
    """Lines hold what was ordered and never send more than is left; listings are such as a push can name."""
    call, value = _converse(ADAPTER, "https://shop.example", data)
    for order in getattr(value, "orders", ()) if call == "orders" else ():
        for each in order.lines:
            assert 0 <= each.fulfilled <= each.ordered - each.cancelled
            assert is_id(each.listing)
    for seen in getattr(value, "levels", ()) if call == "listings" else ():
        assert is_id(seen.listing)


def _bodies() -> Iterable[bytes]:
    for folder in ("webhooks", "refusals"):
        for case in judges.recorded("vendure", folder):
            body = case.get("body", "")
            yield (body if isinstance(body, str) else json.dumps(body, separators=(",", ":"))).encode()


HOOK_WORDS: Final = (
    b'{"topic":"order.placed","order":"250"}',
    b'"topic":"order.changed"',
    b'{"kept":"vendure/1","topic":"order.placed","order":"7","identity":"x","puzzle":""}',
    b'{"kept":"vendure/1","topic":"order.placed","order":"../7","identity":"x","puzzle":""}',
)
ANSWER_WORDS: Final = (
    b'{"data":{"orders":{"items":[',
    b'{"id":"1","type":"Regular","orderPlacedAt":"2026-11-23T12:00:00.000Z","updatedAt":"2026-11-23T12:00:00.000Z"',
    b'"lines":[{"id":"7","quantity":1,"orderPlacedQuantity":2,"productVariant":{"id":"11","sku":"A"}}]',
    b'"fulfillments":[{"state":"Shipped","lines":[{"orderLineId":"7","quantity":1}]}]',
    b'"modifications":[{"lines":[{"orderLineId":"7","quantity":-1}]}]',
    b'"history":{"totalItems":4,"items":[{"createdAt":"2026-11-23T12:00:00.000Z"}]}',
    b'{"data":{"globalSettings":{"trackInventory":true},"stockLocations":{"items":[{"id":"1"}]},"productVariants":{',
    b'"totalItems":1,"items":[{"id":"11","sku":"A","name":"A","trackInventory":"INHERIT","stockLevels":[',
    b'{"stockLocationId":"1","stockOnHand":9,"stockAllocated":2}',
    b'{"data":{"updateProductVariants":[{"id":"11","stockLevels":[',
    b'{"errors":[{"message":"m","extensions":{"code":"FORBIDDEN"}}],"data":null}',
    b'"code":"ENTITY_NOT_FOUND"',
)

TARGETS: Final = (
    Target(
        "vendure_webhook",
        vendure_webhook,
        "the Vendure adapter's reading of a hint",
        4_096,
        (*WORDS, *HOOK_WORDS),
        lambda: [*(line("msg-1") + each for each in _bodies()), *(b"\0" + each for each in (*HOSTILE, *HOOK_WORDS))],
    ),
    Target(
        "vendure_answers",
        vendure_answers,
        "Vendure's answers, made hostile",
        4_096,
        (*MORE_WORDS, *ANSWER_WORDS),
        lambda: list(_seeds("vendure")),
    ),
)

"""Etsy: its webhooks, and a hostile platform's answers, as its adapter reads them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

from adapters.etsy import PLATFORM
from adapters.etsy.payloads import product_id
from daemon.domain.channel import Adapter, Delivery, Setup
from tests.fuzz import judges
from tests.fuzz.target import Cut, Target, line
from tests.fuzz.targets.channels import MORE_WORDS, _converse, _seeds
from tests.fuzz.targets.webhooks import HOSTILE, WORDS, _read_twice

_SECRETS: Final = {"keystring": "k-1", "shared_secret": "s-1", "refresh_token": "r-1"}
ADAPTER: Final[Adapter] = PLATFORM.build(Setup("crafts", "https://api.example", {"shop_id": "7654321"}, _SECRETS))


def etsy_webhook(data: bytes) -> None:
    """Strict JSON or a puzzle; only receipts that there can be are fetched, and nothing is believed without that."""
    cut = Cut(data)
    identity = cut.latin()
    body = cut.rest()
    facts = _read_twice(ADAPTER, Delivery({"webhook-id": identity}, body))
    assert facts.identity == identity[:200]
    assert (facts.orders, facts.levels) == ((), ())
    assert all(order.isdigit() and 0 < int(order) < 2**63 for order in facts.refetch)
    if not facts.puzzle and not body.startswith(b'{"kept":'):
        assert judges.strict_json(body), "understood, though it is no strict JSON"


def etsy_answers(data: bytes) -> None:
    """Lines hold what was ordered and never send more; listings are such as a push can name."""
    call, value = _converse(ADAPTER, "https://api.example", data)
    for order in getattr(value, "orders", ()) if call == "orders" else ():
        for each in order.lines:
            assert each.fulfilled <= each.ordered
            assert not each.listing or product_id(each.listing)
    for seen in getattr(value, "levels", ()) if call == "listings" else ():
        assert product_id(seen.listing)


def _bodies() -> Iterable[bytes]:
    for folder in ("webhooks", "refusals"):
        for case in judges.recorded("etsy", folder):
            body = case.get("body", "")
            yield (body if isinstance(body, str) else json.dumps(body, separators=(",", ":"))).encode()


HOOK_WORDS: Final = (
    b'"event_type":"order.paid"',
    b'"resource_url":"https://openapi.etsy.com/v3/application/shops/7654321/receipts/3000000001"',
    b'"shop_id":7654321',
    b'{"kept":"etsy/1","event":"order.paid","number":7,"puzzle":""}',
    b'{"kept":"etsy/1","event":"order.paid","number":-7,"puzzle":""}',
)
ANSWER_WORDS: Final = (
    b'{"count":1,"results":[',
    b'{"receipt_id":1,"status":"paid","updated_timestamp":1700000000,"transactions":[',
    b'{"transaction_id":4,"quantity":2,"listing_id":12,"product_id":34}',
    b'{"listing_id":12,"state":"active","inventory":{"products":[',
    b'{"product_id":34,"sku":"A","offerings":[{"quantity":3,"price":{"amount":2200,"divisor":100}}]}',
    b'"quantity_on_property":[]',
    b'"state":"inactive"',
    b'"is_enabled":false',
    b'{"error":"not found"}',
)

TARGETS: Final = (
    Target(
        "etsy_webhook",
        etsy_webhook,
        "the Etsy adapter's reading of a webhook",
        4_096,
        (*WORDS, *HOOK_WORDS),
        lambda: [*(line("msg-1") + each for each in _bodies()), *(b"\0" + each for each in (*HOSTILE, *HOOK_WORDS))],
    ),
    Target(
        "etsy_answers",
        etsy_answers,
        "Etsy's answers, made hostile",
        4_096,
        (*MORE_WORDS, *ANSWER_WORDS),
        lambda: list(_seeds("etsy")),
    ),
)

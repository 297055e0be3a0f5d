"""The judge refuses what a platform's description does not allow, on every channel, and lets pass what it does."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from attrs import evolve

from adapters.shopify import documents
from daemon.domain.exchange import Request, Response
from tests import specs
from tests.acceptance import shopify_twin
from tests.adapters import bigcommerce_twin, contract, ebay_twin, etsy_twin, tiktok_twin, walmart_twin
from tests.adapters.official import judge
from tests.adapters.official.judge import JUDGES, ViolationError, hold_answer, hold_request, platform_of

JSON = {"content-type": "application/json", "accept": "application/json", "authorization": "x", "x-auth-token": "x"}
AMAZON = "https://sellingpartnerapi-na.amazon.com"
BIG = "https://api.bigcommerce.com/stores/abc/v3"
ETSY = "https://openapi.etsy.com/v3/application"
TIKTOK = "https://open-api.tiktokglobalshop.com/product/202309"
WALMART = "https://marketplace.walmartapis.com/v3"
WOO = "https://shop.example.com/wp-json/wc/v3"
SHOPIFY = "https://x.myshopify.com/admin/api/2026-10/graphql.json"


@pytest.fixture(autouse=True)
def there() -> Iterator[None]:
    """What is found here was looked for."""
    if not specs.ROOT.is_dir():
        specs.untested(f"{specs.ROOT} is missing")
    yield
    judge.violations.clear()


def call(method: Any, url: str, body: Any = None) -> Request:
    return Request(method, url, JSON, b"" if body is None else json.dumps(body).encode())


def asked(query: str, **variables: Any) -> Request:
    return call("POST", SHOPIFY, {"query": query, "variables": variables})


WRONG: Sequence[tuple[str, str, Request]] = (
    ("amazon", "is no string", call("PATCH", f"{AMAZON}/listings/2021-08-01/items/S/A?marketplaceIds=M",
                                    {"productType": 3, "patches": []})),
    ("amazon", "takes no", call("GET", f"{AMAZON}/orders/2026-01-01/orders?since=yesterday")),
    ("amazon", "is missing", call("GET", f"{AMAZON}/listings/2021-08-01/items/S/A")),
    ("amazon", "takes no body", call("GET", f"{AMAZON}/orders/2026-01-01/orders", {})),
    ("bigcommerce", "none of its alternatives", call("PUT", f"{BIG}/inventory/adjustments/absolute",
                                          {"items": [{"location_id": 1, "variant_id": 2, "quantity": "7"}]})),
    ("bigcommerce", "takes no", call("GET", f"{BIG}/inventory/items?page_size=7")),
    ("bigcommerce", "is none of", call("GET", "https://api.bigcommerce.com/stores/abc/v2/orders?sort=colour:asc")),
    ("ebay", "is not known", call("POST", "https://api.ebay.com/sell/inventory/v1/bulk_update_price_quantity",
                                  {"requests": [{"stock": 3}]})),
    ("ebay", "takes no", call("GET", "https://api.ebay.com/sell/fulfillment/v1/order?since=1")),
    ("etsy", "is missing", call("PUT", f"{ETSY}/listings/1/inventory", {"products": [{"sku": "A", "offerings": [
        {"price": 22.0, "quantity": 2, "is_enabled": True}]}]})),
    ("etsy", "takes no", call("GET", f"{ETSY}/shops/1/receipts?since=1")),
    ("shopify", "Cannot query field", asked("query Q { shop { colour } }")),
    ("shopify", "invalid", asked(documents.SUBSCRIBE, topic="ORDERS_SOLD", hook={"uri": "https://x.example"})),
    ("shopify", "DELETE", call("DELETE", SHOPIFY)),
    ("tiktok_shop", "unknown", call("POST", f"{TIKTOK}/products/12/inventory/update?shop_cipher=c",
                                    {"skus": [], "colour": 1})),
    ("tiktok_shop", "shop_cipher", call("POST", f"{TIKTOK}/products/12/inventory/update", {"skus": []})),
    ("tiktok_shop", "no operation", call("GET", f"{TIKTOK}/stock?shop_cipher=c")),
    ("walmart", "is missing", call("PUT", f"{WALMART}/inventory",
                                   {"sku": "A", "quantity": {"unit": "EACH", "amount": 1}})),
    ("walmart", "takes no", call("GET", f"{WALMART}/orders?since=1")),
    ("woocommerce", "is read-only", call("POST", f"{WOO}/products/batch", {"update": [{"id": 1, "price": "1"}]})),
    ("woocommerce", "is not known", call("PUT", f"{WOO}/webhooks/1", {"state": "active"})),
    ("woocommerce", "is no", call("POST", f"{WOO}/products/batch", {"update": [{"id": 1, "stock_quantity": []}]})),
)  # fmt: skip


@pytest.mark.parametrize(("platform", "why", "request_"), WRONG, ids=[f"{name}: {why}" for name, why, _ in WRONG])
def test_a_request_that_is_wrong_on_purpose_is_refused(platform: str, why: str, request_: Request) -> None:
    assert platform_of(request_) == platform
    with pytest.raises(ViolationError, match=why):
        hold_request(platform, request_, wire=False)
    assert len(judge.violations) == 1  # whoever catches the error


def test_none_is_left_out() -> None:
    assert {platform for platform, _, _ in WRONG} == set(JUDGES)


@pytest.mark.parametrize("platform", sorted(JUDGES))
def test_of_every_request_in_the_fixtures_the_description_knows_the_call_and_no_other(platform: str) -> None:
    known = 0
    for fixture in (*contract.fixtures("reads"), *contract.fixtures("pushes")):
        if fixture.platform != platform or "call" not in fixture.content:
            continue
        talk = contract.start(contract.build(platform), fixture.content["call"], fixture.content["args"])
        canned = contract.responses(fixture.content["steps"], fixture.path.parent)
        for request in contract.converse(talk, iter(canned))[1]:
            if platform_of(request) == platform and JUDGES[platform].kind(request, wire=False):
                known += 1
                elsewhere = evolve(request, url=request.url.partition("?")[0] + "/nowhere/at/all")
                with pytest.raises(AssertionError):
                    JUDGES[platform].kind(elsewhere, wire=False)
    assert known >= 3


@pytest.mark.parametrize(
    ("platform", "request_", "said"),
    [
        ("amazon", call("GET", f"{AMAZON}/orders/2026-01-01/orders"), {"orders": [{"orderId": 7}]}),
        ("bigcommerce", call("GET", f"{BIG}/inventory/items"), {"data": [{"locations": 7}]}),
        ("ebay", call("GET", "https://api.ebay.com/sell/fulfillment/v1/order"), {"sales": []}),
        ("etsy", call("GET", f"{ETSY}/shops/1/receipts"), {"count": "many", "results": []}),
        ("shopify", asked(documents.HOOKS, after=None, first=1), {"data": {"webhookSubscriptions": {"nodes": 7}}}),
        (
            "tiktok_shop",
            call("GET", "https://open-api.tiktokglobalshop.com/event/202309/webhooks?shop_cipher=c"),
            {"code": "none"},
        ),
        ("walmart", call("GET", f"{WALMART}/orders"), {"list": {"elements": {"order": [{"purchaseOrderId": 7}]}}}),
        ("woocommerce", call("GET", f"{WOO}/orders/7"), {"line_items": "none"}),
    ],
)
def test_an_answer_that_is_wrong_on_purpose_is_refused(platform: str, request_: Request, said: Any) -> None:
    with pytest.raises(ViolationError):
        hold_answer(platform, request_, Response(200, {}, json.dumps(said).encode()))


@pytest.mark.parametrize(
    ("module", "method", "target"),
    [
        (bigcommerce_twin, "GET", "/stores/abc/v3/stock"), (ebay_twin, "GET", "/sell/fulfillment/v1/orders"),
        (etsy_twin, "GET", "/v3/application/stock"), (tiktok_twin, "GET", "/stock"),
        (walmart_twin, "GET", "/v3/stock"), (shopify_twin, "GET", "/admin/api/2026-10/stock.json"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)  # fmt: skip
def test_a_twin_raises_where_it_is_asked_what_the_platform_does_not_offer(
    module: Any, method: str, target: str
) -> None:
    with pytest.raises(ViolationError):
        module.Twin.answer(None, method, target, {}, b"")

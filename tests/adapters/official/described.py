"""The platforms whose API an OpenAPI document of the vendor's describes: what calls and answers are held against."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import cache
from urllib.parse import urlsplit

import msgspec
from attrs import evolve, frozen

from daemon.domain.exchange import Request, Response
from tests import specs
from tests.adapters.openapi import Document, check_answer, check_call


@frozen
class Described:
    """elsewhere: the paths of calls that no document describes · prepared: the request as the documents have it ·
    unwrapped: the answer as they have it."""

    documents: Callable[[], Sequence[Document]]
    elsewhere: str = ""
    prepared: Callable[[Request], Request] = lambda request: request
    unwrapped: Callable[[Response], Response] = lambda response: response

    def kind(self, request: Request, *, wire: bool) -> str:
        """The call's name; "" where no document describes it. Raises `AssertionError` for one that violates them."""
        if self.elsewhere and re.search(self.elsewhere, request.url):
            return ""
        _, operation = check_call(self.documents(), self.prepared(request), wire=wire)
        return f"{request.method} {operation['template']}"

    def answered(self, request: Request, response: Response) -> bool:
        """Is the answer described? Raises `AssertionError` for one that is not as the documents have it."""
        if self.elsewhere and re.search(self.elsewhere, request.url):
            return False
        where = urlsplit(self.prepared(request).url).path
        found = [(each, call) for each in self.documents() if (call := each.operation(request.method, where))]
        return check_answer(*found[0], self.unwrapped(response))


# --- BigCommerce ---

BIGCOMMERCE: Mapping[str, str] = {
    "orders.v2.json": "/v2", "inventory.v3.json": "/v3", "webhooks.v3.json": "/v3", "locations.v3.json": "/v3",
    "settings_inventory.v3.json": "/v3", "catalog_variants.v3.json": "/v3", "refunds.v3.json": "/v3",
}  # fmt: skip


@cache
def bigcommerce() -> list[Document]:
    return [Document(specs.load(f"bigcommerce/{name}"), prefix) for name, prefix in BIGCOMMERCE.items()]


def _storeless(request: Request) -> Request:
    """The document lists what can be sorted by; that ":asc" or ":desc" may follow only its prose says."""
    url = re.sub(r"/stores/[^/]+", "", request.url, count=1)
    return evolve(request, url=re.sub(r"([?&]sort=[a-z_]+)(?::|%3A)(?:asc|desc)", r"\1", url))


# --- eBay ---

EBAY = {
    "sell_fulfillment_v1.20.7": "/sell/fulfillment/v1",
    "sell_inventory_1.18.4": "/sell/inventory/v1",
    "commerce_notification_v1.6.2": "/commerce/notification/v1",
    "developer_analytics_v1_beta": "/developer/analytics/v1_beta",
}


@cache
def ebay() -> list[Document]:
    """What an object may hold is what eBay's contracts name, and nothing else."""
    found = []
    for name, prefix in EBAY.items():
        content = deepcopy(specs.load(f"ebay/{name}.trimmed.json"))
        for schema in content["components"]["schemas"].values():
            if schema.get("properties"):
                schema["additionalProperties"] = False
        found.append(Document(content, prefix))
    return found


# --- Etsy ---


@cache
def etsy() -> list[Document]:
    return [Document(specs.load("etsy/openapi-trimmed.json"), "")]


# --- Walmart ---

WALMART = ("authentication", "feeds", "inventory", "notifications", "orders")


@cache
def walmart() -> list[Document]:
    return [Document(specs.load(f"walmart/{name}.trimmed.json"), "") for name in WALMART]


def _walmart_call(request: Request) -> Request:
    """Without a cursor, which is a query string of Walmart's own making, and without a body that is no JSON."""
    kinds = {value for name, value in request.headers.items() if name.lower() == "content-type"}
    url = request.url.partition("?")[0] if "hasMoreElements" in request.url else request.url
    return evolve(request, url=url, body=request.body if kinds <= {"application/json"} else b"")


def _walmart_answer(response: Response) -> Response:
    """The published example of a single order wraps it, which the schema beside it does not."""
    body = msgspec.json.decode(response.body) if response.body else None
    if isinstance(body, dict) and set(body) == {"order"}:
        return evolve(response, body=msgspec.json.encode(body["order"]))
    return response


# --- Amazon ---

AMAZON = ("orders_2026-01-01", "listingsItems_2021-08-01", "notifications", "feeds_2021-06-30")


@cache
def amazon() -> list[Document]:
    return [Document(specs.load(f"amazon/{name}.json"), "") for name in AMAZON]


DESCRIBED: Mapping[str, Described] = {
    "amazon": Described(amazon, r"^https://(?!sellingpartnerapi-)"),
    "bigcommerce": Described(bigcommerce, prepared=_storeless),
    "ebay": Described(ebay, r"/ws/api\.dll|/identity/v1/oauth2/token"),
    "etsy": Described(etsy, "/public/oauth/token"),
    "walmart": Described(walmart, prepared=_walmart_call, unwrapped=_walmart_answer),
}

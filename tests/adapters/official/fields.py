"""Platforms whose vendors publish fields and types, and no OpenAPI document: TikTok Shop and WooCommerce."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from daemon.domain.exchange import Request, Response
from tests import specs
from tests.adapters.openapi import Document
from tests.adapters.tiktok_shapes import exchange_misfits, operation_of

Json = Any


class TikTok:
    """See `judge.Judge`. The token is asked for at another host, which no page of theirs gives a model of."""

    def kind(self, request: Request, *, wire: bool) -> str:
        del wire
        if "/token/" in request.url:
            return ""
        problems = exchange_misfits(request, Response(200, {}, b""))
        assert problems == [], problems
        operation = operation_of(request, specs.load("tiktok_shop/facts.json")["operations"])
        return f"{operation['method'].upper()} {operation['path']}"

    def answered(self, request: Request, response: Response) -> bool:
        if "/token/" in request.url or not response.body.startswith(b"{"):
            return False
        problems = exchange_misfits(request, response)
        assert problems == [], problems
        return True


PLACES: Mapping[str, str] = {
    r"/products": "product", r"/products/[0-9]+": "product", r"/products/batch": "product",
    r"/products/[0-9]+/variations": "variation", r"/products/[0-9]+/variations/[0-9]+": "variation",
    r"/products/[0-9]+/variations/batch": "variation", r"/orders": "order", r"/orders/[0-9]+": "order",
    r"/orders/[0-9]+/refunds": "refund", r"/webhooks": "webhook", r"/webhooks/[0-9]+": "webhook",
}  # fmt: skip
"""What each path of wc/v3 holds."""
WRITABLE_ALL_THE_SAME = {("webhook", "delivery_url")}
"""The schema calls it read-only; the documentation and every store take it where the webhook is made."""


@cache
def item(name: str) -> Json:
    """A resource's schema in JSON Schema's words: null is allowed everywhere, as stores do (see its README), and so
    are fields that a newer release has."""
    return _loosened(json.loads(specs.text(f"woocommerce/{name}.schema.json")))


def _loosened(schema: Json) -> Json:
    if isinstance(schema, list):
        return [_loosened(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: _loosened(each) for name, each in schema.items() if name not in ("enum", "minimum")}
    kind = schema.get("type")
    if isinstance(kind, (str, list)):
        found["nullable"] = True
        if kind == "mixed":
            del found["type"]
        elif kind in ("date-time", "uri"):
            found["type"] = "string"
        elif kind == "integer":
            found["type"] = ["integer", "string"]  # "" stands for none
    return found


class Woo:
    """See `judge.Judge`. The schemas describe resources: a call's query has none."""

    def _place(self, request: Request) -> tuple[str, str]:
        path = urlsplit(request.url).path.partition("/wp-json/wc/v3")[2]
        for pattern, name in PLACES.items():
            if re.fullmatch(pattern, path):
                return name, pattern.replace("[0-9]+", "{id}")
        raise AssertionError(f"{request.method} {path} is no path of wc/v3 that we know")

    def kind(self, request: Request, *, wire: bool) -> str:
        del wire
        name, place = self._place(request)
        if request.body:
            body = json.loads(request.body)
            rows = body["update"] if place.endswith("/batch") else [body]
            for row in rows:
                self._writes(name, row, keyed=place.endswith("/batch"))
        return f"{request.method} {place}"

    def _writes(self, name: str, row: Json, *, keyed: bool) -> None:
        schema = item(name)
        problems = list(Document(schema, "").errors(row, {**schema, "additionalProperties": False}))
        assert problems == [], problems
        for field in row:
            told = schema["properties"][field].get("readonly") and (name, field) not in WRITABLE_ALL_THE_SAME
            assert not told or (keyed and field == "id"), f"{name}.{field} is read-only"

    def answered(self, request: Request, response: Response) -> bool:
        if response.status not in (200, 201):
            return False
        name, place = self._place(request)
        said = json.loads(response.body)
        rows = said["update"] if place.endswith("/batch") else said if isinstance(said, list) else [said]
        for row in rows:
            if set(row) <= {"id", "error"}:
                continue  # a row that was refused
            problems = list(Document(item(name), "").errors(row, item(name)))
            assert problems == [], problems
        return True

"""Requests to eBay: REST calls with a bearer token, and the Trading API's XML calls (ebay.md §1)."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Literal
from urllib.parse import quote

import msgspec
from attrs import frozen

from adapters.stamps import rfc3339
from daemon.domain.exchange import Method, Request

PRODUCTION = "https://api.ebay.com"

FULFILLMENT = "/sell/fulfillment/v1"
INVENTORY = "/sell/inventory/v1"
NOTIFICATION = "/commerce/notification/v1"
ANALYTICS = "/developer/analytics/v1_beta"
TRADING = "/ws/api.dll"
TOKEN = "/identity/v1/oauth2/token"  # noqa: S105  # a path

NAMESPACE = "urn:ebay:apis:eBLBaseComponents"
COMPATIBILITY = "1451"

READ_TIMEOUT_S = 30.0
WRITE_TIMEOUT_S = 60.0

Who = Literal["user", "app"]
"""Whose token a call carries: the seller's, or the application's own."""

Query = Sequence[tuple[str, str]]


@frozen
class Api:
    """Where eBay is: the production host, or the sandbox's. Tokens are placed by `oauth.place`."""

    base_url: str = PRODUCTION

    def get(self, path: str, query: Query = (), *, who: Who = "user", cost: float = 1.0) -> Request:
        """A read. Brackets and colons of a filter are percent-encoded (§4)."""
        url = self.base_url + path
        if query:
            url += "?" + "&".join(f"{name}={quote(value, safe='')}" for name, value in query)
        headers = {"accept": "application/json"}
        return Request("GET", url, headers, timeout_s=READ_TIMEOUT_S, token=who, cost=cost)

    def write(self, method: Method, path: str, payload: object = None, *, who: Who = "user") -> Request:
        """A write of `payload` as JSON; None: a call without a body."""
        headers = {"accept": "application/json"}
        body = b""
        if payload is not None:
            headers["content-type"] = "application/json"
            body = msgspec.json.encode(payload)
        return Request(method, self.base_url + path, headers, body, timeout_s=WRITE_TIMEOUT_S, token=who)

    def trading(self, call: str, fields: Sequence[tuple[str, str]], meter: str = "trading") -> Request:
        """A Trading call. A field's name may be a path, `Pagination/PageNumber`; neighbours share theirs."""
        headers = {
            "content-type": "text/xml",
            "x-ebay-api-call-name": call,
            "x-ebay-api-siteid": "0",
            "x-ebay-api-compatibility-level": COMPATIBILITY,
        }
        body = (
            f'<?xml version="1.0" encoding="utf-8"?><{call}Request xmlns="{NAMESPACE}">{_xml(fields)}</{call}Request>'
        )
        url = self.base_url + TRADING
        return Request("POST", url, headers, body.encode(), timeout_s=READ_TIMEOUT_S, token="user", meter=meter)  # noqa: S106  # a name


def _xml(fields: Sequence[tuple[str, str]]) -> str:
    text, open_path = "", ""
    for name, value in fields:
        path, _, leaf = name.rpartition("/")
        if path != open_path:
            text += f"</{open_path}>" if open_path else ""
            text += f"<{path}>" if path else ""
            open_path = path
        text += f"<{leaf}>{escape(value)}</{leaf}>"
    return text + (f"</{open_path}>" if open_path else "")


def stamp(us: int) -> str:
    """Microseconds since 1970 as eBay writes them: UTC with milliseconds, "2026-08-05T12:00:00.250Z"."""
    return rfc3339(us)[:-4] + "Z"

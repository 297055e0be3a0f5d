"""Requests to one store, and the three ways to prove who sends them (woocommerce.md §1)."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

import msgspec
from attrs import evolve, field, frozen

from daemon.domain.exchange import Method, Request

API = "/wp-json/wc/v3"

READ_TIMEOUT_S = 30.0
WRITE_TIMEOUT_S = 60.0
"""A batch of 100 took up to 2.9 s on an idle machine (recording 17); shared hosts are far slower."""

Query = Sequence[tuple[str, str]]


@frozen
class Store:
    """One store's address and credentials. `key` and `secret` never show.

    way: basic - HTTP Basic, over TLS alone · query - credentials in the query, for hosts that strip the
    Authorization header · oauth - one-legged OAuth 1.0a, for plain HTTP, where the other two are refused
    """

    base_url: str
    key: str = field(repr=False)
    secret: str = field(repr=False)
    way: Literal["basic", "query", "oauth"] = "basic"

    def get(self, path: str, query: Query = (), *, fresh: bool = False) -> Request:
        """A read. `fresh`: past every page cache, by an argument that no earlier request had."""
        return self._request("GET", path, query, fresh=fresh)

    def write(self, method: Method, path: str, payload: object, timeout_s: float = WRITE_TIMEOUT_S) -> Request:
        """A write of `payload` as JSON."""
        request = self._request(method, path, ())
        headers = {**request.headers, "content-type": "application/json"}
        return evolve(request, headers=headers, body=msgspec.json.encode(payload), timeout_s=timeout_s)

    def _request(self, method: Method, path: str, query: Query, *, fresh: bool = False) -> Request:
        url = self.base_url + API + path
        if query:
            url += "?" + "&".join(f"{quote(name, safe='')}={quote(value, safe=',:')}" for name, value in query)
        request = Request(method, url, headers={"accept": "application/json"}, timeout_s=READ_TIMEOUT_S)
        match self.way:
            case "basic":
                token = base64.b64encode(f"{self.key}:{self.secret}".encode()).decode()
                request = evolve(request, secret_headers={"authorization": f"Basic {token}"})
            case "query":
                request = evolve(
                    request, secret_query={"consumer_key": self.key, "consumer_secret": self.secret}
                )  # fmt: skip
            case "oauth":
                pass
        if fresh or self.way == "oauth":
            request = evolve(request, sign=partial(self._finish, fresh=fresh))
        return request

    def _finish(self, request: Request, now_us: int, nonce: str, *, fresh: bool) -> Request:
        if fresh:
            request = evolve(request, url=f"{request.url}{'&' if '?' in request.url else '?'}_={nonce}")
        if self.way == "oauth":
            request = evolve(request, secret_query=self._oauth(request, now_us // 1_000_000, nonce))
        return evolve(request, sign=None)

    def _oauth(self, request: Request, now_s: int, nonce: str) -> Mapping[str, str]:
        """One-legged: no token, so the key ends with a bare "&". The body is not signed."""
        spoken = {
            "oauth_consumer_key": self.key,
            "oauth_timestamp": str(now_s),
            "oauth_nonce": nonce,
            "oauth_signature_method": "HMAC-SHA256",
        }
        parts = urlsplit(request.url)
        pairs = [*parse_qsl(parts.query, keep_blank_values=True), *spoken.items()]
        normal = "&".join(f"{name}={value}" for name, value in sorted((_escape(n), _escape(v)) for n, v in pairs))
        bare = urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
        text = "&".join((request.method, _escape(bare), _escape(normal)))
        mac = hmac.new(f"{_escape(self.secret)}&".encode(), text.encode(), hashlib.sha256).digest()
        return {**spoken, "oauth_signature": base64.b64encode(mac).decode()}


def _escape(text: str) -> str:
    return quote(text, safe="")

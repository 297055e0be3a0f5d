"""Requests to Etsy for one shop (etsy.md §1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote, urlencode

import msgspec
from attrs import evolve, field, frozen

from daemon.domain.exchange import Method, Request

API_URL = "https://openapi.etsy.com"
TOKEN_HOST = "api.etsy.com"  # noqa: S105  # a host's name
API = "/v3/application"
TOKEN_PATH = "/v3/public/oauth/token"  # noqa: S105  # a path
USER_TOKEN = "user"  # noqa: S105  # a name
READ_TIMEOUT_S = 30.0
WRITE_TIMEOUT_S = 60.0

Query = Sequence[tuple[str, str]]


@frozen
class Shop:
    """One shop, and the app that speaks for its seller. Every call carries the app's key, `keystring:shared_secret`
    (the keystring alone is the older rule), beside the seller's token. Neither ever shows."""

    shop: int
    keystring: str = field(repr=False)
    shared_secret: str = field(repr=False)
    base_url: str

    def get(self, path: str, query: Query = ()) -> Request:
        """A read; "{shop}" in `path` is the shop's number."""
        url = self._url(path)
        if query:
            url += "?" + "&".join(f"{quote(name, safe='')}={quote(value, safe=',')}" for name, value in query)
        return self._request("GET", url)

    def put(self, path: str, payload: object) -> Request:
        """A write of `payload` as JSON."""
        request = self._request("PUT", self._url(path))
        headers = {**request.headers, "content-type": "application/json"}
        return evolve(request, headers=headers, body=msgspec.json.encode(payload), timeout_s=WRITE_TIMEOUT_S)

    def patch(self, path: str, form: Mapping[str, str]) -> Request:
        """A change of some fields, as a form (§5)."""
        request = self._request("PATCH", self._url(path))
        headers = {**request.headers, "content-type": "application/x-www-form-urlencoded"}
        return evolve(request, headers=headers, body=urlencode(form).encode(), timeout_s=WRITE_TIMEOUT_S)

    def token_url(self) -> str:
        """Tokens come from a host of their own; an Etsy that stands elsewhere (in a test) has them, too."""
        return f"https://{TOKEN_HOST}{TOKEN_PATH}" if self.base_url == API_URL else self.base_url + TOKEN_PATH

    def _url(self, path: str) -> str:
        return self.base_url + API + path.replace("{shop}", str(self.shop))

    def _request(self, method: Method, url: str) -> Request:
        return Request(
            method,
            url,
            headers={"accept": "application/json"},
            secret_headers={"x-api-key": f"{self.keystring}:{self.shared_secret}"},
            timeout_s=READ_TIMEOUT_S,
            token=USER_TOKEN,
        )

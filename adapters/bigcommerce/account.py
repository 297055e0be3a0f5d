"""Requests to one store (bigcommerce.md §1)."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

import msgspec
from attrs import evolve, field, frozen

from daemon.domain.exchange import Method, Request

HOST = "api.bigcommerce.com"
READ_TIMEOUT_S = 30.0
WRITE_TIMEOUT_S = 60.0

Query = Sequence[tuple[str, str]]


@frozen
class Store:
    """One store's address and token; `token` never shows.

    The token is made in the control panel or by the app's installation, has no end and no refresh: it dies when its
    account is removed or the app is uninstalled (§1). `location` is the one whose stock is ours.
    """

    store_hash: str
    token: str = field(repr=False)
    location: int
    base_url: str

    def get(self, path: str, query: Query = ()) -> Request:
        """A read of "/v2/…" or "/v3/…"."""
        return self._request("GET", path, query)

    def write(self, method: Method, path: str, payload: object) -> Request:
        """A write of `payload` as JSON."""
        request = self._request(method, path, ())
        headers = {**request.headers, "content-type": "application/json"}
        return evolve(request, headers=headers, body=msgspec.json.encode(payload), timeout_s=WRITE_TIMEOUT_S)

    def _request(self, method: Method, path: str, query: Query) -> Request:
        url = f"{self.base_url}/stores/{self.store_hash}{path}"
        if query:
            # A bare "+" in the offset of a stamp would be read as a space, and the filter with it.
            url += "?" + "&".join(f"{quote(name, safe=':')}={quote(value, safe=',:')}" for name, value in query)
        return Request(
            method,
            url,
            headers={"accept": "application/json"},
            secret_headers={"x-auth-token": self.token},
            timeout_s=READ_TIMEOUT_S,
        )

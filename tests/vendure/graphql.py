"""Clients of one Vendure: its admin API as the merchant, its shop API as one shopper each."""

from __future__ import annotations

from typing import Any

import httpx
from attrs import define, field

Json = Any


class RefusedError(Exception):
    """The server answered with errors, or not at all; the text is its own first word."""


@define(eq=False)
class Client:
    """One session at one of the two APIs: the token that an answer brings goes into every later request."""

    http: httpx.AsyncClient
    url: str
    _token: str = field(default="", repr=False)

    async def ask(self, document: str, **variables: Json) -> Json:
        """The data of one call. Raises `RefusedError`."""
        headers = {"authorization": f"Bearer {self._token}"} if self._token else {}
        body = {"query": document, "variables": variables}
        try:
            answer = await self.http.post(self.url, json=body, headers=headers, timeout=60)
        except httpx.TransportError as exc:
            raise RefusedError(f"no answer: {exc!r}") from None
        self._token = answer.headers.get("vendure-auth-token") or self._token
        try:
            said = answer.json()
        except ValueError:
            raise RefusedError(f"{answer.status_code} without JSON") from None
        if said.get("errors"):
            raise RefusedError(str(said["errors"][0].get("message"))[:200])
        return said["data"]

    async def do(self, document: str, **variables: Json) -> Json:
        """The result of a mutation's only field, where that is no error result. Raises `RefusedError`."""
        (found,) = (await self.ask(document, **variables)).values()
        if isinstance(found, dict) and "errorCode" in found:
            raise RefusedError(str(found["errorCode"]))
        return found

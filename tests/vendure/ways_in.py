"""Both ways into a real server, by the adapter itself: an API key, and logging in."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import httpx

from adapters.vendure import PLATFORM
from daemon.domain.access import Token
from daemon.domain.channel import ListingPage, Setup
from daemon.domain.exchange import Request, Response
from tests.vendure.server import NAME, PASSWORD


async def complaints(http: httpx.AsyncClient, url: str, key: str, stock: int) -> list[str]:
    """What is wrong with reading the catalogue, with `stock` of each on sale, by either way, or by a wrong one."""
    found = []
    by_name = ({"username": NAME}, {"password": PASSWORD})
    for what, (options, secrets) in {"an API key": ({}, {"api_key": key}), "a password": by_name}.items():
        page = await _catalogue(http, Setup("shop", url, options, secrets))
        if not isinstance(page, ListingPage) or {seen.level for seen in page.levels} != {stock}:
            found.append(f"by {what}, the catalogue is {page!r}")
    for secrets in ({"api_key": "no:key"}, {"password": "wrong"}):
        options = {} if "api_key" in secrets else {"username": NAME}
        refused = await _catalogue(http, Setup("shop", url, options, secrets))
        if isinstance(refused, ListingPage) or "check" not in refused.reason:
            found.append(f"by a wrong {next(iter(secrets))}, the catalogue is {refused!r}")
    return found


async def _catalogue(http: httpx.AsyncClient, setup: Setup) -> Any:
    adapter = PLATFORM.build(setup)
    token = ""
    for source in adapter.tokens:
        granted = await _converse(http, source.ask(""))
        if not isinstance(granted, Token):
            return granted
        token = granted.value
    return await _converse(http, adapter.listings(""), {"authorization": f"Bearer {token}"} if token else {})


async def _converse(
    http: httpx.AsyncClient, talk: Generator[Request, Response, Any], more: dict[str, str] | None = None
) -> Any:
    try:
        request = next(talk)
        while True:
            headers = {**request.headers, **request.secret_headers, **(more or {})}
            answer = await http.request(request.method, request.url, headers=headers, content=request.body)
            request = talk.send(Response(answer.status_code, dict(answer.headers), answer.content))
    except StopIteration as end:
        return end.value

"""The daemon's admin socket as the theatre asks it: what a person would see, one connection a request."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec
import trio
from attrs import field, frozen

from daemon.admin_exchange import BrokenAnswerError, exchange

ASKED_MAX: Final = 16
"""Requests under way at the same time: fewer than the socket's own limit."""


class AdminRefusedError(Exception):
    """The daemon refused, or broke off; its own sentence."""


@frozen
class AdminSocket:
    """A client of the admin socket at `path`. Every call raises `AdminRefusedError` for anything but success."""

    path: str
    _room: trio.CapacityLimiter = field(factory=lambda: trio.CapacityLimiter(ASKED_MAX))

    async def get(self, *segments: str, **query: object) -> Any:
        """The JSON document at `/v1/` + segments."""
        return msgspec.json.decode(await self._ask("GET", _target(segments, query), b""))

    async def post(self, *segments: str, body: object = None) -> Any:
        """Command `/v1/` + segments; its JSON answer."""
        payload = b"" if body is None else msgspec.json.encode(body)
        return msgspec.json.decode(await self._ask("POST", _target(segments, {}), payload))

    async def events(self, after: int = 0) -> list[Any]:
        """Every event of the log after `after`, oldest first."""
        found = await self._ask("GET", _target(("events",), {"after": after}), b"")
        return [msgspec.json.decode(line) for line in found.splitlines()]

    async def _ask(self, method: str, target: str, body: bytes) -> bytes:
        try:
            async with self._room:
                answer = await exchange(self.path, method, target, body)
        except BrokenAnswerError as error:
            raise AdminRefusedError(f"{method} {target}: {error}") from None
        if answer.status >= 300:
            raise AdminRefusedError(f"{method} {target}: {answer.body.decode(errors='replace').strip()}")
        return answer.body


def _target(segments: tuple[str, ...], query: dict[str, object]) -> str:
    path = "/".join(quote(segment, safe="") for segment in ("v1", *segments))
    return f"/{path}?{urlencode(query)}" if query else f"/{path}"

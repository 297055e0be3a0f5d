"""The daemon's admin socket as the theatre asks it: what a person would see, one connection a request."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec
import trio
from attrs import define, field, frozen
from httptools import HttpResponseParser

CHUNK: Final = 1 << 16
ASKED_MAX: Final = 16
"""Requests under way at the same time: fewer than the socket's own limit."""


class AdminRefusedError(Exception):
    """The daemon refused, or broke off; its own sentence."""


@define
class _Answer:
    """Takes an answer apart as it comes in; the names are the parser's."""

    body: bytearray = field(factory=bytearray)
    complete: bool = False

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.complete = True


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
        head = f"{method} {target} HTTP/1.1\r\nHost: onhand\r\nContent-Length: {len(body)}\r\n"
        head += "Connection: close\r\n\r\n"
        answer = _Answer()
        parser = HttpResponseParser(answer)
        async with self._room, await trio.open_unix_socket(self.path) as stream:
            await stream.send_all(head.encode() + body)
            while not answer.complete:
                data = await stream.receive_some(CHUNK)
                if not data:
                    raise AdminRefusedError(f"the daemon broke off its answer to {method} {target}")
                parser.feed_data(data)
        if parser.get_status_code() >= 300:
            raise AdminRefusedError(f"{method} {target}: {bytes(answer.body).decode(errors='replace').strip()}")
        return bytes(answer.body)


def _target(segments: tuple[str, ...], query: dict[str, object]) -> str:
    path = "/".join(quote(segment, safe="") for segment in ("v1", *segments))
    return f"/{path}?{urlencode(query)}" if query else f"/{path}"

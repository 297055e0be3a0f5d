"""One request to the daemon's admin socket and its whole answer, for Trio programs beside the daemon."""

from __future__ import annotations

from typing import Final

import trio
from attrs import define, field, frozen
from httptools import HttpParserError, HttpResponseParser

CHUNK: Final = 1 << 16
ANSWER_MAX: Final = 64 << 20
"""Bytes of an answer that are taken unless the caller says otherwise."""


class BrokenAnswerError(Exception):
    """What answers broke off, said too much, or is no onhand daemon."""


@frozen
class AdminAnswer:
    """An answer as it came; a refusal is one like any other."""

    status: int
    content_type: str
    body: bytes


@define
class _Parts:
    """Takes an answer apart as it comes in; the method names are the parser's."""

    content_type: str = ""
    body: bytearray = field(factory=bytearray)
    complete: bool = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"content-type":
            self.content_type = value.decode("latin-1")

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.complete = True


async def exchange(
    socket_path: str, method: str, target: str, body: bytes = b"", *, answer_max: int = ANSWER_MAX
) -> AdminAnswer:
    """Ask the daemon at `socket_path` for `target` (path and query, percent-encoded) over a connection of its own.

    Raises OSError where nobody answers there, `BrokenAnswerError` where what answers cannot be understood.
    """
    head = f"{method} {target} HTTP/1.1\r\nHost: onhand\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    parts = _Parts()
    parser = HttpResponseParser(parts)
    async with await trio.open_unix_socket(socket_path) as stream:
        try:
            await stream.send_all(head.encode("ascii") + body)
            while not parts.complete:
                data = await stream.receive_some(CHUNK)
                if not data:
                    raise BrokenAnswerError("the daemon broke off its answer")
                parser.feed_data(data)
                if len(parts.body) > answer_max:
                    raise BrokenAnswerError(f"the answer is longer than {answer_max >> 20} MiB")
        except (HttpParserError, trio.BrokenResourceError) as error:
            raise BrokenAnswerError("what answers broke off, or is no onhand daemon") from error
    return AdminAnswer(parser.get_status_code(), parts.content_type, bytes(parts.body))

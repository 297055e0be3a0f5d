"""Answers as bytes: head and body of a response in one piece, ready for one send."""

from __future__ import annotations

import re
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from daemon.ingress.http_types import HttpResponse

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK: Final = b"0\r\n\r\n"

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_BAD_IN_VALUE: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_OWN_HEADERS: Final = frozenset({"content-length", "transfer-encoding", "connection", "date", "content-type"})
# Statuses and content types come from our own code, so this is far more than there are; a bound all the same.
_KNOWN_HEADS_MAX: Final = 256


class AnswerEncoder:
    """Turns responses into bytes. With `wall_clock` (seconds since 1970) every answer carries a Date."""

    __slots__ = ("_date", "_date_second", "_heads", "_wall_clock")

    def __init__(self, wall_clock: Callable[[], float] | None = None) -> None:
        self._wall_clock = wall_clock
        self._date_second = -1
        self._date = b""
        self._heads: dict[tuple[int, str], bytes] = {}

    def whole(self, response: HttpResponse, *, close: bool, http_10: bool = False, head_only: bool = False) -> bytes:
        """The bytes of an answer with a known body. Raises ValueError for headers that cannot be sent."""
        body = response.body
        if has_no_body(response.status):
            framing = b"\r\n"  # the end of the status line
            body = b""
            head = _status_line(response.status)
        else:
            head = self._head(response.status, response.content_type)
            framing = b"\r\nContent-Length: %d\r\n" % len(body)
        return b"".join((
            head, framing, self._date_line(), _extra(response.headers), _connection(close, http_10), b"\r\n",
            b"" if head_only else body,
        ))  # fmt: skip

    def stream_head(self, response: HttpResponse, *, close: bool, http_10: bool = False) -> bytes:
        """The head of a streamed answer: chunked, or ended by closing where `http_10`. Raises ValueError, too."""
        framing = b"\r\n" if http_10 else b"\r\nTransfer-Encoding: chunked\r\n"
        return b"".join((
            self._head(response.status, response.content_type), framing, self._date_line(),
            _extra(response.headers), _connection(close, http_10), b"\r\n",
        ))  # fmt: skip

    def _head(self, status: int, content_type: str) -> bytes:
        known = self._heads.get((status, content_type))
        if known is None:
            known = _status_line(status) + b"\r\nContent-Type: " + _checked(content_type)
            if len(self._heads) < _KNOWN_HEADS_MAX:
                self._heads[status, content_type] = known
        return known

    def _date_line(self) -> bytes:
        if self._wall_clock is None:
            return b""
        second = int(self._wall_clock())
        if second != self._date_second:
            self._date_second = second
            self._date = b"Date: " + formatdate(second, usegmt=True).encode() + b"\r\n"
        return self._date


def has_no_body(status: int) -> bool:
    """True for the statuses that never carry a body, nor its length."""
    return status in (204, 304)


def _status_line(status: int) -> bytes:
    if not 200 <= status <= 599:
        raise ValueError(f"{status} is no status of a final answer")
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return b"HTTP/1.1 %d %b" % (status, phrase.encode())


def _extra(headers: tuple[tuple[str, str], ...]) -> bytes:
    if not headers:
        return b""
    lines = []
    for name, value in headers:
        if _NAME.fullmatch(name) is None or name.lower() in _OWN_HEADERS:
            raise ValueError(f"{name!r} is no header a handler may set")
        lines.append(name.encode() + b": " + _checked(value) + b"\r\n")
    return b"".join(lines)


def _checked(value: str) -> bytes:
    if _BAD_IN_VALUE.search(value):
        raise ValueError("a header value must not hold control characters")
    return value.encode("latin-1")


def _connection(close: bool, http_10: bool) -> bytes:
    if close:
        return b"Connection: close\r\n"
    return b"Connection: keep-alive\r\n" if http_10 else b""

"""Bytes in, requests out, one at a time: HTTP/1 framing and its refusals, without any I/O."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from attrs import frozen
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from daemon.ingress.head_rules import body_objection, head_objection, split_target
from daemon.ingress.http_types import Headers, HttpRequest, HttpResponse, Limits, RequestHead, index_of

_BLANK_LINE: Final = b"\r\n\r\n"
# A body in one-byte chunks, the worst honest framing, spends five bytes on each.
_FRAMING_PER_BODY_BYTE: Final = 6


@frozen
class Refusal:
    """The final answer to a request that does not reach `respond`.

    `complete` is True where the request was read to its end, so that the connection may go on.
    """

    answer: HttpResponse
    complete: bool = False


def plain_refusal(status: int, reason: str) -> HttpResponse:
    """The default words of the server's own refusals."""
    return HttpResponse(status, body=reason.encode() + b"\n")


class RequestFramer:
    """Cuts one connection's bytes into requests; never parses past the end of the request it gives out.

    The parser cannot be paused, so it is never fed beyond a point where a request may end: after every blank
    line (the end of a head, and of a chunked body), and at the announced length of any other body.
    What was received beyond that waits unparsed; it is at most what one `receive` brought.

    `method`, `keep_alive` and `http_10` describe the request given last, until the next `receive`.
    """

    __slots__ = (
        "_admit", "_allowed", "_body", "_body_left", "_chunked", "_complete", "_has_head", "_head", "_head_bytes",
        "_limits", "_pairs", "_parser", "_peer", "_refuse", "_rest", "_tail", "_target", "_version",
        "_wire_bytes", "body_bytes", "keep_alive", "method", "wants_continue",
    )  # fmt: skip

    def __init__(
        self,
        limits: Limits,
        admit: Callable[[RequestHead], HttpResponse | int],
        refuse: Callable[[int, str], HttpResponse] = plain_refusal,
        peer: str = "",
    ) -> None:
        self._limits = limits
        self._admit = admit
        self._refuse = refuse
        self._peer = peer
        self._rest: bytes | bytearray = b""
        self._version = "1.1"
        self.method = ""
        self.keep_alive = True
        self._begin()
        self._parser = HttpRequestParser(self)

    def _begin(self) -> None:
        self._target = b""
        self._pairs: list[tuple[bytes, bytes]] = []
        self._body: bytes | bytearray = b""
        self._head: RequestHead | None = None
        self._has_head = False
        self._complete = False
        self._chunked = False
        self._allowed = 0
        self._body_left = 0
        self._head_bytes = 0
        self._wire_bytes = 0
        self._tail = b""
        self.body_bytes = 0
        self.wants_continue = False

    @property
    def has_rest(self) -> bool:
        """True if bytes of a later request wait: call `receive(b"")` before reading more."""
        return bool(self._rest)

    @property
    def is_idle(self) -> bool:
        """True between two requests: not a byte of the next one was seen."""
        return not self._head_bytes and not self._rest

    @property
    def in_body(self) -> bool:
        """True once a head was admitted and its body is awaited."""
        return self._head is not None

    @property
    def http_10(self) -> bool:
        """True if the client speaks HTTP/1.0: no chunked answers, connections close by default."""
        return self._version == "1.0"

    def hold(self, data: bytes | bytearray) -> None:
        """Keep bytes that came while an answer was being streamed, for the next `receive`."""
        self._rest += data

    def close(self) -> None:
        """Let go of the parser: it refers back to this object, and both would wait for a full collection."""
        del self._parser

    def receive(self, data: bytes | bytearray) -> HttpRequest | Refusal | None:
        """Take what the connection brought; give the next request, its refusal, or None if bytes are missing.

        After a request or a `complete` refusal the next call goes on with the next request; after any other
        refusal this object is done for. `admit` must not raise.
        """
        if self._rest:
            data = self._rest + data
            self._rest = b""
        at, size = 0, len(data)
        while at < size:
            end = self._next_cut(data, at, size)
            if self._head is None:
                self._head_bytes += end - at
                if self._head_bytes > self._limits.max_header_bytes:
                    return self._refused(431, "request headers too large")
            try:
                self._parser.feed_data(data if end - at == size else data[at:end])
            except HttpParserUpgrade:
                pass  # comes after on_message_complete; _judge decides what becomes of it
            except HttpParserError:
                return self._refused(400, "malformed request")
            refusal = self._judge_head() if self._head is None else self._judge_body(end - at)
            at = end
            if refusal is not None or self._complete:
                self._rest = data[at:]
                return refusal or self._take()
        return None

    def _next_cut(self, data: bytes | bytearray, at: int, size: int) -> int:
        """Where to stop feeding: not beyond the first place where the current request may end."""
        if self._head is not None and not self._chunked:
            end = min(size, at + self._body_left)
            self._body_left -= end - at
            return end
        if self._tail:  # the blank line may have begun in the bytes fed before
            found = (self._tail + data[at : at + 3]).find(_BLANK_LINE)
            if found >= 0:
                end = at + found + len(_BLANK_LINE) - len(self._tail)
                self._tail = b""
                return end
        found = data.find(_BLANK_LINE, at)
        if found >= 0:
            self._tail = b""
            return found + len(_BLANK_LINE)
        self._tail = (self._tail + data[max(at, size - 3) :])[-3:]
        return size

    def _judge_head(self) -> Refusal | None:
        """Everything that can be decided before the body; called after each piece until the head is whole."""
        if not self._has_head:
            if len(self._pairs) > self._limits.max_headers:
                return self._refused(431, "too many request headers")
            return None
        index = index_of(self._pairs)
        self._chunked = b"transfer-encoding" in index
        objection = head_objection(self.method, self._version, self._target, self._pairs, index, self._limits)
        if objection is None:
            objection = self._check_length(index)
        if objection is not None:
            return self._refused(*objection)
        target = self._target.decode("latin-1")
        path, query = split_target(target)
        head = RequestHead(self.method, target, path, query, Headers.from_wire(self._pairs, index), self._peer)
        verdict = self._admit(head)
        if not isinstance(verdict, int):
            complete = self._complete
            self.keep_alive = self.keep_alive and complete
            if complete:
                self._begin()
            return Refusal(verdict, complete)
        self._head = head
        self._allowed = min(verdict, self._limits.max_body_bytes)
        objection = body_objection(self._version, self._body_left, self._allowed, index)
        if objection is not None:
            return self._refused(*objection)
        self.wants_continue = not self._complete and b"expect" in index and self._version == "1.1"
        return None

    def _check_length(self, index: dict[bytes, bytes]) -> tuple[int, str] | None:
        """Do the parser and we read the same length? Where not, the next request would begin somewhere else."""
        self._body_left = int(index.get(b"content-length", b"0"))
        if self._complete and b"upgrade" in index:
            self.keep_alive = False  # answered as the plain request it also is; what follows may be another protocol
        if self._complete == bool(self._body_left or self._chunked):
            # Such as an upgrade request with a body: the parser ends those at their head.
            return 400, "request body does not fit its headers"
        return None

    def _judge_body(self, added: int) -> Refusal | None:
        self.wants_continue = False  # the client did not wait
        if self.body_bytes > self._allowed:
            return self._refused(413, "request body too large")
        if self._chunked:
            self._wire_bytes += added
            slack = self._limits.max_header_bytes + _FRAMING_PER_BODY_BYTE * self.body_bytes
            if self._wire_bytes - self.body_bytes > slack:
                return self._refused(400, "too much chunk framing")
        elif self._complete != (not self._body_left):
            return self._refused(400, "malformed request")  # the parser reads another length: trust neither
        return None

    def _take(self) -> HttpRequest:
        head = self._head
        assert head is not None  # a request completes only after its head
        body = bytes(self._body)  # most come in one piece, which is not copied
        self._begin()
        return HttpRequest(head.method, head.target, head.path, head.query, head.headers, body, head.peer)

    def _refused(self, status: int, reason: str) -> Refusal:
        self.keep_alive = False
        return Refusal(self._refuse(status, reason))

    # What the parser calls, inside feed_data.

    def on_url(self, piece: bytes) -> None:
        self._target += piece

    def on_header(self, name: bytes, value: bytes) -> None:
        # After the head it is a trailer: read over, never trusted. The first beyond the bound is kept, to tell by.
        if not self._has_head and len(self._pairs) <= self._limits.max_headers:
            self._pairs.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        parser = self._parser
        self._has_head = True
        self.method = parser.get_method().decode("ascii")
        self._version = parser.get_http_version()
        self.keep_alive = parser.should_keep_alive()

    def on_body(self, piece: bytes) -> None:
        if not self._body:
            self._body = piece
        else:
            # Not a list of pieces: of two bytes each, they would take thirty times the memory that we account for.
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)
            self._body += piece
        self.body_bytes += len(piece)

    def on_message_complete(self) -> None:
        self._complete = True

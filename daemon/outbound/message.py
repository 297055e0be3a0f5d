"""Requests as they go out and answers as they come in: secrets merged, headers joined, bodies bounded."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from urllib.parse import urlencode

from attrs import frozen

from daemon.domain.exchange import Request
from daemon.outbound.address import UnreachableError

USER_AGENT = "onhand"

FRAMING_HEADERS = frozenset(
    {"host", "connection", "content-length", "transfer-encoding", "expect", "te", "trailer", "upgrade", "keep-alive"}
)
"""Written by the client alone: an adapter's value for one of these could shift the whole conversation."""

_STEP_BYTES = 256 * 1024

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TEXT = re.compile(r"[\x21-\x7e]([\x20-\x7e\t]*[\x21-\x7e])?|")


class ExchangeError(Exception):
    """The exchange broke off. Its text is safe to show: it never quotes what was sent."""


@frozen
class Outgoing:
    """A request as it goes out, secrets merged in: never log it, never show it."""

    method: str
    url: str
    """Without the secret part of the query."""
    secret_query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    timeout_s: float

    def __repr__(self) -> str:
        return f"<Outgoing {self.method}>"


def outgoing(request: Request) -> Outgoing:
    """Merge the secrets and our own defaults into `request`.

    Raises `UnreachableError` where a header cannot be written.
    """
    headers = {"accept": "*/*", "accept-encoding": "gzip", "user-agent": USER_AGENT}
    if request.body:
        headers["content-type"] = "application/octet-stream"
    for name, value in [*request.headers.items(), *request.secret_headers.items()]:
        if not (_TOKEN.fullmatch(name) and _TEXT.fullmatch(value)):
            raise UnreachableError(
                f"the header {name!a} cannot be sent: its name or value is not plain visible ASCII"
            )
        headers[name.lower()] = value
    return Outgoing(
        method=request.method,
        url=request.url.partition("#")[0],
        secret_query=urlencode(request.secret_query),
        headers=tuple((name, value) for name, value in headers.items() if name not in FRAMING_HEADERS),
        body=request.body,
        timeout_s=request.timeout_s,
    )


def joined(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Lower-case names; the values of a repeated header joined by ", "."""
    together: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        together[name] = f"{together[name]}, {value}" if name in together else value
    return together


class AnswerBody:
    """Collects an answer's body: decodes gzip and deflate, and never holds more than `max_bytes` of it."""

    def __init__(self, content_encoding: str, max_bytes: int) -> None:
        codings = [coding.strip().lower() for coding in content_encoding.split(",")]
        codings = [coding for coding in codings if coding not in {"", "identity"}]
        if codings not in ([], ["gzip"], ["x-gzip"], ["deflate"]):
            raise ExchangeError("the answer is encoded in a way that was not offered")
        self._max_bytes = max_bytes
        self._received = bytearray()
        self._raw_bytes = 0
        self._decoder = _decoder() if codings else None

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes off the wire.

        Raises `ExchangeError` where the bound is passed or they do not decode.
        """
        self._raw_bytes += len(chunk)
        if self._decoder is None:
            self._received += chunk
        else:
            self._decode(chunk)
        # Both sides of the decoder are bounded: endless input that decodes to nothing is an attack as well.
        if max(len(self._received), self._raw_bytes) > self._max_bytes:
            raise ExchangeError(f"the answer is longer than {self._max_bytes} bytes")

    def _decode(self, chunk: bytes) -> None:
        try:
            held_back = False
            while (chunk or held_back) and len(self._received) <= self._max_bytes and self._decoder is not None:
                if self._decoder.eof:
                    self._decoder = _decoder()  # gzip may come as several members in a row
                # In steps: what one call gives is a second copy of it until it is added.
                piece = self._decoder.decompress(chunk, _STEP_BYTES)
                self._received += piece
                chunk = self._decoder.unconsumed_tail or self._decoder.unused_data
                held_back = len(piece) == _STEP_BYTES and not self._decoder.eof
        except zlib.error:
            raise ExchangeError("the compressed answer does not decode") from None

    def complete(self) -> bytes:
        """The whole body. Raises `ExchangeError` where a compressed one stopped short."""
        if self._decoder is not None and self._raw_bytes and not self._decoder.eof:
            raise ExchangeError("the compressed answer is cut short")
        return bytes(self._received)


def _decoder() -> zlib._Decompress:
    return zlib.decompressobj(zlib.MAX_WBITS | 32)  # 32: gzip and zlib headers are both understood

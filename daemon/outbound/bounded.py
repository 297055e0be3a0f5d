"""What every HTTP client here shares: one deadline, one limiter, one bounded body, and failures as values.

An implementation only has to carry one request over one connection (`_exchange`) and to say in `Attempt` how far
it came; whether the channel may have seen the request is decided here alone.
"""

from __future__ import annotations

import re
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from urllib.parse import urlencode

import trio
from attrs import define, frozen

from daemon.domain.exchange import NoAnswer, Reply, Request, Response
from daemon.outbound.address import AddressPolicy, UnreachableError

USER_AGENT = "onhand"

FRAMING_HEADERS = frozenset(
    {"host", "connection", "content-length", "transfer-encoding", "expect", "te", "trailer", "upgrade", "keep-alive"}
)
"""Written by the client alone: an adapter's value for one of these could shift the whole conversation."""

_CLOSED = "the client is closed"
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TEXT = re.compile(r"[\x21-\x7e]([\x20-\x7e\t]*[\x21-\x7e])?|")


class ExchangeError(Exception):
    """The exchange broke off. Its text is safe to show: it never quotes what was sent."""


@frozen
class HttpClientStatistics:
    """What one client did since it was opened, and what it is doing now."""

    answered: int
    unanswered: int
    """No usable answer, though the channel may have seen the request."""
    unreached: int
    """No usable answer, and the channel certainly saw nothing."""
    repeated: int
    """GETs sent a second time because their pooled connection had gone stale."""
    rebuilt: int
    """Connection pools thrown away because they no longer gave out connections."""
    in_flight: int
    waiting: int
    max_connections: int


@define
class Attempt:
    """How far one request came. `sent` never goes back to False, so doubt is never forgotten."""

    clock_us: Callable[[], int]
    phase: str = "waiting for a free connection"
    sent: bool = False
    fresh: bool = False
    answered: bool = False
    sent_us: int = 0

    def connecting(self) -> None:
        self.phase, self.fresh = "connecting", True

    def sending(self) -> None:
        """Call just before the first byte of the request may leave."""
        self.phase, self.sent, self.sent_us = "sending the request", True, self.clock_us()

    def awaiting(self) -> None:
        self.phase = "waiting for the answer"

    def reading(self) -> None:
        self.phase, self.answered = "reading the answer", True


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
            while chunk and len(self._received) <= self._max_bytes and self._decoder is not None:
                if self._decoder.eof:
                    self._decoder = _decoder()  # gzip may come as several members in a row
                self._received += self._decoder.decompress(chunk, self._max_bytes + 1 - len(self._received))
                chunk = self._decoder.unconsumed_tail or self._decoder.unused_data
        except zlib.error:
            raise ExchangeError("the compressed answer does not decode") from None

    def complete(self) -> bytes:
        """The whole body. Raises `ExchangeError` where a compressed one stopped short."""
        if self._decoder is not None and self._raw_bytes and not self._decoder.eof:
            raise ExchangeError("the compressed answer is cut short")
        return bytes(self._received)


def _decoder() -> zlib._Decompress:
    return zlib.decompressobj(zlib.MAX_WBITS | 32)  # 32: gzip and zlib headers are both understood


class BoundedClient(ABC):
    """The shared life of a request: policy, limiter, deadline, and never an exception for the network's doing."""

    def __init__(
        self, *, policy: AddressPolicy, max_connections: int, max_answer_bytes: int, clock_us: Callable[[], int]
    ) -> None:
        self._policy = policy
        self._max_answer_bytes = max_answer_bytes
        self._clock_us = clock_us
        self._limiter = trio.CapacityLimiter(max_connections)
        self._closed = False
        self._answered = self._unanswered = self._unreached = self._repeated = self._rebuilt = 0

    async def send(self, request: Request) -> Reply:
        """See `HttpClient.send`."""
        refusal = _CLOSED if self._closed else self._policy.refusal(request.url)
        if refusal is not None:
            return self._counted(NoAnswer(refusal, reached=False))
        attempt = Attempt(self._clock_us)
        reason = ""
        with trio.move_on_after(request.timeout_s):
            try:
                return self._counted(await self._converse(outgoing(request), attempt))
            except (ExchangeError, UnreachableError) as failure:
                reason = str(failure)
        reason = reason or f"the deadline of {request.timeout_s:g} s passed while {attempt.phase}"
        return self._counted(NoAnswer(reason, reached=attempt.sent))

    async def _converse(self, out: Outgoing, attempt: Attempt) -> Response:
        async with self._limiter:
            if self._closed:
                raise UnreachableError(_CLOSED)
            try:
                return await self._exchange(out, attempt)
            except ExchangeError:
                # A pooled connection can be closed by the other side in the very moment we use it. Asking again is
                # harmless for a GET; anything else may have been applied, and only the dispatcher may repeat it.
                if out.method != "GET" or not attempt.sent or attempt.fresh or attempt.answered:
                    raise
            self._repeated += 1
            return await self._exchange(out, attempt)

    @abstractmethod
    async def _exchange(self, out: Outgoing, attempt: Attempt) -> Response:
        """Carry one request over one connection, once. Raises `UnreachableError` or `ExchangeError`, nothing else."""

    @abstractmethod
    async def aclose(self) -> None:
        """See `HttpClient.aclose`."""

    def statistics(self) -> HttpClientStatistics:
        """See `HttpClient.statistics`."""
        limiter = self._limiter.statistics()
        return HttpClientStatistics(
            answered=self._answered,
            unanswered=self._unanswered,
            unreached=self._unreached,
            repeated=self._repeated,
            rebuilt=self._rebuilt,
            in_flight=limiter.borrowed_tokens,
            waiting=limiter.tasks_waiting,
            max_connections=int(limiter.total_tokens),
        )

    def _counted(self, reply: Reply) -> Reply:
        match reply:
            case Response():
                self._answered += 1
            case NoAnswer(reached=True):
                self._unanswered += 1
            case NoAnswer():
                self._unreached += 1
        return reply

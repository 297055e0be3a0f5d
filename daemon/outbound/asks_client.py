"""The HTTP port on asks: asks builds and drives one request, everything it does unasked stays out.

asks's `Session` is written to repeat a request whose connection was lost, so it is not used: its `RequestProcessor`
carries exactly one request over exactly one connection, which is ours, opened under our address policy. What asks
would lose of an answer (interim answers, repeated headers, a body without a length, bytes beyond a bound) is taken
from h11 before asks sees it; asks is handed the status alone. As asks is frozen at 3.0.0, so is the shape this
rests on; and since the connection is ours, the anyio that asks was written for never runs.

Two habits stay visible on the wire: a GET carries `Content-Length: 0`, and unreserved characters that came
percent-encoded in a URL leave decoded (`%7E` as `~`), which matters only to a channel that signs the raw URL.
"""

from __future__ import annotations

import ssl
from collections import deque
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import h11
import trio
from asks.request_object import RequestProcessor

from daemon.domain.exchange import Response
from daemon.outbound.address import DEFAULT_PORTS, AddressPolicy, connect, has_input, secure
from daemon.outbound.bounded import Attempt, BoundedClient
from daemon.outbound.message import AnswerBody, ExchangeError, Outgoing, joined

KEEPALIVE_S = 15.0
READ_BYTES = 64 * 1024

Origin = tuple[str, str, int]


class Wire:
    """One connection in the shape asks wants. Write errors are held back: the answer may be there already."""

    _active = True  # asks reads it before it would close a connection

    def __init__(self, origin: Origin, tcp: trio.SocketStream, tls: trio.SSLStream[trio.SocketStream] | None) -> None:
        self.origin = origin
        self.idle_since = 0.0
        self._tcp = tcp
        self._tls = tls
        self._stream: trio.abc.Stream = tls or tcp

    async def send(self, item: bytes) -> None:
        try:
            await self._stream.send_all(item)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            await trio.lowlevel.checkpoint()

    async def receive(self) -> bytes:
        try:
            return bytes(await self._stream.receive_some(READ_BYTES))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise ExchangeError("the connection was lost") from None

    async def aclose(self) -> None:
        """Close abruptly: a polite goodbye could wait for a peer that has stopped reading."""
        await trio.aclose_forcefully(self._stream)

    def usable(self, now: float) -> bool:
        """An idle connection with something to read was closed by its peer, or holds what nobody asked for."""
        return now - self.idle_since < KEEPALIVE_S and not has_input(self._tcp, self._tls)


class OneRequest(RequestProcessor):  # type: ignore[misc]  # asks has no types
    """asks's request machinery, with the reading of answers replaced."""

    def __init__(self, out: Outgoing, wire: Wire, attempt: Attempt, max_answer_bytes: int) -> None:
        scheme, host, port = wire.origin
        shown = f"[{host}]" if ":" in host else host
        headers = {"Host": shown if port == DEFAULT_PORTS[scheme] else f"{shown}:{port}", "Connection": "keep-alive"}
        super().__init__(
            None,
            out.method,
            _full_url(out),
            str(port),
            headers=headers | dict(out.headers),
            data=out.body,
            follow_redirects=False,
            sock=wire,
        )
        self._attempt = attempt
        self._max_answer_bytes = max_answer_bytes
        self._head: h11.Response | None = None
        self._body: AnswerBody | None = None
        self.reusable = False

    async def _send(self, request: h11.Request, body: h11.Data | None, h11_connection: h11.Connection) -> None:
        self._attempt.sending()
        await super()._send(request, body, h11_connection)
        self._attempt.awaiting()

    async def _recv_event(self, h11_connection: h11.Connection) -> h11.Event:
        """Called by asks for the answer's head, then for its end: whatever lies between is kept here."""
        while True:
            event = h11_connection.next_event()
            if event is h11.NEED_DATA:
                h11_connection.receive_data(await self.sock.receive())
            elif isinstance(event, h11.Response):
                return self._begun(event)
            elif isinstance(event, h11.Data) and self._body is not None:
                self._body.feed(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                self.reusable = _between_requests(h11_connection)
                return event
            elif not isinstance(event, h11.InformationalResponse):
                raise ExchangeError("the connection was closed before the answer was complete")

    def _begun(self, head: h11.Response) -> h11.Response:
        self._attempt.reading()
        self._head = head
        self._body = AnswerBody(joined(head.headers).get("content-encoding", ""), self._max_answer_bytes)
        return h11.Response(status_code=head.status_code, headers=[], http_version=head.http_version)

    def response(self, received_us: int) -> Response:
        """What came, once `make_request` has returned."""
        if self._head is None or self._body is None:
            raise ExchangeError("no answer came")
        return Response(
            status=self._head.status_code,
            headers=joined(self._head.headers),
            body=self._body.complete(),
            sent_us=self._attempt.sent_us,
            received_us=received_us,
        )


class AsksClient(BoundedClient):
    """`HttpClient` on asks, with a pool of its own behind the limiter: idle connections, newest first."""

    def __init__(
        self,
        *,
        policy: AddressPolicy,
        max_connections: int,
        max_answer_bytes: int,
        clock_us: Callable[[], int],
        ssl_context: ssl.SSLContext,
    ) -> None:
        super().__init__(
            policy=policy, max_connections=max_connections, max_answer_bytes=max_answer_bytes, clock_us=clock_us
        )
        self._ssl_context = ssl_context
        self._idle: deque[Wire] = deque()
        self._busy: set[Wire] = set()

    async def aclose(self) -> None:
        self._closed = True
        for wire in [*self._idle, *self._busy]:
            await wire.aclose()
        self._idle.clear()

    async def _exchange(self, out: Outgoing, attempt: Attempt) -> Response:
        wire = await self._connection(out, attempt)
        request = OneRequest(out, wire, attempt, self._max_answer_bytes)
        self._busy.add(wire)
        try:
            await request.make_request()
            return request.response(self._clock_us())
        except h11.ProtocolError as exc:
            # Only its kind: h11's own texts quote what was sent.
            raise ExchangeError(f"{type(exc).__name__} while {attempt.phase}") from None
        finally:
            self._busy.discard(wire)
            await self._put_back(wire, keep=request.reusable and not self._closed)

    async def _connection(self, out: Outgoing, attempt: Attempt) -> Wire:
        origin = _origin(out.url)
        stale = [wire for wire in self._idle if not wire.usable(trio.current_time())]
        self._idle = deque(wire for wire in self._idle if wire not in stale)
        for wire in stale:
            await wire.aclose()
        for wire in self._idle:
            if wire.origin == origin:
                self._idle.remove(wire)
                return wire
        attempt.connecting()
        scheme, host, port = origin
        tcp = await connect(self._policy, host, port)
        return Wire(origin, tcp, await secure(tcp, self._ssl_context, host) if scheme == "https" else None)

    async def _put_back(self, wire: Wire, *, keep: bool) -> None:
        if keep:
            wire.idle_since = trio.current_time()
            self._idle.appendleft(wire)
            if len(self._idle) <= self._limiter.total_tokens:
                return
            wire = self._idle.pop()
        await wire.aclose()


def _origin(url: str) -> Origin:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or DEFAULT_PORTS[parts.scheme]


def _full_url(out: Outgoing) -> str:
    if not out.secret_query:
        return out.url
    return out.url + ("&" if "?" in out.url else "?") + out.secret_query


def _between_requests(connection: h11.Connection) -> bool:
    """Both sides done, neither wants to close, and no byte beyond the answer came (it would shift the next one)."""
    states: list[Any] = [connection.our_state, connection.their_state]
    return states == [h11.DONE, h11.DONE] and not connection.trailing_data[0]

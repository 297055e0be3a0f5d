"""HTTP/1 as values for the listener: request, answer, limits, and what a handler promises."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

from attrs import field, frozen

if TYPE_CHECKING:
    from attrs import frozen as value
else:
    # What is made for every request: frozen for the type checker, plain at run time, where each would cost
    # three times as much to make (together a tenth of a request).
    from functools import partial

    from attrs import define

    value = partial(define, unsafe_hash=True)


class Headers:
    """Request headers in the order they came. Names are lower case, text is latin-1, outer blanks are gone.

    The bytes from the wire are kept and decoded only where asked for: most headers of a webhook are never read.
    `repr` shows names only: values carry signatures and tokens.
    """

    __slots__ = ("_index", "_pairs")

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        wire = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in pairs]
        self._pairs = wire
        self._index = index_of(wire)

    @classmethod
    def from_wire(cls, pairs: list[tuple[bytes, bytes]], index: dict[bytes, bytes]) -> Headers:
        """Headers over what a parser collected; `index` is `index_of(pairs)`. Neither may change afterwards."""
        self = cls.__new__(cls)
        self._pairs = pairs
        self._index = index
        return self

    def get(self, name: str, default: str | None = None) -> str | None:
        """The value of `name` (any case), or `default`. A repeated header gives all values joined by ", "."""
        value = self._index.get(name.lower().encode("latin-1"))
        return default if value is None else value.decode("latin-1")

    def get_all(self, name: str) -> tuple[str, ...]:
        """Every value of `name` (any case), in the order sent; empty if there is none."""
        wanted = name.lower().encode("latin-1")
        return tuple(value.decode("latin-1") for key, value in self._pairs if key == wanted)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower().encode("latin-1") in self._index

    def __iter__(self) -> Iterator[tuple[str, str]]:
        for name, value in self._pairs:
            yield name.decode("latin-1"), value.decode("latin-1")

    def __len__(self) -> int:
        return len(self._pairs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self._pairs == other._pairs

    def __hash__(self) -> int:
        return hash(tuple(self._pairs))

    def __repr__(self) -> str:
        return f"Headers({', '.join(name.decode('latin-1') for name, _ in self._pairs)})"


def index_of(pairs: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Name to value; the values of a repeated name are joined by ", " in the order sent."""
    index = dict(pairs)
    if len(index) != len(pairs):
        index = {}
        for name, value in pairs:
            index[name] = index[name] + b", " + value if name in index else value
    return index


@value
class RequestHead:
    """A request of which no body byte was read yet.

    `target` is the request target as sent; `path` and `query` are cut out of it, still percent-encoded,
    for origin and absolute form alike. `peer` is the client's address, or "" where it has none.
    """

    method: str
    target: str
    path: str
    query: str
    headers: Headers
    peer: str = ""


@value
class HttpRequest:
    """A whole request; the head fields are those of `RequestHead`. The body is raw, with chunking undone."""

    method: str
    target: str
    path: str
    query: str = ""
    headers: Headers = field(factory=Headers)
    body: bytes = field(default=b"", repr=False)
    peer: str = ""


@value
class HttpResponse:
    """An answer. The server adds Content-Length or chunking, Connection and Date; `headers` must not hold those.

    `stream`, if given, is sent instead of `body`: chunked on HTTP/1.1, ended by closing on 1.0. The server always
    closes the iterator, also when the client leaves. An `endless` stream is ended cleanly when the server stops;
    any other one is allowed to run to its end, within the stop's deadline.
    """

    status: int
    body: bytes = field(default=b"", repr=False)
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = "text/plain; charset=utf-8"
    stream: AsyncIterator[bytes] | None = None
    endless: bool = False


@frozen
class Limits:
    """Every bound of one server. Each time-out is an overall one: a trickle of bytes does not extend it."""

    max_body_bytes: int = 1 << 20
    """Above this no route may go, whatever its handler admits."""
    max_header_bytes: int = 16 << 10
    """Request line and headers together; also the slack for chunk framing and trailers."""
    max_headers: int = 64
    max_target_bytes: int = 8 << 10
    max_buffered_bytes: int = 64 << 20
    """Bytes of unfinished bodies over all connections; beyond it the one that grows is answered 503."""
    max_connections: int = 1024
    max_connections_per_peer: int = 0
    """Of one IPv4 address or one IPv6 /64; 0 is no such bound. Behind a proxy all clients are one peer."""
    max_requests_per_connection: int = 10_000
    header_timeout_s: float = 5.0
    """From the first byte (on a new connection: from accepting it) to the end of the headers."""
    body_timeout_s: float = 10.0
    """From the end of the headers to the end of the body."""
    idle_timeout_s: float = 15.0
    """Between two requests of a kept connection."""
    write_timeout_s: float = 10.0
    """For one answer, or one piece of a streamed one."""
    linger_timeout_s: float = 1.0
    """How long input is still read and thrown away after a final answer, so that a reset does not eat it."""
    linger_max_bytes: int = 1 << 20
    retry_after_s: int = 5
    """What an overloaded server tells the client to wait."""
    stop_idle_grace_s: float = 0.05
    """How long a kept connection without a request stays open at a stop: its next one may be on the way."""
    stop_fresh_grace_s: float = 1.0
    """The same for a connection that has not had its first answer yet."""


class Handler(Protocol):
    """What a server serves. One handler serves all connections at once."""

    def admit(self, head: RequestHead) -> HttpResponse | int:
        """Decide on a request before any byte of its body is read. Must not block.

        Returns the largest body to accept, in bytes (0 for none), or the final answer. A refused request that
        announced a body costs its client the connection, since the body is not read.
        """
        ...

    async def respond(self, request: HttpRequest) -> HttpResponse:
        """Answer an admitted request.

        Once started it is not cancelled because of its client, gone or slow: only the end of the server's stop
        deadline, or cancelling the server itself, cuts it. An exception becomes a 500 and an error report.
        """
        ...


@frozen
class HttpStatistics:
    """What a server did so far, and holds now (`connections`, `in_flight`, `buffered_bytes`)."""

    connections: int
    in_flight: int
    buffered_bytes: int
    accepted: int
    turned_away: int
    """Connections above `max_connections` or `max_connections_per_peer`."""
    gave_way: int
    """Clients that kept the server waiting and lost their place to a newcomer."""
    accept_pauses: int
    """Times the accept loop backed off because the system had no descriptor or memory left."""
    requests: int
    """Requests given to the handler."""
    refusals: Mapping[int, int]
    """Requests answered without the handler's `respond`, by status."""
    handler_errors: int
    idle_closed: int
    lost_clients: int
    """Clients gone, or too slow to take their answer."""
    cut_off: int
    """Connections cancelled at the end of a stop's deadline."""

"""HTTP as values: what an adapter asks for, what came back, and the sans-I/O conversation between them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Literal, TypeVar

from attrs import field, frozen

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


@frozen
class Request:
    """One HTTP request to a channel.

    `url` is absolute. `headers` may be logged; `secret_headers` (authorization) and `secret_query`
    (credentials some platforms want in the query) never are, and never show in `repr`.
    `timeout_s` bounds the whole exchange, from connecting to the last byte of the answer.
    `sign`, where set, finishes the request just before each sending: an adapter has neither clock nor randomness,
    yet some signatures and cache-proof reads need both. It is called with this request, our clock (µs since 1970)
    and a fresh nonce ([A-Za-z0-9], at least 16 characters, never the same twice), and what it returns is sent in
    place of this request, its own `sign` not called again. Pure; never raises.
    `token` names the adapter's `TokenSource` whose token the request must carry, "" for none; it is placed before
    `sign`. `meter` names the rate limit it counts against, `cost` how much of it (see `Rarely.meters`).
    """

    method: Method
    url: str
    headers: Mapping[str, str] = field(factory=dict)
    body: bytes = field(default=b"", repr=False)
    """Kept out of `repr`: a registration carries its webhook's secret here."""
    secret_headers: Mapping[str, str] = field(factory=dict, repr=False)
    secret_query: Mapping[str, str] = field(factory=dict, repr=False)
    timeout_s: float = 30.0
    sign: Callable[[Request, int, str], Request] | None = field(default=None, repr=False, eq=False)
    token: str = ""
    meter: str = ""
    cost: float = 1.0


@frozen
class Response:
    """An HTTP answer. Header names are lower case; a repeated header keeps every value, joined by ", "."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    sent_us: int = 0
    """Our clock just before the request left (µs since 1970)."""
    received_us: int = 0
    """Our clock just after the last byte came (µs since 1970)."""


@frozen
class NoAnswer:
    """No usable answer came.

    `reached` is False only where it is certain that the channel never saw the request (no connection could
    be made): then it is safe to send it again. Otherwise the request may have been, or may yet be, applied.
    """

    reason: str
    reached: bool


Reply = Response | NoAnswer

T = TypeVar("T")

Exchange = Generator[Request, Response, T]
"""A sans-I/O conversation: yields requests, is sent their responses, returns a value.

The driver (`daemon.outbound.drive`) does the I/O. A `NoAnswer` never enters the generator: the driver closes
it and reports the outcome itself, so an adapter only ever reads real answers.
"""

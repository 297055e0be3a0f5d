"""The HTTP port: one client per channel, which answers with values and never raises for the network's doing.

httpx is the default because it is maintained, streams answers so that they can be bounded, and repeats nothing by
itself. asks is unmaintained since 2022 and needs more of its habits switched off than kept, so it is a second,
optional implementation that passes the same conformance suite.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Literal, Protocol

from daemon.domain.exchange import Reply, Request
from daemon.outbound.address import AddressPolicy
from daemon.outbound.bounded import HttpClientStatistics

__all__ = ["AddressPolicy", "HttpClient", "HttpClientStatistics", "open_http_client"]

ClientKind = Literal["httpx", "asks"]

MAX_ANSWER_BYTES = 16 * 1024 * 1024


class HttpClient(Protocol):
    """Sends requests to one channel over at most `max_connections` kept-alive HTTP/1.1 connections."""

    async def send(self, request: Request) -> Reply:
        """Send `request` once and return its answer, whatever its status; a redirect is an answer too.

        Never raises for anything the network does. `NoAnswer(reached=False)` comes only where the channel
        certainly saw nothing: refused by policy, no address, no connection, no TLS, or the deadline passed before
        the first byte left. Everything else that is not a whole answer is `NoAnswer(reached=True)`. Only a GET
        whose pooled connection had gone stale is sent twice. Safe to cancel at any point.
        """
        ...

    async def aclose(self) -> None:
        """Close every connection, also those in use. Idempotent; a later `send` is refused."""
        ...

    def statistics(self) -> HttpClientStatistics:
        """What this client did so far, and is doing now."""
        ...


def open_http_client(
    kind: ClientKind,
    *,
    policy: AddressPolicy,
    max_connections: int = 4,
    max_answer_bytes: int = MAX_ANSWER_BYTES,
    clock_us: Callable[[], int],
    ssl_context: ssl.SSLContext | None = None,
) -> HttpClient:
    """Open a client; nothing is connected yet. Call it inside `trio.run`.

    `clock_us` stamps answers (µs since 1970). Without `ssl_context`, certificates are checked against the
    system's own store. Raises `RuntimeError`, naming the remedy, where asks is wanted but not installed.
    """
    context = ssl.create_default_context() if ssl_context is None else ssl_context
    # Imported here: a process loads only the library its configuration names, and asks may not be there at all.
    if kind == "asks":
        try:
            import asks  # noqa: F401  # only its presence matters here
        except ImportError as exc:
            raise RuntimeError(
                f"http client 'asks' is configured but cannot be imported ({exc}): install the extra with "
                "pip install 'onhand[asks]', or configure 'httpx'"
            ) from None
        from daemon.outbound.asks_client import AsksClient

        return AsksClient(
            policy=policy,
            max_connections=max_connections,
            max_answer_bytes=max_answer_bytes,
            clock_us=clock_us,
            ssl_context=context,
        )
    from daemon.outbound.httpx_client import HttpxClient

    return HttpxClient(
        policy=policy,
        max_connections=max_connections,
        max_answer_bytes=max_answer_bytes,
        clock_us=clock_us,
        ssl_context=context,
    )

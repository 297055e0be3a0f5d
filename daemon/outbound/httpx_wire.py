"""The connections under httpx: opened by our address policy, closed without ceremony."""

# ruff: noqa: ARG002  # the signatures are httpcore's

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterable
from typing import Any

import httpcore
import httpx
import trio

from daemon.outbound.address import AddressPolicy, connect, has_input, secure

# At DEBUG httpcore logs the headers of every answer, and what it could not parse; either may hold a token.
logging.getLogger("httpcore").setLevel(logging.WARNING)

KEEPALIVE_S = 15.0
"""How long an idle connection is kept. httpcore measures it with `time.monotonic`, not with Trio's clock."""


class Wire(httpcore.AsyncNetworkStream):
    """One connection, closed abruptly.

    httpcore closes under a shield; a polite TLS goodbye to a peer that has stopped reading could then outlive
    every deadline. Deadlines are the caller's cancel scope, so the time-outs httpcore passes are ignored.
    """

    def __init__(
        self, tcp: trio.SocketStream, host: str, tls: trio.SSLStream[trio.SocketStream] | None = None
    ) -> None:
        self._tcp = tcp
        self._tls = tls
        self._host = host
        self._stream: trio.abc.Stream = tls or tcp
        self.unfit = False
        """Set it to keep the pool from using this connection again."""

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            return bytes(await self._stream.receive_some(max_bytes))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise httpcore.ReadError from None

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        try:
            await self._stream.send_all(buffer)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise httpcore.WriteError from None

    async def aclose(self) -> None:
        self.unfit = True  # an answer cut by us may have been complete already, and its connection look idle
        await trio.aclose_forcefully(self._stream)

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> Wire:
        return Wire(self._tcp, self._host, await secure(self._tcp, ssl_context, server_hostname or self._host))

    def get_extra_info(self, info: str) -> Any:
        # httpcore asks this of an idle connection: readable then means closed by the peer, or unasked-for bytes.
        return (self.unfit or has_input(self._tcp, self._tls)) if info == "is_readable" else None


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """Opens connections under the address policy: what was judged is what is connected to."""

    def __init__(self, policy: AddressPolicy) -> None:
        self._policy = policy

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> Wire:
        return Wire(await connect(self._policy, host, port), host)


class CheckedTransport(httpx.AsyncHTTPTransport):
    """httpx's transport over `CheckedBackend`; httpx itself offers no argument for a backend."""

    def __init__(self, policy: AddressPolicy, ssl_context: ssl.SSLContext, max_connections: int) -> None:
        super().__init__(verify=ssl_context, trust_env=False)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl_context,
            max_connections=max_connections,
            keepalive_expiry=KEEPALIVE_S,
            network_backend=CheckedBackend(policy),
        )

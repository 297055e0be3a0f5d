"""Where requests may go: the address policy, and the one place that opens a connection under it.

The policy is applied twice. `refusal` judges the URL before anything is done; `connect` judges the addresses a
name really resolved to, and connects to exactly those addresses, so a name that resolves differently a moment
later (DNS rebinding) gains nothing. Both HTTP clients connect through here.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import SplitResult, urlsplit

import trio
from attrs import field, frozen

DEFAULT_PORTS = {"http": 80, "https": 443}

CONNECT_ATTEMPT_S = 3.0
"""How long one of several addresses may take before the next is tried; the last one has the whole deadline."""

_NAT64 = IPv6Network("64:ff9b::/96")


class UnreachableError(Exception):
    """No connection could be made, or none was allowed: the channel saw nothing. Its text is safe to show."""


def _lower(hosts: Iterable[str]) -> frozenset[str]:
    return frozenset(host.lower() for host in hosts)


@frozen
class AddressPolicy:
    """Which addresses this daemon may talk to.

    `hosts` are the configured names, each `host` (the scheme's own port only) or `host:port`; a literal IPv6
    address is written without brackets where no port follows. `.domain` stands for every name below that domain,
    over https at its own port: some platforms name the host of an upload only in an answer. Plain `http` and
    addresses that are not public (private, loopback, link-local, multicast, reserved) each need their own permission.
    """

    hosts: frozenset[str] = field(converter=_lower)
    allow_plain: bool = False
    allow_private: bool = False

    def refusal(self, url: str) -> str | None:
        """Why `url` may not be requested, as a sentence without its path or query; None where it may."""
        if any(character <= " " or character in "\\\x7f" for character in url):
            return "the URL holds a blank, a control character or a backslash"
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            return "the URL cannot be read"
        if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
            return "the URL is not an absolute https URL"
        if parts.scheme == "http" and not self.allow_plain:
            return f"plain http to {parts.hostname} is not allowed"
        if parts.username is not None or parts.password is not None:
            return f"the URL for {parts.hostname} holds credentials"
        if not _spelled_out(parts):
            return "the URL's host and port cannot be told apart"
        return self._refusal_of(parts, port)

    def _refusal_of(self, parts: SplitResult, port: int | None) -> str | None:
        host = parts.hostname or ""
        if not self._configured(host, DEFAULT_PORTS[parts.scheme] if port is None else port, parts.scheme):
            return f"host {host}{'' if port is None else f':{port}'} is not a configured host"
        literal = _literal(host)
        if literal is not None and not self.permits(literal):
            return f"{host} is not a public address"
        return None

    def _configured(self, host: str, port: int, scheme: str) -> bool:
        if f"{host}:{port}" in self.hosts or (host in self.hosts and port == DEFAULT_PORTS[scheme]):
            return True
        below = any(each.startswith(".") and host.endswith(each) for each in self.hosts)
        return below and scheme == "https" and port == DEFAULT_PORTS[scheme]

    def permits(self, address: IPv4Address | IPv6Address) -> bool:
        """Whether a connection to this very address is allowed."""
        return self.allow_private or _public(address)


def _spelled_out(parts: SplitResult) -> bool:
    """Is the authority its host and its port, and nothing else? What is read over here another reader may take for
    the port: `[::1]4` was port 80 to us and port 4 to the client."""
    host = parts.hostname or ""
    shown = f"[{host}]" if ":" in host else host
    rest = parts.netloc[len(shown) :]
    return parts.netloc[: len(shown)].lower() == shown and (not rest or rest.startswith(":"))


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        return None


def _public(address: IPv4Address | IPv6Address) -> bool:
    inner = _carried(address) if isinstance(address, IPv6Address) else None
    return address.is_global and not address.is_multicast and (inner is None or _public(inner))


def _carried(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address an IPv6 one leads to, so that a private one cannot hide in it."""
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)


async def connect(policy: AddressPolicy, host: str, port: int) -> trio.SocketStream:
    """Open a TCP connection to an address of `host` that `policy` permits.

    The caller's cancel scope is the deadline. Raises `UnreachableError`, with a sentence, where none can be made.
    """
    addresses = [address for address in await _resolve(host, port) if policy.permits(ip_address(address))]
    if not addresses:
        raise UnreachableError(f"{host} has no public address")
    failure = f"{host}:{port} did not accept a connection in time"
    for address in addresses:
        patience = float("inf") if address is addresses[-1] else CONNECT_ATTEMPT_S
        with trio.move_on_after(patience):
            try:
                return await trio.open_tcp_stream(address, port)
            except OSError as exc:
                failure = f"connecting to {host}:{port} failed: {_system_reason(exc)}"
    raise UnreachableError(failure)


async def secure(stream: trio.SocketStream, context: ssl.SSLContext, host: str) -> trio.SSLStream[trio.SocketStream]:
    """Put TLS on `stream`, checking that the certificate names `host`.

    Raises `UnreachableError`, with `stream` closed, where there is no trust to be had.
    """
    secured = trio.SSLStream(stream, context, server_hostname=host, https_compatible=True)
    try:
        await secured.do_handshake()
    except BaseException as exc:
        await trio.aclose_forcefully(stream)
        if not isinstance(exc, trio.BrokenResourceError):
            raise
        raise UnreachableError(f"TLS with {host} failed: {_tls_reason(exc)}") from None
    return secured


def _tls_reason(exc: trio.BrokenResourceError) -> str:
    cause = exc.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return cause.verify_message
    return str(cause.reason) if isinstance(cause, ssl.SSLError) else "the connection was lost"


def has_input(tcp: trio.SocketStream, tls: trio.SSLStream[trio.SocketStream] | None) -> bool:
    """Whether an idle connection has something to read: its peer closed it, or sent what nobody asked for.

    TLS records may have been fetched and not read yet; only a private buffer of trio's tells. If that ever moves,
    a TLS connection always seems to have input, and none is used twice.
    """
    fetched = tls is not None and (tls._incoming.pending if hasattr(tls, "_incoming") else True)
    return bool(fetched) or tcp.socket.is_readable()


async def _resolve(host: str, port: int) -> list[str]:
    try:
        found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        raise UnreachableError(f"the name {host} did not resolve: {_system_reason(exc)}") from None
    # A link-local answer carries its zone after "%"; what is judged and what is connected to must be the same text.
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


def _system_reason(exc: BaseException) -> str:
    """The operating system's own words, which trio keeps in the cause of a failed connect."""
    match exc:
        case socket.gaierror():
            return str(exc.strerror)
        case OSError() if exc.errno:
            return os.strerror(exc.errno).lower()
        case OSError(__cause__=BaseExceptionGroup(exceptions=(first, *_))):
            return _system_reason(first)
    return type(exc).__name__

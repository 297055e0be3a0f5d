"""What an address in the configuration may look like."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from attrs import frozen


@frozen
class HostPort:
    """Where to listen. `host` "" is every interface, `port` 0 any free port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def read_host_port(text: str) -> HostPort | None:
    """`host:port`, `:port` or `[IPv6]:port`; None where it is none of them."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or len(port) > 5 or int(port) > 65_535:
        return None
    if host.startswith("[") and host.endswith("]"):
        return HostPort(host[1:-1], int(port)) if _is_ipv6(host[1:-1]) else None
    if any(character <= " " or character in ":/@[]\\\x7f" for character in host):
        return None
    return HostPort(host, int(port))


def read_url(url: str) -> tuple[SplitResult | None, str]:
    """An absolute http(s) URL without credentials, query or fragment, or None and what is wrong with it.

    The sentence never repeats the URL: a password may be in it.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None, "this URL cannot be read: write it like https://shop.example.com"
    if any(character <= " " or character in "\\\x7f" for character in url):
        return None, "take blanks, backslashes and control characters out of this URL"
    if not url.isascii():
        return None, "write this URL in ASCII: a host's name as xn--…, anything else percent-encoded"
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        return None, "write an absolute URL, like https://shop.example.com"
    if parts.username is not None or parts.password is not None:
        return None, "take the user name and the password out of this URL: secrets have keys of their own"
    if "?" in url or "#" in url:
        return None, "take everything from '?' or '#' on out of this URL"
    return parts, ""


def is_loopback(host: str) -> bool:
    """Does `host` name this very machine?"""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def is_private(host: str) -> bool:
    """Is `host` an address that is not public? A name is never said to be: only resolving it could tell."""
    try:
        return not ip_address(host).is_global
    except ValueError:
        return False


def _is_ipv6(text: str) -> bool:
    try:
        return ip_address(text).version == 6
    except ValueError:
        return False

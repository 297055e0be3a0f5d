"""The signature of every request, byte by byte (tiktok_shop.md §1, "Request signature")."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from urllib.parse import parse_qsl, urlsplit

from attrs import evolve

from daemon.domain.exchange import Request

UNSIGNED = frozenset({"sign", "access_token"})


def signature(secret: str, path: str, query: Iterable[tuple[str, str]], body: bytes) -> str:
    """Lower-case hex HMAC-SHA256 of `path`, the decoded query sorted by name, and the exact bytes of the body, with
    the secret before and after it all."""
    pairs = sorted((name.encode(), value.encode()) for name, value in query if name not in UNSIGNED)
    middle = path.encode() + b"".join(name + value for name, value in pairs) + body
    key = secret.encode()
    return hmac.new(key, key + middle + key, hashlib.sha256).hexdigest()


def signed(request: Request, now_us: int, secret: str) -> Request:
    """The request with its `timestamp` and, last of all and in no log, its `sign`.

    The stamp is good from five minutes before TikTok's clock to half a minute after it (§1)."""
    url = f"{request.url}{'&' if '?' in request.url else '?'}timestamp={now_us // 1_000_000}"
    parts = urlsplit(url)
    sign = signature(secret, parts.path, parse_qsl(parts.query, keep_blank_values=True), request.body)
    return evolve(request, url=url, secret_query={**request.secret_query, "sign": sign}, sign=None)

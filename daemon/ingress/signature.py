"""Is this delivery signed by who it says? Interprets a platform's `SignatureScheme`; nothing is stored before."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Literal

from daemon.domain.channel import Delivery, SignatureScheme
from daemon.domain.instants import SECOND_US

Finding = Literal["ok", "missing", "wrong", "stale"]

SIGNATURE_MAX = 1_024
"""A longer signature header is none."""


def check(scheme: SignatureScheme, secrets: Iterable[str], delivery: Delivery, now_us: int) -> Finding:
    """Verify the delivery against every live secret, in constant time for each.

    "stale" comes only after a correct signature: it tells a stranger nothing.
    """
    given = delivery.headers.get(scheme.header, "")
    if not given or len(given) > SIGNATURE_MAX or not given.startswith(scheme.prefix):
        return "missing" if not given else "wrong"
    claimed = _decode(given[len(scheme.prefix) :], scheme.encoding)
    stamp = delivery.headers.get(scheme.timestamp_header, "") if scheme.timestamp_header else ""
    message = b"".join(_part(part, stamp, delivery.body) for part in scheme.message)
    matched = False
    for secret in secrets:
        expected = hmac.new(scheme.secret_key(secret), message, _HASHES[scheme.algorithm]).digest()
        # No early exit: how many secrets are live, and which one fits, shows in no timing.
        matched = hmac.compare_digest(expected, claimed) or matched
    if not matched:
        return "wrong"
    if scheme.tolerance_s is not None:
        moment = _moment_us(stamp)
        if moment is None or abs(now_us - moment) > scheme.tolerance_s * SECOND_US:
            return "stale"
    return "ok"


_HASHES = {"sha1": hashlib.sha1, "sha256": hashlib.sha256, "sha512": hashlib.sha512}


def _part(part: str, stamp: str, body: bytes) -> bytes:
    match part:
        case "{body}":
            return body
        case "{timestamp}":
            return stamp.encode("latin-1", "replace")
        case _:
            return part.encode()


def _decode(text: str, encoding: Literal["base64", "hex"]) -> bytes:
    """The digest's bytes; strictly, so that one signature has one spelling. Empty where it is none."""
    try:
        raw = text.encode("ascii")
        digest = base64.b64decode(raw, validate=True) if encoding == "base64" else binascii.unhexlify(raw)
    except ValueError:
        return b""
    # The decoders let unused bits, and capitals in hex, pass.
    spelling = base64.b64encode(digest) if encoding == "base64" else binascii.hexlify(digest)
    return digest if spelling == raw else b""


def _moment_us(stamp: str) -> int | None:
    """Unix seconds (whole or decimal) or RFC 3339, as µs since 1970."""
    if stamp.isascii() and stamp.replace(".", "", 1).isdigit() and len(stamp) <= 20:
        return int(float(stamp) * SECOND_US)
    try:
        moment = datetime.fromisoformat(stamp)
    except ValueError:
        return None
    return int(moment.timestamp() * SECOND_US) if moment.tzinfo else None


def header_map(headers: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    """Headers by lower-case name; a repeated one joined, so that a doubled signature matches nothing."""
    found: dict[str, str] = {}
    for name, value in headers:
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found

"""Signatures: no altered byte verifies, and one signature has one spelling."""

from __future__ import annotations

import base64
import hmac
from typing import Final

from adapters.sandbox import SCHEME as SANDBOX
from adapters.woocommerce.inbound import SCHEME as WOOCOMMERCE
from daemon.domain.channel import Delivery
from daemon.domain.instants import SECOND_US
from daemon.domain.signatures import SignatureScheme
from daemon.ingress.signature import check, header_map
from tests.fuzz.target import Cut, Target

NOW_US: Final = 1_763_900_000 * SECOND_US
SCHEMES: Final = (
    SANDBOX,
    WOOCOMMERCE,
    SignatureScheme("x-hub", encoding="hex", prefix="sha256=", algorithm="sha256"),
    SignatureScheme("x-ts", ("v0:", "{timestamp}", ":", "{body}"), "sha512", "hex", "", "x-stamp", 300),
)
KEYS: Final = ("the newest secret", "the old one")


def _expected(scheme: SignatureScheme, secret: str, stamp: str, body: bytes) -> str:
    """Computed apart from the code under test."""
    parts = {"{body}": body, "{timestamp}": stamp.encode("latin-1")}
    message = b"".join(parts.get(part, part.encode()) for part in scheme.message)
    digest = hmac.digest(scheme.secret_key(secret), message, scheme.algorithm)
    return scheme.prefix + (digest.hex() if scheme.encoding == "hex" else base64.b64encode(digest).decode())


def signatures(data: bytes) -> None:
    """`check` says "ok" exactly where the one right signature stands, and never after anything was altered."""
    cut = Cut(data)
    scheme, secret = cut.pick(SCHEMES), cut.pick((*KEYS, "a stranger's"))
    honest, place, mask = cut.flag(), cut.number(), cut.byte() or 1
    stamp, given, body = cut.latin(), cut.latin(), cut.rest()
    right = _expected(scheme, secret, stamp, body)
    headers = [(scheme.timestamp_header or "x-none", stamp), (scheme.header, right if honest else given)]
    found = check(scheme, KEYS, Delivery(header_map(headers), body), NOW_US)
    # A line feed in a header stands for one that came twice: that is never one's own.
    twice = bool(scheme.timestamp_header) and "\n" in stamp
    allowed = set() if twice else {_expected(scheme, key, stamp, body) for key in KEYS}
    spoken = right if honest else given
    assert (found in ("ok", "stale")) == (spoken in allowed), (found, spoken)
    if found == "ok" and scheme.tolerance_s is not None:
        assert stamp.strip(), "fresh without a stamp"
    if not honest or secret not in KEYS:
        return
    # Of what was signed, alter one bit: it must not verify any more.
    altered = bytearray(body)
    if altered:
        altered[place % len(altered)] ^= mask
        assert check(scheme, KEYS, Delivery(header_map(headers), bytes(altered)), NOW_US) == "wrong"
    other = bytearray(right.encode())
    other[place % len(other)] ^= mask
    changed = header_map([headers[0], (scheme.header, other.decode("latin-1"))])
    assert check(scheme, KEYS, Delivery(changed, body), NOW_US) in ("wrong", "missing")
    doubled = header_map([*headers, headers[1]])
    assert check(scheme, KEYS, Delivery(doubled, body), NOW_US) == "wrong"
    assert check(scheme, (), Delivery(header_map(headers), body), NOW_US) == "wrong"


TARGETS: Final = (
    Target(
        "signatures",
        signatures,
        "webhook signatures: schemes, stamps, altered bits",
        512,
        (b"sha256=", b"1763900000", b"2025-11-23T12:13:20Z", b"=", b"=="),
        lambda: (
            bytes([0, 0, 1, 0, 3, 1, 10]) + b"1763900000\x00" + b'{"id":1}',
            bytes([1, 1, 1, 0, 40, 2, 0, 0]) + b'{"id":1}',
            bytes([2, 0, 1, 0, 70, 32, 0, 0]) + b"payload",
            bytes([3, 1, 1, 0, 9, 1, 20]) + b"2025-11-23T12:13:20Z\x00" + b"body",
            bytes([0, 2, 0, 0, 0, 0, 10]) + b"1763900000" + bytes([44]) + b"A" * 43 + b"=" + b"{}",
        ),
    ),
)

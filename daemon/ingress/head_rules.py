"""What a request's head must hold to be read at all: pure rules, each with the status of its refusal."""

from __future__ import annotations

import re
from typing import Final

from daemon.ingress.http_types import Limits

_AUTHORITY: Final = re.compile("[^/?#]*")

Objection = tuple[int, str]
"""Status and reason of a refusal."""


def head_objection(
    method: str,
    version: str,
    target: bytes,
    pairs: list[tuple[bytes, bytes]],
    index: dict[bytes, bytes],
    limits: Limits,
) -> Objection | None:
    """The first rule a head breaks, or None. `index` is `index_of(pairs)`; the parser has seen all of it before.

    A proxy in front may read a doubtful request otherwise than we do, so nothing doubtful is passed on.
    """
    if len(pairs) > limits.max_headers:
        return 431, "too many request headers"
    if len(target) > limits.max_target_bytes:
        return 414, "request target too long"
    if version not in ("1.0", "1.1"):
        return 505, "HTTP version not supported"
    if method == "CONNECT":
        return 501, "CONNECT is not supported"
    hosts = 1 if b"host" in index else 0
    if hosts and len(index) != len(pairs):
        hosts = sum(name == b"host" for name, _ in pairs)
    if hosts > 1 or (not hosts and version == "1.1"):
        return 400, "not exactly one Host header"
    coding = index.get(b"transfer-encoding")
    if coding is not None:
        if b"content-length" in index or version == "1.0":
            return 400, "Transfer-Encoding does not fit here"
        if coding.lower() != b"chunked":
            return 501, "unknown transfer coding"
    return None


def body_objection(version: str, length: int, allowed: int, index: dict[bytes, bytes]) -> Objection | None:
    """Why the announced body of an admitted request is not taken, or None. `length` is 0 where none is announced."""
    if index.get(b"content-encoding", b"identity").lower() != b"identity":
        return 415, "content codings are not accepted"
    if length > allowed:
        return 413, "request body too large"
    if version == "1.1" and index.get(b"expect", b"100-continue").lower() != b"100-continue":
        return 417, "unknown expectation"
    return None


def split_target(target: str) -> tuple[str, str]:
    """Path and query of a request target, still percent-encoded; an absolute form loses scheme and authority."""
    if not target.startswith("/"):
        _, scheme_end, rest = target.partition("://")
        if scheme_end:
            target = _AUTHORITY.sub("", rest, count=1)
            target = target if target.startswith("/") else "/" + target
    if "#" in target:
        target = target[: target.index("#")]
    path, _, query = target.partition("?")
    return path, query

"""What is kept of a webhook: fit to be stored, and read again by the same adapter when the headers are long gone."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from adapters.strict import UnreadableError, decode


class Kept(msgspec.Struct):
    """`kept`: what it was kept as, an adapter and the number of its form. It is always the first field, and the first
    thing that stands in what is stored."""

    kept: str


class KeptBody(Kept):
    """A body without its buyer, and what the headers said of it; `puzzle` is why it was not understood."""

    topic: str
    identity: str
    body: msgspec.Raw
    puzzle: str = ""


K = TypeVar("K", bound=Kept)


def reopened(body: bytes, shape: type[K], kept_as: str) -> K | None:
    """What was kept of an earlier delivery; None for everything else."""
    if not body.startswith(b'{"kept":'):
        return None
    try:
        kept = decode(body, shape)
    except UnreadableError:
        return None
    return kept if kept.kept == kept_as else None


def keep(kept_as: str, topic: str, identity: str, body: object, puzzle: str = "") -> bytes:
    """The stored form of a `KeptBody`; `body`: what may be kept of it."""
    try:
        raw = msgspec.json.encode(body)
    except OverflowError:
        raw = b"{}"  # an integer of more than 64 bits: refused anyway, and not worth keeping
    return msgspec.json.encode(KeptBody(kept_as, topic, identity, msgspec.Raw(raw), puzzle))

"""What a dead letter holds, as a person can read it."""

from __future__ import annotations

from typing import Final

from daemon.actors.letters import part_of
from daemon.admin.answers import Json
from daemon.admin.words import kind_of, told
from daemon.storage.codec import DamagedError, unpack
from daemon.storage.dead_letters import DeadLetter

SHOWN_MAX: Final = 16 << 10
"""Bytes of a body that are shown."""


def content_view(letter: DeadLetter) -> Json:
    """Always with `text`, or `hex` where it is none.

    A message adds `kind` and `sku`, an unlinked line `order` and `line`, anything else its size in `bytes`.
    """
    if letter.kind in ("late", "poison") and (message := _message(letter.content)):
        return message
    if letter.kind == "unlinked" and (line := _order_line(letter.content)):
        return line
    shown = letter.content[:SHOWN_MAX]
    size = len(letter.content)
    try:
        return {"text": shown.decode(), "bytes": size}
    except UnicodeDecodeError:
        return {"hex": shown.hex(), "bytes": size}


def _message(content: bytes) -> Json | None:
    """None for a letter of another make: its bytes are shown instead."""
    try:
        part = part_of(content)
        return {"kind": kind_of(part.message), "sku": part.sku or None, "text": told(part.message)}
    except (DamagedError, ValueError, OverflowError):  # also a moment that no calendar has
        return None


def _order_line(content: bytes) -> Json | None:
    try:
        order, line = unpack(content)
    except (DamagedError, TypeError, ValueError):
        return None
    if not isinstance(order, str) or not isinstance(line, str):
        return None
    return {"order": order, "line": line, "text": f"order {order} line {line}"}

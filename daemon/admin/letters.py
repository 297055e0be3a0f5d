"""What a dead letter holds, as a person can read it."""

from __future__ import annotations

from typing import Final

from daemon.actors.registry import part_of
from daemon.admin.answers import Json
from daemon.admin.words import kind_of, told
from daemon.storage.codec import DamagedError
from daemon.storage.dead_letters import DeadLetter

SHOWN_MAX: Final = 16 << 10
"""Bytes of a body that are shown."""


def content_view(letter: DeadLetter) -> Json:
    """`{"kind", "text"}` of a message, or `{"text" or "hex", "bytes"}` of a delivery's kept body."""
    if letter.kind != "puzzle" and (message := _message(letter.content)):
        return message
    shown = letter.content[:SHOWN_MAX]
    size = len(letter.content)
    try:
        return {"text": shown.decode(), "bytes": size}
    except UnicodeDecodeError:
        return {"hex": shown.hex(), "bytes": size}


def _message(content: bytes) -> Json | None:
    try:
        part = part_of(content)
    except (DamagedError, TypeError, ValueError, IndexError):
        return None  # a letter of another make: its bytes are shown instead
    return {"kind": kind_of(part.message), "sku": part.sku or None, "text": told(part.message)}

"""JSON that has one meaning: a key that is there twice means what the reader likes, so nobody may like it."""

from __future__ import annotations

import json
from typing import Any

import msgspec

TWICE = "it holds a key twice"


def objection(body: bytes | msgspec.Raw) -> str:
    """Why this is no JSON to be relied on, without quoting it; empty where it is. Never raises.

    All of it is read, also what nobody asks for. A decoder keeps the last of two equal keys, so what it kept takes
    fewer quotation marks than there were; only where a mark is written as `\\u0022`, or a number cannot be written
    again, is a closer look needed.
    """
    text = bytes(body)
    try:
        kept = msgspec.json.encode(msgspec.json.decode(text))
    except OverflowError:
        return _closer_look(text)
    except RecursionError:
        return "it is nested too deeply"
    except (msgspec.MsgspecError, ValueError):
        return "it is not JSON"
    if b"\\u0022" in text:
        return _closer_look(text)
    return "" if text.count(b'"') == kept.count(b'"') else TWICE


class _TwiceError(Exception):
    """One key is there twice."""


def _closer_look(text: bytes) -> str:
    try:
        json.loads(text, object_pairs_hook=_once)
    except _TwiceError:
        return TWICE
    except RecursionError:
        return "it is nested too deeply"
    except ValueError:
        return "it is not JSON"
    return ""


def _once(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        raise _TwiceError

"""Moments as people write them: RFC 3339, a date, a time of today, or how long ago. Without an offset it is UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from daemon.domain.instants import SECOND_US

FORMS: Final = (
    "write it like 2026-01-31T14:05:00Z, 2026-01-31 (its first moment), 14:05 (today, UTC), `2h ago` or `now`"
)
TEXT_MAX: Final = 64
"""Characters of a moment."""
LAST_US: Final = 253_402_300_799_000_000
"""The last second of the year 9999, in UTC."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNIT_S: Final = {"s": 1, "sec": 1, "second": 1, "m": 60, "min": 60, "minute": 60, "h": 3_600, "hour": 3_600,
                  "d": 86_400, "day": 86_400, "w": 604_800, "week": 604_800}  # fmt: skip
_AGO: Final = re.compile(r"(\d{1,9}) ?([a-z]+?)s? ?ago", re.ASCII)
_OF_TODAY: Final = re.compile(r"(\d\d):(\d\d)(?::(\d\d))?", re.ASCII)
_STAMP: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?) ?([Zz]|[+-]\d\d:\d\d)?)?", re.ASCII
)


class BadMomentError(ValueError):
    """A text that is no moment; the sentence says what is wrong."""


def moment_us(text: str, now_us: int) -> int:
    """The moment on our clock, µs since 1970. Raises `BadMomentError` for what is none, and for one to come."""
    us = _read(text.strip(), now_us)
    if us is None:
        raise BadMomentError(f"{text[:TEXT_MAX]!r} is no moment")
    if us > now_us:
        raise BadMomentError(f"{text[:TEXT_MAX]!r} is still to come")
    if us < 0:
        raise BadMomentError(f"{text[:TEXT_MAX]!r} is before 1970")
    return us


def _read(text: str, now_us: int) -> int | None:
    if text.lower() == "now":
        return now_us
    if len(text) > TEXT_MAX:
        return None
    if found := _AGO.fullmatch(text.lower()):
        unit_s = _UNIT_S.get(found[2]) or _UNIT_S.get(found[2] + "s")
        return None if unit_s is None else now_us - int(found[1]) * unit_s * SECOND_US
    try:
        if found := _OF_TODAY.fullmatch(text):
            today = _EPOCH + timedelta(microseconds=now_us)
            hour, minute, second = (int(each or 0) for each in found.groups())
            return _us(today.replace(hour=hour, minute=minute, second=second, microsecond=0))
        if found := _STAMP.fullmatch(text):
            return _us(_stamp(found[1], found[2] or "00:00", found[3] or "Z"))
    except (ValueError, OverflowError):  # no such day or hour
        return None
    return None


def _stamp(day: str, clock: str, offset: str) -> datetime:
    clock, _, fraction = clock.partition(".")
    at = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if offset in 'Zz' else offset}")
    return at + timedelta(microseconds=int(fraction.ljust(6, "0")[:6] or 0))


def _us(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)

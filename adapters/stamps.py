"""Stamps as channels write them, read as spans: never more exact than they were written."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from daemon.domain.instants import SECOND_US, Span

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_LAST_US: Final = (datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC) - _EPOCH) // _MICROSECOND

_RFC_3339: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_HTTP_DATE: Final = re.compile(
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), ([0-9]{2}) (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) "
    r"([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) GMT"
)
_MONTHS: Final = "JanFebMarAprMayJunJulAugSepOctNovDec"
_SECONDS: Final = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,6})?")


def rfc3339_span(text: str) -> Span | None:
    """The interval (µs since 1970) a stamp with a zone stands for: "…:30Z" is the whole second :30.

    None for anything else, also for a stamp without a zone or before 1970.
    """
    match = _RFC_3339.fullmatch(text)
    if match is None:
        return None
    day, clock, fraction, zone = match.groups()
    try:
        whole = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if zone in 'Zz' else zone}")
    except ValueError:
        return None
    digits = (fraction or "")[:6]
    start = (whole - _EPOCH) // _MICROSECOND + int(digits.ljust(6, "0"))
    return Span(start, start + 10 ** (6 - len(digits)) - 1) if start >= 0 else None


def rfc3339(us: int) -> str:
    """Microseconds since 1970 as "2026-11-23T06:00:00.000000Z"; what no calendar holds becomes its nearest end."""
    moment = _EPOCH + timedelta(microseconds=min(max(us, 0), _LAST_US))
    return moment.isoformat(timespec="microseconds")[:-6] + "Z"


def http_date_span(text: str) -> Span | None:
    """The second an HTTP date names, in µs since 1970; None where it is none (only the IMF-fixdate form is read)."""
    match = _HTTP_DATE.fullmatch(text.strip())
    if match is None:
        return None
    day, month, year, hour, minute, second = match.groups()
    number = _MONTHS.index(month) // 3 + 1
    try:
        moment = datetime(int(year), number, int(day), int(hour), int(minute), int(second), tzinfo=UTC)
    except ValueError:
        return None
    start = (moment - _EPOCH) // _MICROSECOND
    return Span(start, start + SECOND_US - 1) if start >= 0 else None


def retry_after_s(text: str, now: Span | None) -> float | None:
    """What `Retry-After` asks for, in seconds: a number, or a date seen from `now` on the channel's own clock.

    None where it says nothing that can be understood; never negative.
    """
    text = text.strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    until = http_date_span(text)
    if until is None or now is None:
        return None
    return max(0.0, (until.lo - now.lo) / SECOND_US)

"""What an answer tells of its rate limit, and the limits there are (walmart.md §6).

Limits differ by seller: the headers of each answer correct these figures, which are a third party's table (checked
against the official page in August 2026). A token bucket for each endpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from adapters.stamps import http_date_span, retry_after_s, rfc3339_span
from daemon.domain.access import Limits, Meter
from daemon.domain.exchange import Response
from daemon.domain.instants import SECOND_US, Span

ORDERS, STOCK, FEEDS, UPLOADS, HOOKS = "orders", "stock", "feeds", "uploads", "hooks"

METERS: Final[Mapping[str, Meter]] = {
    ORDERS: Meter(80.0, 100),  # 5000 a minute
    STOCK: Meter(3.0, 20),  # 200 a minute: GET /v3/inventories
    FEEDS: Meter(80.0, 100),  # 5000 a minute
    UPLOADS: Meter(10 / 3600, 10),  # 10 feeds of the type `inventory` an hour
    HOOKS: Meter(0.5, 5),  # nobody says
}
"""The usual meter, of 200 a minute, is that of PUT /v3/inventory."""

PAUSE_MAX_S = 3_600.0
"""No window is longer than an hour; what says so is a clock that is wrong."""

_COUNT = "x-current-token-count"
_AGAIN = ("x-next-replenishment-time", "x-next-replenish-time")


def limits(response: Response) -> Limits | None:
    """What is left, and when there is more if nothing is left."""
    text = response.headers.get(_COUNT, "").strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        return None
    left = int(text)
    return Limits(remaining=float(left), pause_s=_replenished_s(response) if not left else None)


def pause_s(response: Response) -> float | None:
    """How long to wait after a refusal: `Retry-After`, else until the tokens are replenished; None: not said."""
    told = retry_after_s(response.headers.get("retry-after", ""), _now(response))
    if told is None:
        told = _replenished_s(response)
    return None if told is None else min(told, PAUSE_MAX_S)


def _replenished_s(response: Response) -> float | None:
    for name in _AGAIN:
        moment_us = _moment_us(response.headers.get(name, "").strip())
        if moment_us is not None:
            return min(max(0.0, (moment_us - _now(response).lo) / SECOND_US), PAUSE_MAX_S)
    return None


def _now(response: Response) -> Span:
    """The answer's own `Date`: the stamps are on the same clock."""
    date = http_date_span(response.headers.get("date", ""))
    return date or Span(response.received_us, response.received_us)


def _moment_us(text: str) -> int | None:
    """Epoch milliseconds, epoch seconds or ISO 8601: all three have been seen."""
    if text.isascii() and text.isdigit() and len(text) <= 15:
        number = int(text)
        return number * 1_000 if len(text) >= 12 else number * SECOND_US
    span = rfc3339_span(text)
    return span.hi if span is not None else None

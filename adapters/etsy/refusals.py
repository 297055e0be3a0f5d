"""The error table: what an answer that is not the wished one means, and what it tells of the rate limits (§5, §6)."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from adapters.stamps import http_date_span, retry_after_s
from adapters.strict import UnreadableError, decode
from daemon.domain.access import Limits
from daemon.domain.exchange import Response
from daemon.domain.instants import Span
from daemon.domain.outcomes import Failure, Outcome, OutcomeKind

DAY_S = 86_400.0
SPARED = 0.1
"""This part of the day's calls is left for others who use the same key."""
SECOND_S = 1.0

_NUMBER = re.compile(r"[0-9]{1,12}")


class _Refusal(msgspec.Struct):
    error: Any = None


def _said(response: Response) -> str | None:
    """Etsy's own words; None where something else speaks (a proxy, a firewall)."""
    try:
        found = decode(response.body, _Refusal).error
    except UnreadableError:
        return None
    if not isinstance(found, str):
        return None
    return "".join(letter if letter.isprintable() else " " for letter in found)[:300]


def is_missing(response: Response) -> bool:
    """Does Etsy itself say that this does not exist?"""
    return response.status == 404 and _said(response) is not None


def refused(response: Response, *, write: bool) -> Outcome | None:
    """None for a 2xx. 409 means that somebody else wrote meanwhile: all is begun anew with a fresh read (§5)."""
    if 200 <= response.status < 300:
        return None
    said = _said(response)
    reason = f"{response.status} {said}" if said else f"{response.status} without a word of Etsy's"
    unsure: OutcomeKind = "unknown" if write else "transient"
    match response.status:
        case 429:
            return Outcome("throttled", reason, retry_after_s=wait_s(response))
        case 409:
            return Outcome("transient", reason)
        case 401:
            return Outcome("permanent", f"{reason}: check keystring, shared_secret and the seller's consent")
        case 403:
            return Outcome("permanent", f"{reason}: the seller's consent lacks a scope, or the shop is another one's")
        case status if 300 <= status < 400:
            return Outcome("permanent", f"{reason}: Etsy redirects; is base_url right?")
        case status if status in (408, 425) or status >= 500:
            return Outcome(unsure, reason, retry_after_s=wait_s(response))
        case status if status >= 400 and said is None:
            return Outcome("transient", f"{reason}: something before it refuses")
        case status if status >= 400:
            return Outcome("permanent", reason)
        case _:
            return Outcome(unsure, reason)


def failed_read(response: Response) -> Failure | None:
    """The failure that a read's answer is, None for a 2xx."""
    outcome = refused(response, write=False)
    return None if outcome is None else Failure(outcome)


def garbled(response: Response, *, write: bool = False) -> Outcome:
    """A 2xx without the JSON it should hold."""
    reason = f"{response.status}, but the body is not what Etsy answers"
    return Outcome("unknown" if write else "transient", reason)


# --- the rate limits ----------------------------------------------------------------------------------------


def limits(response: Response, most_per_s: float | None = None) -> Limits | None:
    """So many calls a second, and so many in 24 hours (§6). The day's are what is kept count of; one call at a time
    never comes near the second's, and where others used them up, that second is waited out."""
    a_day, today = _number(response, "x-limit-per-day"), _number(response, "x-remaining-today")
    left_now = _number(response, "x-remaining-this-second")
    pause_s = SECOND_S if left_now == 0 else None
    if not a_day or today is None:
        return None if pause_s is None else Limits(pause_s=pause_s)
    rate = a_day * (1 - SPARED) / DAY_S
    if most_per_s is not None:
        rate = min(rate, most_per_s)
    return Limits(remaining=max(0.0, today - a_day * SPARED), rate_per_s=rate, pause_s=pause_s)


def wait_s(response: Response) -> float | None:
    """What `Retry-After` asks for."""
    now = http_date_span(response.headers.get("date", "")) or Span(response.received_us, response.received_us)
    return retry_after_s(response.headers.get("retry-after", ""), now)


def _number(response: Response, name: str) -> int | None:
    text = response.headers.get(name, "").strip()
    return int(text) if text.isascii() and _NUMBER.fullmatch(text) else None

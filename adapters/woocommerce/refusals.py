"""The error table: what an answer that is not the wished one means (woocommerce.md §5)."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import msgspec
from attrs import evolve

from adapters.stamps import http_date_span, retry_after_s
from adapters.strict import UnreadableError, decode
from daemon.domain.exchange import Response
from daemon.domain.instants import Span
from daemon.domain.outcomes import Failure, Outcome, OutcomeKind

_BUSY = frozenset({408, 425, 500, 502, 503, 504})


class Refusal(msgspec.Struct):
    """An error object. `data` is an object with `status`, or a bare number (recording 06)."""

    code: str
    message: str = ""
    data: Any = None

    def status(self) -> int:
        """The HTTP status that the store gives the error, 0 where it gives none."""
        status = self.data.get("status") if isinstance(self.data, dict) else self.data
        return status if isinstance(status, int) and not isinstance(status, bool) else 0


def refusal_in(response: Response) -> Refusal | None:
    """The store's own error object, None where something else speaks (a firewall's page, a proxy)."""
    try:
        return decode(response.body, Refusal)
    except UnreadableError:
        return None


def is_missing(response: Response) -> bool:
    """Does the store itself say that this row does not exist? (An unknown route is something else.)"""
    refusal = refusal_in(response)
    return response.status == 404 and refusal is not None and refusal.code.endswith("invalid_id")


def refused(response: Response, *, write: bool) -> Outcome | None:
    """None for a 2xx. For a write, what may have been done is "unknown"; a read is simply repeated."""
    if 200 <= response.status < 300:
        return None
    refusal = refusal_in(response)
    unsure: OutcomeKind = "unknown" if write else "transient"
    reason = _reason(response, refusal)
    match response.status:
        case 429:
            return Outcome("throttled", reason, retry_after_s=_retry_after_s(response))
        case status if 300 <= status < 400:
            host = _host_of(response.headers.get("location", "")) or "another address"
            return Outcome("permanent", f"{reason}: the store redirects to {host}; put its own address into base_url")
        case 401:
            return Outcome("permanent", f"{reason}: check the consumer key, its secret and its user's rights")
        case status if status >= 500 and refusal is not None and refusal.code.startswith("woocommerce_rest_"):
            # The store refuses some things for good with a 500 (recording 06) or a 501 (recording 03).
            return Outcome("permanent", reason)
        case status if status in _BUSY or status >= 500:
            return Outcome(unsure, reason, retry_after_s=_retry_after_s(response))
        case 413:
            return Outcome("permanent", reason, whole_call=True)
        case 404 if refusal is None:
            return Outcome("permanent", f"{reason}: no REST API here; is base_url right, are permalinks on?")
        case status if refusal is None and status >= 400:
            return Outcome("transient", f"{reason}: not the store but something before it refuses")
        case 400:
            return Outcome("permanent", reason, whole_call=True)
        case status if status >= 400:
            return Outcome("permanent", reason)
        case _:
            return Outcome(unsure, reason)


def _host_of(location: str) -> str:
    """Without what else may stand there: a user and a password."""
    try:
        return (urlsplit(location).hostname or "")[:100]
    except ValueError:
        return ""


def garbled(response: Response, *, write: bool) -> Outcome:
    """A 2xx without the JSON it should hold: a cache, a firewall or a plugin speaks in the store's place."""
    reason = f"{response.status}, but the body is not what the store answers (a cache or firewall page?)"
    return Outcome("unknown" if write else "transient", reason)


def failed_read(response: Response) -> Failure | None:
    """The failure that a read's answer is, None for a 2xx."""
    outcome = refused(response, write=False)
    return None if outcome is None else Failure(evolve(outcome, whole_call=False))


def _retry_after_s(response: Response) -> float | None:
    # A date is on the store's clock, and so is the answer's own `Date`.
    now = http_date_span(response.headers.get("date", "")) or Span(response.received_us, response.received_us)
    return retry_after_s(response.headers.get("retry-after", ""), now)


def _reason(response: Response, refusal: Refusal | None) -> str:
    if refusal is None:
        return f"{response.status} without an answer of the store"
    return f"{response.status} {describe(refusal)}"


def describe(refusal: Refusal) -> str:
    """An error object in one line."""
    text = f"{refusal.code}: {refusal.message}" if refusal.message else refusal.code
    return "".join(letter if letter.isprintable() else " " for letter in text)[:300]

"""The error table: what an answer that is not the wished one means, and what it tells of the rate limit (§5, §6)."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from attrs import evolve

from adapters.stamps import http_date_span, retry_after_s
from adapters.strict import UnreadableError, decode
from daemon.domain.access import Limits
from daemon.domain.exchange import Response
from daemon.domain.instants import Span
from daemon.domain.outcomes import Failure, Outcome, OutcomeKind

RESERVED = 0.1
"""This part of the quota is left to the other apps of the store, which draw from the same pool (§6, rule)."""

_NUMBER = re.compile(r"[0-9]{1,12}")


class Refusal(msgspec.Struct):
    """V3: {status, title, type, errors}. V2: a list of {status, message} (§5)."""

    status: Any = None
    title: Any = None
    message: Any = None

    def text(self) -> str:
        said = self.title if isinstance(self.title, str) else self.message if isinstance(self.message, str) else ""
        return "".join(letter if letter.isprintable() else " " for letter in said)[:300]


def refusal_in(response: Response) -> Refusal | None:
    """The store's own error, None where something else speaks (a proxy, a firewall)."""
    try:
        if response.body.lstrip().startswith(b"["):
            rows = decode(response.body, list[Refusal])
            return rows[0] if rows else None
        found = decode(response.body, Refusal)
    except UnreadableError:
        return None
    return found if found.status is not None or found.title is not None else None


def is_missing(response: Response) -> bool:
    """Does the store itself say that this row does not exist?"""
    return response.status == 404 and refusal_in(response) is not None


def refused(response: Response, *, write: bool) -> Outcome | None:
    """None for a 2xx. For a write, what may have been done is "unknown"; a read is simply repeated.

    The classes are §5's: 429 throttled · 500, 502, 503, 504 and network again, an absolute write being safe to
    repeat · 423 again (locked: not done) · 400, 404, 409, 413, 422 for good, and of a whole call one row may be the
    cause · 401, 403 for a person.
    """
    if 200 <= response.status < 300:
        return None
    refusal = refusal_in(response)
    said = refusal.text() if refusal is not None else ""
    reason = f"{response.status} {said}" if said else f"{response.status} without a word of the store's"
    unsure: OutcomeKind = "unknown" if write else "transient"
    match response.status:
        case 429:
            return Outcome("throttled", reason, retry_after_s=_wait_s(response))
        case 401:
            return Outcome(
                "permanent", f"{reason}: the access token is not good (any more); make a new one in the control panel"
            )
        case 403:
            return Outcome("permanent", f"{reason}: give the API account the scopes that onhand needs")
        case 423:
            return Outcome("transient", reason)
        case status if 300 <= status < 400:
            return Outcome("permanent", f"{reason}: the store redirects; is base_url right?")
        case 404 if refusal is None:
            return Outcome("permanent", f"{reason}: no such store; is store_hash right?")
        case status if status in (408, 425) or status >= 500:
            return Outcome(unsure, reason, retry_after_s=_wait_s(response))
        case status if status in (400, 404, 409, 413, 422):
            return Outcome("permanent", reason, whole_call=True)
        case status if status >= 400:
            return Outcome("permanent", reason)
        case _:
            return Outcome(unsure, reason)


def failed_read(response: Response) -> Failure | None:
    """The failure that a read's answer is, None for a 2xx."""
    outcome = refused(response, write=False)
    return None if outcome is None else Failure(evolve(outcome, whole_call=False))


def garbled(response: Response, *, write: bool = False) -> Outcome:
    """A 2xx without the JSON it should hold."""
    return Outcome(
        "unknown" if write else "transient", f"{response.status}, but the body is not what the store answers"
    )


# --- the rate limit -----------------------------------------------------------------------------------------


def limits(response: Response, most_per_s: float | None = None) -> Limits | None:
    """The window's figures, on every answer (§6). None where they are missing or make no sense.

    The quota of a window (30 s) is shared by all apps of the store: at a tenth of it left we stop until it resets,
    and ask at nine tenths of its pace. `most_per_s`: what the configuration allows at most.
    """
    quota, left = _number(response, "x-rate-limit-requests-quota"), _number(response, "x-rate-limit-requests-left")
    window_ms, reset_ms = _number(response, "x-rate-limit-time-window-ms"), _reset_ms(response)
    if not quota or left is None or not window_ms:
        return None
    rate = quota * (1 - RESERVED) / (window_ms / 1_000)
    if most_per_s is not None:
        rate = min(rate, most_per_s)
    spare = left - quota * RESERVED
    pause_s = reset_ms / 1_000 if spare <= 0 and reset_ms is not None else None
    return Limits(remaining=max(0.0, spare), rate_per_s=rate, pause_s=pause_s)


def _reset_ms(response: Response) -> int | None:
    return _number(response, "x-rate-limit-time-reset-ms")


def _wait_s(response: Response) -> float | None:
    """How long to wait: until the window resets, or as long as is asked; None: 429 without both is a platform under
    load, which exponential waits spare (§6)."""
    reset_ms = _reset_ms(response)
    if reset_ms is not None:
        return reset_ms / 1_000
    now = http_date_span(response.headers.get("date", "")) or Span(response.received_us, response.received_us)
    for name in ("x-retry-after", "retry-after"):
        if (wait_s := retry_after_s(response.headers.get(name, ""), now)) is not None:
            return wait_s
    return None


def _number(response: Response, name: str) -> int | None:
    text = response.headers.get(name, "").strip()
    return int(text) if text.isascii() and _NUMBER.fullmatch(text) else None

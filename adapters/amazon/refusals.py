"""The error table: what an answer that is not the wished one means, and the rate it tells (amazon.md §5.1, §6)."""

from __future__ import annotations

import re

import msgspec

from adapters.amazon.account import METERS
from adapters.strict import UnreadableError, decode
from daemon.domain.access import Limits
from daemon.domain.exchange import Response
from daemon.domain.outcomes import Failure, Outcome, OutcomeKind

_RATE = re.compile(r"[0-9]{1,6}(\.[0-9]{1,9})?")
PATCH_RATE = 5.0


class _Error(msgspec.Struct):
    code: str = ""
    message: str = ""
    details: str | None = None


class _Errors(msgspec.Struct):
    errors: list[_Error]


def limits(response: Response) -> Limits | None:
    """`x-amzn-RateLimit-Limit` is the rate alone, and may be missing on errors (§6)."""
    text = response.headers.get("x-amzn-ratelimit-limit", "").partition(",")[0].strip()
    rate = float(text) if _RATE.fullmatch(text) else 0.0
    return Limits(rate_per_s=rate) if rate > 0 else None


def said(response: Response) -> str:
    """What Amazon's own error object says, in one line; empty where something else speaks."""
    try:
        errors = decode(response.body, _Errors).errors
    except UnreadableError:
        return ""
    text = "; ".join(f"{each.code}: {each.message}" if each.message else each.code for each in errors[:3])
    return "".join(letter if letter.isprintable() else " " for letter in text)[:300]


def is_missing(response: Response) -> bool:
    """Does Amazon itself say that there is no such thing?"""
    return response.status == 404 and bool(said(response))


def refused(response: Response, *, write: bool, meter: str = "") -> Outcome | None:
    """None for a 2xx. For a write, what may have been done is "unknown"; a read is simply repeated.

    429: again when the bucket has a call, which no header says (§6) · 500, 503: again · 400, 403, 404, 413, 415: for
    good; the token was renewed once before this is read (§5.1) · another page than Amazon's: something in between.
    """
    if 200 <= response.status < 300:
        return None
    words = said(response)
    reason = f"{response.status} {words}" if words else f"{response.status} without a word of Amazon's"
    unsure: OutcomeKind = "unknown" if write else "transient"
    match response.status:
        case 429:
            found = limits(response)
            usual = METERS[meter].rate_per_s if meter in METERS else PATCH_RATE
            return Outcome("throttled", reason, retry_after_s=1.0 / (found.rate_per_s or usual if found else usual))
        case 401 | 403 if words:
            return Outcome(
                "permanent", f"{reason}: does the application have the roles that onhand needs, is it authorised?"
            )
        case status if 300 <= status < 400:
            return Outcome("permanent", f"{reason}: Amazon redirects; is the region right?")
        case status if status in (408, 425) or status >= 500:
            return Outcome(unsure, reason)
        case status if status >= 400 and not words:
            return Outcome("transient", reason)
        case status if status >= 400:
            return Outcome("permanent", reason)
        case _:
            return Outcome(unsure, reason)


def failed_read(response: Response, meter: str) -> Failure | None:
    """The failure that a read's answer is, None for a 2xx."""
    outcome = refused(response, write=False, meter=meter)
    return None if outcome is None else Failure(outcome)


def garbled(response: Response, *, write: bool = False) -> Outcome:
    """A 2xx without the JSON it should hold."""
    return Outcome("unknown" if write else "transient", f"{response.status}, but the body is not what Amazon answers")

"""The error table: what an answer that is not the wished one means, and when a spent limit comes back (ebay.md §5.4,
§6)."""

from __future__ import annotations

import msgspec
from attrs import evolve

from adapters.ebay.api import ANALYTICS, Api
from adapters.stamps import http_date_span, retry_after_s, rfc3339_span
from daemon.domain.exchange import Exchange, Response
from daemon.domain.instants import SECOND_US, Span
from daemon.domain.outcomes import Failure, Outcome, OutcomeKind

WAIT_MAX_S = 86_400.0
"""Limits are by the day (§6): no wait is longer."""

WAIT_S = 60.0
"""Throttled, and neither the answer nor the limits say until when: a short quota's usual length."""

FUTURE = 30850
"""An order search for a time that has not come yet (§4)."""


class Error(msgspec.Struct, rename="camel"):
    """One error of an answer; `category` is REQUEST, BUSINESS or APPLICATION (§6)."""

    error_id: int = 0
    domain: str = ""
    category: str = ""
    message: str = ""
    long_message: str | None = None

    def said(self) -> str:
        """In one line."""
        text = f"{self.error_id} {self.long_message or self.message}".strip()
        return "".join(letter if letter.isprintable() else " " for letter in text)[:300]


class _Errors(msgspec.Struct):
    errors: list[Error] = []


def errors_in(response: Response) -> list[Error]:
    """eBay's own error objects; none where something else speaks (a proxy, a maintenance page)."""
    try:
        return msgspec.json.decode(response.body, type=_Errors).errors
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return []


def refused(response: Response, *, write: bool) -> Outcome | None:
    """None for a 2xx. A write that may have been done is "unknown"; a read is simply repeated."""
    if 200 <= response.status < 300:
        return None
    errors = errors_in(response)
    reason = f"{response.status} {errors[0].said()}" if errors else f"{response.status} without an answer of eBay's"
    unsure: OutcomeKind = "unknown" if write else "transient"
    match response.status:
        case 429:
            return Outcome("throttled", reason, retry_after_s=_retry_after_s(response))
        case 401 | 408 | 409 | 425:
            # 401: the token was renewed already, once; the next call asks for another.
            return Outcome("transient", reason, retry_after_s=_retry_after_s(response))
        case 403:
            return Outcome(
                "permanent", f"{reason}: the seller must consent to this scope; then configure the new token"
            )
        case status if 400 <= status < 500 and not errors:
            return Outcome("transient", f"{reason}: something before eBay refuses")
        case status if 400 <= status < 500 and any(error.category == "APPLICATION" for error in errors):
            return Outcome("transient", reason)
        case status if 400 <= status < 500:
            return Outcome("permanent", reason, whole_call=status in (400, 413))
        case status if 300 <= status < 400:
            return Outcome("permanent", f"{reason}: eBay redirects; is base_url right?")
        case _:
            return Outcome(unsure, reason, retry_after_s=_retry_after_s(response))


def judged(api: Api, response: Response, what: str, *, write: bool = False) -> Exchange[Outcome | None]:
    """As `refused`; for a throttled call eBay is asked when its limit comes back: no header says so (§6).

    `what` is the API as the limits name it: "inventory", "fulfillment".
    """
    outcome = refused(response, write=write)
    if outcome is None or outcome.kind != "throttled" or outcome.retry_after_s is not None:
        return outcome
    return evolve(outcome, retry_after_s=(yield from wait_for(api, what)))


def failed_read(api: Api, response: Response, what: str) -> Exchange[Failure | None]:
    """The failure that a read's answer is, None for a 2xx."""
    outcome = yield from judged(api, response, what)
    return None if outcome is None else Failure(evolve(outcome, whole_call=False))


def garbled(response: Response, *, write: bool = False) -> Outcome:
    """A 2xx without the content that it should hold."""
    reason = f"{response.status}, but the body is not what eBay answers"
    return Outcome("unknown" if write else "transient", reason)


def _retry_after_s(response: Response) -> float | None:
    now = http_date_span(response.headers.get("date", "")) or Span(response.received_us, response.received_us)
    wait_s = retry_after_s(response.headers.get("retry-after", ""), now)
    return None if wait_s is None else min(wait_s, WAIT_MAX_S)


# --- call limits --------------------------------------------------------------------------------------------


class _Rate(msgspec.Struct):
    remaining: int | None = None
    reset: str = ""


class _Resource(msgspec.Struct):
    rates: list[_Rate] = []


class _RateLimit(msgspec.Struct, rename="camel"):
    api_name: str = ""
    resources: list[_Resource] = []


class _RateLimits(msgspec.Struct, rename="camel"):
    rate_limits: list[_RateLimit] = []


def wait_for(api: Api, what: str) -> Exchange[float]:
    """Seconds until the last of the spent limits of this API comes back; `WAIT_S` where none is said to be spent."""
    query = [("api_name", what)]
    response = yield api.get(f"{ANALYTICS}/rate_limit/", query, who="app", cost=0.0)
    if not 200 <= response.status < 300:
        return WAIT_S
    try:
        limits = msgspec.json.decode(response.body or b"{}", type=_RateLimits).rate_limits
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return WAIT_S
    now = http_date_span(response.headers.get("date", "")) or Span(response.received_us, response.received_us)
    spent = [
        reset.lo - now.lo
        for limit in limits if limit.api_name.lower() == what.lower()
        for resource in limit.resources
        for rate in resource.rates
        if rate.remaining is not None and rate.remaining <= 0 and (reset := rfc3339_span(rate.reset)) is not None
    ]  # fmt: skip
    return min(max(max(spent) / SECOND_US, 1.0), WAIT_MAX_S) if spent else WAIT_S

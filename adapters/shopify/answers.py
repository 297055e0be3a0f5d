"""The error table: what an answer that is not the wished one means (shopify.md §5, §6), and what it says of the rate.

| what comes                                                        | a write           | a read           |
| ----------------------------------------------------------------- | ----------------- | ---------------- |
| 429; `errors[].extensions.code` THROTTLED (in a 200)               | throttled         | throttled        |
| 5xx, 408; INTERNAL_SERVER_ERROR, SERVICE_UNAVAILABLE, TIMEOUT      | unknown           | transient        |
| errors without a code that we know, a body that is no answer       | unknown           | transient        |
| ACCESS_DENIED, 401, 402, 403, 404, 423, a redirect                 | permanent         | permanent        |
| any other code (BAD_REQUEST, INVALID_VARIABLE, …), 400, 413, 422   | permanent, halved | permanent        |

The user errors of single rows are in `push`.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import msgspec
from attrs import evolve

from adapters.stamps import http_date_span, retry_after_s
from adapters.strict import UnreadableError, decode
from daemon.domain.access import Limits
from daemon.domain.exchange import Response
from daemon.domain.instants import Span
from daemon.domain.outcomes import Failure, Outcome, OutcomeKind

__all__ = ["decode", "failed_read", "limits_of", "reading", "refused", "retry_after", "said"]

UNSURE: Final = frozenset({"INTERNAL_SERVER_ERROR", "SERVICE_UNAVAILABLE", "TIMEOUT", ""})
WAIT_MAX_S: Final = 60.0

T = TypeVar("T")


class _Extensions(msgspec.Struct):
    code: str = ""


class _Error(msgspec.Struct):
    message: str = ""
    extensions: _Extensions | None = None

    @property
    def code(self) -> str:
        return self.extensions.code if self.extensions else ""


class _Throttle(msgspec.Struct):
    maximumAvailable: float | None = None  # noqa: N815  # Shopify's name
    currentlyAvailable: float | None = None  # noqa: N815
    restoreRate: float | None = None  # noqa: N815


class _Cost(msgspec.Struct):
    requestedQueryCost: float | None = None  # noqa: N815
    throttleStatus: _Throttle | None = None  # noqa: N815


class _Costs(msgspec.Struct):
    cost: _Cost | None = None


class _Envelope(msgspec.Struct):
    data: msgspec.Raw = msgspec.Raw(b"null")
    errors: Any = None
    extensions: Any = None


def limits_of(response: Response) -> Limits | None:
    """What the answer says of the bucket: `extensions.cost.throttleStatus`, in points (§6). Never raises."""
    try:
        cost = _cost(decode(response.body, _Envelope))
    except UnreadableError:
        return None
    status = cost.throttleStatus if cost else None
    if status is None:
        return None
    return Limits(status.currentlyAvailable, status.restoreRate, status.maximumAvailable)


def reading(response: Response, shape: type[T]) -> T | Failure:
    """The data of a read, or why there is none."""
    found = said(response, shape, write=False)
    return Failure(evolve(found, whole_call=False)) if isinstance(found, Outcome) else found


def failed_read(why: str, kind: OutcomeKind = "transient") -> Failure:
    """A read whose data makes no sense."""
    return Failure(Outcome(kind, why))


def said(response: Response, shape: type[T], *, write: bool) -> T | Outcome:
    """The data of an answer; else its meaning for all the rows of a call."""
    outcome = refused(response, write=write)
    if outcome is not None:
        return outcome
    unsure: OutcomeKind = "unknown" if write else "transient"
    try:
        envelope = decode(response.body, _Envelope)
        if envelope.errors:
            return _complaint(envelope, unsure)
        if bytes(envelope.data) == b"null":
            return Outcome(unsure, "the shop answered without any data")
        return decode(envelope.data, shape)
    except UnreadableError as exc:
        return Outcome(unsure, f"the shop's answer could not be read: {exc}")


def refused(response: Response, *, write: bool) -> Outcome | None:
    """What a status other than 200 means; None for 200."""
    status, wait_s = response.status, retry_after(response)
    unsure: OutcomeKind = "unknown" if write else "transient"
    reason = f"{status} from Shopify"
    match status:
        case 200:
            return None
        case 429:
            return Outcome("throttled", reason, retry_after_s=1.0 if wait_s is None else wait_s)
        case 401:
            return Outcome(
                "permanent", f"{reason}: the access token is not good (any more); check token, or client_id"
            )
        case 402 | 423:
            return Outcome("permanent", f"{reason}: the shop is frozen or locked")
        case 403:
            return Outcome("permanent", f"{reason}: the app may not do this; grant it the scopes")
        case 404:
            return Outcome("permanent", f"{reason}: there is no such shop; check shop")
        case _ if 300 <= status < 400:
            return Outcome("permanent", f"{reason}: it redirects to {_host_of(response)}; check shop")
        case 408:
            return Outcome(unsure, reason, retry_after_s=wait_s)
        case _ if 400 <= status < 500:
            return Outcome("permanent", reason, whole_call=write)
        case _:
            return Outcome(unsure, reason, retry_after_s=wait_s)


def retry_after(response: Response) -> float | None:
    """`Retry-After`, in seconds: a date is on the shop's clock, and so is the answer's own `Date`."""
    now = http_date_span(response.headers.get("date", "")) or Span(response.received_us, response.received_us)
    return retry_after_s(response.headers.get("retry-after", ""), now)


def plain(text: str) -> str:
    """Shopify's own words in one line."""
    return "".join(letter if letter.isprintable() else " " for letter in text)[:200]


def _complaint(envelope: _Envelope, unsure: OutcomeKind) -> Outcome:
    """Top-level errors of a 200. Whatever `data` stands beside them is not used."""
    try:
        errors = msgspec.convert(envelope.errors, list[_Error])
    except msgspec.ValidationError:
        errors = [_Error(envelope.errors if isinstance(envelope.errors, str) else "")]
    codes = [error.code for error in errors]
    worst = next((error for error in errors if error.code == "THROTTLED"), errors[0])
    reason = plain(f"{worst.code}: {worst.message}" if worst.code else worst.message or "an error without a word")
    if "THROTTLED" in codes:
        return Outcome("throttled", reason, retry_after_s=_wait_s(_cost(envelope)))
    if any(code in UNSURE for code in codes):
        return Outcome(unsure, reason)
    if "ACCESS_DENIED" in codes:
        return Outcome("permanent", f"{reason} (grant the app its scopes)")
    return Outcome("permanent", reason, whole_call=unsure == "unknown")


def _cost(envelope: _Envelope) -> _Cost | None:
    try:
        return msgspec.convert(envelope.extensions, _Costs).cost
    except msgspec.ValidationError:
        return None


def _wait_s(cost: _Cost | None) -> float:
    """max(0, requested - available) / rate, and a second where that is not said (§6)."""
    if cost is None or cost.throttleStatus is None:
        return 1.0
    status, wanted = cost.throttleStatus, cost.requestedQueryCost
    if wanted is None or status.currentlyAvailable is None or not status.restoreRate or status.restoreRate < 0:
        return 1.0
    return min(WAIT_MAX_S, max(0.05, (wanted - status.currentlyAvailable) / status.restoreRate))


def _host_of(response: Response) -> str:
    try:
        return (urlsplit(response.headers.get("location", "")).hostname or "another address")[:100]
    except ValueError:
        return "another address"

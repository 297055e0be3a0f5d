"""The error table: what an answer that is not the wished one means (read in the server's sources, and measured).

Vendure answers most refusals with 200 and `errors[].extensions.code`; a mutation that throws is rolled back whole.

| what comes                                                         | a write           | a read    |
| ------------------------------------------------------------------ | ----------------- | --------- |
| 429 (a proxy's: Vendure has no limit of its own)                    | throttled         | throttled |
| FORBIDDEN, UNAUTHORIZED, 401, 403; CHANNEL_NOT_FOUND; a redirect,   | permanent         | permanent |
| 404                                                                |                   |           |
| ENTITY_NOT_FOUND, USER_INPUT_ERROR, ILLEGAL_OPERATION, and what     | permanent, halved | permanent |
| GraphQL itself refuses; any other 4xx                              |                   |           |
| INTERNAL_SERVER_ERROR, an error without a code that we know, 5xx,   | unknown           | transient |
| 408, a body that is no answer                                      |                   |           |

Error results (`__typename` of a union) come with logging in alone, and are in `shop`.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec
from attrs import evolve

from adapters.stamps import http_date_span, retry_after_s
from adapters.strict import UnreadableError, decode
from daemon.domain.exchange import Response
from daemon.domain.instants import Span
from daemon.domain.outcomes import Failure, Outcome, OutcomeKind

DENIED: Final = frozenset({"FORBIDDEN", "UNAUTHORIZED"})
HALVED: Final = frozenset(
    {
        "ENTITY_NOT_FOUND", "USER_INPUT_ERROR", "ILLEGAL_OPERATION", "BAD_USER_INPUT", "BAD_REQUEST",
        "GRAPHQL_VALIDATION_FAILED", "GRAPHQL_PARSE_FAILED",
    }
)  # fmt: skip
ACCESS: Final = (
    "give the administrator's role the permissions ReadOrder, ReadCatalog, ReadStockLocation and UpdateCatalog, "
    "and check api_key, or username and password"
)

T = TypeVar("T")


class _Extensions(msgspec.Struct):
    code: str = ""


class _Error(msgspec.Struct):
    message: str = ""
    extensions: _Extensions | None = None

    @property
    def code(self) -> str:
        return self.extensions.code if self.extensions else ""


class _Envelope(msgspec.Struct):
    data: msgspec.Raw = msgspec.Raw(b"null")
    errors: Any = None


def reading(response: Response, shape: type[T]) -> T | Failure:
    """The data of a read, or why there is none."""
    found = said(response, shape, write=False)
    return Failure(evolve(found, whole_call=False)) if isinstance(found, Outcome) else found


def failed_read(why: str, kind: OutcomeKind = "transient") -> Failure:
    """A read whose data makes no sense."""
    return Failure(Outcome(kind, why))


def said(response: Response, shape: type[T], *, write: bool) -> T | Outcome:
    """The data of an answer; else its meaning for everything that the call asked for."""
    unsure: OutcomeKind = "unknown" if write else "transient"
    errors = _errors(response)
    if errors:
        return _complaint(errors, response, unsure)
    if response.status != 200:
        return _speechless(response, unsure)
    try:
        envelope = decode(response.body, _Envelope)
        if bytes(envelope.data) == b"null":
            return Outcome(unsure, "the shop answered without any data")
        return decode(envelope.data, shape)
    except UnreadableError as exc:
        return Outcome(unsure, f"the shop's answer could not be read: {exc}")


def denied(response: Response) -> bool:
    """Is this session not good (any more), or may it not do that? A 200 says so, too."""
    if response.status == 401:
        return True
    return b"FORBIDDEN" in response.body and any(error.code in DENIED for error in _errors(response))


def plain(text: str, most: int = 200) -> str:
    """The shop's own words in one line."""
    return "".join(letter if letter.isprintable() else " " for letter in text)[:most]


def _errors(response: Response) -> list[_Error]:
    """The top-level errors; none where there are none, or where something else than GraphQL speaks."""
    try:
        found = decode(response.body, _Envelope).errors
        return msgspec.convert(found, list[_Error]) if found else []
    except UnreadableError:
        return []
    except msgspec.ValidationError:
        return [_Error("errors of a form that we do not know")]


def _complaint(errors: list[_Error], response: Response, unsure: OutcomeKind) -> Outcome:
    """Whatever `data` stands beside errors is not used."""
    worst = next((error for error in errors if error.code in DENIED), errors[0])
    code = worst.code
    reason = plain(f"{code}: {worst.message}" if code else worst.message or "an error without a word")
    if code in DENIED:
        return Outcome("permanent", f"{reason}: {ACCESS}")
    if code == "CHANNEL_NOT_FOUND":
        return Outcome("permanent", f"{reason}: check channel_token")
    if response.status == 429:
        return Outcome("throttled", reason, retry_after_s=_retry_after_s(response))
    if all(error.code in HALVED for error in errors):
        return Outcome("permanent", reason, whole_call=unsure == "unknown")
    return Outcome(unsure, reason)


def _speechless(response: Response, unsure: OutcomeKind) -> Outcome:
    """An answer without GraphQL: a proxy's, or the server's before it looked."""
    status = response.status
    reason = f"{status} without an answer of the admin API"
    match status:
        case 429:
            return Outcome("throttled", reason, retry_after_s=_retry_after_s(response))
        case 401 | 403:
            return Outcome("permanent", f"{reason}: {ACCESS}")
        case 404:
            return Outcome("permanent", f"{reason}: there is none; check base_url and admin_api")
        case _ if 300 <= status < 400:
            return Outcome("permanent", f"{reason}: it redirects; check base_url")
        case _ if 400 <= status < 500 and status not in (408, 425):
            return Outcome("permanent", reason, whole_call=unsure == "unknown")
        case _:
            return Outcome(unsure, reason, retry_after_s=_retry_after_s(response))


def now_us(response: Response) -> int:
    """When it was answered, on the shop's clock where it says so."""
    return (_date(response) or Span(response.received_us, response.received_us)).lo


def _date(response: Response) -> Span | None:
    return http_date_span(response.headers.get("date", ""))


def _retry_after_s(response: Response) -> float | None:
    """A date is on the shop's clock, and so is the answer's own `Date`."""
    now = _date(response) or Span(response.received_us, response.received_us)
    return retry_after_s(response.headers.get("retry-after", ""), now)

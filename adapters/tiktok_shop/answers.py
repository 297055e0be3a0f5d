"""The error table: what an answer means that is not the wished one (tiktok_shop.md §1, §5, §6).

An HTTP status of 200 says nothing: `code` 0 in the body is success, and below it `data.errors` may hold failures of
single SKUs (these are in `push`).

| what comes                                                          | a write           | a read    |
| ------------------------------------------------------------------- | ----------------- | --------- |
| 429; code 36009002 (too many requests)                              | throttled         | throttled |
| code 105002 (expired credentials, although just renewed)            | transient         | transient |
| codes 36009003, 36009007 (internal error, time-out); 5xx, 408       | unknown           | transient |
| a body that is no answer of the API                                 | unknown           | transient |
| 105005, 106001, 106013, 101000, 36009004, 36009033, 36009014, 401,  | permanent         | permanent |
| 403, a redirect                                                     |                   |           |
| any other code, any other 4xx                                       | permanent, halved | permanent |
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec
from attrs import evolve

from adapters.stamps import http_date_span, retry_after_s
from adapters.strict import UnreadableError, decode
from daemon.domain.exchange import Response
from daemon.domain.instants import Span
from daemon.domain.outcomes import Failure, Outcome, OutcomeKind

THROTTLED: Final = frozenset({36009002})
UNSURE: Final = frozenset({36009003, 36009007})
EXPIRED: Final = 105002
STOP: Final = {
    105005: "the seller must grant the app this scope",
    36009033: "the seller must grant the app this scope",
    106001: "consent again, and configure the new refresh_token",
    106013: "set shop_cipher",
    101000: "check app_key and shop_cipher",
    36009004: "check app_key, app_secret, shop_cipher, and this machine's clock",
    36009009: "this version of the endpoint is gone",
    36009010: "this version of the endpoint is gone",
    36009014: "this version of the endpoint is gone",
}
"""What only a person can help with, and how (§5; 36009014: §1)."""

T = TypeVar("T")


class Envelope(msgspec.Struct):
    """What every answer is wrapped in."""

    code: int
    message: str | None = ""
    data: msgspec.Raw = msgspec.Raw(b"null")
    request_id: str | None = ""

    def words(self) -> str:
        """The code and TikTok's own words, in one line."""
        request = f" (request {plain(self.request_id, 60)})" if self.request_id else ""
        return f"{self.code} {plain(self.message or '', 200)}{request}".strip()


def reading(response: Response, shape: type[T]) -> T | Failure:
    """The data of a read, or why there is none."""
    found = said(response, shape, write=False)
    return Failure(evolve(found, whole_call=False)) if isinstance(found, Outcome) else found


def said(response: Response, shape: type[T], *, write: bool) -> T | Outcome:
    """The data of an answer; else its meaning for everything that the call asked for."""
    unsure: OutcomeKind = "unknown" if write else "transient"
    try:
        envelope = decode(response.body, Envelope)
    except UnreadableError:
        return _speechless(response, unsure)
    if envelope.code:
        return meaning(envelope.code, envelope.words(), response, unsure)
    if response.status != 200:
        return _speechless(response, unsure)
    try:
        return decode(b"{}" if bytes(envelope.data) == b"null" else envelope.data, shape)
    except UnreadableError as exc:
        return Outcome(unsure, f"TikTok Shop's answer could not be read: {exc}")


def meaning(code: int, words: str, response: Response, unsure: OutcomeKind) -> Outcome:
    """What an error code means, for whatever it is said of."""
    if code in THROTTLED or response.status == 429:
        return Outcome("throttled", words, retry_after_s=_retry_after_s(response))
    if code == EXPIRED:
        return Outcome("transient", words)
    if code in STOP:
        return Outcome("permanent", f"{words}: {STOP[code]}")
    if code in UNSURE or response.status >= 500:
        return Outcome(unsure, words, retry_after_s=_retry_after_s(response))
    return Outcome("permanent", words, whole_call=unsure == "unknown")


def code_of(response: Response) -> int:
    """The code that an answer bears; 0 where it is none of the API's."""
    try:
        return decode(response.body, Envelope).code
    except UnreadableError:
        return 0


def expired(response: Response) -> bool:
    """Is the access token not good any more: code 105002, whatever the status (§5)? A bare 401 is taken for it."""
    return response.status == 401 or (b"105002" in response.body and code_of(response) == EXPIRED)


def plain(text: str, most: int = 200) -> str:
    """TikTok's own words in one line."""
    return "".join(letter if letter.isprintable() else " " for letter in text)[:most]


def _speechless(response: Response, unsure: OutcomeKind) -> Outcome:
    """An answer without an error code: something before the API speaks."""
    status = response.status
    reason = f"{status} without an answer of the API"
    match status:
        case 429:
            return Outcome("throttled", reason, retry_after_s=_retry_after_s(response))
        case 401 | 403:
            return Outcome("permanent", f"{reason}: access is denied")
        case _ if 300 <= status < 400:
            return Outcome("permanent", f"{reason}: it redirects; check base_url")
        case _ if 400 <= status < 500 and status not in (408, 425):
            return Outcome("permanent", reason, whole_call=unsure == "unknown")
        case _:
            return Outcome(unsure, reason, retry_after_s=_retry_after_s(response))


def _retry_after_s(response: Response) -> float | None:
    """None is documented (§6); should there be a `Retry-After`, it is obeyed."""
    now = http_date_span(response.headers.get("date", "")) or Span(response.received_us, response.received_us)
    return retry_after_s(response.headers.get("retry-after", ""), now)

"""The error table: what an answer that is not the wished one means (walmart.md §5.4, §6)."""

from __future__ import annotations

from typing import Any

import msgspec
from attrs import evolve

from adapters.strict import UnreadableError, decode
from adapters.walmart.limits import pause_s
from daemon.domain.exchange import Response
from daemon.domain.outcomes import Failure, Outcome, OutcomeKind

NOTHING_FOUND = "CONTENT_NOT_FOUND"
"""The code of a 404 that stands for an empty list (walmart.md §4)."""

_LASTING = frozenset({"DATA", "REQUEST"})
_PASSING = frozenset({"SYSTEM", "APPLICATION"})
_SHOWN_MAX = 300


class Fault(msgspec.Struct):
    """One entry of `errors`."""

    code: str = ""
    description: str | None = None
    info: str | None = None
    message: str | None = None
    category: str | None = None
    severity: str | None = None

    def text(self) -> str:
        """In one line."""
        said = self.description or self.info or self.message or ""
        text = f"{self.code}: {said}" if said else self.code
        return "".join(letter if letter.isprintable() else " " for letter in text)[:_SHOWN_MAX]


class _Hull(msgspec.Struct):
    """Some endpoints spell it `error` (walmart.md §5.4)."""

    errors: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


def faults_of(value: Any) -> list[Fault]:
    """The errors of a list that may be one object, or no list at all."""
    if not isinstance(value, msgspec.Raw):
        return []
    try:
        return decode(value, list[Fault])
    except UnreadableError:
        pass
    try:
        return [decode(value, Fault)]
    except UnreadableError:
        return []


def faults_in(response: Response) -> list[Fault]:
    """Walmart's own errors; none where something else speaks (a gateway's page)."""
    try:
        hull = decode(response.body, _Hull)
    except UnreadableError:
        return []
    return faults_of(hull.errors) or faults_of(hull.error)


def nothing_found(response: Response) -> bool:
    """Is this 404 an empty list?"""
    return response.status == 404 and any(NOTHING_FOUND in fault.code for fault in faults_in(response))


def is_missing(response: Response) -> bool:
    """Does Walmart itself say that this thing does not exist? (A gateway's 404 holds no errors of its own.)"""
    return response.status == 404 and bool(faults_in(response))


def refused(response: Response, *, write: bool) -> Outcome | None:
    """None for a 2xx. For a write, what may have been done is "unknown"; a read is simply repeated."""
    if 200 <= response.status < 300:
        return None
    faults = faults_in(response)
    reason = f"{response.status} " + (faults[0].text() if faults else "without an answer of Walmart's own")
    unsure: OutcomeKind = "unknown" if write else "transient"
    match response.status:
        case 429:
            return Outcome("throttled", reason, retry_after_s=pause_s(response))
        case 423:
            return Outcome("transient", reason, retry_after_s=pause_s(response))
        case 401:
            return Outcome("permanent", f"{reason}: check client_id and client_secret")
        case 403:
            return Outcome("permanent", f"{reason}: give the API key access to orders, inventory, feeds and webhooks")
        case 413:
            return Outcome("permanent", reason, whole_call=True)
        case 404 if not faults:
            return Outcome("permanent", f"{reason}: no Walmart API here; is base_url right?")
        case status if 400 <= status < 500:
            # 408 is a time-out before the service: like 5xx it may have gone through.
            if status == 408:
                return Outcome(unsure, reason)
            passing = faults and all(fault.category in _PASSING for fault in faults)
            return Outcome("transient" if passing else "permanent", reason, whole_call=status == 400)
        case status if status >= 500:
            return Outcome(unsure, reason, retry_after_s=pause_s(response))
        case _:
            return Outcome("permanent", f"{reason}: it redirects; put Walmart's own address into base_url")


def of_faults(faults: list[Fault], where: str) -> Outcome:
    """Errors inside a 200: the category says whether trying again can help (walmart.md §5.4)."""
    lasting = any(fault.category in _LASTING for fault in faults)
    return Outcome("permanent" if lasting else "unknown", f"{where}: {faults[0].text()}")


def garbled(response: Response, *, write: bool) -> Outcome:
    """A 2xx without the JSON that it should hold."""
    reason = f"{response.status}, but the body is not what Walmart answers"
    return Outcome("unknown" if write else "transient", reason)


def failed_read(response: Response) -> Failure | None:
    """The failure that a read's answer is, None for a 2xx."""
    outcome = refused(response, write=False)
    return None if outcome is None else Failure(evolve(outcome, whole_call=False))

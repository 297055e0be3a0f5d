"""Single values as a store writes them, read strictly: ids, units, stamps. Nothing is rounded or guessed."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from typing import Annotated, NamedTuple, TypeVar

import msgspec

from adapters.stamps import rfc3339_span
from daemon.domain.instants import SECOND_US, Span
from daemon.domain.observations import QUANTITY_MAX

RowId = Annotated[int, msgspec.Meta(gt=0, le=2**63 - 1)]
"""A row's number."""

_WHOLE = re.compile(r"[0-9]{1,15}(\.0{1,15})?")
_RFC_2822 = re.compile(r"[A-Z][a-z]{2}, [0-9]{1,2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} [+-][0-9]{4}")
_LISTING = re.compile(r"([1-9][0-9]{0,17})/([1-9][0-9]{0,17})")

T = TypeVar("T")


class UnreadableError(ValueError):
    """The store said something that we refuse to guess about; the text names it without quoting buyers."""


def decode(body: bytes | msgspec.Raw, shape: type[T]) -> T:
    """`body` as `shape`. Raises `UnreadableError`, never anything else."""
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.MsgspecError, ValueError, RecursionError) as exc:
        raise UnreadableError(str(exc)[:200]) from None


def whole_units(value: object, what: str) -> int:
    """Units from 0 to `QUANTITY_MAX`: an integer, or its text or float, as V2 writes numbers both ways (sheet §7)."""
    match value:
        case bool():
            raise UnreadableError(f"{what} is a boolean")
        case int():
            units = value
        case float() if value.is_integer():
            units = int(value)
        case str() if _WHOLE.fullmatch(value.strip()):
            units = int(value.strip().partition(".")[0])
        case _:
            raise UnreadableError(f"{what} is not a whole number of units")
    if not 0 <= units <= QUANTITY_MAX:
        raise UnreadableError(f"{what} is not between 0 and {QUANTITY_MAX}")
    return units


def second(text: str) -> Span:
    """The whole second that a stamp names: RFC 2822 in V2 ("Fri, 20 Nov 2026 14:15:30 +0000"), RFC 3339 in V3."""
    lo: int | None = None
    if _RFC_2822.fullmatch(text):
        try:
            lo = int(parsedate_to_datetime(text).timestamp()) * SECOND_US
        except (ValueError, TypeError, OverflowError):
            lo = None
    elif found := rfc3339_span(text):
        lo = found.lo // SECOND_US * SECOND_US
    if lo is None or lo < 0:
        raise UnreadableError("a date is not of the form Fri, 20 Nov 2026 14:15:30 +0000")
    return Span(lo, lo + SECOND_US - 1)


class ListingId(NamedTuple):
    """What is sold: always a variant, the base variant where a product has no options (sheet §5, "variants")."""

    product: int
    variant: int

    def __str__(self) -> str:
        return f"{self.product}/{self.variant}"


def listing_id(listing: str) -> ListingId | None:
    """The inverse of `str(ListingId)`: "206/509"; None for anything else."""
    found = _LISTING.fullmatch(listing)
    return ListingId(int(found[1]), int(found[2])) if found else None

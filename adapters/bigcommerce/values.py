"""Single values as a store writes them: stamps, and what a listing is called."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from adapters.stamps import rfc3339_span
from adapters.strict import UnreadableError
from daemon.domain.instants import SECOND_US, Span

_RFC_2822 = re.compile(r"[A-Z][a-z]{2}, [0-9]{1,2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} [+-][0-9]{4}")
_LISTING = re.compile(r"([1-9][0-9]{0,17})/([1-9][0-9]{0,17})")


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

"""Single values as Amazon writes them, read strictly: ids, units, stamps, SKUs. Nothing is rounded or guessed."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec

from adapters.stamps import rfc3339_span
from adapters.strict import UnreadableError
from daemon.domain.instants import SECOND_US, Span
from daemon.domain.observations import QUANTITY_MAX

ORDER_ID = re.compile(r"[A-Za-z0-9-]{1,40}")
"""An order's id: digits 3-7-7 (amazon.md §3); the letter S before them marks orders of other sales channels."""

Units = Annotated[int, msgspec.Meta(ge=0, le=QUANTITY_MAX)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


def stamp(text: str, what: str) -> Span:
    """The span of an ISO 8601 stamp with its zone, as exact as it is written. Raises `UnreadableError`."""
    span = rfc3339_span(text)
    if span is None:
        raise UnreadableError(f"{what} is no stamp with a zone")
    return span


def whole_second(span: Span) -> Span:
    """The whole second that a stamp lies in.

    Orders are read with seconds or with milliseconds (§2.4, §4.1): as a version, both must be the same number.
    """
    start = span.lo - span.lo % SECOND_US
    return Span(start, start + SECOND_US - 1)

"""What Walmart's JSON says, read strictly: lists that may be one object, quantities, stamps. Nothing is rounded."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from adapters.stamps import rfc3339_span
from adapters.strict import UnreadableError, decode, whole_units
from daemon.domain.instants import Span

MS_US = 1_000
_NAME = re.compile(r"[\x21-\x7e]{1,64}")
_LAST_MS = 253_402_300_799_999
"""The last millisecond that a four-digit year can name."""


def rows(value: msgspec.Raw | msgspec.UnsetType, what: str) -> list[msgspec.Raw]:
    """A list; a single element that came without its list, too (walmart.md §3); none where there is nothing."""
    if not isinstance(value, msgspec.Raw):
        return []
    text = bytes(value).lstrip()
    if text[:1] == b"{":
        return [value]
    try:
        return decode(value, list[msgspec.Raw]) if text != b"null" else []
    except UnreadableError:
        raise UnreadableError(f"{what} is no list") from None


def moment(value: object, what: str) -> Span:
    """The millisecond that an epoch stamp names, in µs; a single order writes the date of the order as RFC 3339, a
    list of orders as an epoch stamp (walmart.md §3; the orders document)."""
    if isinstance(value, str):
        told = rfc3339_span(value)
        if told is not None:
            return told
        value = int(value) if value.isascii() and value.isdigit() and len(value) <= 15 else None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= _LAST_MS:
        raise UnreadableError(f"{what} is no stamp")
    return Span(value * MS_US, value * MS_US + MS_US - 1)


def name_of(value: object, what: str) -> str:
    """An id as text: visible ASCII, at most 64 characters."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise UnreadableError(f"{what} is not a possible id")
    return value


class Amount(msgspec.Struct):
    """A quantity with its unit; orders write its number as text, inventories as a number."""

    amount: Any = None


def units_of(value: Amount | msgspec.UnsetType | None, what: str) -> int:
    """The quantity of an `Amount`. Raises `UnreadableError` where it is missing or none."""
    if not isinstance(value, Amount):
        raise UnreadableError(f"{what} is missing")
    return whole_units(value.amount, what)

"""What Walmart's JSON says, read strictly: lists that may be one object, quantities, stamps. Nothing is rounded."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from adapters.stamps import rfc3339_span
from daemon.domain.instants import Span
from daemon.domain.observations import QUANTITY_MAX

MS_US = 1_000
_WHOLE = re.compile(r"-?[0-9]{1,15}(\.0{1,15})?")
_NAME = re.compile(r"[\x21-\x7e]{1,64}")
_LAST_MS = 253_402_300_799_999
"""The last millisecond that a four-digit year can name."""

T = TypeVar("T")


class UnreadableError(ValueError):
    """Walmart said something that we refuse to guess about; the text names it without quoting buyers."""


def decode(body: bytes | msgspec.Raw, shape: type[T]) -> T:
    """`body` as `shape`. Raises `UnreadableError`, never anything else."""
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.MsgspecError, ValueError, RecursionError) as exc:
        raise UnreadableError(str(exc)[:200]) from None


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


def whole_units(value: object, what: str) -> int:
    """A quantity in units, 0 to `QUANTITY_MAX`: a number, or its text, as orders have it (walmart.md §7)."""
    match value:
        case None:
            raise UnreadableError(f"{what} is null")
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

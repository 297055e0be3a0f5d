"""Reading what a channel says strictly: JSON of one shape, whole units, row numbers. Nothing is rounded."""

from __future__ import annotations

import re
from typing import Annotated, TypeVar

import msgspec

from daemon.domain.observations import QUANTITY_MAX

RowId = Annotated[int, msgspec.Meta(gt=0, le=2**63 - 1)]
"""A row's number."""

_WHOLE = re.compile(r"-?[0-9]{1,15}(\.0{1,15})?")

T = TypeVar("T")


class UnreadableError(ValueError):
    """The channel said something that we refuse to guess about; the text names it without quoting buyers."""


def decode(body: bytes | msgspec.Raw, shape: type[T]) -> T:
    """`body` as `shape`. Raises `UnreadableError`, never anything else."""
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.MsgspecError, ValueError, RecursionError) as exc:
        raise UnreadableError(str(exc)[:200]) from None


def whole_units(value: object, what: str, *, least: int = 0) -> int:
    """Units from `least` to `QUANTITY_MAX`: an integer, or its text or float ("2", "2.0"), as some write numbers both
    ways; never a fraction, and null is no number."""
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
    if not least <= units <= QUANTITY_MAX:
        raise UnreadableError(f"{what} is not between {least} and {QUANTITY_MAX}")
    return units

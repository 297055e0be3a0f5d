"""Lists of V3, {data, meta.pagination}, and of V2, a bare list or nothing at all (§4, "Paging")."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from adapters.bigcommerce.refusals import failed_read, garbled
from adapters.strict import UnreadableError, decode
from daemon.domain.exchange import Response
from daemon.domain.outcomes import Failure, Outcome

ROWS_MAX = 5_000
"""What is taken of one page: what is read of it is held in memory."""


class Rows(NamedTuple):
    """A page's rows, each still to be read; `pages` is how many pages there are, where the answer says it."""

    rows: list[msgspec.Raw]
    pages: int | None = None


class _Pagination(msgspec.Struct):
    total_pages: Any = None


class _Meta(msgspec.Struct):
    pagination: _Pagination = msgspec.field(default_factory=_Pagination)


class _V3(msgspec.Struct):
    data: list[msgspec.Raw]
    meta: _Meta = msgspec.field(default_factory=_Meta)


def v3_rows(response: Response) -> Rows | Failure:
    """The rows of a V3 list."""
    failure = failed_read(response)
    if failure is not None:
        return failure
    if response.status == 204:
        return Rows([], 0)
    try:
        found = decode(response.body, _V3)
    except UnreadableError:
        return Failure(garbled(response))
    pages = found.meta.pagination.total_pages
    return _bounded(Rows(found.data, pages if type(pages) is int else None))


def v2_rows(response: Response) -> Rows | Failure:
    """The rows of a V2 list: an empty one is 204 without a body (§4, §7)."""
    failure = failed_read(response)
    if failure is not None:
        return failure
    if response.status == 204:
        return Rows([])
    try:
        return _bounded(Rows(decode(response.body, list[msgspec.Raw])))
    except UnreadableError:
        return Failure(garbled(response))


def _bounded(found: Rows) -> Rows | Failure:
    if len(found.rows) > ROWS_MAX:
        return Failure(Outcome("transient", f"{len(found.rows)} rows on one page, more than were asked for"))
    return found


def more_pages(found: Rows, page: int, limit: int) -> bool:
    """Is there a page behind this one? The answer says so in V3; in V2 a short page is the last one."""
    if found.pages is not None:
        return bool(found.rows) and page < found.pages
    return len(found.rows) >= limit

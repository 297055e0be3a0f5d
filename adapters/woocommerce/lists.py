"""Lists of the store: how long a page is, whether there is another, and rows that are still to be read."""

from __future__ import annotations

import msgspec

from adapters.strict import UnreadableError, decode
from adapters.woocommerce.refusals import failed_read, garbled
from daemon.domain.exchange import Response
from daemon.domain.outcomes import Failure, Outcome

PER_PAGE = 100
"""The most a list gives; asking for more is refused (recording 11)."""

ROWS_MAX = 10 * PER_PAGE
"""What is taken of a store whose plugins make pages longer: what is read of one is held in memory."""

Rows = list[msgspec.Raw]


def rows_of(response: Response) -> Rows | Failure:
    """The rows of a list's answer, each still to be read."""
    failure = failed_read(response)
    if failure is not None:
        return failure
    try:
        rows = decode(response.body, Rows)
    except UnreadableError:
        return Failure(garbled(response, write=False))
    if len(rows) > ROWS_MAX:
        return Failure(Outcome("transient", f"{len(rows)} rows on one page, of which at most {PER_PAGE} were asked"))
    return rows


def more_pages(response: Response, page: int, rows: int) -> bool:
    """Is there another page? `X-WP-TotalPages` says so; without it (a proxy dropped it) a full page does."""
    total = response.headers.get("x-wp-totalpages", "")
    if total.isascii() and total.isdigit() and len(total) <= 9:
        return rows > 0 and page < int(total)
    return rows >= PER_PAGE

"""Reading receipts, which are Etsy's orders: what changed since, and one of them as it is now (§3, §4)."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import msgspec

from adapters.etsy.account import Shop
from adapters.etsy.payloads import Receipt, receipt_seen
from adapters.etsy.refusals import failed_read, garbled, is_missing
from adapters.strict import UnreadableError, decode
from daemon.domain.channel import OrderPage, OrderSeen
from daemon.domain.exchange import Exchange
from daemon.domain.instants import SECOND_US
from daemon.domain.outcomes import Failure, Outcome

PER_PAGE = 100
"""The most there is (§4)."""
ROWS_MAX = 5_000
FIRST_S, LAST_S = 946_684_800, 253_402_300_799
"""A bound before the year 2000 is refused; and the last second that a four-digit year can name."""

_CURSOR = re.compile(r"(c?)([0-9]{1,12})\.([0-9]{1,7})")


class _Rows(msgspec.Struct):
    results: list[msgspec.Raw]
    count: Any = None


class _Stamped(msgspec.Struct):
    receipt_id: int
    updated_timestamp: int


class _Cursor(NamedTuple):
    """Where the feed goes on: behind `offset` receipts of what was modified in second `bound` or later. `cancelled`:
    in the second pass."""

    bound: int
    offset: int = 0
    cancelled: bool = False

    def __str__(self) -> str:
        return f"{'c' if self.cancelled else ''}{self.bound}.{self.offset}"


def read_receipts(shop: Shop, since_us: int, page: str) -> Exchange[OrderPage | Failure]:
    """Receipts changed since, oldest change first, in two passes: the cancelled ones are missing from the first (§4).

    The bound goes back one second, as nobody says whether it is inclusive. Pages go on at the newest stamp of the one
    before, not at an offset: receipts that change meanwhile move to the end, and what follows them would slip past.
    """
    found = _CURSOR.fullmatch(page)
    start = _Cursor(min(max(FIRST_S, since_us // SECOND_US - 1), LAST_S))
    cursor = _Cursor(min(int(found[2]), LAST_S), int(found[3]), bool(found[1])) if found else start
    query = [
        ("min_last_modified", str(max(FIRST_S, cursor.bound))), ("sort_on", "updated"), ("sort_order", "asc"),
        ("limit", str(PER_PAGE)), ("offset", str(cursor.offset)),
        *([("was_canceled", "true")] if cursor.cancelled else []),
    ]  # fmt: skip
    response = yield shop.get("/shops/{shop}/receipts", query)
    failure = failed_read(response)
    if failure is not None:
        return failure
    try:
        rows = decode(response.body, _Rows).results
    except UnreadableError:
        return Failure(garbled(response))
    if len(rows) > ROWS_MAX:
        return Failure(Outcome("transient", f"{len(rows)} receipts on one page, more than were asked for"))
    orders: list[OrderSeen] = []
    puzzles: list[str] = []
    stamps: list[int] = []
    for row in rows:
        name = "a receipt without an id"
        try:
            stamped = decode(row, _Stamped)
            name = f"receipt {stamped.receipt_id}"
            seen = receipt_seen(decode(row, Receipt))
        except UnreadableError as exc:
            puzzles.append(f"{name}: {exc}")
            continue
        stamps.append(seen.version // SECOND_US)
        orders.append(seen)
    if len(rows) >= PER_PAGE:
        next_page = str(_after(cursor, stamps, len(rows)))
    else:
        next_page = "" if cursor.cancelled else str(start._replace(cancelled=True))
    return OrderPage(tuple(orders), next_page, max(stamps, default=0) * SECOND_US, tuple(puzzles))


def _after(cursor: _Cursor, stamps: list[int], rows: int) -> _Cursor:
    """The next page's cursor. A second with more receipts than a page holds has to be gone through by offset."""
    nearer = max(stamps, default=0) - 1
    if stamps == sorted(stamps) and nearer > cursor.bound:
        return cursor._replace(bound=nearer, offset=0)
    return cursor._replace(offset=cursor.offset + rows)


def read_receipt(shop: Shop, order: str) -> Exchange[OrderSeen | Failure | None]:
    """One receipt, by the same reading as in the feed."""
    if not (order.isascii() and order.isdigit() and len(order) < 19):
        return Failure(Outcome("permanent", "not a receipt of Etsy: it is a whole number"))
    response = yield shop.get(f"/shops/{{shop}}/receipts/{order}")
    if is_missing(response):
        return None
    failure = failed_read(response)
    if failure is not None:
        return failure
    try:
        return receipt_seen(decode(response.body, Receipt))
    except UnreadableError as exc:
        ours = response.body.lstrip().startswith(b"{")
        return Failure(Outcome("permanent", f"receipt {order}: {exc}") if ours else garbled(response))

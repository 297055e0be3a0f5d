"""Reading listings with their inventory: all of a shop's, or some as they are now (§4)."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from adapters.etsy.account import Shop
from adapters.etsy.payloads import Listing, product_id
from adapters.etsy.refusals import failed_read, garbled, is_missing
from adapters.strict import UnreadableError, decode
from daemon.domain.channel import LevelSeen, ListingPage
from daemon.domain.exchange import Exchange, Response
from daemon.domain.outcomes import Failure, Outcome

PER_PAGE = 100
"""The most there is, of a page and of one call for many (§4)."""
ROWS_MAX = 5_000
STATES = ("active", "sold_out", "inactive")
"""Drafts and expired listings sell nothing."""

_PLACE = re.compile(r"(active|sold_out|inactive)\.([0-9]{1,7})")


class _Rows(msgspec.Struct):
    results: list[msgspec.Raw]


def read_listings(shop: Shop, page: str) -> Exchange[ListingPage | Failure]:
    """A page of the shop's listings, state by state, in the order in which they were made, so that none moves."""
    found = _PLACE.fullmatch(page)
    state, offset = (found[1], int(found[2])) if found else (STATES[0], 0)
    query = [
        ("state", state), ("limit", str(PER_PAGE)), ("offset", str(offset)), ("sort_on", "created"),
        ("sort_order", "asc"), ("includes", "Inventory"),
    ]  # fmt: skip
    rows = _rows((yield shop.get("/shops/{shop}/listings", query)))
    if isinstance(rows, Failure):
        return rows
    levels = [level for row in rows if (listing := _listing(row)) is not None for level in listing.levels()]
    if len(rows) >= PER_PAGE:
        next_page = f"{state}.{offset + len(rows)}"
    else:
        later = STATES[STATES.index(state) + 1 :]
        next_page = f"{later[0]}.0" if later else ""
    return ListingPage(tuple(levels), next_page)


def read_some(shop: Shop, numbers: Sequence[int]) -> Exchange[dict[int, Listing] | Failure]:
    """Listings by their number, as they are now; what is gone is left out.

    One number that Etsy does not know makes the whole call a 404 (§4): then, and for what an answer leaves out, each
    half is asked by itself.
    """
    seen: dict[int, Listing] = {}
    wanted = list(dict.fromkeys(numbers))
    pending = [wanted[start : start + PER_PAGE] for start in range(0, len(wanted), PER_PAGE)]
    while pending:
        chunk = pending.pop()
        response = yield shop.get("/listings/batch/inventory", [("listing_ids", ",".join(map(str, chunk)))])
        left = chunk
        if not is_missing(response):
            rows = _rows(response)
            if isinstance(rows, Failure):
                return rows
            found = [listing for row in rows if (listing := _listing(row)) is not None]
            seen |= {listing.listing_id: listing for listing in found if listing.listing_id in chunk}
            left = [number for number in chunk if number not in seen]
        if left and len(chunk) > 1:
            middle = len(left) // 2
            pending += [half for half in (left[:middle], left[middle:]) if half]
    return seen


def read_levels(shop: Shop, listings: Sequence[str]) -> Exchange[tuple[LevelSeen, ...] | Failure]:
    """The levels of `listings` now. What is no listing of ours, or gone, is left out."""
    wanted = {str(each): each for each in map(product_id, listings) if each is not None}
    if not wanted:
        return ()
    found = yield from read_some(shop, [each.listing for each in wanted.values()])
    if isinstance(found, Failure):
        return found
    return tuple(level for listing in found.values() for level in listing.levels() if level.listing in wanted)


def _rows(response: Response) -> list[msgspec.Raw] | Failure:
    failure = failed_read(response)
    if failure is not None:
        return failure
    try:
        rows = decode(response.body, _Rows).results
    except UnreadableError:
        return Failure(garbled(response))
    if len(rows) > ROWS_MAX:
        return Failure(Outcome("transient", f"{len(rows)} listings on one page, more than were asked for"))
    return rows


def _listing(row: msgspec.Raw) -> Listing | None:
    """A row that cannot be read is no listing that anything could be pushed to."""
    try:
        return decode(row, Listing)
    except UnreadableError:
        return None

"""The catalogue, oldest listing first, and levels of some listings (amazon.md §4.2)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from adapters.amazon.account import Seller
from adapters.amazon.items import ItemPage, search, some
from adapters.amazon.values import stamp
from adapters.stamps import rfc3339
from adapters.strict import UnreadableError
from daemon.domain.channel import LevelSeen, ListingPage
from daemon.domain.exchange import Exchange
from daemon.domain.outcomes import Failure, Outcome

REACHABLE = 1_000
"""Listings that one search can be paged through (§4.2); the next search begins where it ended."""
_PLACE = re.compile(r"([0-9]{0,16});([0-9]{1,4});(.{0,4000})", re.DOTALL)


def read_listings(seller: Seller, page: str) -> Exchange[ListingPage | Failure]:
    """A page of the merchant-fulfilled listings. What Amazon fulfils is left out: it is never ours to count or push.

    A search reaches 1,000 listings, whatever there are; sorted by when they were made, the next one goes on at the
    newest stamp of the last page ("at or after": that moment's listings come twice, which does no harm).
    """
    place = _PLACE.fullmatch(page)
    since, reached, here = (place[1], int(place[2]), place[3]) if place else ("", 0, "")
    query = [("sortBy", "createdDate"), ("sortOrder", "ASC")]
    if since:
        query.append(("createdAfter", rfc3339(int(since))))
    if here:
        query.append(("pageToken", here))
    answer = yield from search(seller, query)
    if isinstance(answer, Failure):
        return answer
    levels = tuple(item.seen(seller.marketplace) for item in answer.items if item.ours())
    reached += max(1, len(answer.items))
    if answer.following and answer.following == here:
        return Failure(Outcome("transient", "Amazon's pages of listings make no sense"))
    if answer.following and reached < REACHABLE and len(answer.following) <= 4_000:
        return ListingPage(levels, f"{since};{reached};{answer.following}")
    if answer.results <= reached:
        return ListingPage(levels, "")
    return _further(seller, answer, since, levels)


def _further(seller: Seller, answer: ItemPage, since: str, levels: tuple[LevelSeen, ...]) -> ListingPage | Failure:
    """There are more than one search reaches: the next one begins at the newest listing of this page."""
    newest = -1
    for item in answer.items:
        summary = item.summary(seller.marketplace)
        try:
            newest = max(newest, stamp(summary.created_date, "createdDate").lo if summary else -1)
        except UnreadableError:
            continue
    if newest <= (int(since) if since else -1):
        said = f"more than {REACHABLE} listings were made in one moment: Amazon does not show the others"
        return Failure(Outcome("permanent", said))
    return ListingPage(levels, f"{newest};0;")


def read_levels(seller: Seller, listings: Sequence[str]) -> Exchange[tuple[LevelSeen, ...] | Failure]:
    """Levels as they are now. A listing that Amazon fulfils by now shows none: unknown, never zero."""
    found = yield from some(seller, listings)
    if isinstance(found, Failure):
        return found
    return tuple(found[sku].seen(seller.marketplace) for sku in listings if sku in found)

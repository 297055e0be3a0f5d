"""What can be read page by page: the catalogue, and the orders by their last change."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

from attrs import evolve, field, frozen

from adapters.stamps import rfc3339
from adapters.storefront.calls import PAGE_SIZE, read_offset, read_order_cursor, read_since
from adapters.storefront.ledger import listing_json, order_json
from adapters.storefront.reply import StoreReply, answer, refused
from adapters.storefront.shop import Listing, Refusal, Shop


@frozen
class Shows:
    """How listings are shown, by listing: garbled quantities, other SKUs, and levels of some time ago."""

    garbled: Mapping[str, str] = field(factory=dict)
    labels: Mapping[str, str] = field(factory=dict)
    stale: Mapping[str, int] = field(factory=dict)

    def of(self, listing: Listing) -> dict[str, object]:
        """The listing as it is read."""
        seen = evolve(listing, quantity=self.stale.get(listing.id, listing.quantity))
        return listing_json(seen, self.garbled, self.labels)


def listings_page(shop: Shop, query: Mapping[str, list[str]], now_us: int, shows: Shows) -> StoreReply:
    """The catalogue, or those of the repeated `listing` that exist. As of its stamp, true but for `shows`."""
    start = read_offset(query)
    if isinstance(start, Refusal):
        return refused(start)
    chosen = list(shop.listings.values())
    if "listing" in query:
        chosen = [shop.listings[name] for name in dict.fromkeys(query["listing"]) if name in shop.listings]
    end = start + PAGE_SIZE
    page = {
        "items": [shows.of(listing) for listing in chosen[start:end]],
        "next": str(end) if end < len(chosen) else None,
        "as_of": rfc3339(shop.clock.read(now_us)),
    }
    return answer(page)


def orders_page(shop: Shop, query: Mapping[str, list[str]], now_us: int, lag_us: int = 0) -> StoreReply:
    """Orders changed since `updated_since`, oldest change first; changes of the last `lag_us` are not shown yet.

    The cursor is the last change shown, so an order that changes meanwhile comes again and none is skipped.
    """
    since, cursor = read_since(query), read_order_cursor(query)
    if isinstance(since, Refusal):
        return refused(since)
    if isinstance(cursor, Refusal):
        return refused(cursor)
    newest = shop.clock.read(now_us) - lag_us
    changed = (order for order in shop.changed_since(since, cursor) if not lag_us or order.updated_us <= newest)
    found = list(islice(changed, PAGE_SIZE + 1))
    page = found[:PAGE_SIZE]
    content = {
        "items": [order_json(order) for order in page],
        "next": f"{page[-1].updated_us}~{page[-1].id}" if len(found) > PAGE_SIZE else None,
        "as_of": rfc3339(shop.clock.read(now_us)),
    }
    return answer(content)

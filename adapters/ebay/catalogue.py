"""Inventory items with their offers: what eBay shows of each SKU (ebay.md §4, §5.1).

Only listings that were made with the Inventory API are here, or migrated to it: one that was made by hand, in Seller
Hub or through the Trading API, is invisible to it, and neither shown nor pushed (§0.7). What is sold through such a
listing is counted all the same, by the SKU that its order lines bear.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from attrs import frozen

from adapters.ebay.api import INVENTORY, Api
from adapters.ebay.payloads import is_listing
from adapters.ebay.refusals import Error, failed_read, garbled
from adapters.strict import UnreadableError, decode
from daemon.domain.channel import LevelSeen, ListingPage
from daemon.domain.exchange import Exchange, Response
from daemon.domain.observations import QUANTITY_MAX
from daemon.domain.outcomes import Failure, Outcome

ITEMS_PER_PAGE = 25
"""Each item takes a call of its own for its offers, so a page is kept short; 200 would be the most (§4)."""

ITEMS_PER_READ = 25
"""Items that one bulk read names (§4)."""

ROWS_MAX = 1_000
OFFERS_PER_PAGE = 100

_OVER = frozenset({"ENDED", "EBAY_ENDED", "INACTIVE", "NOT_LISTED"})


# --- the shapes ---------------------------------------------------------------------------------------------


class _Quantity(msgspec.Struct):
    quantity: int | None = None


class _Availability(msgspec.Struct, rename="camel"):
    ship_to_location_availability: _Quantity | None = None


class _Product(msgspec.Struct):
    title: str | None = None


class _Item(msgspec.Struct):
    availability: _Availability | None = None
    product: _Product | None = None


class _Named(msgspec.Struct):
    sku: str


class _Items(msgspec.Struct, rename="camel"):
    inventory_items: list[msgspec.Raw] = []
    total: int = 0
    next: str | None = None


class _Entry(msgspec.Struct, rename="camel"):
    sku: str
    status_code: int
    inventory_item: msgspec.Raw = msgspec.Raw()
    errors: list[Error] | None = None


class _Entries(msgspec.Struct):
    responses: list[_Entry]


class _Listing(msgspec.Struct, rename="camel"):
    listing_status: str | None = None


class _OfferRow(msgspec.Struct, rename="camel"):
    offer_id: str
    status: str = ""
    format: str | None = None
    available_quantity: int | None = None
    listing: _Listing | None = None


class _Offers(msgspec.Struct):
    offers: list[_OfferRow] = []


@frozen
class Offer:
    """A fixed-price offer that is on sale, or was until it was sold out. `available`: what it may sell of the item's
    quantity; None: all of it."""

    offer_id: str
    available: int | None


# --- offers -------------------------------------------------------------------------------------------------


def read_offers(api: Api, sku: str) -> Exchange[tuple[Offer, ...] | Failure]:
    """The live offers of one SKU, one for each marketplace it is listed on; 404 says that it has none (§4).

    Auctions are left out: their quantity is an allocation of its own. So are offers whose listing has ended.
    """
    response = yield api.get(f"{INVENTORY}/offer", [("sku", sku), ("limit", str(OFFERS_PER_PAGE))])
    if response.status == 404:
        return ()
    failure = yield from failed_read(api, response, "inventory")
    if failure is not None:
        return failure
    try:
        rows = decode(response.body, _Offers).offers
    except UnreadableError:
        return Failure(garbled(response))
    return tuple(Offer(row.offer_id, row.available_quantity) for row in rows if _is_live(row))


def _is_live(row: _OfferRow) -> bool:
    over = row.listing is not None and row.listing.listing_status in _OVER
    return row.status == "PUBLISHED" and row.format != "AUCTION" and not over


# --- levels -------------------------------------------------------------------------------------------------


def read_listings(api: Api, page: str) -> Exchange[ListingPage | Failure]:
    """A page of inventory items; `offset` is a page's number (§4)."""
    number = int(page) if page.isascii() and page.isdigit() and len(page) <= 7 else 0
    response = yield api.get(
        f"{INVENTORY}/inventory_item", [("limit", str(ITEMS_PER_PAGE)), ("offset", str(number))]
    )  # fmt: skip
    if response.status == 404 and number:
        return ListingPage((), "")
    failure = yield from failed_read(api, response, "inventory")
    if failure is not None:
        return failure
    try:
        listed = decode(response.body, _Items)
    except UnreadableError:
        return Failure(garbled(response))
    if len(listed.inventory_items) > ROWS_MAX:
        return Failure(
            Outcome("transient", f"{len(listed.inventory_items)} items, of which {ITEMS_PER_PAGE} were asked")
        )
    levels: list[LevelSeen] = []
    for row in listed.inventory_items:
        sku = _sku_of(row)
        if not sku:
            continue
        seen = yield from _level(api, sku, row)
        if isinstance(seen, Failure):
            return seen
        levels.append(seen)
    more = bool(listed.inventory_items) and (
        bool(listed.next) or listed.total > (number + 1) * ITEMS_PER_PAGE
    )  # fmt: skip
    return ListingPage(tuple(levels), str(number + 1) if more else "")


def read_levels(api: Api, listings: Sequence[str]) -> Exchange[tuple[LevelSeen, ...] | Failure]:
    """What eBay shows of these SKUs now. Unknown ones are left out: 404, each in its own entry."""
    skus = [each for each in dict.fromkeys(listings) if is_listing(each)]
    seen: list[LevelSeen] = []
    for start in range(0, len(skus), ITEMS_PER_READ):
        wanted = skus[start : start + ITEMS_PER_READ]
        payload = {"requests": [{"sku": sku} for sku in wanted]}
        response = yield api.write("POST", f"{INVENTORY}/bulk_get_inventory_item", payload)
        entries = yield from _entries(api, response)
        if isinstance(entries, Failure):
            return entries
        for sku in wanted:
            entry = entries.get(sku)
            if entry is None:
                return Failure(Outcome("transient", f"eBay's answer leaves {sku[:60]!r} out"))
            if entry.status_code == 404:
                continue
            if bytes(entry.inventory_item) in (b"", b"null") or not 200 <= entry.status_code < 300:
                said = entry.errors[0].said() if entry.errors else "no item in its entry"
                return Failure(Outcome("transient", f"{sku[:60]!r}: {entry.status_code} {said}"))
            level = yield from _level(api, sku, entry.inventory_item)
            if isinstance(level, Failure):
                return level
            seen.append(level)
    return tuple(seen)


def _entries(api: Api, response: Response) -> Exchange[dict[str, _Entry] | Failure]:
    """The entries by SKU, whatever the answer's own status is: 200, 207, or 4xx where none succeeded."""
    try:
        entries = decode(response.body, _Entries).responses
    except UnreadableError:
        failure = yield from failed_read(api, response, "inventory")
        return failure or Failure(garbled(response))
    return {entry.sku: entry for entry in entries}


def _level(api: Api, sku: str, row: msgspec.Raw) -> Exchange[LevelSeen | Failure]:
    """A listing shows the lower one of the item's quantity and its offer's (§5.1); the lowest of several offers.

    None where the item has no quantity, or none that is whole: unknown, which is not zero.
    """
    offers = yield from read_offers(api, sku)
    if isinstance(offers, Failure):
        return offers
    title = ""
    quantity: int | None = None
    try:
        item = decode(row, _Item)
    except UnreadableError:
        pass
    else:
        title = (item.product.title or "") if item.product else ""
        held = item.availability.ship_to_location_availability if item.availability else None
        quantity = held.quantity if held else None
    level = quantity
    if level is not None:
        level = min([level, *(offer.available for offer in offers if offer.available is not None)])
        level = level if 0 <= level <= QUANTITY_MAX else None
    return LevelSeen(sku, level, None, sku, title=title[:200])


def _sku_of(row: msgspec.Raw) -> str:
    try:
        sku = decode(row, _Named).sku
    except UnreadableError:
        return ""
    return sku if is_listing(sku) else ""

"""Listings items: what a listing shows, and whose it is to write (amazon.md §4.2, §7)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from adapters.amazon.account import Query, Seller
from adapters.amazon.refusals import failed_read, garbled, is_missing
from adapters.amazon.values import Name, Units
from adapters.strict import UnreadableError, decode
from daemon.domain.channel import LevelSeen
from daemon.domain.exchange import Exchange
from daemon.domain.outcomes import Failure

MERCHANT = "DEFAULT"
"""The fulfilment channel that is ours; every other one (AMAZON_NA, AMAZON_EU, …) is Amazon's own stock."""
PER_PAGE = 20
SKU_MAX = 100
INCLUDED = ("includedData", "summaries,fulfillmentAvailability")
SEARCH = "/listings/2021-08-01/items"


class _Availability(msgspec.Struct, rename="camel"):
    fulfillment_channel_code: str
    quantity: Units | None = None


class _Summary(msgspec.Struct, rename="camel"):
    marketplace_id: str
    product_type: str = ""
    created_date: str = ""
    item_name: str = ""


class Item(msgspec.Struct, rename="camel"):
    """One listing at one marketplace."""

    sku: Name
    summaries: list[_Summary] = []  # msgspec gives each its own copy
    fulfillment_availability: list[_Availability] = []  # as above

    def codes(self) -> set[str]:
        return {each.fulfillment_channel_code for each in self.fulfillment_availability}

    def ours(self) -> bool:
        """Is it fulfilled by the merchant alone? To write to one that Amazon fulfils would take it from Amazon's
        warehouse (§7, from memory), so one that is both, or that does not say, is not ours either."""
        return self.codes() == {MERCHANT}

    def level(self) -> int | None:
        """What it offers; None where it does not say, or where it is not ours."""
        if not self.ours() or len(self.fulfillment_availability) != 1:
            return None
        return self.fulfillment_availability[0].quantity

    def summary(self, marketplace: str) -> _Summary | None:
        return next((each for each in self.summaries if each.marketplace_id == marketplace), None)

    def seen(self, marketplace: str) -> LevelSeen:
        """Without a stamp: `lastUpdatedDate` is the listing's, not its quantity's."""
        summary = self.summary(marketplace)
        return LevelSeen(self.sku, self.level(), None, self.sku, title=(summary.item_name if summary else "")[:200])


class _Pagination(msgspec.Struct, rename="camel"):
    next_token: str | None = None


class _Page(msgspec.Struct, rename="camel"):
    items: list[msgspec.Raw]
    number_of_results: int = 0
    pagination: _Pagination | None = None

    def following(self) -> str:
        return (self.pagination.next_token if self.pagination else None) or ""


class ItemPage(msgspec.Struct):
    """Items that could be read; others are left as they are."""

    items: list[Item]
    results: int
    following: str


def search(seller: Seller, query: Query) -> Exchange[ItemPage | Failure]:
    """A page of the seller's listings."""
    path = f"{SEARCH}/{seller.seller_id}"
    wanted = [("marketplaceIds", seller.marketplace), INCLUDED, ("pageSize", str(PER_PAGE)), *query]
    response = yield seller.get(path, wanted, "searchListingsItems")
    if failure := failed_read(response, "searchListingsItems"):
        return failure
    try:
        found = decode(response.body, _Page)
    except UnreadableError:
        return Failure(garbled(response))
    items = []
    for row in found.items[: 10 * PER_PAGE]:
        try:
            items.append(decode(row, Item))
        except UnreadableError:
            continue
    return ItemPage(items, found.number_of_results, found.following())


def one(seller: Seller, sku: str) -> Exchange[Item | Failure | None]:
    """One listing as it is now; None where Amazon knows none of that name."""
    query = [("marketplaceIds", seller.marketplace), INCLUDED]
    response = yield seller.get(seller.item_path(sku), query, "getListingsItem")
    if is_missing(response):
        return None
    if failure := failed_read(response, "getListingsItem"):
        return failure
    try:
        found = decode(response.body, Item)
    except UnreadableError:
        return Failure(garbled(response))
    # An answer about another SKU (a proxy's, a cache's) says nothing about this one.
    return found if found.sku == sku else Failure(garbled(response))


def some(seller: Seller, skus: Sequence[str]) -> Exchange[dict[str, Item] | Failure]:
    """Listings as they are now, twenty at a call; those that do not exist are left out. What a list in a query cannot
    carry is asked for by itself."""
    found: dict[str, Item] = {}
    plain = [sku for sku in skus if sendable(sku) and "," not in sku]
    for start in range(0, len(plain), PER_PAGE):
        chunk = plain[start : start + PER_PAGE]
        if len(chunk) == 1:
            break
        names = ",".join(chunk)
        answer = yield from search(seller, [("identifiersType", "SKU"), ("identifiers", names)])
        if isinstance(answer, Failure):
            return answer
        found.update((item.sku, item) for item in answer.items if item.sku in chunk)
    alone = [sku for sku in skus if sendable(sku) and "," in sku]
    if len(plain) % PER_PAGE == 1:
        alone.append(plain[-1])
    for sku in alone:
        single = yield from one(seller, sku)
        if isinstance(single, Failure):
            return single
        if single is not None:
            found[sku] = single
    return found


def sendable(sku: str) -> bool:
    """Can it be a SKU of Amazon's at all?"""
    return 0 < len(sku) <= SKU_MAX and sku.isprintable() and sku not in (".", "..")

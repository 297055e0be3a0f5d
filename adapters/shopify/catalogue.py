"""Reading the catalogue with its levels: page by page, or some listings as they are now (shopify.md §4)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from adapters.shopify import documents
from adapters.shopify.answers import failed_read, reading
from adapters.shopify.orders import WALK_MAX, PageInfo
from adapters.shopify.payloads import Level, Text, alias, gid, is_alias, is_listing, number_of, unmanaged
from adapters.shopify.shop import Shop, located
from adapters.strict import UnreadableError
from daemon.domain.channel import LevelSeen, ListingPage
from daemon.domain.exchange import Exchange
from daemon.domain.outcomes import Failure

_PLACE = re.compile(r"([0-9]{1,19})\.([0-9]{1,6})\.([A-Za-z0-9+/=_-]{0,600})")
_AVAILABLE: Final = "available"


class Quantity(msgspec.Struct):
    name: str
    quantity: Level


class GqlLevel(msgspec.Struct):
    quantities: list[Quantity]

    def available(self) -> int | None:
        """The units that can be sold, None where it does not say."""
        return next((each.quantity for each in self.quantities if each.name == _AVAILABLE), None)


class Item(msgspec.Struct):
    id: Text
    tracked: bool
    duplicateSkuCount: int = 0  # noqa: N815  # Shopify's name
    inventoryLevel: GqlLevel | None = None  # noqa: N815
    sku: Text | None = None

    def level(self) -> int | None:
        """Available units at our location; None: not tracked, or not stocked there (unknown, never zero)."""
        if not self.tracked or self.inventoryLevel is None:
            return None
        return self.inventoryLevel.available()


class Variant(msgspec.Struct):
    id: Text
    inventoryItem: Item  # noqa: N815
    sku: Text | None = None
    displayName: str = ""  # noqa: N815


class Variants(msgspec.Struct):
    pageInfo: PageInfo  # noqa: N815
    nodes: list[Variant]


class VariantsData(msgspec.Struct):
    productVariants: Variants  # noqa: N815


class Node(msgspec.Struct):
    """A listing's item, or an empty object where the id is something else's."""

    id: Text = ""
    tracked: bool = False
    sku: Text | None = None
    inventoryLevel: GqlLevel | None = None  # noqa: N815


class NodesData(msgspec.Struct):
    nodes: list[Node | None]


def read_listings(shop: Shop, page: str) -> Exchange[ListingPage | Failure]:
    """A page of variants. Each is two listings: its inventory item, which shows a level and is written, and its
    `variant/…`, by which orders name it, without a level.

    A SKU that several items share links neither of them (§7): which of them is meant, a person must say.
    """
    location = yield from located(shop)
    if isinstance(location, Failure):
        return location
    found = _PLACE.fullmatch(page)
    bound, walked, after = (int(found[1]), int(found[2]), found[3]) if found else (0, 0, "")
    variables = {
        "first": documents.VARIANTS_PER_PAGE, "after": after or None, "query": f"id:>{bound}" if bound else None,
        "location": location,
    }  # fmt: skip
    response = yield shop.ask(documents.VARIANTS, variables, documents.VARIANTS_COST)
    data = reading(response, VariantsData)
    if isinstance(data, Failure):
        return data
    variants = data.productVariants
    levels: list[LevelSeen] = []
    last = 0
    try:
        for variant in variants.nodes:
            number = int(number_of(variant.id, "ProductVariant"))
            if bound and number <= bound:
                # The search ignored the bound (it is not in our sheet): better no catalogue than half of one.
                return failed_read(f"the catalogue has more than {WALK_MAX} variants and cannot be walked in parts")
            last = max(last, number)
            levels += _listed(variant, str(number))
    except UnreadableError as exc:
        return failed_read(f"the catalogue could not be read: {exc}")
    return ListingPage(tuple(levels), _next(bound, walked + len(variants.nodes), variants, last))


def _listed(variant: Variant, number: str) -> list[LevelSeen]:
    item = variant.inventoryItem
    listing = number_of(item.id, "InventoryItem")
    sku = variant.sku if variant.sku and not item.duplicateSkuCount else None
    title = variant.displayName[:255]
    return [LevelSeen(listing, item.level(), None, sku, title=title), unmanaged(alias(number), sku, title)]


def _next(bound: int, walked: int, variants: Variants, last: int) -> str:
    """A walk that would become too long starts anew behind the last variant seen: they come by id."""
    info = variants.pageInfo
    if not info.hasNextPage or not variants.nodes:
        return ""
    if walked >= WALK_MAX:
        return f"{last}.0."
    place = f"{bound}.{walked}.{info.endCursor or ''}"
    return place if _PLACE.fullmatch(place) else ""


def read_levels(shop: Shop, listings: Sequence[str]) -> Exchange[tuple[LevelSeen, ...] | Failure]:
    """The levels of `listings` now, by id, which no search index stands before. What is gone is left out."""
    seen = [unmanaged(each) for each in dict.fromkeys(listings) if is_alias(each)]
    items = [each for each in dict.fromkeys(listings) if is_listing(each)]
    if not items:
        return tuple(seen)
    location = yield from located(shop)
    if isinstance(location, Failure):
        return location
    for start in range(0, len(items), documents.LEVELS_AT_ONCE):
        chunk = items[start : start + documents.LEVELS_AT_ONCE]
        variables = {
            "ids": [gid("InventoryItem", each) for each in chunk],
            "location": location,
        }
        response = yield shop.ask(documents.LEVELS, variables, 1 + documents.LEVEL_COST * len(chunk))
        data = reading(response, NodesData)
        if isinstance(data, Failure):
            return data
        try:
            seen += [level for node in data.nodes if node and node.id and (level := _read(node, chunk)) is not None]
        except UnreadableError as exc:
            return failed_read(f"levels could not be read: {exc}")
    return tuple(seen)


def _read(node: Node, asked: Sequence[str]) -> LevelSeen | None:
    listing = number_of(node.id, "InventoryItem")
    item = Item(node.id, node.tracked, inventoryLevel=node.inventoryLevel)
    return LevelSeen(listing, item.level(), None, node.sku or None) if listing in asked else None

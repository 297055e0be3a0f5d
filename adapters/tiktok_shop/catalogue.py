"""Reading the catalogue with its levels: page by page, or some listings as they are now (tiktok_shop.md §4)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from adapters.strict import UnreadableError, decode
from adapters.tiktok_shop.answers import plain, reading
from adapters.tiktok_shop.payloads import Id, listing_id, listing_of, units
from adapters.tiktok_shop.shop import Shop
from daemon.domain.channel import LevelSeen, ListingPage
from daemon.domain.exchange import Exchange, Response
from daemon.domain.outcomes import Failure, Outcome

PAGE_SIZE: Final = 100
"""The most products that a page of the catalogue and one reading of their stock hold (§4)."""
SKUS_MAX: Final = 600
"""The most SKUs whose stock one call reads (§4)."""
GONE: Final = frozenset({"DELETED", "PLATFORM_DEACTIVATED", "FREEZE"})
"""Products in these states take no stock (§5: it must be DRAFT, PENDING, FAILED, ACTIVATE or SELLER_DEACTIVATED)."""

_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,2000}")
_TITLE_MAX: Final = 200


class Wares(msgspec.Struct):
    """A SKU's stock in one warehouse; `available_quantity` is without what is committed to orders."""

    warehouse_id: Id = None
    available_quantity: Any = None


class SkuStock(msgspec.Struct):
    """A SKU's stock. `total_available_quantity` counts what campaigns and creators have locked, too (§2, sample)."""

    id: Id = None
    seller_sku: str | None = None
    total_available_quantity: Any = None
    warehouse_inventory: list[Wares] | None = None

    def level(self, warehouse: str) -> int | None:
        """What may still be sold from our warehouse. None (unknown): it is not stocked there; or `warehouse` is "",
        and there are several, of which nobody said which is ours."""
        rows = self.warehouse_inventory or []
        if warehouse:
            return next((units(row.available_quantity) for row in rows if str(row.warehouse_id) == warehouse), None)
        return units(self.total_available_quantity) if len(rows) <= 1 else None


class ProductStock(msgspec.Struct):
    product_id: Id = None
    skus: list[SkuStock] | None = None


class _Inventory(msgspec.Struct):
    inventory: list[msgspec.Raw] | None = None


class _Sku(msgspec.Struct):
    id: Id = None
    seller_sku: str | None = None


class _Product(msgspec.Struct):
    id: Id
    title: str | None = None
    status: str | None = None
    skus: list[_Sku] | None = None


class _Products(msgspec.Struct):
    products: list[msgspec.Raw] | None = None
    next_page_token: str | None = None


def read_listings(shop: Shop, page: str) -> Exchange[ListingPage | Failure]:
    """A page of products and then their stock: the catalogue's own `quantity` is not said to be what may be sold.

    Listings without a readable stock are unknown, never zero. Where a SKU is in several warehouses, and nobody said
    which is ours, nothing is listed at all: it would stay unknown for ever, and nobody would know why.
    """
    cipher = yield from shop.own_cipher()
    if isinstance(cipher, Failure):
        return cipher
    query = [("page_size", str(PAGE_SIZE)), *([("page_token", page)] if _TOKEN.fullmatch(page) else [])]
    response = yield shop.post("/product/202502/products/search", cipher, {"status": "ALL"}, query)
    data = reading(response, _Products)
    if isinstance(data, Failure):
        return data
    following = data.next_page_token or ""
    if following and (following == page or not _TOKEN.fullmatch(following)):
        return Failure(Outcome("transient", "the catalogue's page token leads nowhere"))
    products = [product for row in data.products or () if (product := _product(row)) is not None]
    asked = [str(product.id) for product in products if product.status not in GONE and product.skus]
    stock: dict[str, SkuStock] = {}
    for start in range(0, len(asked), PAGE_SIZE):
        wanted = {"product_ids": asked[start : start + PAGE_SIZE]}
        found = stock_in((yield shop.post(STOCK, cipher, wanted)))
        if isinstance(found, Failure):
            return found
        stock |= found
    spread = next((sku for sku in stock.values() if len(sku.warehouse_inventory or ()) > 1), None)
    if spread is not None and not shop.warehouse:
        named = ", ".join(plain(str(row.warehouse_id), 40) for row in (spread.warehouse_inventory or ())[:5])
        why = f"SKU {plain(spread.seller_sku or str(spread.id), 60)} is stocked in several warehouses ({named})"
        return Failure(Outcome("permanent", f"{why}: set warehouse to the one whose stock is kept here"))
    chosen = set(asked)
    levels = [
        _seen(listing, sku, product.title, stock.get(listing), shop.warehouse)
        for product in products if str(product.id) in chosen
        for sku in product.skus or () if (listing := listing_of(product.id, sku.id))
    ]  # fmt: skip
    return ListingPage(tuple({seen.listing: seen for seen in levels}.values()), following)


STOCK: Final = "/product/202309/inventory/search"


def read_levels(shop: Shop, listings: Sequence[str]) -> Exchange[tuple[LevelSeen, ...] | Failure]:
    """The levels of `listings` now. What is no listing id of ours, or gone, is left out."""
    wanted = {str(each): each.sku for each in filter(None, map(listing_id, listings))}
    if not wanted:
        return ()
    cipher = yield from shop.own_cipher()
    if isinstance(cipher, Failure):
        return cipher
    skus = list(dict.fromkeys(wanted.values()))
    stock: dict[str, SkuStock] = {}
    for start in range(0, len(skus), SKUS_MAX):
        found = stock_in((yield shop.post(STOCK, cipher, {"sku_ids": skus[start : start + SKUS_MAX]})))
        if isinstance(found, Failure):
            return found
        stock |= found
    return tuple(
        LevelSeen(listing, row.level(shop.warehouse), None, row.seller_sku or None)
        for listing in wanted if (row := stock.get(listing)) is not None
    )  # fmt: skip


def stock_in(response: Response) -> dict[str, SkuStock] | Failure:
    """The stock that an inventory search found, by listing. A row that cannot be read is left out."""
    data = reading(response, _Inventory)
    if isinstance(data, Failure):
        return data
    stock: dict[str, SkuStock] = {}
    for row in data.inventory or ():
        try:
            product = decode(row, ProductStock)
        except UnreadableError:
            continue
        stock |= {
            listing: sku for sku in product.skus or () if (listing := listing_of(product.product_id, sku.id))
        }  # fmt: skip
    return stock


def _product(row: msgspec.Raw) -> _Product | None:
    try:
        product = decode(row, _Product)
    except UnreadableError:
        return None
    return product if listing_of(product.id, 1) else None


def _seen(listing: str, sku: _Sku, title: str | None, stock: SkuStock | None, warehouse: str) -> LevelSeen:
    """As the shop shows it at the moment of the read."""
    level = stock.level(warehouse) if stock is not None else None
    return LevelSeen(listing, level, None, sku.seller_sku or None, title=plain(title or "", _TITLE_MAX))

"""Reading the catalogue with its levels: page by page, or some listings as they are now (woocommerce.md §4)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from attrs import evolve

from adapters.strict import UnreadableError, decode
from adapters.woocommerce.auth import Store
from adapters.woocommerce.lists import PER_PAGE, more_pages, rows_of
from adapters.woocommerce.payloads import PRODUCT_FIELDS, ListingId, Product, holds_no_stock, level_seen, listing_id
from adapters.woocommerce.refusals import failed_read, garbled, is_missing
from daemon.domain.channel import LevelSeen, ListingPage
from daemon.domain.exchange import Exchange
from daemon.domain.outcomes import Failure

_PLACE = re.compile(r"([0-9]{1,9});((?:[0-9]{1,19},)*)([0-9]{1,6})")


class _Place(NamedTuple):
    """Where the catalogue goes on: page `page` of `parents[0]`'s variations or, without parents, of the products.

    `product_page` is the page of products to read once `parents` are done (0: none is left).
    """

    product_page: int
    parents: tuple[int, ...]
    page: int

    def __str__(self) -> str:
        return f"{self.product_page};{''.join(f'{parent},' for parent in self.parents)}{self.page}"

    def then(self) -> str:
        """This place as a page token, "" if nothing is left to read."""
        return str(self) if self.parents or self.product_page else ""


def read_listings(store: Store, page: str) -> Exchange[ListingPage | Failure]:
    """A page of products, or of one parent's variations: the product list never holds variations (recording 02).

    Whole, in any status but trash; by id, so that pages do not shift while they are read. Levels that are no
    whole number are unknown. The store-wide list of variations came with 10.3 only, so it is not used.
    """
    found = _PLACE.fullmatch(page)
    place = _Place(1, (), 1)
    if found:
        place = _Place(int(found[1]), tuple(int(each) for each in found[2].split(",") if each), int(found[3]))
    if place.parents:
        return (yield from _read_variations(store, place))
    return (yield from _read_products(store, max(1, place.product_page)))


def _read_products(store: Store, page: int) -> Exchange[ListingPage | Failure]:
    response = yield store.get("/products", _catalogue_page(page))
    rows = rows_of(response)
    if isinstance(rows, Failure):
        return rows
    products = [product for row in rows if (product := _product(row)) is not None]
    parents = tuple(product.id for product in products if product.variations or product.type.startswith("variable"))
    levels = [seen for each in products if not holds_no_stock(each) and (seen := _level(each)) is not None]
    next_products = page + 1 if more_pages(response, page, len(rows)) else 0
    return ListingPage(tuple(levels), _Place(next_products, parents, 1).then())


def _read_variations(store: Store, place: _Place) -> Exchange[ListingPage | Failure]:
    parent = place.parents[0]
    done = _Place(place.product_page, place.parents[1:], 1)
    response = yield store.get(f"/products/{parent}/variations", _catalogue_page(place.page))
    if is_missing(response):
        return ListingPage((), done.then())
    rows = rows_of(response)
    if isinstance(rows, Failure):
        return rows
    variations = [product for row in rows if (product := _product(row)) is not None]
    owner_sku = None
    if any(variation.manage_stock == "parent" for variation in variations):
        # What such a variation sells comes out of its parent's stock: link it to its parent's SKU.
        answer = yield store.get(f"/products/{parent}", [("_fields", PRODUCT_FIELDS)])
        failure = failed_read(answer)
        if failure is not None:
            return failure
        try:
            owner_sku = decode(answer.body, Product).sku or None
        except UnreadableError:
            return Failure(garbled(answer, write=False))
    levels = [seen for each in variations if (seen := _level(each, parent, owner_sku)) is not None]
    if more_pages(response, place.page, len(rows)):
        return ListingPage(tuple(levels), place._replace(page=place.page + 1).then())
    return ListingPage(tuple(levels), done.then())


def _catalogue_page(page: int) -> list[tuple[str, str]]:
    return [
        ("per_page", str(PER_PAGE)), ("page", str(page)), ("orderby", "id"), ("order", "asc"),
        ("_fields", PRODUCT_FIELDS),
    ]  # fmt: skip


def read_levels(store: Store, listings: Sequence[str]) -> Exchange[tuple[LevelSeen, ...] | Failure]:
    """The levels of `listings` now. Variations need one call for each parent: `/products` knows them not
    (recording 11). What is no listing id of ours, or gone, is left out."""
    wanted: dict[int, list[int]] = {}
    for each in dict.fromkeys(filter(None, map(listing_id, listings))):
        if each.variation is None:
            wanted.setdefault(0, []).append(each.product)
        else:
            wanted.setdefault(each.product, []).append(each.variation)
    seen: list[LevelSeen] = []
    for parent, ids in wanted.items():
        path = f"/products/{parent}/variations" if parent else "/products"
        for start in range(0, len(ids), PER_PAGE):
            chunk = ids[start : start + PER_PAGE]
            response = yield store.get(
                path,
                [
                    ("include", ",".join(map(str, chunk))), ("per_page", str(PER_PAGE)),
                    ("_fields", PRODUCT_FIELDS),
                ],
                fresh=True,
            )  # fmt: skip
            if is_missing(response):
                continue
            rows = rows_of(response)
            if isinstance(rows, Failure):
                return rows
            products = [product for row in rows if (product := _product(row)) is not None and product.id in chunk]
            seen += [level for each in products if (level := _level(each, parent)) is not None]
    return tuple(seen)


def _product(row: msgspec.Raw) -> Product | None:
    try:
        return decode(row, Product)
    except UnreadableError:
        return None


def _level(product: Product, parent: int = 0, owner_sku: str | None = None) -> LevelSeen | None:
    """The row's level: unknown where its number is none we trust, None where the row is no listing at all.

    It is what the store shows at the moment of the read. Its `date_modified_gmt` says only when the product was
    saved last: a sale of that very second could not be told to lie before it, so it is no stamp of the read.
    """
    try:
        return evolve(level_seen(product, parent=parent, owner_sku=owner_sku), own=None)
    except UnreadableError:
        listing = str(ListingId(parent, product.id) if parent else ListingId(product.id))
        known = listing_id(listing) is not None
        return LevelSeen(listing, None, None, product.sku or None, title=product.name) if known else None

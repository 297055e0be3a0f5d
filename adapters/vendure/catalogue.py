"""Reading the catalogue with its levels: page by page, or some listings as they are now."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec
from attrs import frozen

from adapters.strict import UnreadableError, decode
from adapters.vendure import documents
from adapters.vendure.answers import failed_read, reading
from adapters.vendure.payloads import Count, Id, Stocked, level_seen
from adapters.vendure.settings import is_id
from adapters.vendure.shop import Shop
from daemon.domain.channel import LevelSeen, ListingPage
from daemon.domain.exchange import Exchange, Response
from daemon.domain.outcomes import Failure

_PAGE = re.compile(r"[1-9][0-9]{0,7}")
NAMED_MAX = 20


class _Settings(msgspec.Struct):
    trackInventory: bool  # noqa: N815  # Vendure's names, here and below


class _Location(msgspec.Struct):
    id: Id


class _Locations(msgspec.Struct):
    items: list[_Location]


class _Variants(msgspec.Struct):
    items: list[msgspec.Raw]
    totalItems: Count  # noqa: N815


class _Data(msgspec.Struct):
    globalSettings: _Settings  # noqa: N815
    stockLocations: _Locations  # noqa: N815
    productVariants: _Variants  # noqa: N815


class _Named(msgspec.Struct):
    id: Id


@frozen
class Shelf:
    """Variants by their id, as they are at our location; None for one whose stock makes no sense."""

    location: str
    tracks: bool
    variants: Mapping[str, Stocked | None]
    total: int = 0

    def level(self, listing: str) -> LevelSeen:
        """What one of `variants` shows."""
        variant = self.variants[listing]
        return level_seen(variant, self.location, tracks=self.tracks) if variant else LevelSeen(listing, None, None)


def read_listings(shop: Shop, page: str) -> Exchange[ListingPage | Failure]:
    """A page of variants: what is sold, and has the stock. What is deleted meanwhile draws others forward, over the
    edge of a page: they come with the next reading."""
    skip = int(page) if _PAGE.fullmatch(page) else 0
    variables = {"take": documents.VARIANTS_PER_PAGE, "skip": skip}
    shelf = _shelf(shop, (yield shop.ask(documents.VARIANTS, variables)))
    if isinstance(shelf, Failure):
        return shelf
    reached = skip + documents.VARIANTS_PER_PAGE
    following = str(reached) if shelf.variants and reached < shelf.total else ""
    return ListingPage(tuple(map(shelf.level, shelf.variants)), following)


def read_levels(shop: Shop, listings: Sequence[str]) -> Exchange[tuple[LevelSeen, ...] | Failure]:
    """The levels of `listings` now. What is no variant, or gone, is left out."""
    seen: list[LevelSeen] = []
    wanted = [each for each in dict.fromkeys(listings) if is_id(each)]
    for start in range(0, len(wanted), documents.LEVELS_AT_ONCE):
        shelf = yield from read_shelf(shop, wanted[start : start + documents.LEVELS_AT_ONCE])
        if isinstance(shelf, Failure):
            return shelf
        seen += map(shelf.level, shelf.variants)
    return tuple(seen)


def read_shelf(shop: Shop, listings: Sequence[str]) -> Exchange[Shelf | Failure]:
    """At most `LEVELS_AT_ONCE` variants as they are now."""
    response = yield shop.ask(documents.LEVELS, {"ids": list(listings), "take": documents.LEVELS_AT_ONCE})
    return _shelf(shop, response, listings)


def _shelf(shop: Shop, response: Response, asked: Sequence[str] | None = None) -> Shelf | Failure:
    data = reading(response, _Data)
    if isinstance(data, Failure):
        return data
    location = _location(shop, [each.id for each in data.stockLocations.items])
    if isinstance(location, Failure):
        return location
    variants: dict[str, Stocked | None] = {}
    for row in data.productVariants.items:
        try:
            listing = decode(row, _Named).id
        except UnreadableError as exc:
            return failed_read(f"the catalogue could not be read: {exc}")
        if asked is None or listing in asked:
            variants[listing] = _stocked(row)
    return Shelf(location, data.globalSettings.trackInventory, variants, data.productVariants.totalItems)


def _stocked(row: msgspec.Raw) -> Stocked | None:
    try:
        return decode(row, Stocked)
    except UnreadableError:
        return None


def _location(shop: Shop, known: Sequence[str]) -> str | Failure:
    """The location whose stock is ours to write. A shop with several has to be told which: their stock adds up there,
    and must not be written twice. An order does not say from where it is sent: all count against this one."""
    named = ", ".join(known[:NAMED_MAX]) or "none"
    if shop.location:
        if shop.location in known or len(known) >= documents.LOCATIONS_MAX:
            return shop.location
        return failed_read(
            f"the shop has no stock location {shop.location}: set location to one of {named}", "permanent"
        )
    if len(known) == 1:
        return known[0]
    why = "the shop has no stock location" if not known else f"the shop has several stock locations ({named})"
    return failed_read(f"{why}: set location to the id of the one whose stock is kept here", "permanent")

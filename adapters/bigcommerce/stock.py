"""Reading stock: the whole inventory page by page, or some listings as they are now (bigcommerce.md §4)."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from adapters.bigcommerce.account import Store
from adapters.bigcommerce.lists import more_pages, v3_rows
from adapters.bigcommerce.payloads import Item, level_seen
from adapters.bigcommerce.settings import objection, read_settings
from adapters.bigcommerce.values import listing_id
from adapters.strict import UnreadableError, decode
from daemon.domain.channel import LevelSeen, ListingPage
from daemon.domain.exchange import Exchange
from daemon.domain.outcomes import Failure, Outcome

PER_PAGE = 1_000
"""The most there is (§4)."""
IDS_MAX = 250
"""Ids in one filter: the address stays below 6 kB."""


class _Location(msgspec.Struct):
    id: int


_PAGE = re.compile(r"[1-9][0-9]{0,5}")


def read_listings(store: Store, page: str) -> Exchange[ListingPage | Failure]:
    """A page of the inventory at our location: it knows every variant's SKU, and there is no list of changes (§4).

    Before the first page the store is looked at: with other settings its numbers mean something else, and of a
    location that is none of its own it would show nothing, without a word.
    """
    number = int(page) if _PAGE.fullmatch(page) else 1
    if number == 1:
        unfit = yield from _unfit(store)
        if unfit is not None:
            return unfit
    query = [("location_id:in", str(store.location)), ("limit", str(PER_PAGE)), ("page", str(number))]
    found = v3_rows((yield store.get("/v3/inventory/items", query)))
    if isinstance(found, Failure):
        return found
    levels = [level_seen(item, store.location) for row in found.rows if (item := _item(row)) is not None]
    return ListingPage(tuple(levels), str(number + 1) if more_pages(found, number, PER_PAGE) else "")


def _unfit(store: Store) -> Exchange[Failure | None]:
    """Why the store's stock cannot be kept in step as it is set up; None where it can."""
    settings = yield from read_settings(store)
    if isinstance(settings, Failure):
        return settings
    if why := objection(settings):
        return Failure(Outcome("permanent", why))
    response = yield store.get("/v3/inventory/locations")
    if response.status == 403:
        return None  # the scope to read locations is missing, which alone does no harm
    found = v3_rows(response)
    if isinstance(found, Failure):
        return found
    known = [place.id for row in found.rows if (place := _location(row)) is not None]
    if store.location in known or more_pages(found, 1, PER_PAGE):
        return None
    named = ", ".join(map(str, known[:20])) or "none"
    return Failure(
        Outcome("permanent", f"the store has no location {store.location}: set location_id to one of {named}")
    )


def read_items(store: Store, variants: Sequence[int]) -> Exchange[dict[int, Item] | Failure]:
    """Items by their variant's number, as they are now; what is gone is left out."""
    seen: dict[int, Item] = {}
    wanted = list(dict.fromkeys(variants))
    for start in range(0, len(wanted), IDS_MAX):
        chunk = wanted[start : start + IDS_MAX]
        query = [
            ("variant_id:in", ",".join(map(str, chunk))), ("location_id:in", str(store.location)),
            ("limit", str(PER_PAGE)), ("page", "1"),
        ]  # fmt: skip
        found = v3_rows((yield store.get("/v3/inventory/items", query)))
        if isinstance(found, Failure):
            return found
        items = [item for row in found.rows if (item := _item(row)) is not None]
        seen |= {item.identity.variant_id: item for item in items if item.identity.variant_id in chunk}
    return seen


def read_levels(store: Store, listings: Sequence[str]) -> Exchange[tuple[LevelSeen, ...] | Failure]:
    """The levels of `listings` now. What is no listing of ours, or gone, is left out.

    A write of a moment ago may not show yet (§5, "asynchronous"), so a level is no proof against a push under way.
    """
    wanted = [each for each in map(listing_id, dict.fromkeys(listings)) if each is not None]
    if not wanted:
        return ()
    items = yield from read_items(store, [each.variant for each in wanted])
    if isinstance(items, Failure):
        return items
    found = [item for each in wanted if (item := items.get(each.variant)) is not None and item.listing() == each]
    return tuple(level_seen(item, store.location) for item in found)


def _location(row: msgspec.Raw) -> _Location | None:
    try:
        return decode(row, _Location)
    except UnreadableError:
        return None


def _item(row: msgspec.Raw) -> Item | None:
    """A row that names no variant is no listing."""
    try:
        return decode(row, Item)
    except UnreadableError:
        return None

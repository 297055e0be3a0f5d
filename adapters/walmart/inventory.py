"""Reading levels: page by page, or some listings as they are now (walmart.md §4, §5.1).

A level is the input quantity: what may be sold and, with it, what Walmart has open orders for (`includes_held`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from adapters.strict import UnreadableError, decode, whole_units
from adapters.walmart.limits import STOCK
from adapters.walmart.payloads import Amount, rows, units_of
from adapters.walmart.refusals import failed_read, faults_in, faults_of, garbled, is_missing, nothing_found, of_faults
from adapters.walmart.seller import Seller, encoded
from daemon.domain.channel import LevelSeen, ListingPage
from daemon.domain.exchange import Exchange, Response
from daemon.domain.outcomes import Failure, Outcome

PAGE = 50
"""The most that a page holds; a short one does not mean that it is the last (walmart.md §4)."""
ROWS_MAX = 10 * PAGE
CURSOR_MAX = 4_000
NODES_NAMED = 5


class _Node(msgspec.Struct):
    shipNode: Any = None  # noqa: N815  # Walmart's own names, here and below
    inputQty: Amount | UnsetType | None = UNSET  # noqa: N815
    availToSellQty: Amount | UnsetType | None = UNSET  # noqa: N815
    reservedQty: Amount | UnsetType | None = UNSET  # noqa: N815
    errors: Raw | UnsetType = UNSET


class _Item(msgspec.Struct):
    sku: str
    nodes: Raw | UnsetType = UNSET


class _Meta(msgspec.Struct):
    nextCursor: str | None = None  # noqa: N815


class _Elements(msgspec.Struct):
    inventories: Raw | UnsetType = UNSET


class _Page(msgspec.Struct):
    elements: _Elements
    meta: _Meta | UnsetType | None = UNSET


class ManyNodesError(ValueError):
    """The seller has several ship nodes and nobody said which one is ours."""


def sendable(listing: str) -> bool:
    """May this SKU stand in a path?"""
    return bool(listing) and listing not in (".", "..")


def read_listings(seller: Seller, page: str) -> Exchange[ListingPage | Failure]:
    """A page of all inventories; the cursor is opaque."""
    query = [("limit", str(PAGE)), *([("nextCursor", page)] if page else [])]
    response = yield seller.get("/v3/inventories", query, meter=STOCK)
    if nothing_found(response):
        return ListingPage((), "")
    failure = failed_read(response)
    if failure is not None:
        return failure
    try:
        found = decode(response.body, _Page)
        items = rows(found.elements.inventories, "the list of inventories")
        cursor = (found.meta.nextCursor or "") if isinstance(found.meta, _Meta) else ""
        if len(items) > ROWS_MAX or len(cursor) > CURSOR_MAX or (cursor and cursor == page):
            return Failure(Outcome("transient", "a page of the inventories is too long, or the same one again"))
        return ListingPage(tuple(_listed(seller, item) for item in items), cursor)
    except ManyNodesError as exc:
        return Failure(Outcome("permanent", str(exc)))
    except UnreadableError:
        return Failure(_unread(response, "inventories"))


def read_levels(seller: Seller, listings: Sequence[str]) -> Exchange[tuple[LevelSeen, ...] | Failure]:
    """Each listing by itself. A SKU that Walmart does not know is left out."""
    seen: list[LevelSeen] = []
    for listing in listings:
        if not sendable(listing):
            continue
        node = [("shipNode", seller.ship_node)] if seller.ship_node else []
        response = yield seller.get(f"/v3/inventories/{encoded(listing)}", node, meter=STOCK)
        if is_missing(response):
            continue
        failure = failed_read(response)
        if failure is not None:
            return failure
        try:
            seen.append(level_seen(seller, _asked(response, listing)))
        except ManyNodesError as exc:
            return Failure(Outcome("permanent", str(exc)))
        except UnreadableError as exc:
            return Failure(_unread(response, f"the inventory of {listing[:60]!r}", str(exc)))
    return tuple(seen)


def _asked(response: Response, listing: str) -> _Item:
    item = decode(response.body, _Item)
    if item.sku != listing:
        raise UnreadableError("the answer is about another SKU")
    return item


def _unread(response: Response, what: str, why: str = "") -> Outcome:
    faults = faults_in(response)
    if faults:
        outcome = of_faults(faults, what)
        return outcome if outcome.kind == "permanent" else Outcome("transient", outcome.reason)
    return Outcome("transient", f"{what}: {why}") if why else garbled(response, write=False)


def _listed(seller: Seller, row: Raw) -> LevelSeen:
    """A row of the catalogue. One whose quantities cannot be read shows an unknown level, never zero."""
    item = decode(row, _Item)
    if not item.sku:
        raise UnreadableError("an inventory without a SKU")
    try:
        return level_seen(seller, item)
    except UnreadableError:
        return LevelSeen(item.sku, None, None, item.sku)


def level_seen(seller: Seller, item: _Item) -> LevelSeen:
    """What an item shows at our node; None where it has no inventory there. Raises `UnreadableError`, and
    `ManyNodesError` where it has several and none is configured."""
    nodes = [decode(row, _Node) for row in rows(item.nodes, "nodes")]
    if seller.ship_node:
        nodes = [node for node in nodes if node.shipNode == seller.ship_node]
    elif len(nodes) > 1:
        names = ", ".join(str(node.shipNode)[:40] for node in nodes[:NODES_NAMED])
        raise ManyNodesError(
            f"the stock of {item.sku[:60]!r} lies at several ship nodes ({names}): set ship_node in the "
            "configuration to the one whose stock this is"
        )
    if not nodes:
        return LevelSeen(item.sku, None, None, item.sku)
    node = nodes[0]
    if isinstance(node.errors, Raw) and (faults := faults_of(node.errors)):
        raise UnreadableError(faults[0].text())
    if isinstance(node.inputQty, Amount) and node.inputQty.amount is None:
        return LevelSeen(item.sku, None, None, item.sku)
    level = units_of(node.inputQty, "inputQty")
    return LevelSeen(item.sku, level, None, item.sku, included=_included(node, level))


def _included(node: _Node, level: int) -> int | None:
    """Units of open orders within the input: what is reserved or, more surely, what is not on sale; None where
    neither is said. What is on sale is never negative, so at zero it says nothing of a debt."""
    reserved, on_sale = _stated(node.reservedQty), _stated(node.availToSellQty)
    missing = None if on_sale is None else level - on_sale
    known = [units for units in (reserved, missing) if units is not None]
    return max(0, *known) if known else None


def _stated(value: Amount | UnsetType | None) -> int | None:
    return whole_units(value.amount, "a quantity") if isinstance(value, Amount) and value.amount is not None else None

"""Writing stock: batches of products, or of one parent's variations, each item's answer held against the wish."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from attrs import evolve

from adapters.groups import grouped
from adapters.strict import UnreadableError, decode
from adapters.woocommerce.auth import Store
from adapters.woocommerce.payloads import ListingId, Product, listing_id, own_level, second
from adapters.woocommerce.refusals import Refusal, describe, garbled, refused
from daemon.domain.channel import Push
from daemon.domain.exchange import Exchange, Request, Response
from daemon.domain.observations import QUANTITY_MAX
from daemon.domain.outcomes import Outcome

BATCH_MAX = 100
"""More, over create, update and delete together, are a 413 and nothing is done (recording 07)."""


class _Answer(msgspec.Struct):
    update: list[msgspec.Raw]


class _Id(msgspec.Struct):
    id: int


class _Item(msgspec.Struct):
    error: Refusal | None = None


def batches(pushes: Sequence[Push], batch_max: int) -> list[list[Push]]:
    """Groups for one call each: products together, variations with those of the same parent (recording 07).

    A group stands where its most urgent push stood. One listing twice means two groups: within a call the
    last one would win. What is no listing id of ours goes alone.
    """

    def alike(push: Push) -> int | None:
        listing = listing_id(push.listing)
        return None if listing is None else _parent(listing)

    return grouped(pushes, batch_max, alike)


def push(store: Store, batch: Sequence[Push]) -> Exchange[Sequence[Outcome]]:
    """Write one group of `batches`; one outcome per item, in order.

    There is neither idempotency key nor compare-and-set (recording 16; woocommerce.md §5). Levels are absolute, so
    repeating a write does no harm by itself, but it overwrites what was sold meanwhile.
    """
    first = next((listing for each in batch if (listing := listing_id(each.listing)) is not None), None)
    unsent = {each.listing: outcome for each in batch if (outcome := _unsendable(each, first)) is not None}
    sent = [each for each in batch if each.listing not in unsent]
    if not sent or first is None:
        return [unsent[each.listing] for each in batch]
    response = yield _request(store, _parent(first), sent)
    answered = _read(response, sent)
    return [unsent.get(each.listing) or answered[each.listing] for each in batch]


def _parent(listing: ListingId) -> int:
    return listing.product if listing.variation is not None else 0


def _unsendable(push: Push, first: ListingId | None) -> Outcome | None:
    """Batches check no types - "abc" became 0 - so we do (recording 07)."""
    listing = listing_id(push.listing)
    if listing is None or first is None:
        return Outcome(
            "permanent", f"{push.listing[:60]!r} is no listing id of WooCommerce: 12, or 12/34 for a variation"
        )
    if isinstance(push.level, bool) or not isinstance(push.level, int) or not 0 <= push.level <= QUANTITY_MAX:
        return Outcome("permanent", f"a level must be a whole number from 0 to {QUANTITY_MAX}")
    if _parent(listing) != _parent(first):
        return Outcome("transient", f"{push.listing} cannot go into one call with {first}")
    return None


def _row(listing: ListingId) -> int:
    return listing.product if listing.variation is None else listing.variation


def _request(store: Store, parent: int, sent: Sequence[Push]) -> Request:
    """Never with `_fields`: on a batch they empty the whole answer (recording 07).

    A product is told to manage its stock in the same breath, or its quantity might be wiped (woocommerce.md §5).
    A variation is not: that would tear one that sells its parent's stock off the parent's pool, and the same
    units would be on sale twice. Without it such a write does nothing, and the answer shows so (recording 16).
    """
    manage = {} if parent else {"manage_stock": True}
    rows = [{"id": _row(listing), **manage, "stock_quantity": push.level} for push, listing in _named(sent)]
    path = f"/products/{parent}/variations/batch" if parent else "/products/batch"
    return store.write("POST", path, {"update": rows})


def _named(sent: Sequence[Push]) -> list[tuple[Push, ListingId]]:
    return [(push, listing) for push in sent if (listing := listing_id(push.listing)) is not None]


def _read(response: Response, sent: Sequence[Push]) -> dict[str, Outcome]:
    outcome = refused(response, write=True)
    answers: dict[int, msgspec.Raw] = {}
    if outcome is None:
        try:
            answers = _by_id(decode(response.body, _Answer).update)
        except UnreadableError:
            outcome = garbled(response, write=True)
    if outcome is not None:
        alone = evolve(outcome, whole_call=outcome.whole_call and len(sent) > 1)
        return {push.listing: alone for push in sent}
    return {push.listing: _settled(answers.get(_row(listing))) for push, listing in _named(sent)}


def _by_id(rows: Sequence[msgspec.Raw]) -> dict[int, msgspec.Raw]:
    """An item's answer bears its id; where the store could not even read one, it says null (recording 07)."""
    found: dict[int, msgspec.Raw] = {}
    for row in rows:
        try:
            found[decode(row, _Id).id] = row
        except UnreadableError:
            continue
    return found


def _settled(row: msgspec.Raw | None) -> Outcome:
    """What became of one item: a 200 does not mean that it was done (recordings 02, 07, 16)."""
    if row is None:
        return Outcome("unknown", "the store's answer leaves this item out")
    try:
        item = decode(row, _Item)
        if item.error is not None:
            return _item_refused(item.error)
        product = decode(row, Product)
        own = second(product.date_modified_gmt) if product.date_modified_gmt else None
        if product.manage_stock == "parent":
            return Outcome("permanent", "this variation sells its parent's stock: link and push the parent instead")
        level = own_level(product)
    except UnreadableError as exc:
        return Outcome("unknown", f"the store's answer to this item cannot be read: {exc}")
    if level is None:
        return Outcome("permanent", "the store does not manage this listing's stock: switch on its stock management")
    return Outcome("ok", level=level, own=own)


def _item_refused(error: Refusal) -> Outcome:
    status = error.status()
    if status == 429:
        return Outcome("throttled", describe(error))
    if status >= 500 and not error.code.startswith("woocommerce_rest_"):
        return Outcome("unknown", describe(error))
    return Outcome("permanent", describe(error))

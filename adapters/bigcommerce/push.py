"""Writing stock: absolute on-hand quantities at our location, and reading whether they came through (§5)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec
from attrs import evolve, frozen

from adapters.bigcommerce.account import Store
from adapters.bigcommerce.payloads import Item, level_seen
from adapters.bigcommerce.refusals import garbled, refusal_in, refused
from adapters.bigcommerce.stock import read_items
from adapters.bigcommerce.values import ListingId, listing_id
from adapters.groups import grouped
from adapters.strict import UnreadableError, decode
from daemon.domain.channel import Push
from daemon.domain.exchange import Exchange, Request, Response
from daemon.domain.observations import QUANTITY_MAX
from daemon.domain.outcomes import Failure, Outcome

BATCH_MAX = 2_000
"""Items in one call; more are refused (§5)."""
WRITES_MAX = 4
"""A call that is refused for rows it names is sent again without them, at most so often; then it is halved."""
_NAMED = re.compile(r"variant_id:? ?\[?([0-9]{1,18}(?:, ?[0-9]{1,18})*)\]?")

Outcomes = dict[str, Outcome]
"""By listing."""


class _Taken(msgspec.Struct):
    transaction_id: str


@frozen
class _Row:
    """One item to write. `by_product`: the store tracks it on the product, whose only variant it is."""

    push: Push
    listing: ListingId
    on_hand: int
    by_product: bool = False

    def written(self, location: int) -> dict[str, int]:
        named = ("product_id", self.listing.product) if self.by_product else ("variant_id", self.listing.variant)
        return {"location_id": location, named[0]: named[1], "quantity": self.on_hand}


def batches(pushes: Sequence[Push], batch_max: int) -> list[list[Push]]:
    """In order of urgency; one listing twice means two groups: within a call nobody says which of them wins."""
    return grouped(pushes, batch_max)


def push(store: Store, batch: Sequence[Push], key: str) -> Exchange[Sequence[Outcome]]:
    """Write one group of `batches`; one outcome per item, in order.

    What is written is `total_inventory_onhand`; what shoppers see is `available_to_sell`, which the item's safety
    stock makes smaller (§4, §5). A level is what they see, so its safety stock is read and added; what comes of it is
    read, too, because how the store subtracts it is not surely known. Zero is written as zero: it needs no read.
    The same read is the last look at what the store shows: where that is not what we believe, nothing is written.

    The answer names a transaction that is applied later (§5): what is read at once settles only where it shows the
    level; everything else is "accepted" and followed. There is no idempotency key; an absolute write may be repeated.
    """
    outcomes = {each.listing: outcome for each in batch if (outcome := _unsendable(each)) is not None}
    rows = yield from _rows(store, batch, outcomes)
    if rows:
        outcomes |= yield from _write(store, rows, key)
    together = sum(outcomes[each.listing].whole_call for each in batch)
    return [_decided(outcomes[each.listing], together, len(batch)) for each in batch]


def follow(store: Store, batch: Sequence[Push], job: str) -> Exchange[Sequence[Outcome]]:
    """Did these writes come through? There is no way to ask for a transaction, only for the stock.

    A level that is not ours says nothing: the write may be on its way, or units were sold after it. When the patience
    for that is over, the listing is read back like any push in doubt.
    """
    ids = {each.listing: listing for each in batch if (listing := listing_id(each.listing)) is not None}
    items = yield from read_items(store, [listing.variant for listing in ids.values()])
    waiting = Outcome("accepted", "taken in; its stock does not show it yet", job=job)
    if isinstance(items, Failure):
        return [evolve(waiting, reason=items.reason)] * len(batch)
    return [_shown(items, each, ids.get(each.listing), store.location) or waiting for each in batch]


def _unsendable(push: Push) -> Outcome | None:
    if listing_id(push.listing) is None:
        return Outcome("permanent", f"{push.listing[:60]!r} is no listing of BigCommerce: write it as 206/509")
    if isinstance(push.level, bool) or not isinstance(push.level, int) or not 0 <= push.level <= QUANTITY_MAX:
        return Outcome("permanent", f"a level must be a whole number from 0 to {QUANTITY_MAX}")
    return None


def _rows(store: Store, batch: Sequence[Push], outcomes: Outcomes) -> Exchange[list[_Row]]:
    """The rows to write; what cannot be written now gets its outcome."""
    sendable = [
        (each, listing)
        for each in batch
        if each.listing not in outcomes and (listing := listing_id(each.listing)) is not None
    ]
    rows = [_Row(each, listing, 0) for each, listing in sendable if not each.level]
    selling = [(each, listing) for each, listing in sendable if each.level]
    if not selling:
        return rows
    items = yield from read_items(store, [listing.variant for _, listing in selling])
    for each, listing in selling:
        if isinstance(items, Failure):
            # Nothing was written: whatever hindered the read does not make the push impossible by itself.
            kind = items.outcome.kind
            outcomes[each.listing] = items.outcome if kind in ("throttled", "permanent") else evolve(
                items.outcome, kind="transient"
            )  # fmt: skip
            continue
        ready = _ready(each, listing, items.get(listing.variant), store.location)
        if isinstance(ready, Outcome):
            outcomes[each.listing] = ready
        else:
            rows.append(ready)
    return rows


def _ready(push: Push, listing: ListingId, item: Item | None, location: int) -> _Row | Outcome:
    if item is None or item.listing() != listing:
        return Outcome("permanent", f"the store has no stock of {listing} at location {location}: is it gone?")
    place = item.at(location)
    shown = level_seen(item, location).level
    if push.believed is not None and shown is not None and shown != push.believed:
        return Outcome("conflict", f"it shows {shown}, not {push.believed}", level=shown)
    safety = max(0, place.settings.safety_stock) if place is not None else 0
    if push.level + safety > QUANTITY_MAX:
        return Outcome("permanent", f"its safety stock of {safety} leaves no room for {push.level}")
    return _Row(push, listing, push.level + safety)


def _write(store: Store, pending: Sequence[_Row], key: str) -> Exchange[Outcomes]:
    """The write itself; rows that a refusal names are taken out, the others sent again (§5, "Known 422 titles")."""
    outcomes: Outcomes = {}
    for write in range(1, WRITES_MAX + 1):
        response = yield _request(store, pending, key)
        outcome = refused(response, write=True)
        if outcome is None:
            return outcomes | (yield from _taken(store, pending, response))
        if "Location not found" in outcome.reason:
            outcome = evolve(outcome, reason=f"{outcome.reason}: is location_id right?", whole_call=False)
        named = _named(response, pending) if response.status == 422 else []
        if not named or write == WRITES_MAX:
            return outcomes | {row.push.listing: outcome for row in pending}
        kept: list[_Row] = []
        for row in pending:
            if row not in named:
                kept.append(row)
            elif (
                "tracked by product" in outcome.reason
                and not row.by_product
                and (yield from _is_only_variant(store, row.listing))
            ):
                kept.append(evolve(row, by_product=True))
            else:
                outcomes[row.push.listing] = evolve(outcome, whole_call=False)
        if not kept:
            break
        pending = kept
    return outcomes


def _decided(outcome: Outcome, refused_together: int, batch: int) -> Outcome:
    """What a refusal of the whole call means for one item: a single one is meant itself, a whole batch is worth
    halving, and a part of one, beside items that are decided already, goes again by itself."""
    if not outcome.whole_call:
        return outcome
    if refused_together == 1:
        return evolve(outcome, whole_call=False)
    return outcome if refused_together == batch else evolve(outcome, kind="transient", whole_call=False)


def _request(store: Store, rows: Sequence[_Row], key: str) -> Request:
    reason = f"onhand {''.join(letter for letter in key if letter.isascii() and letter.isalnum())[:40]}"
    items = [row.written(store.location) for row in rows]
    return store.write("PUT", "/v3/inventory/adjustments/absolute", {"reason": reason, "items": items})


def _named(response: Response, rows: Sequence[_Row]) -> list[_Row]:
    """The rows whose variant the refusal's title names."""
    refusal = refusal_in(response)
    said = refusal.text() if refusal is not None else ""
    numbers = {int(number) for found in _NAMED.findall(said) for number in re.findall("[0-9]+", found)}
    return [row for row in rows if not row.by_product and row.listing.variant in numbers]


def _is_only_variant(store: Store, listing: ListingId) -> Exchange[bool]:
    """Is it the base variant of a product without options, which has no `sku_id` (read so from the catalogue's own
    variants, where it is null)? Then the product's stock is its own, and nobody else's."""
    items = yield from read_items(store, [listing.variant])
    item = None if isinstance(items, Failure) else items.get(listing.variant)
    return item is not None and item.listing() == listing and not item.identity.sku_id


def _taken(store: Store, rows: Sequence[_Row], response: Response) -> Exchange[Outcomes]:
    """The store took the rows in. Some stores show it at once; the others are asked again later."""
    try:
        job = decode(response.body, _Taken).transaction_id
    except UnreadableError:
        job = ""
    if not job:
        return {row.push.listing: garbled(response, write=True) for row in rows}
    pushes = [row.push for row in rows]
    found = yield from follow(store, pushes, job)
    return {push.listing: outcome for push, outcome in zip(pushes, found, strict=True)}


def _shown(items: Mapping[int, Item], push: Push, listing: ListingId | None, location: int) -> Outcome | None:
    """Settled, if the store shows the pushed level now."""
    item = items.get(listing.variant) if listing is not None else None
    if item is None or item.listing() != listing or level_seen(item, location).level != push.level:
        return None
    return Outcome("ok", level=push.level)

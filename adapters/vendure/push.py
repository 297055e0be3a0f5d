"""Writing stock: what is on hand at our location, absolute, many variants a call.

Vendure's sales *allocate*: what can be sold is what is on hand less what open orders hold, so that what is written is
the level and, on top of it, what the shop itself has allocated (self_hosted.md, finding 3: else open orders would be
taken off twice). Why its own number, and not ours: a sale that found too little allocates less than it sold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from attrs import evolve, frozen

from adapters.groups import grouped
from adapters.vendure import documents
from adapters.vendure.answers import said
from adapters.vendure.catalogue import Shelf, read_shelf
from adapters.vendure.payloads import Id, Stocked, StockLevel
from adapters.vendure.settings import is_id
from adapters.vendure.shop import Shop
from daemon.domain.channel import Push
from daemon.domain.exchange import Exchange
from daemon.domain.observations import QUANTITY_MAX
from daemon.domain.outcomes import Failure, Outcome

BATCH_MAX: Final = documents.LEVELS_AT_ONCE
"""What one look can see before it. Vendure states no limit; but a call is one transaction, in which shoppers wait:
fifty variants take half a second (measured)."""

Outcomes = dict[str, Outcome]
"""By listing."""


@frozen
class _Row:
    """One variant to write: `on_hand` at our location."""

    push: Push
    on_hand: int


class _Written(msgspec.Struct):
    id: Id
    stockLevels: list[StockLevel]  # noqa: N815  # Vendure's names


class _Data(msgspec.Struct):
    updateProductVariants: list[_Written | None]  # noqa: N815


def batches(pushes: Sequence[Push], batch_max: int) -> list[list[Push]]:
    """In order of urgency; one listing twice means two groups."""
    return grouped(pushes, batch_max)


def push(shop: Shop, batch: Sequence[Push]) -> Exchange[Sequence[Outcome]]:
    """Write one group of `batches`; one outcome per item, in order.

    What is allocated is read first, and that is the last look at what the shop shows: where it is not what we
    believe, nothing is written; zero raises nothing, and is written all the same. A sale between the look and the
    write is allocated, and so comes off by itself. What the answer shows is what came of it: only something handed
    over just then can make it more than was meant, and it is read back then.
    """
    outcomes: Outcomes = {each.listing: found for each in batch if (found := _unsendable(each)) is not None}
    sendable = [each for each in batch if each.listing not in outcomes]
    if sendable:
        shelf = yield from read_shelf(shop, [each.listing for each in sendable])
        if isinstance(shelf, Failure):
            # Nothing was written: whatever hindered the look does not make the push impossible by itself.
            kind = shelf.outcome.kind if shelf.outcome.kind in ("throttled", "permanent") else "transient"
            outcomes |= dict.fromkeys((each.listing for each in sendable), evolve(shelf.outcome, kind=kind))
        else:
            outcomes |= yield from _write(shop, shelf, sendable)
    together = sum(outcomes[each.listing].whole_call for each in batch)
    return [_decided(outcomes[each.listing], together, len(batch)) for each in batch]


def _unsendable(push: Push) -> Outcome | None:
    if not is_id(push.listing):
        return Outcome("permanent", f"{push.listing[:60]!r} is no variant of Vendure: its id is needed")
    if isinstance(push.level, bool) or not isinstance(push.level, int) or not 0 <= push.level <= QUANTITY_MAX:
        return Outcome("permanent", f"a level must be a whole number from 0 to {QUANTITY_MAX}")
    return None


def _write(shop: Shop, shelf: Shelf, sendable: Sequence[Push]) -> Exchange[Outcomes]:
    outcomes: Outcomes = {}
    rows: list[_Row] = []
    for each in sendable:
        ready = _ready(each, shelf)
        if isinstance(ready, Outcome):
            outcomes[each.listing] = ready
        else:
            rows.append(ready)
    if not rows:
        return outcomes
    wish = [
        {"id": row.push.listing, "stockLevels": [{"stockLocationId": shelf.location, "stockOnHand": row.on_hand}]}
        for row in rows
    ]
    data = said((yield shop.ask(documents.SET_STOCK, {"input": wish}, write=True)), _Data, write=True)
    if isinstance(data, Outcome):
        return outcomes | {row.push.listing: data for row in rows}
    shown = {written.id: _free(written, shelf.location) for written in data.updateProductVariants if written}
    return outcomes | {row.push.listing: _done(shown.get(row.push.listing)) for row in rows}


def _ready(push: Push, shelf: Shelf) -> _Row | Outcome:
    if push.listing not in shelf.variants:
        return Outcome("permanent", f"the shop has no variant {push.listing}: is it gone?")
    variant = shelf.variants[push.listing]
    if variant is None:
        return Outcome("transient", f"the stock of variant {push.listing} could not be read")
    if not variant.tracked(usually=shelf.tracks):
        return Outcome("permanent", f"the shop does not count variant {push.listing}: let it track its inventory")
    place = variant.at(shelf.location)
    if place is not None and push.level and push.believed is not None and place.free() != push.believed:
        return Outcome("conflict", f"it shows {place.free()}, not {push.believed}", level=place.free())
    on_hand = push.level + _allocated(variant, shelf.location)
    if on_hand > QUANTITY_MAX:
        return Outcome("permanent", f"what is allocated leaves no room for {push.level}")
    return _Row(push, on_hand)


def _allocated(variant: Stocked, location: str) -> int:
    place = variant.at(location)
    return place.stockAllocated if place else 0


def _free(written: _Written, location: str) -> int | None:
    return next((each.free() for each in written.stockLevels if each.stockLocationId == location), None)


def _done(shown: int | None) -> Outcome:
    if shown is None:
        return Outcome("unknown", "the shop's answer leaves the variant out")
    return Outcome("ok", level=shown)


def _decided(outcome: Outcome, refused_together: int, batch: int) -> Outcome:
    """What a refusal of the whole call means for one item: a single one is meant itself, a whole batch is worth
    halving, and a part of one, beside items that are decided already, goes again by itself."""
    if not outcome.whole_call:
        return outcome
    if refused_together == 1:
        return evolve(outcome, whole_call=False)
    return outcome if refused_together == batch else evolve(outcome, kind="transient", whole_call=False)

"""Writing levels: the item's quantity and its offers' in one call, each entry of the answer read (ebay.md §5.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from attrs import evolve

from adapters.ebay.api import INVENTORY, Api
from adapters.ebay.catalogue import Offer, read_offers
from adapters.ebay.payloads import is_listing
from adapters.ebay.refusals import Error, garbled, judged
from adapters.ebay.trading import may_show_zero
from adapters.groups import grouped
from adapters.strict import UnreadableError, decode
from daemon.domain.channel import Push
from daemon.domain.exchange import Exchange, Response
from daemon.domain.observations import QUANTITY_MAX
from daemon.domain.outcomes import Outcome

BATCH_MAX = 25
"""SKUs in one call: the guide and the type reference say 25, the call's own text one (§5.1). 25 are tried; where the
whole call is refused for it, the batch is halved down to single ones. `batch_max: 1` spares that."""

MADE_BY_HAND = (
    "A listing that was made by hand cannot be pushed: migrate it to the Inventory API (bulk_migrate_listing), then "
    "reconcile the channel"
)
_NOT_FOUND = (25604, 25702, 25710)
_SYSTEM = 25001


class _Entry(msgspec.Struct, rename="camel"):
    status_code: int
    sku: str | None = None
    offer_id: str | None = None
    errors: list[Error] | None = None


class _Answer(msgspec.Struct):
    responses: list[_Entry]


def batches(pushes: Sequence[Push], batch_max: int) -> list[list[Push]]:
    """Groups for one call each, in order; no SKU twice in one (the same offer twice is an error, §5.1)."""
    return grouped(pushes, min(batch_max, BATCH_MAX))


def push(api: Api, batch: Sequence[Push], *, push_zero: bool) -> Exchange[Sequence[Outcome]]:
    """Show these levels; one outcome per item, in order.

    First the live offers of each SKU are read: an offer with a figure of its own would go on showing that, where it
    is the lower one. Levels are absolute, there is neither idempotency key nor compare-and-set. A listing may be
    revised 250 times a day (§5.1): what exceeds that is refused by its entry.
    """
    decided = {each.listing: outcome for each in batch if (outcome := _unsendable(each)) is not None}
    waiting = [each for each in batch if each.listing not in decided]
    if not push_zero and any(each.level == 0 for each in waiting):
        failure = yield from may_show_zero(api)
        if failure is not None:
            decided |= {each.listing: failure.outcome for each in waiting if each.level == 0}
    offers: dict[str, tuple[Offer, ...]] = {}
    for each in batch:
        if each.listing in decided:
            continue
        found = yield from read_offers(api, each.listing)
        if isinstance(found, tuple):
            offers[each.listing] = found
            continue
        decided[each.listing] = found.outcome
        if found.outcome.kind == "throttled":
            decided |= {other.listing: found.outcome for other in batch if other.listing not in {*decided, *offers}}
            break
    sent = [each for each in batch if each.listing in offers]
    if sent:
        rows = [_row(each, offers[each.listing]) for each in sent]
        response = yield api.write("POST", f"{INVENTORY}/bulk_update_price_quantity", {"requests": rows})
        decided |= yield from _read(api, response, sent, offers)
    return [decided[each.listing] for each in batch]


def _unsendable(push: Push) -> Outcome | None:
    if not is_listing(push.listing):
        return Outcome("permanent", f"{push.listing[:60]!r} is no SKU of an inventory item. {MADE_BY_HAND}")
    if isinstance(push.level, bool) or not isinstance(push.level, int) or not 0 <= push.level <= QUANTITY_MAX:
        return Outcome("permanent", f"a level must be a whole number from 0 to {QUANTITY_MAX}")
    return None


def _row(push: Push, offers: Sequence[Offer]) -> dict[str, object]:
    """Both figures are set, since the lower one shows (§5.1); prices are never touched."""
    row: dict[str, object] = {"sku": push.listing, "shipToLocationAvailability": {"quantity": push.level}}
    if offers:
        row["offers"] = [{"offerId": offer.offer_id, "availableQuantity": push.level} for offer in offers]
    return row


# --- the answer ---------------------------------------------------------------------------------------------


def _read(
    api: Api, response: Response, sent: Sequence[Push], offers: Mapping[str, Sequence[Offer]]
) -> Exchange[dict[str, Outcome]]:
    """What became of each SKU. Entries are matched by SKU and offer, never by place; each has a status of its own,
    whatever the call's is (§5.1)."""
    try:
        entries = decode(response.body, _Answer).responses
    except UnreadableError:
        entries = []
    if not entries or response.status in (401, 403, 429):
        outcome = yield from judged(api, response, "inventory", write=True)
        outcome = outcome or garbled(response, write=True)
        alone = evolve(outcome, whole_call=outcome.whole_call and len(sent) > 1)
        return {each.listing: alone for each in sent}
    return {each.listing: _outcome(each, offers[each.listing], entries) for each in sent}


def _outcome(push: Push, offers: Sequence[Offer], entries: Sequence[_Entry]) -> Outcome:
    """The worst of the SKU's entries; done only where none is missing."""
    mine = [offer.offer_id for offer in offers]
    told = [each for each in entries if each.sku == push.listing or (each.sku is None and each.offer_id in mine)]
    refusals = [_refusal(each) for each in told if not 200 <= each.status_code < 300]
    for kind in ("unknown", "throttled", "transient", "permanent"):
        for refusal in refusals:
            if refusal.kind == kind:
                return refusal
    if not told or not set(mine) <= {each.offer_id for each in told}:
        return Outcome("unknown", "eBay's answer leaves this SKU, or an offer of it, out")
    return Outcome("ok", level=push.level)


def _refusal(entry: _Entry) -> Outcome:
    errors = entry.errors or []
    reason = f"{entry.status_code} {errors[0].said()}" if errors else f"{entry.status_code} without a reason"
    if entry.status_code == 429:
        return Outcome("throttled", reason)
    if entry.status_code >= 500 or any(each.error_id == _SYSTEM or each.category == "APPLICATION" for each in errors):
        return Outcome("unknown", reason)
    if entry.status_code in (401, 409):
        return Outcome("transient", reason)
    if entry.status_code == 404 or any(each.error_id in _NOT_FOUND for each in errors):
        reason += f": no inventory item or offer has this SKU. {MADE_BY_HAND}"
    return Outcome("permanent", reason[:500])

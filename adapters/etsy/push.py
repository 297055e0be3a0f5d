"""Writing stock: the whole inventory of one listing at a time, read just before and told back in the answer (§5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from adapters.etsy.account import Shop
from adapters.etsy.payloads import Inventory, Listing, product_id
from adapters.etsy.plan import QUANTITY_CAP, Plan, Refusals, planned
from adapters.etsy.refusals import garbled, refused
from adapters.etsy.stock import read_some
from adapters.groups import grouped
from adapters.strict import UnreadableError, decode
from daemon.domain.channel import Push
from daemon.domain.exchange import Exchange, Response
from daemon.domain.observations import QUANTITY_MAX
from daemon.domain.outcomes import Failure, Outcome


class _State(msgspec.Struct):
    state: str


def batches(pushes: Sequence[Push], batch_max: int) -> list[list[Push]]:
    """One group for each Etsy listing: all its variants are written at once. A group stands where its most urgent
    push stood; one variant twice means two groups; what is no listing of ours goes alone."""

    def alike(push: Push) -> int | None:
        named = product_id(push.listing)
        return None if named is None else named.listing

    return grouped(pushes, batch_max, alike)


def push(shop: Shop, batch: Sequence[Push], *, renew: bool) -> Exchange[Sequence[Outcome]]:
    """Write one group of `batches`; one outcome per item, in order.

    There is neither compare-and-set nor a write of one variant (§5): what is sent is what was read the moment before,
    with other quantities. A variant that shows something else than we believe was sold: it keeps what it shows, and
    is a conflict. What was sold between the read and the write is overwritten; the next poll tells it.
    """
    refusals: Refusals = {each.listing: outcome for each in batch if (outcome := _unsendable(each, batch[0]))}
    sendable = [each for each in batch if each.listing not in refusals]
    first = product_id(sendable[0].listing) if sendable else None
    if first is not None:
        answered = yield from _write(shop, sendable, first.listing, renew=renew)
        refusals |= answered
    return [refusals[each.listing] for each in batch]


def _unsendable(push: Push, first: Push) -> Outcome | None:
    named, other = product_id(push.listing), product_id(first.listing)
    if named is None:
        return Outcome("permanent", f"{push.listing[:60]!r} is no listing of Etsy: write it as 1169407548/7341796967")
    if isinstance(push.level, bool) or not isinstance(push.level, int) or not 0 <= push.level <= QUANTITY_MAX:
        return Outcome("permanent", f"a level must be a whole number from 0 to {QUANTITY_MAX}")
    if other is None or named.listing != other.listing:
        return Outcome("transient", f"{push.listing} cannot go into one call with {first.listing[:60]!r}")
    return None


def _write(shop: Shop, pushes: Sequence[Push], number: int, *, renew: bool) -> Exchange[dict[str, Outcome]]:
    found = yield from read_some(shop, [number])
    if isinstance(found, Failure):
        # Nothing was written, whatever hindered the read.
        return dict.fromkeys((each.listing for each in pushes), found.outcome)
    listing = found.get(number)
    if listing is None or listing.inventory is None:
        gone = Outcome("permanent", f"Etsy has no inventory for listing {number}: is it gone?")
        return dict.fromkeys((each.listing for each in pushes), gone)
    refusals, plan = planned(listing, pushes, renew=renew)
    if plan is None:
        return refusals
    settled = yield from _carry_out(shop, listing, listing.inventory, plan)
    return {**{each.listing: settled[each.listing] for each in plan.pushes}, **refusals}


def _carry_out(shop: Shop, listing: Listing, inventory: Inventory, plan: Plan) -> Exchange[Mapping[str, Outcome]]:
    """The calls of a plan: the inventory where it changes, then the listing's state where that does; a listing that
    is switched on again gets its state in between."""
    shown: Mapping[int, int | None] = plan.quantities
    if plan.mark is not None:
        now = {product.product_id: product.shown() for product in inventory.live()}
        marked = plan.mark if any(now.get(number) != units for number, units in plan.mark.items()) else None
        told = (yield from _put(shop, listing, inventory, plan, marked)) if marked is not None else shown
        outcome = told if isinstance(told, Outcome) else (yield from _switch(shop, listing, plan.state))
        if outcome is not None:
            return plan.all(outcome)
    if plan.writes:
        told = yield from _put(shop, listing, inventory, plan, plan.quantities)
        if isinstance(told, Outcome):
            return plan.all(told)
        shown = told
    if plan.state and plan.mark is None:
        outcome = yield from _switch(shop, listing, plan.state)
        if outcome is not None:
            return plan.all(outcome)
        if plan.state == "inactive":
            return plan.all(Outcome("ok", level=0))
    return {each.listing: _settled(each, shown) for each in plan.pushes}


def _put(
    shop: Shop, listing: Listing, inventory: Inventory, plan: Plan, quantities: Mapping[int, int]
) -> Exchange[Mapping[int, int | None] | Outcome]:
    """Write the inventory with these quantities; what it shows then, by variant, or why it is not known."""
    try:
        payload = plan.payload(inventory, quantities)
    except UnreadableError as exc:
        return Outcome("permanent", f"its inventory cannot be sent back: {exc}")
    response = yield shop.put(f"/listings/{listing.listing_id}/inventory", payload)
    outcome = refused(response, write=True)
    told = None if outcome is not None else _told(response)
    if told is None:
        return outcome or garbled(response, write=True)
    return {product.product_id: product.shown() for product in told.live()}


def _switch(shop: Shop, listing: Listing, state: str) -> Exchange[Outcome | None]:
    """Give the listing this state; None where it has it now."""
    response = yield shop.patch(f"/shops/{{shop}}/listings/{listing.listing_id}", {"state": state})
    return refused(response, write=True) or _stayed(response, state)


def _told(response: Response) -> Inventory | None:
    try:
        return decode(response.body, Inventory)
    except UnreadableError:
        return None


def _stayed(response: Response, state: str) -> Outcome | None:
    try:
        now = decode(response.body, _State).state
    except UnreadableError:
        return garbled(response, write=True)
    return None if now == state else Outcome("unknown", f"the listing is {now[:40]!r}, though it was to be {state}")


def _settled(push: Push, shown: Mapping[int, int | None]) -> Outcome:
    """The answer holds the inventory as it is: a 200 alone does not mean that this variant has the quantity."""
    named = product_id(push.listing)
    level = shown.get(named.product) if named is not None else None
    if level is None:
        return Outcome("unknown", "Etsy's answer leaves this variant out")
    if level != min(push.level, QUANTITY_CAP):
        return Outcome("unknown", f"Etsy's answer shows {level}")
    return Outcome("ok", level=level)

"""What to do to a listing so that its variants show what they should (§5). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import frozen

from adapters.etsy.payloads import Inventory, Listing, Offering, Product, product_id
from adapters.strict import UnreadableError
from daemon.domain.channel import Push
from daemon.domain.outcomes import Outcome

QUANTITY_CAP: Final = 999
"""The most of one variant [memory, §5]: more is written as this."""

Refusals = dict[str, Outcome]
"""By listing."""


@frozen
class Plan:
    """`quantities`: of every variant that is switched on, by its number, as they shall be. `writes`: they differ from
    what is there. `state`: what the listing is to become after that, "" where it stays.

    mark: of a listing that we switched off, the single unit with which it is switched on, before it is written as it
    shall be. The other way round, one whose quantities were written and that was not switched on yet could not be
    told from one that its seller switched off."""

    pushes: tuple[Push, ...]
    quantities: Mapping[int, int]
    writes: bool
    state: str = ""
    mark: Mapping[int, int] | None = None

    def all(self, outcome: Outcome) -> Mapping[str, Outcome]:
        return dict.fromkeys((each.listing for each in self.pushes), outcome)

    def payload(self, inventory: Inventory, quantities: Mapping[int, int]) -> dict[str, Any]:
        """The inventory as it is written: exactly what was read, but for the quantities. Raises `UnreadableError`."""
        sent: dict[str, Any] = {
            "products": [_product(product, quantities) for product in inventory.live()],
            "price_on_property": inventory.price_on_property,
            "quantity_on_property": inventory.quantity_on_property,
            "sku_on_property": inventory.sku_on_property,
        }
        if inventory.readiness_state_on_property is not None:
            sent["readiness_state_on_property"] = inventory.readiness_state_on_property
        return sent


def _product(product: Product, quantities: Mapping[int, int]) -> dict[str, Any]:
    return {
        "sku": product.sku or "",
        "property_values": [_property(each) for each in product.property_values],
        "offerings": [
            _offering(each, quantities.get(product.product_id, each.quantity)) for each in product.live()
        ],
    }  # fmt: skip


def _property(value: Mapping[str, Any]) -> dict[str, Any]:
    """`scale_name` is only read; a name that is null must not be written."""
    kept = {name: value[name] for name in ("property_id", "value_ids", "values") if name in value}
    if isinstance(value.get("property_name"), str):
        kept["property_name"] = value["property_name"]
    return {**kept, "scale_id": value.get("scale_id")}


def _offering(offering: Offering, quantity: int) -> dict[str, Any]:
    if offering.price.divisor <= 0:
        raise UnreadableError("a price has no divisor")
    return {
        "price": offering.price.amount / offering.price.divisor,
        "quantity": quantity,
        "is_enabled": offering.is_enabled,
        "readiness_state_id": offering.readiness_state_id,
    }


def planned(listing: Listing, pushes: Sequence[Push], *, renew: bool) -> tuple[Refusals, Plan | None]:
    """The outcomes that stand already, and the plan for the rest; None where nothing is to be done."""
    inventory = listing.inventory
    assert inventory is not None
    refusals: Refusals = {}
    wishes: dict[int, int] = {}
    left: list[Push] = []
    for push in pushes:
        wish = _wish(listing, inventory, push)
        if isinstance(wish, Outcome):
            refusals[push.listing] = wish
        else:
            wishes[wish] = min(push.level, QUANTITY_CAP)
            left.append(push)
    if not left:
        return refusals, None
    if why := _kept_from(listing, wishes, renew=renew):
        return refusals | dict.fromkeys((each.listing for each in left), Outcome("permanent", why)), None
    # What stands in a listing that is off was never on sale: it is no stock, but at most our mark.
    now = {each.product_id: level for each in inventory.live() if (level := each.shown()) is not None}
    base = now if listing.state == "active" else dict.fromkeys(now, 0)
    wanted = {**base, **wishes}
    if not inventory.quantity_on_property and len(now) > 1:
        wanted = _shared(inventory, base, wishes)
        for push in list(left):
            if wanted[_number(push)] != wishes[_number(push)]:
                refusals[push.listing] = Outcome("permanent", _SHARED)
                left.remove(push)
        if not left and wanted == now:
            return refusals, None
    return _towards(listing, inventory, tuple(left), now, wanted, refusals)


_SHARED: Final = (
    "all variants of this listing share one quantity, and they are different SKUs: let the quantity vary by variant "
    "at Etsy"
)


def _towards(
    listing: Listing, inventory: Inventory, left: tuple[Push, ...], now: Mapping[int, int],
    wanted: Mapping[int, int], refusals: Refusals,
) -> tuple[Refusals, Plan | None]:  # fmt: skip
    if listing.state == "inactive" and any(wanted.values()):
        # Only what may be sold is on sale meanwhile, also where we come no further than that.
        marks = [_mark(inventory, wanted, number) for number, units in wanted.items() if units]
        mark = next((each for each in marks if each == now), marks[0])
        return refusals, Plan(left, wanted, wanted != mark, "active", mark)
    if any(wanted.values()):
        state = "" if listing.state == "active" else "active"
        return refusals, Plan(left, wanted, wanted != now, state)
    if listing.state == "active":
        # At least one must be above zero, so a single unit stays, by which we know our own doing again.
        mark = _mark(inventory, wanted, next(iter(wanted)))
        return refusals, Plan(left, mark, inventory.total() != 1, "inactive")
    return refusals | dict.fromkeys((each.listing for each in left), Outcome("ok", level=0)), None


def _mark(inventory: Inventory, wanted: Mapping[int, int], of: int) -> dict[int, int]:
    """A single unit in all, of this variant; or of each, where they share one quantity."""
    return {number: int(number == of or not inventory.quantity_on_property) for number in wanted}


def _number(push: Push) -> int:
    named = product_id(push.listing)
    assert named is not None
    return named.product


def _wish(listing: Listing, inventory: Inventory, push: Push) -> int | Outcome:
    """The variant's number, or why it cannot be written."""
    product = next((each for each in inventory.live() if each.product_id == _number(push)), None)
    if product is None:
        return Outcome("permanent", f"the listing has no variant {push.listing} (any more)")
    if product.shown() is None:
        return Outcome("permanent", "this variant is switched off at Etsy, or has several offers: mend that there")
    level = listing.level(product)
    if push.believed is not None and level is not None and level != push.believed:
        return Outcome("conflict", f"it shows {level}, not {push.believed}", level=level)
    return product.product_id


def _kept_from(listing: Listing, wishes: Mapping[int, int], *, renew: bool) -> str:
    """Why this listing may not be put on sale; empty where it may, or is not to be."""
    if not any(wishes.values()) or listing.state == "active":
        return ""
    if listing.state == "sold_out":
        return "" if renew else "Etsy calls this listing sold out: renew it there, or say renew: yes (it costs a fee)"
    if listing.state == "inactive":
        return "" if listing.switched_off_by_us() else "its seller switched this listing off: switch it on at Etsy"
    return f"this listing is {listing.state[:40]!r}: put it on sale at Etsy"


def _shared(inventory: Inventory, base: Mapping[int, int], wishes: Mapping[int, int]) -> dict[int, int]:
    """One quantity for all (§5, 7). Variants of one SKU want the same number; of different ones none can be raised
    without raising the others, so the lowest that anybody shows or wants is as far as it goes."""
    lowest = min(wishes.values())
    skus = {product.sku for product in inventory.live()}
    if len(skus) > 1 or not next(iter(skus)):
        lowest = min(lowest, *base.values())
    return dict.fromkeys(base, lowest)

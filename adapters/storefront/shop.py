"""What is true at the storefront: its clock, its listings, its orders, and the only ways they change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from attrs import define, field, frozen

from daemon.domain.instants import tick

Action = Literal["cancel", "refund", "fulfil"]


@define
class Listing:
    """One SKU on sale. `changed_us` is on the shop's own clock."""

    id: str
    sku: str
    quantity: int
    version: int = 1
    changed_us: int = 0


@define
class Line:
    """One line of an order. Refunds take units that were not handed over first, as `held` in the contract assumes."""

    id: str
    listing: Listing
    ordered: int
    cancelled: int = 0
    restocked: int = 0
    fulfilled: int = 0
    refunded_open: int = 0
    refunded_fulfilled: int = 0

    @property
    def open(self) -> int:
        """Units neither cancelled, refunded nor handed over."""
        return self.ordered - self.cancelled - self.fulfilled - self.refunded_open

    def possible(self, action: Action) -> int:
        """How many units the action can still take."""
        return self.open + (self.fulfilled - self.refunded_fulfilled if action == "refund" else 0)


@define
class Order:
    """An order. Stamps are on the shop's own clock; no two changes of the shop share one."""

    id: str
    created_us: int
    updated_us: int
    buyer: Mapping[str, str]
    version: int = 1
    lines: dict[str, Line] = field(factory=dict)


@frozen
class Refusal:
    """Why something is not done; `status` is that of HTTP."""

    status: int
    code: str
    message: str


@frozen
class Written:
    """What came of writing a level. `matched` is None where no quantity was expected."""

    result: Literal["ok", "conflict", "unknown_listing"]
    before: int | None = None
    after: int | None = None
    matched: bool | None = None
    listing: Listing | None = None


class Clock:
    """The shop's own clock: it may be off, but it never goes back, and every change has a microsecond of its own."""

    def __init__(self) -> None:
        self.offset_us = 0
        self._last_us = 0

    def read(self, now_us: int) -> int:
        """The time for an answer: not before any change there was, before any that will be."""
        self._last_us = max(self._last_us, now_us + self.offset_us)
        return self._last_us

    def stamp(self, now_us: int) -> int:
        """The time of a change."""
        self._last_us = tick(self._last_us, now_us + self.offset_us)
        return self._last_us


class Shop:
    """Listings and orders. Every method is all or nothing; `now_us` is the host's clock."""

    def __init__(self, skus: Sequence[str], stock: int | Mapping[str, int], epoch: str) -> None:
        if len(set(skus)) != len(skus):
            raise ValueError("a storefront lists each SKU once")
        self.clock = Clock()
        self.listings: dict[str, Listing] = {}
        self.by_sku: dict[str, Listing] = {}
        for number, sku in enumerate(skus, 1):
            quantity = stock if isinstance(stock, int) else stock.get(sku, 0)
            listing = Listing(f"L-{number:04d}", sku, quantity)
            self.listings[listing.id] = self.by_sku[sku] = listing
        self.orders: dict[str, Order] = {}
        """By id, the most recently changed last."""
        self.sold = dict.fromkeys(skus, 0)
        self.given_back = dict.fromkeys(skus, 0)
        self._epoch = epoch
        self._placed = 0

    def place(self, wanted: Sequence[tuple[str, int]], now_us: int) -> Order | Refusal:
        """Sell (SKU, units), all of it or nothing."""
        asked: dict[str, int] = {}
        for sku, units in wanted:
            asked[sku] = asked.get(sku, 0) + units
        for sku, units in asked.items():
            listing = self.by_sku.get(sku)
            if listing is None:
                return Refusal(422, "unknown_sku", "no listing sells this SKU")
            if listing.quantity < units:
                return Refusal(409, "sold_out", f"{listing.id} shows {listing.quantity}, {units} were asked for")
        stamp = self.clock.stamp(now_us)
        self._placed += 1
        buyer = {"name": f"Robin Example {self._placed}", "email": f"robin.{self._placed}@example.invalid"}
        order = Order(f"O-{self._epoch}{self._placed:06d}", stamp, stamp, buyer)
        for number, (sku, units) in enumerate(wanted, 1):
            line = Line(str(number), self.by_sku[sku], units)
            order.lines[line.id] = line
            self.sold[sku] += units
        self._move({sku: -units for sku, units in asked.items()}, stamp)
        self.orders[order.id] = order
        return order

    def change(
        self, order: Order, action: Action, amounts: Mapping[str, int] | None, now_us: int, *, restock: bool = True
    ) -> dict[str, int] | Refusal:
        """Cancel, refund or fulfil units of some lines (None: all that is possible); returns units by line."""
        if amounts is None:
            possible = {line.id: line.possible(action) for line in order.lines.values()}
            amounts = {line: units for line, units in possible.items() if units}
        if not amounts:
            return Refusal(409, "nothing_left", f"nothing is left to {action}")
        for name, units in amounts.items():
            line = order.lines.get(name)
            if line is None:
                return Refusal(422, "unknown_line", "the order has no such line")
            if line.possible(action) < units:
                return Refusal(409, "too_many", f"line {name}: {line.possible(action)} units are left to {action}")
        back: dict[str, int] = {}
        for name, units in amounts.items():
            line = order.lines[name]
            returned = _apply(line, action, units, restock=restock)
            back[line.listing.sku] = back.get(line.listing.sku, 0) + returned
            self.given_back[line.listing.sku] += returned
        order.updated_us = self.clock.stamp(now_us)
        order.version += 1
        self.orders[order.id] = self.orders.pop(order.id)
        self._move(back, order.updated_us)
        return dict(amounts)

    def write(self, name: str, quantity: int, if_quantity: int | None, now_us: int) -> Written:
        """Show `quantity`, but only where `if_quantity` (if given) is what is shown now."""
        listing = self.listings.get(name)
        if listing is None:
            return Written("unknown_listing")
        before = listing.quantity
        matched = None if if_quantity is None else if_quantity == before
        if matched is False:
            return Written("conflict", before, before, matched, listing)
        self._move({listing.sku: quantity - before}, self.clock.stamp(now_us))
        return Written("ok", before, quantity, matched, listing)

    def changed_since(self, since_us: int, after: tuple[int, str]) -> Iterable[Order]:
        """Orders changed at or after `since_us` and later than the cursor `after`, oldest change first."""
        return (
            order
            for order in self.orders.values()
            if order.updated_us >= since_us and (order.updated_us, order.id) > after
        )

    def _move(self, units: Mapping[str, int], stamp: int) -> None:
        for sku, difference in units.items():
            if difference:
                listing = self.by_sku[sku]
                listing.quantity += difference
                listing.version += 1
                listing.changed_us = stamp


def _apply(line: Line, action: Action, units: int, *, restock: bool) -> int:
    """Book `units` on the line; returns how many of them can be sold again."""
    match action:
        case "cancel":
            line.cancelled += units
            return units
        case "fulfil":
            line.fulfilled += units
            return 0
        case "refund":
            still_open = min(units, line.open)
            line.refunded_open += still_open
            line.refunded_fulfilled += units - still_open
            line.restocked += units if restock else 0
            return units if restock else 0

"""What Etsy's JSON says: a receipt with its lines, and a listing with its inventory; units, and what shoppers see."""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

import msgspec

from adapters.strict import RowId, UnreadableError, whole_units
from daemon.domain.channel import LevelSeen, LineSeen, OrderSeen
from daemon.domain.instants import SECOND_US, Span

_LISTING = re.compile(r"([1-9][0-9]{0,18})/([1-9][0-9]{0,18})")
_LAST_S: Final = 253_402_300_799

# --- receipts -----------------------------------------------------------------------------------------------


class Transaction(msgspec.Struct):
    """A line of a receipt (§3). `listing_id` and `product_id` are null where the listing is gone."""

    transaction_id: RowId
    quantity: int
    listing_id: int | None = None
    product_id: int | None = None
    sku: str | None = None
    is_digital: bool = False
    shipped_timestamp: int | None = None


class Receipt(msgspec.Struct):
    """An order; its buyer is never decoded."""

    receipt_id: RowId
    status: str
    updated_timestamp: int
    transactions: list[Transaction]
    created_timestamp: int | None = None
    is_shipped: bool = False


STATUSES: Final = frozenset(
    {"open", "payment processing", "paid", "completed", "canceled", "fully refunded", "partially refunded"}
)


def receipt_seen(receipt: Receipt) -> OrderSeen:
    """One version of a receipt (§3, "stock effect").

    Unpaid ones hold their units, too: Etsy has lowered its quantity already [memory], and where it had not, holding
    is the safe side. A cancelled one releases what was not sent; whether Etsy shows those units again was the
    seller's choice, which the next push settles. A refund moves money only: it holds on, and restocking is a person's
    adjustment. `ordered` is what a line holds by the newest version. Digital goods have no stock.

    Raises `UnreadableError`.
    """
    if receipt.status.lower() not in STATUSES:
        raise UnreadableError("its status is none that we know")
    if len({line.transaction_id for line in receipt.transactions}) != len(receipt.transactions):
        raise UnreadableError("two lines have one id")
    updated = second(receipt.updated_timestamp)
    return OrderSeen(
        order=str(receipt.receipt_id),
        version=updated.lo,
        updated=updated,
        lines=tuple(_line_seen(receipt, line) for line in receipt.transactions if not line.is_digital),
        placed=second(receipt.created_timestamp) if receipt.created_timestamp is not None else None,
    )


def _line_seen(receipt: Receipt, line: Transaction) -> LineSeen:
    quantity = whole_units(line.quantity, f"the quantity of line {line.transaction_id}")
    sent = receipt.is_shipped or receipt.status.lower() == "completed" or line.shipped_timestamp is not None
    held = 0 if receipt.status.lower() == "canceled" and not sent else quantity
    named = str(ProductId(line.listing_id or 0, line.product_id or 0))
    return LineSeen(
        line=str(line.transaction_id),
        listing=named if product_id(named) else "",
        seller_sku=line.sku or None,
        ordered=held,
        fulfilled=held if sent else 0,
    )


def second(stamp: int) -> Span:
    """The whole second that a stamp names: Unix seconds (§7)."""
    if not 0 <= stamp <= _LAST_S:
        raise UnreadableError("a date is not in Unix seconds")
    return Span(stamp * SECOND_US, stamp * SECOND_US + SECOND_US - 1)


# --- listings -----------------------------------------------------------------------------------------------


class ProductId(NamedTuple):
    """What is sold: a variant (`product`) of an Etsy listing."""

    listing: int
    product: int

    def __str__(self) -> str:
        return f"{self.listing}/{self.product}"


def product_id(listing: str) -> ProductId | None:
    """The inverse of `str(ProductId)`: "1169407548/7341796967"; None for anything else."""
    found = _LISTING.fullmatch(listing)
    return ProductId(int(found[1]), int(found[2])) if found else None


class Money(msgspec.Struct):
    amount: int
    divisor: int


class Offering(msgspec.Struct):
    quantity: int
    price: Money
    is_enabled: bool = True
    is_deleted: bool = False
    readiness_state_id: int | None = None


class Product(msgspec.Struct):
    product_id: RowId
    offerings: list[Offering]
    sku: str | None = None
    is_deleted: bool = False
    property_values: list[dict[str, Any]] = []

    def live(self) -> list[Offering]:
        return [offering for offering in self.offerings if not offering.is_deleted]

    def shown(self) -> int | None:
        """Units that shoppers can buy of this variant; None where it is switched off, or has no one quantity."""
        offerings = self.live()
        if self.is_deleted or len(offerings) != 1 or not offerings[0].is_enabled:
            return None
        try:
            return whole_units(offerings[0].quantity, "quantity")
        except UnreadableError:
            return None


class Inventory(msgspec.Struct):
    products: list[Product]
    price_on_property: list[Any] = []
    quantity_on_property: list[Any] = []
    sku_on_property: list[Any] = []
    readiness_state_on_property: list[Any] | None = None

    def live(self) -> list[Product]:
        return [product for product in self.products if not product.is_deleted]

    def total(self) -> int:
        """Units of all variants that are switched on; they may all share one quantity (§5, 7)."""
        units = [product.shown() or 0 for product in self.live()]
        return sum(units) if self.quantity_on_property else max(units, default=0)


class Listing(msgspec.Struct):
    """A listing; `inventory` is null where it was never made (§7)."""

    listing_id: RowId
    state: str
    title: str = ""
    inventory: Inventory | None = None

    def switched_off_by_us(self) -> bool:
        """Etsy takes no listing whose variants are all at zero (§5): such a one we leave with a single unit, and
        switch it off. Every other inactive listing is its seller's own doing."""
        return self.state == "inactive" and self.inventory is not None and self.inventory.total() == 1

    def level(self, product: Product) -> int | None:
        """What shoppers can buy. Unknown where the seller took the listing away: nothing is sold there, and nothing
        should be."""
        if self.state == "sold_out" or self.switched_off_by_us():
            return 0
        return product.shown() if self.state == "active" else None

    def levels(self) -> list[LevelSeen]:
        """Every variant. Etsy says when a listing was changed, not when its quantity was: it is as of the read."""
        products = self.inventory.live() if self.inventory is not None else []
        return [
            LevelSeen(
                str(ProductId(self.listing_id, each.product_id)),
                self.level(each), None, each.sku or None, title=self.title,
            )
            for each in products
        ]  # fmt: skip

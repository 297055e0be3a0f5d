"""What is truly there: worked out from the channel's and the storefront's own orders, and what people did."""

from __future__ import annotations

from collections import Counter

from attrs import define, field

from adapters.storefront import Storefront
from tests.channels.stage import Stage


@define(eq=False)
class Books:
    """Units of each SKU. The first count is what the channel, the first in the configuration, showed then."""

    stage: Stage
    north: Storefront
    adjusted: Counter[str] = field(factory=Counter)

    def adjust(self, sku: str, units: int) -> None:
        """Units came, or went, without an order."""
        self.adjusted[sku] += units

    def available(self, sku: str) -> int:
        """Neither sold nor lost; below zero where more is sold than there is."""
        shop = self.north.shop
        return (
            self.stage.stock[sku] + self.adjusted[sku] - self.stage.taken(sku)
            - shop.sold[sku] + shop.given_back[sku]
        )  # fmt: skip

    def on_hand(self, sku: str) -> int:
        """What lies on the shelf: with what is sold and not sent."""
        held = self.stage.taken(sku) - self.stage.shipped(sku)
        for order in self.north.shop.orders.values():
            for line in order.lines.values():
                if line.listing.sku == sku:
                    taken = line.ordered - line.cancelled - line.restocked
                    held += taken - min(line.fulfilled, taken)
        return self.available(sku) + held

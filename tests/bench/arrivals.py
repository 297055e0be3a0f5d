"""When a sale reached the other storefronts: the load generator's due times against the storefronts' journal."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from attrs import define, field

from tests.bench.house import STOCK
from tests.bench.processes import BenchError

Journal = Mapping[str, Sequence[Sequence[object]]]
"""`{"calls": [[ns, channel, items] ...], "levels": [[ns, channel, listing, quantity] ...]}`"""


@define
class Books:
    """What was sold of each SKU so far, and so what every storefront must show."""

    sold: Counter[str] = field(factory=Counter)

    def sell(self, skus: Iterable[str]) -> list[tuple[str, int]]:
        """One unit of each, in this order: (listing, the level that takes it into account)."""
        told = []
        for sku in skus:
            self.sold[sku] += 1
            told.append((f"L-{sku}", STOCK - self.sold[sku]))
        return told

    def insist(self, shown: Mapping[str, int], channel: str) -> None:
        """Raises `BenchError` where a storefront does not show what is left: a fast wrong answer is no figure."""
        wrong = {
            sku: (shown.get(f"L-{sku}"), STOCK - sold)
            for sku, sold in self.sold.items()
            if shown.get(f"L-{sku}") != STOCK - sold
        }
        if wrong:
            sku, (is_shown, should) = next(iter(wrong.items()))
            raise BenchError(f"{channel} shows {is_shown} of {sku}, not {should} (and {len(wrong) - 1} more)")


def waits_ms(told: Sequence[tuple[str, int]], due_ns: Sequence[int], journal: Journal, channel: str) -> list[float]:
    """Per sale, from when it was due to when `channel` took a level that takes it into account, ms. Raises
    `BenchError` where one never arrived."""
    written: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for at, where, listing, quantity in journal["levels"]:
        if where == channel:
            written[str(listing)].append((int(str(at)), int(str(quantity))))
    found = []
    for (listing, level), due in zip(told, due_ns, strict=True):
        arrived = next((at for at, quantity in written[listing] if at >= due and quantity <= level), None)
        if arrived is None:
            raise BenchError(f"the sale of {listing} never reached {channel}")
        found.append((arrived - due) / 1e6)
    return found


def pushes(journal: Journal) -> int:
    """Levels taken, over all channels."""
    return len(journal["levels"])


def repeated(journal: Journal) -> int:
    """Levels taken that were shown already: pushes that changed nothing."""
    shown: dict[tuple[object, object], object] = {}
    count = 0
    for _, channel, listing, quantity in journal["levels"]:
        count += shown.get((channel, listing)) == quantity
        shown[channel, listing] = quantity
    return count

"""What is true, from the storefronts' own ledgers alone: the right number of every SKU, and every unit sold twice.

Pure. Storefronts share one stock: what one sells is gone for all. Times are µs of the clock they all run on.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import define, field, frozen


@frozen
class Movement:
    """Units of one order line that a storefront sold (negative) or took back (positive)."""

    at_us: int
    store: str
    order: str
    line: str
    sku: str
    units: int


@frozen
class Write:
    """A level written at a storefront. `late`: after the storefront had let its writer go without an answer."""

    at_us: int
    sku: str
    before: int
    after: int
    late: bool


@frozen
class HookFigures:
    """Webhooks of one storefront: messages, extra copies of them, messages that never left, tries without a 2xx."""

    messages: int = 0
    duplicates: int = 0
    dropped: int = 0
    refused: int = 0


@frozen
class Entry:
    """A SKU in a ledger, in units."""

    initial: int
    sold: int
    given_back: int
    shows: int


@define
class Book:
    """One storefront's ledger, by SKU."""

    store: str
    skus: dict[str, Entry]
    movements: list[Movement] = field(factory=list)
    writes: list[Write] = field(factory=list)
    orders_refused: int = 0
    hooks: HookFigures = field(factory=HookFigures)
    _shown: dict[str, list[tuple[int, int]]] = field(factory=dict)

    def shows_at(self, sku: str, at_us: int) -> int:
        """What the storefront showed at that moment."""
        if not self._shown:
            self._shown = {name: [] for name in self.skus}
            quantities = {name: entry.initial for name, entry in self.skus.items()}
            steps: list[Movement | Write] = sorted([*self.movements, *self.writes], key=lambda step: step.at_us)
            for step in steps:
                if isinstance(step, Write):
                    quantities[step.sku] = step.after
                else:
                    quantities[step.sku] += step.units
                self._shown[step.sku].append((step.at_us, quantities[step.sku]))
        steps_of = self._shown[sku]
        place = bisect_right(steps_of, at_us, key=lambda step: step[0])
        return steps_of[place - 1][1] if place else self.skus[sku].initial


def read_book(ledger: Mapping[str, Any]) -> Book:
    """The ledger as `GET /ledger` gives it."""
    store = ledger["name"]
    sku_of_listing = {entry["listing"]: sku for sku, entry in ledger["skus"].items()}
    sku_of_line = {(order["id"], line["id"]): line["sku"] for order in ledger["orders"] for line in order["lines"]}
    hooks = ledger["webhooks"]
    return Book(
        store,
        {
            sku: Entry(entry["initial"], entry["sold"], entry["given_back"], entry["quantity"])
            for sku, entry in ledger["skus"].items()
        },
        [
            Movement(change["at_us"], store, change["order"], line, sku_of_line[change["order"], line], moved)
            for change in ledger["order_changes"]
            for line, units in change["lines"].items()
            if (moved := _moved(change["kind"], units, restock=change["restock"]))
        ],
        [
            Write(write["at_us"], sku_of_listing[write["listing"]], write["before"], write["after"], write["late"])
            for write in ledger["levels"]
            if write["applied"] and write["listing"] in sku_of_listing
        ],
        ledger["refused_orders"],
        HookFigures(
            messages=sum(1 for each in hooks if not each["duplicate"]),
            duplicates=sum(1 for each in hooks if each["duplicate"]),
            dropped=sum(1 for each in hooks if each["state"] == "dropped"),
            refused=sum(1 for each in hooks for attempt in each["attempts"] if (attempt["status"] or 0) // 100 != 2),
        ),
    )  # fmt: skip


def _moved(kind: str, units: int, *, restock: bool) -> int:
    match kind:
        case "sold":
            return -units
        case "cancelled":
            return units
        case "refunded":
            return units if restock else 0
        case _:
            return 0


@frozen
class Truth:
    """One SKU over all storefronts. `number` is what is left: negative where more was sold than there was."""

    sku: str
    initial: int
    sold: int
    given_back: int

    @property
    def number(self) -> int:
        return self.initial - self.sold + self.given_back

    @property
    def shown(self) -> int:
        """What every storefront should show."""
        return max(0, self.number)

    @property
    def debt(self) -> int:
        return max(0, -self.number)


def true_numbers(books: Sequence[Book]) -> dict[str, Truth]:
    """Every SKU, in the order of the first ledger that has it; that ledger's initial stock is what they share."""
    truths: dict[str, Truth] = {}
    for sku in dict.fromkeys(sku for book in books for sku in book.skus):
        entries = [book.skus[sku] for book in books if sku in book.skus]
        truths[sku] = Truth(
            sku, entries[0].initial, sum(entry.sold for entry in entries), sum(entry.given_back for entry in entries)
        )
    return truths


@frozen
class Oversale:
    """A sale of which `units` were not there any more."""

    sale: Movement
    units: int


def oversales(books: Sequence[Book]) -> list[Oversale]:
    """Every sale beyond the stock, in the order of time."""
    left = {sku: truth.initial for sku, truth in true_numbers(books).items()}
    found = []
    for each in in_time(books):
        short = -each.units - max(0, left[each.sku])
        left[each.sku] += each.units
        if short > 0:
            found.append(Oversale(each, short))
    return found


def in_time(books: Iterable[Book]) -> list[Movement]:
    """All movements in the order in which they happened."""
    return sorted((each for book in books for each in book.movements), key=lambda each: each.at_us)

"""Why a unit could be sold twice: what the storefront could not know yet when it sold it. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Any, Final

from attrs import frozen

from adapters.stamps import rfc3339
from daemon.theatre.notices import Notice
from daemon.theatre.truth import Book, Movement, Oversale, in_time, true_numbers

RECENT_US: Final = 30_000_000
"""What happened longer ago than this explains nothing: by then the daemon must have put it right."""
SHOWN_MAX: Final = 5
"""Of the sales elsewhere that had not reached the storefront, the newest are shown."""


@frozen
class Explanation:
    """What stood between the storefront and the truth when it sold units that were gone.

    unseen: the sales elsewhere whose news had not reached it · returned: units it had taken back and put on show by
    itself, while they were owed elsewhere · raised: units that a write which came to life late had put on show
    """

    oversale: Oversale
    unseen: tuple[Notice, ...]
    returned: int
    raised: int

    @property
    def complete(self) -> bool:
        """Does it account for every unit?"""
        return sum(-each.sale.units for each in self.unseen) + self.returned + self.raised >= self.oversale.units

    def document(self) -> dict[str, Any]:
        """For `--json`; milliseconds count from the sale elsewhere."""
        sale = self.oversale.sale
        return {
            "sku": sale.sku, "units": self.oversale.units, "storefront": sale.store, "order": sale.order,
            "at": rfc3339(sale.at_us), "explained": self.complete, "sentence": self.sentence(),
            "returned_there": self.returned, "raised_by_late_writes": self.raised,
            "not_yet_known_count": len(self.unseen),
            "not_yet_known_there": [
                {
                    "storefront": each.sale.store, "order": each.sale.order, "units": -each.sale.units,
                    "sold_at": rfc3339(each.sale.at_us), "oversold_after_ms": _after(each.sale, sale.at_us),
                    "daemon_heard_after_ms": _after(each.sale, each.heard_us), "heard_by": each.by or None,
                    "notice_took_ms": _after(each.sale, each.reached_us),
                }
                for each in self.unseen[-SHOWN_MAX:]
            ],
        }  # fmt: skip

    def sentence(self) -> str:
        """The same for a person."""
        sale, last = self.oversale.sale, self.unseen[-1] if self.unseen else None
        head = f"{self.oversale.units} of {sale.sku} sold twice: {sale.store} sold it in {sale.order}"
        if not self.complete:
            return f"{head}; nobody knows why"
        if last is not None:
            after_ms = _after(last.sale, sale.at_us)
            return f"{head}, {after_ms} ms after {last.sale.store} had in {last.sale.order}; {_way(last)}"
        if self.returned:
            return f"{head}, just after it had taken {self.returned} back that was owed elsewhere"
        return f"{head}, where an old request had come to life late"


def _way(notice: Notice) -> str:
    """How long the news took, and where."""
    sale, heard = notice.sale, _HEARD.get(notice.by, notice.by)
    if notice.heard_us is None:
        return "the daemon has not heard of it yet"
    if notice.reached_us is None:
        return f"the daemon heard {heard} after {_after(sale, notice.heard_us)} ms; {notice.store} does not know yet"
    return (
        f"the news took {_after(sale, notice.reached_us)} ms: {_after(sale, notice.heard_us)} until the daemon heard "
        f"({heard}), {notice.reaction_ms:.1f} until {notice.store} took the new number"
    )


_HEARD = {
    "webhook": "by webhook", "poll": "from the list of orders, before its webhook came or because it was lost",
    "refetch": "by fetching the order",
}  # fmt: skip


def _after(sale: Movement, at_us: int | None) -> float | None:
    return None if at_us is None else round((at_us - sale.at_us) / 1_000, 1)


def explain(oversold: Iterable[Oversale], told: Sequence[Notice], books: Sequence[Book]) -> list[Explanation]:
    """Each oversale with what its storefront could not know."""
    by_store = {book.store: book for book in books}
    owed = _owed_elsewhere(books, by_store)
    return [_explained(each, told, by_store[each.sale.store], owed) for each in oversold]


def _owed_elsewhere(books: Sequence[Book], by_store: dict[str, Book]) -> list[Movement]:
    """Units taken back that were not free: with them on show, the storefront showed more than there was."""
    left = {sku: truth.initial for sku, truth in true_numbers(books).items()}
    found = []
    for each in in_time(books):
        left[each.sku] += each.units
        if each.units > 0 and by_store[each.store].shows_at(each.sku, each.at_us) > left[each.sku]:
            found.append(each)
    return found


def _explained(oversale: Oversale, told: Sequence[Notice], book: Book, owed: Sequence[Movement]) -> Explanation:
    sale = oversale.sale
    unseen = tuple(
        each
        for each in told
        if each.store == sale.store and each.sale.sku == sale.sku and each.sale.at_us <= sale.at_us
        and (each.reached_us is None or each.reached_us > sale.at_us)
    )  # fmt: skip
    writes = [write for write in book.writes if write.sku == sale.sku]
    place = bisect_right(writes, sale.at_us, key=lambda write: write.at_us)
    earliest_us = sale.at_us - RECENT_US
    corrected_us = max(writes[place - 1].at_us if place else 0, earliest_us)
    returned = sum(
        each.units
        for each in owed
        if (each.store, each.sku) == (sale.store, sale.sku) and corrected_us <= each.at_us <= sale.at_us
    )
    raised = sum(
        max(0, write.after - write.before) for write in writes[:place] if write.late and write.at_us >= earliest_us
    )
    return Explanation(oversale, unseen, returned, raised)

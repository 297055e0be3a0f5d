"""One acceptance test: what it measured, its limit, and what was wrong; and what all of them look at in the end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

from attrs import define, field, frozen

from daemon.theatre.demo_report import sku_row
from daemon.theatre.notices import notices
from daemon.theatre.oversold import Explanation, explain
from daemon.theatre.stage import Stage
from daemon.theatre.truth import oversales, true_numbers

STORES: Final = ("market", "boutique", "outlet")
PROPAGATION_MS: Final = 1_000
"""A sale must be known everywhere within this."""
SETTLE_S: Final = 30.0
"""So long after the last trouble, every number must be right."""


@define
class Findings:
    """What a check found. `told` are figures in words, `figures` the same for `--json`; no problems: passed."""

    told: list[str] = field(factory=list)
    figures: dict[str, Any] = field(factory=dict)
    problems: list[str] = field(factory=list)

    def measured(self, sentence: str, **figures: Any) -> None:
        """Note a figure."""
        self.told.append(sentence)
        self.figures |= figures

    def demand(self, holds: object, otherwise: str) -> None:
        """What must hold; `otherwise` says what it means that it does not."""
        if not holds:
            self.problems.append(otherwise)


@frozen
class Check:
    """An acceptance test with its limit in words. `run` is given an empty directory."""

    name: str
    title: str
    limit: str
    run: Callable[[Path, Findings], Awaitable[None]]


async def look_at_numbers(stage: Stage, found: Findings) -> None:
    """Every storefront, the daemon's books and the ledgers must agree on every SKU."""
    # A webhook that comes late may ask for one more look at a listing that is right.
    settled = await stage.until(lambda: not stage.open_listings(), SETTLE_S)
    books = await stage.books()
    rows = [sku_row(truth, books, await stage.admin.get("skus", truth.sku)) for truth in true_numbers(books).values()]
    wrong = [row for row in rows if not row["equal"] or row["debt"] != row["owed"]]
    for row in wrong[:5]:
        found.problems.append(
            f"{row['sku']}: {row['truth']} are left, the daemon says {row['available']} (debt {row['debt']}), "
            f"on show are {_each(row['shown'])}"
        )
    found.demand(len(wrong) <= 5, f"{len(wrong)} SKUs are wrong in all")
    found.demand(settled, f"{stage.open_listings()} listings are not settled")
    found.demand(not stage.breakages(), f"the daemon logged errors: {'; '.join(stage.breakages()[:3])}")


async def oversold(stage: Stage) -> list[Explanation]:
    """Every unit sold twice, explained as far as it can be."""
    books = await stage.books()
    return explain(oversales(books), notices(books, await stage.admin.events()), books)


def _each(shown: Mapping[str, int]) -> str:
    return ", ".join(f"{units} at {store}" for store, units in shown.items())

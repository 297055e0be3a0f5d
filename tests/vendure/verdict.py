"""Is everything right? Judged by the shops' own books, and printed for a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import define, field, frozen
from rich.console import Console
from rich.table import Table

from daemon.theatre.demo_tables import ms
from daemon.theatre.notices import notices, spread
from daemon.theatre.oversold import Explanation, explain
from daemon.theatre.truth import Book, oversales, true_numbers
from tests.vendure.play import BOUTIQUE, ORDERS, Play, Tally

STALE_US = 60_000_000
"""News of a sale that is older than this had every chance to arrive, whatever was down meanwhile."""


@frozen
class Row:
    """One SKU. `truth`: negative where units are owed · `shelf`: what Vendure has on hand and allocated · `known`:
    what onhand says is left."""

    sku: str
    initial: int
    sold: dict[str, int]
    given_back: int
    truth: int
    shown: dict[str, int]
    shelf: tuple[int, int]
    known: int

    @property
    def equal(self) -> bool:
        return set(self.shown.values()) == {max(0, self.truth)} and self.known == self.truth


@define
class Verdict:
    """The rows, the units that were sold twice, and every sentence that must be true."""

    rows: list[Row]
    oversold: list[Explanation]
    news_ms: dict[str, Any]
    musts: list[tuple[str, bool]] = field(factory=list)

    @property
    def good(self) -> bool:
        return all(holds for _, holds in self.musts)


def judge(
    books: Sequence[Book], events: Sequence[dict[str, Any]], shelf: dict[str, tuple[int, int]], held: dict[str, int],
    known: dict[str, int], dead_letters: int, tally: Tally,
) -> Verdict:  # fmt: skip
    """`shelf`: Vendure's (on hand, allocated) · `held`: units of its open orders · `known`: onhand's numbers."""
    truths = true_numbers(books)
    rows = [
        Row(
            sku, truth.initial, {book.store: book.skus[sku].sold for book in books}, truth.given_back, truth.number,
            {book.store: book.skus[sku].shows for book in books}, shelf[sku], known[sku],
        )
        for sku, truth in truths.items()
    ]  # fmt: skip
    told = notices(books, events)
    oversold = explain(oversales(books), told, books)
    took = [each.propagation_ms for each in told if each.propagation_ms is not None and each.pushed]
    verdict = Verdict(rows, oversold, spread(took))
    short = {each.oversale.sale.sku for each in oversold if each.oversale.sale.store == BOUTIQUE}
    verdict.musts = [
        ("every shop shows the true number", all(row.equal for row in rows)),
        ("nothing was sold twice but what no news could have prevented", all(map(_inevitable, oversold))),
        (
            "Vendure holds what its open orders took, each unit once",
            all(row.shelf[1] == held.get(row.sku, 0) for row in rows if row.sku not in short),
        ),
        ("no fact and no push lies in a dead letter", not dead_letters),
        (f"{sum(ORDERS.values())} orders were asked for, and some placed at every shop",
         tally.asked == sum(ORDERS.values()) and set(tally.placed) == set(ORDERS)),
        ("orders were still to come when Vendure was killed, and when the daemon was",
         len(tally.still_wanted) == 2 and min(tally.still_wanted, default=0) > 0),
        ("orders were cancelled and handed over", bool(tally.cancelled and tally.handed_over)),
    ]  # fmt: skip
    return verdict


def _inevitable(each: Explanation) -> bool:
    """Explained, and by sales so fresh that their news may have been under way."""
    sold_us = each.oversale.sale.at_us
    return each.complete and all(sold_us - unseen.sale.at_us < STALE_US for unseen in each.unseen)


def show(console: Console, verdict: Verdict, tally: Tally) -> None:
    """The table, the figures, and what must hold."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    names = list(verdict.rows[0].shown)
    sold, shows = [f"sold: {name}" for name in names], [f"shows: {name}" for name in names]
    heads = ["stock", *sold, "back", "truly left", *shows, "on hand/allocated", "onhand says"]
    table.add_column("SKU")
    for head in heads:
        table.add_column(head, justify="right")
    table.add_column("")
    for row in verdict.rows:
        figures = [row.initial, *row.sold.values(), row.given_back, row.truth, *row.shown.values()]
        table.add_row(
            row.sku, *map(str, figures), f"{row.shelf[0]}/{row.shelf[1]}", str(row.known),
            "[green]equal[/]" if row.equal else "[bold red]DIFFERENT[/]",
        )  # fmt: skip
    console.print()
    console.print(table)
    console.print()
    placed = ", ".join(f"{count} at {store}" for store, count in tally.placed.items())
    console.print(
        f"orders: {tally.asked} asked for; placed {placed}; {tally.sold_out} sold out; {tally.unanswered} tries cut "
        f"off and repeated; {tally.cancelled} cancelled, {tally.handed_over} handed over"
    )
    console.print(
        f"news of a sale: at the other shops after {ms(verdict.news_ms['p50'])} (median), "
        f"{ms(verdict.news_ms['p99'])} (99 %), with Vendure away for "
        f"{tally.vendure_back_s:.1f} s and the daemon for {tally.daemon_back_s:.1f} s"
    )
    units = sum(each.oversale.units for each in verdict.oversold)
    console.print(f"sold twice: {units} units")
    for each in verdict.oversold:
        console.print(f"  {each.sentence()}")
    console.print()
    for sentence, holds in verdict.musts:
        console.print(f"[green]holds[/]  {sentence}" if holds else f"[bold red]FAILS[/]  {sentence}")


async def settled(play: Play) -> bool:
    """Do all shops and the daemon agree at this moment, with nothing on its way?"""
    shown = list((await play.shown()).values())
    known = {sku: max(0, units) for sku, units in (await play.known()).items()}
    return all(each == known for each in shown)

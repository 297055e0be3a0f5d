"""The demo as a shop owner sees it: the live table, and the one at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen
from rich.console import Group
from rich.table import Table
from rich.text import Text

from daemon.theatre.shoppers import Trade


@frozen
class Row:
    """A SKU: what is truly left, and what each storefront shows."""

    sku: str
    truth: int
    shown: Mapping[str, int]


@frozen
class Moment:
    """The demo at one moment. `waiting_s`: since the end of the burst, None during it."""

    stores: Sequence[str]
    rows: Sequence[Row]
    trade: Trade
    orders: int
    left_s: float
    waiting_s: float | None
    deadline_s: float
    hooks: int
    dropped: int
    duplicates: int
    pushes: int
    open_listings: int

    def differing(self) -> int:
        """Numbers on show that are not right at this moment."""
        return sum(1 for row in self.rows for shown in row.shown.values() if shown != max(0, row.truth))

    def phase(self) -> str:
        """What goes on."""
        if self.waiting_s is None:
            return f"shoppers are buying, {self.left_s:.0f} s to go; the storefronts misbehave on purpose"
        return f"{self.waiting_s:.0f} s after the burst; every number must be right within {self.deadline_s:.0f} s"

    def line(self) -> str:
        """All of it in one line, where no table can live."""
        trade = self.trade
        return (
            f"{self.phase()}: {trade.placed} of {self.orders} orders placed, {trade.sold_out} refused as sold out, "
            f"numbers still on their way: {self.differing()}"
        )


def live_view(moment: Moment) -> Group:
    """The table while it happens: what is on its way is yellow."""
    table = _table("really left", moment.stores)
    for row in moment.rows:
        right = max(0, row.truth)
        shown = [row.shown[store] for store in moment.stores]
        late = sum(1 for each in shown if each != right)
        word = Text(f"{late} being told", "yellow") if late else Text("right everywhere", "green")
        cells = [Text(str(each), "green" if each == right else "yellow") for each in shown]
        table.add_row(row.sku, _left(row.truth), *cells, word)
    trade = moment.trade
    figures = {
        "orders": f"{trade.placed} placed of {moment.orders}, {trade.sold_out} refused as sold out, "
        f"{trade.sequels['cancel']} cancelled, {trade.sequels['refund']} refunded",
        "webhooks": f"{moment.hooks} sent or waiting, {moment.duplicates} of them copies; {moment.dropped} lost",
        "pushes": f"{moment.pushes} new numbers sent to storefronts; {moment.open_listings} not settled yet",
    }
    title = Text(f"onhand demo: {len(moment.stores)} storefronts, one stock", "bold")
    return Group(title, Text(moment.phase(), "dim"), Text(), table, Text(), _figures(figures))


def _table(truth: str, stores: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("product")
    for name in (truth, *stores):
        table.add_column(name, justify="right")
    table.add_column("")
    return table


def _left(truth: int) -> Text:
    return Text(f"{-truth} owed" if truth < 0 else str(truth), "bold red" if truth < 0 else "bold")


def _figures(figures: Mapping[str, str]) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    for name, sentence in figures.items():
        grid.add_row(Text(name, "dim"), sentence)
    return grid


# --- the end -------------------------------------------------------------------------------------------------


def closing_view(document: Mapping[str, Any]) -> Group:
    """Every storefront against the ledger, and what it took to get there."""
    stores = list(document["skus"][0]["shown"])
    table = _table("ledger says", stores)
    for row in document["skus"]:
        cells = [
            Text(str(row["shown"][store]), _colour(row["shown"][store] == row["should_show"])) for store in stores
        ]
        word = "equal" if row["equal"] else "DIFFERENT"
        sold_out = " (sold out)" if row["equal"] and not row["should_show"] else ""
        table.add_row(row["sku"], _left(row["truth"]), *cells, Text(word + sold_out, _colour(row["equal"])))
    title = Text("onhand demo: the storefronts against their ledgers", "bold")
    return Group(title, Text(), table, Text(), _figures(_told(document)), Text(), _verdict(document))


def _colour(good: bool) -> str:
    return "green" if good else "bold red"


def _told(document: Mapping[str, Any]) -> dict[str, str]:
    orders, hooks, daemon = document["orders"], document["webhooks"], document["daemon"]
    spread, burst = document["propagation_ms"], document["burst"]
    found = {
        "orders": f"{orders['placed']} placed in {burst['took_s']:.0f} s, {orders['refused_sold_out']} refused as "
        f"sold out; {orders['cancelled']} cancelled, {orders['refunded']} refunded, "
        f"{orders['fulfilled']} handed over",
        "webhooks": f"{hooks['sent']} sent, {hooks['duplicated']} copies on top, {hooks['dropped']} lost on purpose; "
        f"the daemon took {daemon['acked']} and knew {daemon['duplicates']} already",
        "pushes": f"{daemon['pushes']} sent, {daemon['pushes_confirmed']} confirmed at once; the others met a fault "
        "or a sale under way and were settled afterwards",
        "news of a sale": f"was at the other storefronts after {ms(spread['p50'])} (median), {ms(spread['p99'])} "
        f"(99 %), {ms(spread['slowest'])} (slowest): delayed webhooks, lost ones and failing calls included",
        "the daemon": f"took {ms(spread['reaction']['p50'])} of that (median), from hearing to the new number",
        "sold twice": f"{document['oversold']} units; still owed to buyers: {document['debt']}",
    }
    return found | {" " * place: each["sentence"] for place, each in enumerate(document["oversales"], 1)}


def ms(value: float | None) -> str:
    """Milliseconds for a person; a dash for what was never measured."""
    if value is None:
        return "-"
    return f"{value / 1_000:.1f} s" if value >= 1_000 else f"{value:.0f} ms"


def _verdict(document: Mapping[str, Any]) -> Text:
    wait = document["convergence"]
    took, limit = f"{wait['took_s']:.1f} s after the burst", f"{wait['deadline_s']:.0f} s"
    if document["ok"]:
        return Text(f"Every storefront shows the right number, {took} (limit {limit}).", "bold green")
    wrong = [row["sku"] for row in document["skus"] if not row["equal"] or row["debt"] != row["owed"]]
    if wrong:
        return Text(f"Not right within {limit}: {', '.join(wrong)}.", "bold red")
    return Text("Every number is right, but a unit was sold twice and nobody can say why.", "bold red")

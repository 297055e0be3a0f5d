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
        return f"the burst is over; every number must be right within {self.deadline_s:.0f} s ({self.waiting_s:.0f} s)"

    def line(self) -> str:
        """All of it in one line, where no table can live."""
        trade = self.trade
        return (
            f"{self.phase()}: {trade.placed} of {self.orders} orders placed, {trade.sold_out} refused as sold out, "
            f"{self.differing()} numbers still on their way"
        )


def live_view(moment: Moment) -> Group:
    """The table while it happens: what is on its way is yellow."""
    table = _table(moment.stores)
    for row in moment.rows:
        right = max(0, row.truth)
        cells = [Text(str(row.shown[store]), "green" if row.shown[store] == right else "yellow") for store in moment.stores]
        late = sum(1 for shown in row.shown.values() if shown != right)
        word = Text(f"{late} being told", "yellow") if late else Text("right everywhere", "green")
        table.add_row(row.sku, _left(row.truth), *cells, word)
    trade = moment.trade
    return Group(
        Text(f"onhand demo: {len(moment.stores)} storefronts, one stock", "bold"),
        Text(moment.phase(), "dim"),
        Text(),
        table,
        Text(),
        Text(
            f"orders    {trade.placed} placed of {moment.orders}, {trade.sold_out} refused as sold out, "
            f"{trade.sequels['cancel']} cancelled, {trade.sequels['refund']} refunded"
        ),
        Text(f"webhooks  {moment.hooks}, of which {moment.dropped} lost and {moment.duplicates} sent twice"),
        Text(f"pushes    {moment.pushes} new numbers sent to storefronts; {moment.open_listings} under way"),
    )


def _table(stores: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("product")
    table.add_column("really left", justify="right")
    for store in stores:
        table.add_column(store, justify="right")
    table.add_column("")
    return table


def _left(truth: int) -> Text:
    return Text(f"{truth} owed" if truth < 0 else str(truth), "bold red" if truth < 0 else "bold")


def closing_view(document: Mapping[str, Any]) -> Group:
    """The end: every storefront against the ledger, and what it took to get there."""
    stores = list(document["skus"][0]["shown"])
    table = _table(stores)
    table.columns[1].header = "ledger says"
    for row in document["skus"]:
        cells = [Text(str(row["shown"][store]), _colour(row["shown"][store] == row["should_show"])) for store in stores]
        word = "equal" if row["equal"] else "DIFFERENT"
        sold_out = " (sold out)" if row["equal"] and not row["should_show"] else ""
        table.add_row(row["sku"], _left(row["truth"]), *cells, Text(word + sold_out, _colour(row["equal"])))
    return Group(Text("after the burst", "bold"), Text(), table, Text(), *_figures(document), Text(), _verdict(document))


def _colour(good: bool) -> str:
    return "green" if good else "bold red"


def _figures(document: Mapping[str, Any]) -> list[Text]:
    orders, hooks, daemon = document["orders"], document["webhooks"], document["daemon"]
    spread, burst = document["propagation_ms"], document["burst"]
    lines = [
        f"orders       {orders['placed']} placed in {burst['took_s']:.0f} s, {orders['refused_sold_out']} refused as "
        f"sold out; {orders['cancelled']} cancelled, {orders['refunded']} refunded, {orders['fulfilled']} handed over",
        f"webhooks     {hooks['sent']} sent, {hooks['duplicated']} copies on top, {hooks['dropped']} lost on purpose; "
        f"{daemon['acked']} taken, {daemon['duplicates']} known already",
        f"pushes       {daemon['pushes']} sent, {daemon['pushes_confirmed']} confirmed at once; the others met "
        "a fault and were done again",
        f"a sale was   {_ms(spread['p50'])} old (median) when the other storefronts knew; slowest "
        f"{_ms(spread['slowest'])}, lost webhooks and failing calls included",
        f"the daemon   needed {_ms(spread['reaction']['p50'])} of that (median), from hearing to the new number",
        f"sold twice   {document['oversold']} units, still owed: {document['debt']}",
        *(f"             {each['sentence']}" for each in document["oversales"]),
    ]
    return [Text(line) for line in lines]


def _ms(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value / 1_000:.1f} s" if value >= 1_000 else f"{value:.0f} ms"


def _verdict(document: Mapping[str, Any]) -> Text:
    wait = document["convergence"]
    if document["ok"]:
        return Text(
            f"Every storefront shows the right number, {wait['took_s']:.1f} s after the burst "
            f"(limit {wait['deadline_s']:.0f} s).", "bold green",
        )  # fmt: skip
    wrong = [row["sku"] for row in document["skus"] if not row["equal"] or row["debt"] != row["owed"]]
    if wrong:
        return Text(f"Not right within {wait['deadline_s']:.0f} s: {', '.join(wrong)}.", "bold red")
    return Text("Every number is right, but a unit was sold twice and nobody can say why.", "bold red")

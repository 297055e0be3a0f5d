"""`onhand demo`: three storefronts that misbehave, the daemon between them, a burst of orders, the count after."""

from __future__ import annotations

import json
import random
import sys
from functools import partial
from pathlib import Path
from typing import Final

import trio
from attrs import define, field
from rich.live import Live

from adapters.storefront.faults import ApiFaults, Faults, WebhookFaults
from daemon.theatre.curtain import FAILED, PASSED, console, raise_curtain
from daemon.theatre.demo_report import report
from daemon.theatre.demo_tables import Moment, Row, closing_view, live_view
from daemon.theatre.shoppers import Trade, expected_units, plan, shop
from daemon.theatre.stage import FLAWLESS, Stage, staged, storefront

STORES: Final = ("market", "boutique", "outlet")
ASSORTMENT: Final = {
    "TEE-RED-M": (3.0, 1.5), "TEE-RED-L": (2.0, 1.5), "TEE-BLUE-M": (2.0, 0.6), "HOODIE-GREY-M": (1.5, 1.5),
    "HOODIE-GREY-L": (1.5, 1.5), "CAP-BLACK": (2.0, 1.5), "MUG-CLASSIC": (3.0, 0.7), "TOTE-CANVAS": (1.5, 1.5),
    "SOCKS-STRIPED": (1.0, 1.5), "SCARF-WOOL": (1.0, 0.5), "POSTER-CITY-A2": (1.5, 1.5), "NOTEBOOK-A5": (2.0, 1.5),
}  # fmt: skip
"""SKU: how often it is wanted, and how much of what will be wanted is there. Below 1 it sells out."""
WEBHOOK_FAULTS: Final = WebhookFaults(duplicate=0.2, drop=0.1, delay_s=0.5, reorder=0.2)
API_FAULTS: Final = ApiFaults(error_500=0.04, throttle_429=0.02, timeout=0.01, lose_answer=0.03)
SEED: Final = 20_261_123
DEADLINE_S: Final = 30.0
"""After the burst the storefronts behave again, and every number must be right within this."""
GLANCE_S: Final = 0.25
LINE_S: Final = 5.0
"""Between two pictures of the live table; between two lines where nobody watches."""


def run_demo(orders: int, seconds: float, as_json: bool) -> int:
    """Play the demo; 0 iff every storefront came to show the right number, and every unit sold twice is explained."""
    return raise_curtain(partial(_demo, orders, seconds, as_json))


async def _demo(orders: int, seconds: float, as_json: bool, directory: Path) -> int:
    rng = random.Random(SEED)  # noqa: S311 - shoppers, not secrets
    popularity = {sku: wanted for sku, (wanted, _) in ASSORTMENT.items()}
    expected = expected_units(popularity, orders)
    stock = {sku: max(1, round(expected[sku] * plenty)) for sku, (_, plenty) in ASSORTMENT.items()}
    stores = [storefront(name, stock, SEED + place) for place, name in enumerate(STORES)]
    async with staged(stores, directory) as stage:
        await stage.misbehave({name: _faults(place) for place, name in enumerate(STORES)})
        show = Show(stage, orders, seconds)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(show.watch, as_json)
            await shop(stage, plan(STORES, popularity, orders, seconds, rng), show.trade)
            show.ended_at = trio.current_time()
            await stage.misbehave(dict.fromkeys(STORES, FLAWLESS))
            await stage.until(stage.converged, DEADLINE_S)
            show.settled_at = trio.current_time()
            show.over.set()
        document = await report(stage, show.trade)
    document |= {
        "burst": {"orders": orders, "seconds": seconds, "took_s": show.took_s(), "seed": SEED},
        "convergence": {"took_s": show.convergence_s(), "deadline_s": DEADLINE_S, "faults_off_after_burst": True},
        "faults": {"webhook": _settings(WEBHOOK_FAULTS), "api": _settings(API_FAULTS)},
    }
    if as_json:
        sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=2) + "\n")
    else:
        console().print(closing_view(document))
    return PASSED if document["ok"] else FAILED


def _faults(place: int) -> Faults:
    return Faults(WEBHOOK_FAULTS, API_FAULTS, seed=SEED + place)


def _settings(faults: WebhookFaults | ApiFaults) -> dict[str, float]:
    return {name: getattr(faults, name) for name in faults.__struct_fields__ if getattr(faults, name)}


@define(eq=False)
class Show:
    """The burst as it goes, for whoever watches."""

    stage: Stage
    orders: int
    seconds: float
    trade: Trade = field(factory=Trade)
    began_at: float = field(factory=trio.current_time)
    ended_at: float = 0.0
    settled_at: float = 0.0
    over: trio.Event = field(factory=trio.Event)

    def took_s(self) -> float:
        """The burst, in seconds."""
        return round(self.ended_at - self.began_at, 3)

    def convergence_s(self) -> float:
        """From the end of the burst until all was settled (or given up), in seconds."""
        return round(self.settled_at - self.ended_at, 3)

    def moment(self) -> Moment:
        """This very moment."""
        now = trio.current_time()
        stores = self.stage.stores.values()
        waiting_s = now - self.ended_at if self.ended_at else None
        return Moment(
            tuple(self.stage.stores),
            [Row(sku, self.stage.truth(sku), self.stage.shown(sku)) for sku in ASSORTMENT],
            self.trade, self.orders,
            left_s=max(0.0, self.seconds - (now - self.began_at)), waiting_s=waiting_s, deadline_s=DEADLINE_S,
            hooks=sum(len(store.outbox.records) for store in stores),
            dropped=sum(1 for store in stores for each in store.outbox.records if each.state == "dropped"),
            duplicates=sum(1 for store in stores for each in store.outbox.records if each.duplicate),
            pushes=sum(each.figures.pushes for each in self.stage.daemon.parts.channels.values()),
            open_listings=self.stage.open_listings(),
        )  # fmt: skip

    async def watch(self, as_json: bool) -> None:
        """A table that lives on a terminal, else a line now and then; with `as_json` neither."""
        screen = console()
        if as_json:
            return
        if not screen.is_terminal:
            await self._lines()
            return
        with Live(console=screen, auto_refresh=False, transient=True) as live:
            while not self.over.is_set():
                live.update(live_view(self.moment()), refresh=True)
                with trio.move_on_after(GLANCE_S):
                    await self.over.wait()

    async def _lines(self) -> None:
        while not self.over.is_set():
            with trio.move_on_after(LINE_S):
                await self.over.wait()
            sys.stderr.write(self.moment().line() + "\n")

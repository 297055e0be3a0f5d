"""The play: fifty shoppers at three shops with one stock, and what befalls the shops and the daemon meanwhile."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Literal

import httpx
import trio
from attrs import define, field, frozen

from tests.acceptance.processes import Daemon, Shop, until
from tests.vendure import trade
from tests.vendure.graphql import Client, RefusedError
from tests.vendure.server import Server

SEED = 20_261_123
SKUS = {"SKU-0001": 5, "SKU-0002": 3, "SKU-0003": 2}
"""How often each is wanted: of the first two, more than there is."""
STOCK = 20
BOUTIQUE, NORTH, SOUTH = "boutique", "north", "south"
ORDERS = {BOUTIQUE: 26, NORTH: 12, SOUTH: 12}
CANCELLED, HANDED_OVER = {BOUTIQUE: 4, NORTH: 2, SOUTH: 2}, {BOUTIQUE: 6, NORTH: 2, SOUTH: 2}
WORKERS, PACE_S = {BOUTIQUE: 3, NORTH: 1, SOUTH: 1}, {BOUTIQUE: 0.2, NORTH: 0.9, SOUTH: 0.9}
VENDURE_DIES_AT, DAEMON_DIES_AT = 15, 36
"""Orders that were asked for by then."""
PATIENCE_S = 150.0
"""So long a shopper or a merchant comes back to a shop that does not answer."""
RETRY_S = 0.5

Sequel = Literal["", "cancel", "hand over"]


@frozen
class Ticket:
    """One order that somebody wants, and what becomes of it."""

    store: str
    sku: str
    units: int
    sequel: Sequel


@define
class Tally:
    """What came of it."""

    asked: int = 0
    placed: Counter[str] = field(factory=Counter)
    sold_out: int = 0
    unanswered: int = 0
    """Tries that were cut off: whether there is an order, only the books know."""
    cancelled: int = 0
    handed_over: int = 0
    vendure_back_s: float = 0.0
    daemon_back_s: float = 0.0
    still_wanted: list[int] = field(factory=list)
    """Orders that were still to come when the first and the second blow fell."""


def tickets(rng: random.Random) -> dict[str, list[Ticket]]:
    """Everybody's wishes, by shop; the same for the same generator."""
    found: dict[str, list[Ticket]] = {}
    for store, count in ORDERS.items():
        sequels: list[Sequel] = [
            *["cancel"] * CANCELLED[store],
            *["hand over"] * HANDED_OVER[store],
            *[""] * (count - CANCELLED[store] - HANDED_OVER[store]),
        ]  # type: ignore[list-item]  # one of the three
        rng.shuffle(sequels)
        wanted = rng.choices(list(SKUS), list(SKUS.values()), k=count)
        found[store] = [
            Ticket(store, sku, rng.choice((1, 1, 2)), sequel) for sku, sequel in zip(wanted, sequels, strict=True)
        ]
    return found


@define(eq=False)
class Play:
    """Everybody on stage. `say` tells a person how far it is."""

    server: Server
    admin: Client
    http: httpx.AsyncClient
    outlets: dict[str, Shop]
    daemon: Daemon
    ids: dict[str, str]
    say: Callable[[str], None]
    tally: Tally = field(factory=Tally)
    _number: int = 0

    async def burst(self) -> None:
        """Returns after the last order and its sequel."""
        wishes = tickets(random.Random(SEED))
        async with trio.open_nursery() as street:
            for store, wanted in wishes.items():
                queue = list(reversed(wanted))
                for _ in range(WORKERS[store]):
                    street.start_soon(self._shop, queue, street)
            street.start_soon(self._kill_vendure)
            street.start_soon(self._kill_daemon)

    async def _shop(self, queue: list[Ticket], street: trio.Nursery) -> None:
        while queue:
            ticket = queue.pop()
            order = await self._insist(lambda ticket=ticket: self._buy(ticket))
            self.tally.asked += 1
            if order:
                self.tally.placed[ticket.store] += 1
                if ticket.sequel:
                    street.start_soon(self._sequel, ticket, order)
            else:
                self.tally.sold_out += 1
            await trio.sleep(PACE_S[ticket.store])

    async def _buy(self, ticket: Ticket) -> str:
        """The order; "" where it was sold out. Raises `RefusedError` where nobody knows."""
        if ticket.store == BOUTIQUE:
            self._number += 1
            mail = f"shopper-{self._number}@example.com"
            order = await trade.buy(self.http, self.server.url, self.ids[ticket.sku], ticket.units, mail)
            return "" if order == "sold out" else str(order["id"])
        lines = [{"sku": ticket.sku, "quantity": ticket.units}]
        status, answer = await self.outlets[ticket.store].post("/orders", {"lines": lines})
        if status == 0:
            raise RefusedError("no answer")
        return str(answer["id"]) if status == 201 else ""

    async def _sequel(self, ticket: Ticket, order: str) -> None:
        await trio.sleep(1.0)
        if ticket.store == BOUTIQUE:
            act = trade.cancel if ticket.sequel == "cancel" else trade.hand_over
            await self._insist(lambda: self._merchant(act(self.admin, order)))
        else:
            path = "cancel" if ticket.sequel == "cancel" else "fulfil"
            status, _ = await self.outlets[ticket.store].post(f"/orders/{order}/{path}")
            assert status == 200, f"{ticket.store} answers {status} to {path}"
        if ticket.sequel == "cancel":
            self.tally.cancelled += 1
        else:
            self.tally.handed_over += 1

    async def _merchant(self, act: Awaitable[None]) -> str:
        """What was cut off after it was done is refused the second time: it is done."""
        try:
            await act
        except RefusedError as exc:
            if str(exc).startswith(UNANSWERED):
                raise
            if str(exc) not in DONE_ALREADY:
                raise AssertionError(f"Vendure refuses the merchant: {exc}") from None
        return "done"

    async def _insist(self, attempt: Callable[[], Awaitable[str]]) -> str:
        """Try again while the shop does not answer, or stumbles over its own restart."""
        with trio.fail_after(PATIENCE_S):
            while True:
                try:
                    return await attempt()
                except RefusedError as exc:
                    self.tally.unanswered += 1
                    if not str(exc).startswith(UNANSWERED):
                        raise
                    await trio.sleep(RETRY_S)

    # -- what befalls them --

    async def _kill_vendure(self) -> None:
        await self._until_asked(VENDURE_DIES_AT)
        self.say("Vendure is killed in the middle of selling, and started again")
        self.server.process.kill()
        self.tally.vendure_back_s = await self.server.boot(self.http)
        self.say(f"Vendure serves again after {self.tally.vendure_back_s:.1f} s")

    async def _kill_daemon(self) -> None:
        await self._until_asked(DAEMON_DIES_AT)
        self.say("the daemon is killed (SIGKILL), and started again")
        began = trio.current_time()
        self.daemon.process.kill()
        self.daemon.process.start()
        await self.daemon.wait_serving(60)
        self.tally.daemon_back_s = trio.current_time() - began
        self.say(f"the daemon serves again after {self.tally.daemon_back_s:.1f} s")

    async def _until_asked(self, orders: int) -> None:
        async def asked() -> bool:
            return self.tally.asked >= orders

        await until(asked, PATIENCE_S, 0.02)
        self.tally.still_wanted.append(sum(ORDERS.values()) - self.tally.asked)

    # -- what is on show --

    async def shown(self) -> dict[str, dict[str, int]]:
        """What each shop's own books say that it can sell, by SKU."""
        there = await trade.shelf(self.admin)
        boutique = {sku: on_hand - allocated for sku, (on_hand, allocated) in there.items()}
        return {BOUTIQUE: boutique, **{name: await shop.shown() for name, shop in self.outlets.items()}}

    async def known(self, skus: Iterable[str] = SKUS) -> dict[str, int]:
        """What onhand says is left, by SKU; negative where units are owed."""
        return {sku: (await self.daemon.ask(f"/v1/skus/{sku}"))["available"] for sku in skus}


UNANSWERED = "no answer"
DONE_ALREADY = ("QUANTITY_TOO_GREAT_ERROR", "EMPTY_ORDER_LINE_SELECTION_ERROR", "ITEMS_ALREADY_FULFILLED_ERROR")

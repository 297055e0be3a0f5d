"""The way between the daemon and a channel's twin, and what befalls calls on it."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Literal

import trio
from attrs import define, evolve, field

from daemon.domain.exchange import NoAnswer, Reply, Request, Response
from tests.channels.stage import Sale, Sort, Stage
from tests.channels.weather import EXPIRED, Fate, Weather

PAGE = b"<html><head><title>One moment, please</title></head><body>\xc3\xbc</body></html>"


@define(eq=False)
class Copy:
    """An old copy that answers reads for a while."""

    what: Literal["orders", "stock"]
    content: list[Any]
    until_s: float


@define(eq=False)
class Raise:
    """A write that raised a listing over sales of which the daemon had not been told: how old the oldest was."""

    sku: str
    level: int
    at_s: float
    unseen_s: float


@define(eq=False)
class Crossing:
    """One channel as the daemon's HTTP client sees it; it outlives the daemon."""

    stage: Stage
    weather: Weather
    rng: random.Random
    nursery: trio.Nursery
    note: Callable[[str], None]
    copies: list[Copy] = field(factory=list)
    clouded: list[tuple[float, float, str]] = field(factory=list)
    """When reads were answered from old copies: (since, until, of what)."""
    told: dict[int, float] = field(factory=dict)
    """By `id` of a sale: when the daemon was first told of it."""
    raises: list[Raise] = field(factory=list)
    calls: int = 0
    tokens_at_s: float = -100.0
    """When a token was last asked for."""

    def now_s(self) -> float:
        return self.stage.around.now_s()

    async def send(self, request: Request) -> Reply:
        self.calls += 1
        sort = self.stage.sort(request)
        await trio.sleep(self.rng.choice((0.01, 0.03, 0.1)))
        if sort == "queue":
            return await self.stage.answer_queue(request)
        if sort == "token":
            self.tokens_at_s = self.now_s()
        elif self.weather.hit(EXPIRED) and self.stage.expire():
            self._happened(EXPIRED, sort)
        fragile = sort == "token" and not self.stage.loses_tokens
        with trio.move_on_after(request.timeout_s):
            return await self._meet(request, sort, fragile=fragile)
        return NoAnswer(f"the deadline of {request.timeout_s:g} s passed", reached=True)

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()

    # -- what befalls it --

    async def _meet(self, request: Request, sort: Sort, *, fragile: bool) -> Reply:
        fate = self.weather.fate(sort, fragile=fragile)
        refusal = self.stage.partial(request) if fate == "partly refused" else None
        if not fate or (fate == "partly refused" and refusal is None):
            answer = await self._back(await self._do(request, sort))
            if sort == "orders" and answer.status == 200:
                self.tell(answer.body)
            return answer
        self._happened(fate, sort)
        if refusal is not None:
            return await self._back(self.stage.said(*refusal))
        return await self._mistreated(request, sort, fate)

    async def _mistreated(self, request: Request, sort: Sort, fate: Fate) -> Reply:
        match fate:
            case "throttled":
                return await self._back(self.stage.said(*self.stage.throttled(self.rng.randint(1, 20))))
            case "503":
                return await self._back(self.stage.said(503, self.rng.choice((PAGE, b"")), {}))
            case "500 before the effect":
                return await self._back(self._broken())
            case "500 after the effect":
                await self._do(request, sort)
                return await self._back(self._broken())
            case "time-out without an effect":
                return await self._silence()
            case "time-out after the effect":
                await self._do(request, sort)
                return await self._silence()
            case "time-out, effect later":
                self.nursery.start_soon(self._later, request, sort, self.rng.uniform(1.0, 60.0))
                return await self._silence()
            case _:
                return await self._back(self._spoilt(await self._do(request, sort), fate))

    def _broken(self) -> Response:
        body = self.rng.choice((b"", PAGE, b'{"message": "Internal Server Error"}'))
        return self.stage.said(500, body, {})

    async def _silence(self) -> NoAnswer:
        """Nothing is heard until the deadline, or the connection breaks before it."""
        if self.rng.random() < 0.5:
            await trio.sleep_forever()
        await trio.sleep(self.rng.uniform(0.1, 5.0))
        return NoAnswer("the connection was closed without an answer", reached=True)

    async def _later(self, request: Request, sort: Sort, delay_s: float) -> None:
        await trio.sleep(delay_s)
        await self._do(request, sort)

    async def _back(self, response: Response) -> Response:
        await trio.sleep(self.rng.choice((0.01, 0.03, 0.1)))
        return evolve(response, received_us=round(self.now_s() * 1e6))

    def _spoilt(self, response: Response, fate: Fate) -> Response:
        if fate == "answer garbled":
            return evolve(response, body=PAGE, headers={**response.headers, "content-type": "text/html"})
        return evolve(response, body=response.body[: self.rng.randrange(max(1, len(response.body)))])

    def _happened(self, fate: str, sort: Sort) -> None:
        self.weather.happened(fate)
        self.note(f"{fate}: {sort}")

    # -- what it does --

    async def _do(self, request: Request, sort: Sort) -> Response:
        if sort == "write":
            return await self._write(request)
        what: Literal["orders", "stock"] = "orders" if sort == "orders" else "stock"
        old = next((each for each in self.copies if each.what == what and self.now_s() < each.until_s), None)
        if sort not in ("orders", "stock") or old is None or not self.stage.differs(what, old.content):
            return await self.stage.answer(request)
        self._happened("old orders read" if what == "orders" else "old levels read", sort)
        with self.stage.showing(what, old.content):
            return await self.stage.answer(request)

    def lag(self, what: Literal["orders", "stock"], seconds: float) -> None:
        """From now on, for so long, reads are answered from a copy of this moment."""
        now_s = self.now_s()
        self.copies = [each for each in self.copies if each.until_s > now_s]
        if not any(each.what == what for each in self.copies):
            self.copies.append(Copy(what, self.stage.snapshot(what), now_s + seconds))
            self.clouded.append((now_s, now_s + seconds, what))

    async def _write(self, request: Request) -> Response:
        """Note what it raises over."""
        self.stage.settle()
        before = {sku: (level, self.stage.shown(sku)) for sku, level in self.stage.asked(request).items()}
        answer = await self.stage.answer(request)
        for sku, (level, shown) in before.items():
            if level > shown and 200 <= answer.status < 300:
                self._raised(sku, level, answer)
        return answer

    def _raised(self, sku: str, level: int, answer: Response) -> None:
        now_s = self.now_s()
        unseen = [
            sale for sale in self.stage.sales if sale.sku == sku and sale.taken and id(sale) not in self.told
            and not any(since <= now_s and sale.at_s <= until for since, until, _ in self.clouded)
        ]  # fmt: skip
        if unseen and self.stage.shown(sku) in (level, *self.pending(sku)):
            self.raises.append(Raise(sku, level, now_s, now_s - min(sale.at_s for sale in unseen)))

    def pending(self, sku: str) -> tuple[int, ...]:
        """Levels that were taken in and do not show yet count as shown."""
        return (self.stage.shown(sku),) if self.stage.applies_later else ()

    # -- what the daemon hears --

    def tell(self, body: bytes) -> None:
        """The daemon was given this: whatever sale is named in it is known."""
        for sale in self.stage.sales:
            if id(sale) not in self.told and any(name.encode() in body for name in sale.names):
                self.told[id(sale)] = self.now_s()

    def untold(self) -> list[Sale]:
        return [sale for sale in self.stage.sales if id(sale) not in self.told]

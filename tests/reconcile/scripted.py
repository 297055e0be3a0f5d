"""A simulated world that follows a script instead of chance: what happens is written down, when it happens is drawn.

Storefronts, daemon, disk, clocks and the oracle are those of the simulator; people, weather and lightning are not
there, but for what the script itself does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import msgspec
from attrs import evolve, field, frozen

from adapters.storefront import Storefront
from adapters.storefront.faults import Faults
from daemon.domain.exchange import Reply, Request, Response
from daemon.domain.policy import Policy
from tests.simulation.fronts import Front
from tests.simulation.plan import Plan
from tests.simulation.ports import LevelsAsked, Life
from tests.simulation.shop_clock import ShopClock
from tests.simulation.world import EPOCH_US, World

Script = Callable[["ScriptedWorld"], Awaitable[None]]


@frozen
class Cast:
    """Who is there. `stock`: what each storefront shows of each SKU at first, by channel and SKU."""

    stock: Mapping[str, Mapping[str, int]]
    blind: frozenset[str] = frozenset()
    """Channels without compare-and-set."""
    subscribed: frozenset[str] = frozenset()
    """Channels whose webhooks must be subscribed."""
    buffers: Mapping[str, int] = field(factory=dict)
    poll_s: float = 60.0
    catalogue_s: float = 3600.0

    def plan(self, seed: int) -> Plan:
        """The plan of such a world: nothing in it happens by itself."""
        skus = tuple(sorted({sku for shown in self.stock.values() for sku in shown}))
        return evolve(
            Plan.of(seed), skus=skus, hot=frozenset(), kits={}, poll_s=self.poll_s, catalogue_s=self.catalogue_s,
            shadow="", switched=False, fair=False, lies=False, eio=0.0, tears=0.0, late=0.0, twins=0.0, bolts=0.0,
            stumbles=0.0, reforms=0.0, drift_ppm=0.0, kinds=frozenset(), oddities=frozenset(),
            channels=tuple(self.stock), narrow=False, settlement_days=30, stretch=1.0,
        )  # fmt: skip


@frozen
class News:
    """The daemon was told of a version of an order, by a webhook it acknowledged or in an answer it got."""

    at_us: int
    channel: str
    order: str
    version: int


class ScriptedWorld(World):
    """Runs `script` once the daemon serves; then comes to rest and is compared with the ledgers."""

    def __init__(self, seed: int, cast: Cast, script: Script, *, loud: bool = False) -> None:
        self.cast, self.script = cast, script
        self.news: list[News] = []
        self.left_us: dict[str, int] = {}
        """When each push left, by its idempotency key."""
        super().__init__(seed, 1.0, cast.plan(seed), loud=loud)
        self.rng = self.dice("script")
        acknowledged, replied, sending = self.oracle.acknowledged, self.oracle.replied, self.oracle.sending

        def leaves(life: Life, front: Front, asked: LevelsAsked) -> None:
            self.left_us[asked.idempotency_key] = self.now_us()
            sending(life, front, asked)

        def heard_webhook(front: Front, hook: Any) -> None:
            message = msgspec.json.decode(hook.body)
            if order := message.get("order"):
                self.news.append(News(self.now_us(), front.name, order["id"], order["version"]))
            acknowledged(front, hook)

        def heard_answer(life: Life, front: Front, request: Request, reply: Reply) -> None:
            if "/orders" in request.url and isinstance(reply, Response) and reply.status == 200:
                told = msgspec.json.decode(reply.body)
                for order in told.get("items", [told]):
                    self.news.append(News(self.now_us(), front.name, order["id"], order["version"]))
            replied(life, front, request, reply)

        self.oracle.sending = leaves  # type: ignore[method-assign]
        self.oracle.acknowledged = heard_webhook  # type: ignore[method-assign]
        self.oracle.replied = heard_answer  # type: ignore[method-assign]

    def _fronts(self) -> Iterator[Front]:
        cast = self.cast
        for name, shown in cast.stock.items():
            store = Storefront(name, list(shown), dict(shown), f"secret-{name}", self.seed)
            clock = ShopClock(self.dice(f"clock {name}").uniform(-30.0, 30.0), 0.0, EPOCH_US)
            front = Front(
                self, name, store, clock, Policy(buffer=cast.buffers.get(name, 0)), self.dice(f"front {name}"),
                blind=name in cast.blind, subscribed=name in cast.subscribed,
            )  # fmt: skip
            front.set_faults(Faults())
            yield front

    async def _days(self) -> None:
        await self._rest()
        await self.script(self)
        self._calm()
        await self._rest()
        await self._end()

    # -- what scripts do --

    def sell(self, channel: str, sku: str, quantity: int = 1) -> str | None:
        """Somebody buys; the order's id, or None where the storefront shows too few."""
        reply = self.fronts[channel].call("POST", "/orders", {"lines": [{"sku": sku, "quantity": quantity}]})
        return msgspec.json.decode(reply.body)["id"] if reply.status == 201 else None

    def cancel(self, channel: str, order: str) -> bool:
        """Somebody cancels the whole order."""
        return self.fronts[channel].call("POST", f"/orders/{order}/cancel", {}).status < 300

    def shown(self, channel: str, sku: str) -> int:
        """What the storefront truly shows now."""
        return self.fronts[channel].store.shop.by_sku[sku].quantity

    def first_told_us(self) -> dict[tuple[str, str, int], int]:
        """When the daemon was first told of each (channel, order, version)."""
        first: dict[tuple[str, str, int], int] = {}
        for news in self.news:
            first.setdefault((news.channel, news.order, news.version), news.at_us)
        return first

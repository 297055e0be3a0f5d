"""A registry that knows kits, and the same world once more, slowly and without any of its code."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from attrs import define, field, frozen

from daemon.actors.actor import Part, Unit, dump_actor
from daemon.actors.registry import Registry
from daemon.domain.instants import exactly
from daemon.domain.observations import LevelReport, OrderLine, Recipe, StockCount
from daemon.domain.policy import Policy
from daemon.domain.sku import Sku
from daemon.storage.codec import Cause, EmptyOrder
from daemon.storage.cursors import Refetches
from daemon.storage.dead_letters import DeadLetters
from daemon.storage.environment import Environment
from daemon.storage.links import Links
from daemon.storage.orders import OrderIndex
from daemon.storage.outbox import Outbox
from daemon.storage.store import Store
from tests.storage.rooms import Ticking, inline

CHANNELS = ("shop", "site")
KITS: Mapping[str, Recipe] = {
    "SET": (("CUP", 1), ("PLATE", 2)),
    "PICNIC": (("PLATE", 1), ("SPOON", 3)),
    "PAIR": (("CUP", 2),),
}
COMPONENTS = ("CUP", "PLATE", "SPOON")
SHOWN = 1_000
"""What every listing shows at first contact."""


@frozen
class Wanted:
    """One line of one version of an order: units of a SKU."""

    sku: str
    ordered: int
    cancelled: int = 0
    restocked: int = 0


@frozen
class Told:
    """One version of an order, as a channel tells it: line id to what it wants."""

    channel: str
    order: str
    version: int
    lines: tuple[tuple[str, Wanted], ...]


@define
class KitHouse:
    """Started as the daemon starts it, left as a kill leaves it."""

    store: Store
    registry: Registry
    letters: DeadLetters

    def parts(self, told: Told, by: str = "poll") -> list[Part]:
        """What the normaliser makes of it."""
        at = exactly(1_000 + told.version)
        lines = [
            OrderLine(told.channel, told.order, name, self._sku(told, name, each.sku), each.ordered, each.cancelled,
                      each.restocked, version=told.version, at=at, listing=f"L-{each.sku}")
            for name, each in told.lines
        ]  # fmt: skip
        learned = self.registry.orders.learn(told.channel, told.order, lines, (told.version, 0), at)
        return [
            Part("" if isinstance(each, EmptyOrder) else each.sku, each, Cause(by, told.channel, 0, told.order))
            for each in learned
        ]

    def _sku(self, told: Told, line: str, named: str) -> str:
        return self.registry.orders.sku_of(told.channel, told.order, line) or named

    def absorb(self, *parts: Part) -> None:
        """One unit, applied now and durable some day."""
        self.registry.tell(list(parts))
        self.registry.drain()

    async def tell(self, *versions: Told) -> Unit:
        """These versions in one unit."""
        return await self.registry.deliver([part for each in versions for part in self.parts(each)])

    async def say(self, sku: str, *messages: Any) -> Unit:
        return await self.registry.deliver([Part(sku, each, Cause("person")) for each in messages])

    async def count(self, **units: int) -> None:
        await self.registry.deliver(counts(units))

    async def list(self, *skus: str) -> None:
        await self.registry.deliver(listings(skus))

    def state(self, sku: str) -> Sku:
        state = self.registry.peek(sku)
        assert state is not None
        return state

    def available(self, *skus: str) -> list[int | None]:
        return [self.state(sku).available for sku in skus]

    def desired(self, sku: str, channel: str = "shop") -> int | None:
        return self.state(sku).slots[channel, f"L-{sku}"].desired

    def rows(self) -> dict[str, bytes]:
        """Every SKU as it would be stored now."""
        return {sku: dump_actor(actor) for sku, actor in sorted(self.registry.actors.items()) if sku}

    def agrees(self) -> bool:
        """Does every kit know of each component exactly what that component has?"""
        for sku, recipe in self.registry.kits.items():
            kit = self.state(sku).kit
            if kit is None or kit.recipe != recipe:
                return False
            for component, _ in recipe:
                state = self.registry.peek(component)
                if kit.levels[component].available != (state.available if state else None):
                    return False
        return True


def counts(units: Mapping[str, int]) -> list[Part]:
    """Somebody counted, before anything was sold."""
    return [
        Part(sku, StockCount("person", sku, quantity, at=exactly(5)), Cause("person"))
        for sku, quantity in units.items()
    ]


def listings(skus: Iterable[str]) -> list[Part]:
    """Every channel lists these SKUs, before anything was sold."""
    return [
        Part(sku, LevelReport(channel, f"L-{sku}", SHOWN, exactly(5), sku), Cause("catalogue", channel))
        for sku in skus
        for channel in CHANNELS
    ]


class Silent:
    """A watcher that watches nothing."""

    def applied(self, *_: Any) -> None: ...
    def crashed(self, *_: Any, **__: Any) -> None: ...
    def dead(self, *_: Any) -> None: ...


@asynccontextmanager
async def kit_house(
    directory: Path, kits: Mapping[str, Recipe] = KITS, disk: Any = inline, wall: Ticking | None = None
) -> AsyncIterator[KitHouse]:
    """A life of the registry; it ends without a farewell."""
    env = Environment.open(directory, genesis="g", map_bytes=1 << 24)
    try:
        house = built(env, kits, disk, wall)
        async with trio.open_nursery() as nursery:
            await nursery.start(house.store.run)
            house.registry.replay()
            house.registry.resume(lambda _: 1_000_000, b"policies")
            await nursery.start(house.registry.run)
            yield house
            nursery.cancel_scope.cancel()
    finally:
        env.close(clean=False)


def built(
    env: Environment, kits: Mapping[str, Recipe] = KITS, disk: Any = inline, wall: Ticking | None = None
) -> KitHouse:
    """A registry over `env` that has not started."""
    store = Store(env, disk, wall or Ticking(), disk_floor_bytes=0)
    letters, policies = DeadLetters(store), dict.fromkeys(CHANNELS, Policy())
    registry = Registry(
        store, Outbox(store), OrderIndex(store, kits), Links(store), letters, Refetches(store), policies.get,
        Silent(), kits=kits,
    )  # fmt: skip
    return KitHouse(store, registry, letters)


# --- the same once more --------------------------------------------------------------------------------------


def taken(told: Sequence[Told]) -> dict[tuple[str, str, str], tuple[str, int]]:
    """Units that each line holds after all these versions: (channel, order, line) to (SKU, units)."""
    found = {}
    for channel, order in {(each.channel, each.order) for each in told}:
        versions = [each for each in told if (each.channel, each.order) == (channel, order)]
        newest = max(versions, key=lambda each: each.version)
        skus = {name: each.sku for version in versions for name, each in version.lines}
        for name, sku in skus.items():
            seen = [dict(version.lines)[name] for version in versions if name in dict(version.lines)]
            now = dict(newest.lines).get(name, Wanted(sku, 0))
            gone = max(each.cancelled for each in seen) + max(each.restocked for each in seen)
            found[channel, order, name] = (sku, max(0, now.ordered - gone))
    return found


@define
class Truth:
    """What must be left of everything, in units."""

    left: dict[str, int]
    shown: dict[tuple[str, str], int] = field(factory=dict)


def truth(counted: Mapping[str, int], told: Sequence[Told], kits: Mapping[str, Recipe] = KITS) -> Truth:
    """Count, then take off every line; a kit's through its components. No joins, no versions, no deltas."""
    left = dict(counted)
    shown = {(channel, sku): SHOWN for channel in CHANNELS for sku in [*counted, *kits]}
    for (channel, _, _), (sku, units) in taken(told).items():
        shown[channel, sku] -= units
        for component, each in kits.get(sku, ((sku, 1),)):
            left[component] -= units * each
    for kit, recipe in kits.items():
        left[kit] = max(n for n in range(-200, 200) if all(n * each <= left[name] for name, each in recipe))
    return Truth(left, shown)

"""What is odd but allowed: listings renamed at a channel, lines struck from orders, quantities that are null for a
while, signed deliveries that nobody understands, and observations that crash whoever applies them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import trio
from attrs import evolve

from adapters.storefront import StoreReply
from adapters.storefront.shop import Line, Order
from daemon.domain.instants import SECOND_US
from daemon.domain.observations import OrderLine
from daemon.domain.sku import Sku
from daemon.storage.idempotency import digest

if TYPE_CHECKING:
    from tests.simulation.fronts import Front
    from tests.simulation.world import World

EVERY_S = 120.0
NULL_S = 300.0
POISON_RATE = 0.05


class PoisonError(Exception):
    """A bug that only some observations meet."""


class Oddities:
    """Does odd things to a world, each kind only where the plan has it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rng = world.dice("oddities")
        self.labels: dict[tuple[str, str], str] = {}
        """(channel, listing) to the SKU that it claims to be now."""
        self.null_until = 0.0
        self.number = 0
        self.poison: set[tuple[str, str]] = set()
        self._sound = Sku.step
        for front in world.front_list:
            self._between(front)

    async def run(self) -> None:
        """Now and then something odd, until it is cancelled; then nothing is poison any more."""
        kinds = sorted(self.world.plan.oddities - {"poison"})
        if "poison" in self.world.plan.oddities:
            self._crash_on_poison()
        try:
            while kinds:
                await trio.sleep(self.rng.expovariate(1 / (EVERY_S * self.world.plan.stretch)))
                await self._odd(self.rng.choice(kinds), self.rng.choice(self.world.front_list))
            await trio.sleep_forever()
        finally:
            self.null_until = 0.0
            self.poison.clear()
            Sku.step = self._sound  # type: ignore[method-assign]  # as it was

    async def _odd(self, kind: str, front: Front) -> None:
        match kind:
            case "alias":
                self._rename(front)
            case "struck lines":
                self._strike(front)
            case "nulls":
                self.null_until = trio.current_time() + NULL_S * self.rng.random()
            case "nonsense":
                await self._nonsense(front)

    # -- between the storefront and the daemon --

    def _between(self, front: Front) -> None:
        """What the storefront tells passes through here."""
        handle, post = front.host.handle, front.store.outbox.post

        def handled(method: str, target: str, body: bytes) -> StoreReply:
            reply = handle(method, target, body)
            if method != "GET" or reply.status != 200 or not (self.labels or self._nulls()):
                return reply
            content = msgspec.json.decode(reply.body) if reply.body else None
            for row in _rows(content):
                self._relabel(front, row)
                known = "quantity" in row and self._nulls() and self._known(front, row["listing"])
                if known and self.rng.random() < 0.3:
                    self.world.fault("quantity null for a while")
                    row["quantity"] = None
            return evolve(reply, body=msgspec.json.encode(content))

        def posted(topic: str, body: bytes, now_us: int) -> None:
            content = msgspec.json.decode(body)
            order = content.get("order")
            if order and order["version"] == 1 and self.rng.random() < POISON_RATE:
                self._poison(front, order["id"])
            if self.labels:
                for row in _rows(content):
                    self._relabel(front, row)
                body = msgspec.json.encode(content)
            post(topic, body, now_us)

        front.host.handle = handled  # type: ignore[method-assign]  # for this one
        front.store.outbox.post = posted  # type: ignore[method-assign]  # for this one

    def _relabel(self, front: Front, row: dict[str, Any]) -> None:
        label = self.labels.get((front.name, row.get("listing", "")))
        if label:
            row["sku"] = label

    def _nulls(self) -> bool:
        return trio.current_time() < self.null_until

    def _known(self, front: Front, listing: str) -> bool:
        """Has the daemon linked the listing for good, and counted its SKU?"""
        durable = self.world.oracle.durable
        sku = durable.linked.get((front.name, listing))
        return sku is not None and bool(durable.counts[sku])

    def _rename(self, front: Front) -> None:
        listing = self.rng.choice(front.listed())
        if self._known(front, listing.id):
            self.world.fault("listing renamed at its channel")
            self.labels[front.name, listing.id] = self.rng.choice((f"OLD-{listing.sku}", self.world.plan.skus[0]))

    # -- orders --

    def _strike(self, front: Front) -> None:
        """Staff strike a line from an open order: from this version on the order does not list it."""
        shop = front.store.shop
        open_lines = [
            (order, line)
            for order in list(shop.orders.values())[-20:]
            for line in order.lines.values()
            if len(order.lines) > 1 and line.open == line.ordered
        ]
        if open_lines:
            self._struck(front, *self.rng.choice(open_lines))

    def _struck(self, front: Front, order: Order, line: Line) -> None:
        world, shop = self.world, front.store.shop
        now_us = world.now_us()
        world.touched_at = trio.current_time()
        world.fault("line struck from an order")
        del order.lines[line.id]
        shop.given_back[line.listing.sku] += line.ordered
        order.updated_us = shop.clock.stamp(now_us)
        order.version += 1
        shop.orders[order.id] = shop.orders.pop(order.id)
        shop._move({line.listing.sku: line.ordered}, order.updated_us)
        front.store._tell_order(order, "removed", {line.id: line.ordered}, now_us)
        front.store._tell_level(line.listing, now_us)
        front.host.news()

    # -- deliveries --

    async def _nonsense(self, front: Front) -> None:
        """Signed, and about nothing that anybody knows: kept for a person."""
        self.number += 1
        topic = f"nonsense-{self.number}"
        body = msgspec.json.encode({"topic": topic, "moon": "full"})
        headers = front.store.outbox.sign(body, front.host.own_us() // SECOND_US)
        name = f"N-{self.number}"
        headers |= {"x-sandbox-delivery": name, "x-sandbox-topic": topic}
        self.world.oracle.puzzles.add(topic)
        status = await front.post(front.name, headers, body)
        if status == 200:
            self.world.fault("delivery that nobody understands")
            self.world.oracle.puzzled(front, topic, digest(front.name, name))

    # -- poison --

    def _poison(self, front: Front, order: str) -> None:
        if Sku.step is not self._sound:
            self.world.fault("observation that crashes its actor")
            self.poison.add((front.name, order))
            self.world.oracle.pushing.poisoned.add((front.name, order))

    def _crash_on_poison(self) -> None:
        sound, oracle, poison = self._sound, self.world.oracle, self.poison

        def step(self: Sku, message: Any, now_us: int, policy_of: Any) -> Any:
            if isinstance(message, OrderLine) and (message.channel, message.order) in poison:
                oracle.pushing.crashed_on(self.sku)
                raise PoisonError(f"{message.channel} order {message.order}")
            return sound(self, message, now_us, policy_of)

        Sku.step = step  # type: ignore[method-assign]  # until the world is calm


def _rows(content: Any) -> list[dict[str, Any]]:
    """Everything in an answer or a webhook that names a listing."""
    if isinstance(content, list):
        return [row for each in content for row in _rows(each)]
    if not isinstance(content, dict):
        return []
    mine = [content] if "listing" in content and isinstance(content["listing"], str) else []
    return mine + [row for value in content.values() if isinstance(value, dict | list) for row in _rows(value)]

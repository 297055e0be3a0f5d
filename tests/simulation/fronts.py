"""The storefronts of a world: each with its clock, its faults, and its way to the daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import trio
from attrs import define

from adapters.storefront import Hook, Storefront, StoreReply
from adapters.storefront.faults import Faults
from daemon.domain.policy import Policy
from daemon.theatre.store_host import StoreHost

if TYPE_CHECKING:
    from tests.simulation.world import World


@define(eq=False)
class Front:
    """One storefront, with its clock and its way to the daemon."""

    world: World
    name: str
    store: Storefront
    host: StoreHost
    offset_s: float
    policy: Policy
    blind: bool = False
    cut_off: bool = False

    @property
    def skus(self) -> list[str]:
        return list(self.store.shop.by_sku)

    def call(self, method: str, path: str, body: object) -> StoreReply:
        self.world.touched_at = trio.current_time()
        return self.host.handle(method, path, msgspec.json.encode(body))

    def set_faults(self, faults: Faults) -> None:
        self.store.set_faults(msgspec.structs.replace(faults, clock_offset_s=self.offset_s))

    def cut(self, *, on: bool) -> None:
        self.cut_off = on
        if self.world.life is not None and self.name in self.world.life.clients:
            self.world.life.clients[self.name].cut_off = on

    async def send(self, hook: Hook) -> int | None:
        """One webhook over a connection of its own; both ways can fail."""
        world = self.world
        await trio.sleep(world.net_s())
        life = world.life
        if self.cut_off or life is None or not life.up:
            return None
        head = [f"POST /webhooks/{self.name} HTTP/1.1", "host: onhand", "connection: close"]
        head += [f"{name}: {value}" for name, value in hook.headers.items()]
        head.append(f"content-length: {len(hook.body)}")
        status = await world.ask(life.public, "\r\n".join(head).encode() + b"\r\n\r\n" + hook.body)
        if status is not None and 200 <= status < 300:
            world.oracle.acknowledged(self, hook)
            world.count("acknowledged")
        elif status not in (None, 503):
            world.fail(f"{self.name}: a webhook was answered {status}")
        await trio.sleep(world.net_s())
        return None if world.lose_answer() else status

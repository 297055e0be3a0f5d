"""The storefronts of a world: each with its clock, its faults, and its way to the daemon."""

from __future__ import annotations

import random
from collections import deque
from heapq import heappop, heappush
from math import inf
from typing import TYPE_CHECKING

import msgspec
import trio
from attrs import define, field

from adapters.storefront import Hook, Storefront, StoreReply
from adapters.storefront.faults import Faults
from adapters.storefront.shop import Listing
from daemon.domain.instants import SECOND_US
from daemon.domain.policy import Policy
from tests.simulation.invariants import broken
from tests.simulation.moods import Moods, MoodyHost
from tests.simulation.shop_clock import ShopClock

if TYPE_CHECKING:
    from tests.simulation.world import World

RECENT_MAX = 20
WINDOW_S = 300
"""How old a signed delivery may be."""
STAMP = "x-sandbox-timestamp"


@define(eq=False)
class Front:
    """One storefront, with its clock and its way to the daemon."""

    world: World
    name: str
    store: Storefront
    clock: ShopClock
    policy: Policy
    rng: random.Random
    blind: bool = False
    subscribed: bool = False
    """Its webhooks come only to those who subscribed over its API."""
    cut_off: bool = False
    muted: bool = False
    """It has stopped sending webhooks and told nobody."""
    removed: dict[str, int] = field(factory=dict)
    """Listings that are gone, and since when, µs."""
    added_us: dict[str, int] = field(factory=dict)
    """SKUs listed only since then."""
    recent: deque[Hook] = field(factory=lambda: deque(maxlen=RECENT_MAX))
    attic: list[tuple[float, int, Hook]] = field(factory=list)
    """Webhooks that come hours or days late: (when, number, hook)."""
    carrying: bool = False
    """One of them is on its way now."""
    host: MoodyHost = field(init=False)
    _stowed: int = 0
    _late: trio.Event = field(factory=trio.Event)
    """Something was kept back, or the world is calm."""

    def __attrs_post_init__(self) -> None:
        self.store.shop.clock = self.clock
        self.host = MoodyHost(self, self.rng)

    @property
    def platform(self) -> str:
        """As the configuration names it."""
        return "blind" if self.blind else "subscribing" if self.subscribed else "sandbox"

    @property
    def skus(self) -> list[str]:
        """What shoppers find here."""
        return [listing.sku for listing in self.listed()]

    def listed(self) -> list[Listing]:
        """The listings that are not gone."""
        return [each for each in self.store.shop.listings.values() if each.id not in self.removed]

    def lists(self, sku: str, at_us: int) -> bool:
        """Was the SKU listed here then?"""
        listing = self.store.shop.by_sku.get(sku)
        if listing is None or self.added_us.get(sku, 0) > at_us:
            return False
        return self.removed.get(listing.id, at_us) >= at_us

    def call(self, method: str, path: str, body: object) -> StoreReply:
        """A call of a shopper."""
        self.world.touched_at = trio.current_time()
        return self.host.act(method, path, msgspec.json.encode(body))

    def edit(self, listing: str, quantity: int) -> None:
        """Staff set what a listing shows."""
        body = {"items": [{"listing": listing, "quantity": quantity}]}
        self.store._desk.put(msgspec.json.encode(body), self.world.now_us(), "staff")
        self.host.news()

    def add(self, sku: str, quantity: int) -> None:
        """A new listing."""
        shop = self.store.shop
        listing = Listing(f"L-{len(shop.listings) + 1:04d}", sku, quantity)
        shop.listings[listing.id] = shop.by_sku[sku] = listing
        shop.sold[sku] = shop.given_back[sku] = 0
        self.store.ledger.initial[listing.id] = quantity
        self.added_us[sku] = self.world.now_us()

    def set_faults(self, faults: Faults) -> None:
        """The faults of the storefront itself; its clock is a matter of its own."""
        self.store.set_faults(faults)

    def clear_up(self) -> None:
        """No fault any more."""
        self.set_faults(Faults())
        self.cut(on=False)
        self.muted = False
        self.host.moods = Moods()
        self._late.set()

    def cut(self, *, on: bool) -> None:
        self.cut_off = on
        if self.world.life is not None and self.name in self.world.life.clients:
            self.world.life.clients[self.name].cut_off = on

    # -- webhooks --

    def mute(self) -> None:
        """It stops sending webhooks and tells nobody; one whose webhooks are subscribed switches those off, else it
        begins again the next time."""
        if self.subscribed:
            self.store.subscriptions.switch_off(["*"])
        else:
            self.muted = not self.muted
        self.world.fault("webhooks switched off")

    async def send(self, hook: Hook) -> int | None:
        """One webhook over a connection of its own; both ways can fail."""
        world = self.world
        await trio.sleep(world.net_s())
        if self.muted:
            world.fault("webhook not sent: switched off")
            return 200
        if world.stormy and self.rng.random() < world.plan.late:
            self._stow(hook)
            return 200
        if world.stormy and self.rng.random() < world.plan.twins:
            world.fault("webhook sent twice at once")
            return await self._both(hook)
        return await self.deliver(hook)

    async def _both(self, hook: Hook) -> int | None:
        statuses: list[int | None] = []

        async def one() -> None:
            statuses.append(await self.deliver(hook))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(one)
            nursery.start_soon(one)
        return statuses[-1]

    def _stow(self, hook: Hook) -> None:
        self.world.fault("webhook late by hours or days")
        self._stowed += 1
        late_s = self.rng.choice((0.01, 30.0, 3600.0, 90_000.0)) * (0.1 + self.rng.random())
        heappush(self.attic, (trio.current_time() + late_s, self._stowed, hook))
        self._late.set()

    async def late_news(self) -> None:
        """Deliver what was kept back, when its time has come; once the world is calm, soon."""
        while True:
            due = self.attic[0][0] if self.attic else inf
            if due > trio.current_time() and (self.world.stormy or not self.attic):
                self._late = trio.Event()
                with trio.move_on_at(due):
                    await self._late.wait()
                continue
            _, number, hook = heappop(self.attic)
            self.carrying = True
            # Refused, since the clocks are too far apart, it will be refused for ever: polls must tell.
            done = await self.deliver(self.signed_again(hook)) in (200, 401)
            self.carrying = False
            if not done:
                heappush(self.attic, (trio.current_time() + 10.0, number, hook))
                await trio.sleep(5.0)

    def signed_again(self, hook: Hook) -> Hook:
        """The same message as it leaves now."""
        stamp_s = self.host.own_us() // SECOND_US
        headers = self.store.outbox.sign(hook.body, stamp_s)
        return Hook(hook.sending, hook.delivery, hook.headers | headers, hook.body)

    async def deliver(self, hook: Hook) -> int | None:
        """Post it, and note what an answer promises."""
        world = self.world
        self.recent.append(hook)
        status = await self.post(self.name, hook.headers, hook.body)
        if status is not None and 200 <= status < 300:
            world.oracle.acknowledged(self, hook)
            world.count("acknowledged")
            world.reached("an acknowledgement")
            if world.life is not None and world.lightning():
                world.fault("crash right after an acknowledgement")
                world.life.crash("right after an acknowledgement")
        elif status == 401 and self._looks_stale(hook):
            world.fault("webhook refused: the clocks are too far apart")
        elif status not in (None, 503):
            world.fail(broken("I0", f"{self.name}: a webhook was answered {status}"))
        await trio.sleep(world.net_s())
        if status is not None and world.lose_answer():
            world.fault("answer to a webhook lost")
            return None
        return status

    def _looks_stale(self, hook: Hook) -> bool:
        """Is it signed by a clock so far from ours that it might be a replay?"""
        return abs(self.world.wall_us() // SECOND_US - int(hook.headers[STAMP])) >= WINDOW_S - 1

    async def post(
        self, channel: str, headers: dict[str, str], body: bytes, *, sent: int | None = None
    ) -> int | None:
        """Post to the daemon's door; the answer's status. `sent`: only so many bytes of the body really go out."""
        life = self.world.life
        if self.cut_off or life is None or not life.up:
            return None
        head = [f"POST /webhooks/{channel} HTTP/1.1", "host: onhand", "connection: close"]
        head += [f"{name}: {value}" for name, value in headers.items()]
        head.append(f"content-length: {len(body)}")
        request = "\r\n".join(head).encode() + b"\r\n\r\n" + body[:sent]
        return (await self.world.ask(life.public, request, all_of_it=sent is None))[0]

"""What the daemon meets when it calls a storefront in a bad mood: storms for the whole channel, answers from some
time ago, pages that overlap, batches of which a part is refused or written, listings that are gone."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode

import msgspec
import trio
from attrs import define, field, frozen

from adapters.stamps import rfc3339, rfc3339_span
from adapters.storefront import StoreReply
from adapters.storefront.ledger import listing_json, order_json
from adapters.storefront.reply import answer, error, held, throttled
from daemon.domain.instants import SECOND_US
from daemon.theatre.store_host import StoreHost

if TYPE_CHECKING:
    from tests.simulation.fronts import Front

Row = dict[str, Any]


@frozen
class Snapshot:
    """What a lagging copy of the storefront shows. It says honestly as of when that is."""

    as_of: str
    listings: Mapping[str, Row]
    orders: Mapping[str, Row]

    @classmethod
    def of(cls, front: Front) -> Snapshot:
        shop = front.store.shop
        as_of = rfc3339(shop.clock.read(front.world.now_us()))
        listings = {listing.id: listing_json(listing) for listing in front.listed()}
        return cls(as_of, listings, {order.id: order_json(order) for order in shop.orders.values()})

    def serve(self, path: str, query: Mapping[str, Sequence[str]]) -> StoreReply:
        if path == "/listings":
            items = [self.listings[name] for name in query.get("listing", self.listings) if name in self.listings]
            return answer({"items": items, "next": None, "as_of": self.as_of})
        if path == "/orders":
            since = rfc3339_span(query.get("updated_since", [""])[-1])
            items = [each for each in self.orders.values() if since is None or _stamp_us(each) >= since.lo]
            return answer({"items": items, "next": None, "as_of": self.as_of})
        order = self.orders.get(path.removeprefix("/orders/"))
        return error(404, "unknown_order", "there is no such order") if order is None else answer(order)


def _stamp_us(order: Row) -> int:
    span = rfc3339_span(order["updated_at"])
    assert span is not None
    return span.lo


@define
class Moods:
    """Which moods the storefront is in, and until when (seconds of the world's clock)."""

    throttling_until: float = 0.0
    failing_until: float = 0.0
    stale_until: float = 0.0
    snapshot: Snapshot | None = None
    page_size: int = 0
    """0: as the storefront does it."""
    half: float = 0.0
    """How often a batch is written in part and then answered 500."""
    busy: float = 0.0
    """How often a row of a batch is said not to be written, and is not."""
    bad: set[str] = field(factory=set)
    """Listings whose rows are refused for good, until somebody mends them."""
    strict: bool = False
    """A batch with a bad row is refused as a whole."""
    zombies: float = 0.0
    """How often a push is held and comes to life when its client has given up."""
    meddling: float = 0.0
    """How often staff edit a listing in the moment before a push reaches it."""


class MoodyHost(StoreHost):
    """A storefront as the daemon meets it: `handle` is its calls alone; shoppers and staff use `act`."""

    def __init__(self, front: Front, rng: random.Random) -> None:
        super().__init__(front.store, front.world.now_us)
        self.front = front
        self.rng = rng
        self.moods = Moods()

    def act(self, method: str, target: str, body: bytes) -> StoreReply:
        """Serve a call of somebody who is never mistreated."""
        return super().handle(method, target, body)

    def news(self) -> None:
        """Something may be due now that was not before."""
        self._news.set()

    def handle(self, method: str, target: str, body: bytes) -> StoreReply:
        """Serve one call of the daemon, as the moods want it."""
        now, moods, world = trio.current_time(), self.moods, self.front.world
        if now < moods.throttling_until:
            world.fault("429 storm")
            return throttled(self.rng.choice((1, 5, 30, 120)))
        if now < moods.failing_until:
            world.fault("500 storm")
            return error(500, "fault", "something broke")
        path, _, query = target.partition("?")
        if path.startswith("/subscriptions"):
            return self._subscriptions(method, target, body)
        if method == "PUT" and path == "/levels":
            return self._put(target, body)
        if moods.snapshot is not None and now < moods.stale_until:
            world.fault("stale read")
            return moods.snapshot.serve(path, parse_qs(query))
        if path == "/listings":
            return self._listings(target, parse_qs(query))
        return self._orders(target) if path == "/orders" and moods.page_size else super().handle(method, target, body)

    def _subscriptions(self, method: str, target: str, body: bytes) -> StoreReply:
        hooks = self.front.store.subscriptions.by_id.values()
        off = sum(1 for each in hooks if each.state == "disabled")
        reply = super().handle(method, target, body)
        if sum(1 for each in hooks if each.state == "disabled") < off:
            self.front.world.fault("webhooks switched on again by the daemon")
        return reply

    # -- reading --

    def _listings(self, target: str, query: dict[str, list[str]]) -> StoreReply:
        start, size = 0, self.moods.page_size
        if size:
            start = int(query.pop("cursor", ["0"])[-1])
            target = "/listings?" + urlencode(query, doseq=True)
        reply = super().handle("GET", target, b"")
        if reply.status != 200 or reply.drop:
            return reply
        page = msgspec.json.decode(reply.body)
        items = [item for item in page["items"] if item["listing"] not in self.front.removed]
        if not size:
            return answer(page | {"items": items})
        page["items"] = items[start : start + size]
        page["next"] = None
        if start + size < len(items):
            self.front.world.fault("pages overlap")
            page["next"] = str(start + size - 1)
        return answer(page)

    def _orders(self, target: str) -> StoreReply:
        reply = super().handle("GET", target, b"")
        size = self.moods.page_size
        if reply.status != 200 or reply.drop:
            return reply
        page = msgspec.json.decode(reply.body)
        if len(page["items"]) > size:
            self.front.world.fault("pages overlap")
            page["items"] = page["items"][:size]
            last = page["items"][-2]
            page["next"] = f"{_stamp_us(last)}~{last['id']}"
        return answer(page)

    # -- writing --

    def _put(self, target: str, body: bytes) -> StoreReply:
        moods, world = self.moods, self.front.world
        asked = msgspec.json.decode(body)
        rows: list[Row] = asked["items"]
        if self.rng.random() < moods.meddling:
            world.fault("staff edit at the moment of a push")
            self.front.edit(self.rng.choice(rows)["listing"], self.rng.randrange(12))
        if self.rng.random() < moods.zombies:
            world.fault("push applied when its client had given up")
            late_us = int(self.rng.uniform(5.0, 8.0) * SECOND_US)
            self.store._apply_late(body, self.front.world.now_us() + late_us)
            self.news()
            return held()
        if moods.strict and any(row["listing"] in moods.bad for row in rows):
            world.fault("batch refused for one bad row")
            return error(422, "invalid", "one of the items is not to our liking")
        if len(rows) > 1 and self.rng.random() < moods.half:
            world.fault("batch written in part, then 500")
            super().handle("PUT", target, msgspec.json.encode(asked | {"items": rows[: len(rows) // 2]}))
            return error(500, "fault", "something broke")
        refused: dict[str, Row] = {}
        for row in rows:
            name = row["listing"]
            if name in self.front.removed:
                world.fault("push to a listing that is gone")
                refused[name] = {"listing": name, "result": "unknown_listing"}
            elif name in moods.bad:
                world.fault("row refused as invalid")
                refused[name] = {"listing": name, "result": "invalid", "reason": "not to our liking"}
            elif self.rng.random() < moods.busy:
                world.fault("row not written, its batch is")
                refused[name] = {"listing": name, "result": "try_later"}
        if not refused:
            return super().handle("PUT", target, body)
        return self._put_rest(target, asked, refused)

    def _put_rest(self, target: str, asked: Row, refused: Mapping[str, Row]) -> StoreReply:
        """Write the rows that are not refused; one result for each row, in order."""
        rest = [row for row in asked["items"] if row["listing"] not in refused]
        done: dict[str, Row] = {}
        as_of = rfc3339(self.store.shop.clock.read(self.front.world.now_us()))
        if rest:
            reply = super().handle("PUT", target, msgspec.json.encode(asked | {"items": rest}))
            if reply.status != 200 or reply.drop:
                return reply
            page = msgspec.json.decode(reply.body)
            as_of, done = page["as_of"], {each["listing"]: each for each in page["items"]}
        results = [refused.get(row["listing"]) or done[row["listing"]] for row in asked["items"]]
        return answer({"items": results, "as_of": as_of})

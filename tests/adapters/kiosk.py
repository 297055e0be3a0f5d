"""A platform that does not exist: all that a channel with signed webhooks takes, in one file of under 150 lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final
from urllib.parse import urlencode

import msgspec
from attrs import define, evolve, field

import daemon.domain.channel as port
from adapters.strict import UnreadableError, decode
from daemon.domain.exchange import Exchange, Request, Response
from daemon.domain.instants import SECOND_US, Span
from daemon.domain.outcomes import Failure, Outcome
from daemon.domain.signatures import SignatureScheme
from daemon.domain.strict_json import objection

SCHEME: Final = SignatureScheme(
    "x-kiosk-signature", "{timestamp}.{body}", encoding="hex", timestamp_header="x-kiosk-time", tolerance_s=300
)
TRAITS: Final = port.Traits(request_life_s=10.0, overlap_s=5.0, poll_interval_s=30.0)
Units = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
Second = Annotated[int, msgspec.Meta(ge=0, le=10**11)]


class Line(msgspec.Struct):
    sku: str
    ordered: Units
    cancelled: Units = 0


class Order(msgspec.Struct):
    id: str
    version: Second
    changed: Second
    lines: dict[str, Line]

    def seen(self) -> port.OrderSeen:
        rows = [(name, n.sku, n.sku, n.ordered, n.cancelled) for name, n in self.lines.items()]
        return port.OrderSeen(self.id, self.version, span(self.changed), tuple(port.LineSeen(*row) for row in rows))


class Message(msgspec.Struct):
    id: str = ""
    order: Order | None = None
    puzzle: str = ""  # why it was not understood; the buyer is no field, and so is not kept


class Stock(msgspec.Struct):
    units: dict[str, Units | None]
    at: Second

    def seen(self) -> tuple[port.LevelSeen, ...]:
        return tuple(port.LevelSeen(sku, units, span(self.at), sku) for sku, units in self.units.items())


def span(second: int) -> Span:
    return Span(second * SECOND_US, second * SECOND_US + SECOND_US - 1)


def page_of(got: list[Order]) -> port.OrderPage:
    return port.OrderPage(tuple(n.seen() for n in got), "", max((span(n.changed).lo for n in got), default=0))


def refused(response: Response, *, writing: bool = False) -> Outcome:
    """429 is throttled, 4xx will never do, and all else may have been done where it was a write."""
    wait = response.headers.get("retry-after", "")
    if response.status == 429:
        return Outcome("throttled", "429", retry_after_s=float(wait) if wait in map(str, range(3_600)) else None)
    if 400 <= response.status < 500:
        return Outcome("permanent", f"answered {response.status}")
    return Outcome("unknown" if writing else "transient", f"answered {response.status}")


@define
class Kiosk(port.Rarely):
    base_url: str
    token: str = field(repr=False)
    traits: port.Traits
    scheme: SignatureScheme = SCHEME

    def greet(self, delivery: port.Delivery) -> bool:
        return False

    def parse(self, delivery: port.Delivery) -> port.Facts:
        try:
            told = Message(puzzle=why) if (why := objection(delivery.body)) else decode(delivery.body, Message)
        except UnreadableError as exc:
            told = Message(puzzle=str(exc))
        told.puzzle = (told.puzzle or ("" if told.order else "it names no order"))[:200]
        orders = (told.order.seen(),) if told.order and not told.puzzle else ()
        return port.Facts("order", told.id[:100], msgspec.json.encode(told), orders, puzzle=told.puzzle)

    def orders(self, since_us: int, page: str) -> Exchange[port.OrderPage | Failure]:
        return self._ask("orders", list[Order], page_of, since=max(0, since_us // SECOND_US))

    def order(self, order: str) -> Exchange[port.OrderSeen | Failure | None]:
        return self._ask("orders", list[Order], lambda got: {n.id: n.seen() for n in got}.get(order), id=order)

    def listings(self, page: str) -> Exchange[port.ListingPage | Failure]:
        return self._ask("stock", Stock, lambda got: port.ListingPage(got.seen(), ""))

    def levels(self, listings: Sequence[str]) -> Exchange[tuple[port.LevelSeen, ...] | Failure]:
        return self._ask("stock", Stock, lambda got: tuple(n for n in got.seen() if n.listing in listings))

    def batches(self, pushes: Sequence[port.Push]) -> list[list[port.Push]]:
        return [[push] for push in pushes]

    def push(self, batch: Sequence[port.Push], key: str) -> Exchange[Sequence[Outcome]]:
        (push,) = batch
        wanted = msgspec.json.encode({"key": key, "sku": push.listing, "units": push.level})
        got = yield from self._ask("stock", Stock, lambda got: got, wanted)
        if isinstance(got, Failure):
            return [got.outcome]
        fine = got.units.get(push.listing) == push.level
        return [Outcome("ok" if fine else "unknown", level=push.level, own=span(got.at))]

    def webhooks(self) -> Exchange[tuple[port.Webhook, ...] | Failure]:
        yield from ()
        return ()  # its owner writes our address into it by hand

    def wanted_topics(self) -> tuple[str, ...]:
        return ()

    def order_topics(self) -> tuple[str, str]:
        return ("order", "order")

    def register(self, topic: str, url: str, existing: port.Webhook | None) -> Exchange[port.Webhook | Failure]:
        yield from ()
        return Failure(Outcome("permanent", "write our address into the kiosk by hand"))

    def _ask(self, path: str, shape: Any, made: Any, wanted: bytes = b"", **query: Any) -> Exchange[Any]:
        url = f"{self.base_url}/{path}?{urlencode(query, errors='replace')}"
        secret = {"authorization": f"Bearer {self.token}"}
        response = yield Request("PUT" if wanted else "GET", url, body=wanted, secret_headers=secret)
        try:
            return made(decode(response.body if response.status == 200 else b"", shape))
        except UnreadableError:
            return Failure(refused(response, writing=bool(wanted)))


def _build(setup: port.Setup) -> Kiosk:
    changes = {name: type(getattr(TRAITS, name))(value) for name, value in setup.overrides.items()}
    return Kiosk(setup.base_url, setup.secrets["token"], evolve(TRAITS, **changes))


PLATFORM: Final = port.Platform("kiosk", _build, (port.Option("token", "its key", required=True, secret=True),))

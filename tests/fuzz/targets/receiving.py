"""The public port over a real store: what is not signed leaves no trace, and what is told twice counts once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from attrs import field, frozen

from daemon.admin.answers import dump_line
from daemon.admin.views import entry
from daemon.domain.channel import Adapter
from daemon.domain.instants import SECOND_US, Instant, Span
from daemon.ingress.head_rules import split_target
from daemon.ingress.http_types import Headers, HttpRequest, HttpResponse, RequestHead
from daemon.ingress.normalise import Normaliser
from daemon.ingress.receiver import Intake, Receiver
from daemon.ingress.signature import SIGNATURE_MAX
from daemon.ingress.webhooks import PublicHandler
from daemon.storage.idempotency import SeenDeliveries
from tests.fuzz.residence import Residence
from tests.fuzz.target import Cut, Target, line
from tests.fuzz.targets.signatures import _expected
from tests.fuzz.targets.webhooks import HOSTILE, SANDBOX_ADAPTER, STORE_ADAPTER, STORE_HOSTILE, TOPICS, WORDS, bodies
from tests.harness import START_US, House, Silent

PATHS: Final = (
    "/webhooks/outlet",
    "/webhooks/site",
    "/webhooks/out%6Cet",
    "/webhooks/nobody",
    "/healthz",
    "/webhooks/",
    "/webhooks/%ff",
)
STATUSES: Final = frozenset({200, 401, 404, 405})
SECRET: Final = "a secret"


class _Unmoved(Silent):
    def received(self, *_: Any, **__: Any) -> None: ...
    def refused(self, *_: Any) -> None: ...
    def timed(self, *_: Any) -> None: ...
    def unlinked(self, *_: Any) -> None: ...
    def let_go(self, *_: Any) -> None: ...


@frozen
class Port:
    """The public handler and what is behind it."""

    house: House
    handler: PublicHandler
    adapters: dict[str, Adapter] = field(factory=lambda: {"outlet": SANDBOX_ADAPTER, "site": STORE_ADAPTER})


def _keys(_: int) -> Sequence[str]:
    return ("newest", SECRET)


def _moment(own: Span) -> Instant:
    return Instant(own, own)


async def _furnish(house: House) -> Port:
    receiver = Receiver(
        house.store, house.registry, SeenDeliveries(house.store), house.dead_letters, _Unmoved(), lambda: START_US
    )
    links, orders = house.registry.links, house.registry.orders
    intakes = {
        name: Intake(name, adapter, _keys, Normaliser(name, links, orders, _moment), lambda: None)
        for name, adapter in (("outlet", SANDBOX_ADAPTER), ("site", STORE_ADAPTER))
    }
    await house.counted("A", 5)
    return Port(house, PublicHandler(receiver, intakes, lambda: "", lambda: START_US))


_RESIDENCE: Final = Residence(_furnish)


def receiving(data: bytes) -> None:
    """Every request gets a documented status; unsigned ones change nothing; a repeated one adds no event."""
    cut = Cut(data)
    method, target = cut.pick(("POST", "POST", "POST", "GET", "PUT")), cut.pick(PATHS)
    if cut.byte() == 255:
        target = cut.latin()
    signed, topic, identity = not cut.flag(), cut.pick(TOPICS), cut.latin()
    _RESIDENCE.visit(_deliver, method, target, signed, topic, identity, cut.rest())


async def _deliver(
    port: Port, method: str, target: str, signed: bool, topic: str, identity: str, body: bytes
) -> None:
    path, query = split_target(target)
    name = "site" if "site" in path else "outlet"
    stamp = str(START_US // SECOND_US)
    right = _expected(port.adapters[name].scheme, SECRET, stamp, body)
    signature = right if signed else identity[:SIGNATURE_MAX]
    headers = Headers(
        (
            ("x-sandbox-signature", signature),
            ("x-sandbox-timestamp", stamp),
            ("x-sandbox-delivery", identity),
            ("x-sandbox-topic", topic),
            ("x-wc-webhook-signature", signature),
            ("x-wc-webhook-topic", topic),
        )
    )
    store = port.house.store
    before = store.head.seq, store.head.delivery, port.house.dead_letters.count
    answer = await _ask(port, RequestHead(method, target, path, query, headers), body)
    assert answer.status in STATUSES, answer
    after = store.head.seq, store.head.delivery, port.house.dead_letters.count
    if answer.status != 200 or (not signed and signature != right):
        assert after == before, "what is not signed left a trace"
        return
    again = await _ask(port, RequestHead(method, target, path, query, headers), body)
    assert again.status == 200
    assert store.head.seq == after[0], "one delivery told twice counted twice"
    assert port.house.registry.crashes == 0, "an actor crashed"
    for record in store.records(before[0]):
        json.loads(dump_line(entry(record)))


async def _ask(port: Port, head: RequestHead, body: bytes) -> HttpResponse:
    answer = port.handler.admit(head)
    if isinstance(answer, int):
        request = HttpRequest(head.method, head.target, head.path, head.query, head.headers, body[:answer])
        return await port.handler.respond(request)
    return answer


def _seed(path: int, topic: int, body: bytes, *, unsigned: bool = False) -> bytes:
    return bytes([0, path, 0, unsigned, topic]) + line("d-1") + body


TARGETS: Final = (
    Target(
        "receiving",
        receiving,
        "webhooks from the public port into the log",
        2_048,
        WORDS,
        lambda: (
            *(_seed(0, 1, body) for _, body in bodies("sandbox")),
            *(_seed(1, topic, body) for topic, body in bodies("woocommerce")),
            *(_seed(0, 1, body) for body in HOSTILE),
            *(_seed(1, 1, body) for body in STORE_HOSTILE),
            _seed(0, 1, b"{}", unsigned=True),
            b"\3\4",
            b"\0\0\xff" + line("/webhooks/site?x#y") + b"\0\1",
            b"\4\0",
        ),
    ),
)

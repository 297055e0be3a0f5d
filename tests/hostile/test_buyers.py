"""Planted buyers: every platform's orders, by webhook and by poll, with names, addresses, e-mails and notes in every
place that such data can stand; then everything that was written, logged, measured, answered or shown is searched."""

from __future__ import annotations

import json
import re
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from attrs import evolve

from adapters import PLATFORMS
from daemon.app.watching import Watch
from daemon.domain.channel import Adapter, OrderPage, OrderSeen
from daemon.domain.instants import Instant
from daemon.events import Severity
from daemon.ingress.normalise import Normaliser
from daemon.ingress.receiver import Intake, Receiver
from daemon.storage.codec import unpack
from daemon.storage.idempotency import SeenDeliveries
from daemon.storage.tables import DEAD, DELIVERIES, TABLES
from daemon.telemetry import Telemetry
from tests.adapters import contract
from tests.adapters.contract import Fixture, fixtures
from tests.harness import House, admin_socket, housed

PLANTED = {
    "name": "Canary Buyerson", "first_name": "Canary", "last_name": "Buyerson", "email": "canary@buyerson.example",
    "phone": "+1-555-CANARY", "address1": "1 Canary Street", "city": "Canaryville", "zip": "CANARY-9",
    "note": "leave it with the canary",
}  # fmt: skip
MARK = re.compile("canary|buyerson", re.IGNORECASE)
BUYERISH = re.compile(
    "buyer|customer|e?mail|phone|addr|street|city|zip|postal|postcode|recipient|first_?name|last_?name|full_?name|"
    "company|gift_?message|note|contact|ship_?to|attention|username|taxid",
    re.IGNORECASE,
)
"""Keys whose texts are somebody's; ids, stamps and codes among them stay what they are."""
STRUCTURE = re.compile(r"[0-9TZ:+\-.]*|.{0,3}|[A-Z_]+|gid://.*|https?://.*")


def planted(value: Any, key: str = "") -> Any:
    """The same document with a buyer in every object, and in every text that could be one's."""
    match value:
        case dict():
            grown = {
                name: planted(part, name if not BUYERISH.search(key) else f"{key}.{name}")
                for name, part in value.items()
            }
            return {
                **grown,
                **{name: dict(PLANTED) for name in ("buyer_x", "shipping_address_x") if name not in grown},
            }
        case list():
            return [planted(part, key) for part in value]
        case str() if BUYERISH.search(key) and not STRUCTURE.fullmatch(value):
            return PLANTED["name"]
        case _:
            return value


def with_buyers(body: bytes) -> bytes:
    """A body with planted buyers; one that is no JSON object stays as it is."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return body
    return json.dumps(planted(document)).encode() if isinstance(document, dict | list) else body


def found_in(raw: bytes, platform: str) -> list[str]:
    text = raw.decode("utf-8", "replace")
    return [*MARK.findall(text), *(each for each in contract.setup_of(platform)["canaries"] if each in text)]


def of(kind: str, platform: str) -> list[Fixture]:
    return [each for each in fixtures(kind) if each.platform == platform]


def polled(platform: str) -> Iterator[tuple[list[OrderSeen], tuple[str, ...], bytes]]:
    """What the adapter makes of each planted order feed; with what it was told."""
    for fixture in of("reads", platform):
        call = fixture.content["call"]
        if call not in ("orders", "order"):
            continue
        answers = [
            evolve(each, body=with_buyers(each.body))
            for each in contract.responses(fixture.content["steps"], fixture.path.parent)
        ]
        talk = contract.start(contract.build(platform), call, fixture.content["args"])
        value, _ = contract.converse(talk, iter(answers), sane=False)
        told = b"".join(each.body for each in answers)
        if isinstance(value, OrderPage):
            yield list(value.orders), value.puzzles, told
        elif isinstance(value, OrderSeen):
            yield [value], (), told


def stored(house: House) -> Iterator[bytes]:
    """Every row, and what lies compressed or packed within."""
    for table in TABLES:
        start = b""
        while rows := house.store.env.scan(table, start, limit=500):
            start = rows[-1][0] + b"\0"
            for key, payload in rows:
                yield key + payload
                if table == DELIVERIES:
                    yield zlib.decompress(unpack(payload)[-1])
                if table == DEAD:
                    yield repr(unpack(payload)).encode()


async def traces(adapter: Adapter, platform: str, folder: Path) -> list[tuple[str, list[str]]]:
    """Where planted buyers were found after all that the platform's fixtures tell was taken in."""
    lines: list[str] = []
    said: list[bytes] = []
    async with housed(folder) as house:
        watch = Watch(Telemetry(wall_us=house.clock, write_line=lines.append, level=Severity.DEBUG), house.clock)
        house.registry.watcher = watch
        normaliser = Normaliser("shop", house.registry.links, house.registry.orders, lambda span: Instant(span, span))
        receiver = Receiver(
            house.store, house.registry, SeenDeliveries(house.store), house.dead_letters, watch, house.clock
        )
        intake = Intake("shop", adapter, lambda _: (), normaliser, lambda: None)
        there = await _told(receiver, intake, platform, house) + await _polled(receiver, intake, platform, lines)
        assert there > 20, "buyers truly came"
        await house.store.flush()
        await house.store.checkpoint()
        with tempfile.TemporaryDirectory() as short:
            async with admin_socket(house, Path(short) / "s") as admin:
                letters = (await admin.get("/v1/dead-letters")).json()["dead_letters"]
                skus = [each["sku"] for each in (await admin.get("/v1/skus")).json()["skus"]]
                paths = ["/v1/status", "/v1/events", "/metrics", "/v1/skus", "/v1/dead-letters", "/v1/drift"]
                paths += [f"/v1/dead-letters/{each['id']}" for each in letters]
                paths += [
                    f"/v1/skus/{quote(sku, safe='')}/{what}" for sku in skus[:3] for what in ("history", "explain")
                ]
                said += [(await admin.get(path)).body for path in paths]
        rows = [*stored(house)]
        assert rows
    places = [("a row", row) for row in rows] + [("an answer", answer) for answer in said]
    places += [("a line", line.encode()) for line in lines]
    places.append(("the file", (folder / "state" / "data.mdb").read_bytes()))
    return [(place, found) for place, raw in places if (found := found_in(raw, platform))]


async def _told(receiver: Receiver, intake: Intake, platform: str, house: House) -> int:
    """Each webhook as it is, with buyers everywhere, and cut short; how many buyers there were."""
    there = 0
    for fixture in of("webhooks", platform):
        delivery = fixture.delivery()
        grown = with_buyers(delivery.body)
        for body in (delivery.body, grown, grown[:-9]):
            there += len(found_in(body, platform))
            await receiver.take(intake, evolve(delivery, body=body, received_us=house.clock()))
    return there


async def _polled(receiver: Receiver, intake: Intake, platform: str, lines: list[str]) -> int:
    """Each order feed with buyers everywhere; how many there were."""
    there, feeds = 0, 0
    for orders, puzzles, told in polled(platform):
        there += len(found_in(told, platform))
        feeds += len(orders)
        await receiver.absorb(intake, orders, "poll", puzzles=puzzles)
        lines.append(repr((orders, puzzles)))
    assert feeds, "orders truly came"
    return there


@pytest.mark.slow
@pytest.mark.parametrize("platform", sorted(PLATFORMS))
async def test_nobody_who_bought_anything_is_in_anything_that_the_daemon_keeps_or_says(
    platform: str, tmp_path: Path
) -> None:
    assert await traces(contract.build(platform), platform, tmp_path) == []


@pytest.mark.slow
async def test_an_adapter_that_keeps_what_it_was_told_is_caught(tmp_path: Path) -> None:
    adapter = contract.build("sandbox")
    parse = adapter.parse
    adapter.parse = lambda delivery: evolve(parse(delivery), kept=delivery.body)  # type: ignore[method-assign]
    places = {place for place, _ in await traces(adapter, "sandbox", tmp_path)}
    assert {"a row", "an answer"} <= places

"""Whether a state directory holds what was acknowledged and agrees with itself, found out as the product would."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import trio
from attrs import field, frozen

from daemon.app.assembly import Parts
from daemon.app.daemon import Daemon
from daemon.domain.stock import dump
from daemon.notify import Notifier
from daemon.storage.codec import pack
from daemon.storage.files import StoreError
from daemon.storage.idempotency import digest
from daemon.storage.tables import LINKS, ORDERS, TABLES
from tests.storage_faults.lives import Around

Acknowledged = Sequence[dict[str, Any]]


@frozen
class Verdict:
    """`refused`: the one sentence with which the product would not start · `lost`: acknowledged, but not there ·
    `wrong`: what does not agree · `numbers`: what it would show for each SKU, as bytes."""

    refused: str = ""
    lost: Sequence[str] = ()
    wrong: Sequence[str] = ()
    numbers: dict[str, bytes] = field(factory=dict)

    @property
    def good(self) -> bool:
        return not (self.refused or self.lost or self.wrong)


def examine(directory: Path, acknowledged: Acknowledged) -> Verdict:
    """Open the state as the daemon does (markers, checks, replay), then read all of it. Anything but a `StoreError`
    is a fault of the product and is raised."""
    return trio.run(_examine, directory, acknowledged)


async def _examine(directory: Path, acknowledged: Acknowledged) -> Verdict:
    around = Around(random.Random(0))
    try:
        parts = around.assembled(directory)
    except StoreError as error:
        return Verdict(refused=str(error))
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(parts.store.run)
            found = await _read(parts, acknowledged)
            nursery.cancel_scope.cancel()
        return found
    except BaseExceptionGroup as group:
        refusal, rest = group.split(StoreError)
        if refusal is None or rest is not None:
            raise
        return Verdict(refused=" · ".join(map(str, refusal.exceptions)))
    finally:
        parts.store.env.close(clean=False)


async def _read(parts: Parts, acknowledged: Acknowledged) -> Verdict:
    daemon = Daemon(parts, Notifier({}))
    await daemon._recover()
    for table in TABLES:
        parts.store.env.scan(table, limit=1_000_000)
    for sku in parts.registry.skus(limit=100_000):
        parts.registry.actor(sku)  # read once, looked at often
    report = await daemon.inside.maintenance.rebuild(verify_only=True)
    wrong = [f"the log is broken at event {report.first_broken}"] if report.first_broken else []
    wrong += [f"the stock of {sku} is not what the log makes of it" for sku in report.different]
    wrong += _one_row_each(parts)
    return Verdict(lost=_lost(parts, acknowledged), wrong=wrong, numbers=_numbers(parts))


def _lost(parts: Parts, acknowledged: Acknowledged) -> list[str]:
    lost = []
    for each in acknowledged:
        if "reference" in each:
            state = parts.registry.peek(each["sku"])
            held = {name[1]: movement.quantity for name, movement in state.stock.adjustments.items()} if state else {}
            if held.get(each["reference"]) != each["quantity"]:
                lost.append(f"adjustment {each['reference']} of {each['sku']}")
            continue
        if not parts.seen.known(digest(each["channel"], each["delivery"])):
            lost.append(f"delivery {each['delivery']} of {each['channel']}")
        for line, sku in each["lines"]:
            state = parts.registry.peek(sku)
            known = state.stock.lines.get((each["channel"], each["order"], line)) if state else None
            if known is None or not any(seen.version == each["version"] for seen in known.sightings):
                lost.append(f"order {each['order']} line {line} v{each['version']} of {each['channel']}")
    return lost


def _one_row_each(parts: Parts) -> list[str]:
    """Every line of a stock is in its order's row, and every slot in its listing's: written behind, never ahead."""
    wrong = []
    for sku in parts.registry.skus(limit=100_000):
        state = parts.registry.peek(sku)
        for channel, order, line in state.stock.lines:
            if parts.registry.orders.sku_of(channel, order, line) != sku:
                wrong.append(f"line {line} of order {order} of {channel} is not known as {sku} in table {ORDERS}")
        for channel, listing in state.slots:
            if parts.registry.links.sku_of(channel, listing) != sku:
                wrong.append(f"listing {listing} of {channel} is not known as {sku} in table {LINKS}")
    return wrong


def _numbers(parts: Parts) -> dict[str, bytes]:
    return {sku: pack(dump(parts.registry.peek(sku).stock)) for sku in parts.registry.skus(limit=100_000)}

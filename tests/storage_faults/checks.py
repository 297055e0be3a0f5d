"""Whether a state directory holds what was acknowledged and agrees with itself, found out as the product would."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from hashlib import blake2b
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
    `wrong`: what does not agree"""

    refused: str = ""
    lost: Sequence[str] = ()
    wrong: Sequence[str] = ()
    numbers: dict[str, str] = field(factory=dict)
    """Of each SKU what it has, as the admin shows it, and a digest of all that is known of it."""

    @property
    def good(self) -> bool:
        return not (self.refused or self.lost or self.wrong)


def examine(directory: Path, acknowledged: Acknowledged) -> Verdict:
    """Open the state as the daemon does (markers, checks, replay), then read all of it. Anything but a `StoreError`
    is a fault of the product and is raised."""
    return trio.run(_examine, directory, acknowledged)


def examine_running(directory: Path, damage: Callable[[], object]) -> Verdict:
    """Open a sound state, damage its file, then read every SKU cold, and write. `numbers`: what was still served."""
    return trio.run(_opened, directory, partial(_serve_damaged, damage))


async def _examine(directory: Path, acknowledged: Acknowledged) -> Verdict:
    return await _opened(directory, partial(_read, acknowledged))


async def _opened(directory: Path, work: Callable[[Parts], Awaitable[Verdict]]) -> Verdict:
    around = Around(random.Random(0))
    try:
        parts = around.assembled(directory)
    except StoreError as error:
        return Verdict(refused=str(error))
    found = Verdict()
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(parts.store.run)
            found = await work(parts)
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        refusal, rest = group.split(StoreError)
        if refusal is None or rest is not None:
            raise
        return Verdict(refused=" · ".join(map(str, refusal.exceptions)))
    finally:
        parts.store.env.close(clean=False)
    return found


async def _serve_damaged(damage: Callable[[], object], parts: Parts) -> Verdict:
    await Daemon(parts, Notifier({}))._recover()
    await parts.store.flush()
    known = parts.registry.skus(limit=100_000)
    parts.registry.actors = {sku: actor for sku, actor in parts.registry.actors.items() if actor.dirty}
    damage()
    served: dict[str, str] = {}
    try:
        for sku in known:
            served[sku] = _number(parts, sku)
        await parts.store.checkpoint()
    except StoreError as error:
        return Verdict(refused=str(error), numbers=served)
    return Verdict(numbers=served)


async def _read(acknowledged: Acknowledged, parts: Parts) -> Verdict:
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


def _numbers(parts: Parts) -> dict[str, str]:
    return {sku: _number(parts, sku) for sku in parts.registry.skus(limit=100_000)}


def _number(parts: Parts, sku: str) -> str:
    state = parts.registry.peek(sku)
    if state is None:
        return "unknown"
    return f"{state.stock.available} {state.stock.held} {blake2b(pack(dump(state.stock)), digest_size=8).hexdigest()}"

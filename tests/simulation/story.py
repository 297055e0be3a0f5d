"""What happened to one SKU, told: sales and writes at the storefronts, what the daemon heard, decided and sent."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.simulation.fronts import Front
    from tests.simulation.world import World

LINES = 40
SILENT = ("storage.checkpoint", "storage.rebuilt", "daemon.ready")
Event = tuple[float, int, str]
"""(seconds since the world began, place among those of one moment, what happened)"""


def story(world: World, lines: int = LINES) -> list[str]:
    """The last events that concern the SKU of the first failure, in order; of all SKUs where it names none."""
    failure = world.failures[0] if world.failures else ""
    sku = concerned(world, failure)
    events: list[Event] = list(_daemons(world, sku))
    for front in world.front_list:
        events += _shoppers(world, front, sku)
        events += _writes(world, front, sku)
    events.sort(key=lambda event: event[:2])
    told = [f"{_moment(at)}  {what}" for at, _, what in events[-lines:]]
    title = f"The story of {sku}" if sku else "The story"
    return [f"{title} ({len(told)} of {len(events)} events, simulated time):", *told]


def concerned(world: World, failure: str) -> str:
    """The SKU that a failure is about; empty where it names none."""
    if found := re.search(r"\bSKU-\d+", failure):
        return found.group()
    channel = next((name for name in world.fronts if re.search(rf"\b{name}\b", failure)), "")
    if channel and (listing := re.search(r"\bL-\d+", failure)):
        return world.fronts[channel].store.shop.listings[listing.group()].sku
    if channel and (order := re.search(r"\bO-\d+", failure)):
        lines = world.fronts[channel].store.shop.orders[order.group()].lines.values()
        return next((line.listing.sku for line in lines), "")
    return ""


def _moment(at_s: float) -> str:
    hours, rest = divmod(at_s, 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{int(hours):3}:{int(minutes):02}:{seconds:09.6f}"


def _shoppers(world: World, front: Front, sku: str) -> Iterator[Event]:
    words = {"sold": "sells", "cancelled": "takes back (cancelled)", "fulfilled": "hands over", "removed": "strikes"}
    for number, change in enumerate(front.store.ledger.changes):
        truth = world.oracle.fronts[front.name]
        mine = {name: units for name, units in change.lines.items()
                if not sku or truth.lines[change.order, name].sku == sku}  # fmt: skip
        if mine:
            word = words.get(change.kind, "refunds, restocked:" if change.restock else "refunds, not restocked:")
            units = ", ".join(f"{count} (line {name})" for name, count in mine.items())
            yield _at(world, change.at_us), number, f"{front.name:7} {word} {units} of order {change.order}"


def _writes(world: World, front: Front, sku: str) -> Iterator[Event]:
    for number, write in enumerate(front.store.ledger.writes):
        listing = front.store.shop.listings.get(write.listing)
        if sku and (listing is None or listing.sku != sku):
            continue
        who = "staff write" if write.fault == "staff" else "is written" if not write.late else "is written LATE"
        did = f"{write.before} -> {write.after}" if write.applied else f"refused ({write.result})"
        did = "nothing, and says it was" if write.fault == "lie" else did
        fault = f", then: {write.fault}" if write.fault not in ("", "staff", "lie") else ""
        expected = "" if write.if_quantity is None else f" if it shows {write.if_quantity}"
        what = f"{front.name:7} {who} {write.asked}{expected}: {did}{fault}"
        yield _at(world, write.at_us), 1_000_000 + number, what


def _at(world: World, at_us: int) -> float:
    return (at_us - world.epoch_us) / 1e6


def _daemons(world: World, sku: str) -> Iterator[Event]:
    for number, line in enumerate(world.trace):
        moment, _, said = line.partition(" ")
        what = _said(said, sku)
        if what:
            # Of one moment: what leaves, then what it does, then what the daemon makes of it.
            yield float(moment), (500_000 if " leaves: " in what else 2_000_000) + number, what


def _said(said: str, sku: str) -> str:
    if not said.startswith("{"):
        return f"        *** {said[:600]}"
    event: dict[str, Any] = json.loads(said)
    name = event["event"]
    if name in SILENT or (sku and event.get("sku", sku) != sku) or name.startswith("delivery."):
        return ""
    where = f"daemon  {event.get('channel', ''):6}"
    match name:
        case "push.sent":
            return f"{where} push {event['generation']} leaves: {event['quantity']}, believed {event['believed']}"
        case "push.confirmed":
            return f"{where} push {event['generation']} is confirmed: {event['quantity']}"
        case "push.doubted" | "push.failed":
            word = "may or may not have happened" if name == "push.doubted" else "did not happen"
            return f"{where} push {event['generation']} {word}: {event['reason']}"
        case "observation.applied":
            by, kind = event.get("by", ""), event.get("kind", "")
            order = f" of order {event['order']}" if event.get("order") else ""
            return f"{where} learns by {by}: {kind}{order}; available {event.get('before')} -> {event.get('after')}"
        case "daemon.started":
            return f"daemon  starts, repeats {event['repeated']} of {event['events']} events"
    rest = {key: value for key, value in event.items() if key not in ("at", "severity", "event", "channel", "sku")}
    words = ", ".join(f"{key} {value}" for key, value in rest.items())
    return f"{where} {name}: {words}"[:200]

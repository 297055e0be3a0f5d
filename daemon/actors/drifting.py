"""What is known of a listing that drifted, gathered from the log; the causes named; the drift kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Final

from attrs import define, evolve

from daemon.actors.actor import Actor
from daemon.domain.drift import Cause, Earlier, Evidence, Sale, attribute
from daemon.domain.observations import Adjustment, OrderLine, Recipe
from daemon.domain.sightings import Sighting
from daemon.domain.sku import Doubted, Failed, Hold, Sent, Sku, Step
from daemon.domain.slot import Suspicion
from daemon.storage.codec import Record
from daemon.storage.drifts import Drift, Drifts
from daemon.storage.store import Store

LOOK_BACK = 150
"""Events of the SKU among which a cause is looked for."""
TWINS_MAX = 5_000
"""SKUs in memory among which one with the very number that is shown is looked for."""
SOMEBODY: Final[tuple[Cause, ...]] = ("foreign edit", "missing order")
"""Causes that change what there is: only then is a number that is to be adopted a fact."""
KEPT_AFTER = 2
"""A level that a channel made of a push so often before is not pushed over once more, if it is a lower one."""
EARLIER_MAX = 200
"""Drifts among which earlier ones of the same listing are looked for."""


@define
class Investigator:
    """Looks into every sighting. Called in the turn in which it was applied, so what it keeps is durable with it."""

    store: Store
    drifts: Drifts
    kits: Mapping[str, Recipe]
    actors: Mapping[str, Actor]
    found: Callable[[Drift], None]
    shadow: Callable[[str], bool] = lambda channel: False  # noqa: ARG005 - a silent default
    """Is this channel only watched, so that another tool writes its levels?"""

    def look(self, state: Sku, step: Step, now_us: int) -> Sequence[Adjustment | Hold]:
        """Keep what was found as a drift, if it is one or is worth remembering; what follows from it.

        A number is no fact where the likeliest cause is a fault of the channel, or a push of ours: then it says
        nothing of the shelf. And a channel that makes the same of every push, and less, would do so for ever.
        """
        seen = step.sighting
        first = seen.first if seen is not None else None
        if seen is not None and self.shadow(seen.channel):
            return ()  # what another tool writes is neither a drift nor a fact of the shelf
        if seen is None or first is None:
            return step.follows  # a person decided what to make of it, and the log says so
        records = self.store.history(state.sku, limit=LOOK_BACK)
        evidence = self._evidence(state, seen, first, records, now_us)
        if seen.done == "resolved" and (first.by != "read" or _was_on_its_way(evidence)):
            return ()
        causes = attribute(evidence)
        done = seen.done
        if done == "adopted" and causes[0].cause not in SOMEBODY:
            done = "corrected"
        again = sum(shown == seen.shown for _, shown in evidence.before)
        if done == "corrected" and causes[0].cause == "cap or rounding" and again >= KEPT_AFTER:
            done = "kept" if seen.shown < seen.wanted else done
        self.found(
            self.drifts.add(
                now_us, channel=seen.channel, listing=seen.listing, sku=state.sku, shown=seen.shown,
                expected=seen.expected, first_us=first.at_us, first_shown=first.shown, done=done, causes=causes,
            )
        )  # fmt: skip
        if done == "kept" and seen.done != "kept":
            return (Hold(seen.channel, seen.listing, "report"),)
        return step.follows if done == "adopted" else ()

    def _evidence(self, state: Sku, seen: Sighting, first: Suspicion, records: list[Record], now_us: int) -> Evidence:
        resolved = seen.done == "resolved"
        return Evidence(
            state.sku, seen.shown, seen.expected, now_us, seen.done, first.shown, first.expected, first.at_us,
            first.with_push, sales_of(state, seen.channel, records), pushes_of(seen, records),
            () if resolved else self._units(state.sku), seen.seller_sku,
            () if resolved else self._twins(state.sku, seen), () if resolved else self._before(seen),
        )  # fmt: skip

    def _units(self, sku: str) -> tuple[int, ...]:
        """In what other units somebody might count it."""
        recipe = self.kits.get(sku, ())
        mine = [units for _, units in recipe] + [sum(units for _, units in recipe)]
        parts = [units for each in self.kits.values() for part, units in each if part == sku]
        return tuple(sorted({units for units in (*mine, *parts) if units > 1}))

    def _twins(self, sku: str, seen: Sighting) -> tuple[str, ...]:
        return tuple(
            other
            for other, actor in islice(self.actors.items(), TWINS_MAX)
            if other != sku
            and any(slot.channel == seen.channel and slot.belief == seen.shown for slot in actor.state.slots.values())
        )

    def _before(self, seen: Sighting) -> tuple[tuple[int, int], ...]:
        recent = self.drifts.page(limit=EARLIER_MAX, channel=seen.channel)
        return tuple(
            (each.expected, each.shown)
            for each in recent if each.listing == seen.listing and each.done not in ("resolved", "adopted")
        )  # fmt: skip


def _was_on_its_way(evidence: Evidence) -> bool:
    """Did the webhook of the order that explains it just come a moment later than the look?"""
    found = [sale for sale in evidence.sales if sale.at_us >= evidence.first_us and sale.units]
    return bool(found) and all(sale.by == "webhook" for sale in found)


def sales_of(state: Sku, channel: str, records: list[Record]) -> tuple[Sale, ...]:
    """What orders of the channel took of its own listing, as we heard of it, oldest first; `records` newest first."""
    sales = []
    for record in reversed(records):
        message = record.message
        if not isinstance(message, OrderLine) or message.channel != channel:
            continue
        line = state.stock.lines.get((channel, message.order, message.line))
        if line is None or (line.kit and not line.whole):
            continue
        before = 0
        for sighting, reading in zip(line.sightings, line.readings(), strict=True):
            if (sighting.version, sighting.read_us) == (message.version, message.read_us):
                sales.append(Sale(message.order, reading.taken - before, record.at_us, record.cause.by))
                break
            before = reading.taken
    return tuple(sales)


def pushes_of(seen: Sighting, records: list[Record]) -> tuple[Earlier, ...]:
    """The pushes to the listing that were done, or may have been, oldest first. `records`: newest first."""
    mine = [
        record for record in reversed(records)
        if isinstance(record.message, Sent | Doubted | Failed)
        and (record.message.channel, record.message.listing) == (seen.channel, seen.listing)
    ]  # fmt: skip
    pushes: dict[int, Earlier] = {}
    for record in mine:
        match record.message:
            case Sent(generation=number) as sent:
                doubted = number in pushes and pushes[number].doubted
                pushes[number] = Earlier(number, sent.level, record.at_us, doubted, sent.believed)
            case Doubted(generation=number, shown=None) if number in pushes:
                pushes[number] = evolve(pushes[number], doubted=True)
            case Doubted(generation=number) | Failed(generation=number) if number in pushes:
                # Surely not done this time; it counts only where an earlier try may have been.
                if not pushes[number].doubted:
                    del pushes[number]
    return tuple(each for _, each in sorted(pushes.items()))

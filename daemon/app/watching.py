"""What happens, as log lines, counters and lag figures: the one place that turns it into events."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from attrs import define, field

from daemon.actors.actor import Part
from daemon.app.lags import LagWindow
from daemon.app.shadowing import ShadowWatch
from daemon.app.telling import Tellers
from daemon.domain.channel import LevelSeen
from daemon.domain.kits import Assemble, ComponentLevel
from daemon.domain.observations import LevelReport, OrderLine
from daemon.domain.outcomes import Outcome
from daemon.domain.sku import Doubted, Sent, Step
from daemon.domain.slot import Slot
from daemon.events import Event
from daemon.ingress.catalogue import Offer
from daemon.ingress.masses import Masses, MassHold
from daemon.ingress.normalise import Unlinked
from daemon.ingress.receiver import Answer
from daemon.ingress.signature import Finding
from daemon.ingress.sweep import Sweeper
from daemon.storage.alarms import Alarm
from daemon.storage.codec import Cause
from daemon.storage.dead_letters import DeadKind
from daemon.storage.drifts import Drift
from daemon.telemetry import Counters, Telemetry

COUNTED: dict[str, Event] = {
    "acked": Event.DELIVERY_ACCEPTED,
    "duplicates": Event.DELIVERY_DUPLICATE,
    "rejected": Event.DELIVERY_REJECTED,
    "puzzles": Event.DELIVERY_PUZZLE,
    "overloaded": Event.DELIVERY_OVERLOADED,
    "conflicts": Event.OBSERVATION_CONFLICT,
    "unlinked": Event.OBSERVATION_UNLINKED,
    "pushes": Event.PUSH_SENT,
    "confirmed": Event.PUSH_CONFIRMED,
    "push_conflicts": Event.PUSH_CONFLICT,
    "push_failures": Event.PUSH_FAILED,
    "push_doubts": Event.PUSH_DOUBTED,
    "dead_pushes": Event.PUSH_DEAD,
    "dead_letters_let_go": Event.DEAD_LETTER_LET_GO,
    "drifts": Event.DRIFT_FOUND,
    "drifts_explained": Event.DRIFT_EXPLAINED,
    "mass_holds": Event.MASS_HELD,
    "push_lies": Event.PUSH_NOT_DONE,
}


class CounterView(Mapping[str, int]):
    """The counters that `status` shows, live, under their short names."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters

    def __getitem__(self, name: str) -> int:
        return self._counters[COUNTED[name]]

    def __iter__(self) -> Iterator[str]:
        return iter(COUNTED)

    def __len__(self) -> int:
        return len(COUNTED)


@define
class ChannelFigures:
    """What is measured of one channel."""

    push_lag: LagWindow = field(factory=LagWindow)
    webhook_lag: LagWindow = field(factory=LagWindow)
    commit_lag: LagWindow = field(factory=LagWindow)
    visible_lag: LagWindow = field(factory=LagWindow)
    write_window: LagWindow = field(factory=LagWindow)
    """Between reading and writing a listing of a channel that cannot compare: a sale in it shows in its order feed
    alone."""
    pushes: int = 0
    webhooks: int = 0


CAUSES_MAX = 10_000
"""SKUs of which the newest change is remembered, to be named beside the pushes that follow from it."""


@define(repr=False)
class Watch:
    """Implements every watcher protocol of the rooms below."""

    telemetry: Telemetry
    wall_us: Callable[[], int]
    figures: dict[str, ChannelFigures] = field(factory=dict)
    sweepers: dict[str, Sweeper] = field(factory=dict)
    """By channel: told which listings moved."""
    masses: dict[str, Masses] = field(factory=dict)
    """By channel: told which levels nothing explains."""
    shadows: dict[str, ShadowWatch] = field(factory=dict)
    """By channel: told what moved its listings."""
    tellers: Tellers = field(factory=Tellers)
    """Told which alarms begin and end."""
    _causes: dict[str, Cause] = field(factory=dict)

    def of(self, channel: str) -> ChannelFigures:
        """The channel's figures."""
        if channel not in self.figures:
            self.figures[channel] = ChannelFigures()
        return self.figures[channel]

    # -- alarms --

    def alarm_began(self, alarm: Alarm) -> None:
        """A condition that wants a person."""
        self.telemetry.event(
            Event.ALARM_RAISED, channel=alarm.channel or None, condition=alarm.condition, text=alarm.text,
            what_to_do=alarm.runbook, **_about(alarm),
        )  # fmt: skip
        self.tellers.raised(alarm)

    def alarm_ended(self, alarm: Alarm) -> None:
        """It is over."""
        lasted_s = round((self.wall_us() - alarm.since_us) / 1e6, 3)
        self.telemetry.event(
            Event.ALARM_CLEARED, channel=alarm.channel or None, condition=alarm.condition, lasted_s=lasted_s,
            found=alarm.count, **_about(alarm),
        )  # fmt: skip
        self.tellers.cleared(alarm)

    # -- actors --

    def applied(self, part: Part, step: Step, seq: int) -> None:
        """An observation went through its actor."""
        cause, message = part.cause, part.message
        self._risky(part, step)
        for shadow in self.shadows.values():
            shadow.applied(part, step)
        if isinstance(message, LevelReport):
            if step.verdict == "suspected" and not message.read_us and message.channel in self.masses:
                self.masses[message.channel].told(step.slots[0], message.level or 0)
            if step.verdict == "linked":
                self.telemetry.event(
                    Event.LISTING_LINKED, channel=message.channel, sku=part.sku, listing=message.listing
                )
            return
        if not step.log or cause.by in ("push", "readback"):
            return
        if step.before != step.after:
            self._causes.pop(part.sku, None)
            self._causes[part.sku] = cause
            if len(self._causes) > CAUSES_MAX:
                del self._causes[next(iter(self._causes))]
        event = Event.OBSERVATION_CONFLICT if step.verdict == "conflict" else Event.OBSERVATION_APPLIED
        self.telemetry.event(
            event, channel=cause.channel or None, sku=part.sku, order=cause.order or None, line=cause.line or None,
            delivery=str(cause.delivery) if cause.delivery else None, kind=_kind(message), by=cause.by, seq=seq,
            before=step.before, after=step.after, verdict=step.verdict,
        )  # fmt: skip
        if step.ambiguous:
            self.telemetry.event(
                Event.ORDER_AMBIGUOUS, channel=cause.channel or None, sku=part.sku, order=cause.order or None
            )
        before, after = step.before or 0, step.after or 0
        if isinstance(message, Assemble | ComponentLevel):
            return  # a kit owes nothing itself, its components do
        if after < 0 <= before:
            self.telemetry.event(Event.DEBT_OPENED, sku=part.sku, channel=cause.channel or None, debt=-after)
        elif before < 0 <= after:
            self.telemetry.event(Event.DEBT_PAID, sku=part.sku, channel=cause.channel or None)

    def _risky(self, part: Part, step: Step) -> None:
        """Which listings should be looked at before their turn."""
        message = part.message
        if not step.log or isinstance(message, LevelReport):
            return
        for slot in step.slots:
            sweeper = self.sweepers.get(slot.channel)
            if sweeper is not None:
                sold = isinstance(message, OrderLine) and message.channel == slot.channel
                sweeper.moved(slot, sold=sold, unsure=step.ambiguous or isinstance(message, Doubted))

    # -- drift --

    def drifted(self, drift: Drift) -> None:
        """A listing was seen twice to show what it should not, or was explained by the second look."""
        event = Event.DRIFT_EXPLAINED if drift.done == "resolved" else Event.DRIFT_FOUND
        self.telemetry.event(
            event, channel=drift.channel, sku=drift.sku, listing=drift.listing, shown=drift.shown,
            expected=drift.expected, cause=drift.cause, reason=drift.causes[0].because, done=drift.done,
        )  # fmt: skip

    def mass(self, channel: str, how: str, hold: MassHold) -> None:
        """A channel is held, or is not any more."""
        event = Event.MASS_HELD if how == "held" else Event.MASS_ENDED
        self.telemetry.event(
            event, channel=channel, kind=hold.kind, listings=hold.listings, linked=hold.linked, done=how
        )

    def crashed(self, part: Part, error: Exception, *, quarantined: bool) -> None:
        """An actor raised."""
        cause = part.cause
        event = Event.SKU_QUARANTINED if quarantined else Event.SKU_CRASHED
        self.telemetry.event(
            event, sku=part.sku, channel=cause.channel or None, order=cause.order or None, error=error
        )

    def dead(self, kind: DeadKind, part: Part, letter: int) -> None:
        """An observation became a dead letter."""
        if kind == "late":
            self.telemetry.event(
                Event.OBSERVATION_LATE, sku=part.sku, channel=part.cause.channel or None,
                order=part.cause.order or None, letter=letter,
            )  # fmt: skip

    def let_go(self, kind: DeadKind, letter: int, channel: str, subject: str, why: str) -> None:
        """A dead letter gave way."""
        self.telemetry.event(
            Event.DEAD_LETTER_LET_GO, channel=channel or None, letter=letter, kind=kind, subject=subject, reason=why
        )

    # -- deliveries --

    def received(self, channel: str, answer: Answer, *, topic: str, delivery: int, note: str) -> None:
        """A webhook was answered."""
        event = {
            Answer.ACCEPTED: Event.DELIVERY_ACCEPTED,
            Answer.DUPLICATE: Event.DELIVERY_DUPLICATE,
            Answer.PUZZLE: Event.DELIVERY_PUZZLE,
            Answer.BUSY: Event.DELIVERY_OVERLOADED,
        }[answer]
        self.of(channel).webhooks += 1
        fields: dict[str, Any] = {"topic": topic} if topic else {}
        if note:
            fields["reason"] = note
        self.telemetry.event(event, channel=channel, delivery=str(delivery) if delivery else None, **fields)

    def refused(self, channel: str, finding: Finding) -> None:
        """A delivery was not signed as it should be."""
        self.telemetry.event(Event.DELIVERY_REJECTED, channel=channel, signature=finding)

    def timed(self, channel: str, event_lag_us: int | None, commit_us: int) -> None:
        """How late a webhook came, and how long it took to be durable."""
        figures = self.of(channel)
        figures.commit_lag.add(commit_us)
        if event_lag_us is not None:
            figures.webhook_lag.add(event_lag_us)

    def unlinked(self, line: Unlinked, letter: int) -> None:
        """An order line of an unknown SKU."""
        self.telemetry.event(
            Event.OBSERVATION_UNLINKED, channel=line.channel, order=line.order.order, line=line.line.line,
            listing=line.line.listing or None, letter=letter, reason=line.why,
        )  # fmt: skip

    def first_count(self, sku: str, offer: Offer) -> None:
        """A SKU took its first count."""
        self.telemetry.event(
            Event.FIRST_COUNT, channel=offer.channel, sku=sku, listing=offer.listing, available=offer.level
        )

    # -- pushes --

    def _because(self, sku: str) -> dict[str, Any]:
        """The newest change of this SKU, which a push leaving now carries."""
        cause = self._causes.get(sku)
        if cause is None:
            return {}
        said = {"delivery": str(cause.delivery) if cause.delivery else None, "order": cause.order, "line": cause.line}
        return {name: value for name, value in said.items() if value} | {"because": _source(cause)}

    def sent(self, slot: Slot, sent: Sent) -> None:
        """A push leaves."""
        self.of(slot.channel).pushes += 1
        self.telemetry.event(
            Event.PUSH_SENT, channel=slot.channel, sku=slot.sku, listing=slot.listing, quantity=sent.level,
            believed=sent.believed, generation=sent.generation, attempt=slot.attempt, **self._because(slot.sku),
        )  # fmt: skip

    def answered(self, slot: Slot, sent: Sent, outcome: Outcome, *, dead_letter: int) -> None:
        """A push was answered, or nobody knows."""
        fields: dict[str, Any] = {"quantity": sent.level, "generation": sent.generation} | self._because(slot.sku)
        if outcome.kind == "ok":
            if slot.settled_generation != sent.generation:  # else it was done before, and is only repeated
                lag_us = self.wall_us() - slot.wanted_us
                self.of(slot.channel).push_lag.add(lag_us)
                fields["lag_ms"] = round(lag_us / 1_000, 3)
        elif outcome.reason:
            fields["reason"] = outcome.reason
        event = {
            "ok": Event.PUSH_CONFIRMED,
            "accepted": Event.PUSH_ACCEPTED,
            "superseded": Event.PUSH_SUPERSEDED,
            "conflict": Event.PUSH_CONFLICT,
            "unknown": Event.PUSH_DOUBTED,
        }.get(outcome.kind, Event.PUSH_FAILED)
        if dead_letter:
            event = Event.PUSH_DEAD
            fields["letter"] = dead_letter
        self.telemetry.event(event, channel=slot.channel, sku=slot.sku, listing=slot.listing, **fields)

    def split(self, channel: str, size: int, reason: str) -> None:
        """A batch was refused as a whole."""
        self.telemetry.event(Event.PUSH_SPLIT, channel=channel, size=size, reason=reason)

    def written_after_look(self, channel: str, window_us: int) -> None:
        """A channel without compare-and-set was read, and written `window_us` later: what it sold between was seen by
        neither."""
        self.of(channel).write_window.add(window_us)

    def lied(self, slot: Slot, shown: int) -> None:
        """A push was acknowledged and not done; `shown` instead, -1 where something newer is known by now."""
        fields: dict[str, Any] = {"wanted": slot.sent_level} | ({"shown": shown} if shown >= 0 else {})
        self.telemetry.event(Event.PUSH_NOT_DONE, channel=slot.channel, sku=slot.sku, listing=slot.listing, **fields)

    def read_back(self, slot: Slot, seen: LevelSeen | None) -> None:
        """A listing was read back."""
        shown = seen.level if seen else None
        self.telemetry.event(
            Event.READ_BACK, channel=slot.channel, sku=slot.sku, listing=slot.listing, shown=shown,
            believed=slot.belief, wanted=slot.desired,
        )  # fmt: skip


def _about(alarm: Alarm) -> dict[str, Any]:
    return {"subject": alarm.subject} if alarm.subject else {}


def _source(cause: Cause) -> str:
    return f"{cause.by} of {cause.channel}" if cause.channel else cause.by


_KINDS = {
    "StockCount": "count", "Adjustment": "adjustment", "Freeze": "freeze", "Settle": "settle",
    "Assemble": "recipe", "ComponentLevel": "component", "Hold": "hold", "Restore": "restore", "Link": "link",
}  # fmt: skip


def _kind(message: object) -> str:
    if isinstance(message, OrderLine):
        return "order line"
    return _KINDS.get(type(message).__name__, type(message).__name__)

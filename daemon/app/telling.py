"""Alarms on their way to who wants to be told: one task a target, one telling at a time, tried again for an hour.

A target that fails is said once, and once when it works again; it is in `onhand status` and in the metrics, and is
never an alarm itself: who could be told of that? No sale waits for any of this.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Literal

import trio
from attrs import define, field

from daemon.admin.inside import TargetReport
from daemon.events import Event
from daemon.outbound.alarm_targets import AlarmTarget
from daemon.storage.alarms import Alarm
from daemon.storage.store import Store
from daemon.storage.tellings import TargetKind, Telling, Tellings
from daemon.telemetry import Telemetry

ATTEMPTS_MAX = 16
"""After so many attempts, with the pauses between them about an hour, a telling is given up."""
PAUSE_S = (1.0, 600.0)
"""The pause after the first failure, doubled with each further one, and the longest."""
DURABLE_S = 5.0
"""What is told should be on disk first; a disk that takes longer is no reason for silence."""


@define(eq=False, repr=False)
class Teller:
    """Tells one target what waits for it. `run` is its only task."""

    kind: TargetKind
    target: AlarmTarget
    tellings: Tellings
    store: Store
    telemetry: Telemetry
    rng: random.Random
    wall_us: Callable[[], int]
    told: int = 0
    lost: int = 0
    """Given up, or pushed out by newer ones."""
    failing_since_us: int = 0
    last_error: str = ""
    _attempts: int = 0
    _trying: int = 0
    """The number of what is told now."""
    _news: trio.Event = field(factory=trio.Event)

    def add(self, state: Literal["raised", "cleared"], alarm: Alarm) -> None:
        """Let it be told, soon; returns at once."""
        lost = self.tellings.add(self.kind, state, alarm, self.wall_us())
        if lost is not None:
            self._loses(lost, "more wait than are kept")
        self._news.set()

    async def run(self) -> None:
        """Tell, for ever."""
        while True:
            telling = self.tellings.first(self.kind)
            if telling is None:
                self._news = trio.Event()
                await self._news.wait()
                continue
            with trio.move_on_after(DURABLE_S):
                await self.store.flush()
            await trio.sleep(await self._tell(telling))

    async def _tell(self, telling: Telling) -> float:
        """Tell it once; seconds to wait before the next one."""
        self._attempts = self._attempts + 1 if self._trying == telling.number else 1
        self._trying = telling.number
        found = await self.target.tell(telling)
        waits = telling == self.tellings.first(self.kind)  # else it was pushed out meanwhile, which was said
        if not found.failure:
            self.told += 1
            self._works()
            said = {"said": self.telemetry.redacted(found.said)} if found.said else {}
            self.telemetry.event(Event.ALARM_TOLD, target=self.kind, **_about(telling), **said)
            if waits:
                self.tellings.done(telling)
            return 0.0
        self._fails(telling, found.failure, self.telemetry.redacted(found.said))
        if self._attempts >= ATTEMPTS_MAX and waits:
            self.tellings.done(telling)
            self._loses(telling, f"given up after {self._attempts} attempts")
        pause_s: float = min(PAUSE_S[1], PAUSE_S[0] * 2.0 ** (self._attempts - 1))
        return pause_s * (0.5 + self.rng.random() / 2)

    def _works(self) -> None:
        if self.failing_since_us:
            self.telemetry.event(Event.ALARM_TARGET_RECOVERED, target=self.kind)
        self.failing_since_us, self.last_error = 0, ""

    def _fails(self, telling: Telling, why: str, said: str) -> None:
        self.last_error = why
        if not self.failing_since_us:
            self.failing_since_us = self.wall_us()
            output = {"said": said} if said else {}
            self.telemetry.event(Event.ALARM_TARGET_FAILED, target=self.kind, error=why, **_about(telling), **output)

    def _loses(self, telling: Telling, why: str) -> None:
        self.lost += 1
        self.telemetry.event(Event.ALARM_NOT_TOLD, target=self.kind, reason=why, **_about(telling))

    def report(self) -> TargetReport:
        """How it is."""
        return TargetReport(
            self.kind, self.tellings.waiting(self.kind), self.told, self.lost, self.failing_since_us, self.last_error
        )


def _about(telling: Telling) -> dict[str, str]:
    said = {
        "condition": telling.condition, "channel": telling.channel, "subject": telling.subject,
        "state": telling.state, "id": telling.id,
    }  # fmt: skip
    return {name: value for name, value in said.items() if value}


@define(eq=False, repr=False)
class Tellers:
    """Every configured target."""

    each: Sequence[Teller] = ()

    def raised(self, alarm: Alarm) -> None:
        """An alarm began."""
        for teller in self.each:
            teller.add("raised", alarm)

    def cleared(self, alarm: Alarm) -> None:
        """An alarm is over."""
        for teller in self.each:
            teller.add("cleared", alarm)

    def report(self) -> tuple[TargetReport, ...]:
        """How each is."""
        return tuple(teller.report() for teller in self.each)

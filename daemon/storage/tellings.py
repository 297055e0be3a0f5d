"""What alarm targets are still to be told: an alarm began, or is over. Durable with the commit of the alarm itself.

A telling leaves when its target took it or was given up. So a restart tells nothing twice that was taken (but what
was taken in the last moment before a kill: then under the same id), and forgets nothing that was not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Literal

from attrs import astuple, frozen

from daemon.storage.alarms import RUNBOOK, Alarm, Condition
from daemon.storage.codec import number, pack, unpack
from daemon.storage.store import Store
from daemon.storage.tables import META, TELLINGS

WAITING_MAX = 200
"""Tellings of one target that wait; the oldest gives way to one more, and is said to be lost."""

TARGETS = b"alarm targets"
"""The row of META that says who was told what stands: {target: a digest of what it is, which may be a secret}."""

TargetKind = Literal["webhook", "command"]
State = Literal["raised", "cleared"]


@frozen
class Telling:
    """One thing to be told to one target. Stamps are our clock's; `count` as it was when this came about."""

    number: int
    target: TargetKind
    state: State
    condition: Condition
    channel: str
    subject: str
    since_us: int
    at_us: int
    count: int

    @property
    def id(self) -> str:
        """The same for the same beginning, or end, of the same alarm, however often it is told."""
        named = "\0".join((self.condition, self.channel, self.subject, str(self.since_us), self.state))
        return f"alarm_{blake2b(named.encode('utf-8', 'surrogatepass'), digest_size=16).hexdigest()}"


class Tellings:
    """What waits, by target, the oldest first."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._waiting: dict[TargetKind, deque[Telling]] = {"webhook": deque(), "command": deque()}
        self._last = 0
        start = b""
        while rows := store.env.scan(TELLINGS, start, limit=500):
            start = rows[-1][0] + b"\0"
            for key, payload in rows:
                self._last = int.from_bytes(key, "big")
                telling = Telling(self._last, *unpack(payload))
                if telling.condition in RUNBOOK and telling.target in self._waiting:  # else of a later make
                    self._waiting[telling.target].append(telling)

    def retarget(self, targets: Mapping[TargetKind, str], standing: Iterable[Alarm]) -> int:
        """These are the targets from now on, each with what it is. One that is new, or another than before, is told
        what stands; what waited for one that is gone is let go. Returns how many tellings that were."""
        kept = self.store.env.get(META, TARGETS)
        known = unpack(kept) if kept is not None else {}
        digests = {target: blake2b(what.encode(), digest_size=16).digest() for target, what in targets.items()}
        lost = 0
        for target, waiting in self._waiting.items():
            if target not in targets:
                lost += len(waiting)
                for telling in list(waiting):
                    self.done(telling)
            elif known.get(target) != digests[target]:
                waits = {telling.id for telling in waiting}
                for alarm in standing:
                    telling = self._telling(target, "raised", alarm, alarm.since_us)
                    if telling.id not in waits:
                        self._keep(telling)
        if known != digests:
            self.store.put(META, TARGETS, pack(digests))
        return lost

    def add(self, target: TargetKind, state: State, alarm: Alarm, at_us: int) -> Telling | None:
        """Let it be told; what gave way to it, if anything."""
        lost = None
        if len(self._waiting[target]) >= WAITING_MAX:
            lost = self._waiting[target][0]
            self.done(lost)
        self._keep(self._telling(target, state, alarm, at_us))
        return lost

    def _telling(self, target: TargetKind, state: State, alarm: Alarm, at_us: int) -> Telling:
        return Telling(
            self._last + 1, target, state, alarm.condition, alarm.channel, alarm.subject, alarm.since_us, at_us,
            alarm.count,
        )  # fmt: skip

    def _keep(self, telling: Telling) -> None:
        self._last = telling.number
        self._waiting[telling.target].append(telling)
        self.store.put(TELLINGS, number(telling.number), pack(astuple(telling)[1:]))

    def first(self, target: TargetKind) -> Telling | None:
        """What this target is to be told next."""
        waiting = self._waiting[target]
        return waiting[0] if waiting else None

    def done(self, telling: Telling) -> None:
        """It was told, or given up."""
        self._waiting[telling.target].remove(telling)
        self.store.delete(TELLINGS, number(telling.number))

    def waiting(self, target: TargetKind) -> int:
        """How many wait for this target."""
        return len(self._waiting[target])

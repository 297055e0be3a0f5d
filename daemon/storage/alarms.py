"""What a person should look at, by condition: said when it begins, counted while it lasts, said when it ends.

An alarm is not a log line: it stays open over restarts until whoever raised it clears it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Literal

from attrs import evolve, frozen

from daemon.domain.instants import SECOND_US
from daemon.storage.codec import pack, unpack
from daemon.storage.store import Store
from daemon.storage.tables import ALARMS, pair

Condition = Literal[
    "webhooks_silent", "acknowledgements_lie", "mass_change", "breaker_open", "raise_held", "feed_unread",
    "pushes_dead", "queue_unread", "filter_ignored", "books_differ", "log_broken", "dead_letters_many",
]  # fmt: skip

RUNBOOK: dict[Condition, str] = {
    "webhooks_silent": (
        "`onhand webhooks check` shows what the channel still sends; `onhand webhooks register` subscribes again; "
        "until then sales come by polling, later than usual"
    ),
    "acknowledgements_lie": (
        "the channel accepts levels and does not show them: see `onhand explain`, compare with the shop itself, and "
        "ask the platform; until then every push is read back before it counts"
    ),
    "mass_change": (
        "so many levels differ at once that it looks like a mistake, and nothing of it is taken: compare "
        "`onhand drift` with the shop, then `onhand drift accept CHANNEL` (what it shows is right) or "
        "`onhand drift refuse CHANNEL` (our levels are pushed)"
    ),
    "breaker_open": (
        "see `onhand channels` for the error: is the shop up, is its address right, are its keys still valid?"
    ),
    "raise_held": (
        "levels wait to be raised until the channel's orders can be read: see `onhand channels` for what stops that"
    ),
    "feed_unread": (
        "the channel's orders cannot be read, so its sales may be missing: see `onhand channels` for the error; "
        "check the keys and what they may read"
    ),
    "filter_ignored": (
        "the channel's order feed gives orders that were not asked for, so that every poll reads all of it: is it "
        "the platform that `adapter` names, and does a plugin or a proxy change its API? Else report it as a bug"
    ),
    "books_differ": (
        "the books of a SKU are not what the log makes of them (a fault of the disk, or a bug: report it with a "
        "backup), so nothing of it is pushed: `onhand rebuild --verify` checks the log itself, `onhand rebuild` puts "
        "the books right"
    ),
    "log_broken": (
        "the event log is not what was written (a fault of the disk, or somebody changed it), so nothing of it is "
        "compacted: `onhand rebuild --verify` checks all of it; restore a backup with `onhand restore`"
    ),
    "pushes_dead": (
        "`onhand dead-letters` names the listings and why the channel refuses them: mend them there, then "
        "`onhand dead-letters retry`"
    ),
    "dead_letters_many": (
        "`onhand dead-letters` names them and what to do; retry or discard many at once by `--cause TEXT`, or raise "
        "`retention.dead_letters_max`: beyond it the oldest give way, each named in the log"
    ),
    "queue_unread": (
        "what the platform tells waits in its queue, not lost but late; until then sales come by polling: check the "
        "queue's address, and whether the configured key may receive and delete there"
    ),
}
"""What a person should do, a line for each condition there is."""

SUBJECTS_MAX = 50
"""Alarms of one condition at one channel that are kept by name; further ones are one alarm, `OTHERS`."""
OTHERS = "(others)"
TEXT_MAX = 500
"""Characters of a text that are kept."""
WRITE_EVERY_US = 60 * SECOND_US
"""An alarm that is only counted is written so often: what was counted since may be lost in a crash."""


@frozen
class Alarm:
    """One open alarm. `count`: how often its condition was found since `since_us`; both stamps are our clock's."""

    condition: Condition
    channel: str
    """ "" where it is no channel's."""
    subject: str
    """What it is about, where a condition can befall many things at once."""
    text: str
    since_us: int
    last_us: int
    count: int

    @property
    def runbook(self) -> str:
        """What a person should do."""
        return RUNBOOK[self.condition]


Key = tuple[Condition, str, str]


class Alarms:
    """The open alarms. `began` is told each one once, `ended` each that ends, once; neither may raise.

    Bounded by the conditions, the configured channels and `SUBJECTS_MAX`.
    """

    def __init__(self, store: Store, began: Callable[[Alarm], None], ended: Callable[[Alarm], None]) -> None:
        self.store = store
        self._began, self._ended = began, ended
        self._open: dict[Key, Alarm] = {}
        self._written_us: dict[Key, int] = {}
        start = b""
        while rows := store.env.scan(ALARMS, start, limit=1_000):
            start = rows[-1][0] + b"\0"
            for _, payload in rows:
                alarm = Alarm(*unpack(payload))
                if alarm.condition in RUNBOOK:  # else of a later make, which this one cannot clear
                    self._open[_key(alarm)] = alarm
                    self._written_us[_key(alarm)] = alarm.last_us

    def raised(self, condition: Condition, channel: str, text: str, subject: str = "") -> None:
        """The condition holds. The first time it is an alarm, durable with the next commit; then it is counted, and
        its text brought up to date."""
        now_us = self.store.wall_us()
        key = self._place((condition, channel, subject))
        if key[2] != subject:
            text = f"more than {SUBJECTS_MAX} of this kind; one of the others: {subject}: {text}"
        text = text[:TEXT_MAX]
        known = self._open.get(key)
        if known is None:
            alarm = Alarm(*key, text, now_us, now_us, 1)
            self._write(alarm)
            self._began(alarm)
            return
        alarm = evolve(known, text=text, last_us=now_us, count=known.count + 1)
        self._open[key] = alarm
        if not 0 <= now_us - self._written_us[key] < WRITE_EVERY_US:
            self._write(alarm)

    def cleared(self, condition: Condition, channel: str, subject: str = "") -> None:
        """The condition does not hold (any more). Says so once, where there was an alarm."""
        self._end((condition, channel, subject))
        if subject:
            # There is room again: if others are still so, they are raised anew, by name.
            self._end((condition, channel, OTHERS))

    def is_open(self, condition: Condition, channel: str, subject: str = "") -> bool:
        """Is there such an alarm?"""
        return (condition, channel, subject) in self._open

    def open(self) -> list[Alarm]:
        """All of them, the oldest first."""
        return sorted(self._open.values(), key=lambda alarm: (alarm.since_us, _key(alarm)))

    def keep_only(self, channels: Collection[str]) -> None:
        """End the alarms of channels that are not configured any more: nobody would ever clear them."""
        for key in list(self._open):
            if key[1] and key[1] not in channels:
                self._end(key)

    def _place(self, key: Key) -> Key:
        condition, channel, subject = key
        if not subject or key in self._open:
            return key
        named = sum(1 for each in self._open if each[:2] == (condition, channel) and each[2] not in ("", OTHERS))
        return key if named < SUBJECTS_MAX else (condition, channel, OTHERS)

    def _write(self, alarm: Alarm) -> None:
        key = _key(alarm)
        self._open[key] = alarm
        self._written_us[key] = alarm.last_us
        self.store.put(ALARMS, _row(key), _dump(alarm))

    def _end(self, key: Key) -> None:
        alarm = self._open.pop(key, None)
        if alarm is not None:
            del self._written_us[key]
            self.store.delete(ALARMS, _row(key))
            self._ended(alarm)


def _key(alarm: Alarm) -> Key:
    return (alarm.condition, alarm.channel, alarm.subject)


def _row(key: Key) -> bytes:
    return pair(key[0], f"{key[1]}\0{key[2]}")


def _dump(alarm: Alarm) -> bytes:
    return pack(
        (alarm.condition, alarm.channel, alarm.subject, alarm.text, alarm.since_us, alarm.last_us, alarm.count)
    )

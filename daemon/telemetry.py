"""Saying what happens: JSON lines for machines, coloured ones for people, and a count of every event.

There is no global logger: a `Telemetry` is an argument. Every line is an `Event` of the one list in
`daemon.events`, passes the redactor, and carries its cause as fields.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from attrs import define, field
from structlog import dev

from daemon.credentials import Secret
from daemon.events import Event, Severity
from daemon.redaction import Redactor

__all__ = ["Counters", "Event", "Severity", "Telemetry"]

STRANGERS_QUIET_US = 1_000_000
"""An event that outsiders can cause at will is written once in so many µs."""

MAX_FRAMES = 8

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Record = MutableMapping[str, Any]
"""A line on its way through structlog's processors."""


@define
class Counters:
    """How often each event happened since the start, written or not, and how many lines could not be written."""

    by_event: dict[Event, int] = field(factory=lambda: dict.fromkeys(Event, 0))
    lines_written: int = 0
    lines_lost: int = 0

    def __getitem__(self, event: Event) -> int:
        return self.by_event[event]

    def statistics(self) -> dict[str, int]:
        """Event name to count, for every event of the list, and the two line counts."""
        counts = {event.text: count for event, count in self.by_event.items()}
        return counts | {"lines_written": self.lines_written, "lines_lost": self.lines_lost}


class Telemetry:
    """Writes and counts events. No method raises, blocks on anything but `write_line`, or awaits."""

    def __init__(
        self,
        *,
        wall_us: Callable[[], int],
        write_line: Callable[[str], None],
        level: Severity = Severity.INFO,
        terminal: bool = False,
    ) -> None:
        """`level`: the least severity that is written; `terminal`: a person reads along, so colours, no JSON."""
        self.counters = Counters()
        self.level = level
        self._wall_us = wall_us
        self._write_line = write_line
        self._redactor = Redactor()
        self._quiet_until: dict[Event, int] = {}
        self._unwritten: dict[Event, int] = {}
        # Everything is given, so that nobody's structlog.configure() can change what we write.
        self._lines: _Lines = structlog.wrap_logger(
            self,
            processors=[self._stamped, self._cleaned, _for_people() if terminal else _for_machines],
            wrapper_class=_Lines,
            context_class=dict,
            cache_logger_on_first_use=False,
        ).bind()

    def protect(self, secret: Secret) -> None:
        """Never let this value into a line, wherever it may turn up. Call it for every secret, at start."""
        self._redactor.protect(secret.reveal())

    def replaced(self, secret: Secret) -> None:
        """This protected value opens nothing any more, and another took its place."""
        self._redactor.replaced(secret.reveal())

    def redacted(self, text: str) -> str:
        """`text` from outside, as it may be shown or kept: one line without secrets, of a bounded length."""
        return self._redactor.text(text)

    def count(self, event: Event, times: int = 1) -> None:
        """Count without a line: for what happens thousands of times a second."""
        self.counters.by_event[event] += times

    def event(
        self,
        event: Event,
        *,
        channel: str | None = None,
        sku: str | None = None,
        listing: str | None = None,
        delivery: str | None = None,
        order: str | None = None,
        line: str | None = None,
        error: BaseException | str | None = None,
        **fields: object,
    ) -> None:
        """Count `event`, and write it if it is severe enough.

        Name the cause wherever there is one: that is what lets an operator follow one sale through the log.
        An exception as `error` adds where it was raised: files, lines and functions, never values.
        """
        self.counters.by_event[event] += 1
        if event.severity < self.level or (event.strangers and self._quiet(event)):
            return
        causes = {
            "channel": channel, "sku": sku, "listing": listing, "delivery": delivery, "order": order, "line": line,
            "error": error,
        }  # fmt: skip
        said = {name: value for name, value in causes.items() if value is not None} | fields
        if isinstance(error, BaseException):
            said["raised_in"] = _frames(error)
        if unwritten := self._unwritten.pop(event, 0):
            said["unwritten_before"] = unwritten
        self._lines.write(event, said)

    def msg(self, line: str) -> None:
        """The last stop of a rendered line, as structlog calls it; for nobody else."""
        try:
            self._write_line(line)
        except (OSError, ValueError):  # whoever read our output is gone: no reason to stop syncing stock
            self.counters.lines_lost += 1
        else:
            self.counters.lines_written += 1

    def _quiet(self, event: Event) -> bool:
        now, until = self._wall_us(), self._quiet_until.get(event, 0)
        # The second comparison: after the clock was set back, silence must not last until it has caught up.
        if now < until <= now + STRANGERS_QUIET_US:
            self._unwritten[event] = self._unwritten.get(event, 0) + 1
            return True
        self._quiet_until[event] = now + STRANGERS_QUIET_US
        return False

    # structlog's own time stamper reads the machine's clock, so this one stands in for it.
    def _stamped(self, _logger: object, _method: str, record: Record) -> Record:
        at = _EPOCH + timedelta(microseconds=self._wall_us())
        record["at"] = at.isoformat(timespec="microseconds").replace("+00:00", "Z")
        return record

    def _cleaned(self, _logger: object, _method: str, record: Record) -> Record:
        head = {name: record[name] for name in ("at", "severity", "event")}
        return head | self._redactor.fields(record["fields"]) | head


class _Lines(structlog.BoundLoggerBase):
    """The only door into structlog: it takes an `Event`, never a text."""

    def write(self, event: Event, said: dict[str, object]) -> None:
        self._proxy_to_logger("msg", event.text, severity=event.severity.name.lower(), fields=said)


_ENCODER = json.JSONEncoder(ensure_ascii=False)


def _for_machines(_logger: object, _method: str, record: Record) -> str:
    return _ENCODER.encode(record)


def _for_people() -> dev.ConsoleRenderer:
    def plain(style: str, width: int = 0) -> dev.KeyValueColumnFormatter:
        return dev.KeyValueColumnFormatter(None, style, dev.RESET_ALL, str, width)

    levels = {"debug": dev.DIM, "info": dev.GREEN, "warning": dev.YELLOW, "error": dev.RED}
    return dev.ConsoleRenderer(
        sort_keys=False,
        columns=[
            dev.Column("at", plain(dev.DIM)),
            dev.Column("severity", dev.LogLevelColumnFormatter(levels, dev.RESET_ALL)),
            dev.Column("event", plain(dev.BRIGHT, width=24)),
            dev.Column("", dev.KeyValueColumnFormatter(dev.CYAN, "", dev.RESET_ALL, str)),
        ],
    )


def _frames(error: BaseException) -> list[str]:
    frames = traceback.extract_tb(error.__traceback__)[-MAX_FRAMES:]
    return [f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames]

"""Telling an alarm to somebody outside: by a signed POST, or by a program. Each telling ends in a value.

What is told is JSON: what happened ("raised" or "cleared"), to which condition, channel and subject, since when, how
often it was found, and what to do. The alarm's own words stay here (`onhand status`): they may repeat a channel's.
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from attrs import define, field, frozen

from daemon.domain.exchange import NoAnswer, Request
from daemon.ports import HttpPort, RunProgram
from daemon.storage.alarms import RUNBOOK
from daemon.storage.tellings import Telling

OUTPUT_MAX: Final = 1_000
"""Bytes of a command's output that are kept for the log."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@frozen
class Told:
    """How a telling ended. failure: why it was not taken, in our own words; empty where it was · said: a command's
    output, for the log"""

    failure: str = ""
    said: str = ""


class AlarmTarget(Protocol):
    """Somebody who is told of alarms."""

    async def tell(self, telling: Telling) -> Told:
        """Tell it once. May be told the same again, under the same id. Never raises for what is wrong outside."""
        ...

    async def aclose(self) -> None: ...


def body(telling: Telling) -> bytes:
    """What is told, as JSON in UTF-8. Stamps are RFC 3339, UTC."""
    said = {
        "id": telling.id,
        "state": telling.state,
        "condition": telling.condition,
        "channel": telling.channel or None,
        "subject": telling.subject or None,
        "since": _moment(telling.since_us),
        "at": _moment(telling.at_us),
        "count": telling.count,
        "runbook": RUNBOOK[telling.condition],
    }
    return json.dumps(said).encode()


def _moment(us: int) -> str:
    at = _EPOCH + timedelta(microseconds=us)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def signature(key: bytes, identity: str, stamp_s: int, content: bytes) -> str:
    """As Standard Webhooks signs: `v1,` and the base64 of HMAC-SHA256 over id, timestamp and body."""
    signed = hmac.digest(key, f"{identity}.{stamp_s}.".encode() + content, "sha256")
    return f"v1,{base64.b64encode(signed).decode()}"


@define(eq=False)
class Webhook:
    """Takes what is answered with a 2xx. `key` signs; None: unsigned."""

    url: str = field(repr=False)
    http: HttpPort
    wall_us: Callable[[], int]
    timeout_s: float
    key: bytes | None = field(default=None, repr=False)

    async def tell(self, telling: Telling) -> Told:
        """See `AlarmTarget`."""
        content, stamp_s = body(telling), self.wall_us() // 1_000_000
        headers = {
            "content-type": "application/json", "webhook-id": telling.id, "webhook-timestamp": str(stamp_s),
        }  # fmt: skip
        secretly = {}
        if self.key is not None:
            secretly["webhook-signature"] = signature(self.key, telling.id, stamp_s, content)
        reply = await self.http.send(Request("POST", self.url, headers, content, secretly, timeout_s=self.timeout_s))
        if isinstance(reply, NoAnswer):
            return Told(reply.reason)
        return Told() if 200 <= reply.status < 300 else Told(f"it answered {reply.status}")

    async def aclose(self) -> None:
        """Close its connections."""
        await self.http.aclose()


@define(eq=False)
class Command:
    """Takes what it ends with 0 after."""

    argv: tuple[str, ...]
    run_program: RunProgram
    timeout_s: float

    async def tell(self, telling: Telling) -> Told:
        """See `AlarmTarget`."""
        try:
            ran = await self.run_program(self.argv, body(telling), timeout_s=self.timeout_s, output_max=OUTPUT_MAX)
        except OSError as error:
            return Told(f"{self.argv[0]} cannot be started: {error.strerror or 'the system refuses'}")
        said = ran.output.decode("utf-8", "replace").strip()
        if ran.code is None:
            return Told(f"{self.argv[0]} was killed: it did not end within {self.timeout_s:g} s", said)
        if ran.code:
            how = f"ended with {ran.code}" if ran.code > 0 else f"was ended by signal {-ran.code}"
            return Told(f"{self.argv[0]} {how}", said)
        return Told(said=said)

    async def aclose(self) -> None:
        """Nothing is open between two tellings."""


@frozen
class Unusable:
    """Stands for a target whose address or secret cannot be had: it fails, as any target may, and the rest of the
    daemon runs."""

    why: str

    async def tell(self, telling: Telling) -> Told:  # noqa: ARG002 - see `AlarmTarget`
        """See `AlarmTarget`."""
        return Told(self.why)

    async def aclose(self) -> None:
        """Nothing is open."""

"""Recorded traffic of real stores: found beside the repository, never copied into it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import pytest
from attrs import field, frozen

from daemon.domain.channel import Delivery
from daemon.domain.exchange import Response

ROOT = Path(__file__).resolve().parents[2] / "shared" / "channels" / "recordings"
ABSENT = "(recordings not found)"


@frozen
class Exchange:
    """What a client asked of the store, and what the store said."""

    method: str
    path: str
    body: Any
    response: Response
    note: str
    t: float
    headers: dict[str, str] = field(repr=False)

    @property
    def json(self) -> Any:
        """The answer's body."""
        return json.loads(self.response.body)


@frozen
class Hook:
    """A webhook delivery or ping as the listener received it, and how it answered."""

    delivery: Delivery
    signed: bool
    t: float

    @property
    def topic(self) -> str:
        return self.delivery.headers.get("x-wc-webhook-topic", "")

    @property
    def delivery_id(self) -> str:
        return self.delivery.headers.get("x-wc-webhook-delivery-id", "")

    @property
    def json(self) -> Any:
        return json.loads(self.delivery.body)


@frozen
class Mark:
    """A step between exchanges: a note, or a run of the store's background queue (`tick`)."""

    tick: bool
    note: str
    t: float
    t_end: float
    content: dict[str, Any]


@frozen
class Recording:
    """One file: everything in order of time."""

    name: str
    secret: str
    entries: tuple[Exchange | Hook | Mark, ...] = field(repr=False)
    content: dict[str, Any] = field(repr=False)

    @property
    def hooks(self) -> list[Hook]:
        return [entry for entry in self.entries if isinstance(entry, Hook)]

    @property
    def signed(self) -> list[Hook]:
        return [hook for hook in self.hooks if hook.signed]

    @property
    def exchanges(self) -> list[Exchange]:
        return [entry for entry in self.entries if isinstance(entry, Exchange)]

    def noted(self, note: str) -> Exchange:
        """The one exchange with this note."""
        (found,) = [exchange for exchange in self.exchanges if exchange.note == note]
        return found


def names(platform: str) -> list[str]:
    """The platform's files; where there are none, one name whose `load` skips the test aloud."""
    index = ROOT / platform / "index.json"
    if not index.exists():
        return [ABSENT]
    return [entry["file"] for entry in json.loads(index.read_text("utf-8"))]


@cache
def load(platform: str, name: str) -> Recording:
    """One file. Skips the test where the recordings are absent, fails it where CI=true."""
    path = ROOT / platform / name
    if not path.exists():
        _missing(path)
    content = json.loads(path.read_text("utf-8"))
    entries = tuple(_entries(content.get("entries", [])))
    return Recording(name, content.get("webhook_secret", ""), entries, content)


def _missing(path: Path) -> NoReturn:
    why = f"NOT TESTED against real traffic: {path} is missing (recordings belong in {ROOT})"
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(why)
    pytest.skip(why)


def _entries(found: list[dict[str, Any]]) -> Iterator[Exchange | Hook | Mark]:
    for entry in found:
        match entry.get("dir"):
            case "daemon->store":
                answer = entry["response"]
                yield Exchange(
                    entry["method"],
                    entry["path"],
                    entry["body"],
                    Response(answer["status"], _lower(answer["headers"]), json.dumps(answer["json"]).encode()),
                    entry.get("note", ""),
                    entry["t"],
                    _lower(entry["headers"]),
                )
            case "store->daemon":
                delivery = Delivery(_lower(entry["headers"]), entry["body"].encode())
                yield Hook(delivery, "signature_ok" in entry, entry["t"])
            case _:
                tick = entry.get("dir") == "tick"
                yield Mark(tick, entry.get("note", ""), entry["t"], entry.get("t_end", entry["t"]), entry)


def _lower(headers: list[list[str]]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers}

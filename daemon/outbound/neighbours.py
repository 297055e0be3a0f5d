"""What dispatcher, sender and reader of a channel need of their neighbours."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from daemon.domain.channel import LevelSeen
from daemon.domain.outcomes import Outcome
from daemon.domain.sku import Message, Sent
from daemon.domain.slot import Slot
from daemon.storage.outbox import SlotKey


class Feed(Protocol):
    """The channel's order feed, as the poller reads it."""

    def watermark_us(self) -> int:
        """Every order up to here (our clock) is absorbed."""
        ...

    async def absorb(self, until_us: int) -> bool:
        """Read the feed until the watermark is at `until_us` or later; False where it cannot be read now."""
        ...

    def poke(self) -> None:
        """Read the feed now."""
        ...

    def poke_soon(self) -> None:
        """Read the feed within a second or so: one reading for all that ask meanwhile."""
        ...


class PushWatcher(Protocol):
    """Is told what happens to pushes (for the log and the lag figures); must not raise."""

    def sent(self, slot: Slot, sent: Sent) -> None: ...
    def answered(self, slot: Slot, sent: Sent, outcome: Outcome, *, dead_letter: int) -> None: ...
    def split(self, channel: str, size: int, reason: str) -> None: ...
    def written_after_look(self, channel: str, window_us: int) -> None: ...
    def read_back(self, slot: Slot, seen: LevelSeen | None) -> None: ...


Deliver = Callable[[Sequence[tuple[str, Message]], str], Awaitable[None]]
"""Hand messages `(sku, message)` to their actors; returns when they are durable. The second argument: by what."""


def key_of(slot: Slot) -> SlotKey:
    """The slot's place in its lane."""
    return (slot.sku, slot.listing)

"""Writes into the log under what circumstances SKUs are worked on, each when it changes: rules, pauses, how far order
feeds are read, and which SKUs are stuck. What the admin socket says of the past is folded from that."""

from __future__ import annotations

from collections.abc import Callable

from attrs import astuple, define, evolve, field

from daemon.domain.conditions import FeedRead, Rules, Standing, Stuck
from daemon.storage.codec import FEED, RULES, STANDING, Cause, Record, pack, unpack
from daemon.storage.outbox import Outbox
from daemon.storage.store import Store
from daemon.storage.tables import STUCK as STUCK_TABLE

FREE = Stuck()
RULES_MAX = 10_000
"""Changes of the rules that are looked through; a person writes none so often."""


def _unread(channel: str) -> int:  # noqa: ARG001 - where nobody reads feeds
    return 0


@define(eq=False, repr=False)
class Circumstances:
    """`watermark_us`: up to when a channel's orders are absorbed (our clock), 0 where nobody reads them."""

    store: Store
    outbox: Outbox
    watermark_us: Callable[[str], int] = _unread
    rules: Rules | None = None
    """The present ones; None: nobody keeps them (parts that are tried alone)."""
    _fed: dict[str, int] = field(factory=dict)
    """By channel how far the log says that its orders are read."""
    stuck: dict[str, Stuck] = field(factory=dict)
    """As the log says; SKUs that are not stuck are not in it."""

    def __attrs_post_init__(self) -> None:
        start = b""
        while rows := self.store.env.scan(STUCK_TABLE, start, limit=1_000):
            start = rows[-1][0] + b"\0"
            self.stuck |= {key.decode(): Stuck(*unpack(payload)) for key, payload in rows}

    # -- rules and pauses --

    def rules_before(self, seq: int) -> Rules | None:
        """The rules in force when event `seq` was applied; None where the log does not say."""
        found = self.store.history(RULES, before=seq, limit=1)
        return found[0].message if found and isinstance(found[0].message, Rules) else None

    def rules_changed(self) -> Record | None:
        """Write the present rules down, where they are not the ones that the log knows."""
        known = self.rules_before(self.store.head.seq + 1)
        if self.rules is None or known == self.rules:
            return None
        return self.store.append("", self.rules, Cause("start"), at_us=self.store.now_us())

    def standing(self, now: Standing, by: str) -> None:
        """Which channels are paused, and which are not live; in the log where that is news."""
        found = self.store.history(STANDING, limit=1)
        if now != (found[0].message if found else Standing()):
            self.store.append("", now, Cause(by), at_us=self.store.now_us())

    # -- order feeds --

    def feed_read(self, channel: str) -> None:
        """Is a channel's feed read further, or does a raise begin to wait for it? In the log where it may make a
        difference: what is read beyond all that anybody waits for does not."""
        lane = self.outbox.lane(channel)
        if channel not in self._fed:
            found = self.store.history(FEED + channel, limit=1)
            self._fed[channel] = found[0].message.up_to_us if found else 0  # type: ignore[union-attr]  # so it is indexed
        now_us = self.watermark_us(channel)
        if self._fed[channel] < lane.raise_needs_us and self._fed[channel] != now_us:
            self._fed[channel] = now_us
            self.store.append("", FeedRead(channel, now_us), Cause("poll", channel), at_us=self.store.now_us())

    # -- stuck SKUs --

    def is_stuck(self, sku: str, now: Stuck, by: str) -> None:
        """How a SKU is stuck now, or that it is not any more; in the log, and kept, where that is news."""
        if self.stuck.get(sku, FREE) == now:
            return
        if now == FREE:
            del self.stuck[sku]
            self.store.delete(STUCK_TABLE, sku.encode())
        else:
            self.stuck[sku] = now
            self.store.put(STUCK_TABLE, sku.encode(), pack(astuple(now)))
        self.store.append(sku, now, Cause(by), at_us=self.store.now_us())

    def differs(self, sku: str) -> str:
        """Why the books of a SKU are not to be trusted; empty where they are."""
        found = self.stuck.get(sku)
        return found.differs if found else ""

    def at_start(self, poison: Callable[[str], str]) -> None:
        """A quarantine and a halt end with the process; what lies in dead letters, and books that differ, do not."""
        for sku, known in list(self.stuck.items()):
            self.is_stuck(sku, evolve(known, quarantined="", halted=False, poison=poison(sku)), "start")

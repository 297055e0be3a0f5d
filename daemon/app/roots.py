"""A root of the hash chain once a day, in the log and in the journal: what is kept of it elsewhere proves the log.

Whoever has the line of a day can tell later that no event before it was changed, dropped or put in since: also after
somebody who may write to the disk has made all checksums fit again.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import trio
from attrs import define

from daemon.domain.conditions import Root
from daemon.domain.instants import SECOND_US
from daemon.events import Event
from daemon.storage.codec import ROOT, Cause
from daemon.storage.store import Store
from daemon.telemetry import Telemetry

LOOK_S = 3600.0
"""Our clock may be set while we wait for midnight."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@define(eq=False, repr=False)
class Roots:
    """Writes roots. `run` is its only task."""

    store: Store
    telemetry: Telemetry

    def write(self, day: str) -> None:
        """The root of everything up to now, durable with the next commit; none where nothing came since the last."""
        head, known = self.store.head, self.store.history(ROOT, limit=1)
        if not head.seq or (known and known[0].seq == head.seq):
            return
        root = Root(day, head.seq, head.chain)
        self.store.append("", root, Cause("chain"), at_us=self.store.now_us())
        self.telemetry.event(Event.CHAIN_ROOT, day=day, seq=root.seq, digest=root.digest.hex())

    def at_stop(self) -> None:
        """The root of an orderly stop."""
        self.write(self._now().date().isoformat())

    async def run(self) -> None:
        """At every midnight (UTC, our clock), for ever."""
        while True:
            today = self._now().date()
            midnight = datetime(today.year, today.month, today.day, tzinfo=UTC) + timedelta(days=1)
            await trio.sleep(min(LOOK_S, max(0.0, (midnight - self._now()).total_seconds())))
            if self._now() >= midnight:
                self.write(today.isoformat())

    def _now(self) -> datetime:
        return _EPOCH + timedelta(microseconds=self.store.wall_us() // SECOND_US * SECOND_US)

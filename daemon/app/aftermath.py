"""After a restore: what another life did since the backup is not known, so nothing that rests on it is believed.

The lost life may have pushed to any listing, so each is read back before anything else is pushed to it, and what it
shows then is neither a drift nor a mistake of somebody's. And any channel may have sold what is free by our books, so
nothing is raised anywhere until every channel has told its orders.
"""

from __future__ import annotations

from collections.abc import Mapping

import trio
from attrs import define

from daemon.actors.registry import Registry
from daemon.app.channel import Channel
from daemon.domain.instants import SECOND_US
from daemon.events import Event
from daemon.storage.store import Store
from daemon.storage.tables import META, RESTORED
from daemon.telemetry import Telemetry

PATIENCE_S = 900.0
"""A channel that cannot be read for so long holds up the others' raises no longer; by then it is an alarm."""
AGAIN_S = 5.0
"""Seconds until a feed that could not be read is read again."""


@define(eq=False, repr=False)
class Aftermath:
    """`begin` before anything is served, then `run`; both do nothing unless the state was restored."""

    store: Store
    registry: Registry
    channels: Mapping[str, Channel]
    telemetry: Telemetry
    since_us: int = 0
    """Orders up to here (our clock) must be known before anything is raised; 0: nothing is waited for."""

    def unread(self) -> bool:
        """May some channel have sold since the backup what nobody has heard of yet?"""
        return bool(self.since_us)

    def begin(self) -> None:
        """Believe nothing, if this is the first life on a restored state, or one that came no further."""
        if self.store.env.get(META, RESTORED) is None:
            return
        self.since_us = self.store.now_us()
        lives_us = {
            name: int(channel.account.adapter.life_s(None) * SECOND_US) for name, channel in self.channels.items()
        }
        listings = self.registry.estrange(self.since_us, lives_us)
        self.telemetry.event(Event.RESTORED, listings=listings, events=self.store.head.seq)

    async def run(self) -> None:
        """Read every channel's orders, then let raises go."""
        if not self.since_us:
            return
        with trio.move_on_after(PATIENCE_S):
            async with trio.open_nursery() as readers:
                for channel in self.channels.values():
                    readers.start_soon(self._read, channel, self.since_us)
        self.since_us = 0
        # Written behind, with the listings that are to be read: a kill before they are durable begins all anew.
        self.store.behind[META, RESTORED] = lambda: None
        for channel in self.channels.values():
            channel.dispatcher.wake()

    async def _read(self, channel: Channel, until_us: int) -> None:
        while not await channel.poller.absorb(until_us):  # noqa: ASYNC110 - a channel tells nobody when it is back
            await trio.sleep(max(AGAIN_S, channel.account.wait_s()))

"""Looks at every channel now and then, and says as an alarm what has been wrong for longer than it mends itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import trio
from attrs import define, field

from daemon.app.channel import Channel
from daemon.domain.instants import SECOND_US
from daemon.storage.alarms import Alarms
from daemon.storage.dead_letters import DeadLetters

LOOK_S = 10.0
"""Seconds between two looks."""
SOON_S = 0.5
"""Seconds until the next look where listings were stopped or freed: whoever mends one sees that it is mended."""
DOWN_US = 300 * SECOND_US
"""A channel may fail for so long (deployments, short outages) before a person is asked."""
UNREAD_US = 900 * SECOND_US
"""The order feed may stay unread for so long, beside what its platform takes anyway."""
RAISE_HELD_US = 600 * SECOND_US
"""A raise may wait for the order feed for so long, beside what the platform takes anyway."""
MANY, FEWER = 0.9, 0.8
"""Parts of the most dead letters that are kept: from the first on a person is asked, below the second it is over."""
INTERVALS = 3
"""Polls that may be missed on top."""


@define(eq=False, repr=False)
class Sentinel:
    """`run` is its only task. What it knows, it learns anew after a start; alarms that were open then stay open until
    the channel has shown in this life that they are over."""

    alarms: Alarms
    dead_letters: DeadLetters
    channels: Mapping[str, Channel]
    wall_us: Callable[[], int]
    _down_since_us: dict[str, int] = field(factory=dict)
    _began_us: int = 0
    _stirred: trio.Event = field(factory=trio.Event)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look, for ever."""
        task_status.started()
        self.alarms.keep_only(self.channels)
        self._began_us = self.wall_us()
        self.dead_letters.stopped = self._stir
        while True:
            with trio.move_on_after(LOOK_S):
                await self._stirred.wait()
                await trio.sleep(SOON_S)
            self._stirred = trio.Event()
            self.look()

    def _stir(self) -> None:
        self._stirred.set()

    def look(self) -> None:
        """One look at every channel."""
        now_us = self.wall_us()
        for channel in self.channels.values():
            self._breaker(channel, now_us)
            self._feed(channel, now_us)
            self._dead(channel)
        self._letters()

    def _letters(self) -> None:
        total, most = self.dead_letters.total, self.dead_letters.most
        if total >= MANY * most:
            self.alarms.raised(
                "dead_letters_many", "", f"there are {total} dead letters, and {most} are kept at most"
            )
        elif total < FEWER * most:
            self.alarms.cleared("dead_letters_many", "")

    def _breaker(self, channel: Channel, now_us: int) -> None:
        name, account = channel.name, channel.account
        if account.breaker.state(now_us) == "closed":
            self._down_since_us.pop(name, None)
            if account.answered:  # closed, as every breaker is at a start, says nothing
                self.alarms.cleared("breaker_open", name)
            return
        since_us = self._down_since_us.setdefault(name, now_us)
        if now_us - since_us >= DOWN_US or self.alarms.is_open("breaker_open", name):
            self.alarms.raised(
                "breaker_open", name, f"the channel does not work: {account.last_error or 'no answer'}"
            )

    def _feed(self, channel: Channel, now_us: int) -> None:
        name, traits = channel.name, channel.account.adapter.traits
        usual_us = int((traits.feed_lag_s + INTERVALS * traits.poll_interval_s) * SECOND_US)
        read_us = channel.poller.watermark_us()
        unread_us = now_us - max(read_us, self._began_us)
        fresh = read_us > now_us - usual_us - RAISE_HELD_US
        if unread_us > usual_us + UNREAD_US:
            minutes = unread_us // (60 * SECOND_US)
            reason = channel.poller.broken or channel.account.last_error or "the channel does not answer"
            self.alarms.raised("feed_unread", name, f"its orders were not read for {minutes} minutes: {reason}")
        elif fresh:
            self.alarms.cleared("feed_unread", name)
        if channel.dispatcher.holds_raises and unread_us > usual_us + RAISE_HELD_US:
            reason = channel.poller.broken or channel.account.last_error or "its orders were not read"
            self.alarms.raised("raise_held", name, f"levels wait to be raised: {reason}")
        elif fresh:
            self.alarms.cleared("raise_held", name)

    def _dead(self, channel: Channel) -> None:
        stopped = self.dead_letters.pushes(channel.name)
        if stopped:
            listings = "1 listing is" if stopped == 1 else f"{stopped} listings are"
            self.alarms.raised("pushes_dead", channel.name, f"{listings} stopped: the channel refuses the level")
        else:
            self.alarms.cleared("pushes_dead", channel.name)

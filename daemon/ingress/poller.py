"""One channel's order feed, read again and again: what webhooks lost, told late, or contradicted.

A poll reaches back behind its cursor, pages to the end, and goes through the same door as webhooks; the cursor
moves in the transaction that holds the last page. The watermark says up to when every order is absorbed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf

import trio
from attrs import define, field

from daemon.domain.exchange import NoAnswer
from daemon.domain.instants import SECOND_US
from daemon.domain.outcomes import Failure
from daemon.ingress.paging import read_page
from daemon.ingress.receiver import Intake, Receiver
from daemon.outbound.account import Account
from daemon.storage.cursors import Cursor, Cursors, Refetches

BLIND_FACTOR = 4
"""While webhooks are silent, the feed is read so many times as often."""
BLIND_SHARE = 0.2
"""But reading it more often may take no more than this part of the platform's budget of calls."""

SOON_S = 1.0
"""A poll that need not be at once comes so soon."""

PAGES_MAX = 10_000
"""More pages in one poll mean that the channel does not page."""


def _silent(error: str) -> None:
    """Nobody listens."""


@define(eq=False)
class Poller:
    """Reads the order feed of one channel. `run` is its only task; `absorb` may be called by others."""

    account: Account
    intake: Intake
    receiver: Receiver
    cursors: Cursors
    refetches: Refetches
    advanced: Callable[[], None]
    """Called when the watermark moved: raises that waited for it may go."""
    failed: Callable[[str], None] = _silent
    recovered: Callable[[], None] = lambda: None
    blind: Callable[[], bool] = lambda: False
    """Do webhooks tell nothing?"""
    polls: int = 0
    broken: str = ""
    _pages: int = 1
    """Calls that the last reading took."""
    _turn: trio.Lock = field(factory=trio.Lock)
    _poked: trio.Event = field(factory=trio.Event)
    _fetching: trio.Lock = field(factory=trio.Lock)
    _wished: trio.Event = field(factory=trio.Event)
    _by: float = inf
    """Poll by then, on Trio's clock: somebody asked for it, but not for a poll of its own."""

    def watermark_us(self) -> int:
        """Every order placed before this (our clock) is absorbed."""
        return self.cursors.get(self.account.name).polled_us

    def reaches_back_to_us(self) -> int:
        """Orders changed since then (the channel's clock) come again with the next poll."""
        position_us = self.cursors.get(self.account.name).position_us
        return max(0, position_us - int(self.account.adapter.traits.overlap_s * SECOND_US))

    def poke(self) -> None:
        """Poll now."""
        self._by = -inf
        self._poked.set()

    def poke_soon(self) -> None:
        """Poll within `SOON_S`: one poll for all that ask meanwhile."""
        self._by = min(self._by, trio.current_time() + SOON_S)
        self._poked.set()

    def fetch_soon(self) -> None:
        """Fetch the orders that are wished for, whatever the feed's turn waits for."""
        self._wished.set()

    async def run_fetches(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Fetch orders as soon as somebody wishes for them, for ever. What fails, the next poll does, and says so."""
        task_status.started()
        while True:
            await self._wished.wait()
            self._wished = trio.Event()
            while wait_s := self.account.wait_s():  # noqa: ASYNC110 - a wait of a known length, which may be prolonged
                await trio.sleep(wait_s)
            if await self._refetch(last=False):
                self.poke_soon()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Poll at the platform's interval, and whenever poked, for ever."""
        task_status.started()
        while True:
            wait_s = self.account.wait_s()
            if wait_s:
                await trio.sleep(wait_s)
                continue
            self._by = inf
            await self.poll()
            interval_s = self.interval_s()
            await self._pause(interval_s if not self.broken else min(interval_s, 5.0))

    async def _pause(self, interval_s: float) -> None:
        """Until the interval is over, or somebody wants a poll earlier than that."""
        end = trio.current_time() + interval_s
        while trio.current_time() < (by := min(end, self._by)):
            with trio.move_on_at(by):
                await self._poked.wait()
            self._poked = trio.Event()

    def interval_s(self) -> float:
        """Seconds between two polls; fewer while webhooks are silent, as far as the budget allows."""
        traits = self.account.adapter.traits
        if not self.blind():
            return traits.poll_interval_s
        affordable_s = self._pages / (self.account.calls_per_s() * BLIND_SHARE)
        return min(traits.poll_interval_s, max(traits.poll_interval_s / BLIND_FACTOR, affordable_s))

    async def absorb(self, until_us: int) -> bool:
        """Read the feed until every order up to `until_us` (our clock) is absorbed; False where that failed."""
        while self.watermark_us() < until_us:
            remaining_us = (
                until_us + int(self.account.adapter.traits.feed_lag_s * SECOND_US) - self.receiver.wall_us()
            )
            if remaining_us > 0:
                await trio.sleep(remaining_us / SECOND_US)
            if not await self.poll():
                return False
        return True

    async def poll(self) -> bool:
        """Read the feed from its cursor to its end once; True if that came to its end."""
        asked_us = self.receiver.wall_us()
        async with self._turn:
            # Somebody else's poll that began after we asked is ours as well.
            if self.watermark_us() >= asked_us:
                return True
            error = await self._read_feed() or await self._refetch(last=True)
        self.polls += 1
        if error:
            if not self.broken:
                self.failed(error)
            self.broken = error
            return False
        if self.broken:
            self.broken = ""
            self.recovered()
        return True

    async def _read_feed(self) -> str:
        """All pages since the cursor; the error, or the empty string."""
        account, traits = self.account, self.account.adapter.traits
        began_us = self.receiver.wall_us()
        cursor = self.cursors.get(account.name)
        # The first poll reaches so far back that open orders from before the first count are known.
        high_us = cursor.position_us or account.channel_now_us() - int(traits.lookback_s * SECOND_US)
        since_us = high_us - int(traits.overlap_s * SECOND_US)
        page = ""
        for number in range(1, PAGES_MAX + 1):
            self._pages = number
            answer = await read_page(account, page, partial(account.adapter.orders, since_us, page))
            if isinstance(answer, (NoAnswer, Failure)):
                return answer.reason
            high_us = max(high_us, answer.high_water_us)
            page = answer.next_page
            watermark = began_us - int(traits.feed_lag_s * SECOND_US)
            done = Cursor(high_us, max(cursor.polled_us, watermark))
            finish = None if page else lambda done=done: self.cursors.move(account.name, done)
            await self.receiver.absorb(self.intake, answer.orders, "poll", puzzles=answer.puzzles, finish=finish)
            if not page:
                self.advanced()
                return ""
        return f"the order feed has more than {PAGES_MAX} pages"

    async def _refetch(self, *, last: bool) -> str:
        """Fetch the orders that are wished for; the error, or the empty string. `last`: the feed was just read, so a
        channel that will never give an order means that order, and nothing that a person could mend."""
        account, store = self.account, self.receiver.store
        async with self._fetching:
            for order, asked_us in self.refetches.wanted(account.name, store.now_us()):
                read_us = store.now_us()
                answer = await account.converse(account.adapter.order(order))
                if isinstance(answer, NoAnswer):
                    return answer.reason
                if isinstance(answer, Failure) and not (last and answer.outcome.kind == "permanent"):
                    return answer.reason
                found = [] if answer is None or isinstance(answer, Failure) else [answer]

                def done(order: str = order, asked_us: int = asked_us) -> None:
                    self.refetches.done(account.name, order, asked_us)

                await self.receiver.absorb(self.intake, found, "refetch", read_us=read_us, finish=done)
            return ""

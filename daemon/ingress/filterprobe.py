"""Does a channel's order feed keep to its bound? Asked once after each start, with a bound that no order can reach.

A platform that does not know the filter, or not as we write it, mostly ignores it in silence: then every poll reads
everything there is, and a page number that a cursor was meant to replace counts something else.
"""

from __future__ import annotations

import trio
from attrs import define

from daemon.domain.exchange import NoAnswer
from daemon.domain.instants import DAY_US
from daemon.domain.outcomes import Failure
from daemon.outbound.account import Account
from daemon.storage.alarms import Alarms

AHEAD_US = 365 * DAY_US
"""No channel's clock is so far off."""
BEGIN_S = 5.0
"""What a start has to do comes first."""
AGAIN_S = 60.0
PAGES_MAX = 10
"""A feed of several lists has an empty page for each; one that goes on for longer is not empty."""


@define(eq=False)
class FilterProbe:
    """The question, and its answer, for one channel. `run` is its only task."""

    account: Account
    alarms: Alarms
    ignored: str = ""
    """What the feed showed, although nothing can be so new; empty where it keeps to its bound or nobody knows yet."""

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Ask until the channel answers, then never again in this life."""
        task_status.started()
        await trio.sleep(BEGIN_S)
        while True:
            if await self.ask():
                await trio.sleep_forever()
            await trio.sleep(max(AGAIN_S, self.account.wait_s()))

    async def ask(self) -> bool:
        """Ask once; True where that needs no repetition.

        A channel that refuses such a bound for good does not ignore it, which is all that is to be known.
        """
        if self.account.wait_s():
            return False
        since_us = self.account.channel_now_us() + AHEAD_US
        page = ""
        for _ in range(PAGES_MAX):
            answer = await self.account.converse(self.account.adapter.orders(since_us, page))
            if isinstance(answer, NoAnswer):
                return False
            if isinstance(answer, Failure):
                return answer.outcome.kind == "permanent"
            shown = [f"order {order.order}" for order in answer.orders[:1]] or list(answer.puzzles[:1])
            if shown:
                self._conclude(f"asked for orders from a year ahead, the feed shows {shown[0]}")
                return True
            page = answer.next_page
            if not page:
                self._conclude("")
                return True
        self._conclude(f"asked for orders from a year ahead, the feed has more than {PAGES_MAX} pages")
        return True

    def _conclude(self, ignored: str) -> None:
        self.ignored = ignored
        if ignored:
            self.alarms.raised("filter_ignored", self.account.name, ignored)
        else:
            self.alarms.cleared("filter_ignored", self.account.name)

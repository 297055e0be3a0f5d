"""A channel's webhooks, held against its order feed: silence is noticed, covered by faster polling, and said once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio
from attrs import define, field

from daemon.domain.channel import Facts, OrderSeen
from daemon.domain.gaps import Capture, Gaps
from daemon.domain.instants import DAY_US, SECOND_US
from daemon.ingress.subscriptions import Subscriptions
from daemon.outbound.account import Account
from daemon.storage.alarms import Alarms
from daemon.storage.codec import pack, unpack
from daemon.storage.store import Store
from daemon.storage.tables import META

REPAIR_EVERY_US = 60 * SECOND_US
"""While webhooks are silent, or late, the subscriptions are looked at so often at most."""
IDLE_S = 3600.0


def _silent(order: str, version: int) -> None:
    """Nobody listens."""


@define(eq=False)
class HookWatch:
    """The webhooks of one channel. `run` is its only task; everything else is told to it and returns at once."""

    account: Account
    subscriptions: Subscriptions
    alarms: Alarms
    store: Store
    poke: Callable[[], None]
    """Poll soon: what webhooks do not tell, polls must."""
    missed: Callable[[str, int], None] = _silent
    """Told (order, version) of each that no webhook told in time."""
    gaps: Gaps = field(init=False)
    _news: trio.Event = field(factory=trio.Event)
    _repaired_us: int = 0
    _written_us: dict[str, int] = field(factory=dict)
    _example: str = ""
    """An order that no webhook told of."""
    _what: str = "webhooks were silent before the last start"

    def __attrs_post_init__(self) -> None:
        adapter = self.account.adapter
        self.gaps = Gaps(*adapter.order_topics(), late_us=int(adapter.traits.webhooks_late_s * SECOND_US))
        self.subscriptions.disabled, self.subscriptions.checked = self.switched_off, self.checked

    @property
    def blind(self) -> bool:
        """Do webhooks tell nothing of its orders, or of a part of them?"""
        return self.gaps.blind

    # -- life --

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Judge what is due, for ever. What changed before this began is not judged: nobody could tell us then."""
        self._recall()
        self.gaps.excused(self.store.wall_us())
        task_status.started()
        while True:
            now_us = self.store.wall_us()
            due_us = self.gaps.next_us(now_us)
            # A moment longer than until then: clocks are read in whole microseconds.
            with trio.move_on_after(IDLE_S if due_us is None else (due_us - now_us) / SECOND_US + 0.001):
                await self._news.wait()
            self._news = trio.Event()
            self._judge()

    def _recall(self) -> None:
        for topic, came_us in unpack(self.store.env.get(META, self._row) or pack({})).items():
            if (known := self.gaps.topic(topic)) is not None:
                known.came_us = self._written_us[topic] = came_us
        alarm = next((each for each in self.alarms.open() if self._is_mine(each.condition, each.channel)), None)
        if alarm is not None:
            self.gaps.silent[""] = alarm.since_us

    def _is_mine(self, condition: str, channel: str) -> bool:
        return condition == "webhooks_silent" and channel == self.account.name

    @property
    def _row(self) -> bytes:
        return b"webhooks of " + self.account.name.encode()

    # -- what the receiver and the subscriptions tell --

    def told(self, facts: Facts, now_us: int) -> None:
        """A verified webhook came, news or not."""
        self.account.heard()
        orders = [(each.order, each.version, self.account.instant(each.updated).at) for each in facts.orders]
        was_blind = self.gaps.blind
        self.gaps.told(facts.topic, orders, now_us, facts.refetch)
        self._remember(facts.topic, now_us)
        if was_blind and not self.gaps.blind:
            self.alarms.cleared("webhooks_silent", self.account.name)

    def shown(self, orders: Sequence[OrderSeen], now_us: int, *, by_poll: bool) -> None:
        """The channel was read: in its feed (`by_poll`), or orders that were fetched one by one."""
        waiting = [
            self.gaps.shown(each.order, each.version, self.account.instant(each.updated).at, now_us, by_poll=by_poll)
            for each in orders
        ]
        if any(waiting):
            self._news.set()

    def excused(self) -> None:
        """We refused a webhook for reasons of our own: what happened until now is not held against the channel."""
        self.gaps.excused(self.store.wall_us())

    def switched_off(self, topic: str) -> None:
        """The channel does not send `topic` any more, as it says when it is asked."""
        if self.gaps.switched_off(topic, self.store.wall_us()):
            self._say(f"the channel had switched off the webhook {topic}")

    def checked(self, active: frozenset[str], done: Sequence[str]) -> None:
        """These topics are subscribed now; `done` is what was put right for that."""
        self.gaps.subscribed = active
        if done:
            # What changed before is lost: nobody will tell it any more.
            self.gaps.excused(self.store.wall_us())
        if self.gaps.blind:
            put_right = f"put right ({', '.join(done)})" if done else "its subscriptions are active"
            self._alarm(f"{put_right}, but no webhook has come since")

    def _remember(self, topic: str, now_us: int) -> None:
        if self.gaps.topic(topic) is None or now_us - self._written_us.get(topic, 0) < DAY_US:
            return
        self._written_us[topic] = now_us
        self.store.put(META, self._row, pack(self._written_us))

    # -- judging --

    def _judge(self) -> None:
        now_us = self.store.wall_us()
        was_blind = self.gaps.blind
        for order, version in self.gaps.look(now_us):
            self._example = order
            self.missed(order, version)
        if not self.gaps.blind:
            if self.gaps.suspect:
                self._repair(now_us)
            return
        if not any(self.gaps.expects(topic, now_us) for topic in self.account.adapter.order_topics()):
            self.gaps.silent.clear()  # nothing came for so long that nobody seems to want it
            self.alarms.cleared("webhooks_silent", self.account.name)
            return
        if not was_blind:
            self._say(f"no webhook told of order {self._example}, which the order feed shows")
        self._repair(now_us)

    def _say(self, what: str) -> None:
        self._what = what
        self._alarm(self.subscriptions.hindrance() or "its subscriptions are being checked")
        self.poke()

    def _alarm(self, then: str) -> None:
        self.alarms.raised("webhooks_silent", self.account.name, f"{self._what}; {then}")

    def _repair(self, now_us: int) -> None:
        if now_us - self._repaired_us >= REPAIR_EVERY_US and not self.subscriptions.hindrance():
            self._repaired_us = now_us
            self.subscriptions.poke()

    # -- for people --

    def captures(self) -> dict[str, tuple[Capture, Capture]]:
        """By topic, what was told and what was missed: in the last hour, in the last day."""
        return self.gaps.captures(self.store.wall_us())

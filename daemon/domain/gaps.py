"""Which news of orders no webhook told: what the order feed shows first is compared with what webhooks told. Pure.

A version of an order that the feed shows, and that no webhook told within the grace, is missed. Webhooks are lost now
and then; but where none at all came since the oldest of enough missed versions, the topic is silent: the channel has
probably switched it off and told nobody. How many are enough depends on how often webhooks were lost before.

Not expected is what changed before we listened, what a topic tells that nobody subscribed, and what came while we
refused webhooks ourselves. All times are our clock's µs.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Sequence

from attrs import define, field, frozen

from daemon.domain.instants import DAY_US, SECOND_US, Span

GRACE_MIN_US = 5 * SECOND_US
GRACE_MAX_US = 300 * SECOND_US
"""Bounds of what a webhook may be late by, as measured, before it counts as missing."""
LAGS_MAX = 64
"""Lags that the measure rests on."""
EXPECTED_US = 30 * DAY_US
"""A topic that told something within this is expected to tell what happens next."""
CHANCE = 0.01
"""Silence is believed where losing so many webhooks one after the other by bad luck is less likely than this."""
RUN_MAX = 8
"""So many missed ones in a row are silence, however often webhooks were lost before."""
KNOWN_MAX = 5_000
"""Orders of one channel whose newest version is remembered. Older ones are not judged any more."""
PENDING_MAX = 1_000
"""Versions of one channel that may still be told; of further ones the oldest are not judged."""
BUCKET_US = 300 * SECOND_US
HOUR_BUCKETS, DAY_BUCKETS = 12, 288


@frozen
class Capture:
    """Of the versions of orders that a topic should tell within some time: how many it told, how many it did not."""

    told: int
    missed: int

    @property
    def ratio(self) -> float | None:
        """The part that was told; None where nothing was to be told."""
        expected = self.told + self.missed
        return self.told / expected if expected else None


@define
class Tally:
    """What was told and missed, by five minutes, over one day."""

    buckets: deque[list[int]] = field(factory=lambda: deque(maxlen=DAY_BUCKETS))
    """(number of the five minutes, told, missed)"""

    def add(self, now_us: int, *, told: int = 0, missed: int = 0) -> None:
        number = now_us // BUCKET_US
        if not self.buckets or self.buckets[-1][0] < number:
            self.buckets.append([number, 0, 0])
        self.buckets[-1][1] += told
        self.buckets[-1][2] += missed

    def over(self, buckets: int, now_us: int) -> Capture:
        """The sum of the newest `buckets` times five minutes."""
        after = now_us // BUCKET_US - buckets
        recent = [bucket for bucket in self.buckets if bucket[0] > after]
        return Capture(sum(bucket[1] for bucket in recent), sum(bucket[2] for bucket in recent))


@define
class Topic:
    """One topic that tells of orders."""

    came_us: int = 0
    """When it told something last."""
    tally: Tally = field(factory=Tally)
    lost: int = 0
    """Missed while others came: bad luck, no silence."""
    told: int = 0
    run: int = 0
    """Missed one after the other, and nothing came since."""
    run_since_us: int = 0
    """When the first of them happened."""

    def enough(self) -> int:
        """How many missed in a row are silence."""
        if not self.lost:
            return 1
        rate = self.lost / (self.lost + self.told)
        if rate <= CHANCE:
            return 1
        return RUN_MAX if rate >= 1 else min(RUN_MAX, math.ceil(math.log(CHANCE) / math.log(rate)))


@frozen
class Pending:
    """A version that the feed showed and no webhook told yet."""

    topic: str
    happened_us: int
    """When it surely had happened."""
    suspect_us: int
    """Later than webhooks come, as measured."""
    due_us: int
    """Later than they may come on this platform."""


@define
class Gaps:
    """The webhooks of one channel, held against its order feed.

    `created`, `changed`: the topics that tell of a new order and of a changed one ("": none does, and nothing is ever
    missed). `late_us`: webhooks of this platform may be so late as a matter of course.
    """

    created: str
    changed: str
    late_us: int = 0
    since_us: int = 0
    """What changed before is not expected to be told."""
    subscribed: frozenset[str] = frozenset()
    """The topics that the channel has an active subscription for, as far as it was asked."""
    topics: dict[str, Topic] = field(factory=dict)
    silent: dict[str, int] = field(factory=dict)
    """The topics that are silent, and since when. "" of a life before: whichever."""
    suspect: bool = False
    """Something is later than webhooks usually are: worth a look at the subscriptions."""
    _known: OrderedDict[str, tuple[int, int]] = field(factory=OrderedDict)
    """By order: the newest version anybody told, and when it had surely happened. The longest untouched first."""
    _pending: dict[str, dict[int, Pending]] = field(factory=dict)
    _missed: OrderedDict[tuple[str, int], bool] = field(factory=OrderedDict)
    """What was missed last: should it be told after all, that says how late webhooks may be."""
    _named: OrderedDict[str, int] = field(factory=OrderedDict)
    """By order: when a webhook said last that something happened to it, but not what."""
    _waiting: int = 0
    _lags: deque[int] = field(factory=lambda: deque(maxlen=LAGS_MAX))

    # -- what happens --

    def told(self, topic: str, orders: list[tuple[str, int, Span]], now_us: int, named: Sequence[str] = ()) -> None:
        """A webhook came, about these orders: (order, version, when that came to be). `named`: orders of which it
        says only that something happened to them. Without any it was not understood; yet webhooks flow."""
        heard = self.topic(topic)
        for order, version, happened in orders:
            self._tell(heard, order, version, happened, now_us)
        if heard is None:
            return
        heard.came_us = now_us
        for order in named:
            self._name(order, now_us)
        if not orders and not named:
            self._forgive(topic, now_us)
        newest_us = min(now_us, max((happened.hi for _, _, happened in orders), default=now_us))
        # News from before the silence, on its way for long, does not end it.
        if newest_us >= heard.run_since_us:
            if topic not in self.silent:
                heard.lost += heard.run
            heard.run = heard.run_since_us = 0
        for name in (topic, ""):
            if newest_us >= self.silent.get(name, newest_us + 1):
                del self.silent[name]

    def _tell(self, heard: Topic | None, order: str, version: int, happened: Span, now_us: int) -> None:
        waited = self._pending.get(order, {})
        answered = [each for each in waited if each <= version]
        for each in answered:
            self._count(self.topics[waited[each].topic], now_us)
            self._drop(order, each)
        news = version > self._known.get(order, (-1, 0))[0]
        if news and heard is not None:
            self._count(heard, now_us)
        late = self._missed.pop((order, version), False)
        if (answered or news or late) and happened.hi > self.since_us:
            self._lags.append(max(0, now_us - happened.hi))
        self._learn(order, version, min(happened.hi, now_us))

    def _name(self, order: str, now_us: int) -> None:
        """Whatever happened to this order until now is told: what was shown already, and what will be."""
        for version, pending in list(self._pending.get(order, {}).items()):
            if pending.happened_us <= now_us:
                self._count(self.topics[pending.topic], now_us)
                self._drop(order, version)
                self._lags.append(max(0, now_us - pending.happened_us))
        late = [key for key in self._missed if key[0] == order]
        for key in late:
            del self._missed[key]
        if late and self._known.get(order, (0, 0))[1] > self.since_us:
            self._lags.append(max(0, now_us - self._known[order][1]))
        self._named[order] = now_us
        self._named.move_to_end(order)
        if len(self._named) > KNOWN_MAX:
            self._named.popitem(last=False)

    def _forgive(self, topic: str, now_us: int) -> None:
        """It told something, of whichever order."""
        for order in list(self._pending):
            for version, pending in list(self._pending[order].items()):
                if pending.topic == topic and pending.happened_us <= now_us:
                    self._count(self.topics[topic], now_us)
                    self._drop(order, version)

    def shown(self, order: str, version: int, happened: Span, now_us: int, *, by_poll: bool = True) -> bool:
        """The channel was read and shows this version; `by_poll`: in its feed, not because we knew of it already.
        True where a webhook is expected to tell it yet."""
        known = self._known.get(order)
        if known is not None and version <= known[0]:
            self._known.move_to_end(order)
            return False
        topic = self.created if known is None else self.changed
        happened_us = min(happened.hi, now_us)
        self._learn(order, version, happened_us)
        named_us = self._named.get(order, -1)
        if topic and happened.lo <= named_us:
            self._count(self.topics.setdefault(topic, Topic()), now_us)
            if happened.lo > self.since_us:
                self._lags.append(max(0, named_us - happened_us))
            return False
        if not by_poll or happened.lo <= self.since_us or not self.expects(topic, now_us):
            return False
        suspect_us = happened_us + self.grace_us()
        self._pending.setdefault(order, {})[version] = Pending(
            topic, happened_us, suspect_us, max(suspect_us, happened_us + self.late_us)
        )
        self._waiting += 1
        if self._waiting > PENDING_MAX:
            oldest = next(iter(self._pending))
            self._drop(oldest, next(iter(self._pending[oldest])))
        return True

    def excused(self, now_us: int) -> None:
        """We did not take webhooks, or nobody sent them to us, until now: what changed until now is not judged."""
        self.since_us = max(self.since_us, now_us)
        self._pending.clear()
        self._waiting = 0
        self.suspect = False

    def switched_off(self, topic: str, now_us: int) -> bool:
        """The channel itself says that it does not send `topic`. True where that concerns orders."""
        if topic not in (self.created, self.changed):
            return False
        self.topic(topic)
        self.silent.setdefault(topic, now_us)
        return True

    def look(self, now_us: int) -> list[tuple[str, int]]:
        """Judge what is due; the versions that are missed, as (order, version)."""
        self.suspect = False
        missed: list[tuple[str, int]] = []
        for order in list(self._pending):
            for version, pending in list(self._pending[order].items()):
                if pending.due_us <= now_us:
                    self._miss(pending, now_us)
                    self._drop(order, version)
                    missed.append((order, version))
                    self._missed[order, version] = True
                    if len(self._missed) > PENDING_MAX:
                        self._missed.popitem(last=False)
                elif pending.suspect_us <= now_us and self.topics[pending.topic].came_us < pending.happened_us:
                    self.suspect = True
        return missed

    def _miss(self, pending: Pending, now_us: int) -> None:
        topic = self.topics[pending.topic]
        topic.tally.add(now_us, missed=1)
        if topic.came_us >= pending.happened_us:
            topic.lost += 1
            return
        topic.run += 1
        topic.run_since_us = min(topic.run_since_us or pending.happened_us, pending.happened_us)
        if topic.run >= topic.enough():
            self.silent.setdefault(pending.topic, topic.run_since_us)

    # -- what is known --

    def topic(self, name: str) -> Topic | None:
        """What is known of a topic that tells of orders; None for any other."""
        if name not in (self.created, self.changed) or not name:
            return None
        return self.topics.setdefault(name, Topic())

    @property
    def blind(self) -> bool:
        """Does a topic tell nothing any more?"""
        return bool(self.silent)

    def blind_since_us(self) -> int:
        """Since when; 0 where it is not."""
        return min(self.silent.values(), default=0)

    def expects(self, topic: str, now_us: int) -> bool:
        """Should `topic` tell what happens?"""
        if not topic or self.topic(topic) is None:
            return False
        came_us = self.topics[topic].came_us
        return topic in self.subscribed or (came_us > 0 and now_us - came_us < EXPECTED_US)

    def grace_us(self) -> int:
        """How late a webhook may be, by how late they were: twice the 95th percentile, within the bounds."""
        if not self._lags:
            return GRACE_MIN_US
        ordered = sorted(self._lags)
        return min(GRACE_MAX_US, max(GRACE_MIN_US, 2 * ordered[int(len(ordered) * 0.95)]))

    def captures(self, now_us: int) -> dict[str, tuple[Capture, Capture]]:
        """By topic: of the last hour, and of the last day."""
        return {
            name: (topic.tally.over(HOUR_BUCKETS, now_us), topic.tally.over(DAY_BUCKETS, now_us))
            for name, topic in self.topics.items()
        }

    def next_us(self, now_us: int) -> int | None:
        """The next moment after now at which `look` may find something new."""
        moments = (
            moment
            for waited in self._pending.values()
            for pending in waited.values()
            for moment in (pending.suspect_us, pending.due_us)
        )
        return min((moment for moment in moments if moment > now_us), default=None)

    # -- remembering --

    def _count(self, topic: Topic, now_us: int) -> None:
        topic.tally.add(now_us, told=1)
        topic.told += 1

    def _learn(self, order: str, version: int, happened_us: int) -> None:
        known = self._known.get(order, (-1, 0))
        self._known[order] = (max(known[0], version), max(known[1], happened_us))
        self._known.move_to_end(order)
        while len(self._known) > KNOWN_MAX:
            _, (_, forgotten_us) = self._known.popitem(last=False)
            self.since_us = max(self.since_us, forgotten_us)

    def _drop(self, order: str, version: int) -> None:
        del self._pending[order][version]
        if not self._pending[order]:
            del self._pending[order]
        self._waiting -= 1

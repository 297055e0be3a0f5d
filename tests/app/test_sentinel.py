"""What has been wrong for longer than it mends itself is an alarm; what is over is none."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import trio
from attrs import define, field

from daemon.app.sentinel import DOWN_US, LOOK_S, RAISE_HELD_US, SOON_S, UNREAD_US, Sentinel
from daemon.domain.breaker import Breaker
from daemon.domain.channel import Traits
from daemon.domain.instants import SECOND_US

TRAITS = Traits(poll_interval_s=10, feed_lag_s=5)
USUAL_US = 35 * SECOND_US


@define
class Room:
    """One channel and what the sentinel says of it."""

    now_us: int = 1_000_000 * SECOND_US
    said: list[tuple[str, str]] = field(factory=list)
    open: dict[str, str] = field(factory=dict)
    watermark_us: int = 0
    stopped: int = 0
    kept: set[str] = field(factory=set)
    account: Any = None
    dispatcher: Any = None
    poller: Any = None
    sentinel: Sentinel = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.account = SimpleNamespace(
            breaker=Breaker(), answered=False, last_error="", adapter=SimpleNamespace(traits=TRAITS)
        )
        self.dispatcher = SimpleNamespace(holds_raises=False)
        self.poller = SimpleNamespace(watermark_us=lambda: self.watermark_us, broken="")
        channel: Any = SimpleNamespace(
            name="shop", account=self.account, dispatcher=self.dispatcher, poller=self.poller
        )
        me: Any = self
        letters: Any = SimpleNamespace(pushes=lambda _: self.stopped, total=0, most=100)
        self.sentinel = Sentinel(me, letters, {"shop": channel}, lambda: self.now_us)
        self.sentinel._began_us = self.now_us

    # -- as alarms --

    def raised(self, condition: str, channel: str, text: str) -> None:
        self.said.append((condition, text))
        self.open[condition] = text

    def cleared(self, condition: str, channel: str) -> None:
        self.open.pop(condition, None)

    def is_open(self, condition: str, channel: str) -> bool:
        return condition in self.open

    def keep_only(self, channels: Any) -> None:
        self.kept = set(channels)

    # -- time --

    def after(self, us: int, *, polled: bool = True) -> None:
        self.now_us += us
        if polled:
            self.watermark_us = self.now_us - SECOND_US
        self.sentinel.look()


def test_many_dead_letters_are_an_alarm_until_there_are_clearly_fewer() -> None:
    room = Room()
    for total, alarmed in ((89, False), (90, True), (100, True), (80, True), (79, False), (85, False)):
        room.sentinel.dead_letters.total = total  # type: ignore[misc]  # the test's own
        room.after(1)
        assert ("dead_letters_many" in room.open) is alarmed, total
    assert room.said[0][1] == "there are 90 dead letters, and 100 are kept at most"


def test_a_channel_that_is_down_for_long_is_an_alarm_until_it_answers() -> None:
    room = Room()
    room.account.last_error = "502"
    for _ in range(5):
        room.account.breaker.failed(room.now_us)
    room.after(1)
    room.after(DOWN_US - 2)
    assert room.open == {}
    room.after(2)
    assert room.open == {"breaker_open": "the channel does not work: 502"}
    room.account.breaker.succeeded()
    room.account.answered = True
    room.after(1)
    assert room.open == {}


def test_a_breaker_that_a_start_closed_ends_no_alarm() -> None:
    room = Room(open={"breaker_open": "from the life before"})
    room.after(1)
    assert "breaker_open" in room.open
    room.account.answered = True
    room.after(1)
    assert room.open == {}


def test_short_outages_one_after_the_other_are_no_alarm() -> None:
    room = Room()
    room.account.answered = True
    for _ in range(10):
        for _ in range(5):
            room.account.breaker.failed(room.now_us)
        room.after(DOWN_US // 2)
        room.account.breaker.succeeded()
        room.after(DOWN_US // 2)
    assert room.said == []


def test_a_feed_that_cannot_be_read_is_an_alarm_and_a_raise_that_waits_for_it_another() -> None:
    room = Room()
    room.after(1)
    room.poller.broken = "401"
    room.dispatcher.holds_raises = True
    room.after(USUAL_US + RAISE_HELD_US, polled=False)
    assert room.open == {"raise_held": "levels wait to be raised: 401"}
    room.after(UNREAD_US - RAISE_HELD_US, polled=False)
    assert room.open["feed_unread"] == "its orders were not read for 15 minutes: 401"
    room.poller.broken = ""
    room.after(1)
    assert room.open == {}


def test_a_raise_that_waits_while_the_feed_is_read_is_no_alarm() -> None:
    room = Room()
    room.dispatcher.holds_raises = True
    for _ in range(300):
        room.after(TRAITS.poll_interval_s * SECOND_US)  # type: ignore[arg-type]  # a whole number
    assert room.said == []


def test_after_a_day_of_our_own_absence_the_feed_gets_its_time() -> None:
    room = Room(watermark_us=1)
    room.after(USUAL_US, polled=False)
    assert room.said == []
    room = Room(watermark_us=1, open={"feed_unread": "from the life before"})
    room.after(USUAL_US, polled=False)
    assert "feed_unread" in room.open, "nothing has shown yet that it is over"
    room.after(1)
    assert room.open == {}


@pytest.mark.parametrize(("stopped", "words"), [(1, "1 listing is"), (3, "3 listings are")])
def test_listings_that_a_letter_stops_are_an_alarm_until_the_letters_are_gone(stopped: int, words: str) -> None:
    room = Room(stopped=stopped)
    room.after(1)
    assert room.open["pushes_dead"].startswith(words)
    room.stopped = 0
    room.after(1)
    assert room.open == {}


async def test_it_looks_again_and_again_and_forgets_channels_that_are_gone(
    autojump_clock: trio.testing.MockClock,
) -> None:
    room = Room(stopped=1)
    with trio.move_on_after(2.5 * LOOK_S):
        await room.sentinel.run()
    assert room.kept == {"shop"}
    assert len(room.said) == 2


async def test_a_listing_that_is_stopped_or_freed_is_seen_at_once(autojump_clock: trio.testing.MockClock) -> None:
    room = Room()
    async with trio.open_nursery() as nursery:
        await nursery.start(room.sentinel.run)
        await trio.sleep(LOOK_S / 10)
        letters: Any = room.sentinel.dead_letters
        room.stopped = 1
        letters.stopped()
        letters.stopped()  # one look for both
        await trio.sleep(2 * SOON_S)
        assert list(room.open) == ["pushes_dead"]
        assert len(room.said) == 1
        room.stopped = 0
        letters.stopped()
        await trio.sleep(2 * SOON_S)
        assert room.open == {}
        nursery.cancel_scope.cancel()

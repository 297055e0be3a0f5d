"""A channel whose webhooks fall silent: found, said once, looked after, polled faster; no word where all is well."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from attrs import define, evolve, field

from daemon.domain.channel import Facts, OrderSeen, Traits
from daemon.domain.instants import SECOND_US, ClockOffset, Span
from daemon.domain.policy import Policy
from daemon.ingress.hookwatch import HookWatch
from daemon.ingress.poller import BLIND_FACTOR, Poller
from daemon.outbound.account import Account
from daemon.storage.alarms import Alarm, Alarms
from daemon.storage.store import Store
from tests.ingress.test_subscriptions import URL, Shop, hooks, subscriptions
from tests.storage.rooms import inline, opened

EPOCH_US = 1_750_000_000 * SECOND_US
EXACT = ClockOffset(Span(0, 0), 1, EPOCH_US)


def now_us() -> int:
    return EPOCH_US + int(trio.current_time() * SECOND_US)


@define
class Topical(Shop):
    """A shop with topics of orders."""

    def order_topics(self) -> tuple[str, str]:
        return ("order.updated", "order.updated")


@define
class Room:
    """A watch and what it said."""

    store: Store
    watch: HookWatch
    shop: Topical
    said: list[tuple[str, str]] = field(factory=list)
    polls: int = 0
    missed: list[str] = field(factory=list)

    def order(self, name: str, ago_s: float = 0.0, version: int = 1) -> OrderSeen:
        at = now_us() - int(ago_s * SECOND_US)
        return OrderSeen(name, version, Span(at, at), ())

    def tell(self, name: str, ago_s: float = 0.0) -> None:
        self.watch.told(Facts("order.updated", name, b"", orders=(self.order(name, ago_s),)), now_us())

    def show(self, name: str, ago_s: float = 0.0) -> None:
        self.watch.shown([self.order(name, ago_s)], now_us(), by_poll=True)

    @property
    def alarms(self) -> list[str]:
        return [what for what, _ in self.said]


@asynccontextmanager
async def watching(path: Path, shop: Topical | None = None, url: str = URL) -> AsyncIterator[Room]:
    async with opened(path, inline) as store:
        store.wall_us = now_us
        shop = shop or Topical(hooks(("order.updated", URL, "active", "1"), ("product.updated", URL, "active", "2")))
        mine, _ = subscriptions(shop, url)
        mine.account.offset = EXACT
        room: Any = None

        def began(alarm: Alarm) -> None:
            room.said.append(("raised", alarm.text))

        def poke() -> None:
            room.polls += 1

        alarms = Alarms(store, began, lambda alarm: room.said.append(("cleared", alarm.text)))
        watch = HookWatch(mine.account, mine, alarms, store, poke, missed=lambda order, _: room.missed.append(order))
        room = Room(store, watch, shop)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(mine.run)
            await nursery.start(watch.run)
            await trio.sleep(1)
            yield room
            nursery.cancel_scope.cancel()


async def test_silence_is_said_once_and_its_end_once(tmp_path: Path, autojump_clock: object) -> None:
    async with watching(tmp_path) as room:
        room.tell("A")
        await trio.sleep(10)
        room.shop.hooks = hooks(("order.updated", URL, "disabled", "1"), ("product.updated", URL, "active", "2"))
        for number in range(4):
            room.show(f"B{number}", ago_s=3)
            await trio.sleep(10)
        assert room.alarms == ["raised"]
        assert "order B0" in room.said[0][1]
        assert room.missed[0] == "B0"
        assert room.watch.blind
        assert room.polls >= 1
        assert room.shop.registered == ["order.updated"], "switched on again at once"
        (alarm,) = room.watch.alarms.open()
        assert "switched on again" in alarm.text
        room.tell("C")
        assert room.alarms == ["raised", "cleared"]
        assert not room.watch.blind


async def test_nothing_is_said_of_a_quiet_shop_or_of_webhooks_that_come_after_the_poll(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with watching(tmp_path) as room:
        room.tell("A")
        await trio.sleep(40_000)
        room.show("B", ago_s=1)
        await trio.sleep(3)
        room.tell("B", ago_s=4)
        await trio.sleep(40_000)
        assert room.said == []
        assert room.watch.captures()["order.updated"][1].missed == 0


async def test_without_subscriptions_the_alarm_says_who_can_do_something(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with watching(tmp_path, Topical(traits=Traits())) as room:
        room.tell("A")
        await trio.sleep(1)
        room.show("B")
        await trio.sleep(10)
        assert room.alarms == ["raised"]
        assert "set up at the platform" in room.said[0][1]


async def test_a_start_goes_on_with_an_open_alarm_and_says_it_once_more_only_when_it_ends(
    tmp_path: Path, autojump_clock: object
) -> None:
    shop = Topical(traits=Traits())
    async with watching(tmp_path, shop) as room:
        room.tell("A")
        await trio.sleep(1)
        room.show("B")
        await trio.sleep(10)
        assert room.alarms == ["raised"]
        await room.store.flush()
    async with watching(tmp_path, shop) as room:
        assert room.watch.blind
        room.show("C", ago_s=30)
        await trio.sleep(60)
        assert room.said == [], "C happened while we were away"
        room.tell("D")
        assert room.alarms == ["cleared"]


async def test_a_topic_that_told_before_the_start_is_expected_after_it(
    tmp_path: Path, autojump_clock: object
) -> None:
    shop = Topical(traits=Traits())
    async with watching(tmp_path, shop) as room:
        room.tell("A")
        await room.store.flush()
    async with watching(tmp_path, shop) as room:
        await trio.sleep(1)
        room.show("B")
        await trio.sleep(10)
        assert room.alarms == ["raised"]


async def test_a_webhook_that_we_refused_ourselves_is_not_held_against_the_channel(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with watching(tmp_path) as room:
        room.tell("A")
        room.show("B")
        room.watch.excused()
        await trio.sleep(100)
        assert (room.said, room.missed) == ([], [])


async def test_what_the_hourly_check_finds_switched_off_is_an_alarm_without_any_order(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with watching(tmp_path) as room:
        room.shop.hooks = hooks(("order.updated", URL, "disabled", "1"), ("product.updated", URL, "disabled", "2"))
        await trio.sleep(3_700)
        assert room.alarms == ["raised"]
        assert "switched off the webhook order.updated" in room.said[0][1]
        room.tell("A")
        assert room.alarms == ["raised", "cleared"]


async def test_a_subscription_that_is_gone_counts_as_switched_off(tmp_path: Path, autojump_clock: object) -> None:
    async with watching(tmp_path) as room:
        room.shop.hooks = []
        await trio.sleep(3_700)
        assert room.alarms == ["raised"]


def test_polls_come_faster_while_webhooks_are_silent_as_far_as_the_budget_allows() -> None:
    traits = Traits(poll_interval_s=60, rate_per_s=5)
    account: Any = Account("shop", Shop(traits=traits), Shop(), Policy(), now_us, lambda: "n")  # type: ignore[arg-type]  # as much of an adapter as is asked
    blind = False
    nobody: Any = None
    poller = Poller(account, nobody, nobody, nobody, nobody, lambda: None, blind=lambda: blind)
    assert poller.interval_s() == 60
    blind = True
    assert poller.interval_s() == 60 / BLIND_FACTOR
    poller._pages = 30  # thirty calls at a fifth of five a second
    assert poller.interval_s() == 30
    poller._pages = 3_000
    assert poller.interval_s() == 60, "never more slowly than usual"
    account.adapter.traits = evolve(traits, poll_interval_s=1)
    poller._pages = 1
    assert poller.interval_s() == 1

"""A feed that is asked for orders of next year: empty is as it should be, anything else is said, once and loudly."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from attrs import define, field

from daemon.domain.channel import OrderPage, OrderSeen
from daemon.domain.exchange import Request, Response
from daemon.domain.instants import DAY_US, SECOND_US, Span
from daemon.domain.outcomes import Failure, Outcome
from daemon.ingress.filterprobe import AGAIN_S, BEGIN_S, PAGES_MAX, FilterProbe
from daemon.storage.alarms import Alarm, Alarms
from tests.ingress.test_subscriptions import Shop, hooks, subscriptions
from tests.storage.rooms import inline, opened

NOW_US = 1_750_000_000 * SECOND_US
EMPTY = OrderPage((), "", 0)
OLD = OrderPage((OrderSeen("A-7", 1, Span(NOW_US, NOW_US), ()),), "", NOW_US)


@define
class Feeding(Shop):
    """A shop whose order feed answers what is prepared, the last of it again and again."""

    pages: list[OrderPage | Failure] = field(factory=lambda: [EMPTY])
    asked: list[tuple[int, str]] = field(factory=list)

    def orders(self, since_us: int, page: str) -> Generator[Request, Response, OrderPage | Failure]:
        self.asked.append((since_us, page))
        yield from ()
        return self.pages.pop(0) if len(self.pages) > 1 else self.pages[0]


@define
class Room:
    probe: FilterProbe
    shop: Feeding
    alarms: Alarms
    said: list[str] = field(factory=list)


@asynccontextmanager
async def probing(path: Path, *pages: OrderPage | Failure) -> AsyncIterator[Room]:
    async with opened(path, inline) as store:
        said: list[str] = []

        def began(alarm: Alarm) -> None:
            said.append(alarm.text)

        def ended(alarm: Alarm) -> None:
            said.append(f"over: {alarm.condition}")

        shop = Feeding(hooks(), pages=list(pages))
        account: Any = subscriptions(shop)[0].account
        alarms = Alarms(store, began, ended)
        yield Room(FilterProbe(account, alarms), shop, alarms, said)


async def test_a_feed_that_keeps_to_its_bound_is_asked_once_and_nothing_is_said(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with probing(tmp_path, EMPTY) as room, trio.open_nursery() as nursery:
        now_us = room.probe.account.wall_us()
        await nursery.start(room.probe.run)
        await trio.sleep(BEGIN_S + 10 * AGAIN_S)
        nursery.cancel_scope.cancel()
    ((since_us, page),) = room.shop.asked
    assert since_us > now_us + 300 * DAY_US
    assert page == ""
    assert (room.said, room.probe.ignored) == ([], "")


async def test_a_feed_that_shows_an_order_ignores_its_bound(tmp_path: Path, autojump_clock: object) -> None:
    async with probing(tmp_path, OLD) as room:
        assert await room.probe.ask()
        assert "order A-7" in room.probe.ignored
        assert [(each.condition, each.text) for each in room.alarms.open()] == [
            ("filter_ignored", room.probe.ignored)
        ]
        assert room.said == [room.probe.ignored]


async def test_an_order_that_is_not_understood_is_one_that_was_not_asked_for(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with probing(tmp_path, OrderPage((), "", 0, ("order 9: odd",))) as room:
        assert await room.probe.ask()
        assert "order 9: odd" in room.probe.ignored


async def test_several_empty_lists_are_a_feed_that_keeps_to_its_bound_and_endless_ones_are_not(
    tmp_path: Path, autojump_clock: object
) -> None:
    second = OrderPage((), "cancelled", 0)
    async with probing(tmp_path, second, EMPTY) as room:
        assert await room.probe.ask()
        assert [page for _, page in room.shop.asked] == ["", "cancelled"]
        assert room.said == []
    async with probing(tmp_path / "endless", second) as room:
        assert await room.probe.ask()
        assert len(room.shop.asked) == PAGES_MAX
        assert "pages" in room.probe.ignored


async def test_it_is_asked_again_until_the_channel_answers_and_what_is_mended_clears_the_alarm(
    tmp_path: Path, autojump_clock: object
) -> None:
    down = Failure(Outcome("transient", "502"))
    async with probing(tmp_path, down, down, OLD, EMPTY) as room, trio.open_nursery() as nursery:
        await nursery.start(room.probe.run)
        await trio.sleep(BEGIN_S + 3 * AGAIN_S)
        assert len(room.shop.asked) == 3
        assert len(room.said) == 1
        assert await room.probe.ask()  # as the next life does
        assert room.said[1:] == ["over: filter_ignored"]
        assert room.probe.ignored == ""
        nursery.cancel_scope.cancel()


async def test_a_channel_that_refuses_such_a_bound_does_not_ignore_it(tmp_path: Path, autojump_clock: object) -> None:
    async with probing(tmp_path, Failure(Outcome("permanent", "400 a date in the future"))) as room:
        assert await room.probe.ask()
        assert (room.said, room.probe.ignored) == ([], "")

"""A channel that may, or may not, put back what is cancelled: its listing is read, and nothing is believed before."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from daemon.domain.instants import SECOND_US, exactly
from daemon.domain.observations import LevelReport, OrderLine, StockCount
from daemon.domain.policy import Policy
from daemon.domain.sku import Confirmed, ReadBack, Sent, Sku

NOON = 1_000 * SECOND_US
RULES = {"bay": Policy(returns_unsure=True), "shop": Policy()}


@define
class World:
    """One SKU, counted at ten, on such a channel and on a usual one. `shows`: the truth about the first one."""

    sku: Sku = field(factory=lambda: Sku("A"))
    shows: int = 10
    now: int = NOON
    pushes: list[tuple[int, int]] = field(factory=list)
    """(what it showed, what was pushed)"""

    def __attrs_post_init__(self) -> None:
        self.step(LevelReport("bay", "L", 10, exactly(self.now)))
        self.step(StockCount("person", "A", 10, at=exactly(self.now)))

    @property
    def slot(self) -> Any:
        return self.sku.slots["bay", "L"]

    def step(self, message: Any) -> Any:
        self.now += SECOND_US
        return self.sku.step(message, self.now, RULES.get)

    def line(self, order: str, units: int, channel: str = "bay", **more: int) -> Any:
        self.now += SECOND_US
        at = exactly(self.now)
        return self.step(OrderLine(channel, order, "1", "A", units, version=self.now, at=at, listing="L", **more))

    def sell(self, order: str, units: int) -> None:
        self.shows -= units
        self.line(order, units)

    def cancel(self, order: str, units: int, *, relists: bool) -> None:
        self.shows += units if relists else 0
        self.line(order, units, cancelled=units)

    def work(self) -> None:
        """What the dispatcher does until nothing is left to do: it reads before it pushes."""
        for _ in range(6):
            self.now += 5 * SECOND_US
            if self.slot.recheck_us:
                self.step(ReadBack("bay", "L", self.shows, exactly(self.now)))
            elif self.slot.needs_push():
                generation, wish = self.slot.generation, self.slot.desired
                self.pushes.append((self.shows, wish))
                self.step(Sent("bay", "L", generation, wish, self.slot.belief))
                self.shows = wish
                self.step(Confirmed("bay", "L", generation, wish, exactly(self.now)))


@pytest.mark.parametrize(("relists", "pushes"), [(False, [(7, 10)]), (True, [])])
def test_what_is_cancelled_is_read_and_pushed_only_where_it_did_not_come_back(
    relists: bool, pushes: list[tuple[int, int]]
) -> None:
    world = World()
    world.sell("1", 3)
    world.work()
    assert (world.slot.belief, world.slot.recheck_us) == (7, 0)
    world.cancel("1", 3, relists=relists)
    assert world.slot.recheck_us
    assert world.slot.belief == 7
    world.work()
    assert (world.shows, world.slot.belief, world.pushes) == (10, 10, pushes)
    assert world.slot.suspicion is None


def test_an_order_that_was_cancelled_before_anybody_told_of_it_is_read_too() -> None:
    world = World()
    world.shows -= 4
    world.cancel("1", 4, relists=False)
    world.work()
    assert (world.shows, world.pushes) == (10, [(6, 10)])


def test_a_cancellation_elsewhere_and_a_usual_change_need_no_look() -> None:
    world = World()
    world.line("s", 2, "shop")
    world.work()
    world.line("s", 2, "shop", cancelled=2)
    assert not world.slot.recheck_us
    world.sell("1", 3)
    world.line("1", 3, fulfilled=3)
    assert not world.slot.recheck_us


@given(st.lists(st.tuples(st.sampled_from(["sell", "relist", "keep", "work"]), st.integers(1, 3)), max_size=14))
def test_whatever_is_sold_and_cancelled_it_shows_what_there_is_in_the_end(events: list[tuple[str, int]]) -> None:
    world, open_orders = World(), dict[str, int]()
    for number, (what, units) in enumerate(events):
        match what:
            case "sell" if world.shows >= units:
                open_orders[str(number)] = units
                world.sell(str(number), units)
            case "relist" | "keep" if open_orders:
                order, held = open_orders.popitem()
                world.cancel(order, held, relists=what == "relist")
            case "work":
                world.work()
    world.work()
    world.work()
    left = 10 - sum(open_orders.values())
    assert world.sku.available == left
    assert (world.shows, world.slot.belief) == (left, left)
    assert not world.slot.open()
    assert all(wish <= 10 for _, wish in world.pushes)


def test_a_reading_from_before_a_return_does_not_say_whether_it_came_back() -> None:
    # Its answer took so long that the cancellation was told first: what it showed and what came back made the wish.
    world = World()
    world.sell("1", 3)
    world.now += SECOND_US
    asked = exactly(world.now)
    world.cancel("1", 3, relists=False)
    world.step(ReadBack("bay", "L", 7, asked))
    assert world.slot.unplaced
    world.work()
    assert not world.slot.unplaced
    assert (world.shows, world.pushes) == (10, [(7, 10)])


def test_an_order_that_was_sold_and_cancelled_before_anybody_told_of_it_is_looked_at() -> None:
    world = World()
    world.shows -= 2
    world.line("1", 0)
    world.work()
    assert (world.shows, world.pushes) == (10, [(8, 10)])

"""A channel that takes its own open orders off what it is told: what it shows in the end is what there is."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from attrs import define, evolve, field
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.domain.instants import SECOND_US, exactly
from daemon.domain.kits import Assemble, ComponentLevel, expand
from daemon.domain.observations import LevelReport, OrderLine, StockCount
from daemon.domain.policy import Policy, explained, level
from daemon.domain.sku import Confirmed, Freeze, ReadBack, Sent, Sku
from daemon.domain.slot import dump_slot, load_slot
from daemon.domain.stock import dump, load
from daemon.storage.codec import dump_message, load_message, pack, unpack
from tests.domain.facts import order_lines

NOON = 1_000 * SECOND_US
RULES = {"mart": Policy(adds_held=True), "shop": Policy()}

Way = Literal["mart", "shop"]


@define
class Mart:
    """The channel: it shows `told` less its open orders, and selling or sending never changes what it was told."""

    told: int
    open: int = 0

    @property
    def shows(self) -> int:
        return max(0, self.told - self.open)


@define
class World:
    """One SKU, counted at ten, on such a channel and on a usual one; a clock that ticks with every step."""

    sku: Sku = field(factory=lambda: Sku("A"))
    mart: Mart = field(factory=lambda: Mart(10))
    now: int = NOON
    policies: dict[str, Policy] = field(factory=lambda: dict(RULES))
    lines: list[OrderLine] = field(factory=list)
    pushes: list[int] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.step(LevelReport("mart", "L", 10, exactly(self.now)))
        self.step(StockCount("person", "A", 10, at=exactly(self.now)))

    def step(self, message: Any) -> Any:
        self.now += SECOND_US
        return self.sku.step(message, self.now, self.policies.get)

    def line(self, order: str, ordered: int, *, channel: Way = "mart", **more: int) -> OrderLine:
        self.now += SECOND_US
        found = OrderLine(
            channel, order, "1", "A", ordered, version=self.now, at=exactly(self.now), listing="L", **more
        )  # fmt: skip
        self.lines.append(found)
        return found

    def sell(self, order: str, units: int, channel: Way = "mart") -> Any:
        self.mart.open += units if channel == "mart" else 0
        return self.step(self.line(order, units, channel=channel))

    def send(self, order: str, units: int) -> Any:
        self.mart.open -= units
        return self.step(self.line(order, units, fulfilled=units))

    def cancel(self, order: str, units: int) -> Any:
        self.mart.open -= units
        return self.step(self.line(order, units, cancelled=units))

    @property
    def slot(self) -> Any:
        return self.sku.slots["mart", "L"]

    def push(self) -> None:
        """What the dispatcher does, if there is anything to do."""
        slot = self.slot
        if not slot.needs_push():
            return
        generation, wish = slot.generation, slot.desired
        self.step(Sent("mart", "L", generation, wish, slot.belief))
        self.mart.told = wish
        self.pushes.append(wish)
        self.step(Confirmed("mart", "L", generation, wish, exactly(self.now)))


def test_each_row_of_the_platforms_own_table() -> None:
    # ../shared/channels/walmart.md section 5.1
    world = World()
    assert (world.sku.available, world.slot.desired, world.slot.needs_push()) == (10, 10, False)
    world.sell("m1", 2)
    assert (world.sku.available, world.slot.desired, world.slot.needs_push()) == (8, 10, False)
    world.sell("s1", 3, "shop")
    assert (world.sku.available, world.slot.desired, world.slot.needs_push()) == (5, 7, True)
    world.push()
    assert world.mart.shows == 5
    world.send("m1", 2)
    assert (world.sku.available, world.slot.desired, world.slot.needs_push()) == (5, 5, True)
    world.push()
    assert world.mart.shows == 5


def test_a_cancelled_line_needs_no_push_either() -> None:
    world = World()
    world.sell("m1", 2)
    world.sell("s1", 3, "shop")
    world.push()
    world.cancel("m1", 2)
    assert (world.sku.available, world.slot.desired, world.slot.needs_push()) == (7, 7, False)
    assert world.mart.shows == 7


def test_a_sale_there_is_no_reason_to_look_and_sending_lowers_at_once() -> None:
    world = World()
    world.sell("m1", 4)
    assert (world.slot.belief, world.slot.touched, world.slot.recheck_us) == (10, [], 0)
    before = world.slot.generation
    world.send("m1", 4)
    assert world.slot.generation == before + 1
    assert not world.slot.raises()


def test_the_same_lines_in_any_order_and_twice_give_the_same_wish() -> None:
    world = World()
    world.sell("m1", 2)
    world.sell("m2", 1)
    world.send("m1", 2)
    again = World()
    for seen in reversed(world.lines * 2):
        again.step(seen)
    assert again.slot.desired == world.slot.desired == 8
    assert again.slot.added == world.slot.added == 1


ops = st.lists(
    st.tuples(st.sampled_from(["sell", "shop", "send", "cancel", "push", "count"]), st.integers(0, 5)), max_size=25
)


@settings(max_examples=60, deadline=None)
@given(ops, st.builds(Policy, st.integers(0, 3), st.sampled_from([1.0, 0.5]), st.none() | st.integers(0, 8),
                      adds_held=st.just(True)))  # fmt: skip
def test_once_pushed_it_shows_what_its_rules_allow_of_what_there_is(
    doings: list[tuple[str, int]], policy: Policy
) -> None:
    world = World(policies=RULES | {"mart": policy})
    waiting: dict[str, int] = {}
    for number, (what, units) in enumerate(doings):
        match what:
            case "sell":
                # Only what it shows can be bought there.
                bought = min(units, world.mart.shows)
                if bought:
                    world.sell(f"m{number}", bought)
                    waiting[f"m{number}"] = bought
            case "shop" if units:
                world.sell(f"s{number}", units, "shop")
            case "send" | "cancel" if waiting:
                order = sorted(waiting)[units % len(waiting)]
                getattr(world, what)(order, waiting.pop(order))
            case "count":
                world.step(StockCount("person", "A", units, at=exactly(world.now)))
            case _:
                world.push()
    world.push()
    shown = level(world.sku.available, evolve(policy, adds_held=False))
    assert world.slot.desired == shown + sum(waiting.values())
    assert world.mart.shows == shown
    assert world.slot.added == world.mart.open == sum(waiting.values())


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(st.lists(order_lines(), max_size=12), st.data())
def test_units_held_by_a_listing_are_those_of_its_lines_however_they_came(
    seen: list[OrderLine], data: st.DataObject
) -> None:
    stock = Sku("A").stock
    for each in seen:
        stock.apply(each)
    if data.draw(st.booleans()):
        stock.apply(StockCount("person", "A", 9, at=exactly(data.draw(st.integers(1, 2_000_000)))))
    for channel in ("shop", "site"):
        now = [(line.listing, line.now()) for key, line in stock.lines.items() if key[0] == channel]
        named = sum(reading.taken - reading.fulfilled for listing, reading in now if listing == "L")
        nameless = sum(reading.taken - reading.fulfilled for listing, reading in now if not listing)
        assert stock.held_at(channel, "L", alone=False) == named
        assert stock.held_at(channel, "L", alone=True) == named + nameless
    assert load(unpack(pack(dump(stock))))._own == {where: held for where, held in stock._own.items() if held}


def test_lines_that_name_no_listing_count_only_where_there_is_one() -> None:
    world = World()
    world.step(evolve(world.line("m1", 2), listing=""))
    assert world.slot.desired == 10
    world.step(LevelReport("mart", "L2", 4, exactly(world.now)))
    world.step(StockCount("person", "A", 8, at=exactly(world.now)))
    assert [slot.desired for slot in world.sku.slots.values()] == [8, 8]


def test_a_line_of_another_place_of_the_channel_is_not_taken_off_here() -> None:
    world = World()
    world.step(evolve(world.line("m1", 2), listing="elsewhere"))
    assert (world.sku.available, world.slot.desired, world.slot.belief) == (8, 8, 10)


def test_a_frozen_sku_shows_no_more_because_something_is_sent() -> None:
    world = World()
    world.sell("m1", 2)
    world.step(Freeze(frozen=True, by="person"))
    world.sell("s1", 3, "shop")
    world.sell("m2", 1)
    assert (world.slot.desired, world.mart.shows) == (10, 7)
    world.send("m1", 2)
    world.push()
    assert (world.slot.desired, world.mart.shows) == (8, 7)
    world.step(Freeze(frozen=False, by="person"))
    world.push()
    assert world.mart.shows == world.sku.available == 4


def test_a_first_level_holds_what_is_sold_and_not_sent_and_a_usual_one_does_not() -> None:
    report = LevelReport("mart", "L", 10, exactly(NOON), included=3)
    assert report.countable == 7
    assert evolve(report, included=None).countable is None
    assert evolve(report, level=None).countable is None
    assert evolve(report, included=0).countable == 10
    for each in (report, evolve(report, included=None), evolve(report, included=0)):
        assert load_message(unpack(pack(dump_message(each))), "A") == evolve(each, sku="A")


def test_what_was_added_survives_and_rows_from_before_are_read() -> None:
    world = World()
    world.sell("m1", 2)
    slot = world.slot
    assert slot.added == 2
    assert load_slot(unpack(pack(dump_slot(slot)))) == slot
    plain = dump_slot(evolve(slot, added=0))
    assert len(plain) == 21
    assert load_slot(unpack(pack(plain))).added == 0


def test_an_acknowledged_push_is_read_back_where_that_is_asked_for() -> None:
    world = World()
    world.sell("s1", 3, "shop")
    slot = world.slot
    world.step(Sent("mart", "L", slot.generation, 7, 10))
    confirmed = Confirmed("mart", "L", slot.generation, 7, exactly(world.now), world.now + 60 * SECOND_US)
    assert load_message(unpack(pack(dump_message(confirmed))), "A") == confirmed
    world.step(confirmed)
    assert (slot.belief, slot.recheck_us) == (7, confirmed.look_us)
    world.step(ReadBack("mart", "L", 10, exactly(confirmed.look_us)))
    assert (slot.belief, slot.needs_push()) == (10, True)


def test_a_kit_adds_its_own_open_orders_and_its_components_do_not() -> None:
    recipe = (("A", 2),)
    kit, world = Sku("SET"), World()
    for message in (Assemble(recipe), LevelReport("mart", "K", 5, exactly(NOON)), ComponentLevel("A", 10, 1)):
        kit.step(message, NOON, RULES.get)
    part, whole = expand(evolve(world.line("m1", 1), sku="SET", listing="K"), recipe)
    kit.step(whole, world.now, RULES.get)
    world.step(part)
    kit.step(ComponentLevel("A", world.sku.available, 2), world.now, RULES.get)
    assert (world.sku.available, world.slot.desired) == (8, 8)
    assert (kit.available, kit.slots["mart", "K"].desired) == (4, 5)
    # One component may hide a sale: nothing is raised, but what is sent is taken off all the same.
    kit.step(ComponentLevel("A", 8, 3, "a sale in a dead letter"), world.now, RULES.get)
    sent = evolve(whole, fulfilled=1, version=whole.version + 1, at=exactly(world.now + 1))
    kit.step(sent, world.now, RULES.get)
    assert kit.slots["mart", "K"].desired == 4


@pytest.mark.parametrize(
    ("available", "policy", "held", "told"),
    [
        (8, Policy(adds_held=True), 2, 10),
        (8, Policy(), 2, 8),
        (-3, Policy(adds_held=True), 5, 5),
        (8, Policy(buffer=3, cap=2, adds_held=True), 4, 6),
        (None, Policy(adds_held=True), 4, None),
    ],
)
def test_open_orders_are_added_beyond_every_rule(
    available: int | None, policy: Policy, held: int, told: int | None
) -> None:
    assert level(available, policy, held) == told
    if policy.adds_held and told is not None:
        assert explained(available, policy, held)[1][-1].endswith(f"= {told}")

"""A level that nothing explains: when it is a suspicion, when a drift, and what its channel's rule makes of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.domain.instants import SECOND_US, Instant, Span
from daemon.domain.observations import Adjustment, LevelReport, OrderLine, StockCount
from daemon.domain.policy import DriftRule, Policy
from daemon.domain.sku import Confirmed, Doubted, Hold, ReadBack, Revive, Sent, Sku, Step
from daemon.domain.slot import PATIENCE_US, Slot, dump_slot, load_slot
from daemon.storage.codec import pack, unpack
from daemon.storage.outbox import work_of

NOON = 1_000 * SECOND_US


class Shelf:
    """A SKU on the listing L of `shop` and of `site`, both showing what is there; a clock that the test moves."""

    def __init__(self, stock: int, rule: DriftRule = "correct") -> None:
        self.rules = Policy(drift=rule)
        self.now = NOON
        self.sku = Sku("A")
        for channel in ("shop", "site"):
            self.tell(LevelReport(channel, "L", stock, self.at()))
        self.tell(StockCount("person", "A", stock, at=self.at()))
        self.now += SECOND_US

    @property
    def slot(self) -> Slot:
        return self.sku.slots["shop", "L"]

    def at(self) -> Instant:
        """Now, on our clock and, an hour ahead, on the channel's."""
        return Instant(Span(self.now, self.now), Span(self.now + 3_600 * SECOND_US, self.now + 3_600 * SECOND_US))

    def tell(self, message: Any) -> Step:
        self.now += 1_000
        return self.sku.step(message, self.now, lambda _: self.rules)

    def read(self, level: int | None) -> Step:
        """The sweep reads it."""
        return self.tell(LevelReport("shop", "L", level, self.at(), read_us=self.now))

    def told(self, level: int, at: Instant) -> Step:
        """A webhook tells it."""
        return self.tell(LevelReport("shop", "L", level, at))

    def read_back(self, level: int | None) -> Step:
        """It is read on purpose when that is due; facts that follow are told at once, as the registry does."""
        due = work_of(self.slot, max(self.now, self.slot.recheck_us))
        assert due == "recheck" or self.slot.closes(), "only zero goes before a look"
        self.now = max(self.now, self.slot.recheck_us) + 1_000
        step = self.tell(ReadBack("shop", "L", level, self.at()))
        for fact in step.follows:
            self.tell(fact)
        return step

    def sell(self, units: int, order: str = "1", channel: str = "shop") -> None:
        at = self.at()
        self.tell(
            OrderLine(channel, order, "1", "A", units, version=1, at=at, placed=at, takes_at_placement=True)
        )  # fmt: skip

    def push(self, level: int | None = None) -> Instant:
        """Push the wish; the channel confirms it, or says that it shows `level`."""
        slot = self.slot
        sent = Sent("shop", "L", slot.generation, slot.send(self.now), slot.belief)
        self.tell(sent)
        at = self.at()
        self.tell(Confirmed("shop", "L", sent.generation, sent.level if level is None else level, at))
        return at

    def due(self) -> str | None:
        return work_of(self.slot, self.now + 60 * SECOND_US)


def test_what_is_expected_is_no_suspicion() -> None:
    shelf = Shelf(7)
    step = shelf.read(7)
    assert (step.verdict, step.log, shelf.slot.open()) == ("known", False, False)


def test_one_sighting_is_a_suspicion_and_nothing_is_pushed_because_of_it() -> None:
    shelf = Shelf(7)
    step = shelf.read(3)
    assert (step.verdict, step.log) == ("suspected", True)
    assert (shelf.slot.belief, shelf.slot.needs_push()) == (7, False)
    assert shelf.slot.recheck_us == shelf.now + PATIENCE_US


def test_a_drift_that_is_seen_twice_is_pushed_over() -> None:
    shelf = Shelf(7)
    shelf.read(3)
    sighting = shelf.read_back(3).sighting
    assert sighting is not None
    assert (sighting.shown, sighting.expected, sighting.done) == (3, 7, "corrected")
    assert shelf.due() == "push"
    assert shelf.slot.suspicion is None


def test_an_order_that_explains_it_by_the_second_sighting_resolves_it() -> None:
    shelf = Shelf(7)
    sold_at = shelf.at()
    shelf.now += SECOND_US
    shelf.read(4)
    shelf.tell(
        OrderLine("shop", "9", "1", "A", 3, version=1, at=sold_at, placed=sold_at, takes_at_placement=True)
    )  # fmt: skip
    sighting = shelf.read_back(4).sighting
    assert sighting is not None
    assert (sighting.done, sighting.expected) == ("resolved", 4)
    assert not shelf.slot.open()
    assert shelf.sku.slots["site", "L"].desired == 4


def test_a_stale_copy_is_right_when_it_is_asked_again() -> None:
    shelf = Shelf(7)
    shelf.read(9)
    sighting = shelf.read_back(7).sighting
    assert sighting is not None
    assert sighting.done == "resolved"
    assert not shelf.slot.open()


def test_a_sale_between_the_reading_and_its_telling_is_no_suspicion() -> None:
    shelf = Shelf(7)
    asked_us, read = shelf.now, shelf.at()
    shelf.now += SECOND_US
    shelf.sell(2)
    assert shelf.slot.belief == 5
    step = shelf.tell(LevelReport("shop", "L", 7, read, read_us=asked_us))
    assert (step.verdict, shelf.slot.recheck_us) == ("known", 0)


@pytest.mark.parametrize("shown", [None, 7])
def test_unknown_is_no_sighting_of_any_kind(shown: int | None) -> None:
    shelf = Shelf(7)
    shelf.read(None)
    assert not shelf.slot.open()
    shelf.read(3)
    step = shelf.read_back(shown)
    assert step.follows == ()
    assert step.sighting is None or step.sighting.done == "resolved"
    assert (shelf.slot.belief, shelf.slot.needs_push(), shelf.slot.held) == (7, False, "")


def test_a_listing_whose_push_is_in_doubt_does_not_drift() -> None:
    shelf = Shelf(7, "adopt")
    shelf.tell(Adjustment("person", "r", "A", -2, at=shelf.at()))
    sent = Sent("shop", "L", shelf.slot.generation, shelf.slot.send(shelf.now), 7)
    shelf.tell(sent)
    assert shelf.read(3).verdict == "known", "a push is under way"
    life = shelf.now + 30 * SECOND_US
    shelf.tell(Doubted("shop", "L", sent.generation, "time-out", shelf.now, life))
    assert shelf.read(3).verdict == "known", "it is read back anyway"
    for level in (5, 7, 5):
        if shelf.slot.recheck_us:
            step = shelf.read_back(level)
            assert step.sighting is None
            assert step.follows == ()
    assert shelf.sku.available == 5


# --- echoes of our own writes --------------------------------------------------------------------------------


def test_our_own_echo_is_no_news() -> None:
    shelf = Shelf(7)
    shelf.tell(Adjustment("person", "r", "A", -2, at=shelf.at()))
    pushed_at = shelf.push()
    assert shelf.told(5, pushed_at).verdict == "known"
    assert not shelf.slot.open()


def test_a_late_echo_of_an_earlier_generation_starts_no_reading_back() -> None:
    shelf = Shelf(7)
    stamps = []
    for units in (-2, -1, -1):
        shelf.tell(Adjustment("person", f"r{units}{len(stamps)}", "A", units, at=shelf.at()))
        stamps.append((shelf.push(), shelf.slot.belief))
        shelf.now += SECOND_US
    for stamp, level in [*stamps, *stamps[:2]] * 5:
        assert level is not None
        assert shelf.told(level, stamp).verdict == "known"
    assert not shelf.slot.open()


def test_a_foreign_edit_to_the_value_of_an_old_generation_is_looked_at() -> None:
    shelf = Shelf(7)
    for reference in "ab":
        shelf.tell(Adjustment("person", reference, "A", -2, at=shelf.at()))
        shelf.push()
        shelf.now += SECOND_US
    assert shelf.told(5, shelf.at()).verdict == "suspected"
    sighting = shelf.read_back(5).sighting
    assert sighting is not None
    assert (sighting.shown, sighting.expected, sighting.done) == (5, 3, "corrected")


def test_another_value_with_the_stamp_of_our_own_write_is_looked_at() -> None:
    """Platforms that stamp to the second: the value tells an echo from what somebody else wrote in that second."""
    shelf = Shelf(7)
    shelf.tell(Adjustment("person", "r", "A", -2, at=shelf.at()))
    pushed_at = shelf.push()
    assert pushed_at.own is not None
    second = Instant(pushed_at.at, Span(pushed_at.own.lo - 500_000, pushed_at.own.hi + 500_000))
    assert shelf.told(5, second).verdict == "known"
    assert shelf.told(9, second).verdict == "suspected"


def test_a_webhook_without_any_stamp_is_no_evidence() -> None:
    shelf = Shelf(7)
    assert shelf.told(3, Instant(Span(0, 0))).verdict == "known"


# --- rules ---------------------------------------------------------------------------------------------------


def test_adopted_it_is_a_fact_once_and_the_other_channels_follow() -> None:
    shelf = Shelf(7, "adopt")
    shelf.read(3)
    step = shelf.read_back(3)
    assert step.sighting is not None
    assert step.sighting.done == "adopted"
    assert shelf.sku.available == 3
    assert (shelf.slot.belief, shelf.slot.desired, shelf.slot.open()) == (3, 3, False)
    assert shelf.sku.slots["site", "L"].desired == 3
    for fact in step.follows * 3:
        shelf.tell(fact)
    assert shelf.sku.available == 3, "told again, it counts once"
    assert shelf.read(3).verdict == "known"


def test_adopted_it_needs_two_sightings_also_where_the_first_was_asked_for() -> None:
    shelf = Shelf(7, "adopt")
    shelf.tell(Revive("shop", "L", anyway=True))
    step = shelf.read_back(3)
    assert step.follows == ()
    assert (shelf.slot.belief, shelf.slot.needs_push()) == (7, False)
    assert shelf.read_back(3).follows != ()
    assert shelf.sku.available == 3


def test_a_difference_is_adopted_with_what_was_sold_meanwhile() -> None:
    shelf = Shelf(7, "adopt")
    shelf.read(12)
    shelf.sell(2)
    step = shelf.read_back(10)
    assert [fact.quantity for fact in step.follows] == [5]
    assert shelf.sku.available == 10


def test_reported_it_stays_until_the_wish_changes() -> None:
    shelf = Shelf(7, "report")
    shelf.read(9)
    assert shelf.read_back(9).sighting.done == "reported"  # type: ignore[union-attr]  # there is one
    assert (shelf.slot.held, shelf.slot.belief, shelf.slot.desired, shelf.due()) == ("report", 9, 7, None)
    assert not shelf.slot.open()
    assert shelf.read(9).verdict == "known", "it was told already"
    shelf.sell(1, channel="site")
    assert (shelf.slot.held, shelf.due()) == ("", "push")


def test_reported_it_is_pushed_when_a_person_says_so() -> None:
    shelf = Shelf(7, "report")
    shelf.read(9)
    shelf.read_back(9)
    shelf.tell(Revive("shop", "L", anyway=True))
    shelf.read_back(9)
    assert shelf.due() is None, "only looked at"
    shelf.tell(Revive("shop", "L", anyway=True, push=True))
    shelf.read_back(9)
    assert (shelf.slot.held, shelf.due()) == ("", "push")


def test_reported_it_is_over_when_the_channel_is_right_again() -> None:
    shelf = Shelf(7, "report")
    shelf.read(9)
    shelf.read_back(9)
    shelf.read(7)
    step = shelf.read_back(7)
    assert step.sighting is None or step.sighting.done == "resolved"
    assert (shelf.slot.held, shelf.slot.open()) == ("", False)


def test_a_channel_that_makes_less_of_every_push_is_not_pushed_to_for_ever() -> None:
    shelf = Shelf(7)
    shelf.tell(Adjustment("person", "r", "A", 10, at=shelf.at()))
    shelf.push(level=12)
    sighting = shelf.read_back(12).sighting
    assert sighting is not None
    assert (sighting.shown, sighting.expected, sighting.done) == (12, 17, "kept")
    assert shelf.due() is None
    shelf.sell(1, channel="site")
    assert (shelf.slot.desired, shelf.due()) == (16, "push")


def test_a_channel_that_makes_more_of_a_push_is_pushed_to_again_but_not_at_once() -> None:
    shelf = Shelf(7)
    shelf.tell(Adjustment("person", "r", "A", -2, at=shelf.at()))
    shelf.push(level=6)
    assert shelf.read_back(6).sighting is not None
    assert work_of(shelf.slot, shelf.now + SECOND_US) is None
    assert work_of(shelf.slot, shelf.now + 61 * SECOND_US) == "push"


# --- held with many others -----------------------------------------------------------------------------------


def held(rule: DriftRule = "correct") -> Shelf:
    shelf = Shelf(7, rule)
    shelf.told(0, shelf.at())
    shelf.tell(Hold("shop", "L", "mass"))
    return shelf


def test_held_with_many_others_nothing_is_looked_at_pushed_or_taken() -> None:
    shelf = held("adopt")
    assert (shelf.slot.open(), shelf.due()) == (False, None)
    assert shelf.read(0).verdict == "known"
    assert shelf.told(0, shelf.at()).verdict == "known"
    assert shelf.sku.available == 7


def test_held_it_is_looked_at_where_it_may_show_too_much() -> None:
    shelf = held()
    shelf.sell(4, channel="site")
    assert shelf.due() == "recheck"
    shelf.read_back(0)
    assert (shelf.slot.held, shelf.due()) == ("mass", None), "it shows less than there is"
    shelf.sell(1, order="2", channel="site")
    shelf.read_back(7)
    assert (shelf.slot.held, shelf.due()) == ("", "push")


@pytest.mark.parametrize(("said", "available", "desired"), [("adopt", 0, 0), ("correct", 7, 7)])
def test_what_a_person_says_of_it_is_done_by_the_next_reading(said: Any, available: int, desired: int) -> None:
    shelf = held()
    shelf.tell(Hold("shop", "L", said))
    assert shelf.due() == "recheck"
    shelf.read_back(0)
    assert (shelf.sku.available, shelf.slot.held) == (available, "")
    assert shelf.sku.slots["site", "L"].desired == desired
    assert shelf.due() == (None if said == "adopt" else "push")


def test_held_and_right_again_it_goes_on() -> None:
    shelf = held()
    shelf.tell(Hold("shop", "L", ""))
    assert (shelf.slot.held, shelf.slot.open()) == ("", False)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    stock=st.integers(0, 30), shown=st.none() | st.integers(0, 30), again=st.none() | st.integers(0, 30),
    sold=st.integers(0, 5), rule=st.sampled_from(["correct", "adopt", "report"]),
)  # fmt: skip
def test_whatever_is_seen_units_are_conserved_and_the_slot_is_stored_whole(
    stock: int, shown: int | None, again: int | None, sold: int, rule: DriftRule
) -> None:
    shelf = Shelf(stock, rule)
    shelf.read(shown)
    assert load_slot(tuple(unpack(pack(dump_slot(shelf.slot))))) == shelf.slot
    if sold:
        shelf.sell(sold)
    adopted = 0
    while shelf.slot.recheck_us:
        step = shelf.read_back(again)
        adopted += sum(fact.quantity for fact in step.follows)
        assert rule == "adopt" or not step.follows
        if again is None:
            break
    assert load_slot(tuple(unpack(pack(dump_slot(shelf.slot))))) == shelf.slot
    assert shelf.sku.available == stock - sold + adopted
    if adopted:
        assert (shelf.slot.belief, shelf.slot.desired) == (again, again)
    if shown is None:
        assert not adopted
        assert shelf.slot.suspicion is None

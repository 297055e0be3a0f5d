"""One listing and its channel: whatever is lost, late, doubled or sold meanwhile, in the end both agree."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import define
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from daemon.domain.instants import SECOND_US, Instant, Span, exactly
from daemon.domain.observations import LevelReport, OrderLine, StockCount
from daemon.domain.policy import Policy
from daemon.domain.sku import Confirmed, Doubted, Failed, Freeze, ReadBack, Reprice, Restore, Revive, Sent, Sku
from daemon.domain.slot import Slot, dump_slot, load_slot
from daemon.storage.codec import pack, unpack
from daemon.storage.outbox import ready_at, work_of

LIFE_US = 30 * SECOND_US


@define
class Write:
    """A push on its way to the channel, or forgotten there."""

    generation: int
    level: int
    believed: int | None
    sent_us: int
    answer: int | None = None
    """What the channel answered (the level it shows, or -1: refused); None while it has not seen the push."""
    applied_us: int = 0


class Listing(RuleBasedStateMachine):
    """A channel that sells by itself and keeps its own books, and the slot that is to follow the true stock."""

    @initialize(cas=st.booleans(), stamps=st.booleans(), stock=st.integers(0, 6), shown=st.integers(0, 6))
    def begin(self, *, cas: bool, stamps: bool, stock: int, shown: int) -> None:
        self.cas, self.stamps = cas, stamps
        self.now = 1_000 * SECOND_US
        self.truth, self.shown = stock, shown
        self.untold: list[OrderLine] = []
        self.told: list[OrderLine] = []
        self.feed_us = self.raised_us = 0
        self.flying: Write | None = None
        self.zombies: list[Write] = []
        self.reading: tuple[int, int, int] | None = None
        self.sku = Sku("A")
        self.step(LevelReport("shop", "L", shown, self.at(self.now)))
        self.step(StockCount("person", "A", stock, at=exactly(self.now)))

    # -- plumbing --

    @property
    def slot(self) -> Slot:
        return self.sku.slots["shop", "L"]

    def step(self, message: Any) -> Any:
        self.now += SECOND_US
        wished = self.slot.desired if self.sku.slots else None
        outcome = self.sku.step(message, self.now, lambda _: Policy())
        if self.slot.desired is not None and (wished is None or self.slot.desired > wished):
            self.raised_us = self.now
        return outcome

    def at(self, own_us: int, since_us: int | None = None) -> Instant:
        own = Span(own_us, own_us) if self.stamps else None
        return Instant(Span(since_us or self.now, self.now), own)

    def work(self) -> str | None:
        return None if self.reading else work_of(self.slot, self.now)

    def tell_all(self) -> None:
        while self.untold:
            self.told.append(self.untold.pop(0))
            self.step(self.told[-1])
        self.feed_us = self.now

    def write(self, write: Write) -> None:
        """The channel sees a push."""
        self.now += SECOND_US
        write.applied_us = self.now
        if self.cas and write.believed != self.shown:
            write.answer = -1
            return
        if self.cas and write.level > self.shown:
            assert not self.untold, "a compare-and-set push raised over an unseen sale"
        self.shown = write.answer = write.level

    # -- what the world does --

    @rule(seconds=st.integers(1, 40))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds * SECOND_US

    @precondition(lambda self: self.shown > 0)
    @rule()
    def the_channel_sells_one(self) -> None:
        self.now += SECOND_US
        self.shown -= 1
        self.truth -= 1
        number = len(self.untold) + len(self.told)
        self.untold.append(
            OrderLine("shop", str(number), "1", "A", 1, at=self.sale_at(), placed=self.sale_at(),
                      takes_at_placement=True, listing="L")
        )  # fmt: skip

    def sale_at(self) -> Instant:
        return Instant(Span(self.now, self.now), Span(self.now, self.now))

    @precondition(lambda self: self.untold)
    @rule(data=st.data())
    def a_sale_is_told_maybe_out_of_order(self, data: st.DataObject) -> None:
        place = data.draw(st.integers(0, len(self.untold) - 1))
        self.told.append(self.untold.pop(place))
        self.step(self.told[-1])

    @precondition(lambda self: self.told)
    @rule(data=st.data())
    def a_sale_is_told_again(self, data: st.DataObject) -> None:
        before = dump_slot(self.slot)
        assert self.step(data.draw(st.sampled_from(self.told))).verdict == "known"
        assert dump_slot(self.slot) == before

    @rule(more=st.integers(-3, 6))
    def somebody_counts(self, more: int) -> None:
        self.now += SECOND_US
        self.truth += more
        counted_at = exactly(self.now)
        self.tell_all()
        self.step(StockCount("person", "A", self.truth, at=counted_at))

    @precondition(lambda self: self.zombies)
    @rule(data=st.data())
    def a_forgotten_push_is_applied_after_all(self, data: st.DataObject) -> None:
        zombie = self.zombies.pop(data.draw(st.integers(0, len(self.zombies) - 1)))
        if self.now + SECOND_US <= zombie.sent_us + LIFE_US:
            self.write(zombie)

    @rule()
    def the_channel_shows_its_level(self) -> None:
        self.step(LevelReport("shop", "L", self.shown, self.at(self.now)))

    # -- what the dispatcher does --

    @precondition(lambda self: self.work() == "push" and not self.raise_waits())
    @rule()
    def a_push_leaves(self) -> None:
        assert self.flying is None
        assert not self.slot.in_flight
        believed, generation = self.slot.belief, self.slot.generation
        level = self.slot.send(self.now)
        assert level == self.slot.desired
        self.step(Sent("shop", "L", generation, level, believed))
        self.flying = Write(generation, level, believed, self.now)

    def raise_waits(self) -> bool:
        slot = self.slot
        assert slot.desired is not None
        assert slot.belief is not None
        return not self.cas and slot.desired > slot.belief and self.feed_us < slot.raise_needs_us(compares=False)

    @rule()
    def the_feed_is_read(self) -> None:
        self.tell_all()

    @precondition(lambda self: self.flying is not None and self.flying.answer is None)
    @rule()
    def the_channel_sees_the_push(self) -> None:
        assert self.flying is not None
        self.write(self.flying)

    @precondition(lambda self: self.flying is not None and self.flying.answer is not None)
    @rule()
    def the_answer_arrives(self) -> None:
        write, self.flying = self.flying, None
        assert write is not None
        assert write.answer is not None
        if write.answer < 0:
            assert self.step(Doubted("shop", "L", write.generation, "refused", self.now, 0)).log
        else:
            at = self.at(write.applied_us, write.sent_us)
            assert self.step(Confirmed("shop", "L", write.generation, write.answer, at)).log

    @precondition(lambda self: self.flying is not None)
    @rule()
    def the_answer_is_lost(self) -> None:
        write, self.flying = self.flying, None
        assert write is not None
        if write.answer is None:
            self.zombies.append(write)
        self.step(Doubted("shop", "L", write.generation, "time-out", self.now, self.now + LIFE_US))
        assert self.slot.recheck_us

    @precondition(lambda self: self.flying is not None and self.flying.answer is None)
    @rule(pause=st.integers(0, 5))
    def the_push_surely_did_not_happen(self, pause: int) -> None:
        write, self.flying = self.flying, None
        assert write is not None
        self.step(Failed("shop", "L", write.generation, "busy", self.now + pause * SECOND_US))

    @precondition(lambda self: self.slot.in_flight != self.slot.settled_generation)
    @rule()
    def an_old_answer_settles_nothing(self) -> None:
        before = dump_slot(self.slot)
        old = self.slot.settled_generation
        for message in (
            Confirmed("shop", "L", old, 99, exactly(self.now)),
            Failed("shop", "L", old, "old", 0, 7),
            Doubted("shop", "L", old, "old", 0, 0),
        ):
            if old:
                assert not self.step(message).log
        assert dump_slot(self.slot) == before

    @precondition(lambda self: self.work() == "recheck")
    @rule()
    def a_reading_back_begins(self) -> None:
        self.reading = (self.now, self.now + 1, self.shown)
        self.now += SECOND_US

    @precondition(lambda self: self.reading is not None)
    @rule(seconds=st.integers(0, 40))
    def a_reading_back_ends(self, seconds: int) -> None:
        assert self.reading is not None
        (asked, read, level), self.reading = self.reading, None
        self.now += seconds * SECOND_US
        at = self.at(read, asked)
        self.tell_all()
        assert self.step(ReadBack("shop", "L", level, at)).log

    # -- stories: what single steps would rarely make in this order --

    @precondition(lambda self: self.work() == "push")
    @rule(before=st.booleans(), after=st.booleans(), told=st.booleans(), lost=st.booleans(), seen=st.booleans())
    def a_push_amid_sales(self, *, before: bool, after: bool, told: bool, lost: bool, seen: bool) -> None:
        if self.raise_waits():
            self.the_feed_is_read()
        if self.work() != "push" or self.raise_waits():
            return
        self.a_push_leaves()
        if before and self.shown:
            self.the_channel_sells_one()
        if told:
            self.the_feed_is_read()
        if seen or not lost:
            self.the_channel_sees_the_push()
        if after and self.shown:
            self.the_channel_sells_one()
        if lost:
            self.the_answer_is_lost()
        else:
            self.the_answer_arrives()

    @precondition(lambda self: self.work() == "recheck")
    @rule(zombie=st.booleans(), sale=st.booleans(), just_in_time=st.booleans())
    def a_reading_back_amid_all_that(self, *, zombie: bool, sale: bool, just_in_time: bool) -> None:
        if just_in_time and self.zombies:
            self.now = max(self.now, self.zombies[0].sent_us + LIFE_US - 3 * SECOND_US)
        self.a_reading_back_begins()
        if zombie and self.zombies:
            last = self.zombies.pop()
            if self.now + SECOND_US <= last.sent_us + LIFE_US:
                self.write(last)
        if sale and self.shown:
            self.the_channel_sells_one()
        self.a_reading_back_ends(10)

    # -- what must hold --

    @invariant()
    def the_wish_is_what_the_stock_allows(self) -> None:
        available = self.sku.stock.available
        assert available == self.truth + len(self.untold)
        assert self.slot.desired == max(0, available)
        assert load_slot(tuple(unpack(pack(dump_slot(self.slot))))) == self.slot

    @invariant()
    def a_raise_rests_on_what_made_the_wish_go_up(self) -> None:
        assert self.slot.raised_us == self.raised_us <= self.slot.raise_needs_us(compares=False)

    @invariant()
    def a_doubted_push_is_looked_at_until_it_must_be_dead(self) -> None:
        if any(zombie.sent_us + LIFE_US > self.now for zombie in self.zombies):
            assert self.slot.open()
            assert self.slot.alive_until_us

    def teardown(self) -> None:
        """Input stops, everything old dies, and the channel answers: both sides agree."""
        if not hasattr(self, "sku"):
            return
        for _ in range(60):
            if self.flying is not None and self.flying.answer is None:
                self.the_channel_sees_the_push()
            if self.flying is not None:
                self.the_answer_arrives()
            if self.reading is not None:
                self.a_reading_back_ends(0)
            self.tell_all()
            moment = ready_at(self.slot)
            if moment is None:
                break
            self.now = max(self.now, moment)
            if self.work() == "recheck":
                self.a_reading_back_begins()
            elif not self.raise_waits():
                self.a_push_leaves()
        else:
            raise AssertionError(f"never quiet: {self.slot}")
        assert self.shown == self.slot.belief == self.slot.desired == max(0, self.truth)
        assert not self.slot.open()


TestListing = Listing.TestCase
TestListing.settings = settings(max_examples=150, stateful_step_count=30, deadline=None, derandomize=True)
TestListing.pytestmark = [pytest.mark.slow]


# --- named incidents -----------------------------------------------------------------------------------------

NOW = 1_000 * SECOND_US


def listed(level: int, stock: int) -> tuple[Sku, Slot]:
    """A SKU of which `stock` are there, on a listing that shows `level`."""
    sku = Sku("A")
    tell(sku, LevelReport("shop", "L", level, exactly(NOW)))
    tell(sku, StockCount("person", "A", stock, at=exactly(NOW)))
    return sku, sku.slots["shop", "L"]


def tell(sku: Sku, message: Any, now_us: int = NOW) -> Any:
    return sku.step(message, now_us, lambda _: Policy())


def counted(sku: Sku, stock: int, at: int) -> None:
    tell(sku, StockCount("person", "A", stock, at=exactly(NOW + at)), NOW + at)


def sent(sku: Sku, slot: Slot, at: int = 0) -> Sent:
    message = Sent("shop", "L", slot.generation, slot.send(NOW + at), slot.belief)
    tell(sku, message, NOW + at)
    return message


def confirmed(sku: Sku, sent: Sent, at: int) -> Any:
    return tell(sku, Confirmed("shop", "L", sent.generation, sent.level, exactly(NOW + at)), NOW + at)


def test_a_change_that_lands_while_a_push_is_in_flight_is_pushed_next() -> None:  # T4
    sku, slot = listed(3, 5)
    push = sent(sku, slot)
    counted(sku, 6, 1)
    confirmed(sku, push, 2)
    assert (slot.belief, slot.desired, slot.needs_push()) == (5, 6, True)
    assert slot.settled_generation < slot.generation


def test_the_answer_to_an_old_push_does_not_settle_a_newer_one() -> None:  # T5
    sku, slot = listed(3, 5)
    old = sent(sku, slot)
    tell(sku, Doubted("shop", "L", old.generation, "time-out", NOW, NOW + LIFE_US))
    counted(sku, 6, 1)
    new = sent(sku, slot, 2)
    before = dump_slot(slot)
    assert not confirmed(sku, old, 3).log
    assert dump_slot(slot) == before
    assert confirmed(sku, new, 4).log
    assert slot.open()  # the old one may still be applied: one more look is due
    assert slot.recheck_us


def test_a_sale_at_zero_keeps_the_listing_at_zero_until_the_debt_is_paid() -> None:  # T13
    sku, slot = listed(0, 0)
    tell(sku, OrderLine("site", "1", "1", "A", 2, at=exactly(NOW + 1)))
    assert (sku.stock.available, sku.stock.debt, slot.desired) == (-2, 2, 0)
    assert not slot.needs_push()
    counted(sku, 1, 2)
    assert slot.desired == 1


def test_five_six_five_sends_the_last_five_in_a_generation_of_its_own() -> None:  # T16
    sku, slot = listed(5, 5)
    counted(sku, 6, 1)
    six = sent(sku, slot, 2)
    counted(sku, 5, 3)
    confirmed(sku, six, 4)
    assert (slot.belief, slot.needs_push()) == (6, True)
    five = sent(sku, slot, 5)
    assert five.level == 5
    assert five.generation > six.generation
    confirmed(sku, five, 6)
    assert not slot.open()


def test_a_finished_push_does_not_block_a_later_one_of_the_same_level() -> None:  # T18
    sku, slot = listed(5, 4)
    confirmed(sku, sent(sku, slot), 1)
    assert not slot.open()
    tell(sku, ReadBack("shop", "L", 9, exactly(NOW + 10)), NOW + 10)
    assert slot.needs_push()
    again = sent(sku, slot, 11)
    assert again.level == 4
    assert confirmed(sku, again, 12).log


def test_a_raise_that_nobody_answered_is_not_sent_again_before_somebody_has_looked() -> None:
    # Written, sold down to what it was, and untouched as compare-and-set sees it: over unseen sales.
    sku, slot = listed(4, 6)
    push = sent(sku, slot)
    tell(sku, Doubted("shop", "L", push.generation, "time-out", NOW + 10, NOW + 5 * SECOND_US), NOW + 5)
    slot.recheck_us = NOW + 2 * SECOND_US  # the first look failed
    assert slot.raises_blindly()
    assert work_of(slot, NOW + SECOND_US) is None
    assert work_of(slot, NOW + 2 * SECOND_US) == "recheck"
    tell(sku, ReadBack("shop", "L", 4, exactly(NOW + 2 * SECOND_US)), NOW + 2 * SECOND_US)
    assert work_of(slot, NOW + 2 * SECOND_US) == "push"


def test_a_doubted_push_is_read_back_and_once_more_when_it_must_be_dead() -> None:
    sku, slot = listed(3, 5)
    push = sent(sku, slot)
    tell(sku, Doubted("shop", "L", push.generation, "time-out", NOW + 10, NOW + 100), NOW + 5)
    assert work_of(slot, NOW + 9) is None
    assert work_of(slot, NOW + 10) == "recheck"
    tell(sku, ReadBack("shop", "L", 5, exactly(NOW + 11)), NOW + 11)
    assert slot.recheck_us == NOW + 100
    # Asked before it must be dead, answered after: that look does not count.
    tell(sku, ReadBack("shop", "L", 5, Instant(Span(NOW + 99, NOW + 105))), NOW + 105)
    assert slot.open()
    tell(sku, ReadBack("shop", "L", 5, exactly(NOW + 106)), NOW + 106)
    assert not slot.open()


def test_an_unknown_level_is_neither_zero_nor_a_reason_to_push() -> None:
    sku = Sku("A")
    tell(sku, LevelReport("shop", "L", None, exactly(NOW)))
    tell(sku, StockCount("person", "A", 5, at=exactly(NOW)))
    slot = sku.slots["shop", "L"]
    assert (slot.desired, slot.belief, slot.needs_push()) == (5, None, False)
    tell(sku, ReadBack("shop", "L", None, exactly(NOW + 1)))
    assert slot.belief is None
    tell(sku, LevelReport("shop", "L", 0, exactly(NOW + 2)), NOW + 2)
    assert slot.recheck_us  # zero is a level: have a look


def test_a_sku_that_nobody_counted_keeps_what_its_listings_show() -> None:
    sku = Sku("A")
    tell(sku, LevelReport("shop", "L", 7, exactly(NOW)))
    tell(sku, OrderLine("site", "1", "1", "A", 2, at=exactly(NOW + 1)))
    slot = sku.slots["shop", "L"]
    assert (slot.desired, slot.needs_push()) == (None, False)


def test_a_frozen_sku_keeps_its_wish_and_wishes_anew_when_it_is_thawed() -> None:
    sku, slot = listed(5, 5)
    tell(sku, Freeze(frozen=True, by="ann"))
    counted(sku, 2, 1)
    assert slot.desired == 5
    assert tell(sku, Freeze(frozen=False, by="ann")).slots == (slot,)
    assert slot.desired == 2


def test_a_dead_letter_stops_a_slot_until_it_is_revived_or_wished_anew() -> None:
    sku, slot = listed(3, 5)
    push = sent(sku, slot)
    tell(sku, Failed("shop", "L", push.generation, "no", NOW, 9))
    assert (slot.open(), ready_at(slot)) == (False, None)
    tell(sku, Revive("shop", "L"))
    assert ready_at(slot) is not None
    push = sent(sku, slot, 1)
    tell(sku, Failed("shop", "L", push.generation, "no", NOW, 10))
    counted(sku, 6, 2)
    assert slot.dead_letter == 0


def test_new_rules_wish_anew_and_a_channel_without_rules_keeps_its_wish() -> None:
    sku, slot = listed(5, 5)
    assert sku.step(Reprice(), NOW, lambda _: Policy(buffer=2)).slots == (slot,)
    assert slot.desired == 3
    assert sku.step(Reprice(), NOW, lambda _: None).slots == ()
    assert slot.desired == 3


def test_a_message_for_a_listing_that_is_not_there_changes_nothing() -> None:
    step = tell(Sku("A"), Confirmed("shop", "L", 1, 5, exactly(NOW)))
    assert (step.verdict, step.log, step.slots) == ("known", False, ())


@pytest.mark.parametrize(("read", "believed"), [(Instant(Span(40, 50)), 5), (Instant(Span(90, 90)), 7)])
def test_what_a_lagging_copy_of_the_channel_shows_is_not_believed(read: Instant, believed: int) -> None:
    sku = Sku("A")
    sku.step(LevelReport("shop", "L", 7, Instant(Span(10, 10))), 10, lambda _: Policy())
    sku.step(StockCount("person", "A", 5, at=Instant(Span(20, 20))), 20, lambda _: Policy())
    slot = sku.slots["shop", "L"]
    sku.step(Sent("shop", "L", slot.generation, 5, 7), 55, lambda _: Policy())
    sku.step(Confirmed("shop", "L", slot.generation, 5, Instant(Span(55, 60))), 60, lambda _: Policy())
    assert not slot.open()
    slot.ask_recheck(80)
    sku.step(ReadBack("shop", "L", 7, read), 95, lambda _: Policy())
    assert slot.belief == believed
    assert slot.open()
    assert bool(slot.recheck_us) is (believed == 5)


def test_a_reading_that_the_channel_dates_a_little_before_its_own_answer_is_a_lagging_copys() -> None:
    for behind_us, believed in ((1, 5), (30_000_000, 7)):
        sku = Sku("A")
        own = Span(10**9, 10**9)
        sku.step(LevelReport("shop", "L", 5, Instant(Span(10, 60), own)), 60, lambda _: Policy())
        earlier = Span(own.lo - behind_us, own.lo - behind_us)
        sku.step(ReadBack("shop", "L", 7, Instant(Span(50, 90), earlier)), 95, lambda _: Policy())
        assert sku.slots["shop", "L"].belief == believed


def test_a_listing_that_is_to_show_what_it_showed_before_follows_no_stock_until_it_is_let_go() -> None:
    sku, slot = listed(5, 5)
    assert tell(sku, Restore("shop", "L", 9)).slots == (slot,)
    assert (slot.desired, slot.prior) == (9, 9)
    assert load_slot(tuple(unpack(pack(dump_slot(slot))))) == slot
    generation = slot.generation
    tell(sku, StockCount("person", "A", 2, at=Instant(Span(NOW + 5, NOW + 5))))
    tell(sku, Freeze(frozen=True, by="ann"))
    assert (slot.desired, slot.generation) == (9, generation)
    assert tell(sku, Restore("shop", "L", 9)).verdict == "known"
    tell(sku, Freeze(frozen=False, by="ann"))
    tell(sku, Restore("shop", "L", None))
    assert (slot.desired, slot.prior) == (2, None)


def test_zero_raises_nothing_also_where_sales_have_outrun_what_was_seen() -> None:
    # Offered as work because zero waits for nobody, and then held back as a raise, it would be offered for ever.
    sku, slot = listed(0, 1)
    push = sent(sku, slot)
    tell(sku, Doubted("shop", "L", push.generation, "time-out", NOW + 10, NOW + LIFE_US), NOW + 5)
    tell(sku, OrderLine("shop", "O", "1", "A", 1, at=exactly(NOW + 20)), NOW + 30)
    assert (slot.belief, slot.desired, slot.sent_level) == (-1, 0, 1)
    assert work_of(slot, NOW + 30) == "push"
    assert not slot.raises()
    assert not slot.raises_blindly()
    assert sent(sku, slot, 30).level == 0

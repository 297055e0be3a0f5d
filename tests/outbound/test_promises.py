"""Acknowledgements held against what is shown: liars are told from the late, within a budget."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import trio
from attrs import define, field

from daemon.domain.channel import LevelSeen, Rarely, Traits
from daemon.domain.exchange import NoAnswer, Reply, Request, Response
from daemon.domain.instants import SECOND_US, Instant, Span, exactly
from daemon.domain.lines import line_of
from daemon.domain.observations import OrderLine
from daemon.domain.policy import Policy
from daemon.domain.slot import Slot
from daemon.outbound.account import Account
from daemon.outbound.promises import BUDGET_SHARE, KNOWN_MAX, OPEN_MAX, PATIENCE_US, SAVED_MAX, Promises
from daemon.storage.alarms import Alarm

EPOCH_US = 1_750_000_000 * SECOND_US
STEP_S = 0.5
HOW_MANY = 8


def now_us() -> int:
    return EPOCH_US + int(trio.current_time() * SECOND_US)


@define
class Always(random.Random):
    """Every push is of the sample."""

    def random(self) -> float:
        return 0.0


@define
class Shop(Rarely):
    """An adapter, its HTTP client and its listings: a write shows `late_s` later, or never where it lies."""

    traits: Traits = field(factory=lambda: Traits(rate_per_s=100, burst=100))
    late_s: float = 0.0
    lies: Callable[[], bool] = lambda: False
    down: bool = False
    shown: dict[str, int | None] = field(factory=dict)
    coming: list[tuple[float, str, int]] = field(factory=list)
    calls: int = 0

    def write(self, listing: str, level: int) -> None:
        if not self.lies():
            self.coming.append((trio.current_time() + self.late_s, listing, level))

    def shows(self, listing: str) -> int | None:
        for _, name, level in [each for each in self.coming if each[0] <= trio.current_time()]:
            self.shown[name] = level
        self.coming = [each for each in self.coming if each[0] > trio.current_time()]
        return self.shown.get(listing, 0)

    async def send(self, request: Request) -> Reply:
        self.calls += 1
        await trio.sleep(0.01)
        return NoAnswer("down", reached=False) if self.down else Response(200, {}, b"")

    async def aclose(self) -> None: ...

    def levels(self, listings: Any) -> Any:
        yield Request("GET", "https://shop.example.com/levels")
        return tuple(LevelSeen(name, self.shows(name), None) for name in listings)


@define
class Said:
    """Alarms that only listen."""

    before: list[Alarm] = field(factory=list)
    said: list[str] = field(factory=list)

    def open(self) -> list[Alarm]:
        return self.before

    def raised(self, condition: str, channel: str, text: str) -> None:
        if f"raised {condition}" not in self.said:
            self.said.append(f"raised {condition}")

    def cleared(self, condition: str, channel: str) -> None:
        self.said.append(f"cleared {condition}")


@define
class Bench:
    """The part of the dispatcher that matters here: it pushes, reads back when asked to, and pushes again."""

    shop: Shop = field(factory=Shop)
    alarms: Said = field(factory=Said)
    rng: random.Random = field(factory=Always)
    slots: dict[str, Slot] = field(factory=dict)
    lags: list[float] = field(factory=list)
    lies: list[tuple[str, int]] = field(factory=list)
    promises: Promises = field(init=False)

    def __attrs_post_init__(self) -> None:
        shop: Any = self.shop
        alarms: Any = self.alarms
        account = Account("shop", shop, shop, Policy(), now_us, lambda: "n")
        self.promises = Promises(
            account, alarms, now_us, lambda _, listing: self.slots.get(listing), self.rng,
            lambda us: self.lags.append(us / SECOND_US), lambda slot, shown: self.lies.append((slot.listing, shown)),
        )  # fmt: skip

    @property
    def trust(self) -> str:
        return self.promises.judge.trust

    def push(self, listing: str, level: int) -> Slot:
        slot = self.slots.setdefault(listing, Slot("shop", listing, f"S-{listing}", base=0, belief=0))
        before = slot.belief
        self.shop.write(listing, level)
        slot.base = slot.belief = slot.desired = level
        slot.base_at, slot.pushed_us = exactly(now_us()), now_us()
        slot.recheck_us = read_us = self.promises.read_at_us(slot.sku, listing, now_us())
        self.promises.given(slot.sku, listing, level, before, read_us)
        return slot

    def read_back(self) -> None:
        """What is due is read back; a level that is not the one that was pushed is pushed over."""
        for slot in list(self.slots.values()):
            if slot.recheck_us and slot.recheck_us <= now_us():
                self.read_now(slot)

    def read_now(self, slot: Slot) -> None:
        slot.recheck_us = 0
        shown, wanted = self.shop.shows(slot.listing), slot.belief
        self.promises.read(slot, shown, slot.belief, now_us())
        slot.base = slot.belief = shown
        slot.base_at = exactly(now_us())
        if shown != wanted and wanted is not None:
            self.push(slot.listing, wanted)

    async def live(self, seconds: float, every_s: float = 0.0) -> None:
        """Let time pass; with `every_s`, a listing changes its level so often."""
        end, following = trio.current_time() + seconds, trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.promises.run)
            while trio.current_time() < end:
                if every_s and trio.current_time() >= following:
                    following += every_s
                    level = int(trio.current_time() / STEP_S)
                    self.push(f"L{level % HOW_MANY}", level)
                await trio.sleep(STEP_S)
                self.read_back()
            nursery.cancel_scope.cancel()


async def test_a_channel_that_does_what_it_says_is_trusted_and_its_lag_is_measured(autojump_clock: Any) -> None:
    bench = Bench()
    await bench.live(2_000, every_s=20.0)
    judge = bench.promises.judge
    assert (judge.trust, judge.lies, bench.lies, bench.alarms.said) == ("trusted", 0, [], [])
    assert judge.kept > 20
    assert max(bench.lags) < 0.1
    assert bench.promises.read_lag_us() == 5 * SECOND_US


async def test_most_pushes_to_a_trusted_channel_are_not_read_back(autojump_clock: Any) -> None:
    bench = Bench(rng=random.Random(1))
    asked = [bench.promises.read_at_us("A", "L", now_us()) for _ in range(1_000)]
    assert 0 < sum(bool(each) for each in asked) < 50


async def test_a_channel_that_is_late_is_shown_so_and_is_no_liar(autojump_clock: Any) -> None:
    bench = Bench(Shop(late_s=94.0))
    await bench.live(5_000, every_s=400.5)
    assert bench.lies == []
    assert bench.trust == "trusted"
    assert 94 <= max(bench.lags) <= PATIENCE_US / SECOND_US + STEP_S
    assert bench.promises.read_lag_us() == PATIENCE_US


@pytest.mark.parametrize("rate", [0.3, 1.0])
async def test_a_liar_is_downgraded_and_trusted_again_when_it_was_honest_for_long(
    rate: float, autojump_clock: Any
) -> None:
    dice = random.Random(3)
    bench = Bench(Shop(lies=lambda: dice.random() < rate))
    await bench.live(2_500, every_s=30.5)
    assert bench.trust == "downgraded"
    assert bench.alarms.said == ["raised acknowledgements_lie"]
    assert len(bench.lies) >= 3
    slot = bench.push("L0", 7)
    assert slot.recheck_us > now_us(), "now every push is read back"
    bench.shop.lies = lambda: False
    await bench.live(3_500, every_s=30.5)
    assert bench.trust == "trusted"
    assert bench.alarms.said == ["raised acknowledgements_lie", "cleared acknowledgements_lie"]
    assert all(bench.shop.shows(slot.listing) == slot.desired for slot in bench.slots.values())


async def test_the_sample_takes_no_more_than_its_part_of_the_budget(autojump_clock: Any) -> None:
    shop = Shop(traits=Traits(rate_per_s=1.0, burst=10), late_s=60.0)
    bench = Bench(shop)
    await bench.live(3_000, every_s=20.5)
    assert 20 < shop.calls <= 3_000 * BUDGET_SHARE + SAVED_MAX


async def test_looks_stop_when_something_newer_is_known_and_count_for_nothing(autojump_clock: Any) -> None:
    bench = Bench(Shop(late_s=3.0))
    for level in range(20):
        bench.push("L", level + 1)
        await bench.live(2.0)
    assert (bench.promises.judge.kept, bench.promises.judge.lies, bench.lags) == (0, 0, [])


async def test_sales_that_come_in_meanwhile_make_nothing_clear(autojump_clock: Any) -> None:
    bench = Bench(Shop(lies=lambda: True), rng=Always())
    slot = bench.push("L", 5)
    bench.shop.shown["L"] = 9
    bench.promises._doubtful["S-L", "L"] = 9
    slot.belief = 4  # it sold one, and we heard of it after we had asked
    bench.promises.read(slot, 9, 5, now_us() + PATIENCE_US)
    assert (bench.lies, bench.trust) == ([], "trusted")


@pytest.mark.parametrize(("wide_us", "lies"), [(0, [("L", 9)]), (3 * SECOND_US, [])])
async def test_a_sale_of_which_nobody_can_say_whether_the_push_held_it_makes_nothing_clear(
    autojump_clock: Any, wide_us: int, lies: list[tuple[str, int]]
) -> None:
    bench = Bench(Shop(lies=lambda: True), rng=Always())
    slot = bench.push("L", 9)
    bench.shop.shown["L"] = 9
    bench.promises._doubtful["S-L", "L"] = 9
    sold = Instant(Span(now_us() + SECOND_US - wide_us, now_us() + SECOND_US))
    line = line_of(OrderLine("shop", "1", "1", "S-L", 1, at=sold, placed=sold))
    slot.touch(("shop", "1", "1"), {("shop", "1", "1"): line}, now_us())
    assert slot.belief == 8
    bench.promises.read(slot, 9, 8, now_us() + PATIENCE_US)
    assert bench.lies == lies


async def test_a_level_that_is_unknown_or_cannot_be_read_is_no_lie(autojump_clock: Any) -> None:
    bench = Bench(Shop(lies=lambda: True))
    slot = bench.push("L", 5)
    bench.promises.read(slot, None, 5, now_us() + PATIENCE_US)
    bench.shop.down, bench.shop.shown["L"] = True, None
    await bench.live(200)
    assert (bench.lies, bench.promises.judge.lies) == ([], 0)


async def test_a_listing_that_is_found_as_before_the_push_has_more_of_them_read_back(autojump_clock: Any) -> None:
    bench = Bench(rng=random.Random(1))
    slot = bench.push("L", 5)
    slot.base_at, slot.recheck_us = exactly(now_us()), 0
    bench.promises.given("S-L", "L", 5, 9, 0)
    bench.promises.read(slot, 7, 5, now_us())
    assert bench.trust == "trusted", "somebody at the shop typed a number"
    bench.promises.given("S-L", "L", 5, 9, 0)
    bench.promises.read(slot, 9, 5, now_us())
    assert (bench.trust, bench.promises.judge.lies) == ("doubted", 0)


async def test_a_downgrade_outlives_the_process(autojump_clock: Any) -> None:
    alarm = Alarm("acknowledgements_lie", "shop", "", "lies", EPOCH_US - 5, EPOCH_US, 4)
    other = Alarm("acknowledgements_lie", "site", "", "lies", 1, 1, 1)
    bench = Bench(alarms=Said([other, alarm]))
    assert (bench.trust, bench.promises.judge.since_us) == ("downgraded", EPOCH_US - 5)
    assert Bench(alarms=Said([other])).trust == "trusted"


async def test_what_is_remembered_is_bounded(autojump_clock: Any) -> None:
    bench = Bench()
    bench.promises.judge.resume(1)
    for number in range(KNOWN_MAX + 50):
        slot = Slot("shop", f"L{number}", f"S{number}", base=1, belief=1, desired=1, base_at=exactly(now_us()))
        bench.slots[slot.listing] = slot
        bench.promises.given(slot.sku, slot.listing, 1, 2, now_us())
    assert len(bench.promises._known) == KNOWN_MAX
    bench.promises.judge.trust = "trusted"
    for number in range(2 * OPEN_MAX):
        bench.promises.given(f"S{number}", f"L{number}", 1, 2, now_us())
    assert len(bench.promises._watched) == OPEN_MAX

"""Actors: bounded, whole units, poison isolated, idle ones gone, and the state always the fold of the log."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from daemon.actors.actor import MARK_EVERY, Part, dump_actor
from daemon.actors.letters import part_of
from daemon.actors.registry import CRASHES_MAX, Bounds, Registry
from daemon.domain.instants import SECOND_US, exactly
from daemon.domain.observations import Adjustment, LevelReport, Observation, OrderLine, StockCount
from daemon.domain.policy import Policy
from daemon.domain.sku import Confirmed, Doubted, Failed, Freeze, ReadBack, Settle, Sku
from daemon.domain.stock import Stock, dump
from daemon.storage.codec import Cause, DamagedError, EmptyOrder, pack, unpack
from daemon.storage.cursors import Refetches
from daemon.storage.dead_letters import DeadLetters
from daemon.storage.environment import Environment
from daemon.storage.links import Links
from daemon.storage.orders import OrderIndex
from daemon.storage.outbox import Outbox
from daemon.storage.store import Store
from daemon.storage.tables import LINKS, LOG, MARKS, SKUS
from tests.storage.rooms import Disk, Ticking, inline

POLICIES = {"shop": Policy(), "site": Policy(buffer=1)}
AT = exactly(1)


@define
class Watching:
    crashes: list[tuple[str, bool]] = field(factory=list)
    letters: list[tuple[str, str]] = field(factory=list)

    def applied(self, *_: Any) -> None: ...

    def crashed(self, part: Part, error: Exception, *, quarantined: bool) -> None:
        self.crashes.append((part.sku, quarantined))

    def dead(self, kind: str, part: Part, letter: int) -> None:
        self.letters.append((kind, part.sku))


@define
class House:
    store: Store
    registry: Registry
    outbox: Outbox
    letters: DeadLetters
    watching: Watching

    async def tell(self, *messages: Any) -> list[str]:
        unit = await self.registry.deliver([part(each.sku, each) for each in messages])
        return unit.verdicts

    async def checkpoint(self) -> int:
        await self.store.checkpoint()
        return self.registry.checkpointed()

    def rows(self) -> dict[str, bytes]:
        """Every SKU as it would be stored now."""
        return {sku: dump_actor(actor) for sku, actor in sorted(self.registry.actors.items()) if sku}


def part(sku: str, message: Any) -> Part:
    return Part(sku, message, Cause("poll", "shop"))


@asynccontextmanager
async def house(
    directory: Path, disk: Any = inline, *, wall: Ticking | None = None, life_us: int = 30 * SECOND_US, **bounds: Any
) -> AsyncIterator[House]:
    """Started as the daemon starts it, left as a kill leaves it."""
    env = Environment.open(directory, genesis="g", map_bytes=1 << 24)
    try:
        store = Store(env, disk, wall or Ticking(), disk_floor_bytes=0)
        outbox, letters, watching = Outbox(store), DeadLetters(store), Watching()
        registry = Registry(
            store, outbox, OrderIndex(store), Links(store), letters, Refetches(store), POLICIES.get, watching,
            Bounds(**bounds),
        )  # fmt: skip
        async with trio.open_nursery() as nursery:
            await nursery.start(store.run)
            registry.replay()
            registry.resume(lambda _: life_us, b"policies")
            await nursery.start(registry.run)
            yield House(store, registry, outbox, letters, watching)
            nursery.cancel_scope.cancel()
    finally:
        env.close(clean=False)


def counted(sku: str, units: int, us: int = 10) -> StockCount:
    return StockCount("person", sku, units, at=exactly(us))


def sold(sku: str, order: str, units: int = 1, us: int = 20) -> OrderLine:
    return OrderLine("shop", order, "1", sku, units, version=us, at=exactly(us))


# --- bounds --------------------------------------------------------------------------------------------------


async def test_a_full_mailbox_and_a_full_queue_refuse_and_take_again_when_they_are_drained(tmp_path: Path) -> None:
    async with house(tmp_path, mailbox_max=3, queued_max=5) as h:
        h.registry.tell([part("A", counted("A", place)) for place in range(3)])
        assert h.registry.refuses(["A"]) == "the mailbox of A is full"
        assert h.registry.refuses(["B", "C"]) == ""
        assert h.registry.refuses(["B", "C", "D"]) == "too many observations are waiting"
        assert h.registry.statistics().queued == 3
        h.registry.drain()
        assert h.registry.refuses(["A", "B", "C"]) == ""


async def test_idle_actors_leave_memory_and_come_back_equal(tmp_path: Path) -> None:
    wall = Ticking()
    async with house(tmp_path, wall=wall, idle_s=60.0) as h:
        await h.tell(counted("A", 5), sold("A", "1"), counted("B", 7))
        before = h.rows()
        assert await h.checkpoint() == 0
        wall.us += 61 * SECOND_US
        assert await h.checkpoint() == 2
        assert h.registry.actors == {}
        again = {sku: dump_actor(h.registry.actor(sku)) for sku in "AB"}
        assert {sku: _lasting(row) for sku, row in again.items()} == {
            sku: _lasting(row) for sku, row in before.items()
        }
        assert h.registry.skus() == ["A", "B"]


async def test_a_sku_with_work_left_stays_in_memory(tmp_path: Path) -> None:
    async with house(tmp_path, idle_s=0.0) as h:
        await h.tell(LevelReport("shop", "L", 3, AT, "A"), counted("A", 5), counted("B", 1))
        await h.checkpoint()
        await h.checkpoint()
        assert set(h.registry.actors) == {"A"}


# --- units ---------------------------------------------------------------------------------------------------


async def test_verdicts_stand_in_the_order_of_the_parts(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.tell(counted("B", 1, us=50))
        empty = part("", EmptyOrder("shop", "9", 1, 0, AT))
        parts = [part("B", counted("B", 2)), part("A", counted("A", 1)), empty, part("B", counted("B", 1, us=50)),
                 part("A", counted("A", 3, us=60))]  # fmt: skip
        unit = await h.registry.deliver(parts)
        assert unit.verdicts == ["superseded", "applied", "applied", "known", "applied"]


async def test_a_unit_is_in_one_transaction_with_what_its_finish_adds(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(takes_s=0.01)
    async with house(tmp_path, disk) as h:
        seen: list[tuple[int, int]] = []
        write = Environment.write

        def spy(env: Environment, batch: Any) -> None:
            write(env, batch)
            seen.append((env.count(LOG), env.count(LINKS)))

        monkeypatch.setattr(Environment, "write", spy)

        async def deliver(number: int) -> None:
            await trio.sleep(number * 0.003)
            key = str(number).encode()
            parts = [part(f"S{place}", sold(f"S{place}", str(number))) for place in range(10)]
            await h.registry.deliver(parts, lambda _: h.store.put(LINKS, key, b""))

        async with trio.open_nursery() as nursery:
            for number in range(30):
                nursery.start_soon(deliver, number)
        assert len(seen) > 5
        assert all(events == marks * 10 for events, marks in seen)
        assert seen[-1] == (300, 30)


async def test_a_unit_whose_sku_cannot_be_loaded_is_not_applied_at_all(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        with h.store.env.env.begin(write=True) as txn:
            txn.put(b"B", b"damaged", db=h.store.env.tables[SKUS])
        with pytest.raises(DamagedError, match="table skus is damaged"):
            await h.tell(counted("A", 1), counted("B", 1))
        h.registry.drain()
        assert h.store.head.seq == 0


async def test_a_delivery_that_nobody_waits_for_any_more_is_applied_whole(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        with trio.CancelScope() as impatient:
            impatient.cancel()
            await h.tell(counted("A", 1), counted("B", 2))
        await trio.testing.wait_all_tasks_blocked()
        assert [actor.state.stock.available for actor in h.registry.actors.values()] == [1, 2]


# --- poison --------------------------------------------------------------------------------------------------


@pytest.fixture
def bombs(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Observations of -13 units crash their actor for as long as this is [True]."""
    armed, step = [True], Sku.step

    def exploding(self: Sku, message: Any, now_us: int, policy_of: Any) -> Any:
        result = step(self, message, now_us, policy_of)
        if armed[0] and getattr(message, "quantity", 0) == -13:
            raise RuntimeError("a bug of ours")
        return result

    monkeypatch.setattr(Sku, "step", exploding)
    return armed


async def test_a_poison_message_is_a_letter_and_its_sku_goes_on(tmp_path: Path, bombs: list[bool]) -> None:
    async with house(tmp_path) as h:
        await h.tell(counted("A", 5), sold("A", "1"))
        before = h.rows()
        assert await h.tell(counted("A", -13, us=99)) == ["poison"]
        assert h.rows() == before  # half applied is not applied
        assert await h.tell(sold("A", "2")) == ["applied"]
        (letter,) = h.letters.page()
        assert (letter.kind, letter.sku, part_of(letter.content).message) == ("poison", "A", counted("A", -13, us=99))
        assert h.watching.crashes == [("A", False)]
        bombs[0] = False
        unit = await h.registry.deliver([part_of(letter.content)])
        assert unit.verdicts == ["applied"]


async def test_an_actor_that_crashes_after_a_restore_still_knows_that_nothing_is_known_of_its_listings(
    tmp_path: Path, bombs: list[bool]
) -> None:
    async with house(tmp_path) as h:
        await h.tell(counted("A", 5), LevelReport("shop", "L", 5, exactly(20), "A"))
        await h.checkpoint()
        h.registry.estrange(h.store.now_us(), {"shop": 60 * SECOND_US})
        before = h.rows()["A"]
        assert await h.tell(counted("A", -13, us=99)) == ["poison"]
        assert h.rows()["A"] == before
        (slot,) = h.registry.actors["A"].state.slots.values()
        assert slot.recheck_us
        assert slot.alive_until_us


async def test_three_crashes_quarantine_that_sku_alone_until_it_is_released(
    tmp_path: Path, bombs: list[bool]
) -> None:
    async with house(tmp_path) as h:
        for _ in range(CRASHES_MAX):
            await h.tell(counted("A", -13), counted("B", 5))
        assert list(h.registry.quarantined) == ["A"]
        assert await h.tell(sold("A", "1"), sold("B", "2")) == ["poison", "applied"]
        assert h.letters.count == 1 + 1  # the same fact, however often it crashes, is one letter
        bombs[0] = False
        h.registry.release("A")
        for letter in h.letters.page():
            assert (await h.registry.deliver([part_of(letter.content)])).verdicts[0] in ("applied", "known")
        state = h.registry.peek("A")
        assert state is not None
        assert state.stock.available == -14


async def test_a_quarantine_keeps_facts_and_lets_what_became_of_pushes_through(
    tmp_path: Path, bombs: list[bool]
) -> None:
    async with house(tmp_path) as h:
        await h.tell(counted("A", 5), LevelReport("shop", "L", 9, exactly(11), "A"))
        state = h.registry.peek("A")
        assert state is not None
        slot = state.slots["shop", "L"]
        h.outbox.claim(slot)
        for number in range(CRASHES_MAX):
            await h.tell(Adjustment("person", f"r{number}", "A", -13, at=exactly(12)))
        assert list(h.registry.quarantined) == ["A"]
        letters = h.letters.count
        assert letters == CRASHES_MAX
        for us in range(20, 40):
            assert await h.tell(LevelReport("shop", "L", us, exactly(us), "A")) == ["poison"]
            assert await h.tell(sold("A", "1", us=20)) == ["poison"]
        assert h.letters.count == letters + 1  # levels are told again by themselves; a line told again is one letter
        slot = h.registry.peek("A").slots["shop", "L"]  # type: ignore[union-attr]  # it is there
        done = await h.registry.deliver([part("A", Confirmed("shop", "L", slot.in_flight, 5, exactly(50)))])
        assert done.verdicts == ["applied"]
        assert (slot.in_flight, slot.belief) == (0, 5)


async def test_crashes_far_apart_quarantine_nobody(tmp_path: Path, bombs: list[bool]) -> None:
    wall = Ticking()
    async with house(tmp_path, wall=wall) as h:
        for _ in range(CRASHES_MAX + 2):
            await h.tell(counted("A", -13))
            wall.us += 61 * SECOND_US
        assert h.registry.quarantined == {}


@pytest.mark.parametrize(
    "message",
    [
        StockCount("person", "A", 1 << 70, at=AT),
        Adjustment("person", "half a letter \ud800", "A", 3, at=AT),
        OrderLine("shop", "half a letter \ud800", "1", "A", 3, at=AT),
    ],
)
async def test_what_cannot_be_written_down_is_a_letter_and_stops_nobody(tmp_path: Path, message: Observation) -> None:
    async with house(tmp_path) as h:
        await h.tell(counted("A", 5))
        assert await h.tell(message, counted("B", 1)) == ["poison", "applied"]
        (letter,) = h.letters.page()
        with pytest.raises(ValueError, match="cannot be told again"):
            part_of(letter.content)
        state = h.registry.peek("A")
        assert state is not None
        assert state.stock.available == 5
    async with house(tmp_path) as h:
        assert h.letters.count == 1


async def test_news_of_settled_facts_is_a_letter(tmp_path: Path) -> None:
    hour = 3_600 * SECOND_US
    async with house(tmp_path, wall=Ticking(100 * hour)) as h:
        old = OrderLine("shop", "1", "1", "A", 2, fulfilled=2, at=exactly(hour), placed=exactly(hour))
        await h.tell(counted("A", 9), old)
        assert h.registry.settle_some("", 10 * hour, {}) == ""
        h.registry.drain()
        assert await h.tell(old) == ["late"]
        assert [letter.kind for letter in h.letters.page()] == ["late"]
        state = h.registry.peek("A")
        assert state is not None
        assert state.stock.available == 7


async def test_what_a_dead_letter_holds_still_counts_when_it_is_told_again_after_the_horizon(
    tmp_path: Path, bombs: list[bool]
) -> None:
    hour = 3_600 * SECOND_US
    async with house(tmp_path, wall=Ticking(100 * hour)) as h:
        early = OrderLine("shop", "1", "1", "A", 2, fulfilled=2, at=exactly(hour), placed=exactly(hour))
        lost = Adjustment("person", "r", "A", -13, at=exactly(2 * hour))
        await h.tell(counted("A", 40), early)
        assert await h.tell(lost) == ["poison"]
        (letter,) = h.letters.page()
        h.registry.settle_some("", 10 * hour, {})
        h.registry.drain()
        bombs[0] = False
        assert (await h.registry.deliver([part_of(letter.content)])).verdicts == ["applied"]
        h.letters.remove(letter.letter)
        state = h.registry.peek("A")
        assert state is not None
        assert state.stock.available == 40 - 2 - 13
        h.registry.settle_some("", 10 * hour, {})
        h.registry.drain()
        assert await h.tell(early) == ["late"]


@pytest.mark.parametrize(("lines", "marks"), [(MARK_EVERY // 2, 0), (MARK_EVERY + 1, 2)])
async def test_what_went_through_many_order_lines_leaves_a_mark(tmp_path: Path, lines: int, marks: int) -> None:
    hour = 3_600 * SECOND_US
    async with house(tmp_path, wall=Ticking(100 * hour)) as h:
        old = exactly(hour)
        await h.tell(*(OrderLine("shop", f"{place}", "1", "A", 1, at=old, placed=old) for place in range(lines)))
        await h.tell(OrderLine("shop", "sent", "1", "A", 2, fulfilled=2, at=old, placed=old))
        await h.checkpoint()
        before = h.store.env.count(MARKS)
        await h.tell(StockCount("person", "A", 5_000, at=old))
        await h.checkpoint()
        h.registry.settle_some("", 10 * hour, {})
        h.registry.drain()
        await h.checkpoint()
        await h.tell(StockCount("person", "B", 1, at=old))
        await h.checkpoint()
        assert h.store.env.count(MARKS) - before == marks


async def test_a_contradiction_asks_for_the_order_again(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        assert await h.tell(sold("A", "1", 2), sold("A", "1", 3)) == ["applied", "conflict"]
        assert [order for order, _ in h.registry.refetches.wanted("shop", h.store.now_us())] == ["1"]


# --- starting ------------------------------------------------------------------------------------------------


async def test_a_push_found_in_flight_at_start_is_doubted_and_read_back_twice(tmp_path: Path) -> None:  # T17
    async with house(tmp_path) as h:
        await h.tell(LevelReport("shop", "L", 3, AT, "A"), counted("A", 5))
        slot = h.registry.actors["A"].state.slots["shop", "L"]
        h.outbox.claim(slot)
        await h.store.flush()
    async with house(tmp_path, life_us=77) as h:
        slot = h.registry.actors["A"].state.slots["shop", "L"]
        assert (slot.in_flight, slot.error) == (0, "the daemon stopped")
        assert slot.alive_until_us == slot.recheck_us + 77
        assert h.outbox.lane("shop").slots == {("A", "L"): slot}
        await h.store.flush()
        assert isinstance(h.store.history("A")[0].message, Doubted)


async def happen(h: House, dice: random.Random) -> None:
    """One thing that sources, people or channels do."""
    sku = dice.choice("ABC")
    us = h.store.wall_us()
    at = exactly(us)
    slots = [s for a in h.registry.actors.values() for s in a.state.slots.values() if s.channel in POLICIES]
    slot = dice.choice(slots) if slots else None
    match dice.randrange(10):
        case 0 | 1:
            await h.tell(StockCount("person", sku, dice.randrange(9), at=at))
        case 2 | 3:
            await h.tell(
                OrderLine(dice.choice(["shop", "site"]), dice.choice("12345"), "1", sku, dice.randrange(4),
                          fulfilled=dice.randrange(2), version=dice.randrange(5), at=at, listing=f"L-{sku}")
            )  # fmt: skip
        case 4:
            await h.tell(Adjustment("person", str(dice.randrange(9)), sku, dice.randrange(-3, 4), at=at))
        case 5:
            await h.registry.deliver(
                [part(sku, LevelReport(dice.choice(["shop", "site"]), f"L-{sku}", dice.randrange(9), at, sku))]
            )
        case 6:
            await h.registry.deliver([part(sku, Freeze(frozen=dice.random() < 0.3, by="ann"))])
        case 7:
            await h.registry.deliver([part(sku, Settle(us - dice.randrange(5_000)))])
        case _ if slot is not None and slot.in_flight:
            where = (slot.channel, slot.listing, slot.in_flight)
            answer = dice.choice([
                Confirmed(*where, slot.sent_level, at), Failed(*where, "no", us + 5, dice.choice([0, 7])),
                Doubted(*where, "?", us + 5, us + 9_000), Confirmed(slot.channel, slot.listing, 99, 3, at),
            ])  # fmt: skip
            await h.registry.deliver([part(slot.sku, answer)])
        case _ if slot is not None and slot.recheck_us:
            await h.registry.deliver([part(slot.sku, ReadBack(slot.channel, slot.listing, dice.randrange(9), at))])
        case _ if slot is not None and slot.needs_push() and not slot.dead_letter:
            h.outbox.claim(slot)
            await h.store.flush()
        case _:
            await h.store.flush()


def fold(store: Store) -> dict[str, bytes]:
    """Every SKU's stock as the whole log makes it."""
    stocks: dict[str, Stock] = {}
    for record in store.records(0, limit=100_000):
        stock = stocks.setdefault(record.sku, Stock())
        if isinstance(record.message, OrderLine | StockCount | Adjustment):
            stock.apply(record.message)
        elif isinstance(record.message, Settle):
            stock.settle(record.message.horizon_us)
    return {sku: pack(dump(stock)) for sku, stock in stocks.items() if sku}


@pytest.mark.slow
@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 1 << 30), st.lists(st.tuples(st.integers(1, 30), st.booleans()), min_size=1, max_size=4))
def test_after_kills_anywhere_every_sku_is_byte_for_byte_what_it_was(
    tmp_path_factory: pytest.TempPathFactory, seed: int, lives: list[tuple[int, bool]]
) -> None:
    directory, dice, wall = tmp_path_factory.mktemp("state"), random.Random(seed), Ticking()
    left: dict[str, bytes] = {}

    async def live(steps: int, *, checkpointing: bool) -> None:
        nonlocal left
        env = Environment.open(directory, genesis="g", map_bytes=1 << 24)
        store = Store(env, inline, wall, disk_floor_bytes=0)
        registry = Registry(
            store, Outbox(store), OrderIndex(store), Links(store), DeadLetters(store), Refetches(store), POLICIES.get,
            Watching(),
        )  # fmt: skip
        registry.replay()
        again = {sku: dump_actor(registry.actor(sku)) for sku in left}
        env.close(clean=False)
        assert {s: _lasting(row) for s, row in again.items()} == {s: _lasting(row) for s, row in left.items()}
        async with house(directory, wall=wall, idle_s=1e9) as h:
            for _ in range(steps):
                await happen(h, dice)
                if checkpointing and dice.random() < 0.2:
                    await h.checkpoint()
            await h.store.flush()
            for sku in left:
                h.registry.actor(sku)
            left = h.rows()
            folded = fold(h.store)
            assert {sku: pack(dump(h.registry.actor(sku).state.stock)) for sku in folded} == folded

    for steps, checkpointing in lives:
        trio.run(lambda: live(steps, checkpointing=checkpointing), clock=MockClock(autojump_threshold=0))  # noqa: B023


def _lasting(row: bytes) -> Any:
    """The row without what is only planned: when to look again is decided anew after a kill."""
    seq, _, stock, sums, _, freeze, slots, _, lines, *_ = unpack(row)
    lasting = [[value for place, value in enumerate(slot) if place != 16] for slot in slots]
    return seq, stock, sums, lines, freeze, lasting

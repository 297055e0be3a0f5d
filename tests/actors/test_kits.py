"""Kits among actors: one step with their components, the same however it is told, safe through kills and crashes."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from daemon.actors.actor import Part, dump_actor, load_actor
from daemon.actors.letters import part_of
from daemon.actors.registry import CRASHES_MAX
from daemon.domain.instants import exactly
from daemon.domain.kits import Assemble, ComponentLevel, dump_kit
from daemon.domain.observations import Adjustment, OrderLine, Recipe, StockCount
from daemon.domain.policy import Policy
from daemon.domain.sku import Confirmed, Sku
from daemon.domain.stock import dump
from daemon.storage.codec import pack
from daemon.storage.environment import Environment
from daemon.storage.tables import LOG
from tests.actors.kit_house import (
    CHANNELS,
    COMPONENTS,
    KITS,
    KitHouse,
    Told,
    Wanted,
    built,
    counts,
    kit_house,
    listings,
    truth,
)
from tests.storage.rooms import Disk, Ticking

COUNTED = {"CUP": 9, "PLATE": 12, "SPOON": 14}


def sale(order: str, *lines: tuple[str, int], channel: str = "shop", version: int = 1) -> Told:
    """One version of an order with a line for each (SKU, units)."""
    return Told(
        channel,
        order,
        version,
        tuple((str(place), Wanted(sku, units)) for place, (sku, units) in enumerate(lines, 1)),
    )


# --- one step ------------------------------------------------------------------------------------------------


async def test_a_kit_and_its_component_on_one_order_take_each_unit_once(tmp_path: Path) -> None:  # T10
    async with kit_house(tmp_path) as h:
        await h.count(**COUNTED)
        await h.tell(sale("1", ("SET", 2), ("CUP", 1), ("PICNIC", 1), ("PAIR", 1)))
        assert h.available(*COMPONENTS) == [9 - 2 - 1 - 2, 12 - 4 - 1, 14 - 3]
        assert h.available("SET", "PICNIC", "PAIR") == [3, 3, 2]
        await h.tell(sale("1", ("SET", 2), ("CUP", 1), ("PICNIC", 1), ("PAIR", 1)))
        await h.tell(sale("1", ("SET", 1), version=2))  # the other lines are not listed any more
        assert h.available(*COMPONENTS) == [8, 10, 14]


async def test_a_component_two_short_is_a_kit_one_short(tmp_path: Path) -> None:
    async with kit_house(tmp_path) as h:
        await h.count(CUP=9, PLATE=1, SPOON=14)
        await h.list("SET")
        await h.tell(sale("1", ("SET", 1)))
        assert h.available("PLATE", "SET") == [-1, -1]
        assert h.desired("SET") == 0


async def test_a_kit_and_its_components_are_in_one_transaction(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[int] = []
    write = Environment.write

    def spy(env: Environment, batch: Any) -> None:
        write(env, batch)
        events.append(env.count(LOG))

    async with kit_house(tmp_path, disk=Disk(takes_s=0.01)) as h:
        await h.count(**COUNTED)
        before = h.store.head.seq
        monkeypatch.setattr(Environment, "write", spy)
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(h.tell, sale(str(number), ("SET", 1)))
                await trio.sleep(0.004)
        messages = [record.message for record in h.store.records(before)]
    # Whatever was durable at any moment: a kit knows of every component what that component then had.
    assert len(set(events)) > 3
    for end in sorted(set(events)):
        durable = messages[: end - before]
        sold = sum(isinstance(each, OrderLine) and each.sku == "CUP" for each in durable)
        told = [each.available for each in durable if isinstance(each, ComponentLevel) and each.component == "CUP"]
        assert told[-1] == COUNTED["CUP"] - sold


async def test_a_kits_own_sale_pushes_nothing_where_it_was_sold_and_lowers_it_elsewhere(tmp_path: Path) -> None:
    async with kit_house(tmp_path) as h:
        await h.count(**COUNTED)
        await h.list("SET", "CUP")
        for sku, channel in (("SET", "shop"), ("SET", "site"), ("CUP", "shop"), ("CUP", "site")):
            slot = h.state(sku).slots[channel, f"L-{sku}"]
            h.registry.outbox.claim(slot)
            await h.say(sku, Confirmed(channel, f"L-{sku}", slot.in_flight, slot.sent_level, exactly(900)))
        generation = h.state("SET").slots["shop", "L-SET"].generation
        await h.tell(sale("1", ("SET", 2)))
        here, there = (h.state("SET").slots[channel, "L-SET"] for channel in CHANNELS)
        assert (here.belief, here.desired, here.needs_push()) == (4, 4, False)
        assert (there.belief, there.desired, there.raises()) == (6, 4, False)
        assert here.generation == generation + 1  # it fell once, by the plates, and never rose in between
        cups = h.state("CUP").slots["shop", "L-CUP"]
        assert (cups.belief, cups.desired) == (9, 7)  # the shop does not know that a set holds a cup


# --- any order of telling ------------------------------------------------------------------------------------


@st.composite
def histories(draw: st.DrawFn) -> list[Told]:
    """A few orders in a few versions each; a line keeps its SKU."""
    told = []
    for channel in CHANNELS:
        for order in "12":
            skus = [draw(st.sampled_from([*KITS, *COMPONENTS])) for _ in range(3)]
            for version in range(draw(st.integers(0, 3))):
                names = draw(st.sets(st.integers(0, 2)))
                lines = tuple(
                    (str(place), Wanted(skus[place], draw(st.integers(0, 4)), draw(st.integers(0, 1)),
                                        draw(st.sampled_from([0, 0, 1]))))
                    for place in sorted(names)
                )  # fmt: skip
                told.append(Told(channel, order, version, lines))
    return told


Units = list[list[Told]]


@st.composite
def tellings(draw: st.DrawFn) -> tuple[list[Told], list[Units]]:
    """A history, and two ways of telling it: any order, repetitions, any splitting into units."""
    history = draw(histories())
    ways: list[Units] = []
    for _ in range(2):
        order = draw(st.permutations(history))
        if history:
            order = [*order, *draw(st.lists(st.sampled_from(history), max_size=3))]
        units: Units = [[]]
        for each in order:
            if draw(st.booleans()):
                units.append([])
            units[-1].append(each)
        ways.append(units)
    return history, ways


@pytest.fixture(scope="module")
def nowhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """A database in which nothing is ever written."""
    env = Environment.open(tmp_path_factory.mktemp("state"), genesis="g", map_bytes=1 << 24)
    yield env
    env.close(clean=True)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(tellings(), st.integers(0, 5))
def test_any_telling_of_kits_that_share_parts_gives_the_true_numbers(
    nowhere: Environment, told: tuple[list[Told], list[Units]], count_at: int
) -> None:
    history, ways = told
    right = truth(COUNTED, history)
    ends = []
    for units in ways:
        h = built(nowhere)
        h.registry.resume(lambda _: 0, b"policies")
        h.absorb(*listings([*COUNTED, *KITS]))
        for place, unit in enumerate([*units, []]):
            if place == min(count_at, len(units)):
                h.absorb(*counts(COUNTED))
            h.absorb(*(part for each in unit for part in h.parts(each)))
        assert {sku: h.state(sku).available for sku in right.left} == right.left
        assert {sku: h.desired(sku) for sku in right.left} == {sku: max(0, n) for sku, n in right.left.items()}
        beliefs = {
            (each, sku): h.state(sku).slots[each, f"L-{sku}"].belief for each in CHANNELS for sku in right.left
        }
        assert beliefs == right.shown
        ends.append({sku: pack(dump(h.state(sku).stock)) for sku in right.left})
    assert ends[0] == ends[1]


# --- kills ---------------------------------------------------------------------------------------------------

RECIPES: tuple[Mapping[str, Recipe], ...] = (
    KITS,
    {**KITS, "SET": (("CUP", 2), ("PLATE", 1))},
    {"SET": KITS["SET"]},
    {},
    {**KITS, "BOX": (("SPOON", 1),)},
)


async def happen(h: KitHouse, dice: random.Random) -> None:
    """One thing that sources or people do."""
    us = h.store.wall_us()
    match dice.randrange(6):
        case 0:
            sku = dice.choice(COMPONENTS)
            await h.say(sku, StockCount("person", sku, dice.randrange(20), at=exactly(us)))
        case 1:
            sku = dice.choice(COMPONENTS)
            await h.say(sku, Adjustment("person", str(us), sku, dice.randrange(-3, 4), at=exactly(us)))
        case 2:
            await h.list(dice.choice([*KITS, *COMPONENTS]))
        case _:
            wanted = [(dice.choice([*KITS, *COMPONENTS]), dice.randrange(4)) for _ in range(dice.randrange(1, 4))]
            await h.tell(
                sale(dice.choice("12345"), *wanted, channel=dice.choice(CHANNELS), version=dice.randrange(6))
            )


@pytest.mark.parametrize("seed", [1, 2, 7, 10])  # in these a kill came between a new recipe and its checkpoint
def test_after_kills_and_new_recipes_every_kit_is_what_its_components_make(tmp_path: Path, seed: int) -> None:
    dice, wall = random.Random(seed), Ticking()
    left: dict[str, bytes] = {}

    def replayed(kits: Mapping[str, Recipe]) -> dict[str, bytes]:
        """Every SKU as a start finds it, before anything of the new life is told."""
        env = Environment.open(tmp_path, genesis="g", map_bytes=1 << 24)
        h = built(env, kits, wall=wall)
        h.registry.replay()
        found = {sku: dump_actor(h.registry.actor(sku)) for sku in left}
        env.close(clean=False)
        return found

    async def live(kits: Mapping[str, Recipe]) -> None:
        nonlocal left
        async with kit_house(tmp_path, kits, wall=wall) as h:
            assert h.agrees()
            gone = [sku for sku in KITS if sku not in kits and (state := h.registry.peek(sku)) and state.kit]
            assert gone == []
            for _ in range(dice.randrange(1, 15)):
                await happen(h, dice)
                assert h.agrees()
                if dice.random() < 0.2:
                    await h.store.checkpoint()
            # What is told now may be lost with the kill; whatever is found later must agree all the same.
            if dice.random() < 0.5:
                await h.store.flush()
                left = h.rows()
            else:
                left = {}
                h.registry.tell(h.parts(sale("9", ("SET", 1), version=wall())))

    for _ in range(4):
        kits = dice.choice(RECIPES)
        assert replayed(kits) == left
        trio.run(live, kits, clock=MockClock(autojump_threshold=0))


async def test_a_kits_own_log_alone_gives_its_state(tmp_path: Path) -> None:
    async with kit_house(tmp_path) as h:
        await h.count(**COUNTED)
        await h.list("SET")
        for place in range(5):
            await h.tell(sale(str(place), ("SET", 1), ("PICNIC", 1)))
        again = Sku("SET")
        for record in h.store.records(0, limit=10_000):
            if record.sku == "SET":
                again.step(record.message, record.at_us, lambda _: Policy())  # type: ignore[arg-type]  # no empty order
        state = h.state("SET")
        assert state.kit is not None
        assert again.kit is not None
        assert dump_kit(again.kit) == dump_kit(state.kit)
        assert again.slots == state.slots


# --- recipes -------------------------------------------------------------------------------------------------


async def test_a_line_keeps_what_its_kit_was_made_of(tmp_path: Path) -> None:
    async with kit_house(tmp_path) as h:
        await h.count(**COUNTED)
        await h.tell(sale("1", ("SET", 2)))
        assert h.available(*COMPONENTS) == [7, 8, 14]
    async with kit_house(tmp_path, {"SET": (("CUP", 1), ("SPOON", 4))}) as h:
        assert h.available("SET", *COMPONENTS) == [3, 7, 8, 14]
        await h.tell(sale("1", ("SET", 1), version=2), sale("2", ("SET", 1)))
        assert h.available("SET", *COMPONENTS) == [2, 7, 10, 10]
        await h.store.checkpoint()
    async with kit_house(tmp_path, {}) as h:
        assert h.state("SET").kit is None
        await h.tell(sale("1", version=3), sale("2", ("SET", 3), version=2))
        assert h.available("SET", *COMPONENTS) == [None, 6, 12, 2]
        await h.tell(sale("3", ("SET", 3)))  # sold as what it is now, a plain SKU
        assert h.available("SET", *COMPONENTS) == [None, 6, 12, 2]


async def test_a_plain_line_stays_plain_when_its_sku_becomes_a_kit(tmp_path: Path) -> None:
    async with kit_house(tmp_path, {}) as h:
        await h.count(**COUNTED, SET=5)
        await h.tell(sale("1", ("SET", 2)))
    async with kit_house(tmp_path) as h:
        assert h.available("SET", *COMPONENTS) == [6, 9, 12, 14]
        await h.tell(sale("1", ("SET", 3), version=2))
        assert h.available("SET", *COMPONENTS) == [6, 9, 12, 14]


async def test_the_same_recipe_at_the_next_start_writes_nothing(tmp_path: Path) -> None:
    async with kit_house(tmp_path) as h:
        await h.count(**COUNTED)
        await h.store.checkpoint()
        seq = h.store.head.seq
        assert any(isinstance(each.message, Assemble) for each in h.store.history("SET"))
    async with kit_house(tmp_path) as h:
        assert h.store.head.seq == seq


# --- trouble -------------------------------------------------------------------------------------------------


@pytest.fixture
def bombs(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Order lines of these SKUs crash their actor."""
    armed, step = set[str](), Sku.step

    def exploding(self: Sku, message: Any, now_us: int, policy_of: Any) -> Any:
        result = step(self, message, now_us, policy_of)
        if isinstance(message, OrderLine) and self.sku in armed:
            raise RuntimeError("a bug of ours")
        return result

    monkeypatch.setattr(Sku, "step", exploding)
    return armed


async def pushed(h: KitHouse, sku: str) -> None:
    """Every listing of the SKU shows what it should."""
    for slot in h.state(sku).slots.values():
        h.registry.outbox.claim(slot)
        await h.say(sku, Confirmed(slot.channel, slot.listing, slot.in_flight, slot.sent_level, exactly(900)))


@pytest.mark.parametrize("crashes", [1, CRASHES_MAX + 2])
async def test_a_component_that_crashes_never_raises_its_kit_until_its_letters_are_retried(
    tmp_path: Path, bombs: set[str], crashes: int
) -> None:
    async with kit_house(tmp_path) as h:
        await h.count(**COUNTED)
        await h.list("SET")
        await pushed(h, "SET")
        bombs.add("CUP")
        for number in range(crashes):
            await h.tell(sale(str(number), ("SET", 1)))
        slot = h.state("SET").slots["shop", "L-SET"]
        assert (slot.belief, slot.desired) == (6 - crashes, 6 - crashes)
        assert ("CUP" in h.registry.quarantined) == (crashes > 1)
        assert h.letters.count == crashes
        bombs.clear()
    async with kit_house(tmp_path) as h:  # the quarantine ends with the process, the doubt does not
        kit = h.state("SET").kit
        assert kit is not None
        assert kit.unsure
        assert kit.levels["CUP"].stuck == "dead letter 1: order 0 line 1"
        for letter in h.letters.page():
            assert h.desired("SET") == 6 - crashes
            assert (await h.registry.deliver([part_of(letter.content)])).verdicts == ["applied"]
            h.letters.remove(letter.letter)
        assert not h.state("SET").kit.unsure  # type: ignore[union-attr]  # it is a kit
        assert h.available("SET", "CUP", "PLATE") == [6 - crashes, 9 - crashes, 12 - 2 * crashes]
        assert h.desired("SET") == 6 - crashes
        await h.store.flush()


async def test_a_discarded_letter_ends_the_doubt_in_the_same_transaction(tmp_path: Path, bombs: set[str]) -> None:
    async with kit_house(tmp_path) as h:
        await h.count(**COUNTED)
        await h.list("SET")
        await pushed(h, "SET")
        bombs.add("CUP")
        await h.tell(sale("1", ("SET", 1)))
        h.letters.remove(1)
        # Nothing was given up to the loop in between: what the kit learned goes with the letter.
        kit = h.state("SET").kit
        assert kit is not None
        assert not kit.unsure
        assert h.desired("SET") == 5


async def test_a_kit_in_quarantine_is_told_nothing_and_knows_everything_when_released(
    tmp_path: Path, bombs: set[str]
) -> None:
    async with kit_house(tmp_path) as h:
        await h.count(**COUNTED)
        bombs.add("SET")
        for number in range(CRASHES_MAX):
            await h.tell(sale(str(number), ("SET", 1)))
        assert list(h.registry.quarantined) == ["SET"]
        letters = h.letters.count
        await h.tell(sale("9", ("CUP", 5)))
        assert h.letters.count == letters == CRASHES_MAX
        h.registry.release("SET")
        h.registry.drain()
        assert h.agrees()
        assert h.available("SET") == [1]
    async with kit_house(tmp_path) as h:
        assert h.agrees()


async def test_books_that_are_put_right_reach_the_kits(tmp_path: Path) -> None:
    async with kit_house(tmp_path) as h:
        await h.count(**COUNTED)
        right = Sku("CUP", h.state("CUP").stock)
        damaged = load_actor("CUP", dump_actor(h.registry.actor("CUP")))
        damaged.state.stock.apply(StockCount("person", "CUP", 2, at=exactly(6)))
        h.registry.replace_books(damaged.state)
        h.registry.drain()
        assert h.available("SET", "PAIR") == [2, 1]
        h.registry.replace_books(right)
        h.registry.drain()
        assert h.available("SET", "PAIR") == [6, 4]


async def test_mailboxes_of_components_are_looked_at_too(tmp_path: Path) -> None:
    async with kit_house(tmp_path) as h:
        parts = h.parts(sale("1", ("SET", 1)))
        assert [part.sku for part in parts] == ["CUP", "PLATE", "SET"]
        h.registry.tell([Part("CUP", StockCount("person", "CUP", n, at=exactly(9)), part.cause)
                         for n, part in enumerate(parts * 400)])  # fmt: skip
        assert h.registry.refuses(["SET", "CUP"]) == "the mailbox of CUP is full"

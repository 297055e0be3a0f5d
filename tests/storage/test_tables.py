"""The small tables: each gives back what it was told, through checkpoints and kills."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.domain.instants import Instant, Span, exactly
from daemon.domain.observations import OrderLine
from daemon.domain.stock import LineKey, Stock, dump
from daemon.storage.behind import BehindTable
from daemon.storage.codec import EmptyOrder, pack
from daemon.storage.cursors import Cursor, Cursors, Refetches
from daemon.storage.dead_letters import DeadKind, DeadLetters
from daemon.storage.idempotency import SeenDeliveries, digest
from daemon.storage.links import Linked, Links, load_link
from daemon.storage.orders import VERSIONS_MAX, OrderEntry, OrderIndex, dump_entry, load_entry
from daemon.storage.store import Store
from daemon.storage.tables import DEAD, DELIVERIES, LINKS, ORDERS
from tests.storage.rooms import count, opened

# --- written behind ------------------------------------------------------------------------------------------


def table(store: Store, kept_max: int = 20_000) -> BehindTable[str]:
    return BehindTable(store, LINKS, str.encode, bytes.decode, kept_max)


async def test_a_value_written_behind_is_known_at_once_and_durable_with_the_checkpoint(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        rows = table(store)
        rows.set(b"a", "1")
        rows.set(b"a", "2")
        await store.flush()
        assert rows.get(b"a") == "2"
        assert store.env.get(LINKS, b"a") is None
        assert await store.checkpoint() == 1
        rows.checkpointed()
        assert store.env.get(LINKS, b"a") == b"2"
        assert rows.get(b"b") is None


async def test_durable_values_leave_memory_and_come_back_equal(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        rows = table(store, kept_max=10)
        for turn in range(5):
            for place in range(10):
                rows.set(b"%d-%d" % (turn, place), f"{turn}.{place}")
            await store.checkpoint()
            rows.checkpointed()
            assert len(rows._values) <= 10
        assert all(rows.get(b"%d-%d" % (t, p)) == f"{t}.{p}" for t in range(5) for p in range(10))


async def test_a_value_that_changes_while_its_checkpoint_is_under_way_stays_until_the_next(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        rows = table(store, kept_max=0)
        rows.set(b"a", "old")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.checkpoint)
            await trio.testing.wait_all_tasks_blocked(0.001)
            rows.set(b"a", "new")
        rows.checkpointed()
        assert rows.get(b"a") == "new"
        await store.checkpoint()
        rows.checkpointed()
        assert (rows.get(b"a"), len(rows._values)) == ("new", 0)


async def test_links_are_kept_through_a_checkpoint_and_a_kill(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        links = Links(store)
        links.link("shop", "L", "A")
        links.link("shop", "L", "B")
        assert (links.sku_of("shop", "L"), links.sku_of("shop", ""), links.sku_of("site", "L")) == ("B", "", "")
        await store.checkpoint()
    async with opened(tmp_path) as store:
        assert Links(store).sku_of("shop", "L") == "B"


async def test_what_a_person_says_of_a_listing_stands_over_what_a_catalogue_says(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        links = Links(store)
        links.link("shop", "L", "A")
        links.say("shop", "L", "B", "ann")
        links.say("shop", "none", "", "ann")
        links.link("shop", "L", "A")
        links.link("shop", "none", "A")
        await store.checkpoint()
    async with opened(tmp_path) as store:
        links = Links(store)
        links.link("shop", "L", "A")
        assert (links.get("shop", "L"), links.barred("shop", "L")) == (Linked("B", "ann"), False)
        assert (links.get("shop", "none"), links.barred("shop", "none")) == (Linked("", "ann"), True)
        assert links.get("shop", "unheard of") is None
        assert not links.barred("shop", "unheard of")
        assert [known.sku for _, known in links.page(b"", 9, "shop")] == ["B", ""]
        assert links.page(b"", 9, "site") == []


def test_a_link_from_before_people_could_say_so_is_read() -> None:
    assert load_link("TEE-ü".encode()) == Linked("TEE-ü")


# --- orders --------------------------------------------------------------------------------------------------

Told = tuple[int, int, frozenset[str], int]
"""(version, read, the lines it lists, when)"""

tellings: st.SearchStrategy[Told] = st.tuples(
    st.integers(1, 4), st.sampled_from([0, 0, 7]), st.frozensets(st.sampled_from("abc")), st.integers(0, 3)
)


def stocks_of(told: list[Told]) -> dict[str, bytes]:
    """What each SKU's stock is after the order index has seen these versions of one order, in this order."""
    entry, stocks = OrderEntry(), {name: Stock() for name in "abc"}
    for version, read_us, lines, when in told:
        at = Instant(Span(when, when + 1))
        listed = [
            OrderLine("shop", "1", name, name, version + place, version=version, read_us=read_us, at=at)
            for place, name in enumerate(sorted(lines))
        ]
        for line in entry.learn("shop", "1", listed, (version, read_us), at):
            stocks[line.sku].apply(line)
    return {name: pack(dump(stock)) for name, stock in stocks.items()}


@pytest.mark.slow
@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.lists(tellings, min_size=1, max_size=6), st.data())
def test_the_versions_of_an_order_give_the_same_stocks_in_any_order(told: list[Told], data: st.DataObject) -> None:
    again = [*data.draw(st.permutations(told)), *data.draw(st.lists(st.sampled_from(told), max_size=2))]
    assert stocks_of(told) == stocks_of(again)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.permutations([(v, 0, frozenset("a" if v == 5 else "b"), v) for v in range(1, VERSIONS_MAX + 12)]))
def test_more_versions_of_an_order_than_are_kept_give_the_same_stocks(told: list[Told]) -> None:
    assert stocks_of(told) == stocks_of(sorted(told))


AT = Instant(Span(5, 6))


def line(name: str, version: int = 1) -> OrderLine:
    return OrderLine("shop", "1", name, f"sku-{name}", 1, version=version, at=AT, listing=f"L-{name}")


async def test_a_line_that_a_newer_version_does_not_list_holds_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        orders = OrderIndex(store)
        assert orders.learn("shop", "1", [line("a"), line("b")], (1, 0), AT) == [line("a"), line("b")]
        told = orders.learn("shop", "1", [line("a", 2)], (2, 0), AT)
        assert [(each.line, each.ordered, each.version) for each in told if isinstance(each, OrderLine)] == [
            ("a", 1, 2), ("b", 0, 2),
        ]  # fmt: skip
        assert orders.sku_of("shop", "1", "b") == "sku-b"
        assert orders.sku_of("shop", "2", "b") == ""


async def test_an_empty_order_is_told_once_and_keeps_older_lines_out(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        orders = OrderIndex(store)
        assert orders.learn("shop", "1", [], (2, 0), AT) == [EmptyOrder("shop", "1", 2, 0, AT)]
        assert orders.learn("shop", "1", [], (2, 0), AT) == []
        late = orders.learn("shop", "1", [line("a")], (1, 0), AT)
        assert [(each.ordered, each.version) for each in late if isinstance(each, OrderLine)] == [(1, 1), (0, 2)]


async def test_the_order_index_is_the_same_after_a_kill(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        orders = OrderIndex(store)
        told = [*orders.learn("shop", "1", [line("a")], (1, 0), AT), *orders.learn("shop", "1", [], (2, 0), AT)]
        await store.checkpoint()
        later = orders.learn("shop", "2", [], (1, 0), AT)
    async with opened(tmp_path) as store:
        again = OrderIndex(store)
        for each in [*told[-1:], *later]:
            again.replayed(each)
        assert again.table.get(b"shop\x001") == orders.table.get(b"shop\x001")
        assert again.table.get(b"shop\x002") == orders.table.get(b"shop\x002")


async def test_a_version_told_again_by_another_clock_is_remembered_as_wide_as_both(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        orders = OrderIndex(store)
        orders.learn("shop", "1", [line("a")], (1, 0), AT)
        await store.checkpoint()
        orders.table._values.clear()
        orders.learn("shop", "1", [line("a")], (1, 0), Instant(Span(1, 2)))
        entry = orders.table.get(b"shop\x001")
        assert entry is not None
        assert entry.versions[1, 0] == Instant(Span(1, 6))


async def test_an_old_order_is_forgotten_when_none_of_its_lines_counts_any_more(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        orders = OrderIndex(store, {"sku-kit": (("sku-cup", 1), ("sku-plate", 2))})
        orders.learn("shop", "plain", [line("a"), line("b")], (1, 0), AT)
        orders.learn("shop", "of a kit", [line("kit")], (1, 0), AT)
        orders.learn("shop", "with an endless name" * 30, [line("a")], (1, 0), AT)

        async def left(horizon_us: int, *counted: tuple[str, LineKey]) -> set[str]:
            await store.checkpoint()
            assert orders.prune(b"", horizon_us, lambda sku, line: (sku, line) in counted) == b""
            await store.checkpoint()
            return {key.decode(errors="replace").split("\0")[1] for key, _ in store.env.scan(ORDERS, b"", limit=9)}

        assert len(await left(6)) == 3  # none is older than that
        held = ("sku-b", ("shop", "plain", "b")), ("sku-plate", ("shop", "of a kit", "kit"))
        assert await left(7, *held) == {"plain", "of a kit"}
        assert await left(7, held[1]) == {"of a kit"}
        assert await left(7) == set()


# --- deliveries, letters, cursors, refetches -----------------------------------------------------------------


async def test_a_delivery_is_known_before_and_after_the_checkpoint_and_after_a_kill(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        seen = SeenDeliveries(store)
        for identity in ("one", "two"):
            number = store.next_delivery()
            store.keep_delivery(number, "shop", "orders", digest("shop", identity), 10, b"body")
            seen.add(digest("shop", identity), number)
            await store.flush()
            if identity == "one":
                await store.checkpoint()
                seen.checkpointed()
                assert not seen._recent
        assert [seen.known(digest("shop", each)) for each in ("one", "two", "three")] == [1, 2, 0]
        assert seen.known(digest("site", "one")) == 0
    async with opened(tmp_path) as store:
        again = SeenDeliveries(store)
        again.load()
        assert [again.known(digest("shop", each)) for each in ("one", "two", "three")] == [1, 2, 0]
        assert store.next_delivery() == 3


async def test_old_deliveries_are_forgotten_digest_first_and_body_with_it(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        seen = SeenDeliveries(store)
        for at in (10, 20, 30):
            number = store.next_delivery()
            store.keep_delivery(number, "shop", "t", digest("shop", str(at)), at, b"")
            seen.add(digest("shop", str(at)), number)
        await store.checkpoint()
        seen.checkpointed()
        assert seen.expire(25, 15, 100) == 3
        await store.flush()
        assert [seen.known(digest("shop", str(at))) for at in (10, 20, 30)] == [0, 0, 3]
        assert store.env.count(DELIVERIES) == 2
        assert seen.expire(25, 15, 100) == 0


async def test_beyond_the_most_the_oldest_bodies_go_but_none_before_its_digest(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        seen = SeenDeliveries(store)
        for at in range(10, 60, 10):
            number = store.next_delivery()
            store.keep_delivery(number, "shop", "t", digest("shop", str(at)), at, b"")
            seen.add(digest("shop", str(at)), number)
        await store.checkpoint()
        seen.checkpointed()
        assert seen.expire(35, 5, 3) == 3 + 2  # three digests; of three bodies that may go, the two that are too many
        await store.flush()
        assert store.env.count(DELIVERIES) == 3
        assert seen.expire(35, 5, 1) == 1  # and the others wait for their digests
        await store.flush()
        assert store.env.count(DELIVERIES) == 2


def filled(letters: DeadLetters, *kinds: DeadKind) -> list[int]:
    """A letter of each kind; their numbers."""
    return [
        letters.add(
            kind, place, channel="shop", sku=f"S{place}", cause="c", subject=f"s{place}",
            content=f"L{place}".encode(),
        ).letter
        for place, kind in enumerate(kinds)
    ]  # fmt: skip


async def test_beyond_the_most_the_oldest_of_the_least_urgent_kind_gives_way_and_is_named(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        letters, gone = DeadLetters(store, most=5), list[tuple[object, ...]]()
        letters.let_go = lambda *told: gone.append(told[:4])
        filled(letters, "unlinked", "late", "puzzle", "push", "puzzle")
        await store.flush()
        filled(letters, "unlinked")
        assert gone == [("puzzle", 3, "shop", "s2")]
        filled(letters, "poison", "poison", "poison")
        assert [each[:2] for each in gone[1:]] == [("puzzle", 5), ("late", 2), ("unlinked", 1)]
        filled(letters, "puzzle")  # nothing there is less urgent than itself
        assert gone[4:] == [("puzzle", 10, "shop", "s0")]
        await store.flush()
        assert [each.kind for each in letters.page()] == ["push", "unlinked", "poison", "poison", "poison"]
        assert letters.total == letters.count == 5


async def test_a_push_and_what_crashed_its_sku_never_give_way(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        letters, gone = DeadLetters(store, most=2), list[object]()
        letters.let_go = lambda *told: gone.append(told)
        filled(letters, "push", "poison", "push", "poison", "poison")
        assert (letters.total, gone) == (5, [])
        assert letters.poison("S1")
        assert letters.expire(1_000) == 0


KINDS: list[DeadKind] = ["puzzle", "late", "unlinked", "poison", "push"]


@given(kinds=st.lists(st.sampled_from(KINDS), max_size=30), most=st.integers(1, 8))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_what_gives_way_is_never_more_urgent_than_what_stays(kinds: list[DeadKind], most: int) -> None:
    async def main() -> None:
        with tempfile.TemporaryDirectory() as place:
            async with opened(Path(place)) as store:
                letters, left = DeadLetters(store, most=most), dict[int, DeadKind]()

                def let_go(kind: DeadKind, letter: int, *_: object) -> None:
                    assert left.pop(letter) == kind
                    urgency = KINDS.index(kind)
                    assert urgency < 3
                    assert not any(KINDS.index(other) < urgency for other in left.values())
                    assert not any(other == kind and number < letter for number, other in left.items())

                letters.let_go = let_go
                for number, kind in enumerate(kinds, 1):
                    left[number] = kind
                    letters.add(kind, 1, channel="shop", sku="A", cause="", subject="", content=str(number).encode())
                await store.flush()
                assert {each.letter: each.kind for each in letters.page()} == left
                kept = sum(1 for kind in left.values() if kind in ("poison", "push"))
                assert letters.total == len(left) <= max(most, kept)
                again = DeadLetters(store, most=most)
                assert sorted(again.subjects()) == sorted(letters.subjects())

    trio.run(main)


async def test_letters_that_hold_no_sale_age(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        letters, gone = DeadLetters(store), list[tuple[object, ...]]()
        letters.let_go = lambda *told: gone.append(told[:2])
        filled(letters, "puzzle", "unlinked", "late", "poison", "push", "puzzle")
        assert letters.expire(5) == 2
        assert gone == [("puzzle", 1), ("late", 3)]
        assert letters.expire(5) == 0


async def test_a_letter_removed_before_it_is_durable_is_gone(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        letters = DeadLetters(store)
        kept = letters.add("late", 1, channel="shop", sku="A", cause="c", subject="s", content=b"x")
        gone = letters.add("late", 2, channel="shop", sku="A", cause="c", subject="s", content=b"y")
        letters.remove(gone.letter)
        await store.flush()
        assert letters.page() == [kept]
        assert (letters.get(kept.letter), letters.get(gone.letter), letters.count) == (kept, None, 1)
    async with opened(tmp_path) as store:
        assert DeadLetters(store).add("late", 3, channel="", sku="", cause="", subject="", content=b"").letter == 3


async def test_a_listing_has_one_push_letter_and_none_when_it_took_a_level(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        letters = DeadLetters(store)
        for place in range(3):
            letters.add("push", place, channel="shop", sku="A", cause="no", subject="s", content=b"L")
        await store.flush()
        assert [letter.letter for letter in letters.page()] == [3]
    async with opened(tmp_path) as store:
        letters = DeadLetters(store)
        letters.pushed("shop", "L")
        await store.flush()
        assert store.env.count(DEAD) == 0


async def test_whoever_counts_stopped_listings_is_told_when_there_are_more_or_fewer(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        letters, told = DeadLetters(store), []
        letters.stopped = lambda: told.append(letters.pushes("shop"))

        def add(kind: DeadKind, content: bytes) -> int:
            return letters.add(kind, 1, channel="shop", sku="A", cause="", subject="", content=content).letter

        late, first = add("late", b"x"), add("push", b"L")
        add("push", b"M")
        letters.remove(late)
        letters.pushed("shop", "unknown")
        assert told == [1, 2]
        letters.remove(first)
        letters.pushed("shop", "M")
        assert told == [1, 2, 1, 0]


async def test_a_cursor_is_durable_in_the_commit_that_holds_what_lies_before_it(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        cursors = Cursors(store)
        assert cursors.get("shop") == Cursor()
        count(store)
        cursors.move("shop", Cursor(7, 9))
        assert store.commits == 0
        await store.flush()
        assert store.commits == 1
    async with opened(tmp_path) as store:
        assert Cursors(store).get("shop") == Cursor(7, 9)
        assert store.head.seq == 1


async def test_a_refetch_stays_wanted_until_one_that_left_after_it_is_done(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        refetches = Refetches(store)
        refetches.ask("shop", "1", 10)
        refetches.ask("shop", "2", 11)
        refetches.ask("shop", "1", 20)
        refetches.done("shop", "1", 10)
        assert refetches.wanted("shop", 100) == [("1", 20), ("2", 11)]
        refetches.done("shop", "1", 20)
        refetches.ask("shop", "1", 30)  # in the same commit: it is wanted again
        await store.flush()
    async with opened(tmp_path) as store:
        assert sorted(Refetches(store).wanted("shop", 100)) == [("1", 30), ("2", 11)]


FIRST = Instant(Span(1_000_000, 1_000_500), Span(7, 7))


@pytest.mark.parametrize(
    ("read", "taken"),
    [
        (Instant(Span(1_000_200, 1_000_900), Span(7, 7)), FIRST),  # a little differently, as every poll reads it
        (Instant(Span(4_000_000, 4_000_000), Span(7, 7)), FIRST),  # an hour later, by a clock that drifts
        (Instant(Span(61_000_000, 61_000_000), Span(7, 7)), Instant(Span(1_000_000, 61_000_000), Span(7, 7))),  # set
        (Instant(Span(1_000_200, 1_000_900), Span(8, 8)), None),  # another stamp
        (Instant(Span(1_000_200, 1_000_900)), None),  # no stamp at all
    ],
)
@pytest.mark.parametrize("again", [False, True])
def test_a_stamp_of_an_order_is_read_on_our_clock_once_or_is_either(
    read: Instant, taken: Instant | None, again: bool
) -> None:
    hour_us = 3_600_000_000
    entry = OrderEntry(placed=FIRST) if again else OrderEntry(versions={(1, 0): FIRST})
    assert load_entry(dump_entry(entry)).moment(read, hour_us) == (taken or read)


def test_a_stamp_that_was_read_in_two_ways_is_no_news_at_the_next_poll() -> None:
    entry, hour_us = OrderEntry(placed=FIRST), 3_600_000_000
    told = []
    for drift in (0, 300, 900):
        placed = entry.moment(Instant(Span(61_000_000 + drift, 61_000_500 + drift), Span(7, 7)), hour_us)
        line = OrderLine("shop", "1", "1", "A", 1, version=2, at=exactly(70_000_000), placed=placed)
        entry.learn("shop", "1", [line], (2, 0), line.at)
        told.append(placed)
    assert told == [Instant(Span(1_000_000, 61_000_500), Span(7, 7))] * 3


async def test_a_reminder_waits_for_its_moment_and_never_hides_a_wish(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        refetches = Refetches(store)
        refetches.remind("shop", "1", 10, 100)
        assert refetches.wanted("shop", 99) == []
        assert refetches.wanted("shop", 100) == [("1", 100)]
        refetches.remind("shop", "1", 20, 110)  # newer news: later
        assert refetches.wanted("shop", 100) == []
        refetches.ask("shop", "1", 30)
        refetches.remind("shop", "1", 40, 200)
        refetches.remind("shop", "1", 40)
        assert refetches.wanted("shop", 40) == [("1", 30)]
        refetches.done("shop", "1", 30)
        refetches.remind("shop", "1", 50, 300)
        await store.flush()
        assert Refetches(store).wanted("shop", 300) == [("1", 300)]
        refetches.remind("shop", "1", 60)  # nothing more is to be heard of it
        await store.flush()
        assert Refetches(store).wanted("shop", 999) == []

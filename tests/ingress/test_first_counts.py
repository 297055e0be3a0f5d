"""Who gives an uncounted SKU its first count, and when."""

from __future__ import annotations

from pathlib import Path

from daemon.domain.instants import exactly
from daemon.domain.observations import LevelReport
from daemon.ingress.catalogue import FirstCounts, Offer
from tests.harness import House, housed


def offer(house: House, channel: str, level: int, listing: str = "L-A") -> Offer:
    return Offer(channel, listing, level, exactly(house.clock()))


def counts_of(house: House, *channels: str) -> FirstCounts:
    return FirstCounts(house.registry, {name: place for place, name in enumerate(channels)})


def available(house: House, sku: str) -> int | None:
    state = house.registry.peek(sku)
    return state.stock.available if state else None


async def test_the_first_channel_in_order_wins_whoever_answers_first(tmp_path: Path) -> None:
    async with housed(tmp_path) as house:
        counts = counts_of(house, "shop", "site")
        counts.offer("A", offer(house, "site", 9))
        assert await counts.settle("site") == 0, "shop has not answered yet, and its word would win"
        counts.offer("A", offer(house, "shop", 7))
        assert await counts.settle("shop") == 1
        assert available(house, "A") == 7


async def test_a_sku_that_earlier_channels_do_not_list_is_counted_by_the_next(tmp_path: Path) -> None:
    async with housed(tmp_path) as house:
        counts = counts_of(house, "shop", "site")
        await counts.settle("shop")
        counts.offer("B", offer(house, "site", 4))
        await counts.settle("site")
        assert available(house, "B") == 4


async def test_of_two_listings_of_one_channel_the_lower_level_counts(tmp_path: Path) -> None:
    async with housed(tmp_path) as house:
        counts = counts_of(house, "shop")
        counts.offer("A", offer(house, "shop", 7, "L-1"))
        counts.offer("A", offer(house, "shop", 5, "L-2"))
        await counts.settle("shop")
        assert available(house, "A") == 5


async def test_a_kit_takes_no_first_count_and_its_components_do(tmp_path: Path) -> None:
    async with housed(tmp_path, kits={"SET": (("CUP", 1), ("PLATE", 2))}) as house:
        counts = counts_of(house, "shop")
        assert not counts.wanted("SET")
        for sku, level in (("SET", 9), ("CUP", 5), ("PLATE", 6)):
            counts.offer(sku, offer(house, "shop", level, f"L-{sku}"))
        assert await counts.settle("shop") == 2
        state = house.registry.peek("SET")
        assert state is not None
        assert (state.available, dict(state.stock.anchors)) == (3, {})


async def test_a_counted_sku_takes_no_first_count(tmp_path: Path) -> None:
    async with housed(tmp_path) as house:
        counts = counts_of(house, "shop")
        counts.offer("A", offer(house, "shop", 7))
        await house.counted("A", 3)
        assert await counts.settle("shop") == 0
        assert not counts.wanted("A")
        assert available(house, "A") == 3


async def test_sales_after_the_read_apply_on_top_also_when_they_are_known_before_the_count(tmp_path: Path) -> None:
    async with housed(tmp_path) as house:
        counts = counts_of(house, "shop", "site")
        counts.offer("A", offer(house, "shop", 7))
        await house.sold("A", 2, channel="site", order="later")
        await counts.settle("shop")
        assert available(house, "A") == 5


async def test_a_linked_listing_shows_its_level_before_anybody_counted_and_is_not_pushed(tmp_path: Path) -> None:
    async with housed(tmp_path) as house:
        await house.tell(LevelReport("site", "L-A", 12, house.now(), "A"), by="catalogue")
        slot = house.slot("A", "site")
        assert (slot.belief, slot.desired, slot.needs_push()) == (12, None, False)
        counts = counts_of(house, "shop")
        counts.offer("A", offer(house, "shop", 7))
        await counts.settle("shop")
        assert (slot.desired, slot.needs_push()) == (7, True)

"""Drifts are kept: the newest in full, all of them as numbers; also over a restart."""

from __future__ import annotations

from pathlib import Path

from daemon.domain.drift import Named
from daemon.domain.instants import DAY_US
from daemon.storage.drifts import Drift, Drifts
from tests.harness import START_US, House, housed

WHY = (Named("foreign edit", 0.5, "somebody"), Named("missing order", 0.25, "perhaps", "1001"))


def add(drifts: Drifts, listing: str, channel: str = "shop", at_us: int = START_US, cause: Named = WHY[0]) -> Drift:
    return drifts.add(
        at_us, channel=channel, listing=listing, sku=f"SKU {listing}", shown=3, expected=7, first_us=at_us - 5,
        first_shown=3, done="corrected", causes=(cause, WHY[1]),
    )  # fmt: skip


async def kept(house: House, **most: int) -> Drifts:
    """What a daemon finds that starts on the same state."""
    await house.store.flush()
    return Drifts(house.store, **most)


async def test_a_drift_is_read_as_it_was_kept(tmp_path: Path) -> None:
    async with housed(tmp_path) as house:
        drift = add(house.drifts, "L-1")
        again = await kept(house)
        assert again.page() == [drift]
        assert again.newest_of("shop", "L-1") == drift
        assert again.newest_of("shop", "L-2") is None
        assert again.totals("shop") == {"foreign edit": 1}
        assert add(again, "L-1").number == drift.number + 1


async def test_the_newest_of_a_listing_and_pages_newest_first(tmp_path: Path) -> None:
    async with housed(tmp_path) as house:
        for number in range(450):
            add(house.drifts, f"L-{number % 3}", "shop" if number % 2 else "site")
        await house.store.flush()
        first = house.drifts.page(limit=10, channel="shop")
        assert [each.number for each in first] == list(range(450, 430, -2))
        rest = house.drifts.page(before=first[-1].number, limit=1_000, channel="shop")
        assert len(rest) == 215
        assert rest[-1].number == 2
        assert house.drifts.page(before=1) == []
        newest = house.drifts.newest_of("shop", "L-0")
        assert newest is not None
        assert newest.number == max(number + 1 for number in range(450) if number % 2 and number % 3 == 0)


async def test_only_the_newest_are_kept_but_all_are_counted(tmp_path: Path) -> None:
    async with housed(tmp_path) as house:
        drifts = Drifts(house.store, most=20)
        for number in range(50):
            add(drifts, f"L-{number}", at_us=START_US + number * DAY_US // 10)
        again = await kept(house, most=20)
        assert [each.number for each in again.page(limit=100)] == list(range(50, 30, -1))
        assert again.newest_of("shop", "L-3") is None
        assert again.totals("shop") == {"foreign edit": 50}
        assert sum(sum(day.values()) for day in again.days("shop").values()) == 50
        assert len(again.days("shop")) in (5, 6)
        fewer = await kept(house, most=5)
        add(fewer, "L-99")
        assert [each.number for each in (await kept(house)).page(limit=100)] == [51, 50, 49, 48, 47]


async def test_numbers_of_long_ago_go(tmp_path: Path) -> None:
    async with housed(tmp_path) as house:
        drifts = Drifts(house.store, days_most=3)
        for number in range(6):
            add(drifts, "L-1", at_us=START_US + number * DAY_US)
        again = await kept(house)
        assert again.days("shop") == drifts.days("shop")
        assert len(again.days("shop")) == 3

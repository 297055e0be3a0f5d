"""A number is adopted in the turn in which it is seen twice, once, and only where somebody set it there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from daemon.actors.actor import Part
from daemon.actors.drifting import Investigator
from daemon.domain.instants import SECOND_US
from daemon.domain.observations import Adjustment, LevelReport
from daemon.domain.policy import DriftRule, Policy
from daemon.domain.sku import Confirmed, ReadBack, Sent
from daemon.storage.codec import Cause
from daemon.storage.drifts import Drift
from tests.harness import House, housed


@asynccontextmanager
async def shelf(tmp_path: Path, rule: DriftRule) -> AsyncIterator[tuple[House, list[Drift]]]:
    """`A` at two channels, 7 of it, none of which is in doubt; and the drifts that are found."""
    async with housed(tmp_path) as house:
        found: list[Drift] = []
        registry = house.registry
        registry.sighted = Investigator(house.store, house.drifts, {}, registry.actors, found.append).look
        for channel in house.channels.values():
            channel.rules = Policy(drift=rule)
        await house.listed("A", 7)
        await house.counted("A", 7)
        yield house, found


async def seen(house: House, level: int, *, seller_sku: str = "") -> None:
    """The sweep reads it, and then it is read on purpose."""
    report = LevelReport("shop", "L-A", level, house.now(), "A", read_us=house.clock())
    await house.registry.deliver([Part("A", report, Cause("sweep", "shop"))])
    house.clock.us += 3 * SECOND_US
    back = ReadBack("shop", "L-A", level, house.now(), seller_sku)
    await house.registry.deliver([Part("A", back, Cause("readback", "shop"))])


def available(house: House) -> int | None:
    state = house.registry.peek("A")
    assert state is not None
    return state.available


def adjustments(house: House) -> list[int]:
    records = house.store.records(0)
    return [record.message.quantity for record in records if isinstance(record.message, Adjustment)]


async def test_what_somebody_set_is_adopted_once_and_shown_everywhere(tmp_path: Path) -> None:
    async with shelf(tmp_path, "adopt") as (house, found):
        await seen(house, 3)
        assert (available(house), house.slot("A", "site").desired) == (3, 3)
        await seen(house, 3)
        assert adjustments(house) == [-4]
        assert [(drift.done, drift.cause) for drift in found] == [("adopted", "foreign edit")]


async def test_what_is_adopted_is_adopted_once_through_a_replay(tmp_path: Path) -> None:
    async with shelf(tmp_path, "adopt") as (house, _):
        await seen(house, 3)
        fresh = house.registry._reload("A")
        assert fresh.state.available == 3
        slot = fresh.state.slots["shop", "L-A"]
        assert (slot.belief, slot.desired, slot.suspicion) == (3, 3, None)
        await seen(house, 3)
        assert (adjustments(house), available(house)) == ([-4], 3)


async def test_the_number_of_another_product_is_not_adopted(tmp_path: Path) -> None:
    async with shelf(tmp_path, "adopt") as (house, found):
        await seen(house, 3, seller_sku="B")
        assert (available(house), adjustments(house)) == (7, [])
        assert [(drift.done, drift.cause) for drift in found] == [("corrected", "wrong link")]
        assert house.slot("A").needs_push()
        assert not house.slot("A").withheld()


async def test_a_push_that_was_never_done_is_not_adopted(tmp_path: Path) -> None:
    async with shelf(tmp_path, "adopt") as (house, found):
        await house.counted("A", 4)
        slot = house.slot("A")
        sent = Sent("shop", "L-A", slot.generation, 4, 7)
        confirmed = Confirmed("shop", "L-A", slot.generation, 4, house.now())
        await house.registry.deliver([Part("A", each, Cause("push", "shop")) for each in (sent, confirmed)])
        await seen(house, 7)
        assert (available(house), adjustments(house)) == (4, [])
        assert [(drift.done, drift.cause) for drift in found] == [("corrected", "unapplied push")]


async def test_reported_it_is_kept_and_nothing_changes(tmp_path: Path) -> None:
    async with shelf(tmp_path, "report") as (house, found):
        await seen(house, 3)
        assert (available(house), adjustments(house), house.slot("A").held) == (7, [], "report")
        assert [drift.done for drift in found] == ["reported"]


async def test_a_channel_that_makes_less_of_the_same_push_again_and_again_is_left_alone(tmp_path: Path) -> None:
    async with shelf(tmp_path, "correct") as (house, found):
        await house.counted("A", 30)
        slot = house.slot("A")
        for _ in range(3):
            sent = Sent("shop", "L-A", slot.generation, 30, slot.belief)
            confirmed = Confirmed("shop", "L-A", slot.generation, 30, house.now())
            await house.registry.deliver([Part("A", each, Cause("push", "shop")) for each in (sent, confirmed)])
            await seen(house, 10)
        assert [(drift.done, drift.cause) for drift in found] == [
            ("corrected", "foreign edit"), ("corrected", "cap or rounding"), ("kept", "cap or rounding"),
        ]  # fmt: skip
        assert (slot.withheld(), slot.open()) == (True, False)
        fresh = house.registry._reload("A").state.slots["shop", "L-A"]
        assert fresh.held == "report", "also after a replay"
        await house.counted("A", 29)
        assert not house.slot("A").withheld()

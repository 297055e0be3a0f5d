"""What a person says of a listing outlives a kill, whether or not its row was written by then."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.actors.actor import Part
from daemon.domain.sku import Link
from daemon.storage.codec import Cause
from daemon.storage.links import Linked
from tests.harness import House, housed


async def relink(house: House) -> None:
    parts = [
        Part("A", Link("shop", "L-A", linked=False, by="ann"), Cause("ann", "shop")),
        Part("B", Link("shop", "L-A", linked=True, by="ann", reason="it is B"), Cause("ann", "shop")),
    ]
    await house.registry.deliver(parts)


@pytest.mark.parametrize("checkpointed", [False, True])
async def test_a_link_that_was_said_is_there_after_a_kill(tmp_path: Path, checkpointed: bool) -> None:
    async with housed(tmp_path) as house:
        await house.listed("A", 5, "shop")
        await house.counted("A", 5)
        await house.counted("B", 2)
        await relink(house)
        if checkpointed:
            await house.store.checkpoint()
        # The catalogue goes on saying that it is A.
        house.registry.links.link("shop", "L-A", "A")
    async with housed(tmp_path) as house:
        house.registry.replay()
        assert house.registry.links.get("shop", "L-A") == Linked("B", "ann")
        a, b = house.registry.peek("A"), house.registry.peek("B")
        assert a is not None
        assert b is not None
        assert (list(a.slots), list(b.slots)) == ([], [("shop", "L-A")])
        assert b.slots["shop", "L-A"].desired == 2


async def test_what_waited_to_be_pushed_to_a_listing_goes_with_it(tmp_path: Path) -> None:
    async with housed(tmp_path) as house:
        await house.listed("A", 5, "shop")
        await house.counted("A", 3)
        await house.counted("B", 2)
        lane = house.outbox.lane("shop")
        assert ("A", "L-A") in lane.slots
        await relink(house)
        assert set(lane.slots) == {("B", "L-A")}
        now_us = house.clock()
        assert [(slot.sku, work) for slot, work in lane.take(now_us, lambda *_: True, 9)] == [("B", "recheck")]

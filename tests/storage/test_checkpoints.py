"""What is written behind the log is written at last, whenever somebody stops or kills the daemon in between."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from daemon.actors.actor import Part
from daemon.domain.observations import OrderLine, StockCount
from daemon.domain.policy import Policy
from daemon.domain.sku import Sku
from daemon.storage.codec import Cause
from daemon.storage.files import StoreError
from daemon.storage.store import Store
from daemon.storage.tables import META, ORDERS, SKUS
from tests.harness import housed


async def test_a_checkpoint_that_a_stop_cuts_short_is_finished_by_the_next_one(tmp_path: Path) -> None:
    async with housed(tmp_path) as house:
        await house.tell(*(StockCount("person", f"S-{number:03d}", 1, at=house.now()) for number in range(400)))
        with trio.CancelScope() as scope:
            scope.cancel()
            await house.store.checkpoint()
        assert scope.cancelled_caught
        assert house.store.checkpointed() == (0, 0)
        await house.store.checkpoint()
        assert len(house.store.env.scan(SKUS, limit=1_000)) == 400
        assert list(house.store.replay()) == []


async def test_new_rules_of_a_channel_count_as_applied_only_when_every_listing_wished_anew(tmp_path: Path) -> None:
    async with housed(tmp_path) as house:
        await house.listed("A", 9)
        await house.counted("A", 9)
        await house.store.checkpoint()
        house.channels["shop"].rules = Policy(buffer=2)

        house.registry.resume(lambda channel: 0, b"with a buffer")
        await house.store.flush()
        assert house.slot("A").desired == 7
        assert house.store.env.get(META, b"policies") != b"with a buffer"  # killed here, the next start wishes again

        await house.store.checkpoint()
        assert house.store.env.get(META, b"policies") == b"with a buffer"


async def test_no_order_is_known_durably_before_what_was_told_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with housed(tmp_path) as house:
        told_when_written: list[object] = []
        flush = Store.flush

        async def looking(store: Store) -> None:
            told_when_written.append([record.message for record in store.tail])
            await flush(store)

        monkeypatch.setattr(Store, "flush", looking)
        line = OrderLine("shop", "1001", "1", "A", 2, version=1, at=house.now())
        (told,) = house.registry.orders.learn("shop", "1001", [line], (1, 0), line.at)
        house.registry.tell([Part("A", told, Cause("webhook", "shop"))])  # waits for the registry's turn

        await house.store.checkpoint()

        assert house.store.env.scan(ORDERS, limit=10)
        assert told_when_written[0] == [line], "the row of the order leaves with, or after, the event"


async def test_an_event_that_this_program_cannot_apply_stops_the_start_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with housed(tmp_path) as house:
        await house.counted("A", 9)
    monkeypatch.setattr(Sku, "step", lambda *_: 1 / 0)
    async with housed(tmp_path) as house:
        with pytest.raises(
            StoreError, match=r"event 1 of A cannot be applied \(ZeroDivisionError\): start the version"
        ):
            house.registry.replay()
    monkeypatch.undo()
    async with housed(tmp_path) as house:
        assert house.registry.replay() == 1
        state = house.registry.peek("A")
        assert state is not None
        assert state.stock.available == 9

"""The self-audit finds planted corruption within a round, stops that SKU alone, and heals nothing by itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from attrs import evolve

from daemon.actors.actor import dump_actor
from daemon.app import audit
from daemon.app.audit import Auditor
from daemon.storage.codec import seal
from daemon.storage.tables import SKUS
from tests.reconcile.mall import Mall, Rules, opened, play

STOCK = {"MUG": 20, "CUP": 20}
NAMES = ("shop", "site")
MINUTES_S = 300.0
"""Within this, a round of so few SKUs is over."""


def live(mall: Mall) -> None:
    """A number in memory is another one."""
    assert mall.daemon is not None
    stock = mall.daemon.parts.registry.actor("MUG").state.stock
    stock.anchors = {where: evolve(anchor, quantity=99) for where, anchor in stock.anchors.items()}


def stored(mall: Mall) -> None:
    """A number in the stored row is another one, under a checksum that fits."""
    assert mall.daemon is not None
    parts = mall.daemon.parts
    actor = parts.registry.actor("MUG")
    good = actor.state.stock.anchors
    actor.state.stock.anchors = {where: evolve(anchor, quantity=99) for where, anchor in good.items()}
    row = dump_actor(actor)
    actor.state.stock.anchors = good
    env = parts.store.env
    with env.env.begin(write=True) as txn:
        txn.put(b"MUG", seal(b"MUG", row), db=env.tables[SKUS])
    env._newest += 1  # as if our own writer had done it


def belief(mall: Mall) -> None:
    """What a listing is believed to show is another number."""
    assert mall.daemon is not None
    mall.slot("site", "MUG").belief = 3


def wish(mall: Mall) -> None:
    """So is what it should show."""
    mall.slot("site", "MUG").desired = 3


def lost(mall: Mall) -> None:
    """A listing is forgotten."""
    assert mall.daemon is not None
    del mall.daemon.parts.registry.actor("MUG").state.slots["site", mall.slot("site", "MUG").listing]


def stored_listing(mall: Mall) -> None:
    """In the stored row a listing is believed to show another number."""
    assert mall.daemon is not None
    parts = mall.daemon.parts
    actor, slot = parts.registry.actor("MUG"), mall.slot("site", "MUG")
    good, slot.belief = slot.belief, 3
    row = dump_actor(actor)
    slot.belief = good
    env = parts.store.env
    with env.env.begin(write=True) as txn:
        txn.put(b"MUG", seal(b"MUG", row), db=env.tables[SKUS])
    env._newest += 1  # as if our own writer had done it


@pytest.mark.parametrize("corrupt", [belief, wish, lost, stored_listing])
def test_a_listing_that_is_not_what_the_log_makes_of_it_stops_its_sku_until_a_rebuild_has_it_read(
    tmp_path: Path, corrupt: Callable[[Mall], None]
) -> None:
    async def main() -> None:
        async with opened(tmp_path, dict.fromkeys(NAMES, STOCK), Rules()) as mall:
            mall.sell("shop", "MUG", 1)
            await mall.settled()
            assert mall.daemon is not None
            await trio.sleep(10)  # rows are written
            listing = mall.slot("site", "MUG").listing
            corrupt(mall)
            report = (await mall.ask("/v1/rebuild", {"verify": True}))[1]
            assert (report["ok"], report["different"]) == (False, ["MUG"])
            await trio.sleep(MINUTES_S)
            (alarm,) = (await mall.ask("/v1/status"))[1]["alarms"]
            assert (alarm["condition"], alarm["subject"]) == ("books_differ", "MUG")
            assert f"listing {listing} of site" in alarm["text"]
            mall.sell("shop", "CUP", 1)
            mall.sell("shop", "MUG", 1)
            await trio.sleep(30)
            assert (mall.shown("site", "CUP"), mall.shown("site", "MUG")) == (19, 19)
            report = (await mall.ask("/v1/rebuild", {}))[1]
            overtaken = corrupt in (wish, stored_listing)  # the sale had a wish, and a row, made anew
            assert (report["ok"], report["repaired"]) == (True, not overtaken)
            await mall.settled()
            assert (mall.shown("site", "MUG"), mall.slot("site", "MUG").belief) == (18, 18)
            await trio.sleep(2 * MINUTES_S)
            status = (await mall.ask("/v1/status"))[1]
            assert (status["audit"]["differing"], status["alarms"]) == ({}, [])
            assert (await mall.ask("/v1/rebuild", {"verify": True}))[1]["ok"]

    play(main)


def test_when_a_listing_is_tried_or_read_again_is_not_compared(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, dict.fromkeys(NAMES, STOCK), Rules()) as mall:
            slot = mall.slot("site", "MUG")
            slot.due_us, slot.recheck_us = 1 << 60, 1 << 60
            assert (await mall.ask("/v1/rebuild", {"verify": True}))[1]["ok"]

    play(main)


@pytest.mark.parametrize("corrupt", [live, stored])
def test_planted_corruption_stops_its_sku_alone_until_a_rebuild(
    tmp_path: Path, corrupt: Callable[[Mall], None]
) -> None:
    async def main() -> None:
        async with opened(tmp_path, dict.fromkeys(NAMES, STOCK), Rules()) as mall:
            await mall.settled()
            await trio.sleep(10)  # rows are written
            corrupt(mall)
            await trio.sleep(MINUTES_S)
            audit = (await mall.ask("/v1/status"))[1]["audit"]
            assert list(audit["differing"]) == ["MUG"]
            assert (audit["audited"], audit["skus"], audit["rounds"]) == (2, 2, 1)
            alarms = (await mall.ask("/v1/status"))[1]["alarms"]
            assert [(each["condition"], each["subject"]) for each in alarms] == [("books_differ", "MUG")]

            if corrupt is live:
                await mall.restart()  # it is known after a restart, too
                await mall.looked()
            mall.sell("shop", "MUG", 1)
            mall.sell("shop", "CUP", 1)
            await trio.sleep(30)
            assert (mall.shown("site", "CUP"), mall.shown("site", "MUG")) == (19, 20)
            said = (await mall.ask("/v1/skus/MUG/explain"))[1]
            assert any("not what the log makes of them" in line for line in said["stock"])
            assert {each["state"] for each in said["listings"]} == {"held"}

            assert (await mall.ask("/v1/rebuild", {"verify": True}))[0] == 200
            assert (await mall.ask("/v1/status"))[1]["audit"]["differing"]
            assert (await mall.ask("/v1/rebuild", {}))[0] == 200
            await mall.settled()
            status = (await mall.ask("/v1/status"))[1]
            assert (status["audit"]["differing"], status["alarms"]) == ({}, [])
            assert (mall.shown("site", "MUG"), mall.available("MUG")) == (19, 19)
            assert (await mall.ask("/v1/rebuild", {"verify": True}))[1]["ok"]

    play(main)


def test_a_sound_catalogue_is_read_once_a_day_and_nothing_is_written_by_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, dict.fromkeys(NAMES, STOCK), Rules()) as mall:
            await mall.settled()
            await trio.sleep(MINUTES_S)
            assert mall.daemon is not None
            events = mall.daemon.parts.store.head.seq
            audit = (await mall.ask("/v1/status"))[1]["audit"]
            assert (audit["differing"], audit["rounds"]) == ({}, 1)
            await trio.sleep(MINUTES_S)
            assert mall.daemon.parts.store.head.seq == events
            assert mall.daemon.auditor.rounds == 1

    play(main)


def test_a_daemon_that_is_stopped_often_comes_to_the_last_sku_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    audited = Auditor.audit

    async def noted(self: Auditor, sku: str) -> bool:
        read.append(sku)
        return await audited(self, sku)

    monkeypatch.setattr(Auditor, "audit", noted)
    monkeypatch.setattr(audit, "HANDFUL_MIN", 1)
    names = [f"MUG-{number}" for number in range(6)]

    async def main() -> None:
        async with opened(tmp_path, {"shop": dict.fromkeys(names, 5)}, Rules()) as mall:
            for _ in names:
                await trio.sleep(audit.WAKE_S + 20)
                await mall.restart()
                await mall.looked()
            await trio.sleep(2 * audit.WAKE_S)
            report = (await mall.ask("/v1/status"))[1]["audit"]
            assert (report["rounds"], report["audited"], report["skus"]) == (1, 6, 6)
            assert read == names
            await mall.restart()
            await mall.looked()
            await trio.sleep(20 * audit.WAKE_S)
            assert read == names, "not before a day is over"
            await trio.sleep(86_400)
            assert read == names * 2

    play(main)

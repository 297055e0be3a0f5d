"""The sweep over a whole daemon and its storefronts: everything in time, little by little, and never in the way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
import trio
from attrs import evolve

from adapters.storefront.faults import Garble
from adapters.storefront.script import Rule
from daemon.domain.policy import DriftRule
from daemon.ingress import catalogue, masses
from tests.reconcile.mall import Mall, Rules, opened, play

pytestmark = pytest.mark.slow

QUIET = Rules(poll_s=36_000.0)
"""Nobody polls, and the catalogue is pulled by the hour: what is found is found by the sweep."""


def stock(count: int) -> dict[str, dict[str, int]]:
    return {"shop": {f"S-{number:03d}": 20 + number for number in range(count)}, "site": {}}


def during(tmp_path: Path, listings: int, rules: Rules, story: Callable[[Mall], Awaitable[None]]) -> None:
    """Let the story happen."""

    async def main() -> None:
        shown = stock(listings)
        async with opened(tmp_path, {"shop": shown["shop"], "site": shown["shop"]}, rules) as mall:
            await story(mall)

    play(main)


def sweeper(mall: Mall, channel: str = "shop") -> Any:
    assert mall.daemon is not None
    return mall.daemon.parts.channels[channel].sweeper


def reads(mall: Mall, name: str = "shop") -> list[tuple[float, list[str]]]:
    """Each reading of some listings from now on: when, and which."""
    seen: list[tuple[float, list[str]]] = []
    host = mall.hosts[name]
    handle = host.handle

    def noted(method: str, target: str, body: bytes) -> Any:
        listings = parse_qs(urlsplit(target).query).get("listing", [])
        if listings:
            seen.append((trio.current_time(), listings))
        return handle(method, target, body)

    host.handle = noted  # type: ignore[method-assign]  # of this one
    return seen


def test_every_listing_is_read_within_the_horizon_a_page_at_a_time(tmp_path: Path) -> None:
    async def story(mall: Mall) -> None:
        seen = reads(mall)
        await trio.sleep(QUIET.sweep_s * 2 + 5)
        read = {
            listing: [at for at, names in seen if listing in names] for listing in mall.stores["shop"].shop.listings
        }
        assert all(len(times) >= 2 for times in read.values())
        assert max(len(names) for _, names in seen) <= 100
        assert sweeper(mall).rounds >= 2
        assert sweeper(mall).reads >= 500

    during(tmp_path, 250, QUIET, story)


def test_a_sweep_wakes_nobody_who_is_as_he_should_be(tmp_path: Path) -> None:
    async def story(mall: Mall) -> None:
        await trio.sleep(900.0)
        await mall.adjust("S-000", 1)  # the next checkpoint lets idle ones go
        await trio.sleep(300.0)
        assert mall.daemon is not None
        assert sweeper(mall).rounds > 10
        assert set(mall.daemon.parts.registry.actors) <= {"S-000"}

    during(tmp_path, 60, QUIET, story)


def test_no_more_than_its_share_of_the_budget_is_spent(tmp_path: Path) -> None:
    async def story(mall: Mall) -> None:
        swept = sweeper(mall)
        swept.rules = evolve(swept.rules, sweep_s=1.0, share=0.01)
        seen = reads(mall)
        await trio.sleep(300)
        # 50 calls a second are allowed, a hundredth of them to the sweep.
        assert 100 <= len(seen) <= 151

    during(tmp_path, 250, QUIET, story)


def test_what_was_sold_nearly_out_is_read_before_its_turn(tmp_path: Path) -> None:
    async def story(mall: Mall) -> None:
        swept = sweeper(mall)
        swept.rules = evolve(swept.rules, sweep_s=36_000.0)
        await trio.sleep(400.0)  # whatever was planned before goes by
        seen = reads(mall)
        mall.sell("shop", "S-001", mall.shown("shop", "S-001") - 1)
        await mall.settled()
        listing = mall.stores["shop"].shop.by_sku["S-001"].id
        with trio.fail_after(3_700):
            while not any(listing in names for _, names in seen):  # noqa: ASYNC110 - nobody announces it
                await trio.sleep(1.0)
        assert seen[0][1][0] == listing

    during(tmp_path, 150, evolve(QUIET, sweep_s=300.0), story)


def test_pushes_go_first(tmp_path: Path) -> None:
    async def story(mall: Mall) -> None:
        swept = sweeper(mall)
        swept.rules = evolve(swept.rules, sweep_s=1.0)
        assert mall.daemon is not None
        parts = mall.daemon.parts
        seen = reads(mall)
        parts.channels["shop"].account.paused = True  # what is to be pushed cannot leave
        await mall.adjust("S-007", 3)
        began = trio.current_time()
        assert parts.outbox.lane("shop").busy(parts.store.now_us())
        await trio.sleep(100.0)
        assert 2 <= len(seen) <= 5, "the sweep is put off, but not for ever"
        parts.channels["shop"].resume()
        await mall.settled()
        pushed = [write.at_us for write in mall.stores["shop"].ledger.writes]
        assert pushed[-1] >= began
        seen.clear()
        await trio.sleep(100.0)
        assert len(seen) > 50

    during(tmp_path, 250, QUIET, story)


@pytest.mark.parametrize("how", ["null", "absent", "error"])
def test_a_quantity_that_is_not_told_is_no_drift_and_no_push(tmp_path: Path, how: Garble) -> None:
    async def story(mall: Mall) -> None:
        listings = list(mall.stores["shop"].shop.listings)
        mall.misbehave("shop", garbled=dict.fromkeys(listings, how))
        writes = len(mall.stores["shop"].ledger.writes)
        await trio.sleep(200)
        assert mall.daemon is not None
        assert (await mall.daemon.parts.channels["shop"].reconcile()).mismatched == 0
        await mall.settled()
        assert mall.drifts() == []
        assert mall.daemon.parts.channels["shop"].mass_hold() is None
        assert len(mall.stores["shop"].ledger.writes) == writes
        assert mall.available("S-001") == 21

    during(tmp_path, 30, QUIET, story)


def test_a_listing_that_is_gone_is_no_drift_and_no_push(tmp_path: Path) -> None:
    async def story(mall: Mall) -> None:
        shop = mall.stores["shop"].shop
        for name in list(shop.listings)[:8]:
            del shop.listings[name]
        await trio.sleep(200)
        assert mall.daemon is not None
        await mall.daemon.parts.channels["shop"].reconcile()
        await mall.settled()
        assert mall.drifts() == []
        assert mall.daemon.parts.channels["shop"].mass_hold() is None
        assert mall.available("S-001") == 21

    during(tmp_path, 30, QUIET, story)


def test_a_channel_that_fails_is_no_drift_and_no_push(tmp_path: Path) -> None:
    async def story(mall: Mall) -> None:
        mall.misbehave("shop", script=[Rule(do="fail", call="listings", times=None)])
        await trio.sleep(200)
        await mall.settled()
        assert mall.drifts() == []
        assert mall.available("S-001") == 21

    during(tmp_path, 30, QUIET, story)


def test_a_zero_is_a_level_like_any_other(tmp_path: Path) -> None:
    async def story(mall: Mall) -> None:
        mall.edit("shop", "S-005", 0)
        await trio.sleep(200)
        await mall.settled()
        (drift,) = mall.drifts()
        assert (drift.shown, drift.expected, drift.cause, drift.done) == (0, 25, "foreign edit", "corrected")
        assert mall.shown("shop", "S-005") == 25

    during(tmp_path, 30, QUIET, story)


def test_echoes_of_our_own_pushes_have_nothing_read_back(tmp_path: Path) -> None:
    async def story(mall: Mall) -> None:
        seen = reads(mall)
        mall.misbehave("shop", webhook=evolve_webhooks(mall, delay_s=30.0, duplicate=1.0, reorder=0.5))
        for _ in range(6):
            await mall.adjust("S-003", -1)
            await trio.sleep(2.0)
        await trio.sleep(120.0)
        await mall.settled()
        listing = mall.stores["shop"].shop.by_sku["S-003"].id
        assert [names for _, names in seen if listing in names] == []
        mall.misbehave("shop", webhook=evolve_webhooks(mall, delay_s=0.0, duplicate=0.0, reorder=0.0))
        mall.edit("shop", "S-003", 20)  # the value of an earlier push, set by somebody
        await mall.settled()
        assert [names for _, names in seen if listing in names] == [[listing]]
        assert mall.shown("shop", "S-003") == 17

    during(tmp_path, 30, evolve(QUIET, sweep_s=36_000.0), story)


def evolve_webhooks(mall: Mall, **changes: float) -> Any:
    return msgspec.structs.replace(mall.faults["shop"].webhook, **changes)


def test_a_day_of_sales_that_nobody_told_of_is_no_mass(tmp_path: Path) -> None:
    """The daemon was down, and the webhooks are lost: what the orders explain is not held against the channel."""

    async def story(mall: Mall) -> None:
        assert mall.daemon is not None
        mall.daemon.stop()
        await mall.daemon.ended.wait()
        mall.misbehave("shop", webhook=evolve_webhooks(mall, drop=1.0))
        for sku in stock(30)["shop"]:
            mall.sell("shop", sku, 2)
        await trio.sleep(3_600.0)
        await mall.nursery.start(mall.run)
        await mall.looked()
        await mall.settled()
        assert not [line for line in mall.said if line["event"] in ("drift.mass_held", "drift.found")]
        assert {mall.shown("site", f"S-{number:03d}") - number for number in range(30)} == {18}

    during(tmp_path, 30, QUIET, story)


def test_many_levels_that_differ_wait_until_the_orders_can_be_read(tmp_path: Path) -> None:
    async def story(mall: Mall) -> None:
        assert mall.daemon is not None
        mall.daemon.stop()
        await mall.daemon.ended.wait()
        mall.misbehave("shop", webhook=evolve_webhooks(mall, drop=1.0))
        mall.misbehave("shop", script=[Rule(do="fail", call="orders", times=None)])
        for sku in stock(30)["shop"]:
            mall.sell("shop", sku, 2)
        await mall.nursery.start(mall.run)
        await mall.looked()
        await trio.sleep(30.0)
        assert mall.daemon.parts.channels["shop"].mass_hold() is None, "nobody can tell yet"
        assert mall.daemon.parts.channels["shop"].catalogue.broken == catalogue.UNREAD
        assert mall.drifts() == []
        mall.misbehave("shop", script=[])
        await trio.sleep(400.0)
        await mall.settled()
        assert {mall.shown("site", f"S-{number:03d}") - number for number in range(30)} == {18}
        assert mall.daemon.parts.channels["shop"].mass_hold() is None
        assert not [line for line in mall.said if line["event"] in ("drift.mass_held", "drift.found")]

    during(tmp_path, 30, QUIET, story)


def test_nothing_of_a_batch_that_looks_like_a_mass_is_taken_before_the_whole_channel_can_be_read(
    tmp_path: Path,
) -> None:
    async def story(mall: Mall) -> None:
        assert mall.daemon is not None
        channel = mall.daemon.parts.channels["shop"]
        mall.misbehave("shop", webhook=evolve_webhooks(mall, drop=1.0))
        mall.misbehave("shop", script=[Rule(do="fail", call="orders", times=None)])
        zeroed = [f"S-{number:03d}" for number in range(10)]
        for sku in zeroed:
            mall.edit("shop", sku, 0)
        await trio.sleep(120.0)
        assert channel.sweeper.owed
        assert (channel.mass_hold(), mall.drifts()) == (None, []), "nobody can tell yet"
        mall.misbehave("shop", script=[])
        await trio.sleep(120.0)
        hold = channel.mass_hold()
        assert hold is not None
        assert (hold.kind, hold.listings, hold.sure) == ("zero", 10, True)
        assert mall.drifts() == []
        assert {mall.available(sku) - int(sku[2:]) for sku in zeroed} == {20}

    during(tmp_path, 30, evolve(QUIET, sweep_s=30.0), story)


@pytest.mark.parametrize("rule", ["correct", "adopt"])
def test_many_other_numbers_at_once_are_held_as_well(tmp_path: Path, rule: DriftRule) -> None:
    async def story(mall: Mall) -> None:
        changed = [f"S-{number:03d}" for number in range(8)]
        for sku in changed:
            mall.edit("shop", sku, mall.shown("shop", sku) + 100)
        await trio.sleep(100.0)
        await mall.settled()
        assert mall.daemon is not None
        hold = mall.daemon.parts.channels["shop"].mass_hold()
        assert hold is not None
        assert (hold.kind, hold.listings, hold.linked, hold.sure) == ("change", 8, 30, True)
        assert {mall.available(sku) for sku in changed} == {20 + number for number in range(8)}
        assert {mall.shown("site", sku) for sku in changed} == {20 + number for number in range(8)}
        _, said = await mall.ask("/v1/drift?channel=shop")
        assert said["channels"][0]["held"]["sentence"] == "8 of 30 listings differ at once from what we know"
        _, sku = await mall.ask("/v1/skus/S-003/explain?channel=shop")
        assert sku["listings"][0]["state"] == "held"
        assert "it is held: too many listings of its channel changed at once" in sku["listings"][0]["why"]

    during(tmp_path, 30, evolve(QUIET, drift=rule), story)


async def nothing(*_: object) -> None:
    await trio.lowlevel.checkpoint()


def test_a_decision_that_was_cut_short_is_carried_out_by_the_next_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(mall: Mall) -> None:
        zeroed = [f"S-{number:03d}" for number in range(10)]
        for sku in zeroed:
            mall.edit("shop", sku, 0)
        assert mall.daemon is not None
        with trio.fail_after(300):
            while (hold := mall.daemon.parts.channels["shop"].mass_hold()) is None or not hold.sure:  # noqa: ASYNC110 - as above
                await trio.sleep(0.5)
        guard = mall.daemon.parts.channels["shop"].masses
        # The daemon ends when the word is durable, and nothing is done yet.
        monkeypatch.setattr(masses.Masses, "_carry_out", nothing)
        await guard.decide("adopt")
        monkeypatch.undo()
        assert mall.available("S-001") == 21
        await mall.restart()
        await trio.sleep(30.0)
        await mall.settled()
        assert {mall.available(sku) for sku in zeroed} == {0}
        assert {mall.shown("site", sku) for sku in zeroed} == {0}
        assert mall.daemon.parts.channels["shop"].mass_hold() is None

    during(tmp_path, 30, QUIET, story)

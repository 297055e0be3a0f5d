"""A channel in shadow is never written to, whatever happens; live, then rolled back, it shows what it showed."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest
import trio

from tests.simulation.plan import Plan
from tests.simulation.world import World

QUIET = attrs.evolve(
    Plan.of(1), skus=("SKU-01", "SKU-02", "SKU-03"), hot=frozenset({"SKU-01"}), fair=False, early=False, blind=False,
    subscribes=False, poll_s=30.0, shadow="site", switched=False, stock_max=15, drops=True,
)  # fmt: skip


def stormy(seed: int) -> Plan:
    """A world of this seed with one channel in shadow, and enough people in it to push to every channel."""
    return attrs.evolve(Plan.of(seed), visits_s=1 / 20, operator_s=60.0, fair=False, stretch=1.0).shadowed(seed)


@pytest.mark.parametrize("seed", range(5))
def test_in_shadow_no_call_that_writes_ever_leaves(seed: int) -> None:
    result = World(seed, 0.15, stormy(seed), in_memory=True).run()
    assert not result.failures, "\n".join([*result.trace[-20:], *result.failures])
    assert result.counts["levels written"] + result.counts["orders"] > 0


class Trial(World):
    """A quiet world: `site` is in shadow by its configuration, then live, then rolled back; the daemon is killed in
    between, and its configuration changed."""

    async def _days(self) -> None:
        front = self.fronts["site"]
        await self._rest()
        first = self._shown()
        assert not front.store.ledger.writes
        # Another tool writes there, and somebody buys elsewhere: nothing is written, nothing is a drift.
        listing = front.listed()[0]
        front.edit(listing.id, listing.quantity + 4)
        self.fronts["eu"].call("POST", "/orders", {"lines": [{"sku": listing.sku, "quantity": 1}]})
        await trio.sleep(200.0)
        assert all(write.fault == "staff" for write in front.store.ledger.writes)
        assert (await self._asked("GET", "/v1/drift?channel=site"))["drifts"] == []
        kept = self._shown()
        assert kept == first | {listing.id: first[listing.id] + 4}

        live = await self._asked("POST", "/v1/channels/site/live")
        assert (live["mode"], live["mode_in_file"], live["state"]) == ("live", "shadow", "live")
        assert live["kept"]["listings"] == len(first)
        self.oracle.commanded("/v1/channels/site/live", 200)
        await self._rest()
        assert self._shown() != kept, "nothing was pushed, so nothing is tried here"

        assert self.life is not None
        self.life.crash("after going live")
        await self.life.ended.wait()
        await self.moment("a start", 600.0)
        await self._rest()
        assert (await self._asked("GET", "/v1/channels"))["channels"][1]["mode"] == "live"
        difference = (await self._asked("GET", "/v1/channels/site/rollback"))["listings"]
        assert {each["listing"]: each["prior"] for each in difference} == kept

        begun = await self._asked("POST", "/v1/channels/site/rollback")
        assert begun["mode"] == "rollback"
        if self.kill_amid_rollback:
            self.life.crash("amid a roll back")
            await self.life.ended.wait()
            await self.moment("a start", 600.0)
        while (await self._asked("GET", "/v1/channels"))["channels"][1]["mode"] == "rollback":  # noqa: ASYNC110 - a person looks
            await trio.sleep(1.0)
        self.oracle.commanded("/v1/channels/site/shadow", 200)
        assert self._shown() == kept
        writes = len(front.store.ledger.writes)
        # In shadow again: the stock moves on, and nothing is written.
        self.fronts["eu"].call("POST", "/orders", {"lines": [{"sku": listing.sku, "quantity": 1}]})
        await trio.sleep(200.0)
        assert len(front.store.ledger.writes) == writes
        assert self._shown() == kept
        await self._rest()
        await self._end()

    kill_amid_rollback = False

    def _shown(self) -> dict[str, int]:
        return {each.id: each.quantity for each in self.fronts["site"].listed()}

    async def _asked(self, method: str, path: str) -> Any:
        while True:
            status, answer = await self.ask_admin(path, {} if method == "POST" else None, method=method)
            if status is not None:
                assert status == 200, answer
                return json.loads(answer)
            await trio.sleep(1.0)


@pytest.mark.parametrize("kill", [False, True])
def test_a_channel_goes_live_and_is_rolled_back(kill: bool) -> None:
    world = Trial(5, 0.1, QUIET)
    world.kill_amid_rollback = kill
    result = world.run()
    assert not result.failures, "\n".join([*result.trace[-30:], *result.failures])


class Rival(World):
    """`site` is in shadow, and another tool keeps it: it follows each sale elsewhere half a minute late. One sale it
    forgets; and once it takes a level for too little."""

    async def _days(self) -> None:
        site, eu = self.fronts["site"], self.fronts["eu"]
        await self._rest()
        listing = next(each for each in site.listed() if each.sku in eu.skus)
        await self._count(listing.sku, 12)
        wished = (await self._report())[listing.id]["would_show"]
        site.edit(listing.id, wished)
        await trio.sleep(30.0)
        for _ in range(4):
            eu.call("POST", "/orders", {"lines": [{"sku": listing.sku, "quantity": 1}]})
            await trio.sleep(30.0)
            site.edit(listing.id, listing.quantity - 1)
            await trio.sleep(100.0)
        eu.call("POST", "/orders", {"lines": [{"sku": listing.sku, "quantity": 1}]})
        await trio.sleep(3600.0)
        self.found = await self._asked("GET", "/v1/channels/site/shadow")
        self.row = (await self._report())[listing.id]
        self.listing = listing.id
        assert self.life is not None
        self.life.daemon.stop()  # type: ignore[union-attr]  # it lives
        await self.life.ended.wait()
        await self.moment("a start", 600.0)
        await self._rest()
        self.later = (await self._report())[listing.id]
        await self._end()

    async def _count(self, sku: str, units: int) -> None:
        reference = "R1"
        self.oracle.counting(reference, sku, units, "available")
        body = {"sku": sku, "quantity": units, "kind": "available", "reference": reference}
        assert (await self.ask_admin("/v1/counts", body))[0] == 200
        self.oracle.answered(reference)

    async def _report(self) -> dict[str, Any]:
        await trio.sleep(5.0)
        found = await self._asked("GET", "/v1/channels/site/shadow")
        return {each["listing"]: each for each in found["listings"]}

    async def _asked(self, method: str, path: str) -> Any:
        status, answer = await self.ask_admin(path, method=method)
        assert status == 200, answer
        return json.loads(answer)


def test_the_report_says_what_the_tool_that_is_live_did_and_when() -> None:
    world = Rival(5, 0.1, attrs.evolve(QUIET, stock_max=60))
    result = world.run()
    assert not result.failures, "\n".join([*result.trace[-30:], *result.failures])
    row, found = world.row, world.found
    assert row["would_push"] >= 5
    assert row["pushes"][-1]["cause"].startswith("order ")
    assert row["shows"] == row["would_show"] + 1
    assert row["waits_for"] == 1, "the last sale was forgotten"
    assert found["sales"] >= 5
    assert found["followed"] >= 4
    # Half a minute late, known by looks that are ever further apart.
    assert 10_000 <= found["lag_at_least_ms"]["p50"] <= 31_000 <= found["lag_at_most_ms"]["p50"] <= 70_000
    assert found["onhand_ms"]["p50"] < 10_000
    assert row["over"]["now"]
    assert row["over"]["worst"] >= 1
    assert row["over"]["at_most_s"] >= 4 * 30 + 3600
    assert row["over"]["at_least_s"] <= row["over"]["at_most_s"]
    assert world.later["would_push"] == row["would_push"], "a restart forgets nothing"

"""Our clock is set back between a count and a sale: the sale still comes after the count."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest
import trio

from daemon.app import assembly
from tests.simulation.plan import Plan
from tests.simulation.world import Result, World

PLAN = attrs.evolve(
    Plan.of(1), skus=("SKU-01",), hot=frozenset({"SKU-01"}), stock_max=9, poll_s=3.0, fair=True, early=False,
    blind=False,
)  # fmt: skip


class SetBack(World):
    """A quiet world in which that happens, and nothing else."""

    async def _days(self) -> None:
        await self._rest()
        front = next(each for each in self.front_list if each.store.shop.by_sku["SKU-01"].quantity)
        body = {"sku": "SKU-01", "quantity": 20, "kind": "available", "reference": "C1"}
        self.oracle.counting("C1", "SKU-01", 20, "available")
        status, _ = await self.ask_admin("/v1/counts", body)
        assert status == 200
        self.oracle.answered("C1")
        self.set_wall(-60.0)
        await trio.sleep(10.0)
        status, _ = await self.ask_admin(f"/v1/channels/{front.name}/reconcile", {})  # its clock is read again
        assert status == 200
        await trio.sleep(5.0)
        assert front.call("POST", "/orders", {"lines": [{"sku": "SKU-01", "quantity": 1}]}).status == 201
        await self._rest()
        await self._end()


class Jumpy:
    """The clock on the wall as it is."""

    def __init__(self, wall_us: Callable[[], int]) -> None:
        self._wall_us = wall_us

    def not_before(self, us: int) -> None:
        """It does not care."""

    def __call__(self) -> int:
        return self._wall_us()


def live() -> Result:
    return SetBack(3, 0.1, PLAN).run()


def test_a_sale_after_a_count_stays_after_it_when_our_clock_is_set_back() -> None:
    result = live()
    assert not result.failures, "\n".join([*result.trace[-20:], *result.failures])


def test_a_daemon_that_goes_by_the_wall_loses_that_sale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assembly, "SteadyClock", Jumpy)
    assert any("available is 20, in truth 19" in failure for failure in live().failures)

"""Kits through the whole daemon: real storefronts on loopback, HTTP both ways, kits here and components there."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from adapters.storefront.faults import Faults, WebhookFaults
from daemon.theatre.stage import Stage, staged, storefront

KITS = {"SET": {"CUP": 1, "PLATE": 2}, "PAIR": {"CUP": 2}}
SKUS = ("CUP", "PLATE", "SET", "PAIR")


def shown(stage: Stage) -> dict[str, dict[str, int]]:
    return {sku: stage.shown(sku) for sku in SKUS}


def everywhere(**levels: int) -> dict[str, dict[str, int]]:
    """These levels at every storefront that lists the SKU: only the market sells pairs."""
    stores = {"PAIR": ("market",)}
    return {sku: dict.fromkeys(stores.get(sku, ("market", "boutique")), levels[sku]) for sku in SKUS}


async def settled(stage: Stage, **levels: int) -> None:
    right = everywhere(**levels)
    came = await stage.until(lambda: shown(stage) == right and not stage.open_listings(), 20.0)
    assert shown(stage) == right, came


@pytest.mark.slow
async def test_kits_sold_here_and_components_there_are_right_everywhere(tmp_path: Path) -> None:
    market = storefront("market", {"CUP": 10, "PLATE": 30, "SET": 99, "PAIR": 99}, 1)
    boutique = storefront("boutique", {"CUP": 10, "PLATE": 30, "SET": 50}, 2)
    async with staged([market, boutique], tmp_path, KITS) as stage:
        await settled(stage, CUP=10, PLATE=30, SET=10, PAIR=5)
        rough = Faults(webhook=WebhookFaults(duplicate=0.5, drop=0.3, delay_s=0.3, reorder=0.5))
        await stage.misbehave({"market": rough, "boutique": rough})
        first = await stage.order("market", [("SET", 2), ("CUP", 1)])  # a kit and its component on one order
        assert first
        await settled(stage, CUP=7, PLATE=26, SET=7, PAIR=3)
        async with trio.open_nursery() as rush:
            for store, lines in (
                ("market", [("PAIR", 1), ("SET", 1)]),  # two kits that share a part
                ("boutique", [("CUP", 1)]),
                ("boutique", [("SET", 1)]),
                ("market", [("PLATE", 7)]),
            ):
                rush.start_soon(stage.order, store, lines)
        await settled(stage, CUP=2, PLATE=15, SET=2, PAIR=1)
        (set_line, _) = market.shop.orders[first].lines
        wanted = {"lines": [{"id": set_line, "quantity": 1}]}
        assert (await stage.call("market", f"/orders/{first}/cancel", wanted)).status == 200
        await settled(stage, CUP=3, PLATE=17, SET=3, PAIR=1)
        await stage.admin.post("counts", body={"sku": "PLATE", "quantity": 3, "kind": "available"})
        await settled(stage, CUP=3, PLATE=3, SET=1, PAIR=1)
        assert await stage.order("boutique", [("SET", 1)])
        await settled(stage, CUP=2, PLATE=1, SET=0, PAIR=1)
        assert await stage.order("boutique", [("SET", 1)]) == ""
        assert stage.breakages() == []

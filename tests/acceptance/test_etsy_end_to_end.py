"""Etsy over real HTTP: a composed shop beside a sandbox storefront, and the daemon between them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import trio

from tests.acceptance.json_server import answering
from tests.acceptance.processes import Shop, daemon, free_port, sandbox_channel, shop, until, write_config
from tests.adapters.etsy_twin import KEYSTRING, REFRESH, SHARED, SHOP, Listing, Twin, Variant

pytestmark = pytest.mark.slow

SECRETS = {"ETSY_KEY": KEYSTRING, "ETSY_SHARED": SHARED, "ETSY_REFRESH": REFRESH}


async def shows(twin: Twin, north: Shop, expected: dict[str, int], within_s: float = 30) -> None:
    """Both shops show these numbers, soon."""

    async def agreed() -> bool:
        return {sku: twin.on_sale(sku) for sku in expected} == expected == await north.shown()

    try:
        await until(agreed, within_s, 0.05)
    except trio.TooSlowError:
        seen = {sku: twin.on_sale(sku) for sku in expected}, await north.shown()
        raise AssertionError(f"expected {expected} at both; Etsy and the storefront show {seen}") from None


async def test_etsy_and_a_storefront_are_kept_in_step_through_zero_a_cancellation_and_a_kill(tmp_path: Path) -> None:
    variants = [Variant(501, "SKU-0001", 6), Variant(502, "SKU-0002", 2)]
    twin = Twin({1169407548: Listing(1169407548, variants)}, lambda: int(time.time()))
    port = free_port()
    async with (
        answering(twin.answer) as etsy_port,
        shop(tmp_path, "north", f"http://127.0.0.1:{port}/webhooks/north", skus=2) as north,
    ):
        crafts = {
            "adapter": "etsy", "base_url": f"http://127.0.0.1:{etsy_port}", "shop_id": str(SHOP),
            "keystring": {"env": "ETSY_KEY"}, "shared_secret": {"env": "ETSY_SHARED"},
            "refresh_token": {"env": "ETSY_REFRESH"}, "webhook_secrets": [],
            "poll_interval_s": 0.3, "feed_lag_s": 0.2, "request_life_s": 1,
        }  # fmt: skip
        channels = {"crafts": crafts, "north": sandbox_channel("north", north.port)}
        write_config(tmp_path, port, channels, public_url=f"http://127.0.0.1:{port}")
        async with daemon(tmp_path, port, env=SECRETS) as found:
            await found.wait_ready()
            await shows(twin, north, {"SKU-0001": 6, "SKU-0002": 2})  # the first channel gave the first count
            receipt = twin.sell("SKU-0001", 2, status="open")
            await shows(twin, north, {"SKU-0001": 4, "SKU-0002": 2})
            assert (await north.post("/orders", {"lines": [{"sku": "SKU-0002", "quantity": 1}]}))[0] == 201
            await shows(twin, north, {"SKU-0001": 4, "SKU-0002": 1})
            twin.change(receipt, "canceled")  # and the seller does not put the units back
            await shows(twin, north, {"SKU-0001": 6, "SKU-0002": 1})

            for sku, units in (("SKU-0001", 6), ("SKU-0002", 1)):
                assert (await north.post("/orders", {"lines": [{"sku": sku, "quantity": units}]}))[0] == 201
            await shows(twin, north, {"SKU-0001": 0, "SKU-0002": 0})
            assert twin.listings[1169407548].state == "inactive"
            assert await found.tell("/v1/adjustments", {"sku": "SKU-0002", "quantity": 3, "reason": "came"})
            await shows(twin, north, {"SKU-0001": 0, "SKU-0002": 3})
            assert twin.listings[1169407548].state == "active"

            given = len(twin.refreshes)
            found.process.kill()
            twin.sell("SKU-0002", 1)
            found.process.start()
            await found.wait_ready()
            await shows(twin, north, {"SKU-0001": 0, "SKU-0002": 2})
            assert len(twin.refreshes) == given + 1  # the refresh token that was kept, not the configured one
            assert {status for _, _, status in twin.log} == {200}
            assert (await found.tell("/v1/rebuild", {"verify": True}))["ok"]
            assert (await found.ask("/v1/status"))["dead_letters"] == 0
            assert found.process.complaints() == ""

"""BigCommerce over real HTTP: a composed store beside a sandbox storefront, and the daemon between them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from adapters.bigcommerce.inbound import ORDER_SCOPES
from tests.acceptance.bigcommerce_server import Server, running
from tests.acceptance.processes import Daemon, Shop, daemon, free_port, sandbox_channel, shop, until, write_config
from tests.adapters.bigcommerce_twin import CLIENT_SECRET, HASH, KEY, TOKEN, Item

pytestmark = pytest.mark.slow

SECRETS = {"BC_TOKEN": TOKEN, "BC_CLIENT": CLIENT_SECRET, "BC_KEY": KEY}


@asynccontextmanager
async def two_channels(folder: Path, **options: Any) -> AsyncIterator[tuple[Server, Shop, Daemon]]:
    """A BigCommerce store with 12 of SKU-0001 and 9 of SKU-0002, two of them its safety stock, applying each write
    after a moment; a sandbox storefront; the daemon."""
    items = [Item(509, 206, "SKU-0001", 12), Item(77, 120, "SKU-0002", 9, safety=2)]
    port = free_port()
    async with (
        running(Server(items, lag_s=0.2, quota=3_000, **options)) as server,
        shop(folder, "north", f"http://127.0.0.1:{port}/webhooks/north", skus=2) as north,
    ):
        channels = {
            "commerce": {
                "adapter": "bigcommerce", "base_url": f"http://127.0.0.1:{server.port}", "store_hash": HASH,
                "access_token": {"env": "BC_TOKEN"}, "webhook_key": {"env": "BC_KEY"},
                "webhook_secrets": [{"env": "BC_CLIENT"}],
                "poll_interval_s": 0.3, "feed_lag_s": 0.2, "request_life_s": 1, "rate_per_s": 50, "burst": 50,
            },
            "north": sandbox_channel("north", north.port),
        }  # fmt: skip
        write_config(folder, port, channels, public_url=f"http://127.0.0.1:{port}")
        async with daemon(folder, port, env=SECRETS) as found:
            await found.wait_ready()
            yield server, north, found


async def shows(server: Server, north: Shop, expected: dict[str, int], within_s: float = 30) -> None:
    """Both stores show these numbers, soon."""

    def there() -> dict[str, int]:
        server.twin.apply()
        return {sku: server.twin.item(sku).shown() for sku in expected}

    async def agreed() -> bool:
        return there() == expected == await north.shown()

    try:
        await until(agreed, within_s, 0.05)
    except trio.TooSlowError:
        seen = there(), await north.shown()
        raise AssertionError(f"expected {expected} at both; BigCommerce and the storefront show {seen}") from None


async def test_a_sale_at_either_store_shows_at_the_other_and_lost_hints_are_found_by_the_poll(tmp_path: Path) -> None:
    async with two_channels(tmp_path) as (server, north, found):
        twin = server.twin
        await shows(server, north, {"SKU-0001": 12, "SKU-0002": 7})  # the first channel gave the first count

        async def subscribed() -> bool:
            return {hook["scope"] for hook in twin.hooks.values()} == set(ORDER_SCOPES)

        await until(subscribed, 10)

        order = twin.sell("SKU-0001", 2)
        twin.sell("SKU-0002", 5, status=0)  # a checkout that nobody paid
        await shows(server, north, {"SKU-0001": 10, "SKU-0002": 7})
        assert (await north.post("/orders", {"lines": [{"sku": "SKU-0002", "quantity": 3}]}))[0] == 201
        await shows(server, north, {"SKU-0001": 10, "SKU-0002": 4})
        assert twin.item("SKU-0002").on_hand == 6  # its own safety stock stays
        twin.change(order, quantity=1)
        await shows(server, north, {"SKU-0001": 11, "SKU-0002": 4})
        twin.change(order, status=5)
        await shows(server, north, {"SKU-0001": 12, "SKU-0002": 4})
        assert {(status, size) for _, status, size in server.delivered} <= {(200, 0), (204, 0)}

        twin.mute = True
        twin.sell("SKU-0001", 4)
        await shows(server, north, {"SKU-0001": 8, "SKU-0002": 4})
        twin.mute = False
        assert 429 not in {status for _, _, status in twin.log}
        assert {status for _, path, status in twin.log if "adjustments" in path} == {200}

        assert [record for record in found.process.records() if record["severity"] == "error"] == []
        assert (await found.tell("/v1/rebuild", {"verify": True}))["ok"]
        status = await found.ask("/v1/status")
        assert status["dead_letters"] == 0


async def test_a_killed_daemon_finds_the_sales_of_the_meantime_and_switches_its_webhooks_on_again(
    tmp_path: Path,
) -> None:
    async with two_channels(tmp_path, inline=False) as (server, north, found):
        twin = server.twin
        await shows(server, north, {"SKU-0001": 12, "SKU-0002": 7})

        async def all_active() -> bool:
            return len(twin.hooks) == len(ORDER_SCOPES) and all(hook["is_active"] for hook in twin.hooks.values())

        await until(all_active, 10)
        found.process.kill()
        twin.sell("SKU-0001", 3)
        twin.sell("SKU-0002", 7)
        assert (await north.post("/orders", {"lines": [{"sku": "SKU-0001", "quantity": 1}]}))[0] == 201

        async def given_up() -> bool:
            return not all(hook["is_active"] for hook in twin.hooks.values())

        await until(given_up, 10)
        found.process.start()
        await found.wait_ready()
        await shows(server, north, {"SKU-0001": 8, "SKU-0002": 0})
        await until(all_active, 10)
        assert len(twin.hooks) == len(ORDER_SCOPES)  # put right, not made once more

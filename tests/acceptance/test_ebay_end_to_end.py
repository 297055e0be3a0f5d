"""eBay over real HTTP: a composed eBay beside a sandbox storefront, and the daemon between them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from tests.acceptance.ebay_server import Server, running
from tests.acceptance.processes import Daemon, Shop, daemon, free_port, sandbox_channel, shop, until, write_config
from tests.adapters.ebay_twin import SELLER

pytestmark = pytest.mark.slow

SECRETS = {
    "EBAY_CERT": "cert", "EBAY_CONSENT": "consented", "EBAY_PROOF": "sync_daemon-verification-token-0001_abcdef",
}  # fmt: skip


@asynccontextmanager
async def two_channels(folder: Path) -> AsyncIterator[tuple[Server, Shop, Daemon]]:
    """An eBay account with 12 of SKU-0001 and 7 of the 9 of SKU-0002 on offer; a sandbox storefront; the daemon."""
    server = Server()
    server.twin.list("SKU-0001", 12)
    server.twin.list("SKU-0002", 9, available=7)
    port = free_port()
    hook = f"http://127.0.0.1:{port}/webhooks/north"
    async with running(server), shop(folder, "north", hook, skus=2) as north:
        channels = {
            "auctions": {
                "adapter": "ebay", "base_url": f"http://127.0.0.1:{server.port}", "client_id": "app",
                "client_secret": {"env": "EBAY_CERT"}, "refresh_token": {"env": "EBAY_CONSENT"},
                "webhook_secrets": [{"env": "EBAY_PROOF"}], "alert_email": "ops@example.com", "user_id": SELLER,
                "poll_interval_s": 1, "feed_lag_s": 0.5, "request_life_s": 3, "rate_per_s": 100, "burst": 100,
                "trading_calls_per_day": 1_000_000,
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
        return {sku: server.twin.items[sku].shown for sku in expected}

    async def agreed() -> bool:
        return there() == expected == await north.shown()

    try:
        await until(agreed, within_s, 0.05)
    except trio.TooSlowError:
        seen = there(), await north.shown()
        raise AssertionError(f"expected {expected} at both; eBay and the storefront show {seen}") from None


async def test_a_purchase_counts_once_from_the_moment_it_is_made_and_a_kill_loses_none(tmp_path: Path) -> None:
    async with two_channels(tmp_path) as (server, north, found):
        twin = server.twin
        await shows(server, north, {"SKU-0001": 12, "SKU-0002": 7})  # the first channel gave the first count

        async def subscribed() -> bool:
            return [each["topicId"] for each in twin.subscriptions.values()] == ["ORDER_CONFIRMATION"]

        await until(subscribed, 10)

        bought = twin.buy("SKU-0001", 2)
        await shows(server, north, {"SKU-0001": 10, "SKU-0002": 7})  # unpaid, yet gone
        twin.pay(bought)
        await server.notify(bought)
        assert server.delivered == [200]
        assert (await north.post("/orders", {"lines": [{"sku": "SKU-0002", "quantity": 3}]}))[0] == 201
        await shows(server, north, {"SKU-0001": 10, "SKU-0002": 4})
        status, order = await north.post("/orders", {"lines": [{"sku": "SKU-0002", "quantity": 4}]})
        assert status == 201
        await shows(server, north, {"SKU-0001": 10, "SKU-0002": 0})
        assert not twin.sold_out
        twin.cancel(bought)  # eBay itself gives nothing back
        await shows(server, north, {"SKU-0001": 12, "SKU-0002": 0})

        # Without the Trading API nobody knows what is bought and not paid: what is paid counts, nothing is raised.
        twin.trading_broken = True
        twin.pay(twin.buy("SKU-0001", 1))
        await shows(server, north, {"SKU-0001": 11, "SKU-0002": 0})
        assert (await north.post(f"/orders/{order['id']}/cancel"))[0] == 200
        await trio.sleep(1.5)
        assert twin.items["SKU-0002"].shown == 0
        twin.trading_broken = False
        await shows(server, north, {"SKU-0001": 11, "SKU-0002": 4})

        found.process.kill()
        twin.pay(twin.buy("SKU-0001", 3))
        twin.buy("SKU-0001", 1)
        found.process.start()
        await found.wait_ready()
        await shows(server, north, {"SKU-0001": 7, "SKU-0002": 4})
        assert len(twin.subscriptions) == len(twin.destinations) == 1  # once, not once a start

        assert [record for record in found.process.records() if record["severity"] == "error"] == []
        assert (await found.tell("/v1/rebuild", {"verify": True}))["ok"]
        status = await found.ask("/v1/status")
        assert status["dead_letters"] == 0

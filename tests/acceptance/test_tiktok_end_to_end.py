"""TikTok Shop over real HTTP: a composed shop beside a sandbox storefront, and the daemon between them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from adapters.tiktok_shop.inbound import TOPICS
from tests.acceptance.processes import Daemon, Shop, daemon, free_port, sandbox_channel, shop, until, write_config
from tests.acceptance.tiktok_server import Server, running
from tests.adapters.tiktok_twin import ANNEX, HOME, KEY, SECRET, Item

pytestmark = pytest.mark.slow

SECRETS = {"TT_SECRET": SECRET, "TT_REFRESH": "refresh-0"}


@asynccontextmanager
async def two_channels(
    folder: Path, items: list[Item], channel: dict[str, object], **options: Any
) -> AsyncIterator[tuple[Server, Shop, Daemon]]:
    """A TikTok Shop whose cipher nobody configured, a sandbox storefront, the daemon."""
    port = free_port()
    async with (
        running(Server(items, port, **options)) as server,
        shop(folder, "north", f"http://127.0.0.1:{port}/webhooks/north", skus=2) as north,
    ):
        url = f"http://127.0.0.1:{server.port}"
        channels = {
            "tiktok": {
                "adapter": "tiktok_shop", "base_url": url, "auth_url": url, "app_key": KEY,
                "app_secret": {"env": "TT_SECRET"}, "refresh_token": {"env": "TT_REFRESH"},
                "webhook_secrets": [{"env": "TT_SECRET"}],
                "poll_interval_s": 1, "feed_lag_s": 1, "request_life_s": 3, **channel,
            },
            "north": sandbox_channel("north", north.port),
        }  # fmt: skip
        write_config(folder, port, channels, public_url="https://sync.example.com")
        async with daemon(folder, port, env=SECRETS) as found:
            await found.wait_ready()
            yield server, north, found


async def shows(server: Server, north: Shop, expected: dict[str, int], within_s: float = 30) -> None:
    """Both show these numbers, soon; at TikTok Shop in our warehouse."""

    def there() -> dict[str, int]:
        return {sku: server.twin.item(sku).wares[HOME] for sku in expected}

    async def agreed() -> bool:
        return there() == expected == await north.shown()

    try:
        await until(agreed, within_s, 0.05)
    except trio.TooSlowError:
        seen = there(), await north.shown()
        raise AssertionError(f"expected {expected} at both; TikTok Shop and the storefront show {seen}") from None


async def subscribed(server: Server) -> None:
    """The daemon made every subscription that it wants, by itself."""

    async def all_there() -> bool:
        return set(server.twin.hooks) == set(TOPICS)

    await until(all_there, 20)


async def test_a_sale_at_either_shows_at_the_other_while_tokens_are_renewed_under_way(tmp_path: Path) -> None:
    items = [Item("100", "11", "SKU-0001", {HOME: 12}), Item("100", "12", "SKU-0002", {HOME: 7})]
    async with two_channels(tmp_path, items, {}, life_s=2.0, stock_hooks=True) as (server, north, found):
        twin = server.twin
        await shows(server, north, {"SKU-0001": 12, "SKU-0002": 7})  # the first channel gave the first count
        await subscribed(server)

        order = twin.sell("SKU-0001", 2, "UNPAID")  # nobody paid, yet nobody else may have them
        await shows(server, north, {"SKU-0001": 10, "SKU-0002": 7})
        assert (await north.post("/orders", {"lines": [{"sku": "SKU-0002", "quantity": 3}]}))[0] == 201
        await shows(server, north, {"SKU-0001": 10, "SKU-0002": 4})
        twin.move(order, "ON_HOLD")
        twin.move(order, "AWAITING_SHIPMENT")
        assert twin.cancel(order, 1) == 1
        await shows(server, north, {"SKU-0001": 11, "SKU-0002": 4})
        twin.ship(order, 1)
        assert twin.cancel(order) == 0  # what left does not come back
        await shows(server, north, {"SKU-0001": 11, "SKU-0002": 4})
        assert (await north.post("/orders", {"lines": [{"sku": "SKU-0001", "quantity": 1}]}))[0] == 201
        await shows(server, north, {"SKU-0001": 10, "SKU-0002": 4})

        twin.mute = True
        twin.sell("SKU-0001", 4)
        await shows(server, north, {"SKU-0001": 6, "SKU-0002": 4})
        twin.mute = False

        assert {told for told in server.delivered if told[0]} == {(200, 0)}  # answered without a body

        async def renewed() -> bool:
            return sum(path.endswith("/token/refresh") for _, path, _ in twin.log) >= 3

        await until(renewed, 10)
        assert {code for _, _, code in twin.log} <= {0, 105002}
        assert [record for record in found.process.records() if record["severity"] == "error"] == []
        assert (await found.tell("/v1/rebuild", {"verify": True}))["ok"]
        status = await found.ask("/v1/status")
        assert status["dead_letters"] == 0


async def test_a_killed_daemon_goes_on_with_the_newest_refresh_token_and_writes_its_own_warehouse_alone(
    tmp_path: Path,
) -> None:
    items = [
        Item("100", "11", "SKU-0001", {HOME: 12, ANNEX: 30}),
        Item("200", "21", "SKU-0002", {HOME: 7}),
    ]
    async with two_channels(tmp_path, items, {"warehouse": HOME}) as (server, north, found):
        twin = server.twin
        await shows(server, north, {"SKU-0001": 12, "SKU-0002": 7})
        await subscribed(server)
        assert (await north.post("/orders", {"lines": [{"sku": "SKU-0001", "quantity": 2}]}))[0] == 201
        await shows(server, north, {"SKU-0001": 10, "SKU-0002": 7})
        await trio.sleep(0.5)  # whatever was being written is written
        twin.sell("SKU-0001", 5, warehouse=ANNEX)  # from another shelf than ours
        found.process.kill()
        twin.sell("SKU-0001", 3)
        twin.sell("SKU-0002", 7)
        assert (await north.post("/orders", {"lines": [{"sku": "SKU-0001", "quantity": 1}]}))[0] == 201
        del twin.hooks["ORDER_STATUS_CHANGE"]  # somebody took the subscription away
        found.process.start()
        await found.wait_ready()
        await shows(server, north, {"SKU-0001": 6, "SKU-0002": 0})
        await subscribed(server)
        assert twin.item("SKU-0001").wares[ANNEX] == 25
        assert {before == after for _, place, before, after in twin.written if place == ANNEX} == {True}
        refreshed = [code for _, path, code in twin.log if path.endswith("/token/refresh")]
        assert set(refreshed) == {0}  # never with one that was used up
        assert len(refreshed) >= 2
        assert (await found.tell("/v1/rebuild", {"verify": True}))["ok"]

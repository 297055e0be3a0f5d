"""Walmart over real HTTP: a composed Walmart beside a sandbox storefront, and the daemon between them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import trio

from tests.acceptance.bigcommerce_server import Server, running
from tests.acceptance.processes import Daemon, Shop, daemon, free_port, sandbox_channel, shop, until, write_config
from tests.adapters.walmart_twin import CLIENT_ID, CLIENT_SECRET, HOOK_SECRET, Twin

pytestmark = pytest.mark.slow

SECRETS = {"MART_SECRET": CLIENT_SECRET, "MART_HOOK": HOOK_SECRET}


class Mart(Server):
    """A Walmart that takes calls, and the answers that its notifications got."""

    def __init__(self, told: dict[str, int], make: Callable[..., Twin] = Twin, **options: Any) -> None:
        super().__init__([])
        self.twin: Any = make(told, time.time, **options)

    async def deliver(self, hook: Any, url: str, body: bytes, headers: dict[str, str]) -> None:
        """As every other server; Walmart calls an event's kind otherwise."""
        await super().deliver(hook | {"scope": hook["eventType"]}, url, body, headers)


@asynccontextmanager
async def two_channels(
    folder: Path, told: Mapping[str, int] = MappingProxyType({"SKU-0001": 12, "SKU-0002": 9}), **options: Any
) -> AsyncIterator[tuple[Twin, Shop, Daemon]]:
    """A Walmart that was told so much, three of SKU-0001 in an order that is not sent yet; a sandbox storefront; the
    daemon."""
    port = free_port()
    mart = Mart(dict(told), **options)
    mart.twin.sell(("SKU-0001", 3))
    async with (
        running(mart) as server,
        shop(folder, "north", f"http://127.0.0.1:{port}/webhooks/north", skus=2) as north,
    ):
        channels = {
            "mart": {
                "adapter": "walmart", "base_url": f"http://127.0.0.1:{server.port}",
                "client_id": CLIENT_ID, "client_secret": {"env": "MART_SECRET"},
                "webhook_secrets": [{"env": "MART_HOOK"}],
                "poll_interval_s": 1, "feed_lag_s": 1, "request_life_s": 3, "rate_per_s": 50, "burst": 50,
            },
            "north": sandbox_channel("north", north.port),
        }  # fmt: skip
        write_config(folder, port, channels, public_url=f"http://127.0.0.1:{port}")
        # Of an order from the very seconds of the first count nobody could say whether that holds it.
        await trio.sleep(3)
        async with daemon(folder, port, env=SECRETS) as found:
            await found.wait_ready()
            yield mart.twin, north, found


async def shows(twin: Twin, north: Shop, expected: dict[str, int], within_s: float = 30) -> None:
    """Both show these numbers, soon."""

    def there() -> dict[str, int]:
        return {sku: twin.shown(sku) for sku in expected}

    async def agreed() -> bool:
        return there() == expected == await north.shown()

    try:
        await until(agreed, within_s, 0.05)
    except trio.TooSlowError:
        seen = there(), await north.shown(), twin.told
        raise AssertionError(
            f"expected {expected} at both; Walmart, the storefront, Walmart's input: {seen}"
        ) from None


async def test_open_orders_are_added_sales_need_no_push_and_sending_does(tmp_path: Path) -> None:
    async with two_channels(tmp_path, hex_signature=True) as (twin, north, found):
        # The first count is what Walmart can sell; its open order is added to what it is told.
        await shows(twin, north, {"SKU-0001": 9, "SKU-0002": 9})
        assert twin.told == {"SKU-0001": 12, "SKU-0002": 9}

        async def subscribed() -> bool:
            return [hook["eventType"] for hook in twin.hooks.values()] == ["ORDER_UPDATES"]

        await until(subscribed, 10)
        writes = len(twin.written)
        order = twin.sell(("SKU-0001", 2), ("SKU-0002", 1))
        await shows(twin, north, {"SKU-0001": 7, "SKU-0002": 8})
        assert len(twin.written) == writes  # it took them off by itself

        assert (await north.post("/orders", {"lines": [{"sku": "SKU-0001", "quantity": 4}]}))[0] == 201
        await shows(twin, north, {"SKU-0001": 3, "SKU-0002": 8})
        assert twin.told["SKU-0001"] == 3 + 5

        twin.acknowledge(order)
        twin.ship(order)  # nothing tells of it, and until it is told Walmart shows two too many
        assert twin.shown("SKU-0001") == 5
        await shows(twin, north, {"SKU-0001": 3, "SKU-0002": 8})
        twin.cancel(order, 1, by_walmart=True)
        await shows(twin, north, {"SKU-0001": 3, "SKU-0002": 9})
        twin.refund(order)
        twin.sell(("SKU-0002", 9), ship_node="WFSFulfilled")
        twin.mute = True
        twin.sell(("SKU-0002", 4))
        await shows(twin, north, {"SKU-0001": 3, "SKU-0002": 5})

        assert {status for _, path, status in twin.log if path == "/inventory"} == {200}
        assert {status for _, _, status in twin.log} <= {200}
        assert [record for record in found.process.records() if record["severity"] == "error"] == []
        assert (await found.tell("/v1/rebuild", {"verify": True}))["ok"]
        assert (await found.ask("/v1/status"))["dead_letters"] == 0


async def test_a_killed_daemon_finds_what_was_sold_and_sent_meanwhile(tmp_path: Path) -> None:
    async with two_channels(tmp_path, token_life_s=5) as (twin, north, found):
        await shows(twin, north, {"SKU-0001": 9, "SKU-0002": 9})
        (first,) = twin.orders
        found.process.kill()
        twin.sell(("SKU-0002", 2))
        twin.ship(first)
        assert (await north.post("/orders", {"lines": [{"sku": "SKU-0001", "quantity": 1}]}))[0] == 201
        found.process.start()
        await found.wait_ready()
        await shows(twin, north, {"SKU-0001": 8, "SKU-0002": 7})
        assert twin.told == {"SKU-0001": 8, "SKU-0002": 9}
        explained = await found.ask("/v1/skus/SKU-0002/explain")
        assert "plus 2 sold here and not sent yet" in str(explained)

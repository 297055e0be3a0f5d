"""Shopify over real HTTP: a composed shop beside a sandbox storefront."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from adapters.shopify.inbound import TOPICS
from tests.acceptance.processes import Daemon, Shop, daemon, free_port, sandbox_channel, shop, until, write_config
from tests.acceptance.shopify_twin import CLIENT, LOCATION, TOKEN, Twin, Variant, running

pytestmark = pytest.mark.slow

SECRETS = {"SHOP_TOKEN": TOKEN, "SHOP_SECRET": CLIENT[1], "SHOP_REFRESH": "refresh-0"}
STATIC: dict[str, object] = {"token": {"env": "SHOP_TOKEN"}}
CREDENTIALS: dict[str, object] = {"client_id": CLIENT[0], "client_secret": {"env": "SHOP_SECRET"}}
ROTATING: dict[str, object] = {**CREDENTIALS, "refresh_token": {"env": "SHOP_REFRESH"}}


def shopify_channel(port: int, access: dict[str, object], **extra: object) -> dict[str, object]:
    return {
        "adapter": "shopify", "shop": "twin-eu", "location": LOCATION, "base_url": f"http://127.0.0.1:{port}",
        "rate_per_s": 5_000, "burst": 10_000, "poll_interval_s": 1,
        "webhook_secrets": [{"env": "SHOP_SECRET"}], "request_life_s": 3, "feed_lag_s": 0.5,
        **access, **extra,
    }  # fmt: skip


@asynccontextmanager
async def two_channels(
    folder: Path, stock: int = 12, access: dict[str, object] = STATIC
) -> AsyncIterator[tuple[Twin, Shop, Daemon]]:
    """A Shopify shop and a sandbox storefront with the same two SKUs, the daemon between them."""
    twin = Twin([Variant(11, 21, "SKU-0001", stock), Variant(12, 22, "SKU-0002", stock)])
    port = free_port()
    async with running(twin), shop(folder, "north", f"http://127.0.0.1:{port}/webhooks/north", skus=2) as north:
        channels = {
            "site": shopify_channel(twin.port, access),
            "north": sandbox_channel("north", north.port),
        }
        write_config(folder, port, channels, public_url=f"http://127.0.0.1:{port}")
        async with daemon(folder, port, env=SECRETS) as found:
            await found.wait_ready()
            yield twin, north, found


async def shows(twin: Twin, north: Shop, expected: dict[str, int], within_s: float = 30) -> None:
    """Both stores show these numbers, soon."""

    async def agreed() -> bool:
        return {sku: twin.stock(sku) for sku in expected} == expected == await north.shown()

    try:
        await until(agreed, within_s, 0.05)
    except trio.TooSlowError:
        seen = {sku: twin.stock(sku) for sku in expected}, await north.shown()
        raise AssertionError(f"expected {expected} at both; Shopify and the storefront show {seen}") from None


async def subscribed(twin: Twin) -> None:
    async def all_there() -> bool:
        return len(twin.hooks) == len(TOPICS)

    await until(all_there, 15)


async def sell_north(north: Shop, sku: str, units: int) -> Any:
    return await north.post("/orders", {"lines": [{"sku": sku, "quantity": units}]})


async def test_sales_and_refunds_at_either_store_show_at_the_other(tmp_path: Path) -> None:
    async with two_channels(tmp_path) as (twin, north, found):
        await shows(twin, north, {"SKU-0001": 12, "SKU-0002": 12})  # the first channel gave the first count
        await subscribed(twin)
        order = twin.sell("SKU-0001", 3)  # not paid, and taken all the same
        await shows(twin, north, {"SKU-0001": 9, "SKU-0002": 12})
        assert (await sell_north(north, "SKU-0002", 4))[0] == 201
        await shows(twin, north, {"SKU-0001": 9, "SKU-0002": 8})
        twin.refund(order, 1, "cancel")
        await shows(twin, north, {"SKU-0001": 10, "SKU-0002": 8})
        twin.refund(order, 1, "no_restock")
        assert (await sell_north(north, "SKU-0001", 1))[0] == 201
        await shows(twin, north, {"SKU-0001": 9, "SKU-0002": 8})  # the damaged unit came back nowhere
        twin.refund(order, 1, "return")  # more refunds than a page of orders shows
        await shows(twin, north, {"SKU-0001": 10, "SKU-0002": 8})
        await until(_async(lambda: twin.asked.get("Refunds")), 10)
        assert {status for _, status in twin.delivered} == {200}
        assert [record for record in found.process.records() if record["severity"] == "error"] == []
        assert (await found.tell("/v1/rebuild", {"verify": True}))["ok"]
        assert (await found.ask("/v1/status"))["dead_letters"] == 0
        assert twin.throttled == 0
        # A sale that nobody tells of: the shop itself refuses what is based on the old number.
        twin.mute, twin.stale, written = True, 0, len(twin.written)
        twin.sell("SKU-0002", 5)
        assert (await sell_north(north, "SKU-0002", 2))[0] == 201
        await shows(twin, north, {"SKU-0001": 10, "SKU-0002": 1})
        assert twin.stale >= 1
        assert max(level for sku, _, level in twin.written[written:] if sku == "SKU-0002") == 1


async def test_a_killed_daemon_finds_what_was_sold_deleted_and_revoked_meanwhile(tmp_path: Path) -> None:
    async with two_channels(tmp_path, access=CREDENTIALS) as (twin, north, found):
        await subscribed(twin)
        found.process.kill()
        for _ in range(8):
            twin.sell("SKU-0001", 1)
        await until(_async(lambda: len(twin.hooks) == len(TOPICS) - 2), 10)  # orders/create and the levels are gone
        found.process.start()
        await found.wait_ready()
        await subscribed(twin)
        await shows(twin, north, {"SKU-0001": 4, "SKU-0002": 12})
        assert twin.spent == ["", ""]  # one token a life, whoever asked for it
        twin.tokens = set()  # revoked: the next call is refused, and asks anew
        twin.sell("SKU-0002", 1)
        await shows(twin, north, {"SKU-0001": 4, "SKU-0002": 11})
        await until(_async(lambda: len(twin.spent) == 3), 10)
        assert len(twin.hooks) == len(TOPICS)
        assert not (tmp_path / "state" / "secrets").exists()
        assert "access-" not in found.process.out.read_text()


def _async(fact: Any) -> Any:
    async def asked() -> bool:
        await trio.lowlevel.checkpoint()
        return bool(fact())

    return asked


async def test_rotated_refresh_tokens_survive_lost_answers_and_kills(tmp_path: Path) -> None:
    async with two_channels(tmp_path, access=ROTATING) as (twin, north, found):
        await shows(twin, north, {"SKU-0001": 12, "SKU-0002": 12})
        assert twin.spent == ["refresh-0"]
        path = tmp_path / "state" / "secrets" / "site.main"
        assert path.stat().st_mode & 0o777 == 0o600
        assert twin.refresh.encode() in path.read_bytes()
        found.process.kill()
        twin.lose_token_answers = 1
        twin.sell("SKU-0001", 1)
        found.process.start()
        await found.wait_ready()
        await shows(twin, north, {"SKU-0001": 11, "SKU-0002": 12})
        # The second life spent what the first had kept, and repeated it where the answer was lost.
        assert twin.spent == ["refresh-0", "refresh-1", "refresh-1"]
        kept = "".join(each.read_text("latin-1") for each in (tmp_path / "state").glob("*.mdb"))
        for secret in (*twin.spent, twin.refresh):
            assert secret not in kept + found.process.out.read_text()

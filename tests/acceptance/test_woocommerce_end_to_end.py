"""WooCommerce over real HTTP: a composed store beside a sandbox storefront; recorded deliveries in any order."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from adapters.woocommerce.inbound import TOPICS
from daemon.storage.codec import pack, unpack
from daemon.storage.environment import Environment
from daemon.storage.tables import SKUS
from tests import recordings
from tests.acceptance.processes import Daemon, Shop, daemon, free_port, sandbox_channel, shop, until, write_config
from tests.acceptance.webhooks import exchange, request
from tests.acceptance.woo_twin import KEY, SECRET, Item, Twin, running
from tests.recordings import Hook

pytestmark = pytest.mark.slow

SECRETS = {"WOO_KEY": KEY, "WOO_SECRET": SECRET, "WOO_HOOK": "hook_of_the_twin"}


def woocommerce_channel(port: int, **extra: object) -> dict[str, object]:
    return {
        "adapter": "woocommerce",
        "base_url": f"http://127.0.0.1:{port}",
        "consumer_key": {"env": "WOO_KEY"},
        "consumer_secret": {"env": "WOO_SECRET"},
        "webhook_secrets": [{"env": "WOO_HOOK"}],
        "rate_per_s": 50,
        "burst": 50,
        **extra,
    }


# --- a whole store ------------------------------------------------------------------------------------------


@asynccontextmanager
async def two_channels(folder: Path, stock: int = 0) -> AsyncIterator[tuple[Twin, Shop, Daemon]]:
    """A WooCommerce store with 12 of SKU-0001 and 7 of the variation SKU-0002 (or `stock` of both), a sandbox
    storefront, the daemon."""
    items = [Item(5, "SKU-0001", stock or 12), Item(21, "SKU-0002", stock or 7, parent=20)]
    twin = Twin({item.id: item for item in items}, parents=(20,))
    port = free_port()
    async with running(twin), shop(folder, "north", f"http://127.0.0.1:{port}/webhooks/north", skus=2) as north:
        site = woocommerce_channel(twin.port, poll_interval_s=1, request_life_s=3)
        channels = {"site": site, "north": sandbox_channel("north", north.port)}
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
        raise AssertionError(f"expected {expected} at both; WooCommerce and the storefront show {seen}") from None


async def subscribed(twin: Twin) -> None:
    """The daemon made every webhook it wants, by itself."""

    async def all_there() -> bool:
        return len(twin.hooks) >= len(TOPICS)

    await until(all_there, 10)


async def test_a_sale_at_either_store_shows_at_the_other(tmp_path: Path) -> None:
    async with two_channels(tmp_path) as (twin, north, found):
        await shows(twin, north, {"SKU-0001": 12, "SKU-0002": 7})  # the first channel gave the first count
        await subscribed(twin)
        assert {hook["topic"] for hook in twin.hooks} == set(TOPICS)
        assert twin.pings == [200] * len(TOPICS)

        order = twin.sell("SKU-0001", 2)
        await shows(twin, north, {"SKU-0001": 10, "SKU-0002": 7})
        assert (await north.post("/orders", {"lines": [{"sku": "SKU-0002", "quantity": 3}]}))[0] == 201
        await shows(twin, north, {"SKU-0001": 10, "SKU-0002": 4})
        twin.sell("SKU-0002", 1)
        assert (await north.post("/orders", {"lines": [{"sku": "SKU-0001", "quantity": 5}]}))[0] == 201
        await shows(twin, north, {"SKU-0001": 5, "SKU-0002": 3})
        twin.cancel(order)
        await shows(twin, north, {"SKU-0001": 7, "SKU-0002": 3})

        assert {status for _, status in twin.delivered} == {200}
        assert [record for record in found.process.records() if record["severity"] == "error"] == []
        assert (await found.tell("/v1/rebuild", {"verify": True}))["ok"]
        status = await found.ask("/v1/status")
        assert status["dead_letters"] == 0


async def test_a_level_is_raised_only_after_the_order_feed_was_read_for_sales_nobody_told_of(tmp_path: Path) -> None:
    async with two_channels(tmp_path) as (twin, north, found):
        status, order = await north.post("/orders", {"lines": [{"sku": "SKU-0001", "quantity": 4}]})
        assert status == 201
        await shows(twin, north, {"SKU-0001": 8, "SKU-0002": 7})
        twin.mute, twin.orders_broken = True, True
        await trio.sleep(1.2)  # whatever was asked before is answered
        twin.sell("SKU-0001", 3)
        written = len(twin.written)
        assert (await north.post(f"/orders/{order['id']}/cancel"))[0] == 200

        async def counted() -> bool:
            return bool((await found.ask("/v1/skus/SKU-0001"))["available"] == 12)

        await until(counted, 5)
        await trio.sleep(2.5)
        assert twin.written[written:] == []  # 12 would have sold the three units a second time
        assert twin.stock("SKU-0001") == 5

        twin.orders_broken = False
        await shows(twin, north, {"SKU-0001": 9, "SKU-0002": 7})
        assert max(level for sku, _, level in twin.written[written:] if sku == "SKU-0001") == 9


async def test_a_killed_daemon_finds_the_sales_of_the_meantime_in_the_order_feed(tmp_path: Path) -> None:
    async with two_channels(tmp_path) as (twin, north, found):
        await shows(twin, north, {"SKU-0001": 12, "SKU-0002": 7})
        await subscribed(twin)
        found.process.kill()
        twin.sell("SKU-0001", 3)  # its webhooks fail, and are never repeated
        twin.sell("SKU-0002", 7)
        assert (await north.post("/orders", {"lines": [{"sku": "SKU-0001", "quantity": 1}]}))[0] == 201
        found.process.start()
        await found.wait_ready()
        await shows(twin, north, {"SKU-0001": 8, "SKU-0002": 0})
        assert len(twin.hooks) == len(TOPICS)  # subscribed once, not once a start


DEALS = ("sell there", "sell there", "sell here", "sell here", "back there", "back here", "odd")


@pytest.mark.parametrize("seed", [1, 2])
async def test_after_any_trade_at_both_stores_with_kills_and_silence_in_between_both_show_the_truth(
    seed: int, tmp_path: Path
) -> None:
    rng = random.Random(seed)
    async with two_channels(tmp_path, stock=60) as (twin, north, found):
        await shows(twin, north, {"SKU-0001": 60, "SKU-0002": 60})
        await subscribed(twin)
        truth = {"SKU-0001": 60, "SKU-0002": 60}
        there: list[int] = []
        here: list[str] = []
        for turn in range(120):
            await trio.sleep(rng.uniform(0, 0.15))
            sku, units = rng.choice(sorted(truth)), rng.randint(1, 2)
            match rng.choice(DEALS):
                case "sell there" if twin.stock(sku) >= units:
                    there.append(twin.sell(sku, units))
                    truth[sku] -= units
                case "sell here":
                    status, order = await north.post("/orders", {"lines": [{"sku": sku, "quantity": units}]})
                    if status == 201:
                        here.append(order["id"])
                        truth[sku] -= units
                case "back there" if there:
                    sku, units = twin.cancel(there.pop(rng.randrange(len(there))))
                    truth[sku] += units
                case "back here" if here:
                    status, order = await north.post(f"/orders/{here.pop(rng.randrange(len(here)))}/cancel")
                    assert status == 200
                    truth[order["lines"][0]["sku"]] += order["lines"][0]["cancelled"]
                case "odd":
                    twin.mute, twin.orders_broken = rng.random() < 0.3, rng.random() < 0.3
            if turn in (40, 80):
                found.process.kill()
                await trio.sleep(rng.uniform(0, 0.5))
                found.process.start()
        twin.mute = twin.orders_broken = False
        await shows(twin, north, truth, 60)
        for sku, units in truth.items():
            assert (await found.ask(f"/v1/skus/{sku}"))["available"] == units
        assert (await found.tell("/v1/rebuild", {"verify": True}))["ok"]
        assert found.process.complaints() == ""


# --- recorded deliveries ------------------------------------------------------------------------------------


def deliveries(version: str) -> list[tuple[str, Hook]]:
    """(secret, delivery) of every signed delivery of one version."""
    names = [name for name in recordings.names("woocommerce") if name.startswith((version, recordings.ABSENT))]
    found = [recordings.load("woocommerce", name) for name in names]
    return [(recording.secret, hook) for recording in found for hook in recording.signed]


async def tell(found: Daemon, hooks: list[Hook]) -> None:
    """Post them as they were posted then, byte for byte; a few at the same time."""
    waiting = iter(hooks)

    async def post() -> None:
        for hook in waiting:
            headers = {name: value for name, value in hook.delivery.headers.items() if name.startswith("x-wc-")}
            headers["content-type"] = hook.delivery.headers["content-type"]
            answer = await exchange(found.port, request("POST", "/webhooks/site", hook.delivery.body, headers))
            assert answer.status == 200

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(post)


def stocks(state: Path) -> dict[str, bytes]:
    """The stored stock of every SKU."""
    env = Environment.open(state, genesis="unused")
    try:
        return {key.decode(): pack(unpack(payload)[1]) for key, payload in env.scan(SKUS, limit=10_000)}
    finally:
        env.close(clean=True)


@pytest.mark.parametrize("version", ["v10.5.0", "v7.9.0"])
async def test_all_recorded_deliveries_in_any_order_with_a_kill_in_between_give_one_state(
    version: str, tmp_path: Path
) -> None:
    told = deliveries(version)
    (secret,) = {secret for secret, _ in told}
    hooks = [hook for _, hook in told]
    states: list[dict[str, bytes]] = []
    orders: list[Callable[[random.Random], list[Hook]]] = [
        lambda rng: list(hooks),
        lambda rng: [*reversed(hooks)],
        lambda rng: rng.sample([*hooks, *hooks], 2 * len(hooks)),
        lambda rng: rng.sample([*hooks, *rng.choices(hooks, k=20)], len(hooks) + 20),
    ]
    for round_, arrange in enumerate(orders):
        folder = tmp_path / str(round_)
        folder.mkdir()
        port = free_port()
        # The store itself is gone: what is known, is known from the deliveries alone.
        write_config(folder, port, {"site": woocommerce_channel(free_port())})
        async with daemon(folder, port, env={**SECRETS, "WOO_HOOK": secret}) as found:
            await found.wait_ready()
            arranged = arrange(random.Random(round_))
            middle = len(arranged) // 2
            await tell(found, arranged[:middle])
            found.process.kill()
            found.process.start()
            await found.wait_ready()
            await tell(found, arranged[middle:])
            assert (await found.tell("/v1/rebuild", {"verify": True}))["ok"]
            assert await found.process.terminate(5) == 0
            assert [record for record in found.process.records() if record["severity"] == "error"] == []
        states.append(stocks(folder / "state"))
    assert len(states[0]) > 3
    for other in states[1:]:
        assert other == states[0]

"""Points that lie in a life which can be had once only: the birth of a state, the first contact with storefronts,
and the subscription of webhooks. Each kill gets a state of its own."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import trio

from adapters.woocommerce.inbound import TOPICS
from tests.acceptance.processes import (
    LOOPBACK,
    Daemon,
    daemon,
    environment,
    free_port,
    sandbox_channel,
    shop,
    until,
    write_config,
)
from tests.acceptance.webhooks import order_body, post
from tests.acceptance.woo_twin import KEY, SECRET, Item, Twin, running
from tests.crash.points import Need, Point
from tests.crash.zygote import Fork, Zygote

SOLITARY: frozenset[Need] = frozenset({"birth", "contact", "registration"})
REACH_S = 25.0
STOCK = 40
LATE_KILL = ("call.register.",)
"""Points that are passed several times in the one life."""


async def die_alone(folder: Path, point: Point, zygote: Zygote, seed: int) -> tuple[int, list[str]]:
    """Kill one new daemon at the point and start it again: (kills, problems)."""
    match point.needs:
        case "contact":
            async with (
                shop(folder, "north", "", skus=4, stock=STOCK, seed=seed) as north,
                shop(folder, "south", "", skus=4, stock=STOCK, seed=seed) as south,
            ):
                channels = {each.name: sandbox_channel(each.name, each.port) for each in (north, south)}
                return await _kill_and_look(folder, point, zygote, channels, seed, twin=None)
        case "registration":
            twin = Twin({1: Item(1, "SKU-0001", STOCK)})
            async with running(twin):
                site = {
                    "adapter": "woocommerce", "base_url": twin.url, "consumer_key": {"env": "KEY"},
                    "consumer_secret": {"env": "CONSUMER"}, "webhook_secrets": [{"env": "HOOK"}],
                }  # fmt: skip
                return await _kill_and_look(folder, point, zygote, {"site": site}, seed, twin=twin)
        case _:
            channels = {"north": sandbox_channel("north", free_port())}
            return await _kill_and_look(folder, point, zygote, channels, seed, twin=None)


async def _kill_and_look(
    folder: Path, point: Point, zygote: Zygote, channels: Mapping[str, Any], seed: int, *, twin: Twin | None
) -> tuple[int, list[str]]:
    port = free_port()
    write_config(folder, port, channels, public_url=f"http://{LOOPBACK}:{port}")
    nth = 1 + seed % 2 if point.name.startswith(LATE_KILL) else 1
    die = ["--die-at", point.name, "--nth", str(nth)]
    run = ["run", "--config", str(folder / "config.yaml")]
    secrets = environment(KEY=KEY, CONSUMER=SECRET, HOOK="secret-site")
    process = Fork(["tests.crash.victim", "--brisk", *die, *run], folder / "daemon.out", secrets, zygote=zygote)
    async with daemon(folder, port, start=False, process=process) as found:
        process.start()
        with trio.move_on_after(REACH_S):
            while process.alive:  # noqa: ASYNC110 - a process tells nobody of its end
                await trio.sleep(0.003)
        if process.alive:
            return 0, [f"{point.name} was not passed {nth} x within {REACH_S:.0f} s"]
        if process.code != -signal.SIGKILL:
            return 0, [f"{point.name}: the daemon ended with {process.code}: {process.complaints()[-500:]}"]
        process.command = ["tests.crash.victim", "--brisk", *run]
        process.start()
        await found.wait_ready()
        problems = await _registered(twin) if twin else await _counted(found, point)
        verified = await found.tell("/v1/rebuild", {"verify": True})
        if not verified["ok"]:
            problems.append(f"the state is not the fold of the log: {verified}")
        if await process.terminate(10) != 0:
            problems.append("the orderly stop failed")
        if complaints := process.complaints():
            problems.append(f"the daemon wrote to stderr: {complaints[-500:]}")
    return 1, problems


async def _counted(found: Daemon, point: Point) -> list[str]:
    """A sale is acknowledged and counts once, from the first count where there is one."""
    answer = await post(found.port, "north", order_body("O-1"), "secret-north", delivery="D-1")
    if answer.status != 200:
        return [f"the first sale was answered {answer.status}"]
    known = await found.ask("/v1/skus/SKU-0001")
    wanted = (STOCK - 1, 1) if point.needs == "contact" else (None, 1)
    if (known["available"], known["held"]) != wanted:
        return [f"SKU-0001 is {known['available']} available, {known['held']} held; it should be {wanted}"]
    return []


async def _registered(twin: Twin) -> list[str]:
    """Every topic is subscribed in the end, and once."""

    async def all_there() -> bool:
        return len({hook["topic"] for hook in twin.hooks}) >= len(TOPICS)

    try:
        await until(all_there, 10)
    except trio.TooSlowError:
        return [f"only these are subscribed: {[hook['topic'] for hook in twin.hooks]}"]
    topics = [hook["topic"] for hook in twin.hooks]
    return [] if sorted(topics) == sorted(TOPICS) else [f"subscribed: {topics}"]

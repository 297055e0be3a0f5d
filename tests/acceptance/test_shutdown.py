"""Stopping, being killed and starting again, as a service manager and a person at a terminal meet it."""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.acceptance.processes import (
    LOOPBACK,
    Daemon,
    daemon,
    environment,
    free_port,
    onhand,
    sandbox_channel,
    shop,
    until,
    write_config,
)
from tests.acceptance.webhooks import order_body, post
from tests.harness import Answer

pytestmark = pytest.mark.slow

SECRET = "secret-north"


def configured(folder: Path, **extra: object) -> int:
    """A daemon with one channel that cannot be reached; its port."""
    port = free_port()
    write_config(folder, port, {"north": {**sandbox_channel("north", free_port()), **extra}})
    return port


def records(found: Daemon, event: str) -> list[dict[str, Any]]:
    """The log lines of one kind."""
    return [record for record in found.process.records() if record["event"] == event]


async def sell(found: Daemon, prefix: str, acked: set[str]) -> None:
    """Post sales, one after the other, until nobody answers; remember those that were acknowledged."""
    for number in range(100_000):
        order = f"{prefix}-{number}"
        try:
            answer = await post(found.port, "north", order_body(order), SECRET, delivery=order)
        except (OSError, trio.BrokenResourceError, IndexError, ValueError):
            return  # refused, or cut off in the middle
        if answer.status == 200:
            acked.add(order)
        else:
            assert answer.status == 503


async def under_load(found: Daemon, stop: Callable[[], Awaitable[object]]) -> set[str]:
    """Eight sellers, and after a while `stop`; the orders that were acknowledged."""
    acked: set[str] = set()
    async with trio.open_nursery() as nursery:
        for seller in range(8):
            nursery.start_soon(sell, found, f"O-{seller}", acked)
        await trio.sleep(1)
        await stop()
    return acked


async def orders_known(found: Daemon) -> set[str]:
    return {event["cause"]["order"] for event in await found.events() if event["kind"] == "order"}


async def test_a_stop_under_load_is_orderly_and_quick_and_leaves_nothing_to_repeat(tmp_path: Path) -> None:
    port = configured(tmp_path)
    async with daemon(tmp_path, port) as found:
        await found.wait_ready()
        codes: list[int] = []

        async def stop() -> None:
            codes.append(await found.process.terminate(5))

        acked = await under_load(found, stop)
        assert codes == [0]
        assert len(acked) > 50
        for word in ("started", "ready", "stopping", "stopped"):
            assert len(records(found, f"daemon.{word}")) == 1

        found.process.start()
        await found.wait_ready()
        assert await orders_known(found) >= acked
        assert records(found, "daemon.started")[-1]["repeated"] == 0
        assert (await found.ask("/v1/skus/SKU-0001"))["held"] == len(await orders_known(found))
        assert await found.process.terminate(5) == 0
        assert found.process.complaints() == ""


async def test_a_stop_does_not_wait_for_a_channel_that_does_not_answer_and_the_next_start_puts_it_right(
    tmp_path: Path,
) -> None:
    port = free_port()
    async with (
        shop(tmp_path, "north", f"http://127.0.0.1:{port}/webhooks/north", skus=1, stock=9) as north,
        shop(tmp_path, "south", f"http://127.0.0.1:{port}/webhooks/south", skus=1, stock=9) as south,
    ):
        channels = {each.name: sandbox_channel(each.name, each.port) for each in (north, south)}
        write_config(tmp_path, port, channels)
        async with daemon(tmp_path, port) as found:
            await found.wait_ready()
            assert (await south.post("/faults", {"api": {"timeout": 1}}))[0] == 200
            assert (await north.post("/orders", {"lines": [{"sku": "SKU-0001", "quantity": 4}]}))[0] == 201
            await until(lambda: in_flight(found), 5)
            assert await found.process.terminate(5) == 0

            assert (await south.post("/faults", {}))[0] == 200
            found.process.start()
            await found.wait_ready()

            async def agreed() -> bool:
                return await north.shown() == await south.shown() == {"SKU-0001": 5}

            await until(agreed, 10)
            assert records(found, "daemon.started")[-1]["repeated"] == 0


async def in_flight(found: Daemon) -> bool:
    """Is a push under way?"""
    return bool((await found.ask("/v1/status"))["outbox"]["in_flight"])


async def test_a_killed_daemon_repeats_the_tail_of_its_log_and_has_lost_nothing(tmp_path: Path) -> None:
    port = configured(tmp_path)
    async with daemon(tmp_path, port) as found:
        await found.wait_ready()

        async def kill() -> None:
            found.process.kill()

        acked = await under_load(found, kill)
        found.process.start()
        await found.wait_ready()
        known = await orders_known(found)
        assert known >= acked
        assert records(found, "daemon.started")[-1]["repeated"] > 0
        assert (await found.ask("/v1/skus/SKU-0001"))["held"] == len(known)
        assert (await found.tell("/v1/rebuild", {"verify": True}))["ok"]


async def test_a_daemon_that_is_killed_during_its_very_first_start_starts_the_next_time(tmp_path: Path) -> None:
    rng = random.Random(3)
    for number in range(8):
        folder = tmp_path / str(number)
        folder.mkdir()
        port = configured(folder)
        async with daemon(folder, port) as found:
            with trio.move_on_after(rng.uniform(0.15, 0.7)):
                while not (folder / "state").exists() or rng.random() < 0.8:  # noqa: ASYNC110 - another process
                    await trio.sleep(0.003)
            found.process.kill()
            found.process.start()
            await found.wait_ready()
            assert (await post(port, "north", order_body("O-1"), SECRET, delivery="D-1")).status == 200
            assert found.process.complaints() == ""


async def test_kills_in_a_row_do_not_make_the_tail_to_repeat_longer_and_longer(tmp_path: Path) -> None:
    port = configured(tmp_path)
    async with daemon(tmp_path, port) as found:
        await found.wait_ready()
        for number in range(15):
            lines = [(f"SKU-{line:04d}", 1) for line in range(100)]
            body = order_body(f"O-{number}", lines=lines)
            assert (await post(port, "north", body, SECRET, delivery=f"D-{number}")).status == 200
        found.process.kill()  # before any checkpoint
        for _ in range(2):
            found.process.start()
            await found.wait_serving()
            found.process.kill()
        first, second = [record["repeated"] for record in records(found, "daemon.started")][-2:]
        assert (first > 1_000, second) == (True, 0)


async def test_a_second_daemon_on_the_same_state_is_refused_with_one_sentence(tmp_path: Path) -> None:
    port = configured(tmp_path)
    async with daemon(tmp_path, port) as found:
        await found.wait_ready()
        second = await trio.run_process(
            onhand("run", "--config", str(tmp_path / "config.yaml")), env=environment(), cwd=tmp_path, check=False,
            capture_stdout=True, capture_stderr=True,
        )  # fmt: skip
        assert second.returncode == 1
        (sentence,) = second.stderr.decode().splitlines()
        assert "already running" in sentence
        assert (await post(port, "north", order_body("O-1"), SECRET, delivery="D-1")).status == 200


async def test_an_address_that_somebody_else_has_is_one_sentence_and_exit_1(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind((LOOPBACK, 0))
        holder.listen()
        write_config(tmp_path, holder.getsockname()[1], {"north": sandbox_channel("north", free_port())})
        refused = await trio.run_process(
            onhand("run", "--config", str(tmp_path / "config.yaml")), env=environment(), check=False,
            capture_stdout=True, capture_stderr=True,
        )  # fmt: skip
    assert refused.returncode == 1
    (sentence,) = refused.stderr.decode().splitlines()
    assert "another program listens on" in sentence


async def test_a_wrong_configuration_is_exit_2_with_every_error_and_its_place(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        "listen: nowhere\nchannels:\n  north: {adapter: sandbox, buffer: -1}\n  south: {adapter: abacus}\nextra: 1\n"
    )
    wrong = await trio.run_process(
        onhand("run", "--config", str(tmp_path / "config.yaml")), env=environment(), cwd=tmp_path, check=False,
        capture_stdout=True, capture_stderr=True,
    )  # fmt: skip
    said = wrong.stderr.decode()
    assert wrong.returncode == 2
    for path in ("listen", "channels.north.buffer", "channels.north.base_url", "channels.south.adapter", "extra"):
        assert path in said, said
    assert "Traceback" not in said
    assert not (tmp_path / "state").exists()


async def test_the_log_is_json_with_causes_and_without_secrets(tmp_path: Path) -> None:
    port = free_port()
    canaries = {"HOOK": "canary-hook-4711", "KEY": "ck_canary4712", "CONSUMER": "cs_canary4713"}
    site: dict[str, object] = {
        "adapter": "woocommerce",
        "base_url": f"http://127.0.0.1:{free_port()}",
        "consumer_key": {"env": "KEY"},
        "consumer_secret": {"env": "CONSUMER"},
        "webhook_secrets": [{"env": "HOOK"}],
    }
    async with shop(tmp_path, "north", f"http://127.0.0.1:{port}/webhooks/north", skus=2, stock=5) as store:
        channels = {"north": sandbox_channel("north", store.port), "site": site}
        write_config(tmp_path, port, channels, log={"level": "debug"})
        async with daemon(tmp_path, port, env=canaries) as found:
            await found.wait_ready()
            assert (await store.post("/orders", {"lines": [{"sku": "SKU-0001", "quantity": 2}]}))[0] == 201
            with trio.fail_after(10):
                # The first counts are observations, too: it is the sale that must be there before the stop.
                while not any(each.get("order") for each in records(found, "observation.applied")):  # noqa: ASYNC110 - another process
                    await trio.sleep(0.05)
            assert (await post(port, "site", b"{}", "guess", delivery="x")).status == 401
            assert await found.process.terminate(5) == 0
        (sale,) = (each for each in records(found, "observation.applied") if each.get("order"))
        text = found.process.out.read_text() + found.process.complaints()

    assert {"at", "severity", "channel", "sku", "order", "line", "delivery", "before", "after"} <= set(sale)
    assert (sale["before"], sale["after"]) == (5, 3)
    assert all(isinstance(json.loads(line), dict) for line in text.splitlines())
    assert "Robin Example" not in text  # the buyer
    for secret in (*canaries.values(), "secret-north"):
        assert secret not in text
    state = (tmp_path / "state" / "data.mdb").read_bytes()
    assert b"Robin" not in state
    assert b"canary" not in state


async def test_a_service_manager_is_told_of_readiness_and_of_the_stop(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        told: list[str] = []

        def listen() -> list[str]:
            while True:
                try:
                    told.append(manager.recv(4096).decode())
                except BlockingIOError:
                    return told

        port = configured(tmp_path)
        env = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "300000"}
        async with daemon(tmp_path, port, env=env) as found:
            await found.wait_ready()
            await trio.sleep(0.5)
            assert listen()[0] == "READY=1"
            assert told.count("WATCHDOG=1") >= 2
            assert "STOPPING=1" not in told
            assert await found.process.terminate(5) == 0
        assert listen().count("READY=1") == 1
        assert told.count("STOPPING=1") == 1


LAUNCH = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="onhand.socket")
os.execv(sys.executable, [sys.executable, "-m", "daemon", *sys.argv[2:]])
"""


async def test_over_a_socket_that_was_handed_over_no_webhook_is_refused_even_across_restarts(tmp_path: Path) -> None:
    with socket.socket() as held:
        held.bind((LOOPBACK, 0))
        held.listen(128)
        port = held.getsockname()[1]
        write_config(tmp_path, free_port(), {"north": sandbox_channel("north", free_port())})
        async with daemon(tmp_path, port, pass_fds=(held.fileno(),), start=False) as found:
            config = str(tmp_path / "config.yaml")
            found.process.command = [sys.executable, "-c", LAUNCH, str(held.fileno()), "run", "--config", config]
            answers: dict[str, Answer] = {}

            async def send(number: int) -> None:
                order = f"O-{number}"
                answers[order] = await post(port, "north", order_body(order), SECRET, delivery=order, within_s=20)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(send, 0)  # before the daemon is there at all: the socket waits for it
                await trio.sleep(0.1)
                found.process.start()
                await found.wait_ready()
                for restart in range(1, 3):
                    code = await found.process.terminate(5)
                    assert code == 0
                    nursery.start_soon(send, restart)
                    await trio.sleep(0.1)
                    found.process.start()
                    await found.wait_ready()
            assert {order: answer.status for order, answer in answers.items()} == dict.fromkeys(
                ("O-0", "O-1", "O-2"), 200
            )
            assert await orders_known(found) == set(answers)


def test_help_is_there_without_any_configuration(tmp_path: Path) -> None:
    said = subprocess.run(onhand("--help"), env=environment(), cwd=tmp_path, capture_output=True, check=True)
    assert b"run" in said.stdout

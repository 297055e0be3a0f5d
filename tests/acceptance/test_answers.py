"""Every row of the public port's answer table, through a real socket, from the daemon as a process."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from tests.acceptance.processes import Daemon, daemon, free_port, sandbox_channel, write_config
from tests.acceptance.webhooks import exchange, order_body, post, read_answer, request, signed
from tests.harness import Answer

pytestmark = pytest.mark.slow

SECRET = "secret-north"


@asynccontextmanager
async def served(
    folder: Path, *, channels: dict[str, dict[str, object]] | None = None, env: dict[str, str] | None = None,
    ready: bool = True, **top: object,
) -> AsyncIterator[Daemon]:  # fmt: skip
    """A daemon whose channels cannot be reached: what happens, happens because of the requests."""
    port = free_port()
    write_config(folder, port, channels or {"north": sandbox_channel("north", free_port())}, **top)
    async with daemon(folder, port, env=env) as found:
        await (found.wait_ready() if ready else found.wait_serving())
        yield found


def state_of(under_test: Daemon) -> str:
    """Stands for every byte of the database."""
    return hashlib.sha256((under_test.folder / "state" / "data.mdb").read_bytes()).hexdigest()


async def numbers(under_test: Daemon) -> tuple[int, int]:
    """(events in the log beside the rules of the start, dead letters)"""
    status = await under_test.ask("/v1/status")
    return status["events"] - 1, status["dead_letters"]


async def test_what_is_committed_known_or_signed_but_not_understood_is_answered_200(tmp_path: Path) -> None:
    async with served(tmp_path) as found:
        body = order_body("O-1", lines=[("SKU-0001", 2)])
        first = await post(found.port, "north", body, SECRET, delivery="D-1")
        assert (first.status, await numbers(found)) == (200, (1, 0))
        again = await post(found.port, "north", body, SECRET, delivery="D-1")
        assert (again.status, await numbers(found)) == (200, (1, 0))
        told_otherwise = await post(found.port, "north", body, SECRET, delivery="D-2")
        assert (told_otherwise.status, await numbers(found)) == (200, (1, 0))

        for number, puzzle in enumerate((b'{"topic": "weather.changed"}', b"\xff\x00 no JSON at all", b"[]", b"")):
            kept = await post(found.port, "north", puzzle, SECRET, delivery=f"P-{number}")
            assert (kept.status, await numbers(found)) == (200, (1, number + 1))
        letters = (await found.ask("/v1/dead-letters"))["dead_letters"]
        assert {letter["kind"] for letter in letters} == {"puzzle"}
        sku = await found.ask("/v1/skus/SKU-0001")
        assert (sku["available"], sku["held"]) == (None, 2)


async def test_a_delivery_that_is_not_signed_as_it_should_be_is_answered_401_and_leaves_no_trace(
    tmp_path: Path,
) -> None:
    async with served(tmp_path) as found:
        body = order_body("O-1")
        before = state_of(found), await numbers(found)
        good = signed(body, SECRET, delivery="D-1")
        wrong = [
            {},
            {**good, "X-Sandbox-Signature": ""},
            {**good, "X-Sandbox-Signature": good["X-Sandbox-Signature"][:-4] + "AAA="},
            {**good, "X-Sandbox-Timestamp": str(int(good["X-Sandbox-Timestamp"]) + 1)},
            {name: value for name, value in good.items() if name != "X-Sandbox-Timestamp"},
            signed(body, "secret-south", delivery="D-1"),
            signed(body, SECRET, delivery="D-1", age_s=301),
            signed(body, SECRET, delivery="D-1", age_s=-302),
        ]
        for headers in wrong:
            answer = await exchange(found.port, request("POST", "/webhooks/north", body, headers))
            assert answer.status == 401, headers
        tampered = request("POST", "/webhooks/north", body.replace(b'"ordered": 1', b'"ordered": 9'), good)
        assert (await exchange(found.port, tampered)).status == 401
        assert (state_of(found), await numbers(found)) == before
        assert (await found.ask("/v1/status"))["rejected"] == len(wrong) + 1
        assert (await exchange(found.port, request("POST", "/webhooks/north", body, good))).status == 200


async def test_unknown_paths_are_404_and_known_ones_with_another_method_405(tmp_path: Path) -> None:
    cases = {
        ("POST", "/webhooks/nobody"): 404,
        ("POST", "/webhooks/"): 404,
        ("POST", "/webhooks/north/more"): 404,
        ("GET", "/"): 404,
        ("GET", "/v1/status"): 404,
        ("GET", "/metrics"): 404,
        ("GET", "/webhooks/north"): 405,
        ("PUT", "/webhooks/north"): 405,
        ("DELETE", "/healthz"): 405,
        ("POST", "/healthz"): 405,
        ("GET", "/healthz"): 200,
    }
    async with served(tmp_path) as found:
        for (method, path), status in cases.items():
            answer = await exchange(found.port, request(method, path))
            assert answer.status == status, (method, path)
            assert status != 405 or "allow" in answer.headers


async def test_a_body_or_a_head_that_is_too_big_is_refused_before_it_is_read(tmp_path: Path) -> None:
    async with served(tmp_path, limits={"max_body_bytes": 4096}) as found:
        before = state_of(found)
        announced = await exchange(found.port, request("POST", "/webhooks/north", length=4097))
        assert announced.status == 413  # not one byte of the body was sent
        chunked = b"POST /webhooks/north HTTP/1.1\r\nHost: onhand\r\nTransfer-Encoding: chunked\r\n\r\n"
        grown = await exchange(found.port, chunked + b"1000\r\n" + b"x" * 4096 + b"\r\n1\r\nx")
        assert grown.status == 413
        for headers in ({"X-Long": "x" * 20_000}, {f"X-Many-{number}": "x" for number in range(200)}):
            assert (await exchange(found.port, request("POST", "/webhooks/north", headers=headers))).status == 431
        packed = request("POST", "/webhooks/north", b"x", {"Content-Encoding": "gzip"})
        assert (await exchange(found.port, packed)).status == 415
        assert state_of(found) == before
        just_fits = order_body("O-1").ljust(4096)
        assert (await post(found.port, "north", just_fits, SECRET, delivery="D-1")).status == 200


async def test_whoever_is_too_slow_with_head_or_body_is_answered_408(tmp_path: Path) -> None:
    answers: dict[str, Answer] = {}

    async def trickle(name: str, port: int, sent: bytes) -> None:
        with trio.fail_after(20):
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                await stream.send_all(sent)
                answers[name] = await read_answer(stream)

    async with served(tmp_path) as found, trio.open_nursery() as nursery:
        nursery.start_soon(trickle, "head", found.port, b"POST /webhooks/north HTTP/1.1\r\nHost: on")
        nursery.start_soon(trickle, "body", found.port, request("POST", "/webhooks/north", b"{", length=9))
    assert {name: answer.status for name, answer in answers.items()} == {"head": 408, "body": 408}


async def test_more_than_may_wait_is_answered_503_with_the_time_to_wait(tmp_path: Path) -> None:
    async with served(tmp_path, limits={"queued_max": 2}) as found:
        large = order_body("O-1", lines=[("SKU-0001", 1), ("SKU-0002", 1), ("SKU-0003", 1)])
        refused = await post(found.port, "north", large, SECRET, delivery="D-1")
        assert (refused.status, "retry-after" in refused.headers) == (503, True)
        assert await numbers(found) == (0, 0)
        small = order_body("O-2", lines=[("SKU-0001", 1), ("SKU-0002", 1)])
        assert (await post(found.port, "north", small, SECRET, delivery="D-2")).status == 200


async def test_a_store_without_room_is_answered_503_while_strangers_still_get_401(tmp_path: Path) -> None:
    async with served(tmp_path, ready=False, storage={"disk_floor_mb": 1 << 20}) as found:
        body = order_body("O-1")
        refused = await post(found.port, "north", body, SECRET, delivery="D-1")
        assert (refused.status, "retry-after" in refused.headers) == (503, True)
        assert (await post(found.port, "north", body, "wrong", delivery="D-1")).status == 401

        async def unwell() -> bool:
            return b"less than the floor" in (await exchange(found.port, request("GET", "/healthz"))).body

        with trio.fail_after(10):
            while not await unwell():  # noqa: ASYNC110 - the daemon is another process
                await trio.sleep(0.05)
        health = await exchange(found.port, request("GET", "/healthz"))
        assert health.status == 503
        assert await numbers(found) == (0, 0)
        assert await found.process.terminate(5) == 0


async def test_a_daemon_that_stops_still_takes_what_comes_in_on_open_connections(tmp_path: Path) -> None:
    async with served(tmp_path) as found:
        body = order_body("O-1")
        whole = request("POST", "/webhooks/north", body, signed(body, SECRET, delivery="D-1"))
        async with await trio.open_tcp_stream("127.0.0.1", found.port) as stream:
            await stream.send_all(whole[:40])
            await trio.sleep(0.2)
            found.process.ask_to_stop()
            await trio.sleep(0.3)
            await stream.send_all(whole[40:])
            answer = await read_answer(stream)
        assert answer.status == 200
        assert await found.process.wait(5) == 0


async def test_without_our_own_secret_a_channel_is_answered_503_and_the_others_work(tmp_path: Path) -> None:
    channels = {
        "north": sandbox_channel("north", free_port()),
        "south": {**sandbox_channel("south", free_port()), "webhook_secrets": [{"credential": "nowhere"}]},
        "mute": {**sandbox_channel("mute", free_port()), "webhook_secrets": []},
    }
    async with served(tmp_path, channels=channels) as found:
        body = order_body("O-1")
        for channel in ("south", "mute"):
            answer = await post(found.port, channel, body, "whatever", delivery="D-1")
            assert (answer.status, "retry-after" in answer.headers) == (503, True)
            # A secret that is nothing must not be a key that anybody can sign with.
            assert (await post(found.port, channel, body, "", delivery="D-1")).status == 503
        assert await numbers(found) == (0, 0)
        assert (await post(found.port, "north", body, SECRET, delivery="D-1")).status == 200


async def test_two_secrets_count_during_a_rotation_and_one_past_its_end_does_not(tmp_path: Path) -> None:
    channel = {
        **sandbox_channel("north", free_port()),
        "webhook_secrets": [
            {"env": "NEW_SECRET"},
            {"env": "OLD_SECRET", "until": "2999-01-01T00:00:00Z"},
            {"env": "OLDEST_SECRET", "until": "2020-01-01T00:00:00Z"},
        ],
    }
    env = {"NEW_SECRET": "new-canary", "OLD_SECRET": "old-canary", "OLDEST_SECRET": "oldest-canary"}
    async with served(tmp_path, channels={"north": channel}, env=env) as found:
        statuses = [
            (await post(found.port, "north", order_body(f"O-{secret}"), secret, delivery=f"D-{secret}")).status
            for secret in ("new-canary", "old-canary", "oldest-canary")
        ]
        assert statuses == [200, 200, 401]
        assert (await numbers(found))[0] == 2


async def test_the_unsigned_ping_of_a_woocommerce_store_is_greeted_and_nothing_is_stored(tmp_path: Path) -> None:
    channel: dict[str, object] = {
        "adapter": "woocommerce",
        "base_url": f"http://127.0.0.1:{free_port()}",
        "consumer_key": {"env": "KEY"},
        "consumer_secret": {"env": "KEY"},
        "webhook_secrets": [{"env": "HOOK"}],
    }
    env = {"KEY": "key-canary", "HOOK": "hook-canary"}
    async with served(tmp_path, channels={"site": channel}, env=env) as found:
        before = state_of(found)
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        ping = await exchange(found.port, request("POST", "/webhooks/site", b"webhook_id=12", form))
        assert (ping.status, state_of(found), await numbers(found)) == (200, before, (0, 0))
        forged = await exchange(found.port, request("POST", "/webhooks/site", b'{"id": 1, "line_items": []}'))
        assert forged.status == 401


async def test_copies_of_a_delivery_that_come_at_the_same_time_are_all_200_and_apply_once(tmp_path: Path) -> None:
    statuses: list[int] = []

    async with served(tmp_path) as found:

        async def send(order: str) -> None:
            body = bodies[order]
            statuses.append((await post(found.port, "north", body, SECRET, delivery=f"D-{order}")).status)

        bodies = {f"O-{number}": order_body(f"O-{number}", lines=[("SKU-0001", 2)]) for number in range(10)}
        async with trio.open_nursery() as nursery:
            for order in [*bodies] * 5:
                nursery.start_soon(send, order)
        assert statuses == [200] * 50
        assert await numbers(found) == (10, 0)
        assert (await found.ask("/v1/skus/SKU-0001"))["held"] == 20
        status = await found.ask("/v1/status")
        assert status["acked"] == 10
        assert status["duplicates"] == 40


async def test_health_says_what_it_waits_for_until_every_channel_was_looked_at(tmp_path: Path) -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    taken: list[trio.SocketStream] = []

    async def hold(stream: trio.SocketStream) -> None:
        taken.append(stream)
        await trio.sleep_forever()  # takes the call and never answers

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, hold, listeners)
        port = listeners[0].socket.getsockname()[1]
        channel = {**sandbox_channel("north", port), "timeout_s": 1.5}
        async with served(tmp_path, channels={"north": channel}, ready=False) as found:
            health = await exchange(found.port, request("GET", "/healthz"))
            assert (health.status, "retry-after" in health.headers) == (503, True)
            assert b"waiting for the first look at north" in health.body
            # Webhooks are taken meanwhile.
            assert (await post(found.port, "north", order_body("O-1"), SECRET, delivery="D-1")).status == 200
            await found.wait_ready()
        nursery.cancel_scope.cancel()

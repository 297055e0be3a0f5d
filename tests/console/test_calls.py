"""What the page asks reaches the daemon as it is, and comes back so; commands only where they were asked for."""

from __future__ import annotations

import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
import trio

from daemon.console import link
from daemon.ingress.listeners import unix_listener
from tests.console.conftest import TOKEN, Console, console
from tests.harness import House

SKU = "a/b c?ä"
CODED = "a%2Fb%20c%3F%C3%A4"


@asynccontextmanager
async def stranger(said: bytes | None) -> AsyncIterator[str]:
    """Something else on a socket: it takes a request, says this (None: nothing, for ever), and closes."""

    async def answer(stream: trio.SocketStream) -> None:
        await stream.receive_some(65_536)
        if said is None:
            await trio.sleep_forever()
        with suppress(trio.BrokenResourceError):  # it heard enough
            await stream.send_all(said or b"")
        await stream.aclose()

    with tempfile.TemporaryDirectory() as short:
        listener = unix_listener(f"{short}/s")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, answer, [listener])
            yield f"{short}/s"
            nursery.cancel_scope.cancel()


async def test_a_query_gives_what_the_admin_socket_gives(reading: Console) -> None:
    document = (await reading("GET", "/api/v1/skus/MUG")).json()
    assert document["sku"] == "MUG"
    assert document["available"] == 5
    assert [each["channel"] for each in document["listings"]] == list(reading.house.channels)


async def test_names_and_parameters_arrive_as_they_were_sent(reading: Console) -> None:
    await reading.house.listed(SKU, 3)
    assert (await reading("GET", f"/api/v1/skus/{CODED}")).json()["sku"] == SKU
    page = (await reading("GET", "/api/v1/skus?prefix=a%2Fb&limit=1")).json()
    assert [row["sku"] for row in page["skus"]] == [SKU]
    history = (await reading("GET", f"/api/v1/skus/{CODED}/history?limit=1")).json()
    assert len(history["history"]) == 1


async def test_the_daemon_s_own_refusals_come_through(reading: Console) -> None:
    answer = await reading("GET", "/api/v1/skus/NOBODY")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_sku")
    answer = await reading("GET", "/api/v1/skus?limit=5000")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_query")


async def test_head_is_answered_without_a_body(reading: Console) -> None:
    answer = await reading("HEAD", "/api/v1/status")
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_a_query_takes_get_alone(writing: Console, method: str) -> None:
    answer = await writing(method, "/api/v1/status")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
async def test_a_command_takes_post_alone(writing: Console, method: str) -> None:
    answer = await writing(method, "/api/v1/skus/MUG/freeze")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize(
    "command", ["skus/MUG/freeze", "channels/shop/pause", "dead-letters/1/retry", "skus/MUG/push"]
)
async def test_a_console_that_reads_gives_no_command(reading: Console, command: str) -> None:
    answer = await reading("POST", f"/api/v1/{command}", json={})
    assert answer.status_code == 403
    assert "onhand console --write" in answer.text
    assert reading.house.channels["shop"].paused is False
    assert (await reading("GET", "/api/v1/skus/MUG")).json()["frozen"] is None


@pytest.mark.parametrize(
    "path", ["/api/v1/counts", "/api/v1/adjustments", "/api/v1/backup", "/api/v1/rebuild", "/api/v1/import"]
)
async def test_a_console_that_writes_gives_only_the_commands_of_its_list(writing: Console, path: str) -> None:
    assert (await writing("POST", path, json={})).status_code == 404


async def test_the_page_is_told_whether_it_may_give_commands(house: House, socket: str) -> None:
    for write in (False, True):
        async with console(house, socket, write=write) as asked:
            assert (await asked("GET", "/api/console")).json()["write"] is write


async def test_a_command_is_done_and_says_who_gave_it(writing: Console) -> None:
    frozen = await writing("POST", "/api/v1/skus/MUG/freeze", json={"reason": "stocktaking"})
    assert frozen.status_code == 200
    state = (await writing("GET", "/api/v1/skus/MUG")).json()["frozen"]
    assert state["reason"] == "stocktaking"
    newest = (await writing("GET", "/api/v1/skus/MUG/history?limit=1")).json()["history"][0]
    assert (newest["kind"], newest["cause"]["by"]) == ("freeze", state["by"])
    assert (await writing("POST", "/api/v1/skus/MUG/unfreeze", json={})).status_code == 200
    assert (await writing("POST", "/api/v1/channels/shop/pause", json={})).json()["state"] == "paused"
    assert writing.house.channels["shop"].paused


async def test_a_body_is_bounded_and_none_goes_with_a_query(writing: Console) -> None:
    large = json.dumps({"reason": "x" * 5_000})
    assert (await writing("POST", "/api/v1/skus/MUG/freeze", content=large)).status_code == 413
    assert (await writing("GET", "/api/v1/status", content=b"{}")).status_code == 413
    assert (await writing("GET", f"/{TOKEN}/", content=b"{}")).status_code == 413
    answer = await writing("POST", "/api/v1/skus/MUG/freeze", content=b"not json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_body")


async def test_without_a_daemon_the_page_is_told_what_to_do(house: House) -> None:
    with tempfile.TemporaryDirectory() as short:
        async with console(house, f"{short}/none", write=False) as asked:
            answer = await asked("GET", "/api/v1/status")
            error = answer.json()["error"]
            assert (answer.status_code, error["code"]) == (502, "no_daemon")
            assert "no daemon answers" in error["message"]
            assert "onhand run" in error["hint"]


@pytest.mark.parametrize(
    "said",
    [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf",
     b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + b"x" * 9_000_000],
    ids=["silence", "another protocol", "half an answer", "an endless answer"],
)  # fmt: skip
async def test_what_is_no_daemon_is_no_answer(house: House, said: bytes) -> None:
    async with stranger(said) as path, console(house, path, write=False) as asked:
        answer = await asked("GET", "/api/v1/status")
        assert (answer.status_code, answer.json()["error"]["code"]) == (502, "no_answer")


async def test_a_daemon_that_is_silent_is_not_waited_for_without_end(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "READ_S", 0.05)
    async with stranger(None) as path, console(house, path, write=False) as asked:
        answer = await asked("GET", "/api/v1/status")
        assert (answer.status_code, answer.json()["error"]["code"]) == (504, "no_answer")

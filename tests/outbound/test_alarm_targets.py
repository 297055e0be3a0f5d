"""Alarms told outside: over real HTTP on loopback, signed as Standard Webhooks, and by a real program."""

from __future__ import annotations

import base64
import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import evolve

from daemon.outbound.alarm_targets import OUTPUT_MAX, Command, Unusable, Webhook, body
from daemon.outbound.http import AddressPolicy, open_http_client
from daemon.programs import run_program
from daemon.storage.alarms import RUNBOOK
from daemon.storage.tellings import Telling
from tests.adapters.oracles import libraries

from .conftest import Serve
from .hostile_server import Conversation

KEY = bytes(range(32))
TELLING = Telling(1, "webhook", "raised", "breaker_open", "shop", "", 1_750_000_000_000_000, 1_750_000_001_500_000, 1)
SAID = {
    "id": TELLING.id, "state": "raised", "condition": "breaker_open", "channel": "shop", "subject": None,
    "since": "2025-06-15T15:06:40.000Z", "at": "2025-06-15T15:06:41.500Z", "count": 1,
    "runbook": RUNBOOK["breaker_open"],
}  # fmt: skip


def test_what_is_told_is_this_and_nothing_else() -> None:
    assert json.loads(body(TELLING)) == SAID


def webhook(url: str, *, private: bool = True, key: bytes | None = KEY, timeout_s: float = 30.0) -> Webhook:
    host = url.partition("://")[2].partition("/")[0]
    policy = AddressPolicy(frozenset((host,)), allow_plain=private, allow_private=private)

    def wall_us() -> int:
        return time.time_ns() // 1_000

    http = open_http_client("httpx", policy=policy, max_connections=1, clock_us=wall_us)
    return Webhook(url, http, wall_us, timeout_s, key)


async def test_a_webhook_is_posted_and_the_standards_own_library_verifies_it(serve: Serve) -> None:
    async def script(talk: Conversation) -> None:
        await talk.request()
        await talk.answer(204)

    server = await serve(script)
    target = webhook(f"{server.url}/hook/T0/x")
    told = await target.tell(TELLING)
    await target.aclose()
    assert told.failure == ""
    (seen,) = server.requests
    assert (seen.method, seen.target) == ("POST", "/hook/T0/x")
    assert seen.header("content-type") == "application/json"
    assert seen.header("webhook-id") == TELLING.id
    assert json.loads(seen.body) == SAID
    verified: Any = libraries.library("standardwebhooks").Webhook(base64.b64encode(KEY).decode())
    assert verified.verify(seen.body, dict(seen.headers)) == SAID
    with pytest.raises(libraries.library("standardwebhooks").WebhookVerificationError):
        verified.verify(seen.body.replace(b"raised", b"braised"), dict(seen.headers))


async def test_without_a_secret_nothing_is_signed(serve: Serve) -> None:
    async def script(talk: Conversation) -> None:
        await talk.request()
        await talk.answer(200, b"ok")

    server = await serve(script)
    target = webhook(server.url, key=None)
    assert (await target.tell(TELLING)).failure == ""
    assert server.requests[0].header("webhook-signature") is None
    await target.aclose()


@pytest.mark.parametrize("status", [302, 400, 404, 410, 500])
async def test_any_other_answer_is_a_failure(serve: Serve, status: int) -> None:
    async def script(talk: Conversation) -> None:
        await talk.request()
        await talk.answer(status, b"no", Location="http://127.0.0.1:1/elsewhere")

    server = await serve(script)
    target = webhook(server.url)
    assert (await target.tell(TELLING)).failure == f"it answered {status}"
    assert len(server.requests) == 1
    await target.aclose()


async def test_a_webhook_that_does_not_answer_or_is_not_there_is_a_failure(serve: Serve) -> None:
    async def script(talk: Conversation) -> None:
        await talk.request()
        await talk.stall()

    server = await serve(script)
    target = webhook(server.url, timeout_s=0.2)
    assert (await target.tell(TELLING)).failure
    await target.aclose()
    assert (await target.tell(TELLING)).failure == "the client is closed"


async def test_an_address_inside_is_refused_without_permission(serve: Serve) -> None:
    async def script(talk: Conversation) -> None:
        await talk.request()

    server = await serve(script)
    target = webhook(server.url.replace("http:", "https:"), private=False)
    assert (await target.tell(TELLING)).failure == "127.0.0.1 is not a public address"
    assert server.connections == 0
    await target.aclose()


async def test_a_command_has_the_json_on_its_input(tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    code = "import sys; open(sys.argv[1], 'wb').write(sys.stdin.buffer.read()); print('paged', sys.argv[2])"
    target = Command((sys.executable, "-c", code, str(kept), "on call; rm -rf *"), run_program, 60.0)
    told = await target.tell(TELLING)
    assert (told.failure, told.said) == ("", "paged on call; rm -rf *")
    assert json.loads(kept.read_bytes()) == SAID


async def test_a_command_that_fails_hangs_or_is_not_there_says_how() -> None:
    code = "print('x' * 5_000); raise SystemExit(4)"
    told = await Command((sys.executable, "-c", code), run_program, 60.0).tell(TELLING)
    assert (told.failure, told.said) == (f"{sys.executable} ended with 4", "x" * OUTPUT_MAX)
    told = await Command(("/bin/sh", "-c", "kill -15 $$"), run_program, 60.0).tell(TELLING)
    assert told.failure == "/bin/sh was ended by signal 15"
    told = await Command(("/bin/sleep", "600"), run_program, 0.2).tell(TELLING)
    assert told.failure == "/bin/sleep was killed: it did not end within 0.2 s"
    told = await Command(("/no/such",), run_program, 60.0).tell(TELLING)
    assert told.failure == "/no/such cannot be started: No such file or directory"


async def test_what_cannot_be_used_says_why() -> None:
    target = Unusable("alarms.webhook.secret: it is not there")
    assert (await target.tell(evolve(TELLING, state="cleared"))).failure == "alarms.webhook.secret: it is not there"
    await target.aclose()
    await trio.lowlevel.checkpoint()

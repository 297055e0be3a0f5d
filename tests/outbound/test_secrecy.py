"""A planted secret goes over the wire and appears nowhere else: no reason, no log, no repr."""

from __future__ import annotations

import logging
import traceback

import pytest
import trio

from daemon.domain.exchange import NoAnswer, Reply, Request
from daemon.outbound.http import HttpClient
from daemon.outbound.message import outgoing

from .conftest import Open, Serve
from .hostile_server import Conversation
from .test_http_clients import always, echo

CANARY = "c4n4ry"

WAYS_TO_FAIL = {
    "answered": echo,
    "echoed in garbage": always(f"{CANARY} garbage\r\n\r\n".encode()),
    "closed": always(b"", close=True),
    "reset": always(b"", close=True, reset=True),
    "cut short": always(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", close=True),
    "stalled": always(b""),
    "never read": Conversation.stall,
    "redirected": always(b"HTTP/1.1 302 X\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"),
    "undecodable": always(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx"),
}


def secret_request(url: str, secret: str = CANARY) -> Request:
    return Request(
        "POST",
        url,
        body=secret.encode(),
        secret_headers={"X-Access-Token": secret},
        secret_query={"api_key": secret},
        timeout_s=0.05,
    )


def shown(client: HttpClient, reply: Reply) -> str:
    reason = reply.reason if isinstance(reply, NoAnswer) else ""
    return repr((client, vars(client), client.statistics(), reason))


@pytest.mark.parametrize("way", WAYS_TO_FAIL)
async def test_secrets_go_over_the_wire_and_nowhere_else(
    serve: Serve, open_client: Open, caplog: pytest.LogCaptureFixture, way: str
) -> None:
    caplog.set_level(logging.DEBUG)
    server = await serve(WAYS_TO_FAIL[way])
    client = open_client(server)
    reply = await client.send(secret_request(server.url))
    assert CANARY not in shown(client, reply)
    assert CANARY not in caplog.text
    for seen in server.requests:
        assert seen.header("x-access-token") == CANARY
        assert seen.target == f"/?api_key={CANARY}"


@pytest.mark.parametrize("secret", [f"{CANARY}\r\nX: 1", f"{CANARY}ü", f"{CANARY} "])
async def test_a_secret_that_cannot_be_sent_is_not_quoted(
    serve: Serve, open_client: Open, caplog: pytest.LogCaptureFixture, secret: str
) -> None:
    caplog.set_level(logging.DEBUG)
    server = await serve(echo)
    client = open_client(server)
    reply = await client.send(secret_request(server.url, secret))
    assert isinstance(reply, NoAnswer)
    assert not reply.reached
    assert CANARY not in shown(client, reply) + caplog.text


async def test_a_cancelled_request_carries_no_secret_in_its_traceback(serve: Serve, open_client: Open) -> None:
    server = await serve(always(b""))
    client = open_client(server)
    told: list[str] = []

    async def ask() -> None:
        try:
            await client.send(secret_request(server.url))
        except trio.Cancelled:
            told.append(traceback.format_exc())
            raise

    with trio.move_on_after(0.02):
        await ask()
    assert told
    assert CANARY not in told[0]


def test_a_merged_request_shows_nothing() -> None:
    merged = outgoing(secret_request("https://shop.example/"))
    assert CANARY in merged.secret_query
    assert CANARY not in repr(merged)
    assert CANARY not in repr(secret_request("https://shop.example/").secret_headers.keys())

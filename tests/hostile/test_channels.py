"""Hostile channels: whatever a storefront answers, requests go to configured hosts alone and memory stays bounded."""

from __future__ import annotations

import gzip
import itertools
import json
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.domain.exchange import NoAnswer, Request
from daemon.outbound.address import AddressPolicy, UnreachableError, connect
from daemon.outbound.http import open_http_client
from daemon.outbound.message import AnswerBody
from tests.acceptance.processes import LOOPBACK, daemon, free_port, sandbox_channel, until, write_config
from tests.acceptance.webhooks import order_body, post
from tests.hostile.wire import Target
from tests.outbound.hostile_server import Conversation, HostileServer

GROWTH_MAX_KB = 96 << 10
"""Two of the channels send without end, each to two requests at a time of which 16 MiB are taken, makes 64 MiB; and a
third for the rest of them all."""
BOMB = gzip.compress(b"[" * (256 << 20), compresslevel=9)
"""256 MB in a quarter of one."""

EVIL_CURSORS = (
    "http://elsewhere.example/listings", "//elsewhere.example/x", "../../../admin", "\r\nHost: elsewhere.example",
    "x HTTP/1.1\r\nHost: elsewhere.example\r\n\r\nGET /", "#@elsewhere.example", "@elsewhere.example:80/",
    "&cursor=1", "%0d%0aX: y", "\x00", "?a=b", "ü\u2028",
)  # fmt: skip


def page(items: list[dict[str, object]], following: object) -> bytes:
    return json.dumps({"items": items, "next": following}).encode()


def rows(start: int, count: int) -> list[dict[str, object]]:
    return [{"listing": f"L-{n}", "sku": f"S-{n}", "quantity": 1, "version": 1} for n in range(start, start + count)]


async def bomb(conversation: Conversation) -> None:
    while True:
        await conversation.request()
        await conversation.answer(200, BOMB, Content_Encoding="gzip", Content_Type="application/json")


async def endless_body(conversation: Conversation) -> None:
    await conversation.request()
    await conversation.send(b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        await conversation.send(b"10000\r\n" + b" " * 0x10000 + b"\r\n")


async def endless_head(conversation: Conversation) -> None:
    await conversation.request()
    await conversation.send(b"HTTP/1.1 200 X\r\n")
    while True:
        await conversation.send(b"X-More: " + b"y" * 4_000 + b"\r\n")


async def one_giant_page(conversation: Conversation) -> None:
    whole = page(rows(0, 12_000), None)
    while True:
        await conversation.request()
        await conversation.answer(200, whole, Content_Type="application/json")


class Pages:
    """A catalogue without an end, fifty new SKUs a page; its cursors are evil."""

    def __init__(self) -> None:
        self.numbers = itertools.count()

    async def script(self, conversation: Conversation) -> None:
        while True:
            seen = await conversation.request()
            if not seen.target.startswith("/listings"):
                await conversation.answer(200, page([], None), Content_Type="application/json")
                continue
            number = next(self.numbers)
            cursor = EVIL_CURSORS[number % len(EVIL_CURSORS)]
            await conversation.answer(200, page(rows(number * 50, 50), cursor))


@pytest.mark.slow
async def test_hostile_storefronts_cost_bounded_memory_and_send_nobody_elsewhere(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    async def nobody(conversation: Conversation) -> None:
        await conversation.head_only()

    elsewhere: HostileServer = await nursery.start(HostileServer(nobody).serve)

    async def redirecting(conversation: Conversation) -> None:
        for status in itertools.cycle((301, 302, 303, 307, 308)):
            await conversation.request()
            await conversation.answer(
                status, b"", Location=elsewhere.url + "/listings", Refresh=f"0; {elsewhere.url}"
            )

    pages = Pages()
    scripts = {
        "bomb": bomb, "body": endless_body, "head": endless_head, "giant": one_giant_page, "pages": pages.script,
        "redirect": redirecting,
    }  # fmt: skip
    servers = {name: await nursery.start(HostileServer(script).serve) for name, script in scripts.items()}
    port = free_port()
    channels = {
        name: sandbox_channel(name, server.port, poll_interval_s=0.5, rate_per_s=20)
        for name, server in servers.items()
    }
    write_config(tmp_path, port, channels)
    async with daemon(tmp_path, port, env={"HTTP_PROXY": elsewhere.url, "ALL_PROXY": elsewhere.url}) as found:
        await found.wait_serving()
        target = Target(tmp_path, port, found.process)
        before_kb, peak_kb, errors = target.resident_kb(), 0, dict[str, str]()

        async def enough() -> bool:
            nonlocal peak_kb
            peak_kb = max(peak_kb, target.resident_kb())
            errors.update(
                {each["name"]: each["last_error"] for each in (await found.ask("/v1/channels"))["channels"]}
            )
            failing = all(errors[name] for name in ("bomb", "body", "head", "giant", "redirect"))
            return failing and len(servers["pages"].requests) >= 30

        await until(enough, 60, every_s=0.05)
        assert "longer than" in errors["bomb"]
        assert "longer than" in errors["body"] or "the deadline" in errors["body"]
        assert errors["head"]
        assert "12000 items" in errors["giant"] or "the deadline" in errors["giant"]
        assert (await post(port, "bomb", order_body("O-1"), "secret-bomb", delivery="D-1")).status == 200
        assert target.reported_bugs() == []
    assert elsewhere.connections == 0
    print(f"memory {before_kb} KB, at most {peak_kb} KB")
    assert peak_kb - before_kb < GROWTH_MAX_KB
    hosts = {seen.header("host") for server in servers.values() for seen in server.requests}
    assert hosts == {f"{LOOPBACK}:{server.port}" for server in servers.values()}
    asked = {parse_qs(urlsplit(seen.target).query).get("cursor", [""])[0] for seen in servers["pages"].requests}
    assert set(EVIL_CURSORS[:10]) - {""} <= asked  # each came back as the one parameter it is
    assert all(urlsplit(seen.target).path in ("/listings", "/orders") for seen in servers["pages"].requests)


SPELLINGS = (
    "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001", "127.0.0.1.",
    "localhost", "LOCALHOST", "0", "0.0.0.0", "::1", "::ffff:127.0.0.1", "::ffff:7f00:1", "0:0:0:0:0:ffff:7f00:1",
    "::", "169.254.169.254", "2852039166", "0xa9fea9fe", "::ffff:169.254.169.254", "64:ff9b::7f00:1",
    "2002:7f00:1::", "fe80::1%lo", "\uff11\uff12\uff17.0.0.1",
)  # fmt: skip
"""This machine and a cloud's metadata service, in the spellings that systems understand."""


@pytest.mark.parametrize("kind", ["httpx", "asks"])
async def test_no_spelling_of_a_private_address_is_connected_to(kind: str, nursery: trio.Nursery) -> None:
    if kind == "asks":
        pytest.importorskip("asks", reason="THE SECOND HTTP CLIENT IS NOT INSTALLED (pip install 'onhand[asks]')")

    async def nobody(conversation: Conversation) -> None:
        await conversation.head_only()

    server: HostileServer = await nursery.start(HostileServer(nobody).serve)
    for host in SPELLINGS:
        shown = f"[{host}]" if ":" in host else host
        places = frozenset({f"{host}:{server.port}", f"{shown}:{server.port}"})
        policy = AddressPolicy(places, allow_plain=True)
        client = open_http_client(kind, policy=policy, clock_us=lambda: 0)  # type: ignore[arg-type]  # one of the two
        reply = await client.send(Request("GET", f"http://{shown}:{server.port}/", timeout_s=5))
        assert isinstance(reply, NoAnswer), host
        assert not reply.reached
        with pytest.raises(UnreachableError):
            await connect(policy, host, server.port)
        await client.aclose()
    assert server.connections == 0


@given(st.binary(max_size=600), st.sampled_from((1, 3, 64, 257, 1 << 20)), st.integers(1, 40), st.integers(0, 3))
@settings(max_examples=150, deadline=None)
def test_an_answer_decodes_the_same_however_it_is_cut_and_repeated(
    seed: bytes, piece: int, times: int, members: int
) -> None:
    """Decoding goes in steps of 256 KiB; what lies on a border between two must neither be lost nor doubled."""
    plain = seed * times * 50
    sent = gzip.compress(plain) + gzip.compress(b"tail" * (1 << 16)) * members
    body = AnswerBody("gzip", 64 << 20)
    for at in range(0, len(sent), piece):
        body.feed(sent[at : at + piece])
    assert body.complete() == plain + b"tail" * (1 << 16) * members


@pytest.mark.parametrize("extra", [-1, 0, 1, 258])
def test_an_answer_of_exactly_whole_steps_is_complete(extra: int) -> None:
    plain = b"\0" * (2 * 256 * 1024 + extra)
    body = AnswerBody("gzip", len(plain))
    body.feed(gzip.compress(plain))
    assert body.complete() == plain

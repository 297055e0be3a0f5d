"""Planted secrets: a channel that repeats them in every way it can, and mistakes of ours that could; then everything
that the daemon ever wrote, answered or showed is searched for them."""

from __future__ import annotations

import base64
import gc
import json
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import trio
from attrs import define, field

from adapters import PLATFORMS
from daemon.app.assembly import assemble
from daemon.app.main import real_ports
from daemon.config import ConfigError, read_config
from daemon.telemetry import Telemetry
from tests.acceptance.processes import (
    Daemon,
    Process,
    daemon,
    environment,
    free_port,
    onhand,
    sandbox_channel,
    write_config,
)
from tests.acceptance.webhooks import exchange, order_body, post, request
from tests.outbound.hostile_server import Conversation, HostileServer
from tests.outbound.test_tls import certified

KEY, SECRET = "ck_canary0123456789abcdef", "cs_canary9876543210+/fedcba"
NEW_HOOK, OLD_HOOK, GONE_HOOK = "hook-new-canary-0123456789", "hook-old-canary-0123456789", "hook-gone-canary-0123456"
ENVIRONMENT = {"KEY": KEY, "SECRET": SECRET, "NEW_HOOK": NEW_HOOK, "OLD_HOOK": OLD_HOOK, "GONE_HOOK": GONE_HOOK}
BASIC = base64.b64encode(f"{KEY}:{SECRET}".encode()).decode()
MARKS = ("canary", BASIC, BASIC[4:40], base64.b64encode(SECRET.encode()).decode()[:-4], SECRET.encode().hex())
"""What must be found nowhere: every canary holds the word, and the other forms do not."""


def found_in(text: str | bytes) -> list[str]:
    raw = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    return [mark for mark in MARKS if mark.encode() in raw]


@define(eq=False)
class Echo:
    """A store that answers each call with the secrets it was sent, in another way each time."""

    calls: int = 0
    authorizations: set[str] = field(factory=set)

    async def script(self, conversation: Conversation) -> None:
        while True:
            seen = await conversation.request()
            sent = seen.header("authorization") or ""
            self.authorizations.add(sent)
            words = f"Authorization: {sent}, also {BASIC}, {KEY}:{SECRET}, {quote(SECRET)}, {SECRET.encode().hex()}"
            told = json.dumps({"code": "woocommerce_rest_denied", "message": words, "data": {"status": 401}}).encode()
            self.calls += 1
            match self.calls % 6:
                case 0:
                    await conversation.answer(401, told, Content_Type="application/json", WWW_Authenticate=sent)
                case 1:
                    await conversation.answer(500, told, Content_Type="application/json")
                case 2:
                    await conversation.answer(
                        302, b"", Location=f"https://{KEY}:{quote(SECRET)}@elsewhere.example/?{BASIC}"
                    )
                case 3:
                    await conversation.answer(200, words.encode(), Content_Type="text/html")
                case 4:
                    await conversation.send(f"HTTP/1.1 {sent} garbage\r\n{SECRET}: {KEY}\r\n\r\n".encode())
                    return
                case _:
                    await conversation.answer(400, told, Content_Type=f"application/json; x={SECRET}")


def seen_by_the_system(path: str) -> bytes:
    return Path(path).read_bytes()


async def poke(found: Daemon, seconds: float) -> list[bytes]:
    """Everything that the admin socket and the public port can be made to say, for a while."""
    said = []
    paths = (
        "/v1/status", "/v1/channels", "/v1/channels/site/webhooks", "/v1/dead-letters", "/v1/events", "/metrics",
        "/v1/skus", "/v1/skus/SKU-0001", "/v1/skus/SKU-0001/explain", "/v1/skus/SKU-0001/history", "/v1/openapi.json",
        "/v1/dead-letters/1", "/v1/dead-letters/2",
    )  # fmt: skip
    commands = (
        "/v1/channels/site/reconcile", "/v1/channels/site/webhooks/register", "/v1/skus/SKU-0001/push",
        "/v1/skus/SKU-0001/pull", "/v1/rebuild",
    )  # fmt: skip
    with trio.move_on_after(seconds):
        while True:
            for path in paths:
                answer = await found.admin.get(f"http://onhand{path}")
                said.append(answer.content + repr(answer.headers).encode())
            for path in commands:
                answer = await found.admin.post(f"http://onhand{path}", json={}, timeout=60)
                said.append(answer.content)
            await trio.sleep(0.2)
    said.append((await exchange(found.port, request("GET", "/healthz"))).body)
    return said


@pytest.mark.slow
async def test_planted_secrets_are_in_nothing_that_the_daemon_wrote_answered_or_showed(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    tls, _ = certified(tmp_path, "127.0.0.1")
    echo = Echo()
    server: HostileServer = await nursery.start(HostileServer(echo.script, tls=tls).serve)
    port = free_port()
    site: dict[str, object] = {
        "adapter": "woocommerce", "base_url": server.url, "allow_private": True, "rate_per_s": 100, "burst": 100,
        "consumer_key": {"env": "KEY"}, "consumer_secret": {"env": "SECRET"}, "poll_interval_s": 0.2, "timeout_s": 2,
        "webhook_secrets": [
            {"env": "NEW_HOOK"}, {"env": "OLD_HOOK", "until": "2999-01-01T00:00:00Z"},
            {"env": "GONE_HOOK", "until": "2020-01-01T00:00:00Z"},
        ],
    }  # fmt: skip
    north = {**sandbox_channel("north", free_port()), "webhook_secrets": ["inline-canary-secret"]}
    top = {"log": {"level": "debug"}, "public_url": "https://sync.example.com"}
    write_config(tmp_path, port, {"site": site, "north": north}, **top)
    env = {**ENVIRONMENT, "SSL_CERT_FILE": str(tmp_path / "both.pem")}
    async with daemon(tmp_path, port, env=env) as found:
        await found.wait_ready(60)
        assert (await post(port, "north", order_body("O-1"), "inline-canary-secret", delivery="D-1")).status == 200
        for body in (b"no JSON", order_body("O-2"), b""):
            await post(port, "north", body, "inline-canary-secret", delivery=f"P-{len(body)}")
            await post(port, "north", body, "guessed", delivery=f"W-{len(body)}")
            await post(port, "site", body, NEW_HOOK, delivery="x")
        said = await poke(found, 3.5)
        await found.tell("/v1/backup", {"directory": str(tmp_path / "copy")})
        assert found.process.child is not None
        pid = found.process.child.pid
        # No children: nobody to whom an environment or a command line could pass.
        assert seen_by_the_system(f"/proc/{pid}/task/{pid}/children") == b""
        assert found_in(seen_by_the_system(f"/proc/{pid}/cmdline")) == []
        await found.process.terminate(20)

    assert echo.calls >= 12
    assert echo.authorizations == {f"Basic {BASIC}"}  # the secrets truly went over the wire
    log = (tmp_path / "daemon.out").read_text()
    assert "redacted" in log  # they came back, and were seen
    assert found_in(log) == []
    assert found.process.complaints() == ""
    assert found_in(b"\n".join(said)) == []
    for file in (*(tmp_path / "state").iterdir(), *(tmp_path / "copy").iterdir()):
        if file.is_file():
            assert found_in(file.read_bytes()) == [], file


MISPLACED = {
    "in the URL": ("base_url", f"https://user:{SECRET}@shop.example.com"),
    "in the query": ("base_url", f"https://shop.example.com?consumer_secret={SECRET}"),
    "as a whole number": ("buffer", SECRET),
    "as a number": ("timeout_s", SECRET),
    "as a word": ("http_client", SECRET),
    "as a flag": ("authority", SECRET),
    "as an option": ("auth", SECRET),
    "where a reference belongs": ("consumer_secret", SECRET),
    "as a reference's key": ("consumer_secret", {SECRET: ""}),
    "as the name of a variable": ("consumer_secret", {"env": SECRET}),
    "in a list": ("webhook_secrets", [SECRET, [SECRET]]),
    "as the end of a secret": ("webhook_secrets", [{"env": "HOOK", "until": SECRET}]),
}


@pytest.mark.parametrize("place", MISPLACED)
def test_a_secret_in_the_wrong_place_of_the_configuration_is_not_repeated(place: str) -> None:
    key, value = MISPLACED[place]
    channel = {
        "adapter": "woocommerce", "base_url": "https://shop.example.com", "consumer_key": {"env": "KEY"},
        "consumer_secret": {"env": "SECRET"}, "webhook_secrets": [], key: value,
    }  # fmt: skip
    try:
        shown = repr(read_config(json.dumps({"channels": {"site": channel}}), {}, PLATFORMS))
        assert place == "as the name of a variable"  # its name is no secret of ours to judge
        shown = ""
    except ConfigError as error:
        shown = str(error) + repr(error)
    assert found_in(shown) == []


def test_a_start_that_fails_says_no_secret(tmp_path: Path) -> None:
    site: dict[str, object] = {
        "adapter": "woocommerce", "base_url": "https://shop.example.com", "consumer_key": {"env": "KEY"},
        "consumer_secret": {"file": str(tmp_path / "secret")}, "webhook_secrets": [],
    }  # fmt: skip
    write_config(tmp_path, free_port(), {"site": site})
    for content, mode in ((SECRET, 0o644), (SECRET + "\0", 0o600)):
        (tmp_path / "secret").write_text(content)
        (tmp_path / "secret").chmod(mode)
        command = onhand("run", "--config", str(tmp_path / "config.yaml"))
        process = Process(command, tmp_path / "o", environment(KEY=KEY))
        process.start()
        assert process.child is not None
        assert process.child.wait(20) == 1
        text = process.complaints() + process.out.read_text()
        assert "consumer_secret" in text
        assert "Traceback" not in text
        assert found_in(text) == []


def ours() -> Iterator[object]:
    """Every living object of a class of ours."""
    for each in gc.get_objects():
        if str(type(each).__module__).startswith(("daemon", "adapters")):
            yield each


async def test_no_object_of_an_assembled_daemon_shows_a_secret(tmp_path: Path) -> None:
    channels = {
        "site": {
            "adapter": "woocommerce", "base_url": "https://shop.example.com", "consumer_key": {"env": "KEY"},
            "consumer_secret": {"env": "SECRET"}, "webhook_secrets": [{"env": "NEW_HOOK"}, {"env": "OLD_HOOK"}],
        },
        "north": {**sandbox_channel("north", 9), "webhook_secrets": ["inline-canary-secret"]},
    }  # fmt: skip
    text = json.dumps({"state_dir": str(tmp_path / "state"), "channels": channels})
    config = read_config(text, {}, PLATFORMS)
    before = dict(os.environ)
    os.environ.update(ENVIRONMENT)
    try:
        ports = real_ports()
    finally:
        os.environ.clear()
        os.environ.update(before)
    lines: list[str] = []
    parts = assemble(config, PLATFORMS, ports, Telemetry(wall_us=ports.wall_us, write_line=lines.append))
    try:
        adapter = parts.channels["site"].account.adapter
        living = [parts, next(adapter.orders(0, "")), next(adapter.listings("")), *ours()]
        shown = 0
        for each in living:
            assert found_in(repr(each)) == [], type(each)
            shown += 1
        assert shown > 200
    finally:
        parts.store.env.close(clean=True)
        for client in parts.clients:
            await client.aclose()
    assert found_in("\n".join(lines)) == []

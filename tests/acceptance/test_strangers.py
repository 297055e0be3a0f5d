"""Ten thousand requests of strangers leave nothing behind, and the daemon answers the next honest one."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from tests.acceptance.processes import LOOPBACK, Daemon, daemon, free_port, sandbox_channel, write_config
from tests.acceptance.webhooks import order_body, post, request, signed
from tests.harness import parse_answer

SECRET = "secret-north"
STRANGERS = 10_000
AT_ONCE = 32
GROWTH_MAX_KB = 48 << 10
PATIENCE_S = 8.0
SILENCE = 0
"""The connection was closed without a word: there was nothing whole to answer."""


HOOK = "/webhooks/north"
CHUNKED = b"POST /webhooks/north HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
BAD_CHUNKS = (b"fffffffffff\r\nx", b"-1\r\n", b"5\r\nabc\r\n0\r\n\r\n", b"zz\r\n", b"3\r\nabc\r\n0\r\n\r\n")
BAD_HEADS = (
    b"POST /webhooks/north HTTP/1.1\r\n\r\n",
    b"POST /webhooks/north HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"POST /webhooks/north HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /webhooks/north HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    b"POST /webhooks/north HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\nabcd",
    b"POST /webhooks/north HTTP/1.1\r\nHost : a\r\n\r\n",
    b"POST /webhooks/north HTTP/9.9\r\nHost: a\r\n\r\n",
    b"POST /webhooks/north HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    b"POST /webhooks/north HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n",
    b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
)
PATHS = ("/webhooks/%2e%2e", "/webhooks/north%00", "//webhooks/north", "/v1/status", "/" * 99)

Make = Callable[[random.Random, bytes, dict[str, str]], bytes]
"""A stranger's request, from chance, a good body and its good headers."""


def flipped(rng: random.Random, body: bytes, good: dict[str, str]) -> bytes:
    at = rng.randrange(len(body))
    return request("POST", HOOK, body[:at] + bytes((body[at] ^ 1 << rng.randrange(8),)) + body[at + 1 :], good)


def unfinished(rng: random.Random, body: bytes, good: dict[str, str]) -> bytes:
    whole = request("POST", HOOK, body, good)
    return whole[: rng.randrange(1, len(whole))]


def stale(rng: random.Random, body: bytes, good: dict[str, str]) -> bytes:
    return request("POST", HOOK, body, signed(body, SECRET, delivery="x", age_s=rng.choice((-4000, 400, 1e6))))


KINDS: list[tuple[Make, set[int]]] = [
    (lambda rng, body, good: request("POST", HOOK, body), {401}),
    (lambda rng, body, good: request("POST", HOOK, body, signed(body, "guess", delivery="x")), {401}),
    (flipped, {401}),
    (stale, {401}),
    # Two requests in one: signed headers for one body, and another body smuggled in behind.
    (lambda rng, body, good: request("POST", HOOK, b"{}", good) + request("POST", HOOK, body), {401}),
    (lambda rng, body, good: request("POST", HOOK, body, good, length=rng.randint(1 << 20, 1 << 60) + 1), {413}),
    (lambda rng, body, good: CHUNKED + rng.choice(BAD_CHUNKS), {400, 401, 413, SILENCE}),
    (lambda rng, body, _: request("POST", HOOK, body, {f"X-{n}": "" for n in range(rng.randint(90, 300))}), {431}),
    (lambda rng, body, good: request("POST", HOOK, b"", {"X": "y" * rng.randint(17_000, 60_000)}), {431}),
    (lambda rng, body, good: request("POST", HOOK + "?" + "q" * rng.randint(9_000, 15_000), body), {414}),
    (lambda rng, body, good: rng.randbytes(rng.randint(1, 400)) + b"\r\n\r\n", {400, SILENCE}),
    (lambda rng, body, good: rng.choice(BAD_HEADS), {400, 501, 505, SILENCE}),
    (lambda rng, body, good: request("POST", rng.choice(PATHS), body, good), {404}),
    (lambda rng, body, good: request(rng.choice(("GET", "PUT", "PATCH", "DELETE", "TRACE")), HOOK, b"", good), {405}),
    (lambda rng, body, good: request("POST", HOOK, body, {**good, "Content-Encoding": "gzip"}), {415}),
    (unfinished, {SILENCE}),
]
"""Each with what it may be answered with."""


def nonsense(rng: random.Random, number: int) -> tuple[bytes, set[int]]:
    """One request of a stranger, and the statuses that are right."""
    body = order_body(f"O-{number}", lines=[(f"SKU-{rng.randint(1, 99):04d}", rng.randint(1, 9))])
    make, expected = rng.choice(KINDS)
    return make(rng, body, signed(body, SECRET, delivery=f"D-{number}")), expected


async def tell(port: int, sent: bytes, closes: bool) -> int:
    """Send it; the status of the answer."""
    received = b""
    with trio.move_on_after(PATIENCE_S):
        try:
            async with await trio.open_tcp_stream(LOOPBACK, port) as stream:
                await stream.send_all(sent)
                if closes:
                    await stream.send_eof()
                while data := await stream.receive_some(4096):
                    received += data
        except trio.BrokenResourceError:
            pass
    return parse_answer(received).status if received.startswith(b"HTTP/1.1 ") else SILENCE


def resident_kb(under_test: Daemon) -> int:
    assert under_test.process.child is not None
    status = Path(f"/proc/{under_test.process.child.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1])


@pytest.mark.slow
async def test_ten_thousand_requests_of_strangers_write_nothing_and_cost_nothing(tmp_path: Path) -> None:
    port = free_port()
    write_config(tmp_path, port, {"north": sandbox_channel("north", free_port())})
    rng = random.Random(11)
    statuses: Counter[int] = Counter()
    strange: list[tuple[bytes, int]] = []

    async with daemon(tmp_path, port) as found:
        await found.wait_ready()
        for number in range(50):  # so that caches and the allocator are warm, and something is there to be damaged
            answer = await post(port, "north", order_body(f"W-{number}"), SECRET, delivery=f"W-{number}")
            assert answer.status == 200
        await trio.sleep(2.5)  # the checkpoint
        before, before_kb = (tmp_path / "state" / "data.mdb").read_bytes(), resident_kb(found)
        status_before = await found.ask("/v1/status")
        requests = (nonsense(rng, number) for number in range(STRANGERS))

        async def bother() -> None:
            for sent, expected in requests:
                status = await tell(port, sent, closes=SILENCE in expected)
                statuses[status] += 1
                if status not in expected:
                    strange.append((sent, status))

        async with trio.open_nursery() as nursery:
            for _ in range(AT_ONCE):
                nursery.start_soon(bother)

        assert strange == []
        assert statuses.total() == STRANGERS
        assert set(statuses) >= {400, 401, 404, 405, 413, 415, 431}
        assert (tmp_path / "state" / "data.mdb").read_bytes() == before
        status_after, after_kb = await found.ask("/v1/status"), resident_kb(found)
        assert (status_after["events"], status_after["dead_letters"]) == (status_before["events"], 0)
        assert status_after["rejected"] == statuses[401]
        assert after_kb - before_kb < GROWTH_MAX_KB
        good = await post(port, "north", order_body("GOOD"), SECRET, delivery="GOOD", within_s=2)
        assert good.status == 200
        assert [record for record in found.process.records() if record.get("severity") == "error"] == []
        assert found.process.complaints() == ""

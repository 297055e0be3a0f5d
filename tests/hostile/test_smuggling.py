"""Requests that two readers may read differently: one refusal, nothing after it, and the smuggled order is not sold.

Behind each there waits a correctly signed webhook, so whoever reads the first request too short would sell it.
"""

from __future__ import annotations

import random
from collections import Counter

import pytest
import trio

from tests.acceptance.webhooks import order_body, request, signed
from tests.hostile.wire import HOOK, SECRET, Target, signed_order, talk

LINE = b"POST /webhooks/north HTTP/1.1\r\nHost: a\r\n"
CHUNKED = LINE + b"Transfer-Encoding: chunked\r\n\r\n"
TLS_HELLO = bytes.fromhex("16030100c6010000c20303") + bytes(range(64)) + b"\xc0\x2b\xc0\x2f" + b"\r\n\r\n"
REFUSED: dict[str, tuple[bytes, int]] = {
    "CL and TE": (LINE + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "TE and CL": (LINE + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n", 400),
    "two CL": (LINE + b"Content-Length: 0\r\nContent-Length: 4\r\n\r\nabcd", 400),
    "two equal CL": (LINE + b"Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd", 400),
    "a list of CL": (LINE + b"Content-Length: 4, 4\r\n\r\nabcd", 400),
    "CL +4": (LINE + b"Content-Length: +4\r\n\r\nabcd", 400),
    "CL -4": (LINE + b"Content-Length: -4\r\n\r\nabcd", 400),
    "CL 0x4": (LINE + b"Content-Length: 0x4\r\n\r\nabcd", 400),
    "CL 4 4": (LINE + b"Content-Length: 4 4\r\n\r\nabcd", 400),
    "CL past 64 bits": (LINE + b"Content-Length: 18446744073709551620\r\n\r\nabcd", 400),
    "TE xchunked": (LINE + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    "TE gzip, chunked": (LINE + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    "TE twice": (LINE + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 400),
    "TE with a vertical tab": (LINE + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
    "TE of HTTP/1.0": (CHUNKED.replace(b"1.1", b"1.0") + b"0\r\n\r\n", 400),
    "TE with a space before the colon": (LINE + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    "CL with a space before the colon": (LINE + b"Content-Length : 0\r\n\r\n", 400),
    "a folded header": (LINE + b"X: a\r\n Content-Length: 4\r\n\r\nabcd", 400),
    "a folded TE": (LINE + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400),
    "a header that begins with a space": (LINE.replace(b"Host", b" Host") + b"\r\n", 400),
    "bare LF lines": (b"POST /webhooks/north HTTP/1.1\nHost: a\n\n", 400),
    "one bare LF": (LINE + b"X: a\nContent-Length: 4\r\n\r\nabcd", 400),
    "a bare CR": (LINE + b"X: a\rContent-Length: 4\r\n\r\nabcd", 400),
    "NUL in a value": (LINE + b"X: a\0b\r\n\r\n", 400),
    "NUL in a name": (LINE + b"X\0: a\r\n\r\n", 400),
    "NUL in the target": (b"POST /webhooks/\0north HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a space in the target": (b"POST /webhooks/north x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "two Hosts": (LINE + b"Host: b\r\n\r\n", 400),
    "no Host": (b"POST /webhooks/north HTTP/1.1\r\n\r\n", 400),
    "a chunk longer than it says": (CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n", 400),
    "a chunk ended by LF": (CHUNKED + b"3\nabc\r\n0\r\n\r\n", 400),
    "a chunk of -1": (CHUNKED + b"-1\r\nabc\r\n0\r\n\r\n", 400),
    "a chunk of 0x3": (CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n", 400),
    "a chunk past 64 bits": (CHUNKED + b"10000000000000003\r\nabc\r\n0\r\n\r\n", 400),
    "a chunk size of nothing": (CHUNKED + b"\r\nabc\r\n0\r\n\r\n", 400),
    "40 KB of chunk extension": (CHUNKED + b"3;" + b"x" * 40_000 + b"\r\nabc\r\n0\r\n\r\n", 400),
    "LF in a chunk extension": (CHUNKED + b"3;a\nb\r\nabc\r\n0\r\n\r\n", 400),
    "40 KB of trailers": (CHUNKED + b"0\r\n" + b"T: t\r\n" * 7_000 + b"\r\n", 400),
    "CONNECT": (b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 501),
    "an upgrade with a body": (LINE + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nabc", 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "HTTP/0.9": (b"GET /\r\n", 400),
    "HTTP/3.0": (LINE.replace(b"1.1", b"3.0") + b"\r\n", 400),
    "TLS": (TLS_HELLO, 400),
    "an SSH greeting": (b"SSH-2.0-OpenSSH_9.2\r\n", 400),
    "a PROXY line": (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + LINE + b"\r\n", 400),
    "an unknown coding": (LINE + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", 415),
    "two codings": (LINE + b"Content-Encoding: identity, br\r\nContent-Length: 3\r\n\r\nabc", 415),
    "an unknown expectation": (LINE + b"Expect: 200-ok\r\nContent-Length: 3\r\n\r\nabc", 417),
    "a body of 1 MiB and a byte": (LINE + b"Content-Length: 1048577\r\n\r\n", 413),
    "65 headers": (LINE + b"X: y\r\n" * 64 + b"\r\n", 431),
    "17 KB in one header": (LINE + b"X: " + b"y" * 17_000 + b"\r\n\r\n", 431),
    "a target of 9 KB": (b"POST /" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
}


async def test_each_doubtful_request_gets_one_refusal_and_what_hides_behind_it_is_not_heard(target: Target) -> None:
    before = await target.events()
    wrong: dict[str, list[int]] = {}

    async def attack(name: str, sent: bytes, status: int) -> None:
        heard = await talk(target.port, sent + signed_order(f"smuggled {name}"))
        if heard.statuses != [status] or b"Connection: close" not in heard.raw:
            wrong[name] = heard.statuses

    async with trio.open_nursery() as nursery:
        for name, (sent, status) in REFUSED.items():
            nursery.start_soon(attack, name, sent, status)
    assert wrong == {}
    assert await target.events() == before
    await target.serve_honestly()


async def test_each_doubtful_request_is_refused_also_where_it_comes_in_pieces(target: Target) -> None:
    before = await target.events()
    rng = random.Random(5)
    wrong: dict[str, list[int]] = {}

    async def attack(name: str, sent: bytes, status: int) -> None:
        whole = sent[:200] + signed_order(f"pieces {name}") if len(sent) < 200 else sent
        cuts = sorted(rng.sample(range(1, len(whole)), 5))
        pieces = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, None], strict=True)]
        heard = await talk(target.port, pieces, every_s=0.02)
        if heard.statuses != [status]:
            wrong[name] = heard.statuses

    async with trio.open_nursery() as nursery:
        for name, (sent, status) in REFUSED.items():
            nursery.start_soon(attack, name, sent, status)
    assert wrong == {}
    assert await target.events() == before


@pytest.mark.parametrize(
    ("name", "strange"),
    [
        (
            "absolute form",
            b"POST http://elsewhere.example/webhooks/north HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}",
        ),
        ("chunk extensions", CHUNKED + b"2;a=b\r\n{}\r\n0\r\n\r\n"),
        ("a trailer", CHUNKED + b"2\r\n{}\r\n0\r\nX-Sandbox-Signature: x\r\n\r\n"),
        ("blanks around the coding", CHUNKED.replace(b"chunked", b"\t chunked ") + b"2\r\n{}\r\n0\r\n\r\n"),
    ],
)
async def test_what_is_unusual_and_clear_is_read_and_judged_by_its_signature(
    target: Target, name: str, strange: bytes
) -> None:
    heard = await talk(target.port, strange + signed_order(f"after {name}"))
    assert heard.statuses == [401, 200]  # the second is a request of its own, honestly signed


async def test_an_upgrade_is_answered_as_the_plain_request_it_is_and_nothing_behind_it(target: Target) -> None:
    before = await target.events()
    upgrade = b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    heard = await talk(target.port, upgrade + signed_order("behind an upgrade"))
    assert heard.statuses == [200]
    assert await target.events() == before


async def test_a_signature_in_a_trailer_signs_nothing(target: Target) -> None:
    body = order_body("trailer")
    headers = signed(body, SECRET, delivery="trailer")
    trailer = "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()
    heard = await talk(target.port, CHUNKED + b"%x\r\n%b\r\n0\r\n%b\r\n" % (len(body), body, trailer), eof=True)
    assert heard.statuses == [401]


async def test_pipelined_requests_are_answered_in_their_order(target: Target) -> None:
    rng = random.Random(3)
    asked: list[tuple[bytes, int]] = [
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        (b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        (b"GET /webhooks/north HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (request("POST", HOOK, b"{}").replace(b"Connection: close\r\n", b""), 401),
    ]
    chosen = rng.choices(asked, k=400)
    orders = [signed_order(f"pipelined-{number}", close=False) for number in range(20)]
    before = await target.events()
    sent = b"".join(each for each, _ in chosen) + b"".join(orders) + signed_order("pipelined-last")
    heard = await talk(target.port, sent)
    assert heard.statuses == [status for _, status in chosen] + [200] * 21
    assert await target.events() == before + 21


@pytest.mark.slow
async def test_garbage_is_refused_or_left_without_a_word(target: Target) -> None:
    rng = random.Random(17)
    before = await target.events()
    good = signed_order("garbage")
    answers: Counter[int] = Counter()

    def garbage() -> bytes:
        kind = rng.randrange(4)
        if kind == 0:
            return rng.randbytes(rng.randint(1, 2_000))
        damaged = bytearray(good)
        for _ in range(rng.randint(1, 6)):
            damaged[rng.randrange(len(damaged))] = rng.choice(b"\0\r\n :;,\x7f\xffA0")
        if kind == 1:
            return bytes(damaged)
        return bytes(damaged[: rng.randrange(len(damaged))]) if kind == 2 else bytes(damaged) + rng.randbytes(50)

    async def attack() -> None:
        for _ in range(60):
            heard = await talk(target.port, garbage(), eof=True)
            answers.update(heard.statuses or [0])

    async with trio.open_nursery() as nursery:
        for _ in range(16):
            nursery.start_soon(attack)
    assert answers.total() >= 960
    assert set(answers) <= {0, 200, 400, 401, 404, 405, 408, 413, 414, 415, 417, 431, 501, 505}
    # 200: what was damaged was none of what is signed or read. Its order is one and the same.
    assert await target.events() <= before + 1
    await target.serve_honestly()

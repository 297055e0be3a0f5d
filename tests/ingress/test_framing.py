"""Framing without I/O: where requests end, and what is refused before anything is read for it."""

from __future__ import annotations

import pytest

from daemon.ingress.framing import Refusal, RequestFramer
from daemon.ingress.head_rules import split_target
from daemon.ingress.http_types import Headers, HttpRequest, HttpResponse, Limits
from tests.ingress.wire import chunked, get, request

PIPELINE = b"".join((
    request("POST", "/one", body=b"a\r\n\r\nb"),
    b"\r\n" + get("/two", "X-Empty:", "X-Blank:  v \t"),
    request("POST", "/three", "Transfer-Encoding: chunked") + chunked(b"x\r\n\r\n", b"0\r\n\r\n", b"y" * 300),
    request("POST", "/four", "Transfer-Encoding: Chunked") + b"1;q=1\r\nz\r\n0\r\nTrailer: t\r\n\r\n",
    get("/five", "Connection: close"),
))  # fmt: skip
BODIES = [b"a\r\n\r\nb", b"", b"x\r\n\r\n0\r\n\r\n" + b"y" * 300, b"z", b""]


def framer(limits: Limits | None = None, room: int = 1 << 20) -> RequestFramer:
    return RequestFramer(limits or Limits(), lambda _: room)


def all_of(pieces: list[bytes]) -> list[HttpRequest | Refusal]:
    cut, out = framer(), []
    for piece in pieces:
        step = cut.receive(piece)
        while step is not None:
            out.append(step)
            step = cut.receive(b"") if cut.has_rest else None
    return out


def refused(data: bytes, limits: Limits | None = None, room: int = 1 << 20) -> int:
    cut = framer(limits, room)
    step = cut.receive(data)
    assert isinstance(step, Refusal), step
    assert not step.complete
    assert not cut.keep_alive
    return step.answer.status


def test_a_pipeline_gives_the_same_requests_however_it_is_split() -> None:
    whole = all_of([PIPELINE])
    assert [step.body for step in whole if isinstance(step, HttpRequest)] == BODIES
    for at in range(len(PIPELINE)):
        assert all_of([PIPELINE[:at], PIPELINE[at:]]) == whole
    for size in (1, 2, 3, 5, 7, 64):
        assert all_of([PIPELINE[at : at + size] for at in range(0, len(PIPELINE), size)]) == whole


def test_nothing_is_parsed_or_admitted_beyond_the_request_given() -> None:
    admitted = []
    cut = RequestFramer(Limits(), lambda head: admitted.append(head.path) or 0)
    assert isinstance(cut.receive(get("/1") + get("/2") + b"rubbish"), HttpRequest)
    assert admitted == ["/1"]
    assert isinstance(cut.receive(b""), HttpRequest)
    assert admitted == ["/1", "/2"]


def test_headers_keep_order_and_repetition_and_lose_outer_blanks() -> None:
    (step,) = all_of([get("/", "X-Empty:", "A:  1 \t", "a: 2", "B: \xe9")])
    assert isinstance(step, HttpRequest)
    headers = step.headers
    assert (headers.get("x-empty"), headers.get("A"), headers.get_all("a")) == ("", "1, 2", ("1", "2"))
    assert headers.get("b") == "\xe9"
    assert headers.get("none") is None
    assert headers.get("none", "") == ""
    assert next(iter(headers)) == ("host", "test")
    assert "1" not in repr(step)
    assert headers == Headers([("Host", "test"), ("X-Empty", ""), ("A", "1"), ("A", "2"), ("B", "\xe9")])
    assert ("HOST" in headers, len(headers)) == (True, 5)


TE = "Transfer-Encoding: chunked"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400),
        (get("/", "Content-Length: 4, 4"), 400),
        (get("/", "Content-Length: +4"), 400),
        (get("/", "Content-Length: -1"), 400),
        (get("/", "Content-Length: 0x4"), 400),
        (get("/", "Content-Length: 99999999999999999999"), 400),
        (get("/", "Transfer-Encoding: gzip, chunked"), 501),
        (get("/", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), 400),
        (get("/", "Transfer-Encoding: chunked, chunked"), 400),
        (get("/", "Transfer-Encoding: gzip"), 400),
        (get("/", "Transfer-Encoding: xchunked"), 400),
        (get("/", TE, version="1.0"), 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        (get("/", "X: a\r\n folded"), 400),
        (b"GET / HTTP/1.1\nHost: x\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\rA: b\r\n\r\n", 400),
        (get("/", "X: a\0b"), 400),
        (get("/", "X\0: a"), 400),
        (get("/", "X : a"), 400),
        (get("/", "no colon"), 400),
        (get("/a b"), 400),
        (get("/\0"), 400),
        (get("/\xe9"), 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"hello\r\n\r\n", 400),
        (get("/", version="0.9"), 505),
        (get("/", version="2.0"), 505),
        (get("/", version="1.2"), 400),
        (b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 501),
        (request("POST", "/", "Connection: Upgrade", "Upgrade: h2c", body=b"abc"), 400),
        (request("POST", "/", "Connection: Upgrade", "Upgrade: h2c", TE) + chunked(b"abc"), 400),
        (request("POST", "/", "Content-Encoding: gzip", body=b"abc"), 415),
        (request("POST", "/", "Expect: 200-ok", body=b"abc"), 417),
        (request("POST", "/", TE) + b"3\nabc\r\n0\r\n\r\n", 400),
        (request("POST", "/", TE) + b"3\r\nabcd\r\n0\r\n\r\n", 400),
        (request("POST", "/", TE) + b"-3\r\nabc\r\n0\r\n\r\n", 400),
        (request("POST", "/", TE) + b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n", 400),
        (request("POST", "/", TE) + b"1" + b";x" * 20_000 + b"\r\n", 400),
        (request("POST", "/", TE) + b"1\r\nx\r\n0\r\nT: " + b"t" * 40_000, 400),
    ],
)
def test_a_request_that_two_readers_may_read_differently_is_refused(data: bytes, status: int) -> None:
    assert refused(data) == status
    assert refused(data + b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n") == status


def test_every_bound_of_the_head_has_its_refusal() -> None:
    limits = Limits(max_header_bytes=500, max_headers=5, max_target_bytes=100)
    assert refused(get("/", "X: " + "x" * 500), limits) == 431
    assert refused(b"\r\n" * 300, limits) == 431
    assert refused(get("/", *["A: b"] * 5), limits) == 431
    assert refused(get("/" + "x" * 100), limits) == 414
    assert isinstance(framer(limits).receive(get("/", *["A: b"] * 4)), HttpRequest)


def test_an_announced_body_is_refused_before_and_a_chunked_one_while_it_comes() -> None:
    assert refused(request("POST", "/", "Content-Length: 11"), room=10) == 413
    assert refused(request("POST", "/", TE) + b"6\r\nabcdef\r\n6\r\nabcdef\r\n", room=10) == 413
    assert refused(request("POST", "/", "Content-Length: 11"), Limits(max_body_bytes=10), room=1000) == 413
    assert isinstance(framer(room=10).receive(request("POST", "/", body=b"0123456789")), HttpRequest)


def test_one_byte_chunks_are_honest_framing() -> None:
    step = framer(Limits(max_header_bytes=200)).receive(request("POST", "/", TE) + chunked(*[b"x"] * 5000))
    assert isinstance(step, HttpRequest)
    assert step.body == b"x" * 5000


def test_an_upgrade_without_a_body_is_answered_as_plain_http_once() -> None:
    cut = framer()
    assert isinstance(cut.receive(get("/", "Connection: Upgrade", "Upgrade: websocket")), HttpRequest)
    assert not cut.keep_alive


def test_a_refusal_by_the_handler_costs_the_connection_only_with_a_body() -> None:
    cut = RequestFramer(Limits(), lambda _: HttpResponse(404))
    for _ in range(2):
        step = cut.receive(get("/"))
        assert isinstance(step, Refusal)
        assert (step.complete, cut.keep_alive) == (True, True)
    step = cut.receive(request("POST", "/", body=b"abc"))
    assert isinstance(step, Refusal)
    assert (step.complete, cut.keep_alive) == (False, False)


@pytest.mark.parametrize(
    ("target", "parts"),
    [
        ("/a%2Fb?x=1?y", ("/a%2Fb", "x=1?y")),
        ("http://h.example:1/a?b=c#d", ("/a", "b=c")),
        ("http://h.example", ("/", "")),
        ("http://h.example?x=1", ("/", "x=1")),
        ("http://h.example?x=/1", ("/", "x=/1")),
        ("*", ("*", "")),
        ("/a#b?c", ("/a", "")),
        ("//h/a", ("//h/a", "")),
    ],
)
def test_the_path_is_cut_out_of_origin_and_absolute_form(target: str, parts: tuple[str, str]) -> None:
    assert split_target(target) == parts

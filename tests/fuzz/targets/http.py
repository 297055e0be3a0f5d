"""HTTP as it comes in: our framing against h11's, and what the head says."""

from __future__ import annotations

from typing import Final

import h11
from attrs import frozen

from daemon.ingress.framing import Refusal, RequestFramer
from daemon.ingress.http_types import HttpRequest, Limits
from tests.fuzz.target import Cut, Target

LIMITS: Final = Limits(max_body_bytes=2_048, max_header_bytes=1_024, max_headers=16, max_target_bytes=256)
ROOM: Final = 1_024
STATUSES: Final = frozenset({400, 413, 414, 415, 417, 431, 501, 505})
STEPS_MAX: Final = 64


@frozen
class Seen:
    """One request as a reader saw it, and how many bytes it took."""

    method: str
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


def _ours(pieces: list[bytes]) -> list[Seen | int]:
    """Every request of a connection, the status of a refusal at its end."""
    framer, found = RequestFramer(LIMITS, lambda _: ROOM), []
    try:
        for piece in pieces:
            step = framer.receive(piece)
            while step is not None:
                if isinstance(step, Refusal):
                    assert step.answer.status in STATUSES, step
                    return [*found, step.answer.status]
                found.append(_seen(step))
                if not framer.keep_alive or len(found) >= STEPS_MAX:
                    return found
                step = framer.receive(b"") if framer.has_rest else None
    finally:
        framer.close()
    return found


def _seen(request: HttpRequest) -> Seen:
    assert len(request.body) <= ROOM
    pairs = tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in request.headers)
    return Seen(request.method, request.target.encode("latin-1"), pairs, request.body)


def _h11s(data: bytes, wanted: int) -> list[Seen | str]:
    """The same bytes as h11 reads them: up to `wanted` requests, then "more", or "error" where it refuses them."""
    connection, found = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20), []
    connection.receive_data(data)
    connection.receive_data(b"")
    head: h11.Request | None = None
    body = b""
    try:
        while len(found) < wanted:
            event = connection.next_event()
            match event:
                case h11.Request():
                    head, body = event, b""
                case h11.Data():
                    body += bytes(event.data)
                case h11.EndOfMessage():
                    assert head is not None
                    pairs = tuple((bytes(name), bytes(value)) for name, value in head.headers)
                    found.append(Seen(head.method.decode("latin-1"), bytes(head.target), pairs, body))
                    if connection.their_state is not h11.DONE:
                        return [*found, "closed"]
                    connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
                    connection.send(h11.EndOfMessage())
                    if connection.our_state is not h11.DONE:
                        return [*found, "closed"]
                    connection.start_next_cycle()
                case _:
                    return [*found, "more"]
    except h11.RemoteProtocolError as error:
        return [*found, f"error: {error}"]
    return found


DIFFERENCES: Final = (
    "h11 knows no HTTP/1.0 keep-alive: it closes after such a request, we may go on",
    "h11 closes after an upgrade or after Connection: close with data behind it; so do we, after answering",
    "h11 reads leading blank lines, bare LF line ends and folded headers; we refuse the last two",
    "h11 refuses a target or a header's value with bytes it calls illegal that the parser of ours passes on",
    "h11 strips nothing of a header's value that is not a blank; nor do we",
    "h11 takes Content-Length together with Transfer-Encoding, and equal lengths twice; we refuse both",
)
"""Where the two may differ without a request being smuggled: in each, one side refuses or stops."""


def _sorted(steps: list[Seen | int]) -> tuple[list[Seen], bool]:
    """The requests, and whether a refusal ended the connection."""
    return [each for each in steps if isinstance(each, Seen)], any(isinstance(each, int) for each in steps)


def framing(data: bytes) -> None:
    """The same requests however the bytes are split; and where h11 also reads them, it reads the same."""
    cut = Cut(data)
    split = 1 + cut.byte()
    wire = cut.rest()
    whole = _ours([wire])
    accepted, refused = _sorted(whole)
    # Which status a refusal has may hang on how much of the nonsense was there when it was looked at.
    assert _sorted(_ours([wire[at : at + split] for at in range(0, len(wire), split)])) == (accepted, refused)
    if not accepted:
        return
    other = _h11s(wire, len(accepted))
    for place, mine in enumerate(accepted):
        theirs = other[place] if place < len(other) else "closed"
        if isinstance(theirs, str):
            # It stopped or refused: then there is nothing that the two take for different requests.
            assert theirs != "more", f"we read a whole request where h11 waits for more: {mine}"
            return
        assert (mine.method, mine.target, mine.body) == (theirs.method, theirs.target, theirs.body)
        assert _framed(mine) == _framed(theirs)


def _framed(seen: Seen) -> list[tuple[bytes, bytes]]:
    names = (b"host", b"content-length", b"transfer-encoding", b"connection")
    return sorted((name, value.lower()) for name, value in seen.headers if name in names)


def _post(*lines: bytes, body: bytes = b"", start: bytes = b"POST /webhooks/a HTTP/1.1") -> bytes:
    return b"\r\n".join([start, b"Host: x", *lines]) + b"\r\n\r\n" + body


TARGETS: Final = (
    Target(
        "framing",
        framing,
        "HTTP/1 requests: split anywhere, and against h11",
        1_024,
        (
            b"\r\n",
            b"\r\n\r\n",
            b"Content-Length: ",
            b"Transfer-Encoding: chunked\r\n",
            b"Host: x\r\n",
            b" HTTP/1.1\r\n",
            b" HTTP/1.0\r\n",
            b"GET / ",
            b"POST / ",
            b"0\r\n\r\n",
            b"5;a=b\r\n",
            b"Connection: close\r\n",
            b"Expect: 100-continue\r\n",
            b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
            b"\n",
            b"\t",
            b"\x0b",
            b"+4",
            b"0x4",
            b"chunked, chunked",
            b"Trailer: t\r\n",
        ),
        lambda: (
            b"\xff" + _post(b"Content-Length: 5", body=b"hello"),
            b"\x00" + _post(b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n"),
            b"\x03" + _post(b"Content-Length: 5", body=b"hello") + _post(start=b"GET /b HTTP/1.1"),
            b"\x06" + _post(start=b"GET http://h/p?q=1#f HTTP/1.1") + b"\r\n" + _post(start=b"GET /c HTTP/1.0"),
            b"\x10"
            + _post(b"Transfer-Encoding: chunked", body=b"1;q=1\r\nz\r\n0\r\nTrailer: t\r\n\r\n")
            + b"GET / HTTP/1.1\r\n\r\n",
            b"\x20" + _post(b"Connection: Upgrade", b"Upgrade: websocket", start=b"GET /u HTTP/1.1"),
        ),
    ),
)

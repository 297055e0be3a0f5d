"""`onhand events`: what broke off is said, with how to go on; it never looks like the end."""

from __future__ import annotations

import json
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from daemon.cli import main
from daemon.cli.client import AdminClient, BrokenOffError

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/jsonl\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = {
    "seq": 7, "at": "2025-06-15T15:06:40.000000Z", "sku": "A/1", "kind": "count", "channel": None,
    "cause": {"delivery": None, "order": None, "line": None, "by": "admin"}, "before": None, "after": 5,
    "note": "counted",
}  # fmt: skip
LINE = json.dumps(EVENT).encode() + b"\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@contextmanager
def answering(*answers: bytes) -> Iterator[str]:
    """A socket on which somebody gives these bytes, one connection after the other, and hangs up."""
    with tempfile.TemporaryDirectory() as short, socket.socket(socket.AF_UNIX) as listener:
        path = str(Path(short) / "s")
        listener.bind(path)
        listener.listen()

        def serve() -> None:
            for answer in answers:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield path
        thread.join(10)


CUTS = {
    "between two chunks": b"",
    "in a chunk": chunk(LINE)[:-9],
    "in a chunk's size": b"5",
    "behind a chunk without its end": chunk(LINE)[:-2],
    "behind half a line, with an end": chunk(b'{"seq": 8') + b"0\r\n\r\n",
}


@pytest.mark.parametrize("cut", CUTS)
def test_lines_that_break_off_are_no_end(cut: str) -> None:
    with answering(HEAD + chunk(LINE) + CUTS[cut]) as path:
        lines = AdminClient(path).lines("events", follow=True)
        assert next(lines) == EVENT
        with pytest.raises(BrokenOffError):
            list(lines)


def test_lines_that_end_end() -> None:
    halves = chunk(LINE[:30]) + chunk(LINE[30:] + LINE)
    with answering(HEAD + halves + b"0\r\n\r\n") as path:
        assert list(AdminClient(path).lines("events")) == [EVENT, EVENT]


def test_a_reader_that_was_cut_off_is_told_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    with answering(HEAD + chunk(LINE)) as path:
        assert main(["events", "--follow", "--sku", "A/1", "--json", "--socket", path]) == 3
    out, err = capsys.readouterr()
    assert json.loads(out) == EVENT
    assert err.count("\n") == 1
    assert err.startswith("the events broke off behind 7: ")
    assert "go on with `onhand events --follow --sku A/1 --after 7`" in err


def test_a_listing_that_breaks_off_is_told_too(capsys: pytest.CaptureFixture[str]) -> None:
    with answering(HEAD) as path:
        assert main(["events", "--after", "3", "--socket", path]) == 3
    assert "go on with `onhand events --after 3`" in capsys.readouterr().err

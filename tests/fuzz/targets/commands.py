"""The command line: what a person types, and what might answer on the socket in the daemon's place."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
from typing import Any, Final
from unittest import mock

from daemon.cli import client, main, session
from daemon.cli.client import AdminClient, NoDaemonError, RefusedError
from tests.fuzz.target import Cut, Target, line

COMMANDS: Final = (
    "status",
    "channels",
    "sku",
    "skus",
    "history",
    "explain",
    "events",
    "count",
    "adjust",
    "dead-letters",
    "push",
    "pull",
    "reconcile",
    "rebuild",
    "webhooks",
    "freeze",
    "unfreeze",
    "--version",
    "--help",
    "nonsense",
)
WORDS: Final = (
    "A",
    "5",
    "-5",
    "+5",
    "--json",
    "--limit",
    "--after",
    "--sku",
    "--kind",
    "available",
    "--reason",
    "--reference",
    "--location",
    "--channel",
    "shop",
    "list",
    "show",
    "retry",
    "discard",
    "pause",
    "resume",
    "register",
    "check",
    "--all",
    "--dry-run",
    "--",
    "--help",
    "--before",
    "--prefix",
    "--cursor",
    "--verify",
    "-h",
    "\u00a05",
    "\u0665",
    "1e3",
    "1_000",
    "0x5",
    "",
    "9" * 30,
    "a/b",
    "..",
    "--follow",
    "--socket",
    "/x",
)


SOCKET: Final = "/run/onhand/admin.sock"


class _Fake(AdminClient):
    """Answers everything with the document it was given, without a socket."""

    document: Any = None

    @contextlib.contextmanager
    def _asked(self, method: str, target: str, body: bytes | None, timeout_s: float | None) -> Any:
        assert target.startswith("/v1/")
        assert target.isascii()
        assert " " not in target
        if body is not None:
            _quantities(json.loads(body))
        if _Fake.document is None:
            raise RefusedError(404, "unknown_sku", "nobody has told of it", "check its spelling")
        yield io.BytesIO(json.dumps(_Fake.document).encode())


def _quantities(sent: Any) -> None:
    if isinstance(sent, dict) and "quantity" in sent:
        assert type(sent["quantity"]) is int
        assert abs(sent["quantity"]) <= 1_000_000_000


_NUMBERS: Final = {
    "sku": "A",
    "before": 3,
    "available": 5,
    "on_hand": 5,
    "held": 0,
    "debt": 0,
    "note": None,
    "reference": "R",
    "verdict": "applied",
}
DOCUMENTS: Final = (None, _NUMBERS)


def command_line(data: bytes) -> None:
    """Any words end with an exit code of the contract and sentences; a quantity that is sent is a whole number."""
    cut = Cut(data)
    words = [cut.pick(COMMANDS)]
    for _ in range(cut.byte() % 7):
        words.append(cut.pick(WORDS) if cut.flag() else cut.text())
    # These go on for ever, or show documents of their own kind.
    _Fake.document = _NUMBERS if words[0] in ("count", "adjust") and cut.flag() else None
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, {"ONHAND_SOCKET": SOCKET}),  # or each input would read a config.yaml
        mock.patch.object(session, "AdminClient", _Fake),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = main(words)
    said = err.getvalue()
    assert code in (0, 1, 2, 3), (words, code)
    assert "Traceback" not in said
    if code:
        assert (said + out.getvalue()).strip(), words


# --- what answers on the socket --------------------------------------------------------------------------------


class _Sock:
    def __init__(self, wire: bytes) -> None:
        self._wire = wire
        self.sent = b""

    def sendall(self, data: bytes) -> None:
        self.sent += data
        assert self.sent.count(b" HTTP/1.1\r\n") == 1

    def makefile(self, *_: Any, **__: Any) -> io.BufferedReader:
        return io.BufferedReader(io.BytesIO(self._wire))  # type: ignore[arg-type]  # raw enough

    def close(self) -> None: ...


class _Connection(http.client.HTTPConnection):
    wire = b""

    def __init__(self, path: str, timeout_s: float | None) -> None:
        super().__init__("onhand", timeout=timeout_s)

    def connect(self) -> None:
        self.sock = _Sock(_Connection.wire)  # type: ignore[assignment]  # as much of one as http.client uses


def admin_client(data: bytes) -> None:
    """Whatever answers in the daemon's place: a document, a refusal, or "this is no daemon"; nothing else."""
    cut = Cut(data)
    way = cut.byte() % 3
    _Connection.wire = cut.rest()
    admin = AdminClient(SOCKET)
    try:
        with mock.patch.object(client, "_UnixConnection", _Connection):
            match way:
                case 0:
                    admin.get("skus", "A", limit=3)
                case 1:
                    admin.post("counts", body={"sku": "A"})
                case _:
                    for _ in admin.lines("events", after=1):
                        pass
    except (NoDaemonError, RefusedError) as error:
        assert str(error)


def _answer(status: int, body: bytes, *more: bytes) -> bytes:
    return b"\r\n".join([b"HTTP/1.1 %d x" % status, b"Content-Length: %d" % len(body), *more]) + b"\r\n\r\n" + body


def _typed(command: str, *words: str) -> bytes:
    wire = bytes([COMMANDS.index(command), len(words)])
    for word in words:
        wire += bytes([1, WORDS.index(word)]) if word in WORDS else b"\0" + line(word.encode())
    return wire + b"\1"


TARGETS: Final = (
    Target(
        "command_line",
        command_line,
        "words on the command line",
        192,
        (b"--", b"=", b"\xed\xb2\x80", b"\xc2\xa0", b"\xd9\xa5", b"-0", b"\n"),
        lambda: (
            _typed("count", "A", "5", "--kind", "available"),
            _typed("adjust", "A", "-5", "--reason", "broken"),
            _typed("adjust", "A", "+5"),
            _typed("count", "A", "5.5"),
            _typed("skus", "--limit", "5", "--prefix", "T"),
            _typed("history", "A", "--before", "5"),
            _typed("events", "--after", "5"),
            _typed("dead-letters", "show", "5"),
            _typed("dead-letters", "retry", "--all", "--dry-run"),
            _typed("channels", "pause", "shop"),
            _typed("sku", "\u00e4/\u2028"),
            _typed("explain", "A", "--channel", "shop"),
            _typed("--help"),
            _typed("webhooks", "check"),
            _typed("freeze", "A", "--reason", "\n"),
        ),
    ),
    Target(
        "admin_client",
        admin_client,
        "what may answer on the admin socket",
        1_024,
        (
            b"HTTP/1.1 200 OK\r\n",
            b"Content-Length: 2\r\n",
            b"Transfer-Encoding: chunked\r\n\r\n",
            b"\r\n\r\n",
            b'{"error":{"code":"x","message":"m","hint":"h"}}',
            b"\n",
            b"0\r\n\r\n",
        ),
        lambda: (
            b"\0" + _answer(200, b'{"sku": "A"}'),
            b"\1" + _answer(404, b'{"error": {"code": "c", "message": "m", "hint": "h"}}'),
            b"\2" + _answer(200, b'{"seq": 1}\n{"seq": 2}\n'),
            b"\0" + _answer(500, b"oops"),
            b"\2HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{}\n\r\n0\r\n\r\n",
            b"\0" + _answer(200, b"[" * 900),
            b"\0" + _answer(200, b"\xff\xfe"),
            b"\1" + _answer(400, b'{"error": 5}'),
            b"\0SSH-2.0\r\n",
        ),
    ),
)

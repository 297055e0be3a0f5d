"""Talks to the daemon: HTTP/1.1 over its admin socket, one connection a request, synchronously."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import quote, urlencode

from attrs import frozen

QUICK_S: Final = 60.0
"""How long a query, or a command that answers at once, may take."""
PATIENT_S: Final = 3600.0
"""The same for what talks to a channel or reads the whole store."""
READ_BYTES: Final = 64 * 1024
ANSWER_BYTES_MAX: Final = 1 << 28
"""Of an answer that is read whole."""


class NoDaemonError(Exception):
    """No daemon answers on the socket; the sentence says what to do."""


class BrokenOffError(NoDaemonError):
    """A daemon answered, and its answer broke off before its end."""


class RefusedError(Exception):
    """The daemon refused: `code` for programs, and a sentence with what to do next."""

    def __init__(self, status: int, code: str, message: str, hint: str) -> None:
        super().__init__(f"{message}: {hint}" if hint else message)
        self.status = status
        self.code = code


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout_s: float | None) -> None:
        super().__init__("onhand", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        try:
            self.sock.connect(self._path)
        except BaseException:
            self.sock.close()
            raise


@frozen
class AdminClient:
    """A client of the admin socket at `path`. Every call raises `NoDaemonError` or `RefusedError`."""

    path: str

    def get(self, *segments: str, **query: object) -> Any:
        """The JSON document at `/v1/` + segments."""
        with self._asked("GET", _target(segments, query), None, QUICK_S) as answer:
            return json.loads(_whole(answer))

    def post(self, *segments: str, body: object = None, timeout_s: float = QUICK_S) -> Any:
        """Command `/v1/` + segments; its JSON answer."""
        payload = None if body is None else json.dumps(body).encode()
        with self._asked("POST", _target(segments, {}), payload, timeout_s) as answer:
            return json.loads(_whole(answer))

    def lines(self, *segments: str, follow: bool = False, **query: object) -> Iterator[Any]:
        """JSON lines as they come; with `follow` until the daemon stops. Raises `BrokenOffError` where they end
        before their end: every line that was whole has been given by then."""
        asked = query | ({"follow": 1} if follow else {})
        with self._asked("GET", _target(segments, asked), None, None if follow else QUICK_S) as answer:
            rest = b""
            while piece := _read(answer):
                *whole, rest = (rest + piece).split(b"\n")
                for line in whole:
                    yield json.loads(line)
            if rest:
                raise _broken_off()

    @contextmanager
    def _asked(
        self, method: str, target: str, body: bytes | None, timeout_s: float | None
    ) -> Iterator[http.client.HTTPResponse]:  # fmt: skip
        connection = _UnixConnection(self.path, timeout_s)
        try:
            connection.request(method, target, body=body)
            answer = connection.getresponse()
            if answer.status >= 400:
                raise _refusal(answer.status, _whole(answer))
            yield answer
        except (http.client.HTTPException, ValueError, RecursionError, OverflowError):
            raise NoDaemonError(
                f"what answers on {self.path} broke off or is no onhand daemon: see the daemon's log, then try again"
            ) from None
        except OSError as error:
            raise NoDaemonError(self._unreachable(error)) from None
        finally:
            connection.close()

    def _unreachable(self, error: OSError) -> str:
        match error:
            case FileNotFoundError() | ConnectionRefusedError() | NotADirectoryError():
                return (
                    f"no daemon answers on {self.path}: start it with `onhand run`, or name its socket with --socket"
                )
            case PermissionError():
                return f"you may not use {self.path}: join the group that owns it, or ask its owner"
            case TimeoutError():
                return f"the daemon on {self.path} does not answer in time: see its log, then try again"
            case _:
                return f"{self.path} cannot be used ({error.strerror or error}): name the socket with --socket"


def _read(answer: http.client.HTTPResponse) -> bytes:
    """What there is of the body, empty at its end. (Iterating over `answer` takes a connection that is cut between
    two chunks for the end.)"""
    try:
        return answer.read1(READ_BYTES)
    except (http.client.HTTPException, ConnectionError):
        raise _broken_off() from None


def _whole(answer: http.client.HTTPResponse) -> bytes:
    """All of the body. Piece by piece, whatever length it says it has: only what comes takes memory."""
    body = bytearray()
    while piece := _read(answer):
        body += piece
        if len(body) > ANSWER_BYTES_MAX:
            raise http.client.HTTPException("no answer of ours is as long as that")
    return bytes(body)


def _broken_off() -> BrokenOffError:
    return BrokenOffError("the daemon's answer broke off: see its log, then try again")


def _target(segments: tuple[str, ...], query: dict[str, object]) -> str:
    # A word that is no UTF-8 is the daemon's to refuse, in a sentence.
    path = "/".join(quote(segment, safe="", errors="surrogatepass") for segment in ("v1", *segments))
    given = {name: value for name, value in query.items() if value not in (None, "")}
    return f"/{path}?{urlencode(given, quote_via=quote, errors='surrogatepass')}" if given else f"/{path}"


def _refusal(status: int, body: bytes) -> RefusedError:
    document = json.loads(body) if body else None
    error = document.get("error") if isinstance(document, dict) else None
    if not isinstance(error, dict):
        raise http.client.HTTPException("not one of our refusals")
    return RefusedError(
        status, str(error.get("code", "")), str(error.get("message", status)), str(error.get("hint", ""))
    )

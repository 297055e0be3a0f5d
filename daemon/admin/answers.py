"""How the admin socket answers: JSON documents, and refusals that say what to do next."""

from __future__ import annotations

from typing import Final

import msgspec

from daemon.ingress.http_types import HttpResponse

JSON: Final = "application/json"
JSON_LINES: Final = "application/jsonl"

Json = dict[str, object]
"""One JSON object."""


class ApiError(Exception):
    """A request that is answered with a refusal: `message` says what is wrong, `hint` what to do next.

    `code` is a word for programs; it never changes its meaning, the sentences may.
    """

    def __init__(
        self, status: int, code: str, message: str, hint: str, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.hint = hint
        self.headers = headers

    def answer(self) -> HttpResponse:
        """The refusal as an answer."""
        return error_answer(self.status, self.code, self.message, self.hint, self.headers)


def error_answer(
    status: int, code: str, message: str, hint: str, headers: tuple[tuple[str, str], ...] = ()
) -> HttpResponse:
    """`{"error": {"code", "message", "hint"}}` with `status`."""
    return json_answer({"error": {"code": code, "message": message, "hint": hint}}, status, headers)


def json_answer(document: Json, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> HttpResponse:
    """One JSON document, ended by a newline so that a terminal stays tidy."""
    return HttpResponse(status, dump_line(document), headers, JSON)


def dump_line(document: object) -> bytes:
    """One line of JSON, with its newline."""
    return msgspec.json.encode(document) + b"\n"


_CODES: Final = {408: "too_slow", 413: "too_large", 431: "too_large", 500: "internal", 503: "overloaded"}
_HINTS: Final = {
    413: "send at most 64 KiB, and no body with GET",
    500: "this is a bug of the daemon: its log has the details",
    503: "try again in a few seconds",
}


def refuse(status: int, reason: str) -> HttpResponse:
    """The listener's own refusals, worded like all others: give it to `HttpServer(refuse=...)`."""
    code = _CODES.get(status, "bad_request")
    return error_answer(status, code, reason, _HINTS.get(status, "send a well-formed HTTP/1.1 request"))


def unknown_sku(sku: str) -> ApiError:
    """Nobody told of this SKU."""
    return ApiError(
        404, "unknown_sku", f"nobody has told of the SKU {sku!r} yet",
        "check its spelling (case and zeros count) in `onhand skus`, or enter a first count with `onhand count`",
    )  # fmt: skip


def unknown_channel(channel: str, known: list[str]) -> ApiError:
    """No such channel is configured."""
    return ApiError(
        404, "unknown_channel", f"no channel is called {channel!r}",
        f"the configured channels are: {', '.join(known)}" if known else "no channel is configured",
    )  # fmt: skip


def unavailable(reason: str) -> ApiError:
    """The daemon cannot take this now; nothing happened."""
    hint = "nothing was changed; try again in a few seconds"
    return ApiError(503, "overloaded", reason, hint, (("Retry-After", "5"),))

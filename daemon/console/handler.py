"""Answers the page: its files, and what it asks of the daemon; nothing without the secret of the URL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import frozen

from daemon import __version__
from daemon.admin.answers import json_answer
from daemon.console.assets import INDEX
from daemon.console.guard import STRANGER, Secret, guarded, is_here, knock, refusal
from daemon.console.link import Link
from daemon.console.paths import kind_of
from daemon.ingress.http_types import HttpRequest, HttpResponse, RequestHead

COMMAND_BODY_MAX: Final = 4 << 10
"""Bytes of a command's body: a reason, at most."""
API: Final = "/api"
ABOUT: Final = "/api/console"
_READING: Final = ("GET", "HEAD")


@frozen
class ConsoleHandler:
    """Serves one console: give it to an `HttpServer`, with `guard.refuse`.

    `/TOKEN/` and below are the page's files. `/api/…` is the admin socket's `/…`, for the paths of `paths` alone,
    with the token as `Authorization: Bearer`. Commands are there only if `write`.
    """

    secret: Secret
    link: Link
    assets: Mapping[str, HttpResponse]
    write: bool = False

    def admit(self, head: RequestHead) -> HttpResponse | int:
        """The room for a body: none but for commands. Whatever is not to be answered is refused here."""
        if not is_here(head.headers):
            return refusal(403, "this page is for this machine alone: open the address that onhand console printed")
        if head.path == API or head.path.startswith(f"{API}/"):
            return self._admit_call(head)
        if head.path == "/":
            return knock()
        token, slash, name = head.path[1:].partition("/")
        if not self.secret.opens(token):
            return refusal(403, STRANGER)
        if not slash:
            return refusal(308, "the page is one slash further", (("Location", f"/{self.secret.token}/"),))
        if (name or INDEX) not in self.assets:
            return refusal(404, "the page has no file of this name")
        return 0 if head.method in _READING else _wrong_method("GET, HEAD")

    def _admit_call(self, head: RequestHead) -> HttpResponse | int:
        if not self.secret.in_header(head.headers):
            return refusal(403, STRANGER)
        kind = "read" if head.path == ABOUT else kind_of(head.path.removeprefix(API))
        if not kind:
            return refusal(404, "the console does not use this path: see `onhand --help` for what it leaves out")
        if kind == "read":
            return 0 if head.method in _READING else _wrong_method("GET, HEAD")
        if head.method != "POST":
            return _wrong_method("POST")
        if not self.write:
            return refusal(403, "this console only reads: start it with `onhand console --write` to give commands")
        return COMMAND_BODY_MAX

    async def respond(self, request: HttpRequest) -> HttpResponse:
        """Answer an admitted request."""
        path = request.path
        if path == ABOUT:
            return guarded(json_answer({"write": self.write, "version": __version__}))
        if not path.startswith(f"{API}/"):
            return guarded(self.assets[path[1:].partition("/")[2] or INDEX])
        target = path.removeprefix(API) + (f"?{request.query}" if request.query else "")
        if request.method == "POST":
            return guarded(await self.link.command(target, request.body))
        return guarded(await self.link.read(target))


def _wrong_method(allowed: str) -> HttpResponse:
    return refusal(405, f"this is for {allowed} alone", (("Allow", allowed),))

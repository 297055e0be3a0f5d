"""The admin socket: one request in, one JSON answer out, refusals included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from daemon.admin.answers import ApiError, json_answer
from daemon.admin.commands import Commands
from daemon.admin.facts import Facts
from daemon.admin.imports import Imports
from daemon.admin.inside import Inside
from daemon.admin.linking import Linking
from daemon.admin.metrics import Metrics
from daemon.admin.requests import BODY_MAX, Query, decode_segment, read_body
from daemon.admin.route import Call, choose, is_name
from daemon.admin.routes import ROUTES, Desk
from daemon.admin.stream import EventStreams
from daemon.ingress.http_types import HttpRequest, HttpResponse, RequestHead


class Witness(Protocol):
    """Is told of every command: who, what, and the code of its refusal ("" where it was done). Must not raise."""

    def __call__(self, *, by: str, command: str, refused: str) -> None: ...


def _unwitnessed(*, by: str, command: str, refused: str) -> None:
    """Nobody listens."""


class AdminHandler:
    """Serves the admin socket: give it to an `HttpServer`, with `refuse` of `daemon.admin.answers`."""

    def __init__(
        self,
        inside: Inside,
        *,
        new_id: Callable[[], str],
        forget: Callable[[str, str], None] = lambda channel, subject: None,  # noqa: ARG005 - where nobody remembers
        witness: Witness = _unwitnessed,
    ) -> None:
        """`new_id` gives the references of adjustments that come without one; `forget` is told the channel and
        subject of every discarded letter, so that the next sighting of what it was about makes a new one."""
        facts, commands = Facts(inside, new_id), Commands(inside, forget)
        self._desk = Desk(
            inside,
            facts,
            Imports(inside, facts),
            Linking(inside, facts),
            commands,
            EventStreams(inside.store),
            Metrics(inside),
        )
        self._witness = witness

    def admit(self, head: RequestHead) -> HttpResponse | int:
        """The room for a body: none for queries. Unknown paths and wrong methods are refused before it."""
        try:
            route = choose(ROUTES, head.method, head.path)
        except ApiError as error:
            return error.answer()
        return BODY_MAX if route.method == "POST" else 0

    async def respond(self, request: HttpRequest) -> HttpResponse:
        """Answer one request; refusals are answers, only bugs raise."""
        by = request.peer or "admin"
        refused = "failed"
        try:
            answer = await self._answer(request, by)
            refused = ""
        except ApiError as error:
            refused = error.code
            return error.answer()
        else:
            return answer
        finally:
            if request.method == "POST":
                self._witness(by=by, command=request.path, refused=refused)

    async def _answer(self, request: HttpRequest, by: str) -> HttpResponse:
        route = choose(ROUTES, request.method, request.path)
        segments = request.path.split("/")[1:]
        names = [decode_segment(part) for part, own in zip(segments, route.path, strict=True) if is_name(own)]
        query = Query(request.query, route.takes)
        body = None if route.body is None else read_body(request.body, route.body)
        call = Call(tuple(names), query, body, by)
        answer = await route.answer(self._desk, call)
        return answer if isinstance(answer, HttpResponse) else json_answer(answer)

"""One path of the admin socket as a value: what it takes, what it answers, and who answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal

from attrs import frozen

from daemon.admin.answers import ApiError, Json
from daemon.admin.requests import Param, Query
from daemon.admin.shapes import Shape
from daemon.ingress.http_types import HttpResponse

if TYPE_CHECKING:
    from daemon.admin.routes import Desk


@frozen
class Call:
    """One request, read: the names in its path, its parameters, its body in the route's shape, and who sent it."""

    names: tuple[str, ...]
    query: Query
    body: Any
    by: str


Answer = Callable[["Desk", Call], Awaitable[HttpResponse | Json]]


@frozen
class Route:
    """A path: literal segments, and `{word}` for a name. Only commands (POST) take a body.

    about: what it does, one sentence · gives: the shape of its answer, or the media type of one that is no JSON
    object of a fixed shape · takes: its parameters · body: the shape of its body · refusals: the statuses it
    refuses with, beside those that every path has
    """

    method: Literal["GET", "POST"]
    path: tuple[str, ...]
    about: str
    answer: Answer
    gives: type[Shape] | str
    takes: tuple[Param, ...] = ()
    body: type | None = None
    refusals: tuple[int, ...] = ()

    def matches(self, segments: list[str]) -> bool:
        """Is this the path, whatever the method?"""
        return len(segments) == len(self.path) and all(
            is_name(own) or own == segment for own, segment in zip(self.path, segments, strict=True)
        )

    @property
    def template(self) -> str:
        """The path as one text, `/v1/skus/{sku}`."""
        return "/" + "/".join(self.path)


def is_name(segment: str) -> bool:
    """Does this segment of a route stand for any name?"""
    return segment.startswith("{")


def choose(routes: Iterable[Route], method: str, path: str) -> Route:
    """The route of a request. Raises `ApiError` 404 or 405."""
    segments = path.split("/")[1:]
    found = [route for route in routes if route.matches(segments)]
    if not found:
        raise ApiError(
            404, "unknown_path", "there is nothing at this path", "see GET /v1/openapi.json for what there is"
        )
    wanted = "GET" if method == "HEAD" else method
    for route in found:
        if route.method == wanted:
            return route
    allowed = ", ".join(
        sorted({route.method for route in found} | {"HEAD" for each in found if each.method == "GET"})
    )
    raise ApiError(405, "wrong_method", f"{method} is not for this path", f"use {allowed}", (("Allow", allowed),))

"""Every path of the admin socket, and the query or command behind it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import trio
from attrs import frozen

from daemon.admin.answers import ApiError, Json
from daemon.admin.commands import Commands
from daemon.admin.explain import explain_view
from daemon.admin.facts import Facts
from daemon.admin.health import channel_view, status_view
from daemon.admin.inside import Inside
from daemon.admin.metrics import Metrics
from daemon.admin.requests import Adjust, Backup, Because, Count, Empty, Query, Rebuild, read_body
from daemon.admin.stream import EventStreams
from daemon.admin.views import Channels, entry, find_sku, page_of, sku_row, sku_view, valid_sku
from daemon.ingress.http_types import HttpResponse

LIST_MAX: Final = 1_000
SEQ_MAX: Final = (1 << 62) - 1
BREATHER: Final = 50
"""SKUs loaded in one turn of the loop."""


@frozen
class Desk:
    """Everything that answers."""

    inside: Inside
    facts: Facts
    commands: Commands
    streams: EventStreams
    metrics: Metrics


@frozen
class Call:
    """One request, read: the names in its path, its parameters, its body, and who sent it."""

    names: tuple[str, ...]
    query: Query
    body: bytes
    by: str


Answer = Callable[[Desk, Call], Awaitable[HttpResponse | Json]]


@frozen
class Route:
    """A path: literal segments, and `*` for a name. Only commands (POST) take a body."""

    method: str
    path: tuple[str, ...]
    answer: Answer
    takes: frozenset[str]

    def matches(self, segments: list[str]) -> bool:
        """Is this the path, whatever the method?"""
        return len(segments) == len(self.path) and all(
            each in ("*", segment) for each, segment in zip(self.path, segments, strict=True)
        )


def find_route(method: str, path: str) -> Route:
    """The route of a request. Raises `ApiError` 404 or 405."""
    segments = path.split("/")[1:]
    found = [route for route in ROUTES if route.matches(segments)]
    if not found:
        raise ApiError(404, "unknown_path", "there is nothing at this path", "see the README for the paths there are")
    wanted = "GET" if method == "HEAD" else method
    for route in found:
        if route.method == wanted:
            return route
    allowed = ", ".join(sorted({route.method for route in found}))
    raise ApiError(405, "wrong_method", f"{method} is not for this path", f"use {allowed}", (("Allow", allowed),))


# --- queries -------------------------------------------------------------------------------------------------


async def _status(desk: Desk, _: Call) -> Json:
    return status_view(desk.inside)


async def _metrics(desk: Desk, _: Call) -> HttpResponse:
    return desk.metrics.answer()


async def _skus(desk: Desk, call: Call) -> Json:
    inside, channels = desk.inside, Channels(desk.inside)
    prefix, after = call.query.text("prefix"), call.query.text("cursor")
    limit = call.query.whole("limit", 100, 1, LIST_MAX)
    # An empty prefix and cursor mean "all" and "from the start"; anything else must be able to be a SKU.
    names = inside.registry.skus(valid_sku(prefix) if prefix else "", valid_sku(after) if after else "", limit)
    rows = []
    for place, sku in enumerate(names):
        state = inside.registry.peek(sku)
        if state is not None:
            rows.append(sku_row(state, channels))
        if place % BREATHER == BREATHER - 1:
            await trio.lowlevel.checkpoint()
    return page_of(rows, "skus", names[-1] if len(names) == limit else None)


async def _sku(desk: Desk, call: Call) -> Json:
    return sku_view(desk.inside, find_sku(desk.inside, valid_sku(call.names[0])))


async def _history(desk: Desk, call: Call) -> Json:
    sku = valid_sku(call.names[0])
    before = call.query.whole("before", SEQ_MAX, 1, SEQ_MAX)
    limit = call.query.whole("limit", 100, 1, LIST_MAX)
    find_sku(desk.inside, sku)
    records = desk.inside.store.history(sku, before=before, limit=limit)
    page = page_of(map(entry, records), "history", records[-1].seq if len(records) == limit else None)
    return {"sku": sku, **page}


async def _explain(desk: Desk, call: Call) -> Json:
    channel = call.query.text("channel")
    if channel:
        desk.commands.control(channel)
    return explain_view(desk.inside, find_sku(desk.inside, valid_sku(call.names[0])), channel)


async def _channels(desk: Desk, _: Call) -> Json:
    return {"channels": [channel_view(control.view()) for control in desk.inside.channels.values()]}


async def _events(desk: Desk, call: Call) -> HttpResponse:
    sku = call.query.text("sku")
    return desk.streams.answer(
        after=call.query.whole("after", 0, 0, SEQ_MAX),
        sku=valid_sku(sku) if sku else "",
        limit=call.query.whole("limit", 0, 0, SEQ_MAX),
        follow=call.query.flag("follow"),
    )


async def _letters(desk: Desk, call: Call) -> Json:
    after, limit = call.query.whole("after", 0, 0, SEQ_MAX), call.query.whole("limit", 100, 1, LIST_MAX)
    return await desk.commands.letters(call.query.text("channel"), after, limit)


async def _letter(desk: Desk, call: Call) -> Json:
    return desk.commands.show_letter(_letter_id(call))


async def _webhooks(desk: Desk, call: Call) -> Json:
    return await desk.commands.webhooks(call.names[0])


# --- commands ------------------------------------------------------------------------------------------------


async def _count(desk: Desk, call: Call) -> Json:
    return await desk.facts.count(read_body(call.body, Count), call.by)


async def _adjust(desk: Desk, call: Call) -> Json:
    return await desk.facts.adjust(read_body(call.body, Adjust), call.by)


async def _freeze(desk: Desk, call: Call) -> Json:
    asked = read_body(call.body, Because)
    return await desk.facts.freeze(valid_sku(call.names[0]), call.by, asked.reason)


async def _unfreeze(desk: Desk, call: Call) -> Json:
    read_body(call.body, Empty)
    return await desk.facts.unfreeze(valid_sku(call.names[0]), call.by)


async def _push(desk: Desk, call: Call) -> Json:
    read_body(call.body, Empty)
    return await desk.facts.push(valid_sku(call.names[0]), call.by)


async def _pull(desk: Desk, call: Call) -> Json:
    read_body(call.body, Empty)
    return await desk.facts.pull(valid_sku(call.names[0]), call.by)


async def _retry(desk: Desk, call: Call) -> Json:
    read_body(call.body, Empty)
    return await desk.commands.retry_letter(_letter_id(call))


async def _discard(desk: Desk, call: Call) -> Json:
    read_body(call.body, Empty)
    return await desk.commands.discard_letter(_letter_id(call))


async def _pause(desk: Desk, call: Call) -> Json:
    read_body(call.body, Empty)
    return desk.commands.pause(call.names[0])


async def _resume(desk: Desk, call: Call) -> Json:
    read_body(call.body, Empty)
    return desk.commands.resume(call.names[0])


async def _reconcile(desk: Desk, call: Call) -> Json:
    read_body(call.body, Empty)
    return await desk.commands.reconcile(call.names[0])


async def _register(desk: Desk, call: Call) -> Json:
    read_body(call.body, Empty)
    return await desk.commands.register_webhooks(call.names[0])


async def _backup(desk: Desk, call: Call) -> Json:
    return await desk.commands.backup(read_body(call.body, Backup).directory)


async def _rebuild(desk: Desk, call: Call) -> Json:
    return await desk.commands.rebuild(verify_only=read_body(call.body, Rebuild).verify)


def _letter_id(call: Call) -> int:
    text = call.names[0]
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise ApiError(404, "unknown_letter", f"{text!r} is no dead letter's number", "see `onhand dead-letters`")
    return int(text)


def _get(path: str, answer: Answer, *takes: str) -> Route:
    return Route("GET", tuple(path.split("/")[1:]), answer, frozenset(takes))


def _post(path: str, answer: Answer) -> Route:
    return Route("POST", tuple(path.split("/")[1:]), answer, frozenset())


ROUTES: Final = (
    _get("/metrics", _metrics),
    _get("/v1/status", _status),
    _get("/v1/skus", _skus, "prefix", "limit", "cursor"),
    _get("/v1/skus/*", _sku),
    _get("/v1/skus/*/history", _history, "before", "limit"),
    _get("/v1/skus/*/explain", _explain, "channel"),
    _get("/v1/channels", _channels),
    _get("/v1/channels/*/webhooks", _webhooks),
    _get("/v1/events", _events, "after", "sku", "limit", "follow"),
    _get("/v1/dead-letters", _letters, "after", "limit", "channel"),
    _get("/v1/dead-letters/*", _letter),
    _post("/v1/counts", _count),
    _post("/v1/adjustments", _adjust),
    _post("/v1/skus/*/push", _push),
    _post("/v1/skus/*/pull", _pull),
    _post("/v1/skus/*/freeze", _freeze),
    _post("/v1/skus/*/unfreeze", _unfreeze),
    _post("/v1/dead-letters/*/retry", _retry),
    _post("/v1/dead-letters/*/discard", _discard),
    _post("/v1/channels/*/pause", _pause),
    _post("/v1/channels/*/resume", _resume),
    _post("/v1/channels/*/reconcile", _reconcile),
    _post("/v1/channels/*/webhooks/register", _register),
    _post("/v1/backup", _backup),
    _post("/v1/rebuild", _rebuild),
)
"""Every path of the socket."""

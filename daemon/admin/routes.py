"""Every path of the admin socket, and the query or command behind it."""

from __future__ import annotations

from typing import Final

import trio
from attrs import frozen

from daemon.admin import modes, shapes, shapes_shadow
from daemon.admin.answers import JSON, JSON_LINES, ApiError, Json
from daemon.admin.commands import Commands
from daemon.admin.drift import decide, drifts_view
from daemon.admin.explain import explain_view
from daemon.admin.facts import Facts
from daemon.admin.health import channel_view, status_view
from daemon.admin.imports import Imports, exported
from daemon.admin.inside import Inside
from daemon.admin.linking import Linking
from daemon.admin.metrics import OPEN_METRICS, Metrics
from daemon.admin.openapi import description
from daemon.admin.replay import progress_view
from daemon.admin.requests import (
    Adjust,
    Backup,
    Because,
    Count,
    Empty,
    Import,
    Links,
    Param,
    Rebuild,
    Replay,
    Whole,
    Word,
)
from daemon.admin.route import Answer, Call, Route
from daemon.admin.shadow import shadow_view
from daemon.admin.shapes import Shape
from daemon.admin.stream import EventStreams
from daemon.admin.then import explain_then, sku_then
from daemon.admin.views import Channels, entry, find_sku, page_of, sku_row, sku_view, valid_sku
from daemon.admin.words import when
from daemon.ingress.http_types import HttpResponse

LIST_MAX: Final = 1_000
SEQ_MAX: Final = (1 << 62) - 1
BREATHER: Final = 50
"""SKUs loaded in one turn of the loop."""


@frozen(repr=False)
class Desk:
    """Everything that answers."""

    inside: Inside
    facts: Facts
    imports: Imports
    linking: Linking
    commands: Commands
    streams: EventStreams
    metrics: Metrics


Takes = tuple[Param, ...]

PREFIX: Final = Word("prefix", "only SKUs that begin with it", is_sku=True)
CURSOR: Final = Word("cursor", "the `next` of the page before", is_sku=True)
LISTING_CURSOR: Final = Word("cursor", "the `next` of the page before")
OF_SKU: Final = Word("sku", "only events of this SKU", is_sku=True)
OF_CHANNEL: Final = Word("channel", "only what concerns this channel")
AT: Final = Word("at", "how it was then: RFC 3339, a date, HH:MM of today (UTC), or like `2h ago`; empty: now")
LIMIT: Final = Whole("limit", "rows of a page", 100, 1, LIST_MAX)
BEFORE: Final = Whole("before", "only events before this one", SEQ_MAX, 1, SEQ_MAX)
BEFORE_DRIFT: Final = Whole("before", "only drifts before this one, 0: all", 0, 0, SEQ_MAX)
AFTER: Final = Whole("after", "only what comes after this one", 0, 0, SEQ_MAX)
EVENT_LIMIT: Final = Whole("limit", "at most so many events, 0: all", 0, 0, SEQ_MAX)
PROBLEMS: Final = Whole("problems", "1: only what a person has to decide, all of it", 0, 0, 1)
PAGE: Final = Whole("page", "which page, from 0", 0, 0, modes.PAGE_MAX)
FOLLOW: Final = Whole("follow", "1: go on for ever, as the log grows", 0, 0, 1)


# --- queries -------------------------------------------------------------------------------------------------


async def _status(desk: Desk, _: Call) -> Json:
    return status_view(desk.inside)


async def _openapi(_: Desk, __: Call) -> HttpResponse:
    return HttpResponse(200, description(ROUTES), content_type=JSON)


async def _metrics(desk: Desk, _: Call) -> HttpResponse:
    return desk.metrics.answer()


async def _skus(desk: Desk, call: Call) -> Json:
    inside, around = desk.inside, Channels(desk.inside)
    prefix, after = call.query.text(PREFIX), call.query.text(CURSOR)
    limit = call.query.whole(LIMIT)
    # An empty prefix and cursor mean "all" and "from the start"; anything else must be able to be a SKU.
    names = inside.registry.skus(valid_sku(prefix) if prefix else "", valid_sku(after) if after else "", limit)
    rows = []
    for place, sku in enumerate(names):
        state = inside.registry.peek(sku)
        if state is not None:
            rows.append(sku_row(state, around))
        if place % BREATHER == BREATHER - 1:
            await trio.lowlevel.checkpoint()
    return page_of(rows, "skus", names[-1] if len(names) == limit else None)


async def _sku(desk: Desk, call: Call) -> Json:
    sku, at = valid_sku(call.names[0]), call.query.text(AT)
    if at:
        return await sku_then(desk.inside, sku, at)
    return sku_view(find_sku(desk.inside, sku), Channels(desk.inside))


async def _history(desk: Desk, call: Call) -> Json:
    sku = valid_sku(call.names[0])
    before = call.query.whole(BEFORE)
    limit = call.query.whole(LIMIT)
    records = desk.inside.store.history(sku, before=before, limit=limit)
    if not records:  # also of one that was linked to nothing since, and has no state any more
        find_sku(desk.inside, sku)
    page = page_of(map(entry, records), "history", records[-1].seq if len(records) == limit else None)
    return {"sku": sku, **page, "whole_since": when(desk.inside.store.floor.at_us)}


async def _explain(desk: Desk, call: Call) -> Json:
    sku, channel, at = valid_sku(call.names[0]), call.query.text(OF_CHANNEL), call.query.text(AT)
    if at:  # also of channels that are not configured any more
        return await explain_then(desk.inside, sku, at, channel)
    if channel:
        desk.commands.control(channel)
    return explain_view(find_sku(desk.inside, sku), Channels(desk.inside), channel)


async def _channels(desk: Desk, _: Call) -> Json:
    return {"channels": [channel_view(control.view()) for control in desk.inside.channels.values()]}


async def _drift(desk: Desk, call: Call) -> Json:
    channel = call.query.text(OF_CHANNEL)
    if channel:
        desk.commands.control(channel)
    before, limit = call.query.whole(BEFORE_DRIFT), call.query.whole(LIMIT)
    return drifts_view(desk.inside, channel, before, limit)


async def _events(desk: Desk, call: Call) -> HttpResponse:
    sku = call.query.text(OF_SKU)
    return desk.streams.answer(
        after=call.query.whole(AFTER),
        sku=valid_sku(sku) if sku else "",
        limit=call.query.whole(EVENT_LIMIT),
        follow=bool(call.query.whole(FOLLOW)),
    )


async def _export(desk: Desk, call: Call) -> Json:
    after, limit = call.query.text(CURSOR), call.query.whole(LIMIT)
    names = desk.inside.registry.skus("", valid_sku(after) if after else "", limit)
    rows: list[Json] = []
    for place, sku in enumerate(names):
        rows += exported(desk.inside, sku)
        if place % BREATHER == BREATHER - 1:
            await trio.lowlevel.checkpoint()
    return page_of(rows, "counts", names[-1] if len(names) == limit else None)


async def _letters(desk: Desk, call: Call) -> Json:
    after, limit = call.query.whole(AFTER), call.query.whole(LIMIT)
    return await desk.commands.letters(call.query.text(OF_CHANNEL), after, limit)


async def _letter(desk: Desk, call: Call) -> Json:
    return desk.commands.show_letter(_letter_id(call))


async def _webhooks(desk: Desk, call: Call) -> Json:
    return await desk.commands.webhooks(call.names[0])


# --- commands ------------------------------------------------------------------------------------------------


async def _count(desk: Desk, call: Call) -> Json:
    return await desk.facts.count(call.body, call.by)


async def _import(desk: Desk, call: Call) -> Json:
    return await desk.imports.take(call.body, call.by)


async def _adjust(desk: Desk, call: Call) -> Json:
    return await desk.facts.adjust(call.body, call.by)


async def _freeze(desk: Desk, call: Call) -> Json:
    return await desk.facts.freeze(valid_sku(call.names[0]), call.by, call.body.reason)


async def _unfreeze(desk: Desk, call: Call) -> Json:
    return await desk.facts.unfreeze(valid_sku(call.names[0]), call.by)


async def _push(desk: Desk, call: Call) -> Json:
    return await desk.facts.push(valid_sku(call.names[0]), call.by)


async def _pull(desk: Desk, call: Call) -> Json:
    return await desk.facts.pull(valid_sku(call.names[0]), call.by)


async def _retry(desk: Desk, call: Call) -> Json:
    return await desk.commands.retry_letter(_letter_id(call))


async def _discard(desk: Desk, call: Call) -> Json:
    return await desk.commands.discard_letter(_letter_id(call))


async def _pause(desk: Desk, call: Call) -> Json:
    return await desk.commands.pause(call.names[0])


async def _resume(desk: Desk, call: Call) -> Json:
    return await desk.commands.resume(call.names[0])


async def _live(desk: Desk, call: Call) -> Json:
    control = desk.commands.control(call.names[0])
    with desk.commands.alone(f"mode {control.name}", f"{control.name} is being switched already"):
        return await modes.go_live(control, call.by)


async def _shadow(desk: Desk, call: Call) -> Json:
    return await modes.go_shadow(desk.commands.control(call.names[0]), call.by)


async def _roll_back(desk: Desk, call: Call) -> Json:
    control = desk.commands.control(call.names[0])
    with desk.commands.alone(f"mode {control.name}", f"{control.name} is being switched already"):
        return await modes.roll_back(control, call.by)


async def _report(desk: Desk, call: Call) -> Json:
    control = desk.commands.control(call.names[0])
    limit = call.query.whole(LIMIT)
    return shadow_view(control, call.query.text(LISTING_CURSOR), limit, desk.inside.store.wall_us())


async def _priors(desk: Desk, call: Call) -> Json:
    return modes.priors_view(desk.commands.control(call.names[0]), call.query.whole(PAGE))


async def _reconcile(desk: Desk, call: Call) -> Json:
    return await desk.commands.reconcile(call.names[0])


async def _accept(desk: Desk, call: Call) -> Json:
    return await decide(desk.commands.control(call.names[0]), accept=True)


async def _refuse(desk: Desk, call: Call) -> Json:
    return await decide(desk.commands.control(call.names[0]), accept=False)


async def _register(desk: Desk, call: Call) -> Json:
    return await desk.commands.register_webhooks(call.names[0])


async def _backup(desk: Desk, call: Call) -> Json:
    return await desk.commands.backup(call.body.directory)


async def _rebuild(desk: Desk, call: Call) -> Json:
    return await desk.commands.rebuild(verify_only=call.body.verify)


async def _links(desk: Desk, call: Call) -> Json:
    channel = call.query.text(OF_CHANNEL)
    if call.query.whole(PROBLEMS):
        return await desk.linking.problems(channel)
    return desk.linking.page(channel, call.query.text(LISTING_CURSOR), call.query.whole(LIMIT))


async def _link(desk: Desk, call: Call) -> Json:
    return await desk.linking.take(call.body, call.by)


async def _replay(desk: Desk, call: Call) -> Json:
    return await desk.commands.replay(call.body)


async def _replaying(desk: Desk, _: Call) -> Json:
    return progress_view(desk.inside.maintenance.replaying())


def _letter_id(call: Call) -> int:
    text = call.names[0]
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise ApiError(404, "unknown_letter", f"{text!r} is no dead letter's number", "see `onhand dead-letters`")
    return int(text)


def _get(path: str, about: str, answer: Answer, gives: type[Shape] | str, takes: Takes = (), *refusals: int) -> Route:
    return Route("GET", tuple(path.split("/")[1:]), about, answer, gives, takes, None, refusals)


def _post(path: str, about: str, answer: Answer, gives: type[Shape], body: type, *refusals: int) -> Route:
    return Route("POST", tuple(path.split("/")[1:]), about, answer, gives, (), body, refusals)


_SKU, _LETTER, _CHANNEL = "/v1/skus/{sku}", "/v1/dead-letters/{id}", "/v1/channels/{channel}"
_HOOKS = _CHANNEL + "/webhooks"
_SWITCHED: Final = shapes_shadow.ChannelSwitched

ROUTES: Final = (
    _get("/v1/openapi.json", "This description.", _openapi, JSON),
    _get("/metrics", "Figures for a monitor, as OpenMetrics text.", _metrics, OPEN_METRICS),
    _get("/v1/status", "How the daemon is.", _status, shapes.Status),
    _get("/v1/skus", "SKUs in the order of their names.", _skus, shapes.SkuPage, (PREFIX, LIMIT, CURSOR)),
    _get(_SKU, "One SKU with its listings, now or then.", _sku, shapes.SkuState, (AT,), 404),
    _get(_SKU + "/history", "The events of one SKU.", _history, shapes.History, (BEFORE, LIMIT), 404),
    _get(
        _SKU + "/explain",
        "Why listings show what they show, or showed.",
        _explain,
        shapes.Explanation,
        (OF_CHANNEL, AT),
        404,
    ),
    _get("/v1/channels", "Every channel.", _channels, shapes.ChannelList),
    _get(_HOOKS, "The subscriptions there.", _webhooks, shapes.Subscriptions, (), 404, 502),
    _get("/v1/events", "The event log, a line each.", _events, JSON_LINES, (AFTER, OF_SKU, EVENT_LIMIT, FOLLOW)),
    _get("/v1/drift", "Levels that were not ours.", _drift, shapes.DriftPage, (OF_CHANNEL, BEFORE_DRIFT, LIMIT), 404),
    _get("/v1/export", "What the books have, as counts.", _export, shapes.ExportPage, (LIMIT, CURSOR)),
    _get("/v1/dead-letters", "What was put aside.", _letters, shapes.LetterPage, (AFTER, LIMIT, OF_CHANNEL)),
    _get(_LETTER, "One letter with its content.", _letter, shapes.OpenedLetter, (), 404),
    _post("/v1/counts", "Tell what was counted.", _count, shapes.Counted, Count, 409),
    _post("/v1/import", "Compare a file's counts, or tell them.", _import, shapes.Imported, Import, 409),
    _post("/v1/adjustments", "Tell what came or went.", _adjust, shapes.Adjusted, Adjust, 409),
    _post(_SKU + "/push", "Read its listings, push what differs.", _push, shapes.Asked, Empty, 404, 409),
    _post(_SKU + "/pull", "Read its listings.", _pull, shapes.Asked, Empty, 404, 409),
    _post(_SKU + "/freeze", "Its listings keep their levels.", _freeze, shapes.Told, Because, 404, 409),
    _post(_SKU + "/unfreeze", "Its listings follow the stock.", _unfreeze, shapes.Told, Empty, 404, 409),
    _post(_LETTER + "/retry", "Apply a letter again.", _retry, shapes.LetterResult, Empty, 404, 409),
    _post(_LETTER + "/discard", "Give a letter up.", _discard, shapes.LetterResult, Empty, 404, 409),
    _post(_CHANNEL + "/pause", "Push nothing there.", _pause, shapes.ChannelState, Empty, 404),
    _post(_CHANNEL + "/resume", "Push there again.", _resume, shapes.ChannelState, Empty, 404),
    _post(_CHANNEL + "/live", "Keep what it shows, then push there.", _live, _SWITCHED, Empty, 404, 409),
    _post(_CHANNEL + "/shadow", "Write nothing there.", _shadow, shapes_shadow.ChannelShadowed, Empty, 404),
    _post(
        _CHANNEL + "/rollback",
        "Write back what it showed before it went live.",
        _roll_back,
        _SWITCHED,
        Empty,
        404,
        409,
    ),
    _get(
        _CHANNEL + "/shadow",
        "What its time in shadow taught.",
        _report,
        shapes_shadow.ShadowReport,
        (LIMIT, LISTING_CURSOR),
        404,
    ),
    _get(_CHANNEL + "/rollback", "What it showed before.", _priors, shapes_shadow.PriorPage, (PAGE,), 404, 409),
    _post(_CHANNEL + "/reconcile", "Compare with it now.", _reconcile, shapes.Reconciled, Empty, 404, 409, 502),
    _post(_CHANNEL + "/drift/accept", "What it shows is right.", _accept, shapes.MassDecided, Empty, 404, 409),
    _post(_CHANNEL + "/drift/refuse", "What it shows is wrong.", _refuse, shapes.MassDecided, Empty, 404, 409),
    _post(_HOOKS + "/register", "Mend the subscriptions.", _register, shapes.Registered, Empty, 404, 409, 502),
    _post("/v1/backup", "Copy the state into an empty directory.", _backup, shapes.Copied, Backup, 409),
    _get(
        "/v1/links",
        "Which SKU each listing is.",
        _links,
        shapes_shadow.LinkPage,
        (OF_CHANNEL, PROBLEMS, LIMIT, LISTING_CURSOR),
        404,
    ),
    _post(
        "/v1/links", "Compare links with what is known, or say them.", _link, shapes_shadow.LinksImported, Links, 409
    ),
    _get("/v1/replay", "How far a replay is.", _replaying, shapes_shadow.Replaying),
    _post("/v1/replay", "Read kept deliveries again.", _replay, shapes_shadow.Replayed, Replay, 404, 409),
    _post("/v1/rebuild", "Fold the whole log again and compare.", _rebuild, shapes.Rebuilt, Rebuild, 409),
)
"""Every path of the socket."""

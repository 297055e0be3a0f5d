"""The admin socket: every request is answered in its own words, and every value that gets in is of its kind."""

from __future__ import annotations

import itertools
import json
from typing import Any, Final

import msgspec

from daemon.admin.answers import ApiError
from daemon.admin.api import AdminHandler
from daemon.admin.openapi import _ALWAYS
from daemon.admin.requests import (
    Adjust,
    Backup,
    Because,
    Count,
    Empty,
    Import,
    Query,
    Rebuild,
    decode_segment,
    read_body,
)
from daemon.admin.route import Route, choose, is_name
from daemon.admin.routes import AFTER, CURSOR, FOLLOW, LIMIT, OF_SKU, ROUTES
from daemon.domain.observations import QUANTITY_MAX
from daemon.ingress.head_rules import split_target
from daemon.ingress.http_types import HttpRequest, HttpResponse, RequestHead
from tests.fuzz import judges
from tests.fuzz.residence import Residence
from tests.fuzz.target import Cut, Target, line
from tests.harness import House

SHAPES: Final = (Count, Adjust, Because, Backup, Rebuild, Empty, Import)
TAKES: Final = (LIMIT, AFTER, FOLLOW, OF_SKU, CURSOR)


def admin_bodies(data: bytes) -> None:
    """Bodies, parameters and names: values of their kind and within their bounds, or a refusal in our words."""
    cut = Cut(data)
    shape, query = cut.pick(SHAPES), cut.latin()
    body = cut.rest()
    try:
        value = read_body(body, shape)
    except ApiError as error:
        assert error.status == 400
        _refusal(error.answer())
    else:
        assert not body or judges.strict_json(body), "taken, though it is no strict JSON"
        _within(value)
    try:
        asked = Query(query, TAKES)
        limit, after, follow = asked.whole(LIMIT), asked.whole(AFTER), asked.whole(FOLLOW)
        assert LIMIT.low <= limit <= LIMIT.high
        assert 0 <= after <= AFTER.high
        assert follow in (0, 1)
        asked.text(OF_SKU).encode()
    except ApiError as error:
        assert error.status == 400
        _refusal(error.answer())
    try:
        decode_segment(query).encode()
    except ApiError as error:
        assert error.status == 400


def _within(value: Any) -> None:
    for name in ("sku", "location", "reference", "reason", "directory"):
        if hasattr(value, name):
            judges.text(getattr(value, name), 1 << 16)
    if isinstance(value, (Count, Adjust)):
        judges.units(value.quantity, 0 if isinstance(value, Count) else -QUANTITY_MAX)
    if isinstance(value, Rebuild):
        assert type(value.verify) is bool


def _refusal(answer: HttpResponse) -> None:
    error = json.loads(answer.body)["error"]
    assert set(error) == {"code", "message", "hint"}
    assert all(type(text) is str and text for text in error.values())
    assert "Traceback" not in error["message"]


# --- the whole socket, over a real store ---------------------------------------------------------------------


async def _furnish(house: House) -> AdminHandler:
    await house.listed("A", 3)
    await house.counted("A", 5)
    await house.counted("a/b", 3)
    await house.sold("A", 2)
    for place in range(4):
        house.dead_letters.add(
            "puzzle", 1, channel="shop", sku="", cause="why", subject=f"webhook {place}", content=b"{}"
        )
    await house.store.flush()
    ids = itertools.count(1)
    return AdminHandler(house.inside(), new_id=lambda: f"id-{next(ids)}")


_RESIDENCE: Final = Residence(_furnish)


async def _ask(handler: AdminHandler, route: Route | None, method: str, target: str, body: bytes) -> None:
    path, query = split_target(target)
    head = RequestHead(method, target, path, query, HttpRequest("", "", "").headers)
    answer = handler.admit(head)
    if isinstance(answer, int):
        answer = await handler.respond(HttpRequest(method, target, path, query, body=body[:answer]))
    if route is None:
        assert answer.status in (404, 405), answer
    if answer.status >= 400:
        assert route is None or answer.status in (*_ALWAYS, *route.refusals), "not a documented refusal"
        assert answer.status != 500
        _refusal(answer)
        return
    assert answer.status == 200
    assert route is not None
    await _as_described(answer, route)


async def _as_described(answer: HttpResponse, route: Route) -> None:
    if answer.stream is None:
        if not isinstance(route.gives, str):
            msgspec.json.decode(answer.body, type=route.gives)
    elif answer.endless:
        await answer.stream.aclose()  # type: ignore[attr-defined]  # it is a generator
    else:
        async for piece in answer.stream:
            for each in piece.splitlines():
                assert isinstance(json.loads(each), dict)


def admin(data: bytes) -> None:
    """Any method, target and body: a documented status, in JSON; refusals say what is wrong and what to do."""
    cut = Cut(data)
    method = cut.pick(("GET", "POST", "HEAD", "PUT", "DELETE"))
    # Half of the time a path that exists, with names of the fuzzer's in its gaps.
    place = cut.byte()
    if place & 1:
        target = "/" + "/".join(
            cut.latin() if is_name(each) else each for each in ROUTES[(place >> 1) % len(ROUTES)].path
        )
        target += "?" + cut.latin() if cut.flag() else ""
    else:
        target = "/" + cut.latin()
    body = cut.rest()
    if "backup" in target:
        return  # it would write where the fuzzer says
    try:
        route = choose(ROUTES, method, split_target(target)[0])
    except ApiError as error:
        _refusal(error.answer())
        route = None
    _RESIDENCE.visit(_ask, route, method, target, body)


def _known(path: str) -> int:
    return next(place for place, route in enumerate(ROUTES) if route.template == path) << 1 | 1


WORDS: Final = (
    b'{"sku":"A","quantity":',
    b'"kind":"available"',
    b'"reference":"',
    b'"reason":"',
    b'"location":"',
    b'{"verify":true}',
    b"1e999",
    b"true",
    b"NaN",
    b"9007199254740993",
    b"\\ud800",
    b"v1/",
    b"skus/",
    b"A",
    b"a%2Fb",
    b"%ff",
    b"%00",
    b"/history",
    b"/explain",
    b"limit=",
    b"after=",
    b"cursor=",
    b"follow=1",
    b"sku=A",
    b"channel=shop",
    b"&",
    b"events",
    b"dead-letters/1",
    b"/retry",
)

TARGETS: Final = (
    Target(
        "admin_bodies",
        admin_bodies,
        "bodies, parameters and names of commands",
        1_024,
        WORDS,
        lambda: (
            b"\0" + line("limit=5&sku=A") + b'{"sku":"A","quantity":5,"kind":"available","reason":"r"}',
            b"\1" + line("after=1&follow=1") + b'{"sku":"A","quantity":-5,"reference":"R-1"}',
            b"\2" + line("%c3%a4") + b'{"reason":"x"}',
            b"\3" + line("a=b") + b'{"directory":"/tmp/x"}',
            b"\4" + line("limit=1&limit=2") + b'{"verify":true}',
            b"\5" + line("") + b"{}",
            b"\0" + line("") + b'{"sku":"A","quantity":1,"quantity":2}',
            b"\2" + line("") + b'{"x":' + b"[" * 900,
            b"\0" + line("") + b'{"sku":"A","quantity":1e0}',
        ),
    ),
    Target(
        "admin",
        admin,
        "the admin socket over a real store",
        512,
        WORDS,
        lambda: (
            bytes([1, _known("/v1/counts")]) + b'\0{"sku":"A","quantity":5}',
            bytes([1, _known("/v1/adjustments")]) + b'\0{"sku":"A","quantity":-1,"reference":"R"}',
            bytes([0, _known("/v1/skus/{sku}")]) + line("A") + b"\0",
            bytes([0, _known("/v1/skus/{sku}/history")]) + line("A") + b"\1" + line("limit=2&before=5"),
            bytes([0, _known("/v1/skus/{sku}/explain")]) + line("a%2Fb") + b"\1" + line("channel=shop"),
            bytes([0, _known("/v1/events")]) + b"\1" + line("after=1&limit=3&sku=A"),
            bytes([0, _known("/v1/events")]) + b"\1" + line("follow=1"),
            bytes([0, _known("/v1/dead-letters/{id}")]) + line("1") + b"\0",
            bytes([1, _known("/v1/dead-letters/{id}/retry")]) + line("2") + b"\0",
            bytes([1, _known("/v1/skus/{sku}/freeze")]) + line("A") + b'\0{"reason":"r"}',
            bytes([1, _known("/v1/channels/{channel}/pause")]) + line("shop") + b"\0",
            bytes([1, _known("/v1/rebuild")]) + b'\0{"verify":true}',
            bytes([0, 0]) + line("v1/skus?prefix=A&limit=1"),
            bytes([0, _known("/metrics")]) + b"\0",
            bytes([0, _known("/v1/status")]) + b"\0",
            bytes([1, _known("/v1/skus/{sku}/push")]) + line("A") + b"\0",
            bytes([1, _known("/v1/channels/{channel}/reconcile")]) + line("site") + b"\0",
        ),
    ),
)

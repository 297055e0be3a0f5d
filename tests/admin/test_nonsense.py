"""Whatever is asked, the admin socket answers in its own words: no request makes it fail."""

from __future__ import annotations

import json
import random

import msgspec
import pytest

from daemon.admin.api import AdminHandler
from daemon.ingress.http_types import HttpRequest, RequestHead
from tests.harness import House

PIECES = [
    "v1", "skus", "A", "%41", "a%2Fb", "%ff", "%", "%0", "\xe4", "%c3%a4", "..", "", "history", "explain", "push",
    "pull", "freeze", "unfreeze", "channels", "shop", "webhooks", "register", "events", "dead-letters", "1", "-1",
    "99999999999999999999", "retry", "discard", "counts", "adjustments", "backup", "rebuild", "metrics", "status",
    "x" * 700, "\u00a0", "*", "reconcile", "pause",
]  # fmt: skip
PARAMETERS = ["limit", "cursor", "prefix", "after", "before", "channel", "sku", "at", "%ff", ""]
VALUES = ["", "0", "1", "2", "A", "%ff", "%00", "1e3", "-1", "9" * 30, "shop", "%F0%9F%8E%88", "\xb2"]
BODIES = [
    b"", b"{}", b"[]", b"null", b"{", b"\xff", b'{"sku": "A", "quantity": 1}', b'{"sku": "B", "quantity": -1}',
    b'{"sku": "\\u0000", "quantity": 1}', b'{"verify": true}', b'{"directory": "x"}', b'{"reason": "r"}',
    b'{"quantity": 1e400, "sku": "A"}', b'{"sku": "A", "quantity": 1, "reference": "\xf0\x9f\x8e\x88"}',
]  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
async def test_no_request_makes_it_fail(seed: int, house: House) -> None:
    await house.listed("A", 3)
    await house.counted("a/b", 3)
    chosen = random.Random(seed)
    handler = AdminHandler(house.inside(), new_id=lambda: f"id-{chosen.getrandbits(60)}")
    answered = set()
    for _ in range(150):
        segments = chosen.choices(PIECES, k=chosen.randint(1, 3))
        path = "/v1/" + "/".join(segments) if chosen.random() < 0.9 else "/" + "/".join(segments)
        names = chosen.choices(PARAMETERS, k=chosen.choice([0, 0, 0, 1, 1, 2]))
        query = "&".join(f"{name}={chosen.choice(VALUES)}" for name in names)
        method = chosen.choice(["GET", "GET", "POST", "POST", "HEAD", "PUT"])
        refused = handler.admit(RequestHead(method, path, path, query, HttpRequest("", "", "").headers))
        if not isinstance(refused, int):
            answer = refused
        else:
            answer = await handler.respond(HttpRequest(method, path, path, query, body=chosen.choice(BODIES)))
        answered.add(answer.status)
        if answer.status >= 400:
            assert set(json.loads(answer.body)["error"]) == {"code", "message", "hint"}
        elif answer.stream is not None:
            async for piece in answer.stream:
                [msgspec.json.decode(line) for line in piece.splitlines()]
    assert answered >= {200, 400, 404, 405}
    assert 500 not in answered

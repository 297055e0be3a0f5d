"""The description of the admin socket says what there is: every path, and answers of exactly the shapes it names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from daemon.admin.inside import Restored
from daemon.admin.openapi import description
from daemon.admin.route import Route, is_name
from daemon.admin.routes import ROUTES
from daemon.admin.shapes import Error, LogEvent, OpenedLetter
from daemon.domain.drift import Named
from daemon.domain.policy import Policy
from daemon.domain.shadow import Sums
from daemon.ingress.catalogue import Odd
from daemon.ingress.masses import MassHold
from tests.harness import START_US, AdminSocket, House, seen_in_shadow

NAMES = {"{sku}": "A/1", "{id}": "2", "{channel}": "shop"}
BODIES: dict[str, object] = {
    "/v1/counts": {"sku": "A/1", "quantity": 4, "location": "back", "reference": "R", "reason": "yearly"},
    "/v1/adjustments": {"sku": "A/1", "quantity": -1, "reason": "broken"},
    "/v1/import": {
        "file": "0" * 16,
        "rows": [{"line": 2, "sku": "A/1", "quantity": 4}, {"line": 3, "sku": "C", "quantity": 1}],
    },
    "/v1/skus/{sku}/freeze": {"reason": "recall"},
    "/v1/rebuild": {"verify": True},
    "/v1/links": {
        "rows": [
            {"line": 2, "channel": "shop", "listing": "L-A/1", "sku": ""},
            {"line": 3, "channel": "nowhere", "listing": "L", "sku": "A"},
        ]
    },
    "/v1/replay": {"channel": "shop", "since": "2026-01-31T14:05Z"},
}


async def furnish(house: House) -> None:
    """Something of everything that an answer can show."""
    house.channels["shop"].rules = Policy(buffer=1)
    await house.listed("A/1", 5)
    await house.counted("A/1", 4)
    await house.sold("A/1", 2)
    await house.sold("B", 1, order="1002")
    house.registry.quarantined["C"] = "crashed three times"
    await house.sold("C", 1, order="1003")
    for kind in ("puzzle", "late", "unlinked", "push"):
        house.dead_letters.add(kind, 1, channel="shop", sku="A/1", cause="c", subject=kind, content=b"x", delivery=3)  # type: ignore[arg-type]  # four of the kinds
    house.alarms.raised("mass_change", "shop", "many", "A/1")
    house.channels["shop"].held = MassHold("zero", 5, 6, 20)
    house.channels["shop"].odd = {"L-bare": Odd("", "A cap")}
    house.channels["shop"].sums = Sums(START_US, 3, 2, [5], [9], [1])
    house.channels["shop"].seen = [seen_in_shadow("L-A/1"), seen_in_shadow("L-B")]
    house.channels["shop"].priors = [
        Restored("L-A/1", "A/1", 7, 5, "differs"),
        Restored("L-B", "B", 1, None, "unlisted"),
    ]
    house.drifts.add(
        house.clock(), channel="shop", listing="L-A/1", sku="A/1", shown=9, expected=3, first_us=7, first_shown=9,
        done="corrected", causes=(Named("foreign edit", 0.5, "why"), Named("missing order", 0.2, "or that", "1001")),
    )  # fmt: skip
    await house.store.flush()


def target(route: Route) -> str:
    names = NAMES | ({"{id}": "3"} if route.path[-1] == "discard" else {})
    return "/" + "/".join(quote(names[part], safe="") if is_name(part) else part for part in route.path)


async def ask(route: Route, admin: AdminSocket, tmp_path: Path) -> Any:
    body = BODIES.get(
        route.template, {"directory": str(tmp_path / "copy")} if route.template == "/v1/backup" else None
    )
    return await (admin.post(target(route), body) if route.method == "POST" else admin.get(target(route)))


async def test_every_answer_has_the_shape_that_the_description_gives_it(
    house: House, admin: AdminSocket, tmp_path: Path
) -> None:
    await furnish(house)
    for route in ROUTES:
        answer = await ask(route, admin, tmp_path)
        assert answer.status == 200, (route.template, answer.body)
        if isinstance(route.gives, str):
            assert answer.headers["content-type"] == route.gives
        else:
            assert answer.headers["content-type"] == "application/json"
            msgspec.json.decode(answer.body, type=route.gives)


async def test_every_kind_of_letter_has_the_shape(house: House, admin: AdminSocket) -> None:
    await furnish(house)
    kinds = set()
    for letter in range(1, 6):
        answer = await admin.get(f"/v1/dead-letters/{letter}")
        kinds.add(msgspec.json.decode(answer.body, type=OpenedLetter).kind)
    assert len(kinds) == 5


async def test_every_line_of_the_event_log_has_the_shape(house: House, admin: AdminSocket) -> None:
    await furnish(house)
    lines = (await admin.get("/v1/events")).body.splitlines()
    assert {msgspec.json.decode(line, type=LogEvent).kind for line in lines} >= {"link", "count", "order"}


async def test_the_description_is_served_and_names_every_route(admin: AdminSocket) -> None:
    answer = await admin.get("/v1/openapi.json")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    document = answer.json()
    assert document["openapi"] == "3.1.0"
    named = {(method.upper(), path) for path, each in document["paths"].items() for method in each}
    assert named == {(route.method, route.template) for route in ROUTES}
    assert len({each["operationId"] for path in document["paths"].values() for each in path.values()}) == len(ROUTES)


def test_a_route_that_is_added_is_in_the_description() -> None:
    added = Route("GET", ("v1", "more", "{sku}"), "More.", ROUTES[0].answer, "application/json")
    paths = json.loads(description((*ROUTES, added)))["paths"]
    assert paths["/v1/more/{sku}"]["get"]["parameters"][0]["name"] == "sku"


def test_every_reference_of_the_description_leads_somewhere() -> None:
    document = json.loads(description(ROUTES))
    text = json.dumps(document)
    wanted = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert wanted == set(document["components"]["schemas"])


async def test_every_path_refuses_what_the_description_does_not_name(house: House, admin: AdminSocket) -> None:
    for route in ROUTES:
        if route.method == "POST":
            answer = await admin.post(target(route), {"nonsense": 1})
        else:
            answer = await admin.get(target(route) + "?nonsense=1")
        assert answer.status == 400, route.template
        msgspec.json.decode(answer.body, type=Error)
        for param in route.takes:
            twice = await admin.get(f"{target(route)}?{param.name}=1&{param.name}=1")
            assert (twice.status, "there twice" in twice.json()["error"]["message"]) == (400, True)

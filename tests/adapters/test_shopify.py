"""What is Shopify's own: documents against its schema and price list, tokens, limits, and what to configure."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest
from attrs import evolve

from adapters.shopify import PLATFORM, documents
from adapters.shopify.adapter import Shopify
from adapters.shopify.shop import TOKEN
from daemon.domain.access import Limits, Token
from daemon.domain.channel import Delivery, Push, Setup
from daemon.domain.exchange import Request, Response
from daemon.domain.outcomes import Failure
from tests import specs
from tests.adapters import contract
from tests.adapters.contract import Fixture, fixtures
from tests.adapters.shopify_cost import cost_of

DOCUMENTS = {name: text for name, text in vars(documents).items() if str(text).startswith(("query", "mutation"))}
BASE = {"options": {"shop": "example-eu", "location": "905684977"}, "secrets": {"token": "shpat_x"}}
CLIENT = {"client_secret": "shpss_secret"}


def shopify(**changes: Any) -> Shopify:
    made = PLATFORM.build(Setup("shop", "", **{**BASE, **changes}))
    assert isinstance(made, Shopify)
    return made


def said(status: int, **body: Any) -> Response:
    return Response(status, {}, json.dumps(body).encode())


# --- the documents ------------------------------------------------------------------------------------------


@cache
def schema(version: str) -> Any:
    """The vendor's schema, cut to what we need."""
    try:
        graphql = importlib.import_module("graphql")
    except ImportError:
        specs.untested("graphql-core is missing (pip install graphql-core)")
    return graphql.build_schema(specs.text(f"shopify/shopify_admin_{version}_inventory_subset.graphql"))


def asked_in_fixtures() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every document that a fixture expects, with its variables."""
    for fixture in (*fixtures("reads"), *fixtures("pushes")):
        if fixture.platform == "shopify":
            for step in fixture.content["steps"]:
                body = step["request"]["body"]
                yield body["query"], body["variables"]


def test_the_fixtures_ask_every_document_and_no_other() -> None:
    asked = {query for query, _ in asked_in_fixtures()}
    assert asked | {documents.LOCATIONS} == set(DOCUMENTS.values())


@pytest.mark.parametrize("version", ["2026-10", "2026-04"])
@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_and_all_its_variables_are_valid(name: str, version: str) -> None:
    made = schema(version)
    graphql = importlib.import_module("graphql")
    values = importlib.import_module("graphql.execution.values")
    document = graphql.parse(DOCUMENTS[name])
    assert graphql.validate(made, document) == []
    (operation,) = document.definitions
    for query, variables in asked_in_fixtures():
        if query == DOCUMENTS[name]:
            found = values.get_variable_values(made, operation.variable_definitions, dict(variables))
            assert not isinstance(found, list) or found == [], found


@pytest.mark.parametrize("kind", ["reads", "pushes"])
def test_the_answers_in_the_fixtures_are_what_such_a_shop_could_say(kind: str) -> None:
    made = schema("2026-10")
    graphql = importlib.import_module("graphql")
    checked = 0
    for fixture in fixtures(kind):
        for step in fixture.content["steps"] if fixture.platform == "shopify" else ():
            answer = step["response"].get("body")
            if isinstance(answer, dict) and isinstance(answer.get("data"), dict) and sound(fixture):
                query = step["request"]["body"]["query"]
                result = graphql.execute(made, graphql.parse(query), root_value=answer["data"],
                                         variable_values=step["request"]["body"]["variables"],
                                         type_resolver=lambda *_: _type_of(_))  # fmt: skip
                assert not result.errors, (fixture.name, result.errors)
                assert result.data == answer["data"], fixture.name
                checked += 1
    assert checked > 15


def _type_of(resolving: tuple[Any, ...]) -> str:
    """The type that an object's id names."""
    return str(resolving[0]["id"].split("/")[3])


def sound(fixture: Fixture) -> bool:
    """Not one of those that show what no sound shop says, or codes that only others report (shopify.md §5)."""
    return not any(word in fixture.path.stem for word in ("garbled", "not_stocked", "adjustment_failed"))


def test_the_mutation_of_the_sheet_is_refused_by_the_schema_where_it_is_outdated() -> None:
    made, graphql = schema("2026-10"), importlib.import_module("graphql")
    outdated = documents.SET_QUANTITIES.replace("InventorySetQuantitiesInput!", "InventorySetQuantitiesInputOld!")
    assert graphql.validate(made, graphql.parse(outdated))


@pytest.mark.parametrize(
    ("document", "variables", "declared"),
    [
        (documents.ORDERS, {"first": documents.ORDERS_PER_PAGE}, documents.ORDERS_COST),
        (documents.ORDER, {}, documents.ORDER_COST),
        (documents.REFUNDS, {"ids": ["x"] * documents.REFUNDS_AT_ONCE}, documents.REFUNDS_COST),
        (documents.VARIANTS, {"first": documents.VARIANTS_PER_PAGE}, documents.VARIANTS_COST),
        (
            documents.LEVELS, {"ids": ["x"] * documents.LEVELS_AT_ONCE},
            1 + documents.LEVEL_COST * documents.LEVELS_AT_ONCE,
        ),
        (documents.LOCATIONS, {}, documents.LOCATIONS_COST),
        (documents.HOOKS, {"first": documents.HOOKS_PER_PAGE}, documents.HOOKS_COST),
        (documents.SET_QUANTITIES, {}, documents.WRITE_COST),
        (documents.ACTIVATE, {}, documents.WRITE_COST),
        (documents.SUBSCRIBE, {}, documents.WRITE_COST),
        (documents.RESUBSCRIBE, {}, documents.WRITE_COST),
    ],
)  # fmt: skip
def test_no_document_can_cost_more_than_is_declared_or_allowed(
    document: str, variables: Mapping[str, Any], declared: float
) -> None:
    cost = cost_of(document, variables)
    assert 0.8 * declared <= cost <= declared <= documents.COST_MAX or declared == documents.WRITE_COST
    assert 1 <= cost <= declared


def test_what_a_request_is_said_to_cost_is_what_its_document_costs_at_most() -> None:
    for fixture in (*fixtures("reads"), *fixtures("pushes")):
        if fixture.platform != "shopify":
            continue
        adapter = contract.build("shopify")
        content = fixture.content
        talk: Any = (
            contract.start(adapter, content["call"], content["args"]) if "call" in content
            else adapter.push(contract.pushes_of(fixture), content["key"])
        )  # fmt: skip
        _, asked = contract.converse(talk, iter(contract.responses(content["steps"], fixture.path.parent)))
        for request in asked:
            body = json.loads(request.body)
            assert cost_of(body["query"], body["variables"]) <= request.cost <= documents.COST_MAX


# --- webhooks -----------------------------------------------------------------------------------------------


def test_a_webhook_and_a_poll_tell_one_order_alike() -> None:
    adapter = contract.build("shopify")
    told = {fixture.path.stem: fixture for fixture in fixtures("webhooks") if fixture.platform == "shopify"}
    read = next(each for each in fixtures("reads") if each.name == "shopify-order")
    by_hook = adapter.parse(told["order_created_and_not_paid"].delivery()).orders
    talk = contract.start(adapter, "order", read.content["args"])
    by_poll, _ = contract.converse(talk, iter(contract.responses(read.content["steps"], read.path.parent)))
    assert by_hook == (by_poll,)


def test_the_two_topics_that_report_one_change_are_one_delivery() -> None:
    adapter = contract.build("shopify")
    fixture = next(each for each in fixtures("webhooks") if each.name == "shopify-order_created_and_not_paid")
    headers = {**fixture.delivery().headers, "x-shopify-topic": "orders/updated", "x-shopify-webhook-id": "another"}
    again = adapter.parse(Delivery(headers, fixture.body()))
    assert again.identity == adapter.parse(fixture.delivery()).identity


def test_the_vendors_payload_shapes_are_read() -> None:
    """Types only: the shapes are inferred from the vendor's samples, whose values are not real (shopify.md §7)."""
    topics = specs.load("shopify/webhook_payloads_2026-07_relaxed.json")["topics"]
    order = topics["orders/updated"]["properties"]
    assert {"id", "created_at", "updated_at", "line_items", "refunds"} <= set(order)
    line = order["line_items"]["items"]["properties"]
    assert {"id", "quantity", "fulfillable_quantity", "variant_id", "sku", "gift_card"} <= set(line)
    rows = topics["refunds/create"]["properties"]["refund_line_items"]["items"]["properties"]
    assert {"line_item_id", "quantity", "restock_type"} <= set(rows)
    assert {"order_id"} <= set(topics["refunds/create"]["properties"])
    level = topics["inventory_levels/update"]["properties"]
    assert {"inventory_item_id", "location_id", "available", "updated_at"} <= set(level)


# --- pushes -------------------------------------------------------------------------------------------------


def test_a_key_has_the_form_of_a_uuid_and_is_another_for_other_rows() -> None:
    adapter = shopify()
    keys = []
    for key in ("0f8fad5bd9cb469fa16570867728950e", "k-1", ""):
        talk = adapter.push([Push("1", 2, 3, 4), Push("2", 2, 3, 4)], key)
        first = json.loads(next(talk).body)["variables"]
        error = {"code": "INVALID_INVENTORY_ITEM", "field": ["input", "quantities", "0"], "message": "no"}
        answer = {"data": {"inventorySetQuantities": {"inventoryAdjustmentGroup": None, "userErrors": [error]}}}
        second = json.loads(talk.send(Response(200, {}, json.dumps(answer).encode())).body)["variables"]
        keys += [first["key"], second["key"]]
        assert len(second["input"]["quantities"]) == 1
    assert len(set(keys)) == 6
    assert all([len(part) for part in key.split("-")] == [8, 4, 4, 4, 12] for key in keys)


# --- the location -------------------------------------------------------------------------------------------


def without_location() -> Shopify:
    return shopify(options={"shop": "example-eu"})


def locations(*numbers: int) -> Response:
    nodes = [{"id": f"gid://shopify/Location/{number}", "name": "x"} for number in numbers]
    return said(200, data={"locations": {"nodes": nodes}})


WROTE = {
    "inventorySetQuantities": {"inventoryAdjustmentGroup": {"createdAt": "2026-11-20T14:15:30Z"}, "userErrors": []}
}


def test_the_only_location_of_a_shop_needs_no_configuration() -> None:
    talk = without_location().push([Push("1", 2, 3, 4)], "k")
    (outcome,), requests = contract.converse(talk, iter([locations(77), said(200, data=WROTE)]))
    assert outcome.kind == "ok"
    assert json.loads(requests[0].body)["query"] == documents.LOCATIONS
    (row,) = json.loads(requests[1].body)["variables"]["input"]["quantities"]
    assert row["locationId"] == "gid://shopify/Location/77"
    for talk in (without_location().listings(""), without_location().levels(["1"])):
        _, requests = contract.converse(talk, iter([locations(77)]))
        assert json.loads(requests[1].body)["variables"]["location"] == "gid://shopify/Location/77"
    assert contract.converse(without_location().levels(["variant/1"]), iter([]))[1] == []


@pytest.mark.parametrize(("answer", "words"), [(locations(1, 2), "has several locations: set location"),
                                               (locations(), "has no location")])  # fmt: skip
def test_which_of_several_locations_is_meant_a_person_must_say(answer: Response, words: str) -> None:
    talk = without_location().push([Push("1", 2, 3, 4), Push("x", 2, 3, 4)], "k")
    outcomes, requests = contract.converse(talk, iter([answer]))
    assert [each.kind for each in outcomes] == ["permanent", "permanent"]
    assert words in outcomes[0].reason
    assert len(requests) == 1
    failure, _ = contract.converse(without_location().listings(""), iter([answer]))
    assert isinstance(failure, Failure)
    assert words in failure.reason


def test_without_a_configured_location_no_webhook_tells_a_level() -> None:
    fixture = next(each for each in fixtures("webhooks") if each.name == "shopify-level_updated")
    facts = without_location().parse(fixture.delivery())
    assert (facts.levels, facts.puzzle) == ((), "")


# --- tokens -------------------------------------------------------------------------------------------------


def asked(adapter: Shopify, refresh: str, *answers: Response) -> tuple[Any, list[Request]]:
    (source,) = adapter.tokens
    assert source.name == TOKEN
    return contract.converse(source.ask(refresh), iter(answers))


def with_client(refresh: str = "") -> Shopify:
    secrets = {**CLIENT, **({"refresh_token": refresh} if refresh else {})}
    return shopify(options={**BASE["options"], "client_id": "abc"}, secrets=secrets)


def test_a_static_token_needs_no_asking() -> None:
    adapter = shopify()
    assert adapter.tokens == ()
    request = next(adapter.order("1"))
    assert (request.token, request.secret_headers) == ("", {"x-shopify-access-token": "shpat_x"})
    assert request.url == "https://example-eu.myshopify.com/admin/api/2026-10/graphql.json"
    assert adapter.hosts == ("example-eu.myshopify.com",)


def test_client_credentials() -> None:
    adapter = with_client()
    token, (request,) = asked(adapter, "", said(200, access_token="t", scope="x", expires_in=86_399))
    assert token == Token("t", 86_399.0)
    assert (request.method, request.url) == ("POST", "https://example-eu.myshopify.com/admin/oauth/access_token")
    assert json.loads(request.body) == {
        "client_id": "abc", "client_secret": "shpss_secret", "grant_type": "client_credentials",
    }  # fmt: skip
    assert request.token == ""
    assert next(adapter.order("1")).token == TOKEN
    assert "shpss_secret" not in repr(adapter)


def test_a_rotating_refresh_token() -> None:
    adapter = with_client("r0")
    assert adapter.tokens[0].refresh == "r0"
    answer = said(200, access_token="t", expires_in=3_600, refresh_token="r1", refresh_token_expires_in=9, scope="x")
    token, (request,) = asked(adapter, "r0", answer)
    assert token == Token("t", 3_600.0, "r1")
    body = json.loads(request.body)
    assert (body["grant_type"], body["refresh_token"]) == ("refresh_token", "r0")
    left_out, _ = asked(adapter, "r0", said(200, access_token="t", expires_in=3_600))
    assert isinstance(left_out, Failure)


@pytest.mark.parametrize(
    ("refresh", "answer", "kind", "words"),
    [
        ("", said(400, error="invalid_client"), "permanent", "check client_id and client_secret"),
        ("r0", said(400, error="invalid_client"), "permanent", "check client_id and client_secret"),
        ("r0", said(400, error="invalid_grant"), "permanent", "consent again"),
        ("r0", said(401), "permanent", "consent again"),
        ("", Response(404, {}, b"<html>"), "permanent", "404"),
        ("", said(503), "transient", "503"),
        ("", Response(429, {"retry-after": "7"}, b""), "transient", "429"),
        ("", Response(200, {}, b"<html>"), "transient", "could be read"),
        ("", said(200, access_token=""), "transient", "left a token out"),
    ],
)
def test_a_refused_token(refresh: str, answer: Response, kind: str, words: str) -> None:
    found, _ = asked(with_client(refresh), refresh, answer)
    assert isinstance(found, Failure)
    assert found.outcome.kind == kind
    assert words in found.reason


# --- limits -------------------------------------------------------------------------------------------------


def cost(**status: Any) -> Response:
    return said(200, data={}, extensions={"cost": {"requestedQueryCost": 10, "throttleStatus": status}})


def test_the_bucket_is_learned_from_every_answer_up_to_what_is_configured() -> None:
    answer = cost(maximumAvailable=2000.0, currentlyAvailable=1988, restoreRate=100.0)
    assert shopify().limits(answer) == Limits(1988, 100.0, 2000.0)
    slow = shopify(overrides={"rate_per_s": 20.0, "burst": 500})
    assert slow.limits(answer) == Limits(1988, 20.0, 500)
    assert (slow.traits.rate_per_s, slow.traits.burst) == (20.0, 500)


@pytest.mark.parametrize(
    "answer",
    [said(200), Response(200, {}, b""), Response(502, {}, b"<html>"), said(200, extensions={"cost": None}),
     said(200, extensions={"cost": {"throttleStatus": {"restoreRate": "fast"}}})],
)  # fmt: skip
def test_an_answer_that_says_nothing_of_the_bucket_teaches_nothing(answer: Response) -> None:
    assert shopify().limits(answer) is None


# --- configuration ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "secrets", "key", "words"),
    [
        ({"shop": "shop.example.com"}, {}, "shop", "NAME.myshopify.com"),
        ({"shop": ""}, {}, "shop", "NAME.myshopify.com"),
        ({"location": "Main"}, {}, "location", "the location's number"),
        ({"client_id": "abc"}, {}, "token", "not both"),
        ({}, {"client_secret": "s"}, "token", "not both"),
        ({}, {"token": None}, "client_id", "client_id and client_secret missing"),
        ({"client_id": "abc"}, {"token": None}, "client_secret", "client_secret missing"),
        ({}, {"token": None, "client_secret": "s"}, "client_id", "client_id missing"),
    ],
)
def test_what_cannot_work_is_a_sentence(
    options: dict[str, str], secrets: dict[str, Any], key: str, words: str
) -> None:
    given = {name: value for name, value in {**BASE["secrets"], **secrets}.items() if value is not None}
    found = PLATFORM.problems({**BASE["options"], **options}, set(given))
    assert words in found[key]
    with pytest.raises(ValueError, match=f"^{key}: "):
        PLATFORM.build(Setup("shop", "", {**BASE["options"], **options}, given))


@pytest.mark.parametrize("shop", ["example-eu", "Example-EU", "example-eu.myshopify.com"])
@pytest.mark.parametrize("location", ["905684977", "gid://shopify/Location/905684977"])
def test_ways_to_write_one_shop(shop: str, location: str) -> None:
    made = shopify(options={"shop": shop, "location": location})
    assert (made.shop.base_url, made.shop.domain) == ("https://example-eu.myshopify.com", "example-eu.myshopify.com")
    assert made.shop.location == "905684977"


@pytest.mark.parametrize("name", ["compare_and_set", "registers_webhooks", "nonsense"])
def test_what_the_platform_is_cannot_be_configured(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be set for this platform"):
        shopify(overrides={name: 1})


def test_a_stamp_in_any_zone_is_one_version() -> None:
    moment = datetime(2026, 11, 20, 15, 2, 11, tzinfo=UTC)
    assert int(moment.timestamp()) * 1_000_000 == 1_795_186_931_000_000
    fixture = next(each for each in fixtures("webhooks") if each.name == "shopify-order_created_and_not_paid")
    adapter = contract.build("shopify")
    (order,) = adapter.parse(fixture.delivery()).orders
    utc = fixture.body().replace(b"2026-11-20T10:02:11-05:00", b"2026-11-20T15:02:11Z")
    (again,) = adapter.parse(evolve(fixture.delivery(), body=utc)).orders
    assert order == again

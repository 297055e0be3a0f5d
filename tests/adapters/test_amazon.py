"""The Amazon adapter beside its fixtures: configuration, tokens, the vendor's documents, what it must never do."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from adapters.amazon import PLATFORM, feed, inbound
from adapters.amazon.account import METERS, place, refused, segment
from daemon.domain.access import Limits, Token
from daemon.domain.channel import Adapter, Delivery, Push, Setup
from daemon.domain.exchange import Request, Response
from daemon.domain.instants import SECOND_US
from daemon.domain.outcomes import Failure
from tests import specs
from tests.adapters import contract
from tests.adapters.contract import Fixture, converse, fixtures
from tests.adapters.openapi import Document

OPTIONS = {
    "region": "eu", "seller_id": "A1EXAMPLESELLER", "marketplaces": "A1PA6795UKMFR9",
    "queue_url": "https://sqs.eu-west-1.amazonaws.com/111122223333/spapi",
}  # fmt: skip
SECRETS = {
    "client_id": "client-1", "client_secret": "hidden-1", "refresh_token": "Atzr|hidden-2",
    "aws_key_id": "AKID-hidden-3", "aws_secret": "hidden-4",
}  # fmt: skip


def setup(**changes: Any) -> Setup:
    return evolve(Setup("market", "", OPTIONS, SECRETS), **changes)


def build(**options: str) -> Adapter:
    return PLATFORM.build(setup(options={**OPTIONS, **options}))


def json_of(status: int, body: Any, headers: dict[str, str] | None = None) -> Response:
    return Response(status, headers or {}, json.dumps(body).encode())


# --- configuration ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (setup(options={**OPTIONS, "region": "us"}), "na, eu, fe"),
        (setup(options={**OPTIONS, "marketplaces": "DE, FR"}), "marketplace ids"),
        (setup(options={**OPTIONS, "marketplaces": ""}), "marketplace ids"),
        (setup(options={**OPTIONS, "seller_id": "../x"}), "seller_id"),
        (setup(options={**OPTIONS, "queue_url": "https://example.com/q"}), "queue_url"),
        (setup(options={**OPTIONS, "queue_url": OPTIONS["queue_url"] + ".fifo"}), "FIFO"),
        (setup(options={**OPTIONS, "pending_hours": "0.5"}), "pending_hours"),
        (setup(secrets={**SECRETS, "aws_secret": "", "client_id": ""}), "client_id and aws_secret"),
        (setup(secrets={**SECRETS, "aws_secret": "a\n"}), "line breaks"),
        (setup(overrides={"compare_and_set": 1}), "compare_and_set"),
    ],
)
def test_what_cannot_work_is_refused_with_a_sentence(bad: Setup, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        PLATFORM.build(bad)


def test_a_region_leads_to_its_host_and_a_base_url_overrules_it() -> None:
    assert next(build().orders(0, "")).url.startswith("https://sellingpartnerapi-eu.amazon.com/orders/2026-01-01/")
    sandbox = PLATFORM.build(setup(base_url="https://sandbox.sellingpartnerapi-eu.amazon.com"))
    assert next(sandbox.orders(0, "")).url.startswith("https://sandbox.sellingpartnerapi-eu.amazon.com/orders/")


def test_secrets_never_show() -> None:
    adapter = build()
    (seller, grantless) = adapter.tokens
    asked = [next(adapter.orders(0, "")), next(seller.ask("Atzr|hidden-2")), next(grantless.ask(""))]
    shown = f"{adapter!r}{asked!r}{[place(each, 'Atza|hidden-5') for each in asked]!r}"
    assert "hidden" not in shown


# --- tokens -------------------------------------------------------------------------------------------------


def ask(source: int, refresh: str, response: Response) -> tuple[Any, dict[str, list[str]]]:
    value, (request,) = converse(build().tokens[source].ask(refresh), iter([response]))
    assert (request.method, request.url) == ("POST", "https://api.amazon.com/auth/o2/token")
    assert request.headers["content-type"] == "application/x-www-form-urlencoded;charset=UTF-8"
    return value, parse_qs(request.body.decode())


def test_the_sellers_token_is_had_for_its_refresh_token() -> None:
    told = {"access_token": "Atza|1", "token_type": "bearer", "expires_in": 3600, "refresh_token": "Atzr|hidden-2"}
    value, form = ask(0, "Atzr|hidden-2", json_of(200, told))
    assert value == Token("Atza|1", 3600.0, "Atzr|hidden-2")
    assert form == {
        "grant_type": ["refresh_token"], "refresh_token": ["Atzr|hidden-2"], "client_id": ["client-1"],
        "client_secret": ["hidden-1"],
    }  # fmt: skip


def test_the_applications_token_needs_no_seller() -> None:
    value, form = ask(1, "", json_of(200, {"access_token": "Atza|2", "expires_in": 3600}))
    assert value == Token("Atza|2", 3600.0)
    assert form["grant_type"] == ["client_credentials"]
    assert form["scope"] == ["sellingpartnerapi::notifications"]
    assert "refresh_token" not in form


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"error": "invalid_grant", "error_description": "x"}, "permanent"), (401, {}, "permanent"),
        (429, {}, "throttled"), (503, {}, "transient"), (200, {}, "transient"),
        (200, {"access_token": ""}, "transient"),
    ],
)  # fmt: skip
def test_a_token_that_is_refused_says_who_can_help(status: int, body: Any, kind: str) -> None:
    value, _ = ask(0, "Atzr|hidden-2", json_of(status, body))
    assert isinstance(value, Failure)
    assert value.outcome.kind == kind
    assert "hidden" not in value.reason


@pytest.mark.parametrize(
    ("status", "body", "expired"),
    [
        (403, {"errors": [{"code": "Unauthorized", "details": "The access token you provided has expired."}]}, True),
        (403, {"errors": [{"code": "Unauthorized", "message": "Access to requested resource is denied."}]}, False),
        (401, {}, True), (200, {"x": "access token"}, False), (429, {}, False),
    ],
)  # fmt: skip
def test_a_missing_role_is_no_reason_to_ask_for_another_token(status: int, body: Any, expired: bool) -> None:
    assert refused(json_of(status, body)) is expired


# --- limits -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rate"),
    [("5.0", 5.0), ("0.0056", 0.0056), ("2", 2.0), ("0", None), ("-1", None), ("1e3", None), ("", None)],
)
def test_the_rate_is_learned_from_each_answer(text: str, rate: float | None) -> None:
    found = build().limits(Response(200, {"x-amzn-ratelimit-limit": text}, b""))
    assert found == (None if rate is None else Limits(rate_per_s=rate))


def test_every_call_is_metered_as_its_own_operation() -> None:
    adapter = build()
    batch = [Push(f"S-{number}", 1, 0, 1) for number in range(2)]
    calls = {
        "searchOrders": adapter.orders(0, ""), "getOrder": adapter.order("1-2-3"),
        "searchListingsItems": adapter.listings(""), "getListingsItem": adapter.levels(["A"]),
        "notifications": adapter.webhooks(), "getFeed": adapter.follow(batch, "feed:1"),
    }  # fmt: skip
    for name, call in calls.items():
        request = next(call)
        assert (request.meter, request.token) == (name, "grantless" if name == "notifications" else "seller")
        assert name in adapter.meters


def test_usage_plans_are_those_of_the_vendors_models() -> None:
    """The tables stand in the operations' descriptions: | rate | burst |."""
    files = ("orders_2026-01-01", "listingsItems_2021-08-01", "feeds_2021-06-30", "notifications")
    for name in files:
        for _, _, operation in operations(name):
            known = METERS.get(operation["operationId"])
            if name == "notifications":
                known = METERS["notifications"]
            if operation["operationId"] == "patchListingsItem":
                found = build().traits.rate_per_s, build().traits.burst
                assert f"| {found[0]:g} | {found[1]} |" in operation["description"]
            elif known is not None and "| Rate" in operation["description"]:
                assert f"| {known.rate_per_s:g} | {known.burst} |" in operation["description"], operation[
                    "operationId"
                ]


# --- the vendor's documents ---------------------------------------------------------------------------------

MODELS = ("orders_2026-01-01", "listingsItems_2021-08-01", "notifications", "feeds_2021-06-30")
MALFORMED = {
    "orders_with_one_that_cannot_be_read", "order_without_a_stamp", "orders_garbled", "orders_behind_something",
    "garbled", "of_a_channel_that_is_not_told_is_never_written", "a_status_nobody_knows",
    "feed_followed_and_unreadable", "refused_with_404",
}  # fmt: skip
"""Fixtures with answers that Amazon's own models do not describe."""


def operations(name: str) -> Iterator[tuple[str, str, Any]]:
    for path, item in specs.load(f"amazon/{name}.json")["paths"].items():
        for method, operation in item.items():
            if isinstance(operation, dict) and "operationId" in operation:
                yield path, method, operation


def check_call(request: Request, response: Response, *, answer: bool) -> bool:
    """Is the call one that the models describe, and (where wanted) the answer, too? False: it goes elsewhere."""
    where = urlsplit(request.url)
    if not where.netloc.startswith("sellingpartnerapi-"):
        return False
    for name in MODELS:
        document = Document(specs.load(f"amazon/{name}.json"), "")
        operation = document.operation(request.method, where.path)
        if operation is None:
            continue
        query = {key: values[0] for key, values in parse_qs(where.query).items()}
        parameters = [document.resolve(each) for each in operation["parameters"]]
        offered = {each["name"]: each for each in parameters if each["in"] == "query"}
        assert set(query) <= set(offered)
        assert {each for each, about in offered.items() if about.get("required")} <= set(query)
        for key, value in query.items():
            named = offered[key].get("items", offered[key]).get("enum")
            assert named is None or set(value.split(",")) <= set(named), key
        bodies = [each["schema"] for each in parameters if each["in"] == "body"]
        assert bool(bodies) == bool(request.body)
        for schema in bodies:
            assert list(document.errors(json.loads(request.body), schema)) == []
        if answer:
            schema = operation["responses"][str(response.status)]["schema"]
            assert list(document.errors(json.loads(response.body), schema)) == []
        return True
    raise AssertionError(f"{request.method} {where.path} is in no model")


@pytest.mark.parametrize(
    "fixture",
    [each for kind in ("reads", "pushes") for each in fixtures(kind) if each.platform == "amazon"],
    ids=lambda fixture: fixture.path.stem,
)
def test_what_is_asked_and_answered_is_in_the_vendors_models(fixture: Fixture) -> None:
    adapter = contract.build("amazon")
    canned = contract.responses(fixture.content["steps"], fixture.path.parent)
    if fixture.path.parent.name == "reads":
        talk = contract.start(adapter, fixture.content["call"], fixture.content["args"])
    elif "job" in fixture.content:
        talk = adapter.follow(contract.pushes_of(fixture), fixture.content["job"])
    else:
        talk = adapter.push(contract.pushes_of(fixture), "k")
    _, asked = converse(talk, iter(canned))
    known = [
        check_call(request, response, answer=fixture.path.stem not in MALFORMED)
        for request, response in zip(asked, canned, strict=True)
    ]
    assert not asked or any(known)


def nullable(schema: Any) -> Any:
    """JSON Schema's way to allow null, in OpenAPI's words."""
    if isinstance(schema, list):
        return [nullable(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: nullable(each) for name, each in schema.items()}
    if isinstance(found.get("properties"), dict):
        forbidden = {"enum": []}  # the schema False: nothing fits
        found["properties"] = {
            name: forbidden if each is False else each for name, each in found["properties"].items()
        }
    kinds = found.get("type")
    if isinstance(kinds, list):
        others = [each for each in kinds if each != "null"]
        found["nullable"] = "null" in kinds
        found.pop("type") if len(others) != 1 else found.update(type=others[0])
    return found


NOTIFICATIONS = {
    "ORDER_CHANGE": "OrderChangeNotification", "LISTINGS_ITEM_MFN_QUANTITY_CHANGE": "ListingsItemMfnQuantityChange",
    "FEED_PROCESSING_FINISHED": "FeedProcessingFinishedNotification",
}  # fmt: skip


def test_notifications_of_the_fixtures_are_such_as_the_vendor_describes() -> None:
    seen = set()
    for fixture in fixtures("webhooks"):
        known = fixture.platform == "amazon" and fixture.content["facts"]["topic"] in NOTIFICATIONS
        if not known or "puzzle" in fixture.content["facts"] or "state_nobody" in fixture.path.stem:
            continue
        topic = fixture.content["facts"]["topic"]
        schema = nullable(specs.load(f"amazon/notifications/{NOTIFICATIONS[topic]}.json"))
        body = json.loads(fixture.body())
        assert list(Document(schema, "").errors(body.get("detail", body), schema)) == [], fixture.name
        seen.add(topic)
    assert seen == set(NOTIFICATIONS)


def test_the_sheets_samples_are_read() -> None:
    adapter = contract.build("amazon")
    samples = specs.load("amazon/samples.composed.json")
    for topic in inbound.KNOWN:
        if topic in samples:
            facts = adapter.parse(Delivery({}, json.dumps(samples[topic]).encode()))
            assert (facts.puzzle, facts.topic) == ("", topic)
            assert facts.identity.startswith(("3333", "4444"))


def test_a_feed_is_a_document_as_the_vendor_describes_it() -> None:
    schema = nullable(specs.load("amazon/listings-feed/listings-feed-schema-v2.json"))
    message = nullable(specs.load("amazon/listings-feed/listings-feed-message-schema-v2.json"))
    sent = [
        step["request"]["body"]
        for fixture in fixtures("pushes")
        if fixture.platform == "amazon"
        for step in fixture.content["steps"]
        if step["request"]["method"] == "PUT"
    ]
    assert sent
    for document in sent:
        assert list(Document(message, "").errors(document["messages"][0], message)) == []
        assert set(document) <= set(schema["properties"])
        assert set(schema["required"]) <= set(document)
        assert [each["messageId"] for each in document["messages"]] == [1, 2]
    sample = specs.load("amazon/samples.composed.json")["JSON_LISTINGS_FEED"]["messages"][0]
    assert sent[0]["messages"][0].keys() == sample.keys()
    assert sent[0]["messages"][0]["patches"] == sample["patches"]


def test_a_packed_report_is_unpacked_and_bounded() -> None:
    report = specs.load("amazon/listings-feed/listings-feed-processing-report-schema-v2.example.json")
    packed = gzip.compress(json.dumps(report).encode(), mtime=0)
    document = {"feedDocumentId": "d", "url": "https://x.s3.amazonaws.com/r?a=b", "compressionAlgorithm": "GZIP"}
    batch = [Push(name, 4, 2, 1) for name in ("My-SKU-B", "My-SKU-C", "OTHER")]
    feed_done = json_of(200, {"feedId": "1", "processingStatus": "DONE", "resultFeedDocumentId": "r"})
    talk = contract.build("amazon").follow(batch, "feed:1")
    outcomes, asked = converse(talk, iter([feed_done, json_of(200, document), Response(200, {}, packed)]))
    assert asked[2].url == document["url"]
    assert not asked[2].token
    assert [each.kind for each in outcomes] == ["permanent", "permanent", "accepted"]
    assert "batteries_required" in outcomes[0].reason
    assert len(feed._unpacked(gzip.compress(b"x" * (feed.REPORT_MAX + 9)))) == feed.REPORT_MAX
    assert feed._unpacked(b"\x1f\x8bnothing") == b""


# --- what it must never do ----------------------------------------------------------------------------------


def test_no_restricted_data_is_ever_asked_for() -> None:
    for call in (build().orders(0, ""), build().order("1-2-3")):
        (asked,) = parse_qs(urlsplit(next(call).url).query)["includedData"]
        assert set(asked.split(",")) == {"FULFILLMENT", "CANCELLATION"}


@given(sku=st.text(min_size=1, max_size=40))
def test_a_sku_is_one_segment_whatever_is_in_it(sku: str) -> None:
    escaped = segment(sku)
    assert "/" not in escaped
    assert escaped not in (".", "..")
    assert escaped.isascii()
    assert not set("?#% ") & set(escaped.replace("%", "", escaped.count("%")))


@given(
    status=st.sampled_from(
        ["PENDING_AVAILABILITY", "PENDING", "UNSHIPPED", "PARTIALLY_SHIPPED", "SHIPPED", "CANCELLED"]
    ),
    ordered=st.integers(0, 9), fulfilled=st.integers(0, 9), cancelled=st.booleans(),
    by=st.sampled_from(["MERCHANT", "AMAZON", ""]),
)  # fmt: skip
def test_a_line_never_gives_back_what_was_sent_and_amazons_never_takes(
    status: str, ordered: int, fulfilled: int, cancelled: bool, by: str
) -> None:
    item: dict[str, Any] = {
        "orderItemId": "1", "quantityOrdered": ordered, "product": {"sellerSku": "A"},
        "fulfillment": {"quantityFulfilled": fulfilled},
    }  # fmt: skip
    if cancelled:
        item["cancellation"] = {"cancellationExecution": {"cancelledBy": "SELLER"}}
    order = {
        "orderId": "1-2-3", "createdTime": "2026-08-05T12:00:01Z", "lastUpdatedTime": "2026-08-05T12:00:01.5Z",
        "salesChannel": {"channelName": "AMAZON"}, "orderItems": [item],
        "fulfillment": {"fulfillmentStatus": status, "fulfilledBy": by},
    }  # fmt: skip
    seen, _ = converse(build().order("1-2-3"), iter([json_of(200, {"order": order})]))
    assert seen.version % SECOND_US == 0
    if by == "AMAZON":
        assert seen.lines == ()
        return
    (line,) = seen.lines
    assert 0 <= line.fulfilled <= line.ordered
    if status != "PENDING_AVAILABILITY":
        assert line.ordered >= min(fulfilled, max(ordered, fulfilled))
    if cancelled and status != "PENDING_AVAILABILITY":
        assert line.ordered == line.fulfilled == fulfilled


def test_a_notification_and_the_order_itself_tell_of_one_line() -> None:
    """The sale that a notification tells is the same line, at no newer a version than any the order itself shows."""
    sample = specs.load("amazon/samples.composed.json")["ORDER_CHANGE"]
    (told,) = contract.build("amazon").parse(Delivery({}, json.dumps(sample).encode())).orders
    order = {
        "orderId": told.order, "createdTime": "2026-08-05T12:00:01Z", "lastUpdatedTime": "2026-08-05T12:00:01Z",
        "salesChannel": {"channelName": "AMAZON"},
        "fulfillment": {"fulfillmentStatus": "PENDING", "fulfilledBy": "MERCHANT"},
        "orderItems": [
            {"orderItemId": "10112233445566", "quantityOrdered": 2, "product": {"sellerSku": "SHIRT-M-RED"}}
        ],
    }  # fmt: skip
    seen, _ = converse(build(pending_hours="2").order(told.order), iter([json_of(200, {"order": order})]))
    assert evolve(seen, look_again_s=0.0) == told
    assert seen.look_again_s == 7_200.0


@pytest.mark.parametrize(
    "url",
    ["http://x.s3.amazonaws.com/d", "https://x.s3.amazonaws.com:99/d", "https://u@x.s3.amazonaws.com/d",
     "https://amazonaws.com.evil.example/d", "https://x.s3.amazonaws.com/../d", "https://x.s3.amazonaws.com/a b",
     "//x.s3.amazonaws.com/d", "https://evilamazonaws.com/d"],
)  # fmt: skip
def test_a_document_is_put_nowhere_but_where_amazon_keeps_documents(url: str) -> None:
    offers = [{"fulfillmentChannelCode": "DEFAULT", "quantity": 1}]
    shown = {"numberOfResults": 2, "items": [{"sku": sku, "fulfillmentAvailability": offers} for sku in "AB"]}
    made = json_of(201, {"feedDocumentId": "d", "url": url})
    batch = [Push("A", 2, 1, 1), Push("B", 2, 1, 1)]
    outcomes, asked = converse(build().push(batch, "k"), iter([json_of(200, shown), made]))
    assert len(asked) == 2
    assert {each.kind for each in outcomes} == {"transient"}


def test_many_levels_are_one_feed_and_few_are_not() -> None:
    few = [Push(f"S-{number}", 1, 0, 1) for number in range(1_499)]
    many = [*few, Push("LAST", 1, 0, 1)]
    assert [len(batch) for batch in build().batches(few)] == [1] * 1_499
    assert [len(batch) for batch in build().batches(many)] == [1_500]
    assert [len(batch) for batch in build(bulk="patch").batches(many)] == [1] * 1_500
    assert build().life_s(many) > build().life_s(few[:1])
    assert build(bulk="patch").life_s(None) == build().traits.request_life_s < build().life_s(None)

"""Walmart beyond the shared contract: the vendor's documents and vectors, limits, dates, ship nodes, quantities."""

from __future__ import annotations

import base64
import itertools
import json
import re
from collections.abc import Generator, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from adapters.strict import UnreadableError, whole_units
from adapters.walmart import PLATFORM
from adapters.walmart.adapter import TRAITS, Walmart
from adapters.walmart.feeds import BYTES_MAX, NODE_BYTES_MAX, PAGES_MAX
from adapters.walmart.limits import PAUSE_MAX_S, limits, pause_s
from adapters.walmart.orders import order_seen
from adapters.walmart.seller import Seller
from daemon.config import ConfigError, read_config
from daemon.domain.access import Limits
from daemon.domain.channel import Delivery, LevelSeen, OrderPage, Push, Setup
from daemon.domain.exchange import Request, Response
from daemon.domain.instants import DAY_US, SECOND_US
from daemon.domain.outcomes import Failure
from daemon.ingress.signature import check
from tests import specs
from tests.adapters import contract
from tests.adapters.official.described import DESCRIBED
from tests.adapters.openapi import Document, check_answer, check_call

ID = {"client_id": "id-1"}
SECRETS = {"client_secret": "secret-1"}
HOOK_SECRET = "composed-client-secret-0001"
NOW_US = 1_785_931_200 * SECOND_US
NONCE = "Nonce0123456789ab"
MALFORMED = {
    "orders_with_bad_ones", "orders_with_single_elements_that_are_no_lists", "listings_with_bad_ones", "null",
    "error", "listings_without_a_list", "token_without_a_life", "webhooks_without_a_list", "feed_errors_inside_a_200",
    "feed_without_an_id", "orders_errors_inside_a_200", "register_again",
}  # fmt: skip
"""Fixtures whose answers are not as the vendor's documents have them, on purpose; of the last one, the schema says
`event` and so does the fixture, but the array is what the documents and their examples disagree about."""


def build(options: dict[str, str] | None = None, **changes: Any) -> Walmart:
    plain = Setup("shop", PLATFORM.default_base_url, ID | (options or {}), SECRETS, (HOOK_SECRET,))
    built = PLATFORM.build(evolve(plain, **changes))
    assert isinstance(built, Walmart)
    return built


def answered(talk: Generator[Request, Response, Any], *answers: Any) -> tuple[Any, list[Request]]:
    """What a conversation comes to whose requests are answered 200 with these bodies."""
    canned = [Response(200, {}, json.dumps(each).encode()) for each in answers]
    return contract.converse(talk, iter(canned))


# --- the vendor's documents -----------------------------------------------------------------------------------


def documents() -> Sequence[Document]:
    return DESCRIBED["walmart"].documents()


def conversations() -> list[contract.Fixture]:
    kinds = ("reads", "pushes", "quantities")
    return [each for kind in kinds for each in contract.fixtures(kind) if each.platform == "walmart"]


def sent(adapter: Any, request: Request) -> Request:
    """The request as it leaves, its secret headers among the others; a body that is no JSON is left out."""
    for source in adapter.tokens:
        if source.name == request.token:
            request = source.place(request, "token-1")
    assert request.sign is not None
    request = request.sign(request, NOW_US, NONCE)
    kind = request.headers.get("content-type", "application/json")
    url = request.url
    if "soIndex" in url:  # a cursor: a query string of Walmart's own making
        url = url.partition("?")[0]
    return evolve(
        request, url=url, headers={**request.headers, **request.secret_headers},
        body=request.body if kind == "application/json" else b"",
    )  # fmt: skip


def test_every_request_is_one_that_the_vendors_documents_offer_and_every_answer_has_their_shape() -> None:
    known, adapter = documents(), contract.build("walmart")
    calls = answers = 0
    for fixture in conversations():
        content = fixture.content
        if "call" in content:
            talk: Any = contract.start(adapter, content["call"], content["args"])
        elif "job" in content:
            talk = adapter.follow(contract.pushes_of(fixture), content["job"])
        else:
            talk = adapter.push(contract.pushes_of(fixture), content["key"])
        canned = contract.responses(content["steps"], fixture.path.parent)
        _, asked = contract.converse(talk, iter(canned))
        for request, response in zip(asked, canned, strict=True):
            document, operation = check_call(known, sent(adapter, request))
            calls += 1
            if fixture.path.stem in MALFORMED or not response.body.startswith(b"{"):
                continue
            answers += check_answer(document, operation, unwrapped(response))
    assert calls >= 80
    assert answers >= 30


def unwrapped(response: Response) -> Response:
    """The published example of a single order wraps it, which the schema beside it does not."""
    body = json.loads(response.body)
    return evolve(response, body=json.dumps(body["order"]).encode()) if set(body) == {"order"} else response


def test_a_body_that_the_documents_do_not_allow_is_found() -> None:
    inventory = documents()[2]
    operation = inventory.operation("PUT", "/v3/inventory")
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert not list(inventory.errors({"sku": "A", "quantity": {"unit": "EACH", "amount": 1}}, schema))
    for wrong in ({"sku": "A"}, {"sku": "A", "quantity": {"unit": "BOX", "amount": 1}}):
        assert list(inventory.errors(wrong, schema))


def test_the_composed_vectors_verify_in_every_spelling_that_is_possible() -> None:
    vectors = specs.load("walmart/vectors.composed.json")
    body, secret = vectors["body"].encode(), vectors["client_secret"]
    hmac = build()
    for spelled in (vectors["auth_method_HMAC"]["base64"], vectors["auth_method_HMAC"]["hex"]):
        delivery = Delivery({"x-onhand-signature": spelled}, body)
        assert check(hmac.scheme, [secret], delivery, NOW_US) == "ok"
        assert check(hmac.scheme, [secret], evolve(delivery, body=body + b" "), NOW_US) == "wrong"
        assert check(hmac.scheme, [secret + "x"], delivery, NOW_US) == "wrong"
    assert hmac.parse(Delivery({}, body)).refetch == ("108912345678901",)
    basic, plain = build({"webhook_auth": "basic"}), vectors["auth_method_BASIC_AUTH"]
    user = f"{plain['userName']}:{plain['password']}"
    for spelled in (plain["header_value_bare"], f"Basic {plain['header_value_bare']}"):
        assert check(basic.scheme, [user], Delivery({"authorization": spelled}, body), NOW_US) == "ok"
    assert check(basic.scheme, [user + "x"], Delivery({"authorization": spelled}, body), NOW_US) == "wrong"


# --- every call -----------------------------------------------------------------------------------------------


def test_every_call_carries_the_token_the_service_and_an_id_of_its_own() -> None:
    adapter = build({"channel_type": "abc-1"})
    (source,) = adapter.tokens
    request = source.place(next(adapter.listings("")), "eyJ")
    assert request.secret_headers == {"WM_SEC.ACCESS_TOKEN": "eyJ"}
    assert request.token == source.name
    assert request.sign is not None
    one, two = (request.sign(request, NOW_US, nonce).headers for nonce in (NONCE, NONCE + "2"))
    assert (one["WM_SVC.NAME"], one["WM_CONSUMER.CHANNEL.TYPE"]) == ("Walmart Marketplace", "abc-1")
    assert re.fullmatch(
        r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}", one["WM_QOS.CORRELATION_ID"]
    )
    assert one["WM_QOS.CORRELATION_ID"] != two["WM_QOS.CORRELATION_ID"]
    assert request.sign(request, NOW_US, NONCE).secret_headers == request.secret_headers


def test_the_token_is_asked_for_with_the_keys_and_renewed_at_four_fifths_of_its_life() -> None:
    (source,) = build().tokens
    asked = next(source.ask(""))
    assert (asked.method, asked.url) == ("POST", "https://marketplace.walmartapis.com/v3/token")
    assert base64.b64decode(asked.secret_headers["authorization"].removeprefix("Basic ")) == b"id-1:secret-1"
    assert asked.token == ""
    token, _ = answered(source.ask(""), {"access_token": "eyJ", "token_type": "Bearer", "expires_in": 900})
    assert (token.value, token.lives_s, token.refresh) == ("eyJ", 900.0, "")
    assert 900 - source.early_s == 720
    for body in ({"access_token": "a\r\nb", "expires_in": 900}, {"access_token": "", "expires_in": 900}):
        assert isinstance(answered(source.ask(""), body)[0], Failure)


# --- dates ----------------------------------------------------------------------------------------------------


def dates(since_us: int) -> dict[str, list[str]]:
    request = next(build().orders(since_us, ""))
    assert request.sign is not None
    signed = request.sign(evolve(request, secret_headers={"WM_SEC.ACCESS_TOKEN": "t"}), NOW_US, NONCE)
    assert signed.secret_headers == {"WM_SEC.ACCESS_TOKEN": "t"}
    return parse_qs(urlsplit(signed.url).query)


def test_late_changes_of_old_orders_are_asked_for_and_nothing_that_is_out_of_reach() -> None:
    asked = dates(NOW_US - 900 * SECOND_US)
    assert asked["lastModifiedStartDate"] == ["2026-08-05T11:45:00Z"]
    assert asked["createdStartDate"] == ["2026-02-07T12:00:00Z"]  # else: the last seven days
    assert asked["shipNodeType"] == ["SellerFulfilled"]
    # A channel that was quiet for a year: both as far back as a query may reach.
    asked = dates(NOW_US - 365 * DAY_US)
    assert asked["lastModifiedStartDate"] == asked["createdStartDate"] == ["2026-02-07T12:00:00Z"]
    # A stamp with a fraction is rounded down: what was modified within that second is asked for.
    assert dates(NOW_US - 1)["lastModifiedStartDate"] == ["2026-08-05T11:59:59Z"]
    assert dates(NOW_US + 10_000 * DAY_US)["createdStartDate"] == ["2026-02-07T12:00:00Z"]


def test_a_page_is_asked_for_with_the_cursor_and_nothing_else() -> None:
    cursor = "?limit=200&soIndex=7&createdStartDate=2026-02-07T12%3A00%3A00Z"
    request = next(build().orders(NOW_US, cursor))
    assert request.sign is not None
    assert request.sign(request, NOW_US, NONCE).url == f"https://marketplace.walmartapis.com/v3/orders{cursor}"


# --- units ----------------------------------------------------------------------------------------------------


def order(*parts: tuple[str, int], ordered: int = 5, **more: Any) -> bytes:
    statuses = [
        {"status": status, "statusQuantity": {"unitOfMeasurement": "EACH", "amount": str(units)}}
        for status, units in parts
    ]
    line = {
        "lineNumber": "1", "item": {"productName": "x", "sku": "A"}, "statusDate": 1_785_931_198_000,
        "orderLineQuantity": {"unitOfMeasurement": "EACH", "amount": str(ordered)},
        "orderLineStatuses": {"orderLineStatus": statuses},
    }  # fmt: skip
    return json.dumps({"purchaseOrderId": "1", "orderLines": {"orderLine": [line]}, **more}).encode()


def seen(body: bytes, node: str = "") -> Any:
    return order_seen(Seller("https://x", "i", "s", node), msgspec.Raw(body))


@pytest.mark.parametrize(
    ("parts", "cancelled", "fulfilled"),
    [
        ([("Created", 5)], 0, 0),
        ([("Acknowledged", 5)], 0, 0),
        ([("Created", 2), ("Acknowledged", 3)], 0, 0),
        ([("Acknowledged", 4), ("Cancelled", 1)], 1, 0),
        ([("Acknowledged", 3), ("Shipped", 2)], 0, 2),
        ([("Shipped", 2), ("Delivered", 3)], 0, 5),
        ([("Cancelled", 5)], 5, 0),
        ([("Shipped", 5), ("Refund", 2)], 0, 5),  # where a refund stands beside what was sent
        ([("Shipped", 3), ("Refund", 2)], 0, 5),  # and where it takes its place
        ([("Acknowledged", 2), ("Shipped", 2), ("Cancelled", 1)], 1, 2),
        ([("Cancelled", 9)], 5, 0),
        ([("Acknowledged", 9)], 0, 0),
        ([("Created", 3), ("Somewhere", 2)], 0, 2),  # what nobody knows yet is not told to Walmart as open
    ],
)
def test_units_are_open_cancelled_or_gone(parts: list[tuple[str, int]], cancelled: int, fulfilled: int) -> None:
    (line,) = seen(order(*parts)).lines
    assert (line.ordered, line.cancelled, line.fulfilled, line.restocked) == (5, cancelled, fulfilled, 0)


STATUSES = st.sampled_from(["Created", "Acknowledged", "Shipped", "Delivered", "Cancelled", "Refund", "Other"])


@given(st.lists(st.tuples(STATUSES, st.integers(0, 6)), min_size=1, max_size=6), st.integers(0, 9))
def test_what_is_held_is_never_more_than_is_open(parts: list[tuple[str, int]], ordered: int) -> None:
    (line,) = seen(order(*parts, ordered=ordered)).lines
    taken = line.ordered - line.cancelled
    opened = sum(units for status, units in parts if status in ("Created", "Acknowledged"))
    assert 0 <= line.fulfilled <= taken
    assert taken - line.fulfilled == min(opened, taken)


def test_lines_of_another_node_are_sold_but_not_reserved_at_ours() -> None:
    for node, listing in ((None, "A"), ("N1", "A"), ("N2", "A at node N2")):
        body = order(("Created", 5), shipNode={"type": "SellerFulfilled", "id": node})
        (line,) = seen(body, "N1").lines
        assert (line.listing, line.seller_sku) == (listing, "A")
        assert seen(body).lines[0].listing == "A"


@pytest.mark.parametrize("kind", ["WFSFulfilled", "3PLFulfilled", "SomethingNew"])
def test_what_somebody_else_sends_never_touches_our_stock(kind: str) -> None:
    assert seen(order(("Created", 5), shipNode={"type": kind})) is None


@pytest.mark.parametrize("value", [True, 1.5, "1.5", "", "two", -1, 10**10, [], {}, None])
def test_what_is_no_quantity_is_said_and_never_rounded(value: Any) -> None:
    with pytest.raises(UnreadableError):
        whole_units(value, "it")
    assert (whole_units(2.0, "it"), whole_units("2", "it"), whole_units("2.0", "it"), whole_units(2, "it")) == (
        2,
    ) * 4


# --- ship nodes -----------------------------------------------------------------------------------------------


def quantity(units: int) -> dict[str, Any]:
    return {"unit": "EACH", "amount": units}


def test_with_a_ship_node_that_node_is_read_written_and_answers_for_itself() -> None:
    adapter = build({"ship_node": "N1"})
    nodes = [{"shipNode": "N2", "inputQty": quantity(5)}, {"shipNode": "N1", "inputQty": quantity(3)}]
    value, (asked,) = answered(adapter.levels(["A"]), {"sku": "A", "nodes": nodes})
    assert value == (LevelSeen("A", 3, None, "A", included=None),)
    assert asked.url.endswith("/v3/inventories/A?shipNode=N1")
    for answer, kind in (
        ({"sku": "A", "nodes": [{"shipNode": "N1", "status": "Success", "errors": []}]}, "ok"),
        ({"sku": "A", "nodes": [{"shipNode": "N1", "status": "Failed", "errors": []}]}, "unknown"),
        ({"sku": "A", "nodes": [{"shipNode": "N1", "errors": [{"code": "X", "category": "DATA"}]}]}, "permanent"),
        ({"sku": "A", "nodes": [{"shipNode": "N1", "errors": [{"code": "X", "category": "SYSTEM"}]}]}, "unknown"),
        ({"sku": "A", "nodes": []}, "unknown"),
        ({"sku": "B", "nodes": [{"shipNode": "N1", "status": "Success"}]}, "unknown"),
    ):
        (outcome,), (asked,) = answered(adapter.push([Push("A", 7, 3, 1)], "k"), answer)
        assert outcome.kind == kind, answer
        assert asked.method == "PUT"
        assert asked.url.endswith("/v3/inventories/A")
        assert json.loads(asked.body) == {
            "inventories": {"nodes": [{"shipNode": "N1", "inputQty": quantity(7)}]}
        }  # fmt: skip


def test_a_feed_for_a_ship_node_is_of_the_other_kind_and_smaller() -> None:
    adapter = build({"ship_node": "N1"}, overrides={"bulk_from": 2})
    batch = [Push("A", 7, 3, 1), Push("B", 8, 3, 1)]
    (first, _), (asked,) = answered(adapter.push(batch, "k"), {"feedId": "F@1"})
    assert (first.kind, first.job) == ("accepted", "F@1")
    assert asked.url.endswith("/v3/feeds?feedType=MP_INVENTORY")
    assert contract.file_of(asked) == {
        "inventoryHeader": {"version": "1.5"},
        "inventory": [{"sku": each.listing, "shipNodes": [{"shipNode": "N1", "quantity": quantity(each.level)}]}
                      for each in batch],
    }  # fmt: skip


@pytest.mark.parametrize(("node", "most"), [("", BYTES_MAX), ("N1", NODE_BYTES_MAX)])
def test_no_feed_is_larger_than_walmart_takes(node: str, most: int) -> None:
    adapter = build({"ship_node": node} if node else {}, overrides={"bulk_from": 2, "bulk_max": 100_000})
    pushes = [Push(f"{'ü' * 300}{number}", 5, 3, 1) for number in range(9_000)]
    batches = adapter.batches(pushes)
    assert [push for batch in batches for push in batch] == pushes
    sizes = [len(next(adapter.push(batch, "k")).body) for batch in batches]
    assert max(sizes) <= most
    assert len(batches) > 1


def test_few_go_one_by_one_many_as_feeds_and_a_sku_twice_never_in_one() -> None:
    adapter = build(overrides={"bulk_from": 3, "bulk_max": 2})
    one, two, again = Push("A", 1, 0, 1), Push("B", 2, 0, 1), Push("A", 3, 0, 2)
    assert adapter.batches([one, two]) == [[one], [two]]
    assert adapter.batches([one, again, two]) == [[one], [again, two]]
    assert adapter.life_s([one]) == TRAITS.request_life_s
    assert adapter.life_s([one, two]) == adapter.life_s(None) == TRAITS.job_life_s


# --- limits ---------------------------------------------------------------------------------------------------

DATE = "Wed, 05 Aug 2026 12:00:00 GMT"


@pytest.mark.parametrize("name", ["x-next-replenishment-time", "x-next-replenish-time"])
@pytest.mark.parametrize(
    "moment", ["1785931230000", "1785931230", "2026-08-05T12:00:30Z", "2026-08-05T14:00:30.000+02:00"]
)
def test_the_time_of_replenishment_is_read_in_every_spelling(name: str, moment: str) -> None:
    empty = Response(200, {"date": DATE, "x-current-token-count": "0", name: moment}, b"")
    found = limits(empty)
    assert found is not None
    assert found.remaining == 0
    assert found.pause_s == pytest.approx(30, abs=1)
    assert pause_s(evolve(empty, status=429)) == pytest.approx(30, abs=1)
    assert limits(evolve(empty, headers={**empty.headers, "x-current-token-count": "17"})) == Limits(remaining=17.0)


def test_limits_that_say_nothing_or_nonsense_are_left_alone() -> None:
    assert limits(Response(200, {}, b"")) is None
    assert limits(Response(200, {"x-current-token-count": "many"}, b"")) is None
    far = {"date": DATE, "x-current-token-count": "0", "x-next-replenishment-time": "9999999999999"}
    assert limits(Response(200, far, b"")) == Limits(remaining=0.0, pause_s=PAUSE_MAX_S)
    past = {**far, "x-next-replenishment-time": "1"}
    assert limits(Response(200, past, b"")) == Limits(remaining=0.0, pause_s=0.0)
    assert pause_s(Response(429, {"date": DATE, "retry-after": "12", **past}, b"")) == 12.0


NAMES = ("date", "retry-after", "x-current-token-count", "x-next-replenishment-time", "x-next-replenish-time")


@given(st.dictionaries(st.sampled_from(NAMES), st.text(max_size=30) | st.integers(0, 10**18).map(str)))
def test_no_header_can_raise(headers: dict[str, str]) -> None:
    response = Response(429, headers, b"")
    assert (pause_s(response) or 0) >= 0
    found = limits(response)
    assert found is None or (found.pause_s or 0) <= PAUSE_MAX_S


# --- configuration --------------------------------------------------------------------------------------------

CONFIG = """
state_dir: ./state
listen: 127.0.0.1:8480
channels:
  mart: {adapter: walmart, client_id: id-1, client_secret: {env: SECRET}, webhook_secrets: [{env: HOOK}]%s}
"""


def test_two_sellers_are_two_accounts_and_one_is_never_two() -> None:
    line = CONFIG.splitlines()[-1] % ""
    other = line.replace("mart:", "other:")
    both = read_config(f"{CONFIG % ''}{other.replace('id-1', 'id-2')}", {}, {"walmart": PLATFORM})
    assert list(both.channels) == ["mart", "other"]
    with pytest.raises(ConfigError, match="same account"):
        read_config(f"{CONFIG % ''}{other}", {}, {"walmart": PLATFORM})


def problems(extra: str) -> str:
    with pytest.raises(ConfigError) as raised:
        read_config(CONFIG % extra, {}, {"walmart": PLATFORM})
    return str(raised.value)


def test_what_is_wrong_with_its_configuration_is_said_in_a_sentence() -> None:
    config = read_config(CONFIG % "", {}, {"walmart": PLATFORM})
    assert config.channels["mart"].adapter == "walmart"
    assert "correct or report" in problems(", drift: adopt")
    assert "hmac or basic" in problems(", webhook_auth: oauth")
    with pytest.raises(ConfigError, match="client_secret"):
        read_config(CONFIG.replace("client_secret: {env: SECRET}, ", "") % "", {}, {"walmart": PLATFORM})


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"secrets": {}}, "client_secret"),
        ({"options": {"client_id": ""}}, "client_id"),
        ({"options": ID | {"ship_node": "a b"}}, "ship_node"),
        ({"options": ID | {"channel_type": "a\nb"}}, "channel_type"),
        ({"options": ID | {"webhook_header": "x: y"}}, "webhook_header"),
        ({"options": ID | {"webhook_auth": "oauth"}}, "webhook_auth"),
        ({"base_url": "ftp://x"}, "https://"),
        ({"overrides": {"includes_held": 0.0}}, "includes_held"),
        ({"overrides": {"nonsense": 1.0}}, "nonsense"),
    ],
)
def test_what_cannot_work_is_refused_in_a_sentence(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        build(**changes)


def test_without_an_address_requests_go_to_walmart_and_with_one_only_there() -> None:
    channel = read_config(CONFIG % "", {}, {"walmart": PLATFORM}).channels["mart"]
    assert channel.base_url == "https://marketplace.walmartapis.com"
    assert build().hosts == ()
    sandbox = build(base_url="https://sandbox.walmartapis.com/v3")
    assert next(sandbox.listings("")).url.startswith("https://sandbox.walmartapis.com/v3/inventories")


def test_basic_subscriptions_carry_the_user_and_the_password_apart() -> None:
    adapter = build({"webhook_auth": "basic"}, webhook_secrets=("hookuser:hook:pass",))
    asked = next(adapter.register("ORDER_UPDATES", "https://us.example/webhooks/mart", None))
    (event,) = json.loads(asked.body)["events"]
    assert event["authDetails"] == {
        "authMethod": "BASIC_AUTH", "authHeaderName": "Authorization", "userName": "hookuser",
        "password": "hook:pass",
    }  # fmt: skip
    refused, asked_of = answered(build(webhook_secrets=()).register("ORDER_UPDATES", "https://us.example", None))
    assert isinstance(refused, Failure)
    assert asked_of == []


def test_a_feed_that_answers_for_ever_is_left_alone_after_so_many_pages() -> None:
    adapter = build()
    batch = [Push("A", 1, 0, 1), Push("B", 2, 0, 1)]
    page = {"feedStatus": "PROCESSED", "itemDetails": {"itemIngestionStatus": [
        {"sku": "A", "ingestionStatus": "SUCCESS"}]}}  # fmt: skip
    talk = adapter.follow(batch, "F@1")
    answer = Response(200, {}, json.dumps(page).encode())
    outcomes, asked = contract.converse(talk, itertools.repeat(answer), most=1_000)
    assert [each.kind for each in outcomes] == ["ok", "unknown"]
    assert len(asked) == PAGES_MAX


def test_an_empty_feed_of_the_far_future_is_an_empty_page() -> None:
    page, _ = answered(
        build().orders(NOW_US + 30_000 * DAY_US, ""), {"list": {"meta": {}, "elements": {"order": []}}}
    )
    assert page == OrderPage((), "", 0)

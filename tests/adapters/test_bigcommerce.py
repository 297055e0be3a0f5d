"""BigCommerce beyond the shared contract: the vendor's documents, configuration, rates, units, subscriptions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from adapters.bigcommerce import PLATFORM
from adapters.bigcommerce.adapter import TRAITS, BigCommerce, problems
from adapters.bigcommerce.inbound import KEY_HEADER, ORDER_SCOPES, REPLAY_S, SIGNATURE
from adapters.bigcommerce.payloads import STATUSES, Line, Order, order_seen
from adapters.bigcommerce.values import ListingId, listing_id, second
from adapters.strict import UnreadableError, whole_units
from daemon.config import ConfigError, read_config
from daemon.domain.access import Limits
from daemon.domain.channel import Delivery, OrderPage, Setup
from daemon.domain.exchange import Response
from daemon.domain.instants import SECOND_US
from daemon.domain.signatures import AllOf, SharedSecret
from daemon.ingress.signature import check
from tests import specs
from tests.adapters import contract
from tests.adapters.official.described import DESCRIBED
from tests.adapters.openapi import Document, check_answer, check_call

V2, V3 = "/stores/abc123xyz/v2", "/stores/abc123xyz/v3"
CLIENT_SECRET, KEY = "bc_client_secret_0f1e2d3c", "bc_key_b5c1f0d2a9"
MALFORMED = {"orders_with_bad_ones", "null"}
"""Fixtures whose answers are not as the vendor's documents have them, on purpose."""


def setup(**changes: Any) -> Setup:
    plain = Setup(
        "shop",
        PLATFORM.default_base_url,
        {"store_hash": "abc123xyz"},
        {"access_token": "t0ken", "webhook_key": KEY},
        (CLIENT_SECRET,),
    )
    return evolve(plain, **changes)


def build(**changes: Any) -> BigCommerce:
    built = PLATFORM.build(setup(**changes))
    assert isinstance(built, BigCommerce)
    return built


# --- the vendor's documents -----------------------------------------------------------------------------------


VENDORS = DESCRIBED["bigcommerce"]


def documents() -> Sequence[Document]:
    return VENDORS.documents()


def conversations() -> list[contract.Fixture]:
    kinds = ("reads", "pushes", "quantities")
    return [each for kind in kinds for each in contract.fixtures(kind) if each.platform == "bigcommerce"]


def test_every_request_is_one_that_the_vendors_documents_offer_and_every_answer_has_their_shape() -> None:
    known, adapter = documents(), contract.build("bigcommerce")
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
            document, operation = check_call(known, VENDORS.prepared(request))
            calls += 1
            if fixture.path.stem in MALFORMED or not response.body.startswith((b"{", b"[")):
                continue
            described = check_answer(document, operation, response)
            assert described or response.status != 200, request.url
            answers += described
    assert calls >= 100
    assert answers >= 60


def test_a_body_that_the_documents_do_not_allow_is_found() -> None:
    inventory = documents()[1]
    schema = {"$ref": "#/components/schemas/AdjustmentsAbsoluteRequest"}
    row = {"location_id": 1, "variant_id": 509, "quantity": 7}
    assert not list(inventory.errors({"items": [row]}, schema))
    for wrong in ({"variant_id": 509, "quantity": 7}, {**row, "quantity": "7"}, {**row, "location_id": True}):
        assert list(inventory.errors({"items": [wrong]}, schema)), wrong
    assert list(inventory.errors({}, schema))


def test_webhooks_of_the_fixtures_have_the_shape_of_the_vendors_callbacks() -> None:
    hooks = documents()[2]
    found = hooks.content["components"]["schemas"]
    checked = 0
    for fixture in contract.fixtures("webhooks"):
        if fixture.platform != "bigcommerce" or "puzzle" in fixture.content["facts"]:
            continue
        body = json.loads(fixture.body())
        name = body["scope"].replace("/", "_")
        assert name in found, name
        assert not list(hooks.errors(body, found[name])), body
        checked += 1
    assert checked >= 10


def test_the_computed_vectors_verify_with_the_static_header_and_never_without() -> None:
    adapter = build()
    for vector in specs.load("bigcommerce/signature_vectors.json")["vectors"]:
        headers = {
            "webhook-id": vector["webhook_id"], "webhook-timestamp": vector["webhook_timestamp"],
            "webhook-signature": vector["signature"], KEY_HEADER: KEY,
        }  # fmt: skip
        now_us = int(vector["webhook_timestamp"]) * SECOND_US
        delivery = Delivery(headers, vector["body"].encode())
        secrets = [vector["client_secret"]]
        assert check(adapter.scheme, secrets, delivery, now_us, "") == "ok"
        assert (
            check(adapter.scheme, secrets, evolve(delivery, headers={**headers, KEY_HEADER: "x"}), now_us, "") != "ok"
        )
        assert adapter.parse(delivery).refetch == ("250",)
        assert adapter.parse(delivery).identity == vector["webhook_id"]
        # Retries go on for 48 hours, perhaps under the first stamp; a replay is told by its id, within the week.
        for late_s, finding in ((48 * 3_600 + 600, True), (REPLAY_S + 5, False), (-REPLAY_S - 5, False)):
            told = check(adapter.scheme, secrets, delivery, now_us + late_s * SECOND_US, "")
            assert (told == "ok") is finding, late_s


# --- configuration --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"secrets": {"webhook_key": KEY}}, "access_token"),
        ({"options": {}}, "store_hash"),
        ({"options": {"store_hash": "../admin"}}, "store_hash"),
        ({"options": {"store_hash": "abc", "location_id": "default"}}, "location_id"),
        ({"options": {"store_hash": "abc", "location_id": "0"}}, "location_id"),
        ({"options": {"store_hash": "abc", "signed": "perhaps"}}, "signed"),
        ({"secrets": {"access_token": "t"}}, "webhook_key"),
        ({"overrides": {"compare_and_set": 1.0}}, "compare_and_set"),
        ({"overrides": {"nonsense": 1.0}}, "nonsense"),
    ],
)
def test_what_cannot_work_is_said_in_one_sentence(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        build(**changes)
    assert "\n" not in str(caught.value)


def test_what_is_wrong_is_said_by_its_key_before_anything_is_started() -> None:
    good = {"store_hash": "abc123xyz"}
    assert not problems(good, {"access_token", "webhook_key", "webhook_secrets"})
    assert not problems(good, {"access_token"})
    assert not problems({**good, "signed": "no"}, {"access_token", "webhook_secrets"})
    assert list(problems(good, {"access_token", "webhook_secrets"})) == ["webhook_key"]
    assert list(problems({**good, "signed": "no"}, {"webhook_key", "webhook_secrets"})) == ["webhook_key"]
    wrong = {"store_hash": "stores/abc", "location_id": "first"}
    assert list(problems(wrong, {"access_token"})) == ["store_hash", "location_id"]
    shop = "{adapter: bigcommerce, store_hash: abc, access_token: {env: T}, webhook_secrets: [{env: C}]}"
    with pytest.raises(ConfigError, match=r"channels\.shop\.webhook_key: this key is missing"):
        read_config(f"channels: {{shop: {shop}}}", {}, {"bigcommerce": PLATFORM})


def test_a_channel_that_only_polls_needs_no_webhook_key() -> None:
    assert build(secrets={"access_token": "t"}, webhook_secrets=()).scheme == SIGNATURE


def test_the_platform_is_where_it_is_unless_the_configuration_says_otherwise() -> None:
    plain = build()
    request = next(plain.levels(["206/509"]))
    assert request.url.startswith("https://api.bigcommerce.com/stores/abc123xyz/v3/inventory/items?")
    assert request.secret_headers == {"x-auth-token": "t0ken"}
    other = build(base_url="http://127.0.0.1:9/")
    assert next(other.levels(["206/509"])).url.startswith("http://127.0.0.1:9/stores/abc123xyz/v3/")


def test_a_store_that_does_not_sign_is_known_by_the_header_alone_and_repeats_by_nothing() -> None:
    adapter = build(options={"store_hash": "abc123xyz", "signed": "no"}, webhook_secrets=("header-1", "header-0"))
    assert adapter.scheme == SharedSecret(KEY_HEADER)
    body = b'{"scope":"store/order/updated","producer":"stores/abc123xyz","data":{"type":"order","id":250}}'
    delivery = Delivery({KEY_HEADER: "header-1", "webhook-id": "anybody's"}, body)
    assert check(adapter.scheme, ["header-1", "header-0"], delivery, 0, "") == "ok"
    assert check(adapter.scheme, ["header-1"], evolve(delivery, headers={}), 0, "") != "ok"
    facts = adapter.parse(delivery)
    assert facts.identity == ""  # nobody signed it, so a stranger's word must not hide a true one
    assert facts.refetch == ("250",)
    sent = next(adapter.register("store/order/updated", "https://sync.example.com/webhooks/shop", None))
    assert json.loads(sent.body)["headers"] == {KEY_HEADER: "header-1"}


def test_the_signed_scheme_is_both_the_signature_and_the_header() -> None:
    assert build().scheme == AllOf((SIGNATURE, SharedSecret(KEY_HEADER, value=KEY)))
    assert KEY not in repr(build())
    assert "t0ken" not in repr(build())


def test_batches_are_never_longer_than_the_api_takes_and_writes_go_one_at_a_time() -> None:
    assert build(overrides={"batch_max": 5_000.0}).traits.batch_max == 2_000
    assert TRAITS.concurrency == 1
    assert TRAITS.empty_answers


# --- rates ----------------------------------------------------------------------------------------------------


def answered(**headers: str) -> Response:
    names = {"quota": "requests-quota", "left": "requests-left", "window": "time-window-ms", "reset": "time-reset-ms"}
    return Response(200, {f"x-rate-limit-{names[name]}": value for name, value in headers.items()}, b"")


@pytest.mark.parametrize(
    ("response", "limits"),
    [
        (answered(quota="150", left="100", window="30000", reset="9000"), Limits(85.0, 4.5)),
        (answered(quota="150", left="15", window="30000", reset="9000"), Limits(0.0, 4.5, pause_s=9.0)),
        (answered(quota="150", left="0", window="30000", reset="0"), Limits(0.0, 4.5, pause_s=0.0)),
        (answered(quota="450", left="400", window="30000", reset="9000"), Limits(355.0, 13.5)),
        (answered(quota="0", left="0", window="30000", reset="9000"), None),
        (answered(quota="150", left="many", window="30000", reset="9000"), None),
        (answered(quota="150", left="100", window="0"), None),
        (answered(), None),
    ],
)
def test_the_window_and_what_is_left_of_it_are_learned_from_every_answer(
    response: Response, limits: Limits | None
) -> None:
    assert build().limits(response) == limits


def test_a_rate_that_the_configuration_sets_is_never_exceeded() -> None:
    adapter = build(overrides={"rate_per_s": 2.0})
    assert adapter.limits(answered(quota="450", left="400", window="30000", reset="9")) == Limits(355.0, 2.0)


# --- orders ---------------------------------------------------------------------------------------------------

HOLDING = {status for status in STATUSES if status not in (0, 4, 5, 6)}


@given(
    status=st.sampled_from(list(STATUSES)), quantity=st.integers(0, 50), shipped=st.integers(0, 60),
    restock=st.booleans(),
)  # fmt: skip
def test_a_line_holds_its_quantity_unless_its_status_or_the_stores_settings_release_it(
    status: int, quantity: int, shipped: int, restock: bool
) -> None:
    order = Order(id=1, status_id=status, date_modified="Fri, 20 Nov 2026 14:15:30 +0000")
    line = Line(id=2, quantity=quantity, product_id=206, variant_id=509, sku="A", quantity_shipped=shipped)
    (seen,) = order_seen(order, [line], refunds_restock=restock).lines
    held = quantity if status in HOLDING or (status == 4 and not restock) else 0
    assert seen.ordered == held
    assert (seen.cancelled, seen.restocked) == (0, 0)  # which could never be taken back
    assert 0 <= seen.fulfilled <= held
    assert seen.fulfilled == held or status not in (2, 10)


def test_a_webhook_and_a_poll_tell_the_same_of_one_order() -> None:
    adapter = build()
    lines = [{"id": 25, "product_id": 206, "variant_id": 509, "quantity": 2}]
    row = {
        "id": 250, "status_id": 11, "date_modified": "Fri, 20 Nov 2026 14:15:30 +0000", "items_total": 2,
        "consignments": {"shipping": [{"line_items": lines}]},
    }  # fmt: skip
    polled, _ = contract.converse(adapter.orders(0, ""), iter([Response(200, {}, json.dumps([row]).encode())]))
    fetched, _ = contract.converse(adapter.order("250"), iter([Response(200, {}, json.dumps(row).encode())]))
    listed = {**row, "consignments": {"url": "x", "resource": "/orders/250/consignments"}}
    answers = [Response(200, {}, json.dumps(listed).encode()), Response(200, {}, json.dumps(lines).encode())]
    linked, _ = contract.converse(adapter.order("250"), iter(answers))
    assert isinstance(polled, OrderPage)
    assert polled.orders == (fetched,) == (linked,)


def test_the_offset_of_a_bound_is_written_so_that_the_filter_holds() -> None:
    request = next(build().orders(1_795_184_130_000_000, ""))
    assert "min_date_modified=2026-11-20T14:15:29%2B00:00" in request.url
    assert "+" not in request.url


@given(st.integers(-(2**70), 2**70), st.text(max_size=20))
def test_any_bound_and_any_page_ask_for_something(since_us: int, page: str) -> None:
    assert next(build().orders(since_us, page)).url.isascii()


# --- values ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["", "Fri, 20 Nov 2026 14:15:30", "Fri, 99 Nov 2026 14:15:30 +0000", "Fri, 20 Xxx 2026 14:15:30 +0000",
     "Fri, 20 Nov 1969 14:15:30 +0000", "2026-11-20T14:15:30", "1795184130", "20 Nov 2026"],
)  # fmt: skip
def test_what_is_no_stamp_is_not_taken_for_one(text: str) -> None:
    with pytest.raises(UnreadableError):
        second(text)


def test_a_stamp_is_a_whole_second_wherever_its_zone_lies() -> None:
    for text in (
        "Fri, 20 Nov 2026 14:15:30 +0000", "Fri, 20 Nov 2026 08:15:30 -0600", "2026-11-20T14:15:30Z",
        "2026-11-20T15:15:30.5+01:00",
    ):  # fmt: skip
        span = second(text)
        assert (span.lo, span.hi) == (1_795_184_130_000_000, 1_795_184_130_999_999)


@given(st.text(max_size=40))
def test_no_text_makes_a_stamp_a_number_or_a_listing_raise_anything_else(text: str) -> None:
    for read in (second, lambda told: whole_units(told, "it")):
        try:
            read(text)
        except UnreadableError:
            continue
    found = listing_id(text)
    assert found is None or str(found) == text


def test_a_listing_is_a_product_and_its_variant() -> None:
    assert listing_id("206/509") == ListingId(206, 509)
    for wrong in ("206", "0/1", "206/0", "206/509/1", " 206/509", "-1/2", "206/٥"):
        assert listing_id(wrong) is None, wrong


def test_the_scopes_that_are_subscribed_name_the_two_that_tell_of_orders() -> None:
    adapter = build()
    assert adapter.wanted_topics() == ORDER_SCOPES
    assert set(adapter.order_topics()) <= set(ORDER_SCOPES)

"""TikTok Shop beyond the shared contract: published vectors, the shapes of every message, configuration, values."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from adapters.strict import UnreadableError
from adapters.tiktok_shop import PLATFORM
from adapters.tiktok_shop.adapter import TRAITS, TikTokShop
from adapters.tiktok_shop.answers import STOP, THROTTLED, UNSURE, meaning
from adapters.tiktok_shop.hooks import objection
from adapters.tiktok_shop.inbound import IDLE, NAMES, PERSON, TOPICS, scheme
from adapters.tiktok_shop.payloads import (
    CANCELLED,
    HELD,
    SENT,
    Combined,
    Order,
    SubItem,
    Unit,
    known_id,
    listing_id,
    listing_of,
    order_seen,
    second,
    units,
)
from adapters.tiktok_shop.push import REMEDIES, WHOLE_PRODUCT
from adapters.tiktok_shop.signing import signature, signed
from daemon.config import read_config
from daemon.domain.channel import Delivery, Push, Setup
from daemon.domain.exchange import Request, Response
from daemon.domain.instants import SECOND_US, Span
from daemon.ingress.signature import check
from tests import specs
from tests.adapters import contract
from tests.adapters.tiktok_shapes import misfits, operation_of

SECRETS = {"app_secret": "s3cr3t_0123456789abcdef", "refresh_token": "ROW_r"}
MALFORMED = {"orders_with_bad_ones", "levels", "errors_that_cannot_be_read"}
"""Fixtures whose answers are not as the vendor's pages have them, on purpose."""


def setup(**changes: Any) -> Setup:
    options = {"app_key": "68xu9ks5p4i8", "shop_cipher": "ROW_test/+cipher=="}
    return evolve(Setup("shop", "", options, SECRETS, (SECRETS["app_secret"],)), **changes)


def build(**changes: Any) -> TikTokShop:
    built = PLATFORM.build(setup(**changes))
    assert isinstance(built, TikTokShop)
    return built


# --- signatures -----------------------------------------------------------------------------------------------


def test_the_published_vectors_of_request_signatures_are_met() -> None:
    for vector in specs.load("tiktok_shop/vectors.json")["sign"]:
        query, body = list(vector["query"].items()), vector["body"].encode()
        assert signature(vector["app_secret"], vector["path"], query, body) == vector["sign"]
        assert signature(vector["app_secret"], vector["path"], query[::-1], body) == vector["sign"]
        assert signature(vector["app_secret"], vector["path"], query, body + b" ") != vector["sign"]


def test_a_request_is_signed_as_it_stands_on_the_wire_and_its_token_is_no_part_of_that() -> None:
    for vector in specs.load("tiktok_shop/vectors.json")["sign"]:
        stamp = int(vector["query"].pop("timestamp"))
        spelled = "&".join(f"{name}={quote(value, safe='')}" for name, value in vector["query"].items())
        request = Request(vector["method"], f"https://x.example{vector['path']}?{spelled}",
                          body=vector["body"].encode(), secret_headers={"x-tts-access-token": "t"})  # fmt: skip
        done = signed(request, stamp * SECOND_US + 999_999, vector["app_secret"])
        assert done.secret_query == {"sign": vector["sign"]}
        assert done.url.endswith(f"&timestamp={stamp}")
        assert done.sign is None


def test_what_the_adapter_sends_carries_a_signature_over_all_of_it() -> None:
    request = next(build().orders(1_699_990_000 * SECOND_US, ""))
    assert request.sign is not None
    (source,) = build().tokens
    done = request.sign(source.place(request, "ROW_access"), 1_700_000_000 * SECOND_US, "Nonce0123456789ab")
    query = dict(parse_qsl(urlsplit(done.url).query))
    assert query["timestamp"] == "1700000000"
    whole = list(query.items())
    path = urlsplit(done.url).path
    assert done.secret_query["sign"] == signature(SECRETS["app_secret"], path, whole, done.body)
    assert done.secret_headers == {"x-tts-access-token": "ROW_access"}
    later = request.sign(request, 1_700_000_001 * SECOND_US, "Nonce0123456789ab")
    assert later.secret_query != done.secret_query


def test_the_published_vector_of_webhooks_verifies_and_nothing_near_it() -> None:
    for vector in specs.load("tiktok_shop/vectors.json")["webhook"]:
        body, secret = vector["body"].encode(), vector["app_secret"]
        given_ = Delivery({"authorization": vector["authorization"]}, body)
        ours = scheme(vector["app_key"])
        assert check(ours, [secret], given_, 0) == "ok"
        assert check(ours, ["old", secret], given_, 0) == "ok"
        assert check(scheme("another"), [secret], given_, 0) == "wrong"
        assert check(ours, [secret], evolve(given_, body=body + b"\n"), 0) == "wrong"
        bearer = {"authorization": f"Bearer {vector['authorization']}"}
        assert check(ours, [secret], evolve(given_, headers=bearer), 0) == "wrong"
        assert check(ours, [secret], evolve(given_, headers={}), 0) == "missing"


# --- the shapes of the vendor's pages ---------------------------------------------------------------------------


def test_every_request_and_answer_of_the_fixtures_has_the_shape_of_the_vendors_pages() -> None:
    facts = specs.load("tiktok_shop/facts.json")
    models, adapter = facts["models"], contract.build("tiktok_shop")
    requests = answers = 0
    for kind in ("reads", "pushes"):
        for fixture in contract.fixtures(kind):
            content = fixture.content
            if fixture.platform != "tiktok_shop" or content.get("call") == "token":
                continue
            talk: Any = contract.start(adapter, content["call"], content["args"]) if "call" in content else (
                adapter.push(contract.pushes_of(fixture), content["key"])
            )  # fmt: skip
            canned = contract.responses(content["steps"], fixture.path.parent)
            _, asked = contract.converse(talk, iter(canned))
            for request, response in zip(asked, canned, strict=True):
                operation = operation_of(request, facts["operations"])
                name = operation["operationId"][0].upper() + operation["operationId"][1:]
                assert operation["requiresShopCipher"] == ("shop_cipher=" in request.url)
                if request.body:
                    assert misfits(json.loads(request.body), f"{name}Request", models) == []
                    assert f"{name}Request" in models or operation["operationId"] == "searchProducts", name
                    requests += 1
                if fixture.path.stem not in MALFORMED and response.body.startswith(b"{"):
                    assert misfits(json.loads(response.body), f"{name}Response", models) == []
                    answers += f"{name}Response" in models
    assert requests >= 50
    assert answers >= 50


def test_webhooks_of_the_fixtures_have_the_shape_of_the_vendors_pages() -> None:
    facts = specs.load("tiktok_shop/facts.json")
    checked = set()
    for fixture in contract.fixtures("webhooks"):
        if fixture.platform != "tiktok_shop" or "puzzle" in fixture.content["facts"]:
            continue
        body = json.loads(fixture.body())
        model = facts["webhook_types"][str(body["type"])]["schema"]
        body.get("data", {}).pop("buyer_message", None)  # planted, to see it dropped
        if model in facts["models"] and body["type"] != 3:
            assert misfits(body, model, facts["models"]) == [], fixture.name
            checked.add(body["type"])
    assert checked >= {1, 11, 12, 27, 67, 71}


def test_the_shape_check_finds_what_is_wrong() -> None:
    models = specs.load("tiktok_shop/facts.json")["models"]
    good = {"skus": [{"id": "1", "inventory": [{"warehouse_id": "2", "quantity": 3}]}]}
    assert misfits(good, "UpdateInventoryRequest", models) == []
    for bad in (
        {}, {"skus": [{"id": 1, "inventory": []}]}, {"skus": [{"id": "1"}]}, {**good, "x": 1},
        {"skus": [{"id": "1", "inventory": [{"quantity": "3"}]}]},
        {"skus": [{"id": "1", "inventory": [{"quantity": True}]}]},
    ):  # fmt: skip
        assert misfits(bad, "UpdateInventoryRequest", models), bad


def test_every_webhook_type_of_the_vendor_is_known_here_and_every_topic_can_be_subscribed() -> None:
    types = specs.load("tiktok_shop/facts.json")["webhook_types"]
    assert {int(kind) for kind in types} == set(NAMES) | IDLE
    assert not set(NAMES) & IDLE
    subscribed = {told["event_type"] for told in types.values()}
    assert set(TOPICS) <= subscribed
    assert {kind for kind in NAMES if types[str(kind)]["event_type"] is None} == {27, 67, 71}
    for kind, name in NAMES.items():
        assert types[str(kind)]["event_type"] in (name, None)
    assert set(PERSON) <= set(NAMES)


def test_every_error_code_of_the_vendor_has_a_meaning_and_none_is_taken_for_success() -> None:
    codes = specs.load("tiktok_shop/facts.json")["error_codes"]
    told = Response(200, {}, b"{}")
    kinds: dict[str, set[int]] = {}
    for code in {*map(int, codes["common"]), *map(int, codes["update_inventory"])}:
        kinds.setdefault(meaning(code, "x", told, "unknown").kind, set()).add(code)
    assert kinds.keys() == {"throttled", "unknown", "transient", "permanent"}
    assert kinds["throttled"] == THROTTLED
    assert kinds["unknown"] == UNSURE
    assert kinds["transient"] == {105002}
    documented = {*map(int, codes["common"]), *map(int, codes["update_inventory"])}
    assert set(REMEDIES) | WHOLE_PRODUCT <= documented
    assert set(STOP) - documented == {36009014}  # of the sheet's §1


# --- configuration ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (setup(secrets={"app_secret": "x"}), "refresh_token"),
        (setup(options={}), "app_key"),
        (setup(options={"app_key": "k", "warehouse": "north"}), "warehouse: write the number"),
        (setup(options={"app_key": "k", "shop_id": "x/1"}), "shop_id: write the number"),
        (setup(options={"app_key": "a b"}), "app_key"),
        (setup(options={"app_key": "k", "shop_cipher": "a\nb"}), "shop_cipher"),
        (setup(webhook_secrets=("another",)), "signs webhooks with the app secret"),
        (setup(options={"app_key": "k", "auth_url": "http://auth.example"}), "auth_url"),
        (setup(options={"app_key": "k", "auth_url": "https://u:p@auth.example"}), "auth_url"),
        (setup(options={"app_key": "k", "auth_url": "nonsense"}), "auth_url"),
        (setup(overrides={"compare_and_set": 1}), "compare_and_set"),
        (setup(overrides={"speed": 1}), "speed"),
    ],
)
def test_what_cannot_work_is_refused_with_a_sentence(bad: Setup, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        PLATFORM.build(bad)


def test_during_a_rotation_an_older_webhook_secret_may_stand_beside_the_app_secret() -> None:
    assert build(webhook_secrets=(SECRETS["app_secret"], "the_old_one")).traits == TRAITS
    assert build(webhook_secrets=()).traits == TRAITS  # polls alone
    assert build(webhook_secrets=("", "the_old_one")).traits == TRAITS  # the newest cannot be had now


def test_calls_go_to_the_platform_unless_the_configuration_says_otherwise() -> None:
    assert next(build().webhooks()).url.startswith("https://open-api.tiktokglobalshop.com/event/")
    assert build().hosts == ("auth.tiktok-shops.com",)
    local = build(base_url="http://127.0.0.1:9/", options={"app_key": "k", "auth_url": "http://127.0.0.1:9"})
    assert next(local.webhooks()).url.startswith("http://127.0.0.1:9/authorization/")
    assert local.hosts == ("127.0.0.1:9",)


CONFIG = """
channels:
  tiktok:
    adapter: tiktok_shop
    app_key: 68xu9ks5p4i8
    app_secret: {credential: tiktok-app-secret}
    refresh_token: {credential: tiktok-refresh-token}
    webhook_secrets: [{credential: tiktok-app-secret}]
"""


def test_a_channel_needs_no_more_than_its_keys_and_what_is_missing_is_said_by_its_name() -> None:
    channel = read_config(CONFIG, {}, {"tiktok_shop": PLATFORM}).channels["tiktok"]
    assert channel.base_url == "https://open-api.tiktokglobalshop.com"
    for key in ("app_key", "app_secret", "refresh_token"):
        cut = re.sub(rf"\n    {key}: .*", "", CONFIG)
        with pytest.raises(Exception, match=rf"channels.tiktok.{key}: this key is missing"):
            read_config(cut, {}, {"tiktok_shop": PLATFORM})
    with pytest.raises(Exception, match=r"channels.tiktok.warehouse: write the number"):
        read_config(CONFIG + "    warehouse: north\n", {}, {"tiktok_shop": PLATFORM})


def test_an_expired_token_is_known_by_its_code_whatever_the_status_and_by_a_bare_401() -> None:
    (source,) = build().tokens
    for status in (200, 400, 401):
        assert source.refused(Response(status, {}, b'{"code":105002,"message":"Expired credentials"}'))
    assert source.refused(Response(401, {}, b""))
    for body in (b'{"code":0}', b'{"code":105005,"message":"105002"}', b"105002", b'{"code":"105002"}', b""):
        assert not source.refused(Response(200, {}, body))


def test_what_the_platform_asks_of_us_is_among_the_traits() -> None:
    assert TRAITS.empty_answers  # 200 with an empty body
    assert TRAITS.registers_webhooks
    assert not TRAITS.compare_and_set  # so each write is looked at before, and nothing is raised over an unseen sale
    assert TRAITS.overlap_s >= 600
    assert TRAITS.rate_per_s < 50


def test_one_listing_twice_goes_in_two_calls_and_many_are_read_six_hundred_at_a_time() -> None:
    groups = build().batches([Push(each, 1, None, 1) for each in ("1/2", "3/4", "1/5", "1/2", "x", "1/6")])
    named = [[push.listing for push in group] for group in groups]
    assert named == [["1/2", "1/5"], ["3/4"], ["1/2", "1/6"], ["x"]]
    talk = build().levels([f"1/{sku}" for sku in range(1, 1_302)])
    answer = Response(200, {}, b'{"code":0,"data":{"inventory":[]}}')
    asked = [next(talk), talk.send(answer), talk.send(answer)]
    assert [len(json.loads(request.body)["sku_ids"]) for request in asked] == [600, 600, 101]


def test_secrets_never_show() -> None:
    adapter = build()
    (source,) = adapter.tokens
    for request in (next(adapter.orders(0, "")), next(source.ask("ROW_r"))):
        for secret in SECRETS.values():
            assert secret not in f"{adapter!r}{request!r}{request.url}{source!r}"


# --- values -----------------------------------------------------------------------------------------------------


def order(status: str | None, *spoken: str | None, **more: Any) -> Order:
    rows = [Unit(id=str(place + 1), sku_id="5", product_id="7", display_status=each, **more.pop(f"unit{place}", {}))
            for place, each in enumerate(spoken)]  # fmt: skip
    return Order(id="9", status=status, update_time=1_700_000_000, line_items=rows, **more)


def held(seen: Any) -> list[int]:
    return [line.ordered - line.cancelled - line.fulfilled for line in seen.lines]


@pytest.mark.parametrize("status", sorted(HELD))
def test_unpaid_and_held_orders_hold_their_units_from_the_first_sight_on(status: str) -> None:
    assert held(order_seen(order(status, status, status))) == [1, 1]


@pytest.mark.parametrize("status", sorted(SENT))
def test_what_left_is_taken_and_not_held(status: str) -> None:
    seen = order_seen(order(status, status))
    assert [(line.ordered, line.cancelled, line.fulfilled) for line in seen.lines] == [(1, 0, 1)]


@pytest.mark.parametrize("status", sorted(CANCELLED))
def test_a_cancelled_order_releases_what_did_not_leave_and_nothing_else(status: str) -> None:
    assert held(order_seen(order(status, "CANCELLED", "AWAITING_SHIPMENT"))) == [0, 0]
    left = order_seen(order(status, "CANCELLED", "IN_TRANSIT", unit0={"tracking_number": "T"}, collection_time=1))
    assert [(line.cancelled, line.fulfilled) for line in left.lines] == [(0, 1), (0, 1)]
    never = order_seen(order(status, "CANCELLED", unit0={"tracking_number": "T", "package_id": "3"}))
    assert [(line.cancelled, line.fulfilled) for line in never.lines] == [(1, 0)]


@pytest.mark.parametrize(
    ("parcel", "collected", "sent"),
    [
        ("FULFILLING", False, True), ("COMPLETED", False, True), ("TO_FULFILL", True, False),
        ("PROCESSING", True, False), ("CANCELLED", True, True), ("CANCELLED", False, False), (None, True, True),
        ("SOMETHING_NEW", True, True),
    ],
)  # fmt: skip
def test_a_cancelled_units_parcel_says_whether_it_left(parcel: str | None, collected: bool, sent: bool) -> None:
    unit = {"package_id": "3", "package_status": parcel}
    seen = order_seen(order("CANCELLED", "CANCELLED", unit0=unit, collection_time=1 if collected else None))
    assert [(line.cancelled, line.fulfilled) for line in seen.lines] == [(int(not sent), int(sent))]


def bundle(spoken: str, subs: list[SubItem], told: dict[str, int] | None = None, warehouse: str = "") -> list[Any]:
    """(SKU, ordered, cancelled, fulfilled) of each component of one bundle."""
    combined = [Combined(sku_id=sku, sku_count=count) for sku, count in (told or {}).items()]
    unit = Unit(id="1", sku_id="5", product_id="7", display_status=spoken, sub_item_info=subs,
                combined_listing_skus=combined)  # fmt: skip
    seen = order_seen(
        Order(id="9", status=spoken, update_time=1_700_000_000, line_items=[unit], warehouse_id="1"), warehouse
    )
    return [(line.line.partition("/")[2], line.ordered, line.cancelled, line.fulfilled) for line in seen.lines]


def plates(*spoken: str, warehouse: str | None = None) -> list[SubItem]:
    return [SubItem(sku_id="11", display_status=each, warehouse_id=warehouse) for each in spoken]


WAIT, GONE = "AWAITING_SHIPMENT", "CANCELLED"


def test_a_bundle_takes_its_components_and_each_unit_of_them_has_its_own_fate() -> None:
    assert bundle(WAIT, plates(WAIT, WAIT)) == [("11", 2, 0, 0)]
    assert bundle(WAIT, plates(WAIT, GONE)) == [("11", 2, 1, 0)]
    assert bundle(WAIT, plates(WAIT, WAIT, WAIT), {"11": 2}) == [("11", 3, 0, 0)]
    assert bundle(WAIT, plates(WAIT), {"11": 2, "12": 4}) == [("11", 2, 0, 0), ("12", 4, 0, 0)]
    assert bundle(WAIT, plates(GONE), {"11": 2}) == [("11", 2, 2, 0)]
    assert bundle(GONE, plates(WAIT), {"11": 2}) == [("11", 2, 2, 0)]
    assert bundle("IN_TRANSIT", plates("IN_TRANSIT", GONE)) == [("11", 2, 0, 2)]


def test_a_component_that_leaves_from_another_warehouse_is_not_ours_whatever_the_order_says() -> None:
    both = [*plates(WAIT, warehouse="2"), SubItem(sku_id="12", display_status=WAIT)]
    assert bundle(WAIT, both, warehouse="1") == [("12", 1, 0, 0)]
    assert bundle(WAIT, both, warehouse="2") == [("11", 1, 0, 0)]


STATUSES = st.sampled_from([*sorted(HELD | SENT | CANCELLED), None, "SOMETHING_NEW"])


@given(status=STATUSES, spoken=st.lists(STATUSES, max_size=5), collected=st.booleans(), parcel=st.booleans())
def test_no_unit_is_ever_more_than_one_or_both_released_and_sent(
    status: str | None, spoken: list[str | None], collected: bool, parcel: bool
) -> None:
    extra = {f"unit{place}": {"package_id": "3"} for place in range(len(spoken)) if parcel}
    seen = order_seen(order(status, *spoken, **extra, collection_time=1 if collected else None))
    assert len(seen.lines) == len(spoken)
    for line in seen.lines:
        assert line.ordered == 1
        assert line.cancelled + line.fulfilled in (0, 1)
        assert line.restocked == 0
        assert (line.cancelled == 0) or status in CANCELLED or "CANCELLED" in spoken or "CANCEL" in spoken


@pytest.mark.parametrize("listing", ["", "1", "1/", "/1", "0/1", "1/0", "a/1", "1/2/3", " 1/2", "1/2\n", "١/2"])
def test_what_is_no_listing_id_is_none(listing: str) -> None:
    assert listing_id(listing) is None


@given(st.integers(1, 10**25), st.integers(1, 10**25))
def test_listing_ids_survive_the_round_trip_however_long(product: int, sku: int) -> None:
    listing = listing_of(product, str(sku))
    assert str(listing_id(listing)) == listing == f"{product}/{sku}"


@pytest.mark.parametrize("value", [None, "", "x", "1.5", "-1", "1" * 31, -1, "١"])
def test_what_cannot_be_an_id_is_refused(value: Any) -> None:
    with pytest.raises(UnreadableError):
        known_id(value, "it")


def test_stamps_are_whole_seconds_and_levels_whole_numbers() -> None:
    assert second(1_700_000_000, "it") == Span(1_700_000_000 * SECOND_US, 1_700_000_001 * SECOND_US - 1)
    for stamp in (None, 0, -1, 1_700_000_000_000):
        with pytest.raises(UnreadableError):
            second(stamp, "it")
    assert [units(value) for value in (0, -2, 7)] == [0, -2, 7]
    assert {units(value) for value in (None, True, "7", 7.0, 10**10, [], {})} == {None}


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://sync.example.com/webhooks/shop", ""),
        ("http://sync.example.com/x", "https"),
        ("https://sync.example.com:443/x", "port"),
        ("https://sync.example.com:/x", "port"),
        ("https://192.0.2.7/x", "domain name"),
        ("https://[2001:db8::1]/x", "domain name"),
        ("https://localhost/x", "domain name"),
        ("https://user@sync.example.com/x", "domain name"),
        ("https://sync.example.com/" + "x" * 240, "255"),
        ("https://[", "read"),
    ],
)
def test_addresses_that_tiktok_would_not_take_are_refused_before_it_is_asked(url: str, why: str) -> None:
    assert bool(objection(url)) == bool(why)
    assert why in objection(url)

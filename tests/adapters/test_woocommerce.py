"""The WooCommerce adapter beside its fixtures: configuration, credentials, paging, and arbitrary input."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.strict import UnreadableError, whole_units
from adapters.woocommerce import PLATFORM, lists, orders
from adapters.woocommerce.inbound import SCHEME, TOPICS, parse, secret_key
from adapters.woocommerce.payloads import listing_id, second
from daemon.domain.channel import Adapter, Delivery, Push, Setup
from daemon.domain.exchange import Request, Response
from daemon.domain.instants import SECOND_US, Span
from tests import recordings
from tests.adapters.contract import converse

SECRETS = {"consumer_key": "ck_1", "consumer_secret": "cs_2"}


def setup(base_url: str = "https://shop.example.com", **changes: Any) -> Setup:
    return evolve(Setup("shop", base_url, secrets=SECRETS, webhook_secrets=("wc_secret_7Yq9",)), **changes)


def build(base_url: str = "https://shop.example.com", **changes: Any) -> Adapter:
    return PLATFORM.build(setup(base_url, **changes))


# --- configuration ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (setup(secrets={"consumer_key": "ck_1"}), "consumer_secret"),
        (setup(options={"auth": "digest"}), "basic or query"),
        (setup(base_url="shop.example.com"), "https://"),
        (setup(overrides={"compare_and_set": 1}), "compare_and_set"),
        (setup(overrides={"speed": 1}), "speed"),
    ],
)
def test_what_cannot_work_is_refused_with_a_sentence(bad: Setup, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        PLATFORM.build(bad)


def test_overrides_replace_traits_but_a_batch_never_exceeds_what_the_store_takes() -> None:
    traits = build(overrides={"batch_max": 500, "rate_per_s": 2, "concurrency": 1}).traits
    assert (traits.batch_max, traits.rate_per_s, traits.concurrency) == (100, 2.0, 1)
    assert build(overrides={"batch_max": 0}).traits.batch_max == 1


def test_the_base_url_may_end_in_a_slash_or_name_the_api_already() -> None:
    for base_url in ("https://shop.example.com/", "https://shop.example.com/wp-json/wc/v3/"):
        assert next(build(base_url).webhooks()).url.startswith("https://shop.example.com/wp-json/wc/v3/webhooks?")
    assert "/blog/wp-json/wc/v3/" in next(build("https://shop.example.com/blog").webhooks()).url


def test_credentials_never_show() -> None:
    for adapter in (build(), build(options={"auth": "query"}), build("http://shop.example.com")):
        request = next(adapter.orders(0, ""))
        assert not any(secret in f"{adapter!r}{request!r}{request.url}" for secret in ("cs_2", "wc_secret_7Yq9"))


def test_without_tls_requests_are_signed_and_the_secret_stays_at_home() -> None:
    request = next(build("http://shop.example.com", options={"auth": "query"}).order("7"))
    assert not request.secret_headers
    assert not request.secret_query
    assert request.sign is not None
    signed = request.sign(request, 1_795_402_531_999_999, "Nonce0123456789")
    assert signed.secret_query["oauth_timestamp"] == "1795402531"
    assert signed.sign is None
    assert "cs_2" not in str(dict(signed.secret_query))


def test_a_read_that_decides_a_write_passes_every_cache() -> None:
    for read in (build().orders(0, ""), build().order("7"), build().levels(["7"])):
        request: Request = next(read)
        assert request.sign is not None
        one, other = (request.sign(request, 1, nonce) for nonce in ("NonceNonceNonce1", "NonceNonceNonce2"))
        assert one.url != other.url
        assert one.secret_headers == request.secret_headers


# --- webhooks -----------------------------------------------------------------------------------------------


def test_a_secrets_entities_are_decoded_once() -> None:
    assert secret_key("a&amp;b&lt;c&quot;d&#039;e&gt;") == b"a&b<c\"d'e>"
    assert secret_key("&amp;lt;") == b"&lt;"
    assert SCHEME.tolerance_s is None


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"content-type": "application/json"}, b"webhook_id=7"),
        ({"content-type": "application/x-www-form-urlencoded"}, b"webhook_id=7&id=1"),
        ({"content-type": "application/x-www-form-urlencoded"}, b"webhook_id="),
        (
            {"content-type": "application/x-www-form-urlencoded", "x-wc-webhook-topic": "order.updated"},
            b"webhook_id=7",
        ),
        ({}, b""),
    ],
)
def test_what_only_looks_like_a_ping_is_none(headers: dict[str, str], body: bytes) -> None:
    assert not build().greet(Delivery(headers, body))


def test_the_same_change_under_two_topics_is_one_message_but_two_resources_never_are() -> None:
    body = b'{"id":7}'
    seen = {topic: parse(Delivery({"x-wc-webhook-topic": topic}, body)).identity for topic in TOPICS}
    assert seen["order.created"] == seen["order.updated"] == seen["order.restored"] != ""
    assert seen["product.updated"] not in ("", seen["order.updated"])
    assert seen["order.deleted"] == ""


def test_a_topic_without_one_is_a_puzzle_not_a_guess() -> None:
    assert "is not one of ours" in parse(Delivery({}, b'{"id":7}')).puzzle


# --- values -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "units"), [(2, 2), ("2", 2), (" 2 ", 2), ("2.0", 2), (2.0, 2), ("0", 0)])
def test_whole_quantities_are_read(value: object, units: int) -> None:
    assert whole_units(value, "it") == units


@pytest.mark.parametrize(
    "value",
    [True, None, "", "2.5", 2.5, "1e3", "٣", "0x2", "two", float("nan"), float("inf"), 10**10, "9" * 30, -1, [], {}],
)
def test_nothing_else_is_taken_for_a_quantity(value: object) -> None:
    with pytest.raises(UnreadableError):
        whole_units(value, "it")


@pytest.mark.parametrize("listing", ["", "0", "12/", "/12", "12/0", "a", "12/34/56", " 12", "-1", "١", "12\n"])
def test_what_is_no_listing_id_is_none(listing: str) -> None:
    assert listing_id(listing) is None


@given(st.integers(1, 10**18), st.none() | st.integers(1, 10**18))
def test_listing_ids_survive_the_round_trip(product: int, variation: int | None) -> None:
    text = str(product) if variation is None else f"{product}/{variation}"
    assert str(listing_id(text)) == text


def test_a_stamp_is_the_whole_second_in_utc() -> None:
    span = Span(1_795_184_130 * SECOND_US, 1_795_184_131 * SECOND_US - 1)
    assert (
        second("2026-11-20T14:15:30") == second("2026-11-20T14:15:30Z") == second("2026-11-20T09:15:30-05:00") == span
    )


@pytest.mark.parametrize("text", ["", "2026-11-20", "yesterday", "1969-12-31T23:59:59", "0000-00-00T00:00:00"])
def test_what_is_no_stamp_is_refused(text: str) -> None:
    with pytest.raises(UnreadableError):
        second(text)


# --- batches ------------------------------------------------------------------------------------------------


def test_a_group_stands_where_its_most_urgent_push_stood() -> None:
    wishes = ["12/1", "7", "12/2", "13/1", "8", "nonsense", "12/3"]
    groups = build(overrides={"batch_max": 2}).batches([Push(each, 1, None, 1) for each in wishes])
    named = [[push.listing for push in group] for group in groups]
    assert named == [["12/1", "12/2"], ["7", "8"], ["13/1"], ["nonsense"], ["12/3"]]


# --- paging -----------------------------------------------------------------------------------------------


def store_of(stamps: dict[int, int], per_page: int) -> Callable[[Request], Response]:
    """A store's order list: bound exclusive, oldest change first, by second and then by id."""

    def answer(request: Request) -> Response:
        query = {name: values[0] for name, values in parse_qs(urlsplit(request.url).query).items()}
        bound = second(query["modified_after"]).lo // SECOND_US
        found = sorted((stamp, number) for number, stamp in stamps.items() if stamp > bound)
        page = int(query["page"])
        rows = [
            {"id": number, "status": "processing", "date_modified_gmt": _text(stamp), "line_items": []}
            for stamp, number in found[(page - 1) * per_page : page * per_page]
        ]
        headers = {"x-wp-totalpages": str(-(-len(found) // per_page))}
        return Response(200, headers, json.dumps(rows).encode())

    return answer


def _text(stamp: int) -> str:
    return f"1970-01-01T00:{stamp // 60:02}:{stamp % 60:02}"


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    stamps=st.lists(st.integers(10, 20), min_size=1, max_size=14),
    moves=st.lists(st.integers(0, 13), max_size=4),
    header=st.booleans(),
)
def test_no_order_slips_through_the_feed_also_when_others_change_meanwhile(
    stamps: list[int], moves: list[int], header: bool
) -> None:
    """Unless more orders than a page holds share one second: those are paged by number, the overlap covers them."""
    per_page, now = 3, 30
    moving = moves if max(map(stamps.count, stamps)) < per_page else []
    shown = dict(enumerate(stamps, start=1))
    answer = store_of(shown, per_page)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lists, "PER_PAGE", per_page)
        patch.setattr(orders, "PER_PAGE", per_page)
        seen, page, pages = set(), "", 0
        while True:
            response = answer(next(build().orders(10 * SECOND_US, page)))
            response = response if header else evolve(response, headers={})
            read, _ = converse(build().orders(10 * SECOND_US, page), iter([response]))
            seen |= {order.order for order in read.orders}
            page, pages = read.next_page, pages + 1
            assert pages < 60
            if not page:
                break
            if moving:
                now += 1
                shown[moving.pop() % len(stamps) + 1] = now
    assert seen == {str(number) for number in shown}


# --- arbitrary input ----------------------------------------------------------------------------------------


def mutated(value: Any) -> st.SearchStrategy[Any]:
    """A JSON value with one thing in it replaced, left out or made absurd."""
    absurd: st.SearchStrategy[Any] = st.sampled_from(
        [None, True, -1, 10**30, 1.5, "", "x", "NaN", [], {}, [[]], {"id": "x"}]
    )
    match value:
        case dict() if value:
            inner = st.sampled_from(sorted(value)).flatmap(
                lambda key: mutated(value[key]).map(lambda part: {**value, key: part})
            )
            dropped = st.sampled_from(sorted(value)).map(
                lambda gone: {key: part for key, part in value.items() if key != gone}
            )
            return st.one_of(inner, dropped, absurd)
        case list() if value:
            return st.one_of(mutated(value[0]).map(lambda part: [part, *value[1:]]), absurd)
        case _:
            return absurd


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["v10.5.0/06_refunds.json", "v10.5.0/13_deletes_and_trash.json", "v7.9.0/16_edge_payloads.json"]
)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_mutated_delivery_never_raises_and_what_is_kept_reads_the_same(name: str, data: st.DataObject) -> None:
    hook = data.draw(st.sampled_from(recordings.load("woocommerce", name).signed))
    body = json.dumps(data.draw(mutated(hook.json))).encode()
    facts = parse(evolve(hook.delivery, body=body))
    again = parse(Delivery({}, facts.kept))
    assert evolve(again, identity=facts.identity) == facts
    assert all(type(line.ordered) is int and line.ordered >= 0 for order in facts.orders for line in order.lines)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["v10.5.0/02_catalog_and_stock_writes.json", "v10.5.0/07_stock_batches.json"])
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_mutated_answer_never_raises(name: str, data: st.DataObject) -> None:
    exchange = data.draw(st.sampled_from(recordings.load("woocommerce", name).exchanges))
    body = json.dumps(data.draw(mutated(exchange.json))).encode()
    canned = evolve(exchange.response, body=body)
    wrapped = evolve(canned, body=b"[" + body + b"]")
    batch = [Push("44", 41, None, 1), Push("45", 42, None, 1)]
    (outcomes, _) = converse(build().push(batch, "k"), iter([canned]))
    assert len(outcomes) == 2
    for answer in (canned, wrapped):
        for read in (build().listings(""), build().levels(["11"]), build().webhooks(), build().orders(0, "")):
            converse(read, iter([answer]))


@given(st.binary(max_size=200), st.sampled_from([*TOPICS, "", "action.x"]))
def test_no_bytes_make_parse_raise(body: bytes, topic: str) -> None:
    facts = parse(Delivery({"x-wc-webhook-topic": topic}, body))
    assert msgspec.json.decode(facts.kept)["topic"] == topic


# --- the loader of the recordings ---------------------------------------------------------------------------


def test_absent_recordings_skip_aloud_but_fail_where_everything_must_be_tested(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="NOT TESTED against real traffic"):
        recordings.load("woocommerce", "v0/no_such_file.json")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="NOT TESTED against real traffic"):
        recordings.load("woocommerce", "v0/no_such_file.json")

"""Every recorded exchange with a real store, replayed through the adapter: nothing raises, and each fact holds."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from attrs import evolve

from adapters.woocommerce import PLATFORM
from adapters.woocommerce.auth import Store
from daemon.domain.channel import Adapter, Delivery, LevelSeen, OrderPage, OrderSeen, Push, Setup, Webhook
from daemon.domain.exchange import Request, Response
from daemon.domain.instants import SECOND_US
from daemon.domain.outcomes import Failure, Outcome
from tests import recordings
from tests.adapters.contract import converse, verifies
from tests.recordings import Exchange, Recording

API = "/wp-json/wc/v3"
KEY, SECRET = "ck_0000000000000000000000000000000000000001", "cs_0000000000000000000000000000000000000002"
HOOK_URL = "http://127.0.0.1:8080/hooks/woo"
BUYER = ["buyer@example.test", "Lab", "Buyer", "1 Test St", "Testville", "90210", "5550100", "wc_order_"]
NEW, OLD = "v10.5.0", "v7.9.0"

every_file = pytest.mark.parametrize("name", recordings.names("woocommerce"))
both_versions = pytest.mark.parametrize("version", [NEW, OLD])


def load(name: str) -> Recording:
    return recordings.load("woocommerce", name)


def file(number: str, version: str = NEW) -> Recording:
    found = [name for name in recordings.names("woocommerce") if name.startswith(f"{version}/{number}_")]
    return load(found[0] if found else f"{version}/{number}")


def build(base_url: str = "https://127.0.0.1:8081", **options: str) -> Adapter:
    secrets = {"consumer_key": KEY, "consumer_secret": SECRET}
    return PLATFORM.build(Setup("shop", base_url, options, secrets, ("lab-webhook-secret",)))


def told(conversation: Any, *answers: Response) -> Any:
    """What the adapter makes of these answers."""
    return converse(conversation, iter(answers))[0]


def asked(conversation: Any) -> Request:
    """The first request of a conversation."""
    request: Request = next(conversation)
    return request


def query_of(url: str) -> dict[str, list[str]]:
    return parse_qs(urlsplit(url).query, keep_blank_values=True)


def held(order: Any) -> dict[str, int]:
    """Units each line of a recorded order holds, read straight from the JSON."""
    return {
        str(line["id"]): sum(int(meta["value"]) for meta in line["meta_data"] if meta["key"] == "_reduced_stock")
        for line in order["line_items"]
    }


def own_units(product: Any) -> int | None:
    """The level a recorded product holds itself, read straight from the JSON."""
    level: int | None = product["stock_quantity"] if product.get("manage_stock") is True else None
    return level


# --- deliveries ---------------------------------------------------------------------------------------------


@every_file
def test_every_signed_delivery_verifies_and_every_other_one_is_a_ping(name: str) -> None:
    adapter, recording = build(), load(name)
    for hook in recording.hooks:
        assert verifies(adapter.scheme, hook.delivery, recording.secret) == hook.signed
        assert adapter.greet(hook.delivery) != hook.signed


@every_file
def test_every_delivery_says_what_its_body_says_and_keeps_no_buyer(name: str) -> None:
    adapter = build()
    for hook in load(name).signed:
        facts, body = adapter.parse(hook.delivery), hook.json
        assert facts.topic == hook.topic
        assert not any(canary in facts.kept.decode() for canary in BUYER)
        assert evolve(adapter.parse(Delivery({}, facts.kept)), identity=facts.identity) == facts
        match body:
            case {"code": str()}:
                assert (facts.look, facts.identity, facts.orders, facts.levels) == (True, "", (), ())
            case {"action": str()}:
                assert "is not one of ours" in facts.puzzle
            case {"line_items": list()} if body["status"] == "checkout-draft":
                assert not facts.orders
            case {"line_items": list()}:
                (seen,) = facts.orders
                assert {line.line: line.ordered for line in seen.lines} == held(body)
                assert seen.updated.lo == seen.version
            case {"stock_quantity": _, "type": "variable", "manage_stock": False}:
                assert not facts.levels
            case {"stock_quantity": _}:
                (level,) = facts.levels
                assert level.level == own_units(body)
                assert level.listing.rpartition("/")[2] == str(body["id"])
                assert facts.look == (body["manage_stock"] == "parent")
            case {"id": number}:
                assert facts.refetch == ((str(number),) if hook.topic == "order.deleted" else ())
            case _:
                raise AssertionError(f"what is this? {body}")


def test_one_change_told_by_two_topics_has_one_identity_but_two_delivery_ids() -> None:
    created, updated, *products = file("04").signed
    assert (created.topic, updated.topic) == ("order.created", "order.updated")
    assert created.delivery.body == updated.delivery.body
    assert created.delivery_id != updated.delivery_id
    assert build().parse(created.delivery).identity == build().parse(updated.delivery).identity
    assert len(products) == 2


@pytest.mark.parametrize(("number", "least"), [("04", 1), ("07", 3), ("16", 2)])
def test_different_events_share_a_delivery_id_but_never_an_identity(number: str, least: int) -> None:
    identities: dict[tuple[str, str], set[str]] = {}
    for hook in file(number).signed:
        identity = build().parse(hook.delivery).identity
        if identity:
            identities.setdefault((hook.topic, hook.delivery_id), set()).add(identity)
    assert sum(len(shared) - 1 for shared in identities.values()) >= least


@both_versions
def test_an_open_checkout_is_noise_whichever_topic_reports_it(version: str) -> None:
    drafts = [hook for hook in file("12", version).signed if b'"status":"checkout-draft"' in hook.delivery.body]
    assert {hook.topic for hook in drafts} == (
        {"order.updated"} if version == NEW else {"order.created", "order.updated"}
    )
    assert all(not build().parse(hook.delivery).orders for hook in drafts)


def test_a_real_checkout_is_updated_before_it_is_created_and_counts_once() -> None:
    seen: dict[str, list[str]] = {}
    for hook in file("12").signed:
        for order in build().parse(hook.delivery).orders:
            seen.setdefault(order.order, []).append(hook.topic)
    assert list(seen.values()) == [["order.updated", "order.created"]] * 3


def test_a_body_is_the_state_at_sending_so_created_may_say_cancelled() -> None:
    hook = file("09").signed[0]
    (seen,) = build().parse(hook.delivery).orders
    assert (hook.topic, hook.json["status"]) == ("order.created", "cancelled")
    assert [line.ordered for line in seen.lines] == [0]


@both_versions
def test_signed_errors_without_an_id_say_look_for_yourself_every_time(version: str) -> None:
    errors = [hook for hook in file("16", version).signed if hook.json.get("code")]
    assert len(errors) == 6
    facts = [build().parse(hook.delivery) for hook in errors]
    assert all(each.look and not each.identity and not each.puzzle for each in facts)


@both_versions
def test_a_variation_of_a_parents_stock_shows_no_level_of_its_own(version: str) -> None:
    facts = [build().parse(hook.delivery) for hook in file("16", version).signed if hook.topic == "product.updated"]
    parents = {level.listing: level for each in facts for level in each.levels if level.seller_sku == "CAP"}
    (parent,) = parents
    (variation,) = [each for fact in facts for each in fact.levels if each.listing.startswith(f"{parent}/")]
    assert parents[parent].level == 5
    assert (variation.level, variation.seller_sku) == (None, None)


def test_dates_are_read_from_their_gmt_fields_in_a_store_of_another_zone() -> None:
    facts = [build().parse(hook.delivery) for hook in file("15").signed]
    (order,) = [order for each in facts for order in each.orders]
    (body,) = [hook.json for hook in file("15").signed if hook.topic.startswith("order")]
    assert body["date_modified"] != body["date_modified_gmt"] == "2026-11-23T03:15:57"
    assert order.updated.lo == 1_795_403_757 * SECOND_US
    assert order.updated.hi == order.updated.lo + SECOND_US - 1


def test_stock_may_be_negative_and_is_told_so() -> None:
    levels = [level.level for hook in file("16").signed for level in build().parse(hook.delivery).levels]
    assert -2 in levels


# --- answers ------------------------------------------------------------------------------------------------

UNREAD = [
    ("storefront", r"/wp-json/wc/store/.*"),
    ("refunds: the order says what they did to stock", rf"{API}/orders/\d+/refunds(/\d+)?"),
    ("store-wide variations: not in every version", rf"{API}/variations"),
]


def fed(adapter: Adapter, exchange: Exchange) -> Any:
    """The recorded answer, read by the method that reads such answers; the reason where none does."""
    path = urlsplit(exchange.path).path
    answer, done = exchange.response, exchange.response.status < 300
    for why, pattern in UNREAD:
        if re.fullmatch(pattern, path) and (done or "refund" not in why):
            return why
    match [exchange.method, *path.removeprefix(API).strip("/").split("/")]:
        case ["GET", "products"]:
            return told(adapter.listings(""), answer)
        case ["GET", "products", parent, "variations"]:
            return told(adapter.listings(f"0;{parent},1"), answer)
        case [_, "products", *rest] if rest[-1:] == ["batch"]:
            ids = [(row.get("id", 0), rest[0]) for row in pushed_rows(exchange)]
            batch = [Push(f"{parent}/{row}" if parent != "batch" else f"{row}", 1, None, 1) for row, parent in ids]
            return told(adapter.push(batch, "k"), answer)
        case [_, "products", *rest]:
            wrapped = evolve(answer, body=b"[" + answer.body + b"]") if done else answer
            wish = f"{rest[0]}/{rest[2]}" if len(rest) == 3 else f"{exchange.json.get('id', 1)}"
            return told(adapter.levels([wish]), wrapped)
        case ["GET", "orders"]:
            return told(adapter.orders(0, ""), answer)
        case [_, "orders", *_]:
            return told(adapter.order("1"), answer)
        case ["GET", "webhooks"]:
            return told(adapter.webhooks(), answer)
        case [_, "webhooks", *_]:
            return told(adapter.register("order.created", HOOK_URL, None), answer)
        case ["GET", "nope"]:
            return told(adapter.order("1"), answer)
    raise AssertionError(f"{exchange.method} {exchange.path} is read by nobody")


def pushed_rows(exchange: Exchange) -> list[Any]:
    rows = exchange.body["update"]
    return rows if isinstance(rows, list) and rows else [{"id": 11}, {"id": 12}]


@every_file
def test_every_recorded_answer_is_understood_by_its_reader(name: str) -> None:
    adapter = build()
    for exchange in load(name).exchanges:
        value, status = fed(adapter, exchange), exchange.response.status
        body = exchange.json
        match value:
            case str():
                continue
            case Failure():
                assert status >= 400
                assert value.outcome.kind == "permanent"
                assert body["code"] in value.reason
            case OrderSeen():
                assert {line.line: line.ordered for line in value.lines} == held(body)
            case OrderPage():
                # Exploratory lists with few fields: what lacks its date or lines is named, not guessed.
                assert len(value.puzzles) == len(body)
            case Webhook():
                assert (value.webhook_id, value.topic) == (str(body["id"]), body["topic"])
            case None:
                assert status == 404
            case [*found] if found and isinstance(found[0], Outcome):
                continue  # each of them has its own test below
            case [*found] if found and isinstance(found[0], LevelSeen):
                (level,) = found
                assert "manage_stock" not in body or level.level == own_units(body)
            case _:
                check_list(value, body, status)


def check_list(value: Any, body: Any, status: int) -> None:
    if status >= 400:
        assert value == ()
    elif hasattr(value, "levels"):
        # A variation in a product list (found by SKU) is named by both its ids; containers are left out.
        rows = [row for row in body if row.get("type") != "variable" or row.get("manage_stock") is not False]
        assert len(value.levels) == len(rows)
        for row, level in zip(rows, value.levels, strict=True):
            assert "manage_stock" not in row or level.level == own_units(row)
    else:
        assert [(each.webhook_id, each.state) for each in value] == [(str(row["id"]), row["status"]) for row in body]


def test_a_write_that_answered_200_and_did_nothing_is_a_permanent_failure() -> None:
    unmanaged = file("02").noted("stock on an unmanaged product")
    (parents,) = [each for each in file("16").exchanges if each.body == {"stock_quantity": 99}]
    for exchange, listing, why in ((unmanaged, "11", "does not manage"), (parents, "15/16", "parent")):
        answer = evolve(exchange.response, body=b'{"update":[' + exchange.response.body + b"]}")
        (outcome,) = told(build().push([Push(listing, 9, None, 1)], "k"), answer)
        assert exchange.response.status == 200
        assert (outcome.kind, why in outcome.reason) == ("permanent", True)


def test_a_mixed_batch_is_settled_item_by_item_by_what_the_answer_shows() -> None:
    exchange = file("07").exchanges[0]
    wishes = {44: 43, 45: 42, 99999: 1, 13: 3, 46: 5}
    outcomes = told(build().push([Push(str(i), n, None, 1) for i, n in wishes.items()], "k"), exchange.response)
    kinds = [(outcome.kind, outcome.level) for outcome in outcomes]
    # "abc" had become 0 without a word: the level shown differs from the one wished for.
    assert kinds == [("ok", 43), ("ok", 42), ("permanent", None), ("permanent", None), ("ok", 0)]
    assert "woocommerce_rest_product_invalid_id" in outcomes[2].reason
    assert "woocommerce_rest_invalid_product_id" in outcomes[3].reason
    stamp = exchange.json["update"][0]["date_modified_gmt"]
    assert (stamp, outcomes[0].own.lo) == ("2026-11-23T03:08:29", 1_795_403_309 * SECOND_US)


def test_a_batch_of_variations_is_asked_for_and_settled_as_recorded() -> None:
    exchange = file("07").exchanges[1]
    batch = [Push(f"12/{row['id']}", row["stock_quantity"], None, 1) for row in exchange.body["update"]]
    request = asked(build().push(batch, "k"))
    assert (request.method, urlsplit(request.url).path) == (exchange.method, exchange.path)
    assert json.loads(request.body) == exchange.body
    outcomes = told(build().push(batch, "k"), exchange.response)
    assert [outcome.kind for outcome in outcomes] == ["ok", "ok", "permanent", "permanent"]


def test_a_batch_of_products_is_asked_for_where_it_was_recorded_and_without_a_fields_argument() -> None:
    request = asked(build().push([Push("44", 41, None, 1)], "k"))
    assert (request.method, request.url) == ("POST", f"https://127.0.0.1:8081{file('07').exchanges[0].path}")
    assert json.loads(request.body) == {"update": [{"id": 44, "manage_stock": True, "stock_quantity": 41}]}


def test_an_emptied_answer_leaves_open_whether_the_write_happened() -> None:
    exchange = file("07").noted("_fields on a batch filters the outer object")
    (outcome,) = told(build().push([Push("49", 50, None, 1)], "k"), exchange.response)
    assert (exchange.json, outcome.kind) == ([], "unknown")


def test_a_batch_over_the_limit_is_worth_halving() -> None:
    for exchange in file("07").exchanges[-2:]:
        outcomes = told(build().push([Push("44", 1, None, 1), Push("45", 1, None, 1)], "k"), exchange.response)
        assert exchange.response.status == 413
        assert {(outcome.kind, outcome.whole_call) for outcome in outcomes} == {("permanent", True)}


def test_no_call_ever_carries_one_listing_twice_because_the_last_would_win() -> None:
    groups = build().batches([Push("44", 41, None, 1), Push("45", 42, None, 1), Push("44", 43, None, 2)])
    assert [[push.level for push in group] for group in groups] == [[41, 42], [43]]


@both_versions
def test_a_refusal_for_good_may_come_as_500_with_a_bare_number_for_data(version: str) -> None:
    refused = [each for each in file("06", version).exchanges if each.response.status == 500]
    assert [each.json["data"] for each in refused] == [500, 500]
    for exchange in refused:
        assert fed(build(), exchange).outcome.kind == "permanent"
        (outcome,) = told(build().push([Push("44", 1, None, 1)], "k"), exchange.response)
        assert outcome.kind == "permanent"


def test_a_trashed_order_can_be_read_and_holds_its_units_still() -> None:
    seen = told(build().order("821"), file("13").noted("reading a trashed order").response)
    assert [line.ordered for line in seen.lines] == [4]


# --- requests -----------------------------------------------------------------------------------------------


def test_the_oauth_signature_equals_the_recorded_one() -> None:
    exchange = file("01").noted("OAuth 1.0a one-legged HMAC-SHA256 over plain http")
    spoken = query_of(exchange.path)
    request = Store("http://127.0.0.1:8081", KEY, SECRET, "oauth").get("/products", [("per_page", "1")])
    assert request.sign is not None
    assert not request.secret_headers
    signed = request.sign(request, int(spoken["oauth_timestamp"][0]) * SECOND_US + 7, spoken["oauth_nonce"][0])
    assert {name: [value] for name, value in signed.secret_query.items()} | {"per_page": ["1"]} == spoken


def test_basic_and_query_credentials_equal_the_recorded_ones() -> None:
    basic = file("01").noted("Basic over TLS (proxy header tells the store the request was https)")
    query = file("01").noted("credentials in the query string over TLS")
    assert asked(build().webhooks()).secret_headers["authorization"] == basic.headers["authorization"]
    request = asked(build(auth="query").webhooks())
    assert not request.secret_headers
    sent = {name: [value] for name, value in request.secret_query.items()}
    assert sent | {"per_page": ["1"]} == query_of(query.path)


def test_the_order_feed_goes_back_one_second_because_the_bound_is_exclusive() -> None:
    known = file("11").noted("orders modified_after, bound 1 s earlier")
    equal = file("11").noted("orders modified_after, bound equal")
    assert (len(known.json), len(equal.json)) == (1, 0)
    newest_us = 1_795_403_618 * SECOND_US  # what order 813 was last changed at: 03:13:38
    request = asked(build().orders(newest_us, ""))
    ours, theirs = query_of(request.url), query_of(known.path)
    assert ours["modified_after"] == theirs["modified_after"] == ["2026-11-23T03:13:37"]
    assert {name: ours[name] for name in ("dates_are_gmt", "orderby", "order")} == {
        name: theirs[name] for name in ("dates_are_gmt", "orderby", "order")
    }
    assert urlsplit(request.url).path == urlsplit(known.path).path
    assert int(ours["per_page"][0]) <= 100


@both_versions
def test_the_variations_of_a_parent_are_asked_for_as_recorded_and_read_in_both_shapes(version: str) -> None:
    exchange = file("02", version).noted("variations of one product")
    parent = urlsplit(exchange.path).path.split("/")[-2]
    request = asked(build().listings(f"0;{parent},1"))
    assert urlsplit(request.url).path == urlsplit(exchange.path).path
    assert query_of(exchange.path).items() <= query_of(request.url).items()
    page = told(build().listings(f"0;{parent},1"), exchange.response)
    assert {level.listing: level.level for level in page.levels} == {
        f"{parent}/{row['id']}": row["stock_quantity"] for row in exchange.json
    }


def test_one_order_is_asked_for_as_recorded() -> None:
    exchange = file("06").noted("the order afterwards")
    assert urlsplit(asked(build().order("38")).url).path == exchange.path


def test_a_webhook_is_created_with_our_secret_and_switched_on_again_as_recorded() -> None:
    created = file("04").exchanges[0]
    request = asked(build().register("order.created", HOOK_URL, None))
    assert (request.method, urlsplit(request.url).path) == (created.method, created.path)
    ours = json.loads(request.body)
    assert {name: ours[name] for name in ("topic", "delivery_url", "secret")} == {
        name: created.body[name] for name in ("topic", "delivery_url", "secret")
    }
    again = file("08").noted("switch it on again")
    existing = Webhook("order.updated", HOOK_URL, "disabled", "22")
    request = asked(build().register("order.updated", HOOK_URL, existing))
    assert (request.method, urlsplit(request.url).path, json.loads(request.body)) == (
        again.method, again.path, again.body,
    )  # fmt: skip
    assert told(build().register("order.updated", HOOK_URL, existing), again.response).state == "active"


def test_a_webhook_that_the_store_switched_off_is_seen_as_disabled() -> None:
    exchange = file("08").noted("how the API shows the disabled webhook")
    (hook,) = told(build().webhooks(), evolve(exchange.response, body=b"[" + exchange.response.body + b"]"))
    assert (hook.state, hook.topic) == ("disabled", "order.updated")


def test_the_wanted_topics_are_those_the_store_accepts() -> None:
    refused = {each.body["topic"] for each in file("03").exchanges if each.response.status == 400}
    assert not refused & set(build().wanted_topics()) - {"order.created"}  # refused for its URL only
    assert len(build().wanted_topics()) == 8

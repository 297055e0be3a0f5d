"""The storefront simulator's core: a shop whose every fault leaves the books in order."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections import Counter
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.stamps import rfc3339, rfc3339_span
from adapters.storefront import Storefront, StoreReply
from adapters.storefront.dice import Dice
from adapters.storefront.faults import Faults

NOW = 1_795_413_600_000_000
SECOND = 1_000_000


def shop(skus: Any = 3, stock: Any = 10, **more: Any) -> Storefront:
    return Storefront("outlet", skus, stock, "secret", 7, **more)


def call(store: Storefront, method: str, target: str, body: Any = None, now_us: int = NOW) -> Any:
    """The answer's JSON and status."""
    reply = raw(store, method, target, body, now_us)
    return json.loads(reply.body), reply.status


def raw(store: Storefront, method: str, target: str, body: Any = None, now_us: int = NOW) -> StoreReply:
    encoded = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    return store.handle(method, target, encoded, now_us)


def sell(store: Storefront, sku: str, quantity: int, now_us: int = NOW) -> Any:
    order, status = call(store, "POST", "/orders", {"lines": [{"sku": sku, "quantity": quantity}]}, now_us)
    assert status == 201
    return order


def put(store: Storefront, listing: str, quantity: int, now_us: int = NOW, **more: Any) -> StoreReply:
    key = more.pop("key", "")
    item = {"listing": listing, "quantity": quantity, **more}
    return raw(store, "PUT", "/levels", {"items": [item], "idempotency_key": key}, now_us)


def shown(store: Storefront, listing: str = "L-0001") -> int:
    return store.shop.listings[listing].quantity


def us(stamp: str) -> int:
    span = rfc3339_span(stamp)
    assert span is not None
    return span.lo


# --- selling ------------------------------------------------------------------------------------------------


def test_a_sale_takes_its_units_from_what_is_shown() -> None:
    store = shop()
    order = sell(store, "SKU-0001", 3)
    assert shown(store) == 7
    assert order["version"] == 1
    assert order["lines"] == [
        {"id": "1", "sku": "SKU-0001", "listing": "L-0001", "ordered": 3, "cancelled": 0, "restocked": 0,
         "fulfilled": 0, "refunded": 0}
    ]  # fmt: skip
    assert {"name", "email"} <= order["buyer"].keys()


def test_an_order_is_refused_whole_when_one_line_shows_too_few() -> None:
    store = shop()
    lines = [
        {"sku": "SKU-0001", "quantity": 1},
        {"sku": "SKU-0002", "quantity": 6},
        {"sku": "SKU-0002", "quantity": 5},
    ]
    answer, status = call(store, "POST", "/orders", {"lines": lines})
    assert (status, answer["error"]["code"]) == (409, "sold_out")
    assert store.ledger.refused_orders == 1
    assert [listing.quantity for listing in store.shop.listings.values()] == [10, 10, 10]
    assert store.outbox.next_due_us() is None


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400), (b"\xff", 400), (b'{"x":' + b"[" * 3000, 400), ([], 422), ({"lines": []}, 422),
        ({"lines": [{"sku": "SKU-0001", "quantity": 0}]}, 422),
        ({"lines": [{"sku": "SKU-0001", "quantity": True}]}, 422),
        ({"lines": [{"sku": "SKU-0001", "quantity": 1.0}]}, 422),
        ({"lines": [{"sku": "nope", "quantity": 1}]}, 422),
    ],
)  # fmt: skip
def test_a_nonsense_order_is_refused_with_a_reason(body: Any, status: int) -> None:
    answer, got = call(shop(), "POST", "/orders", body)
    assert got == status
    assert answer["error"]["message"]


def test_cancelled_units_come_back_and_fulfilled_ones_cannot_be_cancelled() -> None:
    store = shop()
    path = f"/orders/{sell(store, 'SKU-0001', 4)['id']}"
    order, _ = call(store, "POST", f"{path}/fulfil", {"lines": [{"id": "1", "quantity": 1}]})
    assert (order["version"], order["lines"][0]["fulfilled"], shown(store)) == (2, 1, 6)
    _, status = call(store, "POST", f"{path}/cancel", {"lines": [{"id": "1", "quantity": 4}]})
    assert (status, shown(store)) == (409, 6)
    order, _ = call(store, "POST", f"{path}/cancel")
    assert (order["lines"][0]["cancelled"], order["version"], shown(store)) == (3, 3, 9)
    assert call(store, "POST", f"{path}/cancel")[1] == 409


def test_a_refund_restocks_unless_told_otherwise() -> None:
    store = shop()
    path = f"/orders/{sell(store, 'SKU-0001', 4)['id']}"
    call(store, "POST", f"{path}/fulfil", {"lines": [{"id": "1", "quantity": 2}]})
    order, _ = call(store, "POST", f"{path}/refund", {"lines": [{"id": "1", "quantity": 3}]})
    assert (order["lines"][0]["restocked"], order["lines"][0]["refunded"], shown(store)) == (3, 3, 9)
    order, _ = call(store, "POST", f"{path}/refund", {"restock": False})
    assert (order["lines"][0]["restocked"], order["lines"][0]["refunded"], shown(store)) == (3, 4, 9)
    assert call(store, "POST", f"{path}/refund")[1] == 409
    assert call(store, "POST", f"{path}/cancel")[1] == 409


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"lines": [{"id": "9", "quantity": 1}]}, 422), ({"lines": [{"id": "1", "quantity": 99}]}, 409),
        ({"lines": []}, 422), ({"lines": [{"id": "1", "quantity": 1}] * 2}, 422), (b"nonsense", 400),
    ],
)  # fmt: skip
def test_a_nonsense_cancellation_changes_nothing(body: Any, status: int) -> None:
    store = shop()
    order = sell(store, "SKU-0001", 2)
    assert call(store, "POST", f"/orders/{order['id']}/cancel", body)[1] == status
    assert call(store, "GET", f"/orders/{order['id']}") == (order, 200)


def test_unknown_places_are_told_apart_from_unknown_orders() -> None:
    store = shop()
    assert call(store, "GET", "/nowhere")[1] == 404
    assert call(store, "GET", "/orders/O-9")[0]["error"]["code"] == "unknown_order"
    assert call(store, "POST", "/orders/O-9/cancel")[0]["error"]["code"] == "unknown_order"
    assert call(store, "POST", "/orders/O-9/eat")[0]["error"]["code"] == "no_such_path"
    assert call(store, "DELETE", "/orders")[1] == 405
    assert call(store, "GET", "/healthz") == ({"status": "ok", "name": "outlet"}, 200)


# --- reading ------------------------------------------------------------------------------------------------


def test_the_catalogue_comes_in_pages_and_can_be_filtered() -> None:
    store = shop(skus=600, stock=1)
    page, _ = call(store, "GET", "/listings")
    second, _ = call(store, "GET", f"/listings?cursor={page['next']}")
    third, _ = call(store, "GET", f"/listings?cursor={second['next']}")
    items = page["items"] + second["items"] + third["items"]
    assert [item["listing"] for item in items] == [f"L-{number:04d}" for number in range(1, 601)]
    assert third["next"] is None
    some, _ = call(store, "GET", "/listings?listing=L-0300&listing=L-9999&listing=L-0002")
    assert [item["sku"] for item in some["items"]] == ["SKU-0300", "SKU-0002"]
    assert call(store, "GET", "/listings?cursor=-1")[1] == 400


def test_the_order_feed_shows_each_change_once_and_oldest_first_across_pages() -> None:
    store = shop(stock=1000)
    orders = [sell(store, "SKU-0001", 1) for _ in range(300)]
    first, _ = call(store, "GET", "/orders")
    call(store, "POST", f"/orders/{orders[10]['id']}/cancel")
    second, _ = call(store, "GET", f"/orders?cursor={quote(first['next'])}")
    assert [order["id"] for order in first["items"]] == [order["id"] for order in orders[:250]]
    assert [order["id"] for order in second["items"]] == [order["id"] for order in [*orders[250:], orders[10]]]
    assert second["next"] is None
    since = quote(orders[299]["updated_at"])
    found, _ = call(store, "GET", f"/orders?updated_since={since}")
    assert [order["id"] for order in found["items"]] == [orders[299]["id"], orders[10]["id"]]


@pytest.mark.parametrize(
    "query", ["updated_since=yesterday", "updated_since=2026-11-23T06:00:00", "cursor=x", "cursor=٣~O"]
)
def test_a_nonsense_query_is_refused(query: str) -> None:
    assert call(shop(), "GET", f"/orders?{quote(query, safe='=&')}")[1] == 400


def test_an_answer_is_stamped_not_before_a_change_it_shows_and_before_every_later_one() -> None:
    store = shop()
    order = sell(store, "SKU-0001", 1)
    page, _ = call(store, "GET", "/listings")
    later = sell(store, "SKU-0001", 1)
    assert us(order["updated_at"]) <= us(page["as_of"]) < us(later["updated_at"])


def test_the_shop_keeps_its_own_clock_which_never_goes_back() -> None:
    store = shop()
    call(store, "POST", "/faults", {"clock_offset_s": 90})
    first = sell(store, "SKU-0001", 1)
    assert us(first["updated_at"]) == NOW + 90 * SECOND
    call(store, "POST", "/faults", {"clock_offset_s": -90})
    second = sell(store, "SKU-0001", 1)
    assert us(second["updated_at"]) == us(first["updated_at"]) + 1
    assert int(store.due_webhooks(NOW)[0].headers["x-sandbox-timestamp"]) == (NOW + 90 * SECOND) // SECOND


# --- levels -------------------------------------------------------------------------------------------------


def test_every_pushed_item_gets_its_own_result_in_order() -> None:
    store = shop()
    items = [
        {"listing": "L-0001", "quantity": 4}, {"listing": "L-0002", "quantity": 4, "if_quantity": 9},
        {"listing": "L-9999", "quantity": 4}, {"listing": "L-0003", "quantity": -1}, {"listing": "L-0003"}, 5,
        {"listing": "L-0003", "quantity": 0, "if_quantity": 10},
    ]  # fmt: skip
    answer, status = call(store, "PUT", "/levels", {"items": items})
    assert status == 200
    assert [item["result"] for item in answer["items"]] == [
        "ok", "conflict", "unknown_listing", "invalid", "invalid", "invalid", "ok",
    ]  # fmt: skip
    assert [item.get("quantity") for item in answer["items"]] == [4, 10, None, None, None, None, 0]
    assert [write.result for write in store.ledger.writes] == [item["result"] for item in answer["items"]]
    assert [write.matched for write in store.ledger.writes] == [None, False, None, None, None, None, True]


@pytest.mark.parametrize("body", [b"", {"items": []}, {"items": {}}, {"items": [{}] * 1001}])
def test_a_push_without_items_or_with_too_many_is_refused(body: Any) -> None:
    assert call(shop(), "PUT", "/levels", body)[1] in (400, 422)


def test_a_known_idempotency_key_gets_its_first_answer_and_writes_nothing() -> None:
    store = shop()
    first = put(store, "L-0001", 4, key="k")
    sell(store, "SKU-0001", 1)
    assert put(store, "L-0001", 4, key="k") == first
    assert put(store, "L-0002", 1, key="k") == first
    assert (shown(store), shown(store, "L-0002"), len(store.ledger.writes)) == (3, 10, 1)


# --- webhooks -----------------------------------------------------------------------------------------------


def test_a_sale_is_told_by_signed_webhooks_about_the_order_and_the_level() -> None:
    store = shop(epoch="e")
    order = sell(store, "SKU-0001", 3)
    about_order, about_level = store.due_webhooks(NOW)
    assert json.loads(about_order.body) == {"topic": "order.updated", "order": order}
    assert json.loads(about_level.body) == {
        "topic": "level.changed",
        "listing": {
            "listing": "L-0001",
            "sku": "SKU-0001",
            "quantity": 7,
            "version": 2,
            "as_of": order["updated_at"],
        },
    }
    stamp = about_level.headers["x-sandbox-timestamp"]
    digest = hmac.new(b"secret", f"{stamp}.".encode() + about_level.body, hashlib.sha256).digest()
    assert about_level.headers["x-sandbox-signature"] == base64.b64encode(digest).decode()
    assert about_level.headers["x-sandbox-topic"] == "level.changed"
    assert (about_order.delivery, about_level.delivery) == ("D-e0000001", "D-e0000002")


def test_our_own_push_is_echoed_only_where_the_level_changed() -> None:
    store = shop()
    put(store, "L-0001", 10)
    assert store.due_webhooks(NOW) == []
    put(store, "L-0001", 9)
    assert [json.loads(hook.body)["listing"]["quantity"] for hook in store.due_webhooks(NOW)] == [9]


def test_an_unanswered_webhook_is_retried_with_growing_patience_and_then_given_up() -> None:
    store, now, waits = shop(), NOW, []
    put(store, "L-0001", 9)
    while (due := store.next_due_us()) is not None:
        waits.append((due - now) / SECOND)
        now = due
        (hook,) = store.due_webhooks(now)
        assert hook.headers["x-sandbox-timestamp"] == str(now // SECOND)
        assert store.next_due_us() is None
        store.delivered(hook.sending, None if len(waits) % 2 else 503, now)
    assert waits == [0, 1, 2, 4, 8, 16, 32, 64, 64, 64]
    assert store.outbox.records[0].state == "given_up"


def test_a_delivered_webhook_is_not_sent_again() -> None:
    store = shop()
    put(store, "L-0001", 9)
    (hook,) = store.due_webhooks(NOW)
    store.delivered(hook.sending, 204, NOW)
    store.delivered(hook.sending, 500, NOW)
    assert store.next_due_us() is None
    assert call(store, "GET", "/ledger")[0]["webhooks"][0]["attempts"] == [{"at_us": NOW, "status": 204}]


def test_webhooks_are_dropped_doubled_delayed_and_reordered_on_request() -> None:
    def sent(faults: dict[str, float]) -> list[Any]:
        store = shop(stock=1000)
        call(store, "POST", "/faults", {"webhook": faults, "seed": 3})
        for level in range(60):
            put(store, "L-0001", level, NOW + level * SECOND // 10)
        return store.due_webhooks(NOW + 3600 * SECOND)

    assert sent({"drop": 1}) == []
    twice = sent({"duplicate": 1})
    assert set(Counter(hook.delivery for hook in twice).values()) == {2}
    assert len({hook.body for hook in twice}) == 60
    levels = [json.loads(hook.body)["listing"]["quantity"] for hook in sent({"reorder": 0.5})]
    assert levels != sorted(levels) == list(range(60))
    store = shop()
    call(store, "POST", "/faults", {"webhook": {"delay_s": 30}})
    put(store, "L-0001", 1)
    assert store.due_webhooks(NOW) == []
    assert len(store.due_webhooks(NOW + 30 * SECOND)) == 1


# --- faults -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"", [], {"surprise": 1}, {"api": {"error_500": 1.1}}, {"api": {"error_500": -0.1}}, {"api": {"boom": 0}},
        {"webhook": {"drop": "1"}}, {"webhook": {"delay_s": -1}}, {"seed": 1.5}, {"clock_offset_s": 1e12},
    ],
)  # fmt: skip
def test_faults_that_do_not_exist_or_are_no_probabilities_are_refused(body: Any) -> None:
    store = shop()
    before = call(store, "GET", "/faults")
    assert call(store, "POST", "/faults", body)[1] == 400
    assert call(store, "GET", "/faults") == before


def test_a_set_of_faults_replaces_the_one_before() -> None:
    store = shop()
    call(store, "POST", "/faults", {"api": {"timeout": 1}, "webhook": {"drop": 0.5}, "clock_offset_s": 2})
    answer, status = call(store, "POST", "/faults", {"webhook": {"reorder": 1}})
    assert (answer, status) == (call(store, "GET", "/faults")[0], 200)
    expected = msgspec.to_builtins(Faults(seed=7))
    expected["webhook"]["reorder"] = 1
    assert answer == expected


def faulty(**api: float) -> Storefront:
    store = shop()
    call(store, "POST", "/faults", {"api": api})
    return store


def test_shoppers_and_the_books_never_meet_the_faults() -> None:
    store = faulty(error_500=1, throttle_429=1, timeout=1, lose_answer=1, lie_ok=1)
    order = sell(store, "SKU-0001", 1)
    assert call(store, "POST", f"/orders/{order['id']}/cancel")[1] == 200
    assert call(store, "GET", "/ledger")[1] == 200
    assert call(store, "GET", "/faults")[1] == 200
    assert raw(store, "GET", "/listings").status == 429


def test_a_throttled_call_is_not_served_and_says_when_to_come_back() -> None:
    store = faulty(throttle_429=1)
    reply = put(store, "L-0001", 1)
    assert (reply.status, shown(store)) == (429, 10)
    assert 1 <= int(dict(reply.headers)["Retry-After"]) <= 3


def test_a_fault_comes_before_the_effect_or_after_it_and_lies_in_neither_case() -> None:
    store, outcomes = faulty(error_500=1), Counter[Any]()
    for level in range(100, 160):
        reply = put(store, "L-0001", level)
        assert reply.status == 500
        outcomes[shown(store) == level, json.loads(reply.body).get("applied")] += 1
    assert set(outcomes) == {(True, None), (False, None), (False, False)}


def test_a_lost_answer_was_applied() -> None:
    store = faulty(lose_answer=1)
    assert put(store, "L-0001", 1).drop
    assert shown(store) == 1
    assert raw(store, "GET", "/orders").drop


def test_a_lie_says_ok_and_writes_nothing() -> None:
    store = faulty(lie_ok=1)
    reply = put(store, "L-0001", 1, if_quantity=3)
    assert json.loads(reply.body)["items"][0] | {"version": 0} == {
        "listing": "L-0001", "result": "ok", "quantity": 1, "version": 0,
    }  # fmt: skip
    assert shown(store) == 10
    assert (store.ledger.writes[0].applied, store.ledger.writes[0].fault) == (False, "lie")


def test_a_held_write_is_applied_at_once_or_late_or_never() -> None:
    fates = Counter[str]()
    for seed in range(60):
        store = faulty(timeout=1)
        store.set_faults(type(store.faults)(api=store.faults.api, seed=seed))
        reply = put(store, "L-0001", 1)
        assert reply.drop
        assert reply.delay_s >= 10
        if shown(store) == 1:
            fates["at once"] += 1
        elif (due := store.next_due_us()) is not None:
            assert NOW < due <= NOW + 8 * SECOND
            store.run_due(due)
            assert shown(store) == 1
            assert store.ledger.writes[0].late
            fates["late"] += 1
        else:
            fates["never"] += 1
    assert min(fates.values()) > 10
    assert len(fates) == 3


def late_write(**more: Any) -> Storefront:
    """A shop in which a write of 1 over 10 is still alive though its client has given up."""
    for seed in range(100):
        store = faulty(timeout=1)
        store.set_faults(type(store.faults)(api=store.faults.api, seed=seed))
        put(store, "L-0001", 1, **more)
        if shown(store) == 10 and store.next_due_us() is not None:
            call(store, "POST", "/faults", {})
            return store
    raise AssertionError("no seed gives a late write")


def test_a_late_write_overwrites_a_newer_one_unless_it_compares() -> None:
    store = late_write()
    put(store, "L-0001", 5, NOW + 1)
    store.run_due(NOW + 10 * SECOND)
    assert shown(store) == 1
    store = late_write(if_quantity=10)
    put(store, "L-0001", 5, NOW + 1)
    store.run_due(NOW + 10 * SECOND)
    assert shown(store) == 5
    assert [(write.result, write.late) for write in store.ledger.writes] == [("ok", False), ("conflict", True)]


def test_a_late_write_whose_key_was_served_meanwhile_is_not_applied() -> None:
    store = late_write(key="k")
    put(store, "L-0001", 1, NOW + 1, key="k")
    put(store, "L-0001", 6, NOW + 2, key="k2")
    store.run_due(NOW + 10 * SECOND)
    assert shown(store) == 6


def test_one_seed_gives_one_story() -> None:
    def story(seed: int) -> list[Any]:
        store = shop()
        api = dict.fromkeys(("error_500", "throttle_429", "timeout", "lose_answer", "lie_ok"), 0.3)
        call(store, "POST", "/faults", {"api": api, "seed": seed})
        return [put(store, "L-0001", level) for level in range(40)]

    assert story(1) == story(1)
    assert story(1) != story(2)


def test_chances_are_even_and_streams_are_independent() -> None:
    one, other = Dice(1, "a"), Dice(1, "b")
    drawn = [one.chance() for _ in range(2000)]
    assert all(0 <= chance < 1 for chance in drawn)
    assert 0.45 < sum(drawn) / 2000 < 0.55
    assert drawn[:5] != [other.chance() for _ in range(5)]


# --- the books ----------------------------------------------------------------------------------------------

SKUS = ["0001", "NO", "a/b ü"]
CHANCE = st.sampled_from([0.0, 0.0, 0.3, 1.0])
SOLD = st.lists(st.tuples(st.sampled_from(SKUS), st.integers(1, 5)), min_size=1, max_size=3)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("sell"), SOLD),
        st.tuples(
            st.sampled_from(["cancel", "refund", "fulfil"]), st.integers(0, 5),
            st.none() | st.dictionaries(st.sampled_from(["1", "2"]), st.integers(1, 4), min_size=1), st.booleans(),
        ),
        st.tuples(
            st.just("put"), st.integers(1, 4), st.integers(0, 12), st.none() | st.integers(0, 12),
            st.sampled_from(["", "a", "b", "c"]),
        ),
        st.tuples(st.just("wait"), st.integers(0, 9_000_000)),
        st.tuples(
            st.just("faults"),
            st.fixed_dictionaries(dict.fromkeys(("error_500", "timeout", "lose_answer", "lie_ok"), CHANCE)),
            st.integers(-9, 9), st.integers(0, 99),
        ),
    ),
    max_size=30,
)  # fmt: skip


def take(store: Storefront, step: tuple[Any, ...], now_us: int) -> None:
    match step:
        case "sell", lines:
            body = {"lines": [{"sku": sku, "quantity": units} for sku, units in lines]}
            assert call(store, "POST", "/orders", body, now_us)[1] in (201, 409)
        case ("cancel" | "refund" | "fulfil") as action, number, amounts, restock:
            known = list(store.shop.orders)
            if known:
                lines = amounts and [{"id": line, "quantity": units} for line, units in amounts.items()]
                body = {"restock": restock, **({"lines": lines} if lines else {})}
                path = f"/orders/{known[number % len(known)]}/{action}"
                assert call(store, "POST", path, body, now_us)[1] in (200, 409, 422)
        case "put", number, quantity, expected, key:
            more = {} if expected is None else {"if_quantity": expected}
            put(store, f"L-{number:04d}", quantity, now_us, key=key, **more)
        case "faults", api, offset, seed:
            call(store, "POST", "/faults", {"api": api, "clock_offset_s": offset, "seed": seed})


@pytest.mark.slow
@settings(deadline=None, max_examples=200)
@given(steps=STEPS)
def test_the_books_explain_every_quantity_after_every_step(steps: list[tuple[Any, ...]]) -> None:
    store, now = shop(SKUS, {"0001": 5, "NO": 0, "a/b ü": 9}), NOW
    for step in [*steps, ("wait", 60 * SECOND)]:
        now += step[1] if step[0] == "wait" else 0
        versions = {listing.id: (listing.version, listing.quantity) for listing in store.shop.listings.values()}
        take(store, step, now)
        store.run_due(now)
        for listing in store.shop.listings.values():
            before = versions[listing.id]
            assert listing.version >= before[0]
            assert (listing.version == before[0]) <= (listing.quantity == before[1])
        check_books(call(store, "GET", "/ledger", None, now)[0])


def check_books(ledger: dict[str, Any]) -> None:
    written, changed = Counter[str](), Counter[str]()
    served: dict[tuple[str, str], int] = Counter()
    for write in ledger["levels"]:
        if write["applied"]:
            written[write["listing"]] += write["after"] - write["before"]
            changed[write["listing"]] += write["after"] != write["before"]
            assert write["if_quantity"] in (None, write["before"]), "compare-and-set overwrote what it had not seen"
            served[write["key"], write["listing"]] += bool(write["key"])
    assert all(times <= 1 for times in served.values()), "an idempotency key was applied twice"
    for sku, books in ledger["skus"].items():
        expected = books["initial"] + written[books["listing"]] - books["sold"] + books["given_back"]
        assert books["quantity"] == ledger["quantities"][books["listing"]] == expected >= 0
        lines = [line for order in ledger["orders"] for line in order["lines"] if line["sku"] == sku]
        assert books["sold"] == sum(line["ordered"] for line in lines)
        assert books["given_back"] == sum(line["cancelled"] + line["restocked"] for line in lines)
    check_orders(ledger)
    stamps = [order["updated_at"] for order in ledger["orders"]]
    assert stamps == sorted(set(stamps))
    topics = Counter(hook["topic"] for hook in ledger["webhooks"])
    assert topics["order.updated"] == len(ledger["order_changes"])
    assert topics["level.changed"] >= sum(changed.values())


def check_orders(ledger: dict[str, Any]) -> None:
    """The changes add up to the orders, each change a version of its own."""
    versions: Counter[str] = Counter(change["order"] for change in ledger["order_changes"])
    units: Counter[tuple[str, str, str]] = Counter()
    for change in ledger["order_changes"]:
        for line, amount in change["lines"].items():
            units[change["order"], line, change["kind"]] += amount
            units[change["order"], line, "restocked"] += amount * (change["kind"] == "refunded" and change["restock"])
    for order in ledger["orders"]:
        assert order["version"] == versions[order["id"]]
        for line in order["lines"]:
            booked = {
                kind: units[order["id"], line["id"], kind]
                for kind in ("sold", "cancelled", "refunded", "fulfilled", "restocked")
            }
            assert booked == {"sold": line["ordered"], **{kind: line[kind] for kind in booked if kind != "sold"}}
            assert line["cancelled"] + line["refunded"] <= line["ordered"]
            assert line["cancelled"] + line["fulfilled"] <= line["ordered"]


@pytest.mark.slow
@given(body=st.binary(max_size=60), target=st.text(max_size=30), method=st.sampled_from(["GET", "POST", "PUT"]))
def test_no_call_whatsoever_makes_it_raise(body: bytes, target: str, method: str) -> None:
    store = shop()
    order = sell(store, "SKU-0001", 1)
    for path in (target, "/" + target, f"/orders/{target}", f"/orders?{target}", f"/orders/{order['id']}/cancel"):
        assert isinstance(store.handle(method, path, body, NOW), StoreReply)
    for path in ("/levels", "/orders"):
        assert store.handle("PUT" if path == "/levels" else "POST", path, body, NOW).status >= 400
    assert store.handle("POST", "/faults", body, NOW).status in (200, 400)


def test_stamps_are_written_and_read_to_the_microsecond() -> None:
    assert rfc3339(NOW + 5) == "2026-11-23T06:00:00.000005Z"
    assert us(rfc3339(NOW + 5)) == NOW + 5

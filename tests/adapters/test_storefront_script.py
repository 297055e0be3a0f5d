"""The storefront's scripted mishaps: each befalls exactly the calls it is meant for, and the ledger says so."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.storefront import Storefront, StoreReply

NOW = 1_795_413_600_000_000
SECOND = 1_000_000


def shop(**faults: Any) -> Storefront:
    store = Storefront("outlet", 3, 10, "secret", 7)
    told = raw(store, "POST", "/faults", faults)
    assert told.status == 200, told.body
    return store


def raw(store: Storefront, method: str, target: str, body: Any = None, now_us: int = NOW) -> StoreReply:
    return store.handle(method, target, b"" if body is None else json.dumps(body).encode(), now_us)


def put(store: Storefront, *items: tuple[str, int], now_us: int = NOW, key: str = "", **more: Any) -> StoreReply:
    rows = [{"listing": listing, "quantity": quantity, **more} for listing, quantity in items]
    return raw(store, "PUT", "/levels", {"items": rows, "idempotency_key": key}, now_us)


def ledger(store: Storefront) -> Any:
    return json.loads(raw(store, "GET", "/ledger").body)


def shown(store: Storefront, listing: str = "L-0001") -> int:
    return store.shop.listings[listing].quantity


def test_a_rule_lets_some_calls_pass_befalls_the_next_and_is_over() -> None:
    store = shop(script=[{"do": "fail", "status": 503, "skip": 1, "times": 2}])
    assert [put(store, ("L-0001", level)).status for level in (1, 2, 3, 4)] == [200, 503, 503, 200]
    assert [each["fault"] for each in ledger(store)["calls"]] == ["", "fail", "fail", ""]
    assert [each["after"] for each in ledger(store)["levels"]] == [1, 4]


def test_a_rule_for_one_listing_leaves_calls_without_it_alone() -> None:
    store = shop(script=[{"do": "fail", "listing": "L-0002", "times": None}])
    assert put(store, ("L-0001", 1)).status == 200
    assert put(store, ("L-0001", 2), ("L-0002", 2)).status == 500
    assert put(store, ("L-0002", 3)).status == 500
    assert raw(store, "GET", "/orders").status == 200


def test_a_held_answer_is_true_and_only_late() -> None:
    store = shop(script=[{"do": "hold", "seconds": 3}])
    reply = put(store, ("L-0001", 4))
    assert (reply.status, reply.delay_s, reply.drop) == (200, 3, False)
    assert shown(store) == 4


def test_a_lost_answer_was_applied_and_a_late_write_comes_to_life_when_it_was_told_to() -> None:
    store = shop(script=[{"do": "lose"}, {"do": "late", "seconds": 5}])
    assert put(store, ("L-0001", 4)).drop
    assert shown(store) == 4
    assert put(store, ("L-0001", 9)).drop
    store.run_due(NOW + 5 * SECOND - 1)
    assert shown(store) == 4
    store.run_due(NOW + 5 * SECOND)
    assert shown(store) == 9
    assert [each["late"] for each in ledger(store)["levels"]] == [False, True]


def test_a_partial_write_keeps_its_first_rows_and_its_key_is_not_known_afterwards() -> None:
    store = shop(script=[{"do": "partial", "rows": 2}])
    items = (("L-0001", 1), ("L-0002", 2), ("L-0003", 3))
    assert put(store, *items, key="once").status == 500
    assert [shown(store, name) for name, _ in items] == [1, 2, 10]
    assert put(store, *items, key="once").status == 200
    assert [shown(store, name) for name, _ in items] == [1, 2, 3]


def test_a_bad_row_spoils_its_batch_without_being_named_and_alone_it_is_invalid() -> None:
    store = shop(script=[{"do": "refuse", "listing": "L-0002", "times": None}])
    whole = put(store, ("L-0001", 1), ("L-0002", 2))
    assert whole.status == 422
    assert b"L-0002" not in whole.body
    alone = json.loads(put(store, ("L-0002", 2)).body)["items"]
    assert alone == [{"listing": "L-0002", "result": "invalid", "reason": "it takes no level"}]
    assert (shown(store, "L-0001"), shown(store, "L-0002")) == (10, 10)


@pytest.mark.parametrize(
    ("rule", "status", "delay_s", "drop"),
    [
        ({"do": "hold", "seconds": 2}, 200, 2, False), ({"do": "lose"}, 200, 0, True), ({"do": "late"}, 200, 0, True),
        ({"do": "fail", "status": 503}, 503, 0, False), ({"do": "partial"}, 500, 0, False),
        ({"do": "refuse"}, 500, 0, False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("call", ["orders", "listings", "any"])
def test_reads_meet_mishaps_too(rule: dict[str, Any], status: int, delay_s: float, drop: bool, call: str) -> None:
    store = shop(script=[rule | {"call": call}])
    target = "/listings" if call == "listings" else "/orders"
    reply = raw(store, "GET", target)
    assert (reply.status, reply.delay_s, reply.drop) == (status, delay_s, drop)
    assert raw(store, "GET", target).status == 200
    seen = ledger(store)["calls"]
    assert [(each["fault"], each["status"]) for each in seen] == [(rule["do"], 0 if drop else status), ("", 200)]


def test_a_late_order_feed_shows_a_change_only_when_it_is_old_enough() -> None:
    store = shop(feed_lag_s=4)
    raw(store, "POST", "/orders", {"lines": [{"sku": "SKU-0001", "quantity": 1}]})

    def listed(now_us: int) -> int:
        return len(json.loads(raw(store, "GET", "/orders", now_us=now_us).body)["items"])

    assert [listed(NOW + seconds * SECOND) for seconds in (0, 3, 5)] == [0, 0, 1]


def test_a_garbled_quantity_is_null_absent_or_no_number_in_reads_and_webhooks() -> None:
    store = shop(garbled={"L-0001": "null", "L-0002": "absent", "L-0003": "error"})
    items = json.loads(raw(store, "GET", "/listings").body)["items"]
    assert [each.get("quantity", "left out") for each in items] == [None, "left out", "#ERR"]
    raw(store, "POST", "/edits", {"sku": "SKU-0003", "quantity": 4})
    hook = json.loads(store.due_webhooks(NOW)[0].body)
    assert hook["listing"]["quantity"] == "#ERR"
    assert shown(store, "L-0003") == 4


def test_an_edit_at_the_shop_is_told_and_stands_in_the_ledger() -> None:
    store = shop()
    assert raw(store, "POST", "/edits", {"sku": "SKU-0001", "quantity": 50}).status == 200
    assert raw(store, "POST", "/edits", {"sku": "NONE", "quantity": 50}).status == 422
    assert raw(store, "POST", "/edits", {"sku": "SKU-0001", "quantity": -1}).status == 422
    assert [(each["after"], each["fault"]) for each in ledger(store)["levels"]] == [(50, "edit")]
    assert [hook.headers["x-sandbox-topic"] for hook in store.due_webhooks(NOW)] == ["level.changed"]


def test_a_shop_without_compare_and_set_overlooks_what_is_expected() -> None:
    store = shop(plain=True)
    assert json.loads(put(store, ("L-0001", 3), if_quantity=9).body)["items"][0]["result"] == "ok"
    assert shown(store) == 3


def test_an_answer_that_is_not_heard_brings_the_same_message_again() -> None:
    store = shop(webhook={"unheard": 1.0})
    raw(store, "POST", "/orders", {"lines": [{"sku": "SKU-0001", "quantity": 1}]})
    first = store.due_webhooks(NOW)
    for hook in first:
        store.delivered(hook.sending, 200, NOW)
    raw(store, "POST", "/faults", {})
    again = store.due_webhooks(NOW + 2 * SECOND)
    assert [hook.delivery for hook in again] == [hook.delivery for hook in first]
    for hook in again:
        store.delivered(hook.sending, 200, NOW + 2 * SECOND)
    assert store.due_webhooks(NOW + 60 * SECOND) == []


def test_webhooks_are_late_to_the_letter() -> None:
    store = shop(webhook={"late": [{"topic": "order.updated", "delay_s": 3, "skip": 1}]})
    for _ in range(3):
        raw(store, "POST", "/orders", {"lines": [{"sku": "SKU-0001", "quantity": 1}]})

    def orders(now_us: int) -> list[str]:
        topics = [hook for hook in store.due_webhooks(now_us) if hook.headers["x-sandbox-topic"] == "order.updated"]
        return [json.loads(hook.body)["order"]["id"][-1] for hook in topics]

    assert (orders(NOW), orders(NOW + 3 * SECOND)) == (["1", "3"], ["2"])


@pytest.mark.parametrize(
    "faults",
    [
        {"script": [{}]}, {"script": [{"do": "boom"}]}, {"script": [{"do": "fail", "status": 200}]},
        {"script": [{"do": "hold", "seconds": -1}]}, {"script": [{"do": "hold", "times": 0}]},
        {"garbled": {"L-0001": "zero"}}, {"feed_lag_s": -1}, {"webhook": {"late": [{}]}},
    ],
)  # fmt: skip
def test_a_script_that_makes_no_sense_is_refused(faults: Any) -> None:
    assert raw(shop(), "POST", "/faults", faults).status == 400

"""The sandbox adapter against the storefront it is made for, without anything in between."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any
from urllib.parse import urlsplit

import pytest

from adapters.sandbox import PLATFORM
from adapters.sandbox_urls import ASKED_BYTES_MAX
from adapters.storefront import Storefront
from adapters.storefront.faults import Faults, WebhookFaults
from adapters.storefront.subscriptions import SUBSCRIPTIONS_MAX
from daemon.domain.channel import Adapter, Delivery, ListingPage, OrderPage, OrderSeen, Push, Setup, Webhook
from daemon.domain.exchange import Request, Response
from daemon.domain.instants import Span
from daemon.domain.outcomes import Failure
from tests.adapters.contract import converse, verifies

NOW = 1_795_413_600_000_000
BASE = "http://127.0.0.1:9101"


def adapter(**overrides: float) -> Adapter:
    return PLATFORM.build(Setup("outlet", BASE + "/", webhook_secrets=("secret",), overrides=overrides))


def shop(skus: Any = 3, stock: int = 10) -> Storefront:
    return Storefront("outlet", skus, stock, "secret", 1)


def ask(store: Storefront, talk: Generator[Request, Response, Any]) -> Any:
    """Run a conversation against the storefront."""
    try:
        request = next(talk)
        while True:
            parts = urlsplit(request.url)
            reply = store.handle(request.method, f"{parts.path}?{parts.query}", request.body, NOW)
            headers = {name.lower(): value for name, value in reply.headers}
            request = talk.send(Response(reply.status, headers, reply.body))
    except StopIteration as end:
        return end.value


def sell(store: Storefront, sku: str, units: int = 1) -> str:
    body = json.dumps({"lines": [{"sku": sku, "quantity": units}]}).encode()
    name: str = json.loads(store.handle("POST", "/orders", body, NOW).body)["id"]
    return name


def first_request(talk: Generator[Request, Response, Any]) -> Request:
    request = next(talk)
    talk.close()
    return request


def test_a_push_lands_and_is_known_to_the_microsecond() -> None:
    store = shop()
    (outcome,) = ask(store, adapter().push([Push("L-0001", 3, 10, 1)], "k"))
    changed_us = store.shop.listings["L-0001"].changed_us
    assert (outcome.kind, outcome.level, outcome.own) == ("ok", 3, Span(changed_us, changed_us))
    assert store.shop.listings["L-0001"].quantity == 3


def test_a_push_over_an_unseen_sale_is_refused_with_the_true_level() -> None:
    store = shop()
    sell(store, "SKU-0001", 2)
    (outcome,) = ask(store, adapter().push([Push("L-0001", 12, 10, 1)], "k"))
    assert (outcome.kind, outcome.level) == ("conflict", 8)
    assert store.shop.listings["L-0001"].quantity == 8


def test_one_bad_item_does_not_spoil_its_neighbours() -> None:
    store = shop()
    pushes = [
        Push("L-0001", 1, 10, 1),
        Push("L-9999", 1, 1, 1),
        Push("L-0002", -1, 10, 1),
        Push("L-0003", 0, None, 1),
    ]
    outcomes = ask(store, adapter().push(pushes, "k"))
    assert [outcome.kind for outcome in outcomes] == ["ok", "permanent", "permanent", "ok"]


def test_the_same_call_sent_twice_is_applied_once() -> None:
    store = shop()
    batch = [Push("L-0001", 3, None, 1)]
    first = ask(store, adapter().push(batch, "k"))
    store.shop.write("L-0001", 9, None, NOW)
    assert ask(store, adapter().push(batch, "k")) == first
    assert store.shop.listings["L-0001"].quantity == 9


def test_webhook_feed_and_single_read_tell_the_same_order() -> None:
    store, sandbox = shop(), adapter()
    name = sell(store, "SKU-0002", 2)
    hook = store.due_webhooks(NOW)[0]
    delivery = Delivery(hook.headers, hook.body)
    facts = sandbox.parse(delivery)
    assert verifies(sandbox.scheme, delivery, "secret")
    assert (facts.topic, facts.identity, facts.puzzle) == ("order.updated", hook.delivery, "")
    page = ask(store, sandbox.orders(NOW, ""))
    one = ask(store, sandbox.order(name))
    assert isinstance(page, OrderPage)
    assert isinstance(one, OrderSeen)
    assert facts.orders == page.orders == (one,)
    assert page.high_water_us == one.updated.lo == one.updated.hi
    assert one.takes_at_placement
    assert one.placed == one.updated
    assert b"example.invalid" in hook.body
    assert b"example.invalid" not in facts.kept


def test_our_own_push_comes_back_as_a_level_with_the_stamp_of_the_write() -> None:
    store, sandbox = shop(), adapter()
    (outcome,) = ask(store, sandbox.push([Push("L-0001", 3, 10, 1)], "k"))
    (hook,) = store.due_webhooks(NOW)
    (seen,) = sandbox.parse(Delivery(hook.headers, hook.body)).levels
    assert (seen.listing, seen.level, seen.own) == ("L-0001", 3, outcome.own)
    assert ask(store, sandbox.levels(["L-0001"]))[0].version == seen.version


def test_long_feeds_are_read_page_by_page_without_a_gap() -> None:
    store, sandbox = shop(skus=600, stock=1000), adapter()
    names = [sell(store, f"SKU-{1 + number % 600:04d}") for number in range(620)]
    assert pages(store, sandbox.orders, NOW) == names
    assert pages(store, lambda _, page: sandbox.listings(page), 0) == list(store.shop.listings)


def pages(store: Storefront, read: Any, since: int) -> list[str]:
    found: list[str] = []
    cursor, more = "", True
    while more:
        page = ask(store, read(since, cursor))
        assert isinstance(page, OrderPage | ListingPage)
        if isinstance(page, OrderPage):
            found += [seen.order for seen in page.orders]
        else:
            found += [seen.listing for seen in page.levels]
        cursor, more = page.next_page, bool(page.next_page)
    return found


def test_levels_of_many_listings_are_asked_for_in_urls_of_bounded_length() -> None:
    store, sandbox, lengths = shop(skus=450), adapter(), []
    names = [*store.shop.listings, "ünknown listing " * 10]

    def watched() -> Generator[Request, Response, Any]:
        talk = sandbox.levels(names)
        request = next(talk)
        while True:
            lengths.append(len(request.url))
            response = yield request
            try:
                request = talk.send(response)
            except StopIteration as end:
                return end.value

    seen = ask(store, watched())
    assert [level.listing for level in seen] == names[:-1]
    assert len(lengths) == 5
    assert max(lengths) < ASKED_BYTES_MAX + 200


def test_an_endless_catalogue_ends_in_a_failure() -> None:
    assert isinstance(endless(adapter().levels(["L-1"])), Failure)


def endless(talk: Generator[Request, Response, Any]) -> Any:
    """What comes of a catalogue that always has one more page."""
    next(talk)
    for number in range(10_000):
        try:
            talk.send(Response(200, {}, b'{"items":[],"next":"%d"}' % number))
        except StopIteration as end:
            return end.value
    raise AssertionError("it reads on for ever")


def test_a_cursor_that_does_not_move_ends_the_reading() -> None:
    stuck = Response(200, {}, b'{"items":[],"next":"1"}')
    value, asked = converse(adapter().levels(["L-1"]), iter([stuck] * 9))
    assert value == ()
    assert len(asked) == 2


@pytest.mark.parametrize("name", [".", "..", "a/../b", "a?b#c", "ü %", ""])
def test_no_order_id_leaves_its_place_in_the_path(name: str) -> None:
    url = first_request(adapter().order(name)).url
    assert url.startswith(BASE + "/orders/")
    path = urlsplit(url).path
    assert path.count("/") == 2
    assert not path.endswith(("/.", "/.."))


@pytest.mark.parametrize(
    ("since_us", "stamp"),
    [
        (NOW, "2026-11-23T06%3A00%3A00.000000Z"), (0, "1970-01-01T00%3A00%3A00.000000Z"),
        (-5, "1970-01-01T00%3A00%3A00.000000Z"), (2**62, "9999-12-31T23%3A59%3A59.000000Z"),
    ],
)  # fmt: skip
def test_the_feed_is_asked_from_any_moment(since_us: int, stamp: str) -> None:
    assert first_request(adapter().orders(since_us, "")).url == f"{BASE}/orders?updated_since={stamp}"


def test_batches_keep_the_given_order_of_urgency() -> None:
    pushes = [Push(f"L-{number}", 0, None, 1) for number in range(205)]
    assert [len(batch) for batch in adapter().batches(pushes)] == [100, 100, 5]
    assert [push for batch in adapter(batch_max=7).batches(pushes) for push in batch] == pushes


def test_the_configuration_overrides_any_number() -> None:
    traits = adapter(request_life_s=2, poll_interval_s=0.5, batch_max=3.0).traits
    assert (traits.request_life_s, traits.poll_interval_s, traits.batch_max) == (2.0, 0.5, 3)
    assert traits.compare_and_set
    assert type(traits.batch_max) is int


def test_it_is_the_one_platform_with_open_secrets_and_plain_http() -> None:
    assert (PLATFORM.name, PLATFORM.inline_secrets, PLATFORM.local) == ("sandbox", True, True)


def test_a_storefront_without_compare_and_set_is_sent_no_expectation() -> None:
    plain = PLATFORM.build(Setup("outlet", BASE, options={"compare_and_set": "false"}))
    assert not plain.traits.compare_and_set
    assert adapter().traits.compare_and_set
    sent = [json.loads(first_request(each.push([Push("L-0001", 4, 9, 1)], "k")).body) for each in (adapter(), plain)]
    assert [each["items"][0].get("if_quantity") for each in sent] == [9, None]


# --- subscriptions -------------------------------------------------------------------------------------------

HOOK = "http://127.0.0.1:8480/webhooks/outlet"


def subscribing() -> Adapter:
    return PLATFORM.build(Setup("outlet", BASE, options={"subscriptions": "true"}, webhook_secrets=("secret",)))


def topics_sent(store: Storefront) -> list[tuple[str, str]]:
    hooks = store.due_webhooks(NOW)
    for hook in hooks:
        store.delivered(hook.sending, 200, NOW)
    return [(hook.headers["x-sandbox-topic"], hook.url) for hook in hooks]


def test_webhooks_are_subscribed_listed_and_switched_on_again_where_the_channel_says_so() -> None:
    store, mine = shop(), subscribing()
    assert mine.traits.registers_webhooks
    assert mine.wanted_topics() == ("order.updated", "level.changed")
    assert ask(store, mine.webhooks()) == ()
    made = ask(store, mine.register("order.updated", HOOK, None))
    assert made == Webhook("order.updated", HOOK, "active", "W-1")
    store.set_faults(Faults(webhook=WebhookFaults(disabled=["order.updated"])))
    store.set_faults(Faults())
    (off,) = ask(store, mine.webhooks())
    assert off == Webhook("order.updated", HOOK, "disabled", "W-1")
    assert ask(store, mine.register("order.updated", HOOK, off)) == made
    assert ask(store, mine.webhooks()) == (made,)


def test_a_storefront_tells_everything_until_somebody_subscribes_and_then_what_is_subscribed() -> None:
    store, mine = shop(), subscribing()
    sell(store, "SKU-0001")
    assert topics_sent(store) == [("order.updated", ""), ("level.changed", "")]
    ask(store, mine.register("order.updated", HOOK, None))
    sell(store, "SKU-0001")
    assert topics_sent(store) == [("order.updated", HOOK)]
    store.set_faults(Faults(webhook=WebhookFaults(disabled=["*"])))
    sell(store, "SKU-0001")
    assert topics_sent(store) == []
    states = [each["state"] for each in json.loads(store.handle("GET", "/ledger", b"", NOW).body)["webhooks"]]
    assert states == ["delivered", "delivered", "delivered", "unsubscribed", "unsubscribed", "unsubscribed"]


def test_the_same_subscription_twice_is_one_and_there_are_not_too_many() -> None:
    store, mine = shop(), subscribing()
    once = ask(store, mine.register("order.updated", HOOK, None))
    assert ask(store, mine.register("order.updated", HOOK, None)) == once
    for number in range(SUBSCRIPTIONS_MAX - 1):
        ask(store, mine.register("level.changed", f"{HOOK}/{number}", None))
    refused = ask(store, mine.register("level.changed", HOOK, None))
    assert isinstance(refused, Failure)
    assert refused.outcome.kind == "permanent"


@pytest.mark.parametrize(
    ("method", "target", "body", "status"),
    [
        ("POST", "/subscriptions", b"{", 400),
        ("POST", "/subscriptions", b'{"topic": "order.updated", "url": "ftp://x"}', 422),
        ("POST", "/subscriptions", b'{"topic": "", "url": "http://x"}', 422),
        ("PUT", "/subscriptions/W-9", b'{"state": "active"}', 404),
        ("PUT", "/subscriptions/W-1", b'{"state": "disabled"}', 422),
        ("DELETE", "/subscriptions/W-1", b"", 404),
        ("GET", "/subscriptionsandmore", b"", 404),
    ],
)
def test_a_nonsense_subscription_is_refused(method: str, target: str, body: bytes, status: int) -> None:
    store = shop()
    ask(store, subscribing().register("order.updated", HOOK, None))
    assert store.handle(method, target, body, NOW).status == status
    assert [each.state for each in store.subscriptions.by_id.values()] == ["active"]


@pytest.mark.parametrize(
    "body", [b"[]", b'{"items": [{"id": 7}]}', b'{"items": [{"topic": "order.updated"}]}', b"nonsense"]
)
def test_subscriptions_that_cannot_be_read_are_no_empty_list(body: bytes) -> None:
    mine = subscribing()
    talk = mine.webhooks()
    next(talk)
    with pytest.raises(StopIteration) as end:
        talk.send(Response(200, {}, body))
    assert end.value.value == () if body == b"[]" else isinstance(end.value.value, Failure)


def test_a_state_that_nobody_knows_counts_as_off() -> None:
    talk = subscribing().webhooks()
    next(talk)
    with pytest.raises(StopIteration) as end:
        talk.send(Response(200, {}, b'{"items": [{"id": "1", "topic": "t", "url": "http://x", "state": "asleep"}]}'))
    assert end.value.value == (Webhook("t", "http://x", "disabled", "1"),)


def test_without_the_option_nothing_is_asked_and_the_refusal_says_what_to_do() -> None:
    store = shop()
    assert ask(store, adapter().webhooks()) == ()
    assert adapter().wanted_topics() == ()
    refused = ask(store, adapter().register("order.updated", HOOK, None))
    assert "subscriptions: true" in refused.reason

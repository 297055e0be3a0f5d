"""eBay's particulars: its own schemas and vectors, and whole conversations with a composed eBay."""

from __future__ import annotations

import json
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import pytest
import trio
from attrs import define, evolve, field
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from adapters import PLATFORMS
from adapters.ebay import inbound, orders, payloads, trading
from adapters.ebay.adapter import Ebay, build
from adapters.ebay.api import Api
from adapters.ebay.oauth import refused
from adapters.strict import decode
from daemon.domain.channel import Delivery, OrderPage, OrderSeen, Push, Setup, Webhook
from daemon.domain.exchange import Exchange, NoAnswer, Reply, Request, Response
from daemon.domain.instants import SECOND_US
from daemon.domain.outcomes import Failure, Outcome
from daemon.domain.policy import Policy
from daemon.domain.signatures import KeyedSignature, Notice, PublicKey, PublicKeyScheme
from daemon.ingress.filterprobe import FilterProbe
from daemon.ingress.public_keys import PublicKeys
from daemon.ingress.signature import answer_challenge
from daemon.outbound.account import Account
from tests import specs
from tests.adapters import contract
from tests.adapters.ebay_twin import SELLER, Twin
from tests.adapters.official.described import DESCRIBED
from tests.adapters.openapi import Document, UnknownCallError, check_answer, check_call

URL = "https://sync.example.com/webhooks/shop"
OFFER = "/sell/inventory/v1/offer"
TOKEN = "sync_daemon-verification-token-0001_abcdef"
NOW_US = 1_785_931_200_000_000  # 2026-08-05T12:00:00Z


def setup(**options: str) -> Setup:
    return Setup(
        "shop",
        "https://api.ebay.com",
        {"client_id": "app", "user_id": SELLER, "alert_email": "ops@example.com", **options},
        {"client_secret": "cert", "refresh_token": "consented"},
        (TOKEN,),
    )


# --- the vendor's own material ------------------------------------------------------------------------------

WRONG_ON_PURPOSE = {"orders_quantity_is_a_text", "listings_quantities_that_are_none", "null", "gateway_page"}
"""Fixtures with answers that eBay should never give."""


def documents() -> Sequence[Document]:
    return DESCRIBED["ebay"].documents()


def test_every_request_and_every_answer_of_the_fixtures_is_as_ebays_contracts_say() -> None:
    known, asked, answered = documents(), set(), 0
    for kind in ("reads", "pushes", "quantities"):
        for fixture in (each for each in contract.fixtures(kind) if each.platform == "ebay"):
            steps, adapter = fixture.content["steps"], contract.build("ebay")
            if kind == "pushes":
                talk: Any = adapter.push(contract.pushes_of(fixture), "k")
            else:
                talk = contract.start(adapter, fixture.content["call"], fixture.content["args"])
            answers = contract.responses(steps, fixture.path.parent)
            _, requests = contract.converse(talk, iter(answers))
            for request, response in zip(requests, answers, strict=True):
                path = urlsplit(request.url).path
                if path in ("/ws/api.dll", "/identity/v1/oauth2/token"):
                    continue  # no contract among the four describes these
                document, operation = check_call(known, request)
                asked.add((request.method, path.split("/")[2], path.split("/")[4]))
                if response.status in (200, 207) and fixture.path.stem not in WRONG_ON_PURPOSE:
                    answered += check_answer(document, operation, response)
    assert answered > 30
    assert asked >= {
        ("GET", "fulfillment", "order"), ("GET", "inventory", "offer"), ("GET", "inventory", "inventory_item"),
        ("POST", "inventory", "bulk_get_inventory_item"), ("POST", "inventory", "bulk_update_price_quantity"),
        ("POST", "notification", "destination"), ("PUT", "notification", "destination"),
        ("POST", "notification", "subscription"), ("PUT", "notification", "config"),
    }  # fmt: skip


def test_the_contract_check_sees_what_is_wrong() -> None:
    known, api = documents(), Api()
    wrong = api.write("POST", "/sell/inventory/v1/bulk_update_price_quantity", {"requests": [{"sku": 3}]})
    with pytest.raises(AssertionError, match="is no string"):
        check_call(known, wrong)
    with pytest.raises(AssertionError, match="is not known"):
        check_call(known, evolve(wrong, body=b'{"requests":[{"stock":3}]}'))
    with pytest.raises(AssertionError, match="takes no"):
        check_call(known, api.get("/sell/fulfillment/v1/order", [("since", "1")]))
    with pytest.raises(UnknownCallError):
        check_call(known, api.get("/sell/fulfillment/v1/orders"))


def key_answer(vector: dict[str, str]) -> PublicKey | Failure | None:
    talk = inbound.fetch_key(Api(), "11111111-2222-3333-4444-555555555555")
    value, (asked,) = contract.converse(talk, iter([Response(200, {}, json.dumps(vector).encode())]))
    assert asked.token == "app"
    return value  # type: ignore[no-any-return]  # what fetch_key gives


async def found(header: str, body: bytes, answer: dict[str, str]) -> str:
    async def ask(exchange: Exchange[Any]) -> Any:
        return key_answer(answer)

    door = PublicKeys(inbound.scheme(Api()), ask)
    return await door.check(Delivery({"x-ebay-signature": header}, body))


async def test_the_sheets_vectors_verify_through_the_adapters_own_scheme() -> None:
    vector = specs.load("ebay/vectors.composed.json")["x_ebay_signature"]
    body, key = vector["body"].encode(), vector["public_key_response"]
    assert await found(vector["header_sha1"], body, key) == "ok"
    assert await found(vector["header_sha1"], body + b"\n", key) == "wrong"
    assert await found(vector["header_sha256"], body, {**key, "digest": "SHA256"}) == "ok"
    assert await found(vector["header_sha256"], body, key) == "wrong"
    assert await found(vector["header_sha1"], body, {**key, "digest": "MD5"}) == "busy"


@pytest.mark.parametrize(("case", "finding"), [("VALID", "ok"), ("SIGNATURE_MISMATCH", "wrong")])
async def test_ebays_own_sdk_vectors(case: str, finding: str) -> None:
    vector = specs.load("ebay/sdk_test_data.json")[case]
    body = json.dumps(vector["message"], separators=(",", ":")).encode()
    assert await found(vector["signature"], body, vector["response"]) == finding
    facts = build(setup()).parse(Delivery({}, body))
    assert (facts.topic, facts.puzzle, facts.orders, facts.look) == ("MARKETPLACE_ACCOUNT_DELETION", "", (), False)
    assert b"test_user" not in facts.kept
    assert b"eiasToken" not in facts.kept


def test_the_challenge_vector() -> None:
    vector = specs.load("ebay/vectors.composed.json")["challenge"]
    challenge = build(evolve(setup(), webhook_secrets=(vector["verificationToken"],))).challenge
    assert challenge is not None
    answer = answer_challenge(challenge, f"challenge_code={vector['challenge_code']}", vector["endpoint"])
    assert answer is not None
    assert json.loads(answer) == {"challengeResponse": vector["challengeResponse"]}


@pytest.mark.parametrize("kid", ["", "1", "../x", "11111111-2222-3333-4444-55555555555g", "a" * 36])
def test_a_key_id_that_is_no_uuid_never_gets_into_an_address(kid: str) -> None:
    content = json.dumps({"alg": "ecdsa", "kid": kid, "signature": "AAAA", "digest": "SHA1"}).encode()
    assert inbound.read_header(contract.b64(content)) is None


@given(st.one_of(st.text(max_size=80), st.binary(max_size=60).map(contract.b64)))
def test_no_header_whatever_makes_its_reading_raise(text: str) -> None:
    assert inbound.read_header(text) is None or isinstance(inbound.read_header(text), KeyedSignature)


# --- configuration ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"options": {}}, "needs client_id"),
        ({"secrets": {"client_secret": "cert"}}, "refresh_token"),
        ({"webhook_secrets": ("too-short",)}, "32 to 80"),
        ({"options": {"client_id": "a", "at_zero": "hide"}}, "at_zero must be ask or push"),
        ({"options": {"client_id": "a", "trading_calls_per_day": "many"}}, "whole number"),
        ({"overrides": {"compare_and_set": 1.0}}, "cannot be set"),
    ],
)
def test_what_cannot_work_is_said_in_a_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        build(evolve(setup(), **changes))


def test_hints_and_signed_notifications_are_two_ways_to_be_told() -> None:
    signed, hints = build(setup()), build(setup(notifications="platform"))
    assert isinstance(signed.scheme, PublicKeyScheme)
    assert isinstance(hints.scheme, Notice)
    assert (signed.wanted_topics(), hints.wanted_topics()) == (("ORDER_CONFIRMATION",), ())
    assert hints.challenge is None
    assert not hints.traits.registers_webhooks
    assert PLATFORMS["ebay"].needs_base_url is False


def test_the_sandbox_is_another_host_and_tokens_go_there_too() -> None:
    adapter = build(evolve(setup(scopes="a  b"), base_url="https://api.sandbox.ebay.com/"))
    (request,) = contract.converse(adapter.tokens[0].ask("r"), iter([]))[1]
    assert request.url == "https://api.sandbox.ebay.com/identity/v1/oauth2/token"
    assert request.body.endswith(b"&scope=a+b")


# --- what an answer means -----------------------------------------------------------------------------------


def test_a_bad_token_is_known_by_its_status_or_by_what_trading_says() -> None:
    said = b"<x><Ack>Failure</Ack><Errors><ErrorCode>21916984</ErrorCode></Errors></x>"
    assert refused(Response(401, {}, b""))
    assert refused(Response(200, {}, said))
    assert not refused(Response(200, {}, said.replace(b"Failure", b"Success")))
    assert not refused(Response(403, {}, b""))


@given(st.binary(max_size=200))
def test_no_trading_answer_whatever_makes_its_reading_raise(noise: bytes) -> None:
    head = b'<GetOrdersResponse xmlns="urn:ebay:apis:eBLBaseComponents"><Ack>Success</Ack><OrderArray><Order>'
    for body in (noise, head + noise + b"</Order></OrderArray></GetOrdersResponse>"):
        value, _ = contract.converse(
            orders.read_orders(Api(), NOW_US, "", unpaid=True), iter([Response(200, {}, body)])
        )
        assert isinstance(value, OrderPage | Failure)


def test_entities_are_never_expanded() -> None:
    bomb = b'<!DOCTYPE a [<!ENTITY b "' + b"c" * 50 + b'">]><GetOrdersResponse>&b;</GetOrdersResponse>'
    assert isinstance(trading.opened(Response(200, {}, bomb)), Failure)
    assert isinstance(trading.opened(Response(200, {}, bomb.decode().encode("utf-16"))), Failure)


@given(
    st.sampled_from(["NONE_REQUESTED", "IN_PROGRESS", "CANCELED", None]),
    st.sampled_from(["NOT_STARTED", "IN_PROGRESS", "FULFILLED", None]),
    st.sampled_from(["PAID", "PENDING", "FAILED", "FULLY_REFUNDED", "PARTIALLY_REFUNDED"]),
    st.integers(0, 50),
)
def test_only_a_cancellation_frees_units_and_only_of_what_was_not_shipped(
    cancel: str | None, shipped: str | None, payment: str, units: int
) -> None:
    line = {"lineItemId": "7", "legacyItemId": "5", "quantity": units, "lineItemFulfillmentStatus": shipped,
            "sku": "A", "refunds": [{"refundId": "1"}]}  # fmt: skip
    content = {
        "orderId": "1-2", "lastModifiedDate": "2026-08-05T12:00:05.250Z", "orderPaymentStatus": payment,
        "cancelStatus": {"cancelState": cancel}, "lineItems": [line],
    }  # fmt: skip
    (seen,) = payloads.orders_seen(decode(json.dumps(content).encode(), payloads.Order))
    (told,) = seen.lines
    taken = told.ordered - told.cancelled - told.restocked
    assert (seen.order, told.ordered, told.restocked) == ("5-7", units, 0)
    assert taken == (0 if cancel == "CANCELED" and shipped != "FULFILLED" else units)
    assert told.fulfilled == (units if shipped == "FULFILLED" else 0)


# --- a moving feed ------------------------------------------------------------------------------------------


def read_whole_feed(
    adapter: Ebay, since_us: int, twin: Twin, between: Callable[[], None] = lambda: None
) -> tuple[list[OrderPage], Failure | None]:
    """Every page, and the failure where it ends with one; before each answer comes what happens between two calls."""
    pages: list[OrderPage] = []
    page = ""
    for _ in range(400):
        talk = adapter.orders(since_us, page)
        request = next(talk)
        while True:
            between()
            try:
                request = talk.send(ask(twin, request))
            except StopIteration as end:
                answer = end.value
                break
        if isinstance(answer, Failure):
            return pages, answer
        pages.append(answer)
        page = answer.next_page
        if not page:
            return pages, None
    raise AssertionError("the feed has no end")


def ask(twin: Twin, request: Request) -> Response:
    parts = urlsplit(request.url)
    twin.tokens["t"] = "user"
    headers = {**request.headers, "authorization": "Bearer t", "x-ebay-api-iaf-token": "t"}
    status, extra, body = twin.answer(request.method, f"{parts.path}?{parts.query}", headers, request.body)
    return Response(status, {name.lower(): value for name, value in extra.items()}, body)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(0, 900), bunched=st.booleans())
def test_no_order_slips_past_a_page_however_many_there_are_and_whatever_changes_meanwhile(
    seed: int, count: int, bunched: bool
) -> None:
    rng = random.Random(seed)
    clock = [NOW_US // 1000]
    twin = Twin(lambda: clock[0], rng=rng)
    twin.list("A", 10_000_000)
    for _ in range(count):
        clock[0] += rng.choice([0, 1, 40]) if bunched else rng.randrange(1, 60_000)
        twin.pay(twin.buy("A", 1))
    clock[0] += 10 * 60_000
    due = [each.key for each in twin.purchases.values()]

    def between() -> None:
        clock[0] += rng.randrange(1, 400)
        for _ in range(rng.randrange(4)):
            if twin.purchases:
                twin.ship(twin.purchases[rng.choice(list(twin.purchases))])
        if rng.random() < 0.2:
            twin.pay(twin.buy("A", 1))

    pages, failure = read_whole_feed(build(setup()), NOW_US, twin, between)
    assert failure is None
    assert set(due) <= {order.order for page in pages for order in page.orders}


def test_a_purchase_that_is_paid_for_while_the_feed_is_read_is_seen_all_the_same() -> None:
    for pays_at in range(6):
        clock, calls = [NOW_US // 1000], [0]
        twin = Twin(lambda clock=clock: clock[0])  # type: ignore[misc]  # a loop's variable, bound now
        twin.list("A", 10)
        purchase = twin.buy("A", 2)
        clock[0] += 5 * 60_000

        def between(
            pays_at: int = pays_at, calls: list[int] = calls, twin: Twin = twin, bought: Any = purchase
        ) -> None:
            if calls[0] == pays_at:
                twin.pay(bought)
            calls[0] += 1

        pages, _ = read_whole_feed(build(setup()), NOW_US, twin, between)
        assert {order.order for page in pages for order in page.orders} == {purchase.key}, pays_at


def test_paid_orders_are_read_where_the_trading_api_does_not_answer_and_the_feed_is_not_complete() -> None:
    clock = [NOW_US // 1000]
    twin = Twin(lambda: clock[0])
    twin.list("A", 10)
    paid = twin.buy("A", 2)
    twin.pay(paid)
    twin.trading_broken = True
    pages, failure = read_whole_feed(build(setup()), NOW_US, twin)
    assert [order.order for page in pages for order in page.orders] == [paid.key]
    assert failure is not None
    assert failure.outcome.kind == "transient"


def test_a_time_to_come_gives_an_empty_feed_that_ends() -> None:
    clock = [NOW_US // 1000]
    twin = Twin(lambda: clock[0])
    twin.list("A", 10)
    twin.buy("A", 1)
    twin.pay(twin.buy("A", 1))
    pages, failure = read_whole_feed(build(setup()), NOW_US + 365 * 86_400 * SECOND_US, twin)
    assert failure is None
    assert [page.orders for page in pages] == [()] * len(pages)
    pages, _ = read_whole_feed(build(setup(unpaid_orders="none")), NOW_US, twin)
    assert (len(pages), len(pages[0].orders)) == (1, 1)


@define
class Alarms:
    """What was raised."""

    raised_for: list[str] = field(factory=list)

    def raised(self, condition: str, channel: str, what: str) -> None:
        self.raised_for.append(f"{condition}: {what}")

    def cleared(self, condition: str, channel: str) -> None: ...


@pytest.mark.parametrize("ignores", [False, True])
async def test_the_probe_of_the_feeds_bound_is_answered(ignores: bool, autojump_clock: MockClock) -> None:
    twin, line, held, _ = account()
    twin.list("A", 10)
    twin.buy("A", 1)
    twin.pay(twin.buy("A", 1))
    alarms: Any = Alarms()
    if ignores:
        send = line.send

        async def deaf(request: Request) -> Reply:
            beyond = "filter=lastmodifieddate%3A%5B" + request.url.partition("%5B")[2][:4]
            known = request.url.replace(beyond, "filter=lastmodifieddate%3A%5B2020")
            return await send(evolve(request, url=known))

        line.send = deaf  # type: ignore[method-assign]  # eBay, not knowing the filter
    probe = FilterProbe(held, alarms)
    assert await probe.ask()
    assert bool(probe.ignored) is bool(alarms.raised_for) is ignores


# --- the whole account --------------------------------------------------------------------------------------


@define(slots=False)
class Line:
    """The twin as an HTTP client. `lose`: how many answers are lost on their way back."""

    twin: Twin
    lose: int = 0
    sent: list[Request] = field(factory=list)

    async def send(self, request: Request) -> Reply:
        await trio.sleep(0.05)
        self.sent.append(request)
        parts = urlsplit(request.url)
        assert parts.netloc == "api.ebay.com"
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        headers = {name.lower(): value for name, value in {**request.headers, **request.secret_headers}.items()}
        status, extra, body = self.twin.answer(request.method, target, headers, request.body)
        if self.lose:
            self.lose -= 1
            return NoAnswer("lost", reached=True)
        now = wall_us()
        return Response(status, {name.lower(): value for name, value in extra.items()}, body, now, now)

    async def aclose(self) -> None: ...


def wall_us() -> int:
    return NOW_US + int(trio.current_time() * 1_000_000)


def account(**options: str) -> tuple[Twin, Line, Account, Ebay]:
    adapter = build(setup(**options))
    twin = Twin(lambda: wall_us() // 1000)

    def endpoint(url: str, code: str) -> bytes | None:
        assert adapter.challenge is not None
        return answer_challenge(adapter.challenge, f"challenge_code={code}", url)

    twin.endpoint_answers = endpoint
    line = Line(twin)
    return twin, line, Account("shop", adapter, line, Policy(), wall_us, lambda: "nonce-0123456789"), adapter


async def feed_of(held: Account, since_us: int = NOW_US) -> dict[str, OrderSeen]:
    """The feed, to its end; of each line the newest version."""
    seen: dict[str, OrderSeen] = {}
    page = ""
    while True:
        answer = await held.converse(held.adapter.orders(since_us, page))
        assert isinstance(answer, OrderPage), answer
        for order in answer.orders:
            if order.order not in seen or seen[order.order].version <= order.version:
                seen[order.order] = order
        page = answer.next_page
        if not page:
            return seen


def taken(seen: dict[str, OrderSeen]) -> int:
    return sum(line.ordered - line.cancelled - line.restocked for order in seen.values() for line in order.lines)


async def test_a_line_is_one_line_from_its_purchase_to_its_cancellation(autojump_clock: MockClock) -> None:
    twin, _, held, _ = account()
    item = twin.list("A", 10)
    bought = twin.buy("A", 3)
    assert item.shown == 7
    assert taken(await feed_of(held)) == 3  # not paid, and gone from the listing all the same
    await trio.sleep(60)
    twin.pay(bought)
    assert bought.order != bought.key
    await trio.sleep(200)
    seen = await feed_of(held)
    assert (list(seen), taken(seen)) == ([bought.key], 3)
    twin.cancel(bought)
    await trio.sleep(200)
    seen = await feed_of(held)
    assert (list(seen), taken(seen)) == ([bought.key], 0)
    assert item.shown == 7  # eBay relists nothing by itself


async def test_a_purchase_that_is_never_paid_for_is_freed(autojump_clock: MockClock) -> None:
    twin, _, held, adapter = account()
    twin.list("A", 10)
    bought = twin.buy("A", 3)
    assert taken(await feed_of(held)) == 3
    twin.cancel(bought)
    await trio.sleep(200)
    assert taken(await feed_of(held)) == 0
    assert twin.purchases[bought.line].state == "Cancelled"
    one = await held.converse(adapter.order(bought.key))
    assert isinstance(one, OrderSeen)
    assert one.lines[0].cancelled == 3


async def test_one_line_is_read_whatever_its_order_is_called_by_now(autojump_clock: MockClock) -> None:
    twin, _, held, adapter = account()
    twin.list("A", 10)
    bought = twin.buy("A", 3)
    unpaid = await held.converse(adapter.order(bought.key))
    twin.pay(bought)
    paid = await held.converse(adapter.order(bought.key))
    assert isinstance(unpaid, OrderSeen)
    assert isinstance(paid, OrderSeen)
    assert (unpaid.order, unpaid.lines) == (paid.order, paid.lines)
    assert await held.converse(adapter.order("1-2")) is None


async def test_both_figures_are_written_so_that_the_lower_one_is_right(autojump_clock: MockClock) -> None:
    twin, _, held, adapter = account()
    twin.list("A", 10, available=4)
    twin.list("B", 10)
    skus = ["A", "B", "GONE"]
    seen = await held.converse(adapter.levels(skus))
    assert isinstance(seen, tuple)
    assert {each.listing: each.level for each in seen} == {"A": 4, "B": 10}
    pushes = [Push(sku, 7, None, 1) for sku in skus]
    (batch,) = adapter.batches(pushes)
    outcomes = await held.converse(adapter.push(batch, "k"))
    assert not isinstance(outcomes, NoAnswer)
    assert [outcome.kind for outcome in outcomes] == ["ok", "ok", "permanent"]
    assert "made by hand" in outcomes[2].reason
    assert [item.shown for item in twin.items.values()] == [7, 7]


async def test_a_whole_catalogue_is_read_page_by_page(autojump_clock: MockClock) -> None:
    twin, _, held, adapter = account()
    for number in range(61):
        twin.list(f"SKU {number}", number)
    page, levels = "", dict[str, int | None]()
    while True:
        answer = await held.converse(adapter.listings(page))
        assert not isinstance(answer, (NoAnswer, Failure))
        levels |= {each.listing: each.level for each in answer.levels}
        page = answer.next_page
        if not page:
            break
    assert levels == {f"SKU {number}": number for number in range(61)}


async def test_a_listing_is_not_ended_by_a_zero_unless_that_is_wished(autojump_clock: MockClock) -> None:
    for options, zero_lives, kind, ended in (
        ({}, True, "ok", False), ({}, False, "permanent", False), ({"at_zero": "push"}, False, "ok", True),
    ):  # fmt: skip
        twin, _, held, adapter = account(**options)
        twin.list("A", 5)
        twin.zero_lives = zero_lives
        outcomes = await held.converse(adapter.push([Push("A", 0, 5, 1)], "k"))
        assert not isinstance(outcomes, NoAnswer)
        assert outcomes[0].kind == kind
        assert bool(twin.sold_out) is ended


async def test_a_call_that_takes_one_sku_alone_refuses_the_batch_as_a_whole(autojump_clock: MockClock) -> None:
    twin, _, held, adapter = account()
    twin.per_call = 1
    for sku in "AB":
        twin.list(sku, 5)
    outcomes = await held.converse(adapter.push([Push("A", 1, 5, 1), Push("B", 2, 5, 1)], "k"))
    assert not isinstance(outcomes, NoAnswer)
    assert [(each.kind, each.whole_call) for each in outcomes] == [("permanent", True)] * 2
    alone = await held.converse(adapter.push([Push("A", 1, 5, 1)], "k"))
    assert alone == [Outcome("ok", level=1)]


async def test_a_listing_that_was_revised_too_often_today_says_so(autojump_clock: MockClock) -> None:
    twin, _, held, adapter = account()
    twin.list("A", 5).revisions = 250
    outcomes = await held.converse(adapter.push([Push("A", 1, 5, 1)], "k"))
    assert not isinstance(outcomes, NoAnswer)
    assert (outcomes[0].kind, "too often" in outcomes[0].reason) == ("permanent", True)


async def test_a_spent_limit_is_waited_for_until_ebay_says_it_comes_back(autojump_clock: MockClock) -> None:
    twin, _, held, adapter = account()
    twin.list("A", 5)
    twin.throttled_until = twin.now_ms() + 90_000
    answer = await held.converse(adapter.levels(["A"]))
    assert isinstance(answer, Failure)
    assert answer.outcome.kind == "throttled"
    assert 80 < held.budget.paused_s() <= 90
    assert isinstance(await held.converse(adapter.levels(["A"])), tuple)  # it waited


async def test_an_answer_that_is_lost_leaves_a_push_in_doubt(autojump_clock: MockClock) -> None:
    twin, line, held, adapter = account()
    twin.list("A", 5)
    talk = adapter.push([Push("A", 1, 5, 1)], "k")
    twin.before_answer = lambda: setattr(line, "lose", int(twin.log[-1:] == [("GET", OFFER)]))
    answer = await held.converse(talk)
    assert isinstance(answer, NoAnswer)
    assert answer.reached
    assert twin.items["A"].shown == 1


async def test_tokens_are_renewed_once_for_all_and_once_more_where_refused(autojump_clock: MockClock) -> None:
    twin, line, held, adapter = account()
    twin.list("A", 5)

    async def asked(times: int) -> None:
        assert sum(path.endswith("/token") for _, path in twin.log) == times

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(held.converse, adapter.levels(["A"]))
    await asked(1)
    twin.tokens.clear()  # revoked
    assert isinstance(await held.converse(adapter.levels(["A"])), tuple)
    await asked(2)
    twin.tokens.clear()
    assert taken(await feed_of(held)) == 0  # Trading says so with a 200
    await asked(3)
    await trio.sleep(7_000)
    assert isinstance(await held.converse(adapter.levels(["A"])), tuple)
    await asked(4)
    for request in line.sent:
        assert "consented" not in f"{request.url} {request.headers}"
        assert (request.token in ("user", "app")) == (not request.url.endswith("/token"))


async def test_a_subscription_is_made_challenged_found_switched_off_and_put_right(autojump_clock: MockClock) -> None:
    twin, _, held, adapter = account()
    assert await held.converse(adapter.webhooks()) == ()
    made = await held.converse(adapter.register("ORDER_CONFIRMATION", URL, None))
    assert isinstance(made, Webhook)
    assert await held.converse(adapter.webhooks()) == (made,)
    assert twin.email == "ops@example.com"
    twin.destinations["d1"]["status"] = "MARKED_DOWN"
    listed: Any = await held.converse(adapter.webhooks())
    assert [hook.state for hook in listed] == ["disabled"]
    again = await held.converse(adapter.register("ORDER_CONFIRMATION", URL, listed[0]))
    assert await held.converse(adapter.webhooks()) == (again,)
    assert len(twin.subscriptions) == len(twin.destinations) == 1


async def test_a_signed_notification_verifies_with_the_key_that_ebay_gives(autojump_clock: MockClock) -> None:
    twin, _, held, adapter = account()
    twin.list("A", 5)
    headers, body = twin.notice(twin.buy("A", 1))
    assert isinstance(adapter.scheme, PublicKeyScheme)
    door = PublicKeys(adapter.scheme, held.converse)
    check: Callable[[Delivery], Awaitable[str]] = door.check
    assert await check(Delivery(headers, body)) == "ok"
    assert await check(Delivery(headers, body.replace(b'"quantity": 1', b'"quantity": 2'))) == "wrong"
    assert sum("/public_key/" in path for _, path in twin.log) == 1
    assert adapter.parse(Delivery(headers, body)).look
    _, foreign = twin.notice(twin.buy("A", 1), user="another")
    assert not adapter.parse(Delivery({}, foreign)).look


async def test_a_forged_key_id_asks_ebay_once_and_is_refused(autojump_clock: MockClock) -> None:
    twin, _, held, adapter = account()
    twin.list("A", 5)
    headers, body = twin.notice(twin.buy("A", 1))
    content = {"alg": "ecdsa", "kid": "0" * 8 + "-0000-0000-0000-" + "0" * 12, "signature": "AAAA", "digest": "SHA1"}
    forged = {**headers, "x-ebay-signature": contract.b64(json.dumps(content).encode())}
    assert isinstance(adapter.scheme, PublicKeyScheme)
    door = PublicKeys(adapter.scheme, held.converse)
    assert [await door.check(Delivery(forged, body)) for _ in range(5)] == ["wrong"] * 5
    assert sum("/public_key/" in path for _, path in twin.log) == 1

"""Etsy beyond the shared contract: its document, its vector, configuration, tokens, and whole conversations."""

from __future__ import annotations

from collections.abc import Generator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.etsy import PLATFORM
from adapters.etsy.adapter import Etsy
from adapters.etsy.inbound import SCHEME
from adapters.etsy.payloads import product_id
from daemon.domain.access import Limits, Token
from daemon.domain.channel import Delivery, OrderPage, OrderSeen, Push, Setup
from daemon.domain.exchange import Request, Response
from daemon.domain.instants import SECOND_US
from daemon.domain.outcomes import Failure, Outcome
from daemon.ingress.signature import check
from tests import specs
from tests.adapters import contract
from tests.adapters.etsy_twin import KEYSTRING, REFRESH, SHARED, SHOP, Listing, Twin, Variant
from tests.adapters.openapi import Document, check_answer, check_call

T0 = 1_795_184_130
SECRETS = {"keystring": KEYSTRING, "shared_secret": SHARED, "refresh_token": REFRESH}
MALFORMED = {"listings_active", "orders_with_bad_ones", "order_unreadable", "switching_off_that_did_not_hold"}
"""Fixtures whose answers are not as Etsy's document has them, on purpose."""


def setup(**changes: Any) -> Setup:
    return evolve(Setup("shop", PLATFORM.default_base_url, {"shop_id": str(SHOP)}, SECRETS, ()), **changes)


def build(**changes: Any) -> Etsy:
    built = PLATFORM.build(setup(**changes))
    assert isinstance(built, Etsy)
    return built


ADAPTER = build()
RENEWING = build(options={"shop_id": str(SHOP), "renew": "yes"})


# --- Etsy's document ------------------------------------------------------------------------------------------


def test_every_request_is_one_that_etsys_document_offers_and_every_answer_has_its_shape() -> None:
    document, adapter = Document(specs.load("etsy/openapi-trimmed.json"), ""), contract.build("etsy")
    calls = answers = 0
    for kind in ("reads", "pushes", "quantities"):
        for fixture in (each for each in contract.fixtures(kind) if each.platform == "etsy"):
            content = fixture.content
            talk: Any = (
                contract.start(adapter, content["call"], content["args"])
                if "call" in content
                else adapter.push(contract.pushes_of(fixture), content["key"])
            )
            canned = contract.responses(content["steps"], fixture.path.parent)
            _, asked = contract.converse(talk, iter(canned))
            for request, response in zip(asked, canned, strict=True):
                if "/oauth/" in request.url:
                    continue  # no part of the document
                found, operation = check_call([document], request)
                calls += 1
                if fixture.path.stem in MALFORMED or not response.body.startswith(b"{"):
                    continue
                described = check_answer(found, operation, response)
                assert described or response.status != 200, request.url
                answers += described
    assert calls >= 80
    assert answers >= 60


def test_a_written_inventory_that_leaves_out_the_readiness_state_does_not_fit_the_document() -> None:
    document = Document(specs.load("etsy/openapi-trimmed.json"), "")
    schema = {"$ref": "#/components/schemas/UpdateListingInventoryPayload"}
    offering = {"price": 22.0, "quantity": 2, "is_enabled": True, "readiness_state_id": None}
    assert not list(document.errors({"products": [{"sku": "A", "offerings": [offering]}]}, schema))
    for name in offering:
        short = {key: value for key, value in offering.items() if key != name}
        assert list(document.errors({"products": [{"sku": "A", "offerings": [short]}]}, schema)), name


def test_the_computed_vector_verifies_bare_and_with_its_version_within_five_minutes() -> None:
    for vector in specs.load("etsy/vectors.json")["webhook"]:
        now_us = int(vector["webhook_timestamp"]) * SECOND_US
        for signature in (vector["webhook_signature_bare"], vector["webhook_signature_v1"]):
            headers = {
                "webhook-id": vector["webhook_id"], "webhook-timestamp": vector["webhook_timestamp"],
                "webhook-signature": signature,
            }  # fmt: skip
            delivery = Delivery(headers, vector["body"].encode())
            assert check(SCHEME, [vector["secret"]], delivery, now_us, "") == "ok"
            assert check(SCHEME, [vector["secret"]], delivery, now_us + 301 * SECOND_US, "") != "ok"
            wrong = evolve(delivery, headers={**headers, "webhook-signature": f"v2,{signature}"})
            assert check(SCHEME, [vector["secret"]], wrong, now_us, "") != "ok"


# --- configuration, rates, tokens -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"options": {}}, "shop_id"),
        ({"options": {"shop_id": "my-shop"}}, "shop_id"),
        ({"options": {"shop_id": "0"}}, "shop_id"),
        ({"secrets": {**SECRETS, "refresh_token": ""}}, "refresh_token"),
        ({"options": {"shop_id": "1", "renew": "perhaps"}}, "renew"),
        ({"overrides": {"registers_webhooks": 1.0}}, "registers_webhooks"),
    ],
)
def test_what_cannot_work_is_said_in_one_sentence(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        build(**changes)
    assert "\n" not in str(caught.value)


def answered(**headers: str) -> Response:
    return Response(200, {f"x-{name.replace('_', '-')}": value for name, value in headers.items()}, b"")


def test_the_days_calls_are_learned_and_a_used_up_second_is_waited_out() -> None:
    day = {"limit_per_day": "10000", "remaining_today": "4000"}
    rate = 10_000 * 0.9 / 86_400
    assert ADAPTER.limits(answered(**day, remaining_this_second="9")) == Limits(3_000.0, rate)
    assert ADAPTER.limits(answered(**day, remaining_this_second="0")) == Limits(3_000.0, rate, pause_s=1.0)
    assert ADAPTER.limits(answered(remaining_this_second="0")) == Limits(pause_s=1.0)
    assert ADAPTER.limits(answered(limit_per_day="10000", remaining_today="500")) == Limits(0.0, rate)
    assert ADAPTER.limits(answered()) is None
    slower = build(overrides={"rate_per_s": 0.05})
    assert slower.limits(answered(**day)) == Limits(3_000.0, 0.05)


def test_tokens_come_from_their_own_host_and_stand_beside_the_apps_key() -> None:
    (source,) = ADAPTER.tokens
    asked = next(source.ask(REFRESH))
    assert asked.url == "https://api.etsy.com/v3/public/oauth/token"
    assert asked.token == ""
    assert not asked.secret_headers  # no Authorization on this call
    placed = source.place(next(ADAPTER.order("1")), "1.access")
    assert placed.secret_headers == {"x-api-key": f"{KEYSTRING}:{SHARED}", "authorization": "Bearer 1.access"}
    assert SHARED not in repr(ADAPTER)
    elsewhere = build(base_url="http://127.0.0.1:9")
    assert next(elsewhere.tokens[0].ask(REFRESH)).url == "http://127.0.0.1:9/v3/public/oauth/token"


# --- a shop that keeps its own books --------------------------------------------------------------------------


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = T0

    def __call__(self) -> int:
        return self.now


SHIRT, MUG = 1169407548, 77


def shop(**options: Any) -> tuple[Twin, Clock]:
    clock = Clock()
    shirt = Listing(SHIRT, [Variant(501, "S", 12), Variant(502, "M", 7)], **options)
    mug = Listing(MUG, [Variant(503, "MUG", 5)])
    return Twin({SHIRT: shirt, MUG: mug}, clock), clock


def converse(twin: Twin, talk: Generator[Request, Response, Any], adapter: Etsy = ADAPTER) -> Any:
    """With tokens as the daemon's own keeper has them: asked for once, and again where they are refused."""
    source = adapter.tokens[0]
    try:
        request = next(talk)
        while True:
            answer = twin.respond(source.place(request, f"1.access-{len(twin.refreshes) - 1}"))
            request = talk.send(answer)
    except StopIteration as end:
        return end.value


def listed(twin: Twin) -> dict[str, int | None]:
    found: dict[str, int | None] = {}
    page = ""
    while True:
        answer = converse(twin, ADAPTER.listings(page))
        assert not isinstance(answer, Failure), answer
        found |= {level.seller_sku: level.level for level in answer.levels}
        page = answer.next_page
        if not page:
            return found


def feed(twin: Twin, since_s: int = T0 - 60) -> list[OrderSeen]:
    found: list[OrderSeen] = []
    page = ""
    for _ in range(500):
        answer = converse(twin, ADAPTER.orders(since_s * SECOND_US, page))
        assert isinstance(answer, OrderPage), answer
        assert answer.puzzles == ()
        found += answer.orders
        page = answer.next_page
        if not page:
            return found
    raise AssertionError("the feed has no end")


def push(twin: Twin, *wishes: tuple[str, int, int | None], adapter: Etsy = ADAPTER) -> list[Outcome]:
    """Push (SKU, level, believed), a batch a listing."""
    outcomes: dict[str, Outcome] = {}
    named = {f"{twin.listing(sku).number}/{twin.variant(sku).number}": sku for sku, _, _ in wishes}
    pushes = [Push(name, level, believed, 1) for name, (_, level, believed) in zip(named, wishes, strict=True)]
    for batch in adapter.batches(pushes):
        answer = converse(twin, adapter.push(batch, "k1"), adapter)
        outcomes |= {named[each.listing]: outcome for each, outcome in zip(batch, answer, strict=True)}
    return [outcomes[sku] for sku, _, _ in wishes]


def kinds(outcomes: list[Outcome]) -> list[str]:
    return [outcome.kind for outcome in outcomes]


def test_a_refresh_token_is_another_one_each_time_and_an_old_one_needs_a_person() -> None:
    twin, _ = shop()
    (source,) = ADAPTER.tokens
    first = converse(twin, source.ask(REFRESH))
    assert first == Token("1.access-1", 3600.0, "1.refresh-1")
    again = converse(twin, source.ask(REFRESH))
    assert isinstance(again, Failure)
    assert again.outcome.kind == "permanent"
    assert converse(twin, source.ask(first.refresh)) == Token("1.access-2", 3600.0, "1.refresh-2")


PAID = ["paid", "open"]
ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("sell"), st.sampled_from(["S", "M", "MUG"]), st.integers(1, 2), st.sampled_from(PAID)),
        st.tuples(st.just("pay"), st.integers(0, 6)),
        st.tuples(st.just("ship"), st.integers(0, 6)),
        st.tuples(st.just("cancel"), st.integers(0, 6)),
        st.tuples(st.just("refund"), st.integers(0, 6)),
        st.tuples(st.just("wait"), st.integers(0, 3)),
    ),
    max_size=20,
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(acts=ACTS)
def test_lines_hold_what_was_sold_until_it_is_cancelled_and_both_passes_find_every_receipt(acts: list[Any]) -> None:
    twin, clock = shop()
    held = {"S": 0, "M": 0, "MUG": 0}
    for act in acts:
        numbers = sorted(twin.receipts)
        match act:
            case ("sell", sku, units, status):
                if twin.on_sale(sku) >= units:
                    twin.sell(sku, units, status)
                    held[sku] += units
            case ("wait", seconds):
                clock.now += seconds
            case (_, place) if place >= len(numbers):
                continue
            case ("pay", place) if twin.receipts[numbers[place]]["status"] == "open":
                twin.change(numbers[place], "paid")
            case ("ship", place) if twin.receipts[numbers[place]]["status"] == "paid":
                twin.change(numbers[place], "completed")
            case ("cancel", place) if twin.receipts[numbers[place]]["status"] in ("paid", "open"):
                twin.change(numbers[place], "canceled")
                line = twin.receipts[numbers[place]]["transactions"][0]
                held[line["sku"]] -= line["quantity"]
            case ("refund", place) if twin.receipts[numbers[place]]["status"] == "completed":
                twin.refund(numbers[place])
    seen = feed(twin)
    assert sorted(int(order.order) for order in seen) == sorted(twin.receipts)
    taken = {"S": 0, "M": 0, "MUG": 0}
    for order in seen:
        assert order == converse(twin, ADAPTER.order(order.order))
        for line in order.lines:
            assert 0 <= line.fulfilled <= line.ordered
            taken[line.seller_sku or ""] += line.ordered
    assert taken == held


@settings(max_examples=30, deadline=None)
@given(count=st.integers(0, 230), crowd=st.integers(1, 60), moved=st.lists(st.integers(0, 230), max_size=8))
def test_no_receipt_slips_past_a_page_border_while_others_change(count: int, crowd: int, moved: list[int]) -> None:
    twin, clock = shop()
    twin.variant("S").quantity = 500
    for place in range(count):
        clock.now = T0 + place // crowd
        twin.sell("S", 1)
    numbers = sorted(twin.receipts)
    clock.now += 5
    found: set[str] = set()
    page = ""
    for turn in range(60):
        read = converse(twin, ADAPTER.orders(T0 * SECOND_US, page))
        assert isinstance(read, OrderPage)
        found |= {order.order for order in read.orders}
        if turn == 0:
            for place in moved:
                if place < count:
                    twin.change(numbers[place], "completed")
        page = read.next_page
        if not page:
            break
    assert page == ""
    assert {str(number) for number in numbers} <= found


def test_receipts_since_a_far_future_are_none() -> None:
    twin, _ = shop()
    twin.sell("S", 1)
    assert feed(twin, T0 + 365 * 86_400) == []


def test_writing_one_variant_leaves_the_others_as_they_were_read() -> None:
    twin, _ = shop()
    assert listed(twin) == {"S": 12, "M": 7, "MUG": 5}
    assert kinds(push(twin, ("S", 4, 12), ("MUG", 9, 5))) == ["ok", "ok"]
    assert listed(twin) == {"S": 4, "M": 7, "MUG": 9}
    assert len([1 for method, _, _ in twin.log if method == "PUT"]) == 2


def test_a_sale_that_nobody_told_is_seen_before_it_is_overwritten() -> None:
    twin, _ = shop()
    twin.sell("S", 3)
    assert kinds(push(twin, ("S", 11, 12), ("M", 6, 7))) == ["conflict", "ok"]
    assert listed(twin) == {"S": 9, "M": 6, "MUG": 5}


def test_a_listing_without_stock_is_switched_off_and_comes_back_by_itself() -> None:
    twin, _ = shop()
    assert kinds(push(twin, ("S", 0, 12), ("M", 0, 7))) == ["ok", "ok"]
    assert twin.listings[SHIRT].state == "inactive"
    assert listed(twin) == {"S": 0, "M": 0, "MUG": 5}
    assert kinds(push(twin, ("M", 3, 0))) == ["ok"]
    assert listed(twin) == {"S": 0, "M": 3, "MUG": 5}
    assert kinds(push(twin, ("M", 0, 3))) == ["ok"]
    assert listed(twin) == {"S": 0, "M": 0, "MUG": 5}
    assert kinds(push(twin, ("S", 2, 0), ("M", 1, 0))) == ["ok", "ok"]
    assert listed(twin) == {"S": 2, "M": 1, "MUG": 5}


@pytest.mark.parametrize("answered", range(5))
def test_wherever_switching_on_again_ends_the_next_push_goes_on_from_there(answered: int) -> None:
    # A listing whose quantities were written before it was switched on looked like one its seller had switched off.
    twin, _ = shop()
    push(twin, ("S", 0, 12), ("M", 0, 7))
    respond, left = twin.respond, iter(range(answered))
    twin_of_now = SimpleNamespace(
        listing=twin.listing, variant=twin.variant, refreshes=twin.refreshes,
        respond=lambda request: respond(request) if next(left, None) is not None else Response(503, {}, b""),
    )  # fmt: skip
    push(cast(Twin, twin_of_now), ("M", 3, 0))
    assert twin.on_sale("S") == 0
    assert twin.on_sale("M") in (0, 1, 3)
    shown = listed(twin)["M"]
    assert shown == twin.on_sale("M")
    assert kinds(push(twin, ("M", 3, shown))) == ["ok"]
    assert listed(twin) == {"S": 0, "M": 3, "MUG": 5}


def test_what_a_cancellation_gives_back_is_looked_at() -> None:
    # Whether Etsy shows those units again is the seller's choice (etsy.md §3).
    assert ADAPTER.traits.returns_unsure


def test_a_listing_that_its_seller_switched_off_stays_so() -> None:
    twin, _ = shop()
    twin.listings[SHIRT].state = "inactive"
    assert listed(twin) == {"S": None, "M": None, "MUG": 5}
    (outcome,) = push(twin, ("S", 4, 12))
    assert (outcome.kind, twin.listings[SHIRT].state) == ("permanent", "inactive")
    assert kinds(push(twin, ("S", 0, 12))) == ["ok"]


def test_a_sold_out_listing_is_renewed_only_where_the_configuration_says_so() -> None:
    twin, _ = shop()
    twin.sell("MUG", 5)
    assert listed(twin)["MUG"] == 0
    (outcome,) = push(twin, ("MUG", 3, 0))
    assert (outcome.kind, twin.renewed) == ("permanent", 0)
    assert kinds(push(twin, ("MUG", 3, 0), adapter=RENEWING)) == ["ok"]
    assert (listed(twin)["MUG"], twin.renewed) == (3, 1)


def test_one_quantity_for_different_skus_is_lowered_and_never_raised() -> None:
    twin, _ = shop(shared=True)
    for variant in twin.listings[SHIRT].variants:
        variant.quantity = 6
    assert kinds(push(twin, ("S", 8, 6))) == ["permanent"]
    assert kinds(push(twin, ("S", 4, 6))) == ["ok"]
    assert listed(twin) == {"S": 4, "M": 4, "MUG": 5}
    assert kinds(push(twin, ("S", 0, 4))) == ["ok"]
    assert (twin.listings[SHIRT].state, listed(twin)) == ("inactive", {"S": 0, "M": 0, "MUG": 5})


def test_what_is_sold_between_the_read_and_the_write_is_in_the_next_poll() -> None:
    twin, _ = shop()

    def sell() -> None:
        twin.between = lambda: None
        twin.sell("S", 2)

    twin.between = sell
    assert kinds(push(twin, ("S", 10, 12))) == ["ok"]
    assert twin.variant("S").quantity == 10  # overwritten: nothing at Etsy prevents it
    assert [line.ordered for order in feed(twin) for line in order.lines] == [2]


def test_a_listing_that_is_gone_hides_no_other() -> None:
    twin, _ = shop()
    asked = [f"{SHIRT}/501", "999/1", f"{MUG}/503"]
    found = converse(twin, ADAPTER.levels(asked))
    assert {level.seller_sku: level.level for level in found} == {"S": 12, "MUG": 5}


@given(st.text(max_size=40))
def test_a_listing_is_a_listing_and_its_product_or_nothing(text: str) -> None:
    found = product_id(text)
    assert found is None or str(found) == text


def test_a_key_without_its_secret_is_told_apart() -> None:
    twin, _ = shop()
    wrong = build(secrets={**SECRETS, "shared_secret": "another"})
    refused = converse(twin, wrong.order("1"), wrong)
    assert isinstance(refused, Failure)
    assert "shared_secret" in refused.reason

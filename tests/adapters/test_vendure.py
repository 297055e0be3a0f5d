"""What is Vendure's own: documents against a schema, getting in, versions that grow, and whole conversations with a
shop that keeps its own books."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping
from typing import Any

import graphql
import pytest
from graphql.execution.values import get_variable_values
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adapters.vendure import PLATFORM, documents
from adapters.vendure.adapter import Vendure
from adapters.vendure.settings import OPTIONS, problems
from adapters.vendure.shop import SESSION, place
from daemon.domain.access import Token
from daemon.domain.channel import Delivery, LevelSeen, OrderPage, OrderSeen, Push, Setup
from daemon.domain.exchange import Request, Response
from daemon.domain.instants import SECOND_US, Span
from daemon.domain.outcomes import Failure
from daemon.ingress.signature import check
from tests.adapters import contract
from tests.adapters.contract import fixtures
from tests.adapters.vendure_twin import HOME, KEY, NAME, PASSWORD, SECRET, Twin, Variant, schema

DOCUMENTS = {name: text for name, text in vars(documents).items() if str(text).startswith(("query", "mutation"))}
URL = "https://shop.example.com"
T0 = 1_795_184_130.0
LOGIN = {"options": {"username": NAME}, "secrets": {"password": PASSWORD}}


def vendure(**changes: Any) -> Vendure:
    made = PLATFORM.build(Setup("shop", **{"base_url": URL, "secrets": {"api_key": KEY}, **changes}))
    assert isinstance(made, Vendure)
    return made


ADAPTER = vendure()


# --- the documents ------------------------------------------------------------------------------------------


def steps() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every step of every fixture, with the fixture's name."""
    for kind in ("reads", "pushes", "quantities"):
        for fixture in fixtures(kind):
            if fixture.platform == "vendure":
                for step in fixture.content["steps"]:
                    yield fixture.path.stem, step


def test_the_fixtures_ask_every_document_and_no_other() -> None:
    asked = {step["request"]["body"]["query"] for _, step in steps()}
    assert asked | {documents.LOGIN} == set(DOCUMENTS.values())


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_and_all_its_variables_are_valid(name: str) -> None:
    document = graphql.parse(DOCUMENTS[name])
    assert graphql.validate(schema(), document) == []
    (operation,) = document.definitions
    assert isinstance(operation, graphql.OperationDefinitionNode)
    for _, step in steps():
        body = step["request"]["body"]
        if body["query"] == DOCUMENTS[name]:
            found = get_variable_values(schema(), operation.variable_definitions, dict(body["variables"]))
            assert not isinstance(found, list), found


def test_the_answers_in_the_fixtures_are_what_such_a_shop_could_say() -> None:
    checked = 0
    for name, step in steps():
        answer = step["response"].get("body")
        if isinstance(answer, dict) and isinstance(answer.get("data"), dict) and not odd(name):
            body = step["request"]["body"]
            found = graphql.execute_sync(
                schema(), graphql.parse(body["query"]), answer["data"], variable_values=body["variables"]
            )
            assert not found.errors, (name, found.errors)
            assert found.data == answer["data"], name
            checked += 1
    assert checked > 40


def odd(name: str) -> bool:
    """Does it show what no sound shop says?"""
    return "garbled" in name or name == "null"


# --- what to configure, and getting in ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "secrets", "key", "sentence"),
    [
        ({}, {"api_key"}, "", ""),
        ({"username": "m"}, {"password"}, "", ""),
        ({}, set(), "password", "password and username missing: give username and password, or api_key"),
        ({"username": "m"}, set(), "password", "password missing"),
        ({}, {"password"}, "username", "username missing"),
        ({"username": "m"}, {"password", "api_key"}, "api_key", "not both"),
        ({"location": "no id/"}, {"api_key"}, "location", "id of a stock location"),
        ({"channel_token": "a b"}, {"api_key"}, "channel_token", "its settings show it"),
        ({"admin_api": "https://x"}, {"api_key"}, "admin_api", "without a host"),
    ],
)
def test_what_is_wrong_with_a_channel_is_a_sentence(
    options: dict[str, str], secrets: set[str], key: str, sentence: str
) -> None:
    found = problems(options, secrets)
    assert list(found) == ([key] if key else [])
    assert sentence in found.get(key, "")
    if key:
        with pytest.raises(ValueError, match=key):
            vendure(options=options, secrets=dict.fromkeys(secrets, "x"))


def test_a_channel_needs_an_address_and_may_have_another_path() -> None:
    with pytest.raises(ValueError, match="https://"):
        vendure(base_url="shop.example.com")
    for path in ("internal/admin", "/internal/admin/"):
        request = next(vendure(base_url=f"{URL}/", options={"admin_api": path}).order("7"))
        assert request.url == f"{URL}/internal/admin"
    assert next(ADAPTER.order("7")).url == f"{URL}/admin-api"
    assert {option.name for option in OPTIONS if option.secret} == {"api_key", "password"}


def log_in(twin: Twin, adapter: Vendure) -> Token | Failure:
    (source,) = adapter.tokens
    found = converse(twin, source.ask(""))
    assert isinstance(found, Token | Failure)
    return found


def test_a_session_is_opened_placed_and_known_to_be_over() -> None:
    twin, _ = shop()
    adapter = vendure(**LOGIN)
    (source,) = adapter.tokens
    token = log_in(twin, adapter)
    assert token == Token("session-1")
    asked = next(adapter.order("7"))
    assert (asked.token, asked.secret_headers) == (SESSION, {})
    placed = source.place(asked, "session-1")
    assert placed.secret_headers == {"authorization": "Bearer session-1"}
    assert "session-1" not in repr(placed)
    answer = twin.respond(placed)
    assert not source.refused(answer)
    twin.session = "session-2"  # somebody logged everybody out
    assert source.refused(twin.respond(placed))
    assert source.refused(Response(401, {}, b""))
    assert not source.refused(Response(200, {}, b'{"data": {"sku": "FORBIDDEN"}}'))
    renewed = log_in(twin, adapter)
    assert isinstance(renewed, Token)
    assert not source.refused(twin.respond(place(asked, renewed.value)))


@pytest.mark.parametrize(
    ("answer", "kind", "reason"),
    [
        (Response(200, {}, b'{"data":{"login":{"__typename":"CurrentUser"}}}'), "permanent", "tokenMethod"),
        (Response(502, {}, b""), "transient", "502"),
        (Response(429, {"retry-after": "9"}, b""), "throttled", "429"),
        (Response(200, {}, b"{}"), "transient", "without any data"),
        (Response(200, {}, b'{"data":{"login":7}}'), "transient", "could not be read"),
    ],
)
def test_what_comes_of_logging_in_is_a_sentence(answer: Response, kind: str, reason: str) -> None:
    (source,) = vendure(**LOGIN).tokens
    talk = source.ask("")
    next(talk)
    with pytest.raises(StopIteration) as end:
        talk.send(answer)
    assert isinstance(end.value.value, Failure)
    assert (end.value.value.outcome.kind, reason in end.value.value.reason) == (kind, True)


def test_a_wrong_password_is_the_owners_to_mend() -> None:
    twin, _ = shop()
    found = log_in(twin, vendure(options={"username": NAME}, secrets={"password": "another"}))
    assert isinstance(found, Failure)
    assert found.outcome.kind == "permanent"
    assert "check username and password" in found.reason


# --- conversations ------------------------------------------------------------------------------------------


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = T0

    def __call__(self) -> float:
        return self.now


def shop(**options: Any) -> tuple[Twin, Clock]:
    clock = Clock()
    variants = [
        Variant("11", "RED", {HOME: [12, 0]}),
        Variant("12", "BLUE", {HOME: [7, 0]}, tracked="INHERIT"),
        Variant("13", "GIFT", {HOME: [3, 0]}, tracked="FALSE"),
    ]
    return Twin({each.id: each for each in variants}, clock, **options), clock


def converse(twin: Twin, talk: Generator[Request, Response, Any]) -> Any:
    try:
        request = next(talk)
        while True:
            request = talk.send(twin.respond(request))
    except StopIteration as end:
        return end.value


def feed(twin: Twin, since_s: float = T0 - 60) -> dict[str, OrderSeen]:
    """Every order of the feed, page by page."""
    found: dict[str, OrderSeen] = {}
    token = ""
    for _ in range(200):
        page = converse(twin, ADAPTER.orders(int(since_s) * SECOND_US, token))
        assert isinstance(page, OrderPage), page
        assert page.puzzles == ()
        found |= {order.order: order for order in page.orders}
        token = page.next_page
        if not token:
            return found
    raise AssertionError("the feed has no end")


def level(twin: Twin, listing: str = "11") -> int | None:
    (seen,) = converse(twin, ADAPTER.levels([listing]))
    assert isinstance(seen, LevelSeen)
    return seen.level


def push(twin: Twin, *wishes: tuple[str, int, int | None]) -> list[tuple[str, int | None]]:
    """(kind, level) of pushes of (listing, level, believed)."""
    batch = [Push(listing, units, believed, 1) for listing, units, believed in wishes]
    return [(outcome.kind, outcome.level) for outcome in converse(twin, ADAPTER.push(batch, "k1"))]


def test_a_sale_is_told_by_hints_that_verify_and_lead_to_the_same_order_as_the_feed() -> None:
    twin, clock = shop()
    told: list[tuple[str, str]] = []
    twin.tell = lambda topic, order: told.append((topic, order))
    order = twin.sell("RED", 2)
    twin.cancel(order, 1)
    assert [topic for topic, _ in told] == ["order.placed", "order.changed"]
    for number, (topic, name) in enumerate(told):
        body = twin.hint(topic, name)
        delivery = Delivery(twin.signed(body, f"msg_{number}"), body)
        assert check(ADAPTER.scheme, [SECRET], delivery, int(clock.now * SECOND_US)) == "ok"
        assert check(ADAPTER.scheme, [SECRET], delivery, int((clock.now + 400) * SECOND_US)) != "ok"
        facts = ADAPTER.parse(delivery)
        assert (facts.topic, facts.identity, facts.refetch) == (topic, f"msg_{number}", (order.id,))
    assert {order.id: converse(twin, ADAPTER.order(order.id))} == feed(twin)


def test_a_sale_that_was_paid_long_after_its_cart_was_touched_is_in_the_feed() -> None:
    """`updatedAt` stays as it was: whoever asks for that alone never hears of it."""
    twin, clock = shop()
    cart = twin.fill("RED", 2)
    clock.now += 3_600
    assert feed(twin) == {}
    twin.pay(cart)
    seen = feed(twin, clock.now - 60)
    assert [(line.ordered, line.cancelled) for line in seen[cart.id].lines] == [(2, 0)]
    assert seen[cart.id].placed == Span(int(clock.now) * SECOND_US, int(clock.now) * SECOND_US + SECOND_US - 1)


def test_changes_within_one_second_are_versions_of_their_own() -> None:
    twin, _ = shop()
    order = twin.sell("RED", 3)
    seen = [converse(twin, ADAPTER.order(order.id))]
    for change in (lambda: twin.cancel(order, 1), lambda: twin.hand_over(order, 1), lambda: twin.modify(order, 4)):
        change()
        seen.append(converse(twin, ADAPTER.order(order.id)))
    assert [each.version for each in seen] == sorted({each.version for each in seen})
    assert [(line.ordered, line.cancelled, line.fulfilled) for each in seen for line in each.lines] == [
        (3, 0, 0), (3, 1, 0), (3, 1, 1), (5, 1, 1),
    ]  # fmt: skip
    twin.note(order)
    assert converse(twin, ADAPTER.order(order.id)) == seen[-1]  # a note may be taken out again: it makes no version


def test_an_order_is_looked_at_again_ever_more_rarely_until_all_of_it_is_handed_over() -> None:
    twin, clock = shop()
    twin.date = True
    order = twin.sell("RED", 3)
    waits = []
    for days in (0, 1, 8, 80):
        clock.now = T0 + days * 86_400
        waits.append(converse(twin, ADAPTER.order(order.id)).look_again_s)
    assert waits == [3_600, 10_800, 86_400, 864_000]
    twin.hand_over(order, 2)
    assert converse(twin, ADAPTER.order(order.id)).look_again_s
    twin.hand_over(order, 1)
    assert not converse(twin, ADAPTER.order(order.id)).look_again_s


def test_a_cart_and_a_sellers_part_of_an_order_hold_nothing() -> None:
    twin, _ = shop()
    cart, part = twin.fill("RED", 2), twin.pay(twin.fill("RED", 1, kind="Seller"))
    for order in (cart, part):
        assert converse(twin, ADAPTER.order(order.id)).lines == ()
    assert converse(twin, ADAPTER.order("99")) is None


ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("sell"), st.sampled_from(["RED", "BLUE"]), st.integers(1, 4)),
        st.tuples(st.just("fill"), st.sampled_from(["RED", "BLUE"]), st.integers(1, 4)),
        st.tuples(st.just("cancel"), st.integers(0, 5), st.integers(1, 4)),
        st.tuples(st.just("hand over"), st.integers(0, 5), st.integers(1, 4)),
        st.tuples(st.just("modify"), st.integers(0, 5), st.integers(0, 6)),
        st.tuples(st.just("note"), st.integers(0, 5)),
        st.tuples(st.just("wait"), st.floats(0, 3)),
    ),
    max_size=16,
)


def perform(twin: Twin, clock: Clock, act: tuple[Any, ...]) -> None:
    """What the people of a shop can do; nothing where it cannot be done."""
    placed = [order for order in twin.orders.values() if order.placed_ms is not None and order.lines[0].quantity]
    match act:
        case ("sell", sku, units) if twin.variant(sku).free >= units:
            twin.sell(sku, units)
        case ("fill", sku, units):
            twin.fill(sku, units)
        case ("wait", seconds):
            clock.now += seconds
        case (_, number, *rest) if isinstance(number, int) and number < len(placed):
            order, line = placed[number], placed[number].lines[0]
            match act[0]:
                case "cancel" if rest[0] <= line.quantity:
                    twin.cancel(order, rest[0])
                case "hand over" if rest[0] <= line.allocated:
                    twin.hand_over(order, rest[0])
                case "modify" if 0 <= rest[0] - line.quantity <= line.variant.free:
                    twin.modify(order, rest[0])
                case "note":
                    twin.note(order)


@settings(max_examples=60, deadline=None)
@given(acts=ACTS)
@example([("sell", "RED", 3), ("hand over", 0, 2), ("cancel", 0, 2), ("modify", 0, 4)])
def test_whatever_happens_to_orders_the_lines_hold_what_the_shop_took(acts: list[tuple[Any, ...]]) -> None:
    twin, clock = shop()
    first = {each.sku: each.free for each in twin.variants.values()}
    versions: dict[str, OrderSeen] = {}
    for act in acts:
        perform(twin, clock, act)
        for name in twin.orders:
            seen, before = converse(twin, ADAPTER.order(name)), versions.get(name)
            assert isinstance(seen, OrderSeen)
            if before is not None and seen != before:
                assert seen.version > before.version
                assert seen.updated.lo >= before.updated.lo
                for line, was in zip(seen.lines, before.lines, strict=False):
                    assert line.ordered >= was.ordered
                    assert line.cancelled >= was.cancelled
            versions[name] = seen
    found = feed(twin)
    assert found == {name: seen for name, seen in versions.items() if twin.orders[name].placed_ms is not None}
    taken = dict.fromkeys(first, 0)
    for order in found.values():
        for line in order.lines:
            assert 0 <= line.fulfilled <= line.ordered - line.cancelled
            taken[line.seller_sku or ""] += line.ordered - line.cancelled
    free = {each.sku: each.free - twin.conjured.get(each.sku, 0) for each in twin.variants.values()}
    assert {sku: free[sku] + taken[sku] for sku in free} == first


@settings(max_examples=25, deadline=None)
@given(
    count=st.integers(0, 130), crowd=st.sampled_from([0, 1, 7, 60]), touched=st.lists(st.integers(0, 129), max_size=9)
)
def test_no_order_slips_past_a_page_border_while_others_change(count: int, crowd: int, touched: list[int]) -> None:
    """`crowd` orders share each second, 0: all of them one; some are changed after the first page was read, which
    moves them to the end of the second walk."""
    twin, clock = shop()
    orders = []
    for _ in range(count):
        orders.append(twin.sell("RED", 0))
        clock.now += 1 / crowd if crowd else 0
    clock.now += 5
    found: set[str] = set()
    token = ""
    for page in range(60):
        read = converse(twin, ADAPTER.orders(int(T0) * SECOND_US, token))
        assert isinstance(read, OrderPage)
        found |= {order.order for order in read.orders}
        if page % 2 == 0:
            for number in touched:
                if number < count:
                    twin.modify(orders[number], orders[number].lines[0].quantity)
        token = read.next_page
        if not token:
            break
    assert token == ""
    assert found == {order.id for order in orders}


# --- stock ----------------------------------------------------------------------------------------------------


def test_levels_are_what_can_be_sold_and_a_push_makes_them_so() -> None:
    twin, _ = shop()
    order = twin.sell("RED", 5)
    assert [level(twin, each) for each in ("11", "12", "13")] == [7, 7, None]
    assert push(twin, ("11", 4, 7), ("12", 0, 7)) == [("ok", 4), ("ok", 0)]
    assert twin.variant("RED").stock[HOME] == [9, 5]  # what the open order holds is on top, and taken off once
    assert (level(twin), level(twin, "12")) == (4, 0)
    twin.hand_over(order)
    assert twin.variant("RED").stock[HOME] == [4, 0]
    assert level(twin) == 4  # what is sent moves no level
    twin.cancel(order, 2)
    assert level(twin) == 6


def test_a_shop_that_counts_nothing_unless_a_variant_says_so_shows_no_level() -> None:
    twin, _ = shop(tracks=False)
    assert [level(twin, each) for each in ("11", "12", "13")] == [12, None, None]
    assert push(twin, ("12", 4, None))[0][0] == "permanent"


def test_a_sale_that_nobody_told_is_seen_before_it_is_overwritten() -> None:
    twin, _ = shop()
    twin.sell("RED", 3)
    assert push(twin, ("11", 11, 12)) == [("conflict", 9)]
    assert twin.variant("RED").stock[HOME] == [12, 3]
    assert push(twin, ("11", 0, 12)) == [("ok", 0)]  # nothing is sold of nothing


@settings(max_examples=40, deadline=None)
@given(before=ACTS, between=ACTS, wish=st.integers(0, 20))
def test_whatever_is_sold_or_cancelled_between_the_look_and_the_write_comes_off_by_itself(
    before: list[tuple[Any, ...]], between: list[tuple[Any, ...]], wish: int
) -> None:
    twin, clock = shop()
    for act in before:
        perform(twin, clock, act)
    shown, taken = level(twin), held(twin)
    twin.before_write = lambda: [perform(twin, clock, act) for act in between] and None
    ((kind, after),) = push(twin, ("11", wish, shown))
    assert kind == "ok"
    assert after == level(twin)
    gone = sum(act[0] == "hand over" for act in between) or sum(act[0] == "cancel" for act in between)
    if not gone:
        assert after == wish - (held(twin) - taken)


def held(twin: Twin) -> int:
    """Units of RED that are in orders, by the shop's own books."""
    return sum(order.lines[0].quantity for order in twin.orders.values()
               if order.placed_ms is not None and order.lines[0].variant.sku == "RED")  # fmt: skip


def test_several_locations_must_be_told_apart() -> None:
    twin, _ = shop()
    twin.locations = ["1", "2"]
    refused = converse(twin, ADAPTER.listings(""))
    assert isinstance(refused, Failure)
    assert refused.outcome.kind == "permanent"
    assert "set location" in refused.reason
    elsewhere = vendure(options={"location": "2"})
    assert converse(twin, elsewhere.levels(["11"])) == (LevelSeen("11", None, None, "RED", title="Red"),)
    batch = [Push("11", 4, None, 1)]
    assert [each.level for each in converse(twin, elsewhere.push(batch, "k"))] == [4]
    assert twin.variant("RED").stock == {"1": [12, 0], "2": [4, 0]}


def test_batches_keep_every_push_once() -> None:
    pushes = [Push(str(number % 70), 1, None, number) for number in range(160)]
    groups = ADAPTER.batches(pushes)
    assert sorted(push.generation for group in groups for push in group) == list(range(160))
    assert max(map(len, groups)) == 50
    assert all(len({push.listing for push in group}) == len(group) for group in groups)


# --- whatever comes -------------------------------------------------------------------------------------------

KEYS = (
    "data", "errors", "orders", "items", "order", "topic", "id", "extensions", "code", "kept", "productVariants",
    "globalSettings", "stockLocations", "updateProductVariants",
)  # fmt: skip
BODIES = st.one_of(
    st.binary(max_size=300),
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
            st.sampled_from(KEYS), inner, max_size=5,
        ),
        max_leaves=20,
    ).map(lambda value: json.dumps(value).encode()),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(body=BODIES, identity=st.text(max_size=20))
def test_no_body_raises_and_what_is_kept_tells_the_same(body: bytes, identity: str) -> None:
    facts = ADAPTER.parse(Delivery({"webhook-id": identity}, body))
    again = ADAPTER.parse(Delivery({}, facts.kept))
    assert (again.topic, again.refetch, again.puzzle, again.kept) == (
        facts.topic, facts.refetch, facts.puzzle, facts.kept,
    )  # fmt: skip
    assert bool(facts.puzzle) != bool(facts.refetch)


@settings(max_examples=150, deadline=None)
@given(body=BODIES, status=st.sampled_from([200, 200, 200, 301, 400, 401, 404, 429, 500]), call=st.integers(0, 4))
def test_no_answer_raises(body: bytes, status: int, call: int) -> None:
    (source,) = vendure(**LOGIN).tokens
    talk: Generator[Request, Response, Any] = (
        ADAPTER.orders(0, ""), ADAPTER.order("7"), ADAPTER.listings(""), ADAPTER.push([Push("11", 1, None, 1)], "k"),
        source.ask(""),
    )[call]  # fmt: skip
    answers = iter([Response(status, {}, body)] * 5)
    value, asked = contract.converse(talk, answers)
    assert 1 <= len(asked) <= 5
    assert value is not None or call == 1

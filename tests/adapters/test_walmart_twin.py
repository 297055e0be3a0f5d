"""The Walmart adapter in whole conversations with a Walmart that keeps its own books."""

from __future__ import annotations

import itertools
from collections.abc import Generator
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.walmart import PLATFORM
from daemon.domain.channel import Delivery, LevelSeen, OrderPage, OrderSeen, Push, Setup
from daemon.domain.exchange import Request, Response
from daemon.domain.instants import DAY_US, SECOND_US
from daemon.domain.outcomes import Failure, Outcome
from daemon.ingress.signature import check
from tests.adapters.walmart_twin import CLIENT_ID, CLIENT_SECRET, HOOK_SECRET, PARTS, Twin

T0 = 1_795_184_130.25
URL = "https://sync.example.com/webhooks/mart"
ID, KEYS = {"client_id": CLIENT_ID}, {"client_secret": CLIENT_SECRET}
ADAPTER = PLATFORM.build(Setup("mart", PLATFORM.default_base_url, ID, KEYS, (HOOK_SECRET,)))
NONCES = (f"nonce{number:020}" for number in itertools.count())


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = T0

    def __call__(self) -> float:
        return self.now


def store(**options: Any) -> tuple[Twin, Clock]:
    clock = Clock()
    return Twin({"RED": 12, "BLUE": 7, "A/B": 5}, clock, **options), clock


def converse(twin: Twin, talk: Generator[Request, Response, Any], token: str = "") -> Any:
    """What the account does: the token is placed, the request is signed."""
    (source,) = ADAPTER.tokens
    try:
        request = next(talk)
        while True:
            if request.token:
                token = token or converse(twin, source.ask("")).value
                request = source.place(request, token)
            assert request.sign is not None
            request = talk.send(twin.respond(request.sign(request, int(twin.now_s() * SECOND_US), next(NONCES))))
    except StopIteration as end:
        return end.value


def feed(twin: Twin, since_s: float = T0 - 60) -> list[OrderSeen]:
    """Every order of the feed, page by page."""
    found: list[OrderSeen] = []
    page = ""
    for _ in range(1_000):
        answer = converse(twin, ADAPTER.orders(int(since_s * SECOND_US), page))
        assert isinstance(answer, OrderPage), answer
        assert answer.puzzles == ()
        found += answer.orders
        page = answer.next_page
        if not page:
            return found
    raise AssertionError("the feed has no end")


def levels(twin: Twin) -> dict[str, LevelSeen]:
    found: dict[str, LevelSeen] = {}
    page = ""
    for _ in range(100):
        answer = converse(twin, ADAPTER.listings(page))
        assert not isinstance(answer, Failure), answer
        found |= {each.listing: each for each in answer.levels}
        page = answer.next_page
        if not page:
            return found
    raise AssertionError("the catalogue has no end")


def push(twin: Twin, *wishes: tuple[str, int]) -> list[Outcome]:
    return list(converse(twin, ADAPTER.push([Push(sku, level, None, 1) for sku, level in wishes], "k")))


# --- orders ---------------------------------------------------------------------------------------------------


def test_a_sale_is_told_by_a_hint_that_verifies_and_leads_to_the_same_line_as_the_feed() -> None:
    for hexadecimal in (False, True):
        twin, clock = store(hex_signature=hexadecimal)
        told: list[Delivery] = []
        twin.send = lambda hook, url, body, headers, told=told: told.append(Delivery(headers, body))  # type: ignore[misc]  # the default binds it
        made = converse(twin, ADAPTER.register("ORDER_UPDATES", URL, None))
        assert (made.topic, made.url, made.state) == ("ORDER_UPDATES", URL, "active")
        twin.sell(("RED", 2), ("BLUE", 1))
        (delivery,) = told
        assert check(ADAPTER.scheme, [HOOK_SECRET], delivery, int(clock.now * SECOND_US), URL) == "ok"
        facts = ADAPTER.parse(delivery)
        assert (facts.orders, facts.levels, facts.puzzle) == ((), (), "")
        assert b"Robin" not in facts.kept
        (fetched,) = [converse(twin, ADAPTER.order(number)) for number in facts.refetch]
        (polled,) = feed(twin)
        assert fetched == polled
        assert "Robin" not in repr(fetched)
        assert [(line.line, line.seller_sku, line.ordered) for line in fetched.lines] == [
            ("1", "RED", 2),
            ("2", "BLUE", 1),
        ]


def test_changes_of_an_order_are_versions_whose_units_are_what_walmart_reserves() -> None:
    twin, clock = store()
    number = twin.sell(("RED", 5))
    versions = []
    for doing in (
        lambda: twin.acknowledge(number),
        lambda: twin.ship(number, units=2),
        lambda: twin.cancel(number, units=1),
        lambda: twin.ship(number),
        lambda: twin.refund(number, units=2),
    ):
        clock.now += 30
        doing()
        (seen,) = feed(twin)
        (line,) = seen.lines
        assert line.ordered - line.cancelled - line.fulfilled == twin.open("RED")
        versions.append((seen.version, line.cancelled, line.fulfilled))
    assert [each[1:] for each in versions] == [(0, 0), (0, 2), (1, 2), (1, 4), (1, 4)]
    assert [each[0] for each in versions] == sorted({each[0] for each in versions})


def test_late_changes_of_old_orders_come_and_what_is_older_than_its_bound_does_not() -> None:
    twin, clock = store()
    old = twin.sell(("RED", 1))
    clock.now += 100 * 86_400
    new = twin.sell(("BLUE", 1))
    assert [seen.order for seen in feed(twin, clock.now - 60)] == [new]
    twin.ship(old)  # sold long before the seven days that are the usual reach
    assert [seen.order for seen in feed(twin, clock.now - 60)] == [old, new]
    # A bound out of reach is not refused: it is asked for from as far back as may be.
    clock.now += 250 * 86_400
    assert feed(twin, T0) == []
    assert feed(twin, clock.now + 365 * 86_400) == []


def test_every_page_is_read_and_the_cursor_ends() -> None:
    twin, _ = store(nothing_is_404=False)
    assert feed(twin) == []
    numbers = [twin.sell(("RED", 1)) for _ in range(7)]
    assert [seen.order for seen in feed(twin)] == numbers


def test_what_walmart_sends_itself_touches_nothing() -> None:
    twin, _ = store()
    number = twin.sell(("RED", 3), ship_node="WFSFulfilled")
    assert feed(twin) == []
    assert converse(twin, ADAPTER.order(number)) is None


def test_a_feed_that_ignores_its_bound_shows_itself_to_the_probe() -> None:
    twin, clock = store()
    twin.sell(("RED", 1))
    ahead = int(clock.now * SECOND_US) + 365 * DAY_US
    assert converse(twin, ADAPTER.orders(ahead, "")).orders == ()
    twin.deaf = True
    assert converse(twin, ADAPTER.orders(ahead, "")).orders != ()


# --- levels ---------------------------------------------------------------------------------------------------


def test_a_level_holds_the_open_orders_and_a_count_does_not() -> None:
    twin, _ = store()
    number = twin.sell(("RED", 2))
    red = levels(twin)["RED"]
    assert (red.level, red.included, red.countable) == (12, 2, 10)
    assert converse(twin, ADAPTER.levels(["RED", "nobody", "A/B"])) == (red, levels(twin)["A/B"])
    twin.ship(number)
    assert levels(twin)["RED"].countable == 12  # as Walmart shows it then: too much, until it is told


def test_a_phantom_write_is_acknowledged_and_found_by_reading_back() -> None:
    twin, _ = store()
    twin.phantoms = 1
    assert [each.kind for each in push(twin, ("RED", 5))] == ["ok"]
    assert levels(twin)["RED"].level == 12
    assert [each.kind for each in push(twin, ("RED", 5))] == ["ok"]
    assert levels(twin)["RED"].level == 5


def test_a_feed_is_followed_until_each_item_is_decided() -> None:
    twin, clock = store()
    twin.told |= {f"S{number}": 1 for number in range(120)}
    twin.refused = {"S7"}
    wishes = [(f"S{number}", 30 + number) for number in range(120)] + [("nobody", 30)]
    taken = push(twin, *wishes)
    assert {each.kind for each in taken} == {"accepted"}
    (job,) = {each.job for each in taken}
    batch = [Push(sku, level, None, 1) for sku, level in wishes]
    assert {each.kind for each in converse(twin, ADAPTER.follow(batch, job))} == {"accepted"}
    clock.now += twin.lag_s
    decided = converse(twin, ADAPTER.follow(batch, job))
    for push_, outcome in zip(batch, decided, strict=True):
        failed = push_.listing in ("S7", "nobody")
        assert (outcome.kind, outcome.level) == (("permanent", None) if failed else ("ok", push_.level))
    assert (twin.told["S7"], twin.told["S119"]) == (1, 149)


def test_a_token_that_is_over_is_refused_in_the_way_that_renews_it() -> None:
    twin, clock = store(token_life_s=900)
    (source,) = ADAPTER.tokens
    token = converse(twin, source.ask(""))
    assert (token.lives_s, token.refresh) == (900.0, "")
    clock.now += 901
    request = source.place(next(ADAPTER.listings("")), token.value)
    assert request.sign is not None
    assert source.refused(twin.respond(request.sign(request, 1, next(NONCES))))
    assert not source.refused(Response(403, {}, b""))


def test_an_exhausted_endpoint_says_when_to_come_again() -> None:
    twin, _ = store(quota=3)
    token = converse(twin, ADAPTER.tokens[0].ask("")).value
    for left in (2, 1, 0):
        response = _asked(twin, next(ADAPTER.levels(["RED"])), token)
        told = ADAPTER.limits(response)
        assert told is not None
        assert told.remaining == left
        assert (told.pause_s is None) == (left > 0)
    failure = converse(twin, ADAPTER.levels(["RED"]), token)
    assert isinstance(failure, Failure)
    assert failure.outcome.kind == "throttled"
    assert 59 <= (failure.outcome.retry_after_s or 0) <= 61


def _asked(twin: Twin, request: Request, token: str) -> Response:
    request = ADAPTER.tokens[0].place(request, token)
    assert request.sign is not None
    return twin.respond(request.sign(request, 1, next(NONCES)))


# --- subscriptions --------------------------------------------------------------------------------------------


def test_a_subscription_that_walmart_switched_off_is_seen_and_put_right_with_the_present_secret() -> None:
    twin, _ = store()
    converse(twin, ADAPTER.register("ORDER_UPDATES", URL, None))
    twin.hooks["s-1"] |= {"status": "INACTIVE", "authDetails": {}}
    (off,) = converse(twin, ADAPTER.webhooks())
    assert off.state == "disabled"
    assert converse(twin, ADAPTER.register("ORDER_UPDATES", URL, off)).state == "active"
    assert twin.hooks["s-1"]["authDetails"]["clientSecret"] == HOOK_SECRET
    assert len(twin.hooks) == 1


# --- in any order ---------------------------------------------------------------------------------------------

moves = st.lists(
    st.tuples(st.sampled_from(["acknowledge", "ship", "cancel", "refund"]), st.integers(1, 3)), max_size=12
)


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), moves)
def test_whatever_happens_to_an_order_the_feed_says_what_walmart_reserves(
    sizes: list[int], doings: list[tuple[str, int]]
) -> None:
    twin, clock = store()
    number = twin.sell(*(("RED", units) for units in sizes))
    order = twin.orders[number]
    for place, (what, units) in enumerate(doings):
        clock.now += 1
        at = place % len(order.lines)
        line = order.lines[at]
        if what == "acknowledge":
            twin.acknowledge(number)
        elif what == "refund":
            sent = line.parts["Shipped"]
            if sent:
                twin.refund(number, at, min(units, sent))
        elif line.open:
            getattr(twin, what)(number, at, min(units, line.open))
        (seen,) = feed(twin)
        held = sum(each.ordered - each.cancelled - each.fulfilled for each in seen.lines)
        assert held == twin.open("RED") == levels(twin)["RED"].included
        assert sum(each.cancelled for each in seen.lines) == sum(each.parts["Cancelled"] for each in order.lines)
        assert set(order.lines[0].parts) == set(PARTS)
        assert evolve(seen) == converse(twin, ADAPTER.order(number))

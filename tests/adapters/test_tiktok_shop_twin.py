"""The TikTok Shop adapter in whole conversations with a shop that keeps its own books."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.tiktok_shop import PLATFORM
from daemon.domain.access import Token
from daemon.domain.channel import Adapter, Delivery, OrderPage, OrderSeen, Push, Setup
from daemon.domain.exchange import Request, Response
from daemon.domain.instants import SECOND_US
from daemon.domain.outcomes import Failure
from daemon.ingress.signature import check
from tests.adapters.tiktok_shapes import exchange_misfits
from tests.adapters.tiktok_twin import ANNEX, CIPHER, HOME, KEY, RATE, SECRET, SHOP_ID, Item, Twin

T0 = 1_795_184_130.0
URL = "https://sync.example.com/webhooks/shop"


def build(cipher: str = CIPHER, **options: str) -> Adapter:
    named = {"app_key": KEY, **({"shop_cipher": cipher} if cipher else {}), **options}
    secrets = {"app_secret": SECRET, "refresh_token": "refresh-0"}
    return PLATFORM.build(Setup("shop", "https://open-api.tiktokglobalshop.com", named, secrets, (SECRET,)))


ADAPTER = build()


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = T0

    def __call__(self) -> float:
        return self.now


class Client:
    """What the daemon does around an adapter: tokens, signatures, and one more try where a token is refused."""

    def __init__(self, twin: Twin, adapter: Adapter = ADAPTER) -> None:
        self.twin, self.adapter = twin, adapter
        self.token = self.refresh = ""
        self.skew_s = 0.0

    def ask(self) -> None:
        (source,) = self.adapter.tokens
        answer = self.run(source.ask(self.refresh or source.refresh), plain=True)
        assert isinstance(answer, Token), answer
        assert answer.lives_s == 7 * 86_400.0
        self.token, self.refresh = answer.value, answer.refresh

    def run(self, talk: Generator[Request, Response, Any], *, plain: bool = False) -> Any:
        try:
            request = next(talk)
            while True:
                request = talk.send(self._transmit(request) if plain else self._send(request))
        except StopIteration as end:
            return end.value

    def _send(self, request: Request) -> Response:
        (source,) = self.adapter.tokens
        for _ in range(2):
            if not self.token:
                self.ask()
            reply = self._transmit(source.place(request, self.token))
            if not source.refused(reply):
                break
            self.token = ""
        return reply

    def _transmit(self, request: Request) -> Response:
        if request.sign is not None:
            request = request.sign(request, int((self.twin.now_s() + self.skew_s) * SECOND_US), "Nonce0123456789ab")
        return self.twin.respond(request)


def shop(**options: Any) -> tuple[Twin, Clock]:
    clock = Clock()
    items = [
        Item("100", "11", "RED", {HOME: 12}),
        Item("100", "12", "BLUE", {HOME: 7}),
        Item("200", "21", "MUG", {HOME: 5}),
    ]
    return Twin({item.sku: item for item in items}, clock, **options), clock


def spread() -> tuple[Twin, Clock]:
    """A shop that has RED in two warehouses, and MUG in the annex alone."""
    twin, clock = shop()
    twin.item("RED").wares[ANNEX] = 30
    twin.item("MUG").wares = {ANNEX: 9}
    return twin, clock


def listed(client: Client) -> dict[str | None, int | None]:
    page = client.run(client.adapter.listings(""))
    assert not isinstance(page, Failure), page
    assert page.next_page == ""
    again = client.run(client.adapter.levels([level.listing for level in page.levels]))
    assert [(seen.listing, seen.level) for seen in again] == [(seen.listing, seen.level) for seen in page.levels]
    return {level.seller_sku: level.level for level in page.levels}


def push(client: Client, *wishes: tuple[str, int]) -> list[tuple[str, str]]:
    pushes = [Push(listing, level, None, 1) for listing, level in wishes]
    found: dict[str, tuple[str, str]] = {}
    for batch in client.adapter.batches(pushes):
        outcomes = client.run(client.adapter.push(batch, "k"))
        found |= {each.listing: (outcome.kind, outcome.reason) for each, outcome in zip(batch, outcomes, strict=True)}
    return [found[listing] for listing, _ in wishes]


def feed(client: Client, since_s: float = 0.0) -> list[OrderSeen]:
    found: dict[str, OrderSeen] = {}
    token = ""
    for _ in range(40):
        page = client.run(client.adapter.orders(int(since_s * SECOND_US), token))
        assert isinstance(page, OrderPage), page
        assert page.puzzles == ()
        found |= {order.order: order for order in page.orders}
        token = page.next_page
        if not token:
            return list(found.values())
    raise AssertionError("the feed goes on for ever")


# --- getting in -----------------------------------------------------------------------------------------------


def test_tokens_rotate_and_one_that_ended_is_asked_for_anew() -> None:
    twin, clock = shop()
    client = Client(twin)
    assert listed(client) == {"RED": 12, "BLUE": 7, "MUG": 5}
    first = client.token
    clock.now += 8 * 86_400
    assert listed(client) == {"RED": 12, "BLUE": 7, "MUG": 5}
    assert client.token != first
    refreshed = [path for _, path, _ in twin.log if path.endswith("/refresh")]
    assert len(refreshed) == 2
    assert 105002 in {code for _, _, code in twin.log}
    again = client.run(ADAPTER.tokens[0].ask("refresh-0"), plain=True)  # the old one is good no more
    assert isinstance(again, Failure)
    assert again.outcome.kind == "permanent"


@pytest.mark.parametrize(("skew_s", "good"), [(0, True), (29, True), (-299, True), (31, False), (-301, False)])
def test_a_clock_that_is_off_is_named(skew_s: int, good: bool) -> None:
    twin, _ = shop()
    client = Client(twin)
    client.skew_s = skew_s
    found = client.run(ADAPTER.webhooks())
    assert (found == ()) is good
    assert good or "clock" in found.reason


def test_a_shop_whose_cipher_nobody_configured_is_asked_for() -> None:
    twin, _ = shop()
    client = Client(twin, build(cipher=""))
    assert listed(client) == {"RED": 12, "BLUE": 7, "MUG": 5}
    assert push(client, ("100/11", 3)) == [("ok", "")]
    twin.shops.append({"id": "7", "name": "Other", "region": "US", "cipher": "ROW_other"})
    refused = client.run(client.adapter.order("1"))
    assert isinstance(refused, Failure)
    assert f"{CIPHER} (Twin, GB, id {SHOP_ID})" in refused.reason
    assert "ROW_other (Other, US, id 7)" in refused.reason
    assert push(client, ("100/11", 4))[0][0] == "permanent"
    assert client.run(client.adapter.register("ORDER_STATUS_CHANGE", URL, None)) == refused
    named = Client(twin, build(cipher="", shop_id=SHOP_ID))
    named.refresh = client.refresh
    assert named.run(named.adapter.order("1")) is None


def test_the_twin_and_the_adapter_speak_as_the_vendors_pages_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    twin, clock = spread()
    client, checked = Client(twin, build(warehouse=HOME)), []
    respond = twin.respond

    def watched(request: Request) -> Response:
        response = respond(request)
        if "/token/" not in request.url:
            assert exchange_misfits(request, response) == []
            checked.append(request)
        return response

    monkeypatch.setattr(Twin, "respond", lambda _, request: watched(request))
    number = twin.sell("RED", 3)
    clock.now += 1
    twin.ship(number, 1)
    assert listed(client) == {"RED": 9, "BLUE": 7, "MUG": None}
    assert push(client, ("100/11", 4), ("100/99", 1))[0] == ("ok", "")
    assert len(feed(client)) == 1
    assert client.run(client.adapter.order(number)) is not None
    assert not isinstance(client.run(client.adapter.register("ORDER_STATUS_CHANGE", URL, None)), Failure)
    assert len(client.run(client.adapter.webhooks())) == 1
    named = Client(twin, build(cipher=""))
    named.refresh = client.refresh
    assert named.run(named.adapter.order("1")) is None
    assert len(checked) >= 10


# --- webhooks -------------------------------------------------------------------------------------------------


def test_its_webhooks_verify_and_name_the_order_and_are_subscribed_once_for_each_topic() -> None:
    twin, _ = shop(stock_hooks=True)
    client, sent = Client(twin), []
    twin.send = lambda url, body, headers: sent.append((url, Delivery(headers, body)))
    for topic in ADAPTER.wanted_topics():
        assert not isinstance(client.run(ADAPTER.register(topic, URL, None)), Failure)
    assert {(hook.topic, hook.url, hook.state) for hook in client.run(ADAPTER.webhooks())} == {
        (topic, URL, "active") for topic in ADAPTER.wanted_topics()
    }
    number = twin.sell("RED", 2)
    twin.cancel(number)
    facts = []
    for url, delivery in sent:
        assert url == URL
        assert check(ADAPTER.scheme, [SECRET], delivery, 0) == "ok"  # type: ignore[arg-type]  # it is no public key
        assert check(ADAPTER.scheme, ["other"], delivery, 0) == "wrong"  # type: ignore[arg-type]  # as above
        facts.append(ADAPTER.parse(delivery))
    assert [told.refetch for told in facts if not told.levels] == [(number,), (number,)]
    assert [level.level for told in facts for level in told.levels] == [10, 11, 12]
    assert len({told.identity for told in facts}) == len(facts)


def test_where_a_warehouse_is_chosen_the_stock_of_all_of_them_says_only_that_some_moved() -> None:
    twin, _ = shop(stock_hooks=True)
    sent: list[Delivery] = []
    twin.hooks["ORDER_STATUS_CHANGE"] = URL
    twin.send = lambda url, body, headers: sent.append(Delivery(headers, body))
    twin.sell("RED", 1)
    told = [build(warehouse=HOME).parse(delivery) for delivery in sent]
    assert [facts.look for facts in told if facts.topic == "inventory changed by shop"] == [True]
    assert all(facts.levels == () for facts in told)


# --- orders ---------------------------------------------------------------------------------------------------

STEPS = ("sell", "sell", "unpaid", "pay", "hold", "ship", "send", "deliver", "cancel", "cancel one")


MAY: dict[str, tuple[str, ...]] = {
    "pay": ("UNPAID", "ON_HOLD"),
    "hold": ("UNPAID",),
    "ship": ("AWAITING_SHIPMENT", "PARTIALLY_SHIPPING"),
    "send": ("AWAITING_SHIPMENT",),
    "deliver": ("IN_TRANSIT",),
    "cancel": ("UNPAID", "ON_HOLD", "AWAITING_SHIPMENT", "PARTIALLY_SHIPPING"),
    "cancel one": ("UNPAID", "AWAITING_SHIPMENT"),
}
"""What may be done to an order of which status."""


def act(twin: Twin, what: str, number: str, sku: str, units: int) -> None:
    """Something happens in the shop, as far as it may."""
    if what in ("sell", "unpaid"):
        if twin.item(sku).shown >= units:
            twin.sell(sku, units, "UNPAID" if what == "unpaid" else "AWAITING_SHIPMENT")
    elif number and twin.orders[number]["status"] in MAY[what]:
        match what:
            case "ship":
                twin.ship(number, units)
            case "cancel" | "cancel one":
                twin.cancel(number, None if what == "cancel" else 1)
            case _:
                goal = {"pay": "AWAITING_SHIPMENT", "hold": "ON_HOLD", "send": "IN_TRANSIT", "deliver": "DELIVERED"}
                twin.move(number, goal[what])


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 9), st.integers(1, 3)), max_size=30))
def test_what_orders_take_is_what_the_shops_own_books_miss(steps: list[tuple[str, int, int]]) -> None:
    """By its own books: what may be sold, what is committed, and what was sent, together, never change."""
    twin, clock = shop()
    client = Client(twin)
    first = {item.seller_sku: item.shown for item in twin.items.values()}
    for what, place, units in steps:
        clock.now += 1
        numbers = sorted(twin.orders)
        act(twin, what, numbers[place % len(numbers)] if numbers else "", ("RED", "BLUE", "MUG")[place % 3], units)
    seen = feed(client)
    assert {order.order for order in seen} == set(twin.orders)
    taken = dict.fromkeys(first, 0)
    for order in seen:
        assert order == client.run(ADAPTER.order(order.order))
        for line in order.lines:
            assert line.ordered == 1
            assert line.cancelled + line.fulfilled <= 1
            taken[line.seller_sku or ""] += line.ordered - line.cancelled
    assert {item.seller_sku: item.shown + taken[item.seller_sku] for item in twin.items.values()} == first
    held = dict.fromkeys(first, 0)
    for order in seen:
        for line in order.lines:
            held[line.seller_sku or ""] += line.ordered - line.cancelled - line.fulfilled
    assert {item.seller_sku: item.committed for item in twin.items.values()} == held


def test_units_that_shipped_do_not_come_back_when_the_rest_of_the_order_is_cancelled() -> None:
    twin, clock = shop()
    client = Client(twin)
    number = twin.sell("RED", 3)
    clock.now += 10
    twin.ship(number, 1)
    clock.now += 10
    assert twin.cancel(number) == 2
    seen = client.run(ADAPTER.order(number))
    assert [(line.cancelled, line.fulfilled) for line in seen.lines] == [(0, 1), (1, 0), (1, 0)]
    assert twin.item("RED").shown == 11


def test_orders_of_another_warehouse_and_those_that_tiktok_fulfils_hold_nothing_of_ours() -> None:
    twin, _ = spread()
    client = Client(twin, build(warehouse=HOME))
    ours, theirs, by_tiktok = twin.sell("RED", 1), twin.sell("RED", 2, warehouse=ANNEX), twin.sell("BLUE", 1)
    twin.orders[by_tiktok]["fulfillment_type"] = "FULFILLMENT_BY_TIKTOK"
    unnamed = twin.sell("BLUE", 1)
    del twin.orders[unnamed]["warehouse_id"]
    units = {order.order: len(order.lines) for order in feed(client)}
    assert units == {ours: 1, theirs: 0, by_tiktok: 0, unnamed: 1}


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(0, 260), crowd=st.integers(1, 130), moved=st.lists(st.integers(0, 259), max_size=24),
    since=st.integers(0, 20),
)  # fmt: skip
def test_no_order_slips_past_a_page_border_while_others_change(
    count: int, crowd: int, moved: list[int], since: int
) -> None:
    """`crowd` orders share each second. Some change after the first page was read, and move to the feed's end;
    where more share one second than a page holds, none does: TikTok's own page token leads through those."""
    twin, clock = shop()
    client = Client(twin)
    twin.item("RED").wares[HOME] = 1_000
    for _ in range(count):
        twin.sell("RED", 1)
        clock.now += 1 / crowd
    numbers = sorted(twin.orders)
    wanted = {number for number in numbers if twin.orders[number]["update_time"] >= int(T0) + since}
    clock.now += 5
    found: set[str] = set()
    token = ""
    for page in range(60):
        clock.now += 0.5
        read = client.run(ADAPTER.orders((int(T0) + since) * SECOND_US, token))
        assert isinstance(read, OrderPage)
        found |= {order.order for order in read.orders}
        if page == 0 and crowd <= 70:
            for place in moved:
                if place < count:
                    twin.move(numbers[place], "ON_HOLD")
        token = read.next_page
        if not token:
            break
    assert token == ""
    assert wanted <= found


def test_an_order_whose_stamp_is_newer_than_where_the_feed_has_it_hides_no_other() -> None:
    """The vendor warns that stamps may lie outside what they were asked by while data refreshes."""
    twin, clock = shop()
    client = Client(twin)
    twin.item("RED").wares[HOME] = 1_000
    for _ in range(230):
        twin.sell("RED", 1)
        clock.now += 1
    numbers = sorted(twin.orders)

    def stale(talk: Generator[Request, Response, Any]) -> Any:
        """The last twenty of each page are shown with the stamp of now."""
        request = next(talk)
        reply = client._send(request)
        for order in numbers[80:100]:
            old = twin.orders[order]["update_time"]
            reply = evolve(reply, body=reply.body.replace(
                f'"create_time": {old}, "update_time": {old}'.encode(),
                f'"create_time": {old}, "update_time": {int(clock.now)}'.encode()))  # fmt: skip
        try:
            talk.send(reply)
        except StopIteration as end:
            return end.value
        raise AssertionError("a page is one call")

    found: set[str] = set()
    token, pages = "", 0
    while True:
        read = stale(ADAPTER.orders(int(T0) * SECOND_US, token))
        found |= {order.order for order in read.orders}
        token, pages = read.next_page, pages + 1
        assert pages < 20
        if not token:
            break
    assert found == set(numbers)


def test_orders_since_a_far_future_are_none_and_a_filter_that_is_ignored_shows() -> None:
    twin, _ = shop()
    client = Client(twin)
    twin.sell("RED", 1)
    assert client.run(ADAPTER.orders(4_102_444_800 * SECOND_US, "")) == OrderPage((), "", 0)
    twin.feed_ignores_bounds = True
    assert len(client.run(ADAPTER.orders(4_102_444_800 * SECOND_US, "")).orders) == 1


# --- stock ----------------------------------------------------------------------------------------------------


def test_the_skus_of_a_product_go_in_one_call_and_what_is_written_shows() -> None:
    twin, _ = shop()
    client = Client(twin)
    assert push(client, ("100/11", 4), ("200/21", 0), ("100/12", 9)) == [("ok", "")] * 3
    assert listed(client) == {"RED": 4, "BLUE": 9, "MUG": 0}
    assert sum(path.endswith("/inventory/update") for _, path, _ in twin.log) == 2


def test_what_is_committed_to_orders_is_not_part_of_the_level() -> None:
    twin, _ = shop()
    client = Client(twin)
    twin.sell("RED", 5)
    assert listed(client)["RED"] == 7
    assert push(client, ("100/11", 7)) == [("ok", "")]
    assert (twin.item("RED").shown, twin.item("RED").committed) == (7, 5)


def test_failures_under_a_code_of_0_are_told_by_their_sku_and_the_rest_lands() -> None:
    twin, _ = shop()
    client = Client(twin)
    twin.item("BLUE").locked = 6
    kinds = push(client, ("100/11", 3), ("100/12", 2), ("100/99", 1), ("300/31", 1))
    assert [kind for kind, _ in kinds] == ["ok", "permanent", "permanent", "permanent"]
    assert "promotion" in kinds[1][1]
    assert listed(client) == {"RED": 3, "BLUE": 7, "MUG": 5}
    assert push(client, ("100/12", 6)) == [("ok", "")]


def test_a_shop_that_takes_no_zero_says_what_to_do() -> None:
    twin, _ = shop(takes_zero=False)
    ((kind, reason),) = push(Client(twin), ("100/11", 0))
    assert kind == "permanent"
    assert "deactivate the product" in reason


def test_of_several_warehouses_ours_is_written_and_the_others_stay_as_they_are() -> None:
    twin, _ = spread()
    client = Client(twin, build(warehouse=HOME))
    assert listed(client) == {"RED": 12, "BLUE": 7, "MUG": None}
    kinds = push(client, ("100/11", 4), ("100/12", 3), ("200/21", 1))
    assert [kind for kind, _ in kinds] == ["ok", "ok", "permanent"]
    assert "not stocked in warehouse" in kinds[2][1]
    assert twin.item("RED").wares == {HOME: 4, ANNEX: 30}
    assert twin.item("MUG").wares == {ANNEX: 9}


def test_without_a_choice_of_warehouse_a_sku_of_several_is_unknown_and_never_written() -> None:
    twin, _ = spread()
    client = Client(twin)
    refused = client.run(ADAPTER.listings(""))
    assert isinstance(refused, Failure)
    assert f"RED is stocked in several warehouses ({HOME}, {ANNEX})" in refused.reason
    assert "set warehouse" in refused.reason
    shown = {seen.seller_sku: seen.level for seen in client.run(ADAPTER.levels(["100/11", "100/12", "200/21"]))}
    assert shown == {"RED": None, "BLUE": 7, "MUG": 9}
    ((kind, reason),) = push(client, ("100/11", 4))
    assert kind == "permanent"
    assert "set warehouse" in reason
    assert twin.item("RED").wares == {HOME: 12, ANNEX: 30}


def test_paced_as_the_traits_say_no_call_is_ever_too_fast() -> None:
    twin, clock = shop()
    client = Client(twin)
    for _ in range(4 * RATE):
        assert push(client, ("100/11", 4)) == [("ok", "")]
        clock.now += 1 / ADAPTER.traits.rate_per_s
    assert 36009002 not in {code for _, _, code in twin.log}
    for _ in range(2 * RATE):
        last = push(client, ("100/11", 4))
    assert last[0][0] == "throttled"


def test_an_overloaded_shop_leaves_a_write_unknown_and_a_read_to_be_repeated() -> None:
    twin, _ = shop()
    client = Client(twin)
    twin.broken = "inventory/update"
    assert push(client, ("100/11", 4))[0][0] == "unknown"
    twin.broken = "orders/search"
    failed = client.run(ADAPTER.orders(0, ""))
    assert isinstance(failed, Failure)
    assert failed.outcome.kind == "transient"

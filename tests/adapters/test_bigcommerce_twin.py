"""The BigCommerce adapter in whole conversations with a store that keeps its own books."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.bigcommerce import PLATFORM
from daemon.domain.channel import Delivery, LevelSeen, OrderPage, OrderSeen, Push, Setup
from daemon.domain.exchange import Request, Response
from daemon.domain.instants import SECOND_US
from daemon.domain.outcomes import Failure
from daemon.ingress.signature import check
from tests.adapters.bigcommerce_twin import CLIENT_SECRET, HASH, KEY, TOKEN, Item, Twin

T0 = 1_795_184_130.0
URL = "https://sync.example.com/webhooks/shop"
ADAPTER = PLATFORM.build(
    Setup(
        "shop",
        PLATFORM.default_base_url,
        {"store_hash": HASH},
        {"access_token": TOKEN, "webhook_key": KEY},
        (CLIENT_SECRET,),
    )
)


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = T0

    def __call__(self) -> float:
        return self.now


def store(**options: Any) -> tuple[Twin, Clock]:
    clock = Clock()
    items = [
        Item(509, 206, "RED", 12),
        Item(510, 206, "BLUE", 7, safety=2),
        Item(77, 120, "MUG", 5, tracked="product"),
    ]
    return Twin({item.variant: item for item in items}, clock, **options), clock


def converse(twin: Twin, talk: Generator[Request, Response, Any]) -> Any:
    try:
        request = next(talk)
        while True:
            request = talk.send(twin.respond(request))
    except StopIteration as end:
        return end.value


def listed(twin: Twin) -> dict[str, int | None]:
    page = converse(twin, ADAPTER.listings(""))
    assert not isinstance(page, Failure), page
    assert page.next_page == ""
    return {level.seller_sku: level.level for level in page.levels}


def feed(twin: Twin, since_s: float = T0 - 60) -> list[OrderSeen]:
    """Every order of the feed, page by page."""
    found: list[OrderSeen] = []
    token = ""
    for _ in range(1_000):
        page = converse(twin, ADAPTER.orders(int(since_s) * SECOND_US, token))
        assert isinstance(page, OrderPage), page
        assert page.puzzles == ()
        found += page.orders
        token = page.next_page
        if not token:
            return found
    raise AssertionError("the feed has no end")


def push(twin: Twin, *wishes: tuple[str, int, int | None]) -> list[tuple[str, str]]:
    """(kind, job) of pushes of (listing, level, believed)."""
    batch = [Push(listing, level, believed, 1) for listing, level, believed in wishes]
    return [(outcome.kind, outcome.job) for outcome in converse(twin, ADAPTER.push(batch, "k1"))]


def follow(twin: Twin, job: str, *wishes: tuple[str, int]) -> list[str]:
    batch = [Push(listing, level, None, 1) for listing, level in wishes]
    return [outcome.kind for outcome in converse(twin, ADAPTER.follow(batch, job))]


# --- sales, told and polled -----------------------------------------------------------------------------------


def test_a_sale_is_told_by_a_hint_that_verifies_and_leads_to_the_same_order_as_the_feed() -> None:
    twin, clock = store()
    told: list[Delivery] = []
    twin.send = lambda hook, url, body, headers: told.append(Delivery(headers, body))
    for topic in ADAPTER.wanted_topics():
        made = converse(twin, ADAPTER.register(topic, URL, None))
        assert (made.topic, made.url, made.state) == (topic, URL, "active")
    twin.sell("RED", 2)
    assert len(told) == 2  # one sale, two hints, as in the real store
    found = set()
    for delivery in told:
        assert check(ADAPTER.scheme, [CLIENT_SECRET], delivery, int(clock.now * SECOND_US), "") == "ok"
        for order in ADAPTER.parse(delivery).refetch:
            found.add(converse(twin, ADAPTER.order(order)))
    assert found == set(feed(twin))
    (seen,) = found
    assert [(line.listing, line.seller_sku, line.ordered) for line in seen.lines] == [("206/509", "RED", 2)]
    assert "Robin" not in repr(seen)


def test_a_webhook_that_the_store_switched_off_and_a_blocked_domain_are_seen_and_put_right() -> None:
    twin, _ = store()
    topic = "store/order/created"
    made = converse(twin, ADAPTER.register(topic, URL, None))
    assert [hook.state for hook in converse(twin, ADAPTER.webhooks())] == ["active"]
    twin.hooks[int(made.webhook_id)]["is_active"] = False  # after failures for 48 h, or silence for 90 days
    (off,) = converse(twin, ADAPTER.webhooks())
    assert off.state == "disabled"
    assert converse(twin, ADAPTER.register(topic, URL, off)).state == "active"
    twin.blocked = ["sync.example.com"]
    assert [hook.state for hook in converse(twin, ADAPTER.webhooks())] == ["paused"]
    twin.blocked = ["shop.example.com"]
    assert [hook.state for hook in converse(twin, ADAPTER.webhooks())] == ["active"]


ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("sell"), st.sampled_from(["RED", "BLUE"]), st.integers(1, 3), st.sampled_from([0, 7, 11])),
        st.tuples(st.just("status"), st.integers(0, 5), st.sampled_from([0, 1, 2, 3, 4, 5, 6, 9, 10, 11, 12, 13])),
        st.tuples(st.just("edit"), st.integers(0, 5), st.integers(0, 4)),
        st.tuples(st.just("ship"), st.integers(0, 5), st.integers(0, 3)),
        st.tuples(st.just("refund"), st.integers(0, 5), st.integers(1, 2)),
        st.tuples(st.just("archive"), st.integers(0, 5)),
        st.tuples(st.just("wait"), st.integers(0, 3)),
    ),
    max_size=25,
)


@settings(max_examples=120, deadline=None)
@given(acts=ACTS, inline=st.booleans())
def test_whatever_happens_to_orders_the_lines_hold_what_the_store_took(acts: list[Any], inline: bool) -> None:
    twin, clock = store(inline=inline)
    first = {item.sku: item.on_hand for item in twin.items.values()}
    for act in acts:
        numbers = sorted(twin.orders)
        match act:
            case ("sell", sku, units, status):
                twin.sell(sku, units, status)
            case ("wait", seconds):
                clock.now += seconds
            case (_, place, *_) if place >= len(numbers):
                continue
            case ("status", place, status):
                twin.change(numbers[place], status=status)
            case ("edit", place, quantity):
                twin.change(numbers[place], quantity=quantity)
            case ("ship", place, units):
                twin.change(numbers[place], status=3, shipped=units)
            case ("refund", place, units) if twin.orders[numbers[place]]["status_id"] not in (0, 4, 5, 6):
                twin.refund(numbers[place], units)
            case ("archive", place):
                twin.orders[numbers[place]]["is_deleted"] = True
    seen = feed(twin)
    assert {order.order for order in seen} == set(map(str, twin.orders))
    taken = dict.fromkeys(first, 0)
    for order in seen:
        assert order == converse(twin, ADAPTER.order(order.order))
        for line in order.lines:
            assert 0 <= line.fulfilled <= line.ordered
            taken[line.seller_sku or ""] += line.ordered
    twin.apply(all_of_them=True)
    assert {item.sku: item.on_hand + taken[item.sku] for item in twin.items.values()} == first


def test_where_the_store_keeps_refunded_units_off_its_stock_the_line_goes_on_holding_them() -> None:
    twin, _ = store(settings={"update_stock_behavior": "order_placed", "refund_order_stock_adjustment": False})
    number = twin.sell("RED", 2)
    twin.change(number, status=4)
    assert twin.item("RED").on_hand == 10
    assert [line.ordered for line in converse(twin, ADAPTER.order(str(number))).lines] == [2]


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(0, 170), crowd=st.integers(1, 80), moved=st.lists(st.integers(0, 170), max_size=12),
    since=st.integers(0, 40),
)  # fmt: skip
def test_no_order_slips_past_a_page_border_while_others_change(
    count: int, crowd: int, moved: list[int], since: int
) -> None:
    """`crowd` orders share each second; some change, and move to the end, after the first page was read."""
    twin, clock = store()
    for _ in range(count):
        twin.sell("RED", 1)
        clock.now += 1 / crowd
    numbers = sorted(twin.orders)
    wanted = {
        str(number) for place, number in enumerate(numbers) if int(T0 + place / crowd) >= int(T0) + since
    }  # fmt: skip
    clock.now += 5
    found: set[str] = set()
    token = ""
    for page in range(60):
        read = converse(twin, ADAPTER.orders((int(T0) + since) * SECOND_US, token))
        assert isinstance(read, OrderPage)
        found |= {order.order for order in read.orders}
        if page == 0:
            for place in moved:
                if place < count:
                    twin.change(numbers[place], status=9)
        token = read.next_page
        if not token:
            break
    assert token == ""
    assert wanted <= found


def test_orders_since_a_far_future_are_none_unless_the_store_ignores_the_bound() -> None:
    twin, _ = store()
    twin.sell("RED", 1)
    assert converse(twin, ADAPTER.orders(4_102_444_800 * SECOND_US, "")) == OrderPage((), "", 0)
    twin.deaf = True
    assert len(converse(twin, ADAPTER.orders(4_102_444_800 * SECOND_US, "")).orders) == 1


# --- stock ----------------------------------------------------------------------------------------------------


def test_levels_are_what_shoppers_see_and_what_is_written_shows_as_such() -> None:
    twin, _ = store()
    assert listed(twin) == {"RED": 12, "BLUE": 5, "MUG": 5}  # two of BLUE are its safety stock
    assert push(twin, ("206/509", 4, 12), ("206/510", 9, 5)) == [("ok", ""), ("ok", "")]
    assert listed(twin) == {"RED": 4, "BLUE": 9, "MUG": 5}
    assert twin.item("BLUE").on_hand == 11
    assert push(twin, ("206/510", 0, 9)) == [("ok", "")]
    assert twin.item("BLUE").on_hand == 0
    assert push(twin, ("206/510", 1, 0)) == [("ok", "")]
    assert listed(twin)["BLUE"] == 1


def test_a_write_that_is_applied_later_is_followed_until_it_shows() -> None:
    twin, clock = store(lag_s=4.0)
    ((kind, job),) = push(twin, ("206/509", 4, 12))
    assert (kind, bool(job)) == ("accepted", True)
    assert follow(twin, job, ("206/509", 4)) == ["accepted"]
    clock.now += 4
    assert follow(twin, job, ("206/509", 4)) == ["ok"]


def test_a_unit_sold_after_a_write_leaves_it_undecided_and_never_settled_wrongly() -> None:
    twin, clock = store(lag_s=4.0)
    ((_, job),) = push(twin, ("206/509", 4, 12))
    clock.now += 4
    twin.sell("RED", 1)
    assert follow(twin, job, ("206/509", 4)) == ["accepted"]
    assert converse(twin, ADAPTER.levels(["206/509"])) == (LevelSeen("206/509", 3, None, "RED"),)


def test_a_sale_that_nobody_told_is_seen_before_it_is_overwritten() -> None:
    twin, _ = store()
    twin.mute = True
    twin.sell("RED", 3)
    assert push(twin, ("206/509", 11, 12)) == [("conflict", "")]
    assert twin.written == []
    assert twin.item("RED").on_hand == 9


def test_a_product_that_is_tracked_as_a_whole_is_written_by_its_own_number() -> None:
    twin, _ = store()
    assert push(twin, ("206/509", 4, 12), ("120/77", 2, 5)) == [("ok", ""), ("ok", "")]
    assert listed(twin) == {"RED": 4, "BLUE": 5, "MUG": 2}


def test_a_bad_row_is_named_and_the_others_land() -> None:
    twin, _ = store()
    kinds = [kind for kind, _ in push(twin, ("206/509", 0, 12), ("206/999", 0, 1), ("206/510", 0, 5))]
    assert kinds == ["ok", "permanent", "ok"]
    assert listed(twin) == {"RED": 0, "BLUE": 0, "MUG": 5}


def test_a_store_that_takes_stock_at_shipping_is_not_kept_in_step_blindly() -> None:
    twin, _ = store()
    twin.settings["update_stock_behavior"] = "order_completed_or_shipped"
    refused = converse(twin, ADAPTER.listings(""))
    assert isinstance(refused, Failure)
    assert "when an order is placed" in refused.reason


def test_the_window_that_all_apps_share_is_never_used_up() -> None:
    """Paced by what the answers say, calls never get a 429, whoever else draws from the pool."""
    twin, clock = store(quota=60)
    for _ in range(40):
        clock.now += 0.2
        headers = {"x-auth-token": TOKEN, "accept": "application/json"}
        twin.answer("GET", f"/stores/{HASH}/v3/settings/inventory", headers, b"")  # another app
    paused = 0
    for _ in range(80):
        request = evolve(next(ADAPTER.levels(["206/509"])))
        limits = ADAPTER.limits(twin.respond(request))
        assert limits is not None
        assert limits.rate_per_s == 60 * 0.9 / 30
        if limits.pause_s:
            paused += 1
            clock.now += limits.pause_s
        clock.now += 1 / limits.rate_per_s
    assert paused > 0
    assert 429 not in {status for _, _, status in twin.log}

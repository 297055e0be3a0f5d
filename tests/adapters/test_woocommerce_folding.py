"""Recorded deliveries folded into stock: any order and repetition gives one state, and it is the store's own."""

from __future__ import annotations

import random
from collections.abc import Sequence

import msgspec
import pytest

from adapters.woocommerce.inbound import parse
from daemon.domain.channel import OrderSeen
from daemon.domain.instants import SECOND_US, Instant, Span
from daemon.domain.observations import Observation, OrderLine, StockCount
from daemon.domain.stock import Stock, Verdict, dump
from tests import recordings
from tests.recordings import Hook, Mark, Recording

CHANNEL = "shop"
START_US = 1_795_392_000 * SECOND_US
"""Midnight of the day of the recordings."""

Told = tuple[str, Observation]
"""A SKU and what was told of it."""


def files(version: str) -> list[Recording]:
    found = [name for name in recordings.names("woocommerce") if name.startswith((version, recordings.ABSENT))]
    return [recordings.load("woocommerce", name) for name in found]


def instant(span: Span) -> Instant:
    return Instant(span, span)


def links_of(hooks: Sequence[Hook]) -> dict[str, str]:
    """Listing to SKU; a variation that sells its parent's stock belongs to its parent's SKU."""
    products = [hook.json for hook in hooks if "manage_stock" in hook.json]
    skus = {product["id"]: product["sku"] for product in products}
    return {
        f"{product['parent_id']}/{product['id']}": skus[product["parent_id"]]
        for product in products
        if product["manage_stock"] == "parent"
    }


def told_by(hooks: Sequence[Hook]) -> list[Told]:
    """Every line of every version of every order; a version that lists a known line no more says that it holds 0."""
    links = links_of(hooks)
    orders = [order for hook in hooks for order in parse(hook.delivery).orders]
    known: dict[str, dict[str, tuple[str, str]]] = {}
    for order in orders:
        for line in order.lines:
            sku = links.get(line.listing) or line.seller_sku or line.listing
            known.setdefault(order.order, {})[line.line] = (sku, line.listing)
    return [told for order in orders for told in lines_of(order, known.get(order.order, {}))]


def lines_of(order: OrderSeen, known: dict[str, tuple[str, str]], read_us: int = 0) -> list[Told]:
    here = {line.line: line for line in order.lines}
    told: list[Told] = []
    for number, (sku, listing) in known.items():
        line = here.get(number)
        seen = OrderLine(
            CHANNEL, order.order, number, sku,
            ordered=line.ordered if line else 0, fulfilled=line.fulfilled if line else 0,
            version=order.version, read_us=read_us, at=instant(order.updated),
            placed=instant(order.placed) if order.placed else None, listing=listing,
        )  # fmt: skip
        told.append((sku, seen))
    return told


def fold(told: Sequence[Told]) -> tuple[dict[str, Stock], list[Verdict]]:
    stocks: dict[str, Stock] = {}
    verdicts = [stocks.setdefault(sku, Stock()).apply(seen).verdict for sku, seen in told]
    return stocks, verdicts


def stored(stocks: dict[str, Stock]) -> bytes:
    return msgspec.json.encode([(sku, dump(stock)) for sku, stock in sorted(stocks.items())])


def counted(told: Sequence[Told], units: int = 100) -> list[Told]:
    """The same, with every SKU counted beforehand."""
    at = instant(Span(START_US, START_US))
    return [*((sku, StockCount("shelf", sku, units, at=at)) for sku in sorted({sku for sku, _ in told})), *told]


def check_any_order(told: list[Told], *, rounds: int) -> None:
    expected = stored(fold(told)[0])
    dice = random.Random(20261123)
    for _ in range(rounds):
        shuffled = told + dice.choices(told, k=len(told) // 2)
        dice.shuffle(shuffled)
        assert stored(fold(shuffled)[0]) == expected


@pytest.mark.slow
@pytest.mark.parametrize("name", recordings.names("woocommerce"))
def test_a_files_deliveries_in_any_order_and_repetition_give_one_state(name: str) -> None:
    told = told_by(recordings.load("woocommerce", name).signed)
    if told:
        check_any_order(counted(told), rounds=200)


@pytest.mark.slow
@pytest.mark.parametrize("version", ["v10.5.0", "v7.9.0"])
def test_all_deliveries_of_a_store_in_any_order_and_repetition_give_one_state(version: str) -> None:
    told = told_by([hook for recording in files(version) for hook in recording.signed])
    assert len(told) > 40
    check_any_order(counted(told), rounds=200)


@pytest.mark.parametrize("version", ["v10.5.0", "v7.9.0"])
@pytest.mark.parametrize("number", ["05_order_status_changes", "06_refunds"])
def test_units_held_move_our_number_exactly_as_the_store_moved_its_own(version: str, number: str) -> None:
    """After each run of the store's queue, available = the level that the store itself reports."""
    recording = recordings.load("woocommerce", f"{version}/{number}.json")
    levels: dict[str, int] = {}
    delivered: list[Hook] = []
    checked = 0
    for entry in (*recording.entries, Mark(True, "the end", 0, 0, {})):
        if isinstance(entry, Hook) and entry.signed:
            delivered.append(entry)
            for level in parse(entry.delivery).levels:
                assert level.seller_sku is not None
                assert level.level is not None
                levels[level.seller_sku] = level.level
        elif isinstance(entry, Mark) and entry.tick:
            checked += check_levels(delivered, levels)
    assert checked >= 9


def check_levels(delivered: list[Hook], levels: dict[str, int]) -> int:
    at = instant(Span(START_US, START_US))
    stocks, verdicts = fold(
        [
            ("TEE-S", StockCount("shelf", "TEE-S", 10, at=at)),
            ("MUG-PLAIN", StockCount("shelf", "MUG-PLAIN", 20, at=at)),
            *told_by(delivered),
        ]
    )
    assert "conflict" not in verdicts
    assert {sku: stocks[sku].available for sku in levels} == levels
    return len(levels)


def test_edits_that_keep_the_date_and_move_no_stock_are_no_conflict() -> None:
    """7.9.0 changes a line's quantity without moving date_modified - and without moving stock."""
    recording = recordings.load("woocommerce", "v7.9.0/05_order_status_changes.json")
    edited = [hook for hook in recording.signed if b'"date_modified_gmt":"2026-11-23T03:17:59"' in hook.delivery.body]
    orders = [hook for hook in edited if hook.topic == "order.updated"]
    assert len({hook.delivery.body for hook in orders}) >= 4
    assert len({parse(hook.delivery).identity for hook in orders}) >= 4
    _, verdicts = fold(told_by(orders))
    assert set(verdicts) == {"applied", "known"}


def test_updated_before_created_counts_once() -> None:
    recording = recordings.load("woocommerce", "v10.5.0/12_storefront_checkout.json")
    hooks = [hook for hook in recording.signed if hook.topic.startswith("order.")]
    both, alone = counted(told_by(hooks)), counted(told_by([h for h in hooks if h.topic == "order.updated"]))
    assert stored(fold(both)[0]) == stored(fold(alone)[0])
    assert fold(both)[0]["TEE-S"].available == 100 - 3 - 4 - 1


def test_events_that_share_a_delivery_id_all_count() -> None:
    recording = recordings.load("woocommerce", "v10.5.0/16_edge_payloads.json")
    hooks = [hook for hook in recording.signed if hook.topic == "order.created"]
    shared = [hook for hook in hooks if hook.delivery_id == "c62688bdb5dee59bda2ed1284106bc39"]
    assert [len(parse(hook.delivery).orders) for hook in shared] == [1, 1, 1]
    stocks, _ = fold(counted(told_by(shared)))
    assert stocks["MUG-PLAIN"].available == 100 - 3


def test_a_sale_of_a_variation_takes_from_the_parent_that_holds_the_stock() -> None:
    recording = recordings.load("woocommerce", "v10.5.0/16_edge_payloads.json")
    stocks, _ = fold(counted(told_by(recording.signed), units=7))
    assert stocks["CAP"].available == 5
    assert "CAP-RED" not in stocks


def test_two_contents_of_one_second_are_a_conflict_that_a_read_resolves() -> None:
    recording = recordings.load("woocommerce", "v10.5.0/06_refunds.json")
    (order,) = parse(recording.signed[0].delivery).orders
    body = recording.signed[0].delivery.body.replace(b'"_reduced_stock","value":"4"', b'"_reduced_stock","value":"3"')
    assert body != recording.signed[0].delivery.body
    (tie,) = parse(type(recording.signed[0].delivery)({"x-wc-webhook-topic": "order.updated"}, body)).orders
    assert tie.version == order.version
    known = {line.line: ("TEE-S", line.listing) for line in order.lines}
    first, second = lines_of(order, known), lines_of(tie, known)
    for one, other in ((first, second), (second, first)):
        stocks, verdicts = fold(counted([*one, *other]))
        assert verdicts[-1] == "conflict"
        assert stocks["TEE-S"].available == 96  # the safer of both, until somebody has looked
        ((sku, read),) = lines_of(tie, known, read_us=1)
        assert stocks[sku].apply(read).verdict == "applied"
        assert stocks[sku].available == 97

"""A person says which SKU a listing is; files of that are read strictly; what is nearly alike is only shown."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.domain.count_sheet import Problem
from daemon.domain.instants import Instant, Span
from daemon.domain.link_problems import nearly_alike, spelling
from daemon.domain.link_sheet import LinkRow, is_link_sheet, read_links, written_links
from daemon.domain.observations import LevelReport, OrderLine, StockCount
from daemon.domain.policy import Policy
from daemon.domain.sku import Link, ReadBack, Sku

NOW = 50


def at(us: int) -> Instant:
    return Instant(Span(us, us), Span(us, us))


def counted(units: int) -> Sku:
    sku = Sku("A")
    sku.step(StockCount("person", "A", units, at=at(10)), 10, lambda _: Policy())
    return sku


def test_a_listing_that_a_person_links_is_read_before_anything_is_pushed_to_it() -> None:
    sku = counted(5)
    step = sku.step(Link("shop", "L", linked=True, by="ann"), NOW, lambda _: Policy())
    (slot,) = step.slots
    assert (step.verdict, step.log) == ("linked", True)
    assert (slot.desired, slot.belief, slot.needs_push(), slot.recheck_us) == (5, None, False, NOW)
    sku.step(ReadBack("shop", "L", 9, at(60)), 61, lambda _: Policy())
    assert (slot.desired, slot.belief, slot.needs_push()) == (5, 9, True)


def test_what_the_channel_sold_after_the_listing_was_read_is_in_the_belief() -> None:
    """The order came before its level was read, and changed after that."""
    sku = counted(5)
    placed = OrderLine("shop", "1", "1", "A", 1, version=1, at=at(20), placed=at(20), listing="L")
    sku.step(placed, 20, lambda _: Policy())
    sku.step(Link("shop", "L", linked=True, by="ann"), NOW, lambda _: Policy())
    later = OrderLine("shop", "1", "1", "A", 3, version=2, at=at(70), placed=at(20), listing="L")
    sku.step(later, 71, lambda _: Policy())
    sku.step(ReadBack("shop", "L", 9, at(65)), 72, lambda _: Policy())
    assert sku.slots["shop", "L"].belief == 7


def test_a_listing_that_is_no_sku_any_more_is_gone_and_the_others_stay() -> None:
    sku = counted(5)
    for listing in ("L", "M"):
        sku.step(LevelReport("shop", listing, 2, at(20)), 20, lambda _: Policy())
    step = sku.step(Link("shop", "L", linked=False, by="ann"), NOW, lambda _: Policy())
    assert (step.verdict, step.before, step.after) == ("unlinked", 5, 5)
    assert list(sku.slots) == [("shop", "M")]


@pytest.mark.parametrize(
    ("one", "other"), [("Tee-Red", "TEE-RED"), ("tee red", "teered"), ("TEE ", "TEE"), ("TEE", "ＴＥＥ"), ("ß", "SS")]
)
def test_skus_that_differ_by_case_or_blanks_alone_are_nearly_alike(one: str, other: str) -> None:
    assert spelling(one) == spelling(other)
    assert nearly_alike([one, other, "else"]) == {one: (other,), other: (one,)}


def test_a_sku_is_not_nearly_like_itself() -> None:
    assert nearly_alike(["A", "A", "B", "A-1", "A1"]) == {}


TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12)
ROWS = st.lists(st.tuples(TEXT, TEXT, st.sampled_from(["", "TEE", "=1+1", "'x", "a,b", '"', "0123"])), max_size=8)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(ROWS)
def test_a_file_of_links_reads_back_as_it_was_written(rows: list[tuple[str, str, str]]) -> None:
    wanted = {(channel.strip(), listing): sku for channel, listing, sku in rows if channel.strip()}
    links = [
        LinkRow(0, channel, listing, sku, "", "ann", "a title", "repeated")
        for (channel, listing), sku in wanted.items() if not channel.startswith("'")
    ]  # fmt: skip
    raw = "".join(written_links(links)).encode()
    assert is_link_sheet(raw)
    read = list(read_links(raw))
    assert all(isinstance(each, LinkRow) for each in read), read
    assert [(each.channel, each.listing, each.sku) for each in read if isinstance(each, LinkRow)] == [
        (each.channel, each.listing, each.sku) for each in links
    ]


@pytest.mark.parametrize(
    "raw", [b"sku,quantity\nA,1\n", b"channel,listing,sku,quantity\n", b"", b"\xff\xfe", b"channel\n"]
)
def test_a_file_of_something_else_is_none_of_links(raw: bytes) -> None:
    assert not is_link_sheet(raw)


def test_every_wrong_line_is_named() -> None:
    raw = (
        b"channel;listing;sku;reason\nshop;L1;A;x\nshop;L1;B;\nshop;;C;\nshop;L2\n;L3;D;\nshop;L4;\x01;\nshop;L5;;y\n"
    )
    read = list(read_links(raw))
    assert [each.line for each in read if isinstance(each, Problem)] == [3, 4, 5, 6, 7]
    assert [each for each in read if isinstance(each, LinkRow)] == [
        LinkRow(2, "shop", "L1", "A", "x"), LinkRow(8, "shop", "L5", "", "y"),
    ]  # fmt: skip
    (unknown,) = read_links(b"channel,listing,sku,colour\n")
    assert isinstance(unknown, Problem)
    assert "there is no column 'colour'" in unknown.sentence

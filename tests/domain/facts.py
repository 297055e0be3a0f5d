"""Arbitrary facts about one SKU, drawn from a small world so that they meet."""

from __future__ import annotations

from hypothesis import strategies as st

from daemon.domain.instants import Instant, Span
from daemon.domain.observations import Adjustment, Observation, OrderLine, StockCount

SKU = "A"
CHANNELS = ("shop", "site")
LOCATIONS = ("", "east")
NOON = 1_000_000

moments = st.integers(0, 12).map(lambda tick: NOON + tick * 10)
widths = st.sampled_from([0, 0, 0, 5, 10, 25])


@st.composite
def instants(draw: st.DrawFn) -> Instant:
    """A moment on our clock, mostly with one on the source's own clock, which runs ahead by 7."""
    lo, width = draw(moments), draw(widths)
    own = draw(st.none() | st.sampled_from([0, 0, 9]).map(lambda wide: Span(lo + 7, lo + 7 + wide)))
    return Instant(Span(lo, lo + width), own)


units = st.integers(0, 4)


@st.composite
def order_lines(draw: st.DrawFn) -> OrderLine:
    """Any version of any of a few lines; two draws may well contradict each other."""
    return OrderLine(
        channel=draw(st.sampled_from(CHANNELS)),
        order=draw(st.sampled_from("12")),
        line=draw(st.sampled_from("ab")),
        sku=SKU,
        ordered=draw(units),
        cancelled=draw(st.sampled_from([0, 0, 1, 2])),
        restocked=draw(st.sampled_from([0, 0, 1])),
        fulfilled=draw(units),
        version=draw(st.integers(0, 4)),
        read_us=draw(st.sampled_from([0, 0, 0, 5, 9])),
        at=draw(instants()),
        placed=draw(st.none() | instants()),
        takes_at_placement=draw(st.booleans()),
        listing=draw(st.sampled_from(["", "L"])),
        location=draw(st.sampled_from(LOCATIONS)),
    )


@st.composite
def counts(draw: st.DrawFn) -> StockCount:
    """A count by a person or by a channel itself."""
    return StockCount(
        source=draw(st.sampled_from(["person", "shop"])),
        sku=SKU,
        quantity=draw(st.integers(-3, 20)),
        kind=draw(st.sampled_from(["available", "on_hand"])),
        at=draw(instants()),
        location=draw(st.sampled_from(LOCATIONS)),
        reference=draw(st.sampled_from(["", "c1"])),
    )


@st.composite
def adjustments(draw: st.DrawFn) -> Adjustment:
    """A receipt or a damage; a reference may be told with two contents."""
    return Adjustment(
        source=draw(st.sampled_from(["person", "shop"])),
        reference=draw(st.sampled_from("xyz")),
        sku=SKU,
        quantity=draw(st.integers(-5, 5)),
        at=draw(instants()),
        location=draw(st.sampled_from([*LOCATIONS, "west"])),
    )


observations: st.SearchStrategy[Observation] = st.one_of(order_lines(), order_lines(), counts(), adjustments())


@st.composite
def retold(draw: st.DrawFn, most: int = 10) -> tuple[list[Observation], list[Observation]]:
    """The same facts told in two ways: in one order, and in another with repetitions."""
    told = draw(st.lists(observations, min_size=1, max_size=most))
    again = draw(st.permutations(told))
    return told, [*again, *draw(st.lists(st.sampled_from(told), max_size=4))]

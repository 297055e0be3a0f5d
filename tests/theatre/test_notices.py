"""How long news took, and why a unit could be sold twice: on ledgers and logs small enough to reckon by hand."""

from __future__ import annotations

from typing import Any

from adapters.stamps import rfc3339
from daemon.theatre.notices import Notice, notices, percentile, spread
from daemon.theatre.oversold import explain
from daemon.theatre.truth import Book, Entry, Movement, Write, oversales

T0 = 1_795_000_000_000_000
SKU = "TEE"


def at(ms: float) -> int:
    return T0 + int(ms * 1_000)


def back(store: str, order: str, ms: float, units: int = 1) -> Movement:
    return Movement(at(ms), store, order, "1", SKU, units)


def sale(store: str, order: str, ms: float, units: int = 1) -> Movement:
    return Movement(at(ms), store, order, "1", SKU, -units)


def written(ms: float, before: int, after: int, *, late: bool = False) -> Write:
    return Write(at(ms), SKU, before, after, late)


def book(store: str, stock: int, *steps: Movement | Write) -> Book:
    movements = [step for step in steps if isinstance(step, Movement)]
    writes = [step for step in steps if isinstance(step, Write)]
    sold = -sum(each.units for each in movements)
    return Book(store, {SKU: Entry(stock, sold, 0, 0)}, movements, writes)


def heard(
    seq: int, ms: float, store: str, order: str, before: int, after: int, by: str = "webhook"
) -> dict[str, Any]:
    cause = {"delivery": 1, "order": order, "line": "1", "by": by}
    return {
        "seq": seq, "at": rfc3339(at(ms)), "sku": SKU, "kind": "order", "channel": store, "cause": cause,
        "before": before, "after": after,
    }  # fmt: skip


def sent(seq: int, ms: float, store: str, level: int) -> dict[str, Any]:
    return {
        "seq": seq, "at": rfc3339(at(ms)), "sku": SKU, "kind": "push_sent", "channel": store, "cause": {"by": "push"},
        "before": None, "after": None, "level": level,
    }  # fmt: skip


def test_news_has_come_when_the_first_push_after_hearing_is_written() -> None:
    books = [book("one", 9, sale("one", "O-1", 0)), book("two", 9, written(25, 9, 8))]
    (told,) = notices(books, [heard(1, 10, "one", "O-1", 9, 8), sent(2, 12, "two", 8)])
    assert (told.store, told.by, told.pushed) == ("two", "webhook", True)
    assert (told.propagation_ms, told.reaction_ms) == (25.0, 15.0)


def test_a_push_that_was_under_way_before_the_news_does_not_count() -> None:
    books = [book("one", 9, sale("one", "O-2", 0)), book("two", 9, written(15, 7, 9), written(40, 9, 8))]
    events = [sent(1, 5, "two", 9), heard(2, 10, "one", "O-2", 9, 8), sent(3, 30, "two", 8)]
    (told,) = notices(books, events)
    assert told.propagation_ms == 40.0


def test_where_the_right_number_is_on_show_already_nothing_is_pushed() -> None:
    books = [book("one", 9, sale("one", "O-1", 0)), book("two", 9, sale("two", "O-9", 5))]
    events = [heard(1, 10, "one", "O-1", 9, 8)]
    told = [each for each in notices(books, events) if each.sale.order == "O-1"]
    assert [(each.pushed, each.propagation_ms) for each in told] == [(False, 10.0)]


def test_a_sale_that_nobody_heard_of_has_reached_nobody() -> None:
    books = [book("one", 9, sale("one", "O-1", 0)), book("two", 9)]
    (told,) = notices(books, [])
    assert (told.heard_us, told.reached_us, told.propagation_ms, told.reaction_ms) == (None, None, None, None)


def test_a_push_that_never_arrives_leaves_the_news_open() -> None:
    books = [book("one", 9, sale("one", "O-1", 0)), book("two", 9)]
    (told,) = notices(books, [heard(1, 10, "one", "O-1", 9, 8), sent(2, 12, "two", 8)])
    assert told.pushed
    assert told.reached_us is None


def test_a_unit_sold_twice_is_explained_by_the_sale_whose_news_was_under_way() -> None:
    books = [book("one", 1, sale("one", "O-1", 0)), book("two", 1, sale("two", "O-2", 8))]
    events = [heard(1, 20, "one", "O-1", 1, 0, by="poll"), heard(2, 21, "two", "O-2", 0, -1)]
    (found,) = explain(oversales(books), notices(books, events), books)
    assert found.complete
    said = found.document()
    assert (said["storefront"], said["order"], said["units"]) == ("two", "O-2", 1)
    assert said["not_yet_known_there"] == [
        {
            "storefront": "one", "order": "O-1", "units": 1, "sold_at": rfc3339(at(0)), "oversold_after_ms": 8.0,
            "daemon_heard_after_ms": 20.0, "heard_by": "poll", "notice_took_ms": 20.0,
        }
    ]  # fmt: skip
    assert found.sentence() == (
        "1 of TEE sold twice: two sold it in O-2, 8.0 ms after one had in O-1; the news took 20.0 ms: 20.0 until the "
        "daemon heard (from the list of orders, before its webhook came or because it was lost), 0.0 until two took "
        "the new number"
    )


def test_news_still_on_its_way_is_said_to_be() -> None:
    books = [book("one", 1, sale("one", "O-1", 0)), book("two", 1, sale("two", "O-2", 8))]
    for events, said in (
        ([], "the daemon has not heard of it yet"),
        ([heard(1, 3, "one", "O-1", 1, 0)], "the daemon heard by webhook after 3.0 ms; two does not know yet"),
    ):
        (found,) = explain(oversales(books), notices(books, events), books)
        assert found.complete
        assert found.sentence().endswith(said)


def test_a_unit_sold_twice_after_the_news_had_come_is_not_explained() -> None:
    books = [book("one", 1, sale("one", "O-1", 0)), book("two", 1, written(20, 1, 0), sale("two", "O-2", 500))]
    events = [heard(1, 10, "one", "O-1", 1, 0), sent(2, 12, "two", 0), heard(3, 510, "two", "O-2", 0, -1)]
    (found,) = explain(oversales(books), notices(books, events), books)
    assert not found.complete
    assert not found.document()["explained"]
    assert "nobody knows why" in found.sentence()


def test_a_write_that_came_to_life_late_explains_what_it_raised() -> None:
    books = [
        book("one", 1, sale("one", "O-1", 0)),
        book("two", 1, written(20, 1, 0), written(400, 0, 1, late=True), sale("two", "O-2", 500)),
    ]
    events = [heard(1, 10, "one", "O-1", 1, 0), sent(2, 12, "two", 0), heard(3, 510, "two", "O-2", 0, -1)]
    (found,) = explain(oversales(books), notices(books, events), books)
    assert found.complete
    assert found.raised == 1


def returning(*after: Movement | Write) -> list[Book]:
    """One unit, sold at both storefronts; then the second one takes its own back: it is the first one's buyer's."""
    return [
        book("one", 1, sale("one", "O-1", 0)),
        book("two", 1, sale("two", "O-2", 5), back("two", "O-2", 400), *after),
    ]


KNOWN = [heard(1, 20, "one", "O-1", 1, 0), heard(2, 21, "two", "O-2", 0, -1)]


def test_a_unit_taken_back_while_it_was_owed_elsewhere_can_be_sold_before_the_daemon_hears() -> None:
    books = returning(sale("two", "O-4", 450))
    found = explain(oversales(books), notices(books, KNOWN), books)[-1]
    assert found.unseen == ()
    assert (found.returned, found.complete) == (1, True)
    assert found.sentence().endswith("just after it had taken 1 back that was owed elsewhere")


def test_a_unit_taken_back_explains_nothing_once_the_daemon_has_put_the_number_right() -> None:
    books = returning(written(420, 1, 0), written(430, 0, 1), sale("two", "O-4", 450))
    found = explain(oversales(books), notices(books, KNOWN), books)[-1]
    assert (found.returned, found.complete) == (0, False)


def test_an_explanation_must_account_for_every_unit() -> None:
    books = [book("one", 3, sale("one", "O-1", 0)), book("two", 9, sale("two", "O-2", 8, units=6))]
    events = [heard(1, 20, "one", "O-1", 3, 2), heard(2, 21, "two", "O-2", 2, -4)]
    (found,) = explain(oversales(books), notices(books, events), books)
    assert found.oversale.units == 4
    assert not found.complete


def test_figures_of_nothing_are_unknown_not_zero() -> None:
    assert percentile([], 0.5) is None
    assert spread([]) == {"count": 0, "p50": None, "p99": None, "slowest": None}
    assert spread([3.0, 1.0, 2.0]) == {"count": 3, "p50": 2.0, "p99": 3.0, "slowest": 3.0}


def test_the_daemons_own_share_is_unknown_until_it_heard() -> None:
    assert Notice(sale("one", "O-1", 0), "two", None, "", at(5), pushed=True).reaction_ms is None

"""How the news of each sale reached the other storefronts, from the ledgers and the daemon's event log. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import define, field, frozen

from adapters.stamps import rfc3339_span
from daemon.theatre.truth import Book, Movement, Write, in_time

Event = Mapping[str, Any]
"""An entry of the daemon's event log, as the admin socket shows it."""


@frozen
class Notice:
    """The news of one sale on its way to one other storefront. None: not yet.

    `by`: how the daemon heard of it (webhook, poll …) · `pushed`: False where the storefront showed the right
    number already when the daemon heard.
    """

    sale: Movement
    store: str
    heard_us: int | None
    by: str
    reached_us: int | None
    pushed: bool

    @property
    def propagation_ms(self) -> float | None:
        """From the sale to the new number at the other storefront."""
        return None if self.reached_us is None else (self.reached_us - self.sale.at_us) / 1_000

    @property
    def reaction_ms(self) -> float | None:
        """The daemon's own share of it: from hearing to the new number."""
        late = None in (self.reached_us, self.heard_us)
        return None if late else (self.reached_us - self.heard_us) / 1_000  # type: ignore[operator]  # neither is None


@define
class _Log:
    """The event log, by what is looked for in it."""

    first: dict[tuple[str, str, str], Event] = field(factory=dict)
    """(channel, order, line): the event by which the daemon heard of it."""
    pushes: dict[tuple[str, str], list[tuple[int, int, int]]] = field(factory=dict)
    """(channel, SKU): sequence number, moment and level of each push that left."""
    numbers: dict[str, list[tuple[int, int, int]]] = field(factory=dict)
    """SKU: sequence number, moment, and what every storefront should show from then on."""


def notices(books: Sequence[Book], events: Iterable[Event]) -> list[Notice]:
    """One for every sale and every other storefront that lists its SKU, in the order of the sales."""
    log = _read(events)
    writes: dict[tuple[str, str], list[Write]] = {}
    for book in books:
        for each in book.writes:
            writes.setdefault((book.store, each.sku), []).append(each)
    return [
        _notice(sale, book, log, writes.get((book.store, sale.sku), []))
        for sale in in_time(books)
        if sale.units < 0
        for book in books
        if book.store != sale.store and sale.sku in book.skus
    ]


def _read(events: Iterable[Event]) -> _Log:
    log = _Log()
    for event in events:
        cause = event["cause"]
        if event["kind"] == "order":
            log.first.setdefault((event["channel"], cause["order"], cause["line"]), event)
        elif event["kind"] == "push_sent":
            pushes = log.pushes.setdefault((event["channel"], event["sku"]), [])
            pushes.append((event["seq"], _us(event["at"]), event["level"]))
        if event["after"] is not None:
            numbers = log.numbers.setdefault(event["sku"], [])
            numbers.append((event["seq"], _us(event["at"]), max(0, event["after"])))
    return log


def _notice(sale: Movement, book: Book, log: _Log, writes: Sequence[Write]) -> Notice:
    event = log.first.get((sale.store, sale.order, sale.line))
    if event is None:
        return Notice(sale, book.store, None, "", None, pushed=False)
    seq, heard_us, by = event["seq"], _us(event["at"]), event["cause"]["by"]
    written_us = _written_us(_since(log.pushes.get((book.store, sale.sku), []), seq + 1), writes)
    right_us = next(
        (
            at_us
            for _, at_us, level in _since(log.numbers.get(sale.sku, []), seq)
            if book.shows_at(sale.sku, at_us) == level
        ),
        None,
    )
    if right_us is not None and (written_us is None or right_us < written_us):
        # What had happened there in the meantime left the right number on show: nothing had to be pushed.
        return Notice(sale, book.store, heard_us, by, right_us, pushed=False)
    return Notice(sale, book.store, heard_us, by, written_us, pushed=True)


def _written_us(pushes: Iterable[tuple[int, int, int]], writes: Sequence[Write]) -> int | None:
    """When the first of these pushes was accepted."""
    for _, sent_us, level in pushes:
        place = bisect_left(writes, sent_us, key=lambda write: write.at_us)
        for write in writes[place:]:
            if write.after == level:
                return write.at_us
    return None


def _since(log: Sequence[tuple[int, int, int]], seq: int) -> Sequence[tuple[int, int, int]]:
    return log[bisect_left(log, seq, key=lambda each: each[0]) :]


def _us(at: str) -> int:
    span = rfc3339_span(at)
    assert span is not None, f"the event log has a stamp that cannot be read: {at}"
    return span.lo


def percentile(values: Sequence[float], part: float) -> float | None:
    """The value below which `part` (0 to 1) of them lie; None of none."""
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * part))], 3) if ordered else None


def spread(values: Sequence[float]) -> dict[str, float | int | None]:
    """Milliseconds as a document: how many, median, 99 %, and the slowest."""
    return {
        "count": len(values), "p50": percentile(values, 0.5), "p99": percentile(values, 0.99),
        "slowest": round(max(values), 3) if values else None,
    }  # fmt: skip

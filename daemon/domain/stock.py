"""The stock of one SKU: a join of everything that sources told of it, and the one number that follows.

    available = anchor + adjustments after it - units that order lines took after it       (anchor: available)
    available = anchor + adjustments after it - units taken now + units fulfilled by then  (anchor: on hand)
    on_hand   = available + held

It may be negative: that is debt, and the next restock pays it. It is None while nobody has counted.
Any permutation, repetition and splitting of the same observations gives the same stock, byte for byte.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from attrs import define, field, frozen

from daemon.domain.instants import SECOND_US, Instant, Order, Span, compare
from daemon.domain.lines import Content, Line, Sighting, line_of
from daemon.domain.observations import Adjustment, CountKind, Observation, OrderLine, StockCount

LineKey = tuple[str, str, str]
"""(channel, order, line)"""

Verdict = Literal["applied", "known", "superseded", "conflict", "late"]
"""applied: the stock learned something · known: nothing new · superseded: a newer count holds it already ·
conflict: learned, but the source contradicts itself, fetch the order again · late: older than what has been
settled, not applied, to be quarantined."""


SETTLE_MARGIN_US = 3_600 * SECOND_US
"""What lies this close to the settlement horizon is not folded yet: told again by way of another estimate of its
source's clock, it might lie on the other side of the horizon, pass for new, and count twice."""

NO_FLOORS: Mapping[str, int] = {}


@frozen
class Anchor:
    """The newest count of one location."""

    quantity: int
    kind: CountKind
    at: Instant
    source: str
    reference: str

    def rank(self) -> tuple[Span, str, str, int, str, tuple[Span, bool, Span]]:
        """Newest first to whoever wins; total, so that ties break the same way everywhere."""
        return (self.at.at, self.source, self.reference, -self.quantity, self.kind, self.at.rank())


@frozen
class Movement:
    """An adjustment, kept until it is settled: also one that a count holds, so that telling it again with another
    content gives the same whichever came first."""

    quantity: int
    at: Instant
    location: str

    def rank(self) -> tuple[int, tuple[Span, bool, Span], str]:
        """The safer one first; total."""
        return (self.quantity, self.at.rank(), self.location)


class Share(NamedTuple):
    """What one line or adjustment contributes. `units` leave what is available; `held` are still on the shelf;
    `own` are held by its channel for this very SKU's listing, not for a kit that it is a part of."""

    units: int
    held: int
    ambiguous: bool
    own: int = 0


NOTHING = Share(0, 0, ambiguous=False)


@frozen
class Applied:
    """What an observation did: its verdict and the numbers on both sides of it."""

    verdict: Verdict
    before: int | None
    after: int | None
    line_before: Line | None = None
    line_after: Line | None = None

    @property
    def gave_back(self) -> bool:
        """Does the line take less than it did, or than it was ordered, before anybody told us of it? One that takes
        nothing when we first hear of it has given back all: some platforms tell only what is left of a line."""
        if self.line_after is None:
            return False
        now = self.line_after.now()
        return now.taken < (self.line_before.now().taken if self.line_before else max(now.ordered, 1))


@define
class Stock:
    """All that is known of one SKU's stock. Mutated only through `apply` and `settle`."""

    anchors: dict[str, Anchor] = field(factory=dict)
    lines: dict[LineKey, Line] = field(factory=dict)
    adjustments: dict[tuple[str, str], Movement] = field(factory=dict)
    settled_us: int = 0
    """What was placed and last changed before this is folded away; later news of it is late."""
    settled: dict[str, int] = field(factory=dict)
    """Units that folded lines and adjustments of each location have taken since the count they are measured by."""
    _units: int = field(default=0, eq=False)
    _held: int = field(default=0, eq=False)
    _ambiguous: int = field(default=0, eq=False)
    _own: dict[tuple[str, str], int] = field(factory=dict, eq=False)
    """Units held by (channel, listing), as the lines name it."""
    _open: dict[LineKey, None] = field(factory=dict, eq=False)
    """Lines with units that are sold and not handed over: few, beside all that are kept."""

    # -- the numbers --

    @property
    def available(self) -> int | None:
        """Units that may be sold; negative is debt; None while nobody has counted."""
        if not self.anchors:
            return None
        counted = sum(anchor.quantity for anchor in self.anchors.values())
        return counted - sum(self.settled.values()) - self._units

    @property
    def held(self) -> int:
        """Units sold and not yet handed over."""
        return self._held

    @property
    def on_hand(self) -> int | None:
        """Units on the shelf."""
        available = self.available
        return None if available is None else available + self.held

    @property
    def debt(self) -> int:
        """Units sold that are not there."""
        return max(0, -(self.available or 0))

    @property
    def ambiguous(self) -> int:
        """Facts of which nobody can say on which side of a count they fall; the lower number holds."""
        return self._ambiguous

    def stands_at(self, where: str, kind: CountKind) -> int | None:
        """What a count of `where` would have to say to change nothing: its share of what is available or on hand,
        movements of places without a count being the primary one's. None where nobody counted there."""
        anchor = self.anchors.get(where)
        if anchor is None:
            return None
        shares = [
            self._line_share(key, line)
            for key, line in self.lines.items()
            if self._anchor_of(line.now().location)[0] == where
        ] + [
            self._movement_share(name, movement)
            for name, movement in self.adjustments.items()
            if self._anchor_of(movement.location)[0] == where
        ]
        available = anchor.quantity - self.settled_by(where) - sum(share.units for share in shares)
        return available if kind == "available" else available + sum(share.held for share in shares)

    def held_at(self, channel: str, listing: str, *, alone: bool) -> int:
        """Units that `channel` sold through `listing` and that are not sent yet. Lines that name no listing are of
        this one where it is `alone`; else nobody can tell, and they are left out."""
        return self._own.get((channel, listing), 0) + (self._own.get((channel, ""), 0) if alone else 0)

    def open_lines(self) -> list[tuple[LineKey, Line]]:
        """Lines with units that are sold and not handed over, in order; a kit's own lines, too."""
        return [(key, self.lines[key]) for key in sorted(self._open)]

    # -- learning --

    def apply(self, seen: Observation) -> Applied:
        """Join one observation into the stock. Never fails; the verdict says what came of it."""
        before = self.available
        match seen:
            case OrderLine():
                return self._apply_line(seen, before)
            case StockCount():
                verdict = self._apply_count(seen)
            case Adjustment():
                verdict = self._apply_adjustment(seen)
        return Applied(verdict, before, self.available)

    def _apply_line(self, seen: OrderLine, before: int | None) -> Applied:
        key = (seen.channel, seen.order, seen.line)
        known = self.lines.get(key)
        verdict, line = self._met(known, seen)
        if line is None or line == known:
            return Applied(verdict, before, before, known, known)
        if known is not None:
            self._line_out(key, known)
        self.lines[key] = line
        self._line_in(key, line)
        return Applied(verdict, before, self.available, known, line)

    def _met(self, known: Line | None, seen: OrderLine) -> tuple[Verdict, Line | None]:
        """What an order line and what is known of it come to; None where it is late."""
        if known is None and (seen.placed or seen.at).at.hi < self.settled_us:
            return "late", None
        line = line_of(seen) if known is None else known.join(line_of(seen))
        if line == known:
            return "known" if known.holds(seen) else "conflict", known
        return "conflict" if line.contradicted_by(seen) else "applied", line

    def would(self, seen: OrderLine) -> tuple[Verdict, bool]:
        """The verdict of `apply`, and whether it would change anything; nothing changes by asking."""
        known = self.lines.get((seen.channel, seen.order, seen.line))
        verdict, line = self._met(known, seen)
        return verdict, line is not None and line != known

    def _apply_count(self, seen: StockCount) -> Verdict:
        anchor = Anchor(seen.quantity, seen.kind, seen.at, seen.source, seen.reference)
        current = self.anchors.get(seen.location)
        if current is not None and anchor.rank() <= current.rank():
            return "known" if anchor.rank() == current.rank() else "superseded"
        if anchor.at.at.hi < self.settled_us:
            return "late"
        self.anchors[seen.location] = anchor
        # It is newer than everything folded, so it holds what was folded of the places that it now speaks for.
        primary = seen.location == min(self.anchors)
        for where in list(self.settled):
            if where == seen.location or (primary and where not in self.anchors):
                del self.settled[where]
        self._recount()
        return "applied"

    def _apply_adjustment(self, seen: Adjustment) -> Verdict:
        key = (seen.source, seen.reference)
        movement = Movement(seen.quantity, seen.at, seen.location)
        known = self.adjustments.get(key)
        if known is None and seen.at.at.hi < self.settled_us:
            return "late"
        if known is not None:
            # One reference told twice with two contents: the lower number is the safer one, whichever came first.
            movement = min(known, movement, key=Movement.rank)
            if movement == known:
                return "known"
        self._count_out(self._movement_share(key, known) if known else NOTHING)
        self.adjustments[key] = movement
        share = self._movement_share(key, movement)
        self._count_in(share)
        return "superseded" if share == NOTHING and movement.quantity else "applied"

    def settle(self, horizon_us: int, floors: Mapping[str, int] = NO_FLOORS) -> int:
        """Fold what was placed and last changed well before `horizon_us`; returns how much was folded.

        The numbers do not change by it; what arrives later about folded facts is late. An order line that still
        holds units is not history yet, and one of which nobody knows when it was placed could not be told from a
        new one: both stay. So does what is told again by the next poll, from `floors` on, however old it is: folded,
        it would pass for late news, at every poll of a quiet channel.
        """
        if horizon_us <= self.settled_us:
            return 0
        lines = [
            key for key, line in self.lines.items()
            if self._foldable(line) and _ended_before(line, horizon_us, floors.get(key[0]))
        ]  # fmt: skip
        movements = [
            name for name, each in self.adjustments.items() if self.anchors and _long_before(each.at, horizon_us)
        ]
        if not lines and not movements:
            return 0
        for key in lines:
            line = self.lines[key]
            self._fold(line.now().location, self._line_share(key, line).units)
            self._line_out(key, line)
            del self.lines[key]
        for name in movements:
            movement = self.adjustments.pop(name)
            share = self._movement_share(name, movement)
            self._fold(movement.location, share.units)
            self._count_out(share)
        self.settled_us = horizon_us
        return len(lines) + len(movements)

    def settles(self, horizon_us: int, floors: Mapping[str, int] = NO_FLOORS) -> bool:
        """Would `settle` fold anything?"""
        return any(
            self._foldable(line) and _ended_before(line, horizon_us, floors.get(key[0]))
            for key, line in self.lines.items()
        ) or bool(self.anchors and any(_long_before(each.at, horizon_us) for each in self.adjustments.values()))

    def _foldable(self, line: Line) -> bool:
        """What nobody counted waits for its count; a kit's own line waits for nothing, there will be none."""
        return bool(self.anchors) or line.whole

    def _fold(self, location: str, units: int) -> None:
        self.settled[location] = self.settled.get(location, 0) + units
        if not self.settled[location]:
            del self.settled[location]

    def settled_by(self, where: str) -> int:
        """Folded units that are measured by the count of `where`."""
        return sum(units for each, units in self.settled.items() if self._anchor_of(each)[0] == where)

    # -- sums --

    def _anchor_of(self, location: str) -> tuple[str, Anchor]:
        """The anchor that movements at `location` count against: its own, or the primary one."""
        where = location if location in self.anchors else min(self.anchors)
        return where, self.anchors[where]

    def _line_share(self, key: LineKey, line: Line) -> Share:
        now = line.now()
        held = now.taken - now.fulfilled
        if line.whole:
            return Share(0, 0, ambiguous=False, own=held)
        own = 0 if line.kit else held
        if not self.anchors:
            return Share(now.taken, held, ambiguous=False, own=own)
        _, anchor = self._anchor_of(now.location)
        same_source = key[0] == anchor.source
        if anchor.kind == "available":
            then = line.taken_as_of(anchor.at, same_source=same_source)
        else:
            then = line.fulfilled_as_of(anchor.at, same_source=same_source)
        return Share(now.taken - then.units, held, then.ambiguous, own)

    def _movement_share(self, key: tuple[str, str], movement: Movement) -> Share:
        if not self.anchors:
            return Share(-movement.quantity, 0, ambiguous=False)
        _, anchor = self._anchor_of(movement.location)
        match compare(movement.at, anchor.at, same_source=key[0] == anchor.source):
            case Order.BEFORE:
                return NOTHING
            case Order.AFTER:
                return Share(-movement.quantity, 0, ambiguous=False)
            case Order.UNCLEAR:
                return Share(max(0, -movement.quantity), 0, ambiguous=True)

    def _line_in(self, key: LineKey, line: Line) -> None:
        share = self._line_share(key, line)
        self._count_in(share)
        if share.held or share.own:
            self._open[key] = None
        if share.own:
            where = (key[0], line.listing)
            self._own[where] = self._own.get(where, 0) + share.own

    def _line_out(self, key: LineKey, line: Line) -> None:
        share = self._line_share(key, line)
        self._count_out(share)
        self._open.pop(key, None)
        if share.own:
            self._own[key[0], line.listing] -= share.own

    def _count_in(self, share: Share) -> None:
        self._units += share.units
        self._held += share.held
        self._ambiguous += share.ambiguous

    def _count_out(self, share: Share) -> None:
        self._units -= share.units
        self._held -= share.held
        self._ambiguous -= share.ambiguous

    def _recount(self) -> None:
        self._units = self._held = self._ambiguous = 0
        self._own, self._open = {}, {}
        for key, line in self.lines.items():
            self._line_in(key, line)
        for name, movement in self.adjustments.items():
            self._count_in(self._movement_share(name, movement))


def _long_before(moment: Instant, horizon_us: int) -> bool:
    return moment.at.hi < horizon_us - SETTLE_MARGIN_US


def _ended_before(line: Line, horizon_us: int, floor_us: int | None) -> bool:
    if line.placed is None or not _long_before(line.placed, horizon_us):
        return False
    if floor_us is not None and any(each.at.own and each.at.own.hi >= floor_us for each in line.sightings):
        return False
    now = line.now()
    return now.taken == now.fulfilled and all(_long_before(sighting.at, horizon_us) for sighting in line.sightings)


# --- the stored form: plain tuples, sorted, so that equal stocks are equal bytes ------------------------------

Plain = tuple[object, ...]


def dump(stock: Stock) -> Plain:
    """The stock as plain nested tuples in one canonical order."""
    return (
        stock.settled_us,
        tuple(sorted(stock.settled.items())),
        tuple((where, *dump_anchor(anchor)) for where, anchor in sorted(stock.anchors.items())),
        tuple((*key, *dump_line(line)) for key, line in sorted(stock.lines.items())),
        tuple(
            (*key, movement.quantity, dump_instant(movement.at), movement.location)
            for key, movement in sorted(stock.adjustments.items())
        ),
    )


def load(plain: Plain) -> Stock:
    """The inverse of `dump`. Raises `ValueError`/`TypeError` on anything else."""
    settled_us, settled, anchors, lines, adjustments = plain
    stock = Stock(settled_us=settled_us, settled=dict(settled))  # type: ignore[arg-type,call-overload]  # the codec checked the seal; shape errors raise below
    for where, quantity, kind, at, source, reference in anchors:  # type: ignore[attr-defined]  # as above
        stock.anchors[where] = Anchor(quantity, kind, load_instant(at), source, reference)
    for channel, order, line, *timeline in lines:  # type: ignore[attr-defined]  # as above
        stock.lines[channel, order, line] = load_line(timeline)
    for source, reference, quantity, at, location in adjustments:  # type: ignore[attr-defined]  # as above
        stock.adjustments[source, reference] = Movement(quantity, load_instant(at), location)
    stock._recount()
    return stock


Sums = tuple[int, int, int, tuple[tuple[tuple[str, str], int], ...], tuple[LineKey, ...]]
"""(units, held, ambiguous, own by (channel, listing), open lines): what `Stock` knows of its lines and adjustments
without looking at them."""


def sums_of(stock: Stock) -> Sums:
    """The sums as they stand, so that they need not be added up again."""
    own = tuple(sorted((where, units) for where, units in stock._own.items() if units))
    return (stock._units, stock._held, stock._ambiguous, own, tuple(sorted(stock._open)))


def resumed(plain: Plain, lines: dict[LineKey, Line], sums: list[Any]) -> Stock:
    """A stock without its lines (`plain`, see `dump`) joined with them and with their sums as `sums_of` gave them.
    Nothing is added up, unless the sums are from before open lines were among them."""
    stock = load(plain)
    stock.lines = lines
    stock._units, stock._held, stock._ambiguous, own, *opened = sums
    if not opened:
        stock._recount()
        return stock
    stock._own = {(where[0], where[1]): units for where, units in own}
    stock._open = {(key[0], key[1], key[2]): None for key in opened[0]}
    return stock


def dump_anchor(anchor: Anchor) -> Plain:
    return (anchor.quantity, anchor.kind, dump_instant(anchor.at), anchor.source, anchor.reference)


def dump_line(line: Line) -> Plain:
    sightings = tuple((s.version, s.read_us, dump_instant(s.at), s.contents) for s in line.sightings)
    placed = dump_instant(line.placed) if line.placed is not None else None
    kit = (line.kit, line.whole) if line.kit else ()
    return (sightings, placed, line.takes_at_placement, line.listing, *kit)


def load_line(plain: list[Any]) -> Line:
    """The inverse of `dump_line`."""
    sightings, placed, takes, listing, *kit = plain
    return Line(
        tuple(
            Sighting(version, read_us, load_instant(at), tuple(Content(*content) for content in contents))
            for version, read_us, at, contents in sightings
        ),
        load_instant(placed) if placed is not None else None,
        takes,
        listing,
        *kit,
    )


def dump_instant(instant: Instant) -> Plain:
    """`(lo, hi)` or `(lo, hi, own lo, own hi)`, microseconds."""
    if instant.own is None:
        return (instant.at.lo, instant.at.hi)
    return (instant.at.lo, instant.at.hi, instant.own.lo, instant.own.hi)


def load_instant(plain: Plain) -> Instant:
    """The inverse of `dump_instant`."""
    lo, hi, *own = plain
    return Instant(Span(lo, hi), Span(*own) if own else None)  # type: ignore[arg-type]  # Span compares them

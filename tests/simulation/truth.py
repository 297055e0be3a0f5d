"""What truly happened: every order line's life and every level, kept as the storefronts' ledgers grow."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from attrs import define, field

from adapters.stamps import rfc3339_span
from daemon.domain.instants import SECOND_US
from daemon.domain.observations import Adjustment, StockCount
from daemon.domain.policy import Policy
from tests.simulation.kits import scaled, shares

if TYPE_CHECKING:
    from tests.simulation.fronts import Front

UNSURE_US = 320 * SECOND_US
"""So far from a count the daemon may be unsure about an order's place: the width of an unknown clock."""

LineName = tuple[str, str]
"""(order, line) of one storefront."""


@define
class Version:
    """A line as one version of its order leaves it. `own_us` is the storefront's clock."""

    number: int
    at_us: int
    own_us: int
    ordered: int
    cancelled: int = 0
    restocked: int = 0
    fulfilled: int = 0
    struck: bool = False
    """From this version on the order does not list the line."""

    def taken(self) -> int:
        return max(0, self.ordered - self.cancelled - self.restocked)

    def held_back(self) -> int:
        return min(self.fulfilled, self.taken())

    def held_by(self, kind: str) -> int:
        """Units that a count of this kind, made now, holds already."""
        return self.taken() if kind == "available" else self.held_back()


@define
class TrueLine:
    channel: str
    order: str
    name: str
    sku: str
    versions: list[Version] = field(factory=list)

    def numbers(self, version: Version, last: int) -> range:
        """The versions of the order, of `last` in all, under which this line stands as in `version`."""
        for each in self.versions:
            if each.number > version.number:
                return range(version.number, each.number)
        return range(version.number, last + 1)

    def as_of(self, at_us: int, own_us: int | None) -> Version | None:
        """`own_us`: the same moment on this storefront's clock, where that is known exactly."""
        found = None
        for version in self.versions:
            if (version.own_us <= own_us) if own_us is not None else (version.at_us <= at_us):
                found = version
        return found


class Heard(deque[Any]):
    """A ledger's list that says what is added to it."""

    def __init__(self, items: Iterable[Any], told: Callable[[Any], None]) -> None:
        super().__init__(items)
        self._told = told

    def append(self, item: Any) -> None:
        super().append(item)
        self._told(item)


class FrontTruth:
    """One storefront's orders and levels as they truly are."""

    def __init__(self, front: Front, wrote: Callable[[Front, Any], None]) -> None:
        self.front = front
        self.lines: dict[LineName, TrueLine] = {}
        self.by_sku: dict[str, list[TrueLine]] = defaultdict(list)
        self.last: dict[str, int] = defaultdict(int)
        """The newest version of each order."""
        self.stamps: dict[str, list[int]] = defaultdict(list)
        """When each order changed, on the storefront's clock."""
        self.taken: dict[str, int] = defaultdict(int)
        """Units of each SKU that its orders hold now."""
        self.moves: dict[str, list[tuple[int, int]]] = defaultdict(list)
        """What writes did to each listing: (own clock, units)."""
        ledger = front.store.ledger
        ledger.changes = Heard(ledger.changes, self._changed)
        ledger.writes = Heard(ledger.writes, lambda write: self._wrote(write, wrote))

    def _changed(self, change: Any) -> None:
        order = self.front.store.shop.orders[change.order]
        self.last[order.id] += 1
        self.stamps[order.id].append(own(change.at))
        for name in order.lines if change.kind == "sold" else change.lines:
            line = self.lines.get((order.id, name))
            if line is None:
                sku = order.lines[name].listing.sku
                line = self.lines[order.id, name] = TrueLine(self.front.name, order.id, name, sku)
                self.by_sku[sku].append(line)
            before = line.versions[-1].taken() if line.versions else 0
            line.versions.append(_next(line, self.last[order.id], name, change))
            self.taken[line.sku] += line.versions[-1].taken() - before

    def _wrote(self, write: Any, told: Callable[[Front, Any], None]) -> None:
        if write.applied and write.before != write.after:
            self.moves[write.listing].append((own(write.at), write.after - write.before))
        told(self.front, write)

    def takers(self, sku: str) -> list[TrueLine]:
        """The lines that take units of the SKU from the shelf, also as parts of a kit."""
        kits = self.front.world.plan.kits
        return [
            scaled(line, units) if sold != sku else line
            for sold, lines in self.by_sku.items()
            for part, units in shares(sold, kits) if part == sku
            for line in lines
        ]  # fmt: skip

    def level(self, sku: str, own_us: int) -> int:
        """What the SKU's listing showed at this moment of the storefront's clock."""
        listing = self.front.store.shop.by_sku[sku]
        moved = sum(units for at, units in self.moves[listing.id] if at <= own_us)
        taken = sum(then.taken() for line in self.by_sku[sku] if (then := line.as_of(0, own_us)))
        return self.front.store.ledger.initial[listing.id] + moved - taken

    def placed_us(self, order: str) -> int:
        """When an order was placed, on the world's clock."""
        return self.front.clock.issued[self.front.store.shop.orders[order].created_us]

    def moved_since(self, sku: str, own_us: int) -> int:
        """Units that orders took off the SKU's listing after this moment of the storefront's clock."""
        then = sum(version.taken() for line in self.by_sku[sku] if (version := line.as_of(0, own_us)))
        return self.taken[sku] - then


@define
class Truth:
    """`slack`: units of which the daemon may honestly not know on which side of the count they lie. `unseen`: what
    its numbers may be off by, because it never saw the version of an order that was current when somebody counted."""

    available: int
    slack: int = 0
    unseen: tuple[int, int] = (0, 0)


@define
class Basis:
    """What a truth is worked out from: the newest count, taken at some moment of `[at_us, until_us]`; the adjustments
    in the log; the versions of lines in the log; and up to when the daemon has folded old facts away."""

    count: StockCount
    at_us: int
    until_us: int
    applied: Iterable[Adjustment]
    sighted: dict[tuple[str, str, str], set[int]]
    settled_us: int = 0


def truth_of(fronts: dict[str, FrontTruth], sku: str, basis: Basis) -> Truth:
    """What is available of a SKU."""
    count = basis.count
    own_us = count.at.own.lo if count.at.own else None
    truth = Truth(count.quantity)
    for each in basis.applied:
        if each.at.at.lo > count.at.at.hi:
            truth.available += each.quantity
        elif each.at.at.hi > count.at.at.lo:
            truth.available += min(0, each.quantity)  # while it was counted: the lower number holds
    least = most = 0
    for front in fronts.values():
        for line in front.takers(sku):
            then = line.as_of(basis.at_us, own_us if line.channel == count.source else None)
            before = then.held_by(count.kind) if then else 0
            truth.available -= line.versions[-1].taken() - before
            for off in (*_never_seen(line, then, basis, front), *_doubts(line, basis, front)):
                least, most = least + min(0, off), most + max(0, off)
            # As long as no answer told its storefront's clock, the daemon has its stamp alone.
            moments = (us for version in line.versions for us in (version.at_us, version.own_us))
            if any(abs(us - basis.at_us) <= UNSURE_US for us in moments):
                units = max(version.ordered for version in line.versions)
                if line.versions[0].at_us < basis.settled_us:
                    least -= units  # folded as the lower number that it was then
                else:
                    truth.slack += units
    truth.unseen = (least, most)
    return truth


def _never_seen(line: TrueLine, then: Version | None, basis: Basis, front: FrontTruth) -> list[int]:
    """How many units more the count may hold in the daemon's eyes, as it never saw the version that was current."""
    known = basis.sighted.get((line.channel, line.order, line.name), set())
    last = front.last[line.order]
    if then is None or not known.isdisjoint(line.numbers(then, last)):
        return []
    if not known and line.versions[-1].struck:
        return [-then.held_by(basis.count.kind)]  # no version that anybody can still fetch lists it
    earlier = [each for each in line.versions if each.number < then.number]
    earlier = [each for each in earlier if not known.isdisjoint(line.numbers(each, last))] or line.versions[:1]
    return [earlier[-1].held_by(basis.count.kind) - then.held_by(basis.count.kind)]


def _doubts(line: TrueLine, basis: Basis, front: FrontTruth) -> list[int]:
    """The same where nobody can blame it: because a clock had been set and no answer had told it yet, or because we
    do not know exactly when it took the count."""
    if line.channel == basis.count.source:
        return []
    kind, offs = basis.count.kind, []
    for place, version in enumerate(line.versions):
        misread_us = front.front.clock.misread_us(version.at_us)
        margin_us = misread_us + SECOND_US if misread_us else 0
        near = basis.at_us - margin_us <= version.at_us <= basis.until_us + margin_us
        if near and (margin_us or basis.until_us > basis.at_us):
            earlier = line.versions[place - 1].held_by(kind) if place else 0
            offs += [version.held_by(kind) - earlier, earlier - version.held_by(kind)]
    return offs


def shown(available: int, policy: Policy) -> int:
    """The level that a policy makes of what is available."""
    left = max(0, available - policy.buffer)
    if policy.share < 1:
        left = int(left * policy.share + 1e-9)
    return left if policy.cap is None else min(left, policy.cap)


def _next(line: TrueLine, number: int, name: str, change: Any) -> Version:
    units = change.lines.get(name, 0)
    if not line.versions:
        return Version(number, change.at_us, own(change.at), units)
    before = line.versions[-1]
    after = Version(
        number, change.at_us, own(change.at), before.ordered, before.cancelled, before.restocked, before.fulfilled
    )
    match change.kind:
        case "cancelled" | "removed":
            after.cancelled += units
            after.struck = change.kind == "removed"
        case "fulfilled":
            after.fulfilled += units
        case "refunded" if change.restock:
            after.restocked += units
    return after


def own(stamp: str) -> int:
    """A stamp of a storefront, on its clock."""
    span = rfc3339_span(stamp)
    assert span is not None
    return span.lo

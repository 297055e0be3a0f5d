"""The stock formula written down a second time, slowly and without any running sum: what the fast one must equal."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Literal, NamedTuple

from daemon.domain.instants import Instant
from daemon.domain.observations import Adjustment, Observation, OrderLine, StockCount

Side = Literal["in it", "after", "unclear"]


class Numbers(NamedTuple):
    available: int | None
    held: int
    on_hand: int | None


def side(movement: tuple[int, int], count: tuple[int, int]) -> Side:
    """Where an interval lies to a count's."""
    if movement[1] <= count[0]:
        return "in it"
    return "after" if movement[0] > count[1] else "unclear"


def side_of(movement: Instant, count: Instant, *, one_clock: bool) -> Side:
    if one_clock and movement.own and count.own:
        return side((movement.own.lo, movement.own.hi), (count.own.lo, count.own.hi))
    return side((movement.at.lo, movement.at.hi), (count.at.lo, count.at.hi))


def hull(instants: Sequence[Instant]) -> tuple[tuple[int, int], tuple[int, int] | None]:
    owns = [each.own for each in instants if each.own]
    own = (min(each.lo for each in owns), max(each.hi for each in owns)) if owns else None
    return (min(each.at.lo for each in instants), max(each.at.hi for each in instants)), own


class State(NamedTuple):
    """A line as one version leaves it."""

    at: tuple[tuple[int, int], tuple[int, int] | None]
    ordered: int
    taken: int
    fulfilled: int
    location: str


def states(told: Sequence[OrderLine]) -> list[State]:
    """Every version of one line, oldest first; of contradicting contents the one that takes most counts."""
    found: list[State] = []
    cancelled = restocked = fulfilled = 0
    for _, group in groupby(sorted(told, key=_version), key=_version):
        same = list(group)
        most = min(
            same,
            key=lambda each: (
                -(each.ordered - each.cancelled - each.restocked),
                (each.ordered, each.cancelled, each.restocked, each.fulfilled, each.location),
            ),
        )
        before = cancelled + restocked
        cancelled, restocked = max(cancelled, most.cancelled), max(restocked, most.restocked)
        # What came back since may have been sent before: so far it may be less than it was, if the version says so.
        fulfilled = max(most.fulfilled, fulfilled - (cancelled + restocked - before))
        taken = max(0, most.ordered - cancelled - restocked)
        at = hull([each.at for each in same])
        found.append(State(at, most.ordered, taken, min(taken, fulfilled), most.location))
    return found


def _version(line: OrderLine) -> tuple[int, int]:
    return (line.version, line.read_us)


def numbers(told: Sequence[Observation]) -> Numbers:
    """available = anchor + adjustments after it - (taken now - taken, or fulfilled, by then); lower where unclear."""
    counts: dict[str, StockCount] = {}
    for each in told:
        if isinstance(each, StockCount):
            known = counts.get(each.location)
            if known is None or _newness(each) > _newness(known):
                counts[each.location] = each
    lines: dict[tuple[str, str, str], list[OrderLine]] = {}
    moves: dict[tuple[str, str], list[Adjustment]] = {}
    for each in told:
        if isinstance(each, OrderLine):
            lines.setdefault((each.channel, each.order, each.line), []).append(each)
        elif isinstance(each, Adjustment):
            moves.setdefault((each.source, each.reference), []).append(each)
    held = sum(last.taken - last.fulfilled for last in (states(line)[-1] for line in lines.values()))
    if not counts:
        return Numbers(None, held, None)
    available = sum(count.quantity for count in counts.values())
    available -= sum(_gone(key[0], line, counts) for key, line in lines.items())
    available += sum(_moved(contents, counts) for contents in moves.values())
    return Numbers(available, held, available + held)


def _newness(count: StockCount) -> object:
    own = count.at.own
    return (
        count.at.at.lo, count.at.at.hi, count.source, count.reference, -count.quantity, count.kind,
        own is not None, (own.lo, own.hi) if own else (0, 0),
    )  # fmt: skip


def _count_for(location: str, counts: dict[str, StockCount]) -> StockCount:
    return counts[location] if location in counts else counts[min(counts)]


def _gone(channel: str, told: list[OrderLine], counts: dict[str, StockCount]) -> int:
    versions = states(told)
    count = _count_for(versions[-1].location, counts)
    one_clock = channel == count.source
    at = (count.at.at.lo, count.at.at.hi)
    own = (count.at.own.lo, count.at.own.hi) if count.at.own else None
    possible = {0} if count.kind == "on_hand" else _before(told, versions[0], count, one_clock=one_clock)
    for version in versions:
        place = side(version.at[1], own) if one_clock and own and version.at[1] else side(version.at[0], at)
        if place == "after":
            break
        units = version.taken if count.kind == "available" else version.fulfilled
        possible = {units} if place == "in it" else possible | {units}
    return versions[-1].taken - min(possible)


def _before(told: list[OrderLine], first: State, count: StockCount, *, one_clock: bool) -> set[int]:
    """What the line may have taken before its first known version."""
    stamps = [each.placed for each in told if each.placed]
    if not stamps:
        return {0}
    at, own = hull(stamps)
    if one_clock and own and count.at.own:
        place = side(own, (count.at.own.lo, count.at.own.hi))
    else:
        place = side(at, (count.at.at.lo, count.at.at.hi))
    if place == "after":
        return {0}
    if place == "in it" and any(each.takes_at_placement for each in told):
        return {first.ordered}
    return {0, first.ordered}


def _moved(contents: list[Adjustment], counts: dict[str, StockCount]) -> int:
    safest = min(contents, key=lambda each: (each.quantity, _stamp(each.at), each.location))
    count = _count_for(safest.location, counts)
    match side_of(safest.at, count.at, one_clock=safest.source == count.source):
        case "in it":
            return 0
        case "after":
            return safest.quantity
        case _:
            return min(0, safest.quantity)


def _stamp(at: Instant) -> object:
    own = at.own or at.at
    return (at.at.lo, at.at.hi, at.own is not None, own.lo, own.hi)

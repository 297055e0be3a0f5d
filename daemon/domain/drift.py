"""Why a listing shows what it should not: every cause that the evidence allows, the likeliest first.

Pure. A cause has a score between 0 and 1, to rank it, no probability; and one sentence that says what speaks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal, get_args

from attrs import frozen

from daemon.domain.sightings import Done

Cause = Literal[
    "missing order", "double application", "late stale push", "unapplied push", "foreign edit", "cap or rounding",
    "kit multiple", "wrong link", "channel lag",
]  # fmt: skip
"""missing order: a sale that we had not heard of · double application: the channel took a sale off twice · late stale
push: an older push of ours came through after a newer one · unapplied push: the channel accepted our newest one, and
did not do it · foreign edit: somebody else set the number · cap or rounding: the channel makes another number of
what we push · kit multiple: it counts in another unit, packs or single pieces · wrong link: the listing sells another
SKU · channel lag: a stale copy answered"""

CAUSES: Final[tuple[Cause, ...]] = get_args(Cause)

RECENT_US: Final = 3_600_000_000
"""A sale so short before is remembered by whoever takes it off twice."""
PACKS: Final = (2, 3, 4, 5, 6, 8, 10, 12, 20, 24, 25, 48, 50, 100)
"""Packs that goods come in."""


@frozen
class Sale:
    """Units that an order of the channel took (or gave back, if negative), and when we heard of it. `by` poll: only
    its order feed told it."""

    order: str
    units: int
    at_us: int
    by: str


@frozen
class Earlier:
    """A push of ours. `believed`: what was shown before it; `doubted`: once nobody knew what became of it."""

    generation: int
    level: int
    at_us: int
    doubted: bool = False
    believed: int | None = None


@frozen
class Evidence:
    """Everything that is known of one listing that was seen to show `shown` instead of `expected` (units).

    first_shown, first_expected, first_us: at the first look; None where there was none · done: what becomes of it ·
    with_push: the channel stamps the change with the moment of our newest push · sales: of this listing, oldest first
    · pushes: ours, oldest first · units: how many are in a kit that is this SKU, or of which it is a part ·
    seller_sku: the channel's word for what the listing sells, where it is not ours · twins: SKUs of which the channel
    should show this very number · before: (expected, shown) of earlier drifts of this listing that were not adopted,
    newest first
    """

    sku: str
    shown: int
    expected: int
    at_us: int
    done: Done = "corrected"
    first_shown: int | None = None
    first_expected: int | None = None
    first_us: int = 0
    with_push: bool = False
    sales: tuple[Sale, ...] = ()
    pushes: tuple[Earlier, ...] = ()
    units: tuple[int, ...] = ()
    seller_sku: str = ""
    twins: tuple[str, ...] = ()
    before: tuple[tuple[int, int], ...] = ()


@frozen
class Named:
    """A cause, its score and what speaks for it. `order`: the one that was missing, or counted twice."""

    cause: Cause
    score: float
    because: str
    order: str = ""


def attribute(seen: Evidence) -> tuple[Named, ...]:
    """Every cause that is possible, the likeliest first; never empty."""
    causes = _resolved(seen) if seen.done == "resolved" else [
        *_link(seen), *_kit(seen), *_making(seen), *_pushes(seen), *_twice(seen), *_unheard(seen), _edit(seen),
    ]  # fmt: skip
    best: dict[Cause, Named] = {}
    for each in causes:
        if each.cause not in best or each.score > best[each.cause].score:
            best[each.cause] = each
    return tuple(sorted(best.values(), key=lambda named: (-named.score, CAUSES.index(named.cause))))


def _resolved(seen: Evidence) -> list[Named]:
    """It is right by now: either what explains it was on its way, or what was shown first was stale."""
    found = [sale for sale in seen.sales if sale.at_us >= seen.first_us and sale.units]
    moved = (seen.first_expected or 0) - seen.expected
    named = []
    if found and moved and seen.first_shown == seen.expected:
        orders = ", ".join(dict.fromkeys(sale.order for sale in found))
        named.append(Named(
            "missing order", 0.95, f"order {orders} of {moved} was not known yet, and explains it exactly",
            found[0].order,
        ))  # fmt: skip
    elif found:
        orders = ", ".join(dict.fromkeys(sale.order for sale in found))
        named.append(
            Named("missing order", 0.6, f"order {orders} came meanwhile; the number is right now", found[0].order)
        )
    stale = 0.9 if not found else 0.4
    named.append(Named(
        "channel lag", stale, f"it showed {seen.first_shown}, and {seen.shown}, as is right, when asked again",
    ))  # fmt: skip
    return named


def _link(seen: Evidence) -> Iterator[Named]:
    if seen.seller_sku:
        yield Named("wrong link", 0.97, f"the channel says that this listing sells {seen.seller_sku}, not {seen.sku}")
    elif len(seen.twins) == 1 and seen.shown > 1:
        yield Named("wrong link", 0.42, f"{seen.shown} is what {seen.twins[0]} should show there, and no other SKU")


def _kit(seen: Evidence) -> Iterator[Named]:
    for units in seen.units:
        if units > 1 and seen.expected > 0 and seen.shown == seen.expected * units:
            yield Named(
                "kit multiple", 0.9, f"{seen.shown} is {seen.expected} x {units}: pieces, not kits of {units}"
            )
        elif units > 1 and seen.shown > 0 and seen.shown == seen.expected // units:
            yield Named(
                "kit multiple", 0.85, f"{seen.shown} is {seen.expected} / {units}: kits of {units}, not pieces"
            )


def _making(seen: Evidence) -> Iterator[Named]:
    """The channel makes another number of what it is told."""
    if not seen.pushes or seen.pushes[-1].doubted:
        return
    newest = seen.pushes[-1]
    if any(sale.units and sale.at_us > newest.at_us for sale in seen.sales) and not seen.with_push:
        return
    same = [pair for pair in seen.before if pair[1] == seen.shown and pair[0] > seen.shown]
    pack = _pack([(seen.expected, seen.shown), *(pair for pair in seen.before if pair[0] != pair[1])])
    sure = 0.3 if seen.with_push else 0.0
    if seen.shown < seen.expected and (same or seen.with_push):
        yield Named(
            "cap or rounding", 0.62 + sure + (0.05 if same else 0.0),
            f"{newest.level} was pushed and {seen.shown} is shown"
            + (f", as {len(same)} times before" if same else ": the channel stamps it with that very push"),
        )  # fmt: skip
    if pack > 1 and (seen.with_push or len(seen.before) > 0):
        yield Named("cap or rounding", 0.6 + sure, f"{seen.shown} is {seen.expected} in whole packs of {pack}")


def _pack(pairs: list[tuple[int, int]]) -> int:
    """The largest pack to which every (expected, shown) is rounded down, or every one up; 0 for none."""
    fits = [
        size for size in PACKS
        if all(shown == expected // size * size for expected, shown in pairs)
        or all(shown == -(-expected // size) * size for expected, shown in pairs)
    ]  # fmt: skip
    return fits[-1] if fits else 0


def _pushes(seen: Evidence) -> Iterator[Named]:
    """A push of ours explains it: one that came late, or the newest one, if it was not done."""
    if not seen.pushes:
        return
    *older, newest = seen.pushes
    before = newest.believed
    if before is not None and before != newest.level and not seen.with_push and _is(seen, before, newest.at_us):
        less = _less(before - seen.shown)
        yield Named(
            "unapplied push", 0.6,
            f"it showed {before} before push {newest.generation} of {newest.level}{less}: that push changed nothing",
        )  # fmt: skip
    for push in older:
        if push.level != newest.level and _is(seen, push.level, push.at_us):
            what = f"push {push.generation} of {push.level} was an earlier one{_less(push.level - seen.shown)}"
            if push.doubted:
                yield Named("late stale push", 0.88, f"{what}, and nobody knew what became of it")
            else:
                yield Named("late stale push", 0.5, f"{what}; it may have come through once more")


def _is(seen: Evidence, level: int, since_us: int) -> bool:
    """Is what is shown this level, less what was sold at some time since?"""
    return seen.shown in (level, *(level - units for units in _sold_since(seen, since_us)))


def _less(units: int) -> str:
    return f", less {units} sold since" if units else ""


def _sold_since(seen: Evidence, since_us: int) -> list[int]:
    """Units sold after any moment since then."""
    sums, total = [], 0
    for sale in reversed(seen.sales):
        if sale.at_us <= since_us:
            break
        total += sale.units
        sums.append(total)
    return sums


def _twice(seen: Evidence) -> Iterator[Named]:
    off = seen.expected - seen.shown
    for sale in reversed(seen.sales):
        if sale.units and sale.units == off:
            recent = seen.at_us - sale.at_us <= RECENT_US
            yield Named(
                "double application", 0.72 if recent else 0.38,
                f"the {abs(off)} of order {sale.order} {'are gone' if off > 0 else 'were given back'} twice",
                sale.order,
            )  # fmt: skip
            return


def _unheard(seen: Evidence) -> Iterator[Named]:
    off = seen.expected - seen.shown
    if 0 < off <= 3 and not seen.with_push:
        yield Named(
            "missing order", 0.25, f"{off} fewer than there should be: perhaps a sale that its feed never told"
        )


def _edit(seen: Evidence) -> Named:
    if seen.with_push:
        return Named("foreign edit", 0.2, "no order of ours or theirs makes this number")
    zero = ": it was set to sold out" if not seen.shown else ""
    return Named("foreign edit", 0.45, f"no order and no push makes {seen.shown} of {seen.expected}{zero}")

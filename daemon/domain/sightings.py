"""What a listing is seen to show, beside what it should show: when that is a suspicion, and when a drift.

A level that nothing we know explains is a suspicion. It is a drift when the listing is read once more on purpose,
every order up to then is absorbed, and what it shows is still not explained. Most suspicions end there: the order
that explains them was on its way, or a stale copy had answered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from attrs import frozen

from daemon.domain.instants import Instant
from daemon.domain.lines import Line
from daemon.domain.observations import Adjustment, LevelReport
from daemon.domain.policy import DriftRule
from daemon.domain.slot import PATIENCE_US, Slot, Suspicion
from daemon.domain.stock import LineKey

if TYPE_CHECKING:
    from daemon.domain.sku import ReadBack

LAGGING_US = 10_000_000
"""A reading that its channel itself dates so much before what we know, or less, is a lagging copy's."""

AGAIN_US = 60_000_000
"""A push that its channel turned into more than was wished is repeated so much later."""

Done = Literal["resolved", "corrected", "adopted", "reported", "kept"]
"""resolved: the second look found it explained · corrected: our level is pushed over it · adopted: taken for a fact ·
reported: nothing is pushed because of it · kept: the channel makes less of our push than we sent, and would again"""

Lines = dict[LineKey, Line]


@frozen
class Sighting:
    """What the second look at a listing found. Levels are units."""

    channel: str
    listing: str
    shown: int
    expected: int
    """What it should have shown by all we know."""
    wanted: int
    at: Instant
    first: Suspicion | None
    """The first look; None where a person decided, without any."""
    done: Done
    evidence_us: int
    """Up to when what it showed was explained (our clock)."""
    pushed_level: int
    pushed_us: int
    """The newest push that was confirmed; 0: none ever was."""
    seller_sku: str = ""


def adoption(sku: str, seen: Sighting) -> Adjustment:
    """The difference as the fact that somebody set there. Its reference stands for the evidence that it contradicts,
    so it counts once, however often it is found."""
    reference = f"drift of {seen.listing} since {seen.evidence_us}"
    return Adjustment(
        seen.channel, reference, sku, seen.shown - seen.expected, at=seen.at,
        reason=f"{seen.channel} was set to {seen.shown} where {seen.expected} was expected",
    )  # fmt: skip


def look(slot: Slot, seen: LevelReport, lines: Lines, now_us: int) -> Literal["known", "look", "suspected"]:
    """A level was read or told. known: nothing new · look: to be read back · suspected: that, and for the first time
    it shows what nothing explains."""
    if not unexplained(slot, seen, lines):
        return "known"
    doubted = in_doubt(slot) or slot.suspicion is not None or slot.desired is None
    expected = slot.expected(seen.at, lines)
    slot.ask_recheck(now_us + PATIENCE_US)
    if doubted or expected is None or seen.level is None:
        return "look"
    with_push = not seen.read_us and slot.base == slot.sent_level and _same_moment(seen.at, slot.base_at)
    slot.suspicion = Suspicion(seen.level, expected, now_us, "read" if seen.read_us else "told", with_push)
    return "suspected"


def in_doubt(slot: Slot) -> bool:
    """Is the listing to be read for another reason than a suspicion, so that what it shows says nothing by itself?"""
    return bool(slot.in_flight or slot.alive_until_us or (slot.recheck_us and slot.suspicion is None))


def unexplained(slot: Slot, seen: LevelReport, lines: Lines) -> bool:
    """Is it news that the listing shows this? Unknown is no news, nor is an echo, nor what is decided already."""
    if seen.level is None or slot.in_flight or slot.held in ("mass", "adopt", "correct"):
        return False
    if seen.level == slot.belief or _outdone(slot, seen):
        return False
    return slot.expected(seen.at, lines) != seen.level


def odd(slot: Slot, seen: LevelReport, lines: Lines) -> bool:
    """Does the listing, which nobody is about to read for another reason, show what nothing explains?"""
    if seen.level is None or in_doubt(slot):
        return False
    if slot.held == "mass":
        return seen.level not in (slot.belief, slot.desired, slot.expected(seen.at, lines))
    return unexplained(slot, seen, lines)


def read_back(
    slot: Slot, message: ReadBack, lines: Lines, now_us: int, rule: DriftRule, *, countable: bool
) -> Sighting | None:
    """The listing was read on purpose. The slot learns what it shows; returns what became of a suspicion, if any.

    countable: its number may be taken for a fact about the shelf."""
    level = message.level
    if level is not None and outdated(message.at, slot.base_at):
        slot.recheck_us = now_us + PATIENCE_US
        return None
    if slot.held == "mass":
        _read_amid_many(slot, message, lines, now_us)
        return None
    first, asked_us = slot.suspicion, message.at.at.lo
    decided = slot.held if slot.held in ("adopt", "correct") else ""
    if decided and level is not None and slot.alive_until_us > asked_us:
        slot.rechecked(asked_us)  # an older push may still change it: what was decided is done when that is over
        return None
    known = level is not None and not slot.alive_until_us and slot.desired is not None
    expected = slot.expected(message.at, lines) if known else None
    strange = expected is not None and level not in (expected, slot.desired)
    if strange and first is None and not decided and rule != "correct":
        assert level is not None
        assert expected is not None
        slot.rechecked(asked_us)
        slot.suspicion = Suspicion(level, expected, now_us, "read")
        slot.ask_recheck(now_us + PATIENCE_US)
        return None
    found = None
    if level is not None and expected is not None and (first is not None or (decided and strange)):
        found = _found(slot, message, level, expected, "adopt" if decided == "adopt" and countable else
                       "correct" if decided else rule)  # fmt: skip
    slot.suspicion = None
    slot.rechecked(asked_us)
    if level is not None:
        slot.rebase(level, message.at, lines, now_us)
    if message.look_us:
        slot.ask_recheck(message.look_us)
    if decided or level is None or level == slot.desired:
        slot.held = ""
    if found is not None and found.done in ("reported", "kept"):
        slot.held = "report"
    elif found is not None and found.done == "corrected":
        slot.held = ""
        if first is not None and first.with_push:
            slot.due_us = now_us + AGAIN_US
    return found


def _found(slot: Slot, message: ReadBack, level: int, expected: int, rule: DriftRule) -> Sighting:
    assert slot.desired is not None
    assert slot.base_at is not None
    first = slot.suspicion
    done: Done = "resolved"
    if first is not None and first.by == "confirmed" and level == expected:
        expected += first.expected - first.shown  # it shows what it said; it should show what we sent
    if level not in (expected, slot.desired):
        done = {"correct": "corrected", "adopt": "adopted", "report": "reported"}[rule]  # type: ignore[assignment]  # each is a Done
        if first is not None and first.with_push:
            done = "kept" if level < slot.desired else "corrected"
    return Sighting(
        slot.channel, slot.listing, level, expected, slot.desired, message.at, first, done, slot.base_at.at.hi,
        slot.sent_level, slot.pushed_us, message.seller_sku,
    )  # fmt: skip


def _read_amid_many(slot: Slot, message: ReadBack, lines: Lines, now_us: int) -> None:
    """It is held with many others. It need not be where it is right, and must not where it shows too much."""
    slot.rechecked(message.at.at.lo)
    if message.level is not None and slot.desired is not None and message.level >= slot.desired:
        slot.held = ""
        slot.rebase(message.level, message.at, lines, now_us)


def _outdone(slot: Slot, seen: LevelReport) -> bool:
    """Do we know better: is it older than our evidence, or, told by a webhook, an echo of what we wrote?"""
    base = slot.base_at
    if base is None:
        return False
    one, than = (seen.at.own, base.own) if seen.at.own and base.own else (seen.at.at, base.at)
    assert one is not None
    assert than is not None
    if seen.read_us:
        return one.lo <= (than.hi if one is seen.at.own else than.lo)
    # A stamp that may be that of our own write: the value tells. An older one is an earlier echo, whatever it says.
    return one.hi < than.lo or (one.lo <= than.hi and seen.level in (slot.base, slot.sent_level))


def _same_moment(one: Instant, than: Instant | None) -> bool:
    if than is None or one.own is None or than.own is None:
        return False
    return one.own.meet(than.own) is not None


def outdated(read: Instant, base: Instant | None) -> bool:
    """Did a copy of the channel answer that does not show yet what we know? Its clock alone may have been set back a
    little, so by that alone only what is a little older counts."""
    if base is None:
        return False
    if read.at.hi < base.at.lo:
        return True
    return read.own is not None and base.own is not None and 0 < base.own.lo - read.own.hi < LAGGING_US

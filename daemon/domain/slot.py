"""One outbox slot: what a listing should show, what we believe it shows, and the push between the two.

Invariants: at most one push in flight; what is sent is read when it is sent; an answer settles only the
generation it answers; a slot is settled only when the belief equals the wish and no older request can still
be alive at the channel (a timed-out request may be applied after a newer one was confirmed).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from attrs import define, field, frozen

from daemon.domain.instants import Instant
from daemon.domain.lines import Line
from daemon.domain.stock import LineKey, Plain, dump_instant, load_instant

SlotState = Literal["settled", "pending", "in_flight", "held", "dead", "paused", "shadow"]

PATIENCE_US = 2_000_000
"""A level that cannot be right, or cannot be told, is looked at again after this: the order that explains it is
often already on its way."""

TOUCHED_MAX = 256
"""Own-channel lines remembered since the last evidence; more of them ask for fresh evidence."""

RECENT_US = 60_000_000
"""Orders that were read this much before a try that came to nothing are still recent enough to raise by."""

Held = Literal["", "report", "mass", "adopt", "correct"]
"""Why nothing is pushed to a listing although its level is not the wished one: `report`: it drifted, and that is
only reported · `mass`: it changed together with so many others that a person must say what to make of it ·
`adopt`, `correct`: the person said so; the listing is read once more before that is done."""


@frozen
class Suspicion:
    """The first sighting of a level that nothing we know explains. Only a second one makes it a drift."""

    shown: int
    expected: int
    at_us: int
    by: Literal["told", "read", "refused", "confirmed"]
    """Told by a webhook; read; a compare-and-set refused; or our own push, confirmed with another level."""
    with_push: bool = False
    """The channel stamps the change with the very moment of our newest push."""


class Move(NamedTuple):
    """What a line has taken since the evidence, and whether it allows no other number."""

    units: int
    clear: bool


STILL = Move(0, clear=True)
"""Of a line that is folded away."""


@define
class Slot:
    """A listing of a SKU on a channel. `_us` are microseconds of our clock; 0 means "not at all"."""

    channel: str
    listing: str
    sku: str

    desired: int | None = None
    generation: int = 0
    wanted_us: int = 0
    """When the present wish came up."""
    raised_us: int = field(default=0, kw_only=True)
    """When what is wished last went up: a wish that only falls rests on no newer reason to raise anything."""

    base: int | None = None
    """The level of the newest evidence: an acknowledged push or a read."""
    base_at: Instant | None = None
    """When the channel showed it."""
    belief: int | None = None
    """What the channel shows now: the evidence, less what it has sold since, plus what it took back."""
    touched: list[LineKey] = field(factory=list)
    """Own-channel lines that may have moved the level since the evidence."""

    in_flight: int = 0
    """The generation under way, 0 for none."""
    sent_level: int = 0
    sent_us: int = 0
    settled_generation: int = 0

    attempt: int = 0
    due_us: int = 0
    """Not before this: backoff, or a throttled channel."""
    recheck_us: int = 0
    """Read the listing back at this moment, before anything else is pushed."""
    alive_until_us: int = 0
    """An older request may still be applied by the channel until then."""
    error: str = ""
    dead_letter: int = 0
    """The dead letter that stopped this slot, 0 for none."""
    pushed_us: int = 0

    suspicion: Suspicion | None = None
    """What it was seen to show that cannot be explained yet."""
    held: Held = ""
    unplaced: int = 0
    """Units of the channel moved of which nobody can say through which listing, or whether they show there, at this
    moment at the latest: until it is read as of then, what it should show is not known. 0: there are none."""
    added: int = 0
    """Units sold there and not sent yet, when it was wished last; 0 on channels that are not told of them."""
    prior: int | None = None
    """A person wants it to show this again, what it showed before it was pushed to, whatever the stock is."""

    _moves: dict[LineKey, Move] = field(factory=dict, init=False, eq=False, repr=False)
    """What the touched lines have moved since `base_at`. One sale more costs the same however many there were: a
    listing that is not pushed for a day has thousands."""
    _moved: int = field(default=0, init=False, eq=False, repr=False)
    _vague: int = field(default=0, init=False, eq=False, repr=False)
    """The sum of all moves, and how many of them are not clear."""
    _due: dict[LineKey, None] | None = field(default=None, init=False, eq=False, repr=False)
    """Touched lines that are to be reckoned again; None: all of them."""

    # -- the wish --

    def want(self, level: int | None, now_us: int, added: int = 0) -> bool:
        """The wished level changed? Then a new generation begins, with its own attempts. True if so.

        An unknown level (None) keeps the last wish: unknown is never zero and never a raise.
        """
        self.added = added
        if level is None or level == self.desired:
            return False
        if self.desired is None or level > self.desired:
            self.raised_us = now_us
        self.desired = level
        self.generation += 1
        self.wanted_us = now_us
        self.attempt = 0
        self.dead_letter = 0
        self.error = ""
        return True

    # -- the evidence --

    def rebase(self, level: int, at: Instant, lines: dict[LineKey, Line], now_us: int) -> None:
        """New evidence: the channel showed `level` at `at`. `lines` are the SKU's order lines.

        A sale so close to it that nobody can say on which side it lies asks for another look a little later.
        """
        self.base, self.base_at = level, at
        if at.at.lo < self.unplaced:
            self.ask_recheck(now_us + PATIENCE_US)  # it was read before that
        else:
            self.unplaced = 0
        self._due = None
        self.touched = [key for key in self.touched if key in lines and _moved(lines[key], at)[0] is not False]
        if not self._believe(lines):
            self.ask_recheck(now_us + PATIENCE_US)

    def touch(self, key: LineKey, lines: dict[LineKey, Line], now_us: int) -> None:
        """An order line of this very channel changed: its units moved the channel's own level."""
        if self.base is None or self.base_at is None:
            return
        if self._due is None:
            known = key in self.touched
        else:
            known = key in self._moves
            self._due[key] = None
        if not known:
            self.touched.append(key)
        clear = self._believe(lines)
        if (not clear and not self.in_flight) or len(self.touched) > TOUCHED_MAX:
            self.ask_recheck(now_us + PATIENCE_US)

    def _believe(self, lines: dict[LineKey, Line]) -> bool:
        assert self.base is not None
        assert self.base_at is not None
        if self._due is None:
            self._moves, self._moved, self._vague = {}, 0, 0
        for key in self.touched if self._due is None else self._due:
            before, line = self._moves.get(key, STILL), lines.get(key)
            move = self._moves[key] = STILL if line is None else _move(line, self.base_at)
            self._moved += move.units - before.units
            self._vague += before.clear - move.clear
        self._due = {}
        self.belief = self.base - self._moved
        return not self._vague

    def line_changed(self, key: LineKey) -> None:
        """An order line of the channel is not what it was. Tell this of every one."""
        if self._due is not None and key in self._moves:
            self._due[key] = None

    def lines_changed(self) -> None:
        """Any order lines may not be what they were, or be gone."""
        self._due = None

    def unclear(self) -> bool:
        """Is there a sale of which nobody can say whether the evidence holds it? The belief is the lowest then."""
        return bool(self._vague or self._due or (self._due is None and self.touched))

    def rests_on_less_than(self, lines: dict[LineKey, Line]) -> bool:
        """Is a line gone that the belief takes into account? Then only new evidence tells what the channel shows."""
        return any(key not in lines for key in self.touched)

    def ask_recheck(self, at_us: int) -> None:
        """Read the listing back, at `at_us` or earlier if that was asked before."""
        self.recheck_us = min(self.recheck_us, at_us) if self.recheck_us else at_us

    def expected(self, at: Instant, lines: dict[LineKey, Line]) -> int | None:
        """What the listing showed at `at`, if nothing happened but what we know: the evidence, less what the channel
        sold between. None where nobody can tell exactly."""
        if self.base is None or self.base_at is None or self.unplaced:
            return None
        level = self.base
        for key in self.touched:
            line = lines.get(key)
            if line is None:
                return None
            then, there = (line.taken_as_of(moment, same_source=True) for moment in (self.base_at, at))
            if then.ambiguous or there.ambiguous:
                return None
            level -= there.units - then.units
        return level

    def hold(self, held: Held, now_us: int) -> None:
        """Somebody says what to make of what it shows; what they decided is done by the next reading back."""
        self.held = held
        if self.suspicion is not None and not self.alive_until_us and not self.unplaced:
            self.recheck_us = 0
        self.suspicion = None
        if held in ("adopt", "correct"):
            self.ask_recheck(now_us)

    def estrange(self, now_us: int, alive_until_us: int) -> None:
        """Another life of ours may have pushed here what this one does not know: what it shows must be read before
        anything else, and once more when no push of that life can be alive."""
        self.suspicion = None
        self.unplaced = self.base is not None
        self.alive_until_us = max(self.alive_until_us, alive_until_us)
        self.ask_recheck(now_us)

    # -- the push --

    def withheld(self) -> bool:
        """Is nothing to be pushed now, whatever is wished?"""
        return bool(self.held)

    def needs_push(self) -> bool:
        """Is there a difference that a push would mend?"""
        return self.desired is not None and self.belief is not None and self.desired != self.belief

    def raises(self) -> bool:
        """Might a push of the wish raise what the channel shows? A push nobody answered may have lowered it, and so
        may a sale, where it was seen to show less than is believed and nobody knows yet why.

        Zero raises nothing: below it, where a belief goes that sales have outrun, there is nothing to buy either."""
        if not self.desired or self.belief is None:
            return False
        unanswered = self.sent_level if self.alive_until_us else self.belief
        seen = self.suspicion.shown if self.suspicion else self.belief
        return self.desired > min(self.belief, unanswered, seen)

    def raises_blindly(self) -> bool:
        """Would it raise what an unanswered push may have changed, and nobody has looked since?

        Compare-and-set does not help here: pushed from 4 to 6, and sold down to 4 again, it looks untouched.
        """
        if not self.alive_until_us or not self.raises():
            return False
        return self.base_at is None or self.base_at.at.lo <= self.sent_us

    def raise_needs_us(self, *, compares: bool) -> int:
        """Up to when the channel's orders must have been read before a raise may leave.

        Up to what it rests on: the moment at which the wish last went up (sales elsewhere, which let it fall again,
        do not put off the raise for ever), what was seen there and is not explained yet, and nearly up to a try that
        came to nothing: a channel that was down for long has sold meanwhile. Where the channel `compares` the wish
        with our belief, sales since the evidence show by themselves. But a catalogue shows a level whose sales
        nobody may have told us of yet: until a listing was pushed once, its channel's orders must be read up to the
        evidence.
        """
        shown_us = self.base_at.at.hi if self.base_at is not None and not self.pushed_us else 0
        if compares:
            return shown_us
        seen_us = self.suspicion.at_us if self.suspicion else 0
        tried_us = self.sent_us - RECENT_US if self.sent_us > self.pushed_us and not self.in_flight else 0
        return max(self.raised_us, shown_us, seen_us, tried_us)

    def closes(self) -> bool:
        """Is zero to be pushed before anything is read back? It raises nothing, whatever the listing shows; and while
        that is read, with every order up to then, shoppers buy. So it goes once as soon as it is wished; and again
        where it would leave behind an older push that nobody answered and that says more."""
        free = not self.in_flight and not self.dead_letter and not self.withheld()
        again = self.sent_level > 0 and bool(self.alive_until_us)
        return free and self.desired == 0 and self.needs_push() and (not self.attempt or again)

    def open(self) -> bool:
        """Is there anything left to do for this slot: a push, an answer, or a reading back?"""
        return not self.dead_letter and bool(
            self.in_flight or self.recheck_us or self.alive_until_us or (self.needs_push() and not self.withheld())
        )

    def send(self, now_us: int) -> int:
        """The push leaves now; returns the level it carries."""
        assert self.desired is not None
        assert not self.in_flight
        self.in_flight = self.generation
        self.sent_level = self.desired
        self.sent_us = now_us
        self.attempt += 1
        return self.sent_level

    def without_raise(self, held: int) -> int | None:
        """The most that may be wished while nothing may be raised: the last wish, less what was sent since, which the
        channel does not take off any more. `held`: units sold there and not sent yet."""
        return None if self.desired is None else max(0, self.desired - max(0, self.added - held))

    def confirm(
        self, generation: int, level: int, at: Instant, lines: dict[LineKey, Line], now_us: int, look_us: int = 0
    ) -> bool:
        """The channel acknowledged `generation` with `level`. False if that is not the one in flight.

        look_us: it is to be read back at that moment, because the channel may not have done it."""
        if generation != self.in_flight:
            return False
        self.in_flight = 0
        self.settled_generation = generation
        self.attempt = 0
        self.error = ""
        self.due_us = 0
        self.pushed_us = now_us
        self.rebase(level, at, lines, now_us)
        if look_us:
            self.ask_recheck(look_us)
        self.suspicion = None
        if level != self.sent_level:
            self.suspicion = Suspicion(level, self.sent_level, now_us, "confirmed", with_push=True)
            # "Accepted", but the channel shows something else: look again before believing either.
            self.ask_recheck(now_us)
        return True

    def fail(self, generation: int, error: str, *, retry_us: int, dead_letter: int) -> bool:
        """The push surely did not happen. Either it is due again at `retry_us`, or a dead letter stops the slot."""
        if generation != self.in_flight:
            return False
        self.in_flight = 0
        self.error = error
        self.due_us = retry_us
        if generation == self.generation:
            self.dead_letter = dead_letter
        return True

    def doubt(
        self, generation: int, error: str, *, retry_us: int, alive_until_us: int, shown: int | None, now_us: int
    ) -> bool:
        """Nobody knows whether the push happened, or will: read back first, and once more when it must be dead.

        `shown`: what the channel refused it for, where it compared."""
        if generation != self.in_flight:
            return False
        if shown is not None and self.belief is not None and not (self.alive_until_us or alive_until_us):
            self.suspicion = Suspicion(shown, self.belief, now_us, "refused")
        self.in_flight = 0
        self.error = error
        self.due_us = retry_us
        self.alive_until_us = max(self.alive_until_us, alive_until_us)
        self.recheck_us = retry_us
        return True

    def rechecked(self, asked_us: int) -> None:
        """The listing was read back by a request made at `asked_us`; asks for one more look if an older push may
        have been alive then, whenever the answer came."""
        self.recheck_us = 0
        self.error = ""
        if self.alive_until_us > asked_us:
            self.recheck_us = self.alive_until_us
        else:
            self.alive_until_us = 0


def _move(line: Line, at: Instant) -> Move:
    then = line.taken_as_of(at, same_source=True)
    return Move(line.now().taken - then.units, not then.ambiguous)


def _moved(line: Line, at: Instant) -> tuple[bool | None, int]:
    """Did the line move after `at` (None: nobody can tell)? And how many units it took since."""
    then = line.taken_as_of(at, same_source=True)
    units = line.now().taken - then.units
    if then.ambiguous:
        return None, units
    return units != 0, units


_PLAIN = 21
"""Values of every stored slot; the rarer ones follow."""


def dump_slot(slot: Slot) -> Plain:
    """The slot as plain tuples."""
    return (
        slot.channel, slot.listing, slot.sku,
        slot.desired, slot.generation, _dump_wanted(slot),
        slot.base, dump_instant(slot.base_at) if slot.base_at else None, slot.belief, tuple(slot.touched),
        slot.in_flight, slot.sent_level, slot.sent_us, slot.settled_generation,
        slot.attempt, slot.due_us, slot.recheck_us, slot.alive_until_us,
        slot.error, slot.dead_letter, slot.pushed_us,
        *_dump_doubts(slot),
    )  # fmt: skip


def _dump_wanted(slot: Slot) -> int | tuple[int, int]:
    """When the wish came up, and when it last went up where that was before."""
    return slot.wanted_us if slot.wanted_us == slot.raised_us else (slot.wanted_us, slot.raised_us)


def _dump_doubts(slot: Slot) -> Plain:
    """What hardly any listing has; left out where there is nothing to say."""
    seen = slot.suspicion
    first = (seen.shown, seen.expected, seen.at_us, seen.by, seen.with_push) if seen else None
    doubts = (first, slot.held, slot.unplaced or False)
    if slot.prior is not None:
        return (*doubts, slot.added, slot.prior)
    if slot.added:
        return (*doubts, slot.added)
    return doubts if doubts != (None, "", False) else ()


def load_slot(plain: Plain) -> Slot:
    """The inverse of `dump_slot`."""
    values = list(plain)
    if len(values) > _PLAIN:
        values[_PLAIN] = Suspicion(*values[_PLAIN]) if values[_PLAIN] else None  # type: ignore[misc]  # as below
    values[7] = load_instant(values[7]) if values[7] is not None else None  # type: ignore[arg-type]  # the codec checked the seal
    values[9] = [tuple(key) for key in values[9]]  # type: ignore[attr-defined]  # as above
    values[5], raised_us = values[5] if isinstance(values[5], list | tuple) else (values[5], values[5])
    return Slot(*values, raised_us=raised_us)  # type: ignore[arg-type]  # as above

"""One SKU and its listings: how each message changes them. Pure: the actor calls it, replay calls it again.

`step` is the only way a SKU changes. It never fails for anything a message can say; given the same SKU,
message, time and policies it does the same, so the state is the fold of the log.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from attrs import define, field, frozen

from daemon.domain.instants import Instant
from daemon.domain.kits import Assemble, ComponentLevel, Kit, assembled
from daemon.domain.observations import Adjustment, LevelReport, OrderLine, StockCount
from daemon.domain.policy import Policy, level
from daemon.domain.sightings import Sighting, adoption, look, read_back
from daemon.domain.slot import Held, Slot
from daemon.domain.stock import LineKey, Stock, Verdict

ListingKey = tuple[str, str]
"""(channel, listing)"""


@frozen
class Sent:
    """A push leaves: durable before its request does."""

    channel: str
    listing: str
    generation: int
    level: int
    believed: int | None


@frozen
class Confirmed:
    """The channel acknowledged a push and shows `level` as of `at`."""

    channel: str
    listing: str
    generation: int
    level: int
    at: Instant
    look_us: int = 0
    """Read it back then: the channel acknowledges what it does not always do. 0: no need."""


@frozen
class Failed:
    """A push surely did not happen: due again at `retry_us`, or stopped by `dead_letter` (its id, 0 for none)."""

    channel: str
    listing: str
    generation: int
    error: str
    retry_us: int
    dead_letter: int = 0


@frozen
class Doubted:
    """Nobody knows whether a push happened, or will until `alive_until_us`."""

    channel: str
    listing: str
    generation: int
    error: str
    retry_us: int
    alive_until_us: int
    shown: int | None = None
    """What the channel showed instead of what was believed, where it refused the push for that."""


@frozen
class ReadBack:
    """A listing was read on purpose, after every order up to then was absorbed: this is the channel's level.

    `level` None: the channel does not manage a quantity for it (unknown, never zero)."""

    channel: str
    listing: str
    level: int | None
    at: Instant
    seller_sku: str = ""
    """The seller's SKU that the channel has for it, where that is another one than ours."""
    look_us: int = 0
    """Read it once more then: this may be what it showed before our newest push. 0: no need."""


@frozen
class Hold:
    """Nothing is pushed to a listing, or what a person decided of it is done: see `Held`."""

    channel: str
    listing: str
    held: Held


@frozen
class Link:
    """A person says that a listing is this SKU (`linked`), or that it is not, or not any more."""

    channel: str
    listing: str
    linked: bool
    by: str
    reason: str = ""


@frozen
class Restore:
    """A person wants a listing to show `level` again, whatever the stock is; None: it follows the stock again."""

    channel: str
    listing: str
    level: int | None


@frozen
class Freeze:
    """A person froze (or thawed) the SKU: its listings keep their last wish until it is thawed."""

    frozen: bool
    by: str
    reason: str = ""


@frozen
class Settle:
    """Fold what is older than `horizon_us` into the anchors, but no line that its channel's next poll tells again:
    `floors` say from when on it will, by channel, on the channel's own clock."""

    horizon_us: int
    floors: Mapping[str, int] | None = None


@frozen
class Revive:
    """A person wants a stopped listing pushed again now (also: push it now whatever we believe)."""

    channel: str
    listing: str
    anyway: bool = False
    push: bool = False
    """Also where what it shows is otherwise only reported, or taken for a fact."""


@frozen
class Postponed:
    """A listing could not be read, or shows what nobody expected: it is read back at `recheck_us`, not before."""

    channel: str
    listing: str
    error: str
    recheck_us: int


@frozen
class Reprice:
    """The channels' policies changed (a new configuration): wish anew."""


PushMessage = Sent | Confirmed | Failed | Doubted | ReadBack | Revive | Hold | Restore | Postponed
KitMessage = Assemble | ComponentLevel
Message = (
    OrderLine | StockCount | Adjustment | LevelReport | PushMessage | Freeze | Settle | Reprice | KitMessage | Link
)

StepVerdict = (
    Verdict | Literal["linked", "unlinked", "frozen", "thawed", "settled", "assembled", "suspected", "looked"]
)


@frozen
class Step:
    """What a message did. `log` is False where nothing durable changed and nothing need be remembered."""

    verdict: StepVerdict
    before: int | None
    after: int | None
    log: bool
    slots: tuple[Slot, ...] = ()
    """The slots that changed in any way."""
    ambiguous: bool = False
    """Nobody can say on which side of a count this lies: the lower number holds."""
    sighting: Sighting | None = None
    """What a second look at a listing came to, after a first one that nothing explained."""
    follows: tuple[Adjustment, ...] = ()
    """Facts that follow from it: to be told in the same turn, as events of their own."""


PolicyOf = Callable[[str], Policy | None]
"""A channel's policy, None for a channel that is not configured any more."""


@define
class Sku:
    """One SKU: its stock, or its components where it is a kit; its listings; whether a person froze it."""

    sku: str
    stock: Stock = field(factory=Stock)
    slots: dict[ListingKey, Slot] = field(factory=dict)
    freeze: Freeze | None = None
    kit: Kit | None = None

    @property
    def available(self) -> int | None:
        """Units that may be sold; negative is debt; None while nobody has counted."""
        return self.stock.available if self.kit is None else self.kit.available

    def step(self, message: Message, now_us: int, policy_of: PolicyOf) -> Step:
        """Let `message` change this SKU. `now_us` is the log's time of the message."""
        before = self.available
        match message:
            case OrderLine() | StockCount() | Adjustment():
                return self._observe(message, now_us, policy_of)
            case LevelReport():
                return self._report(message, now_us, policy_of)
            case Freeze():
                self.freeze = message if message.frozen else None
                changed = self._wish(now_us, policy_of)
                verdict: StepVerdict = "frozen" if message.frozen else "thawed"
                return Step(verdict, before, before, log=True, slots=changed)
            case Settle():
                return self._settle(message, now_us)
            case Reprice():
                return Step("applied", before, before, log=False, slots=self._wish(now_us, policy_of))
            case Assemble() | ComponentLevel():
                return self._assemble(message, now_us, policy_of)
            case ReadBack():
                return self._read_back(message, now_us, policy_of)
            case Link():
                return self._link(message, now_us, policy_of)
            case Restore():
                return self._restore(message, now_us, policy_of)
            case _:
                slot = self.slots.get((message.channel, message.listing))
                done = slot is not None and self._push(slot, message, now_us)
                if self.kit is not None and self.kit.unsure:
                    self._wish(now_us, policy_of)
                return Step("applied" if done else "known", before, before, log=done, slots=(slot,) if slot else ())

    def _settle(self, message: Settle, now_us: int) -> Step:
        before = self.available
        folded = self.stock.settle(message.horizon_us, message.floors or {})
        if folded:
            for each in self.slots.values():
                each.lines_changed()
        shaken = tuple(
            each for each in self.slots.values()
            if each.rests_on_less_than(self.stock.lines) and not (each.unplaced and each.recheck_us)
        )  # fmt: skip
        for each in shaken:
            each.unplaced = max(each.unplaced, 1)
            each.ask_recheck(now_us)
        return Step("settled", before, self.available, log=bool(folded or shaken), slots=shaken)

    def _assemble(self, message: KitMessage, now_us: int, policy_of: PolicyOf) -> Step:
        before = self.available
        verdict: StepVerdict = "applied"
        if isinstance(message, Assemble):
            self.kit, verdict = assembled(message.recipe, self.kit), "assembled"
        elif self.kit is None or not self.kit.learn(message):
            return Step("known", before, before, log=False)
        changed = self._wish(now_us, policy_of)
        return Step(verdict, before, self.available, log=True, slots=changed)

    def _observe(self, seen: OrderLine | StockCount | Adjustment, now_us: int, policy_of: PolicyOf) -> Step:
        before, unclear = self.available, self.stock.ambiguous
        applied = self.stock.apply(seen)
        if applied.verdict in ("known", "late"):
            return Step(applied.verdict, before, before, log=False)
        if isinstance(seen, OrderLine) and applied.line_before != applied.line_after:
            self._line_changed(seen, now_us, policy_of(seen.channel), gave_back=applied.gave_back)
        self._wish(now_us, policy_of)
        changed = applied.verdict != "conflict" or applied.line_before != applied.line_after
        return Step(
            applied.verdict, before, self.available, log=changed, slots=tuple(self.slots.values()),
            ambiguous=self.stock.ambiguous > unclear,
        )  # fmt: skip

    def _line_changed(self, seen: OrderLine, now_us: int, policy: Policy | None, *, gave_back: bool) -> None:
        key = (seen.channel, seen.order, seen.line)
        for slot in self.slots.values():
            if slot.channel == seen.channel:
                slot.line_changed(key)
        if seen.kit in ("", seen.sku) and (policy is None or not policy.adds_held):
            self._touch(key, seen, now_us, unsure=policy is not None and policy.returns_unsure and gave_back)

    def _touch(self, key: LineKey, seen: OrderLine, now_us: int, *, unsure: bool = False) -> None:
        """A line of a channel moved the level that it shows there. unsure: perhaps it did."""
        mine = [slot for slot in self.slots.values() if slot.channel == seen.channel]
        # A listing without a level of its own (a variation whose parent holds the stock) moves the one that has.
        shown = [slot for slot in mine if slot.base is not None]
        named = [slot for slot in shown if slot.listing == seen.listing] or shown
        if len(named) == 1 and not unsure:
            named[0].touch(key, self.stock.lines, now_us)
        else:
            # One SKU under several listings of a channel, and no word about which one sold: look at them all. And
            # what was given back is perhaps there again, perhaps not.
            for slot in named:
                slot.unplaced = max(slot.unplaced, min(seen.at.at.hi, now_us))
                slot.ask_recheck(now_us)

    def _report(self, seen: LevelReport, now_us: int, policy_of: PolicyOf) -> Step:
        before = self.available
        key = (seen.channel, seen.listing)
        slot = self.slots.get(key)
        if slot is None:
            slot = self.slots[key] = Slot(seen.channel, seen.listing, self.sku)
            policy = policy_of(seen.channel)
            if seen.level is not None:
                slot.touched = [] if policy is not None and policy.adds_held else self._sold_at(seen.channel)
                slot.rebase(seen.level, seen.at, self.stock.lines, now_us)
            self._wish(now_us, policy_of)
            return Step("linked", before, before, log=True, slots=(slot,))
        asked = slot.recheck_us
        verdict = look(slot, seen, self.stock.lines, now_us)
        if verdict == "known":
            return Step("known", before, before, log=False)
        if verdict == "suspected":
            return Step("suspected", before, before, log=True, slots=(slot,))
        # Where it was to be read back by then anyway, there is nothing to remember.
        news = slot.recheck_us != asked
        return Step("looked" if news else "known", before, before, log=news, slots=(slot,))

    def _read_back(self, message: ReadBack, now_us: int, policy_of: PolicyOf) -> Step:
        before = self.available
        slot = self.slots.get((message.channel, message.listing))
        policy = policy_of(message.channel)
        if slot is None or slot.in_flight:
            return Step("known", before, before, log=False, slots=(slot,) if slot else ())
        rule = policy.drift if policy else "correct"
        if rule == "adopt" and (self.kit is not None or before is None):
            rule = "correct"  # a kit is not on the shelf: what its listing shows says nothing about any component
        sighting = read_back(slot, message, self.stock.lines, now_us, rule, countable=self.kit is None)
        if self.kit is not None and self.kit.unsure:
            self._wish(now_us, policy_of)
        follows = (adoption(self.sku, sighting),) if sighting and sighting.done == "adopted" else ()
        return Step("applied", before, before, log=True, slots=(slot,), sighting=sighting, follows=follows)

    def _link(self, message: Link, now_us: int, policy_of: PolicyOf) -> Step:
        """A listing that a person links is read before anything is pushed to it: nobody knows yet what it shows."""
        before = self.available
        key = (message.channel, message.listing)
        if not message.linked:
            self.slots.pop(key, None)
            return Step("unlinked", before, before, log=True, slots=self._wish(now_us, policy_of))
        slot = self.slots.get(key)
        if slot is None:
            policy = policy_of(message.channel)
            slot = self.slots[key] = Slot(message.channel, message.listing, self.sku)
            slot.touched = [] if policy is not None and policy.adds_held else self._sold_at(message.channel)
        slot.ask_recheck(now_us)
        changed = self._wish(now_us, policy_of)
        return Step("linked", before, before, log=True, slots=(slot, *(each for each in changed if each is not slot)))

    def _sold_at(self, channel: str) -> list[LineKey]:
        """Lines that may move what a listing of the channel shows."""
        return [
            key for key, line in self.stock.lines.items() if key[0] == channel and (line.whole or not line.kit)
        ]  # fmt: skip

    def _restore(self, message: Restore, now_us: int, policy_of: PolicyOf) -> Step:
        before = self.available
        slot = self.slots.get((message.channel, message.listing))
        if slot is None or slot.prior == message.level:
            return Step("known", before, before, log=False)
        slot.prior = message.level
        if message.level is not None:
            slot.hold("", now_us)
        self._wish(now_us, policy_of)
        return Step("applied", before, before, log=True, slots=(slot,))

    def _push(
        self, slot: Slot, message: Sent | Confirmed | Failed | Doubted | Revive | Hold | Postponed, now_us: int
    ) -> bool:  # fmt: skip
        lines = self.stock.lines
        match message:
            case Sent(generation=generation):
                if slot.in_flight == generation:
                    return True  # the dispatcher marked it already; this is its record
                slot.generation = max(slot.generation, generation)
                slot.in_flight, slot.sent_level, slot.sent_us = generation, message.level, now_us
                slot.attempt += 1
                return True
            case Confirmed():
                return slot.confirm(
                    message.generation, message.level, message.at, lines, now_us, look_us=message.look_us
                )
            case Failed():
                return slot.fail(
                    message.generation, message.error,
                    retry_us=message.retry_us, dead_letter=message.dead_letter,
                )  # fmt: skip
            case Doubted():
                return slot.doubt(
                    message.generation, message.error,
                    retry_us=message.retry_us, alive_until_us=message.alive_until_us,
                    shown=message.shown, now_us=now_us,
                )  # fmt: skip
            case Revive():
                slot.dead_letter = 0
                slot.attempt = 0
                slot.due_us = 0
                if message.push:
                    slot.hold("correct", now_us)
                if message.anyway:
                    slot.ask_recheck(now_us)
                return True
            case Postponed():
                slot.error, slot.recheck_us = message.error, message.recheck_us
                return True
            case Hold():
                before = (slot.held, slot.suspicion, slot.recheck_us)
                slot.hold(message.held, now_us)
                return before != (slot.held, slot.suspicion, slot.recheck_us)

    def _wish(self, now_us: int, policy_of: PolicyOf) -> tuple[Slot, ...]:
        available = self.available
        careful = self.kit is not None and self.kit.unsure
        changed = []
        for slot in self.slots.values():
            policy = policy_of(slot.channel)
            if policy is None:
                continue
            held = self.held_at(slot) if policy.adds_held else 0
            if slot.prior is not None:
                wish: int | None = slot.prior
            elif self.freeze is not None:
                # What is sent goes on freeing units at a channel that takes off its open orders itself.
                wish = slot.without_raise(held)
            else:
                wish = level(available, policy, held)
                wish = _no_raise(slot, wish, held) if careful else wish
            if slot.want(wish, now_us, held):
                _loosen(slot, now_us)
                changed.append(slot)
        return tuple(changed)

    def held_at(self, slot: Slot) -> int:
        """Units sold through this listing and not sent yet."""
        alone = not any(each is not slot and each.channel == slot.channel for each in self.slots.values())
        return self.stock.held_at(slot.channel, slot.listing, alone=alone)


def _no_raise(slot: Slot, wish: int | None, held: int) -> int | None:
    """The wish, but never more than was wished or is shown already; None where that says nothing to push."""
    if wish is None and slot.desired is None:
        return None
    known = [level for level in (wish, slot.without_raise(held), slot.belief) if level is not None]
    return max(0, min(known))


def _loosen(slot: Slot, now_us: int) -> None:
    """The wish changed: a listing whose drift was only reported follows it. One held with many others is looked at
    where it may show too much now."""
    if slot.held == "report":
        slot.held = ""
    elif slot.held == "mass" and slot.belief is not None and (slot.desired or 0) < slot.belief:
        slot.ask_recheck(now_us)

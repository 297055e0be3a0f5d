"""One channel's reader: listings are read on purpose, because they are in doubt, or before they are written.

Only what was read together with every order up to then is evidence.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Final

from attrs import define, evolve, field, frozen

from daemon.domain.channel import LevelSeen
from daemon.domain.exchange import NoAnswer
from daemon.domain.instants import SECOND_US, Span
from daemon.domain.observations import BadSkuError, LevelReport, check_sku
from daemon.domain.outcomes import Failure, Outcome
from daemon.domain.retry import next_attempt
from daemon.domain.sku import Message, ReadBack
from daemon.domain.slot import Slot
from daemon.outbound.account import Account
from daemon.outbound.neighbours import Deliver, Feed, PushWatcher, key_of
from daemon.outbound.promises import Promises
from daemon.storage.outbox import Outbox, SlotKey
from daemon.storage.store import Store

SILENT: Final = NoAnswer("the channel does not say what the listing shows", reached=True)


@frozen
class Look:
    """Listings were read: when it was asked and answered, and the answer."""

    asked_us: int
    received_us: int
    answer: Sequence[LevelSeen] | Failure | NoAnswer


@define(eq=False, repr=False)
class Reader:
    """Reads listings of one channel."""

    account: Account
    outbox: Outbox
    store: Store
    feed: Feed
    deliver: Deliver
    watcher: PushWatcher
    rng: random.Random
    promises: Promises | None
    _unread: dict[SlotKey, int] = field(factory=dict)
    """How often in a row a listing could not be read back."""

    async def read_back(self, slots: list[Slot]) -> None:
        """Read listings, then every order up to that moment: only then does a level say what the channel knows."""
        look = await self._look(slots)
        if isinstance(look.answer, (NoAnswer, Failure)):
            self._postpone(slots, look.answer)
        else:
            await self._conclude(slots, look)

    def _present(self, keys: Sequence[SlotKey]) -> list[Slot]:
        return self.outbox.lane(self.account.name).present(keys)

    async def _look(self, slots: Sequence[Slot]) -> Look:
        asked_us = self.store.now_us()
        answer = await self.account.converse(self.account.adapter.levels([slot.listing for slot in slots]))
        return Look(asked_us, self.store.now_us(), answer)

    async def _conclude(self, slots: list[Slot], look: Look) -> None:
        """Take what was read as evidence, once every order up to then is absorbed."""
        answer = look.answer
        before = {key_of(slot): slot.belief for slot in self._present(list(map(key_of, slots)))}
        if isinstance(answer, (NoAnswer, Failure)) or not await self._explainable(look):
            self._postpone(slots, answer)
            return
        seen = {level.listing: level for level in answer}
        # Unknown is no evidence: where a push is in doubt, a channel that does not say what it shows is asked again.
        untold = {level.listing for level in answer if level.level is None}
        silent = [slot for slot in slots if slot.listing in untold and (slot.error or slot.alive_until_us)]
        if silent:
            self._postpone(silent, SILENT)
        messages: list[tuple[str, Message]] = []
        for slot in slots:
            if slot in silent:
                continue
            self._unread.pop(key_of(slot), None)
            level = seen.get(slot.listing)
            at = self.account.true_at(Span(look.asked_us, look.received_us), level.own if level else None)
            self.watcher.read_back(slot, level)
            seller_sku = _other_sku(level, slot)
            shown = level.level if level else None
            if self.promises and (current := self._present([key_of(slot)])):
                self.promises.read(current[0], shown, before.get(key_of(slot)), look.asked_us)
            again_us = self._again_us(shown, before.get(key_of(slot)))
            messages.append((slot.sku, ReadBack(slot.channel, slot.listing, shown, at, seller_sku, again_us)))
        await self.deliver(messages, "readback")

    def _again_us(self, shown: int | None, believed: int | None) -> int:
        """When to read once more what shows something else than was believed, of a channel that is slow to show what
        it was told: this may be the level from before the newest push, and equal a wish that came since. 0: never."""
        wait_us = int(self.account.adapter.traits.read_back_s * SECOND_US)
        return self.store.now_us() + wait_us if wait_us and shown not in (None, believed) else 0

    async def _explainable(self, look: Look) -> bool:
        """Are the orders known that may have moved what was read? None are needed where sales move no level."""
        return self.account.adapter.traits.includes_held or await self.feed.absorb(look.received_us)

    def _postpone(self, slots: list[Slot], answer: object) -> None:
        reason = answer.reason if isinstance(answer, (NoAnswer, Failure)) else "the order feed cannot be read"
        now_us = self.store.now_us()
        outcome = Outcome("transient", reason)
        if isinstance(answer, Failure) and answer.outcome.kind == "throttled":
            outcome = evolve(answer.outcome, kind="throttled")
        lane = self.outbox.lane(self.account.name)
        for slot in slots:
            # Counted apart from the attempts to push: an unreadable channel must not use them up.
            failures = self._unread[key_of(slot)] = min(self._unread.get(key_of(slot), 0) + 1, 20)
            wait_s = next_attempt(outcome, failures, self.rng.random()) or 1.0
            current = lane.slots.get(key_of(slot), slot)
            self.outbox.postpone(current, reason, now_us + int(max(wait_s, 0.05) * SECOND_US))

    async def as_believed(self, keys: Sequence[SlotKey]) -> list[SlotKey]:
        """Of a channel that cannot compare: those that show what we believe, which it is asked first.

        Another level is a sale, or something else, that we have not heard of, and even a push that lowers by what we
        know might raise over it: such a listing is read back first. Zero raises nothing, so nobody looks before it,
        and it is not among them: it may be another level by then.
        """
        slots = self._present(keys)
        before = {key_of(slot): slot.belief for slot in slots if slot.desired}
        if not before:
            return []
        look = await self._look([slot for slot in slots if slot.desired])
        if isinstance(look.answer, (NoAnswer, Failure)):
            # Nobody can look: what raises waits for that, what lowers does not.
            unreadable = [slot for slot in self._present(keys) if slot.desired and slot.raises()]
            self._postpone(unreadable, look.answer)
            return [key for key in before if key not in set(map(key_of, unreadable))]
        shown = {level.listing: level for level in look.answer if level.level is not None}
        # A channel that does not say what it shows was not looked at either.
        untold = {level.listing for level in look.answer} - shown.keys()
        unsaid = [slot for slot in self._present(list(before)) if slot.listing in untold and slot.raises()]
        if unsaid:
            self._postpone(unsaid, SILENT)
        astray = [
            slot for slot in self._present(list(before))
            if slot.listing in shown and shown[slot.listing].level not in (before[key_of(slot)], slot.belief)
        ]  # fmt: skip
        if astray:
            await self._suspect(astray, look, shown)
        return [key for key in before if key not in set(map(key_of, [*unsaid, *astray]))]

    async def _suspect(self, slots: Sequence[Slot], look: Look, shown: Mapping[str, LevelSeen]) -> None:
        """Tell that these listings show what they should not, and read them once more at once: they wait to be
        pushed."""
        messages: list[tuple[str, Message]] = []
        for slot in slots:
            seen = shown[slot.listing]
            at = self.account.true_at(Span(look.asked_us, look.received_us), seen.own)
            sku = seen.seller_sku or ""
            report = LevelReport(slot.channel, slot.listing, seen.level, at, sku, seen.version, read_us=look.asked_us)
            messages.append((slot.sku, report))
        await self.deliver(messages, "readback")
        now_us = self.store.now_us()
        for slot in self._present([key_of(slot) for slot in slots]):
            due_us = min(slot.recheck_us, now_us) if slot.recheck_us else now_us
            self.outbox.postpone(slot, slot.error, due_us)


def _other_sku(seen: LevelSeen | None, slot: Slot) -> str:
    """The SKU that the channel says the listing sells, where that is another one than ours and can be kept."""
    if seen is None or not seen.seller_sku or seen.seller_sku == slot.sku:
        return ""
    try:
        return check_sku(seen.seller_sku)
    except BadSkuError:
        return ""

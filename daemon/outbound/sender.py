"""One channel's sender: a batch of claimed slots leaves, and what is answered settles.

The answer goes back to the SKU's actor as a message; it settles only the generation it answers. Nobody but this
module decides what an outcome means.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from hashlib import blake2b

import trio
from attrs import define

from daemon.domain.channel import Push
from daemon.domain.exchange import NoAnswer
from daemon.domain.instants import SECOND_US, Instant, Span
from daemon.domain.outcomes import Outcome
from daemon.domain.retry import next_attempt
from daemon.domain.sku import Confirmed, Doubted, Failed, Message, Sent
from daemon.domain.slot import Slot
from daemon.outbound.account import Account
from daemon.outbound.jobs import followed
from daemon.outbound.neighbours import Deliver, PushWatcher, key_of
from daemon.outbound.promises import Promises
from daemon.storage.dead_letters import DeadLetters
from daemon.storage.outbox import Outbox
from daemon.storage.store import Store


@define(eq=False)
class Claim:
    """A slot taken for one push."""

    slot: Slot
    sent: Sent
    sent_us: int
    life_us: int = 0
    """So long it may still be applied if nobody answers."""
    read_us: int = 0
    """It was acknowledged, is of the sample that its channel is held to, and read back then; 0: it is not."""

    def push(self) -> Push:
        """What the adapter must know of it."""
        return Push(self.sent.listing, self.sent.level, self.sent.believed, self.sent.generation)


@define(eq=False, repr=False)
class Sender:
    """Sends what was claimed. `calls`: those that may be under way at once; `jobs`: where those that the channel
    decides later are followed."""

    account: Account
    outbox: Outbox
    store: Store
    dead_letters: DeadLetters
    deliver: Deliver
    watcher: PushWatcher
    rng: random.Random
    promises: Promises | None
    calls: trio.Semaphore
    jobs: trio.Nursery | None = None

    async def send(self, claims: list[Claim], *, paid: bool = False) -> None:
        """Send one batch, let its answers settle; one refused as a whole is halved until the bad row is named.

        `paid`: its place in the budget is taken already, if nobody has asked us for quiet since."""
        if not paid or self.account.budget.paused_s():
            await self.account.budget.spend()
        claims = await self._still_wanted(claims)
        if not claims:
            return
        sent_us = self.store.now_us()
        pushes = [claim.push() for claim in claims]
        asked = all(claim.slot.prior == claim.sent.level for claim in claims)
        answer = await self.account.change(
            self.account.adapter.push(pushes, _call_key(claims)), paid=True, asked=asked
        )
        if isinstance(answer, NoAnswer):
            kind = Outcome("unknown" if answer.reached else "transient", answer.reason)
            outcomes: Sequence[Outcome] = [kind] * len(claims)
        else:
            outcomes = answer
        await self._settle(claims, outcomes, sent_us)

    async def _still_wanted(self, claims: list[Claim]) -> list[Claim]:
        """Claims that say what they would say now, after the wait for our turn; the others are given back.

        Also those that believe what is known better by now: a listing sold back to an old number would take them. And
        those of listings that somebody held meanwhile.
        """
        lane, wanted, messages = self.outbox.lane(self.account.name), [], []
        for claim in claims:
            sent = claim.sent
            current = lane.slots.get(key_of(claim.slot), claim.slot)
            if (current.desired, current.belief) == (sent.level, sent.believed) and not current.withheld():
                wanted.append(claim)
            else:
                error = f"not sent: by its turn more was known than when {sent.level} was to be pushed"
                failed = Failed(sent.channel, sent.listing, sent.generation, error, self.store.now_us())
                messages.append((claim.slot.sku, failed))
        if messages:
            await self.deliver(messages, "push")
            return await self._still_wanted(wanted)  # that took its time, too
        return wanted

    async def _settle(self, claims: list[Claim], outcomes: Sequence[Outcome], sent_us: int) -> None:
        if len(claims) > 1 and all(each.kind == "permanent" and each.whole_call for each in outcomes):
            self.watcher.split(self.account.name, len(claims), outcomes[0].reason)
            middle = len(claims) // 2
            await self.send(claims[:middle])
            await self.send(claims[middle:])
            return
        received_us = self.store.now_us()
        answered = list(zip(claims, outcomes, strict=True))
        messages = [
            (claim.slot.sku, self._meaning(claim, outcome, Span(sent_us, received_us)))
            for claim, outcome in answered if outcome.kind != "accepted"
        ]  # fmt: skip
        accepted = [(claim, outcome) for claim, outcome in answered if outcome.kind == "accepted"]
        for claim, outcome in accepted:
            self.watcher.answered(claim.slot, claim.sent, outcome, dead_letter=0)
        if accepted:
            assert self.jobs is not None
            self.jobs.start_soon(self._follow, accepted, sent_us)
        if messages:
            await self.deliver(messages, "push")
        claims = [claim for claim, outcome in answered if outcome.kind != "accepted"]
        for claim, (_, message) in zip(claims, messages, strict=True):
            self._given(claim, message)

    def _given(self, claim: Claim, message: Message) -> None:
        """A push was acknowledged, and the slot knows."""
        if self.promises and isinstance(message, Confirmed) and message.level == claim.sent.level:
            sent = claim.sent
            self.promises.given(claim.slot.sku, sent.listing, sent.level, sent.believed, claim.read_us)

    async def _follow(self, jobs: list[tuple[Claim, Outcome]], sent_us: int) -> None:
        """Their listings stay in flight until the channel has decided. Where we end first, nothing is lost: the next
        start finds them in flight, and reads them back."""
        claims = [claim for claim, _ in jobs]
        pushes = [claim.push() for claim in claims]
        decided = await followed(
            self.account, pushes, [outcome for _, outcome in jobs], self.rng, lambda: self._sold_out(claims)
        )
        async with self.calls:
            await self._settle(claims, decided, sent_us)

    def _sold_out(self, claims: Sequence[Claim]) -> bool:
        """Is a listing sold out whose only push is still undecided, and says otherwise? Zero cannot wait for that."""
        if len(claims) > 1 or not claims[0].sent.level:
            return False
        slot = self.outbox.lane(self.account.name).slots.get(key_of(claims[0].slot), claims[0].slot)
        return slot.desired == 0 and slot.in_flight == claims[0].sent.generation

    def _meaning(self, claim: Claim, outcome: Outcome, at: Span) -> Message:
        """What an outcome means for its slot, as the message that says so."""
        slot, sent, now_us = claim.slot, claim.sent, at.hi
        where = (sent.channel, sent.listing, sent.generation)
        if outcome.kind == "ok":
            self.watcher.answered(slot, sent, outcome, dead_letter=0)
            self.dead_letters.pushed(sent.channel, sent.listing)
            level = sent.level if outcome.level is None else outcome.level
            read_us = self.promises.read_at_us(slot.sku, sent.listing, now_us) if self.promises else 0
            usual_us = now_us + int(self.account.adapter.traits.read_back_s * SECOND_US)
            look_us = max(read_us, usual_us) if usual_us > now_us else read_us
            claim.read_us = look_us if read_us else 0
            return Confirmed(*where, level, Instant(at, outcome.own), look_us)
        if outcome.kind == "superseded":
            self.watcher.answered(slot, sent, outcome, dead_letter=0)
            return Doubted(*where, outcome.reason, now_us, 0)
        wait_s = next_attempt(outcome, slot.attempt, self.rng.random())
        if wait_s is None:
            letter = self._bury(slot, sent, outcome, now_us)
            self.watcher.answered(slot, sent, outcome, dead_letter=letter)
            return Failed(*where, outcome.reason, now_us, letter)
        self.watcher.answered(slot, sent, outcome, dead_letter=0)
        retry_us = now_us + int(wait_s * SECOND_US)
        match outcome.kind:
            case "conflict":
                # The channel knows of something that we do not: look, absorb, and wish anew.
                return Doubted(*where, outcome.reason, retry_us, 0, outcome.level)
            case "unknown":
                return Doubted(*where, outcome.reason, retry_us, now_us + claim.life_us)
            case _:
                return Failed(*where, outcome.reason, retry_us)

    def _bury(self, slot: Slot, sent: Sent, outcome: Outcome, now_us: int) -> int:
        letter = self.dead_letters.add(
            "push", now_us, channel=sent.channel, sku=slot.sku, cause=outcome.reason,
            subject=f"listing {sent.listing}: level {sent.level}", content=sent.listing.encode(),
        )  # fmt: skip
        return letter.letter


def _call_key(claims: Sequence[Claim]) -> str:
    """One key for one call, never used again: no two pushes leave at the same stamp of the log's clock.

    The same wish may have to be pushed twice, where the channel sold and took back in between: with the key of the
    first push the channel would repeat its old answer and write nothing.
    """
    digest = blake2b(digest_size=16)
    for claim in claims:
        digest.update(f"{claim.sent.listing}\0{claim.sent.generation}\0{claim.sent_us}\n".encode())
    return digest.hexdigest()

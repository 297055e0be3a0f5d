"""Each channel is compared with what we believe it shows, all the time: a few listings a call, the riskiest first,
every listing within the horizon, and never in the way of a push.

What is read goes the way of every level that is read: it is evidence, and a listing that differs is read back before
anything is made of it.
"""

from __future__ import annotations

import trio
from attrs import define, field

from daemon.domain.exchange import NoAnswer
from daemon.domain.instants import Span
from daemon.domain.mass import Tally
from daemon.domain.outcomes import Failure
from daemon.domain.slot import Slot
from daemon.domain.sweep import NEARLY_GONE, Risk, SweepRules, Target, choose, pause_s
from daemon.ingress.catalogue import Catalogue
from daemon.ingress.masses import Masses
from daemon.ingress.receiver import Intake, Receiver
from daemon.outbound.account import Account
from daemon.storage.links import load_link
from daemon.storage.outbox import Lane
from daemon.storage.store import Store
from daemon.storage.tables import LINKS, pair

BATCH_MAX = 100
"""Listings of one batch, whatever the platform can carry."""
RISKY_MAX = 1_000
"""Risky listings that wait for their turn; beyond it the oldest waits for the round that reaches every listing."""
ODD_MAX = 20_000
"""Differing listings of one round that are remembered."""
PATIENT_S = 30.0
"""Pushes go first, but a sweep is not put off longer than this by what has no way to leave."""
RETRY_S = 5.0
"""After a look at a whole channel that failed; twice as long after each more that a batch waits for."""
LOOK_S = 60.0
"""Seconds between two looks at a channel that is held because too much of it changed at once."""
PULL_AGAIN_S = 300.0
"""A batch that looks like a mass has the whole catalogue pulled, at most so often."""


@define(eq=False, repr=False)
class Sweeper:
    """Reads one channel's listings. `run` is its only task."""

    account: Account
    rules: SweepRules
    intake: Intake
    receiver: Receiver
    catalogue: Catalogue
    masses: Masses
    lane: Lane
    store: Store
    reads: int = 0
    """Listings read since the start."""
    rounds: int = 0
    """Times that every listing was reached."""
    risky: dict[str, Risk] = field(factory=dict)
    _stirred: trio.Event = field(factory=trio.Event)
    _place: bytes = b""
    _in_round: int = 0
    _advanced: int = BATCH_MAX
    """Listings by which the newest batch brought the round further."""
    _listings: int = 0
    _odd: set[str] = field(factory=set)
    _pulled_at: float = -PULL_AGAIN_S
    owed: bool = False
    """A batch looked like a mass, and the whole channel could not be read since: until then no batch is taken."""

    def moved(self, slot: Slot, *, sold: bool, unsure: bool) -> None:
        """Something happened to a listing: it may have become risky."""
        risk = self.risky.pop(slot.listing, None)
        nearly_gone = slot.desired is not None and slot.desired <= NEARLY_GONE
        if risk is None and not (sold or unsure or nearly_gone):
            return
        if not self.risky:
            self.stir()
        risk = risk or Risk(Target(slot.sku, slot.listing))
        risk.level, risk.sold, risk.unsure = slot.desired, risk.sold + sold, risk.unsure or unsure
        self.risky[slot.listing] = risk
        if len(self.risky) > RISKY_MAX:
            del self.risky[next(iter(self.risky))]

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Sweep for ever, from the first whole look at the channel on."""
        task_status.started()
        await self.catalogue.attempted.wait()
        await self.masses.resume()
        await self._rest(0)
        while True:
            if (hold := self.masses.hold) is not None:
                if hold.sure:
                    await trio.sleep(min(LOOK_S, self.rules.sweep_s))
                await self._open()
                if (await self.catalogue.pull()).error:
                    await trio.sleep(RETRY_S)
                continue
            await self._wait_for_room()
            calls = await self.read_some()
            await self._pay()
            await self._rest(calls)

    async def _pay(self) -> None:
        """Read the whole channel, if that is owed, and until it was read."""
        retry_s = RETRY_S
        while self.owed and self.masses.hold is None:
            await trio.sleep(retry_s)
            await self._open()
            self.owed = bool((await self.catalogue.pull()).error)
            retry_s = min(PULL_AGAIN_S, retry_s * 2)
        self.owed = False

    async def _rest(self, calls: int) -> None:
        """Until the next batch, after one that took `calls`; something that becomes risky meanwhile shortens it, and
        webhooks that tell of too much at once end it."""
        began = trio.current_time()
        while self.masses.hold is None and (left_s := began + self._pause_s(calls) - trio.current_time()) > 0:
            self._stirred = trio.Event()
            with trio.move_on_after(left_s):
                await self._stirred.wait()

    def stir(self) -> None:
        """Something happened that may not wait for the next batch's time."""
        self._stirred.set()

    def _pause_s(self, calls: int) -> float:
        known = max(self._listings, self._in_round, self.masses.linked)
        return pause_s(
            self.rules, calls=calls, rate_per_s=self.account.calls_per_s(), read=self._advanced,
            listings=known, risky=bool(self.risky),
        )  # fmt: skip

    def _size(self) -> int:
        return max(1, min(BATCH_MAX, self.account.adapter.traits.batch_max))

    async def _wait_for_room(self) -> None:
        """Until nothing is to be pushed, and the budget has room for a call that nobody waits for."""
        with trio.move_on_after(PATIENT_S):
            while self.masses.hold is None and self._in_the_way():  # noqa: ASYNC110 - nobody announces its end
                await trio.sleep(1.0)
        await self._open()

    async def _open(self) -> None:
        """Until the channel may be called."""
        while wait_s := self.account.wait_s():  # noqa: ASYNC110 - a wait of a known length, which may be prolonged
            await trio.sleep(wait_s)

    def _in_the_way(self) -> bool:
        return self.lane.busy(self.store.now_us()) or not self.account.budget.spare()

    async def read_some(self) -> int:
        """Read one batch; returns the calls that it took."""
        targets = self._next()
        if not targets:
            return 0
        made, asked_us = self.account.calls, self.receiver.wall_us()
        answer = await self.account.converse(self.account.adapter.levels([each.listing for each in targets]))
        if isinstance(answer, (NoAnswer, Failure)):
            return self.account.calls - made
        for target in targets:
            self.risky.pop(target.listing, None)
        self.reads += len(targets)
        moment = Span(asked_us, max(asked_us, self.receiver.wall_us()))
        tally = Tally()
        news, odd = self.masses.count(tally, self.receiver.levels(self.intake, answer, moment, "sweep"))
        await self.receiver.registry.deliver(news)
        if odd:
            self._odd.update(part.message.listing for part in odd if len(self._odd) < ODD_MAX)  # type: ignore[union-attr]  # they are all LevelReports
        if self._looks_like_many(tally):
            # Only the whole channel tells whether that is a mass; its pull takes up what differs, if it is none.
            self._pulled_at = trio.current_time()
            self._odd.clear()
            self.owed = bool((await self.catalogue.pull()).error)
        else:
            await self.receiver.registry.deliver(odd)
        return self.account.calls - made

    def _looks_like_many(self, tally: Tally) -> bool:
        share = self.masses.share
        in_round = Tally(self.masses.linked, len(self._odd)).verdict(share) if self.masses.linked else None
        if tally.verdict(share) is None and in_round is None:
            return False
        return trio.current_time() - self._pulled_at >= PULL_AGAIN_S

    def _next(self) -> list[Target]:
        """The next batch: risky listings, and as many of the round as there is room for."""
        size = self._size()
        page = self._page(size - min(len(self.risky), size // 2))
        return choose(self.risky.values(), page, size)

    def _page(self, size: int) -> list[Target]:
        """The next listings of the round, by name; a round that is over begins anew with the next batch."""
        name, found = self.account.name, list[Target]()
        prefix = pair(name, "")
        rows = self.store.env.scan(LINKS, self._place or prefix, limit=size, prefix=prefix)
        for key, payload in rows:
            state = self.receiver.registry.peek(load_link(payload).sku)
            for slot in state.slots.values() if state else ():
                if slot.channel == name and pair(name, slot.listing) == key:
                    found.append(Target(slot.sku, slot.listing))
        self._in_round += len(found)
        self._advanced = len(found)
        self._place = rows[-1][0] + b"\0" if rows else b""
        if len(rows) < size:
            self._listings, self._in_round, self._place = self._in_round, 0, b""
            self.rounds += 1
            self._odd.clear()
        return found
